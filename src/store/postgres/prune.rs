//! Deleting what is older than it is needed.
//!
//! A whole month goes at once: what has to stay of it is copied in pieces into a table apart, which then takes the month's
//! place in one short transaction. Readers see the month or what stays of it, never neither; a crash leaves a copy that is
//! gone on with. What is in no month's partition, and what stayed of months, is walked through in pieces as on SQLite.

mod months;
mod sweeps;

use sqlx::PgConnection;

use super::PostgresStore;
use super::partitions::{self, MONTHLY, Monthly};
use super::time::Time;
use crate::domain::time::Timestamp;
use crate::store::StoreResult;

/// How many rows one step looks at.
const PIECE: i64 = 500;
/// The advisory lock of whoever prunes: one process at a time.
const PRUNING: i64 = 0x6c72_0003;
/// How often in a round a step is tried again whose tables were in use. A dump may hold them for hours.
const TRIES: i64 = 10;
/// Joins go row by row through indexes, since a piece is small: a plan for more would read whole tables.
const BY_INDEX: &str =
    "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL enable_seqscan = off";

/// Looks at one piece of what is older than `before` and deletes what nothing needs. `false`: all was looked at, and the
/// next call begins anew; or another process is at it.
pub(super) async fn prune(store: &PostgresStore, before: Timestamp, keep_unfolded: bool) -> StoreResult<bool> {
    let mut db = store.pool.begin().await?;
    let mine: bool =
        sqlx::query_scalar("SELECT pg_try_advisory_xact_lock($1)").bind(PRUNING).fetch_one(&mut *db).await?;
    if !mine {
        return Ok(false);
    }
    sqlx::raw_sql(BY_INDEX).execute(&mut *db).await?;
    match step(&mut db, before, keep_unfolded).await {
        Ok(more) => {
            db.commit().await?;
            Ok(more)
        }
        Err(error) if in_use(&error) => {
            db.rollback().await?;
            try_again(store).await
        }
        Err(error) => Err(error.into()),
    }
}

async fn step(db: &mut PgConnection, before: Timestamp, keep_unfolded: bool) -> sqlx::Result<bool> {
    if sweeps::begin_round(db).await? {
        let now: Time = sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(&mut *db).await?;
        if let Err(error) = partitions::make_ahead(db, now.0).await {
            tracing::warn!("no partitions were made ahead: {error}");
        }
        return Ok(true);
    }
    if sweeps::delete_piece(db, before).await? || sweeps::sweep_piece(db, before, keep_unfolded).await? {
        return Ok(true);
    }
    for monthly in &MONTHLY {
        if months::step(db, monthly, before, keep_unfolded).await? {
            return Ok(true);
        }
    }
    sweeps::end_round(db).await?;
    Ok(false)
}

/// Of an event that nobody folded yet: a job has to.
const TO_FOLD: &str = "EXISTS (SELECT 1 FROM jobs j WHERE j.source = e.source AND j.lead_id = e.lead_id OFFSET 0)";

/// Which rows `e` of a table have to stay however old they are. `OFFSET 0` keeps each question one look into an index: else
/// the server might read the whole other table to answer it for a piece.
fn needed(monthly: &Monthly, keep_unfolded: bool) -> String {
    let stored = if keep_unfolded { "true" } else { TO_FOLD };
    match monthly.table {
        // What a job still has to fold, and the newest folded event of every lead that is known, from which it can be told
        // what the lead system said last.
        "events" => format!(
            "((e.state = 'stored' AND {stored})
              OR (e.state = 'folded' AND EXISTS (
                      SELECT 1 FROM leads l WHERE l.source = e.source AND l.lead_id = e.lead_id OFFSET 0)
                  AND NOT EXISTS (
                      SELECT 1 FROM events n WHERE n.source = e.source AND n.lead_id = e.lead_id AND n.id > e.id
                         AND n.state = 'folded' OFFSET 0)))"
        ),
        // The last success of a link.
        _ => "(e.outcome = 'ok' AND EXISTS (
                  SELECT 1 FROM links l WHERE l.destination = e.destination AND l.source = e.source
                     AND l.lead_id = e.lead_id OFFSET 0)
              AND NOT EXISTS (
                  SELECT 1 FROM sync_log n WHERE n.lead_id = e.lead_id AND n.id > e.id AND n.source = e.source
                     AND n.destination = e.destination AND n.outcome = 'ok' OFFSET 0))"
            .to_owned(),
    }
}

fn in_use(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "55P03" || code == "40P01")
}

/// Counts how often a step of this round found its tables in use; the round ends where that was too often.
async fn try_again(store: &PostgresStore) -> StoreResult<bool> {
    let mut db = store.pool.begin().await?;
    let again = sweeps::count_try(&mut db).await? <= TRIES;
    if !again {
        sweeps::end_round(&mut db).await?;
        tracing::warn!("a month could not be pruned: its tables are in use; tried again within a day");
    }
    db.commit().await?;
    Ok(again)
}
