//! fold

use super::SqliteStore;
use crate::domain::ids::*;
use crate::domain::time::Timestamp;
use crate::store::*;

pub(super) async fn save(_store: &SqliteStore, _folded: &[FoldedLead]) -> StoreResult<Vec<bool>> {
    Err(StoreError::Unavailable("not written yet".to_owned()))
}
