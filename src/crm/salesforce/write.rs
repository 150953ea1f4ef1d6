//! Writing: one composite call that creates, changes and reads back, and a result for each record.
//!
//! A composite resolves `@{creates[0].id}` inside the values of its parts, and there is no way to quote it. A record
//! with such a text would fail its whole collection, or get a stranger's ID for a value. It travels in a plain collection,
//! which resolves nothing, beside the composite; what was written of it is read with the next lookup.
//!
//! Collections know no conditions, and do not tell what a duplicate rule found. An update that holds only while its record is
//! as it was read, and a record of which a person is to be told what the rule found, are parts of their own in the
//! composite; the first ones cost no call of their own. With a text that looks like a reference each is a call of its own.

mod parts;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures_util::future::join_all;
use http::Method;
use serde::Serialize;
use serde_json::Value as Json;
use serde_json::value::{RawValue, to_raw_value};

use self::parts::{Part, names_its_owner, own_fields};
use super::rows::{Reader, text};
use super::soql::{self, Key};
use super::transport::{Answer, Outgoing, SendError};
use super::wire::{self, CompositeAnswer, CompositeRequest, QueryPage, Row, Subanswer, Subrequest, full_id};
use super::{Salesforce, classify};
use crate::crm::{CrmError, MAX_WRITES, OnDuplicate, RecordWrite, WriteRequest, WriteResult};
use crate::domain::ids::{ObjectName, RecordId};
use crate::domain::record::{CrmRecord, CrmValue};

/// Parts that one composite may hold.
const PARTS_PER_CALL: usize = 25;
/// Of these, queries and collections.
const WIDE_PARTS_PER_CALL: usize = 5;
/// Of the others, records that travel alone.
const MOST_ALONE: usize = PARTS_PER_CALL - WIDE_PARTS_PER_CALL;
/// Records that travel alone in a call that holds nothing else: people are of two kinds, and each is read back by a query.
const ALONE_PER_CALL: usize = PARTS_PER_CALL - 2;
/// As much of an answer that is no JSON as the sync log keeps.
const LONGEST_TEXT_KEPT: usize = 4_000;

/// Carries out the writes, in one call unless a text looks like a reference or more travel alone than have room, and one for
/// the deletes; one result each, in the order given.
pub(super) async fn write(crm: &Salesforce, request: &WriteRequest) -> Vec<WriteResult> {
    let saved = |write: &RecordWrite| write.duplicates == OnDuplicate::Save;
    // Five collections have room in one composite; of six kinds this is the rarest.
    let some_are_saved = request.writes.iter().any(saved) && !request.writes.iter().all(saved);
    let is_apart = |write: &RecordWrite| {
        let saved_among_others = some_are_saved && write.id.is_some() && saved(write);
        !travels_alone(write) && (write.delete || saved_among_others || has_a_reference(write))
    };
    let alone = request.writes.iter().enumerate().filter(|(_, write)| travels_alone(write));
    let (called, alone): (Vec<_>, Vec<_>) = alone.partition(|(_, write)| has_a_reference(write));
    let called: Vec<usize> = called.into_iter().map(|(place, _)| place).collect();
    // In the first call there is room beside the others.
    let surplus: Vec<usize> = alone.into_iter().map(|(place, _)| place).skip(MOST_ALONE).collect();
    if called.is_empty() && surplus.is_empty() && !request.writes.iter().any(is_apart) {
        return write_share(crm, request, Way::Composite).await;
    }
    let waits = |place: usize| called.contains(&place) || surplus.contains(&place);
    let first = share(request, |place, write| !is_apart(write) && !waits(place));
    let mut shares = vec![(first, Way::Composite)];
    for saves in [false, true] {
        let belongs = |write: &RecordWrite| is_apart(write) && !write.delete && saved(write) == saves;
        for owned in [false, true] {
            let creates =
                |_, write: &RecordWrite| belongs(write) && write.id.is_none() && names_its_owner(write) == owned;
            let (places, request) = share(request, creates);
            let auto_assign = request.auto_assign && !owned;
            shares.push(((places, WriteRequest { auto_assign, ..request }), Way::Collection(Method::POST)));
        }
        let updates = share(request, |_, write| belongs(write) && write.id.is_some());
        shares.push((updates, Way::Collection(Method::PATCH)));
    }
    shares.push((share(request, |_, write| write.delete), Way::Collection(Method::DELETE)));
    // At once, so that all of it takes no longer than one call may.
    let sent = shares.into_iter().map(|((places, request), way)| async move {
        let results = write_share(crm, &request, way).await;
        places.into_iter().zip(results)
    });
    let mut results: BTreeMap<usize, WriteResult> = join_all(sent).await.into_iter().flatten().collect();
    // One after the other: a batch is one call in flight. What would be too late is not sent.
    let composites = surplus.chunks(ALONE_PER_CALL).map(|chunk| (chunk, Way::Composite));
    let calls = called.chunks(1).map(|chunk| (chunk, Way::Call));
    for (chunk, way) in composites.chain(calls) {
        let (places, request) = share(request, |place, _| chunk.contains(&place));
        results.extend(places.into_iter().zip(write_share(crm, &request, way).await));
    }
    results.into_values().collect()
}

