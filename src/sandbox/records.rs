//! Records as answers show them, and the resources of single records: `sobjects/…`.

use std::sync::Arc;

use http::Method;
use serde_json::{Map, Value as Json, json};

use super::conditions::{self, State};
use super::describe;
use super::error::{Refusal, Refusals};
use super::schema::{FieldId, Kind, Object};
use super::table::{Row, RowId, Table};
use super::value::{Value, parse_date, parse_moment};
use super::wire::{Answer, Call};
use super::world::{TableId, World};
use super::write::Writer;

/// A row with its attributes and the chosen fields.
pub(super) fn to_json(object: &Object, row: &Row, fields: &[FieldId], version: &str) -> Json {
    let mut record = Map::new();
    record.insert(
        "attributes".to_owned(),
        json!({ "type": object.name, "url": format!("{}/{}", describe::url(object, version), row.id) }),
    );
    for id in fields {
        let field = object.field(*id);
        let value = match field.kind {
            Kind::Address => address(object, row, field.name.trim_end_matches("Address")),
            kind => row.values.get(id).map_or(Json::Null, |value| value.to_json(kind)),
        };
        record.insert(field.name.clone(), value);
    }
    Json::Object(record)
}

/// The compound of an address's parts; null when all of them are.
fn address(object: &Object, row: &Row, side: &str) -> Json {
    let part = |name: &str| {
        let found = object.find(&format!("{side}{name}"));
        found.and_then(|(id, field)| Some(row.values.get(&id)?.to_json(field.kind))).unwrap_or(Json::Null)
    };
    let mut parts = vec!["City", "Country", "Latitude", "Longitude", "PostalCode", "State", "Street"];
    if object.find(&format!("{side}CountryCode")).is_some() {
        parts.extend(["CountryCode", "StateCode"]);
    }
    let values: Vec<Json> = parts.iter().map(|name| part(name)).collect();
    if values.iter().all(Json::is_null) {
        return Json::Null;
    }
    let key =
        |name: &str| name.chars().take(1).flat_map(char::to_lowercase).chain(name.chars().skip(1)).collect::<String>();
    let mut compound: Map<String, Json> = parts.iter().map(|name| key(name)).zip(values).collect();
    compound.insert("geocodeAccuracy".to_owned(), Json::Null);
    Json::Object(compound)
}

/// The columns named in `fields=A,B`; all visible ones without it.
pub(super) fn columns<'a>(
    object: &Object,
    names: Option<impl Iterator<Item = &'a str>>,
) -> Result<Vec<FieldId>, Refusal> {
    let Some(names) = names else { return Ok(object.visible().map(|(id, _)| id).collect()) };
    names
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(|name| {
            object.find_visible(name).map(|(id, _)| id).ok_or_else(|| {
                Refusal::new(
                    400,
                    "INVALID_FIELD",
                    format!("No such column '{name}' on sobject of type {}", object.name),
                )
            })
        })
        .collect()
}

/// What a successful create or upsert answers.
pub(super) fn saved(id: &str, created: Option<bool>) -> Json {
    let mut body = json!({ "id": id, "success": true, "errors": [] });
    if let Some(created) = created {
        body["created"] = json!(created);
    }
    body
}

/// `POST sobjects/Lead`
pub(super) fn create(world: &mut World, table: TableId, call: &Call, writer: &Writer) -> Result<Answer, Refusals> {
    let id = world.create(table, call.object()?, writer)?;
    let location = format!("{}/{id}", describe::url(&world.tables[table].object, &call.version));
    Ok(Answer::json(201, saved(&id, None)).with("Location", location))
}

