//! Is it the leads that are wrong, or the CRM? What became of the last quarter of an hour's leads, code by code.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use crate::domain::ids::LeadKey;
use crate::domain::time::Timestamp;

/// How long an outcome counts.
pub(super) const COUNTS_FOR: Duration = Duration::from_secs(15 * 60);
/// Of more leads than this only the newest are remembered.
const MOST_LEADS: usize = 10_000;
/// Fewer leads prove nothing.
const FEWEST_LEADS: usize = 20;

/// The newest outcome of each lead.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// In order of time; an entry counts only while `latest` still names its number.
    order: VecDeque<(Timestamp, u64, u64)>,
    latest: HashMap<u64, Outcome>,
    leads_by_code: HashMap<Arc<str>, usize>,
    next_number: u64,
}

#[derive(Debug)]
struct Outcome {
    number: u64,
    refused_with: Option<Arc<str>>,
}

impl Refusals {
    /// Remembers what became of a lead, in place of what became of it before.
    pub fn add(&mut self, now: Timestamp, lead: &LeadKey, refused_with: Option<&str>) {
        let mut hasher = DefaultHasher::new();
        lead.hash(&mut hasher);
        let lead = hasher.finish();
        self.forget(lead);
        let number = self.next_number;
        self.next_number = self.next_number.wrapping_add(1);
        let code = refused_with.map(|code| match self.leads_by_code.get_key_value(code) {
            Some((known, _)) => Arc::clone(known),
            None => Arc::from(code),
        });
        if let Some(code) = &code {
            *self.leads_by_code.entry(Arc::clone(code)).or_default() += 1;
        }
        self.latest.insert(lead, Outcome { number, refused_with: code });
        self.order.push_back((now, lead, number));
        self.forget_old(now);
    }

    /// The code with which more than half of the leads were refused, if they are enough to say so.
    pub fn systemic(&mut self, now: Timestamp) -> Option<Arc<str>> {
        self.forget_old(now);
        let leads = self.latest.len();
        if leads < FEWEST_LEADS {
            return None;
        }
        self.leads_by_code.iter().find(|(_, count)| **count > leads / 2).map(|(code, _)| Arc::clone(code))
    }

    /// Starts anew, once the CRM takes records again.
    pub fn clear(&mut self) {
        *self = Self { next_number: self.next_number, ..Self::default() };
    }

    fn forget_old(&mut self, now: Timestamp) {
        while let Some((at, lead, number)) = self.order.front().copied() {
            let replaced = self.latest.get(&lead).is_none_or(|outcome| outcome.number != number);
            if !replaced && now.since(at) < COUNTS_FOR && self.order.len() <= MOST_LEADS {
                break;
            }
            self.order.pop_front();
            if !replaced {
                self.forget(lead);
            }
        }
    }

    fn forget(&mut self, lead: u64) {
        let Some(code) = self.latest.remove(&lead).and_then(|outcome| outcome.refused_with) else { return };
        if let Some(count) = self.leads_by_code.get_mut(&code) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.leads_by_code.remove(&code);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn add(refusals: &mut Refusals, now: i64, leads: std::ops::Range<u32>, code: Option<&str>) {
        for lead in leads {
            refusals.add(at(now), &LeadKey::new("s", lead.to_string().as_str()), code);
        }
    }

    #[test]
    fn more_than_half_of_twenty_leads_with_one_code_are_the_crms_fault() {
        let mut refusals = Refusals::default();
        add(&mut refusals, 0, 0..19, Some("RULE"));
        assert_eq!(refusals.systemic(at(0)), None, "too few leads");
        add(&mut refusals, 0, 0..19, Some("RULE"));
        assert_eq!(refusals.systemic(at(0)), None, "the same leads again");
        add(&mut refusals, 0, 19..38, None);
        assert_eq!(refusals.systemic(at(0)), None, "half is not more than half");
        add(&mut refusals, 0, 19..20, Some("RULE"));
        assert_eq!(refusals.systemic(at(0)).as_deref(), Some("RULE"));
        add(&mut refusals, 0, 0..2, Some("OTHER"));
        assert_eq!(refusals.systemic(at(0)), None, "no code has the half");
    }

    #[test]
    fn what_is_a_quarter_of_an_hour_old_no_longer_counts() {
        let mut refusals = Refusals::default();
        add(&mut refusals, 0, 0..30, Some("RULE"));
        assert_eq!(refusals.systemic(at(899)).as_deref(), Some("RULE"));
        assert_eq!(refusals.systemic(at(900)), None);
        assert!(refusals.latest.is_empty() && refusals.order.is_empty() && refusals.leads_by_code.is_empty());
    }

    #[test]
    fn only_so_many_leads_are_remembered() {
        let mut refusals = Refusals::default();
        add(&mut refusals, 0, 0..15_000, Some("RULE"));
        add(&mut refusals, 1, 0..5_000, None);
        assert!(refusals.order.len() <= MOST_LEADS && refusals.latest.len() <= MOST_LEADS);
        assert_eq!(refusals.leads_by_code.values().sum::<usize>() + 5_000, refusals.latest.len());
    }
}
