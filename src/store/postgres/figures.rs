#![expect(unused, clippy::todo, reason = "not written yet")]
use super::PostgresStore;
use crate::domain::ids::*;
use crate::domain::time::Timestamp;
use crate::store::*;

type Span = (Timestamp, Timestamp);

pub(super) async fn queue(store: &PostgresStore, _now: Timestamp) -> StoreResult<Vec<QueueFigures>> {
    todo!()
}

pub(super) async fn errors(store: &PostgresStore, since: Timestamp) -> StoreResult<Vec<ErrorGroup>> {
    todo!()
}

pub(super) async fn outcomes(store: &PostgresStore, since: Timestamp) -> StoreResult<Vec<OutcomeCount>> {
    todo!()
}

pub(super) async fn standing(store: &PostgresStore) -> StoreResult<StandingFigures> {
    todo!()
}

pub(super) async fn source(store: &PostgresStore, source: &SourceName, since: Timestamp) -> StoreResult<SourceFigures> {
    todo!()
}
