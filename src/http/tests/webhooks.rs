use std::sync::Arc;
use std::time::Duration;

use axum::http::Request;
use serde_json::json;

use super::fixtures::{MAX_BODY, MemoryLog, NOW, SECRET, Trouble, ask, intake, lead, post, public, signature, signed};
use crate::domain::time::Timestamp;
use crate::http::{BodyLimits, public_router};
use crate::store::EventState;

#[tokio::test]
async fn a_genuine_lead_is_stored_as_it_was_sent_and_answered_202() {
    let log = Arc::new(MemoryLog::default());
    let body = lead("cl_1", "e1");
    let answer = ask(&public(&log), signed(&body)).await;
    assert_eq!(answer.status, 202);
    assert_eq!(answer.json(), json!({"status": "accepted", "events": [{"id": "evt_1", "status": "accepted"}]}));
    let events = log.events.lock().unwrap();
    assert_eq!(events[0].body, body);
    assert_eq!(events[0].lead.as_ref().unwrap().as_str(), "cl_1");
    assert_eq!(events[0].destinations, ["crm".into()]);
    assert_eq!(events[0].request_id.as_str(), answer.header("x-request-id"));
}

#[tokio::test]
async fn a_repeat_is_answered_with_the_first_events_id() {
    let log = Arc::new(MemoryLog::default());
    let router = public(&log);
    ask(&router, signed(&lead("cl_1", "e1"))).await;
    let answer = ask(&router, signed(&lead("cl_1", "e1"))).await;
    assert_eq!(answer.status, 202);
    assert_eq!(answer.json(), json!({"status": "duplicate", "events": [{"id": "evt_1", "status": "duplicate"}]}));
}

#[tokio::test]
async fn what_is_not_proven_gets_one_answer_whatever_is_wrong_with_it() {
    let log = Arc::new(MemoryLog::default());
    let router = public(&log);
    let body = lead("cl_1", "e1");
    let right = signature(&body, NOW);
    let with = |value: &str| vec![("X-Signature".to_owned(), value.to_owned()), right_timestamp(&right)];
    let stale = signature(&body, NOW.before(Duration::from_secs(301)));
    let early = signature(&body, NOW.after(Duration::from_secs(301)));
    let wrong = [vec![], with(&"0".repeat(64)), with("not hex"), with(""), stale, early, signature(b"other", NOW)];
    let mut texts: Vec<String> = Vec::new();
    for headers in &wrong {
        let answer = ask(&router, post("/webhooks/klozeo", headers, body.clone())).await;
        assert_eq!(answer.problem(), (401, "unauthorized".to_owned()), "{headers:?}");
        texts.push(answer.text);
    }
    texts.dedup();
    assert_eq!(texts.len(), 1, "{texts:?}");
    assert!(log.events.lock().unwrap().is_empty());
}

fn right_timestamp(headers: &[(String, String)]) -> (String, String) {
    headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("x-timestamp")).unwrap().clone()
}

