//! The REST resources: which path leads to what.

use http::Method;
use serde_json::{Value as Json, json};

use super::conditions::{self, State};
use super::describe;
use super::error::{Refusal, Refusals};
use super::query;
use super::soql::{self, Selection};
use super::wire::{Answer, Call, versions};
use super::world::{Cursor, World};
use super::write::Writer;
use super::{collections, composite, records, tooling};

/// Rows on a page.
const PAGE: std::ops::RangeInclusive<usize> = 200..=2_000;

/// Executes one request, whatever it came in.
pub(super) fn answer(world: &mut World, call: &Call, writer: &Writer) -> Answer {
    // The envelope of a composite is no resource of its own.
    if call.segments.last().is_none_or(|last| last != "composite")
        && let Some(refusal) = world.faults.part(&writer.method, &call.target, call.asks_to_write())
    {
        return Answer::refused(&[refusal]);
    }
    route(world, call, writer).unwrap_or_else(|refusals| Answer::refused(&refusals))
}

/// Whether assignment rules run: the header's default is that they do.
pub(super) fn assigns(call: &Call) -> bool {
    call.header("sforce-auto-assign").is_none_or(|value| !value.eq_ignore_ascii_case("false"))
}

/// What a request is counted under; from a closed set, whatever clients send.
pub(super) fn endpoint(world: &World, call: &Call) -> String {
    let parts: Vec<&str> = call.segments.iter().map(String::as_str).collect();
    let object = |name: &str| world.table(name).map_or("{object}", |table| world.tables[table].object.name);
    match parts.as_slice() {
        [] => "resources".to_owned(),
        [only @ ("limits" | "query" | "queryAll" | "sobjects" | "composite")] => (*only).to_owned(),
        [first @ ("query" | "queryAll"), _] => format!("{first}/{{locator}}"),
        ["sobjects", name] => format!("sobjects/{}", object(name)),
        ["sobjects", name, "describe"] => format!("sobjects/{}/describe", object(name)),
        ["sobjects", name, _] => format!("sobjects/{}/{{id}}", object(name)),
        ["sobjects", name, _, _] => format!("sobjects/{}/{{field}}/{{value}}", object(name)),
        ["composite", "sobjects"] => "composite/sobjects".to_owned(),
        ["composite", "sobjects", name] => format!("composite/sobjects/{}", object(name)),
        ["composite", "sobjects", name, _] => format!("composite/sobjects/{}/{{field}}", object(name)),
        ["tooling", "query"] => "tooling/query".to_owned(),
        ["tooling", "composite"] => "tooling/composite".to_owned(),
        ["tooling", "sobjects", "CustomField", ..] => "tooling/sobjects/CustomField".to_owned(),
        _ => "other".to_owned(),
    }
}

/// `GET /services/data`, which needs no token.
pub(super) fn list_versions() -> Json {
    let label = |version: u32| {
        let (season, year) = match version % 3 {
            2 => ("Winter", (version - 62) / 3 + 25),
            0 => ("Spring", (version - 63) / 3 + 25),
            _ => ("Summer", (version - 64) / 3 + 25),
        };
        format!("{season} '{year}")
    };
    versions()
        .map(|version| {
            let label = if version >= 62 { label(version) } else { format!("Version {version}") };
            json!({ "version": format!("{version}.0"), "url": format!("/services/data/v{version}.0"), "label": label })
        })
        .collect()
}

fn route(world: &mut World, call: &Call, writer: &Writer) -> Result<Answer, Refusals> {
    let parts: Vec<&str> = call.segments.iter().map(String::as_str).collect();
    let object = |world: &World, name: &str| world.table(name).ok_or_else(Refusal::no_such_resource);
    match (&call.method, parts.as_slice()) {
        (&Method::GET, []) => Ok(Answer::json(200, resources(&call.version))),
        (&Method::GET, ["limits"]) => Ok(Answer::json(200, limits(world))),
        (&Method::GET, [name @ ("query" | "queryAll")]) => Ok(run_query(world, call, *name == "queryAll")?),
        (&Method::GET, [name @ ("query" | "queryAll"), locator]) => Ok(next_page(world, call, name, locator)?),
        (&Method::GET, ["sobjects"]) => {
            let changed_at = world.tables.iter().map(|table| table.object.changed_at).max().unwrap_or_default();
            let all = || -> Vec<Json> {
                world.tables.iter().map(|table| describe::summary(&table.object, &call.version)).collect()
            };
            let body = || json!({ "encoding": "UTF-8", "maxBatchSize": 200, "sobjects": all() });
            Ok(described(changed_at, call, body)?)
        }
        (&Method::GET, ["sobjects", name]) => {
            let table = object(world, name)?;
            let summary = describe::summary(&world.tables[table].object, &call.version);
            Ok(Answer::json(200, json!({ "objectDescribe": summary, "recentItems": [] })))
        }
        (&Method::POST, ["sobjects", name]) => {
            let table = object(world, name)?;
            records::create(world, table, call, writer)
        }
        (&Method::GET, ["sobjects", name, "describe"]) => {
            let object = &world.tables[object(world, name)?].object;
            Ok(described(object.changed_at, call, || describe::object(object, &call.version))?)
        }
        (&Method::POST, ["sobjects", name, "Id" | "id"]) => {
            let table = object(world, name)?;
            records::create(world, table, call, writer)
        }
        (_, ["sobjects", name, id]) => {
            let table = object(world, name)?;
            records::by_id(world, table, id, call, writer)
        }
        (_, ["sobjects", name, key, value]) => {
            let table = object(world, name)?;
            records::by_key(world, table, key, value, call, writer)
        }
        (_, ["tooling", below @ ..]) => tooling::route(world, call, below, writer),
        (&Method::POST, ["composite"]) => composite::run(world, call, writer),
        (&Method::POST | &Method::PATCH, ["composite", "sobjects"]) => collections::write(world, call, writer),
        (&Method::DELETE, ["composite", "sobjects"]) => collections::delete(world, call, writer),
        (&Method::GET | &Method::POST, ["composite", "sobjects", name]) => {
            collections::read(world, object(world, name)?, call)
        }
        (&Method::PATCH, ["composite", "sobjects", name, key]) => {
            let table = object(world, name)?;
            collections::upsert(world, table, key, call, writer)
        }
        (
            method,
            ["limits" | "query" | "queryAll" | "sobjects" | "composite"]
            | ["sobjects", _]
            | ["composite", "sobjects", ..],
        ) => Err(Refusal::method_not_allowed(method).into()),
        _ => Err(Refusal::no_such_resource().into()),
    }
}

