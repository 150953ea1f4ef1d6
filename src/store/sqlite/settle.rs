//! settle

use super::SqliteStore;
use crate::domain::ids::*;
use crate::domain::time::Timestamp;
use crate::store::*;

pub(super) async fn settle(_store: &SqliteStore, _settlements: Vec<Settlement>) -> StoreResult<Vec<Settled>> {
    Err(StoreError::Unavailable("not written yet".to_owned()))
}
