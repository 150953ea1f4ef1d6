//! Intake: the events of many requests in one commit.
//!
//! Handlers put their requests into a bounded queue; a few tasks, each with a connection of its own, take what is there,
//! store it and have it answered. A batch gathers by itself while the one before it is committed: what a commit costs is
//! mostly the same for few events and for many, so two are under way at once only where a commit takes long.

mod batch;
mod repeats;

use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection, PgPool};
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;

use super::connect::Check;
use crate::store::requests::{IntakeRequest, WaitingRequests};
use crate::store::{EventReceipt, NewEvent, StoreError, StoreResult};

/// How long connecting may take, and how long it is not tried again after it failed.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
const RECONNECT_AFTER: Duration = Duration::from_millis(250);
/// A server's settings can be changed without a restart.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(10);
/// How long storing one batch may take. After that nobody knows what became of it.
const COMMIT_WITHIN: Duration = Duration::from_secs(5);

/// How long a batch is held back while another is under way. On a quick disk that is done by then, and two at once would
/// only be smaller.
const HELD_FOR: Duration = Duration::from_millis(2);

/// What intake looks up it finds by an index. A plan made while the tables were small would read them from end to end, and
/// go on doing so until they are analyzed. Planning anew for each batch, as the server may for small ones, would cost more
/// than storing it.
const PLANS: [(&str, &str); 4] = [
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("plan_cache_mode", "force_generic_plan"),
];

/// The way to the tasks that store events. Dropping it lets them finish what was handed in, and end.
pub(super) struct Intake {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    waiting: Mutex<Waiting>,
    changed: Notify,
    max_batch: usize,
    connect: PgConnectOptions,
    check: Check,
    on_commit: Box<dyn Fn(usize) + Send + Sync>,
    due: Arc<watch::Sender<u64>>,
    /// Where requests are answered.
    handlers: Handle,
}

#[derive(Default)]
struct Waiting {
    requests: WaitingRequests,
    closed: bool,
    /// How many batches are under way, and when the last of them began.
    under_way: usize,
    begun: Option<Instant>,
}

impl Waiting {
    /// How long the next batch is still held back, unless it is as large as one may be.
    fn held_back(&self, max_batch: usize, now: Instant) -> Option<Duration> {
        let begun = self.begun.filter(|_| self.under_way > 0 && !self.closed && self.requests.len() < max_batch)?;
        Some(HELD_FOR.saturating_sub(now.duration_since(begun))).filter(|left| !left.is_zero())
    }

    fn begin(&mut self, now: Instant) {
        self.under_way += 1;
        self.begun = Some(now);
    }

    fn end(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }
}

