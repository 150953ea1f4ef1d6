//! Committing what is about to be written outside.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};

use super::SqliteStore;
use crate::domain::ids::{DestinationName, LeadKey, ObjectName, RecordId, RequestId};
use crate::domain::plan::Decision;
use crate::domain::time::Timestamp;
use crate::store::stored::{Pairs, decisions_to_json, pairs_to_json};
use crate::store::{AnnouncedWrite, Announcement, IntentId, LeaseToken, StoreResult};

/// One lead's part of an announcement, with its values as they are stored.
struct Part {
    call: Arc<Call>,
    lead: LeadKey,
    object: ObjectName,
    record: Option<RecordId>,
    rows: String,
    decisions: String,
}

/// What all parts of an announcement share.
struct Call {
    destination: DestinationName,
    token: LeaseToken,
    now: Timestamp,
    lease_ends_at: Timestamp,
    request_id: RequestId,
}

pub(super) async fn announce(store: &SqliteStore, announcement: &Announcement) -> StoreResult<Vec<Option<IntentId>>> {
    let call = Arc::new(Call {
        destination: announcement.destination.clone(),
        token: announcement.token,
        now: announcement.now,
        lease_ends_at: announcement.lease_ends_at,
        request_id: announcement.request_id.clone(),
    });
    let part = |write: &AnnouncedWrite| Part {
        call: Arc::clone(&call),
        lead: write.lead.clone(),
        object: write.object.clone(),
        record: write.record.as_ref().map(|record| record.id.clone()),
        rows: pairs_to_json(&write.rows),
        decisions: decisions_to_json(&beside_rows(write)),
    };
    let parts = announcement.writes.iter().map(part).collect();
    store.writer.run_each(parts, announce_one).await.into_iter().collect()
}

fn announce_one(db: &mut Connection, part: &Part) -> StoreResult<Option<IntentId>> {
    let Part { call, lead, .. } = part;
    let token = call.token.as_bytes().as_slice();
    let attempt: Option<i64> = db
        .prepare_cached(
            "UPDATE jobs SET due_at = ?6
              WHERE destination = ?1 AND source = ?2 AND lead_id = ?3 AND lease_token = ?4 AND due_at > ?5
          RETURNING attempt",
        )?
        .query_row(
            params![
                call.destination.as_str(),
                lead.source.as_str(),
                lead.id.as_str(),
                token,
                call.now.as_micros(),
                call.lease_ends_at.as_micros(),
            ],
            |row| row.get(0),
        )
        .optional()?;
    let Some(attempt) = attempt else { return Ok(None) };
    db.prepare_cached(
        "INSERT INTO intents (destination, source, lead_id, request_id, lease_token, object, record_id, value_pairs,
                              decisions, attempt, announced_at, settled)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, 0)",
    )?
    .execute(params![
        call.destination.as_str(),
        lead.source.as_str(),
        lead.id.as_str(),
        call.request_id.as_str(),
        token,
        part.object.as_str(),
        part.record.as_ref().map(|record| record.as_str()),
        part.rows,
        part.decisions,
        attempt,
        call.now.as_micros(),
    ])?;
    Ok(Some(db.last_insert_rowid()))
}

/// The decisions without the values that the announced rows hold as well: an intent lives for moments, and is large.
fn beside_rows(write: &AnnouncedWrite) -> Vec<Decision> {
    let beside = |decision: &Decision| {
        let is_in_row = write.rows.get(&decision.field).is_some_and(|pair| {
            decision.lead.as_ref() == Some(&pair.lead) && decision.written.as_ref() == Some(&pair.crm)
        });
        if !is_in_row {
            return decision.clone();
        }
        Decision {
            field: decision.field.clone(),
            base: decision.base.clone(),
            lead: None,
            crm: decision.crm.clone(),
            written: None,
            rule: decision.rule,
            note: decision.note.clone(),
        }
    };
    write.decisions.iter().map(beside).collect()
}

/// The decisions as they were announced.
pub(super) fn with_rows(mut decisions: Vec<Decision>, rows: &Pairs) -> Vec<Decision> {
    for decision in decisions.iter_mut().filter(|decision| decision.lead.is_none() && decision.written.is_none()) {
        // What is announced is written, so this one was left to its row.
        if let Some(pair) = rows.get(&decision.field) {
            decision.lead = Some(pair.lead.clone());
            decision.written = Some(pair.crm.clone());
        }
    }
    decisions
}