/// `GET`, `PATCH`, `DELETE sobjects/Lead/{id}`
///
/// Here, and not under an external id, the conditions in a request's headers are obeyed.
pub(super) fn by_id(
    world: &mut World,
    table: TableId,
    id: &str,
    call: &Call,
    writer: &Writer,
) -> Result<Answer, Refusals> {
    let Some(row) = world.tables[table].find(id) else {
        return Err(match call.method {
            Method::GET => Refusal::no_such_resource(),
            _ if super::ids::canonical(id).is_none() => Refusal::new(404, "MALFORMED_ID", format!("malformed id {id}")),
            _ => Refusal::new(404, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id"),
        }
        .into());
    };
    if matches!(call.method, Method::GET | Method::PATCH)
        && !world.tables[table].row(row).deleted
        && let Some(answer) = conditions::judge(&state_of(&world.tables[table], row), call)?
    {
        return Ok(answer);
    }
    on_row(world, table, row, call, writer)
}

fn on_row(world: &mut World, table: TableId, row: RowId, call: &Call, writer: &Writer) -> Result<Answer, Refusals> {
    match call.method {
        Method::GET => Ok(read(&world.tables[table], row, call)?),
        Method::PATCH => {
            world.update(table, row, call.object()?, writer)?;
            Ok(Answer::empty(204))
        }
        Method::DELETE => {
            world.delete(table, row, None, writer)?;
            Ok(Answer::empty(204))
        }
        _ => Err(Refusal::method_not_allowed(&call.method).into()),
    }
}

fn read(table: &Table, place: RowId, call: &Call) -> Result<Answer, Refusal> {
    let row = table.row(place);
    if row.deleted {
        return Err(Refusal::no_such_resource());
    }
    let columns = columns(&table.object, call.parameter("fields").map(|names| names.split(',')))?;
    let body = to_json(&table.object, row, &columns, &call.version);
    Ok(state_of(table, place).show(Answer::json(200, body)))
}

/// What conditional headers are compared with; only rows of accounts have a tag.
fn state_of(table: &Table, place: RowId) -> State {
    let row = table.row(place);
    let stamp = table.object.find("LastModifiedDate").and_then(|(id, _)| row.values.get(&id));
    let modified = if let Some(Value::Moment(at)) = stamp { *at } else { 0 };
    // Each edit is in the history, so its length tells states apart that share a second.
    let tag =
        (table.object.name == "Account").then(|| format!("\"{}-{:x}-{:x}\"", row.id, modified, row.history.len()));
    State { modified, tag }
}

/// The field by which records are found or upserted; `Id` stands for none.
pub(super) fn key_field(table: &Table, name: &str) -> Result<Option<FieldId>, Refusal> {
    match table.object.find_visible(name) {
        Some((_, field)) if field.kind == Kind::Id => Ok(None),
        Some((id, field)) if field.external_id || field.id_lookup => Ok(Some(id)),
        _ => {
            let message = format!("Provided external ID field does not exist or is not accessible: {name}");
            Err(Refusal::new(404, "NOT_FOUND", message))
        }
    }
}

/// Live rows that hold a key as a path or a body gives it.
pub(super) fn rows_by_key(table: &Table, key: FieldId, text: &str) -> Vec<RowId> {
    let field = table.object.field(key);
    let text = text.trim();
    let value = match field.kind {
        Kind::Date => parse_date(text).map(Value::Date),
        Kind::DateTime => parse_moment(text).map(Value::Moment),
        kind if kind.is_decimal() || kind == Kind::Int => super::validate::parse_decimal(text).map(Value::Number),
        _ => Some(Value::text(text)),
    };
    value.map_or_else(Vec::new, |value| table.holders(key, &value).collect())
}

/// `GET`, `PATCH`, `DELETE sobjects/Lead/Ext__c/{value}`
pub(super) fn by_key(
    world: &mut World,
    table: TableId,
    key: &str,
    value: &str,
    call: &Call,
    writer: &Writer,
) -> Result<Answer, Refusals> {
    let Some(field) = key_field(&world.tables[table], key)? else {
        return by_id(world, table, value, call, writer);
    };
    // The end of such a path is taken for the name of a format.
    if [".inc", ".json", ".xml"].iter().any(|suffix| value.to_lowercase().ends_with(suffix)) {
        return Err(Refusal::no_such_resource().into());
    }
    let name = world.tables[table].object.field(field).name.clone();
    if call.method == Method::PATCH
        && call.object()?.keys().any(|given| given.eq_ignore_ascii_case(&name) || given.eq_ignore_ascii_case("id"))
    {
        let message = format!("The {name} field should not be specified in the sobject data.");
        return Err(Refusal::new(400, "INVALID_FIELD", message).into());
    }
    let rows = rows_by_key(&world.tables[table], field, value);
    on_rows(world, table, &rows, (name, value), call, writer).or_else(|refusals| match refusals.first() {
        // What an item of a collection calls by this name is a status of its own here.
        Some(first) if first.status == 300 => Ok(several(&world.tables[table], &rows, call)),
        _ => Err(refusals),
    })
}

/// Reads, changes, makes or deletes the one record that holds a key.
fn on_rows(
    world: &mut World,
    table: TableId,
    rows: &[RowId],
    (name, value): (String, &str),
    call: &Call,
    writer: &Writer,
) -> Result<Answer, Refusals> {
    match (rows, &call.method) {
        ([], &Method::PATCH) if call.parameter("updateOnly") != Some("true") => {
            let mut body = call.object()?.clone();
            body.insert(name, Json::String(value.to_owned()));
            let id = world.create(table, &body, writer)?;
            let location = format!("{}/{id}", describe::url(&world.tables[table].object, &call.version));
            Ok(Answer::json(201, saved(&id, Some(true))).with("Location", location))
        }
        ([], _) => Err(Refusal::no_such_resource().into()),
        ([row], &Method::PATCH) => {
            let id = Arc::clone(&world.tables[table].row(*row).id);
            world.update(table, *row, call.object()?, writer)?;
            Ok(Answer::json(200, saved(&id, Some(false))))
        }
        ([row], _) => on_row(world, table, *row, call, writer),
        (rows, _) => Ok(several(&world.tables[table], rows, call)),
    }
}

/// More than one record holds the key: the paths of all of them, and nothing was done.
fn several(table: &Table, rows: &[RowId], call: &Call) -> Answer {
    let url = describe::url(&table.object, &call.version);
    let urls: Vec<String> = rows.iter().map(|row| format!("{url}/{}", table.row(*row).id)).collect();
    Answer::json(300, json!(urls))
}
