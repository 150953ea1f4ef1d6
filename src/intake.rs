//! From a webhook request to stored events: verify, read, hand to the store, and say what became of each.
//!
//! Nothing is acknowledged that the store has not synced. The store commits many requests together; here is only what
//! belongs to one.

mod holding;
mod source;

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tracing::{debug, warn};

use crate::clock::Clock;
use crate::domain::envelope::{BodyKind, Reading, Unreadable, remedy};
use crate::domain::headers::Headers;
use crate::domain::ids::{EventId, RequestId};
use crate::domain::signature::{ProvenBy, SignedRequest, Verdict};
use crate::domain::time::Timestamp;
use crate::store::{EventDetail, EventLog, EventReceipt, EventState, NewEvent, Reread, StoreError};
use crate::telemetry::metrics;

pub use holding::Holding;
use source::Outline;
pub use source::{SourceError, SourceRuntime};

/// A sender hears within this time whether its events are stored.
const COMMIT_WITHIN: Duration = Duration::from_secs(2);

/// Takes in the webhooks of every source.
pub struct Intake {
    log: Arc<dyn EventLog>,
    sources: HashMap<String, Arc<SourceRuntime>>,
    /// What senders call, without a slash at the end; for schemes that sign the URL.
    public_url: Option<String>,
    clock: Clock,
    not_stored: CountedAMinute,
    /// Where refused requests go.
    holding: Arc<Holding>,
}

/// Requests refused since the process started, by reason.
#[derive(Debug, Default)]
pub struct Refusals {
    /// The signature or token is missing or wrong.
    pub unproven: AtomicU64,
    /// Genuine, but its timestamp is too far from our clock: one of the two clocks is wrong, or it is a replay.
    pub stale: AtomicU64,
    pub too_large: AtomicU64,
    /// Compressed, or a form that the source does not take.
    pub unsupported: AtomicU64,
    /// Not committed in time, too much waiting, or the source is disabled.
    pub unavailable: AtomicU64,
}

impl Refusals {
    /// Counts one more.
    pub fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Lets something be said once a minute: anybody can send bad requests, as many as they like.
#[derive(Debug)]
struct OnceAMinute(AtomicI64);

impl OnceAMinute {
    fn is_due(&self, now: Timestamp) -> bool {
        let minute = now.as_seconds().div_euclid(60);
        self.0.swap(minute, Ordering::Relaxed) != minute
    }
}

impl Default for OnceAMinute {
    fn default() -> Self {
        Self(AtomicI64::new(i64::MIN))
    }
}

/// Lets something be said at once, and while it goes on once a minute with the number of times since.
#[derive(Debug, Default)]
struct CountedAMinute {
    told: Mutex<(Option<Timestamp>, u64)>,
}

impl CountedAMinute {
    /// How often it happened since it was last said, this time included, if it is to be said again.
    fn one_more(&self, now: Timestamp) -> Option<u64> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, times) = *told;
        let is_due = last.is_none_or(|last| now < last || now.since(last) >= Duration::from_secs(60));
        *told = if is_due { (Some(now), 0) } else { (last, times + 1) };
        is_due.then_some(times + 1)
    }
}

/// How far our clock was ahead of the sender's when the last genuine request came, its way included.
#[derive(Debug)]
pub struct ClockAhead(AtomicI64);

impl ClockAhead {
    const UNKNOWN: i64 = i64::MIN;

    /// In milliseconds, negative where the sender's clock is ahead; `None` where nothing was signed with a time yet.
    pub fn millis(&self) -> Option<i64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|millis| *millis != Self::UNKNOWN)
    }

    fn note(&self, signed_at: Timestamp, now: Timestamp) {
        self.0.store(now.as_micros().saturating_sub(signed_at.as_micros()) / 1_000, Ordering::Relaxed);
    }
}

impl Default for ClockAhead {
    fn default() -> Self {
        Self(AtomicI64::new(Self::UNKNOWN))
    }
}

/// One request as it came in.
pub struct Incoming<'a> {
    pub method: &'a str,
    /// Path and query, as they were sent.
    pub path_and_query: &'a str,
    pub query: Option<&'a str>,
    /// The last segment of `POST /webhooks/{source}/{token}`, decoded.
    pub path_token: Option<&'a str>,
    pub headers: &'a (dyn Headers + Sync),
    /// The raw bytes: what is signed is what is stored.
    pub body: Bytes,
    pub request_id: RequestId,
}

