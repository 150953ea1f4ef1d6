//! A copy of the database while it runs.

use super::SqliteStore;
use crate::domain::ids::*;
use crate::domain::time::Timestamp;
use crate::store::*;

pub(super) async fn backup(_store: &SqliteStore, _to: &std::path::Path) -> StoreResult<()> {
    Err(StoreError::Unavailable("not written yet".to_owned()))
}
