//! A CRM that refuses the login, answers nonsense, or does not answer.

use std::time::Duration;

use leadrelay::config::{Config, DestinationKind, SalesforceLogin, Secret};
use leadrelay::sandbox::Sandbox;
use serde_json::json;

use super::{all_arrived, create, has, ids};
use crate::harness::Harness;
use crate::service::{Connection, Service};

/// After that it is not slow but broken.
const PATIENCE: Duration = Duration::from_secs(60);

fn secret(config: &mut Config, secret: &str) {
    for destination in config.destinations.values_mut() {
        let DestinationKind::Salesforce(salesforce) = &mut destination.kind;
        salesforce.login =
            SalesforceLogin::ClientCredentials { client_id: "demo".to_owned(), client_secret: Secret::new(secret) };
    }
}

#[tokio::test]
async fn a_wrong_login_is_named_with_its_remedy_and_leads_wait_for_the_right_one() {
    let harness = Harness::start(|config| secret(config, "wrong")).await;
    create(&harness, "cl_0", json!({})).await;
    create(&harness, "cl_1", json!({})).await;
    let seen = harness.destination(|seen| seen["state"] == "stopped").await;
    let remedy = "Check login url, client ID and secret and the app's Run As user in Salesforce";
    for told in [&seen["gate"]["reason"], &seen["needs_person"]] {
        assert!(has(told, "the CRM refuses our login") && has(told, "invalid_client") && has(told, remedy), "{seen}");
    }
    assert_eq!(seen["last_error"]["code"], "invalid_client");
    assert!(has(&seen["last_error"]["remedy"], remedy), "{seen}");
    let alerts = harness.until("alerts", |alerts| !alerts["items"].as_array().unwrap().is_empty()).await;
    assert_eq!(alerts["items"][0]["alert"], "destination_stopped");
    assert!(has(&alerts["items"][0]["detail"], remedy), "{alerts}");
    harness.until("queue", |queue| queue["items"][0]["dead"] == 0 && queue["items"][0]["ready"] == 2).await;
    assert_eq!(harness.admin("sync-log").await["items"], json!([]), "waiting behind the gate is no attempt");

    let harness = harness.restarted(|config| secret(config, "right")).await;
    all_arrived(&harness, &ids(2)).await;
    harness.destination(|seen| seen["state"] == "running" && seen["needs_person"].is_null()).await;
    harness.stop().await;
}

#[tokio::test]
async fn a_page_of_html_for_an_answer_is_named_and_leads_are_tried_until_it_is_gone() {
    let harness = Harness::start(|_| {}).await;
    harness.faults(json!([{ "fault": "garbage", "path": "composite" }])).await;
    for id in ids(3) {
        create(&harness, &id, json!({})).await;
    }
    let remedy = "See what answers under the login url: a proxy in between, a maintenance page, or another server.";
    let seen = harness.destination(|seen| seen["state"] == "stopped").await;
    assert!(has(&seen["gate"]["reason"], "answer_unreadable") && has(&seen["gate"]["reason"], remedy), "{seen}");
    assert_eq!(harness.error("answer_unreadable").await["remedy"], remedy);
    harness.until("queue", |queue| queue["items"][0]["retrying"] == 3 && queue["items"][0]["dead"] == 0).await;
    harness.faults(json!([])).await;
    all_arrived(&harness, &ids(3)).await;
    harness.stop().await;
}

#[tokio::test]
async fn a_page_of_html_for_the_answer_to_a_write_leaves_its_outcome_unknown_and_doubles_nothing() {
    let harness = Harness::start(|_| {}).await;
    // A name like a reference is written by a call of its own, which alone is answered so.
    harness.faults(json!([{ "fault": "garbage", "path": "composite/sobjects", "count": 2 }])).await;
    create(&harness, "cl_0", json!({ "name": "Ann @{a.b}" })).await;
    create(&harness, "cl_1", json!({})).await;
    all_arrived(&harness, &ids(2)).await;
    let log = harness.admin("sync-log?lead_id=cl_0&outcome=unknown").await;
    assert_eq!(log["items"].as_array().unwrap().len(), 2, "{log}");
    assert_eq!(
        harness.error("no_answer").await["remedy"],
        "Nothing; the record is read before anything is written again."
    );
    harness.stop().await;
}

#[tokio::test]
async fn an_unreadable_description_is_named_although_no_lead_was_tried() {
    let harness = Harness::start(|_| {}).await;
    harness.faults(json!([{ "fault": "garbage", "path": "describe" }])).await;
    harness.order("expire_tokens", json!({})).await;
    let harness = harness.restarted(|_| {}).await;
    create(&harness, "cl_0", json!({})).await;
    let seen = harness.destination(|seen| seen["state"] == "stopped").await;
    assert_eq!(seen["last_error"]["code"], "answer_unreadable");
    assert!(has(&seen["last_error"]["remedy"], "See what answers under the login url"), "{seen}");
    harness.faults(json!([])).await;
    all_arrived(&harness, &ids(1)).await;
    harness.stop().await;
}

