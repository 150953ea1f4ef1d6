//! `POST /webhooks/{source}`: where lead systems send their leads.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::{Extension, Json, Router, middleware};
use serde::Serialize;
use utoipa::ToSchema;

use super::body::{self, BodyLimits};
use super::error::{ApiError, Problem};
use super::{health, request_id};
use crate::domain::envelope::BodyKind;
use crate::domain::headers::Headers;
use crate::domain::ids::RequestId;
use crate::domain::signature::HandshakeAnswer;
use crate::intake::{EventStatus, Incoming, Intake, Receipt, Refusal, Refusals, SourceRuntime};
use crate::telemetry::metrics::WebhookOutcome;

/// A disabled source is asked again after this many seconds; senders keep their events meanwhile.
const DISABLED_RETRY_AFTER: u32 = 300;

/// What the public listener serves: webhooks and `/healthz`, nothing else.
pub fn public_router(intake: Arc<Intake>, limits: BodyLimits) -> Router {
    let app = PublicState { intake, limits };
    Router::new()
        .route("/webhooks/{source}", any(receive))
        .route("/webhooks/{source}/{token}", any(receive_with_token))
        .route("/healthz", any(health::healthz))
        .fallback(unknown_path)
        .with_state(app)
        .layer(middleware::from_fn(request_id::identify))
}

#[derive(Clone)]
pub(super) struct PublicState {
    intake: Arc<Intake>,
    limits: BodyLimits,
}

/// What became of a webhook: everything it names is on disk.
#[derive(Debug, Serialize, ToSchema)]
pub struct Accepted {
    /// The first of `accepted`, `quarantined`, `duplicate`, `ignored` that occurs among the events.
    #[schema(example = "accepted")]
    status: &'static str,
    /// One per record in the request, in its order.
    events: Vec<AcceptedEvent>,
}

/// What became of one event.
#[derive(Debug, Serialize, ToSchema)]
pub struct AcceptedEvent {
    /// Under which it is stored; of a duplicate, the first event's.
    #[schema(example = "evt_4711")]
    id: String,
    /// `accepted`, `quarantined` (signed, but no lead can be read; kept), `duplicate` or `ignored` (by its type; kept).
    #[schema(example = "accepted")]
    status: &'static str,
}

impl From<Receipt> for Accepted {
    fn from(receipt: Receipt) -> Self {
        let event = |(id, status): &(_, EventStatus)| AcceptedEvent { id: format!("{id}"), status: status.as_str() };
        let status = receipt.status().as_str();
        Self { status, events: receipt.events.iter().map(event).collect() }
    }
}

/// Takes in one signed request and answers 202 once its events are on disk.
///
/// An event ID that was seen before gets the same answer again and is stored once. How a request is signed, and what its
/// body looks like, is the source's own; bodies are JSON or, where the source takes them, forms or XML; uncompressed.
#[utoipa::path(
    post, path = "/webhooks/{source}", tag = "webhooks", security(()),
    params(("source" = String, Path, description = "The NAME of [sources.NAME]")),
    request_body(content = serde_json::Value, description = "As the lead system sends it"),
    responses(
        (status = 202, description = "Committed and synced to disk", body = Accepted),
        (status = 200, description = "The same, as Salesforce's outbound messages want it: SOAP's acknowledgement", body = String, content_type = "text/xml"),
        (status = 401, description = "Signature or token missing or wrong, or a signature outside the tolerance", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "Unknown source", body = Problem, content_type = "application/problem+json"),
        (status = 408, description = "The body did not arrive in time", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "Larger than `server.max_body`", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "Compressed, or a form that the source does not take", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Cannot commit now, or the source is disabled: send it again", body = Problem, content_type = "application/problem+json",
            headers(("retry-after" = u32, description = "Seconds")))
    )
)]
pub(super) async fn receive(state: State<PublicState>, id: Extension<RequestId>, request: Request) -> Response {
    answer(state.0, id.0, request).await
}

/// The same for senders whose secret token is a part of the path.
#[utoipa::path(
    post, path = "/webhooks/{source}/{token}", tag = "webhooks", security(()),
    params(("source" = String, Path, description = "The NAME of [sources.NAME]"), ("token" = String, Path)),
    request_body(content = serde_json::Value, description = "As the lead system sends it"),
    responses(
        (status = 202, description = "Committed and synced to disk", body = Accepted),
        (status = 200, description = "The same, as Salesforce's outbound messages want it: SOAP's acknowledgement", body = String, content_type = "text/xml"),
        (status = 401, description = "Token or signature missing or wrong", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "Unknown source", body = Problem, content_type = "application/problem+json"),
        (status = 408, description = "The body did not arrive in time", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "Larger than `server.max_body`", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "Compressed, or a form that the source does not take", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Cannot commit now, or the source is disabled: send it again", body = Problem, content_type = "application/problem+json",
            headers(("retry-after" = u32, description = "Seconds")))
    )
)]
pub(super) async fn receive_with_token(
    state: State<PublicState>,
    id: Extension<RequestId>,
    request: Request,
) -> Response {
    answer(state.0, id.0, request).await
}

