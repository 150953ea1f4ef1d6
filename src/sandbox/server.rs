//! The HTTP side: connections, what counts as a call, and faults that need the connection itself.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{Request, Response};

use super::duplicates::OnDuplicates;
use super::error::{Refusal, Refusals};
use super::faults::{self, Trouble};
use super::login_key::LoginKey;
use super::soap::{self, SoapCall};
use super::value::now;
use super::wire::{Answer, Call, Content, Payload};
use super::world::World;
use super::write::Writer;
use super::{control, oauth, rest, table::By, world};

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Largest request body.
const LARGEST_BODY: usize = 50 * 1024 * 1024;
/// Longest target, and target with headers, in bytes.
const LONGEST_HEAD: usize = 16_384;
/// How long an answer that never comes keeps its connection.
const NEVER: Duration = Duration::from_secs(60);
/// When a late write lands.
const LATE: Duration = Duration::from_secs(2);
/// Size of the answer that is too large, and of its pieces.
const HUGE: usize = 100 * 1024 * 1024;
const PIECE: usize = 64 * 1024;
/// Between two bytes of a slow answer.
const DRIBBLE: Duration = Duration::from_millis(100);

/// What all connections share.
#[derive(Debug)]
pub(super) struct Shared {
    world: Mutex<World>,
}

/// The connection ends without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the sandbox drops this connection on purpose")]
pub(super) struct Dropped;

impl Shared {
    pub fn new(url: String, login_key: Option<LoginKey>) -> Self {
        Self { world: Mutex::new(World { login_key, ..World::new(url) }) }
    }

