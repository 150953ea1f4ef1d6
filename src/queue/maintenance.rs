//! What has to be done from time to time: late writes looked for, calls kept count of, old rows deleted.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tracing::{info, warn};

use super::destination::Destination;
use super::fold;
use crate::clock::{Clock, SinceBoot};
use crate::crm::gate::Gate;
use crate::domain::ids::{DestinationName, LeadKey, SourceName};
use crate::domain::time::Timestamp;
use crate::store::{Store, StoreError, StoreResult};
use crate::telemetry::{Sparsely, chain};

/// A wall clock that is off by more than this against the time that really passed was set.
const JUMP: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);
/// A gate that is closed for less is no news.
const WORTH_TELLING: Duration = Duration::from_secs(5);
/// Between two pieces of pruning, so that intake never waits behind it.
const BREATH: Duration = Duration::from_millis(200);
/// Workers that find something due do so as well.
const RAN_OUT_EVERY: Duration = Duration::from_secs(5);
const LATE_INTENTS_EVERY: Duration = Duration::from_secs(15);
const CLOSED_SPANS_EVERY: Duration = Duration::from_secs(60);
/// What is done once for all processes is done by who holds this.
const UPKEEP: &str = "upkeep";
const UPKEEP_FOR: Duration = Duration::from_secs(30);
const RENEW_UPKEEP_EVERY: Duration = Duration::from_secs(5);
/// How many leads are folded between two breaths.
const FOLD_AT_ONCE: u32 = 100;
const SWEEP_EVERY: Duration = Duration::from_secs(24 * 3600);

/// Looks after the store.
pub struct Maintenance {
    pub store: Arc<dyn Store>,
    pub destinations: Vec<Arc<Destination>>,
    pub retention: Duration,
    /// The longest that a job may wait by itself.
    pub longest_wait: Duration,
    pub clock: Clock,
}

/// When each chore was done last.
struct Done {
    at: SinceBoot,
    wall: Timestamp,
    late_intents: Instant,
    ran_out: Instant,
    told_ran_out: Instant,
    closed_spans: Instant,
    sweep: Instant,
    /// What is older than this is being pruned.
    sweeping: Option<Timestamp>,
    /// Whether what is pruned was looked through for what is not folded yet; else up to which lead.
    folded: bool,
    folded_up_to: Option<LeadKey>,
    /// Whether something cannot be folded, and so stays however old it is.
    keep_unfolded: bool,
    /// When the upkeep was last asked for, and whether it is ours since.
    upkeep: Option<(Instant, bool)>,
    /// Calls as they were saved, by destination and hour.
    calls: HashMap<(DestinationName, Timestamp), u64>,
    /// As they were saved.
    spans: HashMap<DestinationName, Vec<(Timestamp, Timestamp)>>,
    /// Which destinations were said to be closed, and why.
    closed: HashMap<DestinationName, String>,
}

impl Done {
    fn is_ours(&self) -> bool {
        matches!(self.upkeep, Some((_, true)))
    }
}

