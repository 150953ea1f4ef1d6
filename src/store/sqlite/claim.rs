//! Handing due jobs to workers, and taking them back.

use rusqlite::{Connection, params};
use sqlx::Row;

use super::SqliteStore;
use super::rows;
use crate::domain::ids::{DestinationName, LeadKey};
use crate::domain::job::{Class, Lane, MAY_LAND_FOR};
use crate::domain::time::Timestamp;
use crate::store::stored::refusal_from_json;
use crate::store::{Claim, ClaimedJob, GiveBack, StoreResult};

/// Due jobs of one lane and class, in claim order: the partial index alone answers it.
const DUE: &str = "SELECT due_at, id FROM jobs
     WHERE state = 'owed' AND destination = ?1 AND lane = ?2 AND class = ?3 AND due_at <= ?4
     ORDER BY due_at LIMIT ?5";

/// Held and dead jobs that are to be looked at again.
const LOOK_AGAIN: &str = "SELECT source, lead_id FROM jobs
     WHERE state <> 'owed' AND destination = ?1 AND look_again_at IS NOT NULL AND look_again_at <= ?2
     ORDER BY look_again_at LIMIT 200";

impl SqliteStore {
    /// How the database looks for the jobs of a claim: the steps of its query plans.
    pub async fn claim_plan(&self) -> StoreResult<Vec<String>> {
        let mut steps = Vec::new();
        for sql in [DUE, LOOK_AGAIN] {
            let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
            for row in sqlx::query(explain).fetch_all(&self.readers).await? {
                steps.push(row.try_get("detail")?);
            }
        }
        Ok(steps)
    }
}

pub(super) async fn claim(store: &SqliteStore, claim: &Claim) -> StoreResult<Vec<ClaimedJob>> {
    let claim = claim.clone();
    store.writer.run(move |db| claim_due(db, &claim)).await
}

fn claim_due(db: &mut Connection, claim: &Claim) -> StoreResult<Vec<ClaimedJob>> {
    revive(db, &claim.destination, claim.now)?;
    let lanes: &[Lane] = match claim.lane {
        Some(Lane::First) => &[Lane::First],
        Some(Lane::Linked) => &[Lane::Linked],
        None => &[Lane::First, Lane::Linked],
    };
    let classes: &[Class] = if claim.backfill { &[Class::Live, Class::Backfill] } else { &[Class::Live] };
    let limit = claim.limit as usize;
    let mut due: Vec<(i64, i64)> = Vec::new();
    for class in classes {
        let mut of_class = Vec::new();
        for lane in lanes {
            of_class.extend(find_due(db, claim, *lane, *class, limit - due.len())?);
        }
        of_class.sort();
        of_class.truncate(limit - due.len());
        due.extend(of_class);
    }
    due.into_iter().map(|(_, id)| lease(db, claim, id)).collect()
}

