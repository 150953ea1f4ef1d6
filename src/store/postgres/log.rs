#![expect(unused, clippy::todo, reason = "not written yet")]
use super::PostgresStore;
use crate::domain::ids::*;
use crate::domain::time::Timestamp;
use crate::store::*;

type Span = (Timestamp, Timestamp);

pub(super) async fn search(store: &PostgresStore, filter: &LogFilter, page: &Page) -> StoreResult<Listed<LogRow>> {
    todo!()
}

pub(super) async fn load(store: &PostgresStore, id: i64) -> StoreResult<Option<LogRowDetail>> {
    todo!()
}
