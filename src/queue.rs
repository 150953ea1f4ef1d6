//! The queue at work: claims what is due, and pays it batch by batch.
//!
//! One task per destination claims; each batch runs in a task of its own, as many as the gate lets through. The lease is
//! committed before a CRM is called, and every claimed job is settled, given back, or due again when its lease ends.

mod batch;
mod beside;
pub mod by_hand;
pub mod calls;
mod companies;
pub mod destination;
mod doubtful;
pub mod duplicates;
pub mod explain;
mod fold;
mod gone;
pub mod keys;
mod lease;
mod left_alone;
mod left_out;
pub mod maintenance;
pub mod neighbours;
mod opportunities;
mod owners;
mod ownership;
mod planning;
mod record;
mod redact;
mod refused_companies;
mod settle;
pub mod strangers;
mod suspects;
mod told;
mod unknown_source;
pub mod verdict;
mod writes;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{error, warn};

use self::batch::{Batch, Report};
use self::destination::{Destination, Rules};
use self::lease::Lease;
pub use self::unknown_source::UNKNOWN_SOURCE;
use crate::clock::SinceBoot;
use crate::crm::gate::{self, Entry, Permit, WorkClass};
use crate::crm::{CrmError, MAX_WRITES};
use crate::domain::time::Timestamp;
use crate::store::{Claim, Shared, StoreResult};
use crate::telemetry::{Sparsely, metrics};

/// How long the claimer sleeps at most; wake-ups and due times come sooner.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);

/// Syncs one destination until `stop` becomes true, then lets what is under way finish.
pub async fn run(destination: Arc<Destination>, mut stop: watch::Receiver<bool>) {
    let mut wakeups = destination.store.subscribe();
    let mut batches = JoinSet::new();
    let mut describe_again = false;
    let mut waiting = Sparsely::default();
    while !*stop.borrow() {
        wakeups.borrow_and_update();
        let next = match step(&destination, &mut batches, &mut describe_again).await {
            Ok(next) => {
                waiting.reset();
                next
            }
            Err(error) => {
                if waiting.is_due() {
                    warn!(destination = %destination.name, "the queue of {} waits for the store: {}", destination.name, error.reason());
                }
                Next::LookAgainIn(Duration::from_secs(1))
            }
        };
        let (nap, heeds_news) = match next {
            Next::LookAgain => continue,
            Next::LookAgainIn(nap) => (nap, true),
            // What becomes due meanwhile waits as well, so there is nothing to look for.
            Next::WaitForRoom => (LONGEST_SLEEP, false),
        };
        tokio::select! {
            _ = stop.changed() => {}
            changed = wakeups.changed(), if heeds_news => {
                if changed.is_err() {
                    break;
                }
            }
            Some(done) = batches.join_next(), if !batches.is_empty() => describe_again |= finish(&destination, done),
            () = destination.woken() => {}
            () = tokio::time::sleep(nap.min(LONGEST_SLEEP)) => {}
        }
    }
    while let Some(done) = batches.join_next().await {
        finish(&destination, done);
    }
    // One that follows it may wait for the room that it took.
    destination.wake();
}

type Batches = JoinSet<StoreResult<Report>>;

/// What the claimer does after a look at the queue.
enum Next {
    LookAgain,
    /// Or as soon as something may have become due.
    LookAgainIn(Duration),
    /// As many batches as may be are in flight.
    WaitForRoom,
}

