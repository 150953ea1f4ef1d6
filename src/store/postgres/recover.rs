#![expect(unused, clippy::todo, reason = "not written yet")]
use super::PostgresStore;
use crate::domain::ids::*;
use crate::domain::time::Timestamp;
use crate::store::*;

type Span = (Timestamp, Timestamp);

pub(super) async fn recover(store: &PostgresStore, whose: LeasesOf, now: Timestamp) -> StoreResult<Recovered> {
    todo!()
}

pub(super) async fn close_late(store: &PostgresStore, now: Timestamp) -> StoreResult<u64> {
    todo!()
}

pub(super) async fn shorten_waits(store: &PostgresStore, latest: Timestamp) -> StoreResult<u64> {
    todo!()
}
