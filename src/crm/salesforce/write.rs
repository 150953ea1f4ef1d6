//! Writing: one composite call that creates, changes and reads back, and a result for each record.
//!
//! A composite resolves `@{creates[0].id}` inside the values of its parts, and there is no way to quote it. A record
//! with such a text would fail its whole collection, or get a stranger's ID for a value. It travels in a plain collection,
//! which resolves nothing, beside the composite; what was written of it is read with the next lookup.
//!
//! Collections know no conditions. An update that holds only while its record is as it was read is a part of its own in
//! the composite; the first ones cost no call of their own.

mod conditional;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures_util::future::join4;
use http::Method;
use serde::Serialize;
use serde_json::Value as Json;
use serde_json::value::{RawValue, to_raw_value};

use super::rows::{Reader, text};
use super::soql::{self, Key};
use super::transport::{Answer, Outgoing, SendError};
use super::wire::{
    self, Collection, CompositeAnswer, CompositeRequest, QueryPage, Row, SaveResult, Subanswer, Subrequest,
    SubrequestBody, full_id,
};
use super::{Salesforce, classify};
use crate::crm::{CrmError, MAX_WRITES, RecordWrite, WriteRequest, WriteResult, Written};
use crate::domain::ids::{ObjectName, RecordId, RecordRef};
use crate::domain::record::{CrmRecord, CrmValue};

/// Parts that one composite may hold.
const PARTS_PER_CALL: usize = 25;
/// Of these, queries and collections.
const WIDE_PARTS_PER_CALL: usize = 5;
/// Conditional updates in a call that holds nothing else: people are of two kinds, and each is read back by a query.
const CONDITIONAL_PER_CALL: usize = PARTS_PER_CALL - 2;
/// Whether the org's assignment rules run.
const AUTO_ASSIGN: &str = "Sforce-Auto-Assign";
/// As much of an answer that is no JSON as the sync log keeps.
const LONGEST_TEXT_KEPT: usize = 4_000;

/// Carries out the writes, in one call unless a text looks like a reference, and one for the deletes; one result each, in the
/// order given.
pub(super) async fn write(crm: &Salesforce, request: &WriteRequest) -> Vec<WriteResult> {
    let is_apart = |write: &RecordWrite| write.delete || write.fields.values().any(looks_like_a_reference);
    // In the first call there is room beside the others.
    let surplus: BTreeSet<usize> = places(request, |write| is_conditional(write) && !is_apart(write))
        .skip(PARTS_PER_CALL - WIDE_PARTS_PER_CALL)
        .collect();
    if surplus.is_empty() && !request.writes.iter().any(is_apart) {
        return write_share(crm, request, Way::Composite).await;
    }
    let together = share(request, |place, write| !is_apart(write) && !surplus.contains(&place));
    let creates = share(request, |_, write| is_apart(write) && write.id.is_none());
    let mut updates = share(request, |_, write| is_apart(write) && write.id.is_some() && !write.delete);
    for update in &mut updates.1.writes {
        update.unmodified_since = None;
    }
    let deletes = share(request, |_, write| write.delete);
    // At once, so that all of it takes no longer than one call may.
    let (first, second, third, fourth) = join4(
        write_share(crm, &together.1, Way::Composite),
        write_share(crm, &creates.1, Way::Collection(Method::POST)),
        write_share(crm, &updates.1, Way::Collection(Method::PATCH)),
        write_share(crm, &deletes.1, Way::Collection(Method::DELETE)),
    )
    .await;
    let places = together.0.into_iter().chain(creates.0).chain(updates.0).chain(deletes.0);
    let mut results: BTreeMap<usize, WriteResult> =
        places.zip(first.into_iter().chain(second).chain(third).chain(fourth)).collect();
    // One after the other: a batch is one call in flight. What would be too late is not sent.
    let surplus: Vec<usize> = surplus.into_iter().collect();
    for chunk in surplus.chunks(CONDITIONAL_PER_CALL) {
        let (places, request) = share(request, |place, _| chunk.contains(&place));
        results.extend(places.into_iter().zip(write_share(crm, &request, Way::Composite).await));
    }
    results.into_values().collect()
}

/// Whether it is a part of its own in a composite.
fn is_conditional(write: &RecordWrite) -> bool {
    write.unmodified_since.is_some() && write.id.is_some() && !write.delete
}

