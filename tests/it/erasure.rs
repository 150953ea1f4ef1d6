//! Erasing a lead through the whole service.

use leadrelay::config::{Config, DestinationKind, Mode};
use serde_json::{Value as Json, json};

use crate::harness::{Harness, event};

const CREATED: i64 = 1_767_225_600;

fn ada(id: &str) -> Json {
    json!({ "id": id, "name": "Ada Lovelace", "email": "ada@lovelace.example", "city": "Berlin" })
}

#[tokio::test]
async fn an_erased_lead_does_not_come_back_and_only_facts_are_left() {
    let harness = Harness::start(|_| {}).await;
    harness.send(&event("lead.created", CREATED, &ada("cl_1"))).await;
    harness.settled().await;
    let (status, erased) = harness.admin_ask("DELETE", "leads/klozeo/cl_1", json!({})).await;
    assert_eq!((status, erased["records"][0]["deleted"].clone()), (200, json!(false)), "{erased}");
    let known_as = erased["known_as"].as_str().unwrap();
    assert_eq!(harness.records().await.len(), 1, "the CRM is left alone");
    for (method, path) in [
        ("GET", "leads/klozeo/cl_1"),
        ("DELETE", "leads/klozeo/cl_1"),
        ("POST", "leads/klozeo/cl_1/include"),
        ("POST", "leads/klozeo/cl_1/sync"),
    ] {
        assert_eq!(harness.admin_ask(method, path, json!({})).await.0, 404, "{method} {path}");
    }
    assert_eq!(harness.send(&event("lead.updated", CREATED + 60, &ada("cl_1"))).await, "ignored");
    harness.settled().await;
    assert_eq!(harness.admin("leads").await["items"], json!([]));
    for path in ["events", "sync-log", "audit", "conflicts", "runs"] {
        let text = harness.admin_text(path).await;
        assert!(!text.contains("cl_1") && !text.contains("lovelace.example"), "{path}: {text}");
    }
    let log = harness.admin(&format!("sync-log?lead_id={known_as}")).await;
    assert_eq!(log["items"][0]["operation"], "create", "{log}");
    let row = harness.admin_text(&format!("sync-log/{}", log["items"][0]["id"])).await;
    assert!(!row.contains("Lovelace"), "{row}");
    let audit = harness.admin("audit").await;
    assert_eq!(audit["items"][0]["action"], "lead.erase", "{audit}");
    harness.stop().await;
}

#[tokio::test]
async fn a_record_in_a_crm_that_is_not_configured_any_more_is_told() {
    let harness = Harness::start(|_| {}).await;
    harness.send(&event("lead.created", CREATED, &ada("cl_1"))).await;
    harness.settled().await;
    let another = |config: &mut Config| {
        let mut destination = config.destinations.remove(&"salesforce".into()).unwrap();
        destination.mode = Mode::Observe;
        config.destinations.insert("another".into(), destination);
    };
    let harness = harness.restarted(another).await;
    let (status, erased) = harness.admin_ask("DELETE", "leads/klozeo/cl_1?crm=true", json!({})).await;
    let told = &erased["records"][0];
    assert_eq!(
        (status, &told["destination"], &told["deleted"]),
        (200, &json!("salesforce"), &json!(false)),
        "{erased}"
    );
    assert_eq!(told["left_since"], "its destination is not in the configuration");
    assert_eq!(harness.records().await.len(), 1);
    harness.stop().await;
}

#[tokio::test]
async fn erasing_with_the_crm_deletes_the_record_first() {
    let harness = Harness::start(|_| {}).await;
    harness.send(&event("lead.created", CREATED, &ada("cl_1"))).await;
    harness.settled().await;
    let refusing = json!([{ "fault": "status", "rate": 1.0, "status": 503, "path": "composite/sobjects?ids" }]);
    harness.faults(refusing).await;
    let (status, problem) = harness.admin_ask("DELETE", "leads/klozeo/cl_1?crm=true", json!({})).await;
    assert_eq!(status, 502, "{problem}");
    harness.admin("leads/klozeo/cl_1").await;
    harness.faults(json!([])).await;
    harness.resume().await;
    let (status, erased) = harness.admin_ask("DELETE", "leads/klozeo/cl_1?crm=true", json!({})).await;
    assert_eq!((status, erased["records"][0]["deleted"].clone()), (200, json!(true)), "{erased}");
    assert_eq!(harness.records().await, Vec::<Json>::new());
    let known_as = erased["known_as"].as_str().unwrap();
    let log = harness.admin(&format!("sync-log?lead_id={known_as}&operation=delete")).await;
    assert_eq!(log["items"][0]["outcome"], "ok", "{log}");
    harness.stop().await;
}

#[tokio::test]
async fn nothing_is_deleted_in_one_crm_while_another_cannot_be_asked() {
    let harness = Harness::start(|_| {}).await;
    harness.send(&event("lead.created", CREATED, &ada("cl_1"))).await;
    harness.settled().await;
    let harness = harness
        .restarted(|config| {
            let mut away = config.destinations.values().next().unwrap().clone();
            let DestinationKind::Salesforce(salesforce) = &mut away.kind;
            salesforce.url = "http://127.0.0.1:1".parse().unwrap();
            config.destinations.insert("z_away".into(), away);
        })
        .await;
    let (status, problem) = harness.admin_ask("DELETE", "leads/klozeo/cl_1?crm=true", json!({})).await;
    assert!(matches!(status, 409 | 502), "{status} {problem}");
    assert_eq!(harness.records().await.len(), 1);
    harness.admin("leads/klozeo/cl_1").await;
    harness.stop().await;
}
