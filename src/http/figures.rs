//! The figures that operators watch: the queue, its trend, the alerts; read at most once a second, whoever asks, and never
//! waited for longer than that.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::timeout;
use tracing::{info, warn};

use super::admin::state::Operations;
use crate::clock::Clock;
use crate::config::AlertsConfig;
use crate::domain::ids::DestinationName;
use crate::domain::time::Timestamp;
use crate::intake::Intake;
use crate::store::{Outcome, OutcomeCount, Pause, QueueFigures, StandingFigures, Store, StoreError, StoreResult};
use crate::telemetry::alerts::{self, Alert, AlertName, DepthHistory};
use crate::telemetry::metrics::{self, Exposition};

/// Figures are at most this old.
const FRESH_FOR: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Whoever asks gets an answer within a second.
const ANSWER_WITHIN: Duration = Duration::from_millis(900);
/// Where counting takes longer than that, what [`Figures::keep`] counted last will do.
const OLD_AFTER: Duration = Duration::from_secs(30);
/// Over which the rate of settling is taken.
const RATE_WINDOW: Duration = Duration::from_secs(5 * 60);

/// Reads figures from the store and remembers what was, so that growth can be told.
pub struct Figures {
    store: Arc<dyn Store>,
    operations: Arc<dyn Operations>,
    intake: Arc<Intake>,
    config: AlertsConfig,
    clock: Clock,
    memory: Mutex<Memory>,
    known: std::sync::Mutex<Known>,
}

/// What can be told at once.
#[derive(Default)]
struct Known {
    latest: Option<Arc<Snapshot>>,
    down: bool,
}

#[derive(Default)]
struct Memory {
    history: DepthHistory,
    firing_since: HashMap<(AlertName, DestinationName), Timestamp>,
}

struct Outcomes {
    /// Over the alerts' window.
    alerting: Vec<OutcomeCount>,
    /// Over [`RATE_WINDOW`].
    recent: Vec<OutcomeCount>,
}

/// The figures of one moment.
#[derive(Debug)]
pub struct Snapshot {
    pub at: Timestamp,
    pub queues: Vec<QueueTrend>,
    pub standing: StandingFigures,
    /// With the time since when each fires.
    pub alerts: Vec<(Alert, Timestamp)>,
}

/// One destination's queue and where it is going.
#[derive(Debug)]
pub struct QueueTrend {
    pub figures: QueueFigures,
    /// Leads settled for good per minute, over the last five.
    pub per_minute: f64,
    /// `None`: nothing is being settled, so nobody can tell.
    pub seconds_to_clear: Option<u64>,
    /// `None` in the first ten minutes.
    pub growing: Option<bool>,
    /// Failed operations, and all that did something, over the alerts' window.
    pub failed: u64,
    pub operations: u64,
}

impl Figures {
    /// Watches this store and these destinations.
    pub fn new(
        store: Arc<dyn Store>,
        operations: Arc<dyn Operations>,
        intake: Arc<Intake>,
        config: AlertsConfig,
        clock: Clock,
    ) -> Self {
        Self { store, operations, intake, config, clock, memory: Mutex::default(), known: std::sync::Mutex::default() }
    }