/// Whether a composite would take a part of the value for a reference to an answer.
fn looks_like_a_reference(value: &CrmValue) -> bool {
    match value {
        CrmValue::Text(text) => text.contains("@{"),
        CrmValue::Choices(choices) => choices.iter().any(|choice| choice.contains("@{")),
        CrmValue::Null | CrmValue::Number(_) | CrmValue::Boolean(_) | CrmValue::Date(_) | CrmValue::DateTime(_) => {
            false
        }
    }
}

fn places(request: &WriteRequest, belongs: impl Fn(&RecordWrite) -> bool) -> impl Iterator<Item = usize> {
    request.writes.iter().enumerate().filter(move |(_, write)| belongs(write)).map(|(place, _)| place)
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
}

async fn write_share(crm: &Salesforce, request: &WriteRequest, way: Way) -> Vec<WriteResult> {
    if request.writes.is_empty() {
        return Vec::new();
    }
    let records: Vec<Row> = request.writes.iter().map(record_json).collect();
    let attempted = match way {
        Way::Composite => attempt(crm, request, &records).await,
        Way::Collection(method) => attempt_plain(crm, request, &records, method).await,
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

    let conditional = conditional::Updates::of(request);
    let creates = Part::of(request, "creates", |write| write.id.is_none());
    let updates = Part::of(request, "updates", |write| write.id.is_some() && !is_conditional(write));
    let mut parts: Vec<Subrequest<'_>> =
        [&creates, &updates].into_iter().filter_map(|part| part.subrequest(crm, request, records)).collect();
    let read_back = read_back_queries(&readers, request);
    let room = WIDE_PARTS_PER_CALL - parts.len();
    parts.extend(conditional.subrequests(crm));
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
    for part in [&creates, &updates] {
        let verdicts = part.verdicts(answers.get(part.reference).copied(), &answer);
        for (place, verdict) in part.places.iter().zip(verdicts) {
            let (Some(write), Some(record)) = (request.writes.get(*place), records.get(*place)) else { continue };
            results.insert(*place, verdict.into_result(crm, write, record, &mut rows));
        }
    }
    for (place, verdict) in conditional.verdicts(&answers, &answer) {
        let (Some(write), Some(record)) = (request.writes.get(place), records.get(place)) else { continue };
        results.insert(place, verdict.into_result(crm, write, record, &mut rows));
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
    let part = Part::of(request, "plain", |_| true);
    let deletes = method == Method::DELETE;
    let path = if deletes { part.delete_path(crm, request) } else { format!("{}/composite/sobjects", crm.root) };
    let outgoing = Outgoing {
        json: if deletes { None } else { Some(super::to_bytes(&part.collection(records))?) },
        request_id: Some(request.request_id.clone()),
        send_until: Some(request.send_until),
        auto_assign: (!deletes).then_some(method == Method::POST && request.auto_assign),
        method,
        ..Outgoing::get("collections", path)
    };
    let answer = crm.transport.send(&outgoing).await.map_err(SendError::of_a_write)?;
    if answer.status != 200 {
        return Err(WholeFailure { error: whole_error(&answer), response: response_text(answer.status, &answer.body) });
    }
    let body = serde_json::from_slice(&answer.body).ok();
    let answered = Subanswer { body, http_status_code: 200, reference_id: part.reference.to_owned() };
    let mut results: BTreeMap<usize, WriteResult> = BTreeMap::new();
    for (place, verdict) in part.places.iter().zip(part.verdicts(Some(&answered), &answer)) {
        let (Some(write), Some(record)) = (request.writes.get(*place), records.get(*place)) else { continue };
        results.insert(*place, verdict.into_result(crm, write, record, &mut RowsReadBack::new()));
    }
    Ok(results.into_values().collect())
}

/// The writes of one collection, by their places in the request.
struct Part {
    reference: &'static str,
    places: Vec<usize>,
}

impl Part {
    /// Equal objects stand together, since Salesforce cuts a collection where the object changes.
    fn of(request: &WriteRequest, reference: &'static str, belongs: impl Fn(&RecordWrite) -> bool) -> Self {
        let writes = request.writes.iter().enumerate().filter(|(_, write)| belongs(write));
        let mut places: Vec<(&ObjectName, usize)> = writes.map(|(place, write)| (&write.object, place)).collect();
        places.sort();
        Self { reference, places: places.into_iter().map(|(_, place)| place).collect() }
    }

    fn subrequest<'a>(&self, crm: &Salesforce, request: &WriteRequest, records: &'a [Row]) -> Option<Subrequest<'a>> {
        let creates = self.reference == "creates";
        let assign = if creates && request.auto_assign { "TRUE" } else { "FALSE" };
        (!self.places.is_empty()).then(|| Subrequest {
            method: if creates { "POST" } else { "PATCH" },
            url: format!("{}/composite/sobjects", crm.root),
            reference_id: self.reference.into(),
            http_headers: BTreeMap::from([(AUTO_ASSIGN, assign.to_owned())]),
            body: Some(SubrequestBody::Collection(self.collection(records))),
        })
    }

    /// Deletes are named in the address, not in a body.
    fn delete_path(&self, crm: &Salesforce, request: &WriteRequest) -> String {
        let writes = self.places.iter().filter_map(|place| request.writes.get(*place));
        let ids: Vec<String> =
            writes.filter_map(|write| write.id.as_ref()).map(|id| full_id(id.as_str()).as_str().to_owned()).collect();
        format!("{}/composite/sobjects?ids={}&allOrNone=false", crm.root, ids.join(","))
    }

    fn collection<'a>(&self, records: &'a [Row]) -> Collection<'a> {
        let records = self.places.iter().filter_map(|place| records.get(*place)).collect();
        Collection { all_or_none: false, records }
    }

    /// One verdict for each of its records.
    fn verdicts(&self, part: Option<&Subanswer>, outer: &Answer) -> Vec<Verdict> {
        let all = |error: CrmError, status: u16, body: &[u8]| {
            let error = classify::of_the_whole(error, self.places.len());
            vec![Verdict { status, body: kept_json(body), saved: Err(error) }; self.places.len()]
        };
        let unknown = |detail: &str| CrmError::Unknown { detail: detail.into() };
        let Some(part) = part else {
            return all(unknown("the answer lacks this part of the request"), outer.status, b"null");
        };
        let (status, body) = (part.http_status_code, part.bytes());
        if status != 200 {
            let errors = classify::read_errors(body);
            let lost = errors.is_empty() && status >= 500;
            let error = if lost {
                unknown("this part of the request failed without an error code")
            } else {
                classify::classify(status, outer.retry_after, &errors)
            };
            return all(error, status, body);
        }
        match serde_json::from_slice::<Vec<Box<RawValue>>>(body) {
            Ok(items) if items.len() == self.places.len() => {
                items.into_iter().map(|item| Verdict::of_item(&item)).collect()
            }
            _ => all(unknown("the answer does not hold one result for each record"), status, body),
        }
    }
}

