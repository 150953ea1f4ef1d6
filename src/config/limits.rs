//! `[destinations.NAME.limits]` and `[destinations.NAME.retry]`: what a CRM may be asked to bear, and how often.

use std::num::NonZeroU32;
use std::time::Duration;

use super::Percent;
use super::reader::{Item, Table, Wrong};
use super::values::{duration, percent, positive_duration};

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

/// Reads both sections, since the lease and the timeout depend on each other.
pub(super) fn read(limits: Table<'_>, retry: Table<'_>) -> (LimitsConfig, RetryConfig) {
    let limits_config = LimitsConfig {
        calls_per_day: limits.or("calls_per_day", 15_000, positive),
        org_stop: limits.or("org_stop", Percent::new(90), percent),
        reserve_for_live: limits.or("reserve_for_live", Percent::new(20), percent),
        concurrency: limits.or("concurrency", NonZeroU32::MIN.saturating_add(3), concurrency),
        linger: limits.or("linger", Duration::ZERO, linger),
        timeout: limits.or("timeout", Duration::from_secs(30), positive_duration),
    };
    let retry_config = RetryConfig {
        first: retry.or("first", Duration::from_secs(5), positive_duration),
        longest: retry.or("longest", Duration::from_secs(15 * 60), positive_duration),
        give_up_after: retry.or("give_up_after", Duration::from_secs(3 * 86_400), positive_duration),
        lease: retry.or("lease", Duration::from_secs(90), positive_duration),
    };
    if retry_config.longest < retry_config.first {
        retry.wrong("longest", "is shorter than `first`", "make it at least as long");
    }
    if retry_config.lease < limits_config.timeout.saturating_mul(2) {
        let (table, key) =
            if limits.has("timeout") && !retry.has("lease") { (&limits, "timeout") } else { (&retry, "lease") };
        table.wrong(
            key,
            "the lease must be at least twice `limits.timeout`",
            "lengthen `retry.lease` or shorten `limits.timeout`",
        );
    }
    limits.finish();
    retry.finish();
    (limits_config, retry_config)
}

fn positive(item: &Item<'_>) -> Result<u64, Wrong> {
    match item.count()? {
        0 => Err(Wrong::new("must be 1 at least", "write how many calls a day are ours, such as 15000")),
        calls => Ok(calls),
    }
}

fn concurrency(item: &Item<'_>) -> Result<NonZeroU32, Wrong> {
    const MOST: u32 = 100;
    let calls = u32::try_from(item.count()?).ok().and_then(NonZeroU32::new).filter(|calls| calls.get() <= MOST);
    calls.ok_or_else(|| Wrong::new(format!("{} is out of bounds", item.shown()), "write a number from 1 to 100"))
}

fn linger(item: &Item<'_>) -> Result<Duration, Wrong> {
    const LONGEST: Duration = Duration::from_secs(60);
    let length = duration(item)?;
    if length > LONGEST {
        return Err(Wrong::new(format!("{} keeps leads back too long", item.shown()), "write \"60s\" or less"));
    }
    Ok(length)
}
