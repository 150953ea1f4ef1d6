//! What people do to leads on their way: deletes, answers, a changed mapping, a pause.

use leadrelay::clock::Clock;
use leadrelay::domain::mapping::{OnInvalid, TooLong};
use leadrelay::store::NewRun;
use serde_json::{Value as Json, json};

use crate::harness::{Harness, event};

const CREATED: i64 = 1_767_225_600;

fn ada(id: &str, city: &str) -> Json {
    json!({ "id": id, "name": "Ada Lovelace", "email": "ada@lovelace.example", "city": city, "source": "website" })
}

#[tokio::test]
async fn the_record_of_a_deleted_lead_belongs_to_the_next_lead_of_that_person() {
    let harness = Harness::start(|_| {}).await;
    harness.send(&event("lead.created", CREATED, &ada("cl_1", "Berlin"))).await;
    harness.settled().await;
    harness.send(&event("lead.deleted", CREATED + 60, &json!({ "id": "cl_1" }))).await;
    harness.settled().await;
    harness.send(&event("lead.created", CREATED + 120, &ada("cl_2", "Bonn"))).await;
    harness.settled().await;
    let record = harness.record_of("cl_2").await;
    assert_eq!(record["fields"]["City"], "Bonn");
    assert_eq!(harness.records().await.len(), 1);
    assert_eq!(harness.admin("conflicts?state=open").await["items"], json!([]));
    let log = harness.admin("sync-log?lead_id=cl_2").await;
    let entry = harness.admin(&format!("sync-log/{}", log["items"][0]["id"])).await;
    assert!(entry.to_string().contains("the record belonged to lead klozeo/cl_1, which was deleted"), "{entry}");
    harness.stop().await;
}

#[tokio::test]
async fn a_person_may_say_that_the_second_lead_on_a_record_wins() {
    let harness = Harness::start(|_| {}).await;
    harness.send(&event("lead.created", CREATED, &ada("cl_1", "Berlin"))).await;
    harness.settled().await;
    harness.send(&event("lead.created", CREATED + 60, &ada("cl_2", "Bonn"))).await;
    harness.settled().await;
    assert_eq!(harness.record_of("cl_1").await["fields"]["City"], "Berlin");
    let conflicts = harness.admin("conflicts?state=open&kind=shared_record").await;
    assert_eq!(conflicts["items"][0]["lead_id"], "cl_2", "{conflicts}");
    let answer = json!({ "choose": "lead", "note": "the same person, moved" });
    harness.admin_post(&format!("conflicts/{}/resolve", conflicts["items"][0]["id"]), answer).await;
    harness.settled().await;
    assert_eq!(harness.record_of("cl_1").await["fields"]["City"], "Bonn", "its ID stays the first lead's");
    assert_eq!(harness.admin("conflicts?state=open").await["items"], json!([]));
    harness.stop().await;
}

#[tokio::test]
async fn what_a_person_gave_instead_of_a_value_that_does_not_fit_is_not_left_out() {
    let harness = Harness::start(|config| {
        for row in config.destinations.values_mut().flat_map(|destination| destination.fields.iter_mut()) {
            if row.lead == "city" {
                row.on_invalid = OnInvalid::Review;
            }
        }
    })
    .await;
    harness.send(&event("lead.created", CREATED, &ada("cl_1", &"A".repeat(100)))).await;
    harness.settled().await;
    let conflicts = harness.admin("conflicts?state=open&kind=invalid").await;
    let answer = json!({ "choose": "value", "value": "Aachen" });
    harness.admin_post(&format!("conflicts/{}/resolve", conflicts["items"][0]["id"]), answer).await;
    harness.settled().await;
    assert_eq!(harness.record_of("cl_1").await["fields"]["City"], "Aachen");
    let lead = harness.admin("leads/klozeo/cl_1").await;
    assert_eq!(lead["links"][0]["left_out"], json!([]), "{lead}");
    harness.stop().await;
}

#[tokio::test]
async fn what_a_lead_took_back_before_its_first_sync_never_comes_to_the_crm() {
    let harness = Harness::start(|_| {}).await;
    harness.admin_post("destinations/salesforce/pause", json!({})).await;
    harness.send(&event("lead.created", CREATED, &ada("cl_1", "Berlin"))).await;
    let mut without = ada("cl_1", "Berlin");
    without["email"] = Json::Null;
    harness.send(&event("lead.updated", CREATED + 1, &without)).await;
    harness.resume().await;
    harness.settled().await;
    assert_eq!(harness.record_of("cl_1").await["fields"]["Email"], Json::Null);
    without["city"] = json!("Bonn");
    harness.send(&event("lead.updated", CREATED + 2, &without)).await;
    harness.settled().await;
    let fields = harness.record_of("cl_1").await["fields"].clone();
    assert_eq!((&fields["City"], &fields["Email"]), (&json!("Bonn"), &Json::Null), "nor with the next event");
    harness.stop().await;
}

