//! Dead letters: listed, retried, discarded.

use std::collections::BTreeMap;

use sqlx::{PgConnection, Postgres, QueryBuilder};

use super::append;
use super::dirty::{self, Why};
use super::rows::cannot_be;
use super::time::Time;
use super::{PostgresStore, rows};
use crate::domain::ids::{DestinationName, LeadKey};
use crate::domain::job::Class;
use crate::domain::time::Timestamp;
use crate::store::listed::read_dead_letter;
use crate::store::paging::{cut, limit, place};
use crate::store::{DeadLetter, DeadLetterFilter, Listed, NewLogRow, Operation, Outcome, Page, Pardoned, StoreResult};

/// The most jobs that are changed in one transaction.
const PIECE: usize = 200;

/// Destination, source and lead ID.
type JobKey = (String, String, String);

/// One page of dead letters, the latest deaths first.
pub(super) async fn list(
    store: &PostgresStore,
    filter: &DeadLetterFilter,
    page: &Page,
) -> StoreResult<Listed<DeadLetter>> {
    let limit = limit(page);
    let mut query = QueryBuilder::new(
        "SELECT destination, source, lead_id, code, detail, attempt, owed_since, ended_at, look_again_at
           FROM jobs WHERE state = 'dead'",
    );
    conditions(&mut query, filter);
    if let Some((died_at, (destination, source, lead_id))) = place::<(i64, JobKey)>(page)? {
        query.push(" AND (ended_at, destination, source, lead_id) < (");
        query.push_bind(Time(Timestamp::from_micros(died_at)));
        query.push(", ").push_bind(destination).push(", ").push_bind(source).push(", ").push_bind(lead_id).push(")");
    }
    query.push(" ORDER BY ended_at DESC, destination DESC, source DESC, lead_id DESC LIMIT ");
    query.push_bind(limit as i64 + 1);
    let rows = query.build().persistent(false).fetch_all(&store.pool).await?;
    let items = rows.iter().map(read_dead_letter).collect::<StoreResult<Vec<_>>>()?;
    Ok(cut(items, limit, |letter| (letter.died_at.as_micros(), job_key(letter))))
}

/// Makes dead letters due now, in small transactions; what died meanwhile stays dead.
pub(super) async fn retry(store: &PostgresStore, filter: &DeadLetterFilter, now: Timestamp) -> StoreResult<u64> {
    let mut retried = 0;
    for piece in find(store, filter).await?.chunks(PIECE) {
        let mut tx = store.pool.begin().await?;
        let dead = lock_dead(&mut tx, piece).await?;
        let mut by_destination: BTreeMap<&str, Vec<LeadKey>> = BTreeMap::new();
        for (destination, source, lead_id) in &dead {
            by_destination.entry(destination).or_default().push(LeadKey::new(source.as_str(), lead_id.as_str()));
        }
        for (destination, leads) in by_destination {
            dirty::touch_many(&mut tx, &destination.into(), &leads, Class::Live, now, Why::Forced).await?;
        }
        tx.commit().await?;
        store.wake_workers();
        retried += dead.len() as u64;
    }
    Ok(retried)
}

/// Makes owed again what was refused by the CRM's fault, in small transactions; what died of something else stays dead.
pub(super) async fn owe_refused_again(store: &PostgresStore, pardoned: &Pardoned) -> StoreResult<u64> {
    let mut keys: Vec<JobKey> = sqlx::query_as(
        "SELECT destination, source, lead_id FROM jobs
          WHERE state = 'dead' AND ended_at >= $1 AND destination = $2 AND code = $3 AND refusal IS NOT NULL",
    )
    .bind(Time(pardoned.since))
    .bind(pardoned.destination.as_str())
    .bind(rows::readable(&pardoned.code))
    .fetch_all(&store.pool)
    .await?;
    keys.sort();
    let mut owed = 0;
    for piece in keys.chunks(PIECE) {
        let mut tx = store.pool.begin().await?;
        let dead = lock_dead(&mut tx, piece).await?;
        let (destinations, sources, leads) = columns(&dead);
        sqlx::query(
            "UPDATE jobs j
                SET state = 'owed', due_at = $4, forced = true,
                    first_failed_at = coalesce(j.first_failed_at, j.ended_at), code = NULL, ended_at = NULL,
                    look_again_at = NULL
               FROM unnest($1::text[], $2::text[], $3::text[]) AS u (destination, source, lead_id)
              WHERE j.destination = u.destination AND j.source = u.source AND j.lead_id = u.lead_id",
        )
        .bind(destinations)
        .bind(sources)
        .bind(leads)
        .bind(Time(pardoned.due_at))
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        store.wake_workers();
        owed += dead.len() as u64;
    }
    Ok(owed)
}

