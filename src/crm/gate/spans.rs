//! When the gate was closed: what a lead waited then does not count against it.

use std::time::Duration;

use crate::domain::time::Timestamp;

/// Spans beyond these are joined with their neighbours.
const MOST_SPANS: usize = 500;

/// The spans of time in which live work could not go.
#[derive(Debug, Default)]
pub(super) struct Spans {
    closed_since: Option<Timestamp>,
    over: Vec<(Timestamp, Timestamp)>,
}

impl Spans {
    /// Since when it is closed now.
    pub fn closed_since(&self) -> Option<Timestamp> {
        self.closed_since
    }

    /// Hears whether it is closed.
    pub fn note(&mut self, now: Timestamp, closed: bool) {
        match (closed, self.closed_since) {
            (true, None) => self.closed_since = Some(now),
            (false, Some(from)) => {
                self.closed_since = None;
                self.over.push((from, now));
                if self.over.len() > MOST_SPANS
                    && let [(first, _), (_, second), ..] = self.over[..]
                {
                    // The oldest two become one, in the waiting lead's favour.
                    self.over.splice(0..2, [(first, second)]);
                }
            }
            _ => {}
        }
    }

    /// All of them; the last may still go on.
    pub fn all(&self, now: Timestamp) -> Vec<(Timestamp, Timestamp)> {
        let open_span = self.closed_since.map(|from| (from, now));
        self.over.iter().copied().chain(open_span).collect()
    }

    /// Adds spans that were kept over a restart.
    pub fn restore(&mut self, spans: Vec<(Timestamp, Timestamp)>) {
        self.over.splice(0..0, spans);
    }

    /// For how long between `since` and `now` it was closed.
    pub fn closed_time_since(&self, now: Timestamp, since: Timestamp) -> Duration {
        let spans = self.all(now);
        spans.into_iter().fold(Duration::ZERO, |sum, (from, to)| sum.saturating_add(to.min(now).since(from.max(since))))
    }
}
