//! A lead and its versions, folded from events.

mod stored;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::time::Duration;

use super::ids::{EventId, LeadKey};
use super::time::Timestamp;
use super::value::Value;

pub use stored::StoredLeadError;

/// Later than this after an earlier copy, an event of the same bytes and version is a redelivery and no new event.
pub const REDELIVERED_AFTER: Duration = Duration::from_secs(5);

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
    /// Of each field that is null or empty now, the newest value that it ever had: a blank takes no value out of a CRM whose
    /// mapping does not ask for it, so that value still stands there, however the lead's events came in.
    pub lasting: BTreeMap<String, LeadField>,
}

impl Lead {
    /// A lead of which nothing is known yet.
    pub fn new(key: LeadKey) -> Self {
        Self { key, fields: BTreeMap::new(), latest: None, deleted: None, floor: None, lasting: BTreeMap::new() }
    }

    /// Takes in one change and says whether anything moved.
    ///
    /// Each field moves by itself and only forward, so a late or repeated event takes nothing back.
    pub fn fold(&mut self, change: &Change) -> bool {
        match change.kind {
            ChangeKind::Delete => raise(&mut self.deleted, &change.stamp),
            ChangeKind::Upsert => {
                let mut moved = raise(&mut self.latest, &change.stamp);
                for (name, value) in &change.fields {
                    moved |= self.fold_field(name, value, change);
                }
                if change.full && raise(&mut self.floor, &change.stamp) {
                    moved |= self.clear_below_floor(change);
                }
                moved
            }
        }
    }

    fn fold_field(&mut self, name: &str, value: &Value, change: &Change) -> bool {
        let own = change.field_stamps.get(name);
        let stamp = own.unwrap_or(&change.stamp);
        let told = match &self.floor {
            Some(floor) if own.is_none() && stamp < floor => LeadField { value: Value::Null, stamp: floor.clone() },
            _ => LeadField { value: value.clone(), stamp: stamp.clone() },
        };
        let newest = self.fields.get(name).is_none_or(|field| field.stamp < told.stamp);
        let before = if newest { self.fields.insert(name.to_owned(), told) } else { None };
        if self.fields.get(name).is_some_and(|field| !field.value.says_nothing()) {
            self.lasting.remove(name);
            return newest;
        }
        let said = LeadField { value: value.clone(), stamp: stamp.clone() };
        before.into_iter().chain([said]).fold(newest, |moved, field| self.outlast(name, field) || moved)
    }

    /// Keeps a value that a field had before it was emptied, if it is newer than the one kept.
    fn outlast(&mut self, name: &str, field: LeadField) -> bool {
        let newer = self.lasting.get(name).is_none_or(|known| known.stamp < field.stamp);
        if field.value.says_nothing() || !newer {
            return false;
        }
        self.lasting.insert(name.to_owned(), field);
        true
    }

    /// Fields with a version of their own are not measured by the floor; a full change names them all.
    fn clear_below_floor(&mut self, change: &Change) -> bool {
        let mut cleared = Vec::new();
        for (name, field) in &mut self.fields {
            if field.stamp < change.stamp && !change.field_stamps.contains_key(name) {
                let null = LeadField { value: Value::Null, stamp: change.stamp.clone() };
                cleared.push((name.clone(), std::mem::replace(field, null)));
            }
        }
        let any = !cleared.is_empty();
        for (name, field) in cleared {
            self.outlast(&name, field);
        }
        any
    }

    /// The newest event that counts in it.
    pub fn newest_arrival(&self) -> Option<EventId> {
        self.latest.iter().chain(&self.deleted).map(|stamp| stamp.arrival).max()
    }

    /// Whether the lead exists in its lead system, as far as is known: something newer than any delete was said of it.
    pub fn is_alive(&self) -> bool {
        self.latest.is_some() && !self.is_deleted()
    }

    /// Whether the newest that is known is a delete.
    pub fn is_deleted(&self) -> bool {
        self.deleted.is_some() && self.deleted >= self.latest
    }

    /// The value at a path: the longest field name that the path begins with, then down into objects.
    ///
    /// `attributes.industry`, `address.city`; a name may hold dots itself.
    pub fn get(&self, path: &str) -> Option<&Value> {
        self.find(path, |name| self.fields.get(name).map(|field| &field.value))
    }

    /// The value at a path as [`Lead::get`] finds it, but of a field that was emptied the last value that it had.
    pub fn get_lasting(&self, path: &str) -> Option<&Value> {
        self.find(path, |name| {
            let field = self.fields.get(name)?;
            let lasting = self.lasting.get(name).filter(|_| field.value.says_nothing());
            Some(&lasting.unwrap_or(field).value)
        })
    }

    /// When the field at a path last moved.
    pub fn stamp(&self, path: &str) -> Option<&Stamp> {
        let field = |path: &str| self.fields.get(path).map(|field| &field.stamp);
        field(path).or_else(|| path.rmatch_indices('.').find_map(|(dot, _)| field(&path[..dot])))
    }

    fn find<'v>(&'v self, path: &str, field: impl Fn(&str) -> Option<&'v Value>) -> Option<&'v Value> {
        if let Some(value) = field(path) {
            return Some(value);
        }
        path.rmatch_indices('.').find_map(|(dot, _)| Some(descend(field(&path[..dot])?, &path[dot + 1..])))?
    }
}

/// The same rule inside an object.
fn descend<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    let Value::Object(fields) = value else { return None };
    if let Some(value) = fields.get(path) {
        return Some(value);
    }
    path.rmatch_indices('.').find_map(|(dot, _)| Some(descend(fields.get(&path[..dot])?, &path[dot + 1..])))?
}

fn raise(highest: &mut Option<Stamp>, stamp: &Stamp) -> bool {
    let higher = highest.as_ref().is_none_or(|known| known < stamp);
    if higher {
        *highest = Some(stamp.clone());
    }
    higher
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

impl Stamp {
    /// When it happened, as far as is known: as the sender says, but never later than it was told.
    pub fn happened_at(&self) -> Option<Timestamp> {
        match self.version.elements.first()? {
            VersionElement::At(moment) => Some((*moment).min(self.arrived_at)),
            VersionElement::Infinite => None,
        }
    }
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
    /// Stamps of the fields that have a version of their own, whether or not this change names them.
    pub field_stamps: BTreeMap<String, Stamp>,
    pub fields: BTreeMap<String, Value>,
    /// Whether fields that are not named are cleared.
    pub full: bool,
    /// Whether a time too far ahead of the event's arrival was replaced. It is counted.
    pub disbelieved: bool,
}

/// When an event came in, and its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrival {
    pub at: Timestamp,
    pub event: EventId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    Upsert,
    Delete,
}

impl Arrival {
    /// The place that an event has among events of its version.
    ///
    /// `first_copy` is the earliest event of that version with the same bytes. Without this a redelivery that comes late
    /// would take back what followed its first copy within one version: A, B, and then A once more.
    pub fn effective(self, first_copy: Option<Arrival>) -> Arrival {
        match first_copy {
            Some(first) if self.at.since(first.at) > REDELIVERED_AFTER => first,
            _ => self,
        }
    }
}

#[cfg(test)]
mod tests;
