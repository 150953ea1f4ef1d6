//! Refused requests are held for a while, in case it was our secret that was wrong: after it was mended they are verified
//! again, so that nothing is lost of senders that never repeat a 401.
//!
//! Anybody can send what is refused, as fast as they like. So nobody waits for the holding: a request is put into a small
//! queue, or dropped and counted where that is full, and is written from there by and by.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{Notify, watch};
use tracing::warn;
use uuid::Uuid;

use super::source::SourceRuntime;
use super::{Incoming, Intake, Receipt, Refusal};
use crate::clock::Clock;
use crate::domain::envelope::BodyKind;
use crate::domain::headers::RECEIVED_AT;
use crate::domain::ids::SourceName;
use crate::domain::signature::{Kept, Proof, SignedRequest, Verdict};
use crate::domain::time::Timestamp;
use crate::store::{NewRefused, RefusedBounds, RefusedDetail, RefusedFor, Store};
use crate::telemetry::metrics::{self, HoldingOutcome};

/// What is held at most, and for how long.
const BOUNDS: RefusedBounds = RefusedBounds { per_source: 1000, bytes: 64 << 20 };
const HELD_FOR: Duration = Duration::from_secs(24 * 3600);
const FORGET_EVERY: Duration = Duration::from_secs(60);

/// What waits to be written at most: so many of each source, and of its bytes half of what the others leave of these.
const MAX_WAITING: usize = 256;
const MAX_WAITING_BYTES: usize = 8 << 20;
/// In all. As long as this has room, one request of each source has, however large it is.
const MAX_WAITING_BYTES_IN_ALL: usize = 64 << 20;
/// More beside its body than this is no honest sender's.
const MAX_HEAD: usize = 16 << 10;

/// What is written at once, so that webhooks do not wait behind it, how long it then rests, and how much strangers may have
/// written in a second.
const BATCH: usize = 32;
const BATCH_BYTES: usize = 256 << 10;
const REST: Duration = Duration::from_millis(100);
const BYTES_A_SECOND: usize = 1 << 20;

/// Refused requests on their way into the store.
#[derive(Default)]
pub struct Holding {
    waiting: Mutex<Waiting>,
    came: Notify,
    /// Held from taking a batch until it is written.
    writing: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Waiting {
    requests: VecDeque<NewRefused>,
    by_source: HashMap<SourceName, OfSource>,
    bytes: usize,
}

/// What waits of one source.
#[derive(Clone, Copy, Default)]
struct OfSource {
    requests: usize,
    bytes: usize,
}

impl Waiting {
    fn has_room_for(&self, source: &SourceName, bytes: usize) -> bool {
        let own = self.by_source.get(source).copied().unwrap_or_default();
        let free = MAX_WAITING_BYTES.saturating_sub(self.bytes.saturating_sub(own.bytes));
        let fits = own.bytes.saturating_add(bytes) <= free / 2;
        let is_only = own.requests == 0 && self.bytes.saturating_add(bytes) <= MAX_WAITING_BYTES_IN_ALL;
        own.requests < MAX_WAITING && (fits || is_only)
    }

    fn take_batch(&mut self) -> Vec<NewRefused> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while let Some(next) = self.requests.front()
            && batch.len() < BATCH
            && (batch.is_empty() || bytes + next.size() <= BATCH_BYTES)
        {
            bytes += next.size();
            batch.extend(self.requests.pop_front());
        }
        self.bytes = self.bytes.saturating_sub(bytes);
        for request in &batch {
            if let Some(waiting) = self.by_source.get_mut(&request.source) {
                waiting.requests = waiting.requests.saturating_sub(1);
                waiting.bytes = waiting.bytes.saturating_sub(request.size());
            }
        }
        batch
    }
}