fn resources(version: &str) -> Json {
    let base = format!("/services/data/{version}");
    json!({
        "sobjects": format!("{base}/sobjects"), "query": format!("{base}/query"), "queryAll": format!("{base}/queryAll"),
        "limits": format!("{base}/limits"), "tooling": format!("{base}/tooling"), "composite": format!("{base}/composite"),
    })
}

fn limits(world: &World) -> Json {
    let left = world.usage.max.saturating_sub(world.usage.used());
    json!({
        "DailyApiRequests": { "Max": world.usage.max, "Remaining": left },
        "DailyBulkApiBatches": { "Max": 15_000, "Remaining": 15_000 },
        "DailyBulkV2QueryJobs": { "Max": 10_000, "Remaining": 10_000 },
        "DailyDeliveredPlatformEvents": { "Max": 10_000, "Remaining": 10_000 },
        "DataStorageMB": { "Max": 1_024, "Remaining": 1_000 },
        "FileStorageMB": { "Max": 1_024, "Remaining": 1_024 },
    })
}

/// A description and when it last changed; a 304 to whom knows it.
fn described(changed_at: i64, call: &Call, body: impl FnOnce() -> Json) -> Result<Answer, Refusal> {
    let state = State { modified: changed_at, tag: None };
    match conditions::judge(&state, call)? {
        Some(known) => Ok(known),
        None => Ok(state.show(Answer::json(200, body()))),
    }
}

fn run_query(world: &mut World, call: &Call, all: bool) -> Result<Answer, Refusal> {
    let statement = call.parameter("q").ok_or_else(|| {
        Refusal::new(400, "MALFORMED_QUERY", "SOQL statement is missing: the parameter q is required")
    })?;
    let query = soql::parse(statement)?;
    let table = world.table(&query.from.text).ok_or_else(|| {
        let message = format!(
            "sObject type '{}' is not supported. If you are attempting to use a custom object, be sure to append the '__c' after the \
             entity name. Please reference your WSDL or the describe call for the appropriate names.",
            query.from.text
        );
        Refusal::new(400, "INVALID_TYPE", soql::pointed(statement, query.from.at, &message))
    })?;
    let selected = query::select(&world.tables[table], &query, statement, all)?;
    let Some(fields) = selected.fields else {
        debug_assert_eq!(query.select, Selection::Count);
        return Ok(Answer::json(200, json!({ "totalSize": selected.rows.len(), "done": true, "records": [] })));
    };
    let batch = call
        .header("sforce-query-options")
        .and_then(|options| options.split([',', ';']).find_map(|option| option.trim().strip_prefix("batchSize=")))
        .and_then(|size| size.trim().parse::<usize>().ok())
        .map_or(*PAGE.end(), |size| size.clamp(*PAGE.start(), *PAGE.end()));
    let more = selected.rows.len() > batch;
    let cursor = Cursor { table, fields, rows: selected.rows, batch };
    let mut body = page(world, &cursor, 0, &call.version);
    if more {
        let number = world.cursors.add(cursor);
        let name = if all { "queryAll" } else { "query" };
        body["nextRecordsUrl"] = json!(next_url(&call.version, name, number, batch));
    }
    Ok(Answer::json(200, body))
}

fn next_url(version: &str, name: &str, number: u64, offset: usize) -> String {
    format!("/services/data/{version}/{name}/01g5e{number:013}-{offset}")
}

fn next_page(world: &World, call: &Call, name: &str, locator: &str) -> Result<Answer, Refusal> {
    let dead = || Refusal::new(400, "INVALID_QUERY_LOCATOR", "invalid query locator");
    let (number, offset) = locator.strip_prefix("01g5e").and_then(|rest| rest.split_once('-')).ok_or_else(dead)?;
    let (number, offset) = (number.parse::<u64>().map_err(|_| dead())?, offset.parse::<usize>().map_err(|_| dead())?);
    let cursor = world.cursors.get(number).filter(|cursor| offset < cursor.rows.len()).ok_or_else(dead)?;
    let mut body = page(world, cursor, offset, &call.version);
    let next = offset + cursor.batch;
    if next < cursor.rows.len() {
        body["nextRecordsUrl"] = json!(next_url(&call.version, name, number, next));
    }
    Ok(Answer::json(200, body))
}

fn page(world: &World, cursor: &Cursor, offset: usize, version: &str) -> Json {
    let table = &world.tables[cursor.table];
    let rows: Vec<Json> = cursor
        .rows
        .iter()
        .skip(offset)
        .take(cursor.batch)
        .filter_map(|row| table.rows().get(*row))
        .map(|row| records::to_json(&table.object, row, &cursor.fields, version))
        .collect();
    let done = cursor.rows.len() <= offset + cursor.batch;
    json!({ "totalSize": cursor.rows.len(), "done": done, "records": rows })
}
