use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::fixtures::{Answered, MAX_BODY, NOW, ask, intake, lead, signed};
use crate::clock::Clock;
use crate::config::{AdminToken, AlertsConfig, Percent, Role};
use crate::domain::divergence::Divergence;
use crate::domain::explained::Explained;
use crate::domain::ids::{DestinationName, LeadKey, ObjectName, RecordRef};
use crate::domain::plan::{ConflictKind, Question};
use crate::domain::record::CrmValue;
use crate::http::admin::state::{
    AdminParts, AdminState, CheckReport, DestinationState, Erasing, Explanation, LinkWish, MappingEntry, Operations,
    OrderError, ReloadError, Reloaded,
};
use crate::http::figures::Figures;
use crate::http::{BodyLimits, admin_router, openapi, public_router};
use crate::store::sqlite::{Options, SqliteStore};
use crate::store::{
    Claim, NewLogRow, Operation, Ordered, Outcome, PlannedBy, Replica, ResyncScope, Settlement, Store, StoreResult,
};
use crate::telemetry::metrics;

/// A service with one destination that nothing happens to.
struct Quiet;

#[async_trait]
impl Operations for Quiet {
    fn destinations(&self) -> Vec<DestinationState> {
        vec![DestinationState {
            name: "crm".into(),
            kind: "salesforce",
            mode: "live",
            sources: vec!["klozeo".into()],
            gate: "open",
            gate_reason: None,
            gate_since: None,
            gate_until: None,
            calls_used: 0,
            calls_limit: 100,
            last_error: None,
            needs_person: None,
        }]
    }

    fn wake(&self, _: &DestinationName) {}
    fn paused(&self, _: &crate::store::Pause) {}

    fn resumed(&self, _: &DestinationName) {}

    async fn mapping(&self) -> StoreResult<Vec<MappingEntry>> {
        Ok(Vec::new())
    }

    fn planned_by(&self, _: &DestinationName) -> Option<PlannedBy> {
        None
    }

    async fn checks(&self) -> StoreResult<Vec<CheckReport>> {
        Ok(Vec::new())
    }

    async fn divergence(&self, _: &DestinationName) -> Option<Divergence> {
        None
    }

    fn explain(&self, destination: &DestinationName, code: &str) -> Explanation {
        assert_eq!((destination.as_str(), code), ("crm", "record_gone"));
        Explanation { meaning: "what it means", remedy: "what to do" }
    }

    fn record_named(&self, _: &DestinationName, _: &str) -> Option<RecordRef> {
        None
    }

    fn kinds_in_question(&self, _: &DestinationName, _: ConflictKind) -> Vec<ObjectName> {
        Vec::new()
    }

    async fn order_link(&self, _: &LinkWish) -> Result<Ordered, OrderError> {
        Err(OrderError::NotFound)
    }

    async fn explain_lead(&self, _: &DestinationName, _: &LeadKey) -> Result<Option<Explained>, OrderError> {
        Ok(None)
    }

    async fn erase(&self, _: &LeadKey, _: bool) -> Result<Option<Erasing>, OrderError> {
        Ok(None)
    }

    async fn reload(&self) -> Result<Reloaded, ReloadError> {
        Err(ReloadError::NoFile)
    }

    async fn search_duplicates(&self, _: &str) -> StoreResult<Option<i64>> {
        Ok(None)
    }

    async fn start_resync(&self, _: ResyncScope, _: &str) -> StoreResult<i64> {
        Ok(1)
    }

    async fn cancel_run(&self, _: i64) -> StoreResult<bool> {
        Ok(false)
    }
}

/// The admin listener on a store of its own.
pub struct Running {
    router: Router,
    public: Router,
    store: Arc<SqliteStore>,
    _folder: tempfile::TempDir,
}

pub async fn start() -> Running {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("leadrelay.db"), Options::default()).await.unwrap();
    let (store, clock) = (Arc::new(store), Clock::manual(NOW));
    let token = |name: &str, role| AdminToken { name: name.into(), role, sha256: Sha256::digest(name).into() };
    let exposition = metrics::install();
    let intake = intake(store.clone());
    let alerts = AlertsConfig {
        error_rate: Percent::new(2),
        error_window: Duration::from_secs(900),
        queue_depth: 1000,
        retry_age: Duration::from_secs(1800),
    };
    let figures = Figures::new(store.clone(), Arc::new(Quiet), intake.clone(), alerts, clock.clone());
    let public = public_router(intake.clone(), BodyLimits::of(MAX_BODY));
    let router = admin_router(AdminState::new(AdminParts {
        store: store.clone(),
        intake,
        operations: Arc::new(Quiet),
        figures: Arc::new(figures),
        exposition,
        tokens: vec![token("looks", Role::Viewer), token("acts", Role::Operator)],
        replica: Replica { name: "here/1".into(), version: "0.1.0".into(), started_at: NOW },
        clock,
    }));
    Running { router, public, store, _folder: folder }
}

