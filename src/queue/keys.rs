//! What is in flight: the keys and records that a batch has in hand, so that no two batches touch one person or record.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::ids::RecordRef;
use crate::domain::matching::MatchKeys;

/// Everything that batches of one destination have in hand.
#[derive(Clone, Debug, Default)]
pub struct InFlight(Arc<Mutex<HashSet<String>>>);

/// What one batch has in hand; given back when it is dropped, panics included.
#[derive(Debug)]
pub struct Hold {
    in_flight: InFlight,
    keys: Vec<String>,
}

impl InFlight {
    /// An empty hold, to be filled by [`Hold::reserve`].
    pub fn hold(&self) -> Hold {
        Hold { in_flight: self.clone(), keys: Vec::new() }
    }
}

impl Hold {
    /// Takes all of these keys, or none of them if anyone (this batch included) has one in hand.
    pub fn reserve(&mut self, keys: Vec<String>) -> bool {
        let mut taken = self.in_flight.0.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.iter().any(|key| taken.contains(key)) {
            return false;
        }
        taken.extend(keys.iter().cloned());
        self.keys.extend(keys);
        true
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut taken = self.in_flight.0.lock().unwrap_or_else(PoisonError::into_inner);
        for key in &self.keys {
            taken.remove(key);
        }
    }
}

/// The keys of a lead, each in the form in which two leads of one person are equal.
pub fn of_lead(keys: &MatchKeys) -> Vec<String> {
    let person =
        keys.name_and_domain.as_ref().map(|person| format!("name:{}@{}", person.last.to_lowercase(), person.domain));
    [
        keys.linked.as_ref().or(keys.chosen.as_ref()).map(of_record),
        keys.external_id.as_ref().map(|id| format!("external_id:{id}")),
        keys.email.as_ref().map(|email| format!("email:{}", email.to_lowercase())),
        person,
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The key of a record.
pub fn of_record(record: &RecordRef) -> String {
    format!("record:{}", record.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_hand_is_refused_until_its_batch_is_done() {
        let in_flight = InFlight::default();
        let mut first = in_flight.hold();
        let mut second = in_flight.hold();
        assert!(first.reserve(vec!["email:a".into(), "external_id:1".into()]));
        assert!(!second.reserve(vec!["external_id:2".into(), "email:a".into()]));
        assert!(second.reserve(vec!["external_id:2".into()]), "a refused lead must take nothing");
        drop(first);
        assert!(second.reserve(vec!["email:a".into()]));
    }
}
