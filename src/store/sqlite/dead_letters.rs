//! Dead letters: listed, retried, discarded.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension};
use sqlx::{QueryBuilder, Sqlite};

use super::dirty::{self, Why};
use super::{SqliteStore, append};
use crate::domain::ids::LeadKey;
use crate::domain::job::Class;
use crate::domain::time::Timestamp;
use crate::store::listed::read_dead_letter;
use crate::store::paging::{cut, limit, place};
use crate::store::{DeadLetter, DeadLetterFilter, Listed, NewLogRow, Operation, Outcome, Page, Pardoned, StoreResult};

/// How many leads of a filter fit into one query.
const LEADS_AT_ONCE: usize = 500;

/// Destination, source and lead ID.
type JobKey = (String, String, String);

/// One page of dead letters, the latest deaths first.
///
/// With more than 500 leads in the filter only those are looked at that come first in it.
pub(super) async fn list(
    store: &SqliteStore,
    filter: &DeadLetterFilter,
    page: &Page,
) -> StoreResult<Listed<DeadLetter>> {
    let limit = limit(page);
    let mut query = QueryBuilder::new(
        "SELECT destination, source, lead_id, code, detail, attempt, owed_since, ended_at, look_again_at
           FROM jobs WHERE state = 'dead' AND state <> 'owed'",
    );
    conditions(&mut query, filter, filter.leads.get(..LEADS_AT_ONCE).unwrap_or(&filter.leads));
    if let Some((died_at, (destination, source, lead_id))) = place::<(i64, JobKey)>(page)? {
        query.push(" AND (ended_at, destination, source, lead_id) < (").push_bind(died_at);
        query.push(", ").push_bind(destination).push(", ").push_bind(source).push(", ").push_bind(lead_id).push(")");
    }
    query.push(" ORDER BY ended_at DESC, destination DESC, source DESC, lead_id DESC LIMIT ");
    query.push_bind(limit as i64 + 1);
    let rows = query.build().fetch_all(&store.readers).await?;
    let items = rows.iter().map(read_dead_letter).collect::<StoreResult<Vec<_>>>()?;
    Ok(cut(items, limit, |letter| (letter.died_at.as_micros(), job_key(letter))))
}

/// Makes dead letters due now, in small transactions; what died meanwhile stays dead.
pub(super) async fn retry(store: &SqliteStore, filter: &DeadLetterFilter, now: Timestamp) -> StoreResult<u64> {
    let keys: Vec<_> = find(store, filter).await?.into_iter().map(|key| (key, now)).collect();
    let retried = count(store.writer.run_each(keys, |db, (key, now)| revive(db, key, *now)).await);
    store.wake_workers();
    retried
}

/// Makes owed again what was refused by the CRM's fault, in small transactions; what died of something else stays dead.
pub(super) async fn owe_refused_again(store: &SqliteStore, pardoned: &Pardoned) -> StoreResult<u64> {
    let keys: Vec<JobKey> = sqlx::query_as(
        "SELECT destination, source, lead_id FROM jobs
          WHERE state = 'dead' AND state <> 'owed' AND ended_at >= ? AND +destination = ? AND code = ?
            AND refusal IS NOT NULL",
    )
    .bind(pardoned.since.as_micros())
    .bind(pardoned.destination.as_str())
    .bind(&pardoned.code)
    .fetch_all(&store.readers)
    .await?;
    let due_at = pardoned.due_at.as_micros();
    let keys: Vec<_> = keys.into_iter().map(|key| (key, due_at)).collect();
    let owed = count(store.writer.run_each(keys, |db, (key, due_at)| owe_again(db, key, *due_at)).await);
    store.wake_workers();
    owed
}

fn owe_again(db: &Connection, key: &JobKey, due_at: i64) -> StoreResult<bool> {
    let (destination, source, lead_id) = key;
    let owed = db
        .prepare_cached(
            "UPDATE jobs SET state = 'owed', due_at = ?4, forced = 1, first_failed_at = coalesce(first_failed_at, ended_at),
                             code = NULL, ended_at = NULL, look_again_at = NULL
              WHERE destination = ?1 AND source = ?2 AND lead_id = ?3 AND state = 'dead'",
        )?
        .execute(rusqlite::params![destination, source, lead_id, due_at])?;
    Ok(owed == 1)
}

