//! Erasing a lead: what is personal goes, what was done stays as a fact under another name.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use super::settle::links::{Parting, find_heir, hand_over, owe_deleted_owner, unlink};
use super::{SqliteStore, refused, runs};
use crate::domain::ids::{DestinationName, LeadId, LeadKey, RecordRef, SourceName};
use crate::store::erased::{ERASED, ErasureKey, Telling, alias, renamed, without_owner};
use crate::store::{Erased, Erasure, StoreError, StoreResult};

/// How many bodies that nobody could read are looked through at once.
const BODIES: i64 = 200;

pub(super) async fn erase(store: &SqliteStore, erasure: &Erasure) -> StoreResult<Option<Erased>> {
    let found = find_unread(store, &erasure.lead).await?;
    let erasure = erasure.clone();
    let erased = store.writer.run(move |db| erase_one(db, &erasure, &found)).await?;
    if erased.is_some() {
        empty_journal(store).await;
    }
    store.wake_workers();
    Ok(erased)
}

/// What the journal still holds of what was erased goes with it.
pub(super) async fn empty_journal(store: &SqliteStore) {
    let path = store.path.clone();
    let emptied = tokio::task::spawn_blocking(move || truncate_journal(&path)).await;
    if let Err(error) = emptied.map_err(|error| StoreError::Database(Box::new(error))).and_then(|emptied| emptied) {
        tracing::warn!("the journal beside the database may hold an erased lead until it is written over: {error}");
    }
}

fn truncate_journal(path: &Path) -> StoreResult<()> {
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    db.busy_timeout(Duration::from_secs(5))?;
    let busy: i64 = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if busy == 0 { Ok(()) } else { Err(StoreError::Unavailable("it is being read".to_owned())) }
}

/// What tells of a lead without being its own.
struct Unread {
    /// Events of which no lead could be read.
    copies: Vec<i64>,
    /// Refused requests that are held.
    refused: Vec<i64>,
    /// The last of these that was looked at, and by what others are known.
    seen: i64,
    telling: Telling,
}

async fn find_unread(store: &SqliteStore, lead: &LeadKey) -> StoreResult<Unread> {
    let email: Option<Option<String>> = sqlx::query_scalar("SELECT email FROM leads WHERE source = ? AND lead_id = ?")
        .bind(lead.source.as_str())
        .bind(lead.id.as_str())
        .fetch_optional(&store.readers)
        .await?;
    let telling = Telling::of(lead, email.flatten().as_deref());
    let (refused, seen) = refused::find_telling(store, &telling).await?;
    let (mut copies, mut after) = (Vec::new(), 0i64);
    loop {
        let bodies: Vec<(i64, Vec<u8>)> = sqlx::query_as(
            "SELECT e.id, b.body FROM events e JOIN bodies b ON b.event_id = e.id
              WHERE e.source = ? AND e.lead_id IS NULL AND e.id > ? ORDER BY e.id LIMIT ?",
        )
        .bind(lead.source.as_str())
        .bind(after)
        .bind(BODIES)
        .fetch_all(&store.readers)
        .await?;
        let Some((last, _)) = bodies.last() else { return Ok(Unread { copies, refused, seen, telling }) };
        after = *last;
        copies.extend(bodies.iter().filter(|(_, body)| telling.own.are_in(body)).map(|(id, _)| *id));
    }
}

/// The store's key, made now if there is none.
fn key_of(db: &Connection) -> StoreResult<ErasureKey> {
    db.prepare_cached("INSERT INTO erasure_key (id, secret) VALUES (1, ?1) ON CONFLICT DO NOTHING")?
        .execute([ErasureKey::new().as_bytes()])?;
    let stored = db.prepare_cached("SELECT secret FROM erasure_key WHERE id = 1")?.query_row([], |row| row.get(0))?;
    Ok(ErasureKey::stored(stored))
}

/// The key, if any lead was ever erased.
pub(super) fn key_in_use(db: &Connection) -> StoreResult<Option<ErasureKey>> {
    let stored = db
        .prepare_cached("SELECT secret FROM erasure_key WHERE id = 1 AND EXISTS (SELECT 1 FROM erased)")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(stored.map(ErasureKey::stored))
}

/// The name that an erased lead has now; `None`: it was not erased.
pub(super) fn alias_of(
    db: &Connection,
    key: &ErasureKey,
    source: &SourceName,
    lead: &LeadId,
) -> StoreResult<Option<LeadId>> {
    let digest = key.digest(source.as_str(), lead.as_str());
    let erased = db
        .prepare_cached("SELECT 1 FROM erased WHERE source = ?1 AND digest = ?2")?
        .exists(params![source.as_str(), digest])?;
    Ok(erased.then(|| alias(&digest)))
}

/// The same for a single lead.
pub(super) fn erased_as(db: &Connection, lead: &LeadKey) -> StoreResult<Option<LeadId>> {
    let Some(key) = key_in_use(db)? else { return Ok(None) };
    alias_of(db, &key, &lead.source, &lead.id)
}

