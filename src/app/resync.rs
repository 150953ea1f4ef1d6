//! Resync: marks many leads dirty behind live work, as a run that can be watched and cancelled, and goes on after a restart.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::domain::ids::{DestinationName, LeadKey, SourceName};
use crate::domain::job::Class;
use crate::store::{DirtyMark, ResyncScope, RunProgress, Store, StoreResult};

/// How many leads are marked in one transaction.
const STEP: u32 = 500;

/// What a run's scope says, as it is stored and shown.
#[derive(Serialize, Deserialize)]
struct Told {
    destination: String,
    sources: Vec<String>,
}

/// Writes a scope for the run.
pub(super) fn scope_to_json(scope: &ResyncScope) -> String {
    let sources = scope.sources.iter().map(ToString::to_string).collect();
    let told = Told { destination: scope.destination.to_string(), sources };
    serde_json::to_string(&told).expect("texts can be written")
}

/// Reads what [`scope_to_json`] wrote.
pub(super) fn scope_from_json(text: &str) -> Option<ResyncScope> {
    let Told { destination, sources } = serde_json::from_str(text).ok()?;
    let sources = sources.into_iter().map(SourceName::new).collect();
    Some(ResyncScope { destination: DestinationName::new(destination), sources })
}

/// How far a resync came.
#[derive(Clone, Debug, Default)]
pub(super) struct Reached {
    pub position: Option<LeadKey>,
    pub done: u64,
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
    /// Marks the scope's leads that come after those reached.
    pub async fn carry_out(self, reached: Reached) {
        let run = self.run;
        match self.mark(reached).await {
            Ok(()) => info!(run, "resync {run} ended"),
            Err(error) => warn!(run, "resync {run} stopped: {error}; it goes on after a restart"),
        }
    }

    async fn mark(&self, reached: Reached) -> StoreResult<()> {
        let Reached { mut position, mut done } = reached;
        loop {
            let leads = self.store.leads_after(&self.scope, position.as_ref(), STEP).await?;
            if *self.stopped.borrow() {
                return Ok(());
            }
            let state = if leads.is_empty() {
                "done"
            } else if *self.cancelled.borrow() {
                "cancelled"
            } else {
                "running"
            };
            if state == "running" {
                done += u64::try_from(leads.len()).unwrap_or(0);
                position = leads.last().cloned();
                let (destination, now) = (self.scope.destination.clone(), self.clock.now());
                let mark = DirtyMark { destination, leads, class: Class::Backfill, now, forced: true };
                self.store.mark_dirty(&mark).await?;
            }
            let progress = RunProgress { done, position: position.clone(), state, detail: None, now: self.clock.now() };
            self.store.update_run(self.run, &progress).await?;
            if state != "running" {
                return Ok(());
            }
        }
    }
}