async fn answer(app: PublicState, request_id: RequestId, request: Request) -> Response {
    let started = Instant::now();
    let (mut parts, body) = request.into_parts();
    let target = Target::of(&mut parts).await;
    let known = target.and_then(|target| Some((app.intake.source(&target.source)?, target.token)));
    let Some((source, token)) = known.filter(|(source, token)| token.is_none() || source.has_token_in_path()) else {
        body::discard(body, app.limits).await;
        return ApiError::NotFound.into_response();
    };
    if parts.method != Method::POST {
        body::discard(body, app.limits).await;
        return match &source.handshake {
            Some(handshake) if parts.method == handshake.method() && token.is_none() => {
                self::handshake(handshake.answer(parts.uri.query()))
            }
            Some(handshake) if token.is_none() => ApiError::MethodNotAllowed(Some(handshake.allow())).into_response(),
            _ => ApiError::MethodNotAllowed(Some("POST")).into_response(),
        };
    }
    let result = accept(&app, source, &parts, token.as_deref(), body, request_id).await;
    if let Some(outcome) = outcome(&result) {
        source.meter.count(outcome, started.elapsed());
    }
    match result {
        Ok(_) if source.wants_soap => {
            ([(header::CONTENT_TYPE, "text/xml; charset=utf-8")], SOAP_ACKNOWLEDGEMENT).into_response()
        }
        result => result.map(|receipt| (StatusCode::ACCEPTED, Json(Accepted::from(receipt)))).into_response(),
    }
}

/// Without it Salesforce sends an outbound message again, for a day.
const SOAP_ACKNOWLEDGEMENT: &str = "\
    <soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\"><soapenv:Body>\
    <notificationsResponse xmlns=\"http://soap.sforce.com/2005/09/outbound\"><Ack>true</Ack></notificationsResponse>\
    </soapenv:Body></soapenv:Envelope>";

/// Answers what a lead system asks before it sends anything: Meta's `hub.challenge`, LinkedIn's `challengeCode`.
///
/// Also of a disabled source, since some senders give an address up for good that does not answer. Intercom's HEAD is answered 200.
#[utoipa::path(
    get, path = "/webhooks/{source}", tag = "webhooks", security(()),
    params(("source" = String, Path, description = "The NAME of [sources.NAME]")),
    responses(
        (status = 200, description = "The challenge as plain text (Meta), or with its proof (LinkedIn)", body = Proof),
        (status = 403, description = "The token is wrong, or there is no challenge", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "Unknown source", body = Problem, content_type = "application/problem+json"),
        (status = 405, description = "This source has no handshake", body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) fn handshake(answer: HandshakeAnswer) -> Response {
    let no_sniffing = [(header::X_CONTENT_TYPE_OPTIONS, "nosniff"), (header::CACHE_CONTROL, "no-store")];
    match answer {
        HandshakeAnswer::Challenge(text) => (no_sniffing, text).into_response(),
        HandshakeAnswer::Proof { code, response } => {
            (no_sniffing, Json(Proof { challenge_code: code, challenge_response: response })).into_response()
        }
        HandshakeAnswer::Present => no_sniffing.into_response(),
        HandshakeAnswer::Refused => ApiError::HandshakeRefused.into_response(),
    }
}

/// What LinkedIn's handshake is answered.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Proof {
    /// As it was sent.
    challenge_code: String,
    /// HMAC-SHA256 of the challenge with the client secret, in hex.
    challenge_response: String,
}

