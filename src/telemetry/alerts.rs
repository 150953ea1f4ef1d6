//! When somebody should look: the alerts, computed from figures. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use crate::config::AlertsConfig;
use crate::domain::ids::DestinationName;
use crate::domain::time::Timestamp;
use crate::store::{Operation, Outcome, OutcomeCount, QueueFigures};

/// How far back growth is measured.
pub const GROWTH_WINDOW: Duration = Duration::from_secs(10 * 60);
/// Fewer operations than this say nothing about a rate.
const FEWEST_OPERATIONS: u64 = 20;
const SAMPLE_EVERY: Duration = Duration::from_secs(10);

/// The alerts there are; a closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlertName {
    /// Too many operations fail.
    ErrorRate,
    /// Too much waits, and more than ten minutes ago.
    QueueDepth,
    /// A lead has been failing, or waiting behind a closed gate, for too long.
    RetryAge,
    /// A destination takes nothing until a person acts.
    DestinationStopped,
}

impl AlertName {
    pub const ALL: [Self; 4] = [Self::ErrorRate, Self::QueueDepth, Self::RetryAge, Self::DestinationStopped];

    /// The word in the API and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            AlertName::ErrorRate => "error_rate",
            AlertName::QueueDepth => "queue_depth",
            AlertName::RetryAge => "retry_age",
            AlertName::DestinationStopped => "destination_stopped",
        }
    }
}

/// An alert that fires for one destination.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    pub name: AlertName,
    pub destination: DestinationName,
    /// One sentence with the figures, for the person who is woken.
    pub detail: String,
    /// What was measured, in the unit of `threshold`: a share, leads, or seconds.
    pub value: f64,
    pub threshold: f64,
}

/// How many leads waited for each destination, over the last ten minutes and a little more.
#[derive(Debug, Default)]
pub struct DepthHistory {
    samples: VecDeque<Sample>,
}

#[derive(Debug)]
struct Sample {
    at: Timestamp,
    depths: Vec<(DestinationName, u64)>,
}

impl DepthHistory {
    /// Remembers these figures, unless the last ones are hardly older. Bounded.
    pub fn remember(&mut self, now: Timestamp, figures: &[QueueFigures]) {
        if self.samples.back().is_some_and(|last| last.at > now) {
            // The clock was set back: what is remembered cannot be placed any more.
            self.samples.clear();
        }
        if self.samples.back().is_some_and(|last| now.since(last.at) < SAMPLE_EVERY) {
            return;
        }
        let depths = figures.iter().map(|queue| (queue.destination.clone(), depth(queue))).collect();
        self.samples.push_back(Sample { at: now, depths });
        // The newest sample that is ten minutes old stays; what is older than that goes.
        while self.samples.get(1).is_some_and(|second| now.since(second.at) >= GROWTH_WINDOW) {
            self.samples.pop_front();
        }
    }

    /// The depth ten minutes ago; `None` while nothing is known of that time.
    pub fn depth_before(&self, destination: &DestinationName, now: Timestamp) -> Option<u64> {
        let sample = self.samples.iter().rev().find(|sample| now.since(sample.at) >= GROWTH_WINDOW)?;
        Some(sample.depths.iter().find(|(name, _)| name == destination).map_or(0, |(_, depth)| *depth))
    }
}

/// Leads that wait for a destination by themselves: neither held nor dead.
pub fn depth(queue: &QueueFigures) -> u64 {
    queue.ready + queue.leased + queue.retrying
}

/// The alerts that fire now. `outcomes` are those of the configured window.
pub fn firing(
    now: Timestamp,
    queues: &[QueueFigures],
    history: &DepthHistory,
    outcomes: &[OutcomeCount],
    config: &AlertsConfig,
) -> Vec<Alert> {
    let of_queue = |queue: &QueueFigures| {
        [
            error_rate(&queue.destination, outcomes, config),
            queue_depth(now, queue, history, config),
            retry_age(now, queue, config),
        ]
    };
    queues.iter().flat_map(of_queue).flatten().collect()
}

fn error_rate(destination: &DestinationName, outcomes: &[OutcomeCount], config: &AlertsConfig) -> Option<Alert> {
    let (failed, all) = failures(destination, outcomes);
    let threshold = config.error_rate.as_fraction();
    // A rate is told with its figures, which are far below what a double holds exactly.
    let rate = failed as f64 / all.max(1) as f64;
    (all >= FEWEST_OPERATIONS && rate > threshold).then(|| Alert {
        name: AlertName::ErrorRate,
        destination: destination.clone(),
        detail: format!(
            "{failed} of {all} operations failed within {} ({:.1} %, more than {}); GET /admin/v1/errors groups them by cause",
            in_words(config.error_window),
            rate * 100.0,
            config.error_rate,
        ),
        value: rate,
        threshold,
    })
}

/// Failed operations, and all that did something.
pub fn failures(destination: &DestinationName, outcomes: &[OutcomeCount]) -> (u64, u64) {
    let counted = |row: &&OutcomeCount| {
        row.destination == *destination && !matches!(row.operation, Operation::Unchanged | Operation::Skip)
    };
    let has_failed = |row: &OutcomeCount| {
        matches!(row.outcome, Outcome::Retry | Outcome::Refused | Outcome::Dead | Outcome::Unknown)
    };
    outcomes
        .iter()
        .filter(counted)
        .fold((0, 0), |(failed, all), row| (failed + if has_failed(row) { row.count } else { 0 }, all + row.count))
}

