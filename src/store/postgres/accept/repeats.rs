//! Which events of a batch repeat others, as if they came one after another.

use std::collections::{HashMap, HashSet};

use crate::domain::ids::EventId;
use crate::store::{EventState, NewEvent};

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Stored,
    Repeats(First),
}

/// The event that another one repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum First {
    /// It is stored under this ID.
    Known(EventId),
    /// It is at this place of the same batch.
    InBatch(usize),
}

/// What the database holds under an event's key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) id: EventId,
    /// It was quarantined or ignored.
    pub(super) unread: bool,
    /// Whether another event of the lead was stored since.
    pub(super) moved_on: bool,
}

#[derive(Debug, Default)]
pub(super) struct Decided {
    /// Of each event, in the order given.
    pub(super) fates: Vec<Fate>,
    /// Places of the events whose key names them from now on: of several under one key the last.
    pub(super) keyed: HashSet<usize>,
    /// Places of events whose sender ID came before in this batch, with other content.
    pub(super) reused: HashSet<usize>,
    /// Places of events whose sender ID may have come before with other content, if the database knows of it.
    pub(super) maybe_reused: HashSet<usize>,
}

type Key<'e> = (&'e str, &'e str, &'e [u8; 32]);

/// Decides about events in order of arrival. `known`: by place, what the database holds under the event's key.
pub(super) fn decide(events: &[&NewEvent], known: &HashMap<usize, Known>) -> Decided {
    let mut decided = Decided::default();
    // The event of this batch that a key names, and whether it was unread.
    let mut keys: HashMap<Key<'_>, (usize, bool)> = HashMap::new();
    let mut sender_ids: HashSet<(&str, &str)> = HashSet::new();
    // The last change of each lead in this batch.
    let mut changed: HashMap<(&str, &str), usize> = HashMap::new();
    for (place, event) in events.iter().enumerate() {
        let source = event.source.as_str();
        let lead = event.lead.as_ref().map(|lead| (source, lead.as_str()));
        let unread = matches!(event.state, EventState::Quarantined | EventState::Ignored);
        if let Some(sender_id) = event.sender_id.as_deref() {
            let key = (source, sender_id, &event.content_hash);
            let last_change = lead.and_then(|lead| changed.get(&lead).copied());
            let first = match (keys.get(&key), known.get(&place)) {
                (Some((first, was_unread)), _) => {
                    let moved_on = last_change.is_some_and(|change| change > *first);
                    Some((First::InBatch(*first), *was_unread, moved_on))
                }
                (None, Some(known)) => {
                    let moved_on = lead.is_some() && (known.moved_on || last_change.is_some());
                    Some((First::Known(known.id), known.unread, moved_on))
                }
                (None, None) => None,
            };
            match first {
                // What could not be read then and can be now is news.
                Some((_, true, _)) if event.state == EventState::Stored => {}
                // What changes no lead says the same whatever happened since.
                Some((_, _, true)) if !unread => {}
                Some((first, ..)) => {
                    decided.fates.push(Fate::Repeats(first));
                    continue;
                }
                None if sender_ids.contains(&(source, sender_id)) => {
                    decided.reused.insert(place);
                }
                None => {
                    decided.maybe_reused.insert(place);
                }
            }
            sender_ids.insert((source, sender_id));
            if let Some((before, _)) = keys.insert(key, (place, unread)) {
                decided.keyed.remove(&before);
            }
            decided.keyed.insert(place);
        }
        if !unread && let Some(lead) = lead {
            changed.insert(lead, place);
        }
        decided.fates.push(Fate::Stored);
    }
    decided
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::domain::time::Timestamp;
    use crate::store::EventKind;

    /// An event of the lead `ada`: the sender's ID, the content, and whether it can be read.
    type Given = (&'static str, u8, bool);

    fn event((sender_id, content, readable): Given) -> NewEvent {
        NewEvent {
            source: "klozeo".into(),
            lead: Some("ada".into()),
            kind: EventKind::Upsert,
            event_type: None,
            sender_id: (!sender_id.is_empty()).then(|| sender_id.to_owned()),
            content_hash: [content; 32],
            state: if readable { EventState::Stored } else { EventState::Quarantined },
            reason: None,
            received_at: Timestamp::from_seconds(10),
            request_id: "req-1".into(),
            headers: Vec::new(),
            body: Bytes::new(),
            destinations: Vec::new(),
        }
    }

    /// `expected`: the place of the event that each one repeats, its own where it is stored, 100 for the known one.
    fn check(given: &[Given], known: &[(usize, bool, bool)], expected: &[usize]) -> Decided {
        let events: Vec<NewEvent> = given.iter().copied().map(event).collect();
        let known = known.iter().map(|(place, unread, moved_on)| {
            (*place, Known { id: EventId(100), unread: *unread, moved_on: *moved_on })
        });
        let decided = decide(&events.iter().collect::<Vec<_>>(), &known.collect());
        let found: Vec<usize> = (decided.fates.iter().enumerate())
            .map(|(place, fate)| match fate {
                Fate::Stored => place,
                Fate::Repeats(First::InBatch(first)) => *first,
                Fate::Repeats(First::Known(_)) => 100,
            })
            .collect();
        assert_eq!(found, expected, "{given:?}");
        decided
    }

    #[test]
    fn events_of_a_batch_are_decided_as_if_they_came_one_after_another() {
        check(&[("", 1, true), ("", 1, true)], &[], &[0, 1]);
        check(&[("e", 1, true), ("e", 1, true), ("e", 1, true)], &[], &[0, 0, 0]);
        check(&[("e", 1, true), ("", 2, true), ("e", 1, true), ("e", 1, true)], &[], &[0, 1, 2, 2]);
        check(&[("e", 1, true), ("", 2, false), ("e", 1, true)], &[], &[0, 1, 0]);
        check(&[("e", 1, false), ("e", 1, false), ("e", 1, true), ("e", 1, true)], &[], &[0, 0, 2, 2]);
        check(&[("e", 1, true), ("e", 1, true)], &[(0, false, false), (1, false, false)], &[100, 100]);
        check(&[("e", 1, true), ("e", 1, true)], &[(0, false, true), (1, false, true)], &[0, 0]);
        check(&[("e", 1, true), ("e", 1, true)], &[(0, true, false), (1, true, false)], &[0, 0]);
        check(&[("", 2, true), ("e", 1, true)], &[(1, false, false)], &[0, 1]);
        check(&[("", 2, false), ("e", 1, true)], &[(1, false, false)], &[0, 100]);
        check(&[("e", 1, false), ("", 2, true), ("e", 1, false)], &[], &[0, 1, 0]);
        check(&[("e", 1, false)], &[(0, true, true)], &[100]);
    }

    #[test]
    fn the_last_event_under_a_key_is_named_by_it_and_reused_ids_are_counted() {
        let decided = check(&[("e", 1, true), ("e", 2, true), ("e", 1, true), ("f", 1, true)], &[], &[0, 1, 2, 3]);
        assert_eq!(decided.keyed, HashSet::from([1, 2, 3]));
        assert_eq!((decided.reused, decided.maybe_reused), (HashSet::from([1]), HashSet::from([0, 3])));
    }
}
