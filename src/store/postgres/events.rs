//! Events, listed and read.

use sqlx::QueryBuilder;

use super::PostgresStore;
use super::rows::cannot_be;
use super::time::Time;
use super::walk::{Numbered, Span};
use crate::domain::ids::EventId;
use crate::store::listed::{read_event, read_event_detail};
use crate::store::{EventDetail, EventFilter, EventRow, Listed, Page, StoreResult};

pub(super) const EVENTS: Numbered = Numbered {
    table: "events",
    select: "SELECT id, source, lead_id, event_type, sender_id, state, reason, received_at, request_id, size
               FROM events WHERE ",
    bounds: "SELECT (SELECT min(id) FROM events), (SELECT max(id) FROM events)",
    probe: "SELECT id, received_at FROM events WHERE id >= $1 ORDER BY id LIMIT 1",
};

/// One page of events, newest first.
pub(super) async fn list(store: &PostgresStore, filter: &EventFilter, page: &Page) -> StoreResult<Listed<EventRow>> {
    if [&filter.source, &filter.lead_id].into_iter().flatten().any(|text| cannot_be(text)) {
        return Ok(Listed::nothing());
    }
    let span = Span { from: filter.from, to: filter.to, narrow: filter.lead_id.is_some() };
    let conditions = |query: &mut QueryBuilder<sqlx::Postgres>| {
        if let Some(source) = &filter.source {
            query.push(" AND source = ").push_bind(source.clone());
        }
        if let Some(lead_id) = &filter.lead_id {
            query.push(" AND lead_id = ").push_bind(lead_id.clone());
        }
        if let Some(state) = filter.state {
            query.push(" AND state = ").push_bind(state.as_str());
        }
        if let Some(from) = filter.from {
            query.push(" AND received_at >= ").push_bind(Time(from));
        }
        if let Some(to) = filter.to {
            query.push(" AND received_at <= ").push_bind(Time(to));
        }
    };
    EVENTS.page(&store.pool, page, &span, conditions, read_event).await
}

/// One event with its body and the headers that were kept.
pub(super) async fn load(store: &PostgresStore, id: EventId) -> StoreResult<Option<EventDetail>> {
    let mut query = QueryBuilder::new(EVENTS.select);
    query.push("id = ").push_bind(id.0);
    let Some(row) = query.build().fetch_optional(&store.pool).await? else { return Ok(None) };
    let row = read_event(&row)?;
    let kept = sqlx::query("SELECT headers, body FROM bodies WHERE event_id = $1 AND received_at = $2")
        .bind(id.0)
        .bind(Time(row.received_at))
        .fetch_optional(&store.pool)
        .await?;
    read_event_detail(row, kept.as_ref()).map(Some)
}