fn erase_one(db: &Connection, erasure: &Erasure, found: &Unread) -> StoreResult<Option<Erased>> {
    let lead = &erasure.lead;
    let of_lead = params![lead.source.as_str(), lead.id.as_str()];
    let known = db
        .prepare_cached(
            "SELECT 1 FROM events WHERE source = ?1 AND lead_id = ?2 UNION ALL
             SELECT 1 FROM leads WHERE source = ?1 AND lead_id = ?2 LIMIT 1",
        )?
        .exists(of_lead)?;
    let since = refused::find_telling_since(db, &found.telling, found.seen)?;
    if !known && found.refused.is_empty() && since.is_empty() {
        return Ok(None);
    }
    refused::release(db, &[&found.refused[..], &since].concat())?;
    let digest = key_of(db)?.digest(lead.source.as_str(), lead.id.as_str());
    db.prepare_cached("INSERT INTO erased (source, digest, at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?
        .execute(params![lead.source.as_str(), digest, erasure.now.as_micros()])?;
    let new = LeadKey { source: lead.source.clone(), id: alias(&digest) };
    part(db, erasure, &new)?;
    rename_in_others(db, lead, &new.id)?;
    runs::forget_lead(db, lead)?;
    for table in ["jobs", "intents", "conflicts", "left_alone", "leads", "strangers"] {
        db.prepare_cached(&format!("DELETE FROM {table} WHERE source = ?1 AND lead_id = ?2"))?.execute(of_lead)?;
    }
    // A search that came to this lead goes on from the one before it.
    db.prepare_cached(
        "UPDATE searches SET (source, lead_id) = (
             SELECT source, lead_id FROM (SELECT source, lead_id FROM leads WHERE (source, lead_id) < (?1, ?2)
                                           ORDER BY source DESC, lead_id DESC LIMIT 1)
              UNION ALL SELECT '', '' LIMIT 1)
          WHERE source = ?1 AND lead_id = ?2",
    )?
    .execute(of_lead)?;
    for table in ["suspects", "told_apart"] {
        db.prepare_cached(&format!(
            "DELETE FROM {table} WHERE (source = ?1 AND lead_id = ?2) OR (other_source = ?1 AND other_lead_id = ?2)"
        ))?
        .execute(of_lead)?;
    }
    let events = erase_events(db, lead, &new.id, &found.copies)?;
    db.prepare_cached(
        "DELETE FROM sync_log_bodies WHERE log_id IN (SELECT id FROM sync_log WHERE lead_id = ?2 AND source = ?1)",
    )?
    .execute(of_lead)?;
    let log_rows = db
        .prepare_cached("UPDATE sync_log SET lead_id = ?3, error = NULL WHERE lead_id = ?2 AND source = ?1")?
        .execute(params![lead.source.as_str(), lead.id.as_str(), new.id.as_str()])?;
    db.prepare_cached(
        "UPDATE audit SET lead_id = ?3, target = CASE WHEN target LIKE 'lead %' THEN 'lead ' || ?1 || '/' || ?3 ELSE target END
          WHERE source = ?1 AND lead_id = ?2",
    )?
    .execute(params![lead.source.as_str(), lead.id.as_str(), new.id.as_str()])?;
    db.prepare_cached("UPDATE runs SET position = NULL WHERE state <> 'running' AND instr(position, ?1) > 0")?
        .execute([lead.id.as_str()])?;
    Ok(Some(Erased { known_as: new, events, log_rows: log_rows as u64 }))
}

