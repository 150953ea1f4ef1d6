//! The judgement, by the sandbox's records, histories and requests.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use serde_json::Value as Json;

use super::crm::{Crm, Edit, MARK, OUR_ID, Record, Request};
use super::edits::{FIELDS, LEAD_WINS};
use super::leads::Lead;
use super::service::{LogEntry, Service};

/// An attempt's write is sent within the lease that its read began in, and lands at the latest when a late one does.
const READ_TO_SENT: jiff::SignedDuration = jiff::SignedDuration::from_secs(3);

/// Something that must not be, and the lead that it befell where one is known.
pub struct Violation {
    pub lead: Option<String>,
    pub what: String,
}

#[derive(Default)]
pub struct Found {
    pub violations: Vec<Violation>,
    pub edits: u64,
    /// By a rule that the log names with both values.
    pub overwritten: u64,
    /// Fell between the read and the write of one attempt.
    excluded: u64,
    requests: usize,
    writes: usize,
    log_entries: usize,
    conflicts: usize,
    /// Leads whose newest version waits in an open conflict.
    waiting: usize,
    /// Values that no person touched, and that are the newest version's.
    untouched: usize,
    /// Writes that were cut off by a kill.
    pub died_writing: usize,
}

impl Found {
    fn violates(&mut self, lead: Option<&str>, what: String) {
        self.violations.push(Violation { lead: lead.map(str::to_owned), what });
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "edits={} overwritten_by_rule={} excluded={} requests={} writes={} log={} died_writing={} open_conflicts={} \
             waiting={} untouched={} violations={}",
            self.edits,
            self.overwritten,
            self.excluded,
            self.requests,
            self.writes,
            self.log_entries,
            self.died_writing,
            self.conflicts,
            self.waiting,
            self.untouched,
            self.violations.len()
        )
    }
}

/// Looks for anything lost, doubled, overwritten or not logged.
pub async fn check(crm: &Crm, service: &Service, leads: &[Lead]) -> Found {
    let (records, requests) = (crm.records("Lead").await, crm.requests().await);
    let log = service.log_entries().await;
    let mut found = Found {
        requests: requests.len(),
        writes: requests.iter().filter(|request| request.asks_to_write).count(),
        log_entries: log.len(),
        died_writing: log.iter().filter(|entry| entry.error_code.as_deref() == Some("process_died")).count(),
        ..Found::default()
    };
    let mut by_request: HashMap<&str, Vec<&LogEntry>> = HashMap::new();
    for entry in &log {
        if let Some(request) = &entry.request_id {
            by_request.entry(request).or_default().push(entry);
        }
    }
    newest_versions_stand(&records, leads, service, &mut found).await;
    nothing_is_doubled(&records, &mut found);
    writes_are_logged(&records, &requests, &by_request, &mut found);
    edits_are_respected(&records, &requests, &by_request, service, &mut found).await;
    found
}

/// Once both sides agree, looking again writes nothing.
pub async fn nothing_is_written_again(crm: &Crm, agreed: usize, found: &mut Found) {
    let requests = crm.requests().await;
    let again: BTreeSet<&str> =
        requests[agreed..].iter().filter(|request| request.written > 0).map(|request| request.id.as_str()).collect();
    for record in crm.records("Lead").await {
        let edit = record.history.iter().find(|edit| edit.request.as_deref().is_some_and(|id| again.contains(id)));
        if let Some(edit) = edit {
            let fields: Vec<_> = edit.changes.keys().map(|field| (field, tail(&record, field))).collect();
            found.violates(
                record.text(OUR_ID),
                format!("both sides agreed, and still {} was written: {fields:?}", record.id),
            );
        }
    }
}

