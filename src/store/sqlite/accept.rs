//! Storing events, many requests in one commit.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::dirty::{self, Why};
use super::erase;
use super::writer::connection::{begin, commit, roll_back};
use crate::domain::ids::{EventId, LeadId, LeadKey, SourceName};
use crate::domain::job::Class;
use crate::store::erased::{ErasureKey, counted_as, without_data};
use crate::store::requests::IntakeRequest;
use crate::store::stored::headers_to_json;
use crate::store::{EventReceipt, EventState, NewEvent, StoreError, StoreResult};

const HOUR_MICROS: i64 = 3_600_000_000;

/// What one commit of intake did.
pub(super) struct Stored {
    /// What each request is answered, in the order given.
    pub(super) receipts: Vec<StoreResult<Vec<EventReceipt>>>,
    pub(super) events: usize,
    pub(super) made_due: bool,
}

/// Stores all requests in one commit. If one event of them is refused for another reason than the disk, they are repeated
/// one by one, and what fails alone is kept as bytes.
///
/// [`StoreError::Unavailable`]: nobody knows what of it is on disk, and the connection must not be used any more.
pub(super) fn store_batch(db: &mut Connection, requests: &[IntakeRequest]) -> StoreResult<Stored> {
    let mut batch = Batch::default();
    begin(db)?;
    let receipts: StoreResult<Vec<_>> = requests
        .iter()
        .map(|request| request.events.iter().map(|event| batch.store(db, event)).collect::<StoreResult<Vec<_>>>())
        .collect();
    match receipts.and_then(|receipts| batch.count_up(db).map(|()| receipts)) {
        Ok(receipts) => {
            commit(db)?;
            let receipts = receipts.into_iter().map(Ok).collect();
            Ok(Stored { receipts, events: batch.events, made_due: batch.made_due })
        }
        Err(error @ StoreError::Unavailable(_)) => Err(error),
        Err(error) => {
            tracing::warn!("a batch of events was refused and is stored one by one: {error}");
            give_up_transaction(db)?;
            store_apart(db, requests)
        }
    }
}

fn give_up_transaction(db: &Connection) -> StoreResult<()> {
    if roll_back(db) { Ok(()) } else { Err(StoreError::Unavailable("cannot roll back".to_owned())) }
}

/// A transaction for each request, so that none suffers from another.
fn store_apart(db: &mut Connection, requests: &[IntakeRequest]) -> StoreResult<Stored> {
    let mut stored = Stored { receipts: Vec::new(), events: 0, made_due: false };
    for request in requests {
        let mut batch = Batch::default();
        begin(db)?;
        let receipts = request.events.iter().map(|event| batch.store_at_any_rate(db, event)).collect();
        let receipts: StoreResult<Vec<_>> =
            Result::and_then(receipts, |receipts| batch.count_up(db).map(|()| receipts));
        match receipts {
            Ok(receipts) => {
                commit(db)?;
                stored.events += batch.events;
                stored.made_due |= batch.made_due;
                stored.receipts.push(Ok(receipts));
            }
            Err(error @ StoreError::Unavailable(_)) => return Err(error),
            Err(error) => {
                tracing::error!("events could not be stored even as bytes: {error}");
                give_up_transaction(db)?;
                stored.receipts.push(Err(error));
            }
        }
    }
    Ok(stored)
}

/// What one transaction gathers.
#[derive(Default)]
struct Batch {
    events: usize,
    made_due: bool,
    /// By source, hour and what became of the event.
    counts: HashMap<(SourceName, i64, &'static str), i64>,
    /// The key of tombstones, if there are any; once it was looked for.
    key: Option<Option<ErasureKey>>,
}

impl Batch {
    fn store(&mut self, db: &Connection, event: &NewEvent) -> StoreResult<EventReceipt> {
        if let Some(alias) = self.alias_of(db, event)? {
            let id = insert_event(db, &without_data(event, alias))?;
            self.events += 1;
            self.count(event, counted_as(EventState::Erased));
            return Ok(EventReceipt { id, duplicate: false, erased: true });
        }
        if let Some(sender_id) = &event.sender_id {
            match find_repeated(db, event, sender_id)? {
                Seen::Repeated(id) => {
                    self.count(event, "duplicate");
                    return Ok(EventReceipt { id, duplicate: true, erased: false });
                }
                Seen::OtherContent => self.count(event, "reused_id"),
                Seen::New => {}
            }
        }
        let id = insert_event(db, event)?;
        if event.state == EventState::Stored
            && let Some(lead) = &event.lead
        {
            let lead = LeadKey { source: event.source.clone(), id: lead.clone() };
            for destination in &event.destinations {
                dirty::touch(db, destination, &lead, Class::Live, event.received_at, Why::News)?;
                self.made_due = true;
            }
        }
        self.events += 1;
        self.count(event, event.state.as_str());
        Ok(EventReceipt { id, duplicate: false, erased: false })
    }

    /// The name of the event's lead, if that was erased.
    fn alias_of(&mut self, db: &Connection, event: &NewEvent) -> StoreResult<Option<LeadId>> {
        let Some(lead) = &event.lead else { return Ok(None) };
        if self.key.is_none() {
            self.key = Some(erase::key_in_use(db)?);
        }
        match self.key.iter().flatten().next() {
            Some(key) => erase::alias_of(db, key, &event.source, lead),
            None => Ok(None),
        }
    }

