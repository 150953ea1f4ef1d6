//! Erasing a lead: what is personal goes, what was done stays as a fact under another name.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use sqlx::{AssertSqlSafe, PgConnection};

use super::by_hand::{DESTINATIONS, HEIRS, append_all};
use super::dirty::{self, Why};
use super::rows::cannot_be;
use super::settle::heirs::{Besides, Parting, find_deleted_owner, find_heir, hand_over};
use super::time::Time;
use super::{PostgresStore, refused, runs};
use crate::domain::ids::{DestinationName, LeadId, LeadKey, RecordRef};
use crate::store::erased::{ERASED, ErasureKey, Telling, alias, renamed, without_data, without_owner};
use crate::store::requests::IntakeRequest;
use crate::store::{Erased, Erasure, EventState, StoreError, StoreResult};

/// How many bodies that nobody could read are looked through at once.
const BODIES: i64 = 200;

type Heirs = BTreeMap<DestinationName, Besides>;

pub(super) async fn erase(store: &PostgresStore, erasure: &Erasure) -> StoreResult<Option<Erased>> {
    if cannot_be(erasure.lead.id.as_str()) {
        return Ok(None);
    }
    let unread = find_unread(store, &erasure.lead).await?;
    let mut heirs = Heirs::new();
    for _ in 0..HEIRS {
        let mut tx = store.pool.begin().await?;
        let Some((erased, found)) = erase_one(&mut tx, erasure, &unread, &heirs).await? else {
            tx.rollback().await?;
            return Ok(None);
        };
        if found == heirs {
            tx.commit().await?;
            store.wake_workers();
            return Ok(Some(erased));
        }
        tx.rollback().await?;
        heirs = found;
    }
    Err(StoreError::Unavailable("the heirs of a record keep changing".to_owned()))
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

async fn find_unread(store: &PostgresStore, lead: &LeadKey) -> StoreResult<Unread> {
    let email: Option<Option<String>> =
        sqlx::query_scalar("SELECT email FROM leads WHERE source = $1 AND lead_id = $2")
            .bind(lead.source.as_str())
            .bind(lead.id.as_str())
            .fetch_optional(&store.pool)
            .await?;
    let telling = Telling::of(lead, email.flatten().as_deref());
    let mut db = store.pool.acquire().await?;
    let (refused, seen) = refused::find_telling(&mut db, &telling, 0).await?;
    let mut copies = Vec::new();
    // No other event lacks a lead. State by state, as the index has them.
    for state in [EventState::Quarantined, EventState::Ignored] {
        let mut after = 0i64;
        loop {
            let bodies: Vec<(i64, Vec<u8>)> = sqlx::query_as(
                "SELECT e.id, b.body FROM events e JOIN bodies b ON b.event_id = e.id AND b.received_at = e.received_at
                  WHERE e.source = $1 AND e.lead_id IS NULL AND e.state = $2 AND e.id > $3 ORDER BY e.id LIMIT $4",
            )
            .bind(lead.source.as_str())
            .bind(state.as_str())
            .bind(after)
            .bind(BODIES)
            .fetch_all(&mut *db)
            .await?;
            let Some((last, _)) = bodies.last() else { break };
            after = *last;
            copies.extend(bodies.iter().filter(|(_, body)| telling.own.are_in(body)).map(|(id, _)| *id));
        }
    }
    Ok(Unread { copies, refused, seen, telling })
}

/// The store's key, made now if there is none.
async fn key_of(db: &mut PgConnection) -> StoreResult<ErasureKey> {
    sqlx::query("INSERT INTO erasure_key (id, secret) VALUES (1, $1) ON CONFLICT DO NOTHING")
        .bind(ErasureKey::new().as_bytes())
        .execute(&mut *db)
        .await?;
    let stored = sqlx::query_scalar("SELECT secret FROM erasure_key WHERE id = 1").fetch_one(db).await?;
    Ok(ErasureKey::stored(stored))
}

/// Which of these leads were erased, with the name that each has now.
pub(super) async fn find_erased(db: &mut PgConnection, leads: &[LeadKey]) -> StoreResult<BTreeMap<LeadKey, LeadId>> {
    let key: Option<Vec<u8>> =
        sqlx::query_scalar("SELECT secret FROM erasure_key WHERE id = 1 AND EXISTS (SELECT 1 FROM erased)")
            .fetch_optional(&mut *db)
            .await?;
    let Some(key) = key.map(ErasureKey::stored) else { return Ok(BTreeMap::new()) };
    let digests: Vec<Vec<u8>> = leads.iter().map(|lead| key.digest(lead.source.as_str(), lead.id.as_str())).collect();
    let found: Vec<Vec<u8>> = sqlx::query_scalar(
        "SELECT e.digest FROM unnest($1::text[], $2::bytea[]) AS u (source, digest)
           JOIN erased e ON e.source = u.source AND e.digest = u.digest",
    )
    .bind(leads.iter().map(|lead| lead.source.as_str()).collect::<Vec<_>>())
    .bind(&digests)
    .fetch_all(db)
    .await?;
    let found: HashSet<Vec<u8>> = found.into_iter().collect();
    let erased = leads.iter().zip(digests).filter(|(_, digest)| found.contains(digest));
    Ok(erased.map(|(lead, digest)| (lead.clone(), alias(&digest))).collect())
}

/// Takes the data out of events of erased leads before they are stored.
pub(super) async fn screen(db: &mut PgConnection, requests: &mut [IntakeRequest]) -> StoreResult<()> {
    let events = requests.iter().flat_map(|request| &request.events);
    let leads: BTreeSet<LeadKey> =
        events.filter_map(|event| Some(LeadKey { source: event.source.clone(), id: event.lead.clone()? })).collect();
    let erased = find_erased(db, &Vec::from_iter(leads)).await?;
    if erased.is_empty() {
        return Ok(());
    }
    for event in requests.iter_mut().flat_map(|request| &mut request.events) {
        let key = event.lead.clone().map(|id| LeadKey { source: event.source.clone(), id });
        if let Some(alias) = key.and_then(|key| erased.get(&key))
            && event.state != EventState::Erased
        {
            *event = without_data(event, alias.clone());
        }
    }
    Ok(())
}

/// `None`: nothing is known of the lead. If other heirs than these are found, the transaction has to be taken back.
async fn erase_one(
    db: &mut PgConnection,
    erasure: &Erasure,
    unread: &Unread,
    heirs: &Heirs,
) -> StoreResult<Option<(Erased, Heirs)>> {
    let lead = &erasure.lead;
    // The lead before its events and its jobs, as replaying takes them.
    sqlx::query("SELECT 1 FROM leads WHERE source = $1 AND lead_id = $2 FOR UPDATE")
        .bind(lead.source.as_str())
        .bind(lead.id.as_str())
        .fetch_optional(&mut *db)
        .await?;
    refused::add_no_more(db).await?;
    let (since, _) = refused::find_telling(db, &unread.telling, unread.seen).await?;
    let refused = [&unread.refused[..], &since].concat();
    let known: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM events WHERE source = $1 AND lead_id = $2)
             OR EXISTS (SELECT 1 FROM leads WHERE source = $1 AND lead_id = $2)",
    )
    .bind(lead.source.as_str())
    .bind(lead.id.as_str())
    .fetch_one(&mut *db)
    .await?;
    if !known && refused.is_empty() {
        return Ok(None);
    }
    refused::release(db, &refused).await?;
    let digest = key_of(db).await?.digest(lead.source.as_str(), lead.id.as_str());
    sqlx::query("INSERT INTO erased (source, digest, at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
        .bind(lead.source.as_str())
        .bind(&digest)
        .bind(Time(erasure.now))
        .execute(&mut *db)
        .await?;
    let new = LeadKey { source: lead.source.clone(), id: alias(&digest) };
    let events = erase_events(db, lead, &new.id, &unread.copies).await?;
    let found = part(db, erasure, &new, heirs).await?;
    rename_in_others(db, lead, &new.id).await?;
    runs::forget_lead(db, lead).await?;
    for table in ["jobs", "intents", "conflicts", "left_alone", "leads", "strangers"] {
        run(db, &format!("DELETE FROM {table} WHERE source = $1 AND lead_id = $2"), lead).await?;
    }
    // A search that came to this lead goes on from the one before it.
    run(
        db,
        "UPDATE searches SET (source, lead_id) = (
             SELECT source, lead_id FROM (SELECT source, lead_id FROM leads WHERE (source, lead_id) < ($1, $2)
                                           ORDER BY source DESC, lead_id DESC LIMIT 1) before
              UNION ALL SELECT '', '' LIMIT 1)
          WHERE source = $1 AND lead_id = $2",
        lead,
    )
    .await?;
    for table in ["suspects", "told_apart"] {
        let of_either = "(source = $1 AND lead_id = $2) OR (other_source = $1 AND other_lead_id = $2)";
        run(db, &format!("DELETE FROM {table} WHERE {of_either}"), lead).await?;
    }
    run(
        db,
        "DELETE FROM sync_log_bodies b USING sync_log l
          WHERE l.lead_id = $2 AND l.source = $1 AND b.log_id = l.id AND b.at = l.at",
        lead,
    )
    .await?;
    let log_rows = sqlx::query("UPDATE sync_log SET lead_id = $3, error = NULL WHERE lead_id = $2 AND source = $1")
        .bind(lead.source.as_str())
        .bind(lead.id.as_str())
        .bind(new.id.as_str())
        .execute(&mut *db)
        .await?
        .rows_affected();
    sqlx::query(
        "UPDATE audit SET lead_id = $3,
                target = CASE WHEN target LIKE 'lead %' THEN 'lead ' || $1 || '/' || $3 ELSE target END
          WHERE source = $1 AND lead_id = $2",
    )
    .bind(lead.source.as_str())
    .bind(lead.id.as_str())
    .bind(new.id.as_str())
    .execute(&mut *db)
    .await?;
    sqlx::query(
        "UPDATE runs SET position = NULL WHERE state <> 'running' AND position(($1::text) IN position::text) > 0",
    )
    .bind(lead.id.as_str())
    .execute(&mut *db)
    .await?;
    Ok(Some((Erased { known_as: new, events, log_rows }, found)))
}