/// Each lead's newest version stands in one record, or waits in a conflict that names the lead.
async fn newest_versions_stand(records: &[Record], leads: &[Lead], service: &Service, found: &mut Found) {
    let conflicts = service.open_conflicts().await;
    found.conflicts = conflicts.len();
    // A question about one field holds back that field only.
    let named: BTreeSet<&str> = conflicts
        .iter()
        .filter(|conflict| matches!(conflict.kind.as_str(), "match" | "shared_record"))
        .map(|conflict| conflict.lead_id.as_str())
        .collect();
    let mut with_address: BTreeMap<usize, u32> = BTreeMap::new();
    for lead in leads {
        *with_address.entry(lead.address).or_default() += 1;
    }
    let mut standing: HashMap<&str, Vec<&Record>> = HashMap::new();
    for record in records.iter().filter(|record| !record.deleted) {
        if let Some(mark) = record.text(MARK) {
            standing.entry(mark).or_default().push(record);
        }
    }
    for lead in leads {
        let mark = lead.mark();
        let holders = standing.get(mark.as_str()).map_or(&[][..], Vec::as_slice);
        let shares = with_address[&lead.address] > 1;
        match holders {
            [record] if record.text(OUR_ID) == Some(&lead.id) => untouched_values_stand(record, lead, found),
            [] if shares && named.contains(lead.id.as_str()) => found.waiting += 1,
            _ => {
                let of_lead = records.iter().filter(|record| record.text(OUR_ID) == Some(&lead.id));
                let standing: Vec<_> =
                    of_lead.map(|record| (&record.id, record.text(MARK), tail(record, MARK))).collect();
                let (holders, named) = (holders.len(), named.contains(lead.id.as_str()));
                found.violates(
                    Some(&lead.id),
                    format!(
                        "{mark} stands in {holders} records; shares its address: {shares}, in a conflict: {named}; its \
                         records: {standing:?}"
                    ),
                );
            }
        }
    }
}

/// Where no person edited, the newest version stands in each row, whatever its rule: nothing of ours seemed an edit.
fn untouched_values_stand(record: &Record, lead: &Lead, found: &mut Found) {
    for field in FIELDS {
        if record.history.iter().any(|edit| edit.by == "user" && edit.changes.contains_key(field)) {
            continue;
        }
        // A trigger capitalises.
        if record.text(field).is_some_and(|stands| stands.eq_ignore_ascii_case(&lead.says(field))) {
            found.untouched += 1;
        } else {
            found.violates(
                Some(&lead.id),
                format!(
                    "nobody edited {field} of {}, and still it is not {:?}: {:?}",
                    record.id,
                    lead.says(field),
                    tail(record, field)
                ),
            );
        }
    }
}

fn nothing_is_doubled(records: &[Record], found: &mut Found) {
    for field in [OUR_ID, "Email"] {
        let mut seen = HashMap::new();
        for record in records.iter().filter(|record| !record.deleted) {
            let Some(value) = record.text(field) else {
                found.violates(record.text(OUR_ID), format!("{} has no {field}", record.id));
                continue;
            };
            if let Some(other) = seen.insert(value, &record.id) {
                found.violates(record.text(OUR_ID), format!("{other} and {} both have {field} {value}", record.id));
            }
        }
    }
}

/// What the sandbox was asked to write is in the log, executed or not: each request, and each record that one changed.
fn writes_are_logged(
    records: &[Record],
    requests: &[Request],
    by_request: &HashMap<&str, Vec<&LogEntry>>,
    found: &mut Found,
) {
    for request in requests.iter().filter(|request| request.asks_to_write || request.written > 0) {
        if !by_request.contains_key(request.id.as_str()) {
            let Request { id, at, method, executed, written, .. } = request;
            found.violates(
                None,
                format!("{method} {id} at {at} is not in the log (executed: {executed}, records written: {written})"),
            );
        }
    }
    for record in records {
        for edit in record.history.iter().filter(|edit| edit.by == "api") {
            if !logged(edit, record, by_request).any(|_| true) {
                let (id, request) = (&record.id, &edit.request);
                found.violates(record.text(OUR_ID), format!("the log does not say that {request:?} wrote to {id}"));
            }
        }
    }
}

