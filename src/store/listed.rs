//! The rows of what operators list and read, as either database holds them.

use super::cells::{Cells, StoredRow};
use super::refused::proof_from_json;
use super::rows::class;
use super::stored::{answer_from_json, decisions_from_json, headers_from_json, question_from_json};
use super::work::read_link;
use super::{
    AuditEntry, AuditRow, ConflictRow, ConflictState, DeadLetter, EventDetail, EventRow, EventState, JobRow, LeadRow,
    LinkedLead, LinkedPerson, LogRow, LogRowDetail, Operation, Outcome, OutcomeCount, PairedLead, PairedOther, Pause,
    People, PersonPlace, PersonRow, RefusedDetail, RefusedFor, RefusedRow, RunRow, SharedKind, SharedPair, StoreResult,
    TimelineEntry,
};
use crate::domain::ids::{DestinationName, EventId, FieldName, LeadId, LeadKey, RecordId, RecordRef, SourceName};
use crate::domain::lead::Lead;
use crate::domain::matching::MatchedBy;
use crate::domain::plan::{ConflictKind, Link};
use crate::domain::time::Timestamp;

pub(super) fn read_event<R: StoredRow>(row: &R) -> StoreResult<EventRow> {
    let (cells, id) = Cells::numbered(row, "events")?;
    Ok(EventRow {
        id: EventId(id),
        source: cells.get("source")?,
        lead_id: cells.get("lead_id")?,
        event_type: cells.get("event_type")?,
        sender_id: cells.get("sender_id")?,
        state: cells.parse("state", EventState::parse)?,
        reason: cells.get("reason")?,
        received_at: cells.get("received_at")?,
        request_id: cells.get("request_id")?,
        size: cells.count("size")?,
    })
}

/// An event with what was kept of its request; nothing is once its body was pruned.
pub(super) fn read_event_detail<R: StoredRow>(row: EventRow, kept: Option<&R>) -> StoreResult<EventDetail> {
    let Some(kept) = kept else { return Ok(EventDetail { row, headers: Vec::new(), body: bytes::Bytes::new() }) };
    let cells = Cells::new(kept, "bodies", row.id.0);
    let headers = cells.json("headers", headers_from_json)?;
    Ok(EventDetail { row, headers, body: cells.get::<Vec<u8>>("body")?.into() })
}

pub(super) fn read_log_row<R: StoredRow>(row: &R) -> StoreResult<LogRow> {
    let (cells, id) = Cells::numbered(row, "sync_log")?;
    let record_id: Option<RecordId> = cells.get("record_id")?;
    let object: Option<_> = cells.get("object")?;
    Ok(LogRow {
        id,
        at: cells.get("at")?,
        lead: cells.lead()?,
        destination: cells.get("destination")?,
        operation: cells.parse("operation", Operation::parse)?,
        outcome: cells.parse("outcome", Outcome::parse)?,
        record: object.zip(record_id).map(|(object, id)| RecordRef { object, id }),
        matched_by: cells.parse_option("matched_by", MatchedBy::parse)?,
        error_code: cells.get("error_code")?,
        error: cells.get("error")?,
        attempt: cells.count("attempt")?,
        api_calls: cells.count("api_calls")?,
        batch: cells.count("batch")?,
        duration_ms: cells.count("duration_ms")?,
        request_id: cells.get("request_id")?,
        event: cells.get::<Option<i64>>("event_id")?.map(EventId),
    })
}

/// A row of the sync log with all that was kept beside it.
pub(super) fn read_log_detail<R: StoredRow>(row: LogRow, bodies: Option<&R>) -> StoreResult<LogRowDetail> {
    let Some(bodies) = bodies else {
        return Ok(LogRowDetail { row, decisions: Vec::new(), request: None, response: None });
    };
    let cells = Cells::new(bodies, "sync_log_bodies", row.id);
    let decisions = cells.json("decisions", decisions_from_json)?;
    Ok(LogRowDetail { row, decisions, request: cells.get("request")?, response: cells.get("response")? })
}

pub(super) fn read_lead_row<R: StoredRow>(row: &R) -> StoreResult<LeadRow> {
    let (cells, key) = Cells::of_lead(row, "leads")?;
    Ok(LeadRow {
        key,
        name: cells.get("name")?,
        email: cells.get("email")?,
        deleted: cells.get("deleted")?,
        excluded: cells.get("excluded")?,
        updated_at: cells.get("updated_at")?,
    })
}

/// The folded document of a lead.
pub(super) fn read_lead<R: StoredRow>(row: &R, key: &LeadKey) -> StoreResult<Lead> {
    let cells = Cells::new(row, "leads", key);
    cells.parse("document", |json| Lead::from_json(key.clone(), json).ok())
}