/// Drops dead letters, in small transactions, each together with the log row that says who did it.
pub(super) async fn discard(
    store: &PostgresStore,
    filter: &DeadLetterFilter,
    by: &str,
    now: Timestamp,
) -> StoreResult<u64> {
    let mut discarded = 0;
    for piece in find(store, filter).await?.chunks(PIECE) {
        let mut tx = store.pool.begin().await?;
        let dead = lock_dead(&mut tx, piece).await?;
        let notes = drop_all(&mut tx, &dead, by, now).await?;
        append::append(&mut tx, &notes).await?;
        tx.commit().await?;
        discarded += notes.len() as u64;
    }
    Ok(discarded)
}

/// Deletes dead letters; answers what the log says of each.
async fn drop_all(db: &mut PgConnection, dead: &[JobKey], by: &str, now: Timestamp) -> StoreResult<Vec<NewLogRow>> {
    type Dropped = (String, String, String, i32, Option<String>, Option<String>);
    let (destinations, sources, leads) = columns(dead);
    let dropped: Vec<Dropped> = sqlx::query_as(
        "DELETE FROM jobs j USING unnest($1::text[], $2::text[], $3::text[]) AS u (destination, source, lead_id)
          WHERE j.destination = u.destination AND j.source = u.source AND j.lead_id = u.lead_id
         RETURNING j.destination, j.source, j.lead_id, j.attempt, j.code, j.detail",
    )
    .bind(destinations)
    .bind(sources)
    .bind(leads)
    .fetch_all(db)
    .await?;
    let note = |(destination, source, lead_id, attempt, code, detail): Dropped| {
        let lead = LeadKey::new(source.as_str(), lead_id.as_str());
        NewLogRow {
            error_code: code,
            error: Some(format!("discarded by {by}: {}", detail.unwrap_or_default())),
            attempt: attempt.unsigned_abs(),
            ..NewLogRow::note(now, lead, DestinationName::new(destination), Operation::Skip, Outcome::Ok)
        }
    };
    Ok(dropped.into_iter().map(note).collect())
}

/// Locks those of the jobs, which are in key order, that are still dead.
async fn lock_dead(db: &mut PgConnection, keys: &[JobKey]) -> StoreResult<Vec<JobKey>> {
    let (destinations, sources, leads) = columns(keys);
    let dead = sqlx::query_as(
        "SELECT j.destination, j.source, j.lead_id
           FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS k (destination, source, lead_id, n)
           JOIN jobs j ON j.destination = k.destination AND j.source = k.source AND j.lead_id = k.lead_id
          WHERE j.state = 'dead' ORDER BY k.n FOR UPDATE OF j",
    )
    .bind(destinations)
    .bind(sources)
    .bind(leads)
    .fetch_all(db)
    .await?;
    Ok(dead)
}

fn columns(keys: &[JobKey]) -> (Vec<&str>, Vec<&str>, Vec<&str>) {
    let destinations = keys.iter().map(|(destination, ..)| destination.as_str()).collect();
    let sources = keys.iter().map(|(_, source, _)| source.as_str()).collect();
    (destinations, sources, keys.iter().map(|(.., lead_id)| lead_id.as_str()).collect())
}

/// The keys of every dead letter that passes the filter, in order.
async fn find(store: &PostgresStore, filter: &DeadLetterFilter) -> StoreResult<Vec<JobKey>> {
    let mut query = QueryBuilder::new("SELECT destination, source, lead_id FROM jobs WHERE state = 'dead'");
    conditions(&mut query, filter);
    let mut found: Vec<JobKey> = query.build_query_as().persistent(false).fetch_all(&store.pool).await?;
    found.sort();
    Ok(found)
}

fn conditions(query: &mut QueryBuilder<Postgres>, filter: &DeadLetterFilter) {
    let equal = [
        (" AND destination = ", &filter.destination),
        (" AND source = ", &filter.source),
        (" AND code = ", &filter.code),
    ];
    for (condition, value) in equal {
        match value {
            None => {}
            Some(value) if cannot_be(value) => {
                query.push(" AND false");
            }
            Some(value) => {
                query.push(condition).push_bind(value.clone());
            }
        }
    }
    if !filter.leads.is_empty() {
        let is_text = |lead: &&LeadKey| !cannot_be(lead.source.as_str()) && !cannot_be(lead.id.as_str());
        let (sources, leads): (Vec<String>, Vec<String>) = filter
            .leads
            .iter()
            .filter(is_text)
            .map(|lead| (lead.source.as_str().to_owned(), lead.id.as_str().to_owned()))
            .unzip();
        query.push(" AND (source, lead_id) IN (SELECT * FROM unnest(").push_bind(sources).push("::text[], ");
        query.push_bind(leads).push("::text[]))");
    }
}

fn job_key(letter: &DeadLetter) -> JobKey {
    let parts = [letter.destination.as_str(), letter.lead.source.as_str(), letter.lead.id.as_str()];
    let [destination, source, lead_id] = parts.map(str::to_owned);
    (destination, source, lead_id)
}
