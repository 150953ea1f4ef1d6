//! The daily search for records that may be one person's, and the one that a person asks for: as runs that can be watched and
//! cancelled. One process at a time searches.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard, watch};
use tracing::{info, warn};

use crate::clock::Clock;
use crate::domain::ids::SourceName;
use crate::domain::time::Timestamp;
use crate::queue::destination::Destination;
use crate::queue::duplicates::DuplicateSearch;
use crate::queue::strangers::{Step, StrangerSearch};
use crate::store::{NewRun, Page, ResyncScope, RunProgress, RunRow, Store, StoreError, StoreResult};
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
/// How long a CRM rests between two calls.
const REST: Duration = Duration::from_secs(1);
/// Among so many of the newest runs the last search is looked for.
const RUNS_LOOKED_AT: u32 = 500;

/// Starts searches.
pub(super) struct Duplicates {
    pub store: Arc<dyn Store>,
    pub clock: Clock,
    pub stopped: watch::Receiver<bool>,
    /// Whose leads are searched.
    pub sources: Vec<SourceName>,
    /// Whose CRMs are asked.
    pub destinations: Vec<Arc<Destination>>,
    /// Held while this process searches.
    pub at_work: Arc<Mutex<()>>,
}

impl Duplicates {
    /// Searches once a day, and goes on with a search whose process died: leads are compared anew, and CRMs are asked from where
    /// it came to.
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
            Ok(told) => info!(run, "the search for duplicates, run {run}, found that {told}"),
            Err(Halt::Over(why)) => info!(run, "the search for duplicates, run {run}, {why}"),
            Err(Halt::Store(error)) => {
                warn!(run, "the search for duplicates, run {run}, goes on in a moment: {}", error.reason())
            }
        }
        if let Err(error) = self.store.release_lease(KIND).await {
            warn!(run, "duplicates can be searched for again in {} s: {error}", SEARCH_FOR.as_secs());
        }
        drop(guard);
    }

    /// Answers what it found.
    async fn search(&self, run: i64) -> Result<String, Halt> {
        let began = self.clock.now();
        let mut suspected = self.compare_leads(run, began).await?;
        let mut notes = String::new();
        for destination in &self.destinations {
            let (found, note) = self.ask_crm(destination, run, began).await?;
            suspected += found;
            notes += &note;
        }
        let told = format!("{suspected} records may be another record's person{notes}");
        let done = self.store.load_run(run).await?.map_or(0, |row| row.total);
        let (state, detail) = ("done", Some(told.clone()));
        self.store.update_run(run, &RunProgress { done, position: None, state, detail, now: self.clock.now() }).await?;
        Ok(told)
    }

    /// The run, as long as it goes on here.
    async fn running(&self, run: i64) -> Result<RunRow, Halt> {
        if *self.stopped.borrow() {
            return Err(Halt::Over("waits for the next start"));
        }
        if !self.is_ours().await? {
            return Err(Halt::Over("is in the hands of another replica"));
        }
        let row = self.store.load_run(run).await?.filter(|row| row.state == "running");
        row.ok_or(Halt::Over("was cancelled"))
    }

    /// Compares all leads with each other. Answers how many are suspected.
    async fn compare_leads(&self, run: i64, began: Timestamp) -> Result<u64, Halt> {
        let mut search = DuplicateSearch::new(began);
        loop {
            let row = self.running(run).await?;
            let more = search.step(&*self.store).await?;
            let done = if more { (search.looked_at / 2).min(row.total) } else { row.total };
            let now = self.clock.now();
            let progress = RunProgress { done, position: None, state: "running", detail: None, now };
            self.store.update_run(run, &progress).await?;
            if !more {
                return Ok(search.suspected);
            }
            tokio::time::sleep(BREATH).await;
        }
    }

    /// Asks one CRM for records of the leads' people that no lead is, from where the last search came to. Answers how many
    /// there are, and what is to be told beside.
    async fn ask_crm(&self, destination: &Destination, run: i64, began: Timestamp) -> Result<(u64, String), Halt> {
        let all = ResyncScope::of(KIND.into(), self.sources.clone());
        let mut search = StrangerSearch::resume(destination, began).await?;
        let stopped = loop {
            self.running(run).await?;
            match search.step(&all).await? {
                Step::Asked => tokio::time::sleep(REST).await,
                Step::Passed => tokio::time::sleep(BREATH).await,
                Step::Whole => break None,
                Step::Stopped(stop) => break Some(stop),
            }
        };
        let name = &destination.name;
        let mut note = String::new();
        if let Some(stop) = stopped {
            note +=
                &format!("; {name} was asked up to lead {} from where it began, since {}", search.passed, stop.why());
        }
        if search.left_out > 0 {
            note += &format!("; {name} cannot be asked about {} of the leads", search.left_out);
        }
        Ok((search.suspected, note))
    }
}

/// Why a search does not go on here.
enum Halt {
    Over(&'static str),
    Store(StoreError),
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
