//! The stored form of a lead: compact JSON that a person can read.
//!
//! `{"fields":{"email":["a@b.example",0]},"stamps":[{"version":[1767225600000000],"at":1767225600123456,"event":12}],"latest":0}`:
//! each field with the number of its stamp, since most fields of a lead share one. Times are microseconds since the epoch.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Lead, LeadField, Stamp, Version, VersionElement};
use crate::domain::ids::{EventId, LeadKey};
use crate::domain::time::Timestamp;
use crate::domain::value::Value;
use crate::domain::value::raw::Json;

/// A stored lead that cannot be read back.
#[derive(Debug, thiserror::Error)]
pub enum StoredLeadError {
    #[error("the stored lead is no JSON of the right form")]
    Form(#[source] serde_json::Error),
    #[error("the stored lead names a stamp that it does not hold")]
    Stamp,
    #[error("a field of the stored lead is no value")]
    Field(#[source] crate::domain::value::ValueError),
}

#[derive(Serialize, Deserialize)]
struct StoredLead<F> {
    fields: BTreeMap<String, (F, usize)>,
    stamps: Vec<StoredStamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    latest: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deleted: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    floor: Option<usize>,
    #[serde(default = "BTreeMap::new", skip_serializing_if = "BTreeMap::is_empty")]
    lasting: BTreeMap<String, (F, usize)>,
}

#[derive(Serialize, Deserialize)]
struct StoredStamp {
    version: Vec<StoredElement>,
    #[serde(default = "zero", skip_serializing_if = "is_zero")]
    rest: StoredElement,
    at: i64,
    event: i64,
}

/// A time, or null for infinite.
type StoredElement = Option<i64>;

impl Lead {
    /// Writes all but the key.
    pub fn to_json(&self) -> String {
        let mut stamps = Stamps::default();
        let fields = stamps.fields(&self.fields);
        let lasting = stamps.fields(&self.lasting);
        let [latest, deleted, floor] =
            [&self.latest, &self.deleted, &self.floor].map(|stamp| stamp.as_ref().map(|stamp| stamps.number(stamp)));
        let stored = StoredLead { fields, stamps: stamps.list, latest, deleted, floor, lasting };
        serde_json::to_string(&stored).expect("names are text, so every lead can be written")
    }

    /// Reads what [`Lead::to_json`] wrote.
    pub fn from_json(key: LeadKey, text: &str) -> Result<Self, StoredLeadError> {
        let stored: StoredLead<Box<RawValue>> = serde_json::from_str(text).map_err(StoredLeadError::Form)?;
        let stamps: Vec<Stamp> = stored.stamps.into_iter().map(Stamp::from).collect();
        let stamp = |number: usize| stamps.get(number).cloned().ok_or(StoredLeadError::Stamp);
        let read = |fields: BTreeMap<String, (Box<RawValue>, usize)>| {
            let field = |(name, (value, number)): (String, (Box<RawValue>, usize))| {
                let value = Value::parse_json(value.get().as_bytes()).map_err(StoredLeadError::Field)?;
                Ok((name, LeadField { value, stamp: stamp(number)? }))
            };
            fields.into_iter().map(field).collect::<Result<BTreeMap<_, _>, StoredLeadError>>()
        };
        Ok(Self {
            key,
            fields: read(stored.fields)?,
            lasting: read(stored.lasting)?,
            latest: stored.latest.map(stamp).transpose()?,
            deleted: stored.deleted.map(stamp).transpose()?,
            floor: stored.floor.map(stamp).transpose()?,
        })
    }
}

/// The distinct stamps of a lead, numbered as they come. One event may bring several, but each event and version once.
#[derive(Default)]
struct Stamps {
    list: Vec<StoredStamp>,
    numbers: HashMap<StampKey, usize>,
}

type StampKey = (i64, i64, Vec<StoredElement>, StoredElement);

impl Stamps {
    fn fields<'l>(&mut self, fields: &'l BTreeMap<String, LeadField>) -> BTreeMap<String, (Json<'l>, usize)> {
        fields.iter().map(|(name, field)| (name.clone(), (Json(&field.value), self.number(&field.stamp)))).collect()
    }

    fn number(&mut self, stamp: &Stamp) -> usize {
        let version: Vec<StoredElement> = stamp.version.elements.iter().copied().map(stored).collect();
        let rest = stored(stamp.version.rest);
        let key = (stamp.arrival.0, stamp.arrived_at.as_micros(), version, rest);
        *self.numbers.entry(key).or_insert_with_key(|(event, at, version, rest)| {
            self.list.push(StoredStamp { version: version.clone(), rest: *rest, at: *at, event: *event });
            self.list.len() - 1
        })
    }
}

impl From<StoredStamp> for Stamp {
    fn from(stored: StoredStamp) -> Self {
        Stamp {
            version: Version {
                elements: stored.version.into_iter().map(element).collect(),
                rest: element(stored.rest),
            },
            arrived_at: Timestamp::from_micros(stored.at),
            arrival: EventId(stored.event),
        }
    }
}

fn stored(element: VersionElement) -> StoredElement {
    match element {
        VersionElement::At(time) => Some(time.as_micros()),
        VersionElement::Infinite => None,
    }
}

fn element(stored: StoredElement) -> VersionElement {
    stored.map_or(VersionElement::Infinite, |micros| VersionElement::At(Timestamp::from_micros(micros)))
}

fn zero() -> StoredElement {
    Some(0)
}

fn is_zero(element: &StoredElement) -> bool {
    *element == Some(0)
}