/// The log entries of the request that made this change, as far as they are about the record.
fn logged<'a>(
    edit: &Edit,
    record: &'a Record,
    by_request: &'a HashMap<&str, Vec<&'a LogEntry>>,
) -> impl Iterator<Item = &'a LogEntry> {
    let entries = edit.request.as_deref().and_then(|request| by_request.get(request));
    entries.into_iter().flatten().copied().filter(|entry| match &entry.record {
        Some(named) => named.id == record.id,
        None => record.text(OUR_ID) == Some(entry.lead_id.as_str()),
    })
}

/// No person's value was replaced but by a write whose log entry names it beside what was written.
async fn edits_are_respected(
    records: &[Record],
    requests: &[Request],
    by_request: &HashMap<&str, Vec<&LogEntry>>,
    service: &Service,
    found: &mut Found,
) {
    let sent: HashMap<&str, jiff::Timestamp> =
        requests.iter().map(|request| (request.id.as_str(), request.at)).collect();
    for record in records {
        for (place, edit) in record.history.iter().enumerate().filter(|(_, edit)| edit.by == "user") {
            for field in FIELDS {
                let Some(value) = edit.changes.get(field) else { continue };
                found.edits += 1;
                let next = record.history[place + 1..].iter().find(|next| next.changes.contains_key(field));
                let Some(write) = next.filter(|next| next.by != "user") else { continue };
                let mut named = false;
                let mut read = None;
                for entry in logged(write, record, by_request) {
                    let detail = service.log_entry(entry.id).await;
                    let decision = detail.decisions.into_iter().find(|decision| decision.field == field);
                    let Some(decision) = decision.filter(|decision| decision.written.is_some()) else { continue };
                    let crm = decision.crm.filter(|crm| !crm.is_null());
                    // The other rows' rules never let the lead win over a person.
                    let may_win = decision.rule == "lead_wins" && LEAD_WINS.contains(&field);
                    let wrote = write.changes.get(field);
                    let names_both = crm.as_ref() == Some(value)
                        && decision.lead.as_ref() == wrote
                        && decision.written.as_ref() == wrote;
                    named |= may_win && names_both;
                    read = Some(crm);
                }
                let before = value_before(record, place, field, read.as_ref().and_then(Option::as_ref));
                let sent_at = write.request.as_deref().and_then(|request| sent.get(request));
                let raced = sent_at.is_some_and(|sent| edit.at > *sent || sent.duration_since(edit.at) <= READ_TO_SENT);
                if named {
                    found.overwritten += 1;
                } else if raced && read.is_some() && before {
                    found.excluded += 1;
                } else {
                    let what = format!(
                        "{}: {field} {value} of {} was overwritten by {:?} at {} (sent {sent_at:?}), whose log entry read \
                         {read:?}; history {:?}",
                        record.id,
                        edit.at,
                        write.request,
                        write.at,
                        tail(record, field)
                    );
                    found.violates(record.text(OUR_ID), what);
                }
            }
        }
    }
}

/// Whether the field held this value at some time before the edit, shortly enough to have been read then.
fn value_before(record: &Record, place: usize, field: &str, read: Option<&Json>) -> bool {
    let at = record.history[place].at;
    let mut later = at;
    for edit in record.history[..place].iter().rev() {
        let Some(value) = edit.changes.get(field) else { continue };
        if Some(value).filter(|value| !value.is_null()) == read {
            return at.duration_since(later) <= READ_TO_SENT;
        }
        later = edit.at;
    }
    // Before its first value it was blank.
    read.is_none() && at.duration_since(later) <= READ_TO_SENT
}

/// The newest changes of one field, for whoever has to find out what happened.
fn tail<'a>(record: &'a Record, field: &str) -> Vec<(String, &'a str, Option<&'a str>, String)> {
    let changes = record.history.iter().filter_map(|edit| Some((edit, edit.changes.get(field)?)));
    let mut changes: Vec<_> = changes
        .map(|(edit, value)| (edit.at.to_string(), edit.by.as_str(), edit.request.as_deref(), value.to_string()))
        .collect();
    changes.split_off(changes.len().saturating_sub(6))
}