    /// Looks every ten seconds, so that there is a history when somebody asks; until it is dropped.
    pub async fn keep(&self, exposition: Exposition) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            exposition.upkeep();
            let read = self.read().await;
            self.note(read.as_ref().err());
        }
    }

    /// The figures now, or those of the last second, or an error; within a second.
    ///
    /// Where the store answers and counting takes longer, the figures of the last half minute.
    pub async fn look(&self) -> StoreResult<Arc<Snapshot>> {
        let silent = |_| StoreError::Unavailable("the database does not answer".to_owned());
        let (read, answered) =
            tokio::join!(timeout(ANSWER_WITHIN, self.read()), timeout(ANSWER_WITHIN, self.store.load_pauses()));
        let looked = match (read, answered.map_err(silent)) {
            (_, Err(error) | Ok(Err(error))) => Err(error),
            (Ok(read), _) => read,
            (Err(late), _) => self.known_since(self.clock.now(), OLD_AFTER).ok_or_else(|| silent(late)),
        };
        self.note(looked.as_ref().err());
        looked
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known_since(&self, now: Timestamp, length: Duration) -> Option<Arc<Snapshot>> {
        self.known().latest.clone().filter(|latest| is_fresh(latest.at, now, length))
    }

    /// Shows whether the store could be read, and says so when that changes.
    fn note(&self, error: Option<&StoreError>) {
        metrics::show_store(error.is_none());
        let was_down = std::mem::replace(&mut self.known().down, error.is_some());
        match error {
            Some(error) if !was_down => {
                let error = error.reason();
                warn!("the figures of the queue cannot be read, and /metrics shows older ones until they can: {error}");
            }
            None if was_down => info!("the figures of the queue can be read again"),
            _ => {}
        }
    }

    async fn read(&self) -> StoreResult<Arc<Snapshot>> {
        let mut memory = self.memory.lock().await;
        let now = self.clock.now();
        if let Some(latest) = self.known_since(now, FRESH_FOR) {
            return Ok(latest);
        }
        let queues = self.every_queue(now).await?;
        let standing = self.store.standing_figures().await?;
        let pauses = self.store.load_pauses().await?;
        let alerting = self.store.count_outcomes(now.before(self.config.error_window)).await?;
        let recent = self.store.count_outcomes(now.before(RATE_WINDOW)).await?;
        let outcomes = Outcomes { alerting, recent };
        memory.history.remember(now, &queues);
        let alerts = self.alerts(now, &queues, &outcomes.alerting, &mut memory);
        let queues = queues.into_iter().map(|figures| trend(figures, &outcomes, &memory.history, now)).collect();
        let snapshot = Arc::new(Snapshot { at: now, queues, standing, alerts });
        self.known().latest = Some(snapshot.clone());
        self.show(&snapshot, &pauses);
        Ok(snapshot)
    }

    /// The store knows only destinations that ever owed something; a new one has a queue too, an empty one. Leads that wait
    /// behind a closed gate count as retrying since it closed, or since they came.
    async fn every_queue(&self, now: Timestamp) -> StoreResult<Vec<QueueFigures>> {
        let mut queues = self.store.queue_figures(now).await?;
        for destination in self.operations.destinations() {
            match queues.iter_mut().find(|queue| queue.destination == destination.name) {
                None => queues.push(QueueFigures::empty(destination.name)),
                Some(queue) => {
                    let waits = destination.gate_since.zip(queue.oldest).map(|(closed, owed)| closed.max(owed));
                    queue.oldest_retry = queue.oldest_retry.into_iter().chain(waits).min();
                }
            }
        }
        queues.sort_by(|one, other| one.destination.cmp(&other.destination));
        Ok(queues)
    }

    fn alerts(
        &self,
        now: Timestamp,
        queues: &[QueueFigures],
        outcomes: &[OutcomeCount],
        memory: &mut Memory,
    ) -> Vec<(Alert, Timestamp)> {
        let mut firing = alerts::firing(now, queues, &memory.history, outcomes, &self.config);
        let stopped = self.operations.destinations().into_iter().filter_map(|destination| {
            Some(Alert {
                name: AlertName::DestinationStopped,
                detail: destination.needs_person?,
                destination: destination.name,
                value: 1.0,
                threshold: 0.0,
            })
        });
        firing.extend(stopped);
        let key = |alert: &Alert| (alert.name, alert.destination.clone());
        let since = firing.iter().map(|alert| {
            let since = memory.firing_since.get(&key(alert)).copied().unwrap_or(now);
            (key(alert), since)
        });
        memory.firing_since = since.collect();
        firing
            .into_iter()
            .map(|alert| {
                let since = memory.firing_since.get(&key(&alert)).copied().unwrap_or(now);
                (alert, since)
            })
            .collect()
    }

    /// Brings the gauges up to date.
    fn show(&self, snapshot: &Snapshot, pauses: &[Pause]) {
        let destinations = self.operations.destinations();
        let sources: Vec<_> = self.intake.sources().iter().map(|source| source.name.clone()).collect();
        let names: Vec<_> = destinations.iter().map(|destination| destination.name.clone()).collect();
        for queue in &snapshot.queues {
            metrics::show_queue(&queue.figures, snapshot.at);
        }
        metrics::show_standing(&snapshot.standing, &sources, &names);
        for destination in &destinations {
            metrics::show_calls(&destination.name, destination.calls_used, destination.calls_limit);
            let paused = pauses.iter().any(|pause| {
                pause.destination == destination.name && pause.until.is_none_or(|until| until > snapshot.at)
            });
            metrics::show_pause(&destination.name, paused);
        }
        for name in AlertName::ALL {
            metrics::show_alert(name.as_str(), snapshot.alerts.iter().any(|(alert, _)| alert.name == name));
        }
    }
}

/// A clock that was set back makes nothing fresh.
fn is_fresh(at: Timestamp, now: Timestamp, length: Duration) -> bool {
    at <= now && now.since(at) < length
}

fn trend(figures: QueueFigures, outcomes: &Outcomes, history: &DepthHistory, now: Timestamp) -> QueueTrend {
    let settled = |row: &&OutcomeCount| {
        row.destination == figures.destination && !matches!(row.outcome, Outcome::Retry | Outcome::Unknown)
    };
    let settled: u64 = outcomes.recent.iter().filter(settled).map(|row| row.count).sum();
    let (failed, operations) = alerts::failures(&figures.destination, &outcomes.alerting);
    let depth = alerts::depth(&figures);
    let window = RATE_WINDOW.as_secs();
    // Rounded up: a queue that is not empty never takes no time.
    let seconds_to_clear = match (depth, settled) {
        (0, _) => Some(0),
        (_, 0) => None,
        (depth, settled) => Some(depth.saturating_mul(window).div_ceil(settled)),
    };
    QueueTrend {
        per_minute: settled as f64 / (RATE_WINDOW.as_secs_f64() / 60.0),
        seconds_to_clear,
        growing: history.depth_before(&figures.destination, now).map(|before| depth > before),
        failed,
        operations,
        figures,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Operation;

    #[test]
    fn the_time_to_clear_follows_from_what_was_settled() {
        let check = |ready: u64, settled: u64, expected: Option<u64>| {
            let figures = QueueFigures {
                destination: "crm".into(),
                ready,
                leased: 0,
                retrying: 0,
                held: 9,
                dead: 9,
                oldest: None,
                oldest_retry: None,
                held_codes: vec![],
            };
            let count = |outcome, count| OutcomeCount {
                destination: "crm".into(),
                operation: Operation::Update,
                outcome,
                count,
            };
            let recent = vec![count(Outcome::Ok, settled), count(Outcome::Retry, 1000)];
            let outcomes = Outcomes { alerting: vec![], recent };
            let trend = trend(figures, &outcomes, &DepthHistory::default(), Timestamp::from_seconds(0));
            assert_eq!(trend.seconds_to_clear, expected, "{ready} ready, {settled} settled");
        };
        check(0, 0, Some(0));
        check(10, 0, None);
        check(100, 300, Some(100));
        check(1, 300_000, Some(1));
    }
}
