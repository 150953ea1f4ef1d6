//! Records of the CRM that no lead is and that may be the person of a lead's record: a sales rep's own.

use std::time::Duration;

use leadrelay::clock::Clock;
use leadrelay::domain::time::Timestamp;
use serde_json::{Value as Json, json};

use crate::harness::{Harness, Stage, event};

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

async fn calls(harness: &Harness) -> u64 {
    harness.control("stats").await["calls"].as_u64().unwrap()
}

/// Searches now; answers how many calls to the CRM that made, and what the run tells.
async fn searched(harness: &Harness) -> (u64, String) {
    let before = calls(harness).await;
    let started = harness.admin_post("shared-records/search", json!({})).await;
    let run = harness.until(&format!("runs/{}", started["run"]), |run| run["state"] == "done").await;
    (calls(harness).await - before, run["detail"].as_str().unwrap().to_owned())
}

async fn search(harness: &Harness) -> u64 {
    searched(harness).await.0
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

#[tokio::test]
async fn a_lead_that_the_crm_refuses_to_be_asked_about_holds_up_no_other() {
    let harness = Harness::start(|_| {}).await;
    for (id, name) in [("cl_1", "Ada Lovelace"), ("cl_2", "Grace Hopper"), ("cl_3", "Mary Somerville")] {
        send(&harness, id, name, &format!("{id}@engine.example")).await;
    }
    let contact = make(&harness, "Contact", "Ada", "cl_3@engine.example").await;
    // All three, and the first one alone.
    let refused = json!({ "fault": "status", "status": 400, "code": "SOMETHING_NEW", "writes": false, "count": 2 });
    harness.faults(json!([refused])).await;
    let (_, told) = searched(&harness).await;
    assert_eq!(suspected(&harness).await, [pair("cl_3", "email", &contact, false)]);
    assert!(told.contains("salesforce cannot be asked about 1 of the leads"), "{told}");
    harness.stop().await;
}

#[tokio::test]
async fn what_a_lead_s_record_became_is_no_stranger_to_it() {
    let harness = Harness::start(|_| {}).await;
    send(&harness, "cl_1", "Ada Lovelace", "ada@engine.example").await;
    send(&harness, "cl_2", "Grace Hopper", "grace@navy.example").await;
    let converted = harness.record_of("cl_1").await["id"].clone();
    harness.order("convert", json!({ "id": converted, "opportunity": false })).await;
    let loser = harness.record_of("cl_2").await["id"].clone();
    let survivor = make(&harness, "Lead", "Grace", "grace@navy.example").await;
    harness.order("merge", json!({ "master": survivor, "losers": [loser] })).await;
    search(&harness).await;
    assert_eq!(suspected(&harness).await, []);
    // Another record is one all the same.
    let other = make(&harness, "Contact", "Augusta", "ada@engine.example").await;
    search(&harness).await;
    assert_eq!(suspected(&harness).await, [pair("cl_1", "email", &other, false)]);
    harness.stop().await;
}

#[tokio::test]
async fn a_lead_whose_record_is_not_there_is_looked_up_again_in_place_of_being_suspected() {
    let harness = Harness::start(|_| {}).await;
    send(&harness, "cl_1", "Ada Lovelace", "ada@engine.example").await;
    let own = harness.record_of("cl_1").await["id"].as_str().unwrap().to_owned();
    make(&harness, "Contact", "Ada", "ada@engine.example").await;
    harness.delete_record(&own).await;
    search(&harness).await;
    assert_eq!(suspected(&harness).await, []);
    harness.settled().await;
    let lead = harness.admin("leads/klozeo/cl_1").await;
    assert_eq!(lead["jobs"][0]["code"], "record_gone", "{lead}");
    // What waits for a person is not woken by the next search.
    let log = harness.admin("sync-log?lead_id=cl_1").await["items"].clone();
    search(&harness).await;
    harness.settled().await;
    assert_eq!(harness.admin("sync-log?lead_id=cl_1").await["items"], log);
    harness.stop().await;
}

#[tokio::test]
async fn records_of_other_leads_hide_no_stranger() {
    let harness = Harness::start(|_| {}).await;
    send(&harness, "cl_1", "Ada Lovelace", "ada@engine.example").await;
    for id in ["cl_2", "cl_3", "cl_4"] {
        send(&harness, id, &format!("Zoe {id}"), &format!("{id}@elsewhere.example")).await;
        let record = harness.record_of(id).await["id"].as_str().unwrap().to_owned();
        harness.edit_record(&record, json!({ "Email": "ada@engine.example" })).await;
    }
    let newest = make(&harness, "Lead", "Augusta", "ada@engine.example").await;
    search(&harness).await;
    assert_eq!(suspected(&harness).await, [pair("cl_1", "email", &newest, false)]);
    harness.stop().await;
}

#[tokio::test]
async fn a_day_s_searches_make_one_in_fifty_of_its_calls_together() {
    let mut stage = Stage::new().await;
    stage.clock = Clock::manual(Timestamp::from_seconds(CREATED + 60));
    let scarce = |config: &mut leadrelay::config::Config| {
        config.destinations.values_mut().for_each(|destination| destination.limits.calls_per_day = 100);
    };
    let harness = stage.start(scarce).await;
    send(&harness, "cl_1", "Ada Lovelace", "ada@engine.example").await;
    assert_eq!(search(&harness).await, 1);
    assert_eq!(search(&harness).await, 1);
    let (calls, told) = searched(&harness).await;
    assert_eq!(calls, 0, "{told}");
    assert!(told.contains("one in fifty"), "{told}");
    let harness = harness.restarted(|_| {}).await;
    harness.destination(|destination| destination["state"] == "running").await;
    let told = searched(&harness).await.1;
    assert!(told.contains("one in fifty"), "a restart gives it no more: {told}");
    harness.advance(Duration::from_secs(24 * 3600));
    let told = searched(&harness).await.1;
    assert!(!told.contains("since"), "{told}");
    harness.stop().await;
}

#[tokio::test]
async fn a_search_goes_on_where_the_one_before_was_cancelled() {
    let harness = Harness::start(|_| {}).await;
    let all = (0..201).map(|n| {
        let lead = json!({ "id": format!("cl_{n:03}"), "name": "Ada Lovelace", "email": format!("ada@a{n}.example") });
        event("lead.created", CREATED, &lead)
    });
    for body in all {
        harness.send(&body).await;
    }
    harness.settled().await;
    let before = calls(&harness).await;
    let run = harness.admin_post("shared-records/search", json!({})).await["run"].clone();
    // It rests between the first 200 leads and the last one.
    let until = std::time::Instant::now() + Duration::from_secs(20);
    while calls(&harness).await == before {
        assert!(std::time::Instant::now() < until, "nothing is asked");
    }
    let path = format!("runs/{run}/cancel");
    harness.admin_post(&path, json!({})).await;
    let of_all = calls(&harness).await - before;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(calls(&harness).await - before, of_all, "it was cancelled");
    assert_eq!(search(&harness).await, 1, "only the last lead is asked about");
    assert_eq!(suspected(&harness).await, []);
    harness.stop().await;
}
