//! Refused requests are held for a while, in case it was our secret that was wrong: after it was mended they are verified
//! again, so that nothing is lost of senders that never repeat a 401.
//!
//! Anybody can send what is refused, as fast as they like. So nobody waits for the holding: a request is put into a small
//! queue and written from there by and by; where that is full, the oldest in it are dropped and counted.

mod waiting;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{Notify, watch};
use tracing::warn;
use uuid::Uuid;

use self::waiting::Waiting;
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

impl Holding {
    fn waiting(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a refused request into the queue; of too many the oldest go. Its body is read when it is written: strangers decide
    /// how many come, and we how many are written.
    pub(super) fn offer(
        &self,
        source: &Arc<SourceRuntime>,
        request: &Incoming<'_>,
        signed: &SignedRequest<'_>,
        verdict: Verdict,
        now: Timestamp,
    ) {
        let Some(request) = refused(source, request, signed, verdict, now) else {
            metrics::refused_request(&source.name, HoldingOutcome::Dropped);
            return;
        };
        let gone = self.waiting().push(Refused { request, source: Arc::clone(source) });
        self.came.notify_one();
        for refused in gone {
            metrics::refused_request(&refused.source.name, HoldingOutcome::Dropped);
        }
    }

    /// Writes what waits now, so that whoever then looks into the store misses nothing of it.
    pub async fn write_out(self: Arc<Self>, store: Arc<dyn Store>) {
        // A task of its own: whoever waits may go, and what is taken out of the queue has to be written.
        let writing = tokio::spawn(async move {
            let mut left = self.waiting().len();
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
        let (requests, bytes) = (batch.len(), batch.iter().map(Refused::size).sum());
        let mut held = Vec::with_capacity(requests);
        for refused in batch {
            // What reads a large body is not to keep a thread from its other work for all of a batch.
            tokio::task::yield_now().await;
            let name = refused.source.name.clone();
            match refused.into_held() {
                Some(request) => held.push(request),
                None => metrics::refused_request(&name, HoldingOutcome::Dropped),
            }
        }
        if held.is_empty() {
            return Some((requests, bytes));
        }
        let sources: Vec<SourceName> = held.iter().map(|request| request.source.clone()).collect();
        let outcome = match store.hold_refused(held, BOUNDS).await {
            Ok(()) => HoldingOutcome::Held,
            Err(error) => {
                let requests = sources.len();
                warn!(requests, "{requests} refused requests could not be held: {}", error.reason());
                HoldingOutcome::Lost
            }
        };
        for source in &sources {
            metrics::refused_request(source, outcome);
        }
        Some((requests, bytes))
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

/// A refused request as it came, with those of its headers that are kept.
struct Refused {
    request: NewRefused,
    source: Arc<SourceRuntime>,
}

impl Refused {
    fn size(&self) -> usize {
        self.request.size()
    }

    /// What is held of it; `None`: nothing, since it would be with a secret.
    fn into_held(self) -> Option<NewRefused> {
        let Self { mut request, source } = self;
        let (body, headers) = source.held_form(&request.body, std::mem::take(&mut request.headers))?;
        Some(NewRefused { body, headers, ..request })
    }
}

/// What waits of a request; `None`: it is not to be held.
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
        headers: source.headers_to_store(request),
        // A copy: what was read from a socket may be a small piece of a large buffer.
        body: Bytes::copy_from_slice(&request.body),
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

    #[test]
    fn it_rests_for_as_long_as_what_was_written_is_large() {
        assert_eq!([rest_after(0), rest_after(10_000)], [REST; 2]);
        assert_eq!(rest_after(BATCH_BYTES), Duration::from_millis(250));
        assert_eq!(rest_after(3 * BYTES_A_SECOND), Duration::from_secs(3));
    }

    fn source(name: &str, preset: &str) -> Arc<SourceRuntime> {
        let preset = crate::source::preset(preset).expect("known");
        let (verify, read) = preset.verify.zip(preset.read).expect("of its own");
        let source = SourceRuntime::new(name.into(), true, &verify, &["the-key".to_owned()], read, Vec::new());
        Arc::new(source.expect("right"))
    }

    pub(super) fn source_named(name: &str) -> Arc<SourceRuntime> {
        source(name, "google-ads")
    }

    /// What waits of a request with this body to a source with a preset that takes secrets out of bodies.
    fn waiting(preset: &str, query: Option<&str>, content_type: &str, body: &'static [u8]) -> Option<Refused> {
        let source = source("s", preset);
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
        let holding = Holding::default();
        holding.offer(&source, &request, &signed, Verdict::Invalid, Timestamp::from_seconds(0));
        holding.waiting().take_batch().pop()
    }

    /// What is held of it.
    fn held(preset: &str, query: Option<&str>, content_type: &str, body: &'static [u8]) -> Option<NewRefused> {
        waiting(preset, query, content_type, body)?.into_held()
    }

    #[test]
    fn a_body_is_not_read_before_it_is_written() {
        for (preset, kind, body) in
            [("salesforce", "text/xml", &b"no XML"[..]), ("google-ads", "application/json", b"{")]
        {
            let query = (preset == "salesforce").then_some("token=wrong");
            let waiting = waiting(preset, query, kind, body);
            // Nobody shows a token in a body that is no JSON.
            assert_eq!(waiting.is_some(), preset == "salesforce", "{preset}");
            assert!(waiting.and_then(Refused::into_held).is_none(), "{preset}");
        }
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
        let broken = of_salesforce("text/xml", b"<a><SessionId>s</SessionId><b>1</b><c>2").expect("held");
        let kept = &b"<a><SessionId></SessionId><b>1</b><c>"[..];
        assert_eq!((broken.reason, &broken.body[..]), (RefusedFor::WrongToken, kept));
        assert_eq!(broken.headers, [("content-type".to_owned(), "text/xml".to_owned())]);
        // What is no XML is no message of this sender's.
        assert!(of_salesforce("application/json", br#"{"SessionId":"s"}"#).is_none());
    }
}
