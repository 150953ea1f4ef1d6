//! Events, listed and read.

use sqlx::QueryBuilder;

use super::SqliteStore;
use super::walk::{Numbered, Span};
use crate::domain::ids::EventId;
use crate::store::listed::{read_event, read_event_detail};
use crate::store::{EventDetail, EventFilter, EventRow, Listed, Page, StoreResult};

pub(super) const EVENTS: Numbered = Numbered {
    table: "events",
    select: "SELECT id, source, lead_id, event_type, sender_id, state, reason, received_at, request_id, size
               FROM events WHERE ",
    bounds: "SELECT (SELECT min(id) FROM events), (SELECT max(id) FROM events)",
    probe: "SELECT id, received_at FROM events WHERE id >= ? ORDER BY id LIMIT 1",
};

/// Every source that has events, one look into the index each.
const SOURCES: &str = "WITH RECURSIVE names (source) AS (
    SELECT min(source) FROM events
     UNION ALL
    SELECT (SELECT min(source) FROM events WHERE source > names.source) FROM names WHERE names.source IS NOT NULL)
    SELECT source FROM names WHERE source IS NOT NULL";

/// One page of events, newest first.
pub(super) async fn list(store: &SqliteStore, filter: &EventFilter, page: &Page) -> StoreResult<Listed<EventRow>> {
    let narrow = filter.lead_id.is_some();
    let span = Span { from: filter.from, to: filter.to, narrow };
    let conditions = |query: &mut QueryBuilder<sqlx::Sqlite>| {
        if let Some(source) = &filter.source {
            query.push(if narrow { " AND source = " } else { " AND +source = " }).push_bind(source.clone());
        } else if narrow {
            // The index by lead begins with the source.
            query.push(" AND source IN (").push(SOURCES).push(")");
        }
        if let Some(lead_id) = &filter.lead_id {
            query.push(" AND lead_id = ").push_bind(lead_id.clone());
        }
        if let Some(state) = filter.state {
            query.push(" AND state = ").push_bind(state.as_str());
        }
        if let Some(from) = filter.from {
            query.push(" AND received_at >= ").push_bind(from.as_micros());
        }
        if let Some(to) = filter.to {
            query.push(" AND received_at <= ").push_bind(to.as_micros());
        }
    };
    EVENTS.page(&store.readers, page, &span, conditions, read_event).await
}

/// One event with its body and the headers that were kept.
pub(super) async fn load(store: &SqliteStore, id: EventId) -> StoreResult<Option<EventDetail>> {
    let mut query = QueryBuilder::new(EVENTS.select);
    query.push("id = ").push_bind(id.0);
    let Some(row) = query.build().fetch_optional(&store.readers).await? else { return Ok(None) };
    let row = read_event(&row)?;
    let kept = sqlx::query("SELECT headers, body FROM bodies WHERE event_id = ?")
        .bind(id.0)
        .fetch_optional(&store.readers)
        .await?;
    read_event_detail(row, kept.as_ref()).map(Some)
}
