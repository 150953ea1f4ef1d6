//! What a person orders for single leads: link, unlink, exclude, include.

use serde_json::{Value as Json, json};

use crate::harness::{Harness, event};

const CREATED: i64 = 1_767_225_600;

fn ada(id: &str, city: &str) -> Json {
    json!({ "id": id, "name": "Ada Lovelace", "email": "ada@lovelace.example", "city": city, "source": "website" })
}

async fn person(harness: &Harness, last: &str) -> String {
    let fields = json!({ "LastName": last, "Company": "Elsewhere", "City": "Rome" });
    let made = harness.order("records", json!({ "object": "Lead", "fields": fields })).await;
    made["id"].as_str().unwrap().to_owned()
}

fn id_of(record: &Json) -> &str {
    record["id"].as_str().unwrap()
}

#[tokio::test]
async fn a_lead_is_linked_by_hand_to_a_record_that_no_rule_finds() {
    let harness = Harness::start(|_| {}).await;
    harness.send(&event("lead.created", CREATED, &ada("cl_1", "Berlin"))).await;
    harness.settled().await;
    let first = id_of(&harness.record_of("cl_1").await).to_owned();
    let other = person(&harness, "Byron").await;
    let path = "leads/klozeo/cl_1/links/salesforce";
    let to = |id: &str, object: &str| json!({ "object": object, "record_id": id });
    for (id, expected) in [("00Q000000000000", "has no Lead 00Q000000000000"), ("nonsense", "record_id: ")] {
        let (status, problem) = harness.admin_ask("PUT", path, to(id, "Lead")).await;
        assert_eq!((status, &problem["type"]), (422, &json!("urn:leadrelay:problem:invalid")), "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(expected), "{problem}");
    }
    assert_eq!(harness.admin_ask("PUT", path, to(&other, "Account")).await.0, 422);
    assert_eq!(harness.admin_ask("PUT", "leads/klozeo/cl_1/links/nowhere", to(&other, "Lead")).await.0, 404);
    assert_eq!(harness.admin_ask("PUT", "leads/klozeo/cl_9/links/salesforce", to(&other, "Lead")).await.0, 404);

    let (status, lead) = harness.admin_ask("PUT", path, to(&other, "Lead")).await;
    assert_eq!((status, &lead["links"][0]["record"]["id"]), (200, &json!(other)), "{lead}");
    harness.settled().await;
    let record = harness.record_of("cl_1").await;
    assert_eq!(id_of(&record), other, "the record it left has lost its ID");
    assert_eq!((&record["fields"]["City"], &record["fields"]["LastName"]), (&json!("Berlin"), &json!("Lovelace")));
    assert_eq!(harness.records().await.len(), 2);
    let log = harness.admin(&format!("sync-log?record_id={first}")).await;
    assert!(log["items"].as_array().unwrap().iter().any(|row| row["operation"] == "update"), "{log}");
    let audit = harness.admin("audit").await;
    assert_eq!(audit["items"][0]["action"], "lead.link", "{audit}");

    harness.send(&event("lead.created", CREATED + 60, &ada("cl_2", "Bonn"))).await;
    harness.settled().await;
    let (status, problem) = harness.admin_ask("PUT", "leads/klozeo/cl_2/links/salesforce", to(&other, "Lead")).await;
    assert_eq!(status, 409, "one lead owns a record");
    assert!(problem["detail"].as_str().unwrap().contains("klozeo/cl_1"), "{problem}");
    harness.stop().await;
}

#[tokio::test]
async fn an_unlinked_lead_is_not_taken_for_that_record_again() {
    let harness = Harness::start(|_| {}).await;
    harness.send(&event("lead.created", CREATED, &ada("cl_1", "Berlin"))).await;
    harness.settled().await;
    let first = id_of(&harness.record_of("cl_1").await).to_owned();
    let path = "leads/klozeo/cl_1/links/salesforce";
    let (status, _) = harness.admin_ask("DELETE", path, json!({})).await;
    assert_eq!(status, 200);
    harness.settled().await;
    let record = harness.record_of("cl_1").await;
    assert_ne!(id_of(&record), first, "it has a record of its own");
    assert_eq!(harness.records().await.len(), 2);
    let audit = harness.admin("audit").await;
    assert_eq!(audit["items"][0]["action"], "lead.unlink", "{audit}");
    harness.admin_post("destinations/salesforce/pause", json!({})).await;
    let (status, problem) = harness.admin_ask("DELETE", path, json!({})).await;
    assert_eq!(status, 409, "{problem}");
    harness.stop().await;
}

#[tokio::test]
async fn an_excluded_lead_is_never_synced_until_it_is_included() {
    let harness = Harness::start(|_| {}).await;
    harness.send(&event("lead.created", CREATED, &ada("cl_1", "Berlin"))).await;
    harness.settled().await;
    assert_eq!(harness.admin_ask("POST", "leads/klozeo/cl_9/exclude", json!({})).await.0, 404);
    let lead = harness.admin_post("leads/klozeo/cl_1/exclude", json!({})).await;
    assert_eq!(lead["excluded"], true, "{lead}");
    let calls = harness.control("stats").await["calls"].clone();
    let mut moved = ada("cl_1", "Bonn");
    moved["updated_at"] = json!(CREATED + 60);
    harness.send(&event("lead.updated", CREATED + 60, &moved)).await;
    harness.settled().await;
    assert_eq!(harness.control("stats").await["calls"], calls, "nothing is asked for it");
    assert_eq!(harness.record_of("cl_1").await["fields"]["City"], "Berlin");
    assert_eq!(harness.admin_ask("POST", "leads/klozeo/cl_1/sync", json!({})).await.0, 409);
    let log = harness.admin("sync-log?lead_id=cl_1&operation=skip").await;
    assert_eq!(log["items"][0]["error_code"], "lead_excluded", "{log}");

    let lead = harness.admin_post("leads/klozeo/cl_1/include", json!({})).await;
    assert_eq!(lead["excluded"], false, "{lead}");
    harness.settled().await;
    assert_eq!(harness.record_of("cl_1").await["fields"]["City"], "Bonn");
    harness.stop().await;
}
