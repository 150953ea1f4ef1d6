#![expect(unused, clippy::todo, reason = "not written yet")]
use super::PostgresStore;
use crate::domain::ids::*;
use crate::domain::time::Timestamp;
use crate::store::*;

type Span = (Timestamp, Timestamp);

pub(super) async fn pause(store: &PostgresStore, pause: &Pause) -> StoreResult<()> {
    todo!()
}

pub(super) async fn resume(store: &PostgresStore, destination: &DestinationName) -> StoreResult<bool> {
    todo!()
}

pub(super) async fn load_pauses(store: &PostgresStore) -> StoreResult<Vec<Pause>> {
    todo!()
}

pub(super) async fn record_audit(store: &PostgresStore, entry: &AuditEntry) -> StoreResult<()> {
    todo!()
}

pub(super) async fn list_audit(store: &PostgresStore, page: &Page) -> StoreResult<Listed<AuditRow>> {
    todo!()
}
