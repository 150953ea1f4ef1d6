//! The control API under `/_sandbox`: what tests and demonstrations order, and what they look at.
//!
//! | call | does |
//! | --- | --- |
//! | `POST faults` | replaces the rules ([`Plan`]); `DELETE faults` clears them |
//! | `GET records?object=&id=&deleted=true` | records with their history, deleted ones only if asked for |
//! | `POST records`, `PATCH records/{id}` | makes and edits as a person; `IsConverted` and its kin may be set |
//! | `DELETE records/{id}?merged_into=` | deletes as a person, or as the loser of a merge |
//! | `POST convert` | converts a lead as a person: `{"id", "account_id", "contact_id", "opportunity": false}` |
//! | `POST merge` | merges as a person: `{"master", "losers": [one or two]}` |
//! | `POST undelete` | takes a record out of the recycle bin: `{"id"}` |
//! | `POST duplicate-rules` | replaces the active rules ([`super::duplicates::DuplicatePlan`]); an empty list ends them |
//! | `POST features` | switches options of the org: `{"state_and_country_picklists": true}` |
//! | `GET stats`, `GET requests` | counters, faults that struck; what was asked, and how many records it wrote |
//! | `POST fields`, `DELETE fields` | adds or changes a field; removes or hides one |
//! | `POST limits` | `{"max", "used_by_others"}`: the org's calls in 24 hours |
//! | `POST expire_tokens`, `POST reset` | ends all sessions; begins anew with default limits |

use http::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json, json};

use super::convert::Conversion;
use super::error::{Refusal, Refusals};
use super::faults::{Faults, Plan};
use super::fields;
use super::table::{Edit, Row, RowId, Table};
use super::value::now;
use super::wire::Answer;
use super::world::{TableId, World};
use super::write::Writer;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewRecord {
    object: String,
    fields: Map<String, Json>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EditedRecord {
    fields: Map<String, Json>,
}

/// `POST /_sandbox/convert`: what is not named is made, the opportunity only if it is wanted.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WantedConversion {
    id: String,
    account_id: Option<String>,
    contact_id: Option<String>,
    #[serde(default = "yes")]
    opportunity: bool,
    opportunity_name: Option<String>,
    owner_id: Option<String>,
    #[serde(default)]
    overwrite_lead_source: bool,
}

fn yes() -> bool {
    true
}

impl From<WantedConversion> for Conversion {
    fn from(wanted: WantedConversion) -> Self {
        Self {
            lead: wanted.id,
            account: wanted.account_id,
            contact: wanted.contact_id,
            opportunity_name: wanted.opportunity_name,
            without_opportunity: !wanted.opportunity,
            owner: wanted.owner_id,
            overwrite_lead_source: wanted.overwrite_lead_source,
            ..Self::default()
        }
    }
}

/// `POST /_sandbox/merge`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WantedMerge {
    master: String,
    losers: Vec<String>,
}

/// `POST /_sandbox/undelete`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WantedBack {
    id: String,
}

/// `POST /_sandbox/features`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Features {
    state_and_country_picklists: Option<bool>,
}

/// `POST /_sandbox/limits`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Limits {
    /// Calls that the org allows in 24 hours.
    max: Option<u64>,
    /// Calls that other programs have used of it.
    used_by_others: Option<u64>,
}

/// Answers one control request; `path` is what follows `/_sandbox/`.
pub(super) fn answer(world: &mut World, method: &Method, path: &str, query: &str, body: &[u8]) -> Answer {
    let parameters: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let parameter = |name: &str| parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let parts: Vec<&str> = path.trim_end_matches('/').split('/').collect();
    let answer = match parts.as_slice() {
        ["records"] => all_records(world, method, parameter, body),
        ["records", id] => one_record(world, method, id, parameter("merged_into"), body),
        ["fields"] if method == Method::DELETE && body.is_empty() => {
            order(world, method, &parts, &as_body(&parameters))
        }
        parts => order(world, method, parts, body),
    };
    answer.unwrap_or_else(|refusals| Answer::refused(&refusals))
}

fn all_records<'p>(
    world: &mut World,
    method: &Method,
    parameter: impl Fn(&str) -> Option<&'p str>,
    body: &[u8],
) -> Result<Answer, Refusals> {
    match *method {
        Method::GET => {
            Ok(list_records(world, parameter("object"), parameter("id"), parameter("deleted") == Some("true"))?)
        }
        Method::POST => {
            let wanted: NewRecord = read(body)?;
            let table = find_object(world, &wanted.object)?;
            let id = world.create(table, &wanted.fields, &Writer::person(now()))?;
            Ok(Answer::json(201, json!({ "id": &*id, "object": world.tables[table].object.name })))
        }
        _ => Err(Refusal::method_not_allowed(method).into()),
    }
}

fn one_record(
    world: &mut World,
    method: &Method,
    id: &str,
    merged_into: Option<&str>,
    body: &[u8],
) -> Result<Answer, Refusals> {
    match *method {
        Method::GET => {
            let (table, row) = find_record(world, id)?;
            Ok(shown(world, table, row))
        }
        Method::PATCH => {
            let edited: EditedRecord = read(body)?;
            let (table, row) = find_record(world, id)?;
            world.update(table, row, &edited.fields, &Writer::person(now()))?;
            Ok(shown(world, table, row))
        }
        Method::DELETE => {
            let (table, row) = find_record(world, id)?;
            let winner = merged_into.map(|winner| find_record(world, winner)).transpose()?;
            let winner = winner.map(|(table, row)| world.tables[table].row(row).id.to_string());
            world.delete(table, row, winner.as_deref(), &Writer::person(now()))?;
            Ok(done())
        }
        _ => Err(Refusal::method_not_allowed(method).into()),
    }
}