impl Intake {
    /// Starts the tasks; they connect when there is something to store. They have a thread to themselves: what the server
    /// says is heard at once, however many requests are being read.
    pub(super) fn start(
        pool: &PgPool,
        check: Check,
        writers: usize,
        max_batch: usize,
        on_commit: Box<dyn Fn(usize) + Send + Sync>,
        due: Arc<watch::Sender<u64>>,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            waiting: Mutex::default(),
            changed: Notify::new(),
            max_batch,
            connect: (*pool.connect_options()).clone().options(PLANS),
            check,
            on_commit,
            due,
            handlers: Handle::current(),
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let storing = keep_storing(Arc::clone(&shared), writers);
        let run = move || runtime.block_on(storing);
        let thread = std::thread::Builder::new().name("intake".to_owned()).spawn(run)?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    /// Stores the events of one request, together with those of other requests that arrive meanwhile.
    pub(super) async fn accept(&self, events: Vec<NewEvent>) -> StoreResult<Vec<EventReceipt>> {
        let events = events.into_iter().map(batch::storable).collect();
        let (reply, answer) = oneshot::channel();
        self.shared.push(IntakeRequest::new(events, reply))?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Takes nothing more in, and waits until what was handed in is done.
    pub(super) async fn close(&self) {
        self.shared.close();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // If it panicked, that was reported when it happened; there is nothing more to wait for.
            let _ = spawn_blocking(|| thread.join()).await;
        }
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl Shared {
    fn push(&self, request: IntakeRequest) -> StoreResult<()> {
        let mut waiting = self.lock();
        if waiting.closed {
            return Err(gone());
        }
        waiting.requests.push(request)?;
        let held_back = waiting.held_back(self.max_batch, Instant::now());
        drop(waiting);
        // Else whoever comes first takes it: the task that is done, or the one that waits for the time to run out.
        if held_back.is_none() {
            // To the one that stored last, whose connection is warm.
            self.changed.notify_last();
        }
        Ok(())
    }

    fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_waiters();
    }

    async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        let mut db = PgConnection::connect_with(&self.connect).await?;
        self.check.look(&mut db).await?;
        Ok(db)
    }

    /// Waits for requests; `None`: closed, and all are taken.
    async fn next(&self) -> Option<Vec<IntakeRequest>> {
        loop {
            // Made before the look, so that nothing that comes after it is missed.
            let changed = self.changed.notified();
            let held_back = {
                let mut waiting = self.lock();
                let held_back = waiting.held_back(self.max_batch, Instant::now());
                if held_back.is_none() {
                    let batch = waiting.requests.take_batch(self.max_batch);
                    if !batch.is_empty() {
                        waiting.begin(Instant::now());
                        // Another task looks after what comes meanwhile.
                        self.changed.notify_one();
                        return Some(batch);
                    }
                    if waiting.closed {
                        return None;
                    }
                }
                held_back
            };
            match held_back {
                // Nothing is lost if the time runs out: it is looked again.
                Some(left) => drop(timeout(left, changed).await),
                None => changed.await,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn gone() -> StoreError {
    StoreError::Unavailable("the store is closed".to_owned())
}

/// Runs the tasks until all have ended.
async fn keep_storing(shared: Arc<Shared>, writers: usize) {
    let writer = || Writer::new(Arc::clone(&shared)).run();
    let mut tasks: JoinSet<()> = (0..writers).map(|_| writer()).collect();
    while let Some(ended) = tasks.join_next().await {
        // A panic was reported when it happened; another task takes its place.
        if ended.is_err() {
            tasks.spawn(writer());
        }
    }
}

/// A batch that is under way until this is dropped.
struct UnderWay(Arc<Shared>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.lock().end();
    }
}

/// One of the tasks that store.
struct Writer {
    shared: Arc<Shared>,
    db: Option<PgConnection>,
    /// When it was last looked whether the server keeps what it commits.
    looked: Instant,
    /// When connecting failed last, and why.
    failed: Option<(Instant, String)>,
    /// Whether a lead was ever erased, as far as is known here.
    erasures: bool,
}

impl Writer {
    fn new(shared: Arc<Shared>) -> Self {
        Self { shared, db: None, looked: Instant::now(), failed: None, erasures: false }
    }

    async fn run(mut self) {
        while let Some(requests) = self.shared.next().await {
            let _under_way = UnderWay(Arc::clone(&self.shared));
            match self.connection().await {
                Ok(db) => self.store(db, requests).await,
                Err(reason) => refuse(requests, &reason),
            }
        }
        if let Some(db) = self.db {
            // It has nothing open; the server notices if the farewell is lost.
            let _ = timeout(CONNECT_WITHIN, db.close()).await;
        }
    }

    /// The connection, made anew if there is none; for a moment after that failed it fails at once.
    async fn connection(&mut self) -> Result<PgConnection, String> {
        if let Some(mut db) = self.db.take() {
            if self.looked.elapsed() < LOOK_AGAIN_AFTER {
                return Ok(db);
            }
            self.looked = Instant::now();
            let look = self.shared.check.look(&mut db);
            if matches!(timeout(CONNECT_WITHIN, look).await, Ok(Ok(()))) {
                return Ok(db);
            }
        }
        if let Some((at, reason)) = &self.failed
            && at.elapsed() < RECONNECT_AFTER
        {
            return Err(reason.clone());
        }
        let reason = match timeout(CONNECT_WITHIN, self.shared.connect()).await {
            Ok(Ok(db)) => {
                self.looked = Instant::now();
                if self.failed.take().is_some() {
                    tracing::info!("the database takes events again");
                }
                return Ok(db);
            }
            Ok(Err(sqlx::Error::Database(said))) => said.message().to_owned(),
            Ok(Err(sqlx::Error::Configuration(why))) => why.to_string(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the database does not answer".to_owned(),
        };
        if self.failed.is_none() {
            tracing::warn!(
                "the database cannot be reached to store events: {reason}; senders are answered 503 until it is back"
            );
        }
        self.failed = Some((Instant::now(), reason.clone()));
        Err(reason)
    }

    /// Stores a batch and has everybody in it answered. After a failure that leaves in doubt what is on disk the connection is
    /// dropped, and nothing is tried again: whoever sent it will.
    async fn store(&mut self, mut db: PgConnection, mut requests: Vec<IntakeRequest>) {
        let mut stored = batch::Stored::default();
        let erasures = &mut self.erasures;
        let storing = batch::store(&mut db, &mut requests, erasures, &mut stored, &*self.shared.on_commit);
        let outcome = match timeout(COMMIT_WITHIN, AssertUnwindSafe(storing).catch_unwind()).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(StoreError::Unavailable("storing events panicked".to_owned())),
            Err(_) => Err(StoreError::Unavailable("the database did not commit in time".to_owned())),
        };
        if stored.made_due {
            self.shared.due.send_modify(|times| *times = times.wrapping_add(1));
        }
        let unanswered = requests.split_off(stored.receipts.len().min(requests.len()));
        self.shared.handlers.spawn(async move {
            for (request, receipts) in std::iter::zip(requests, stored.receipts) {
                request.answer(receipts);
            }
        });
        match outcome {
            Ok(()) => self.db = Some(db),
            Err(error) => {
                let reason = error.reason();
                tracing::warn!("events could not be stored, the database is connected to anew: {reason}");
                refuse(unanswered, &reason);
            }
        }
    }
}

fn refuse(requests: impl IntoIterator<Item = IntakeRequest>, reason: &str) {
    for request in requests {
        request.answer(Err(StoreError::Unavailable(reason.to_owned())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_held_back_for_a_moment_while_another_is_under_way() {
        let (mut waiting, begun) = (Waiting::default(), Instant::now());
        let push = |waiting: &mut Waiting| {
            assert!(waiting.requests.push(IntakeRequest::new(Vec::new(), oneshot::channel().0)).is_ok());
        };
        push(&mut waiting);
        assert_eq!(waiting.held_back(2, begun), None, "nothing is under way");
        waiting.begin(begun);
        assert_eq!(waiting.held_back(2, begun), Some(HELD_FOR));
        assert_eq!(waiting.held_back(2, begun + HELD_FOR), None, "the commit takes long");
        waiting.begin(begun + HELD_FOR);
        assert_eq!(waiting.held_back(2, begun + HELD_FOR), Some(HELD_FOR));
        push(&mut waiting);
        assert_eq!(waiting.held_back(2, begun + HELD_FOR), None, "it is as large as one may be");
        waiting.end();
        assert_eq!(waiting.held_back(3, begun + HELD_FOR), Some(HELD_FOR));
        waiting.end();
        assert_eq!(waiting.held_back(3, begun + HELD_FOR), None);
        waiting.begin(begun);
        waiting.closed = true;
        assert_eq!(waiting.held_back(3, begun), None, "nothing more comes");
    }
}
