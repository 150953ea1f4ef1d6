//! The sync log, searched and read.

use super::SqliteStore;
use crate::domain::ids::*;
use crate::domain::time::Timestamp;
use crate::store::*;

pub(super) async fn search(_store: &SqliteStore, _filter: &LogFilter, _page: &Page) -> StoreResult<Listed<LogRow>> {
    Err(StoreError::Unavailable("not written yet".to_owned()))
}

pub(super) async fn load(_store: &SqliteStore, _id: i64) -> StoreResult<Option<LogRowDetail>> {
    Err(StoreError::Unavailable("not written yet".to_owned()))
}
