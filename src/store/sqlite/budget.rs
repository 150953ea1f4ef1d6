//! budget

use super::SqliteStore;
use crate::domain::ids::*;
use crate::domain::time::Timestamp;
use crate::store::*;

pub(super) async fn add(
    _store: &SqliteStore,
    _destination: &DestinationName,
    _hour: Timestamp,
    _calls: u64,
) -> StoreResult<()> {
    Err(StoreError::Unavailable("not written yet".to_owned()))
}

pub(super) async fn since(
    _store: &SqliteStore,
    _destination: &DestinationName,
    _since: Timestamp,
) -> StoreResult<Vec<(Timestamp, u64)>> {
    Err(StoreError::Unavailable("not written yet".to_owned()))
}
