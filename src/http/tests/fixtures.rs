//! A source as Klozeo's, an event log in memory, and what is needed to ask a router.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

use crate::clock::Clock;
use crate::domain::envelope::{Expression, ReadRules, TimeFormat, TypeTable};
use crate::domain::ids::EventId;
use crate::domain::signature::{
    Algorithm, Encoding, HmacRules, Message, SecretEncoding, SignatureFormat, TimestampFrom, TimestampUnit,
    TokenLocation, TokenRules, Verifier, VerifyRules,
};
use crate::domain::time::Timestamp;
use crate::http::{BodyLimits, public_router};
use crate::intake::{Intake, SourceRuntime};
use crate::store::{EventLog, EventReceipt, NewEvent, StoreError, StoreResult};

pub const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
pub const MAX_BODY: usize = 4096;
pub const SECRET: &str = "a secret of more than 16 bytes";

/// Remembers what was accepted; a sender's ID that it knows is a duplicate.
#[derive(Default)]
pub struct MemoryLog {
    pub events: Mutex<Vec<NewEvent>>,
    pub trouble: Mutex<Option<Trouble>>,
}

#[derive(Clone, Copy)]
pub enum Trouble {
    Full,
    DiskFailed,
    Hangs,
}

#[async_trait]
impl EventLog for MemoryLog {
    async fn accept_events(&self, new: Vec<NewEvent>) -> StoreResult<Vec<EventReceipt>> {
        let trouble = *self.trouble.lock().unwrap();
        match trouble {
            Some(Trouble::Full) => return Err(StoreError::Busy),
            Some(Trouble::DiskFailed) => return Err(StoreError::Unavailable("no space".to_owned())),
            Some(Trouble::Hangs) => std::future::pending().await,
            None => {}
        }
        let mut events = self.events.lock().unwrap();
        let mut accept = |event: NewEvent| {
            let same = |known: &NewEvent| event.sender_id.is_some() && known.sender_id == event.sender_id;
            if let Some(place) = events.iter().position(same) {
                return EventReceipt { id: EventId(place as i64 + 1), duplicate: true, erased: false };
            }
            events.push(event);
            EventReceipt { id: EventId(events.len() as i64), duplicate: false, erased: false }
        };
        Ok(new.into_iter().map(&mut accept).collect())
    }
}

fn verify_rules() -> VerifyRules {
    VerifyRules::Hmac(HmacRules {
        algorithm: Algorithm::Sha256,
        encoding: Encoding::Hex,
        signature_header: "X-Signature".to_owned(),
        signature_format: SignatureFormat::Plain,
        signed_content: "{timestamp}.{body}".to_owned(),
        timestamp_from: Some(TimestampFrom::Header("X-Timestamp".to_owned())),
        timestamp_unit: TimestampUnit::Seconds,
        tolerance: Duration::from_secs(300),
        id_from: None,
        secret_encoding: SecretEncoding::Utf8,
    })
}

fn read_rules() -> ReadRules {
    let at = |text: &str| Expression::parse(text).unwrap();
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    ReadRules {
        event_id: Some(at("/event_id")),
        event_type: Some(at("/event")),
        types: TypeTable { upsert: words(&["lead.created"]), delete: words(&["lead.deleted"]), ..TypeTable::default() },
        lead: words(&["/data"]),
        version: vec![at("header:X-Version")],
        times: TimeFormat::UnixSeconds,
        ..ReadRules::new(at("/data/id"))
    }
}

/// The sources `klozeo` and, disabled, `asleep`; and `with_key`, whose token stands in the body as `key`.
pub fn intake(log: Arc<dyn EventLog>) -> Arc<Intake> {
    let source = |name: &str, enabled, verify: &VerifyRules| {
        let secrets = [SECRET.to_owned()];
        SourceRuntime::new(name.into(), enabled, verify, &secrets, read_rules(), vec!["crm".into()]).unwrap()
    };
    let (signed, location) = (verify_rules(), TokenLocation::Body { pointer: "/key".to_owned() });
    let with_key = source("with_key", true, &VerifyRules::Token(TokenRules { location }));
    let sources = vec![source("klozeo", true, &signed), source("asleep", false, &signed), with_key];
    Arc::new(Intake::new(log, sources, None, Clock::manual(NOW), Arc::default()))
}

pub fn public(log: &Arc<MemoryLog>) -> Router {
    public_router(intake(log.clone()), BodyLimits::of(MAX_BODY))
}

/// The headers with which the sender would send this body at that time.
pub fn signature(body: &[u8], timestamp: Timestamp) -> Vec<(String, String)> {
    let verifier = Verifier::new(&verify_rules(), &[SECRET.to_owned()]).unwrap();
    verifier.sign(&Message { method: "POST", url: "", timestamp, id: "", body })
}

pub fn lead(id: &str, event_id: &str) -> Vec<u8> {
    format!(r#"{{"event":"lead.created","event_id":"{event_id}","data":{{"id":"{id}","email":"ada@example.com"}}}}"#)
        .into_bytes()
}

pub fn post(path: &str, headers: &[(String, String)], body: impl Into<Body>) -> Request<Body> {
    let request = headers.iter().fold(Request::post(path), |request, (name, value)| request.header(name, value));
    request.body(body.into()).unwrap()
}

/// A right request with this body.
pub fn signed(body: &[u8]) -> Request<Body> {
    post("/webhooks/klozeo", &signature(body, NOW), body.to_vec())
}

pub struct Answered {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answered {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The status and the word of the problem.
    pub fn problem(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text);
        let kind = self.json()["type"].as_str().unwrap().to_owned();
        (self.status.as_u16(), kind.strip_prefix("urn:leadrelay:problem:").unwrap().to_owned())
    }
}

pub async fn ask(router: &Router, request: Request<Body>) -> Answered {
    let answer = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = answer.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    Answered { status: parts.status, headers: parts.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
}
