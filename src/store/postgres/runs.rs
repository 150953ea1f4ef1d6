#![expect(unused, clippy::todo, reason = "not written yet")]
use super::PostgresStore;
use crate::domain::ids::*;
use crate::domain::time::Timestamp;
use crate::store::*;

type Span = (Timestamp, Timestamp);

pub(super) async fn create(store: &PostgresStore, run: &NewRun) -> StoreResult<i64> {
    todo!()
}

pub(super) async fn update(store: &PostgresStore, id: i64, progress: &RunProgress) -> StoreResult<()> {
    todo!()
}

pub(super) async fn list(store: &PostgresStore, page: &Page) -> StoreResult<Listed<RunRow>> {
    todo!()
}

pub(super) async fn load(store: &PostgresStore, id: i64) -> StoreResult<Option<RunRow>> {
    todo!()
}