async fn run(db: &mut PgConnection, sql: &str, lead: &LeadKey) -> StoreResult<u64> {
    let done = sqlx::query(AssertSqlSafe(sql.to_owned()))
        .bind(lead.source.as_str())
        .bind(lead.id.as_str())
        .execute(db)
        .await?;
    Ok(done.rows_affected())
}

/// Hands on what the lead owned and unlinks it everywhere; of its records no question tells a name any more. Answers who
/// inherits, or is owed otherwise.
async fn part(db: &mut PgConnection, erasure: &Erasure, new: &LeadKey, expected: &Heirs) -> StoreResult<Heirs> {
    let (lead, now) = (&erasure.lead, erasure.now);
    let names: Vec<String> = sqlx::query_scalar(DESTINATIONS).fetch_all(&mut *db).await?;
    let names: BTreeSet<DestinationName> = names.into_iter().map(DestinationName::new).collect();
    for destination in &names {
        let besides = expected.get(destination).map(|(lead, why)| (lead, *why));
        let owed = besides.into_iter().chain([(lead, Why::News)]).collect();
        dirty::touch_each(db, destination, owed, now).await?;
    }
    let (mut heirs, mut log, mut records) = (Heirs::new(), Vec::new(), Vec::new());
    for destination in &names {
        let known: Option<(String, String, bool)> = sqlx::query_as(
            "DELETE FROM links WHERE destination = $1 AND source = $2 AND lead_id = $3
          RETURNING object, record_id, owner",
        )
        .bind(destination.as_str())
        .bind(lead.source.as_str())
        .bind(lead.id.as_str())
        .fetch_optional(&mut *db)
        .await?;
        let Some((object, id, owner)) = known else { continue };
        let record = RecordRef { object: object.as_str().into(), id: id.as_str().into() };
        records.push(id);
        if !owner {
            let owner = find_deleted_owner(db, destination, &record).await?;
            heirs.extend(owner.map(|owner| (destination.clone(), (owner, Why::Asked))));
            continue;
        }
        let Some(heir) = find_heir(db, destination, &record).await? else {
            leave_to_whoever_it_is(db, destination, &record).await?;
            continue;
        };
        let heir = (heir, Why::News);
        if expected.get(destination) == Some(&heir) {
            let parting = Parting { destination, lead: new, now };
            log.push(hand_over(db, &parting, record, &heir.0).await?);
        }
        heirs.insert(destination.clone(), heir);
    }
    forget_names(db, lead, &records).await?;
    append_all(db, &log).await?;
    Ok(heirs)
}

