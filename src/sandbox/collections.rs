//! sObject collections: up to 200 records in one call, each with its own result.

use std::collections::HashSet;

use http::Method;
use serde_json::{Map, Value as Json, json};

use super::error::{Refusal, Refusals};
use super::ids;
use super::records::{columns, key_field, rows_by_key, saved, to_json};
use super::schema::FieldId;
use super::table::RowId;
use super::wire::{Answer, Call};
use super::world::{TableId, World};
use super::write::Writer;

/// Records in one writing call.
const MOST: usize = 200;
/// Runs of equal type among the records of one call.
const CHUNKS: usize = 10;
/// Records in one reading call.
const MOST_READ: usize = 2_000;

/// One record's result: its item in the answer, or what was wrong with it.
struct Item {
    id: Option<String>,
    created: Option<bool>,
    result: Result<(), Refusals>,
}

/// `POST` and `PATCH composite/sobjects`
pub(super) fn write(world: &mut World, call: &Call, writer: &Writer) -> Result<Answer, Refusals> {
    let (records, all_or_none) = envelope(call)?;
    let kinds: Vec<&str> = records.iter().map(kind_of).collect();
    let chunks = 1 + kinds.windows(2).filter(|pair| !pair[0].eq_ignore_ascii_case(pair[1])).count();
    if chunks > CHUNKS {
        let message = format!("The request has {chunks} chunks of records of one type, more than {CHUNKS}");
        return Err(Refusal::new(400, "INVALID_BATCH_SIZE", message).into());
    }
    let mut seen = HashSet::new();
    Ok(run(world, &records, all_or_none, |world, record| {
        let Some(table) = world.table(kind_of(record)) else { return Item::refused(unknown_kind(kind_of(record))) };
        let mut fields = fields_of(record);
        let id = take_id(&mut fields);
        if call.method == Method::POST {
            return match id {
                Some(_) => Item::refused(Refusal::of_fields(
                    "INVALID_FIELD_FOR_INSERT_UPDATE",
                    "cannot specify Id in an insert call",
                    &["Id"],
                )),
                None => Item::created(world, table, &fields, writer, None),
            };
        }
        let Some(id) = id else {
            return Item::refused(Refusal::of_fields(
                "MISSING_ARGUMENT",
                "Id not specified in an update call",
                &["Id"],
            ));
        };
        Item::updated_by_id(world, table, &id, &fields, writer, &mut seen)
    }))
}

/// `PATCH composite/sobjects/Lead/Ext__c`
pub(super) fn upsert(
    world: &mut World,
    table: TableId,
    key: &str,
    call: &Call,
    writer: &Writer,
) -> Result<Answer, Refusals> {
    let (records, all_or_none) = envelope(call)?;
    let key_id = key_field(&world.tables[table], key)?;
    if records.iter().any(|record| !kind_of(record).eq_ignore_ascii_case(world.tables[table].object.name)) {
        let message = "The records must all be of the type named in the path";
        return Err(Refusal::new(400, "INVALID_TYPE", message).into());
    }
    let mut seen = HashSet::new();
    Ok(run(world, &records, all_or_none, |world, record| {
        let mut fields = fields_of(record);
        let Some(key_id) = key_id else {
            return match take_id(&mut fields) {
                Some(id) => {
                    Item { created: Some(false), ..Item::updated_by_id(world, table, &id, &fields, writer, &mut seen) }
                }
                None => Item::created(world, table, &fields, writer, Some(true)),
            };
        };
        Item::upserted(world, table, key_id, fields, writer, &mut seen)
    }))
}

/// `DELETE composite/sobjects?ids=…`
pub(super) fn delete(world: &mut World, call: &Call, writer: &Writer) -> Result<Answer, Refusals> {
    let ids: Vec<Json> = call
        .parameter("ids")
        .unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|id| !id.is_empty())
        .map(|id| json!(id))
        .collect();
    if ids.is_empty() {
        return Err(missing("ids").into());
    }
    check_count(ids.len())?;
    let all_or_none = call.parameter("allOrNone").is_some_and(|flag| flag.eq_ignore_ascii_case("true"));
    Ok(run(world, &ids, all_or_none, |world, id| {
        let id = id.as_str().unwrap_or_default();
        match find(world, id) {
            Ok((table, row)) => {
                let id = world.tables[table].row(row).id.to_string();
                Item { id: Some(id), created: None, result: world.delete(table, row, None, writer) }
            }
            Err(refusal) => Item::refused(refusal),
        }
    }))
}