fn queue_depth(now: Timestamp, queue: &QueueFigures, history: &DepthHistory, config: &AlertsConfig) -> Option<Alert> {
    let depth = depth(queue);
    let before = history.depth_before(&queue.destination, now)?;
    (depth > config.queue_depth && depth > before).then(|| Alert {
        name: AlertName::QueueDepth,
        destination: queue.destination.clone(),
        detail: format!("{depth} leads wait, more than {}; 10 minutes ago there were {before}", config.queue_depth),
        value: depth as f64,
        threshold: config.queue_depth as f64,
    })
}

fn retry_age(now: Timestamp, queue: &QueueFigures, config: &AlertsConfig) -> Option<Alert> {
    let age = now.since(queue.oldest_retry?);
    (age > config.retry_age).then(|| Alert {
        name: AlertName::RetryAge,
        destination: queue.destination.clone(),
        detail: format!(
            "a lead has been failing or waiting behind a closed gate for {}, more than {}; GET /admin/v1/destinations says why",
            in_words(age),
            in_words(config.retry_age),
        ),
        value: age.as_secs_f64(),
        threshold: config.retry_age.as_secs_f64(),
    })
}

fn in_words(length: Duration) -> String {
    match length.as_secs() {
        seconds if seconds < 120 => format!("{seconds} s"),
        seconds if seconds < 7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Percent;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn config() -> AlertsConfig {
        AlertsConfig {
            error_rate: Percent::new(2),
            error_window: Duration::from_secs(900),
            queue_depth: 1000,
            retry_age: Duration::from_secs(1800),
        }
    }

    fn queue(ready: u64, oldest_retry: Option<Timestamp>) -> QueueFigures {
        QueueFigures {
            destination: "crm".into(),
            ready,
            leased: 0,
            retrying: 0,
            held: 5000,
            dead: 5000,
            oldest: None,
            oldest_retry,
            held_codes: vec![],
        }
    }

    fn counted(operation: Operation, outcome: Outcome, count: u64) -> OutcomeCount {
        OutcomeCount { destination: "crm".into(), operation, outcome, count }
    }

    fn names(queue: QueueFigures, history: &DepthHistory, outcomes: &[OutcomeCount]) -> Vec<&'static str> {
        firing(NOW, &[queue], history, outcomes, &config()).iter().map(|alert| alert.name.as_str()).collect()
    }

    #[test]
    fn the_error_rate_counts_failures_among_what_did_something() {
        let check = |outcomes: &[OutcomeCount], expected: &[&str]| {
            assert_eq!(names(queue(0, None), &DepthHistory::default(), outcomes), expected, "{outcomes:?}");
        };
        use Operation::{Create, Skip, Unchanged, Update};
        use Outcome::{Conflict, Dead, Ok, Refused, Retry, Unknown};
        check(&[counted(Create, Ok, 98), counted(Update, Retry, 2)], &[]);
        check(&[counted(Create, Ok, 97), counted(Update, Retry, 3)], &["error_rate"]);
        check(&[counted(Create, Ok, 9), counted(Update, Dead, 10)], &[]);
        check(&[counted(Create, Ok, 10), counted(Update, Refused, 5), counted(Update, Unknown, 5)], &["error_rate"]);
        check(&[counted(Create, Ok, 100), counted(Update, Conflict, 50)], &[]);
        check(
            &[counted(Unchanged, Ok, 10_000), counted(Skip, Ok, 10_000), counted(Update, Retry, 20)],
            &["error_rate"],
        );
    }

    #[test]
    fn a_deep_queue_alerts_only_while_it_grows() {
        let mut history = DepthHistory::default();
        assert_eq!(names(queue(5000, None), &history, &[]), [""; 0], "nothing is known of ten minutes ago");
        history.remember(NOW.before(GROWTH_WINDOW), &[queue(3000, None)]);
        assert_eq!(names(queue(5000, None), &history, &[]), ["queue_depth"]);
        assert_eq!(names(queue(3000, None), &history, &[]), [""; 0], "it does not grow");
        let mut history = DepthHistory::default();
        history.remember(NOW.before(GROWTH_WINDOW), &[queue(0, None)]);
        assert_eq!(names(queue(1000, None), &history, &[]), [""; 0], "held and dead leads do not count");
    }

    #[test]
    fn a_retry_alerts_once_it_is_older_than_allowed() {
        let history = DepthHistory::default();
        let since = |seconds| Some(NOW.before(Duration::from_secs(seconds)));
        assert_eq!(names(queue(1, since(1800)), &history, &[]), [""; 0]);
        assert_eq!(names(queue(1, since(1801)), &history, &[]), ["retry_age"]);
    }

    #[test]
    fn history_is_bounded_and_survives_a_clock_set_back() {
        let mut history = DepthHistory::default();
        for second in 0..7200 {
            history.remember(Timestamp::from_seconds(second), &[queue(second.unsigned_abs(), None)]);
        }
        assert!(history.samples.len() <= 62, "{} samples", history.samples.len());
        let now = Timestamp::from_seconds(7199);
        assert_eq!(history.depth_before(&"crm".into(), now), Some(6590));
        history.remember(Timestamp::from_seconds(10), &[queue(1, None)]);
        assert_eq!(history.samples.len(), 1);
    }
}