/// What Salesforce said of one record.
#[derive(Clone)]
struct Verdict {
    status: u16,
    /// Its own part of the answer, as JSON.
    body: Box<RawValue>,
    saved: Result<Option<RecordId>, CrmError>,
}

impl Verdict {
    fn of_item(item: &RawValue) -> Self {
        let saved = match serde_json::from_str::<SaveResult>(item.get()) {
            Ok(SaveResult { success: true, id, .. }) => Ok(id.as_deref().map(full_id)),
            Ok(SaveResult { errors, .. }) => Err(classify::classify(400, None, &errors)),
            Err(_) => Err(CrmError::Unknown { detail: "the record's result cannot be read".into() }),
        };
        Self { status: 200, body: kept_json(item.get().as_bytes()), saved }
    }

    fn into_result(self, crm: &Salesforce, write: &RecordWrite, record: &Row, rows: &mut RowsReadBack) -> WriteResult {
        let mut read = None;
        let outcome = self.saved.and_then(|id| {
            // An update is of the record that it names; a create without an ID cannot be found again.
            let id = write.id.as_ref().map(|id| full_id(id.as_str())).or(id);
            let id = id.ok_or_else(|| CrmError::Unknown { detail: "the new record's ID is missing".into() })?;
            // No record is written twice in one request.
            let (read_back, row) = rows.remove(&id).unzip();
            read = row;
            Ok(Written { record: RecordRef { object: write.object.clone(), id }, read_back })
        });
        let response = KeptAnswer { status: self.status, body: &self.body, read_back: Some(read.as_ref()) };
        WriteResult { outcome, request: request_text(crm, write, record), response: to_text(&response) }
    }
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

/// A record by its ID.
fn record_path(crm: &Salesforce, write: &RecordWrite, id: &RecordId) -> String {
    format!("{}/sobjects/{}/{}", crm.root, write.object, full_id(id.as_str()))
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
    let if_unmodified_since = write.unmodified_since.filter(|_| is_conditional(write)).and_then(wire::header_date);
    let url = match &write.id {
        Some(id) if is_conditional(write) => record_path(crm, write, id),
        _ => format!("{}/composite/sobjects", crm.root),
    };
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