impl Running {
    pub async fn call(&self, method: &str, path: &str, token: Option<&str>, body: &str) -> Answered {
        let request = Request::builder().method(method).uri(path);
        let request = match token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        };
        ask(&self.router, request.body(Body::from(body.to_owned())).unwrap()).await
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.call("GET", &format!("/admin/v1/{path}"), Some("looks"), "").await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        answer.json()
    }

    async fn post(&self, path: &str, body: &str) -> Answered {
        self.call("POST", &format!("/admin/v1/{path}"), Some("acts"), body).await
    }
}

/// Every operation of the document on the admin API that needs a token, with its parameters filled in.
fn guarded() -> Vec<(String, String)> {
    let document: Value = serde_json::from_str(&openapi()).unwrap();
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if operation.get("security").is_none() {
                let path = path.replace("{id}", "7").replace("{name}", "crm").replace("{source}", "klozeo");
                all.push((method.to_uppercase(), path.replace("{lead_id}", "cl_1")));
            }
        }
    }
    all
}

#[tokio::test]
async fn every_documented_operation_exists_and_needs_a_right_token() {
    let running = start().await;
    let operations = guarded();
    assert!(operations.len() >= 28, "{operations:?}");
    for (method, path) in operations {
        for token in [None, Some("guessed"), Some("")] {
            let answer = running.call(&method, &path, token, "").await;
            assert_eq!(answer.problem(), (401, "unauthorized".to_owned()), "{method} {path}");
            assert_eq!(answer.header("www-authenticate"), "Bearer");
        }
        let answer = running.call(&method, &path, Some("acts"), "{}").await;
        assert!(![401, 403, 405].contains(&answer.status.as_u16()), "{method} {path}: {}", answer.status);
    }
}

