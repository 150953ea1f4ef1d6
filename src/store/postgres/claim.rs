#![expect(unused, clippy::todo, reason = "not written yet")]
use super::PostgresStore;
use crate::domain::ids::*;
use crate::domain::time::Timestamp;
use crate::store::*;

type Span = (Timestamp, Timestamp);

pub(super) async fn claim(store: &PostgresStore, claim: &Claim) -> StoreResult<Vec<ClaimedJob>> {
    todo!()
}

pub(super) async fn next_due(store: &PostgresStore, destination: &DestinationName) -> StoreResult<Option<Timestamp>> {
    todo!()
}

pub(super) async fn give_back(store: &PostgresStore, jobs: &[GiveBack]) -> StoreResult<()> {
    todo!()
}