/// Whether it travels in no collection: it holds only while its record is as it was read, or is to be explained.
fn travels_alone(write: &RecordWrite) -> bool {
    !write.delete && (condition(write).is_some() || write.duplicates.explains())
}

/// The condition of an update, as the header says it.
fn condition(write: &RecordWrite) -> Option<String> {
    let since = write.unmodified_since.filter(|_| write.id.is_some() && !write.delete)?;
    wire::header_date(since)
}

/// Whether a composite would take a part of a value for a reference to an answer.
fn has_a_reference(write: &RecordWrite) -> bool {
    write.fields.values().any(|value| match value {
        CrmValue::Text(text) => text.contains("@{"),
        CrmValue::Choices(choices) => choices.iter().any(|choice| choice.contains("@{")),
        CrmValue::Null | CrmValue::Number(_) | CrmValue::Boolean(_) | CrmValue::Date(_) | CrmValue::DateTime(_) => {
            false
        }
    })
}

/// The writes that belong together, with their places in the request.
fn share(request: &WriteRequest, belongs: impl Fn(usize, &RecordWrite) -> bool) -> (Vec<usize>, WriteRequest) {
    let writes = request.writes.iter().enumerate().filter(|(place, write)| belongs(*place, write));
    let (places, writes) = writes.map(|(place, write)| (place, write.clone())).unzip();
    (places, WriteRequest { writes, ..request.clone() })
}

/// How writes travel.
enum Way {
    Composite,
    /// All of them creates, all updates, or all deletes.
    Collection(Method),
    /// One record that travels alone.
    Call,
}

async fn write_share(crm: &Salesforce, request: &WriteRequest, way: Way) -> Vec<WriteResult> {
    if request.writes.is_empty() {
        return Vec::new();
    }
    let records: Vec<Row> = request.writes.iter().map(record_json).collect();
    let attempted = match way {
        Way::Composite => attempt(crm, request, &records).await,
        Way::Collection(method) => attempt_plain(crm, request, &records, method).await,
        Way::Call => attempt_alone(crm, request, &records).await,
    };
    match attempted {
        Ok(results) => results,
        Err(WholeFailure { error, response }) => {
            let error = classify::of_the_whole(error, request.writes.len());
            let result = |(write, record)| WriteResult {
                outcome: Err(error.clone()),
                request: request_text(crm, write, record),
                response: response.clone(),
            };
            request.writes.iter().zip(&records).map(result).collect()
        }
    }
}

/// What befell all records at once.
struct WholeFailure {
    error: CrmError,
    response: String,
}

impl From<CrmError> for WholeFailure {
    fn from(error: CrmError) -> Self {
        Self { error, response: String::new() }
    }
}

async fn attempt(crm: &Salesforce, request: &WriteRequest, records: &[Row]) -> Result<Vec<WriteResult>, WholeFailure> {
    if request.writes.len() > MAX_WRITES {
        return Err(CrmError::Collateral { code: "TOO_MANY_RECORDS".into() }.into());
    }
    let objects: BTreeSet<&ObjectName> = request.writes.iter().map(|write| &write.object).collect();
    let known = crm.known_objects(&objects).await?;
    let session = crm.transport.session().await?;
    let readers: Vec<Reader<'_>> = objects
        .into_iter()
        .map(|object| Reader::new(object, &request.reading, &known, session.user.as_ref()))
        .collect();

    let written = Part::all(request);
    let mut parts: Vec<Subrequest<'_>> = written.iter().map(|part| part.subrequest(crm, request, records)).collect();
    let read_back = read_back_queries(&readers, request);
    let wide = written.iter().filter(|part| !part.is_alone).count();
    let room = WIDE_PARTS_PER_CALL.saturating_sub(wide).min(PARTS_PER_CALL.saturating_sub(written.len()));
    parts.extend(read_back.iter().take(room).enumerate().map(|(place, (_, soql))| Subrequest {
        method: "GET",
        url: soql::query_path(&crm.root, soql),
        reference_id: format!("read{place}"),
        http_headers: BTreeMap::new(),
        body: None,
    }));

    let outgoing = Outgoing {
        method: Method::POST,
        json: Some(super::to_bytes(&CompositeRequest::in_order(parts))?),
        request_id: Some(request.request_id.clone()),
        send_until: Some(request.send_until),
        ..Outgoing::get("composite", format!("{}/composite", crm.root))
    };
    let answer = crm.transport.send(&outgoing).await.map_err(SendError::of_a_write)?;
    if answer.status != 200 {
        return Err(WholeFailure { error: whole_error(&answer), response: response_text(answer.status, &answer.body) });
    }
    let Ok(composite) = serde_json::from_slice::<CompositeAnswer>(&answer.body) else {
        let detail = "the answer is not what Salesforce sends".to_owned();
        return Err(WholeFailure {
            error: CrmError::Unknown { detail },
            response: response_text(answer.status, &answer.body),
        });
    };

    let answers: HashMap<&str, &Subanswer> =
        composite.composite_response.iter().map(|part| (part.reference_id.as_str(), part)).collect();
    let mut rows = rows_read_back(&read_back, &answers);
    let mut results: BTreeMap<usize, WriteResult> = BTreeMap::new();
    for part in &written {
        let verdicts = part.verdicts(answers.get(part.reference.as_str()).copied(), &answer);
        for (place, verdict) in part.places.iter().zip(verdicts) {
            let (Some(write), Some(record)) = (request.writes.get(*place), records.get(*place)) else { continue };
            results.insert(*place, verdict.into_result(crm, write, record, &mut rows));
        }
    }
    Ok(results.into_values().collect())
}

