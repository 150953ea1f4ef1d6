//! Figures of queue, errors and sources.

use super::SqliteStore;
use crate::domain::ids::*;
use crate::domain::time::Timestamp;
use crate::store::*;

pub(super) async fn queue(_store: &SqliteStore, _now: Timestamp) -> StoreResult<Vec<QueueFigures>> {
    Err(StoreError::Unavailable("not written yet".to_owned()))
}

pub(super) async fn errors(_store: &SqliteStore, _since: Timestamp) -> StoreResult<Vec<ErrorGroup>> {
    Err(StoreError::Unavailable("not written yet".to_owned()))
}

pub(super) async fn outcomes(_store: &SqliteStore, _since: Timestamp) -> StoreResult<Vec<OutcomeCount>> {
    Err(StoreError::Unavailable("not written yet".to_owned()))
}

pub(super) async fn standing(_store: &SqliteStore) -> StoreResult<StandingFigures> {
    Err(StoreError::Unavailable("not written yet".to_owned()))
}

pub(super) async fn source(
    _store: &SqliteStore,
    _source: &SourceName,
    _since: Timestamp,
) -> StoreResult<SourceFigures> {
    Err(StoreError::Unavailable("not written yet".to_owned()))
}
