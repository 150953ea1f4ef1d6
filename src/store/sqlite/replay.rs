//! replay

use super::SqliteStore;
use crate::domain::ids::*;
use crate::domain::time::Timestamp;
use crate::store::*;

pub(super) async fn replay(
    store: &SqliteStore,
    _id: EventId,
    _reread: Reread,
    _destinations: &[DestinationName],
    _now: Timestamp,
) -> StoreResult<Option<()>> {
    Err(StoreError::Unavailable("not written yet".to_owned()))
}
