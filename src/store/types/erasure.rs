//! Erasing a lead.

use crate::domain::ids::LeadKey;
use crate::domain::time::Timestamp;

/// A person's order to erase what is known of a lead.
#[derive(Clone, Debug)]
pub struct Erasure {
    pub lead: LeadKey,
    pub now: Timestamp,
}

/// What was erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erased {
    /// The name under which the log and the audit know the lead from now on.
    pub known_as: LeadKey,
    /// Events that were emptied, unreadable copies included.
    pub events: u64,
    /// Rows of the sync log that lost their values.
    pub log_rows: u64,
}
