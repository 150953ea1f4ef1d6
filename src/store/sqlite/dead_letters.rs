//! Dead letters: listed, retried, discarded.

use super::SqliteStore;
use crate::domain::ids::*;
use crate::domain::time::Timestamp;
use crate::store::*;

pub(super) async fn list(
    _store: &SqliteStore,
    _filter: &DeadLetterFilter,
    _page: &Page,
) -> StoreResult<Listed<DeadLetter>> {
    Err(StoreError::Unavailable("not written yet".to_owned()))
}

pub(super) async fn retry(_store: &SqliteStore, _filter: &DeadLetterFilter, _now: Timestamp) -> StoreResult<u64> {
    Err(StoreError::Unavailable("not written yet".to_owned()))
}

pub(super) async fn discard(
    _store: &SqliteStore,
    _filter: &DeadLetterFilter,
    _by: &str,
    _now: Timestamp,
) -> StoreResult<u64> {
    Err(StoreError::Unavailable("not written yet".to_owned()))
}
