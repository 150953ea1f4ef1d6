//! Calls made by destination and hour.

use rusqlite::params;

use super::SqliteStore;
use crate::domain::ids::DestinationName;
use crate::domain::time::Timestamp;
use crate::store::StoreResult;

pub(super) async fn save(
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

pub(super) async fn since(
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
