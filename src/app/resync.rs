//! Resync: marks many leads dirty behind live work, as a run that can be watched, cancelled and resumed.

use std::sync::Arc;

use tokio::sync::watch;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::domain::ids::{DestinationName, LeadKey};
use crate::domain::job::Class;
use crate::store::{DirtyMark, ResyncScope, RunProgress, Store, StoreResult};

/// How many leads are marked in one transaction.
const STEP: u32 = 500;

/// One resync at work.
pub(super) struct Resync {
    pub store: Arc<dyn Store>,
    pub run: i64,
    pub scope: ResyncScope,
    pub destinations: Vec<DestinationName>,
    pub clock: Clock,
    /// True once it is to stop where it is.
    pub cancelled: watch::Receiver<bool>,
    pub stopped: watch::Receiver<bool>,
}

impl Resync {
    /// Marks the scope's leads, from `position` on.
    pub async fn carry_out(self, position: Option<LeadKey>, done: u64) {
        let run = self.run;
        match self.mark(position, done).await {
            Ok(()) => info!(run, "resync {run} ended"),
            Err(error) => warn!(run, "resync {run} stopped: {error}; start it again to go on"),
        }
    }

    async fn mark(&self, mut position: Option<LeadKey>, mut done: u64) -> StoreResult<()> {
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
                for destination in &self.destinations {
                    let mark = DirtyMark {
                        destination: destination.clone(),
                        leads: leads.clone(),
                        class: Class::Backfill,
                        now: self.clock.now(),
                        forced: true,
                    };
                    self.store.mark_dirty(&mark).await?;
                }
            }
            let progress = RunProgress { done, position: position.clone(), state, detail: None, now: self.clock.now() };
            self.store.update_run(self.run, &progress).await?;
            if state != "running" {
                return Ok(());
            }
        }
    }
}
