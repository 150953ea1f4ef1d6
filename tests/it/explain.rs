//! What would be done for a lead, told without doing it.

use std::time::Duration;

use leadrelay::clock::Clock;
use leadrelay::config::{Mode, Percent};
use leadrelay::domain::plan::OnCrmDelete;
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
    let run = harness.admin_post("resync", json!({ "email": "DL_1@lovelace.example" })).await;
    assert_eq!((&run["leads"], &run["destinations"][0]["destination"]), (&json!(1), &json!("salesforce")), "{run}");
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

#[tokio::test]
async fn a_record_that_waits_for_a_person_or_was_left_alone_by_one_is_explained_by_that() {
    let harness = Harness::start(|_| {}).await;
    let sister =
        json!({ "FirstName": "Grace", "LastName": "cl_1", "Company": "Acme", "Email": "cl_1@lovelace.example" });
    harness.order("records", json!({ "object": "Lead", "fields": sister })).await;
    harness.send(&event("lead.created", CREATED, &person("cl_1", "Berlin"))).await;
    harness.settled().await;
    let conflict = harness.admin("conflicts?state=open").await["items"][0].clone();
    assert_eq!(conflict["kind"], "shared_record", "{conflict}");
    let explained = harness.admin("leads/klozeo/cl_1/explain").await;
    let city = decision(&explained["plan"], "City");
    assert_eq!(
        (&city["rule"], &city["lead"], &city["crm"]),
        (&json!("review"), &json!("Berlin"), &json!(null)),
        "{city}"
    );
    let asked = format!("nothing is written until a person answers conflict {}", conflict["id"]);
    assert_eq!(city["note"], asked);
    assert_eq!(explained["plan"]["questions"][0]["conflict"], conflict["id"], "{explained}");

    harness.admin_post(&format!("conflicts/{}/resolve", conflict["id"]), json!({ "choose": "crm" })).await;
    harness.settled().await;
    let at = harness.admin(&format!("conflicts/{}", conflict["id"])).await["resolution"]["at"].clone();
    let explained = harness.admin("leads/klozeo/cl_1/explain").await;
    let plan = &explained["plan"];
    let city = decision(plan, "City");
    assert_eq!(
        (&plan["action"], &city["rule"], &city["lead"]),
        (&json!("unchanged"), &json!("resolved"), &json!("Berlin"))
    );
    let note = city["note"].as_str().unwrap();
    let said = format!("a person decided so: conflict {} was answered with `crm` by made at start", conflict["id"]);
    assert!(note.starts_with(&said) && note.contains(at.as_str().unwrap()), "{note}");
    assert_eq!(decision(plan, "Website")["note"], "the lead says nothing of it", "{plan}");
    harness.stop().await;
}

#[tokio::test]
async fn a_lead_whose_record_is_gone_says_what_it_waits_for_and_what_helps() {
    for (on, code, helps) in [
        (OnCrmDelete::Hold, "record_gone", "Restore the record in the CRM and sync the lead; or link it by hand"),
        (OnCrmDelete::Review, "match_conflict", "Answer the lead's open conflict"),
    ] {
        let harness = Harness::start(|config| {
            config.destinations.values_mut().for_each(|destination| destination.records.on_crm_delete = on);
        })
        .await;
        harness.send(&event("lead.created", CREATED, &person("cl_1", "Berlin"))).await;
        harness.settled().await;
        harness.delete_record(harness.record_of("cl_1").await["id"].as_str().unwrap()).await;
        harness.send(&event("lead.updated", CREATED + 60, &person("cl_1", "Bonn"))).await;
        harness.settled().await;
        let explained = harness.admin("leads/klozeo/cl_1/explain").await;
        assert_eq!((&explained["plan"]["action"], &explained["plan"]["code"]), (&json!("hold"), &json!(code)));
        let waits = explained["waits"].as_str().unwrap();
        assert!(waits.contains("was deleted in the CRM") && waits.contains(helps), "{waits}");
        let conflicts = harness.admin("conflicts?state=open").await;
        if let Some(open) = conflicts["items"].as_array().unwrap().first() {
            assert!(waits.starts_with(&format!("conflict {} waits for a person's answer: ", open["id"])), "{waits}");
        }
        harness.stop().await;
    }
}

#[tokio::test]
async fn what_is_planned_for_a_dead_letter_or_a_held_lead_is_not_promised() {
    let harness = Harness::start(|_| {}).await;
    harness.faults(json!([{ "fault": "refuse", "field": "LastName", "when": "cl_1" }])).await;
    harness.send(&event("lead.created", CREATED, &person("cl_1", "Berlin"))).await;
    // Two records may be the second lead; then only one is left.
    let twin = json!({ "FirstName": "Ada", "LastName": "cl_2", "Company": "Acme", "Email": "cl_2@lovelace.example" });
    let twins = [(); 2].map(|()| harness.order("records", json!({ "object": "Lead", "fields": twin })));
    let twins = futures_util::future::join_all(twins).await;
    harness.send(&event("lead.created", CREATED, &person("cl_2", "Bonn"))).await;
    harness.settled().await;
    harness.delete_record(twins[0]["id"].as_str().unwrap()).await;
    for (lead, code, action, until, helps) in [
        ("cl_1", "FIELD_CUSTOM_VALIDATION_EXCEPTION", "create", "a person's retry", "validation rule"),
        ("cl_2", "match_conflict", "update", "a person's sync", "Answer the lead's open conflict"),
    ] {
        let explained = harness.admin(&format!("leads/klozeo/{lead}/explain")).await;
        let plan = &explained["plan"];
        assert_eq!(
            (&plan["action"], &plan["code"], &plan["fields"]),
            (&json!("hold"), &json!(code), &json!([])),
            "{plan}"
        );
        assert_eq!(plan["kept_back"]["action"], action, "{plan}");
        assert!(plan["kept_back"]["until"].as_str().unwrap().contains(until), "{plan}");
        assert!(explained["waits"].as_str().unwrap().contains(helps), "{explained}");
    }
    harness.faults(json!([])).await;
    harness.admin_post("dead-letters/retry", json!({ "all": true })).await;
    harness.settled().await;
    let plan = harness.admin("leads/klozeo/cl_1/explain").await["plan"].clone();
    assert_eq!((&plan["action"], &plan["kept_back"]), (&json!("unchanged"), &json!(null)));
    harness.stop().await;
}

#[tokio::test]
async fn of_a_write_that_nobody_owes_it_is_said_what_brings_it_about() {
    let harness = Harness::start(|config| {
        config.destinations.values_mut().for_each(|destination| destination.mode = Mode::Observe);
    })
    .await;
    harness.send(&event("lead.created", CREATED, &person("cl_1", "Berlin"))).await;
    harness.settled().await;
    let waits = async |harness: &Harness| {
        let explained = harness.admin("leads/klozeo/cl_1/explain").await;
        assert_eq!(explained["plan"]["action"], "create", "{explained}");
        explained["waits"].as_str().unwrap_or_default().to_owned()
    };
    assert!(waits(&harness).await.contains("only observes"));
    let harness = harness
        .restarted(|config| {
            config.destinations.values_mut().for_each(|destination| destination.mode = Mode::Live);
        })
        .await;
    assert!(waits(&harness).await.contains("its next event, `sync` or a resync"));
    harness.stop().await;
}
