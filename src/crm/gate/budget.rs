//! How many calls may still be made: our share of the day, and the organisation's whole use of it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::crm::Usage;
use crate::domain::time::Timestamp;

const HOUR: i64 = 60 * 60;
/// The hour under way and the 24 before it: never less than 24 hours.
const HOURS_COUNTED: i64 = 24;
/// A reading of the organisation's use counts for so long, since the figure lags and goes down as well as up.
const READING_COUNTS: Duration = Duration::from_secs(15 * 60);
/// Readings are kept in steps, the greatest of each.
const READING_STEP: Duration = Duration::from_secs(10);

/// Calls made, by hour; plain data that outlives a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BudgetSnapshot {
    /// When each hour began, and the calls counted in it.
    pub hours: Vec<(Timestamp, u64)>,
}

/// Calls of ours in the last 24 hours and a little more.
#[derive(Debug, Default)]
pub(super) struct Budget {
    /// Of this process.
    hours: BTreeMap<i64, u64>,
    /// Of all others, as they were heard of last.
    elsewhere: BTreeMap<i64, u64>,
}

impl Budget {
    pub fn restore(snapshot: &BudgetSnapshot) -> Self {
        Self { hours: by_hour(snapshot), elsewhere: BTreeMap::new() }
    }

    /// Calls that other processes made: they count, and are not ours to keep.
    pub fn set_elsewhere(&mut self, snapshot: &BudgetSnapshot) {
        self.elsewhere = by_hour(snapshot);
    }

    pub fn snapshot(&self) -> BudgetSnapshot {
        let began = |hour: i64| Timestamp::from_seconds(hour.saturating_mul(HOUR));
        BudgetSnapshot { hours: self.hours.iter().map(|(hour, calls)| (began(*hour), *calls)).collect() }
    }

    pub fn count(&mut self, now: Timestamp) {
        let this = hour_of(now);
        self.hours.retain(|hour, _| *hour >= this.saturating_sub(HOURS_COUNTED));
        let sum = self.hours.entry(this).or_default();
        *sum = sum.saturating_add(1);
    }

    pub fn used(&self, now: Timestamp) -> u64 {
        self.counted(now).fold(0, |sum, (_, calls)| sum.saturating_add(calls))
    }

    /// What counts now, by hour and process.
    fn counted(&self, now: Timestamp) -> impl Iterator<Item = (i64, u64)> {
        let first = hour_of(now).saturating_sub(HOURS_COUNTED);
        self.hours.range(first..).chain(self.elsewhere.range(first..)).map(|(hour, calls)| (*hour, *calls))
    }

    /// When enough old hours will have gone for the use to be at most `limit`; `None` if it never will.
    pub fn falls_to(&self, limit: u64, now: Timestamp) -> Option<Timestamp> {
        let mut used = self.used(now);
        let mut hours: Vec<(i64, u64)> = self.counted(now).collect();
        hours.sort_unstable();
        for (hour, calls) in hours {
            used = used.saturating_sub(calls);
            if used <= limit {
                return Some(Timestamp::from_seconds(hour.saturating_add(HOURS_COUNTED + 1).saturating_mul(HOUR)));
            }
        }
        None
    }
}

fn by_hour(snapshot: &BudgetSnapshot) -> BTreeMap<i64, u64> {
    let mut hours = BTreeMap::new();
    for (began, calls) in &snapshot.hours {
        let sum: &mut u64 = hours.entry(hour_of(*began)).or_default();
        *sum = sum.saturating_add(*calls);
    }
    hours
}

fn hour_of(moment: Timestamp) -> i64 {
    moment.as_seconds().div_euclid(HOUR)
}

/// The organisation's use as its headers tell it, all programs together.
///
/// A header is out of date by an unknown number of calls, so two of them are never subtracted: what counts is the
/// greatest reading of the last quarter of an hour, each with our own calls since it.
#[derive(Debug, Default)]
pub(super) struct OrgUse {
    /// Our calls so far, whatever the day.
    own: u64,
    allowed: u64,
    readings: VecDeque<Reading>,
}

#[derive(Debug)]
struct Reading {
    at: Timestamp,
    used: u64,
    own: u64,
}

