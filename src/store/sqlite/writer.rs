//! The one thread that writes: intake first, then one piece of other work, forever.
//!
//! Whoever writes hands in what is to be done and waits for the answer, which is given only after the commit that holds it
//! was synced. There is no timer: a batch gathers by itself while the one before it is committed.

pub(super) mod connection;
mod pieces;
mod queues;

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{oneshot, watch};

use crate::store::requests::IntakeRequest;
use crate::store::{EventReceipt, NewEvent, StoreError, StoreResult};
use queues::{Queues, Step};

/// How long the writer waits before it tries again to open a database that it could not open.
const REOPEN_AFTER: Duration = Duration::from_millis(250);

/// How long other work may hold up intake, and how long while webhooks come: shorter pieces mean more commits.
const PIECE: Duration = Duration::from_millis(10);
const SHORT_PIECE: Duration = Duration::from_millis(1);

/// What is done to one item of many.
pub(super) type Each<I, T> = fn(&mut Connection, &I) -> StoreResult<T>;

/// The way to the writer thread. Dropping it lets the thread finish what was handed in, and end.
pub(super) struct Writer {
    queues: Arc<Queues>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Opens the connection and starts the thread.
    pub(super) async fn start(
        path: &Path,
        max_batch: usize,
        on_commit: Box<dyn Fn(usize) + Send + Sync>,
        due: Arc<watch::Sender<u64>>,
    ) -> StoreResult<Self> {
        let queues = Arc::new(Queues::new(max_batch));
        let (opened, first_opening) = oneshot::channel();
        let mut thread = WriterThread { queues: Arc::clone(&queues), path: path.to_owned(), on_commit, due };
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || match connection::open(&thread.path) {
                Ok(db) => {
                    // The opener may have given up; then the queues are closed too.
                    let _ = opened.send(Ok(()));
                    thread.run(db);
                }
                Err(error) => {
                    let _ = opened.send(Err(error));
                }
            })
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let writer = Self { queues, thread: Mutex::new(Some(thread)) };
        first_opening.await.unwrap_or_else(|_| Err(gone()))?;
        Ok(writer)
    }

    /// Does `work` in one transaction of its own and answers once it is on disk: `Ok` commits, `Err` rolls back.
    ///
    /// `work` must be short (10 ms): intake waits behind it. It must not begin or end a transaction itself.
    pub(super) async fn run<T, W>(&self, work: W) -> StoreResult<T>
    where
        T: Send + 'static,
        W: FnOnce(&mut Connection) -> StoreResult<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.queues.push_work(Box::new(Pending { work: Some(work), outcome: None, reply }))?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Does `each` to every item, in the order given, as many in one transaction as fit into [`PIECE`], so that intake gets
    /// in between. An item that fails is taken back alone and its neighbours stay.
    pub(super) async fn run_each<I, T>(&self, items: Vec<I>, each: Each<I, T>) -> Vec<StoreResult<T>>
    where
        I: Send + 'static,
        T: Send + 'static,
    {
        self.run_pieces(items, each, each).await
    }

    /// As [`Self::run_each`], but where one item of a piece fails, all of the piece is taken back and done by `apart`.
    pub(super) async fn run_pieces<I, T>(
        &self,
        items: Vec<I>,
        together: Each<I, T>,
        apart: Each<I, T>,
    ) -> Vec<StoreResult<T>>
    where
        I: Send + 'static,
        T: Send + 'static,
    {
        let total = items.len();
        let mut outcomes = Vec::with_capacity(total);
        let mut left: VecDeque<I> = items.into();
        while !left.is_empty() {
            let queues = Arc::clone(&self.queues);
            let piece = self.run(move |db| {
                let done = pieces::do_some(db, &mut left, together, apart, || queues.webhooks_come())?;
                Ok((done, left))
            });
            match piece.await {
                Ok((done, rest)) => {
                    outcomes.extend(done);
                    left = rest;
                }
                Err(error) => {
                    // What this piece did was taken back, or nobody knows; the rest was not begun.
                    let reason = error.reason();
                    outcomes.resize_with(total, || Err(StoreError::Unavailable(reason.clone())));
                    break;
                }
            }
        }
        outcomes
    }

    /// Stores the events of one request, together with those of other requests that arrive meanwhile.
    pub(super) async fn accept(&self, events: Vec<NewEvent>) -> StoreResult<Vec<EventReceipt>> {
        let (reply, answer) = oneshot::channel();
        self.queues.push_intake(IntakeRequest::new(events, reply))?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Whether the store commits now: a transaction that writes and is synced.
    pub(super) async fn probe(&self) -> StoreResult<()> {
        self.run(|db| Ok(db.execute("UPDATE heartbeat SET beats = beats + 1", []).map(drop)?)).await
    }

    /// Takes nothing more in, and waits until what was handed in is done.
    pub(super) async fn close(&self) {
        self.queues.close();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic of the thread was reported when it happened; there is nothing more to wait for.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queues.close();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

fn gone() -> StoreError {
    StoreError::Unavailable("the store is closed".to_owned())
}

/// One thing to be done in a transaction of its own.
trait Work: Send {
    /// Does it; answers whether to commit.
    fn attempt(&mut self, db: &mut Connection) -> Verdict;

    /// Tells who waits what came of it; with an error, that instead of what [`Work::attempt`] found.
    fn answer(self: Box<Self>, failure: Option<StoreError>);
}

enum Verdict {
    Commit,
    RollBack,
    /// Roll back, and do not trust the connection any more.
    Reopen,
}

struct Pending<W, T> {
    work: Option<W>,
    outcome: Option<StoreResult<T>>,
    reply: oneshot::Sender<StoreResult<T>>,
}

impl<T, W> Work for Pending<W, T>
where
    T: Send,
    W: FnOnce(&mut Connection) -> StoreResult<T> + Send,
{
    fn attempt(&mut self, db: &mut Connection) -> Verdict {
        let Some(work) = self.work.take() else { return Verdict::RollBack };
        let outcome = work(db);
        let verdict = match &outcome {
            Ok(_) => Verdict::Commit,
            Err(StoreError::Unavailable(_)) => Verdict::Reopen,
            Err(_) => Verdict::RollBack,
        };
        self.outcome = Some(outcome);
        verdict
    }

    fn answer(self: Box<Self>, failure: Option<StoreError>) {
        let outcome = match (failure, self.outcome) {
            (Some(error), _) => Err(error),
            (None, Some(outcome)) => outcome,
            (None, None) => Err(gone()),
        };
        // Whoever asked may have gone away; what was committed stays.
        let _ = self.reply.send(outcome);
    }
}

struct WriterThread {
    queues: Arc<Queues>,
    path: PathBuf,
    on_commit: Box<dyn Fn(usize) + Send + Sync>,
    due: Arc<watch::Sender<u64>>,
}

impl WriterThread {
    fn run(&mut self, db: Connection) {
        let mut db = Some(db);
        loop {
            let Some(mut open) = db.take().or_else(|| self.reopen()) else { return };
            let Some(step) = self.queues.next() else { return };
            let sound = self.take_step(&mut open, step);
            if sound {
                db = Some(open);
            } else {
                tracing::warn!("the store could not commit; its database is opened again");
            }
        }
    }

    /// Does one step; `false`: the connection must not be used any more.
    fn take_step(&self, db: &mut Connection, step: Step) -> bool {
        let intake_sound = step.intake.is_empty() || self.store_intake(db, step.intake);
        match step.work {
            None => intake_sound,
            Some(work) if !intake_sound => {
                work.answer(Some(StoreError::Unavailable("the commit before it failed".to_owned())));
                false
            }
            Some(work) => self.do_work(db, work),
        }
    }

    fn do_work(&self, db: &mut Connection, mut work: Box<dyn Work>) -> bool {
        if let Err(error) = connection::begin(db) {
            work.answer(Some(error));
            return false;
        }
        let changes = db.total_changes();
        match catch_unwind(AssertUnwindSafe(|| work.attempt(db))) {
            Ok(Verdict::Commit) => match connection::commit(db) {
                Ok(()) => {
                    if db.total_changes() != changes {
                        (self.on_commit)(0);
                    }
                    work.answer(None);
                    true
                }
                Err(error) => {
                    work.answer(Some(error));
                    false
                }
            },
            Ok(Verdict::RollBack) => {
                let rolled_back = connection::roll_back(db);
                work.answer(None);
                rolled_back
            }
            Ok(Verdict::Reopen) => {
                work.answer(None);
                false
            }
            Err(panic) => {
                work.answer(Some(panicked(&*panic)));
                false
            }
        }
    }

    /// Commits many requests at once; where that fails for another reason than the disk, event by event.
    fn store_intake(&self, db: &mut Connection, requests: Vec<IntakeRequest>) -> bool {
        let stored = catch_unwind(AssertUnwindSafe(|| super::accept::store_batch(db, &requests)));
        let stored = stored.unwrap_or_else(|panic| Err(panicked(&*panic)));
        match stored {
            Ok(batch) => {
                (self.on_commit)(batch.events);
                if batch.made_due {
                    self.due.send_modify(|times| *times = times.wrapping_add(1));
                }
                for (request, receipts) in requests.into_iter().zip(batch.receipts) {
                    request.answer(receipts);
                }
                true
            }
            Err(error) => {
                let reason = error.reason();
                for request in requests {
                    request.answer(Err(StoreError::Unavailable(reason.clone())));
                }
                false
            }
        }
    }

    /// Opens the database anew, telling everybody who waits meanwhile that it cannot commit; `None`: the store closes.
    fn reopen(&self) -> Option<Connection> {
        loop {
            let error = match connection::open(&self.path) {
                Ok(db) => return Some(db),
                Err(error) => error.to_string(),
            };
            tracing::warn!("the database cannot be opened: {error}");
            if !self.queues.refuse_all(REOPEN_AFTER, &error) {
                return None;
            }
        }
    }
}

fn panicked(panic: &(dyn Any + Send)) -> StoreError {
    let what = panic.downcast_ref::<&str>().copied();
    let what = what.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
    tracing::error!("a write to the store panicked: {what}");
    StoreError::Unavailable(format!("panicked: {what}"))
}

#[cfg(test)]
mod tests;
