//! What waits for the writer: requests of intake, bounded, and other work behind them.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Work;
use crate::store::requests::{IntakeRequest, WaitingRequests};
use crate::store::{StoreError, StoreResult};

/// While webhooks keep coming, other work has its turn this long after its last one began, so that a webhook waits for few
/// of its pieces.
const TURN: Duration = Duration::from_millis(10);

/// Webhooks keep coming until this long after the last one was stored. Senders who wait for their answers all send again
/// right after a commit: that nothing waits at that moment does not mean that nothing comes.
const LULL: Duration = Duration::from_millis(2);

/// What the writer does next: intake, and then, if no webhooks come or it is its turn, one piece of other work.
pub(super) struct Step {
    pub(super) intake: Vec<IntakeRequest>,
    pub(super) work: Option<Box<dyn Work>>,
}

/// Both queues, behind one lock that is held for moments only.
pub(super) struct Queues {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    max_batch: usize,
}

#[derive(Default)]
struct Waiting {
    intake: WaitingRequests,
    /// Whether the writer is at a batch of webhooks, and when the last one was done.
    storing: bool,
    stored_at: Option<Instant>,
    work: VecDeque<Box<dyn Work>>,
    /// When other work was last begun.
    worked_at: Option<Instant>,
    closed: bool,
}

impl Queues {
    pub(super) fn new(max_batch: usize) -> Self {
        Self { waiting: Mutex::default(), changed: Condvar::new(), max_batch }
    }

    /// Puts a request at the end; [`StoreError::Busy`] at once if too much waits already.
    pub(super) fn push_intake(&self, request: IntakeRequest) -> StoreResult<()> {
        let mut waiting = self.lock();
        if waiting.closed {
            return Err(super::gone());
        }
        waiting.intake.push(request)?;
        drop(waiting);
        self.changed.notify_one();
        Ok(())
    }

    pub(super) fn push_work(&self, work: Box<dyn Work>) -> StoreResult<()> {
        let mut waiting = self.lock();
        if waiting.closed {
            return Err(super::gone());
        }
        waiting.work.push_back(work);
        drop(waiting);
        self.changed.notify_one();
        Ok(())
    }

    /// Whether a webhook waits to be stored, or will soon.
    pub(super) fn webhooks_come(&self) -> bool {
        let waiting = self.lock();
        !waiting.intake.is_empty() || waiting.lull_left().is_some()
    }

    /// Lets nothing more in.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    /// Waits for something to do; `None`: closed, and everything is done.
    pub(super) fn next(&self) -> Option<Step> {
        let mut waiting = self.lock();
        if std::mem::take(&mut waiting.storing) {
            waiting.stored_at = Some(Instant::now());
        }
        loop {
            let intake = waiting.intake.take_batch(self.max_batch);
            waiting.storing = !intake.is_empty();
            let held_up = waiting.work_is_held_up();
            let work = if held_up.is_none() { waiting.take_work() } else { None };
            let step = Step { intake, work };
            if !step.intake.is_empty() || step.work.is_some() {
                return Some(step);
            }
            waiting = match held_up.filter(|_| !waiting.work.is_empty()) {
                Some(time) => self.changed.wait_timeout(waiting, time).unwrap_or_else(PoisonError::into_inner).0,
                None if waiting.closed => return None,
                None => self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Refuses all that waits and all that comes within `pause`; `false`: closed.
    pub(super) fn refuse_all(&self, pause: Duration, reason: &str) -> bool {
        let mut waiting = self.lock();
        if !waiting.closed {
            let waited = self.changed.wait_timeout(waiting, pause);
            waiting = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let refused = waiting.intake.take_all();
        let work = std::mem::take(&mut waiting.work);
        let closed = waiting.closed;
        drop(waiting);
        for request in refused {
            request.answer(Err(StoreError::Unavailable(reason.to_owned())));
        }
        for work in work {
            work.answer(Some(StoreError::Unavailable(reason.to_owned())));
        }
        !closed
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// For how long yet more webhooks are expected, though none waits.
    fn lull_left(&self) -> Option<Duration> {
        self.stored_at.and_then(|stored| LULL.checked_sub(stored.elapsed()))
    }

    /// For how long other work has to wait, if it has to.
    fn work_is_held_up(&self) -> Option<Duration> {
        let to_turn = self.worked_at.and_then(|began| TURN.checked_sub(began.elapsed()))?;
        if self.storing { Some(to_turn) } else { self.lull_left().map(|lull| lull.min(to_turn)) }
    }

    fn take_work(&mut self) -> Option<Box<dyn Work>> {
        let work = self.work.pop_front()?;
        self.worked_at = Some(Instant::now());
        Some(work)
    }
}
