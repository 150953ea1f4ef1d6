//! What is left of destinations that are not in the configuration any more, or waits for a source that was not.

use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use crate::clock::Clock;
use crate::domain::ids::{DestinationName, SourceName};
use crate::domain::job::Class;
use crate::queue::UNKNOWN_SOURCE;
use crate::store::{DirtyMark, Store, StoreResult};

const AGAIN_AFTER: Duration = Duration::from_secs(60);

/// Leads and questions of every destination but these.
#[derive(Clone)]
pub(super) struct Orphans {
    pub store: Arc<dyn Store>,
    pub clock: Clock,
    pub known: Vec<DestinationName>,
    pub sources: Vec<SourceName>,
}

impl Orphans {
    /// Closes the questions that nobody can answer any more, and has those asked again of which the destination is back; says
    /// which leads wait. What the store refuses is tried again until it is done: it keeps nothing from being served.
    pub async fn tend(&self) {
        while let Err(error) = self.tend_once().await {
            warn!(
                "questions of destinations that are not in the configuration any more could not be closed, nor leads of sources that are back be owed again: {}; tried again in a minute",
                error.reason()
            );
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }

    async fn tend_once(&self) -> StoreResult<()> {
        self.owe_of_known_sources().await?;
        let closed = self.store.close_orphaned(&self.known, self.clock.now()).await?;
        if closed > 0 {
            warn!(
                conflicts = closed,
                "closed {closed} conflicts of destinations that are not in the configuration any more; one that comes back asks again"
            );
        }
        for queue in self.store.queue_figures(self.clock.now()).await? {
            let jobs = queue.ready + queue.leased + queue.retrying + queue.held + queue.dead;
            let name = &queue.destination;
            if jobs > 0 && !self.known.contains(name) {
                warn!(destination = %name, jobs, "{jobs} leads wait for {name}, which is not in the configuration any more: add it again, or POST /admin/v1/dead-letters/discard those that are dead letters");
            }
        }
        Ok(())
    }

    /// Leads that were held since their source was not configured are owed again once it is.
    async fn owe_of_known_sources(&self) -> StoreResult<()> {
        for destination in &self.known {
            let leads = self.store.held_leads(destination, UNKNOWN_SOURCE, &self.sources).await?;
            let (destination, now) = (destination.clone(), self.clock.now());
            self.store
                .mark_dirty(&DirtyMark { destination, leads, class: Class::Backfill, now, forced: false })
                .await?;
        }
        Ok(())
    }
}