/// `GET` and `POST composite/sobjects/Lead`: rows by id, `null` for what is not found.
pub(super) fn read(world: &World, table: TableId, call: &Call) -> Result<Answer, Refusals> {
    let listed = |name: &str| -> Result<Vec<String>, Refusal> {
        if call.method == Method::GET {
            let text = call.parameter(name).unwrap_or_default();
            return Ok(text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect());
        }
        let list = call.object()?.get(name).and_then(Json::as_array).ok_or_else(|| missing(name))?;
        list.iter().map(|item| item.as_str().map(str::to_owned).ok_or_else(|| missing(name))).collect()
    };
    let (ids, fields) = (listed("ids")?, listed("fields")?);
    for (name, list) in [("ids", &ids), ("fields", &fields)] {
        if list.is_empty() {
            return Err(missing(name).into());
        }
    }
    if ids.len() > MOST_READ {
        return Err(too_many(ids.len(), MOST_READ).into());
    }
    let table = &world.tables[table];
    let columns = columns(&table.object, Some(fields.iter().map(String::as_str)))?;
    let rows: Vec<Json> = ids
        .iter()
        .map(|id| match table.find(id).map(|row| table.row(row)).filter(|row| !row.deleted) {
            Some(row) => to_json(&table.object, row, &columns, &call.version),
            None => Json::Null,
        })
        .collect();
    Ok(Answer::json(200, json!(rows)))
}

/// Works through the records; with `all_or_none` a single failure takes everything back.
fn run(
    world: &mut World,
    records: &[Json],
    all_or_none: bool,
    mut one: impl FnMut(&mut World, &Json) -> Item,
) -> Answer {
    let (mark, outer) = (world.undo.mark(), world.undo.wanted);
    world.undo.wanted = outer || all_or_none;
    let mut items: Vec<Item> = records.iter().map(|record| one(world, record)).collect();
    if all_or_none && items.iter().any(|item| item.result.is_err()) {
        world.roll_back(mark);
        for item in items.iter_mut().filter(|item| item.result.is_ok()) {
            let message =
                "Record rolled back because not all records were valid and the request was using AllOrNone header";
            item.result = Err(Refusal::of_fields("ALL_OR_NONE_OPERATION_ROLLED_BACK", message, &[]).into());
        }
    }
    world.undo.wanted = outer;
    Answer::json(200, items.into_iter().map(Item::into_json).collect::<Vec<_>>().into())
}

impl Item {
    fn refused(refusal: Refusal) -> Self {
        Self { id: None, created: None, result: Err(refusal.into()) }
    }

    fn created(
        world: &mut World,
        table: TableId,
        fields: &Map<String, Json>,
        writer: &Writer,
        created: Option<bool>,
    ) -> Self {
        match world.create(table, fields, writer) {
            Ok(id) => Self { id: Some(id.to_string()), created, result: Ok(()) },
            Err(refusals) => Self { id: None, created, result: Err(refusals) },
        }
    }

    fn updated_by_id(
        world: &mut World,
        table: TableId,
        id: &str,
        fields: &Map<String, Json>,
        writer: &Writer,
        seen: &mut HashSet<String>,
    ) -> Self {
        match find(world, id) {
            Ok((found, _)) if found != table => Self::refused(malformed(id)),
            Ok((_, row)) => {
                let id = world.tables[table].row(row).id.to_string();
                if !seen.insert(id.clone()) {
                    return Self::refused(Refusal::of_fields(
                        "DUPLICATE_VALUE",
                        format!("Duplicate id specified: {id}"),
                        &["Id"],
                    ));
                }
                Self { result: world.update(table, row, fields, writer), id: Some(id), created: None }
            }
            Err(refusal) => Self::refused(refusal),
        }
    }