async fn accept(
    app: &PublicState,
    source: &Arc<SourceRuntime>,
    parts: &Parts,
    path_token: Option<&str>,
    body: Body,
    request_id: RequestId,
) -> Result<Receipt, ApiError> {
    let refused = early_refusal(source, &parts.headers, app.limits);
    if let Some((counter, refusal, still_sending)) = refused {
        Refusals::count(counter);
        if still_sending {
            body::discard(body, app.limits).await;
        }
        return Err(refusal);
    }
    let body = body::read(body, app.limits).await.inspect_err(|error| {
        if matches!(error, ApiError::TooLarge) {
            Refusals::count(&source.refusals.too_large);
        }
    })?;
    let headers = RequestHeaders(&parts.headers);
    let incoming = Incoming {
        method: parts.method.as_str(),
        path_and_query: parts.uri.path_and_query().map_or("", |path| path.as_str()),
        query: parts.uri.query(),
        path_token,
        headers: &headers,
        body,
        request_id,
    };
    app.intake.accept(source, incoming).await.map_err(|refusal| {
        let unavailable = |retry_after, detail| {
            Refusals::count(&source.refusals.unavailable);
            ApiError::Unavailable { retry_after, detail }
        };
        match refusal {
            Refusal::Unauthorized => ApiError::Unauthorized(source.proven_by()),
            Refusal::Unsupported(kind) => {
                Refusals::count(&source.refusals.unsupported);
                unread_form(source, kind)
            }
            Refusal::Busy => unavailable(1, "Too much waits to be stored; send it again."),
            Refusal::NotCommitted => unavailable(5, "It could not be stored in time; send it again."),
        }
    })
}

/// What is refused whatever the body says: the counter, the answer, and whether the client sends its body all the same.
fn early_refusal<'a>(
    source: &'a SourceRuntime,
    headers: &HeaderMap,
    limits: BodyLimits,
) -> Option<(&'a std::sync::atomic::AtomicU64, ApiError, bool)> {
    // A client that waits for "100 Continue" sends no body after another answer.
    let still_sending = !headers.contains_key(header::EXPECT);
    let refusals = &source.refusals;
    if !source.enabled {
        let detail = "This source is disabled; send it again later.";
        let refusal = ApiError::Unavailable { retry_after: DISABLED_RETRY_AFTER, detail };
        return Some((&refusals.unavailable, refusal, still_sending));
    }
    let encodings = headers.get_all(header::CONTENT_ENCODING);
    if encodings.iter().any(|encoding| !encoding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity")) {
        let refusal = ApiError::Unsupported("Send the body uncompressed, without Content-Encoding.");
        return Some((&refusals.unsupported, refusal, still_sending));
    }
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let too_large = length.is_some_and(|length| usize::try_from(length).map_or(true, |length| length > limits.most));
    too_large.then_some((&refusals.too_large, ApiError::TooLarge, still_sending))
}

/// What to send instead of a kind of body that the source does not take.
fn unread_form(source: &SourceRuntime, kind: BodyKind) -> ApiError {
    ApiError::Unsupported(match kind {
        BodyKind::Multipart if source.takes(BodyKind::Form) => {
            "Send JSON with Content-Type: application/json, or a form as application/x-www-form-urlencoded."
        }
        BodyKind::Xml => "Send JSON with Content-Type: application/json; this source's preset reads no XML.",
        _ => "Send JSON with Content-Type: application/json; this source's preset reads no such form.",
    })
}

fn outcome(result: &Result<Receipt, ApiError>) -> Option<WebhookOutcome> {
    Some(match result {
        Ok(receipt) => match receipt.status() {
            EventStatus::Accepted => WebhookOutcome::Accepted,
            EventStatus::Quarantined => WebhookOutcome::Quarantined,
            EventStatus::Duplicate => WebhookOutcome::Duplicate,
            EventStatus::Ignored => WebhookOutcome::Ignored,
        },
        Err(ApiError::Unauthorized(_)) => WebhookOutcome::Unauthorized,
        Err(ApiError::TooLarge) => WebhookOutcome::TooLarge,
        Err(ApiError::Unavailable { .. }) => WebhookOutcome::Unavailable,
        // Compressed bodies, forms and broken connections: `GET /sources` counts them.
        Err(_) => return None,
    })
}

/// Which source is meant, and the token in the path.
struct Target {
    source: String,
    token: Option<String>,
}

impl Target {
    /// `None` where the path is no text: such a path is as unknown as any other.
    async fn of(parts: &mut Parts) -> Option<Self> {
        let path: Result<Path<Vec<String>>, PathRejection> = Path::from_request_parts(parts, &()).await;
        let mut segments = path.ok()?.0.into_iter();
        Some(Self { source: segments.next()?, token: segments.next() })
    }
}

struct RequestHeaders<'a>(&'a HeaderMap);

impl Headers for RequestHeaders<'_> {
    fn named(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name).map(|value| value.as_bytes())
    }
}

async fn unknown_path(State(app): State<PublicState>, request: Request) -> ApiError {
    body::discard(request.into_body(), app.limits).await;
    ApiError::NotFound
}
