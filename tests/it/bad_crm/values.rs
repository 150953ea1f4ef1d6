//! Values that the CRM does not take, known before the call or told by its answer.

use serde_json::{Value as Json, json};

use super::{AT, all_arrived, create, decision, has, ids, lead};
use crate::harness::{Harness, Stage, event};

#[tokio::test]
async fn a_value_that_the_crm_refuses_is_left_out_and_the_rest_of_the_lead_arrives() {
    let harness = Harness::start(|_| {}).await;
    let refused = json!([{ "fault": "refuse", "rate": 1.0, "field": "City", "when": "Berlin" }]);
    harness.faults(refused).await;
    create(&harness, "cl_1", json!({ "city": "Berlin" })).await;
    all_arrived(&harness, &["cl_1".to_owned()]).await;
    let record = harness.record_of("cl_1").await;
    assert_eq!((&record["fields"]["Email"], &record["fields"]["City"]), (&json!("cl_1@lovelace.example"), &Json::Null));
    let log = harness.admin("sync-log?lead_id=cl_1&outcome=refused").await;
    assert_eq!(log["items"][0]["error_code"], "FIELD_CUSTOM_VALIDATION_EXCEPTION", "{log}");
    let error = harness.error("FIELD_CUSTOM_VALIDATION_EXCEPTION").await;
    assert_eq!(error["remedy"], "Correct the lead, or have the rule except the integration user.");
    harness.stop().await;
}

#[tokio::test]
async fn a_value_that_is_not_on_a_restricted_picklist_is_left_out_and_named_before_any_call() {
    let stage = Stage::new().await;
    stage
        .order("fields", json!({ "object": "Lead", "name": "Industry", "restricted": true, "values": ["Energy"] }))
        .await;
    let harness = stage.start(|_| {}).await;
    create(&harness, "cl_0", json!({ "category": "Space" })).await;
    create(&harness, "cl_1", json!({ "category": "energy" })).await;
    all_arrived(&harness, &ids(2)).await;
    assert_eq!(harness.record_of("cl_1").await["fields"]["Industry"], "Energy", "as the CRM spells it");
    assert_eq!(harness.record_of("cl_0").await["fields"]["Industry"], Json::Null);
    let told = decision(&harness, "cl_0", "Industry").await;
    assert_eq!(told["rule"], "invalid");
    assert!(
        has(&told["note"], "is no value of the CRM's picklist; map it in `values`, or add it to the picklist"),
        "{told}"
    );
    let refused = harness.admin("sync-log?outcome=refused").await;
    assert_eq!(refused["items"], json!([]), "nothing was sent that could be refused");
    harness.stop().await;
}

#[tokio::test]
async fn a_picklist_restricted_while_running_refuses_the_value_alone() {
    let harness = Harness::start(|_| {}).await;
    create(&harness, "cl_0", json!({})).await;
    all_arrived(&harness, &ids(1)).await;
    let strict = json!({ "object": "Lead", "name": "Industry", "restricted": true, "values": ["Energy"] });
    harness.order("fields", strict).await;
    create(&harness, "cl_1", json!({ "category": "Space", "city": "Berlin" })).await;
    all_arrived(&harness, &ids(2)).await;
    let record = harness.record_of("cl_1").await;
    assert_eq!((&record["fields"]["City"], &record["fields"]["Industry"]), (&json!("Berlin"), &Json::Null));
    let error = harness.error("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST").await;
    assert_eq!(error["remedy"], "Add the value in Salesforce, or translate it in the row's values.");
    let told = decision(&harness, "cl_1", "Industry").await;
    assert!(
        has(&told["note"], "refused by the CRM: Industry: bad value for restricted picklist field: Space"),
        "{told}"
    );
    // The administrator adds it; the lead's next event, or a person, tries again.
    let wider = json!({ "object": "Lead", "name": "Industry", "values": ["Energy", "Space"] });
    harness.order("fields", wider).await;
    harness.resume_with_new_schema().await;
    harness.admin_post("leads/klozeo/cl_1/sync", json!({})).await;
    all_arrived(&harness, &ids(2)).await;
    assert_eq!(harness.record_of("cl_1").await["fields"]["Industry"], "Space");
    harness.stop().await;
}

#[tokio::test]
async fn a_value_that_is_too_long_is_left_out_or_cut_as_its_row_says_and_both_are_told() {
    let harness = Harness::start(|_| {}).await;
    let long = "Llanfairpwllgwyngyll".repeat(10);
    create(&harness, "cl_0", json!({ "city": long, "name": format!("Ada {long}") })).await;
    all_arrived(&harness, &ids(1)).await;
    let fields = harness.record_of("cl_0").await["fields"].clone();
    assert_eq!((&fields["City"], &fields["LastName"]), (&Json::Null, &json!(long[..80])));
    let told = decision(&harness, "cl_0", "City").await;
    assert_eq!((&told["rule"], &told["written"]), (&json!("invalid"), &Json::Null));
    assert!(has(&told["note"], "has 200 characters, the field takes 40; shorten it, lengthen the field"), "{told}");
    let told = decision(&harness, "cl_0", "LastName").await;
    assert!(has(&told["note"], "truncated from 200 to 80 characters"), "{told}");
    // Corrected in the lead system, it arrives.
    let corrected = lead("cl_0", json!({ "city": "Llanfair", "updated_at": AT + 60, "name": format!("Ada {long}") }));
    harness.send(&event("lead.updated", AT + 60, &corrected)).await;
    all_arrived(&harness, &ids(1)).await;
    assert_eq!(harness.record_of("cl_0").await["fields"]["City"], "Llanfair");
    harness.stop().await;
}