/// What became of a request: one entry per record it held, in its order; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    pub events: Vec<(EventId, EventStatus)>,
}

impl Receipt {
    /// The word for the whole request: the first of accepted, quarantined, duplicate, ignored that occurs.
    pub fn status(&self) -> EventStatus {
        self.events.iter().map(|(_, status)| *status).min().unwrap_or(EventStatus::Ignored)
    }
}

/// What became of one event; in the order in which one speaks for the whole request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventStatus {
    Accepted,
    /// Signed, but no lead could be read. Kept, listed, replayable.
    Quarantined,
    /// Stored before under the same ID.
    Duplicate,
    /// Of a type that changes no lead. Kept and listed.
    Ignored,
}

impl EventStatus {
    /// The word in the answer.
    pub const fn as_str(self) -> &'static str {
        match self {
            EventStatus::Accepted => "accepted",
            EventStatus::Quarantined => "quarantined",
            EventStatus::Duplicate => "duplicate",
            EventStatus::Ignored => "ignored",
        }
    }
}

/// Why a request is not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not proven to be the sender's, or not fresh.
    Unauthorized,
    /// The sender's, but of a kind of body that the source does not take.
    Unsupported(BodyKind),
    /// Too much waits already.
    Busy,
    /// Not committed; it may be stored all the same, and sending it again is harmless.
    NotCommitted,
}

impl Intake {
    /// Takes in what these sources send.
    pub fn new(
        log: Arc<dyn EventLog>,
        sources: Vec<SourceRuntime>,
        public_url: Option<String>,
        clock: Clock,
        holding: Arc<Holding>,
    ) -> Self {
        let sources = sources.into_iter().map(|source| (source.name.to_string(), Arc::new(source))).collect();
        let public_url = public_url.map(|url| url.trim_end_matches('/').to_owned());
        Self { log, sources, public_url, clock, not_stored: CountedAMinute::default(), holding }
    }

    /// The source of this name.
    pub fn source(&self, name: &str) -> Option<&Arc<SourceRuntime>> {
        self.sources.get(name)
    }

    /// Every source, by name.
    pub fn sources(&self) -> Vec<&Arc<SourceRuntime>> {
        let mut sources: Vec<_> = self.sources.values().collect();
        sources.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        sources
    }

    /// Verifies and reads one request, and answers once its events are on disk.
    ///
    /// What is signed is kept, readable or not. Repeating a request is harmless.
    pub async fn accept(&self, source: &Arc<SourceRuntime>, request: Incoming<'_>) -> Result<Receipt, Refusal> {
        let now = self.clock.now();
        self.verify(source, &request, now)?;
        let kind = BodyKind::of(request.headers);
        if !source.takes(kind) {
            return Err(Refusal::Unsupported(kind));
        }
        let events = source.read(&request, now);
        self.store(source, events, &request.request_id, now).await
    }

    async fn store(
        &self,
        source: &SourceRuntime,
        events: Vec<NewEvent>,
        request_id: &RequestId,
        now: Timestamp,
    ) -> Result<Receipt, Refusal> {
        let states: Vec<EventState> = events.iter().map(|event| event.state).collect();
        let unreadable = events.iter().find(|event| event.state == EventState::Quarantined);
        let unreadable = unreadable.map(|event| event.reason.clone().unwrap_or_default());
        let receipts = match tokio::time::timeout(COMMIT_WITHIN, self.log.accept_events(events)).await {
            Ok(Ok(receipts)) => receipts,
            Ok(Err(StoreError::Busy)) => return Err(Refusal::Busy),
            Ok(Err(error)) => {
                self.complain(source, request_id, &error.reason());
                return Err(Refusal::NotCommitted);
            }
            Err(_) => {
                self.complain(source, request_id, "no commit within 2 s");
                return Err(Refusal::NotCommitted);
            }
        };
        if let Some(reason) = unreadable.filter(|_| source.said_quarantined.is_due(now)) {
            let remedy = remedy(reason.split(':').next().unwrap_or_default());
            warn!(source = %source.name, request_id = %request_id, "an event of {} is quarantined: {reason}. {remedy} GET /admin/v1/events?state=quarantined lists them", source.name);
        }
        let stored = receipts.iter().filter(|receipt| !receipt.duplicate).count();
        metrics::events_stored(&source.name, u64::try_from(stored).unwrap_or(u64::MAX));
        let status = |(receipt, state): (EventReceipt, EventState)| {
            let status = match state {
                _ if receipt.erased => EventStatus::Ignored,
                _ if receipt.duplicate => EventStatus::Duplicate,
                EventState::Quarantined => EventStatus::Quarantined,
                EventState::Ignored => EventStatus::Ignored,
                _ => EventStatus::Accepted,
            };
            (receipt.id, status)
        };
        Ok(Receipt { events: receipts.into_iter().zip(states).map(status).collect() })
    }

