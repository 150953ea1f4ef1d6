//! Bulk work and its progress.

use super::SqliteStore;
use crate::domain::ids::*;
use crate::domain::time::Timestamp;
use crate::store::*;

pub(super) async fn create(_store: &SqliteStore, _run: &NewRun) -> StoreResult<i64> {
    Err(StoreError::Unavailable("not written yet".to_owned()))
}

pub(super) async fn update(_store: &SqliteStore, _id: i64, _progress: &RunProgress) -> StoreResult<()> {
    Err(StoreError::Unavailable("not written yet".to_owned()))
}

pub(super) async fn list(_store: &SqliteStore, _page: &Page) -> StoreResult<Listed<RunRow>> {
    Err(StoreError::Unavailable("not written yet".to_owned()))
}

pub(super) async fn load(_store: &SqliteStore, _id: i64) -> StoreResult<Option<RunRow>> {
    Err(StoreError::Unavailable("not written yet".to_owned()))
}
