//! A rule of the CRM that refuses every record: the CRM's doing, and no lead's.

use std::time::Duration;

use leadrelay::clock::Clock;
use serde_json::json;

use super::{AT, all_arrived, create, has, ids};
use crate::harness::{Harness, Stage};

/// Leads of this destination: still owed, and dead.
async fn owed_and_dead(harness: &Harness, clock: &Clock) -> (u64, u64, u64) {
    let queue = harness.app.store.queue_figures(clock.now()).await.unwrap().remove(0);
    (queue.ready + queue.retrying, queue.leased, queue.dead)
}

#[tokio::test]
async fn a_refusal_of_every_lead_by_one_rule_closes_the_gate_alerts_and_costs_no_lead() {
    let clock = Clock::manual(leadrelay::domain::time::Timestamp::from_seconds(AT + 60));
    let mut stage = Stage::new().await;
    stage.clock = clock.clone();
    let harness = stage.start(|_| {}).await;
    harness
        .faults(json!([{ "fault": "refuse", "field": "LastName", "message": "Last name must be registered" }]))
        .await;
    // One after the other, so that the first ones are refused before there are enough to tell.
    for id in &ids(30)[..12] {
        create(&harness, id, json!({})).await;
        until(|| async { owed_and_dead(&harness, &clock).await.2 > 0 }).await;
    }
    for id in &ids(30)[12..] {
        create(&harness, id, json!({})).await;
    }
    let seen = harness.destination(|seen| has(&seen["gate"]["reason"], "refuses most leads")).await;
    let remedy = "Correct the lead, or have the rule except the integration user.";
    let named = |told| has(told, "FIELD_CUSTOM_VALIDATION_EXCEPTION") && has(told, remedy);
    assert_eq!((&seen["state"], &seen["gate"]["state"]), (&json!("stopped"), &json!("closed")));
    assert!(named(&seen["gate"]["reason"]) && named(&seen["needs_person"]), "{seen}");
    // All of them are owed, those too that were dead letters before it came to light.
    until(|| async { owed_and_dead(&harness, &clock).await == (30, 0, 0) }).await;
    assert_eq!(harness.admin("dead-letters").await["items"], json!([]));
    // What operators are shown is at most a second old.
    harness.advance(Duration::from_secs(2));
    let alerts = harness.admin("alerts").await;
    let alert = alerts["items"].as_array().unwrap().iter().find(|alert| alert["alert"] == "destination_stopped");
    assert!(alert.is_some_and(|alert| named(&alert["detail"])), "{alerts}");
    let error = harness.error("FIELD_CUSTOM_VALIDATION_EXCEPTION").await;
    assert_eq!(error["remedy"], remedy);
    assert!(harness.records().await.is_empty());

    harness.faults(json!([])).await;
    harness.advance(Duration::from_secs(80));
    harness.resume().await;
    all_arrived(&harness, &ids(30)).await;
    harness.advance(Duration::from_secs(2));
    let seen = harness.destination(|_| true).await;
    assert_eq!((&seen["state"], &seen["needs_person"]), (&json!("running"), &json!(null)), "{seen}");
    harness.stop().await;
}

async fn until(holds: impl AsyncFn() -> bool) {
    for _ in 0..400 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("it never came so far");
}
