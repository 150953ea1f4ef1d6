//! Putting a lead back to be folded anew.

use rusqlite::{Connection, OptionalExtension, params};

use super::SqliteStore;
use super::dirty::{self, Why};
use super::erase;
use crate::domain::ids::{DestinationName, EventId, LeadKey};
use crate::domain::job::Class;
use crate::domain::lead::Lead;
use crate::domain::time::Timestamp;
use crate::store::{EventState, Reread, StoreResult};

pub(super) async fn replay(
    store: &SqliteStore,
    id: EventId,
    reread: Reread,
    destinations: &[DestinationName],
    now: Timestamp,
) -> StoreResult<Option<()>> {
    let destinations = destinations.to_vec();
    let replayed = store.writer.run(move |db| replay_one(db, id, &reread, &destinations, now)).await?;
    if replayed.is_none() {
        erase::empty_journal(store).await;
    }
    store.wake_workers();
    Ok(replayed)
}

fn replay_one(
    db: &mut Connection,
    id: EventId,
    reread: &Reread,
    destinations: &[DestinationName],
    now: Timestamp,
) -> StoreResult<Option<()>> {
    let found: Option<(String, Option<String>)> = db
        .prepare_cached("SELECT source, lead_id FROM events WHERE id = ?1 AND state <> 'erased'")?
        .query_row([id.0], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((source, lead_before)) = found else { return Ok(None) };
    let lead_now = reread.lead.as_ref().map(|lead| LeadKey::new(source.as_str(), lead.as_str()));
    let lead_before = lead_before.map(|lead| LeadKey::new(source.as_str(), lead.as_str()));
    let lead_before = lead_before.filter(|lead| Some(lead) != lead_now.as_ref());
    let erased_as = lead_now.as_ref().map_or(Ok(None), |lead| erase::erased_as(db, lead))?;
    match &erased_as {
        Some(alias) => drop(erase::empty_events(db, &[id.0], alias)?),
        None => put_back(db, id, reread)?,
    }
    let lead_now = lead_now.filter(|_| erased_as.is_none());
    for lead in lead_before.iter().chain(&lead_now) {
        unfold(db, lead)?;
        for destination in destinations {
            dirty::touch(db, destination, lead, Class::Backfill, now, Why::Forced)?;
        }
    }
    Ok(erased_as.is_none().then_some(()))
}

/// Stores what was read of the event now.
fn put_back(db: &Connection, id: EventId, reread: &Reread) -> StoreResult<()> {
    // What is no change is put aside; the lead is read anew without it.
    let state = match reread.state {
        EventState::Folded | EventState::Stale => EventState::Stored,
        state => state,
    };
    db.prepare_cached(
        "UPDATE events SET lead_id = ?2, kind = ?3, event_type = ?4, state = ?5, reason = ?6 WHERE id = ?1",
    )?
    .execute(params![
        id.0,
        reread.lead.as_ref().map(|lead| lead.as_str()),
        reread.kind.as_str(),
        reread.event_type,
        state.as_str(),
        reread.reason,
    ])?;
    Ok(())
}

/// Puts the lead's events back, and empties its document if all that it was folded from is still kept.
fn unfold(db: &Connection, lead: &LeadKey) -> StoreResult<()> {
    let key = params![lead.source.as_str(), lead.id.as_str()];
    db.prepare_cached(
        "UPDATE events SET state = 'stored' WHERE source = ?1 AND lead_id = ?2 AND state IN ('folded', 'stale')",
    )?
    .execute(key)?;
    // The row stays and its revision moves on, so that no fold which is under way can save over this.
    db.prepare_cached(
        "UPDATE leads SET revision = revision + 1,
                document = CASE WHEN EXISTS (SELECT 1 FROM json_each(document, '$.stamps') s
                                              WHERE NOT EXISTS (SELECT 1 FROM events WHERE id = s.value ->> '$.event'))
                                THEN document ELSE ?3 END
          WHERE source = ?1 AND lead_id = ?2",
    )?
    .execute(params![lead.source.as_str(), lead.id.as_str(), Lead::new(lead.clone()).to_json()])?;
    Ok(())
}
