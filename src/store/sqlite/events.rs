//! Events, listed and read.

use super::SqliteStore;
use crate::domain::ids::*;
use crate::domain::time::Timestamp;
use crate::store::*;

pub(super) async fn list(_store: &SqliteStore, _filter: &EventFilter, _page: &Page) -> StoreResult<Listed<EventRow>> {
    Err(StoreError::Unavailable("not written yet".to_owned()))
}

pub(super) async fn load(_store: &SqliteStore, _id: EventId) -> StoreResult<Option<EventDetail>> {
    Err(StoreError::Unavailable("not written yet".to_owned()))
}
