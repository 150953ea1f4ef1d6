//! Storing events, many requests in one commit.

use rusqlite::Connection;

use super::writer::IntakeRequest;
use crate::store::{EventReceipt, StoreError, StoreResult};

/// What one commit of intake did.
pub(super) struct Stored {
    /// The receipts of each request, in the order given.
    pub(super) receipts: Vec<Vec<EventReceipt>>,
    pub(super) events: usize,
    pub(super) made_due: bool,
}

pub(super) fn store_batch(_db: &mut Connection, _requests: &[IntakeRequest]) -> StoreResult<Stored> {
    Err(StoreError::Unavailable("not written yet".to_owned()))
}
