//! What people order for single leads: a link, an exclusion.

use super::log::NewLogRow;
use crate::domain::ids::{DestinationName, LeadKey, RecordRef};
use crate::domain::time::Timestamp;

/// A person's order about which record a lead is.
#[derive(Clone, Debug)]
pub struct LinkOrder {
    pub destination: DestinationName,
    pub lead: LeadKey,
    /// `None`: it is no longer the record that it is linked to.
    pub record: Option<RecordRef>,
    /// The revision of the link that the person saw; `None`: whatever it is.
    pub revision: Option<i64>,
    pub by: String,
    pub now: Timestamp,
    /// What was written to the CRM for it.
    pub log: Vec<NewLogRow>,
}

/// What became of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ordered {
    Done,
    /// There is no link to take away.
    NotLinked,
    /// A living lead owns the record.
    OwnedBy(LeadKey),
    /// The link changed since it was seen.
    Changed,
}

/// A person's order to leave a lead out of syncing, or to take it in again.
#[derive(Clone, Debug)]
pub struct Exclusion {
    pub lead: LeadKey,
    pub excluded: bool,
    /// Where a lead that is included is owed.
    pub destinations: Vec<DestinationName>,
    pub by: String,
    pub now: Timestamp,
}
