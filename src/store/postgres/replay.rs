#![expect(unused, clippy::todo, reason = "not written yet")]
use super::PostgresStore;
use crate::domain::ids::*;
use crate::domain::time::Timestamp;
use crate::store::*;

type Span = (Timestamp, Timestamp);

pub(super) async fn replay(
    store: &PostgresStore,
    id: EventId,
    reread: Reread,
    destinations: &[DestinationName],
    now: Timestamp,
) -> StoreResult<Option<()>> {
    todo!()
}