#[tokio::test]
async fn a_value_that_was_left_out_arrives_by_itself_once_the_mapping_lets_it_through() {
    let long = "A".repeat(100);
    let harness = Harness::start(|_| {}).await;
    harness.send(&event("lead.created", CREATED, &ada("cl_1", &long))).await;
    harness.settled().await;
    assert_eq!(harness.record_of("cl_1").await["fields"]["City"], Json::Null, "too long for the field");
    let lead = harness.admin("leads/klozeo/cl_1").await;
    assert_eq!(lead["links"][0]["left_out"], json!(["City"]), "{lead}");
    let harness = harness
        .restarted(|config| {
            for destination in config.destinations.values_mut() {
                destination
                    .fields
                    .iter_mut()
                    .filter(|row| row.lead == "city")
                    .for_each(|row| row.too_long = TooLong::Truncate);
            }
        })
        .await;
    harness.until("sync-log?lead_id=cl_1&operation=update", |log| !log["items"].as_array().unwrap().is_empty()).await;
    assert_eq!(harness.record_of("cl_1").await["fields"]["City"], long[..40]);
    let lead = harness.admin("leads/klozeo/cl_1").await;
    assert_eq!(lead["links"][0]["left_out"], json!([]), "{lead}");
    harness.stop().await;
}

#[tokio::test]
async fn a_pause_raises_no_alert_until_leads_have_waited_too_long() {
    let harness = Harness::start(|config| config.alerts.retry_age = std::time::Duration::from_secs(3)).await;
    harness.admin_post("destinations/salesforce/pause", json!({ "note": "month end" })).await;
    harness.send(&event("lead.created", CREATED, &ada("cl_1", "Berlin"))).await;
    harness.until("queue", |queue| queue["items"][0]["ready"] == 1).await;
    assert_eq!(harness.admin("alerts").await["items"], json!([]), "whoever paused it knows");
    let alerts = harness.until("alerts", |alerts| !alerts["items"].as_array().unwrap().is_empty()).await;
    assert_eq!(alerts["items"][0]["alert"], "retry_age", "{alerts}");
    harness.admin_post("destinations/salesforce/resume", json!({})).await;
    harness.until("alerts", |alerts| alerts["items"].as_array().unwrap().is_empty()).await;
    harness.stop().await;
}

#[tokio::test]
async fn a_resync_that_a_stop_interrupted_goes_on_after_the_restart() {
    let harness = Harness::start(|_| {}).await;
    harness.send(&event("lead.created", CREATED, &ada("cl_1", "Berlin"))).await;
    harness.settled().await;
    let run = |destination: &str| NewRun {
        kind: "resync",
        by: "ops".to_owned(),
        started_at: Clock::system().now(),
        scope: json!({ "destination": destination, "sources": ["klozeo"] }).to_string(),
        total: 1,
    };
    let interrupted = harness.app.store.create_run(&run("salesforce")).await.unwrap();
    let orphan = harness.app.store.create_run(&run("removed")).await.unwrap();
    let harness = harness.restarted(|_| {}).await;
    let done = harness.until(&format!("runs/{interrupted}"), |run| run["state"] == "done").await;
    assert_eq!(done["done"], 1, "{done}");
    assert_eq!(harness.admin(&format!("runs/{orphan}")).await["state"], "cancelled");
    let looked_at = |log: &Json| !log["items"].as_array().unwrap().is_empty();
    harness.until("sync-log?lead_id=cl_1&operation=unchanged", looked_at).await;
    harness.stop().await;
}

#[tokio::test]
async fn the_log_tells_the_calls_that_an_operation_cost() {
    let harness = Harness::start(|_| {}).await;
    harness.send(&event("lead.created", CREATED, &ada("cl_0", "Berlin"))).await;
    harness.settled().await;
    let before = harness.control("stats").await["calls"].as_u64().unwrap();
    // A text that a composite would resolve is written in a call of its own, which is read back in none.
    harness.send(&event("lead.created", CREATED, &json!({ "id": "cl_1", "name": "Ada @{a.b}" }))).await;
    harness.settled().await;
    let calls = harness.control("stats").await["calls"].as_u64().unwrap() - before;
    let log = harness.admin("sync-log?lead_id=cl_1").await;
    assert_eq!(log["items"][0]["api_calls"], calls, "{log}");
    harness.send(&event("lead.updated", CREATED + 60, &json!({ "id": "cl_1", "updated_at": CREATED + 60 }))).await;
    harness.settled().await;
    let log = harness.admin("sync-log?lead_id=cl_1").await;
    assert_eq!((&log["items"][0]["operation"], &log["items"][0]["api_calls"]), (&json!("unchanged"), &json!(1)));
    harness.stop().await;
}