    /// A panic while a request ran must not take the sandbox with it.
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers one request, or ends its connection; `reset` makes that end a TCP reset.
pub(super) async fn serve(
    shared: Arc<Shared>,
    reset: Arc<AtomicBool>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Dropped> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let body = match Limited::new(body, LARGEST_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(err) if err.is::<LengthLimitError>() => {
            let refusal = Refusal::new(413, "REQUEST_ENTITY_TOO_LARGE", "The body of the request is too large");
            return Ok(respond(Answer::refused(&[refusal])));
        }
        Err(_) => return Err(Dropped),
    };
    if let Some(path) = path.strip_prefix("/_sandbox/") {
        let query = parts.uri.query().unwrap_or_default();
        return Ok(respond(control::answer(&mut shared.world(), &parts.method, path, query, &body)));
    }
    if path == "/services/oauth2/token" {
        return Ok(respond(oauth::token(&mut shared.world(), &parts.method, &parts.headers, &body)));
    }
    if is_soap(&path) {
        return soap_call(shared, reset, parts, body).await;
    }
    if matches!(path.as_str(), "/services/data" | "/services/data/") {
        return Ok(respond(Answer::json(200, rest::list_versions())));
    }
    if !path.starts_with("/services/data/") {
        return Ok(respond(Answer::refused(&[Refusal::no_such_resource()])));
    }
    let target = target_of(&parts);
    let job = Job { asked: read_call(&parts, &target, &body).map(Asked::Rest), authorization: authorization(&parts) };
    counted(shared, reset, parts, job).await
}

fn target_of(parts: &Parts) -> String {
    parts.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned()
}

/// `/services/Soap/u/62.0`, and with the organisation's id after it.
fn is_soap(path: &str) -> bool {
    path.starts_with("/services/Soap/u/")
}

/// A SOAP call: a login, which is not counted, or one that is.
async fn soap_call(
    shared: Arc<Shared>,
    reset: Arc<AtomicBool>,
    parts: Parts,
    body: Bytes,
) -> Result<Response<Body>, Dropped> {
    let call = match SoapCall::read(&body) {
        Ok(call) if parts.method == http::Method::POST => call,
        Ok(_) => return Ok(respond(soap::fault(&Refusal::method_not_allowed(&parts.method)))),
        Err(refusal) => return Ok(respond(soap::fault(&refusal))),
    };
    if call.is_login() {
        let host = parts.headers.get(http::header::HOST).and_then(|value| value.to_str().ok());
        let mut world = shared.world();
        let url = world.address(host);
        return Ok(respond(call.login(&mut world, parts.uri.path().trim_end_matches('/'), &url)));
    }
    let job = Job { asked: Ok(Asked::Soap(call)), authorization: Ok(String::new()) };
    counted(shared, reset, parts, job).await
}

/// A request that the org counts, with whatever trouble was ordered for it.
async fn counted(
    shared: Arc<Shared>,
    reset: Arc<AtomicBool>,
    parts: Parts,
    job: Job,
) -> Result<Response<Body>, Dropped> {
    let target = target_of(&parts);
    let is_soap = matches!(job.asked, Ok(Asked::Soap(_)));
    let id: Arc<str> = match parts.headers.get("x-request-id").and_then(|value| value.to_str().ok()) {
        Some(id) => id.into(),
        None => uuid::Uuid::new_v4().to_string().into(),
    };
    let (trouble, number) = note(&mut shared.world(), &parts, &job, &id, &target);
    let finish = |answer: Answer| {
        let mut answer = if is_soap { soap::translate(answer) } else { answer };
        let mut world = shared.world();
        if let Some(entry) = world.requests.get(number) {
            entry.status = Some(answer.status);
        }
        let (used, max) = (world.usage.used(), world.usage.max);
        let shown = world.faults.shown_usage(parts.method.as_str(), &target, used);
        answer.headers.push(("Sforce-Limit-Info", format!("api-usage={shown}/{max}")));
        answer.headers.push(("x-request-id", id.to_string()));
        answer
    };
    match trouble {
        None => Ok(respond(finish(job.execute(&shared, number, &id, &target)))),
        Some(Trouble::Slow) => Ok(dribbled(finish(job.execute(&shared, number, &id, &target)))),
        Some(Trouble::Instead(answer)) => Ok(respond(finish(answer))),
        Some(Trouble::Huge) => Ok(huge(finish(Answer::empty(200)))),
        Some(Trouble::ResetBefore) => {
            reset.store(true, Ordering::Release);
            Err(Dropped)
        }
        Some(Trouble::ResetAfter) => {
            job.execute(&shared, number, &id, &target);
            reset.store(true, Ordering::Release);
            Err(Dropped)
        }
        Some(Trouble::TimeoutAfter) => {
            job.execute(&shared, number, &id, &target);
            never().await
        }
        Some(Trouble::Hang) => never().await,
        Some(Trouble::LateWrite(answer)) => {
            let (late, id, target) = (Arc::clone(&shared), Arc::clone(&id), target.clone());
            // In a task of its own: it lands although the caller has hung up by then.
            tokio::spawn(async move {
                tokio::time::sleep(LATE).await;
                job.execute(&late, number, &id, &target);
            });
            match answer {
                Some(answer) => Ok(respond(finish(answer))),
                None => never().await,
            }
        }
    }
}

/// Counts a request and notes it; answers what trouble was ordered for it, and under which number it is noted.
fn note(world: &mut World, parts: &Parts, job: &Job, id: &Arc<str>, target: &str) -> (Option<Trouble>, u64) {
    let (endpoint, asks_to_write) = match &job.asked {
        Ok(Asked::Rest(call)) => (rest::endpoint(world, call), call.asks_to_write()),
        Ok(Asked::Soap(call)) => (call.endpoint().to_owned(), call.asks_to_write()),
        Err(_) => ("other".to_owned(), false),
    };
    world.usage.count(endpoint);
    let number = world.requests.add(world::Request {
        id: Arc::clone(id),
        at: now(),
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        status: None,
        asks_to_write,
        executed: false,
        written: 0,
    });
    let spent = world.usage.used() > world.usage.max;
    let trouble = world.faults.strike(parts.method.as_str(), target, asks_to_write);
    (trouble.or_else(|| spent.then(|| Trouble::Instead(faults::daily_limit()))), number)
}

async fn never() -> Result<Response<Body>, Dropped> {
    tokio::time::sleep(NEVER).await;
    Err(Dropped)
}

/// A request that was read and waits to be executed.
struct Job {
    asked: Result<Asked, Refusal>,
    /// Of SOAP it is in the body.
    authorization: Result<String, Refusal>,
}

/// People's edits that were ordered to come before the request.
fn edit_meanwhile(world: &mut World, call: &Call) -> Result<(), Refusals> {
    for (id, fields) in world.faults.edits(call.method.as_str(), &call.target, call.asks_to_write()) {
        let (table, row) = world.find_record(&id).ok_or_else(Refusal::no_such_resource)?;
        world.update(table, row, &fields, &Writer::person(now()))?;
    }
    Ok(())
}

/// In which of the org's languages it came.
enum Asked {
    Rest(Call),
    Soap(SoapCall),
}

impl Job {
    fn execute(self, shared: &Shared, number: u64, id: &Arc<str>, target: &str) -> Answer {
        let mut world = shared.world();
        let world = &mut *world;
        if let Ok(Asked::Rest(call)) = &self.asked
            && let Err(refusals) = edit_meanwhile(world, call)
        {
            return Answer::refused(&refusals);
        }
        world.undo.clear();
        let before = world.writes;
        let admitted = match &self.asked {
            Ok(Asked::Soap(call)) => call.session(),
            _ => self.authorization,
        };
        let admitted =
            admitted.and_then(|token| if world.sessions.admits(&token) { Ok(()) } else { Err(Refusal::session()) });
        let answer = match admitted.and(self.asked) {
            Ok(Asked::Soap(call)) => call.execute(world, Arc::clone(id), target),
            Ok(Asked::Rest(call)) => {
                let writer = Writer {
                    by: By::Api,
                    at: now(),
                    request: Some(Arc::clone(id)),
                    method: call.method.to_string(),
                    target: call.target.clone(),
                    assign: rest::assigns(&call),
                    duplicates: OnDuplicates::read(&call),
                };
                rest::answer(world, &call, &writer)
            }
            Err(refusal) => return Answer::refused(&[refusal]),
        };
        let written = world.writes - before;
        if let Some(entry) = world.requests.get(number) {
            entry.executed = true;
            entry.written = written;
        }
        answer
    }
}

fn authorization(parts: &Parts) -> Result<String, Refusal> {
    let header = parts.headers.get(AUTHORIZATION).ok_or_else(Refusal::session)?;
    let malformed = || Refusal::new(401, "INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE");
    let (scheme, token) = header.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(malformed)?;
    if scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("oauth") {
        Ok(token.trim().to_owned())
    } else {
        Err(malformed())
    }
}

fn read_call(parts: &Parts, target: &str, body: &[u8]) -> Result<Call, Refusal> {
    if target.len() > LONGEST_HEAD {
        return Err(Refusal::new(414, "URI_TOO_LONG", "The length of the URI exceeds the 16,384 byte limit"));
    }
    let headers: usize = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if target.len() + headers > LONGEST_HEAD {
        let message = "The combined length of the URI and headers exceeds the 16,384 byte limit";
        return Err(Refusal::new(431, "REQUEST_HEADER_FIELDS_TOO_LARGE", message));
    }
    Call::new(parts.method.clone(), target, parts.headers.clone(), read_payload(parts, body))
}

fn read_payload(parts: &Parts, body: &[u8]) -> Payload {
    if body.is_empty() {
        return Payload::None;
    }
    let kind = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") || parts.headers.contains_key("content-encoding") {
        let message = "Request content-type or content-encoding is not supported. Supported: application/json";
        return Payload::Unreadable(Refusal::new(415, "UNSUPPORTED_MEDIA_TYPE", message));
    }
    match serde_json::from_slice(body) {
        Ok(json) => Payload::Json(json),
        Err(err) => Payload::Unreadable(Refusal::json(format!(
            "Unexpected input at [line:{}, column:{}]",
            err.line(),
            err.column()
        ))),
    }
}

