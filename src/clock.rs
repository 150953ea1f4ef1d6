//! The time of day: the system's, another one that is followed, or one that a test moves by hand. And the time since the
//! machine was started, which nobody sets.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::domain::time::Timestamp;

/// Tells the time. Cheap to clone; every part of the program is handed the same one.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Following(Arc<Following>),
    Manual(Arc<AtomicI64>),
}

/// Goes on by the time since boot from where it was set last.
#[derive(Debug)]
struct Following {
    base: SinceBoot,
    /// What the time was at `base`, in microseconds.
    offset: AtomicI64,
}

impl Following {
    fn at(&self, moment: SinceBoot) -> i64 {
        let passed = i64::try_from(moment.since(self.base).as_micros()).unwrap_or(i64::MAX);
        self.offset.load(Ordering::SeqCst).saturating_add(passed)
    }
}

/// What another clock said, and how long the question took.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    pub said: Timestamp,
    pub asked_at: SinceBoot,
    pub answered_at: SinceBoot,
}

/// A moment of the clock that counts since the machine was started and that nobody sets.
///
/// Leases are measured by it, and what may be sent under them. Unlike [`std::time::Instant`] it goes on while the system is
/// suspended, so that a process that wakes up finds its leases ended (where a system has such a clock: Linux). Nothing in
/// the machine tells when a hypervisor has stopped it as a whole and lets it go on: a write may then be sent after its lease
/// ended, as may one that was long under way. Such a write is like any whose answer was lost: the database takes nothing
/// from who lost a lease, a create is refused since the external ID is taken, and an update is known to whoever took the
/// lead over as an announced one that may land late: its values count as ours, and the lead is looked at once more when it
/// can land no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SinceBoot(Duration);

impl SinceBoot {
    pub fn now() -> Self {
        #[cfg(target_os = "linux")]
        const CLOCK: ClockId = ClockId::Boottime;
        #[cfg(not(target_os = "linux"))]
        const CLOCK: ClockId = ClockId::Monotonic;
        let passed = clock_gettime(CLOCK);
        let (seconds, nanos) = (u64::try_from(passed.tv_sec), u32::try_from(passed.tv_nsec));
        Self(Duration::new(seconds.unwrap_or_default(), nanos.unwrap_or_default()))
    }

    /// Nothing if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    pub fn elapsed(self) -> Duration {
        Self::now().since(self)
    }

    pub fn after(self, by: Duration) -> Self {
        Self(self.0.saturating_add(by))
    }

    pub fn before(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(by))
    }
}

impl Clock {
    /// The system's wall clock.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands at `start` until it is moved.
    pub fn manual(start: Timestamp) -> Self {
        Self(Source::Manual(Arc::new(AtomicI64::new(start.as_micros()))))
    }

    /// In place of the system's clock one that follows another, by this reading of it at first. One that is moved by hand
    /// stays what it is.
    pub fn following(&self, reading: &Reading) -> Self {
        match &self.0 {
            Source::Manual(_) => self.clone(),
            Source::System | Source::Following(_) => {
                let (moment, _) = reading.middle();
                let offset = AtomicI64::new(reading.said.as_micros());
                Self(Source::Following(Arc::new(Following { base: moment, offset })))
            }
        }
    }

    /// Puts a clock that follows another right by a new reading; answers by how much it moved. It stays where it is while
    /// it may be right for all that the reading tells, which is no better than half of what the question took.
    pub fn follow(&self, reading: &Reading) -> Option<Duration> {
        let Source::Following(following) = &self.0 else { return None };
        let (moment, uncertain) = reading.middle();
        let wrong_by = reading.said.as_micros().saturating_sub(following.at(moment));
        let step = Duration::from_micros(wrong_by.unsigned_abs());
        if step <= uncertain {
            return None;
        }
        following.offset.fetch_add(wrong_by, Ordering::SeqCst);
        Some(step)
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => system_now(),
            Source::Following(following) => Timestamp::from_micros(following.at(SinceBoot::now())),
            Source::Manual(micros) => Timestamp::from_micros(micros.load(Ordering::SeqCst)),
        }
    }

    /// Moves a manual clock on; no other can be moved.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(micros) = &self.0 {
            micros.fetch_add(i64::try_from(by.as_micros()).unwrap_or(0), Ordering::SeqCst);
        }
    }
}

impl Reading {
    /// When it was most likely said, and how far from there it may have been.
    fn middle(&self) -> (SinceBoot, Duration) {
        let half = self.answered_at.since(self.asked_at) / 2;
        (self.asked_at.after(half), half)
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that asks the system for the time")]
fn system_now() -> Timestamp {
    Timestamp::from_micros(jiff::Timestamp::now().as_microsecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_follows_another_and_ignores_what_the_way_may_have_taken() {
        let base = SinceBoot::now();
        let reading = |asked: u64, answered: u64, said: i64| Reading {
            said: Timestamp::from_micros(said * 1_000),
            asked_at: base.after(Duration::from_millis(asked)),
            answered_at: base.after(Duration::from_millis(answered)),
        };
        let clock = Clock::system().following(&reading(0, 10, 5_000_000));
        let ahead = |clock: &Clock| clock.now().as_micros() / 1_000 - 5_000_000;
        assert!((-5..60_000).contains(&ahead(&clock)));
        assert_eq!(clock.follow(&reading(100, 120, 5_000_114)), None, "9 ms may be the way's");
        assert_eq!(clock.follow(&reading(100, 120, 5_003_605)), Some(Duration::from_millis(3_500)));
        assert_eq!(clock.follow(&reading(100, 102, 4_000_096)), Some(Duration::from_millis(1_003_500)));
        assert!((-1_000_005..-940_000).contains(&ahead(&clock)), "it goes back, too");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_time_since_boot_counts_what_the_system_was_suspended_for() {
        let uptime = || std::fs::read_to_string("/proc/uptime").unwrap();
        let seconds = |text: String| text.split(' ').next().unwrap().parse::<f64>().unwrap();
        let (before, now, after) = (seconds(uptime()), SinceBoot::now(), seconds(uptime()));
        let now = now.0.as_secs_f64();
        assert!(before - 0.02 <= now && now <= after + 0.02, "{before} {now} {after}");
    }

    #[test]
    fn a_clock_moved_by_hand_follows_nobody() {
        let clock = Clock::manual(Timestamp::from_seconds(10));
        let now = SinceBoot::now();
        let reading = Reading { said: Timestamp::from_seconds(99), asked_at: now, answered_at: now };
        assert_eq!(clock.following(&reading).now(), Timestamp::from_seconds(10));
        assert_eq!(clock.follow(&reading), None);
    }
}