/// A field that is to go, named in the query.
fn as_body(parameters: &[(String, String)]) -> Vec<u8> {
    let value = |(name, text): &(String, String)| {
        let value = if name == "hide" { json!(text == "true") } else { json!(text) };
        (name.clone(), value)
    };
    let asked: Map<String, Json> = parameters.iter().map(value).collect();
    json!(asked).to_string().into_bytes()
}

/// What is no record of its own.
fn order(world: &mut World, method: &Method, parts: &[&str], body: &[u8]) -> Result<Answer, Refusals> {
    match (method, parts) {
        (&Method::POST, ["faults"]) => {
            world.faults = Faults::new(read::<Plan>(body)?).map_err(invalid)?;
        }
        (&Method::DELETE, ["faults"]) => world.faults = Faults::none(),
        (&Method::POST, ["convert"]) => {
            let made = world.convert(&read::<WantedConversion>(body)?.into(), &Writer::person(now()))?;
            return Ok(Answer::json(
                200,
                json!({ "account_id": made.account, "contact_id": made.contact, "opportunity_id": made.opportunity }),
            ));
        }
        (&Method::POST, ["merge"]) => {
            let wanted: WantedMerge = read(body)?;
            let moved = world.merge(&wanted.master, &wanted.losers, &Writer::person(now()))?;
            return Ok(Answer::json(200, json!({ "master": wanted.master, "moved": moved })));
        }
        (&Method::POST, ["undelete"]) => {
            let wanted: WantedBack = read(body)?;
            let (table, row) = find_record(world, &wanted.id)?;
            world.undelete(table, row, &Writer::person(now()))?;
            return Ok(shown(world, table, row));
        }
        (&Method::POST, ["features"]) => {
            let features: Features = read(body)?;
            if let Some(on) = features.state_and_country_picklists {
                world.set_places(on);
            }
        }
        (&Method::POST, ["duplicate-rules"]) => world.set_duplicate_rules(read(body)?).map_err(invalid)?,
        (&Method::GET, ["stats"]) => return Ok(Answer::json(200, world.stats())),
        (&Method::GET, ["requests"]) => return Ok(Answer::json(200, world.requests.to_json())),
        (&Method::POST, ["fields"]) => return Ok(fields::add(world, read(body)?)?),
        (&Method::DELETE, ["fields"]) => return Ok(fields::remove(world, &read(body)?)?),
        (&Method::POST, ["limits"]) => {
            let limits: Limits = read(body)?;
            world.usage.max = limits.max.unwrap_or(world.usage.max);
            world.usage.others = limits.used_by_others.unwrap_or(world.usage.others);
        }
        (&Method::POST, ["expire_tokens"]) => {
            return Ok(Answer::json(200, json!({ "expired": world.sessions.expire() })));
        }
        (&Method::POST, ["reset"]) => world.reset(),
        (
            _,
            [
                "faults" | "stats" | "requests" | "fields" | "limits" | "expire_tokens" | "reset" | "convert" | "merge"
                | "undelete" | "duplicate-rules" | "features",
            ],
        ) => return Err(Refusal::method_not_allowed(method).into()),
        _ => return Err(Refusal::no_such_resource().into()),
    }
    Ok(done())
}

fn done() -> Answer {
    Answer::json(200, json!({ "ok": true }))
}

fn shown(world: &World, table: TableId, row: RowId) -> Answer {
    Answer::json(200, show(&world.tables[table], world.tables[table].row(row)))
}

fn list_records(world: &World, object: Option<&str>, id: Option<&str>, deleted: bool) -> Result<Answer, Refusal> {
    if let Some(id) = id {
        let (table, row) = find_record(world, id)?;
        return Ok(Answer::json(200, json!({ "items": [show(&world.tables[table], world.tables[table].row(row))] })));
    }
    let only = object.map(|name| find_object(world, name)).transpose()?;
    let items: Vec<Json> = world
        .tables
        .iter()
        .enumerate()
        .filter(|(place, table)| only.map_or(!table.object.setup, |only| only == *place))
        .flat_map(|(_, table)| table.rows().iter().map(move |row| (table, row)))
        .filter(|(_, row)| deleted || !row.deleted)
        .map(|(table, row)| show(table, row))
        .collect();
    Ok(Answer::json(200, json!({ "items": items })))
}

/// A record with all fields that have a value, hidden ones too, and everything that was ever done to it.
fn show(table: &Table, row: &Row) -> Json {
    let fields: Map<String, Json> = table
        .object
        .live()
        .filter_map(|(id, field)| Some((field.name.clone(), row.values.get(&id)?.to_json(field.kind))))
        .collect();
    let edit = |edit: &Edit| {
        let changes: Map<String, Json> = edit
            .changes
            .iter()
            .map(|(id, value)| {
                let field = table.object.field(*id);
                (field.name.clone(), value.as_ref().map_or(Json::Null, |value| value.to_json(field.kind)))
            })
            .collect();
        json!({ "at": edit.at.to_string(), "by": edit.by.name(), "changes": changes, "request": edit.request.as_deref() })
    };
    let history: Vec<Json> = row.history.iter().map(edit).collect();
    json!({ "id": &*row.id, "object": table.object.name, "deleted": row.deleted, "fields": fields, "history": history })
}

fn find_object(world: &World, name: &str) -> Result<TableId, Refusal> {
    world.table(name).ok_or_else(|| invalid(format!("there is no object {name}")))
}

fn find_record(world: &World, id: &str) -> Result<(TableId, RowId), Refusal> {
    world.find_record(id).ok_or_else(Refusal::no_such_resource)
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|err| invalid(err.to_string()))
}

fn invalid(message: String) -> Refusal {
    Refusal::new(400, "INVALID_INPUT", message)
}
