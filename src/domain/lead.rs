//! A lead and its versions, folded from events.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::ids::{EventId, LeadKey};
use super::time::Timestamp;
use super::value::Value;

/// The newest that is known of one lead of one source: each field with the version at which it last moved.
///
/// Folding the same events in any order, any number of times, gives the same lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lead {
    pub key: LeadKey,
    /// Fields by name; custom attributes as `attributes.NAME`. A null is a field that was cleared.
    pub fields: BTreeMap<String, LeadField>,
    /// The greatest stamp of any event that was not a delete.
    pub latest: Option<Stamp>,
    /// The greatest stamp of any delete.
    pub deleted: Option<Stamp>,
    /// The greatest stamp of an event that told all fields: what is older and absent from it is cleared.
    pub floor: Option<Stamp>,
}

/// One field of a lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeadField {
    pub value: Value,
    pub stamp: Stamp,
}

/// When a field moved: by the sender's version first, by arrival where versions are equal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    pub version: Version,
    pub arrived_at: Timestamp,
    pub arrival: EventId,
}

/// A sender's version: compared element by element. An absent element counts as 0, a delete's absent one as infinite.
#[derive(Clone, Debug)]
pub struct Version {
    pub elements: Vec<VersionElement>,
    /// What every element after the last one counts as.
    pub rest: VersionElement,
}

impl Version {
    fn element(&self, index: usize) -> VersionElement {
        self.elements.get(index).copied().unwrap_or(self.rest)
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let longest = self.elements.len().max(other.elements.len());
        (0..=longest)
            .map(|index| self.element(index).cmp(&other.element(index)))
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Version {}

/// One element of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum VersionElement {
    At(Timestamp),
    /// A delete's missing elements: it wins its own second.
    Infinite,
}

/// What one event says of a lead, ready to be folded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub kind: ChangeKind,
    pub stamp: Stamp,
    /// Fields with a stamp of their own.
    pub field_stamps: BTreeMap<String, Stamp>,
    pub fields: BTreeMap<String, Value>,
    /// Whether fields that are not named are cleared.
    pub full: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    Upsert,
    Delete,
}
