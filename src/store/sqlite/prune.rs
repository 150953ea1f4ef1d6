//! Deleting what is older than it is needed.

use super::SqliteStore;
use crate::domain::ids::*;
use crate::domain::time::Timestamp;
use crate::store::*;

pub(super) async fn prune(_store: &SqliteStore, _before: Timestamp) -> StoreResult<bool> {
    Err(StoreError::Unavailable("not written yet".to_owned()))
}
