//! The processes that share the database: who lives, and what each knows of the gates.

use uuid::Uuid;

use super::rows::{readable, readable_option};
use super::time::Time;
use super::{PostgresStore, leases};
use crate::domain::ids::DestinationName;
use crate::domain::time::Timestamp;
use crate::store::{Closure, GateElsewhere, Other, Pause, Replica, ReplicaRow, StoreResult};

/// Whether a row of `replicas`, as `r`, is of a process that lives.
const LIVES: &str = "r.seen_at > clock_timestamp() - interval '15 seconds'";
/// Whether a row of `replicas`, as `r`, is of a process that lives, may only be frozen or cut off, or died not long ago.
pub(super) const OF_LATE: &str = "r.seen_at > clock_timestamp() - interval '1 hour'";

/// Whether nobody died of a job `j` that was let run out, as far as can be told. It was the process's that asks, which has
/// the parameter `this`; its process was seen later; or some process, perhaps the one that asks, had seemed dead until just
/// now: then the database was out of reach, and the others may be on their way back.
pub(super) fn nobody_died(this: &str) -> String {
    format!(
        "(j.held_by = {this}
          OR EXISTS (SELECT 1 FROM replicas r WHERE r.id = j.held_by AND r.seen_at > j.due_at)
          OR EXISTS (SELECT 1 FROM replicas r WHERE r.back_at > clock_timestamp() - interval '15 seconds'
                        OR r.id = {this} AND NOT {LIVES}))"
    )
}

/// By the database's clock.
pub(super) async fn appear(store: &PostgresStore, who: &Replica) -> StoreResult<()> {
    sqlx::query(
        "INSERT INTO replicas (id, name, version, started_at, seen_at) VALUES ($1, $2, $3, $4, clock_timestamp())
         ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at,
            back_at = CASE WHEN replicas.seen_at > clock_timestamp() - interval '15 seconds' THEN replicas.back_at
                           ELSE excluded.seen_at END",
    )
    .bind(store.replica)
    .bind(readable(&who.name))
    .bind(&who.version)
    .bind(Time(who.started_at))
    .execute(&store.pool)
    .await?;
    Ok(())
}

pub(super) async fn leave(store: &PostgresStore) -> StoreResult<()> {
    leases::release(store, store.replica).await?;
    for leave in ["DELETE FROM closures WHERE replica = $1", "DELETE FROM replicas WHERE id = $1"] {
        sqlx::query(leave).bind(store.replica).execute(&store.pool).await?;
    }
    Ok(())
}

pub(super) async fn list(store: &PostgresStore) -> StoreResult<Vec<ReplicaRow>> {
    let list = format!(
        "SELECT r.name, r.version, r.started_at, r.seen_at, {LIVES} FROM replicas r WHERE {OF_LATE}
          ORDER BY r.started_at, r.id"
    );
    let rows: Vec<(String, String, Time, Time, bool)> =
        sqlx::query_as(sqlx::AssertSqlSafe(list)).fetch_all(&store.pool).await?;
    let row = |(name, version, started_at, seen_at, alive): (String, String, Time, Time, bool)| ReplicaRow {
        replica: Replica { name, version, started_at: started_at.0 },
        seen_at: seen_at.0,
        alive,
    };
    Ok(rows.into_iter().map(row).collect())
}

type OtherRow = (Uuid, Option<String>, Option<String>, Option<String>, Option<Time>, Option<Time>);

