//! What people did: pauses and the audit log.

use super::SqliteStore;
use crate::domain::ids::*;
use crate::domain::time::Timestamp;
use crate::store::*;

pub(super) async fn pause(_store: &SqliteStore, _pause: &Pause) -> StoreResult<()> {
    Err(StoreError::Unavailable("not written yet".to_owned()))
}

pub(super) async fn resume(_store: &SqliteStore, _destination: &DestinationName) -> StoreResult<bool> {
    Err(StoreError::Unavailable("not written yet".to_owned()))
}

pub(super) async fn load_pauses(_store: &SqliteStore) -> StoreResult<Vec<Pause>> {
    Err(StoreError::Unavailable("not written yet".to_owned()))
}

pub(super) async fn record_audit(_store: &SqliteStore, _entry: &AuditEntry) -> StoreResult<()> {
    Err(StoreError::Unavailable("not written yet".to_owned()))
}

pub(super) async fn list_audit(_store: &SqliteStore, _page: &Page) -> StoreResult<Listed<AuditRow>> {
    Err(StoreError::Unavailable("not written yet".to_owned()))
}
