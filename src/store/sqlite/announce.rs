//! announce

use super::SqliteStore;
use crate::domain::ids::*;
use crate::domain::time::Timestamp;
use crate::store::*;

pub(super) async fn announce(_store: &SqliteStore, _announcement: &Announcement) -> StoreResult<Vec<Option<IntentId>>> {
    Err(StoreError::Unavailable("not written yet".to_owned()))
}
