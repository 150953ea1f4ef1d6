//! `[destinations.NAME.limits]` and `[destinations.NAME.retry]`: what a CRM may be asked to bear, and how often.

use std::num::NonZeroU32;
use std::time::Duration;

use super::Percent;

/// `[destinations.NAME.limits]`: what a destination may be asked to bear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitsConfig {
    /// Our share of the CRM's calls a day; 15,000 if left out.
    pub calls_per_day: u64,
    /// The use of the whole org, as its headers tell it, at which we stop; 90 % if left out.
    pub org_stop: Percent,
    /// The part of our share that backfill, replay and repair may not use; 20 % if left out.
    pub reserve_for_live: Percent,
    /// Calls in flight at once; 4 if left out.
    pub concurrency: NonZeroU32,
    /// How long a due lead may wait for others to fill its batch; not at all if left out.
    pub linger: Duration,
    /// How long one call may take; 30 s if left out. The lease is at least twice as long.
    pub timeout: Duration,
}

/// `[destinations.NAME.retry]`: when a failed attempt is repeated, and when not any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryConfig {
    /// The wait after the first failure; 5 s if left out.
    pub first: Duration,
    /// The longest wait; 15 min if left out.
    pub longest: Duration,
    /// From the first failure to the dead letter, time behind a closed gate not counted; 3 days if left out.
    pub give_up_after: Duration,
    /// How long a worker owns a job; 90 s if left out.
    pub lease: Duration,
}
