//! What other processes that send to the same CRM know: their calls, and why they keep away.
//!
//! Of all that found trouble, who found it first tries whether it is over; the others wait for what comes of that. A
//! process that dies keeps nobody away.

use std::collections::HashMap;

use super::GateReason;
use crate::domain::time::Timestamp;

/// Why one process sends nothing, so that it can be told to the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closing {
    pub reason: GateReason,
    pub since: Timestamp,
    pub until: Option<Timestamp>,
}

/// Another process that lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    pub id: u128,
    /// Whether it goes first where both found trouble at the same moment.
    pub goes_first: bool,
    pub closing: Option<Closing>,
}

/// The others as they were heard of last.
#[derive(Debug, Default)]
pub(super) struct Elsewhere {
    neighbours: Vec<Neighbour>,
    /// When trouble of a kind was last over for us: what others still say of it then is old.
    over: HashMap<&'static str, Timestamp>,
}

impl Elsewhere {
    /// Hears of the others; answers the kinds of trouble of which one of them found that they are over.
    pub fn hear(&mut self, neighbours: Vec<Neighbour>) -> Vec<&'static str> {
        let was = std::mem::replace(&mut self.neighbours, neighbours);
        let is_over = |before: &Neighbour| {
            let kind = before.closing.as_ref()?.reason.as_str();
            let now = self.neighbours.iter().find(|now| now.id == before.id)?;
            now.closing.as_ref().is_none_or(|closing| closing.reason.as_str() != kind).then_some(kind)
        };
        was.iter().filter_map(is_over).collect()
    }

    /// Our own trouble of this kind is over.
    pub fn note_over(&mut self, now: Timestamp, kind: &'static str) {
        self.over.insert(kind, now);
    }

    /// What keeps us away although we may be fine: the trouble of whoever tries first.
    pub fn binding(&self, own: Option<&Closing>) -> Option<&Closing> {
        let theirs = self.neighbours.iter().filter_map(|neighbour| Some((neighbour, neighbour.closing.as_ref()?)));
        theirs
            .filter(|(_, closing)| self.over.get(closing.reason.as_str()).is_none_or(|over| closing.since > *over))
            .filter(|(neighbour, closing)| {
                own.is_none_or(|own| closing.since < own.since || closing.since == own.since && neighbour.goes_first)
            })
            .map(|(_, closing)| closing)
            .min_by_key(|closing| closing.since)
    }
}
