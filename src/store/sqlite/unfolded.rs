//! Leads whose events wait to be folded, since no destination asks for them or their source was not configured.

use sqlx::AssertSqlSafe;

use super::SqliteStore;
use crate::domain::ids::{DestinationName, LeadKey, SourceName};
use crate::domain::time::Timestamp;
use crate::store::StoreResult;

/// Of the sources `?1`, a JSON list, what destination `?2` is not owed.
const NEVER_FOLDED: &str = "FROM events e
    WHERE e.state = 'stored' AND e.lead_id IS NOT NULL AND e.source IN (SELECT value FROM json_each(?1))
      AND NOT EXISTS (SELECT 1 FROM leads l WHERE l.source = e.source AND l.lead_id = e.lead_id)
      AND NOT EXISTS (SELECT 1 FROM jobs j
                       WHERE j.lead_id = e.lead_id AND j.source = e.source AND j.destination = ?2 AND j.state = 'owed')";

pub(super) async fn list(
    store: &SqliteStore,
    destination: &DestinationName,
    sources: &[SourceName],
    after: Option<&LeadKey>,
    limit: u32,
) -> StoreResult<Vec<LeadKey>> {
    let list = format!(
        "SELECT DISTINCT e.source, e.lead_id {NEVER_FOLDED} AND (e.source, e.lead_id) > (?3, ?4)
          ORDER BY e.source, e.lead_id LIMIT ?5"
    );
    let (source, id) = place(after);
    let found: Vec<(String, String)> = sqlx::query_as(AssertSqlSafe(list))
        .bind(names(sources))
        .bind(destination.as_str())
        .bind(source)
        .bind(id)
        .bind(limit)
        .fetch_all(&store.readers)
        .await?;
    Ok(keys(found))
}

pub(super) async fn count(
    store: &SqliteStore,
    destination: &DestinationName,
    sources: &[SourceName],
) -> StoreResult<u64> {
    let count = format!("SELECT count(*) FROM (SELECT DISTINCT e.source, e.lead_id {NEVER_FOLDED})");
    let count: i64 = sqlx::query_scalar(AssertSqlSafe(count))
        .bind(names(sources))
        .bind(destination.as_str())
        .fetch_one(&store.readers)
        .await?;
    Ok(count.unsigned_abs())
}

pub(super) async fn list_old(
    store: &SqliteStore,
    sources: &[SourceName],
    before: Timestamp,
    after: Option<&LeadKey>,
    limit: u32,
) -> StoreResult<Vec<LeadKey>> {
    let (source, id) = place(after);
    let found: Vec<(String, String)> = sqlx::query_as(
        "SELECT DISTINCT e.source, e.lead_id FROM events e
          WHERE e.state = 'stored' AND e.lead_id IS NOT NULL AND e.source IN (SELECT value FROM json_each(?1))
            AND e.received_at < ?2
            AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.lead_id = e.lead_id AND j.source = e.source)
            AND (e.source, e.lead_id) > (?3, ?4)
          ORDER BY e.source, e.lead_id LIMIT ?5",
    )
    .bind(names(sources))
    .bind(before.as_micros())
    .bind(source)
    .bind(id)
    .bind(limit)
    .fetch_all(&store.readers)
    .await?;
    Ok(keys(found))
}

pub(super) async fn held(
    store: &SqliteStore,
    destination: &DestinationName,
    code: &str,
    sources: &[SourceName],
) -> StoreResult<Vec<LeadKey>> {
    let found: Vec<(String, String)> = sqlx::query_as(
        "SELECT source, lead_id FROM jobs
          WHERE state = 'held' AND state <> 'owed' AND destination = ?1 AND code = ?2
            AND source IN (SELECT value FROM json_each(?3))",
    )
    .bind(destination.as_str())
    .bind(code)
    .bind(names(sources))
    .fetch_all(&store.readers)
    .await?;
    Ok(keys(found))
}

/// Where the next piece begins, in the order of the index: no source has the empty name.
fn place(after: Option<&LeadKey>) -> (&str, &str) {
    after.map_or(("", ""), |lead| (lead.source.as_str(), lead.id.as_str()))
}

fn keys(found: Vec<(String, String)>) -> Vec<LeadKey> {
    found.into_iter().map(|(source, id)| LeadKey::new(source.as_str(), id.as_str())).collect()
}

fn names(sources: &[SourceName]) -> String {
    let names: Vec<&str> = sources.iter().map(SourceName::as_str).collect();
    serde_json::to_string(&names).expect("a list of texts can be written")
}
