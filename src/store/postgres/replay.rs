//! Putting a lead back to be folded anew.

use std::collections::{BTreeSet, HashSet};

use sqlx::PgConnection;

use super::PostgresStore;
use super::dirty::{self, Why};
use super::erase;
use super::rows::{cannot_be, readable_option};
use super::time::Time;
use crate::domain::ids::{DestinationName, EventId, LeadKey};
use crate::domain::job::Class;
use crate::domain::lead::Lead;
use crate::domain::time::Timestamp;
use crate::store::{EventState, Reread, StoreResult};

pub(super) async fn replay(
    store: &PostgresStore,
    id: EventId,
    reread: Reread,
    destinations: &[DestinationName],
    now: Timestamp,
) -> StoreResult<Option<()>> {
    let mut transaction = store.pool.begin().await?;
    let replayed = replay_one(&mut transaction, id, &storable(reread), destinations, now).await?;
    transaction.commit().await?;
    store.wake_workers();
    Ok(replayed)
}

/// What PostgreSQL can hold of it: a lead or a type with U+0000 it cannot.
fn storable(reread: Reread) -> Reread {
    let identity = [reread.lead.as_ref().map(|lead| lead.as_str()), reread.event_type.as_deref()];
    if !identity.into_iter().flatten().any(cannot_be) {
        return reread;
    }
    let reason = Some("it cannot be stored: its lead or type contains U+0000".to_owned());
    Reread { lead: None, event_type: None, state: EventState::Quarantined, reason, ..reread }
}

async fn replay_one(
    db: &mut PgConnection,
    id: EventId,
    reread: &Reread,
    destinations: &[DestinationName],
    now: Timestamp,
) -> StoreResult<Option<()>> {
    let found: Option<(String, Option<String>, Time)> =
        sqlx::query_as("SELECT source, lead_id, received_at FROM events WHERE id = $1 AND state <> 'erased'")
            .bind(id.0)
            .fetch_optional(&mut *db)
            .await?;
    let Some((source, lead_before, received_at)) = found else { return Ok(None) };
    let lead_now = reread.lead.as_ref().map(|lead| LeadKey::new(source.as_str(), lead.as_str()));
    let lead_before = lead_before.map(|lead| LeadKey::new(source.as_str(), lead.as_str()));
    let mut leads: Vec<LeadKey> =
        lead_before.into_iter().chain(lead_now.clone()).collect::<BTreeSet<_>>().into_iter().collect();
    // Leads before their events, as whoever saves them takes them.
    for lead in &leads {
        lock(db, lead).await?;
    }
    let erased = erase::find_erased(db, lead_now.as_slice()).await?;
    leads.retain(|lead| !erased.contains_key(lead));
    match erased.values().next() {
        Some(alias) => drop(erase::empty_events(db, &[id.0], alias).await?),
        None => put_back(db, id, received_at, reread).await?,
    }
    for lead in &leads {
        unfold(db, lead).await?;
    }
    let mut destinations: Vec<&DestinationName> = destinations.iter().collect();
    destinations.sort();
    for destination in destinations {
        dirty::touch_many(db, destination, &leads, Class::Backfill, now, Why::Forced).await?;
    }
    Ok(erased.is_empty().then_some(()))
}

/// Stores what was read of the event now.
async fn put_back(db: &mut PgConnection, id: EventId, received_at: Time, reread: &Reread) -> StoreResult<()> {
    // What is no change is put aside; the lead is read anew without it.
    let state = match reread.state {
        EventState::Folded | EventState::Stale => EventState::Stored,
        state => state,
    };
    sqlx::query(
        "UPDATE events SET lead_id = $3, kind = $4, event_type = $5, state = $6, reason = $7
          WHERE id = $1 AND received_at = $2",
    )
    .bind(id.0)
    .bind(received_at)
    .bind(reread.lead.as_ref().map(|lead| lead.as_str()))
    .bind(reread.kind.as_str())
    .bind(reread.event_type.as_deref())
    .bind(state.as_str())
    .bind(readable_option(reread.reason.as_deref()))
    .execute(db)
    .await?;
    Ok(())
}

/// Locks the lead's row; answers its document. Nobody folds the lead meanwhile.
async fn lock(db: &mut PgConnection, lead: &LeadKey) -> StoreResult<Option<String>> {
    let document = sqlx::query_scalar("SELECT document::text FROM leads WHERE source = $1 AND lead_id = $2 FOR UPDATE")
        .bind(lead.source.as_str())
        .bind(lead.id.as_str())
        .fetch_optional(db)
        .await?;
    Ok(document)
}

/// Puts the lead's events back, and empties its document if all that it was folded from is still kept.
async fn unfold(db: &mut PgConnection, lead: &LeadKey) -> StoreResult<()> {
    sqlx::query(
        "UPDATE events SET state = 'stored' WHERE source = $1 AND lead_id = $2 AND state IN ('folded', 'stale')",
    )
    .bind(lead.source.as_str())
    .bind(lead.id.as_str())
    .execute(&mut *db)
    .await?;
    let Some(document) = lock(db, lead).await? else { return Ok(()) };
    let empty = all_kept(db, lead, &document).await?.then(|| Lead::new(lead.clone()).to_json());
    // The row stays and its revision moves on, so that no fold which is under way can save over this.
    sqlx::query(
        "UPDATE leads SET revision = revision + 1, document = coalesce($3::json, document)
          WHERE source = $1 AND lead_id = $2",
    )
    .bind(lead.source.as_str())
    .bind(lead.id.as_str())
    .bind(empty)
    .execute(db)
    .await?;
    Ok(())
}

/// Whether every event that the document was folded from is still kept. Read here, since PostgreSQL's functions for JSON
/// fail at U+0000. A document that cannot be read is left as it is.
async fn all_kept(db: &mut PgConnection, lead: &LeadKey, document: &str) -> StoreResult<bool> {
    let Ok(folded) = Lead::from_json(lead.clone(), document) else { return Ok(false) };
    let stamps = [&folded.latest, &folded.deleted, &folded.floor].into_iter().flatten();
    let fields = folded.fields.values().chain(folded.lasting.values());
    let events: HashSet<i64> = stamps.chain(fields.map(|field| &field.stamp)).map(|stamp| stamp.arrival.0).collect();
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM events WHERE id = ANY ($1)")
        .bind(events.iter().copied().collect::<Vec<_>>())
        .fetch_one(db)
        .await?;
    Ok(kept == events.len() as i64)
}