    /// Keeps the bytes of what cannot be stored as what it is.
    fn store_at_any_rate(&mut self, db: &Connection, event: &NewEvent) -> StoreResult<EventReceipt> {
        db.execute_batch("SAVEPOINT event")?;
        let stored = match self.store(db, event) {
            Err(error @ (StoreError::Database(_) | StoreError::Corrupt { .. })) => {
                db.execute_batch("ROLLBACK TO event")?;
                tracing::error!(source = %event.source, "an event of {} is quarantined: {error}", event.source);
                self.store(db, &as_bytes(event, &error))
            }
            stored => stored,
        }?;
        db.execute_batch("RELEASE event")?;
        Ok(stored)
    }

    fn count(&mut self, event: &NewEvent, what: &'static str) {
        let hour = event.received_at.as_micros().div_euclid(HOUR_MICROS).saturating_mul(HOUR_MICROS);
        *self.counts.entry((event.source.clone(), hour, what)).or_default() += 1;
    }

    fn count_up(&self, db: &Connection) -> StoreResult<()> {
        let mut add = db.prepare_cached(
            "INSERT INTO source_counts (source, hour, state, n) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET n = n + excluded.n",
        )?;
        for ((source, hour, what), n) in &self.counts {
            add.execute(params![source.as_str(), hour, what, n])?;
        }
        Ok(())
    }
}

/// The event without anything that was read of it.
fn as_bytes(event: &NewEvent, error: &StoreError) -> NewEvent {
    NewEvent {
        lead: None,
        event_type: None,
        sender_id: None,
        state: EventState::Quarantined,
        reason: Some(format!("it could not be stored: {error}")),
        destinations: Vec::new(),
        ..event.clone()
    }
}

enum Seen {
    New,
    Repeated(EventId),
    OtherContent,
}

/// Whether the sender's ID came before, with this content and no other event of the lead since.
fn find_repeated(db: &Connection, event: &NewEvent, sender_id: &str) -> StoreResult<Seen> {
    // Most IDs are new, so that is asked first.
    let came_before = db
        .prepare_cached("SELECT 1 FROM event_keys WHERE source = ?1 AND sender_id = ?2 LIMIT 1")?
        .exists(params![event.source.as_str(), sender_id])?;
    if !came_before {
        return Ok(Seen::New);
    }
    let same: Option<(i64, String)> = db
        .prepare_cached(
            "SELECT k.event_id, e.state FROM event_keys k JOIN events e ON e.id = k.event_id
              WHERE k.source = ?1 AND k.sender_id = ?2 AND k.content_hash = ?3",
        )?
        .query_row(params![event.source.as_str(), sender_id, event.content_hash], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((id, state)) = same else { return Ok(Seen::OtherContent) };
    // What could not be read then and can be now is news.
    if event.state == EventState::Stored && matches!(state.as_str(), "quarantined" | "ignored") {
        return Ok(Seen::New);
    }
    // What changes no lead says the same whatever happened since.
    let changes = !matches!(event.state, EventState::Quarantined | EventState::Ignored);
    let moved_on = match event.lead.as_ref().filter(|_| changes) {
        None => false,
        Some(lead) => db
            .prepare_cached(
                "SELECT 1 FROM events WHERE source = ?1 AND lead_id = ?2 AND id > ?3
                    AND state NOT IN ('quarantined', 'ignored') LIMIT 1",
            )?
            .exists(params![event.source.as_str(), lead.as_str(), id])?,
    };
    Ok(if moved_on { Seen::New } else { Seen::Repeated(EventId(id)) })
}

fn insert_event(db: &Connection, event: &NewEvent) -> StoreResult<EventId> {
    db.prepare_cached(
        "INSERT INTO events (source, lead_id, kind, state, event_type, sender_id, content_hash, received_at, request_id,
                             reason, size)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?
    .execute(params![
        event.source.as_str(),
        event.lead.as_ref().map(|lead| lead.as_str()),
        event.kind.as_str(),
        event.state.as_str(),
        event.event_type,
        event.sender_id,
        event.content_hash,
        event.received_at.as_micros(),
        event.request_id.as_str(),
        event.reason,
        i64::try_from(event.body.len()).unwrap_or(i64::MAX),
    ])?;
    let id = db.last_insert_rowid();
    db.prepare_cached("INSERT INTO bodies (event_id, headers, body) VALUES (?1, ?2, ?3)")?.execute(params![
        id,
        headers_to_json(&event.headers),
        &event.body[..]
    ])?;
    if let Some(sender_id) = &event.sender_id {
        // The newest event counts: a third copy repeats the second one, not the first.
        db.prepare_cached(
            "INSERT INTO event_keys (source, sender_id, content_hash, event_id, received_at) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO UPDATE SET event_id = excluded.event_id, received_at = excluded.received_at",
        )?
        .execute(params![event.source.as_str(), sender_id, event.content_hash, id, event.received_at.as_micros()])?;
    }
    Ok(EventId(id))
}

#[cfg(test)]
mod tests;