/// The link of a lead in one destination.
pub(super) fn read_listed_link<R: StoredRow>(row: &R, key: &LeadKey) -> StoreResult<(DestinationName, Link)> {
    Ok((Cells::new(row, "links", key).get("destination")?, read_link(row, key)?))
}

/// What a lead owes one destination.
pub(super) fn read_job_row<R: StoredRow>(row: &R, key: &LeadKey) -> StoreResult<JobRow> {
    let cells = Cells::new(row, "jobs", key);
    let states = ["ready", "leased", "retrying", "held", "dead"];
    let ended = cells.get::<&str>("state")? != "owed";
    Ok(JobRow {
        destination: cells.get("destination")?,
        state: cells.parse("status", |word| states.into_iter().find(|state| *state == word))?,
        class: class(cells.count("class")?),
        attempt: cells.count("attempt")?,
        due_at: if ended { None } else { Some(cells.get("due_at")?) },
        owed_since: cells.get("owed_since")?,
        code: cells.get("code")?,
        detail: cells.get("detail")?,
    })
}

/// When it was; of what was at the same moment, the event came before the operation.
pub(super) fn time_of(entry: &TimelineEntry) -> (Timestamp, u8, i64) {
    match entry {
        TimelineEntry::Event(event) => (event.received_at, 0, event.id.0),
        TimelineEntry::Person(change) => (change.entry.at, 1, change.id),
        TimelineEntry::Operation(row) => (row.at, 2, row.id),
    }
}

pub(super) fn read_conflict<R: StoredRow>(row: &R) -> StoreResult<ConflictRow> {
    let (cells, id) = Cells::numbered(row, "conflicts")?;
    let kind = cells.parse("kind", ConflictKind::parse)?;
    let field = Some(cells.get::<&str>("field")?).filter(|field| !field.is_empty()).map(FieldName::from);
    let state = match cells.get::<&str>("state")? {
        "open" => ConflictState::Open,
        "resolved" => {
            let answer = cells.json("answer", answer_from_json)?;
            ConflictState::Resolved { choice: answer.choice, by: answer.by, at: answer.at, note: answer.note }
        }
        "moot" => ConflictState::Moot { at: cells.get("closed_at")?, why: cells.get("closed_why")? },
        _ => return Err(cells.corrupt("state")),
    };
    Ok(ConflictRow {
        id,
        destination: cells.get("destination")?,
        lead: cells.lead()?,
        question: cells.json("question", |json| question_from_json(kind, field, json))?,
        state,
        revision: cells.get("revision")?,
        opened_at: cells.get("opened_at")?,
        updated_at: cells.get("updated_at")?,
    })
}

pub(super) fn read_dead_letter<R: StoredRow>(row: &R) -> StoreResult<DeadLetter> {
    let (cells, lead) = Cells::of_lead(row, "jobs")?;
    let destination: DestinationName = cells.get("destination")?;
    let cells = Cells::new(row, "jobs", format!("{destination}/{lead}"));
    Ok(DeadLetter {
        lead,
        destination,
        code: cells.get::<Option<String>>("code")?.unwrap_or_default(),
        detail: cells.get::<Option<String>>("detail")?.unwrap_or_default(),
        attempt: cells.count("attempt")?,
        owed_since: cells.get("owed_since")?,
        died_at: cells.get("ended_at")?,
        look_again_at: cells.get("look_again_at")?,
    })
}

pub(super) fn read_outcome_count<R: StoredRow>(row: &R, since: Timestamp) -> StoreResult<OutcomeCount> {
    let cells = Cells::new(row, "outcome_counts", since);
    Ok(OutcomeCount {
        destination: cells.get("destination")?,
        operation: cells.parse("operation", Operation::parse)?,
        outcome: cells.parse("outcome", Outcome::parse)?,
        count: cells.count("n")?,
    })
}

pub(super) fn read_pause<R: StoredRow>(row: &R) -> StoreResult<Pause> {
    let destination: DestinationName = Cells::new(row, "pauses", "?").get("destination")?;
    let cells = Cells::new(row, "pauses", &destination);
    Ok(Pause {
        by: cells.get("by")?,
        note: cells.get("note")?,
        since: cells.get("since")?,
        until: cells.get("until")?,
        destination,
    })
}

