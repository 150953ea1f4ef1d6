//! claim

use super::SqliteStore;
use crate::domain::ids::*;
use crate::domain::time::Timestamp;
use crate::store::*;

pub(super) async fn claim(_store: &SqliteStore, _claim: &Claim) -> StoreResult<Vec<ClaimedJob>> {
    Err(StoreError::Unavailable("not written yet".to_owned()))
}

pub(super) async fn next_due(_store: &SqliteStore, _destination: &DestinationName) -> StoreResult<Option<Timestamp>> {
    Err(StoreError::Unavailable("not written yet".to_owned()))
}

pub(super) async fn give_back(_store: &SqliteStore, _jobs: &[GiveBack]) -> StoreResult<()> {
    Err(StoreError::Unavailable("not written yet".to_owned()))
}
