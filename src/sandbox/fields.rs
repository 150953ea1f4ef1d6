//! Fields that come, go and hide while the org runs, as administrators make them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use super::error::Refusal;
use super::ids;
use super::schema::{Choice, Field, FieldId, Kind, standard};
use super::value::now;
use super::wire::Answer;
use super::world::{TableId, World};

/// Most fields an object may ever have had.
const MOST: usize = 2_000;

/// `POST /_sandbox/fields`: adds a field, shows a hidden one again, or changes the one that has this name.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewField {
    object: String,
    name: String,
    label: Option<String>,
    /// As describe names it, or `text`, `integer`, `multi_picklist`.
    #[serde(rename = "type")]
    kind: Option<String>,
    length: Option<usize>,
    precision: Option<u32>,
    scale: Option<u32>,
    unique: Option<bool>,
    external_id: Option<bool>,
    case_sensitive: Option<bool>,
    required: Option<bool>,
    read_only: Option<bool>,
    restricted: Option<bool>,
    values: Option<Vec<String>>,
    /// The field on whose value the values depend; empty for none.
    controller: Option<String>,
    /// For each value, the controlling ones under which it may be chosen.
    valid_for: Option<BTreeMap<String, Vec<String>>>,
}

/// `DELETE /_sandbox/fields`: removes a field with its values, or hides it from the API user.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OldField {
    object: String,
    name: String,
    #[serde(default)]
    hide: bool,
}

pub(super) fn add(world: &mut World, wanted: NewField) -> Result<Answer, Refusal> {
    let place = world.table(&wanted.object).ok_or_else(|| invalid("there is no such object"))?;
    let table = &world.tables[place];
    let standing = table.object.find(&wanted.name).map(|(id, field)| (id, field.clone()));
    let kind = wanted.kind.as_deref().map(parse_kind).transpose()?;
    let mut field = match (&standing, kind) {
        (Some((_, field)), None) => field.clone(),
        (Some((_, field)), Some(kind)) if kind == field.kind => field.clone(),
        (Some((_, field)), Some(_)) => {
            return Err(invalid(&format!("the field {} is of another type: {}", field.name, field.kind.name())));
        }
        (None, None) => return Err(invalid("a new field needs a type")),
        (None, Some(kind)) => {
            if !is_field_name(&wanted.name) {
                return Err(invalid(
                    "the name must begin with a letter, hold letters, digits and single underscores, and end in __c",
                ));
            }
            let label = wanted.name.trim_end_matches("__c").replace('_', " ");
            let length = match kind {
                Kind::TextArea => 255,
                Kind::MultiPicklist => 4_099,
                Kind::Phone => 40,
                Kind::Email => 80,
                Kind::Reference => 18,
                kind if kind.is_text() => 255,
                _ => 0,
            };
            let places = if kind.is_decimal() { (18, 2) } else { (8, 0) };
            Field::new(&wanted.name, &label, kind, length).digits(places.0, places.1)
        }
    };
    field.hidden = false;
    if let Some(length) = wanted.length {
        field.length = length.min(131_072);
        field.filterable = field.kind != Kind::Address && !(field.kind == Kind::TextArea && field.length > 255);
    }
    field.precision = wanted.precision.unwrap_or(field.precision).min(18);
    field.scale = wanted.scale.unwrap_or(field.scale).min(field.precision);
    field.label = wanted.label.unwrap_or(field.label);
    field.unique = wanted.unique.unwrap_or(field.unique);
    field.external_id = wanted.external_id.unwrap_or(field.external_id);
    field.id_lookup |= field.external_id;
    field.case_sensitive = wanted.case_sensitive.unwrap_or(field.case_sensitive);
    field.restricted = wanted.restricted.unwrap_or(field.restricted);
    if let Some(values) = wanted.values {
        field.choices = values.iter().map(|value| Choice::new(value, value)).collect();
    }
    if let Some(controller) = wanted.controller {
        field.controller = (!controller.is_empty()).then_some(controller);
    }
    if let Some(name) = &field.controller
        && !table.object.find(name).is_some_and(|(_, known)| matches!(known.kind, Kind::Picklist | Kind::Boolean))
    {
        return Err(invalid(&format!("the controlling field {name} must be a picklist or a boolean of the object")));
    }
    for (value, valid_for) in wanted.valid_for.unwrap_or_default() {
        match field.choices.iter_mut().find(|choice| choice.value == value) {
            Some(choice) => choice.valid_for = valid_for,
            None => return Err(invalid(&format!("valid_for names {value}, which is none of the values"))),
        }
    }
    field.nillable = wanted.required.map_or(field.nillable, |required| !required);
    if let Some(read_only) = wanted.read_only {
        (field.createable, field.updateable) = (!read_only, !read_only);
    }
    field.by_permission = false;
    let (object, name) = (table.object.name, field.name.clone());
    let status = match standing {
        Some((id, _)) => {
            replace(world, place, id, field);
            200
        }
        None => {
            make(world, place, field)?;
            201
        }
    };
    Ok(Answer::json(status, json!({ "object": object, "name": name })))
}

