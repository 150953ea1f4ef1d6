//! The time of day: the system's, another one that is followed, or one that a test moves by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

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

/// Goes on by the monotonic clock from where it was set last.
#[derive(Debug)]
struct Following {
    base: Instant,
    /// What the time was at `base`, in microseconds.
    offset: AtomicI64,
}

impl Following {
    fn at(&self, moment: Instant) -> i64 {
        let passed = i64::try_from(moment.saturating_duration_since(self.base).as_micros()).unwrap_or(i64::MAX);
        self.offset.load(Ordering::SeqCst).saturating_add(passed)
    }
}

/// What another clock said, and how long the question took.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    pub said: Timestamp,
    pub asked_at: Instant,
    pub answered_at: Instant,
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
            Source::Following(following) => Timestamp::from_micros(following.at(Instant::now())),
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
    fn middle(&self) -> (Instant, Duration) {
        let half = self.answered_at.saturating_duration_since(self.asked_at) / 2;
        (self.asked_at + half, half)
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
        let base = Instant::now();
        let reading = |asked: u64, answered: u64, said: i64| Reading {
            said: Timestamp::from_micros(said * 1_000),
            asked_at: base + Duration::from_millis(asked),
            answered_at: base + Duration::from_millis(answered),
        };
        let clock = Clock::system().following(&reading(0, 10, 5_000_000));
        let ahead = |clock: &Clock| clock.now().as_micros() / 1_000 - 5_000_000;
        assert!((-5..60_000).contains(&ahead(&clock)));
        assert_eq!(clock.follow(&reading(100, 120, 5_000_114)), None, "9 ms may be the way's");
        assert_eq!(clock.follow(&reading(100, 120, 5_003_605)), Some(Duration::from_millis(3_500)));
        assert_eq!(clock.follow(&reading(100, 102, 4_000_096)), Some(Duration::from_millis(1_003_500)));
        assert!((-1_000_005..-940_000).contains(&ahead(&clock)), "it goes back, too");
    }

    #[test]
    fn a_clock_moved_by_hand_follows_nobody() {
        let clock = Clock::manual(Timestamp::from_seconds(10));
        let now = Instant::now();
        let reading = Reading { said: Timestamp::from_seconds(99), asked_at: now, answered_at: now };
        assert_eq!(clock.following(&reading).now(), Timestamp::from_seconds(10));
        assert_eq!(clock.follow(&reading), None);
    }
}