impl Holding {
    fn waiting(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a refused request into the queue, if there is room.
    pub(super) fn offer(
        &self,
        source: &SourceRuntime,
        request: &Incoming<'_>,
        signed: &SignedRequest<'_>,
        verdict: Verdict,
        now: Timestamp,
    ) {
        let has_room = self.waiting().has_room_for(&source.name, request.body.len());
        let refused = has_room.then(|| refused(source, request, signed, verdict, now)).flatten();
        let held = refused.is_some_and(|refused| self.push(refused));
        metrics::refused_request(&source.name, if held { HoldingOutcome::Held } else { HoldingOutcome::Dropped });
    }

    fn push(&self, refused: NewRefused) -> bool {
        let (bytes, mut waiting) = (refused.size(), self.waiting());
        if !waiting.has_room_for(&refused.source, bytes) {
            return false;
        }
        waiting.bytes += bytes;
        let own = waiting.by_source.entry(refused.source.clone()).or_default();
        own.requests += 1;
        own.bytes += bytes;
        waiting.requests.push_back(refused);
        self.came.notify_one();
        true
    }

    /// Writes what waits now, so that whoever then looks into the store misses nothing of it.
    pub async fn write_out(self: Arc<Self>, store: Arc<dyn Store>) {
        // A task of its own: whoever waits may go, and what is taken out of the queue has to be written.
        let writing = tokio::spawn(async move {
            let mut left = self.waiting().requests.len();
            loop {
                let Some((written, _)) = self.write_batch(&*store).await else { return };
                left = left.saturating_sub(written);
                if left == 0 {
                    return;
                }
            }
        });
        if let Err(error) = writing.await {
            warn!("refused requests that wait in memory could not be written: {error}");
        }
    }

    /// Writes the next few, after those that are being written; answers how many there were, and their bytes.
    async fn write_batch(&self, store: &dyn Store) -> Option<(usize, usize)> {
        let _writing = self.writing.lock().await;
        let batch = self.waiting().take_batch();
        if batch.is_empty() {
            return None;
        }
        let bytes = batch.iter().map(NewRefused::size).sum();
        let sources: Vec<SourceName> = batch.iter().map(|request| request.source.clone()).collect();
        if let Err(error) = store.hold_refused(batch, BOUNDS).await {
            warn!(requests = sources.len(), "{} refused requests could not be held: {}", sources.len(), error.reason());
            for source in &sources {
                metrics::refused_request(source, HoldingOutcome::Lost);
            }
        }
        Some((sources.len(), bytes))
    }

    /// Writes what waits, a little at a time, and lets go of what is too old, until `stop` becomes true and nothing waits.
    pub async fn run(self: Arc<Self>, store: Arc<dyn Store>, clock: Clock, mut stop: watch::Receiver<bool>) {
        let mut forgot: Option<Instant> = None;
        loop {
            if forgot.is_none_or(|forgot| forgot.elapsed() >= FORGET_EVERY) {
                forgot = Some(Instant::now());
                if let Err(error) = store.forget_refused(clock.now().before(HELD_FOR)).await {
                    warn!("refused requests may be held for longer than a day: {}", error.reason());
                }
            }
            let Some((_, bytes)) = self.write_batch(&*store).await else {
                if *stop.borrow() {
                    return;
                }
                tokio::select! {
                    () = self.came.notified() => {}
                    _ = stop.changed() => {}
                    () = tokio::time::sleep(FORGET_EVERY) => {}
                }
                continue;
            };
            let rest = rest_after(bytes);
            if !*stop.borrow() {
                tokio::select! {
                    () = tokio::time::sleep(rest) => {}
                    _ = stop.changed() => {}
                }
            }
        }
    }
}

/// How long nothing is written after so many bytes.
fn rest_after(bytes: usize) -> Duration {
    REST.max(Duration::from_secs(1).mul_f64(bytes as f64 / BYTES_A_SECOND as f64))
}

/// What is held of a request; `None`: it is not to be.
fn refused(
    source: &SourceRuntime,
    request: &Incoming<'_>,
    signed: &SignedRequest<'_>,
    verdict: Verdict,
    now: Timestamp,
) -> Option<NewRefused> {
    let proof = source.verifier.proof(signed, request.path_and_query, Uuid::new_v4().into_bytes());
    let is_unread = !source.takes(BodyKind::of(request.headers));
    if is_unread || (proof == Proof::Missing && source.has_secrets_in_body()) {
        // It can never be taken in, and strangers are not to have their bodies parsed.
        return None;
    }
    let (body, headers) = source.held_form(request)?;
    let reason = match verdict {
        Verdict::Stale => RefusedFor::Stale,
        _ => RefusedFor::unproven(source.proven_by(), proof != Proof::Missing),
    };
    let refused = NewRefused {
        source: source.name.clone(),
        reason,
        received_at: now,
        request_id: request.request_id.clone(),
        proof,
        headers,
        // A copy: what was read from a socket may be a small piece of a large buffer.
        body: Bytes::copy_from_slice(&body),
    };
    (refused.size() - refused.body.len() <= MAX_HEAD).then_some(refused)
}

impl Intake {
    /// Judges a held request by today's secrets, as of the moment when it came. `None`: it is genuine.
    pub fn judge_held(&self, source: &SourceRuntime, held: &RefusedDetail) -> Option<RefusedFor> {
        let kept = Kept { proof: &held.proof, public_url: self.public_url.as_deref(), body: &held.body };
        match source.verifier.judge_again(&kept, held.row.received_at).verdict {
            Verdict::Valid => None,
            Verdict::Stale => Some(RefusedFor::Stale),
            Verdict::Invalid => Some(RefusedFor::unproven(source.proven_by(), held.proof != Proof::Missing)),
        }
    }

