//! A CRM that does not show us what it holds: an object that is refused, or a field that tells who a person is.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value as Json, json};

use super::{all_arrived, create, has, ids};
use crate::harness::{Harness, Stage};

/// Every describe of Contact is answered so.
fn refused(status: u16, code: Option<&str>) -> Json {
    let mut rule = json!({ "fault": "status", "status": status, "path": "Contact/describe" });
    if let Some(code) = code {
        rule["code"] = json!(code);
    }
    json!([rule])
}

/// The preflight's errors about a subject.
async fn errors_about(harness: &Harness, subject: &str) -> Vec<Json> {
    let check = harness.until("check", |check| check["items"][0]["findings"].is_array()).await;
    let mut findings = check["items"][0]["findings"].as_array().unwrap().clone();
    findings.retain(|finding| finding["severity"] == "error" && finding["subject"] == subject);
    findings
}

fn is_owed(queue: &Json, leads: u64) -> bool {
    let count = |state: &str| queue["items"][0][state].as_u64().unwrap();
    count("ready") + count("retrying") == leads && count("dead") + count("held") + count("leased") == 0
}

#[tokio::test]
async fn a_describe_that_is_refused_stops_the_destination_with_few_calls_and_says_what_to_do() {
    let troubles = [
        (403, None, "INSUFFICIENT_ACCESS", "Give the integration user's permission set the access"),
        (404, None, "NOT_FOUND", "read access to the object"),
        (400, Some("INVALID_TYPE"), "INVALID_TYPE", "read access to the object"),
        (400, Some("BRAND_NEW"), "BRAND_NEW", "Look the code up"),
        (400, Some("MALFORMED_ID"), "MALFORMED_ID", ""),
    ];
    join_all(troubles.map(|(status, code, told, remedy)| stops(status, code, told, remedy))).await;
}

async fn stops(status: u16, code: Option<&str>, told: &str, remedy: &str) {
    let stage = Stage::new().await;
    stage.order("faults", json!({ "rules": refused(status, code) })).await;
    let harness = stage.start(|_| {}).await;
    create(&harness, "cl_0", json!({})).await;
    let seen = harness.destination(|seen| has(&seen["gate"]["reason"], "Contact")).await;
    assert_eq!(seen["state"], "stopped", "{seen}");
    for reason in [&seen["gate"]["reason"], &seen["needs_person"]] {
        assert!(has(reason, told) && has(reason, remedy), "{told}: {seen}");
    }
    let alerts = harness.until("alerts", |alerts| alerts.to_string().contains("destination_stopped")).await;
    assert!(alerts.to_string().contains(told), "{alerts}");
    let errors = errors_about(&harness, "Contact").await;
    assert!(has(&errors[0]["finding"], told) && has(&errors[0]["remedy"], "read access to Contact"), "{errors:?}");

    let before = harness.control("stats").await["calls"].as_u64().unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let calls = harness.control("stats").await["calls"].as_u64().unwrap() - before;
    assert!(calls <= 6, "{told}: {calls} calls in two seconds");
    harness.until("queue", |queue| is_owed(queue, 1)).await;

    harness.faults(json!([])).await;
    all_arrived(&harness, &ids(1)).await;
    harness.destination(|seen| seen["state"] == "running").await;
    assert!(errors_about(&harness, "Contact").await.is_empty());
    harness.stop().await;
}

#[tokio::test]
async fn whichever_object_is_refused_it_is_asked_for_less_and_less_often() {
    let stage = Stage::new().await;
    let rule = json!({ "fault": "status", "status": 403, "path": "Lead/describe" });
    stage.order("faults", json!({ "rules": [rule] })).await;
    let harness = stage.start(|_| {}).await;
    create(&harness, "cl_0", json!({})).await;
    harness.destination(|seen| has(&seen["gate"]["reason"], "the fields of Lead")).await;
    let before = harness.control("stats").await["calls"].as_u64().unwrap();
    tokio::time::sleep(Duration::from_secs(4)).await;
    let calls = harness.control("stats").await["calls"].as_u64().unwrap() - before;
    // Pauses are drawn; without them there would be hundreds.
    assert!(calls <= 8, "{calls} calls in four seconds");
    harness.stop().await;
}

