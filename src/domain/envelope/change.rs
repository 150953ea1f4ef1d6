//! Reading a stored event in full: its fields and its versions.

use std::collections::BTreeMap;
use std::time::Duration;

use super::expression::Scene;
use super::{Effect, Expression, PayloadKind, Reader, Unreadable, as_json, pairs};
use crate::domain::headers::Headers;
use crate::domain::lead::{Arrival, Change, ChangeKind, Stamp, Version, VersionElement};
use crate::domain::time::Timestamp;
use crate::domain::value::Value;
use crate::domain::value::raw::{Document, RawJson, unescaped};

/// How far ahead of its arrival a version may be and still be believed.
const BELIEVED_AHEAD: Duration = Duration::from_secs(600);

impl Reader {
    /// What a stored event says of its lead; nothing if today's rules ignore its type.
    ///
    /// `received_at` is when the event itself came in, `arrival` the place that it has among events of one version: its
    /// own, or its first copy's where it is a redelivery ([`Arrival::effective`]). Same inputs, same change.
    pub fn read_change(
        &self,
        slice: &[u8],
        headers: &dyn Headers,
        received_at: Timestamp,
        arrival: Arrival,
    ) -> Result<Option<Change>, Unreadable> {
        let json = as_json(slice, headers, &self.rules.bodies, &self.rules.records)?;
        let document = Document::parse(&json)?;
        let scene = self.scene(&document, headers)?;
        let event_type = self.event_type(&scene);
        let mut versions = Versions { reader: self, scene: &scene, received_at, arrival, disbelieved: false };
        let change = match self.effect(event_type.as_deref())? {
            Effect::Ignore => return Ok(None),
            Effect::Thin => return Err(Unreadable::NeedsFetch),
            Effect::Delete => Change {
                kind: ChangeKind::Delete,
                stamp: versions.of_delete(),
                field_stamps: BTreeMap::new(),
                fields: BTreeMap::new(),
                full: false,
                disbelieved: versions.disbelieved,
            },
            Effect::Upsert => {
                let lead = self.lead(&scene).filter(|lead| lead.is_object()).ok_or(Unreadable::NoLead)?;
                let mut fields = self.fields(&scene, lead);
                let stamp = versions.of_upsert(&self.rules.version);
                let own = self.rules.field_versions.iter();
                let field_stamps: BTreeMap<_, _> =
                    own.map(|(name, version)| (name.clone(), versions.of_field(version, &stamp))).collect();
                let full = self.rules.payload == PayloadKind::Full;
                if full {
                    // The floor of a full payload is told by the event's version and cannot clear these.
                    field_stamps.keys().for_each(|name| {
                        fields.entry(name.clone()).or_insert(Value::Null);
                    });
                }
                let disbelieved = versions.disbelieved;
                Change { kind: ChangeKind::Upsert, stamp, field_stamps, fields, full, disbelieved }
            }
        };
        Ok(Some(change))
    }

    fn fields<'a>(&self, scene: &Scene<'a>, lead: RawJson<'a>) -> BTreeMap<String, Value> {
        let settled = |value: RawJson<'a>| {
            let value = scene.unwrapped(value).to_value();
            if value.is_blank() { Value::Null } else { value }
        };
        let members = lead.members().unwrap_or_default();
        let mut fields: BTreeMap<String, Value> =
            members.into_iter().map(|(name, value)| (name.into_owned(), settled(value))).collect();
        for rules in &self.rules.attributes {
            let Some(listed) = pairs::listed(scene, lead, rules) else { continue };
            if let Some(name) = rules.at.strip_prefix('/').filter(|path| !path.contains('/')) {
                fields.remove(&*unescaped(name));
            }
            for (name, value) in listed {
                let name = format!("attributes.{name}");
                // Forms repeat a question on each of several ways through them, and all but one stay unanswered.
                if !value.says_nothing() || fields.get(&name).is_none_or(Value::says_nothing) {
                    fields.insert(name, value);
                }
            }
        }
        let elsewhere = self.rules.fields.iter();
        fields.extend(elsewhere.filter_map(|(name, at)| Some((name.clone(), scene.value(at)?))));
        fields
    }
}

/// Reads the versions of one event.
struct Versions<'a> {
    reader: &'a Reader,
    scene: &'a Scene<'a>,
    received_at: Timestamp,
    arrival: Arrival,
    disbelieved: bool,
}

impl Versions<'_> {
    /// An absent element counts as 0; where all are absent, the arrival is the version.
    fn of_upsert(&mut self, expressions: &[Expression]) -> Stamp {
        const ABSENT: VersionElement = VersionElement::At(Timestamp::from_micros(0));
        let times = self.times(expressions);
        let elements = match times.iter().any(Option::is_some) {
            true => times.into_iter().map(|time| time.map_or(ABSENT, VersionElement::At)).collect(),
            false => vec![VersionElement::At(self.arrival.at)],
        };
        self.stamp(Version { elements, rest: ABSENT })
    }

    /// A field's own version; where all of it is absent, the event's is known better than the arrival.
    fn of_field(&mut self, expressions: &[Expression], of_event: &Stamp) -> Stamp {
        let told = expressions.iter().any(|at| self.time(at).is_some());
        if told { self.of_upsert(expressions) } else { of_event.clone() }
    }

    /// An absent element counts as infinite, but not the first: without it no later event could ever revive the lead,
    /// so the arrival takes its place.
    fn of_delete(&mut self) -> Stamp {
        let times = self.times(&self.reader.rules.delete_version);
        let first = times.first().copied().flatten().unwrap_or(self.arrival.at);
        let others = times.into_iter().skip(1).map(|time| time.map_or(VersionElement::Infinite, VersionElement::At));
        let elements = std::iter::once(VersionElement::At(first)).chain(others).collect();
        self.stamp(Version { elements, rest: VersionElement::Infinite })
    }

    fn stamp(&self, version: Version) -> Stamp {
        Stamp { version, arrived_at: self.arrival.at, arrival: self.arrival.event }
    }

    fn times(&mut self, expressions: &[Expression]) -> Vec<Option<Timestamp>> {
        expressions.iter().map(|at| self.time(at).map(|time| self.believed(time))).collect()
    }

    fn time(&self, expression: &Expression) -> Option<Timestamp> {
        self.scene.first(expression, |text| self.reader.rules.time(&text))
    }

    fn believed(&mut self, time: Timestamp) -> Timestamp {
        let latest = self.received_at.after(BELIEVED_AHEAD);
        if time <= latest {
            return time;
        }
        self.disbelieved = true;
        let envelope = self.reader.rules.delete_version.first().and_then(|at| self.time(at));
        envelope.filter(|time| *time <= latest).unwrap_or(self.arrival.at)
    }
}
