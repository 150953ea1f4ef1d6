//! Leads whose events wait to be folded and that no destination asks for.

use sqlx::AssertSqlSafe;

use super::PostgresStore;
use super::time::Time;
use crate::domain::ids::{DestinationName, LeadKey, SourceName};
use crate::domain::time::Timestamp;
use crate::store::StoreResult;

/// Of the sources `$1` what destination `$2` is not owed. Reads the whole index of events, which a resync may.
const NEVER_FOLDED: &str = "FROM events e
    WHERE e.state = 'stored' AND e.lead_id IS NOT NULL AND e.source = ANY ($1)
      AND NOT EXISTS (SELECT 1 FROM leads l WHERE l.source = e.source AND l.lead_id = e.lead_id)
      AND NOT EXISTS (SELECT 1 FROM jobs j
                       WHERE j.lead_id = e.lead_id AND j.source = e.source AND j.destination = $2 AND j.state = 'owed')";

pub(super) async fn list(
    store: &PostgresStore,
    destination: &DestinationName,
    sources: &[SourceName],
    limit: u32,
) -> StoreResult<Vec<LeadKey>> {
    let found: Vec<(String, String)> =
        sqlx::query_as(AssertSqlSafe(format!("SELECT DISTINCT e.source, e.lead_id {NEVER_FOLDED} LIMIT $3")))
            .bind(names(sources))
            .bind(destination.as_str())
            .bind(i64::from(limit))
            .fetch_all(&store.pool)
            .await?;
    Ok(found.into_iter().map(|(source, id)| LeadKey::new(source.as_str(), id.as_str())).collect())
}

pub(super) async fn count(
    store: &PostgresStore,
    destination: &DestinationName,
    sources: &[SourceName],
) -> StoreResult<u64> {
    let count = format!("SELECT count(*) FROM (SELECT DISTINCT e.source, e.lead_id {NEVER_FOLDED}) n");
    let count: i64 = sqlx::query_scalar(AssertSqlSafe(count))
        .bind(names(sources))
        .bind(destination.as_str())
        .fetch_one(&store.pool)
        .await?;
    Ok(count.unsigned_abs())
}

/// The bound is on what the table is partitioned by: months that are kept are not read.
pub(super) async fn list_old(
    store: &PostgresStore,
    sources: &[SourceName],
    before: Timestamp,
    limit: u32,
) -> StoreResult<Vec<LeadKey>> {
    let found: Vec<(String, String)> = sqlx::query_as(
        "SELECT DISTINCT e.source, e.lead_id FROM events e
          WHERE e.state = 'stored' AND e.lead_id IS NOT NULL AND e.source = ANY ($1) AND e.received_at < $2
            AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.lead_id = e.lead_id AND j.source = e.source)
          LIMIT $3",
    )
    .bind(names(sources))
    .bind(Time(before))
    .bind(i64::from(limit))
    .fetch_all(&store.pool)
    .await?;
    Ok(found.into_iter().map(|(source, id)| LeadKey::new(source.as_str(), id.as_str())).collect())
}

fn names(sources: &[SourceName]) -> Vec<&str> {
    sources.iter().map(SourceName::as_str).collect()
}
