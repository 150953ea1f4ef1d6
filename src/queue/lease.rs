//! How long a batch may be at work.

use std::time::Duration;

use crate::clock::SinceBoot;
use crate::domain::time::Timestamp;

/// By the clock that all processes share, and by one that nobody sets: a process that was stopped for a while must notice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lease {
    pub ends_at: Timestamp,
    pub until: SinceBoot,
}

impl Lease {
    /// From `now` on, which the clock said at `at`.
    pub fn new(now: Timestamp, at: SinceBoot, length: Duration) -> Self {
        Self { ends_at: now.after(length), until: at.after(length) }
    }

    /// What is left of it.
    pub fn left(&self, now: Timestamp) -> Duration {
        self.ends_at.since(now).min(self.until.since(SinceBoot::now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_what_either_clock_says_is_left() {
        let (now, length) = (Timestamp::from_seconds(100), Duration::from_secs(90));
        let lease = Lease::new(now, SinceBoot::now(), length);
        assert!(lease.left(now) > Duration::from_secs(80));
        assert_eq!(lease.left(now.after(Duration::from_secs(60))), Duration::from_secs(30));
        let stopped = SinceBoot::now().before(Duration::from_secs(89));
        assert!(
            Lease::new(now, stopped, length).left(now) <= Duration::from_secs(1),
            "the clock was set back meanwhile"
        );
    }
}