/// Whoever shares the record in doubt inherits it once a person says that it is that one: the empty fingerprint says so, since
/// nobody knows any more whose key the record carries.
async fn leave_to_whoever_it_is(
    db: &mut PgConnection,
    destination: &DestinationName,
    record: &RecordRef,
) -> StoreResult<()> {
    sqlx::query(
        "UPDATE links SET fingerprint = '', revision = revision + 1
          WHERE destination = $1 AND record_id = $2 AND NOT owner AND in_doubt IS NOT NULL",
    )
    .bind(destination.as_str())
    .bind(record.id.as_str())
    .execute(db)
    .await?;
    Ok(())
}

/// Takes out of the questions about these records, and those that the lead was before, what they say of whom these belong to.
async fn forget_names(db: &mut PgConnection, lead: &LeadKey, records: &[String]) -> StoreResult<()> {
    let questions: Vec<(i64, String)> = sqlx::query_as(
        "SELECT id, question::text FROM conflicts
          WHERE kind = 'shared_record' AND question #>> '{record,id}' = ANY ($3 || ARRAY(
                SELECT DISTINCT record_id FROM sync_log WHERE lead_id = $2 AND source = $1 AND record_id IS NOT NULL))",
    )
    .bind(lead.source.as_str())
    .bind(lead.id.as_str())
    .bind(records)
    .fetch_all(&mut *db)
    .await?;
    for (id, question) in questions {
        if let Some(told) = without_owner(&question) {
            sqlx::query("UPDATE conflicts SET question = $2::json WHERE id = $1")
                .bind(id)
                .bind(told)
                .execute(&mut *db)
                .await?;
        }
    }
    Ok(())
}

