#![expect(unused, clippy::todo, reason = "not written yet")]
use super::PostgresStore;
use crate::domain::ids::*;
use crate::domain::time::Timestamp;
use crate::store::*;

type Span = (Timestamp, Timestamp);

pub(super) async fn list(
    store: &PostgresStore,
    filter: &ConflictFilter,
    page: &Page,
) -> StoreResult<Listed<ConflictRow>> {
    todo!()
}

pub(super) async fn load(store: &PostgresStore, id: i64) -> StoreResult<Option<ConflictRow>> {
    todo!()
}

pub(super) async fn resolve(store: &PostgresStore, answer: &Answer) -> StoreResult<Answered> {
    todo!()
}