#[tokio::test]
async fn a_call_that_hangs_is_given_up_after_the_timeout_and_named() {
    let harness = Harness::start(|config| {
        for destination in config.destinations.values_mut() {
            destination.limits.timeout = Duration::from_millis(200);
        }
    })
    .await;
    // The first to be asked for hangs, whether a lookup or the login; then lookups and writes in turn.
    harness.faults(json!([{ "fault": "hang", "path": "composite" }])).await;
    for id in ids(3) {
        create(&harness, &id, json!({})).await;
    }
    let remedy = "Nothing; the record is read before anything is written again.";
    let error = harness.error("no_answer").await;
    assert_eq!(error["remedy"], remedy);
    let seen = harness.destination(|seen| seen["state"] == "stopped").await;
    let sentence = "Nothing need be done; the record is read before anything is written again.";
    assert!(has(&seen["gate"]["reason"], "no_answer") && has(&seen["gate"]["reason"], sentence), "{seen}");
    harness.until("queue", |queue| queue["items"][0]["retrying"] == 3 && queue["items"][0]["dead"] == 0).await;
    // Executed, and never answered.
    harness.faults(json!([{ "fault": "timeout_after", "path": "composite", "rate": 0.5, "count": 4 }])).await;
    all_arrived(&harness, &ids(3)).await;
    harness.stop().await;
}

#[tokio::test]
async fn lost_answers_to_creates_make_no_second_record() {
    let harness = Harness::start(|_| {}).await;
    harness.faults(json!([{ "fault": "reset_after", "rate": 0.5, "path": "composite", "count": 8 }])).await;
    for id in ids(30) {
        create(&harness, &id, json!({})).await;
    }
    all_arrived(&harness, &ids(30)).await;
    let log = harness.admin("sync-log?outcome=unknown").await;
    assert!(!log["items"].as_array().unwrap().is_empty(), "a write without an answer is in the log as unknown");
    harness.stop().await;
}

#[tokio::test]
async fn an_answer_of_100_mb_is_named_and_leads_are_tried_until_it_is_gone() {
    let harness = Harness::start(|_| {}).await;
    harness.faults(json!([{ "fault": "huge", "path": "composite" }])).await;
    for id in ids(3) {
        create(&harness, &id, json!({})).await;
    }
    let remedy = "See what answers under the login url: a proxy in between, or another server.";
    assert_eq!(harness.error("answer_too_large").await["remedy"], remedy);
    let seen = harness.destination(|seen| seen["state"] == "stopped").await;
    assert!(has(&seen["gate"]["reason"], "answer_too_large") && has(&seen["gate"]["reason"], remedy), "{seen}");
    harness.until("queue", |queue| queue["items"][0]["retrying"] == 3 && queue["items"][0]["dead"] == 0).await;
    harness.faults(json!([])).await;
    all_arrived(&harness, &ids(3)).await;
    harness.stop().await;
}

/// The real binary, since the memory of this process is shared with the CRM and with other tests.
#[tokio::test]
async fn answers_of_100_mb_take_no_memory() {
    let sandbox = Sandbox::start(([127, 0, 0, 1], 0).into()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let client = reqwest::Client::new();
    let control = |path: &str| format!("{}/_sandbox/{path}", sandbox.url());
    let huge = json!({ "rules": [{ "fault": "huge", "path": "composite" }] });
    client.post(control("faults")).json(&huge).send().await.unwrap();
    let service = {
        let (folder, url) = (folder.path().to_owned(), sandbox.url());
        tokio::task::spawn_blocking(move || Service::start_with(&folder, &url, &[]).unwrap()).await.unwrap()
    };
    let peak = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", service.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
    };
    let before = peak();
    let address = service.address;
    let answer = tokio::task::spawn_blocking(move || Connection::open(address)?.send("cl_0", 10)).await.unwrap();
    assert_eq!(answer.unwrap().status, 202);
    let asked = async || {
        let requests: serde_json::Value = client.get(control("requests")).send().await.unwrap().json().await.unwrap();
        requests["items"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|request| request["path"].to_string().contains("composite"))
            .count()
    };
    let both_asked = async {
        while asked().await < 2 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, both_asked).await.unwrap();
    let grown = peak() - before;
    assert!(grown < 60, "{before} MB, and {grown} MB more for answers of 100 MB");
    client.post(control("faults")).json(&json!({})).send().await.unwrap();
    let arrived = async || {
        let records: serde_json::Value =
            client.get(control("records?object=Lead")).send().await.unwrap().json().await.unwrap();
        records["items"].as_array().unwrap().len()
    };
    let one_arrived = async {
        while arrived().await == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, one_arrived).await.unwrap();
    assert_eq!(arrived().await, 1);
    drop(service);
    sandbox.stop().await;
}

/// Twice as many bytes as are read of one answer: 200 records of the longest text, in three bytes a letter.
#[tokio::test]
async fn an_answer_that_is_too_large_for_many_leads_is_asked_for_in_parts() {
    let harness = Harness::start(|config| {
        for destination in config.destinations.values_mut() {
            destination.limits.linger = Duration::from_secs(2);
        }
    })
    .await;
    let description = "語".repeat(32_000);
    harness.admin_post("destinations/salesforce/pause", json!({})).await;
    for id in ids(200) {
        create(&harness, &id, json!({ "description": description })).await;
    }
    harness.resume().await;
    all_arrived(&harness, &ids(200)).await;
    let records = harness.records().await;
    assert!(records.iter().all(|record| record["fields"]["Description"] == *description));
    harness.stop().await;
}
