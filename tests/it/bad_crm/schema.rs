//! Fields that are missing, go, and come back.

use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use super::{AT, all_arrived, create, decision, has, ids, lead};
use crate::harness::{Harness, Stage, event};

const CITY: fn() -> Json = || json!({ "object": "Lead", "name": "City" });
const DETAIL: fn() -> Json = || json!({ "object": "Lead", "name": "Industry_Detail__c" });
const KEY: fn() -> Json = || json!({ "object": "Lead", "name": "Lead_System_Id__c" });
const FIX: &str = "Run `leadrelay check`: create the field, make it visible and editable for the integration user";

fn industry() -> Json {
    json!({ "attributes": [{ "name": "industry", "value": "Steel" }] })
}

async fn create_field(harness: &Harness, mut field: Json, more: Json) {
    field.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    harness.order("fields", field).await;
}

/// What the preflight says of a field.
async fn finding(harness: &Harness, subject: &str) -> Option<Json> {
    let check = harness.admin("check").await;
    let findings = check["items"][0]["findings"].as_array().unwrap().clone();
    findings.into_iter().find(|finding| finding["subject"].to_string().contains(subject))
}

#[tokio::test]
async fn a_field_missing_from_the_start_is_named_and_the_rest_of_each_lead_arrives() {
    let stage = Stage::new().await;
    stage.remove("fields", DETAIL()).await;
    let harness = stage.start(|_| {}).await;
    create(&harness, "cl_0", industry()).await;
    all_arrived(&harness, &ids(1)).await;
    assert_eq!(harness.record_of("cl_0").await["fields"]["Email"], "cl_0@lovelace.example");
    let told = decision(&harness, "cl_0", "Industry_Detail__c").await;
    assert_eq!((&told["rule"], &told["written"]), (&json!("not_writable"), &Json::Null));
    assert!(has(&told["note"], "the CRM has no such field, or hides it"), "{told}");
    let found = finding(&harness, "Industry_Detail__c").await.unwrap();
    assert_eq!(found["severity"], "error", "{found}");
    assert!(has(&found["remedy"], "create"), "{found}");

    // The administrator makes it, the operator goes on.
    create_field(&harness, DETAIL(), json!({ "type": "text", "length": 40 })).await;
    harness.resume_with_new_schema().await;
    harness.admin_post("leads/klozeo/cl_0/sync", json!({})).await;
    create(&harness, "cl_1", industry()).await;
    all_arrived(&harness, &ids(2)).await;
    for id in ids(2) {
        assert_eq!(harness.record_of(&id).await["fields"]["Industry_Detail__c"], "Steel");
    }
    harness.stop().await;
}

#[tokio::test]
async fn a_field_removed_while_running_is_named_and_filled_again_once_it_is_back() {
    let harness = Harness::start(|_| {}).await;
    create(&harness, "cl_0", industry()).await;
    all_arrived(&harness, &ids(1)).await;
    harness.remove("fields", DETAIL()).await;
    create(&harness, "cl_1", industry()).await;
    let changed =
        json!({ "city": "Berlin", "updated_at": AT + 60, "attributes": [{ "name": "industry", "value": "Glass" }] });
    harness.send(&event("lead.updated", AT + 60, &lead("cl_0", changed))).await;
    all_arrived(&harness, &ids(2)).await;
    assert_eq!(harness.record_of("cl_0").await["fields"]["City"], "Berlin", "the rest of the lead goes on");
    assert_eq!(decision(&harness, "cl_1", "Industry_Detail__c").await["rule"], "not_writable");
    let error = harness.error("INVALID_FIELD").await;
    assert!(has(&error["remedy"], FIX), "{error}");
    assert!(has(&error["meaning"], "A mapped field does not exist"), "{error}");
    assert_eq!(finding(&harness, "Industry_Detail__c").await.unwrap()["severity"], "error");

    create_field(&harness, DETAIL(), json!({ "type": "text", "length": 40 })).await;
    harness.resume_with_new_schema().await;
    assert!(finding(&harness, "Industry_Detail__c").await.is_none_or(|found| found["severity"] != "error"));
    // By themselves: nobody asks for these leads.
    for (id, value) in [("cl_0", "Glass"), ("cl_1", "Steel")] {
        let until = Instant::now() + Duration::from_secs(20);
        while harness.record_of(id).await["fields"]["Industry_Detail__c"] != value {
            assert!(Instant::now() < until, "{id} still lacks its value");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    harness.stop().await;
}

#[tokio::test]
async fn without_the_field_of_our_key_nothing_is_written_until_it_is_back() {
    for (hidden, from_the_start) in [(false, true), (true, false)] {
        let stage = Stage::new().await;
        let mut gone = KEY();
        gone["hide"] = json!(hidden);
        if from_the_start {
            stage.remove("fields", gone.clone()).await;
        }
        let harness = stage.start(|_| {}).await;
        if !from_the_start {
            create(&harness, "cl_0", json!({})).await;
            all_arrived(&harness, &ids(1)).await;
            harness.remove("fields", gone).await;
        }
        for id in ["cl_1", "cl_2"] {
            create(&harness, id, json!({})).await;
        }
        // Until the fields are looked at again, the reason may be a lookup that was refused.
        let is_named = |told: &Json| has(told, "Lead_System_Id__c") && has(told, "is missing or hidden");
        let seen = harness.destination(|seen| is_named(&seen["gate"]["reason"])).await;
        let remedy = "Create the field again, or make it visible for the integration user";
        assert_eq!(seen["state"], "stopped");
        for told in [&seen["gate"]["reason"], &seen["needs_person"]] {
            assert!(has(told, "is missing or hidden") && has(told, remedy), "{seen}");
        }
        let alerts = harness.until("alerts", |alerts| alerts.to_string().contains("destination_stopped")).await;
        assert!(alerts.to_string().contains(remedy), "{alerts}");
        let owed = |queue: &Json| {
            let count = |state: &str| queue["items"][0][state].as_u64().unwrap();
            count("ready") + count("retrying") == 2 && count("dead") == 0 && count("leased") == 0
        };
        harness.until("queue", owed).await;
        assert_eq!(
            harness.records().await.len(),
            usize::from(!from_the_start),
            "nothing is made that could not be found again"
        );

        let whole =
            json!({ "type": "text", "length": 64, "unique": true, "external_id": true, "case_sensitive": true });
        create_field(&harness, KEY(), whole).await;
        harness.resume().await;
        let mut expected = vec!["cl_1".to_owned(), "cl_2".to_owned()];
        if !from_the_start {
            expected.insert(0, "cl_0".to_owned());
        }
        all_arrived(&harness, &expected).await;
        harness.destination(|seen| seen["state"] == "running").await;
        harness.stop().await;
    }
}

#[tokio::test]
async fn a_field_that_became_read_only_while_running_is_left_out_and_named() {
    let harness = Harness::start(|_| {}).await;
    create(&harness, "cl_0", json!({ "city": "Paris" })).await;
    all_arrived(&harness, &ids(1)).await;
    create_field(&harness, CITY(), json!({ "read_only": true })).await;
    create(&harness, "cl_1", json!({ "city": "Berlin" })).await;
    all_arrived(&harness, &ids(2)).await;
    assert_eq!(harness.record_of("cl_1").await["fields"]["City"], Json::Null);
    let error = harness.error("INVALID_FIELD_FOR_INSERT_UPDATE").await;
    assert!(has(&error["remedy"], FIX), "{error}");
    assert!(has(&decision(&harness, "cl_1", "City").await["note"], "the CRM does not let us write this field"));
    harness.stop().await;
}
