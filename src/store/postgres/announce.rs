#![expect(unused, clippy::todo, reason = "not written yet")]
use super::PostgresStore;
use crate::domain::ids::*;
use crate::domain::time::Timestamp;
use crate::store::*;

type Span = (Timestamp, Timestamp);

pub(super) async fn announce(
    store: &PostgresStore,
    announcement: &Announcement,
) -> StoreResult<Vec<Option<Announced>>> {
    todo!()
}
