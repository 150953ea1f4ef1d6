//! What would be done for a lead, told without doing it.

use std::time::Duration;

use leadrelay::clock::Clock;
use leadrelay::config::Percent;
use leadrelay::domain::time::Timestamp;
use serde_json::{Value as Json, json};

use crate::harness::{Harness, Stage, event};

const CREATED: i64 = 1_767_225_600;

fn person(id: &str, city: &str) -> Json {
    json!({ "id": id, "name": format!("Ada {id}"), "email": format!("{id}@lovelace.example"), "city": city })
}

/// Everything that a look must not change.
async fn everything(harness: &Harness) -> Json {
    let mut seen = Vec::new();
    for path in ["leads", "leads/klozeo/cl_1", "sync-log", "events", "conflicts", "audit", "dead-letters", "runs"] {
        seen.push(harness.admin(path).await);
    }
    json!([seen, harness.records().await])
}

fn decision<'a>(plan: &'a Json, field: &str) -> &'a Json {
    plan["decisions"].as_array().unwrap().iter().find(|decision| decision["field"] == field).unwrap()
}

#[tokio::test]
async fn a_lead_is_explained_by_what_a_sync_would_do_and_nothing_is_done() {
    let harness = Harness::start(|_| {}).await;
    harness.send(&event("lead.created", CREATED, &person("cl_1", "Berlin"))).await;
    harness.settled().await;
    let explained = harness.admin("leads/klozeo/cl_1/explain").await;
    let plan = &explained["plan"];
    assert_eq!(
        (&plan["action"], &plan["matched_by"], &explained["job"]),
        (&json!("unchanged"), &json!("link"), &json!(null))
    );
    let city = decision(plan, "City");
    assert_eq!((&city["rule"], &city["lead"], &city["crm"]), (&json!("agreed"), &json!("Berlin"), &json!("Berlin")));
    assert_eq!((&city["base"]["crm"], &city["written"]), (&json!("Berlin"), &json!(null)), "{explained}");

    // What comes while nothing is sent waits; then the plan tells what it is.
    let record = harness.record_of("cl_1").await;
    harness.admin_post("destinations/salesforce/pause", json!({ "note": "a look" })).await;
    harness.edit_record(record["id"].as_str().unwrap(), json!({ "City": "Hamburg" })).await;
    harness.send(&event("lead.updated", CREATED + 60, &person("cl_1", "Bonn"))).await;
    let closed = harness.admin("leads/klozeo/cl_1/explain?destination=salesforce").await;
    assert_eq!((&closed["plan"], &closed["destination"]["state"]), (&json!(null), &json!("paused")), "{closed}");
    assert!(closed["not_asked"].as_str().unwrap().contains("paused by made at start: a look"), "{closed}");
    assert_eq!((&closed["job"]["state"], &closed["api_calls"]), (&json!("ready"), &json!(0)), "{closed}");
    harness.stop().await;
}

#[tokio::test]
async fn fields_show_both_sides_the_base_and_the_rule() {
    let harness = Harness::start(|config| {
        for destination in config.destinations.values_mut() {
            // Nothing is sent by itself, so that what is explained stays to be done.
            destination.mode = leadrelay::config::Mode::Observe;
        }
    })
    .await;
    let record = json!({ "LastName": "cl_1", "Company": "Acme", "Email": "cl_1@lovelace.example", "City": "Hamburg" });
    let made = harness.order("records", json!({ "object": "Lead", "fields": record })).await;
    harness.send(&event("lead.created", CREATED, &person("cl_1", "Berlin"))).await;
    harness.settled().await;
    let before = everything(&harness).await;
    let (calls, counted) = (harness.control("stats").await["calls"].clone(), harness.destination(|_| true).await);
    let explained = harness.admin("leads/klozeo/cl_1/explain").await;
    assert_eq!(everything(&harness).await, before, "nothing changed");
    let cost = explained["api_calls"].as_u64().unwrap();
    assert!(cost >= 1, "{explained}");
    assert_eq!(harness.control("stats").await["calls"], json!(calls.as_u64().unwrap() + cost));
    let used = |shown: &Json| shown["calls_used"].as_u64().unwrap();
    assert_eq!(used(&harness.destination(|_| true).await), used(&counted) + cost, "it counts towards the budget");

    let plan = &explained["plan"];
    assert_eq!((&plan["action"], &plan["matched_by"]), (&json!("update"), &json!("email")), "{explained}");
    assert_eq!(explained["found"][0]["matched_by"], "email", "{explained}");
    assert_eq!(plan["record"]["id"], made["id"]);
    let city = decision(plan, "City");
    assert_eq!((&city["lead"], &city["crm"], &city["base"]), (&json!("Berlin"), &json!("Hamburg"), &json!(null)));
    assert!(plan["fields"].as_array().unwrap().iter().any(|field| field["field"] == "Lead_System_Id__c"), "{plan}");

    let (status, problem) = harness.admin_ask("GET", "leads/klozeo/cl_1/explain?destination=hubspot", json!({})).await;
    assert_eq!((status, &problem["detail"]), (422, &json!("destination: write one of salesforce")), "{problem}");
    assert_eq!(harness.admin_ask("GET", "leads/klozeo/nobody/explain", json!({})).await.0, 404);
    harness.admin_post("leads/klozeo/cl_1/exclude", json!({})).await;
    let explained = harness.admin("leads/klozeo/cl_1/explain").await;
    assert_eq!((&explained["plan"]["code"], &explained["api_calls"]), (&json!("lead_excluded"), &json!(0)));
    harness.stop().await;
}