/// Adds a field for good and gives its id.
pub(super) fn make(world: &mut World, table: TableId, mut field: Field) -> Result<String, Refusal> {
    if world.tables[table].object.fields.len() >= MOST {
        return Err(Refusal::new(400, "CUSTOM_ENTITY_OR_FIELD_LIMIT", "reached maximum number of custom fields"));
    }
    world.fields_made += 1;
    field.number = Some(world.fields_made);
    let place = FieldId::try_from(world.tables[table].object.fields.len()).unwrap_or(FieldId::MAX);
    world.note_field(table, place, None);
    let held = &mut world.tables[table];
    held.object.fields.push(field);
    held.object.touch(now().as_second());
    held.reindex();
    Ok(ids::make(standard::FIELD, world.fields_made))
}

/// Puts another description in the place of a field's.
pub(super) fn replace(world: &mut World, table: TableId, id: FieldId, field: Field) {
    let before = world.tables[table].object.field(id).clone();
    world.note_field(table, id, Some(before));
    let held = &mut world.tables[table];
    held.object.fields[usize::from(id)] = field;
    held.object.touch(now().as_second());
    held.reindex();
}

/// Removes a field with its values, or hides it until a permission shows it.
pub(super) fn take_away(world: &mut World, table: TableId, id: FieldId, hide: bool) {
    let mut field = world.tables[table].object.field(id).clone();
    world.withdraw_permissions(&format!("{}.{}", world.tables[table].object.name, field.name));
    if hide {
        (field.hidden, field.by_permission) = (true, true);
    } else {
        field.removed = true;
    }
    replace(world, table, id, field);
}

pub(super) fn remove(world: &mut World, unwanted: &OldField) -> Result<Answer, Refusal> {
    let table = world.table(&unwanted.object).ok_or_else(|| invalid("there is no such object"))?;
    let (id, field) = world.tables[table].object.find(&unwanted.name).ok_or_else(Refusal::no_such_resource)?;
    if field.kind == Kind::Id {
        return Err(invalid("a record cannot be without its Id"));
    }
    take_away(world, table, id, unwanted.hide);
    Ok(Answer::json(200, json!({ "ok": true })))
}

fn parse_kind(name: &str) -> Result<Kind, Refusal> {
    Ok(match name.to_lowercase().as_str() {
        "string" | "text" => Kind::Text,
        "textarea" => Kind::TextArea,
        "email" => Kind::Email,
        "phone" => Kind::Phone,
        "url" => Kind::Url,
        "picklist" => Kind::Picklist,
        "multipicklist" | "multi_picklist" => Kind::MultiPicklist,
        "boolean" => Kind::Boolean,
        "int" | "integer" => Kind::Int,
        "double" | "number" => Kind::Double,
        "currency" => Kind::Currency,
        "percent" => Kind::Percent,
        "date" => Kind::Date,
        "datetime" => Kind::DateTime,
        other => return Err(invalid(&format!("there is no field type {other}"))),
    })
}

pub(super) fn is_field_name(name: &str) -> bool {
    let Some(stem) = name.strip_suffix("__c") else { return false };
    stem.starts_with(|c: char| c.is_ascii_alphabetic())
        && stem.len() <= 40
        && stem.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !stem.contains("__")
        && !stem.ends_with('_')
}

fn invalid(message: &str) -> Refusal {
    Refusal::new(400, "INVALID_INPUT", message)
}