/// Empties the lead's events, and those copies of which no lead could be read; answers how many.
async fn erase_events(db: &mut PgConnection, lead: &LeadKey, new: &LeadId, copies: &[i64]) -> StoreResult<u64> {
    let mut ids: Vec<i64> = sqlx::query_scalar("SELECT id FROM events WHERE source = $1 AND lead_id = $2")
        .bind(lead.source.as_str())
        .bind(lead.id.as_str())
        .fetch_all(&mut *db)
        .await?;
    ids.extend(copies);
    empty_events(db, &ids, new).await
}

/// Takes the data out of these events; answers how many they are.
pub(super) async fn empty_events(db: &mut PgConnection, ids: &[i64], new: &LeadId) -> StoreResult<u64> {
    sqlx::query(
        "DELETE FROM event_keys k USING events e
          WHERE e.id = ANY ($1) AND k.source = e.source AND k.sender_id = e.sender_id
            AND k.content_hash = e.content_hash",
    )
    .bind(ids)
    .execute(&mut *db)
    .await?;
    sqlx::query("DELETE FROM bodies WHERE event_id = ANY ($1)").bind(ids).execute(&mut *db).await?;
    let erased = sqlx::query(
        "UPDATE events SET lead_id = $2, kind = 'other', state = 'erased', sender_id = NULL, content_hash = $3,
                           reason = $4, size = 0 WHERE id = ANY ($1)",
    )
    .bind(ids)
    .bind(new.as_str())
    .bind(vec![0u8; 32])
    .bind(ERASED)
    .execute(db)
    .await?;
    Ok(erased.rows_affected())
}

/// Takes the lead's name out of what is told of others on its records.
async fn rename_in_others(db: &mut PgConnection, lead: &LeadKey, new: &LeadId) -> StoreResult<()> {
    const RECORDS: &str = "SELECT DISTINCT record_id FROM sync_log
                            WHERE lead_id = $2 AND source = $1 AND record_id IS NOT NULL";
    let texts = [
        (
            format!("SELECT id, error FROM sync_log WHERE record_id IN ({RECORDS}) AND error IS NOT NULL"),
            "UPDATE sync_log SET error = $2 WHERE id = $1",
        ),
        (
            format!(
                "SELECT b.log_id, b.decisions::text FROM sync_log l
                   JOIN sync_log_bodies b ON b.log_id = l.id AND b.at = l.at WHERE l.record_id IN ({RECORDS})"
            ),
            "UPDATE sync_log_bodies SET decisions = $2::json WHERE log_id = $1",
        ),
        (
            format!(
                "SELECT c.id, c.question::text FROM conflicts c
                  WHERE (c.source, c.lead_id) IN (SELECT source, lead_id FROM sync_log WHERE record_id IN ({RECORDS}))"
            ),
            "UPDATE conflicts SET question = $2::json WHERE id = $1",
        ),
    ];
    // A question names the other lead as a pair.
    let pair = |id: &str| serde_json::to_string(&[lead.source.as_str(), id]).expect("texts can be written");
    let (old_pair, new_pair) = (pair(lead.id.as_str()), pair(new.as_str()));
    for (select, update) in texts {
        let rows: Vec<(i64, String)> = sqlx::query_as(AssertSqlSafe(select))
            .bind(lead.source.as_str())
            .bind(lead.id.as_str())
            .fetch_all(&mut *db)
            .await?;
        for (id, text) in rows {
            let replaced = text.replace(&old_pair, &new_pair);
            let told = renamed(&replaced, lead, new).or_else(|| (replaced != text).then_some(replaced));
            if let Some(told) = told {
                sqlx::query(update).bind(id).bind(told).execute(&mut *db).await?;
            }
        }
    }
    Ok(())
}
