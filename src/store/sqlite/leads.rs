//! Leads, listed and read.

use super::SqliteStore;
use crate::domain::ids::*;
use crate::domain::time::Timestamp;
use crate::store::*;

pub(super) async fn list(_store: &SqliteStore, _filter: &LeadFilter, _page: &Page) -> StoreResult<Listed<LeadRow>> {
    Err(StoreError::Unavailable("not written yet".to_owned()))
}

pub(super) async fn load(_store: &SqliteStore, _key: &LeadKey) -> StoreResult<Option<LeadView>> {
    Err(StoreError::Unavailable("not written yet".to_owned()))
}

pub(super) async fn after(
    _store: &SqliteStore,
    _scope: &ResyncScope,
    _after: Option<&LeadKey>,
    _limit: u32,
) -> StoreResult<Vec<LeadKey>> {
    Err(StoreError::Unavailable("not written yet".to_owned()))
}

pub(super) async fn count(_store: &SqliteStore, _scope: &ResyncScope) -> StoreResult<u64> {
    Err(StoreError::Unavailable("not written yet".to_owned()))
}

pub(super) async fn seen_fields(_store: &SqliteStore, _source: &SourceName) -> StoreResult<Vec<String>> {
    Err(StoreError::Unavailable("not written yet".to_owned()))
}
