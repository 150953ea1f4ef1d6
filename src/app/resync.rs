//! Resync: marks many leads dirty behind live work, as a run that can be watched and cancelled, and goes on after a restart,
//! or in another process if the one that worked on it died.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::domain::ids::{DestinationName, SourceName};
use crate::domain::job::Class;
use crate::store::{DirtyMark, PlannedBy, ResyncScope, RunProgress, RunRow, Store, StoreResult};

/// How many leads are marked in one transaction.
const STEP: u32 = 500;

/// A process that does not take a step in this time has lost the run to whoever looks for it next.
const RUN_FOR: Duration = Duration::from_secs(15);

/// What a run's scope says, as it is stored and shown.
#[derive(Serialize, Deserialize)]
struct Told {
    destination: String,
    sources: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    q: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    planned_otherwise_than: Option<String>,
    /// Of those rules.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    observed: bool,
}

/// Writes a scope for the run.
pub(super) fn scope_to_json(scope: &ResyncScope) -> String {
    let sources = scope.sources.iter().map(ToString::to_string).collect();
    let ResyncScope { email, q, planned_otherwise_than, .. } = scope.clone();
    let (planned_otherwise_than, observed) = planned_otherwise_than.map(|by| (by.fingerprint, by.observed)).unzip();
    let (destination, observed) = (scope.destination.to_string(), observed.unwrap_or_default());
    let told = Told { destination, sources, email, q, planned_otherwise_than, observed };
    serde_json::to_string(&told).expect("texts can be written")
}

/// Reads what [`scope_to_json`] wrote.
pub(super) fn scope_from_json(text: &str) -> Option<ResyncScope> {
    let Told { destination, sources, email, q, planned_otherwise_than, observed } = serde_json::from_str(text).ok()?;
    let planned_otherwise_than = planned_otherwise_than.map(|fingerprint| PlannedBy { fingerprint, observed });
    let sources = sources.into_iter().map(SourceName::new).collect();
    Some(ResyncScope { destination: DestinationName::new(destination), sources, email, q, planned_otherwise_than })
}

fn lease(run: i64) -> String {
    format!("run/{run}")
}

/// Whether no other process works on the run, and none will for a while.
pub(super) async fn is_ours(store: &dyn Store, clock: &Clock, run: i64) -> StoreResult<bool> {
    let now = clock.now();
    store.hold_lease(&lease(run), now, now.after(RUN_FOR)).await
}

/// One resync at work.
pub(super) struct Resync {
    pub store: Arc<dyn Store>,
    pub run: i64,
    pub scope: ResyncScope,
    pub clock: Clock,
    /// True once it is to stop where it is.
    pub cancelled: watch::Receiver<bool>,
    pub stopped: watch::Receiver<bool>,
}

impl Resync {
    /// Marks the scope's leads that nobody marked yet, as long as the run is this process's.
    pub async fn carry_out(self) {
        let run = self.run;
        match self.mark().await {
            Ok(state) => info!(run, "resync {run} {state}"),
            Err(error) => warn!(run, "resync {run} stopped: {error}; it goes on in a moment"),
        }
        if let Err(error) = self.store.release_lease(&lease(run)).await {
            warn!(run, "resync {run} can be taken up in {} s: {error}", RUN_FOR.as_secs());
        }
    }

    /// Answers what became of it.
    async fn mark(&self) -> StoreResult<&'static str> {
        const ELSEWHERE: &str = "is in the hands of another replica";
        // Where the process before came to.
        let Some(RunRow { mut position, mut done, .. }) = self.store.load_run(self.run).await? else {
            return Ok("is gone");
        };
        // Of these nothing was folded yet when they were marked. Before the others, lest one be folded once its place is past.
        let (mut unfolded, mut last_unfolded) = (HashSet::new(), None);
        loop {
            if !is_ours(&*self.store, &self.clock, self.run).await? {
                return Ok(ELSEWHERE);
            }
            if self.store.load_run(self.run).await?.is_none_or(|run| run.state != "running") {
                return Ok("ended");
            }
            let ResyncScope { destination, sources, .. } = &self.scope;
            let mut next = None;
            let mut leads = match position {
                None if self.scope.is_whole() => {
                    self.store.unfolded_leads(destination, sources, last_unfolded.as_ref(), STEP).await?
                }
                _ => Vec::new(),
            };
            unfolded.extend(leads.iter().cloned());
            last_unfolded = leads.last().cloned().or(last_unfolded);
            if leads.is_empty() {
                leads = self.store.leads_after(&self.scope, position.as_ref(), STEP).await?;
                next = leads.last().cloned();
            }
            if *self.stopped.borrow() {
                return Ok("waits for the next start");
            }
            let state = if leads.is_empty() {
                "done"
            } else if *self.cancelled.borrow() {
                "cancelled"
            } else {
                "running"
            };
            if state == "running" {
                if next.is_some() {
                    position = next;
                    leads.retain(|lead| !unfolded.contains(lead));
                }
                done += u64::try_from(leads.len()).unwrap_or(0);
                let (destination, now) = (self.scope.destination.clone(), self.clock.now());
                let mark = DirtyMark { destination, leads, class: Class::Backfill, now, forced: true };
                self.store.mark_dirty(&mark).await?;
            }
            let progress = RunProgress { done, position: position.clone(), state, detail: None, now: self.clock.now() };
            self.store.update_run(self.run, &progress).await?;
            if state != "running" {
                return Ok("ended");
            }
        }
    }
}
