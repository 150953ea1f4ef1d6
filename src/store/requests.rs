//! Requests of intake that wait to be stored, bounded; the same in both stores.

use std::collections::VecDeque;

use tokio::sync::oneshot;

use super::{EventReceipt, NewEvent, StoreError, StoreResult};

/// The most requests and bytes that may wait to be stored. About 0.15 s of work on a quick disk and 0.5 s on a slow one,
/// below every sender's time-out.
const MAX_WAITING: usize = 4096;
const MAX_WAITING_BYTES: usize = 16 << 20;

/// The most bytes in one commit.
const MAX_BATCH_BYTES: usize = 4 << 20;

/// The events of one request, and who waits for them.
pub(in crate::store) struct IntakeRequest {
    pub(in crate::store) events: Vec<NewEvent>,
    bytes: usize,
    reply: oneshot::Sender<StoreResult<Vec<EventReceipt>>>,
}

impl IntakeRequest {
    pub(in crate::store) fn new(events: Vec<NewEvent>, reply: oneshot::Sender<StoreResult<Vec<EventReceipt>>>) -> Self {
        let bytes = events.iter().map(|event| event.body.len()).sum();
        Self { events, bytes, reply }
    }

    pub(in crate::store) fn answer(self, outcome: StoreResult<Vec<EventReceipt>>) {
        // The sender may have gone away; what was committed stays, and sending again is harmless.
        let _ = self.reply.send(outcome);
    }
}

/// The requests that wait, in order of arrival.
#[derive(Default)]
pub(in crate::store) struct WaitingRequests {
    requests: VecDeque<IntakeRequest>,
    bytes: usize,
}

impl WaitingRequests {
    pub(in crate::store) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    pub(in crate::store) fn len(&self) -> usize {
        self.requests.len()
    }

    /// Puts a request at the end; [`StoreError::Busy`] if too much waits already. One that alone is larger than the bound
    /// is taken when nothing else waits.
    pub(in crate::store) fn push(&mut self, request: IntakeRequest) -> StoreResult<()> {
        let full = self.requests.len() >= MAX_WAITING || self.bytes.saturating_add(request.bytes) > MAX_WAITING_BYTES;
        if full && !self.requests.is_empty() {
            return Err(StoreError::Busy);
        }
        self.bytes += request.bytes;
        self.requests.push_back(request);
        Ok(())
    }

    /// Takes the requests of the next commit: as many as fit, but at least one if there is one. Those whose sender has
    /// gone are dropped, so that an overloaded store does not spend itself on answers that nobody reads.
    pub(in crate::store) fn take_batch(&mut self, max_events: usize) -> Vec<IntakeRequest> {
        let (mut batch, mut events, mut bytes) = (Vec::new(), 0usize, 0usize);
        while let Some(next) = self.requests.front() {
            let gone = next.reply.is_closed();
            let fits = events + next.events.len() <= max_events && bytes + next.bytes <= MAX_BATCH_BYTES;
            if !gone && !fits && !batch.is_empty() {
                break;
            }
            let Some(request) = self.requests.pop_front() else { break };
            self.bytes = self.bytes.saturating_sub(request.bytes);
            if !gone {
                events += request.events.len();
                bytes += request.bytes;
                batch.push(request);
            }
        }
        batch
    }

    pub(in crate::store) fn take_all(&mut self) -> VecDeque<IntakeRequest> {
        self.bytes = 0;
        std::mem::take(&mut self.requests)
    }
}
