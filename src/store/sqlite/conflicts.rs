//! Conflicts: listed, read and resolved.

use super::SqliteStore;
use crate::domain::ids::*;
use crate::domain::time::Timestamp;
use crate::store::*;

pub(super) async fn list(
    _store: &SqliteStore,
    _filter: &ConflictFilter,
    _page: &Page,
) -> StoreResult<Listed<ConflictRow>> {
    Err(StoreError::Unavailable("not written yet".to_owned()))
}

pub(super) async fn load(_store: &SqliteStore, _id: i64) -> StoreResult<Option<ConflictRow>> {
    Err(StoreError::Unavailable("not written yet".to_owned()))
}

pub(super) async fn resolve(_store: &SqliteStore, _answer: &Answer) -> StoreResult<Answered> {
    Err(StoreError::Unavailable("not written yet".to_owned()))
}
