//! dirty

use super::SqliteStore;
use crate::domain::ids::*;
use crate::domain::time::Timestamp;
use crate::store::*;

pub(super) async fn mark(_store: &SqliteStore, _mark: &DirtyMark) -> StoreResult<u64> {
    Err(StoreError::Unavailable("not written yet".to_owned()))
}