impl Maintenance {
    /// Works until `stop` becomes true.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let started = Instant::now();
        let mut done = Done {
            at: SinceBoot::now(),
            wall: self.clock.now(),
            late_intents: started,
            ran_out: started,
            told_ran_out: started,
            closed_spans: started,
            sweep: started,
            sweeping: Some(self.clock.now().before(self.retention)),
            folded: false,
            folded_up_to: None,
            keep_unfolded: false,
            upkeep: None,
            calls: HashMap::new(),
            spans: HashMap::new(),
            closed: HashMap::new(),
        };
        let mut waiting = Sparsely::default();
        while !*stop.borrow() {
            tokio::select! {
                _ = stop.changed() => continue,
                () = tokio::time::sleep(if done.sweeping.is_some() && done.is_ours() { BREATH } else { SECOND }) => {}
            }
            match self.round(&mut done).await {
                Ok(()) => waiting.reset(),
                Err(error) => {
                    if waiting.is_due() {
                        warn!("housekeeping waits for the store: {}", error.reason());
                    }
                    tokio::time::sleep(SECOND).await;
                }
            }
        }
        if let Err(error) = self.save_closed_spans(&mut done).await {
            warn!("how long destinations were closed could not be saved: {error}");
        }
        if done.is_ours()
            && let Err(error) = self.store.release_lease(UPKEEP).await
        {
            warn!("another replica looks after the store in {} s only: {error}", UPKEEP_FOR.as_secs());
        }
    }

    async fn round(&self, done: &mut Done) -> StoreResult<()> {
        self.after_a_jump(done).await?;
        self.tell_of_gates(&mut done.closed);
        self.tell_of_ran_out(done);
        for (name, gate) in self.gates() {
            // The hours before these are saved already.
            for (hour, calls) in gate.budget().hours.into_iter().rev().take(2) {
                let saved = done.calls.entry((name.clone(), hour)).or_default();
                if *saved != calls {
                    self.store.save_calls(name, hour, calls).await?;
                    *saved = calls;
                }
            }
        }
        if done.closed_spans.elapsed() >= CLOSED_SPANS_EVERY {
            done.closed_spans = Instant::now();
            self.save_closed_spans(done).await?;
        }
        if !self.has_upkeep(done).await? {
            return Ok(());
        }
        if done.ran_out.elapsed() >= RAN_OUT_EVERY {
            done.ran_out = Instant::now();
            for destination in &self.destinations {
                destination.recover_ran_out(self.clock.now()).await?;
            }
        }
        if done.late_intents.elapsed() >= LATE_INTENTS_EVERY {
            done.late_intents = Instant::now();
            self.store.close_late_intents(self.clock.now()).await?;
        }
        if done.sweep.elapsed() >= SWEEP_EVERY {
            done.sweep = Instant::now();
            done.sweeping = Some(self.clock.now().before(self.retention));
            (done.folded, done.folded_up_to, done.keep_unfolded) = (false, None, false);
        }
        if let Some(before) = done.sweeping {
            if !done.folded {
                done.folded = !self.fold_old(before, done).await?;
            } else if !self.store.prune(before, done.keep_unfolded).await? {
                done.sweeping = None;
            }
        }
        Ok(())
    }

    /// Folds some of what nobody asked for before it is pruned: of leads that no destination takes, or that a person
    /// excluded. `false`: there is no more.
    async fn fold_old(&self, before: Timestamp, done: &mut Done) -> StoreResult<bool> {
        // Each knows every source.
        let Some(destination) = self.destinations.first() else {
            done.keep_unfolded = true;
            return Ok(false);
        };
        let sources: Vec<SourceName> = destination.sources.keys().cloned().collect();
        let leads = self.store.old_unfolded_leads(&sources, before, done.folded_up_to.as_ref(), FOLD_AT_ONCE).await?;
        let Some(last) = leads.last().cloned() else { return Ok(false) };
        match fold::load_folded(destination, leads.clone(), |lead| lead).await {
            Ok(_) => {}
            Err(StoreError::Corrupt { .. }) => done.keep_unfolded |= fold_one_by_one(destination, leads).await?,
            Err(error) => return Err(error),
        }
        done.folded_up_to = Some(last);
        Ok(true)
    }

    /// Whether this process is the one that looks after what all share.
    async fn has_upkeep(&self, done: &mut Done) -> StoreResult<bool> {
        if let Some((asked, ours)) = done.upkeep
            && asked.elapsed() < RENEW_UPKEEP_EVERY
        {
            return Ok(ours);
        }
        // Should the answer get lost, it is not ours.
        done.upkeep = Some((Instant::now(), false));
        let now = self.clock.now();
        let ours = self.store.hold_lease(UPKEEP, now, now.after(UPKEEP_FOR)).await?;
        done.upkeep = Some((Instant::now(), ours));
        Ok(ours)
    }

    fn gates(&self) -> impl Iterator<Item = (&DestinationName, &Gate)> {
        self.destinations.iter().map(|destination| (&destination.name, &*destination.gate))
    }

    /// One line for all that ran out since the last one, whoever found it.
    fn tell_of_ran_out(&self, done: &mut Done) {
        if done.told_ran_out.elapsed() < RAN_OUT_EVERY {
            return;
        }
        done.told_ran_out = Instant::now();
        let (mut leads, mut unknown_writes) = (0, 0);
        for destination in &self.destinations {
            let ran_out = destination.take_ran_out();
            leads += ran_out.leases;
            unknown_writes += ran_out.unknown_writes;
        }
        if leads > 0 {
            warn!(
                leads,
                unknown_writes,
                "leases ran out (a replica died, or was away from the database for longer than a lease): {leads} leads are due again, {unknown_writes} writes have an unknown outcome"
            );
        }
    }

    /// Says once that nothing is sent to a destination, and once that it goes on. What passes within moments is not told.
    fn tell_of_gates(&self, closed: &mut HashMap<DestinationName, String>) {
        for (destination, gate) in self.gates() {
            let (now, status) = (self.clock.now(), gate.status());
            let lasts = status.since.is_some_and(|since| now.since(since) >= WORTH_TELLING);
            match status.reason.map(|reason| reason.to_string()) {
                Some(reason) if lasts && closed.get(destination) != Some(&reason) => {
                    let until = until_when(status.until, now);
                    warn!(%destination, "nothing is sent to {destination}{until}: {reason}; GET /admin/v1/destinations says what to do");
                    closed.insert(destination.clone(), reason);
                }
                Some(_) => {}
                None => {
                    if closed.remove(destination).is_some() {
                        info!(%destination, "{destination} takes leads again");
                    }
                }
            }
        }
    }

    async fn save_closed_spans(&self, done: &mut Done) -> StoreResult<()> {
        for (name, gate) in self.gates() {
            let spans = gate.closed_spans();
            if done.spans.get(name).map_or(&[][..], Vec::as_slice) != spans {
                self.store.save_closed_spans(name, &spans).await?;
                done.spans.insert(name.clone(), spans);
            }
        }
        Ok(())
    }

    /// A job must not wait for the old time to come round again.
    async fn after_a_jump(&self, done: &mut Done) -> StoreResult<()> {
        let (at, wall) = (SinceBoot::now(), self.clock.now());
        let expected = done.wall.after(at.since(done.at));
        if wall.since(expected).max(expected.since(wall)) > JUMP {
            warn!("the clock was set; waits are shortened where they would last too long");
            self.store.shorten_waits(wall.after(self.longest_wait)).await?;
        }
        (done.at, done.wall) = (at, wall);
        Ok(())
    }
}

