//! Taking a changed configuration while the service runs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use leadrelay::config::{AdminToken, Config, Role};
use leadrelay::domain::cel::Expression;
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use crate::harness::{Harness, event};

const CREATED: i64 = 1_767_225_600;

fn person(id: &str) -> Json {
    json!({ "id": id, "name": format!("Ada {id}"), "email": format!("{id}@lovelace.example"), "city": "Berlin" })
}

#[tokio::test]
async fn a_changed_mapping_is_taken_and_no_webhook_is_lost_meanwhile() {
    let harness = Harness::start(|_| {}).await;
    let over = AtomicBool::new(false);
    let sending = async {
        let mut sent = 0;
        while !over.load(Ordering::Relaxed) {
            let lead = format!("cl_{sent}");
            assert_eq!(harness.send(&event("lead.created", CREATED, &person(&lead))).await, "accepted");
            sent += 1;
        }
        sent
    };
    let reloading = async {
        for turn in 0..5 {
            harness.write_configuration(|config| {
                for destination in config.destinations.values_mut() {
                    destination.fields.retain(|row| turn % 2 == 1 || row.lead != "city");
                }
            });
            assert_eq!(harness.admin_post("reload", json!({})).await, json!({ "restart_needed": [] }));
        }
        over.store(true, Ordering::Relaxed);
    };
    let (sent, ()) = tokio::join!(sending, reloading);
    harness.settled().await;
    assert_eq!(harness.records().await.len(), sent, "one record for each lead");
    let stats = harness.control("stats").await;
    assert_eq!(stats["duplicates"]["external_id"], 0, "{stats}");
    harness.send(&event("lead.created", CREATED, &person("last"))).await;
    harness.settled().await;
    assert_eq!(harness.record_of("last").await["fields"]["City"], Json::Null, "the row is gone from the mapping");
    let audit = harness.admin("audit").await;
    assert_eq!(audit["items"][0]["action"], "configuration.reload", "{audit}");
    harness.stop().await;
}

#[tokio::test]
async fn a_wrong_configuration_is_reported_whole_and_the_old_one_stays() {
    let harness = Harness::start(|_| {}).await;
    harness.break_configuration("[sources.klozeo]\npreset = \"klozoe\"\n[stroe]\n");
    let (status, problem) = harness.admin_ask("POST", "reload", json!({})).await;
    assert_eq!((status, &problem["type"]), (422, &json!("urn:leadrelay:problem:configuration")), "{problem}");
    let mistakes: Vec<&str> = problem["detail"].as_str().unwrap().lines().collect();
    assert!(mistakes.len() >= 2 && mistakes.iter().all(|line| line.starts_with("leadrelay.toml:")), "{problem}");
    harness.send(&event("lead.created", CREATED, &person("cl_1"))).await;
    harness.settled().await;
    harness.record_of("cl_1").await;
    harness.stop().await;
}

#[tokio::test]
async fn what_only_a_restart_can_change_is_named_and_the_rest_is_taken() {
    let harness = Harness::start(|_| {}).await;
    harness.write_configuration(|config| {
        config.server.listen.set_port(1);
        config.sources.values_mut().for_each(|source| source.enabled = false);
    });
    let done = harness.admin_post("reload", json!({})).await;
    assert_eq!(done, json!({ "restart_needed": ["server.listen"] }));
    let (status, _) = harness.post(&[], event("lead.created", CREATED, &person("cl_1"))).await;
    assert_eq!(status, 503, "the source is disabled");
    harness.stop().await;
}

#[tokio::test]
async fn the_last_tokens_stay_until_a_restart_makes_one() {
    let token = "the-token-of-ada";
    let harness = Harness::start(|config| {
        let sha256 = Sha256::digest(token).into();
        config.admin.tokens = vec![AdminToken { name: "Ada".to_owned(), role: Role::Operator, sha256 }];
    })
    .await;
    harness.write_configuration(|config| config.admin.tokens.clear());
    for _ in 0..2 {
        assert_eq!(harness.app.reload().await.unwrap().restart_needed, ["admin.tokens"]);
        let request = reqwest::Client::new().get(format!("http://{}/admin/v1/check", harness.app.admin));
        assert_eq!(request.bearer_auth(token).send().await.unwrap().status(), 200, "nobody is locked out");
    }
    harness.stop().await;
}

