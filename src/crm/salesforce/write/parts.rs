//! The parts of one call: collections of records that are written alike, and records that travel alone: with a condition, or
//! so that Salesforce says what its duplicate rules found. And what it said of each record.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::super::transport::{ALLOW_SAVE, Answer, DUPLICATE_RULES};
use super::super::wire::{Collection, Row, SaveResult, Subanswer, Subrequest, SubrequestBody, full_id};
use super::super::{OWNER, Salesforce, classify};
use super::{KeptAnswer, RowsReadBack, address, condition, kept_json, request_text, to_text, travels_alone};
use crate::crm::{CrmError, OnDuplicate, RecordWrite, WriteRequest, WriteResult, Written};
use crate::domain::ids::{ObjectName, RecordId, RecordRef};

/// Writes that travel together, by their places in the request.
pub(super) struct Part {
    pub reference: String,
    pub places: Vec<usize>,
    /// Whether they are saved although a duplicate rule finds their like.
    pub saves_duplicates: bool,
    /// One record, not in a collection.
    pub is_alone: bool,
}

impl Part {
    /// Every write of a call.
    pub fn all(request: &WriteRequest) -> Vec<Self> {
        let mut parts = Vec::new();
        for (reference, creates, owned, saves) in [
            ("creates", true, false, false),
            ("creates_owned", true, true, false),
            ("creates_saved", true, false, true),
            ("creates_owned_saved", true, true, true),
            ("updates", false, false, false),
            ("updates_saved", false, false, true),
        ] {
            let belongs = |write: &RecordWrite| {
                let saved = write.duplicates == OnDuplicate::Save;
                let is_owned = write.id.is_none() && names_its_owner(write);
                let alike = write.id.is_none() == creates && is_owned == owned && saved == saves;
                !travels_alone(write) && alike
            };
            parts.push(Self { saves_duplicates: saves, ..Self::of(request, reference.to_owned(), belongs) });
        }
        let writes = request.writes.iter().enumerate();
        parts.extend(writes.filter(|(_, write)| travels_alone(write)).map(|(place, write)| Self::alone(place, write)));
        parts.retain(|part| !part.places.is_empty());
        parts
    }

    /// The write in this place of the request.
    pub fn alone(place: usize, write: &RecordWrite) -> Self {
        Self {
            reference: format!("alone{place}"),
            places: vec![place],
            saves_duplicates: write.duplicates.saves(),
            is_alone: true,
        }
    }

    /// All writes of a request that are written alike.
    pub fn whole(request: &WriteRequest) -> Self {
        let saves_duplicates = request.writes.iter().any(|write| write.duplicates == OnDuplicate::Save);
        Self { saves_duplicates, ..Self::of(request, "plain".to_owned(), |_| true) }
    }

    /// Equal objects stand together, since Salesforce cuts a collection where the object changes.
    fn of(request: &WriteRequest, reference: String, belongs: impl Fn(&RecordWrite) -> bool) -> Self {
        let writes = request.writes.iter().enumerate().filter(|(_, write)| belongs(write));
        let mut places: Vec<(&ObjectName, usize)> = writes.map(|(place, write)| (&write.object, place)).collect();
        places.sort();
        let places = places.into_iter().map(|(_, place)| place).collect();
        Self { reference, places, saves_duplicates: false, is_alone: false }
    }

    pub fn subrequest<'a>(&self, crm: &Salesforce, request: &WriteRequest, records: &'a [Row]) -> Subrequest<'a> {
        let first = self.places.first().and_then(|place| request.writes.get(*place));
        let creates = first.is_some_and(|write| write.id.is_none());
        let assigns = request.auto_assign && creates && !first.is_some_and(names_its_owner);
        let assign = if assigns { "TRUE" } else { "FALSE" };
        let mut http_headers = BTreeMap::from([("Sforce-Auto-Assign", assign.to_owned())]);
        if self.saves_duplicates {
            http_headers.insert(DUPLICATE_RULES, ALLOW_SAVE.to_owned());
        }
        let (url, body) = match first.filter(|_| self.is_alone) {
            Some(write) => {
                http_headers.extend(condition(write).map(|since| ("If-Unmodified-Since", since)));
                let record = self.places.first().and_then(|place| records.get(*place));
                (address(crm, write), SubrequestBody::Record(record.map(own_fields).unwrap_or_default()))
            }
            None => (format!("{}/composite/sobjects", crm.root), SubrequestBody::Collection(self.collection(records))),
        };
        Subrequest {
            method: if creates { "POST" } else { "PATCH" },
            url,
            reference_id: self.reference.clone(),
            http_headers,
            body: Some(body),
        }
    }

    /// Deletes are named in the address, not in a body.
    pub fn delete_path(&self, crm: &Salesforce, request: &WriteRequest) -> String {
        let writes = self.places.iter().filter_map(|place| request.writes.get(*place));
        let ids: Vec<String> =
            writes.filter_map(|write| write.id.as_ref()).map(|id| full_id(id.as_str()).as_str().to_owned()).collect();
        format!("{}/composite/sobjects?ids={}&allOrNone=false", crm.root, ids.join(","))
    }

    pub fn collection<'a>(&self, records: &'a [Row]) -> Collection<'a> {
        let records = self.places.iter().filter_map(|place| records.get(*place)).collect();
        Collection { all_or_none: false, records }
    }

    /// One verdict for each of its records.
    pub fn verdicts(&self, part: Option<&Subanswer>, outer: &Answer) -> Vec<Verdict> {
        let all = |error: CrmError, status: u16, body: &[u8]| {
            let error = classify::of_the_whole(error, self.places.len());
            vec![Verdict { status, body: kept_json(body), saved: Err(error) }; self.places.len()]
        };
        let unknown = |detail: &str| CrmError::Unknown { detail: detail.into() };
        let Some(part) = part else {
            return all(unknown("the answer lacks this part of the request"), outer.status, b"null");
        };
        let (status, body) = (part.http_status_code, part.bytes());
        if self.is_alone && matches!(status, 200..=299) {
            // An update is answered without a body.
            let id = serde_json::from_slice::<SaveResult>(body).ok().and_then(|saved| saved.id);
            return vec![Verdict { status, body: kept_json(body), saved: Ok(id.as_deref().map(full_id)) }];
        }
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

/// What is written of a record that its address names.
pub(super) fn own_fields(record: &Row) -> Row {
    let fields = record.iter().filter(|(key, _)| !matches!(key.as_str(), "attributes" | "id"));
    fields.map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Whether the record comes with its owner, whom the org's assignment rules would exchange for another.
pub(super) fn names_its_owner(write: &RecordWrite) -> bool {
    write.fields.keys().any(|field| field.as_str().eq_ignore_ascii_case(OWNER))
}

/// What Salesforce said of one record.
#[derive(Clone)]
pub(super) struct Verdict {
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

    pub fn into_result(
        self,
        crm: &Salesforce,
        write: &RecordWrite,
        record: &Row,
        rows: &mut RowsReadBack,
    ) -> WriteResult {
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