impl OrgUse {
    pub fn count(&mut self, now: Timestamp, counted: bool, usage: Option<Usage>) {
        self.own = self.own.saturating_add(u64::from(counted));
        let Some(Usage { used, allowed }) = usage else { return };
        self.allowed = allowed;
        let own = self.own;
        self.readings.retain(|reading| counts(reading, now));
        match self.readings.back_mut() {
            Some(last) if now.since(last.at) < READING_STEP => {
                if used >= last.used.saturating_add(own.saturating_sub(last.own)) {
                    *last = Reading { at: last.at, used, own };
                }
            }
            _ => self.readings.push_back(Reading { at: now, used, own }),
        }
    }

    /// The use by now; `None` if nothing was read lately.
    pub fn estimate(&self, now: Timestamp) -> Option<Usage> {
        let by_now = |reading: &Reading| reading.used.saturating_add(self.own.saturating_sub(reading.own));
        let used = self.readings.iter().filter(|reading| counts(reading, now)).map(by_now).max()?;
        Some(Usage { used, allowed: self.allowed })
    }

    /// What was read counts no more: one call may find out.
    pub fn forget(&mut self) {
        self.readings.clear();
    }

    /// When the last reading stops to count; then one call may find out.
    pub fn forgotten_at(&self) -> Option<Timestamp> {
        self.readings.back().map(|reading| reading.at.after(READING_COUNTS))
    }
}

fn counts(reading: &Reading, now: Timestamp) -> bool {
    now.since(reading.at) < READING_COUNTS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_000_000 * HOUR + seconds)
    }

    #[test]
    fn a_call_counts_for_at_least_24_hours_and_at_most_25() {
        let mut budget = Budget::default();
        budget.count(at(HOUR - 1));
        assert_eq!(budget.used(at(HOUR - 1)), 1);
        assert_eq!(budget.used(at(24 * HOUR + HOUR - 1)), 1);
        assert_eq!(budget.used(at(25 * HOUR)), 0);
        assert_eq!(budget.falls_to(0, at(HOUR)), Some(at(25 * HOUR)));
    }

    #[test]
    fn a_snapshot_brings_the_count_back() {
        let mut budget = Budget::default();
        for seconds in [0, 1, HOUR, 3 * HOUR] {
            budget.count(at(seconds));
        }
        let snapshot = budget.snapshot();
        assert_eq!(snapshot.hours, [(at(0), 2), (at(HOUR), 1), (at(3 * HOUR), 1)]);
        assert_eq!(Budget::restore(&snapshot).used(at(3 * HOUR)), 4);
        assert_eq!(Budget::restore(&snapshot).falls_to(1, at(3 * HOUR)), Some(at(26 * HOUR)));
    }

    #[test]
    fn calls_made_elsewhere_count_and_are_kept_by_whoever_made_them() {
        let mut budget = Budget::default();
        budget.count(at(HOUR));
        budget.set_elsewhere(&BudgetSnapshot { hours: vec![(at(0), 5), (at(HOUR), 2)] });
        assert_eq!(budget.used(at(HOUR)), 8);
        assert_eq!(budget.falls_to(3, at(HOUR)), Some(at(25 * HOUR)));
        assert_eq!(budget.snapshot().hours, [(at(HOUR), 1)]);
        budget.set_elsewhere(&BudgetSnapshot::default());
        assert_eq!(budget.used(at(HOUR)), 1);
    }

    #[test]
    fn a_use_that_jitters_is_taken_at_its_greatest_with_our_calls_since() {
        let mut org = OrgUse::default();
        for (second, used) in [33, 34, 33, 34, 31, 39, 35, 41, 37, 35, 40, 36, 38, 36].into_iter().enumerate() {
            org.count(at(i64::try_from(second).unwrap() * 20), true, Some(Usage { used, allowed: 100 }));
        }
        // The eighth call read 41 and six have followed it.
        assert_eq!(org.estimate(at(280)), Some(Usage { used: 47, allowed: 100 }));
        org.count(at(280), true, None);
        org.count(at(280), false, None);
        assert_eq!(org.estimate(at(280)).map(|usage| usage.used), Some(48));
        assert_eq!(org.forgotten_at(), Some(at(13 * 20 + 900)));
        assert_eq!(org.estimate(at(13 * 20 + 900)), None);
    }

    #[test]
    fn readings_take_little_room_however_many_calls_there_are() {
        let mut org = OrgUse::default();
        for n in 0..100_000i64 {
            org.count(Timestamp::from_micros(n * 10_000), true, Some(Usage { used: 5, allowed: 10 }));
        }
        assert!(org.readings.len() <= 91, "{}", org.readings.len());
    }
}
