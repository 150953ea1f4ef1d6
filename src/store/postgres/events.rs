#![expect(unused, clippy::todo, reason = "not written yet")]
use super::PostgresStore;
use crate::domain::ids::*;
use crate::domain::time::Timestamp;
use crate::store::*;

type Span = (Timestamp, Timestamp);

pub(super) async fn list(store: &PostgresStore, filter: &EventFilter, page: &Page) -> StoreResult<Listed<EventRow>> {
    todo!()
}

pub(super) async fn load(store: &PostgresStore, id: EventId) -> StoreResult<Option<EventDetail>> {
    todo!()
}