#[tokio::test]
async fn what_a_person_orders_during_a_reload_counts() {
    let harness = Harness::start(|_| {}).await;
    for turn in 0..20 {
        let order = if turn % 2 == 0 { "pause" } else { "resume" };
        let ordering = async {
            tokio::time::sleep(Duration::from_micros(turn * 300)).await;
            harness.admin_post(&format!("destinations/salesforce/{order}"), json!({})).await;
        };
        let (done, ()) = tokio::join!(harness.app.reload(), ordering);
        done.unwrap();
        let shown = harness.admin("destinations").await;
        let is_paused = shown["items"][0]["gate"]["state"] == "closed";
        assert_eq!(is_paused, order == "pause", "turn {turn}: {shown}");
    }
    harness.stop().await;
}

#[tokio::test]
async fn a_reload_does_not_hurry_a_crm_that_asked_to_be_left_alone() {
    let harness = Harness::start(|_| {}).await;
    harness.send(&event("lead.created", CREATED, &person("cl_1"))).await;
    harness.settled().await;
    harness.faults(json!([{ "fault": "throttle", "retry_after": 3600, "count": 1 }])).await;
    harness.send(&event("lead.created", CREATED, &person("cl_2"))).await;
    let gate = harness.destination(|shown| shown["gate"]["state"] == "closed").await["gate"].clone();
    assert!(gate["reason"].as_str().unwrap().starts_with("the CRM asked us to slow down"), "{gate}");
    harness.app.reload().await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(harness.destination(|_| true).await["gate"], gate);
    assert_eq!(harness.records().await.len(), 1, "nothing was sent");
    harness.stop().await;
}

#[tokio::test]
async fn a_resync_after_a_changed_mapping_knows_how_many_leads_it_concerns() {
    let harness = Harness::start(|_| {}).await;
    harness.send(&event("lead.created", CREATED, &person("cl_1"))).await;
    harness.settled().await;
    let preview = json!({ "destination": "salesforce", "changed": true, "dry_run": true });
    let counted = harness.admin_post("resync", preview.clone()).await;
    assert_eq!((&counted["leads"], &counted["planned_otherwise"]), (&json!(0), &json!(0)), "{counted}");
    harness.write_configuration(|config| {
        for destination in config.destinations.values_mut() {
            destination.fields.retain(|row| row.lead != "city");
        }
    });
    harness.admin_post("reload", json!({})).await;
    harness.until("check", |check| check.to_string().contains("1 were last planned by another mapping")).await;
    let counted = harness.admin_post("resync", preview).await;
    assert_eq!((&counted["leads"], &counted["planned_otherwise"]), (&json!(1), &json!(1)), "{counted}");
    let run = harness.admin_post("resync", json!({ "destination": "salesforce", "changed": true })).await;
    harness.until(&format!("runs/{}", run["run"]), |run| run["state"] == "done").await;
    harness.settled().await;
    let check = harness.admin_text("check").await;
    assert!(!check.contains("were last planned by another mapping"), "{check}");
    harness.stop().await;
}

#[tokio::test]
async fn a_lead_that_a_changed_mapping_leaves_alone_is_resynced_by_it_once() {
    let harness = Harness::start(|_| {}).await;
    harness.send(&event("lead.created", CREATED, &person("cl_1"))).await;
    harness.settled().await;
    let filtered = |config: &mut Config| {
        for destination in config.destinations.values_mut() {
            destination.filter = Some(Expression::parse("name == \"nobody\"").unwrap());
        }
    };
    let filtered_with_fewer_rows = |config: &mut Config| {
        filtered(config);
        for destination in config.destinations.values_mut() {
            destination.fields.retain(|row| row.lead != "city");
        }
    };
    // The second time the log tells already that it falls out of the filter.
    for change in [&filtered as &dyn Fn(&mut Config), &filtered_with_fewer_rows] {
        harness.write_configuration(change);
        harness.admin_post("reload", json!({})).await;
        harness.until("check", |check| check.to_string().contains("1 were last planned by another mapping")).await;
        let run = harness.admin_post("resync", json!({ "destination": "salesforce", "changed": true })).await;
        harness.until(&format!("runs/{}", run["run"]), |run| run["state"] == "done").await;
        harness.settled().await;
        let check = harness.admin_text("check").await;
        assert!(!check.contains("were last planned by another mapping"), "{check}");
    }
    harness.record_of("cl_1").await;
    harness.stop().await;
}