/// One collection without a composite around it.
async fn attempt_plain(
    crm: &Salesforce,
    request: &WriteRequest,
    records: &[Row],
    method: Method,
) -> Result<Vec<WriteResult>, WholeFailure> {
    if request.writes.len() > MAX_WRITES {
        return Err(CrmError::Collateral { code: "TOO_MANY_RECORDS".into() }.into());
    }
    let part = Part::whole(request);
    let deletes = method == Method::DELETE;
    let path = if deletes { part.delete_path(crm, request) } else { format!("{}/composite/sobjects", crm.root) };
    let outgoing = Outgoing {
        json: if deletes { None } else { Some(super::to_bytes(&part.collection(records))?) },
        request_id: Some(request.request_id.clone()),
        send_until: Some(request.send_until),
        auto_assign: (!deletes).then_some(method == Method::POST && request.auto_assign),
        save_duplicates: part.saves_duplicates,
        method,
        ..Outgoing::get("collections", path)
    };
    let answer = crm.transport.send(&outgoing).await.map_err(SendError::of_a_write)?;
    if answer.status != 200 {
        return Err(WholeFailure { error: whole_error(&answer), response: response_text(answer.status, &answer.body) });
    }
    let body = serde_json::from_slice(&answer.body).ok();
    let answered = Subanswer { body, http_status_code: 200, reference_id: part.reference.clone() };
    let mut results: BTreeMap<usize, WriteResult> = BTreeMap::new();
    for (place, verdict) in part.places.iter().zip(part.verdicts(Some(&answered), &answer)) {
        let (Some(write), Some(record)) = (request.writes.get(*place), records.get(*place)) else { continue };
        results.insert(*place, verdict.into_result(crm, write, record, &mut RowsReadBack::new()));
    }
    Ok(results.into_values().collect())
}

/// One record by its own address.
async fn attempt_alone(
    crm: &Salesforce,
    request: &WriteRequest,
    records: &[Row],
) -> Result<Vec<WriteResult>, WholeFailure> {
    let ([write], [record]) = (request.writes.as_slice(), records) else {
        return Err(CrmError::Collateral { code: "TOO_MANY_RECORDS".into() }.into());
    };
    let part = Part::alone(0, write);
    let creates = write.id.is_none();
    let outgoing = Outgoing {
        method: if creates { Method::POST } else { Method::PATCH },
        json: Some(super::to_bytes(&own_fields(record))?),
        request_id: Some(request.request_id.clone()),
        send_until: Some(request.send_until),
        auto_assign: Some(creates && request.auto_assign && !names_its_owner(write)),
        save_duplicates: part.saves_duplicates,
        if_unmodified_since: condition(write),
        ..Outgoing::get("record", address(crm, write))
    };
    let answer = crm.transport.send(&outgoing).await.map_err(SendError::of_a_write)?;
    if !matches!(answer.status, 200..=299) {
        return Err(WholeFailure { error: whole_error(&answer), response: response_text(answer.status, &answer.body) });
    }
    let body = serde_json::from_slice(&answer.body).ok();
    let answered = Subanswer { body, http_status_code: answer.status, reference_id: part.reference.clone() };
    let verdicts = part.verdicts(Some(&answered), &answer);
    Ok(verdicts.into_iter().map(|verdict| verdict.into_result(crm, write, record, &mut RowsReadBack::new())).collect())
}

/// A record's part of the request, as the sync log keeps it.
#[derive(Serialize)]
struct KeptRequest<'a> {
    method: &'a str,
    url: String,
    /// The condition of the update, as the header is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    if_unmodified_since: Option<String>,
    record: &'a Row,
}