/// Folds what can be folded of leads of which one cannot; whether events of some are left.
async fn fold_one_by_one(destination: &Destination, leads: Vec<LeadKey>) -> StoreResult<bool> {
    let mut are_left = false;
    for lead in leads {
        match fold::load_folded(destination, vec![lead.clone()], |lead| lead).await {
            Ok(_) => {}
            Err(error @ StoreError::Corrupt { .. }) => {
                are_left = true;
                warn!(source = %lead.source, lead.id = %lead.id, "the old events of lead {lead} cannot be folded, so nothing that is not folded is pruned ({}): put the row back from a backup, or erase the lead (DELETE /admin/v1/leads/{lead})", chain(&error));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(are_left)
}

/// How long a gate stays closed, for a message: a time that is past says that it is being tried, not when it opens.
fn until_when(until: Option<Timestamp>, now: Timestamp) -> String {
    match until {
        Some(until) if until > now => format!(" until {until}"),
        Some(_) => " but what tries whether the trouble is over".to_owned(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_is_past_is_not_told_as_if_it_lay_ahead() {
        let now = Timestamp::from_seconds(1_767_225_600);
        let told = |seconds| until_when(Some(now.after(Duration::from_secs(seconds))), now);
        assert_eq!(told(60), " until 2026-01-01T00:01:00Z");
        assert_eq!(told(0), " but what tries whether the trouble is over");
        assert_eq!(until_when(Some(now.before(Duration::from_secs(60))), now), told(0));
        assert_eq!(until_when(None, now), "");
    }
}
