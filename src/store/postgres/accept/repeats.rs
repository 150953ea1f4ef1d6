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
                (Some((first, unread)), _) => {
                    let moved_on = last_change.is_some_and(|change| change > *first);
                    Some((First::InBatch(*first), *unread, moved_on))
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
                Some((_, _, true)) => {}
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