#[tokio::test]
async fn what_is_signed_but_unreadable_is_kept_in_quarantine() {
    let check = async |body: &[u8], reason: &str| {
        let log = Arc::new(MemoryLog::default());
        let answer = ask(&public(&log), signed(body)).await;
        assert_eq!(answer.status, 202, "{reason}: {}", answer.text);
        let expected = json!({"status": "quarantined", "events": [{"id": "evt_1", "status": "quarantined"}]});
        assert_eq!(answer.json(), expected, "{reason}");
        let events = log.events.lock().unwrap();
        assert_eq!(events[0].state, EventState::Quarantined);
        assert_eq!(events[0].body, body, "{reason}: the bytes are kept as they came");
        assert!(events[0].reason.as_ref().unwrap().starts_with(reason), "{:?}", events[0].reason);
        assert!(events[0].destinations.is_empty());
    };
    check(b"", "empty").await;
    check(b"{\"event\":\"lead.created\",\"data\":{\"id\":\"\xff\"}}", "not_utf8").await;
    check(br#"{"event":"lead.created","data":{"id":"cl_"#, "broken_json").await;
    check(format!("{}{}", "[".repeat(2000), "]".repeat(2000)).as_bytes(), "too_deep").await;
    check(br#"{"event":"lead.created","data":{"email":"ada@example.com"}}"#, "no_lead_id").await;
}

#[tokio::test]
async fn ten_thousand_levels_are_quarantined_without_harm() {
    let log = Arc::new(MemoryLog::default());
    let router = public_router(intake(log.clone()), BodyLimits::of(1 << 20));
    let body = "[".repeat(10_000);
    let answer = ask(&router, signed(body.as_bytes())).await;
    assert_eq!((answer.status.as_u16(), answer.json()["status"].as_str()), (202, Some("quarantined")));
}

#[tokio::test]
async fn an_unknown_type_is_kept_and_ignored() {
    let log = Arc::new(MemoryLog::default());
    let body = br#"{"event":"note.created","data":{"id":"cl_1"}}"#;
    let answer = ask(&public(&log), signed(body)).await;
    assert_eq!(answer.status, 202);
    assert_eq!(answer.json(), json!({"status": "ignored", "events": [{"id": "evt_1", "status": "ignored"}]}));
    assert_eq!(log.events.lock().unwrap()[0].state, EventState::Ignored);
}

#[tokio::test]
async fn unknown_sources_and_unknown_paths_look_the_same() {
    let router = public(&Arc::default());
    let body = lead("cl_1", "e1");
    let mut texts = Vec::new();
    for path in [
        "/webhooks/nobody",
        "/webhooks/nobody/token",
        // Its requests carry no token there.
        "/webhooks/klozeo/token",
        "/webhooks/%ff",
        "/webhooks",
        "/",
        "/admin/v1/queue",
        "/metrics",
    ] {
        let answer = ask(&router, post(path, &signature(&body, NOW), body.clone())).await;
        assert_eq!(answer.problem(), (404, "not-found".to_owned()), "{path}");
        texts.push(answer.text);
    }
    texts.dedup();
    assert_eq!(texts.len(), 1);
}

#[tokio::test]
async fn a_webhook_address_takes_posts_only() {
    let router = public(&Arc::default());
    for method in ["GET", "PUT", "DELETE"] {
        let request = Request::builder().method(method).uri("/webhooks/klozeo").body("".into()).unwrap();
        let answer = ask(&router, request).await;
        assert_eq!(answer.problem(), (405, "method-not-allowed".to_owned()));
        assert_eq!(answer.header("allow"), "POST");
    }
    let answer = ask(&router, post("/healthz", &[], "")).await;
    assert_eq!((answer.problem().0, answer.header("allow")), (405, "GET, HEAD"));
}

#[tokio::test]
async fn the_size_limit_is_exact() {
    let log = Arc::new(MemoryLog::default());
    let router = public(&log);
    let fits = format!("{:width$}", String::from_utf8(lead("cl_1", "e1")).unwrap(), width = MAX_BODY);
    assert_eq!(ask(&router, signed(fits.as_bytes())).await.status, 202);
    let answer = ask(&router, signed(format!("{fits} ").as_bytes())).await;
    assert_eq!(answer.problem(), (413, "too-large".to_owned()));
    assert_eq!(log.events.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn compressed_bodies_and_forms_are_not_taken() {
    let log = Arc::new(MemoryLog::default());
    let router = public(&log);
    let body = lead("cl_1", "e1");
    let check = async |name: &str, value: &str, status: u16| {
        let mut headers = signature(&body, NOW);
        headers.push((name.to_owned(), value.to_owned()));
        let answer = ask(&router, post("/webhooks/klozeo", &headers, body.clone())).await;
        assert_eq!(answer.status, status, "{name}: {value}");
        if status == 415 {
            assert_eq!(answer.problem().1, "unsupported");
            let wanted = if name == "Content-Type" { "Content-Type: application/json" } else { "uncompressed" };
            assert!(answer.text.contains(wanted), "what to send instead: {}", answer.text);
        }
    };
    check("Content-Encoding", "gzip", 415).await;
    check("Content-Type", "application/x-www-form-urlencoded; charset=utf-8", 415).await;
    check("Content-Type", "multipart/form-data; boundary=x", 415).await;
    check("Content-Encoding", "Identity", 202).await;
    check("Content-Type", "application/cloudevents+json", 202).await;
}

#[tokio::test]
async fn a_form_is_proven_before_it_is_told_that_forms_are_not_taken() {
    let log = Arc::new(MemoryLog::default());
    let router = public(&log);
    let body = lead("cl_1", "e1");
    for kind in ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/xml"] {
        let form = |headers: &[(String, String)]| {
            let mut headers = headers.to_vec();
            headers.push(("Content-Type".to_owned(), kind.to_owned()));
            post("/webhooks/klozeo", &headers, body.clone())
        };
        assert_eq!(ask(&router, form(&[])).await.problem(), (401, "unauthorized".to_owned()), "{kind}");
        let wrong = signature(b"other", NOW);
        assert_eq!(ask(&router, form(&wrong)).await.problem(), (401, "unauthorized".to_owned()), "{kind}");
        let genuine = ask(&router, form(&signature(&body, NOW))).await;
        assert_eq!(genuine.problem(), (415, "unsupported".to_owned()), "{kind}");
    }
    // So is a form in which the token stands itself.
    for (key, status) in [("wrong", 401), (SECRET, 415)] {
        let kind = ("Content-Type".to_owned(), "application/x-www-form-urlencoded".to_owned());
        let body = format!("id=cl_1&key={}", key.replace(' ', "+"));
        assert_eq!(ask(&router, post("/webhooks/with_key", &[kind], body)).await.status, status, "{key}");
    }
    assert!(log.events.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_cannot_be_committed_is_not_acknowledged() {
    let check = async |trouble, retry_after: &str| {
        let log = Arc::new(MemoryLog::default());
        *log.trouble.lock().unwrap() = Some(trouble);
        let answer = ask(&public(&log), signed(&lead("cl_1", "e1"))).await;
        assert_eq!(answer.problem(), (503, "unavailable".to_owned()));
        assert_eq!(answer.header("retry-after"), retry_after);
    };
    check(Trouble::Full, "1").await;
    check(Trouble::DiskFailed, "5").await;
    let started = tokio::time::Instant::now();
    check(Trouble::Hangs, "5").await;
    assert_eq!(started.elapsed().as_secs(), 2);
}

#[tokio::test]
async fn a_disabled_source_asks_senders_to_come_back() {
    let body = lead("cl_1", "e1");
    let answer = ask(&public(&Arc::default()), post("/webhooks/asleep", &signature(&body, NOW), body.clone())).await;
    assert_eq!(answer.problem(), (503, "unavailable".to_owned()));
    assert_eq!(answer.header("retry-after"), "300");
}

#[tokio::test]
async fn neither_signatures_nor_tokens_are_stored() {
    let log = Arc::new(MemoryLog::default());
    let body = lead("cl_1", "e1");
    let mut headers = signature(&body, NOW);
    for (name, value) in [("X-Version", "7"), ("webhook-id", "msg_1"), ("Authorization", "Bearer x"), ("Cookie", "y")] {
        headers.push((name.to_owned(), value.to_owned()));
    }
    ask(&public(&log), post("/webhooks/klozeo", &headers, body)).await;
    let kept = log.events.lock().unwrap()[0].headers.clone();
    assert_eq!(kept, [("webhook-id".to_owned(), "msg_1".to_owned()), ("x-version".to_owned(), "7".to_owned())]);
}

#[tokio::test]
async fn a_sane_request_id_is_returned_and_another_one_replaced() {
    let router = public(&Arc::default());
    let check = async |sent: &str, kept: bool| {
        let request = Request::get("/healthz").header("x-request-id", sent).body("".into()).unwrap();
        let answer = ask(&router, request).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("x-request-id") == sent, kept, "{sent}");
        assert!(!answer.header("x-request-id").is_empty());
    };
    check("abc-123", true).await;
    check(&"a".repeat(128), true).await;
    check(&"a".repeat(129), false).await;
    check("with space", false).await;
    check("", false).await;
}

#[tokio::test]
async fn the_difference_of_the_clocks_is_known_from_genuine_requests_only() {
    let log: Arc<MemoryLog> = Arc::default();
    let intake = intake(log.clone());
    let router = public_router(intake.clone(), BodyLimits::of(MAX_BODY));
    let difference = || intake.source("klozeo").unwrap().clock_ahead.millis();
    let body = lead("cl_1", "e1");
    assert_eq!(difference(), None);
    for (ahead, answer) in [(2, 202), (-3, 202), (1_000, 401)] {
        let signed_at = Timestamp::from_seconds(NOW.as_seconds() - ahead);
        let headers = signature(&body, signed_at);
        assert_eq!(ask(&router, post("/webhooks/klozeo", &headers, body.clone())).await.status, answer);
        assert_eq!(difference(), Some(ahead * 1_000));
        let forged = ask(&router, post("/webhooks/klozeo", &headers, lead("cl_2", "e2"))).await;
        assert_eq!((forged.status.as_u16(), difference()), (401, Some(ahead * 1_000)), "forged");
    }
}
