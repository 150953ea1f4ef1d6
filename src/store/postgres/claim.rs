//! Handing due jobs to workers, and taking them back.

use std::collections::BTreeMap;

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

use super::time::Time;
use super::{PostgresStore, rows};
use crate::domain::ids::DestinationName;
use crate::domain::job::{Class, Lane, MAY_LAND_FOR};
use crate::domain::time::Timestamp;
use crate::store::cells::Cells;
use crate::store::stored::refusal_from_json;
use crate::store::{Claim, ClaimedJob, GiveBack, LeaseToken, StoreResult};

/// The most jobs that are given back in one statement.
const PIECE: usize = 1000;

/// Plans are kept, and made for any number of jobs: what is best for a small table would be bad for a large backlog. So they
/// read indexes in order, whatever the statistics say; the costs that this pretends are no reason to compile anything.
const BEGIN: &str = "BEGIN; SET LOCAL plan_cache_mode = force_generic_plan; SET LOCAL enable_seqscan = off;
     SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off; SET LOCAL jit = off";

/// Makes those held or dead jobs due whose time to be looked at again has come; for these a remembered refusal is ignored,
/// since trying again is the purpose.
const REVIVE: &str =
    "UPDATE jobs SET state = 'owed', due_at = $2, attempt = 0, owed_since = $2, first_failed_at = NULL,
            forced = forced OR refusal IS NOT NULL, ended_at = NULL, look_again_at = NULL
      WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM jobs WHERE state <> 'owed' AND destination = $1 AND look_again_at <= $2
             ORDER BY look_again_at LIMIT 200 FOR UPDATE SKIP LOCKED))";

impl PostgresStore {
    /// How the database looks for the jobs of a claim: its query plans, line by line.
    pub async fn claim_plan(&self) -> StoreResult<Vec<String>> {
        let destination: Option<String> =
            sqlx::query_scalar("SELECT destination FROM jobs LIMIT 1").fetch_optional(&self.pool).await?;
        let now: Time = sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(&self.pool).await?;
        let claim = Claim {
            destination: DestinationName::new(destination.unwrap_or_default()),
            lane: None,
            backfill: true,
            limit: 200,
            now: now.0,
            lease_ends_at: now.0,
            token: LeaseToken::new_v4(),
        };
        let mut look = self.pool.begin_with(BEGIN).await?;
        let explain = AssertSqlSafe(format!("EXPLAIN {}", lease_sql(&claim)));
        let mut lines =
            bind(sqlx::query(explain), &claim, self.replica).persistent(false).fetch_all(&mut *look).await?;
        let revive = sqlx::query(AssertSqlSafe(format!("EXPLAIN {REVIVE}"))).persistent(false);
        lines.extend(revive.bind(claim.destination.as_str()).bind(now).fetch_all(&mut *look).await?);
        look.rollback().await?;
        lines.iter().map(|line| Ok(line.try_get(0)?)).collect()
    }
}

pub(super) async fn claim(store: &PostgresStore, claim: &Claim) -> StoreResult<Vec<ClaimedJob>> {
    let mut transaction = store.pool.begin_with(BEGIN).await?;
    sqlx::query(REVIVE).bind(claim.destination.as_str()).bind(Time(claim.now)).execute(&mut *transaction).await?;
    let leased =
        bind(sqlx::query(AssertSqlSafe(lease_sql(claim))), claim, store.replica).fetch_all(&mut *transaction).await?;
    transaction.commit().await?;
    leased.iter().map(read_job).collect()
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;

fn bind<'q>(query: Query<'q>, claim: &'q Claim, replica: Uuid) -> Query<'q> {
    query
        .bind(claim.destination.as_str())
        .bind(Time(claim.now))
        .bind(i64::from(claim.limit))
        .bind(Time(claim.lease_ends_at))
        .bind(claim.token)
        .bind(Time(claim.now.after(MAY_LAND_FOR)))
        .bind(replica)
}

/// Leases jobs in one statement: the longest due of each lane from the partial index, live before backfill, locked as they
/// are found, past those that somebody else has just locked. What is locked is addressed by its place, so that the update
/// needs no search. Writes that a lost lease's holder announced and never settled may still land.
fn lease_sql(claim: &Claim) -> String {
    let lanes: &[Lane] = match &claim.lane {
        Some(Lane::First) => &[Lane::First],
        Some(Lane::Linked) => &[Lane::Linked],
        None => &[Lane::First, Lane::Linked],
    };
    let classes: &[Class] = if claim.backfill { &[Class::Live, Class::Backfill] } else { &[Class::Live] };
    let of_lane = |class: Class, lane: Lane| {
        let (class, lane) = (rows::class_number(class), rows::lane_number(lane));
        format!(
            "SELECT * FROM (SELECT ctid AS tid, source, lead_id, class, due_at, lease_token IS NOT NULL AS expired
                              FROM jobs
                             WHERE state = 'owed' AND destination = $1 AND lane = {lane} AND class = {class}
                               AND due_at <= $2
                             ORDER BY due_at LIMIT $3 FOR UPDATE SKIP LOCKED) lane_{lane}"
        )
    };
    let of_class = |class: Class| {
        let lists: Vec<String> = lanes.iter().map(|lane| of_lane(class, *lane)).collect();
        match &lists[..] {
            [one] => one.clone(),
            lists => format!(
                "SELECT * FROM (SELECT * FROM ({}) lanes ORDER BY due_at LIMIT $3) class",
                lists.join(" UNION ALL ")
            ),
        }
    };
    let due: Vec<String> = classes.iter().map(|class| of_class(*class)).collect();
    format!(
        "WITH due AS MATERIALIZED (SELECT * FROM ({due}) classes LIMIT $3),
         late AS (
             UPDATE intents SET settled = 1, keep_open_until = $6
              WHERE id = ANY (ARRAY(
                    SELECT i.id FROM due d CROSS JOIN LATERAL (
                           SELECT id FROM intents
                            WHERE destination = $1 AND source = d.source AND lead_id = d.lead_id AND settled = 0
                           OFFSET 0) i
                     WHERE d.expired))),
         leased AS (
             UPDATE jobs SET due_at = $4, attempt = attempt + 1, waiting_since = NULL, lease_token = $5, held_by = $7
              WHERE ctid = ANY (ARRAY(SELECT tid FROM due))
          RETURNING source, lead_id, lane, class, attempt, wanted, owed_since, first_failed_at, detail, suspicion,
                    refusal::text AS refusal, forced)
         SELECT leased.*, due.expired FROM leased JOIN due USING (source, lead_id)
          ORDER BY due.class, due.due_at, source COLLATE \"C\", lead_id COLLATE \"C\"",
        due = due.join(" UNION ALL ")
    )
}

