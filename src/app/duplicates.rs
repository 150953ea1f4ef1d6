//! The daily search for records that may be one person's, and the one that a person asks for: as runs that can be watched and
//! cancelled. One process at a time searches.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard, watch};
use tracing::{info, warn};

use crate::clock::Clock;
use crate::domain::ids::SourceName;
use crate::queue::duplicates::DuplicateSearch;
use crate::store::{NewRun, Page, ResyncScope, RunProgress, Store, StoreResult};
use crate::telemetry::Sparsely;

/// How its runs are called.
pub(super) const KIND: &str = "duplicates";
/// Whose a run is that nobody asked for.
const DAILY: &str = "daily";
const EVERY: Duration = Duration::from_secs(24 * 3600);
/// How often it is seen whether a search is due, or stands still since its process died.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// A process that does not take a step in this time has lost the search to whoever looks for it next.
const SEARCH_FOR: Duration = Duration::from_secs(60);
/// Between two steps, so that others are read to in between.
const BREATH: Duration = Duration::from_millis(20);
/// Among so many of the newest runs the last search is looked for.
const RUNS_LOOKED_AT: u32 = 500;

/// Starts searches.
pub(super) struct Duplicates {
    pub store: Arc<dyn Store>,
    pub clock: Clock,
    pub stopped: watch::Receiver<bool>,
    /// Whose leads are searched.
    pub sources: Vec<SourceName>,
    /// Held while this process searches.
    pub at_work: Arc<Mutex<()>>,
}

impl Duplicates {
    /// Searches once a day, and goes on with a search whose process died, from its beginning.
    pub async fn watch(self: Arc<Self>) {
        let mut stopped = self.stopped.clone();
        let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + LOOK_EVERY, LOOK_EVERY);
        let mut failing = Sparsely::default();
        loop {
            tokio::select! {
                _ = stopped.changed() => return,
                _ = ticks.tick() => {}
            }
            match self.look().await {
                Ok(()) => failing.reset(),
                Err(error) if failing.is_due() => {
                    warn!("duplicates are searched for in a moment: {}", error.reason());
                }
                Err(_) => {}
            }
        }
    }

    async fn look(&self) -> StoreResult<()> {
        let Some(guard) = self.begin().await? else { return Ok(()) };
        let newest = Page { limit: RUNS_LOOKED_AT, cursor: None };
        let runs = self.store.list_runs(&newest).await?.items;
        let run = match runs.into_iter().find(|run| run.kind == KIND) {
            Some(run) if run.state == "running" => run.id,
            Some(run) if self.clock.now().since(run.started_at) < EVERY => return self.store.release_lease(KIND).await,
            _ => self.create(DAILY).await?,
        };
        self.carry_out(run, guard).await;
        Ok(())
    }

    /// Starts a search for a person; `None`: one is under way.
    pub async fn start(self: Arc<Self>, by: &str) -> StoreResult<Option<i64>> {
        let Some(guard) = self.begin().await? else { return Ok(None) };
        let run = self.create(by).await?;
        tokio::spawn(async move { self.carry_out(run, guard).await });
        Ok(Some(run))
    }

    /// Takes the search in hand, unless this process or another one has it.
    async fn begin(&self) -> StoreResult<Option<OwnedMutexGuard<()>>> {
        let Ok(guard) = Arc::clone(&self.at_work).try_lock_owned() else { return Ok(None) };
        Ok(self.is_ours().await?.then_some(guard))
    }

    async fn is_ours(&self) -> StoreResult<bool> {
        let now = self.clock.now();
        self.store.hold_lease(KIND, now, now.after(SEARCH_FOR)).await
    }

    async fn create(&self, by: &str) -> StoreResult<i64> {
        let sources = self.sources.clone();
        let all = ResyncScope::of(KIND.into(), sources);
        let total = self.store.count_leads(&all).await?;
        let run = NewRun { kind: KIND, by: by.to_owned(), started_at: self.clock.now(), scope: "{}".to_owned(), total };
        self.store.create_run(&run).await
    }

    async fn carry_out(&self, run: i64, guard: OwnedMutexGuard<()>) {
        match self.search(run).await {
            Ok(told) => info!(run, "the search for duplicates, run {run}, {told}"),
            Err(error) => {
                warn!(run, "the search for duplicates, run {run}, begins again in a moment: {}", error.reason())
            }
        }
        if let Err(error) = self.store.release_lease(KIND).await {
            warn!(run, "duplicates can be searched for again in {} s: {error}", SEARCH_FOR.as_secs());
        }
        drop(guard);
    }

    /// Answers what became of it.
    async fn search(&self, run: i64) -> StoreResult<String> {
        let mut search = DuplicateSearch::new(self.clock.now());
        loop {
            if *self.stopped.borrow() {
                return Ok("waits for the next start".to_owned());
            }
            if !self.is_ours().await? {
                return Ok("is in the hands of another replica".to_owned());
            }
            let Some(row) = self.store.load_run(run).await?.filter(|row| row.state == "running") else {
                return Ok("was cancelled".to_owned());
            };
            let more = search.step(&*self.store).await?;
            let told = format!("{} records may be another record's person", search.suspected);
            let progress = RunProgress {
                done: if more { (search.looked_at / 2).min(row.total) } else { row.total },
                position: None,
                state: if more { "running" } else { "done" },
                detail: (!more).then(|| told.clone()),
                now: self.clock.now(),
            };
            self.store.update_run(run, &progress).await?;
            if !more {
                return Ok(format!("found that {told}"));
            }
            tokio::time::sleep(BREATH).await;
        }
    }
}
