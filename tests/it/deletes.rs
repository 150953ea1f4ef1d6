//! A lead that was deleted in its lead system: its record is left alone, flagged or deleted, as the configuration says.

use leadrelay::config::Config;
use leadrelay::domain::plan::OnDelete;
use serde_json::{Value as Json, json};

use crate::contacts::with_contacts;
use crate::harness::{Harness, event};

const CREATED: i64 = 1_767_225_600;

fn ada(id: &str, at: i64) -> Json {
    json!({ "id": id, "name": "Ada Lovelace", "email": "ada@lovelace.example", "city": "Berlin", "updated_at": at })
}

fn with(on_delete: OnDelete) -> impl Fn(&mut Config) {
    move |config| {
        for destination in config.destinations.values_mut() {
            destination.records.on_delete = on_delete.clone();
        }
    }
}

async fn delete(harness: &Harness, lead: &str, at: i64) {
    harness.send(&event("lead.deleted", at, &json!({ "id": lead }))).await;
    harness.settled().await;
}

#[tokio::test]
async fn the_record_of_a_deleted_lead_is_deleted_and_a_revived_one_gets_another() {
    let harness = Harness::start(with(OnDelete::Delete)).await;
    harness.send(&event("lead.created", CREATED, &ada("cl_1", CREATED))).await;
    harness.settled().await;
    let first = harness.record_of("cl_1").await["id"].clone();
    delete(&harness, "cl_1", CREATED + 60).await;
    assert_eq!(harness.records().await, Vec::<Json>::new());
    let log = harness.admin("sync-log?lead_id=cl_1&operation=delete").await;
    assert_eq!((&log["items"][0]["outcome"], &log["items"][0]["record"]["id"]), (&json!("ok"), &first), "{log}");
    assert_eq!(harness.admin("leads/klozeo/cl_1").await["links"], json!([]));

    harness.send(&event("lead.updated", CREATED + 120, &ada("cl_1", CREATED + 120))).await;
    harness.settled().await;
    assert_ne!(harness.record_of("cl_1").await["id"], first);
    harness.stop().await;
}

#[tokio::test]
async fn a_delete_of_what_is_gone_already_is_done_however_its_answer_was_lost() {
    let harness = Harness::start(with(OnDelete::Delete)).await;
    for lead in ["cl_1", "cl_2", "cl_3"] {
        let mut person = ada(lead, CREATED);
        person["email"] = json!(format!("{lead}@lovelace.example"));
        person["name"] = json!(format!("Ada {lead}"));
        harness.send(&event("lead.created", CREATED, &person)).await;
    }
    harness.settled().await;
    let by_a_person = harness.record_of("cl_1").await["id"].as_str().unwrap().to_owned();
    harness.delete_record(&by_a_person).await;
    delete(&harness, "cl_1", CREATED + 60).await;
    let log = harness.admin("sync-log?lead_id=cl_1&operation=delete").await;
    assert_eq!(
        (&log["items"][0]["outcome"], &log["items"][0]["error"]),
        (&json!("ok"), &json!("the record was gone already"))
    );

    harness.faults(json!([{ "fault": "reset_after", "rate": 1.0, "path": "composite/sobjects?ids" }])).await;
    harness.send(&event("lead.deleted", CREATED + 60, &json!({ "id": "cl_2" }))).await;
    harness.send(&event("lead.deleted", CREATED + 60, &json!({ "id": "cl_3" }))).await;
    let unknown = |log: &Json| !log["items"].as_array().unwrap().is_empty();
    harness.until("sync-log?operation=delete&outcome=unknown", unknown).await;
    harness.faults(json!([])).await;
    harness.settled().await;
    assert_eq!(harness.records().await, Vec::<Json>::new());
    assert_eq!(harness.admin("dead-letters").await["items"], json!([]));
    assert_eq!(harness.admin("queue").await["items"][0]["held"], 0);
    for lead in ["cl_2", "cl_3"] {
        let log = harness.admin(&format!("sync-log?lead_id={lead}&operation=delete&outcome=ok")).await;
        assert_eq!(log["items"].as_array().unwrap().len(), 1, "{log}");
    }
    harness.stop().await;
}

#[tokio::test]
async fn a_record_that_a_living_lead_shares_is_not_deleted() {
    let harness = Harness::start(with(OnDelete::Delete)).await;
    harness.send(&event("lead.created", CREATED, &ada("cl_1", CREATED))).await;
    harness.settled().await;
    harness.send(&event("lead.created", CREATED + 10, &ada("cl_2", CREATED + 10))).await;
    harness.settled().await;
    let record = harness.record_of("cl_1").await["id"].clone();
    delete(&harness, "cl_1", CREATED + 60).await;
    assert_eq!(harness.record_of("cl_2").await["id"], record, "the sharer owns it from now on");
    delete(&harness, "cl_2", CREATED + 120).await;
    assert_eq!(harness.records().await, Vec::<Json>::new(), "nobody shares it now");
    harness.stop().await;
}

