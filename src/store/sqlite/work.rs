//! work

use super::SqliteStore;
use crate::domain::ids::*;
use crate::domain::time::Timestamp;
use crate::store::*;

pub(super) async fn load(
    _store: &SqliteStore,
    _destination: &DestinationName,
    _leads: &[LeadKey],
) -> StoreResult<Vec<Work>> {
    Err(StoreError::Unavailable("not written yet".to_owned()))
}
