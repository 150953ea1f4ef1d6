//! Records of the CRM that no lead is and that may be the person of a lead's record: a sales rep's own.

use serde_json::{Value as Json, json};

use crate::harness::{Harness, event};

const CREATED: i64 = 1_767_225_600;

async fn send(harness: &Harness, id: &str, name: &str, email: &str) {
    harness.send(&event("lead.created", CREATED, &json!({ "id": id, "name": name, "email": email }))).await;
    harness.settled().await;
}

async fn make(harness: &Harness, object: &str, first: &str, email: &str) -> String {
    let fields = json!({ "FirstName": first, "LastName": "Lovelace", "Email": email });
    let company = if object == "Lead" { json!({ "Company": "Engine" }) } else { json!({}) };
    let mut fields = fields;
    fields.as_object_mut().unwrap().extend(company.as_object().unwrap().clone());
    let made = harness.order("records", json!({ "object": object, "fields": fields })).await;
    made["id"].as_str().unwrap().to_owned()
}

/// Searches now; answers how many calls to the CRM that made.
async fn search(harness: &Harness) -> u64 {
    let calls = async || harness.control("stats").await["calls"].as_u64().unwrap();
    let before = calls().await;
    let started = harness.admin_post("shared-records/search", json!({})).await;
    harness.until(&format!("runs/{}", started["run"]), |run| run["state"] == "done").await;
    calls().await - before
}

/// What is suspected of which lead: by what, the other's record, and whether a person decided it.
async fn suspected(harness: &Harness) -> Vec<(String, String, String, bool)> {
    let listed = harness.admin("shared-records?kind=suspected").await;
    let told = |pair: &Json| {
        let other = &pair["other"];
        assert_eq!((&other["source"], &other["lead_id"]), (&Json::Null, &Json::Null), "{pair}");
        let text = |value: &Json| value.as_str().unwrap().to_owned();
        let by_hand = pair["by_hand"].as_bool().unwrap();
        (text(&pair["lead"]["lead_id"]), text(&pair["by"]), text(&other["record"]["id"]), by_hand)
    };
    let mut pairs: Vec<_> = listed["items"].as_array().unwrap().iter().map(told).collect();
    pairs.sort();
    pairs
}

fn pair(lead: &str, by: &str, record: &str, by_hand: bool) -> (String, String, String, bool) {
    (lead.to_owned(), by.to_owned(), record.to_owned(), by_hand)
}

#[tokio::test]
async fn a_sales_rep_s_own_record_with_a_lead_s_address_or_name_is_suspected() {
    let harness = Harness::start(|_| {}).await;
    send(&harness, "cl_1", "Ada Lovelace", "ada@engine.example").await;
    send(&harness, "cl_2", "Grace Hopper", "grace@navy.example").await;
    assert_eq!(search(&harness).await, 1, "both are asked for in one call");
    assert_eq!(suspected(&harness).await, []);
    let contact = make(&harness, "Contact", "Augusta", "ADA@engine.example").await;
    let lead = make(&harness, "Lead", "Ada", "lovelace@engine.example").await;
    make(&harness, "Lead", "Byron", "byron@engine.example").await;
    assert_eq!(search(&harness).await, 1);
    let found = [pair("cl_1", "email", &contact, false), pair("cl_1", "name_and_domain", &lead, false)];
    assert_eq!(suspected(&harness).await, found);
    let one = harness.admin(&format!("shared-records?record_id={contact}")).await;
    assert_eq!(one["items"].as_array().unwrap().len(), 1, "{one}");
    assert_eq!(one["items"][0]["other"]["record"], json!({ "object": "Contact", "id": contact }), "{one}");

    // A person looks at one of them and finds two people.
    let of = |other: Json| json!({ "destination": "salesforce", "lead": { "source": "klozeo", "lead_id": "cl_1" }, "other": other });
    let both = json!({ "record_id": contact, "lead_id": "cl_2" });
    assert_eq!(harness.admin_ask("POST", "shared-records/dismiss", of(both)).await.0, 422);
    let unknown = of(json!({ "record_id": "00Q5e000001AbCdEAK" }));
    assert_eq!(harness.admin_ask("POST", "shared-records/dismiss", unknown).await.0, 404);
    let told = of(json!({ "record_id": contact }));
    assert_eq!(harness.admin_ask("POST", "shared-records/dismiss", told.clone()).await.0, 204);
    search(&harness).await;
    let dismissed = [pair("cl_1", "email", &contact, true), pair("cl_1", "name_and_domain", &lead, false)];
    assert_eq!(suspected(&harness).await, dismissed, "a later search does not bring it up again");
    assert_eq!(harness.admin_ask("POST", "shared-records/reopen", told).await.0, 204);
    assert_eq!(suspected(&harness).await, found);

    // While the CRM must not be asked, what is known stays.
    harness.delete_record(&contact).await;
    harness.admin_post("destinations/salesforce/pause", json!({})).await;
    assert_eq!(search(&harness).await, 0);
    assert_eq!(suspected(&harness).await, found);
    harness.resume().await;
    search(&harness).await;
    assert_eq!(suspected(&harness).await, found[1..]);
    // Once a lead is that record, it is no stranger's.
    send(&harness, "cl_3", "Ada Lovelace", "lovelace@engine.example").await;
    search(&harness).await;
    let of_leads = harness.admin("shared-records?kind=suspected").await;
    assert_eq!(of_leads["items"][0]["other"]["lead_id"], "cl_1", "{of_leads}");
    assert_eq!(of_leads["items"].as_array().unwrap().len(), 1, "{of_leads}");
    harness.stop().await;
}
