//! Picklists whose choices depend on another field, and an org with state and country picklists: what does not go together is
//! left out of a record, which arrives all the same.

use leadrelay::domain::mapping::{FieldRow, FieldType};
use serde_json::{Value as Json, json};

use crate::harness::{Harness, Stage, event};

const AT: i64 = 1_767_225_600;

async fn start(adapt: impl Fn(&mut Vec<FieldRow>)) -> Harness {
    let stage = Stage::new().await;
    stage.order("features", json!({ "state_and_country_picklists": true })).await;
    stage
        .order(
            "fields",
            json!({
                "object": "Lead", "name": "Segment__c", "type": "picklist", "restricted": true, "values": ["Retail bank", "Farm"],
                "controller": "Industry", "valid_for": { "Retail bank": ["Banking"], "Farm": ["Agriculture"] },
            }),
        )
        .await;
    stage.start(|config| config.destinations.values_mut().for_each(|destination| adapt(&mut destination.fields))).await
}

async fn send(harness: &Harness, id: &str, at: i64, fields: Json) {
    let mut lead =
        json!({ "id": id, "name": format!("Ada {id}"), "email": format!("{id}@lovelace.example"), "updated_at": at });
    lead.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    harness.send(&event("lead.updated", at, &lead)).await;
}

/// Country, its code, state and its code, as the record holds them.
async fn address(harness: &Harness, id: &str) -> String {
    let fields = harness.record_of(id).await["fields"].clone();
    let words =
        ["Country", "CountryCode", "State", "StateCode"].map(|name| fields[name].as_str().unwrap_or("-").to_owned());
    words.join("|")
}

/// How the newest entry of the lead's log decided on a field.
async fn rule(harness: &Harness, id: &str, field: &str) -> Json {
    let log = harness.admin(&format!("sync-log?lead_id={id}")).await;
    let entry = harness.admin(&format!("sync-log/{}", log["items"][0]["id"])).await;
    let decisions = entry["decisions"].as_array().unwrap();
    decisions.iter().find(|decision| decision["field"] == field).unwrap_or_else(|| panic!("{entry}"))["rule"].clone()
}

async fn none_is_dead(harness: &Harness) {
    assert_eq!(harness.admin("dead-letters").await["items"], json!([]));
    assert_eq!(harness.admin("sync-log?outcome=refused").await["items"], json!([]), "nothing was sent to be refused");
}

#[tokio::test]
async fn names_of_places_become_those_of_the_orgs_list() {
    let harness = start(|_| {}).await;
    send(&harness, "cl_1", AT, json!({ "country": "USA", "state": "wa" })).await;
    send(&harness, "cl_2", AT, json!({ "country": "australia", "state": "Western Australia" })).await;
    send(&harness, "cl_3", AT, json!({ "country": "Deutschland", "state": "Bayern" })).await;
    send(&harness, "cl_4", AT, json!({ "country": "Atlantis", "state": "Washington" })).await;
    harness.settled().await;
    assert_eq!(address(&harness, "cl_1").await, "United States|US|Washington|WA");
    assert_eq!(address(&harness, "cl_2").await, "Australia|AU|Western Australia|WA");
    assert_eq!(address(&harness, "cl_3").await, "Germany|DE|-|-", "the org's list has no states of it");
    assert_eq!(address(&harness, "cl_4").await, "-|-|-|-");
    for (id, field) in [("cl_3", "State"), ("cl_4", "Country"), ("cl_4", "State")] {
        assert_eq!(rule(&harness, id, field).await, "invalid", "{id} {field}");
    }
    none_is_dead(&harness).await;
    let check = harness.admin("check").await;
    let findings = check["items"][0]["findings"].as_array().unwrap();
    let country = findings.iter().find(|finding| finding["subject"] == "Lead.Country").unwrap();
    assert_eq!(country["severity"], "warning");
    assert!(country["remedy"].as_str().unwrap().contains("CountryCode"), "{country}");
    harness.stop().await;
}

#[tokio::test]
async fn codes_of_places_are_chosen_by_name_and_a_country_waits_for_its_state() {
    let harness = start(|rows| {
        for row in rows.iter_mut().filter(|row| ["Country", "State"].contains(&row.crm.as_str())) {
            row.crm = format!("{}Code", row.crm).as_str().into();
            row.kind = FieldType::Picklist;
        }
    })
    .await;
    send(&harness, "cl_1", AT, json!({ "country": "U.S.A.", "state": "washington" })).await;
    send(&harness, "cl_2", AT, json!({ "country": "Australia", "state": "Washington" })).await;
    harness.settled().await;
    assert_eq!(address(&harness, "cl_1").await, "United States|US|Washington|WA");
    assert_eq!(address(&harness, "cl_2").await, "Australia|AU|-|-", "Washington is not there");
    send(&harness, "cl_1", AT + 100, json!({ "country": "Germany" })).await;
    send(&harness, "cl_2", AT + 100, json!({ "state": "Queensland" })).await;
    harness.settled().await;
    assert_eq!(address(&harness, "cl_1").await, "United States|US|Washington|WA", "the state would be in no country");
    assert_eq!(rule(&harness, "cl_1", "CountryCode").await, "invalid");
    assert_eq!(address(&harness, "cl_2").await, "Australia|AU|Queensland|QLD");
    none_is_dead(&harness).await;
    harness.stop().await;
}

#[tokio::test]
async fn a_dependent_value_is_written_only_where_the_controlling_one_allows_it() {
    let harness = start(|rows| {
        let row = rows.iter().find(|row| row.crm == "Industry_Detail__c".into()).unwrap().clone();
        rows.push(FieldRow {
            lead: "attributes.segment".into(),
            crm: "Segment__c".into(),
            kind: FieldType::Picklist,
            ..row
        });
    })
    .await;
    let segment = |category: Json, segment: &str| json!({ "category": category, "attributes": [{ "name": "segment", "value": segment }] });
    send(&harness, "cl_1", AT, segment(json!("Banking"), "retail BANK")).await;
    send(&harness, "cl_2", AT, segment(json!("Banking"), "Farm")).await;
    send(&harness, "cl_3", AT, segment(Json::Null, "Farm")).await;
    harness.settled().await;
    let held = async |id: &str| harness.record_of(id).await["fields"]["Segment__c"].clone();
    assert_eq!(
        [held("cl_1").await, held("cl_2").await, held("cl_3").await],
        [json!("Retail bank"), Json::Null, Json::Null]
    );
    assert_eq!(rule(&harness, "cl_2", "Segment__c").await, "invalid");
    // A person chooses the industry in the CRM, and the lead keeps what it says.
    let id = harness.record_of("cl_3").await["id"].as_str().unwrap().to_owned();
    harness.edit_record(&id, json!({ "Industry": "Agriculture" })).await;
    harness.admin_post("leads/klozeo/cl_3/sync", json!({})).await;
    harness.settled().await;
    assert_eq!(held("cl_3").await, "Farm");
    none_is_dead(&harness).await;
    harness.stop().await;
}