fn find_due(db: &Connection, claim: &Claim, lane: Lane, class: Class, limit: usize) -> StoreResult<Vec<(i64, i64)>> {
    let mut find = db.prepare_cached(DUE)?;
    let found = find.query_map(
        params![
            claim.destination.as_str(),
            rows::lane_number(lane),
            rows::class_number(class),
            claim.now.as_micros(),
            limit as i64
        ],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    Ok(found.collect::<Result<_, _>>()?)
}

fn lease(db: &Connection, claim: &Claim, id: i64) -> StoreResult<ClaimedJob> {
    // RETURNING shows the row as it is afterwards; whether a lease ran out is only known before.
    let lease_expired = db
        .prepare_cached("SELECT lease_token IS NOT NULL FROM jobs WHERE id = ?1")?
        .query_row([id], |row| row.get(0))?;
    let mut lease = db.prepare_cached(
        "UPDATE jobs SET due_at = ?2, attempt = attempt + 1, waiting_since = NULL, lease_token = ?3 WHERE id = ?1
      RETURNING lane, class, attempt, wanted, owed_since, first_failed_at, detail, suspicion, refusal, forced,
                source, lead_id",
    )?;
    let (job, refusal) =
        lease.query_row(params![id, claim.lease_ends_at.as_micros(), claim.token.as_bytes().as_slice()], |row| {
            let (source, lead): (String, String) = (row.get(10)?, row.get(11)?);
            let job = ClaimedJob {
                lead: LeadKey::new(source.as_str(), lead.as_str()),
                lane: rows::lane(row.get(0)?),
                class: rows::class(row.get(1)?),
                attempt: row.get(2)?,
                wanted: row.get(3)?,
                owed_since: Timestamp::from_micros(row.get(4)?),
                first_failed_at: row.get::<_, Option<i64>>(5)?.map(Timestamp::from_micros),
                last_error: row.get(6)?,
                suspicion: row.get(7)?,
                refusal: None,
                forced: row.get(9)?,
                lease_expired,
            };
            Ok((job, row.get::<_, Option<String>>(8)?))
        })?;
    let key = &job.lead;
    if lease_expired {
        // Whoever held it announced and never settled.
        db.prepare_cached(
            "UPDATE intents SET settled = 1, keep_open_until = ?4
              WHERE destination = ?1 AND source = ?2 AND lead_id = ?3 AND settled = 0",
        )?
        .execute(params![
            claim.destination.as_str(),
            key.source.as_str(),
            key.id.as_str(),
            claim.now.after(MAY_LAND_FOR).as_micros()
        ])?;
    }
    let refusal = match refusal {
        None => None,
        Some(json) => Some(rows::read(refusal_from_json(&json).ok(), "jobs", "refusal", key)?),
    };
    Ok(ClaimedJob { refusal, ..job })
}

/// Makes those held or dead jobs due whose time to be looked at again has come; for these a remembered refusal is ignored,
/// since trying again is the purpose.
fn revive(db: &Connection, destination: &DestinationName, now: Timestamp) -> StoreResult<()> {
    let leads: Vec<(String, String)> = db
        .prepare_cached(LOOK_AGAIN)?
        .query_map(params![destination.as_str(), now.as_micros()], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let mut revive = db.prepare_cached(
        "UPDATE jobs SET state = 'owed', due_at = ?4, attempt = 0, owed_since = ?4, first_failed_at = NULL,
                         forced = forced OR refusal IS NOT NULL, ended_at = NULL, look_again_at = NULL
          WHERE destination = ?1 AND source = ?2 AND lead_id = ?3",
    )?;
    for (source, lead) in leads {
        revive.execute(params![destination.as_str(), source, lead, now.as_micros()])?;
    }
    Ok(())
}

pub(super) async fn next_due(store: &SqliteStore, destination: &DestinationName) -> StoreResult<Option<Timestamp>> {
    let due: Option<i64> = sqlx::query_scalar(
        "SELECT min(due) FROM (
             SELECT min(due_at) AS due FROM jobs WHERE state = 'owed' AND destination = ?1 AND lane = 0 AND class = 0
             UNION ALL
             SELECT min(due_at) FROM jobs WHERE state = 'owed' AND destination = ?1 AND lane = 0 AND class = 1
             UNION ALL
             SELECT min(due_at) FROM jobs WHERE state = 'owed' AND destination = ?1 AND lane = 1 AND class = 0
             UNION ALL
             SELECT min(due_at) FROM jobs WHERE state = 'owed' AND destination = ?1 AND lane = 1 AND class = 1
             UNION ALL
             SELECT min(look_again_at) FROM jobs
              WHERE state <> 'owed' AND destination = ?1 AND look_again_at IS NOT NULL)",
    )
    .bind(destination.as_str())
    .fetch_one(&store.readers)
    .await?;
    Ok(due.map(Timestamp::from_micros))
}

pub(super) async fn give_back(store: &SqliteStore, jobs: &[GiveBack]) -> StoreResult<()> {
    let outcomes = store.writer.run_each(jobs.to_vec(), give_one_back).await;
    store.wake_workers();
    outcomes.into_iter().collect()
}

fn give_one_back(db: &mut Connection, job: &GiveBack) -> StoreResult<()> {
    db.prepare_cached(
        "UPDATE jobs SET lease_token = NULL, due_at = ?5, attempt = max(attempt - 1, 0), waiting_since = ?6
          WHERE destination = ?1 AND source = ?2 AND lead_id = ?3 AND lease_token = ?4",
    )?
    .execute(params![
        job.destination.as_str(),
        job.lead.source.as_str(),
        job.lead.id.as_str(),
        job.token.as_bytes().as_slice(),
        job.due_at.as_micros(),
        job.waiting_since.map(Timestamp::as_micros),
    ])?;
    Ok(())
}

#[cfg(test)]
mod tests;