/// Claims and starts one batch if there is anything to do.
async fn step(destination: &Arc<Destination>, batches: &mut Batches, describe_again: &mut bool) -> StoreResult<Next> {
    let now = destination.clock.now();
    match destination.store.next_due(&destination.name).await? {
        None => return Ok(Next::LookAgainIn(LONGEST_SLEEP)),
        Some(due) if due > now => return Ok(Next::LookAgainIn(due.since(now))),
        Some(_) => {}
    }
    let permit = match destination.gate.enter(WorkClass::Live) {
        Entry::Go(permit) => permit,
        Entry::Busy => return Ok(Next::WaitForRoom),
        Entry::Closed { until, .. } => return Ok(Next::LookAgainIn(until_it_opens(until, now))),
    };
    let rules = match rules(destination, &permit, describe_again).await {
        Ok(rules) => rules,
        // The gate heard of it and decides when to try again.
        Err(_) => return Ok(Next::LookAgainIn(Duration::from_millis(100))),
    };
    if !rules.missing_keys.is_empty() {
        // The gate was closed for them.
        return Ok(Next::LookAgainIn(Duration::from_millis(100)));
    }
    if !destination.settings.linger.is_zero() {
        tokio::time::sleep(destination.settings.linger).await;
    }
    if start_batch(destination, permit, Arc::clone(&rules), false, batches).await? {
        return Ok(Next::LookAgain);
    }
    // Nothing live is due: what is left of the places and of the budget may go to backfill.
    let permit = match destination.gate.enter(WorkClass::Backfill) {
        Entry::Go(permit) => permit,
        // There may be room for live work all the same.
        Entry::Busy => return Ok(Next::LookAgainIn(LONGEST_SLEEP)),
        Entry::Closed { until, .. } => return Ok(Next::LookAgainIn(until_it_opens(until, now))),
    };
    let started = start_batch(destination, permit, rules, true, batches).await?;
    Ok(if started { Next::LookAgain } else { Next::LookAgainIn(Duration::from_millis(100)) })
}

fn until_it_opens(until: Option<Timestamp>, now: Timestamp) -> Duration {
    until.map_or(LONGEST_SLEEP, |until| until.since(now).max(Duration::from_millis(10)))
}

/// Claims and starts one batch; `false`: nothing was due.
async fn start_batch(
    destination: &Arc<Destination>,
    permit: Permit,
    rules: Arc<Rules>,
    backfill: bool,
    batches: &mut Batches,
) -> StoreResult<bool> {
    let (at, now) = (SinceBoot::now(), destination.clock.now());
    let limit = match permit.probe() {
        Some(gate::Batch::Single) => 1,
        Some(gate::Batch::Full) | None => u32::try_from(MAX_WRITES).unwrap_or(u32::MAX),
    };
    let lease = Lease::new(now, at, destination.settings.lease);
    destination.recover_ran_out(now).await?;
    let token = uuid::Uuid::new_v4();
    let (name, lease_ends_at) = (destination.name.clone(), lease.ends_at);
    let claim = Claim { destination: name, lane: None, backfill, limit, now, lease_ends_at, token };
    let jobs = destination.store.claim_jobs(&claim).await?;
    if jobs.is_empty() {
        return Ok(false);
    }
    let expired = jobs.iter().filter(|job| job.lease_expired).count();
    metrics::leases_expired(&destination.name, u64::try_from(expired).unwrap_or(u64::MAX));
    let shared: Arc<dyn Shared> = Arc::clone(&destination.store) as _;
    let hold = destination.in_flight.hold(&shared, &destination.name, token);
    let batch = Batch { destination: Arc::clone(destination), rules, token, lease, hold, permit };
    batches.spawn(batch.run(jobs));
    Ok(true)
}

/// The rules to plan by; describes the CRM where that was not done yet, or a field went missing.
async fn rules(destination: &Destination, permit: &Permit, describe_again: &mut bool) -> Result<Arc<Rules>, CrmError> {
    // A probe after a describe that failed finds out whether the next one does.
    *describe_again |= destination.gate.is_undescribed();
    if let Some(rules) = destination.rules().filter(|_| !*describe_again) {
        return Ok(rules);
    }
    let rules = if *describe_again { destination.look_at_schema().await } else { destination.first_look().await };
    if let Err(error) = &rules {
        // A describe that succeeds says nothing of lookups, and what a person must see to closed the gate by itself.
        if !error.needs_person() {
            permit.answered(Err(error));
        }
        destination.note_error(error);
        warn!(destination = %destination.name, code = error.code(), "{} cannot be described: {error}", destination.name);
    }
    *describe_again = rules.is_err() && *describe_again;
    rules
}

/// Answers whether the CRM's schema has to be looked at again.
fn finish(destination: &Destination, done: Result<StoreResult<Report>, tokio::task::JoinError>) -> bool {
    match done {
        Ok(Ok(report)) => report.drift,
        Ok(Err(error)) => {
            warn!(destination = %destination.name, "a batch of {} could not be recorded: {error}; its leads are due again when their lease ends", destination.name);
            false
        }
        Err(error) => {
            error!(destination = %destination.name, "a batch of {} failed inside leadrelay: {error}; its leads are due again when their lease ends", destination.name);
            false
        }
    }
}