/// Drops dead letters, in small transactions, each together with the log row that says who did it.
pub(super) async fn discard(
    store: &SqliteStore,
    filter: &DeadLetterFilter,
    by: &str,
    now: Timestamp,
) -> StoreResult<u64> {
    let by: Arc<str> = by.into();
    let keys: Vec<_> = find(store, filter).await?.into_iter().map(|key| (key, Arc::clone(&by), now)).collect();
    count(store.writer.run_each(keys, |db, (key, by, now)| drop_one(db, key, by, *now)).await)
}

fn count(outcomes: Vec<StoreResult<bool>>) -> StoreResult<u64> {
    outcomes.into_iter().try_fold(0, |changed, outcome| Ok(changed + u64::from(outcome?)))
}

fn revive(db: &Connection, key: &JobKey, now: Timestamp) -> StoreResult<bool> {
    let (destination, source, lead_id) = key;
    let dead: bool = db
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM jobs WHERE destination = ? AND source = ? AND lead_id = ? AND state = 'dead')",
        )?
        .query_row([destination, source, lead_id], |row| row.get(0))?;
    if dead {
        let lead = LeadKey::new(source.as_str(), lead_id.as_str());
        dirty::touch(db, &destination.as_str().into(), &lead, Class::Live, now, Why::Forced)?;
    }
    Ok(dead)
}

fn drop_one(db: &Connection, key: &JobKey, by: &str, now: Timestamp) -> StoreResult<bool> {
    let (destination, source, lead_id) = key;
    let job: Option<(u32, Option<String>, Option<String>)> = db
        .prepare_cached(
            "DELETE FROM jobs WHERE destination = ? AND source = ? AND lead_id = ? AND state = 'dead'
             RETURNING attempt, code, detail",
        )?
        .query_row([destination, source, lead_id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((attempt, code, detail)) = job else { return Ok(false) };
    let lead = LeadKey::new(source.as_str(), lead_id.as_str());
    let row = NewLogRow {
        error_code: code,
        error: Some(format!("discarded by {by}: {}", detail.unwrap_or_default())),
        attempt,
        ..NewLogRow::note(now, lead, destination.as_str().into(), Operation::Skip, Outcome::Ok)
    };
    append::append(db, &row)?;
    Ok(true)
}

/// The keys of every dead letter that passes the filter.
async fn find(store: &SqliteStore, filter: &DeadLetterFilter) -> StoreResult<Vec<JobKey>> {
    let mut found = Vec::new();
    // An empty list of leads is no condition: one query without leads.
    let all = [&filter.leads[..]];
    let parts: Vec<&[LeadKey]> =
        if filter.leads.is_empty() { all.to_vec() } else { filter.leads.chunks(LEADS_AT_ONCE).collect() };
    for leads in parts {
        let mut query =
            QueryBuilder::new("SELECT destination, source, lead_id FROM jobs WHERE state = 'dead' AND state <> 'owed'");
        conditions(&mut query, filter, leads);
        found.extend(query.build_query_as::<JobKey>().fetch_all(&store.readers).await?);
    }
    Ok(found)
}

fn conditions(query: &mut QueryBuilder<Sqlite>, filter: &DeadLetterFilter, leads: &[LeadKey]) {
    // The plus signs keep the walk on the index of what has ended, whose own condition is `state <> 'owed'`.
    let equal = [
        (" AND +destination = ", &filter.destination),
        (" AND +source = ", &filter.source),
        (" AND code = ", &filter.code),
    ];
    for (condition, value) in equal {
        if let Some(value) = value {
            query.push(condition).push_bind(value.clone());
        }
    }
    if !leads.is_empty() {
        query.push(" AND (source, lead_id) IN (VALUES ");
        for (nth, lead) in leads.iter().enumerate() {
            query.push(if nth == 0 { "(" } else { ", (" }).push_bind(lead.source.as_str().to_owned());
            query.push(", ").push_bind(lead.id.as_str().to_owned()).push(")");
        }
        query.push(")");
    }
}

fn job_key(letter: &DeadLetter) -> JobKey {
    let parts = [letter.destination.as_str(), letter.lead.source.as_str(), letter.lead.id.as_str()];
    let [destination, source, lead_id] = parts.map(str::to_owned);
    (destination, source, lead_id)
}