#[tokio::test]
async fn a_resync_by_filter_touches_only_its_leads() {
    let harness = Harness::start(|_| {}).await;
    for lead in ["cl_1", "cl_2", "dl_1"] {
        harness.send(&event("lead.created", CREATED, &person(lead, "Berlin"))).await;
    }
    harness.settled().await;
    let wanted = json!({ "destination": "salesforce", "q": "cl_", "dry_run": true });
    assert_eq!(harness.admin_post("resync", wanted).await["leads"], 2);
    let logged = |seen: &Json| seen["items"].as_array().unwrap().len();
    let before = logged(&harness.admin("sync-log").await);
    let run =
        harness.admin_post("resync", json!({ "destination": "salesforce", "email": "DL_1@lovelace.example" })).await;
    assert_eq!(run["leads"], 1, "{run}");
    let done = harness.until(&format!("runs/{}", run["run"]), |run| run["state"] == "done").await;
    assert_eq!((&done["done"], &done["total"]), (&json!(1), &json!(1)), "{done}");
    harness.settled().await;
    let log = harness.admin("sync-log").await;
    assert_eq!(logged(&log), before + 1, "{log}");
    assert_eq!(log["items"][0]["lead_id"], "dl_1");
    let (status, _) = harness.admin_ask("POST", "resync", json!({ "destination": "salesforce", "q": " " })).await;
    assert_eq!(status, 422, "nothing is not everything");
    let (status, problem) =
        harness.admin_ask("POST", "resync", json!({ "destination": "salesforce", "q": "cl_\0" })).await;
    assert_eq!((status, problem["detail"].as_str().unwrap().contains("U+0000")), (422, true), "{problem}");
    harness.stop().await;
}

#[tokio::test]
async fn whoever_may_only_read_does_not_spend_the_days_calls() {
    let harness = Harness::start(|_| {}).await;
    harness.send(&event("lead.created", CREATED, &person("cl_1", "Berlin"))).await;
    harness.settled().await;
    let calls = async || harness.control("stats").await["calls"].as_u64().unwrap();
    let before = calls().await;
    let mut answers = Vec::new();
    for _ in 0..40 {
        answers.push(harness.admin_ask("GET", "leads/klozeo/cl_1/explain", json!({})).await);
    }
    let of_status = |wanted: u16| answers.iter().filter(|(status, _)| *status == wanted).count();
    assert!(of_status(200) >= 30 && of_status(429) >= 9 && of_status(200) + of_status(429) == 40, "{answers:?}");
    let (_, problem) = &answers[39];
    assert_eq!(problem["type"], "urn:leadrelay:problem:too-many-requests", "{problem}");
    let cost: u64 = answers.iter().filter_map(|(_, answer)| answer["api_calls"].as_u64()).sum();
    assert_eq!(calls().await, before + cost);
    harness.send(&event("lead.updated", CREATED + 60, &person("cl_1", "Bonn"))).await;
    harness.settled().await;
    assert_eq!(harness.record_of("cl_1").await["fields"]["City"], "Bonn", "leads go on");
    harness.stop().await;
}

#[tokio::test]
async fn what_is_kept_for_live_leads_is_not_spent_on_a_look() {
    let harness = Harness::start(|config| {
        for destination in config.destinations.values_mut() {
            destination.limits.reserve_for_live = Percent::new(100);
        }
    })
    .await;
    harness.send(&event("lead.created", CREATED, &person("cl_1", "Berlin"))).await;
    harness.settled().await;
    let explained = harness.admin("leads/klozeo/cl_1/explain").await;
    assert_eq!((&explained["plan"], &explained["api_calls"]), (&json!(null), &json!(0)), "{explained}");
    assert!(explained["not_asked"].as_str().unwrap().contains("kept for live leads"), "{explained}");
    let calls = harness.control("stats").await["calls"].clone();
    harness.admin("check").await;
    assert_eq!(harness.control("stats").await["calls"], calls, "nor on the CRM's duplicate rules");
    harness.stop().await;
}

#[tokio::test]
async fn the_crms_duplicate_rules_are_asked_for_once_an_hour_even_if_it_does_not_show_them() {
    let mut stage = Stage::new().await;
    stage.clock = Clock::manual(Timestamp::from_seconds(CREATED));
    let harness = stage.start(|_| {}).await;
    harness.until("check", |check| check["items"] != json!([])).await;
    let hour = Duration::from_secs(3601);
    harness.advance(hour);
    let refused = json!({ "fault": "status", "status": 403, "code": "INSUFFICIENT_ACCESS", "path": "composite" });
    harness.faults(json!([refused])).await;
    for _ in 0..5 {
        let told = harness.admin_text("check").await;
        assert!(told.contains("does not show its duplicate rules: ") && told.contains("INSUFFICIENT_ACCESS"), "{told}");
    }
    assert_eq!(harness.control("stats").await["faults"]["status"], 1, "asked once");
    assert_eq!(harness.destination(|_| true).await["state"], "running", "that says nothing of leads");
    harness.faults(json!([])).await;
    assert!(harness.admin_text("check").await.contains("INSUFFICIENT_ACCESS"), "kept for an hour");
    harness.advance(hour);
    assert!(!harness.admin_text("check").await.contains("INSUFFICIENT_ACCESS"));
    harness.stop().await;
}
