//! The Tooling API, as far as it makes, changes and removes custom fields.

use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use super::composite;
use super::error::{Refusal, Refusals};
use super::fields;
use super::ids;
use super::query;
use super::records::saved;
use super::schema::{Choice, Field, FieldId, Kind, Object, standard};
use super::soql::{self, Selection};
use super::table::{Row, Table};
use super::value::Value;
use super::wire::{Answer, Call};
use super::world::{TableId, World};
use super::write::Writer;

/// Custom fields that are keys, per object.
const MOST_KEYS: usize = 25;

/// A custom field as administrators describe it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Metadata {
    #[serde(rename = "type")]
    kind: Option<String>,
    label: Option<String>,
    length: Option<usize>,
    precision: Option<u32>,
    scale: Option<u32>,
    visible_lines: Option<u32>,
    #[serde(default)]
    required: bool,
    #[serde(default)]
    unique: bool,
    #[serde(default)]
    case_sensitive: bool,
    #[serde(default)]
    external_id: bool,
    default_value: Option<Json>,
    value_set: Option<ValueSet>,
    // Kept by an org and shown to people; nothing here reads them.
    #[serde(rename = "description")]
    _description: Option<String>,
    #[serde(rename = "inlineHelpText")]
    _help: Option<String>,
    #[serde(rename = "trackHistory")]
    _track_history: Option<bool>,
    #[serde(rename = "trackTrending")]
    _track_trending: Option<bool>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ValueSet {
    #[serde(default)]
    restricted: bool,
    controlling_field: Option<String>,
    value_set_definition: Option<Definition>,
    #[serde(default)]
    value_settings: Vec<Setting>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Definition {
    #[serde(rename = "sorted")]
    _sorted: Option<bool>,
    #[serde(default)]
    value: Vec<CustomValue>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CustomValue {
    full_name: String,
    label: Option<String>,
}

/// Under which controlling values a value may be chosen.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Setting {
    #[serde(default)]
    controlling_field_value: Vec<String>,
    value_name: String,
}

/// Answers `tooling/…`; the parts are those after it.
pub(super) fn route(world: &mut World, call: &Call, parts: &[&str], writer: &Writer) -> Result<Answer, Refusals> {
    match (&call.method, parts) {
        (&Method::POST, ["composite"]) => composite::run(world, call, writer),
        (&Method::GET, ["query"]) => Ok(run_query(world, call)?),
        (&Method::POST, ["sobjects", name]) if is_custom_field(name) => {
            let id = world.atomically(|world| create(world, call.object()?))?;
            let location = format!("/services/data/{}/tooling/sobjects/CustomField/{id}", call.version);
            let mut body = saved(&id, None);
            body["warnings"] = json!([]);
            body["infos"] = json!([]);
            Ok(Answer::json(201, body).with("Location", location))
        }
        (method, ["sobjects", name, id]) if is_custom_field(name) => {
            let (table, field) = find(world, id)?;
            match *method {
                Method::GET => Ok(Answer::json(200, show(world, table, field, call))),
                Method::PATCH => {
                    world.atomically(|world| change(world, table, field, call.object()?))?;
                    Ok(Answer::empty(204))
                }
                Method::DELETE => {
                    fields::take_away(world, table, field, false);
                    Ok(Answer::empty(204))
                }
                _ => Err(Refusal::method_not_allowed(method).into()),
            }
        }
        (method, ["query" | "composite"] | ["sobjects", ..])
            if parts.get(1).is_none_or(|name| is_custom_field(name)) =>
        {
            Err(Refusal::method_not_allowed(method).into())
        }
        _ => Err(Refusal::no_such_resource().into()),
    }
}

fn is_custom_field(name: &str) -> bool {
    name.eq_ignore_ascii_case("CustomField")
}

fn create(world: &mut World, body: &Map<String, Json>) -> Result<String, Refusals> {
    let name = body.get("FullName").and_then(Json::as_str).unwrap_or_default();
    let Some((object, name)) = name.split_once('.') else {
        return Err(missing("FullName").into());
    };
    let table = world.table(object).filter(|table| !world.tables[*table].object.setup).ok_or_else(|| {
        integrity(&format!("Entity Enumeration Or ID: bad value for restricted picklist field: {object}"))
    })?;
    if !fields::is_field_name(name) {
        return Err(integrity(
            "The Custom Field Name field can only contain underscores and alphanumeric characters. It must be unique, begin with a \
             letter, not include spaces, not end with an underscore, and not contain two consecutive underscores.",
        )
        .into());
    }
    if world.tables[table].object.find(name).is_some() {
        let message = format!("There is already a field named {} on {object}.", name.trim_end_matches("__c"));
        return Err(Refusal::of_fields("DUPLICATE_DEVELOPER_NAME", message, &["DeveloperName"]).into());
    }
    let metadata = read_metadata(body)?;
    let field = build(&world.tables[table].object, name, &metadata)?;
    let keys = world.tables[table].object.live().filter(|(_, field)| field.external_id).count();
    if field.external_id && keys >= MOST_KEYS {
        let message = "reached maximum number of external ID fields";
        return Err(Refusal::of_fields("CUSTOM_FIELD_INDEX_LIMIT_EXCEEDED", message, &[]).into());
    }
    Ok(fields::make(world, table, field)?)
}

/// Changes what a field's metadata may change without a conversion of its values.
fn change(world: &mut World, table: TableId, id: FieldId, body: &Map<String, Json>) -> Result<(), Refusals> {
    let metadata = read_metadata(body)?;
    let standing = world.tables[table].object.field(id).clone();
    let built = build(&world.tables[table].object, &standing.name, &metadata)?;
    if built.kind != standing.kind {
        return Err(integrity("Cannot change the type of a field that holds values").into());
    }
    let field = Field {
        number: standing.number,
        by_permission: standing.by_permission,
        hidden: standing.hidden,
        createable: standing.createable,
        updateable: standing.updateable,
        ..built
    };
    fields::replace(world, table, id, field);
    Ok(())
}

fn read_metadata(body: &Map<String, Json>) -> Result<Metadata, Refusal> {
    let metadata = body.get("Metadata").filter(|metadata| !metadata.is_null()).ok_or_else(|| missing("Metadata"))?;
    serde_json::from_value(metadata.clone()).map_err(|err| Refusal::json(format!("Metadata: {err}")))
}

/// Makes a field of its metadata, within the bounds that an org sets.
fn build(object: &Object, name: &str, metadata: &Metadata) -> Result<Field, Refusal> {
    let kind_name = metadata.kind.as_deref().ok_or_else(|| missing("type"))?;
    let label = metadata.label.as_deref().filter(|label| !label.trim().is_empty()).ok_or_else(|| missing("label"))?;
    let must = |what: &str| integrity(&format!("Must specify '{what}' for a CustomField of type {kind_name}"));
    let bounded = |length: Option<usize>, range: std::ops::RangeInclusive<usize>| match length {
        None => Err(must("length")),
        Some(length) if range.contains(&length) => Ok(length),
        Some(_) => Err(integrity(&format!("Length must be between {} and {}", range.start(), range.end()))),
    };
    let digits = || match (metadata.precision, metadata.scale) {
        (None, _) => Err(must("precision")),
        (_, None) => Err(must("scale")),
        (Some(precision), Some(scale)) if (1..=18).contains(&precision) && scale <= precision => Ok((precision, scale)),
        _ => Err(integrity(
            "The sum of the number length and decimal places must be an integer less than or equal to 18",
        )),
    };
    let mut choices = Vec::new();
    let mut controller = None;
    let (kind, length, places) = match kind_name {
        "Text" => (Kind::Text, bounded(metadata.length, 1..=255)?, (0, 0)),
        "TextArea" => (Kind::TextArea, 255, (0, 0)),
        "LongTextArea" => {
            let length = bounded(metadata.length, 256..=131_072)?;
            metadata.visible_lines.ok_or_else(|| must("visibleLines"))?;
            (Kind::TextArea, length, (0, 0))
        }
        "Number" => (Kind::Double, 0, digits()?),
        "Currency" => (Kind::Currency, 0, digits()?),
        "Percent" => (Kind::Percent, 0, digits()?),
        "Checkbox" => {
            metadata.default_value.as_ref().ok_or_else(|| must("defaultValue"))?;
            (Kind::Boolean, 0, (0, 0))
        }
        "Date" => (Kind::Date, 0, (0, 0)),
        "DateTime" => (Kind::DateTime, 0, (0, 0)),
        "Email" => (Kind::Email, 80, (0, 0)),
        "Phone" => (Kind::Phone, 40, (0, 0)),
        "Url" => (Kind::Url, 255, (0, 0)),
        "Picklist" | "MultiselectPicklist" => {
            let set = metadata.value_set.as_ref().ok_or_else(|| must("valueSet"))?;
            choices = read_choices(set).ok_or_else(|| must("valueSetDefinition"))?;
            controller = set.controlling_field.clone();
            if let Some(name) = &controller
                && object.find(name).is_none()
            {
                return Err(integrity(&format!("There is no controlling field {name}")));
            }
            if kind_name == "Picklist" {
                (Kind::Picklist, 255, (0, 0))
            } else {
                metadata.visible_lines.ok_or_else(|| must("visibleLines"))?;
                (Kind::MultiPicklist, 4_099, (0, 0))
            }
        }
        other => {
            let message = format!("Field Type: bad value for restricted picklist field: {other}");
            return Err(Refusal::of_fields("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message, &["type"]));
        }
    };
    if metadata.external_id && !matches!(kind_name, "Text" | "Number" | "Email") {
        return Err(integrity(&format!("Can not specify 'externalId' for a CustomField of type {kind_name}")));
    }
    if metadata.unique && !matches!(kind_name, "Text" | "Number" | "Email") {
        return Err(integrity(&format!("Can not specify 'unique' for a CustomField of type {kind_name}")));
    }
    if metadata.required && matches!(kind_name, "LongTextArea" | "Checkbox" | "MultiselectPicklist") {
        return Err(integrity(&format!("Can not specify 'required' for a CustomField of type {kind_name}")));
    }
    let base = Field::new(name, label, kind, length).digits(places.0, places.1);
    Ok(Field {
        unique: metadata.unique,
        external_id: metadata.external_id,
        id_lookup: metadata.external_id,
        case_sensitive: metadata.unique && metadata.case_sensitive,
        restricted: metadata.value_set.as_ref().is_some_and(|set| set.restricted),
        nillable: base.nillable && !metadata.required,
        // Nobody sees a new field until a permission shows it, unless every record needs it.
        by_permission: !metadata.required,
        hidden: !metadata.required,
        choices,
        controller,
        ..base
    })
}

fn read_choices(set: &ValueSet) -> Option<Vec<Choice>> {
    let values = &set.value_set_definition.as_ref()?.value;
    let choice = |value: &CustomValue| {
        let settings = set.value_settings.iter().filter(|setting| setting.value_name == value.full_name);
        Choice {
            valid_for: settings.flat_map(|setting| setting.controlling_field_value.clone()).collect(),
            ..Choice::new(&value.full_name, value.label.as_deref().unwrap_or(&value.full_name))
        }
    };
    Some(values.iter().map(choice).collect())
}

fn find(world: &World, id: &str) -> Result<(TableId, FieldId), Refusal> {
    let number =
        ids::canonical(id).and_then(|id| ids::number(&id, standard::FIELD)).ok_or_else(Refusal::no_such_resource)?;
    let mut fields = world
        .tables
        .iter()
        .enumerate()
        .flat_map(|(table, held)| held.object.live().map(move |(id, field)| (table, id, field.number)));
    fields
        .find(|(_, _, held)| *held == Some(number))
        .map(|(table, id, _)| (table, id))
        .ok_or_else(Refusal::no_such_resource)
}

/// A custom field as the resource of one field shows it.
fn show(world: &World, table: TableId, id: FieldId, call: &Call) -> Json {
    let object = &world.tables[table].object;
    let field = object.field(id);
    let number = field.number.map(|number| ids::make(standard::FIELD, number)).unwrap_or_default();
    let url = format!("/services/data/{}/tooling/sobjects/CustomField/{number}", call.version);
    json!({
        "attributes": { "type": "CustomField", "url": url }, "Id": number, "DeveloperName": field.name.trim_end_matches("__c"),
        "TableEnumOrId": object.name, "NamespacePrefix": null, "FullName": format!("{}.{}", object.name, field.name),
        "Metadata": {
            "label": field.label, "length": field.kind.is_text().then_some(field.length), "unique": field.unique,
            "externalId": field.external_id, "caseSensitive": field.case_sensitive, "required": !field.nillable,
        },
    })
}

/// `GET tooling/query`: the custom fields, as a table of their own.
fn run_query(world: &World, call: &Call) -> Result<Answer, Refusal> {
    let statement =
        call.parameter("q").ok_or_else(|| Refusal::new(400, "MALFORMED_QUERY", "SOQL statement is missing"))?;
    let query = soql::parse(statement)?;
    if !is_custom_field(&query.from.text) {
        let message = format!("sObject type '{}' is not supported.", query.from.text);
        return Err(Refusal::new(400, "INVALID_TYPE", soql::pointed(statement, query.from.at, &message)));
    }
    let mut table = Table::new(standard::custom_field(), 1);
    let column = |table: &Table, name: &str| table.object.find(name).map(|(id, _)| id);
    for held in world.tables.iter().filter(|held| !held.object.setup) {
        for (_, field) in held.object.live() {
            let Some(number) = field.number else { continue };
            let values = [
                ("Id", ids::make(standard::FIELD, number)),
                ("DeveloperName", field.name.trim_end_matches("__c").to_owned()),
                ("TableEnumOrId", held.object.name.to_owned()),
            ];
            let values = values.into_iter().filter_map(|(name, text)| Some((column(&table, name)?, Value::text(text))));
            let values: std::collections::BTreeMap<FieldId, Value> = values.collect();
            let id = ids::make(standard::FIELD, number).into();
            table.insert(Row { id, values, deleted: false, history: Vec::new() });
        }
    }
    let selected = query::select(&table, &query, statement, false)?;
    let Some(fields) = selected.fields else {
        debug_assert_eq!(query.select, Selection::Count);
        return Ok(Answer::json(
            200,
            json!({ "size": 0, "totalSize": selected.rows.len(), "done": true, "records": [] }),
        ));
    };
    let rows: Vec<Json> = selected
        .rows
        .iter()
        .map(|row| {
            let row = table.row(*row);
            let mut record = super::records::to_json(&table.object, row, &fields, &call.version);
            let url = format!("/services/data/{}/tooling/sobjects/CustomField/{}", call.version, row.id);
            record["attributes"] = json!({ "type": "CustomField", "url": url });
            record
        })
        .collect();
    Ok(Answer::json(
        200,
        json!({
            "size": rows.len(), "totalSize": rows.len(), "done": true, "queryLocator": null, "entityTypeName": "CustomField",
            "records": rows,
        }),
    ))
}

fn integrity(message: &str) -> Refusal {
    Refusal::of_fields("FIELD_INTEGRITY_EXCEPTION", message, &[])
}

fn missing(field: &str) -> Refusal {
    Refusal::of_fields("REQUIRED_FIELD_MISSING", format!("Required fields are missing: [{field}]"), &[field])
}
