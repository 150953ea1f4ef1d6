#![expect(unused, clippy::todo, reason = "not written yet")]
use super::PostgresStore;
use crate::domain::ids::*;
use crate::domain::time::Timestamp;
use crate::store::*;

type Span = (Timestamp, Timestamp);

pub(super) async fn save_calls(
    store: &PostgresStore,
    destination: &DestinationName,
    hour: Timestamp,
    calls: u64,
) -> StoreResult<()> {
    todo!()
}

pub(super) async fn calls_since(
    store: &PostgresStore,
    destination: &DestinationName,
    since: Timestamp,
) -> StoreResult<Vec<(Timestamp, u64)>> {
    todo!()
}

pub(super) async fn save_closed_spans(
    store: &PostgresStore,
    destination: &DestinationName,
    spans: &[Span],
) -> StoreResult<()> {
    todo!()
}

pub(super) async fn closed_spans(store: &PostgresStore, destination: &DestinationName) -> StoreResult<Vec<Span>> {
    todo!()
}