#[tokio::test]
async fn a_field_shortened_while_running_refuses_the_value_alone() {
    let harness = Harness::start(|_| {}).await;
    create(&harness, "cl_0", json!({})).await;
    all_arrived(&harness, &ids(1)).await;
    harness.order("fields", json!({ "object": "Lead", "name": "City", "length": 5 })).await;
    create(&harness, "cl_1", json!({ "city": "Springfield", "phone": "+1 202-555-0150" })).await;
    all_arrived(&harness, &ids(2)).await;
    let record = harness.record_of("cl_1").await;
    assert_eq!((&record["fields"]["City"], &record["fields"]["Phone"]), (&Json::Null, &json!("+12025550150")));
    let error = harness.error("STRING_TOO_LONG").await;
    assert_eq!(error["remedy"], "Shorten it, lengthen the field, or set too_long = \"truncate\" on the row.");
    // The administrator lengthens it, and the lead is synced again.
    harness.order("fields", json!({ "object": "Lead", "name": "City", "length": 40 })).await;
    harness.resume_with_new_schema().await;
    harness.admin_post("leads/klozeo/cl_1/sync", json!({})).await;
    all_arrived(&harness, &ids(2)).await;
    assert_eq!(harness.record_of("cl_1").await["fields"]["City"], "Springfield");
    harness.stop().await;
}

#[tokio::test]
async fn an_external_id_on_a_record_that_we_may_not_see_ends_as_a_dead_letter_that_says_so() {
    let harness = Harness::start(|_| {}).await;
    let taken = json!([{
        "fault": "refuse", "field": "Email", "when": "cl_0@lovelace.example", "code": "DUPLICATE_VALUE",
        "message": "duplicate value found: Lead_System_Id__c duplicates value on record with id: 00Q5e00000Hidden",
    }]);
    harness.faults(taken).await;
    for id in ids(3) {
        create(&harness, &id, json!({})).await;
    }
    harness.settled().await;
    let dead = harness.admin("dead-letters").await;
    let letters = dead["items"].as_array().unwrap();
    assert_eq!(letters.len(), 1, "{dead}");
    assert_eq!((&letters[0]["lead_id"], &letters[0]["code"]), (&json!("cl_0"), &json!("DUPLICATE_VALUE")));
    let error = harness.error("DUPLICATE_VALUE").await;
    assert!(has(&error["remedy"], "merge the two records in Salesforce"), "{error}");
    assert_eq!(harness.records().await.len(), 2, "its neighbours arrived");
    // Merged in the CRM, retried by an operator.
    harness.faults(json!([])).await;
    assert_eq!(letters[0]["id"], "salesforce/klozeo/cl_0");
    let retried = harness.admin_post("dead-letters/retry", json!({ "ids": [letters[0]["id"]] })).await;
    assert_eq!(retried["count"], 1);
    all_arrived(&harness, &ids(3)).await;
    harness.stop().await;
}

#[tokio::test]
async fn a_record_of_a_crm_user_that_carries_the_id_already_is_taken_and_not_doubled() {
    let harness = Harness::start(|_| {}).await;
    let made = json!({ "LastName": "Lovelace", "Company": "Engines", "Lead_System_Id__c": "cl_0" });
    harness.order("records", json!({ "object": "Lead", "fields": made })).await;
    create(&harness, "cl_0", json!({})).await;
    all_arrived(&harness, &ids(1)).await;
    let log = harness.admin("sync-log?lead_id=cl_0").await;
    assert_eq!(
        (&log["items"][0]["operation"], &log["items"][0]["matched_by"]),
        (&json!("update"), &json!("external_id")),
        "{log}"
    );
    harness.stop().await;
}

#[tokio::test]
async fn an_external_id_that_appears_between_lookup_and_create_is_found_by_the_next_attempt() {
    let harness = Harness::start(|_| {}).await;
    // The first create is answered with a time-out and lands two seconds later, between others.
    harness.faults(json!([{ "fault": "late_write", "status": 504, "path": "composite/sobjects", "count": 1 }])).await;
    create(&harness, "cl_0", json!({ "name": "Ann @{a.b}" })).await;
    all_arrived(&harness, &ids(1)).await;
    let landed = async || {
        let requests = harness.control("requests").await;
        let writes = requests["items"].as_array().unwrap().iter();
        writes
            .filter(|request| request["path"].to_string().contains("sobjects\"") && request["executed"] == true)
            .count()
            == 2
    };
    for _ in 0..200 {
        if landed().await {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(landed().await, "the late write never came");
    all_arrived(&harness, &ids(1)).await;
    harness.stop().await;
}
