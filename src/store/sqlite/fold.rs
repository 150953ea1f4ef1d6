//! Saving folded leads.

use rusqlite::{Connection, params};

use super::SqliteStore;
use crate::domain::ids::{EventId, LeadKey};
use crate::store::{EventState, FoldedLead, StoreResult};

/// A folded lead as it is stored.
struct Row {
    key: LeadKey,
    expected: Option<i64>,
    document: String,
    name: Option<String>,
    email: Option<String>,
    deleted: bool,
    updated_at: i64,
    events: Vec<(EventId, EventState)>,
}

pub(super) async fn save(store: &SqliteStore, folded: &[FoldedLead]) -> StoreResult<Vec<bool>> {
    let row = |folded: &FoldedLead| Row {
        key: folded.lead.key.clone(),
        expected: folded.expected,
        document: folded.lead.to_json(),
        name: folded.name.clone(),
        email: folded.email.clone(),
        deleted: folded.lead.is_deleted(),
        updated_at: newest_arrival(folded),
        events: folded.events.clone(),
    };
    store.writer.run_each(folded.iter().map(row).collect(), save_one).await.into_iter().collect()
}

/// Compare-and-swap on the revision, so that a fold never goes backwards.
fn save_one(db: &mut Connection, row: &Row) -> StoreResult<bool> {
    let (source, lead) = (row.key.source.as_str(), row.key.id.as_str());
    let saved = match row.expected {
        None if !all_its_own(db, row)? => 0,
        None => db
            .prepare_cached(
                "INSERT INTO leads (source, lead_id, revision, document, name, email, deleted, updated_at)
                 VALUES (?1, ?2, 1, ?3, ?4, ?5, ?6, ?7)
                 ON CONFLICT DO NOTHING",
            )?
            .execute(params![source, lead, row.document, row.name, row.email, row.deleted, row.updated_at])?,
        Some(revision) => db
            .prepare_cached(
                "UPDATE leads SET revision = revision + 1, document = ?3, name = ?4, email = ?5, deleted = ?6,
                                  updated_at = ?7
                  WHERE source = ?1 AND lead_id = ?2 AND revision = ?8",
            )?
            .execute(params![source, lead, row.document, row.name, row.email, row.deleted, row.updated_at, revision])?,
    };
    if saved == 0 {
        return Ok(false);
    }
    let mut mark = db.prepare_cached("UPDATE events SET state = ?2 WHERE id = ?1 AND state = 'stored'")?;
    for (event, state) in &row.events {
        mark.execute(params![event.0, state.as_str()])?;
    }
    Ok(true)
}

/// Whether the events are the lead's still: those of one that was erased meanwhile are not, and it must not come back.
fn all_its_own(db: &Connection, row: &Row) -> StoreResult<bool> {
    let mut its_own = db.prepare_cached("SELECT 1 FROM events WHERE id = ?1 AND source = ?2 AND lead_id = ?3")?;
    for (event, _) in &row.events {
        if !its_own.exists(params![event.0, row.key.source.as_str(), row.key.id.as_str()])? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// When the newest event arrived that the lead knows of.
fn newest_arrival(folded: &FoldedLead) -> i64 {
    let lead = &folded.lead;
    let stamps = [&lead.latest, &lead.deleted, &lead.floor].into_iter().flatten();
    let stamps = stamps.chain(lead.fields.values().map(|field| &field.stamp));
    stamps.map(|stamp| stamp.arrived_at.as_micros()).max().unwrap_or(0)
}