pub(super) fn read_audit_row<R: StoredRow>(row: &R) -> StoreResult<AuditRow> {
    let (cells, id) = Cells::numbered(row, "audit")?;
    let source: Option<SourceName> = cells.get("source")?;
    let lead_id: Option<LeadId> = cells.get("lead_id")?;
    let entry = AuditEntry {
        at: cells.get("at")?,
        by: cells.get("by")?,
        action: cells.get("action")?,
        target: cells.get("target")?,
        lead: source.zip(lead_id).map(|(source, id)| LeadKey { source, id }),
        detail: cells.get("detail")?,
    };
    Ok(AuditRow { id, entry })
}

pub(super) fn read_run<R: StoredRow>(row: &R) -> StoreResult<RunRow> {
    let (cells, id) = Cells::numbered(row, "runs")?;
    Ok(RunRow {
        id,
        kind: cells.get("kind")?,
        by: cells.get("by")?,
        started_at: cells.get("started_at")?,
        updated_at: cells.get("updated_at")?,
        scope: cells.get("scope")?,
        total: cells.count("total")?,
        done: cells.count("done")?,
        position: cells.parse_option("position", read_position)?,
        state: cells.get("state")?,
        detail: cells.get("detail")?,
    })
}

/// Where a run goes on after a restart: source and ID as a JSON pair, since either may hold any character.
pub(super) fn position_text(lead: &LeadKey) -> String {
    serde_json::json!([lead.source.as_str(), lead.id.as_str()]).to_string()
}

fn read_position(text: &str) -> Option<LeadKey> {
    let (source, id): (String, String) = serde_json::from_str(text).ok()?;
    Some(LeadKey::new(source.as_str(), id.as_str()))
}

pub(super) fn read_refused<R: StoredRow>(row: &R) -> StoreResult<RefusedRow> {
    let (cells, id) = Cells::numbered(row, "refused_requests")?;
    Ok(RefusedRow {
        id,
        source: cells.get("source")?,
        reason: cells.parse("reason", RefusedFor::parse)?,
        received_at: cells.get("received_at")?,
        request_id: cells.get("request_id")?,
        size: cells.count("size")?,
    })
}

/// A refused request with all that verifying it again needs.
pub(super) fn read_refused_detail<R: StoredRow>(row: &R) -> StoreResult<RefusedDetail> {
    let (cells, _) = Cells::numbered(row, "refused_requests")?;
    Ok(RefusedDetail {
        row: read_refused(row)?,
        proof: cells.parse("proof", proof_from_json)?,
        headers: cells.json("headers", headers_from_json)?,
        body: cells.get::<Vec<u8>>("body")?.into(),
    })
}

/// A piece of all people, in their order.
pub(super) fn read_people<R: StoredRow>(rows: &[R]) -> StoreResult<People> {
    let mut piece = People::default();
    for row in rows {
        let cells = Cells::new(row, "leads", "?");
        piece.looked_at = cells.count("n")?;
        let place =
            PersonPlace { key: cells.get("key")?, source: cells.get("source")?, lead_id: cells.get("lead_id")? };
        piece.people.push(PersonRow { place, email: cells.get("email")? });
    }
    Ok(piece)
}

pub(super) fn read_linked_person<R: StoredRow>(row: &R) -> StoreResult<LinkedPerson> {
    let (cells, lead) = Cells::of_lead(row, "links")?;
    Ok(LinkedPerson { destination: cells.get("destination")?, lead, record: cells.record("object", "record_id")? })
}

pub(super) fn read_linked_lead<R: StoredRow>(row: &R) -> StoreResult<LinkedLead> {
    let (cells, key) = Cells::of_lead(row, "leads")?;
    Ok(LinkedLead {
        lead: read_lead(row, &key)?,
        record: cells.record("object", "record_id")?,
        has_job: cells.get("has_job")?,
    })
}

/// A row of the list of pairs, which [`super::pairs`] asks for.
pub(super) fn read_pair<R: StoredRow>(row: &R) -> StoreResult<SharedPair> {
    let cells = Cells::new(row, "suspects", "?");
    let other: Option<SourceName> = cells.get("other_source")?;
    let other_id: Option<LeadId> = cells.get("other_lead_id")?;
    Ok(SharedPair {
        kind: cells.parse("kind", SharedKind::parse)?,
        destination: cells.get("destination")?,
        by: cells.get("by")?,
        by_hand: cells.get("by_hand")?,
        since: cells.get("at")?,
        lead: PairedLead {
            lead: cells.lead()?,
            record: cells.record("object", "record_id")?,
            name: cells.get("name")?,
            email: cells.get("email")?,
        },
        other: PairedOther {
            lead: other.zip(other_id).map(|(source, id)| LeadKey { source, id }),
            record: cells.record("other_object", "other_record")?,
            name: cells.get("other_name")?,
            email: cells.get("other_email")?,
        },
    })
}
