//! What a gate remembers over a restart: calls made, by hour, and when it was closed.

use std::collections::BTreeMap;

use super::PostgresStore;
use super::time::Time;
use crate::domain::ids::DestinationName;
use crate::domain::time::Timestamp;
use crate::store::StoreResult;

/// Each process counts its own calls.
pub(super) async fn save_calls(
    store: &PostgresStore,
    destination: &DestinationName,
    hour: Timestamp,
    calls: u64,
) -> StoreResult<()> {
    sqlx::query(
        "INSERT INTO budget (destination, hour, replica, calls) VALUES ($1, $2, $3, $4)
         ON CONFLICT (destination, hour, replica) DO UPDATE SET calls = greatest(budget.calls, excluded.calls)",
    )
    .bind(destination.as_str())
    .bind(Time(hour))
    .bind(store.replica)
    .bind(i64::try_from(calls).unwrap_or(i64::MAX))
    .execute(&store.pool)
    .await?;
    Ok(())
}

/// The calls of all processes.
pub(super) async fn calls_since(
    store: &PostgresStore,
    destination: &DestinationName,
    since: Timestamp,
) -> StoreResult<Vec<(Timestamp, u64)>> {
    let rows: Vec<(Time, i64)> = sqlx::query_as(
        "SELECT hour, least(sum(calls), 9223372036854775807)::bigint FROM budget
          WHERE destination = $1 AND hour >= $2 GROUP BY hour ORDER BY hour",
    )
    .bind(destination.as_str())
    .bind(Time(since))
    .fetch_all(&store.pool)
    .await?;
    Ok(rows.into_iter().map(|(hour, calls)| (hour.0, calls.unsigned_abs())).collect())
}

/// A span of time.
type Span = (Timestamp, Timestamp);

pub(super) async fn save_closed_spans(
    store: &PostgresStore,
    destination: &DestinationName,
    spans: &[Span],
) -> StoreResult<()> {
    let spans: BTreeMap<Time, Time> = spans.iter().map(|(from, to)| (Time(*from), Time(*to))).collect();
    let mut tx = store.pool.begin().await?;
    // Two processes that replace the same spans do so one after the other.
    sqlx::query("SELECT pg_advisory_xact_lock(hashtext('closed_spans'), hashtext($1))")
        .bind(destination.as_str())
        .execute(&mut *tx)
        .await?;
    sqlx::query("DELETE FROM closed_spans WHERE destination = $1").bind(destination.as_str()).execute(&mut *tx).await?;
    sqlx::query(
        "INSERT INTO closed_spans (destination, closed_at, opened_at)
         SELECT $1, closed_at, opened_at FROM unnest($2::timestamptz[], $3::timestamptz[]) AS u (closed_at, opened_at)",
    )
    .bind(destination.as_str())
    .bind(spans.keys().copied().collect::<Vec<_>>())
    .bind(spans.values().copied().collect::<Vec<_>>())
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(())
}

pub(super) async fn closed_spans(store: &PostgresStore, destination: &DestinationName) -> StoreResult<Vec<Span>> {
    let rows: Vec<(Time, Time)> =
        sqlx::query_as("SELECT closed_at, opened_at FROM closed_spans WHERE destination = $1 ORDER BY closed_at")
            .bind(destination.as_str())
            .fetch_all(&store.pool)
            .await?;
    Ok(rows.into_iter().map(|(from, to)| (from.0, to.0)).collect())
}