#[tokio::test]
async fn an_object_that_is_hidden_while_running_stops_the_destination_until_it_is_shown() {
    let harness = Harness::start(|_| {}).await;
    create(&harness, "cl_0", json!({})).await;
    all_arrived(&harness, &ids(1)).await;
    harness.faults(refused(404, None)).await;
    harness.resume().await;
    let seen = harness.destination(|seen| has(&seen["gate"]["reason"], "Contact")).await;
    assert_eq!(seen["state"], "stopped", "{seen}");
    assert_eq!(errors_about(&harness, "Contact").await.len(), 1);
    create(&harness, "cl_1", json!({})).await;
    harness.until("queue", |queue| is_owed(queue, 1)).await;
    harness.faults(json!([])).await;
    all_arrived(&harness, &ids(2)).await;
    harness.destination(|seen| seen["state"] == "running").await;
    harness.stop().await;
}

#[tokio::test]
async fn lookups_refused_for_a_field_that_is_shown_stop_the_destination_too() {
    let harness = Harness::start(|_| {}).await;
    let message = "\nWHERE Email IN ('cl_0@lovelace.example')\n      ^\nERROR at Row:1:Column:9\n\
                   field 'Email' can not be filtered in a query call";
    let rule = json!({ "fault": "status", "status": 400, "path": "/composite", "writes": false, "code": "INVALID_FIELD", "message": message });
    harness.faults(json!([rule])).await;
    create(&harness, "cl_0", json!({})).await;
    let seen = harness.destination(|seen| has(&seen["gate"]["reason"], "refuses our lookups")).await;
    assert!(has(&seen["needs_person"], "field 'Email' can not be filtered"), "{seen}");
    harness.until("alerts", |alerts| alerts.to_string().contains("destination_stopped")).await;
    harness.until("queue", |queue| is_owed(queue, 1)).await;
    for path in ["destinations", "sync-log", "errors"] {
        let told = harness.admin_text(path).await;
        assert!(told.contains("INVALID_FIELD") && !told.contains("cl_0@lovelace"), "{told}");
    }
    harness.faults(json!([])).await;
    all_arrived(&harness, &ids(1)).await;
    harness.stop().await;
}

#[tokio::test]
async fn without_a_contacts_identity_nothing_is_made_until_it_is_shown_again() {
    for (field, from_the_start) in [("Email", true), ("Email", false), ("LastName", true)] {
        let stage = Stage::new().await;
        let hidden = json!({ "object": "Contact", "name": field, "hide": true });
        let contact = json!({ "FirstName": "Ada", "LastName": "cl_1", "Email": "cl_1@lovelace.example" });
        stage.order("records", json!({ "object": "Contact", "fields": contact })).await;
        if from_the_start {
            stage.remove("fields", hidden.clone()).await;
        }
        let harness = stage.start(|_| {}).await;
        if !from_the_start {
            create(&harness, "cl_0", json!({})).await;
            all_arrived(&harness, &ids(1)).await;
            harness.remove("fields", hidden).await;
        }
        create(&harness, "cl_1", json!({})).await;
        let named = format!("Contact.{field}");
        let seen = harness.destination(|seen| has(&seen["gate"]["reason"], &named)).await;
        assert!(has(&seen["needs_person"], "make it visible for the integration user"), "{seen}");
        harness.until("alerts", |alerts| alerts.to_string().contains(&named)).await;
        let errors = errors_about(&harness, &named).await;
        assert!(has(&errors[0]["remedy"], "visible to the integration user"), "{errors:?}");
        harness.until("queue", |queue| is_owed(queue, 1)).await;
        assert_eq!(harness.records().await.len(), usize::from(!from_the_start), "who is a contact is not made again");

        let before = harness.control("stats").await["calls"].as_u64().unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
        let calls = harness.control("stats").await["calls"].as_u64().unwrap() - before;
        assert!(calls <= 4, "{named}: {calls} calls in two seconds");
        for path in ["destinations", "sync-log"] {
            let told = harness.admin_text(path).await;
            assert!(!told.contains("cl_1@lovelace") && !told.contains("Some("), "{told}");
        }

        let kind = if field == "Email" { "email" } else { "text" };
        harness.order("fields", json!({ "object": "Contact", "name": field, "type": kind, "length": 80 })).await;
        harness.resume().await;
        harness.settled().await;
        let conflicts = harness.admin("conflicts?state=open&kind=match").await;
        assert_eq!(conflicts["items"].as_array().unwrap().len(), 1, "the contact is found: {conflicts}");
        harness.destination(|seen| seen["state"] == "running").await;
        harness.stop().await;
    }
}
