//! Dead letters: listed, retried, discarded.

use rusqlite::{OptionalExtension, params};
use sqlx::{QueryBuilder, Sqlite};

use super::SqliteStore;
use super::walk::{Cells, cut, limit, place};
use crate::domain::ids::{DestinationName, LeadKey};
use crate::domain::time::Timestamp;
use crate::store::{DeadLetter, DeadLetterFilter, Listed, Page, StoreResult};

/// How many are changed in one transaction, so that intake does not wait.
const AT_ONCE: usize = 100;
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
           FROM jobs WHERE state = 'dead'",
    );
    conditions(&mut query, filter, filter.leads.get(..LEADS_AT_ONCE).unwrap_or(&filter.leads));
    if let Some((died_at, (destination, source, lead_id))) = place::<(i64, JobKey)>(page)? {
        query.push(" AND (ended_at, destination, source, lead_id) < (").push_bind(died_at);
        query.push(", ").push_bind(destination).push(", ").push_bind(source).push(", ").push_bind(lead_id).push(")");
    }
    query.push(" ORDER BY ended_at DESC, destination DESC, source DESC, lead_id DESC LIMIT ");
    query.push_bind(limit as i64 + 1);
    let rows = query.build().fetch_all(&store.readers).await?;
    let items = rows.iter().map(read_row).collect::<StoreResult<Vec<_>>>()?;
    Ok(cut(items, limit, |letter| (letter.died_at.as_micros(), job_key(letter))))
}

/// Makes dead letters due now, a hundred in each transaction; what died meanwhile stays dead.
pub(super) async fn retry(store: &SqliteStore, filter: &DeadLetterFilter, now: Timestamp) -> StoreResult<u64> {
    let mut retried = 0;
    for keys in find(store, filter).await?.chunks(AT_ONCE) {
        let keys = keys.to_vec();
        let work = move |db: &mut rusqlite::Connection| {
            let mut update = db.prepare_cached(
                "UPDATE jobs SET state = 'owed', class = 0, due_at = ?4, lease_token = NULL, attempt = 0, wanted = wanted + 1,
                        owed_since = ?4, first_failed_at = NULL, code = NULL, detail = NULL, forced = 1, ended_at = NULL,
                        look_again_at = NULL
                  WHERE destination = ?1 AND source = ?2 AND lead_id = ?3 AND state = 'dead'",
            )?;
            let mut changed = 0;
            for (destination, source, lead_id) in &keys {
                changed += update.execute(params![destination, source, lead_id, now.as_micros()])?;
            }
            Ok(changed as u64)
        };
        retried += store.writer.run(work).await?;
        store.wake_workers();
    }
    Ok(retried)
}

/// Drops dead letters, a hundred in each transaction, each together with the log row that says who did it.
pub(super) async fn discard(
    store: &SqliteStore,
    filter: &DeadLetterFilter,
    by: &str,
    now: Timestamp,
) -> StoreResult<u64> {
    let mut discarded = 0;
    for keys in find(store, filter).await?.chunks(AT_ONCE) {
        let (keys, by) = (keys.to_vec(), by.to_owned());
        let work = move |db: &mut rusqlite::Connection| {
            let mut dropped = 0;
            for key in &keys {
                dropped += u64::from(drop_one(db, key, &by, now)?);
            }
            Ok(dropped)
        };
        discarded += store.writer.run(work).await?;
    }
    Ok(discarded)
}

fn drop_one(db: &rusqlite::Connection, key: &JobKey, by: &str, now: Timestamp) -> rusqlite::Result<bool> {
    let (destination, source, lead_id) = key;
    let job: Option<(u32, Option<String>, Option<String>)> = db
        .prepare_cached(
            "DELETE FROM jobs WHERE destination = ? AND source = ? AND lead_id = ? AND state = 'dead'
             RETURNING attempt, code, detail",
        )?
        .query_row([destination, source, lead_id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((attempt, code, detail)) = job else { return Ok(false) };
    let error = format!("discarded by {by}: {}", detail.unwrap_or_default());
    db.prepare_cached(
        "INSERT INTO sync_log (at, source, lead_id, destination, operation, outcome, error_code, error, attempt, api_calls,
                               batch, duration_ms)
         VALUES (?, ?, ?, ?, 'skip', 'ok', ?, ?, ?, 0, 1, 0)",
    )?
    .execute(params![now.as_micros(), source, lead_id, destination, code, error, attempt])?;
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
        let mut query = QueryBuilder::new("SELECT destination, source, lead_id FROM jobs WHERE state = 'dead'");
        conditions(&mut query, filter, leads);
        found.extend(query.build_query_as::<JobKey>().fetch_all(&store.readers).await?);
    }
    Ok(found)
}

fn conditions(query: &mut QueryBuilder<Sqlite>, filter: &DeadLetterFilter, leads: &[LeadKey]) {
    // The plus signs keep the walk on the index of what has ended.
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

fn read_row(row: &sqlx::sqlite::SqliteRow) -> StoreResult<DeadLetter> {
    let cells = Cells::new(row, "jobs", "?");
    let lead = LeadKey::new(cells.get::<&str>("source")?, cells.get::<&str>("lead_id")?);
    let destination = DestinationName::from(cells.get::<&str>("destination")?);
    let cells = Cells::new(row, "jobs", format!("{destination}/{lead}"));
    Ok(DeadLetter {
        code: cells.get::<Option<String>>("code")?.unwrap_or_default(),
        detail: cells.get::<Option<String>>("detail")?.unwrap_or_default(),
        attempt: cells.count("attempt")?,
        owed_since: cells.time("owed_since")?,
        died_at: cells.time("ended_at")?,
        look_again_at: cells.maybe_time("look_again_at")?,
        lead,
        destination,
    })
}
