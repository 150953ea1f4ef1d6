//! Committing what is about to be written outside.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};

use super::SqliteStore;
use super::settle::links::insert_new;
use crate::domain::ids::{DestinationName, LeadKey, ObjectName, RecordId, RequestId};
use crate::domain::plan::Link;
use crate::domain::time::Timestamp;
use crate::store::stored::{decisions_to_json, pairs_to_json};
use crate::store::{Announced, AnnouncedWrite, Announcement, LeaseToken, StoreResult};

/// One lead's part of an announcement, with its values as they are stored.
struct Part {
    call: Arc<Call>,
    lead: LeadKey,
    object: ObjectName,
    record: Option<RecordId>,
    rows: String,
    known: Option<(Link, Option<i64>)>,
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

pub(super) async fn announce(store: &SqliteStore, announcement: &Announcement) -> StoreResult<Vec<Option<Announced>>> {
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
        known: write.known.clone(),
        decisions: decisions_to_json(&write.decisions),
    };
    let parts = announcement.writes.iter().map(part).collect();
    store.writer.run_each(parts, announce_one).await.into_iter().collect()
}

fn announce_one(db: &mut Connection, part: &Part) -> StoreResult<Option<Announced>> {
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
    let intent = db.last_insert_rowid();
    let known = part.known.as_ref();
    let linked = known.map(|(link, planned_with)| note_link(db, part, link, *planned_with)).transpose()?.flatten();
    Ok(Some(Announced { intent, linked }))
}

/// Puts the link as the look before the write found it; answers its revision, `None` if it moved meanwhile or another
/// lead owns the record: then settling finds that, too.
fn note_link(db: &Connection, part: &Part, link: &Link, planned_with: Option<i64>) -> StoreResult<Option<i64>> {
    let (destination, lead) = (part.call.destination.as_str(), &part.lead);
    let Some(revision) = planned_with else {
        let inserted = insert_new(db, &part.call.destination, lead, link, part.call.now)?;
        return Ok(inserted.then_some(1));
    };
    let revision = db
        .prepare_cached(
            "UPDATE links SET bases = ?5, revision = revision + 1
              WHERE destination = ?1 AND source = ?2 AND lead_id = ?3 AND revision = ?4 RETURNING revision",
        )?
        .query_row(
            params![destination, lead.source.as_str(), lead.id.as_str(), revision, pairs_to_json(&link.bases)],
            |row| row.get(0),
        )
        .optional()?;
    Ok(revision)
}