    /// Takes in a held request that was judged genuine, as [`Self::accept`] does. It is told apart from what the sender said
    /// meanwhile by the moment when it came.
    pub async fn accept_held(&self, source: &SourceRuntime, held: &RefusedDetail) -> Result<Receipt, Refusal> {
        let request = Incoming {
            method: "POST",
            path_and_query: "",
            query: None,
            path_token: None,
            headers: &held.headers,
            body: held.body.clone(),
            request_id: held.row.request_id.clone(),
        };
        let now = self.clock.now();
        let mut events = source.read(&request, now);
        let received_at = (RECEIVED_AT.to_owned(), held.row.received_at.as_micros().to_string());
        for event in &mut events {
            event.headers.push(received_at.clone());
        }
        self.store(source, events, &request.request_id, now).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(source: &str, bytes: usize) -> NewRefused {
        NewRefused {
            source: source.into(),
            reason: RefusedFor::WrongSignature,
            received_at: Timestamp::from_seconds(0),
            request_id: "r".into(),
            proof: Proof::Missing,
            headers: Vec::new(),
            body: Bytes::from(vec![b'x'; bytes]),
        }
    }

    #[test]
    fn one_sources_flood_leaves_room_for_another_source() {
        let holding = Holding::default();
        for (bytes, at_most) in [(10, MAX_WAITING), (1 << 20, 4), (5 << 20, 1), (20 << 20, 1)] {
            let held = (0..1000).filter(|_| holding.push(refused("flooded", bytes))).count();
            assert_eq!(held, at_most, "of {bytes} bytes");
            assert!(holding.push(refused("quiet", 1 << 20)), "after {bytes} bytes");
            let taken = std::iter::from_fn(|| Some(holding.waiting().take_batch()).filter(|batch| !batch.is_empty()));
            assert_eq!(taken.flatten().count(), held + 1);
            assert_eq!(holding.waiting().bytes, 0);
            assert!(holding.waiting().by_source.values().all(|own| (own.requests, own.bytes) == (0, 0)));
        }
    }

    #[test]
    fn what_waits_is_bounded_however_many_sources_are_flooded() {
        let holding = Holding::default();
        let held = (0..100).filter(|source| holding.push(refused(&format!("s{source}"), 5 << 20))).count();
        assert_eq!(held, MAX_WAITING_BYTES_IN_ALL / (5 << 20));
        assert!(holding.waiting().bytes <= MAX_WAITING_BYTES_IN_ALL);
    }

    #[test]
    fn it_rests_for_as_long_as_what_was_written_is_large() {
        assert_eq!([rest_after(0), rest_after(10_000)], [REST; 2]);
        assert_eq!(rest_after(BATCH_BYTES), Duration::from_millis(250));
        assert_eq!(rest_after(3 * BYTES_A_SECOND), Duration::from_secs(3));
    }

    /// What is held of a request with this body to a source with a preset that takes secrets out of bodies.
    fn held(preset: &str, query: Option<&str>, content_type: &str, body: &'static [u8]) -> Option<NewRefused> {
        let preset = crate::source::preset(preset).expect("known");
        let (verify, read) = preset.verify.zip(preset.read).expect("of its own");
        let source = SourceRuntime::new("s".into(), true, &verify, &["the-key".to_owned()], read, Vec::new());
        let headers = vec![("content-type".to_owned(), content_type.to_owned())];
        let request = Incoming {
            method: "POST",
            path_and_query: "/webhooks/s",
            query,
            path_token: None,
            headers: &headers,
            body: Bytes::from_static(body),
            request_id: "r".into(),
        };
        let signed = SignedRequest {
            method: request.method,
            url: None,
            headers: request.headers,
            query,
            path_token: None,
            body: &request.body,
        };
        super::refused(&source.expect("right"), &request, &signed, Verdict::Invalid, Timestamp::from_seconds(0))
    }

    #[test]
    fn a_body_with_secrets_is_not_read_for_one_who_shows_none() {
        let json = "application/json";
        assert!(held("google-ads", None, json, br#"{"lead_id":"1"}"#).is_none());
        let wrong = held("google-ads", None, json, br#"{"lead_id":"1","google_key":"another"}"#).expect("held");
        assert_eq!((wrong.reason, &wrong.body[..]), (RefusedFor::WrongToken, &br#"{"lead_id":"1"}"#[..]));
    }

    #[test]
    fn a_body_is_not_read_for_a_wrong_token_that_stands_elsewhere() {
        let of_salesforce = |content_type: &str, body| held("salesforce", Some("token=wrong"), content_type, body);
        // It could not be held if it had to be read.
        let broken = of_salesforce("text/xml", b"<a><SessionId>s</SessionId><b>1").expect("held");
        assert_eq!((broken.reason, &broken.body[..]), (RefusedFor::WrongToken, &b"<a><SessionId></SessionId><b>1"[..]));
        assert_eq!(broken.headers, [("content-type".to_owned(), "text/xml".to_owned())]);
        assert!(of_salesforce("application/json", b"{").is_some_and(|held| &held.body[..] == b"{"));
        assert!(of_salesforce("application/json", br#"{"SessionId":"s"}"#).is_none());
    }

    #[test]
    fn a_batch_is_short_and_a_large_request_goes_alone() {
        let holding = Holding::default();
        for bytes in [BATCH_BYTES + 1, 10, 10] {
            assert!(holding.push(refused("klozeo", bytes)));
        }
        let sizes = || holding.waiting().take_batch().len();
        assert_eq!([sizes(), sizes(), sizes()], [1, 2, 0]);
        for _ in 0..BATCH + 1 {
            assert!(holding.push(refused("klozeo", 10)));
        }
        assert_eq!([sizes(), sizes()], [BATCH, 1]);
    }
}