/// Hands on what the lead owned and unlinks it everywhere; of its records no question tells a name any more.
fn part(db: &Connection, erasure: &Erasure, new: &LeadKey) -> StoreResult<()> {
    let lead = &erasure.lead;
    let mut links = db.prepare_cached(
        "SELECT destination, object, record_id, owner FROM links
          WHERE destination IN (SELECT DISTINCT destination FROM job_counts) AND source = ?1 AND lead_id = ?2",
    )?;
    let links: Vec<(String, String, String, bool)> = links
        .query_map(params![lead.source.as_str(), lead.id.as_str()], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?
        .collect::<Result<_, _>>()?;
    let records: Vec<&String> = links.iter().map(|(_, _, record, _)| record).collect();
    let records = serde_json::to_string(&records).expect("texts can be written");
    for (destination, object, id, owner) in links {
        let destination = DestinationName::new(destination);
        let record = RecordRef { object: object.as_str().into(), id: id.as_str().into() };
        unlink(db, &destination, lead)?;
        if !owner {
            owe_deleted_owner(db, &destination, &record, erasure.now)?;
            continue;
        }
        match find_heir(db, &destination, &record)? {
            Some(heir) => {
                let parting = Parting { destination: &destination, lead: new, now: erasure.now };
                hand_over(db, &parting, record, &heir)?;
            }
            None => leave_to_whoever_it_is(db, &destination, &record)?,
        }
    }
    forget_names(db, lead, &records)
}

/// Whoever shares the record in doubt inherits it once a person says that it is that one: the empty fingerprint says so, since
/// nobody knows any more whose key the record carries.
fn leave_to_whoever_it_is(db: &Connection, destination: &DestinationName, record: &RecordRef) -> StoreResult<()> {
    db.prepare_cached(
        "UPDATE links SET fingerprint = '', revision = revision + 1
          WHERE destination = ?1 AND record_id = ?2 AND owner = 0 AND in_doubt IS NOT NULL",
    )?
    .execute(params![destination.as_str(), record.id.as_str()])?;
    Ok(())
}

/// Takes out of the questions about these records, and those that the lead was before, what they say of whom these belong to.
fn forget_names(db: &Connection, lead: &LeadKey, records: &str) -> StoreResult<()> {
    let mut questions = db.prepare_cached(
        "SELECT id, question FROM conflicts
          WHERE kind = 'shared_record' AND question ->> '$.record.id' IN (
                SELECT value FROM json_each(?3) UNION
                SELECT record_id FROM sync_log WHERE lead_id = ?2 AND source = ?1 AND record_id IS NOT NULL)",
    )?;
    let questions: Vec<(i64, String)> = questions
        .query_map(params![lead.source.as_str(), lead.id.as_str(), records], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (id, question) in questions {
        if let Some(told) = without_owner(&question) {
            db.prepare_cached("UPDATE conflicts SET question = ?2 WHERE id = ?1")?.execute(params![id, told])?;
        }
    }
    Ok(())
}

/// Empties the lead's events, and those copies of which no lead could be read; answers how many.
fn erase_events(db: &Connection, lead: &LeadKey, new: &LeadId, copies: &[i64]) -> StoreResult<u64> {
    let of_lead = params![lead.source.as_str(), lead.id.as_str()];
    let mut ids = db.prepare_cached("SELECT id FROM events WHERE source = ?1 AND lead_id = ?2")?;
    let mut ids: Vec<i64> = ids.query_map(of_lead, |row| row.get(0))?.collect::<Result<_, _>>()?;
    ids.extend(copies);
    empty_events(db, &ids, new)
}

/// Takes the data out of these events; answers how many they are.
pub(super) fn empty_events(db: &Connection, ids: &[i64], new: &LeadId) -> StoreResult<u64> {
    let mut forget = db.prepare_cached(
        "DELETE FROM event_keys WHERE (source, sender_id, content_hash) =
             (SELECT source, sender_id, content_hash FROM events WHERE id = ?1)",
    )?;
    let mut drop = db.prepare_cached("DELETE FROM bodies WHERE event_id = ?1")?;
    let mut empty = db.prepare_cached(
        "UPDATE events SET lead_id = ?2, kind = 'other', state = 'erased', sender_id = NULL, content_hash = zeroblob(32),
                           reason = ?3, size = 0 WHERE id = ?1",
    )?;
    let mut erased = 0;
    for id in ids {
        forget.execute([id])?;
        drop.execute([id])?;
        erased += empty.execute(params![id, new.as_str(), ERASED])? as u64;
    }
    Ok(erased)
}

/// Takes the lead's name out of what is told of others on its records.
fn rename_in_others(db: &Connection, lead: &LeadKey, new: &LeadId) -> StoreResult<()> {
    const RECORDS: &str = "SELECT DISTINCT record_id FROM sync_log
                            WHERE lead_id = ?2 AND source = ?1 AND record_id IS NOT NULL";
    let of_lead = params![lead.source.as_str(), lead.id.as_str()];
    let texts = [
        (
            format!("SELECT id, error FROM sync_log WHERE record_id IN ({RECORDS}) AND error IS NOT NULL"),
            "UPDATE sync_log SET error = ?2 WHERE id = ?1",
        ),
        (
            format!(
                "SELECT b.log_id, b.decisions FROM sync_log l JOIN sync_log_bodies b ON b.log_id = l.id
                  WHERE l.record_id IN ({RECORDS})"
            ),
            "UPDATE sync_log_bodies SET decisions = ?2 WHERE log_id = ?1",
        ),
        (
            format!(
                "SELECT c.id, c.question FROM conflicts c
                  WHERE (c.source, c.lead_id) IN (SELECT source, lead_id FROM sync_log WHERE record_id IN ({RECORDS}))"
            ),
            "UPDATE conflicts SET question = ?2 WHERE id = ?1",
        ),
    ];
    // A question names the other lead as a pair.
    let pair = |id: &str| serde_json::to_string(&[lead.source.as_str(), id]).expect("texts can be written");
    let (old_pair, new_pair) = (pair(lead.id.as_str()), pair(new.as_str()));
    for (select, update) in texts {
        let mut select = db.prepare(&select)?;
        let rows: Vec<(i64, String)> =
            select.query_map(of_lead, |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
        for (id, text) in rows {
            let replaced = text.replace(&old_pair, &new_pair);
            let told = renamed(&replaced, lead, new).or_else(|| (replaced != text).then_some(replaced));
            if let Some(told) = told {
                db.prepare_cached(update)?.execute(params![id, told])?;
            }
        }
    }
    Ok(())
}
