//! recover

use super::SqliteStore;
use crate::domain::ids::*;
use crate::domain::time::Timestamp;
use crate::store::*;

pub(super) async fn recover(_store: &SqliteStore, _now: Timestamp) -> StoreResult<Recovered> {
    Err(StoreError::Unavailable("not written yet".to_owned()))
}

pub(super) async fn shorten_waits(_store: &SqliteStore, _latest: Timestamp) -> StoreResult<u64> {
    Err(StoreError::Unavailable("not written yet".to_owned()))
}

pub(super) async fn close_late(_store: &SqliteStore, _now: Timestamp) -> StoreResult<u64> {
    Err(StoreError::Unavailable("not written yet".to_owned()))
}