fn read_job(row: &PgRow) -> StoreResult<ClaimedJob> {
    let (cells, lead) = Cells::of_lead(row, "jobs")?;
    Ok(ClaimedJob {
        lane: rows::lane(cells.count("lane")?),
        class: rows::class(cells.count("class")?),
        attempt: cells.count("attempt")?,
        wanted: cells.get("wanted")?,
        owed_since: cells.get("owed_since")?,
        first_failed_at: cells.get("first_failed_at")?,
        last_error: cells.get("detail")?,
        suspicion: cells.count("suspicion")?,
        refusal: cells.parse_option("refusal", |json| refusal_from_json(json).ok())?,
        forced: cells.get("forced")?,
        lease_expired: cells.get("expired")?,
        lead,
    })
}

pub(super) async fn next_due(store: &PostgresStore, destination: &DestinationName) -> StoreResult<Option<Timestamp>> {
    let due: Option<Time> = sqlx::query_scalar(
        "SELECT least(
             (SELECT min(due_at) FROM jobs WHERE state = 'owed' AND destination = $1 AND lane = 0 AND class = 0),
             (SELECT min(due_at) FROM jobs WHERE state = 'owed' AND destination = $1 AND lane = 0 AND class = 1),
             (SELECT min(due_at) FROM jobs WHERE state = 'owed' AND destination = $1 AND lane = 1 AND class = 0),
             (SELECT min(due_at) FROM jobs WHERE state = 'owed' AND destination = $1 AND lane = 1 AND class = 1),
             (SELECT min(look_again_at) FROM jobs
               WHERE state <> 'owed' AND destination = $1 AND look_again_at IS NOT NULL))",
    )
    .bind(destination.as_str())
    .fetch_one(&store.pool)
    .await?;
    Ok(due.map(|due| due.0))
}

pub(super) async fn give_back(store: &PostgresStore, jobs: &[GiveBack]) -> StoreResult<()> {
    let mut in_order: BTreeMap<_, &GiveBack> = BTreeMap::new();
    for job in jobs {
        in_order.entry((&job.destination, &job.lead, job.token)).or_insert(job);
    }
    let in_order: Vec<&GiveBack> = in_order.into_values().collect();
    for piece in in_order.chunks(PIECE) {
        give_some_back(store, piece).await?;
        store.wake_workers();
    }
    Ok(())
}

/// Gives jobs back that are in key order. With a token that is not the lease's, nothing happens.
async fn give_some_back(store: &PostgresStore, jobs: &[&GiveBack]) -> StoreResult<()> {
    let (sources, leads) = rows::columns(jobs.iter().map(|job| &job.lead));
    sqlx::query(
        "WITH locked AS MATERIALIZED (
             SELECT u.destination, u.source, u.lead_id, u.due_at, u.waiting_since
               FROM unnest($1::text[], $2::text[], $3::text[], $4::uuid[], $5::timestamptz[], $6::timestamptz[])
                    WITH ORDINALITY AS u(destination, source, lead_id, token, due_at, waiting_since, place)
               JOIN jobs j ON j.destination = u.destination AND j.source = u.source AND j.lead_id = u.lead_id
              WHERE j.lease_token = u.token
              ORDER BY u.place FOR UPDATE OF j)
         UPDATE jobs SET lease_token = NULL, due_at = locked.due_at, attempt = greatest(attempt - 1, 0),
                         waiting_since = locked.waiting_since
           FROM locked
          WHERE jobs.destination = locked.destination AND jobs.source = locked.source AND jobs.lead_id = locked.lead_id",
    )
    .bind(jobs.iter().map(|job| job.destination.as_str()).collect::<Vec<_>>())
    .bind(sources)
    .bind(leads)
    .bind(jobs.iter().map(|job| job.token).collect::<Vec<_>>())
    .bind(jobs.iter().map(|job| Time(job.due_at)).collect::<Vec<_>>())
    .bind(jobs.iter().map(|job| job.waiting_since.map(Time)).collect::<Vec<_>>())
    .execute(&store.pool)
    .await?;
    Ok(())
}
