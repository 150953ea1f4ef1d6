use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::down_store::DownStore;
use super::fixtures::{Answered, MemoryLog, NOW, ask, intake};
use crate::clock::Clock;
use crate::config::{AdminToken, AlertsConfig, Percent, Role};
use crate::domain::ids::DestinationName;
use crate::http::admin::state::{AdminParts, AdminState, CheckReport, DestinationState, MappingEntry, Operations};
use crate::http::figures::Figures;
use crate::http::{admin_router, openapi};
use crate::store::{ResyncScope, StoreResult};
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

    fn checks(&self) -> Vec<CheckReport> {
        Vec::new()
    }

    async fn start_resync(&self, _: ResyncScope, _: &str) -> StoreResult<i64> {
        Ok(1)
    }

    async fn cancel_run(&self, _: i64) -> StoreResult<bool> {
        Ok(false)
    }
}

fn router() -> Router {
    let token = |name: &str, role| AdminToken { name: name.into(), role, sha256: Sha256::digest(name).into() };
    let (store, clock) = (Arc::new(DownStore), Clock::manual(NOW));
    let intake = intake(Arc::new(MemoryLog::default()));
    let alerts = AlertsConfig {
        error_rate: Percent::new(2),
        error_window: Duration::from_secs(900),
        queue_depth: 1000,
        retry_age: Duration::from_secs(1800),
    };
    let figures = Figures::new(store.clone(), Arc::new(Quiet), intake.clone(), alerts, clock.clone());
    admin_router(AdminState::new(AdminParts {
        store,
        intake,
        operations: Arc::new(Quiet),
        figures: Arc::new(figures),
        exposition: metrics::install(),
        tokens: vec![token("looks", Role::Viewer), token("acts", Role::Operator)],
        clock,
    }))
}

async fn call(method: &str, path: &str, token: Option<&str>, body: &str) -> Answered {
    let request = Request::builder().method(method).uri(path);
    let request = match token {
        Some(token) => request.header("authorization", format!("Bearer {token}")),
        None => request,
    };
    ask(&router(), request.body(Body::from(body.to_owned())).unwrap()).await
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
    let operations = guarded();
    assert!(operations.len() >= 28, "{operations:?}");
    for (method, path) in operations {
        for token in [None, Some("guessed"), Some("")] {
            let answer = call(&method, &path, token, "").await;
            assert_eq!(answer.problem(), (401, "unauthorized".to_owned()), "{method} {path}");
            assert_eq!(answer.header("www-authenticate"), "Bearer");
        }
        let answer = call(&method, &path, Some("acts"), "{}").await;
        assert!(![401, 403, 405].contains(&answer.status.as_u16()), "{method} {path}: {}", answer.status);
    }
}

#[tokio::test]
async fn a_viewer_reads_and_changes_nothing() {
    for (method, path) in guarded() {
        let answer = call(&method, &path, Some("looks"), "{}").await;
        if method == "GET" {
            assert_ne!(answer.status, 403, "{path}");
        } else {
            assert_eq!(answer.problem(), (403, "forbidden".to_owned()), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn paths_and_methods_that_nobody_documented_do_not_exist() {
    assert_eq!(call("GET", "/admin/v1/nothing", Some("acts"), "").await.problem(), (404, "not-found".to_owned()));
    assert_eq!(call("POST", "/webhooks/klozeo", None, "").await.problem().0, 404);
    let answer = call("DELETE", "/admin/v1/queue", Some("acts"), "").await;
    assert_eq!(answer.problem(), (405, "method-not-allowed".to_owned()));
    assert_eq!(answer.header("allow"), "GET,HEAD");
}

#[tokio::test]
async fn a_wrong_filter_is_answered_with_what_to_write() {
    let check = async |query: &str, status: u16, says: &str| {
        let answer = call("GET", &format!("/admin/v1/{query}"), Some("looks"), "").await;
        assert_eq!(answer.problem().0, status, "{query}: {}", answer.text);
        assert!(answer.text.contains(says), "{query}: {}", answer.text);
    };
    check("sync-log?limit=0", 422, "from 1 to 500").await;
    check("sync-log?limit=501", 422, "from 1 to 500").await;
    check("sync-log?limit=many", 400, "limit").await;
    check("sync-log?colour=red", 400, "colour").await;
    check("sync-log?operation=upsert", 422, "create, update, unchanged").await;
    check("sync-log?outcome=fine", 422, "ok, retry, refused").await;
    check("sync-log?from=yesterday", 422, "RFC 3339").await;
    check("sync-log?cursor=a%20b", 422, "cursor").await;
    check("conflicts?kind=color", 422, "shared_record").await;
    check("events?state=new", 422, "quarantined").await;
    check("events/4711", 404, "not-found").await;
    check("dead-letters?lead_id=cl_1", 422, "source").await;
}

#[tokio::test]
async fn a_wrong_body_is_answered_with_what_to_write() {
    let check = async |path: &str, body: &str, status: u16, says: &str| {
        let answer = call("POST", &format!("/admin/v1/{path}"), Some("acts"), body).await;
        assert_eq!(answer.problem().0, status, "{path}: {}", answer.text);
        assert!(answer.text.contains(says), "{path}: {}", answer.text);
    };
    check("dead-letters/discard", "", 422, r#"\"all\": true"#).await;
    check("dead-letters/retry", "{", 400, "bad-request").await;
    check("dead-letters/retry", r#"{"colour":"red"}"#, 422, "colour").await;
    check("destinations/crm/pause", r#"{"until":"2020-01-01T00:00:00Z"}"#, 422, "still to come").await;
    check("destinations/nobody/pause", "", 404, "not-found").await;
    check("resync", r#"{"destination":"nobody"}"#, 422, "one of crm").await;
    check("resync", r#"{"destination":"crm","source":"nobody"}"#, 422, "one of klozeo").await;
}

#[tokio::test]
async fn while_the_store_is_gone_it_is_said_and_counters_are_still_shown() {
    let answer = call("GET", "/readyz", None, "").await;
    assert_eq!((answer.problem(), answer.header("retry-after")), ((503, "unavailable".to_owned()), "5"));
    assert_eq!(call("GET", "/admin/v1/queue", Some("looks"), "").await.problem().0, 503);
    let answer = call("GET", "/metrics", None, "").await;
    assert_eq!(answer.status, 200);
    assert!(answer.text.contains("leadrelay_webhooks_total{source=\"klozeo\""), "{}", answer.text);
}

#[tokio::test]
async fn the_document_is_shown_to_programs_and_to_people() {
    let answer = call("GET", "/openapi.json", None, "").await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/json"));
    assert_eq!(answer.text, openapi());
    for path in ["/docs", "/admin/v1/docs"] {
        let answer = call("GET", path, None, "").await;
        assert!(answer.text.contains("/admin/v1/dead-letters/retry"), "{path}");
        assert!(!answer.text.contains("<script"), "{path}");
    }
}

#[test]
fn every_operation_of_the_document_has_a_name_of_its_own() {
    let document: Value = serde_json::from_str(&openapi()).unwrap();
    let items = document["paths"].as_object().unwrap().values();
    let operations = items.flat_map(|item| item.as_object().unwrap().values());
    let mut names: Vec<&str> = operations.map(|operation| operation["operationId"].as_str().unwrap()).collect();
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
