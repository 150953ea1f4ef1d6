//! A circuit: closed for a while after trouble, then tried by one probe, longer each time that it fails.

use std::time::Duration;

use crate::domain::time::Timestamp;

/// How one kind of trouble keeps the gate closed.
#[derive(Debug)]
pub(super) struct Circuit<Why> {
    first: Duration,
    longest: Duration,
    /// How often in a row it was tripped.
    trips: u32,
    closed: Option<Closed<Why>>,
}

/// A circuit that is not passed freely.
#[derive(Debug)]
pub(super) struct Closed<Why> {
    pub since: Timestamp,
    /// From then on a probe may try.
    pub until: Timestamp,
    pub why: Why,
}

impl<Why> Circuit<Why> {
    /// Open. Its pauses double from `first` to `longest`.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, trips: 0, closed: None }
    }

    pub fn closed(&self) -> Option<&Closed<Why>> {
        self.closed.as_ref()
    }

    /// Whether a probe may try it now.
    pub fn is_half_open(&self, now: Timestamp) -> bool {
        self.closed.as_ref().is_some_and(|closed| closed.until <= now)
    }

    /// Closes it for at least `at_least`, and as long as is its turn. `jitter`, from 0 to 1, only lengthens.
    ///
    /// What was under way when it closed, and fails before a probe may try, says nothing new and does not lengthen its turn.
    pub fn trip(&mut self, now: Timestamp, why: Why, at_least: Duration, jitter: f64) {
        if let Some(closed) = &mut self.closed
            && closed.until > now
        {
            closed.until = closed.until.max(now.after(at_least));
            return;
        }
        let turn = self.first.saturating_mul(2u32.saturating_pow(self.trips)).min(self.longest);
        let wait = turn + turn.mul_f64(jitter.clamp(0.0, 1.0) / 4.0);
        self.trips = self.trips.saturating_add(1);
        let since = self.closed.as_ref().map_or(now, |closed| closed.since);
        self.closed = Some(Closed { since, until: now.after(wait.max(at_least)), why });
    }

    /// Lets a probe try now.
    pub fn try_now(&mut self, now: Timestamp) {
        if let Some(closed) = &mut self.closed {
            closed.until = closed.until.min(now);
        }
    }

    /// Opens it, and the next pause is the first again.
    pub fn open(&mut self) {
        self.trips = 0;
        self.closed = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn until(circuit: &Circuit<()>) -> Option<i64> {
        circuit.closed().map(|closed| closed.until.as_seconds())
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_start_anew_after_a_success() {
        let mut circuit = Circuit::new(Duration::from_secs(1), Duration::from_secs(5));
        let mut now = 0;
        for pause in [1, 2, 4, 5, 5] {
            circuit.trip(at(now), (), Duration::ZERO, 0.0);
            assert_eq!(until(&circuit), Some(now + pause));
            assert!(!circuit.is_half_open(at(now)) && circuit.is_half_open(at(now + pause)));
            now += pause;
        }
        assert_eq!(circuit.closed().map(|closed| closed.since), Some(at(0)));
        circuit.open();
        assert!(circuit.closed().is_none() && !circuit.is_half_open(at(now)));
        circuit.trip(at(now), (), Duration::ZERO, 0.0);
        assert_eq!(until(&circuit), Some(now + 1));
    }

    #[test]
    fn what_was_under_way_does_not_lengthen_the_turn_but_a_longer_wait_is_kept() {
        let mut circuit = Circuit::new(Duration::from_secs(4), Duration::from_secs(60));
        circuit.trip(at(0), (), Duration::ZERO, 0.0);
        circuit.trip(at(1), (), Duration::ZERO, 0.0);
        assert_eq!(until(&circuit), Some(4));
        circuit.trip(at(2), (), Duration::from_secs(90), 0.0);
        assert_eq!(until(&circuit), Some(92));
    }

    #[test]
    fn jitter_only_lengthens_and_no_wait_is_undercut() {
        let mut circuit = Circuit::new(Duration::from_secs(4), Duration::from_secs(60));
        circuit.trip(at(0), (), Duration::ZERO, 1.0);
        assert_eq!(until(&circuit), Some(5));
        circuit.open();
        circuit.trip(at(0), (), Duration::from_secs(90), 7.0);
        assert_eq!(until(&circuit), Some(90));
    }
}