/// A record's part of the answer, as the sync log keeps it.
#[derive(Serialize)]
struct KeptAnswer<'a> {
    status: u16,
    body: &'a RawValue,
    /// Left out where nothing could have been read; null where nothing was.
    #[serde(skip_serializing_if = "Option::is_none")]
    read_back: Option<Option<&'a Row>>,
}

type RowsReadBack = HashMap<RecordId, (CrmRecord, Row)>;

/// Queries for what is written: updates by ID, creates by our key, of which nothing else is known yet.
fn read_back_queries<'a>(readers: &'a [Reader<'a>], request: &WriteRequest) -> Vec<(&'a Reader<'a>, String)> {
    let mut queries = Vec::new();
    for reader in readers {
        let writes = request.writes.iter().filter(|write| write.object == *reader.object);
        let keys: Vec<Key> = writes
            .filter_map(|write| match &write.id {
                Some(id) => Some(Key::Id(full_id(id.as_str()))),
                None => match write.fields.get(request.reading.external_id.as_ref()?)? {
                    CrmValue::Text(text) => Some(Key::ExternalId(text.clone())),
                    _ => None,
                },
            })
            .collect();
        queries.extend(soql::find_by_keys(&reader.target(), &keys).into_iter().map(|soql| (reader, soql)));
    }
    queries
}

/// The rows that could be read; what is missing here is read with the next lookup.
fn rows_read_back(queries: &[(&Reader<'_>, String)], answers: &HashMap<&str, &Subanswer>) -> RowsReadBack {
    let mut rows = RowsReadBack::new();
    for (place, (reader, _)) in queries.iter().enumerate() {
        let answer = answers.get(format!("read{place}").as_str()).filter(|part| part.http_status_code == 200);
        let page = answer.and_then(|part| serde_json::from_slice::<QueryPage>(part.bytes()).ok());
        for row in page.into_iter().flat_map(|page| page.records) {
            if let (Some(id), Some(record)) = (text(&row, "Id"), reader.record(&row)) {
                rows.insert(full_id(id), (record, row));
            }
        }
    }
    rows
}

/// The verdict over an answer that is no success. An edge server that lost its Salesforce says 500, 502 or 504 and knows
/// nothing of what was done; 420 and 503 say that nothing was.
fn whole_error(answer: &Answer) -> CrmError {
    let is_salesforces = !classify::read_errors(&answer.body).is_empty();
    let done_perhaps = matches!(answer.status, 200..=299) || answer.status >= 500 && answer.status != 503;
    if done_perhaps && !is_salesforces {
        return CrmError::Unknown { detail: format!("HTTP {} without an error code", answer.status) };
    }
    answer.error()
}

/// Where it is written: records that travel alone have an address of their own.
fn address(crm: &Salesforce, write: &RecordWrite) -> String {
    match &write.id {
        _ if !travels_alone(write) => format!("{}/composite/sobjects", crm.root),
        Some(id) => format!("{}/sobjects/{}/{}", crm.root, write.object, full_id(id.as_str())),
        None => format!("{}/sobjects/{}", crm.root, write.object),
    }
}

fn record_json(write: &RecordWrite) -> Row {
    let mut row = Row::new();
    row.insert("attributes".into(), serde_json::json!({ "type": write.object.as_str() }));
    if let Some(id) = &write.id {
        row.insert("id".into(), Json::String(full_id(id.as_str()).as_str().to_owned()));
    }
    row.extend(write.fields.iter().map(|(field, value)| (field.as_str().to_owned(), wire::to_json(value))));
    row
}

fn request_text(crm: &Salesforce, write: &RecordWrite, record: &Row) -> String {
    let method = match (write.delete, &write.id) {
        (true, _) => "DELETE",
        (false, None) => "POST",
        (false, Some(_)) => "PATCH",
    };
    let (url, if_unmodified_since) = (address(crm, write), condition(write));
    to_text(&KeptRequest { method, url, if_unmodified_since, record })
}

fn response_text(status: u16, body: &[u8]) -> String {
    to_text(&KeptAnswer { status, body: &kept_json(body), read_back: None })
}

fn to_text(kept: &impl Serialize) -> String {
    serde_json::to_string(kept).expect("text, numbers and JSON can be written as JSON")
}

/// The body as JSON, or the beginning of its text.
fn kept_json(body: &[u8]) -> Box<RawValue> {
    if body.len() <= LONGEST_TEXT_KEPT * 4
        && let Ok(json) = serde_json::from_slice::<Box<RawValue>>(body)
    {
        return json;
    }
    let text = String::from_utf8_lossy(body.get(..LONGEST_TEXT_KEPT).unwrap_or(body));
    to_raw_value(&text).expect("text can be written as JSON")
}
