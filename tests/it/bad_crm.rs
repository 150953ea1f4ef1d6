//! A CRM that is down, wrong, strict or edited by people: each trouble ends in a named state that tells an operator what to
//! do, and nothing is lost or doubled.

mod answers;
mod describe;
mod rules;
mod schema;
mod values;

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use crate::harness::{Harness, event};

const AT: i64 = 1_767_225_600;

fn lead(id: &str, fields: Json) -> Json {
    let mut lead = json!({ "id": id, "name": format!("Ada {id}"), "source": "website", "email": format!("{id}@lovelace.example") });
    let fields = fields.as_object().unwrap().clone();
    lead.as_object_mut().unwrap().extend(fields);
    lead
}

async fn create(harness: &Harness, id: &str, fields: Json) {
    assert_eq!(harness.send(&event("lead.created", AT, &lead(id, fields))).await, "accepted");
}

/// Each of these leads is exactly one record, there is no other, and none is a dead letter.
async fn all_arrived(harness: &Harness, leads: &[String]) {
    harness.settled().await;
    let mut records: BTreeMap<String, usize> = BTreeMap::new();
    for record in harness.records().await {
        *records.entry(record["fields"]["Lead_System_Id__c"].as_str().unwrap_or("none").to_owned()).or_default() += 1;
    }
    let expected: BTreeMap<String, usize> = leads.iter().map(|id| (id.clone(), 1)).collect();
    assert_eq!(records, expected);
    let dead = harness.admin("dead-letters").await;
    assert!(dead["items"].as_array().unwrap().is_empty(), "{dead}");
}

fn ids(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("cl_{number}")).collect()
}

fn has(text: &Json, part: &str) -> bool {
    text.as_str().is_some_and(|text| text.contains(part))
}

/// The decision on one field in the newest entry of a lead's log.
async fn decision(harness: &Harness, lead: &str, field: &str) -> Json {
    let log = harness.admin(&format!("sync-log?lead_id={lead}")).await;
    let entry = harness.admin(&format!("sync-log/{}", log["items"][0]["id"])).await;
    let decisions = entry["decisions"].as_array().unwrap();
    decisions.iter().find(|decision| decision["field"] == field).unwrap_or_else(|| panic!("{entry}")).clone()
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
    harness.until("queue", |queue| queue["items"][0]["held"] == 1).await;
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
