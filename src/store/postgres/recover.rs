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

/// Whose writes were announced and not settled, and what the log says of it.
#[derive(Clone, Copy)]
pub(super) struct Unsettled<'a> {
    pub of: Option<LeaseToken>,
    pub lead: Option<&'a LeadKey>,
    pub code: &'static str,
    pub detail: &'static str,
}

pub(super) async fn open_unsettled(
    db: &mut sqlx::PgConnection,
    whose: &Unsettled<'_>,
    now: Timestamp,
) -> StoreResult<u64> {
    Ok(0)
}
