//! Marking leads dirty: something is owed.

use rusqlite::{Connection, params};

use super::SqliteStore;
use crate::domain::ids::{DestinationName, LeadKey};
use crate::domain::job::Class;
use crate::domain::time::Timestamp;
use crate::store::{DirtyMark, StoreResult};

/// After this a refusal is not believed any more when something new comes.
const REFUSAL_HOLDS_MICROS: i64 = 24 * 3600 * 1_000_000;

/// Why a lead is marked, which decides how much it hurries.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// An event, or a write that may have landed late: a back-off is waited for all the same.
    News,
    /// Somebody asked: due now, unless it is being worked on.
    Asked,
    /// A person asked: as [`Why::Asked`], and a remembered refusal is ignored.
    Forced,
}

pub(super) async fn mark(store: &SqliteStore, mark: &DirtyMark) -> StoreResult<u64> {
    let why = if mark.forced { Why::Forced } else { Why::Asked };
    let (class, now) = (mark.class, mark.now);
    let items: Vec<_> =
        mark.leads.iter().map(|lead| (mark.destination.clone(), lead.clone(), class, now, why)).collect();
    let outcomes = store
        .writer
        .run_each(items, |db, (destination, lead, class, now, why)| touch(db, destination, lead, *class, *now, *why))
        .await;
    store.wake_workers();
    let marked = outcomes.into_iter().collect::<StoreResult<Vec<()>>>()?;
    Ok(marked.len() as u64)
}

/// Makes the lead's job owed. One that is being worked on keeps its lease and will be owed again when it settles.
pub(super) fn touch(
    db: &Connection,
    destination: &DestinationName,
    lead: &LeadKey,
    class: Class,
    now: Timestamp,
    why: Why,
) -> StoreResult<()> {
    let mut upsert = db.prepare_cached(
        "INSERT INTO jobs (destination, source, lead_id, state, lane, class, due_at, attempt, wanted, owed_since,
                           suspicion, forced)
         VALUES (?1, ?2, ?3, 'owed',
                 EXISTS (SELECT 1 FROM links WHERE destination = ?1 AND source = ?2 AND lead_id = ?3),
                 ?4, ?5, 0, 1, ?5, 0, ?6)
         ON CONFLICT (destination, source, lead_id) DO UPDATE SET
             wanted = wanted + 1,
             class = CASE state WHEN 'owed' THEN min(class, excluded.class) ELSE excluded.class END,
             due_at = CASE WHEN state <> 'owed' THEN excluded.due_at
                           WHEN lease_token IS NOT NULL OR ?7 THEN due_at
                           ELSE min(due_at, excluded.due_at) END,
             attempt = CASE state WHEN 'owed' THEN attempt ELSE 0 END,
             owed_since = CASE state WHEN 'owed' THEN owed_since ELSE excluded.owed_since END,
             first_failed_at = CASE state WHEN 'owed' THEN first_failed_at END,
             code = CASE state WHEN 'owed' THEN code END,
             detail = CASE state WHEN 'owed' THEN detail END,
             suspicion = CASE state WHEN 'owed' THEN suspicion ELSE 0 END,
             forced = forced OR excluded.forced
                      OR (state = 'dead' AND coalesce(refusal ->> '$.at' < excluded.due_at - ?8, 0)),
             state = 'owed', ended_at = NULL, look_again_at = NULL",
    )?;
    upsert.execute(params![
        destination.as_str(),
        lead.source.as_str(),
        lead.id.as_str(),
        super::rows::class_number(class),
        now.as_micros(),
        why == Why::Forced,
        why == Why::News,
        REFUSAL_HOLDS_MICROS,
    ])?;
    Ok(())
}
