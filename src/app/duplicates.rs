//! The daily search for records that may be one person's, and the one that a person asks for: as runs that can be watched and
//! cancelled. One process at a time searches.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard, watch};
use tracing::{info, warn};

use crate::clock::Clock;
use crate::domain::ids::{LeadKey, SourceName};
use crate::domain::time::Timestamp;
use crate::queue::destination::Destination;
use crate::queue::duplicates::DuplicateSearch;
use crate::store::{NewRun, Page, ResyncScope, RunProgress, RunRow, Store, StoreResult};
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
/// How many leads a CRM is asked about in one call, and how long it then rests.
const ASKED_AT_ONCE: u32 = 200;
const REST: Duration = Duration::from_secs(1);
/// One in so many of a day's calls is for the search.
const SHARE_OF_CALLS: u64 = 50;
/// What a search that does not come round in a day found is kept for so long without being found again.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);
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
        let began = self.clock.now();
        let mut search = DuplicateSearch::new(began);
        loop {
            let row = match self.running(run).await? {
                Ok(row) => row,
                Err(why) => return Ok(why.to_owned()),
            };
            let more = search.step(&*self.store).await?;
            let progress = RunProgress {
                done: if more { (search.looked_at / 2).min(row.total) } else { row.total },
                position: None,
                state: "running",
                detail: None,
                now: self.clock.now(),
            };
            self.store.update_run(run, &progress).await?;
            if !more {
                break;
            }
            tokio::time::sleep(BREATH).await;
        }
        let (strangers, position) = match self.ask_crms(run, began).await? {
            Ok(asked) => asked,
            Err(why) => return Ok(why.to_owned()),
        };
        let told = format!("{} records may be another record's person", search.suspected + strangers);
        let total = self.store.load_run(run).await?.map_or(0, |row| row.total);
        let (done, detail) = (total, Some(told.clone()));
        let progress = RunProgress { done, position, state: "done", detail, now: self.clock.now() };
        self.store.update_run(run, &progress).await?;
        Ok(format!("found that {told}"))
    }

    /// The run, as long as it goes on here; else why it does not.
    async fn running(&self, run: i64) -> StoreResult<Result<RunRow, &'static str>> {
        if *self.stopped.borrow() {
            return Ok(Err("waits for the next start"));
        }
        if !self.is_ours().await? {
            return Ok(Err("is in the hands of another replica"));
        }
        let row = self.store.load_run(run).await?.filter(|row| row.state == "running");
        Ok(row.ok_or("was cancelled"))
    }

    /// Asks the CRMs for records of the leads' people that no lead is, from where the last search came to, and as far as the
    /// calls reach that are for it. Answers how many there are, and where the next one goes on.
    async fn ask_crms(&self, run: i64, began: Timestamp) -> StoreResult<Result<(u64, Option<LeadKey>), &'static str>> {
        let all = ResyncScope::of(KIND.into(), self.sources.clone());
        let first = self.came_to().await?;
        let calls = |destination: &Arc<Destination>| {
            let status = destination.gate.status();
            (status.calls_used + status.calls_left).div_ceil(SHARE_OF_CALLS)
        };
        let mut asking: Vec<(&Arc<Destination>, u64)> = self.destinations.iter().map(|one| (one, calls(one))).collect();
        let (mut place, mut suspected) = (first.clone(), 0);
        loop {
            if let Err(why) = self.running(run).await? {
                return Ok(Err(why));
            }
            let leads = self.store.leads_after(&all, place.as_ref(), ASKED_AT_ONCE).await?;
            let Some(last) = leads.last() else {
                let is_whole = first.is_none() && asking.len() == self.destinations.len();
                let before = if is_whole { began } else { began.before(KEPT) };
                while self.store.drop_strangers(before).await? {}
                return Ok(Ok((suspected, None)));
            };
            let mut rest = BREATH;
            let mut go_on = Vec::with_capacity(asking.len());
            for (destination, calls) in asking {
                // Where it must not be asked now, the others are all the same.
                let Some(asked) = destination.look_for_strangers(&leads, began).await? else { continue };
                suspected += asked.suspected;
                rest = if asked.calls > 0 { REST } else { rest };
                go_on.push((destination, calls.saturating_sub(asked.calls.into())));
            }
            asking = go_on;
            if asking.is_empty() {
                return Ok(Ok((suspected, place)));
            }
            place = Some(last.clone());
            if asking.iter().any(|(_, calls)| *calls == 0) {
                return Ok(Ok((suspected, place)));
            }
            tokio::time::sleep(rest).await;
        }
    }

    /// Where the last search that is over came to; `None`: to the end.
    async fn came_to(&self) -> StoreResult<Option<LeadKey>> {
        let newest = Page { limit: RUNS_LOOKED_AT, cursor: None };
        let runs = self.store.list_runs(&newest).await?.items;
        Ok(runs.into_iter().find(|run| run.kind == KIND && run.state == "done").and_then(|run| run.position))
    }
}