pub(super) async fn exchange_gate(
    store: &PostgresStore,
    destination: &DestinationName,
    closure: Option<&Closure>,
) -> StoreResult<GateElsewhere> {
    tell(store, destination, closure).await?;
    let hours: Vec<(Time, i64)> = sqlx::query_as(
        "SELECT hour, sum(calls)::bigint FROM budget
          WHERE destination = $1 AND replica <> $2 AND hour > clock_timestamp() - interval '25 hours'
          GROUP BY hour ORDER BY hour",
    )
    .bind(destination.as_str())
    .bind(store.replica)
    .fetch_all(&store.pool)
    .await?;
    let others = format!(
        "SELECT r.id, c.reason, c.code, c.detail, c.since, c.until
           FROM replicas r LEFT JOIN closures c ON c.replica = r.id AND c.destination = $1
          WHERE r.id <> $2 AND {LIVES} ORDER BY r.id"
    );
    let others: Vec<OtherRow> = sqlx::query_as(sqlx::AssertSqlSafe(others))
        .bind(destination.as_str())
        .bind(store.replica)
        .fetch_all(&store.pool)
        .await?;
    let (pause, resumed_at) = orders(store, destination).await?;
    let other = |(id, reason, code, detail, since, until): OtherRow| {
        let closure = reason.zip(detail).zip(since).map(|((reason, text), since)| Closure {
            reason,
            code,
            text,
            since: since.0,
            until: until.map(|until| until.0),
        });
        Other { id, goes_first: id < store.replica, closure }
    };
    Ok(GateElsewhere {
        hours: hours.into_iter().map(|(hour, calls)| (hour.0, calls.unsigned_abs())).collect(),
        others: others.into_iter().map(other).collect(),
        pause,
        resumed_at,
    })
}

/// Writes only what has changed.
async fn tell(store: &PostgresStore, destination: &DestinationName, closure: Option<&Closure>) -> StoreResult<()> {
    let Some(closure) = closure else {
        sqlx::query("DELETE FROM closures WHERE destination = $1 AND replica = $2")
            .bind(destination.as_str())
            .bind(store.replica)
            .execute(&store.pool)
            .await?;
        return Ok(());
    };
    sqlx::query(
        "INSERT INTO closures (destination, replica, reason, code, detail, since, until)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (destination, replica) DO UPDATE
            SET reason = excluded.reason, code = excluded.code, detail = excluded.detail, since = excluded.since,
                until = excluded.until
          WHERE (closures.reason, closures.code, closures.detail, closures.since, closures.until)
                IS DISTINCT FROM (excluded.reason, excluded.code, excluded.detail, excluded.since, excluded.until)",
    )
    .bind(destination.as_str())
    .bind(store.replica)
    .bind(&closure.reason)
    .bind(readable_option(closure.code.as_deref()))
    .bind(readable(&closure.text))
    .bind(Time(closure.since))
    .bind(closure.until.map(Time))
    .execute(&store.pool)
    .await?;
    Ok(())
}

type OrderRow = (Option<String>, Option<String>, Option<Time>, Option<Time>, Option<Time>);

/// What people ordered: the pause in force, and when they last had it go on.
async fn orders(
    store: &PostgresStore,
    destination: &DestinationName,
) -> StoreResult<(Option<Pause>, Option<Timestamp>)> {
    let (by, note, since, until, resumed_at): OrderRow = sqlx::query_as(
        "SELECT p.by, p.note, p.since, p.until, r.at
           FROM (SELECT $1::text AS destination) d
                LEFT JOIN pauses p ON p.destination = d.destination
                LEFT JOIN resumes r ON r.destination = d.destination",
    )
    .bind(destination.as_str())
    .fetch_one(&store.pool)
    .await?;
    let pause = by.zip(since).map(|(by, since)| Pause {
        destination: destination.clone(),
        by,
        note,
        since: since.0,
        until: until.map(|until| until.0),
    });
    Ok((pause, resumed_at.map(|at| at.0)))
}

/// A person has the destination go on; every process hears of it.
pub(super) async fn note_resume(store: &PostgresStore, destination: &DestinationName) -> StoreResult<()> {
    sqlx::query(
        "INSERT INTO resumes (destination, at) VALUES ($1, clock_timestamp())
         ON CONFLICT (destination) DO UPDATE SET at = excluded.at",
    )
    .bind(destination.as_str())
    .execute(&store.pool)
    .await?;
    Ok(())
}