fn respond(answer: Answer) -> Response<Body> {
    let (mut response, bytes) = head(&answer);
    *response.body_mut() = Full::new(bytes).boxed_unsync();
    response
}

fn dribbled(answer: Answer) -> Response<Body> {
    let (mut response, bytes) = head(&answer);
    let slowly = stream::unfold(bytes, |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(DRIBBLE).await;
        let byte = rest.split_to(1);
        Some((Ok::<_, Infallible>(Frame::data(byte)), rest))
    });
    *response.body_mut() = StreamBody::new(slowly).boxed_unsync();
    response
}

fn huge(answer: Answer) -> Response<Body> {
    let (mut response, _) = head(&answer);
    let json = HeaderValue::from_static("application/json;charset=UTF-8");
    response.headers_mut().insert(CONTENT_TYPE, json);
    let piece = Bytes::from(vec![b' '; PIECE]);
    let much = stream::iter((0..HUGE / PIECE).map(move |_| Ok::<_, Infallible>(Frame::data(piece.clone()))));
    *response.body_mut() = StreamBody::new(much).boxed_unsync();
    response
}

/// Status and headers, and the bytes of the body.
fn head(answer: &Answer) -> (Response<Body>, Bytes) {
    let mut response = Response::new(Full::default().boxed_unsync());
    *response.status_mut() =
        http::StatusCode::from_u16(answer.status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    let (kind, bytes) = match &answer.content {
        Content::Empty => (None, Bytes::new()),
        Content::Json(json) => (Some("application/json;charset=UTF-8"), Bytes::from(json.to_string())),
        Content::Xml(text) => (Some("text/xml;charset=UTF-8"), Bytes::copy_from_slice(text.as_bytes())),
        Content::Html(page) => (Some("text/html; charset=UTF-8"), Bytes::from_static(page.as_bytes())),
    };
    if let Some(kind) = kind {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    for (name, value) in &answer.headers {
        if let (Ok(name), Ok(value)) = (http::HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    (response, bytes)
}
