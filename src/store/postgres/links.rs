#![expect(unused, clippy::todo, reason = "not written yet")]
use super::PostgresStore;
use crate::domain::ids::*;
use crate::domain::time::Timestamp;
use crate::store::*;

type Span = (Timestamp, Timestamp);

pub(super) async fn find_owners(
    store: &PostgresStore,
    destination: &DestinationName,
    records: &[RecordRef],
) -> StoreResult<Vec<Option<RecordOwner>>> {
    todo!()
}

pub(super) async fn with_rows_left_out(
    store: &PostgresStore,
    destination: &DestinationName,
    fingerprint: &str,
) -> StoreResult<Vec<LeadKey>> {
    todo!()
}

pub(super) async fn find_open_creates(
    store: &PostgresStore,
    destination: &DestinationName,
    at_work: &[LeaseToken],
    now: Timestamp,
) -> StoreResult<Vec<OpenCreate>> {
    todo!()
}