    /// Says at once that webhooks are not stored, and then once a minute how many: while a disk is full or a database away
    /// there are thousands of them.
    fn complain(&self, source: &SourceRuntime, request_id: &RequestId, why: &str) {
        match self.not_stored.one_more(self.clock.now()) {
            None => {}
            Some(1) => {
                warn!(source = %source.name, request_id = %request_id, "could not store a webhook of {}, and answered 503: {why}", source.name);
            }
            Some(webhooks) => {
                warn!(source = %source.name, request_id = %request_id, webhooks, "could not store {webhooks} webhooks since this was last said, the latest of {}, and answered 503: {why}", source.name);
            }
        }
    }

    /// Says at most once a minute and source that webhooks are refused.
    fn say_refused(&self, source: &SourceRuntime, request_id: &RequestId, why: &str, now: Timestamp) {
        if source.said_refused.is_due(now) {
            let (hint, space) = (source.if_refused, if source.if_refused.is_empty() { "" } else { " " });
            warn!(source = %source.name, request_id = %request_id, "refused a webhook of {}: {why}; GET /admin/v1/sources counts them, and says how many are held for a day, to be verified again.{space}{hint}", source.name);
        } else {
            debug!(source = %source.name, request_id = %request_id, "refused a webhook of {}: {why}", source.name);
        }
    }

    fn verify(&self, source: &Arc<SourceRuntime>, request: &Incoming<'_>, now: Timestamp) -> Result<(), Refusal> {
        let url = self.public_url.as_ref().map(|base| format!("{base}{}", request.path_and_query));
        let signed = SignedRequest {
            method: request.method,
            url: url.as_deref(),
            headers: request.headers,
            query: request.query,
            path_token: request.path_token,
            body: &request.body,
        };
        let judged = source.verifier.verify(&signed, now);
        if let Some(signed_at) = judged.signed_at {
            source.clock_ahead.note(signed_at, now);
        }
        let (counter, why) = match judged.verdict {
            Verdict::Valid => return Ok(()),
            Verdict::Invalid => (
                &source.refusals.unproven,
                match source.proven_by() {
                    ProvenBy::Signature => "its signature is missing or wrong",
                    ProvenBy::Token => "its token is missing or wrong",
                },
            ),
            Verdict::Stale => (&source.refusals.stale, "it is genuine, but its time is too far from our clock"),
        };
        Refusals::count(counter);
        self.holding.offer(source, request, &signed, judged.verdict, now);
        self.say_refused(source, &request.request_id, why, now);
        Err(Refusal::Unauthorized)
    }

    /// What today's settings read of a kept event; `None` where its source is no longer configured.
    pub fn reread(&self, event: &EventDetail) -> Option<Reread> {
        let source = self.source(event.row.source.as_str())?;
        let read = match source.reader.read_intake(&event.body, &event.headers) {
            Ok(readings) => match <[Reading<'_>; 1]>::try_from(readings) {
                Ok([reading]) => Outline::of(reading.content, reading.event_type, &source.reader),
                Err(_) => Outline::unreadable(&Unreadable::SeveralRecords, &source.reader),
            },
            Err(reason) => Outline::unreadable(&reason, &source.reader),
        };
        let Outline { lead, kind, event_type, state, reason } = read;
        Some(Reread { lead, kind, event_type, state, reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_on_is_said_at_once_and_then_counted_a_minute() {
        let counted = CountedAMinute::default();
        let at = |second| counted.one_more(Timestamp::from_seconds(second));
        assert_eq!(at(0), Some(1));
        assert_eq!((at(0), at(59)), (None, None));
        assert_eq!(at(60), Some(3));
        assert_eq!(at(61), None);
        assert_eq!(at(10), Some(2), "the clock was set back");
        assert_eq!(at(1000), Some(1));
    }
}
