#![expect(unused, clippy::todo, reason = "not written yet")]
use super::PostgresStore;
use crate::domain::ids::*;
use crate::domain::time::Timestamp;
use crate::store::*;

type Span = (Timestamp, Timestamp);

pub(super) async fn list(
    store: &PostgresStore,
    filter: &DeadLetterFilter,
    page: &Page,
) -> StoreResult<Listed<DeadLetter>> {
    todo!()
}

pub(super) async fn retry(store: &PostgresStore, filter: &DeadLetterFilter, now: Timestamp) -> StoreResult<u64> {
    todo!()
}

pub(super) async fn owe_refused_again(store: &PostgresStore, pardoned: &Pardoned) -> StoreResult<u64> {
    todo!()
}

pub(super) async fn discard(
    store: &PostgresStore,
    filter: &DeadLetterFilter,
    by: &str,
    now: Timestamp,
) -> StoreResult<u64> {
    todo!()
}
