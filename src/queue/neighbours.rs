//! Acting as one with the other processes on the same database: by one clock, within one budget, and behind each other's
//! closed gates.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tracing::{info, warn};

use super::destination::Destination;
use crate::clock::{Clock, Reading, SinceBoot};
use crate::crm::gate::{BudgetSnapshot, Closing, Gate, GateReason, Neighbour, Pause};
use crate::domain::ids::DestinationName;
use crate::domain::time::Timestamp;
use crate::store::{self, GateElsewhere, Replica, Shared, Store, StoreResult};

/// How soon the others hear that we found trouble, or that it is over.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How soon we hear of theirs, and of what people ordered through them.
const EXCHANGE_EVERY: Duration = Duration::from_secs(1);
/// Often enough for who lives to be told from who does not within 15 seconds.
const APPEAR_EVERY: Duration = Duration::from_secs(4);
const READ_CLOCK_EVERY: Duration = Duration::from_secs(10);
/// A reading of the clock that took longer says too little.
const LONGEST_READING: Duration = Duration::from_secs(1);
/// A clock that goes wrong by more than this within [`READ_CLOCK_EVERY`] was set.
const WORTH_TELLING: Duration = Duration::from_secs(1);

/// Keeps up with the other processes.
pub struct Neighbours {
    pub store: Arc<dyn Store>,
    pub destinations: Vec<Arc<Destination>>,
    pub this: Replica,
    pub clock: Clock,
}

/// When each thing was done last, and what of.
#[derive(Default)]
struct Done {
    appeared: Option<Instant>,
    read_clock: Option<Instant>,
    exchanged: HashMap<DestinationName, Exchanged>,
    /// Whether it was said that the others cannot be heard.
    complained: bool,
}

struct Exchanged {
    at: Instant,
    told: Option<Closing>,
    resumed_at: Option<Timestamp>,
}

/// The clock that the processes share, where they share one; else the one given.
pub async fn shared_clock(store: &dyn Shared, clock: &Clock) -> StoreResult<Clock> {
    let mut best: Option<Reading> = None;
    for _ in 0..3 {
        let Some(reading) = read_clock(store).await? else { return Ok(clock.clone()) };
        let took = |reading: &Reading| reading.answered_at.since(reading.asked_at);
        if best.is_none_or(|best| took(&reading) < took(&best)) {
            best = Some(reading);
        }
    }
    Ok(best.map_or_else(|| clock.clone(), |reading| clock.following(&reading)))
}

async fn read_clock(store: &dyn Shared) -> StoreResult<Option<Reading>> {
    let asked_at = SinceBoot::now();
    let said = store.time().await?;
    Ok(said.map(|said| Reading { said, asked_at, answered_at: SinceBoot::now() }))
}

/// Lets a gate know of the others' calls and closed gates; answers whether it opened by that.
pub fn hear_of(gate: &Gate, elsewhere: GateElsewhere) -> bool {
    let neighbour = |other: store::Other| Neighbour {
        id: other.id.as_u128(),
        goes_first: other.goes_first,
        closing: other.closure.map(|closure| Closing {
            reason: GateReason::elsewhere(&closure.reason, closure.code, closure.text),
            since: closure.since,
            until: closure.until,
        }),
    };
    let calls = BudgetSnapshot { hours: elsewhere.hours };
    gate.set_elsewhere(&calls, elsewhere.others.into_iter().map(neighbour).collect())
}

impl Neighbours {
    /// Works until `stop` becomes true, or ends at once where there can be no other process.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        if matches!(self.store.time().await, Ok(None)) {
            return;
        }
        let mut done = Done::default();
        while !*stop.borrow() {
            match self.round(&mut done).await {
                Ok(()) => {
                    if std::mem::take(&mut done.complained) {
                        info!("the database answers again; this replica is up to date with the others");
                    }
                }
                Err(error) => {
                    if !std::mem::replace(&mut done.complained, true) {
                        warn!("the other replicas cannot be heard, nor can they hear this one: {error}");
                    }
                }
            }
            tokio::select! {
                _ = stop.changed() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    async fn round(&self, done: &mut Done) -> StoreResult<()> {
        let is_due = |last: Option<Instant>, every| last.is_none_or(|last| last.elapsed() >= every);
        if is_due(done.appeared, APPEAR_EVERY) {
            self.store.appear(&self.this).await?;
            done.appeared = Some(Instant::now());
        }
        if is_due(done.read_clock, READ_CLOCK_EVERY) {
            self.follow_clock().await?;
            done.read_clock = Some(Instant::now());
        }
        for destination in &self.destinations {
            let closing = destination.gate.own_closing();
            let last = done.exchanged.get(&destination.name);
            if last.is_none_or(|last| last.at.elapsed() >= EXCHANGE_EVERY || last.told != closing) {
                let resumed_before = last.map(|last| last.resumed_at);
                let resumed_at = self.exchange(destination, closing.as_ref(), resumed_before).await?;
                let exchanged = Exchanged { at: Instant::now(), told: closing, resumed_at };
                done.exchanged.insert(destination.name.clone(), exchanged);
            }
        }
        Ok(())
    }

    async fn follow_clock(&self) -> StoreResult<()> {
        let Some(reading) = read_clock(&*self.store).await? else { return Ok(()) };
        if reading.answered_at.since(reading.asked_at) > LONGEST_READING {
            return Ok(());
        }
        if let Some(step) = self.clock.follow(&reading).filter(|step| *step >= WORTH_TELLING) {
            warn!(
                "the database's clock, which all replicas follow, was set: by {} s against the time that passed",
                step.as_secs()
            );
        }
        Ok(())
    }

    /// Tells and hears; answers when a person last had the destination go on. `resumed_before`: as it was last time.
    async fn exchange(
        &self,
        destination: &Destination,
        closing: Option<&Closing>,
        resumed_before: Option<Option<Timestamp>>,
    ) -> StoreResult<Option<Timestamp>> {
        let gate = &destination.gate;
        let closure = closing.map(|closing| store::Closure {
            reason: closing.reason.as_str().to_owned(),
            code: closing.reason.code().map(str::to_owned),
            text: closing.reason.to_string(),
            since: closing.since,
            until: closing.until,
        });
        let orders = gate.orders();
        let Some(elsewhere) = self.store.exchange_gate(&destination.name, closure.as_ref()).await? else {
            return Ok(None);
        };
        let resumed_at = elsewhere.resumed_at;
        let was_resumed = resumed_before.is_some_and(|before| resumed_at > before);
        let pause = elsewhere.pause.clone().map(|pause| Pause { by: pause.by, note: pause.note, until: pause.until });
        let changed = gate.set_pause(orders, pause);
        if was_resumed {
            gate.try_now();
            if gate.own_closing().is_some_and(|closing| ["drift", "undescribed"].contains(&closing.reason.as_str()))
                && let Err(error) = destination.look_at_schema().await
            {
                info!(destination = %destination.name, "could not look at the schema of {}: {error}", destination.name);
            }
        }
        if hear_of(gate, elsewhere) || changed || was_resumed {
            destination.wake();
        }
        Ok(resumed_at)
    }
}
