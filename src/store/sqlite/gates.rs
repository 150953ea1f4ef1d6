//! What a gate remembers over a restart: calls made, by hour, and when it was closed.

use rusqlite::params;

use super::SqliteStore;
use crate::domain::ids::DestinationName;
use crate::domain::time::Timestamp;
use crate::store::StoreResult;

pub(super) async fn save_calls(
    store: &SqliteStore,
    destination: &DestinationName,
    hour: Timestamp,
    calls: u64,
) -> StoreResult<()> {
    let (destination, calls) = (destination.clone(), i64::try_from(calls).unwrap_or(i64::MAX));
    store
        .writer
        .run(move |db| {
            db.prepare_cached(
                "INSERT INTO budget (destination, hour, calls) VALUES (?1, ?2, ?3)
                 ON CONFLICT DO UPDATE SET calls = max(calls, excluded.calls)",
            )?
            .execute(params![destination.as_str(), hour.as_micros(), calls])?;
            Ok(())
        })
        .await
}

pub(super) async fn calls_since(
    store: &SqliteStore,
    destination: &DestinationName,
    since: Timestamp,
) -> StoreResult<Vec<(Timestamp, u64)>> {
    let rows: Vec<(i64, i64)> =
        sqlx::query_as("SELECT hour, calls FROM budget WHERE destination = ? AND hour >= ? ORDER BY hour")
            .bind(destination.as_str())
            .bind(since.as_micros())
            .fetch_all(&store.readers)
            .await?;
    Ok(rows.into_iter().map(|(hour, calls)| (Timestamp::from_micros(hour), calls.unsigned_abs())).collect())
}

/// A span of time.
type Span = (Timestamp, Timestamp);

pub(super) async fn save_closed_spans(
    store: &SqliteStore,
    destination: &DestinationName,
    spans: &[Span],
) -> StoreResult<()> {
    let (destination, spans) = (destination.clone(), spans.to_vec());
    store
        .writer
        .run(move |db| {
            db.prepare_cached("DELETE FROM closed_spans WHERE destination = ?1")?.execute([destination.as_str()])?;
            let mut insert = db.prepare_cached(
                "INSERT OR REPLACE INTO closed_spans (destination, closed_at, opened_at) VALUES (?1, ?2, ?3)",
            )?;
            for (from, to) in &spans {
                insert.execute(params![destination.as_str(), from.as_micros(), to.as_micros()])?;
            }
            Ok(())
        })
        .await
}

pub(super) async fn closed_spans(store: &SqliteStore, destination: &DestinationName) -> StoreResult<Vec<Span>> {
    let rows: Vec<(i64, i64)> =
        sqlx::query_as("SELECT closed_at, opened_at FROM closed_spans WHERE destination = ? ORDER BY closed_at")
            .bind(destination.as_str())
            .fetch_all(&store.readers)
            .await?;
    Ok(rows.into_iter().map(|(from, to)| (Timestamp::from_micros(from), Timestamp::from_micros(to))).collect())
}