    fn upserted(
        world: &mut World,
        table: TableId,
        key: FieldId,
        mut fields: Map<String, Json>,
        writer: &Writer,
        seen: &mut HashSet<String>,
    ) -> Self {
        let field = world.tables[table].object.field(key);
        let (name, case_sensitive) = (field.name.clone(), field.case_sensitive);
        let text =
            fields.iter().find(|(given, _)| given.eq_ignore_ascii_case(&name)).and_then(|(_, value)| match value {
                Json::String(text) => Some(text.trim().to_owned()),
                Json::Number(number) => Some(number.to_string()),
                _ => None,
            });
        let Some(text) = text.filter(|text| !text.is_empty()) else {
            return Self::refused(Refusal::of_fields("MISSING_ARGUMENT", format!("{name} not specified"), &[]));
        };
        if take_id(&mut fields).is_some() {
            let message = "cannot specify Id in an upsert by external id";
            return Self::refused(Refusal::of_fields("INVALID_FIELD_FOR_INSERT_UPDATE", message, &["Id"]));
        }
        if !seen.insert(if case_sensitive { text.clone() } else { text.to_lowercase() }) {
            return Self::refused(Refusal::of_fields(
                "DUPLICATE_VALUE",
                format!("Duplicate external id specified: {text}"),
                &[&name],
            ));
        }
        match rows_by_key(&world.tables[table], key, &text).as_slice() {
            [] => Self::created(world, table, &fields, writer, Some(true)),
            [row] => {
                let id = world.tables[table].row(*row).id.to_string();
                Self { result: world.update(table, *row, &fields, writer), id: Some(id), created: Some(false) }
            }
            several => {
                let message =
                    format!("{name}: more than one record found for external id field: {} records", several.len());
                Self::refused(Refusal::of_fields("DUPLICATE_EXTERNAL_ID", message, &[&name]))
            }
        }
    }

    fn into_json(self) -> Json {
        match (self.result, self.id) {
            (Ok(()), id) => saved(id.as_deref().unwrap_or_default(), self.created),
            (Err(refusals), id) => {
                let mut item = json!({
                    "success": false,
                    "errors": refusals.iter().map(Refusal::as_item_error).collect::<Vec<_>>(),
                });
                if let Some(id) = id {
                    item["id"] = json!(id);
                }
                if let Some(created) = self.created {
                    item["created"] = json!(created);
                }
                item
            }
        }
    }
}

fn envelope(call: &Call) -> Result<(Vec<Json>, bool), Refusal> {
    let body = call.object()?;
    let records = body.get("records").and_then(Json::as_array).ok_or_else(|| missing("records"))?;
    if !records.iter().all(Json::is_object) {
        return Err(Refusal::json(
            "Cannot deserialize instance of sobject from a value that is no object at [line:1, column:1]",
        ));
    }
    check_count(records.len())?;
    let all_or_none = match body.get("allOrNone") {
        None | Some(Json::Null) => false,
        Some(Json::Bool(flag)) => *flag,
        Some(_) => {
            return Err(Refusal::json("Cannot deserialize instance of boolean for allOrNone at [line:1, column:1]"));
        }
    };
    Ok((records.clone(), all_or_none))
}

fn check_count(count: usize) -> Result<(), Refusal> {
    if count > MOST { Err(too_many(count, MOST)) } else { Ok(()) }
}

fn too_many(count: usize, most: usize) -> Refusal {
    Refusal::new(
        400,
        "EXCEEDED_ID_LIMIT",
        format!("record limit reached. cannot submit more than {most} records in this call: {count}"),
    )
}

fn missing(name: &str) -> Refusal {
    Refusal::new(400, "REQUIRED_FIELD_MISSING", format!("The required field {name} is missing"))
}

fn kind_of(record: &Json) -> &str {
    record.pointer("/attributes/type").and_then(Json::as_str).unwrap_or_default()
}

fn unknown_kind(kind: &str) -> Refusal {
    Refusal::of_fields("INVALID_TYPE", format!("sObject type '{kind}' is not supported."), &[])
}

fn malformed(id: &str) -> Refusal {
    Refusal::of_fields("MALFORMED_ID", format!("malformed id {id}"), &[])
}

fn fields_of(record: &Json) -> Map<String, Json> {
    record.as_object().cloned().unwrap_or_default()
}

/// Takes the record's id out of its fields; null counts as none.
fn take_id(fields: &mut Map<String, Json>) -> Option<String> {
    let name = fields.keys().find(|name| name.eq_ignore_ascii_case("id"))?.clone();
    match fields.remove(&name) {
        None | Some(Json::Null) => None,
        Some(Json::String(id)) => Some(id),
        Some(other) => Some(other.to_string()),
    }
}

fn find(world: &World, id: &str) -> Result<(TableId, RowId), Refusal> {
    let canonical = ids::canonical(id).ok_or_else(|| malformed(id))?;
    let table = world.table_of(&canonical).ok_or_else(|| malformed(id))?;
    match world.tables[table].find(&canonical) {
        Some(row) => Ok((table, row)),
        None => Err(Refusal::of_fields("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", &[])),
    }
}
