//! Writes of which no answer came, and attempts that do not get as far as the record: what was written is known all the same.

use std::time::Duration;

use leadrelay::clock::Clock;
use leadrelay::config::{Config, Mode};
use leadrelay::domain::mapping::{ConflictRule, OnInvalid};
use leadrelay::domain::time::Timestamp;
use serde_json::{Value as Json, json};

use crate::harness::{Harness, Stage, event};

const CREATED: i64 = 1_767_225_600;
const EMAIL: &str = "ada@lovelace.example";

fn ada(id: &str, city: &str, email: &str) -> Json {
    json!({ "id": id, "name": "Ada Lovelace", "email": email, "city": city, "source": "website" })
}

/// With a row that the CRM wins: a value of ours that seems an edit stays for good.
async fn start() -> Harness {
    let mut stage = Stage::new().await;
    stage.clock = Clock::manual(Timestamp::from_seconds(CREATED + 60));
    stage
        .start(|config| {
            for row in config.destinations.values_mut().flat_map(|destination| destination.fields.iter_mut()) {
                match row.lead.as_str() {
                    "city" => row.conflict = ConflictRule::CrmWins,
                    "email" => row.on_invalid = OnInvalid::Hold,
                    _ => {}
                }
            }
        })
        .await
}

async fn create(harness: &Harness) {
    harness.send(&event("lead.created", CREATED, &ada("cl_1", "Berlin", EMAIL))).await;
    harness.settled().await;
}

/// The write is executed and its answer lost.
fn lost() -> Json {
    json!([{ "fault": "reset_after", "writes": true, "count": 1 }])
}

/// The write is executed two seconds later.
fn late() -> Json {
    json!([{ "fault": "late_write", "status": 504, "writes": true, "count": 1 }])
}

/// Bonn is written and no answer comes; the clock stands, so that it is not tried again yet.
async fn without_answer(harness: &Harness, kind: &str, faults: Json) {
    harness.faults(faults).await;
    harness.send(&event(kind, CREATED + 1, &ada("cl_1", "Bonn", EMAIL))).await;
    let no_answer = |log: &Json| log["items"].as_array().unwrap().iter().any(|row| row["outcome"] == "unknown");
    harness.until("sync-log?lead_id=cl_1", no_answer).await;
}

async fn ends_in_hamburg(harness: Harness) {
    harness.send(&event("lead.updated", CREATED + 9, &ada("cl_1", "Hamburg", EMAIL))).await;
    harness.settled().await;
    assert_eq!(harness.record_of("cl_1").await["fields"]["City"], "Hamburg", "its own Bonn seemed an edit");
    harness.stop().await;
}

#[tokio::test]
async fn a_lead_that_is_held_before_its_record_is_looked_at_forgets_no_write() {
    for waits in [false, true] {
        let harness = start().await;
        create(&harness).await;
        without_answer(&harness, "lead.updated", lost()).await;
        harness.send(&event("lead.updated", CREATED + 2, &ada("cl_1", "Bonn", "not an address"))).await;
        harness.settled().await;
        if waits {
            harness.look_at_late_writes().await;
        }
        ends_in_hamburg(harness).await;
    }
}

#[tokio::test]
async fn a_destination_that_only_observes_forgets_no_write() {
    fn mode(mode: Mode) -> impl Fn(&mut Config) {
        move |config| config.destinations.values_mut().for_each(|destination| destination.mode = mode)
    }
    let harness = start().await;
    create(&harness).await;
    without_answer(&harness, "lead.updated", lost()).await;
    let harness = harness.restarted(mode(Mode::Observe)).await;
    harness.settled().await;
    harness.look_at_late_writes().await;
    let harness = harness.restarted(mode(Mode::Live)).await;
    ends_in_hamburg(harness).await;
}

#[tokio::test]
async fn a_refusal_that_is_known_forgets_no_write_that_landed_late() {
    let harness = start().await;
    create(&harness).await;
    let refusing = json!({ "fault": "refuse", "field": "LastName", "when": "Forbidden" });
    without_answer(&harness, "lead.updated", json!([late()[0], refusing])).await;
    // The same write before and after the late one landed, so that it is not sent again.
    let mut bad = ada("cl_1", "Kiel", EMAIL);
    bad["name"] = json!("Ada Forbidden");
    harness.send(&event("lead.updated", CREATED + 2, &bad)).await;
    harness.settled().await;
    while harness.record_of("cl_1").await["fields"]["City"] != "Bonn" {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    harness.look_at_late_writes().await;
    harness.faults(json!([])).await;
    ends_in_hamburg(harness).await;
}

#[tokio::test]
async fn the_record_of_a_lead_that_was_deleted_before_its_create_was_answered_is_taken_over() {
    for faults in [lost(), late()] {
        let harness = start().await;
        without_answer(&harness, "lead.created", faults).await;
        harness.send(&event("lead.deleted", CREATED + 2, &json!({ "id": "cl_1" }))).await;
        harness.settled().await;
        while harness.records().await.is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        harness.send(&event("lead.created", CREATED + 3, &ada("cl_2", "Hamburg", EMAIL))).await;
        harness.look_at_late_writes().await;
        assert_eq!(harness.records().await.len(), 1);
        assert_eq!(harness.record_of("cl_2").await["fields"]["City"], "Bonn", "a row that the CRM wins");
        assert_eq!(harness.admin("conflicts?state=open").await["items"], json!([]));
        harness.stop().await;
    }
}
