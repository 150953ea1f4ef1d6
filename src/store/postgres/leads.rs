#![expect(unused, clippy::todo, reason = "not written yet")]
use super::PostgresStore;
use crate::domain::ids::*;
use crate::domain::time::Timestamp;
use crate::store::*;

type Span = (Timestamp, Timestamp);

pub(super) async fn list(store: &PostgresStore, filter: &LeadFilter, page: &Page) -> StoreResult<Listed<LeadRow>> {
    todo!()
}

pub(super) async fn load(store: &PostgresStore, key: &LeadKey) -> StoreResult<Option<LeadView>> {
    todo!()
}

pub(super) async fn after(
    store: &PostgresStore,
    scope: &ResyncScope,
    after: Option<&LeadKey>,
    limit: u32,
) -> StoreResult<Vec<LeadKey>> {
    todo!()
}

pub(super) async fn count(store: &PostgresStore, scope: &ResyncScope) -> StoreResult<u64> {
    todo!()
}

pub(super) async fn seen_fields(store: &PostgresStore, source: &SourceName) -> StoreResult<Vec<String>> {
    todo!()
}