#[tokio::test]
async fn a_sharers_delete_leaves_the_record_alone() {
    let harness = Harness::start(with(OnDelete::Delete)).await;
    harness.send(&event("lead.created", CREATED, &ada("cl_1", CREATED))).await;
    harness.settled().await;
    harness.send(&event("lead.created", CREATED + 10, &ada("cl_2", CREATED + 10))).await;
    harness.settled().await;
    delete(&harness, "cl_2", CREATED + 60).await;
    harness.record_of("cl_1").await;
    harness.stop().await;
}

#[tokio::test]
async fn a_flag_says_that_the_lead_was_deleted_and_is_taken_back_when_it_lives_again() {
    let check = async |kind: &str, flagged: &dyn Fn(&Json) -> bool, back: Json| {
        let stage = crate::harness::Stage::new().await;
        stage.order("fields", json!({ "object": "Lead", "name": "Gone__c", "type": kind })).await;
        let harness = stage.start(with(OnDelete::Flag("Gone__c".into()))).await;
        harness.send(&event("lead.created", CREATED, &ada("cl_1", CREATED))).await;
        harness.settled().await;
        delete(&harness, "cl_1", CREATED + 60).await;
        let record = harness.record_of("cl_1").await;
        assert!(flagged(&record["fields"]["Gone__c"]), "{record}");
        harness.send(&event("lead.updated", CREATED + 120, &ada("cl_1", CREATED + 120))).await;
        harness.settled().await;
        let record = harness.record_of("cl_1").await;
        assert_eq!(record["fields"]["Gone__c"], back, "{record}");
        harness.stop().await;
    };
    check("boolean", &|value| *value == true, json!(false)).await;
    check("datetime", &|value| value.as_str().is_some_and(|text| text.contains('T')), Json::Null).await;
    check("text", &|value| *value == "deleted", Json::Null).await;
}

#[tokio::test]
async fn what_a_converted_record_became_waits_for_a_person_who_may_keep_it() {
    let harness = Harness::start(|config| {
        with_contacts(config);
        with(OnDelete::Delete)(config);
    })
    .await;
    harness.send(&event("lead.created", CREATED, &ada("cl_1", CREATED))).await;
    harness.settled().await;
    let record = harness.record_of("cl_1").await;
    harness.order("convert", json!({ "id": record["id"], "opportunity": false })).await;
    delete(&harness, "cl_1", CREATED + 60).await;
    let lead = harness.admin("leads/klozeo/cl_1").await;
    assert_eq!((&lead["jobs"][0]["state"], &lead["jobs"][0]["code"]), (&json!("held"), &json!("record_converted")));
    let (status, lead) = harness.admin_ask("DELETE", "leads/klozeo/cl_1/links/salesforce", json!({})).await;
    assert_eq!(status, 200, "{lead}");
    harness.settled().await;
    let contacts = harness.control("records?object=Contact").await["items"].clone();
    assert_eq!(contacts.as_array().unwrap().len(), 1, "a person kept it: {contacts}");
    let log = harness.admin("sync-log?lead_id=cl_1").await;
    assert_eq!(log["items"][0]["error_code"], "lead_deleted", "{log}");

    let (status, erased) = harness.admin_ask("DELETE", "leads/klozeo/cl_1?crm=true", json!({})).await;
    assert_eq!((status, &erased["records"][0]["deleted"]), (200, &json!(false)), "{erased}");
    assert_eq!(harness.control("records?object=Contact").await["items"], contacts);
    harness.stop().await;
}

#[tokio::test]
async fn a_field_that_cannot_be_a_flag_waits_for_a_person() {
    let harness = Harness::start(with(OnDelete::Flag("Lead_Score__c".into()))).await;
    harness.send(&event("lead.created", CREATED, &ada("cl_1", CREATED))).await;
    harness.settled().await;
    delete(&harness, "cl_1", CREATED + 60).await;
    let lead = harness.admin("leads/klozeo/cl_1").await;
    assert_eq!(
        (&lead["jobs"][0]["state"], &lead["jobs"][0]["code"]),
        (&json!("held"), &json!("delete_flag")),
        "{lead}"
    );
    assert!(lead["jobs"][0]["detail"].as_str().unwrap().contains("must be a checkbox"), "{lead}");
    harness.stop().await;
}
