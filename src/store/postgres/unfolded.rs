//! Leads whose events wait to be folded, since no destination asks for them or their source was not configured.

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
    after: Option<&LeadKey>,
    limit: u32,
) -> StoreResult<Vec<LeadKey>> {
    let list = format!(
        "SELECT DISTINCT e.lead_id, e.source {NEVER_FOLDED} AND (e.lead_id, e.source) > ($3, $4)
          ORDER BY e.lead_id, e.source LIMIT $5"
    );
    let (id, source) = place(after);
    let found: Vec<(String, String)> = sqlx::query_as(AssertSqlSafe(list))
        .bind(names(sources))
        .bind(destination.as_str())
        .bind(id)
        .bind(source)
        .bind(i64::from(limit))
        .fetch_all(&store.pool)
        .await?;
    Ok(keys(found))
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
    after: Option<&LeadKey>,
    limit: u32,
) -> StoreResult<Vec<LeadKey>> {
    let (id, source) = place(after);
    let found: Vec<(String, String)> = sqlx::query_as(
        "SELECT DISTINCT e.lead_id, e.source FROM events e
          WHERE e.state = 'stored' AND e.lead_id IS NOT NULL AND e.source = ANY ($1) AND e.received_at < $2
            AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.lead_id = e.lead_id AND j.source = e.source)
            AND (e.lead_id, e.source) > ($3, $4)
          ORDER BY e.lead_id, e.source LIMIT $5",
    )
    .bind(names(sources))
    .bind(Time(before))
    .bind(id)
    .bind(source)
    .bind(i64::from(limit))
    .fetch_all(&store.pool)
    .await?;
    Ok(keys(found))
}

pub(super) async fn held(
    store: &PostgresStore,
    destination: &DestinationName,
    code: &str,
    sources: &[SourceName],
) -> StoreResult<Vec<LeadKey>> {
    let found: Vec<(String, String)> = sqlx::query_as(
        "SELECT lead_id, source FROM jobs
          WHERE state = 'held' AND destination = $1 AND code = $2 AND source = ANY ($3)",
    )
    .bind(destination.as_str())
    .bind(code)
    .bind(names(sources))
    .fetch_all(&store.pool)
    .await?;
    Ok(keys(found))
}

/// Where the next piece begins, in the order of the index: no source has the empty name.
fn place(after: Option<&LeadKey>) -> (&str, &str) {
    after.map_or(("", ""), |lead| (lead.id.as_str(), lead.source.as_str()))
}

fn keys(found: Vec<(String, String)>) -> Vec<LeadKey> {
    found.into_iter().map(|(id, source)| LeadKey::new(source.as_str(), id.as_str())).collect()
}

fn names(sources: &[SourceName]) -> Vec<&str> {
    sources.iter().map(SourceName::as_str).collect()
}
