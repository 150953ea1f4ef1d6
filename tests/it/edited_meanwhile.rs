//! A person edits a record between our look at it and our write.

use std::time::Duration;

use leadrelay::config::Config;
use leadrelay::domain::mapping::ConflictRule;
use serde_json::{Value as Json, json};

use crate::harness::{Harness, event};

const AT: i64 = 1_767_225_600;

fn lead(id: &str, at: i64, fields: &Json) -> Json {
    let mut lead = json!({
        "id": id, "name": format!("Ada {id}"), "email": format!("{id}@lovelace.example"), "source": "website", "status": "new", "city": "Berlin",
        "tags": ["a"], "updated_at": at,
    });
    lead.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    lead
}

async fn start(adapt: impl FnOnce(&mut Config)) -> Harness {
    Harness::start(|config| {
        for destination in config.destinations.values_mut() {
            destination.limits.linger = Duration::from_millis(200);
        }
        adapt(config);
    })
    .await
}

/// Creates the leads, and waits until the org's clock has gone on: it tells no two changes within a second apart.
async fn create(harness: &Harness, ids: &[&str]) {
    for id in ids {
        harness.send(&event("lead.created", AT, &lead(id, AT, &json!({})))).await;
    }
    harness.settled().await;
    after_the_second_of(harness, &harness.record_of(ids[ids.len() - 1]).await).await;
}

/// Waits until the org's clock has gone on since this record was changed.
pub async fn after_the_second_of(harness: &Harness, record: &Json) {
    let second_of = |record: &Json| {
        let history = record["history"].as_array().unwrap();
        history.last().unwrap()["at"].as_str().unwrap()[..19].to_owned()
    };
    let made = second_of(record);
    let other = json!({ "object": "Account", "fields": { "Name": "Clock" } });
    loop {
        let clock = harness.order("records", other.clone()).await["id"].as_str().unwrap().to_owned();
        if second_of(&harness.control(&format!("records/{clock}")).await) > made {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The lead changes, and a person edits its record as our write arrives.
async fn change_both(harness: &Harness, id: &str, said: Json, edited: Json) {
    let record = harness.record_of(id).await["id"].clone();
    harness.faults(json!([{ "fault": "edit", "writes": true, "count": 1, "record": record, "fields": edited }])).await;
    harness.send(&event("lead.updated", AT + 100, &lead(id, AT + 100, &said))).await;
    harness.settled().await;
}

async fn outcomes(harness: &Harness, id: &str) -> Vec<String> {
    let log = harness.admin(&format!("sync-log?lead_id={id}")).await;
    let word = |row: &Json, key: &str| row[key].as_str().unwrap_or("-").to_owned();
    let row = |row: &Json| format!("{} {} {}", word(row, "operation"), word(row, "outcome"), word(row, "error_code"));
    log["items"].as_array().unwrap().iter().rev().map(row).collect()
}

const CHANGED: &str = "update retry ENTITY_FAILED_IFLASTMODIFIED_ON_UPDATE";

#[tokio::test]
async fn an_edit_that_came_meanwhile_survives_and_the_rows_rule_decides() {
    let harness = start(|_| {}).await;
    create(&harness, &["cl_1"]).await;
    let said = json!({ "status": "won", "source": "referral", "city": "Bonn" });
    let edited = json!({ "Status": "Working - Contacted", "LeadSource": "Purchased List" });
    change_both(&harness, "cl_1", said, edited).await;
    let fields = harness.record_of("cl_1").await["fields"].clone();
    assert_eq!(fields["Status"], "Working - Contacted", "review: a person is asked");
    assert_eq!(fields["LeadSource"], "Purchased List", "crm_wins");
    assert_eq!(fields["City"], "Bonn", "lead_wins: what the person left alone is written all the same");
    let conflicts = harness.admin("conflicts?state=open&field=Status").await;
    assert_eq!(
        (&conflicts["items"][0]["lead"], &conflicts["items"][0]["crm"]),
        (&json!("won"), &json!("Working - Contacted"))
    );
    assert_eq!(outcomes(&harness, "cl_1").await, ["create ok -", CHANGED, "update ok -"]);
    let error = harness.error("ENTITY_FAILED_IFLASTMODIFIED_ON_UPDATE").await;
    assert_eq!(error["meaning"], "The record changed since it was read; it is read again.");
    harness.destination(|seen| seen["state"] == "running").await;
    harness.stop().await;
}

#[tokio::test]
async fn an_item_that_a_person_adds_meanwhile_stays_in_a_merged_list() {
    let harness = start(|config| {
        let rows = config.destinations.values_mut().flat_map(|destination| destination.fields.iter_mut());
        for row in rows.filter(|row| row.lead == "tags") {
            row.conflict = ConflictRule::Merge;
        }
    })
    .await;
    create(&harness, &["cl_1"]).await;
    change_both(&harness, "cl_1", json!({ "tags": ["a", "b"] }), json!({ "Lead_Tags__c": "a;c" })).await;
    assert_eq!(harness.record_of("cl_1").await["fields"]["Lead_Tags__c"], "a;b;c");
    harness.stop().await;
}

#[tokio::test]
async fn rows_that_the_lead_owns_are_written_without_a_condition_and_conditions_cost_no_call_of_their_own() {
    let harness = start(|_| {}).await;
    let ids = ["cl_1", "cl_2", "cl_3"];
    create(&harness, &ids).await;
    change_both(&harness, "cl_1", json!({ "city": "Bonn" }), json!({ "Title": "Countess" })).await;
    let fields = harness.record_of("cl_1").await["fields"].clone();
    assert_eq!((&fields["City"], &fields["Title"]), (&json!("Bonn"), &json!("Countess")));
    assert_eq!(outcomes(&harness, "cl_1").await, ["create ok -", "update ok -"]);
    harness.faults(json!([])).await;
    let calls = async || {
        let requests = harness.control("requests").await;
        let is_call = |request: &&Json| request["path"].as_str().unwrap().contains("/composite");
        requests["items"].as_array().unwrap().iter().filter(is_call).count()
    };
    let before = calls().await;
    harness.admin_post("destinations/salesforce/pause", json!({})).await;
    for id in ids {
        harness.send(&event("lead.updated", AT + 200, &lead(id, AT + 200, &json!({ "status": "won" })))).await;
    }
    harness.resume().await;
    harness.settled().await;
    for id in ids {
        assert_eq!(harness.record_of(id).await["fields"]["Status"], "won");
    }
    assert_eq!(calls().await - before, 2, "a lookup and a write");
    harness.stop().await;
}
