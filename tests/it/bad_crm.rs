//! A CRM that is down, wrong, strict or edited by people: each trouble ends in a named state, and nothing is lost or doubled.

use leadrelay::config::{DestinationKind, Secret};
use serde_json::{Value as Json, json};

use crate::harness::{Harness, event};

fn lead(id: &str, fields: Json) -> Json {
    let mut lead = json!({ "id": id, "name": format!("Ada {id}"), "source": "website", "email": format!("{id}@lovelace.example") });
    let fields = fields.as_object().unwrap().clone();
    lead.as_object_mut().unwrap().extend(fields);
    lead
}

async fn create(harness: &Harness, id: &str, fields: Json) {
    assert_eq!(harness.send(&event("lead.created", 1_767_225_600, &lead(id, fields))).await, "accepted");
}

async fn faults(harness: &Harness, rules: Json) {
    harness.order("faults", json!({ "seed": 1, "rules": rules })).await;
}

/// The conditions of a destination, once they are as expected.
async fn until(harness: &Harness, path: &str, expected: impl Fn(&Json) -> bool) -> Json {
    for _ in 0..200 {
        let seen = harness.admin(path).await;
        if expected(&seen) {
            return seen;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("{path} never became as expected: {}", harness.admin(path).await);
}

#[tokio::test]
async fn lost_answers_to_creates_make_no_second_record() {
    let harness = Harness::start(|_| {}).await;
    faults(&harness, json!([{ "fault": "reset_after", "rate": 0.5, "path": "composite", "count": 8 }])).await;
    for number in 0..30 {
        create(&harness, &format!("cl_{number}"), json!({})).await;
    }
    harness.settled().await;
    assert_eq!(harness.records().await.len(), 30);
    let log = harness.admin("sync-log?outcome=unknown").await;
    assert!(!log["items"].as_array().unwrap().is_empty(), "a write without an answer is in the log as unknown");
    harness.stop().await;
}

#[tokio::test]
async fn a_wrong_login_is_named_and_leads_wait_for_the_right_one() {
    let harness = Harness::start(|config| {
        for destination in config.destinations.values_mut() {
            let DestinationKind::Salesforce(salesforce) = &mut destination.kind;
            salesforce.client_secret = Secret::new("wrong");
        }
    })
    .await;
    create(&harness, "cl_1", json!({})).await;
    let seen = until(&harness, "destinations", |seen| !seen["items"][0]["last_error"].is_null()).await;
    assert!(seen["items"][0]["last_error"].to_string().contains("invalid_client"), "{seen}");
    let waits = |queue: &Json| queue["items"][0]["dead"] == 0 && queue["items"][0]["ready"] == 1;
    until(&harness, "queue", waits).await;
    harness.stop().await;
}

#[tokio::test]
async fn a_value_that_the_crm_refuses_is_left_out_and_the_rest_of_the_lead_arrives() {
    let harness = Harness::start(|_| {}).await;
    let refused = json!([{ "fault": "refuse", "rate": 1.0, "field": "City", "when": "Berlin" }]);
    faults(&harness, refused).await;
    create(&harness, "cl_1", json!({ "city": "Berlin" })).await;
    harness.settled().await;
    let record = harness.record_of("cl_1").await;
    assert_eq!((&record["fields"]["Email"], &record["fields"]["City"]), (&json!("cl_1@lovelace.example"), &Json::Null));
    let log = harness.admin("sync-log?lead_id=cl_1&outcome=refused").await;
    assert_eq!(log["items"][0]["error_code"], "FIELD_CUSTOM_VALIDATION_EXCEPTION", "{log}");
    harness.stop().await;
}

#[tokio::test]
async fn a_refusal_of_every_lead_by_one_rule_closes_the_gate_and_loses_none() {
    let harness = Harness::start(|_| {}).await;
    faults(&harness, json!([{ "fault": "refuse", "rate": 1.0, "field": "LastName" }])).await;
    for number in 0..30 {
        create(&harness, &format!("cl_{number}"), json!({})).await;
    }
    until(&harness, "destinations", |seen| {
        seen["items"][0].to_string().contains("refuses most leads") || seen["items"][0]["gate"]["state"] == "closed"
    })
    .await;
    faults(&harness, json!([])).await;
    // Dead letters, or owed until the gate opens: each of the 30 is still there.
    let kept = |queue: &Json| {
        let count = |state: &str| queue["items"][0][state].as_u64().unwrap_or(0);
        ["ready", "leased", "retrying", "dead"].map(count).iter().sum::<u64>()
    };
    // Some may have arrived since the rule went.
    until(&harness, "queue", |queue| kept(queue) > 0).await;
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    let (queue, arrived) = (harness.admin("queue").await, harness.records().await.len());
    assert_eq!(kept(&queue) + u64::try_from(arrived).unwrap(), 30, "{arrived} arrived, {queue}");
    harness.stop().await;
}

#[tokio::test]
async fn a_record_that_was_deleted_in_the_crm_waits_for_a_person() {
    let harness = Harness::start(|_| {}).await;
    create(&harness, "cl_1", json!({})).await;
    harness.settled().await;
    let id = harness.record_of("cl_1").await["id"].as_str().unwrap().to_owned();
    harness.delete_record(&id).await;
    let changed =
        event("lead.updated", 1_767_225_700, &lead("cl_1", json!({ "city": "Berlin", "updated_at": 1_767_225_700 })));
    harness.send(&changed).await;
    harness.settled().await;
    until(&harness, "queue", |queue| queue["items"][0]["held"] == 1).await;
    let log = harness.admin("sync-log?lead_id=cl_1").await;
    assert_eq!(
        (&log["items"][0]["operation"], &log["items"][0]["error_code"]),
        (&json!("hold"), &json!("record_gone"))
    );
    assert!(harness.records().await.is_empty(), "it is not made again");
    harness.stop().await;
}

#[tokio::test]
async fn a_contact_with_the_same_address_is_a_question_and_a_person_may_answer_create() {
    let harness = Harness::start(|_| {}).await;
    let contact = json!({ "LastName": "Lovelace", "Email": "cl_1@lovelace.example" });
    harness.order("records", json!({ "object": "Contact", "fields": contact })).await;
    create(&harness, "cl_1", json!({})).await;
    harness.settled().await;
    let conflicts = harness.admin("conflicts?state=open&kind=match").await;
    let id = conflicts["items"][0]["id"].to_string();
    assert!(harness.records().await.is_empty(), "never a second record");
    harness.admin_post(&format!("conflicts/{id}/resolve"), json!({ "choose": "create", "note": "somebody new" })).await;
    harness.settled().await;
    harness.record_of("cl_1").await;
    harness.stop().await;
}

#[tokio::test]
async fn a_field_edited_on_both_sides_waits_for_a_person_whose_choice_is_written() {
    let harness = Harness::start(|_| {}).await;
    create(&harness, "cl_1", json!({ "status": "new" })).await;
    harness.settled().await;
    let id = harness.record_of("cl_1").await["id"].as_str().unwrap().to_owned();
    harness.edit_record(&id, json!({ "Status": "Working - Contacted" })).await;
    let changed =
        event("lead.updated", 1_767_225_700, &lead("cl_1", json!({ "status": "won", "updated_at": 1_767_225_700 })));
    harness.send(&changed).await;
    harness.settled().await;
    let conflicts = harness.admin("conflicts?state=open&field=Status").await;
    let conflict = &conflicts["items"][0];
    assert_eq!(harness.record_of("cl_1").await["fields"]["Status"], "Working - Contacted", "{conflicts}");
    harness.admin_post(&format!("conflicts/{}/resolve", conflict["id"]), json!({ "choose": "lead" })).await;
    harness.settled().await;
    assert_eq!(harness.record_of("cl_1").await["fields"]["Status"], "won");
    let log = harness.admin("sync-log?lead_id=cl_1&field=Status").await;
    assert_eq!(log["items"][0]["operation"], "update");
    harness.stop().await;
}

#[tokio::test]
async fn an_ended_session_is_renewed_and_a_paused_destination_waits() {
    let harness = Harness::start(|_| {}).await;
    create(&harness, "cl_1", json!({})).await;
    harness.settled().await;
    harness.order("expire_tokens", json!({})).await;
    create(&harness, "cl_2", json!({})).await;
    harness.settled().await;
    assert_eq!(harness.records().await.len(), 2);
    harness.admin_post("destinations/salesforce/pause", json!({ "note": "month end" })).await;
    create(&harness, "cl_3", json!({})).await;
    let seen = harness.admin("destinations").await;
    assert!(seen["items"][0].to_string().contains("month end"), "{seen}");
    assert_eq!(harness.records().await.len(), 2, "nothing is sent while it is paused");
    harness.admin_post("destinations/salesforce/resume", json!({})).await;
    harness.settled().await;
    assert_eq!(harness.records().await.len(), 3);
    harness.stop().await;
}