#[tokio::test]
async fn a_viewer_reads_and_changes_nothing() {
    let running = start().await;
    for (method, path) in guarded() {
        let answer = running.call(&method, &path, Some("looks"), "{}").await;
        if method == "GET" {
            assert_ne!(answer.status, 403, "{path}");
        } else {
            assert_eq!(answer.problem(), (403, "forbidden".to_owned()), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn paths_and_methods_that_nobody_documented_do_not_exist() {
    let running = start().await;
    assert_eq!(
        running.call("GET", "/admin/v1/nothing", Some("acts"), "").await.problem(),
        (404, "not-found".to_owned())
    );
    assert_eq!(running.call("POST", "/webhooks/klozeo", None, "").await.problem().0, 404);
    let answer = running.call("DELETE", "/admin/v1/queue", Some("acts"), "").await;
    assert_eq!(answer.problem(), (405, "method-not-allowed".to_owned()));
    assert_eq!(answer.header("allow"), "GET,HEAD");
}

#[tokio::test]
async fn while_the_store_is_gone_it_is_said_and_counters_are_still_shown() {
    let running = start().await;
    assert_eq!(running.call("GET", "/readyz", None, "").await.status, 200);
    running.store.close().await;
    let answer = running.call("GET", "/readyz", None, "").await;
    assert_eq!((answer.problem(), answer.header("retry-after")), ((503, "unavailable".to_owned()), "5"));
    let answer = running.call("GET", "/metrics", None, "").await;
    assert_eq!(answer.status, 200);
    assert!(answer.text.contains("leadrelay_webhooks_total{source=\"klozeo\""), "{}", answer.text);
}

#[tokio::test]
async fn what_came_in_is_listed_shown_and_replayed() {
    let running = start().await;
    ask(&running.public, signed(&lead("cl_1", "e1"))).await;
    ask(&running.public, signed(br#"{"event":"lead.created","data":{}}"#)).await;
    let events = running.get("events?limit=1").await;
    assert_eq!((&events["items"][0]["id"], &events["items"][0]["state"]), (&json!("evt_2"), &json!("quarantined")));
    let older = running.get(&format!("events?limit=1&cursor={}", events["next"].as_str().unwrap())).await;
    assert_eq!((&older["items"][0]["lead_id"], &older["next"]), (&json!("cl_1"), &Value::Null));
    let shown = running.get("events/evt_1").await;
    assert_eq!(shown["body"].as_str().unwrap().as_bytes(), lead("cl_1", "e1"));
    assert_eq!(running.get("queue").await["items"][0]["ready"], json!(1));
    assert_eq!(running.get("sources").await["items"][1]["quarantined"], json!(1));

    let replayed = running.post("events/evt_1/replay", "").await;
    assert_eq!((replayed.status.as_u16(), &replayed.json()["state"]), (202, &json!("stored")));
    let replayed = running.post("events/evt_2/replay", "").await;
    assert_eq!((replayed.status.as_u16(), &replayed.json()["state"]), (202, &json!("quarantined")));
    let audit = running.get("audit").await;
    assert_eq!(audit["items"][1]["target"], json!("event evt_1"));
    assert_eq!(audit["items"][1]["by"], json!("acts"));
    assert_eq!(running.call("GET", "/admin/v1/events?cursor=made-up", Some("looks"), "").await.problem().0, 422);
}

/// Takes in a lead and settles its job with one open question.
async fn with_conflict(running: &Running) {
    settled_as(running, Outcome::Conflict, None).await;
}

/// The same, logged with this outcome and error.
async fn settled_as(running: &Running, outcome: Outcome, code: Option<&str>) {
    ask(&running.public, signed(&lead("cl_1", "e1"))).await;
    let token = uuid::Uuid::from_u128(1);
    let lease_ends_at = NOW.after(Duration::from_secs(90));
    let destination: DestinationName = "crm".into();
    let claim = Claim {
        destination: destination.clone(),
        lane: None,
        backfill: true,
        limit: 1,
        now: NOW,
        lease_ends_at,
        token,
    };
    let job = running.store.claim_jobs(&claim).await.unwrap().remove(0);
    let question = Question {
        field: Some("Email".into()),
        lead: Some(CrmValue::Text("ada@example.com".to_owned())),
        crm: Some(CrmValue::Text("ada@example.org".to_owned())),
        ..Question::new(ConflictKind::Field, "both sides changed Email")
    };
    let row = NewLogRow {
        error_code: code.map(str::to_owned),
        attempt: 1,
        api_calls: 1,
        duration_ms: 3,
        ..NewLogRow::note(NOW, job.lead.clone(), destination.clone(), Operation::Update, outcome)
    };
    let settlement = Settlement {
        questions: vec![question],
        log: vec![row],
        looked: true,
        ..Settlement::of(&job, destination, token, NOW)
    };
    running.store.settle(vec![settlement]).await.remove(0).unwrap();
}

#[tokio::test]
async fn a_failure_is_explained_in_the_words_of_its_destination() {
    let running = start().await;
    settled_as(&running, Outcome::Refused, Some("record_gone")).await;
    let group = &running.get("errors").await["items"][0];
    assert_eq!((&group["code"], &group["count"]), (&json!("record_gone"), &json!(1)));
    assert_eq!((&group["meaning"], &group["remedy"]), (&json!("what it means"), &json!("what to do")));
}

#[tokio::test]
async fn a_store_that_is_away_leaves_the_counters_and_no_figures_of_the_queue() {
    let running = start().await;
    running.get("queue").await;
    running.store.close().await;
    let queue = running.call("GET", "/admin/v1/queue", Some("looks"), "").await;
    assert_eq!(queue.status, 503, "{}", queue.text);
    let metrics = running.call("GET", "/metrics", None, "").await;
    assert!(metrics.text.contains("leadrelay_store_up "), "{}", metrics.text);
}

#[tokio::test]
async fn a_destination_that_was_never_owed_anything_has_an_empty_queue() {
    let queue = start().await.get("queue").await;
    assert_eq!((&queue["items"][0]["destination"], &queue["items"][0]["ready"]), (&json!("crm"), &json!(0)));
    assert_eq!(queue["items"][0]["seconds_to_clear"], json!(0));
    assert_eq!((&queue["replicas"][0]["name"], &queue["replicas"][0]["alive"]), (&json!("here/1"), &json!(true)));
}

#[tokio::test]
async fn a_conflict_is_resolved_once_and_only_as_it_was_read() {
    let running = start().await;
    with_conflict(&running).await;
    let shown = running.call("GET", "/admin/v1/conflicts/1", Some("looks"), "").await;
    assert_eq!(shown.json()["choices"], json!(["lead", "crm", "value"]));
    let etag = shown.header("etag").to_owned();
    let resolve = async |tag: &str, body: &'static str| {
        let request = Request::post("/admin/v1/conflicts/1/resolve").header("authorization", "Bearer acts");
        ask(&running.router, request.header("if-match", tag).body(Body::from(body)).unwrap()).await
    };
    let lead_wins = r#"{"choose":"lead","note":"asked her"}"#;
    assert_eq!(resolve("\"99\"", lead_wins).await.problem(), (412, "changed".to_owned()));
    assert_eq!(resolve(&etag, r#"{"choose":"create"}"#).await.problem(), (422, "invalid".to_owned()));
    let resolved = resolve(&etag, lead_wins).await;
    assert_eq!(resolved.status, 200, "{}", resolved.text);
    assert_eq!(resolved.json()["resolution"]["by"], json!("acts"));
    assert_eq!(resolve(&etag, lead_wins).await.problem(), (412, "changed".to_owned()));
    assert_eq!(running.get("conflicts?state=open").await["items"], json!([]));
    let timeline = running.get("leads/klozeo/cl_1").await["timeline"].clone();
    let what: Vec<_> = timeline.as_array().unwrap().iter().map(|entry| entry["what"].as_str().unwrap()).collect();
    assert!(what.contains(&"person") && what.contains(&"operation") && what.contains(&"event"), "{what:?}");
}

#[tokio::test]
async fn the_sync_log_is_exported_as_rows_and_lines() {
    let running = start().await;
    with_conflict(&running).await;
    let export = async |accept: &str| {
        let request =
            Request::get("/admin/v1/sync-log?outcome=conflict&limit=1").header("authorization", "Bearer looks");
        ask(&running.router, request.header("accept", accept).body(Body::empty()).unwrap()).await
    };
    let csv = export("text/csv").await;
    assert_eq!(csv.header("content-type"), "text/csv; charset=utf-8");
    assert!(csv.text.starts_with("id,at,source,lead_id,"), "{}", csv.text);
    assert!(csv.text.contains(",klozeo,cl_1,crm,update,conflict,"), "{}", csv.text);
    let lines = export("application/x-ndjson").await;
    assert_eq!(lines.json()["lead_id"], json!("cl_1"));
}

#[tokio::test]
async fn a_pause_is_shown_with_who_and_why_until_it_is_resumed() {
    let running = start().await;
    let paused = running.post("destinations/crm/pause", r#"{"note":"migration","until":"2030-01-01T00:00:00Z"}"#).await;
    assert_eq!(paused.status, 200, "{}", paused.text);
    let shown = running.get("destinations").await["items"][0].clone();
    assert_eq!((&shown["state"], &shown["pause"]["by"]), (&json!("paused"), &json!("acts")));
    assert_eq!(shown["pause"]["note"], json!("migration"));
    assert_eq!(running.post("destinations/crm/resume", "").await.status, 200);
    assert_eq!(running.get("destinations").await["items"][0]["state"], json!("running"));
    let actions = running.get("audit").await;
    let actions: Vec<_> = actions["items"].as_array().unwrap().iter().map(|row| row["action"].clone()).collect();
    assert_eq!(actions, [json!("destination.resume"), json!("destination.pause")]);
}

#[tokio::test]
async fn the_document_is_shown_to_programs_and_to_people() {
    let running = start().await;
    let answer = running.call("GET", "/openapi.json", None, "").await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/json"));
    assert_eq!(answer.text, openapi());
    for path in ["/docs", "/admin/v1/docs"] {
        let answer = running.call("GET", path, None, "").await;
        assert!(answer.text.contains("/admin/v1/dead-letters/retry"), "{path}");
        assert!(answer.text.contains("<code>record_id</code>"), "{path} says nothing of bodies");
        assert!(!answer.text.contains("<script"), "{path}");
        assert!(answer.text.contains("name=viewport"), "{path}: a phone shows it as small as a desk's screen");
        assert!(!answer.text.contains('`'), "{path} shows Markdown as it is written");
        for status in [200, 202, 400, 401, 404, 409, 412, 422, 503] {
            let silent = format!("<code>{status}</code><td></tr>");
            assert!(!answer.text.contains(&silent), "{path} says nothing of an answer {status}");
        }
    }
}

#[test]
fn every_operation_of_the_document_has_a_name_of_its_own() {
    let document: Value = serde_json::from_str(&openapi()).unwrap();
    let items = document["paths"].as_object().unwrap().values();
    let operations = items.flat_map(|item| item.as_object().unwrap().values());
    let mut names: Vec<&str> = operations
        .inspect(|operation| {
            let mut answers = operation["responses"].as_object().unwrap().values();
            assert!(answers.all(|answer| answer["description"] != ""), "{operation}");
        })
        .map(|operation| operation["operationId"].as_str().unwrap())
        .collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
}

#[test]
fn the_committed_document_is_the_programs() {
    let committed = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/openapi/leadrelay.json"));
    let same = committed.unwrap_or_default() == openapi();
    assert!(same, "openapi/leadrelay.json is stale: run `leadrelay openapi > openapi/leadrelay.json` and commit it");
}
