//! Opportunities that a sales rep makes by converting a lead: known by the conversion, filled where they are blank.

use leadrelay::config::{Config, Mode};
use leadrelay::domain::mapping::{ConflictRule, FieldRow, FieldType};
use serde_json::{Value as Json, json};

use crate::contacts::with_contacts;
use crate::edited_meanwhile::after_the_second_of;
use crate::harness::{Harness, Stage, event};
use crate::keys::form_keys;

const CREATED: i64 = 1_767_225_600;

/// What the lead wants goes to its opportunity, as its next step and, in full, its description.
fn with_opportunities(config: &mut Config) {
    with_contacts(config);
    for destination in config.destinations.values_mut() {
        let text = destination.fields.iter().find(|row| row.crm.as_str() == "City").unwrap().clone();
        let row = |lead: &str, crm: &str| FieldRow {
            lead: lead.to_owned(),
            crm: crm.into(),
            on: vec!["Opportunity".into()],
            conflict: ConflictRule::CrmWins,
            ..text.clone()
        };
        destination.fields.extend([row("attributes.wants", "NextStep"), row("attributes.why", "Description")]);
    }
}

fn ada(phone: &str, wants: &str) -> Json {
    json!({ "id": "cl_1", "name": "Ada Lovelace", "email": "ada@lovelace.example", "phone": phone, "country": "DE",
            "attributes": [{ "name": "wants", "value": wants }, { "name": "why", "value": "The engine is slow." }] })
}

async fn send(harness: &Harness, after: i64, lead: &Json) {
    let kind = if after == 0 { "lead.created" } else { "lead.updated" };
    harness.send(&event(kind, CREATED + after, lead)).await;
    harness.settled().await;
}

/// Sends the lead, and says how many calls to the CRM that made.
async fn calls(harness: &Harness, after: i64, lead: &Json) -> u64 {
    let calls = async || harness.control("stats").await["calls"].as_u64().unwrap();
    let before = calls().await;
    send(harness, after, lead).await;
    calls().await - before
}

async fn convert(harness: &Harness, with_opportunity: bool) -> Json {
    let lead = harness.record_of("cl_1").await;
    harness.order("convert", json!({ "id": lead["id"], "opportunity": with_opportunity })).await
}

async fn only(harness: &Harness, object: &str) -> Json {
    let records = harness.control(&format!("records?object={object}")).await["items"].as_array().unwrap().clone();
    assert_eq!(records.len(), 1, "{object}: {records:?}");
    records.into_iter().next().unwrap()
}

async fn phone(harness: &Harness) -> Json {
    only(harness, "Contact").await["fields"]["Phone"].clone()
}

async fn next_step(harness: &Harness) -> Json {
    only(harness, "Opportunity").await["fields"]["NextStep"].clone()
}

/// What the log tells of opportunities, the oldest first: operation, outcome and code.
async fn told(harness: &Harness) -> Vec<String> {
    let log = harness.admin("sync-log?lead_id=cl_1").await;
    let of_opportunities =
        |row: &&Json| row["operation"].as_str().is_some_and(|operation| operation.starts_with("opportunity_"));
    let told = |row: &Json| format!("{} {} {}", row["operation"], row["outcome"], row["error_code"]).replace('"', "");
    log["items"].as_array().unwrap().iter().filter(of_opportunities).rev().map(told).collect()
}

#[tokio::test]
async fn the_opportunity_of_a_converted_lead_gets_what_is_blank_there() {
    let harness = Harness::start(with_opportunities).await;
    send(&harness, 0, &ada("+49 30 901820", "A call")).await;
    let made = convert(&harness, true).await;
    let opportunity = made["opportunity_id"].as_str().unwrap();
    harness.edit_record(opportunity, json!({ "Description": "Met at the fair." })).await;
    // A look, another at what the Lead became (Contact and Opportunity together), the Opportunity, the Contact.
    assert_eq!(calls(&harness, 60, &ada("+49 30 901821", "A call")).await, 4);
    assert_eq!(phone(&harness).await, "+4930901821");
    let fields = only(&harness, "Opportunity").await["fields"].clone();
    assert_eq!((&fields["NextStep"], &fields["Description"]), (&json!("A call"), &json!("Met at the fair.")));
    assert_eq!(told(&harness).await, ["opportunity_update ok null"]);
    let log = harness.admin("sync-log?operation=opportunity_update").await;
    assert_eq!(log["items"][0]["record"], json!({ "object": "Opportunity", "id": opportunity }), "{log}");
    let entry = harness.admin(&format!("sync-log/{}", log["items"][0]["id"])).await;
    let written = entry["decisions"].as_array().unwrap().iter().find(|decision| decision["field"] == "NextStep");
    assert_eq!(written.map(|decision| &decision["rule"]), Some(&json!("filled_blank")), "{entry}");

    // It says nothing new of the Opportunity: a look and a write, as without one.
    assert_eq!(calls(&harness, 120, &ada("+49 30 901822", "A call")).await, 2);
    // It does, and the Opportunity is read in the same look; what stands there stays.
    assert_eq!(calls(&harness, 180, &ada("+49 30 901822", "A visit")).await, 1);
    assert_eq!(next_step(&harness).await, "A call");
    harness.edit_record(opportunity, json!({ "NextStep": null })).await;
    assert_eq!(calls(&harness, 240, &ada("+49 30 901822", "A quote")).await, 2);
    assert_eq!(next_step(&harness).await, "A quote");

    let explained = harness.admin("leads/klozeo/cl_1/explain").await;
    let of = &explained["plan"]["opportunity"];
    assert_eq!((&of["record"]["id"], &of["gone"], &of["fields"]), (&json!(opportunity), &json!(false), &json!([])));
    harness.edit_record(opportunity, json!({ "NextStep": null })).await;
    let explained = harness.admin("leads/klozeo/cl_1/explain").await;
    assert_eq!(explained["plan"]["opportunity"]["fields"][0]["value"], "A quote", "{explained}");
    assert_eq!(next_step(&harness).await, Json::Null, "a look writes nothing");
    harness.stop().await;
}

/// The decision on a field, as a list of them tells it: rule, note, and both sides.
fn decided(decisions: &Json, field: &str) -> [Json; 4] {
    let decision = decisions.as_array().unwrap().iter().find(|decision| decision["field"] == field).unwrap();
    ["rule", "note", "lead", "crm"].map(|part| decision[part].clone())
}

#[tokio::test]
async fn what_is_not_written_to_an_opportunity_is_told_with_the_reason_and_told_once() {
    let harness = Harness::start(|config| {
        with_opportunities(config);
        for destination in config.destinations.values_mut() {
            let wants = destination.fields.iter().find(|row| row.crm.as_str() == "NextStep").unwrap().clone();
            let worth = "attributes.worth".to_owned();
            destination.fields.push(FieldRow { lead: worth, crm: "Amount".into(), kind: FieldType::Currency, ..wants });
        }
    })
    .await;
    let lead = |phone: &str, wants: &str, worth: &str| {
        let mut lead = ada(phone, wants);
        lead["attributes"].as_array_mut().unwrap().push(json!({ "name": "worth", "value": worth }));
        lead
    };
    send(&harness, 0, &lead("+49 30 901820", "A call", "a lot")).await;
    let made = convert(&harness, true).await;
    harness.edit_record(made["opportunity_id"].as_str().unwrap(), json!({ "Description": "Met at the fair." })).await;
    send(&harness, 60, &lead("+49 30 901820", "A call", "a lot")).await;
    let newest = async || {
        let log = harness.admin("sync-log?lead_id=cl_1").await;
        let of_opportunity = |row: &&Json| row["operation"].as_str().unwrap().starts_with("opportunity_");
        let row = log["items"].as_array().unwrap().iter().find(of_opportunity).unwrap()["id"].clone();
        harness.admin(&format!("sync-log/{row}")).await["decisions"].clone()
    };
    let stays = |lead: &str, crm: &str| {
        let why = "what stands here stays: only what is blank is filled";
        [json!("crm_wins"), json!(why), json!(lead), json!(crm)]
    };
    let decisions = newest().await;
    assert_eq!(decided(&decisions, "NextStep")[0], "filled_blank", "{decisions}");
    assert_eq!(decided(&decisions, "Description"), stays("The engine is slow.", "Met at the fair."), "{decisions}");
    let [rule, note, ..] = decided(&decisions, "Amount");
    assert!(rule == "invalid" && note.as_str().is_some_and(|note| note.contains("number")), "{decisions}");

    // A change that is not written is told, though nothing is sent.
    send(&harness, 120, &lead("+49 30 901820", "A visit", "a lot")).await;
    assert_eq!(decided(&newest().await, "NextStep"), stays("A visit", "A call"));
    let all_told = ["opportunity_update ok null", "opportunity_match ok null"];
    assert_eq!(told(&harness).await, all_told);
    // Nothing new is said of it, by an event or by whoever asks for a sync.
    send(&harness, 180, &lead("+49 30 901821", "A visit", "a lot")).await;
    harness.admin_post("leads/klozeo/cl_1/sync", json!({})).await;
    harness.settled().await;
    assert_eq!(told(&harness).await, all_told);
    let explained = harness.admin("leads/klozeo/cl_1/explain").await;
    let decisions = &explained["plan"]["opportunity"]["decisions"];
    assert_eq!(decided(decisions, "NextStep"), stays("A visit", "A call"), "{explained}");
    assert_eq!(decided(decisions, "Amount")[0], "invalid", "{explained}");
    // Nor is a value that comes to be unfit passed over in silence.
    send(&harness, 240, &lead("+49 30 901821", "A visit", "100")).await;
    send(&harness, 300, &lead("+49 30 901821", "A visit", "less")).await;
    assert_eq!(decided(&newest().await, "Amount")[0], "invalid");
    harness.stop().await;
}

#[tokio::test]
async fn a_lead_without_an_opportunity_is_synced_as_without_the_rows() {
    let harness = Harness::start(with_opportunities).await;
    send(&harness, 0, &ada("+49 30 901820", "A call")).await;
    // A look that finds nothing to do.
    assert_eq!(calls(&harness, 60, &ada("+49 30 901820", "A visit")).await, 1);
    convert(&harness, false).await;
    // A look, another at the Contact, and its write; then a look and a write.
    assert_eq!(calls(&harness, 120, &ada("+49 30 901821", "A visit")).await, 3);
    assert_eq!(calls(&harness, 180, &ada("+49 30 901822", "A quote")).await, 2);
    assert_eq!(phone(&harness).await, "+4930901822");
    assert_eq!(told(&harness).await, [""; 0]);
    let log = harness.admin("sync-log?lead_id=cl_1").await;
    assert!(log["items"].as_array().unwrap().iter().all(|row| row["outcome"] == "ok"), "{log}");
    assert_eq!(harness.admin("leads/klozeo/cl_1/explain").await["plan"]["opportunity"], Json::Null);
    harness.stop().await;
}

#[tokio::test]
async fn a_deleted_opportunity_is_written_no_more_and_the_log_says_so() {
    let harness = Harness::start(with_opportunities).await;
    send(&harness, 0, &ada("+49 30 901820", "A call")).await;
    let made = convert(&harness, true).await;
    send(&harness, 60, &ada("+49 30 901820", "A call")).await;
    harness.delete_record(made["opportunity_id"].as_str().unwrap()).await;
    assert_eq!(calls(&harness, 120, &ada("+49 30 901821", "A visit")).await, 2);
    assert_eq!(phone(&harness).await, "+4930901821");
    assert_eq!(told(&harness).await, ["opportunity_update ok null", "opportunity_match ok opportunity_gone"]);
    assert_eq!(calls(&harness, 180, &ada("+49 30 901822", "A visit")).await, 2);
    assert_eq!(told(&harness).await.len(), 2, "it is told once");
    assert_eq!(harness.admin("leads/klozeo/cl_1/explain").await["plan"]["opportunity"]["gone"], true);
    assert_eq!(harness.admin("conflicts?state=open").await["items"], json!([]));
    harness.stop().await;
}

/// The same once leads that were converted before are synced without.
fn with_opportunities_by_now(config: &mut Config) {
    for destination in config.destinations.values_mut() {
        for row in &mut destination.fields {
            row.on.retain(|object| object.as_str() != "Contact");
        }
    }
    with_opportunities(config);
}

#[tokio::test]
async fn rows_that_come_after_the_conversion_are_written_as_well_however_keys_are_formed_since() {
    for [first, then] in
        [["{lead_id}", "{lead_id}"], ["{lead_id}", "{source}:{lead_id}"], ["K-{lead_id}", "{source}:{lead_id}"]]
    {
        let harness = Harness::start(|config| {
            with_contacts(config);
            form_keys(config, first);
        });
        let mut harness = harness.await;
        send(&harness, 0, &ada("+49 30 901820", "A call")).await;
        harness.order("convert", json!({ "id": only(&harness, "Lead").await["id"] })).await;
        if first != then {
            harness = harness.restarted(|config| form_keys(config, then)).await;
        }
        send(&harness, 60, &ada("+49 30 901821", "A call")).await;
        let key = then.replace("{source}", "klozeo").replace("{lead_id}", "cl_1");
        assert_eq!(only(&harness, "Contact").await["fields"]["Lead_System_Id__c"], key);
        let harness = harness.restarted(with_opportunities_by_now).await;
        send(&harness, 120, &ada("+49 30 901822", "A call")).await;
        assert_eq!((phone(&harness).await, next_step(&harness).await), (json!("+4930901822"), json!("A call")));
        // From now on it is known.
        assert_eq!(calls(&harness, 180, &ada("+49 30 901823", "A call")).await, 2);
        harness.stop().await;
    }
}

#[tokio::test]
async fn an_opportunity_that_the_crm_refuses_to_change_keeps_nothing_from_the_contact() {
    let harness = Harness::start(with_opportunities).await;
    send(&harness, 0, &ada("+49 30 901820", "A call")).await;
    convert(&harness, true).await;
    harness.faults(json!([{ "fault": "refuse", "field": "NextStep", "when": "A call" }])).await;
    send(&harness, 60, &ada("+49 30 901821", "A call")).await;
    assert_eq!((phone(&harness).await, next_step(&harness).await), (json!("+4930901821"), Json::Null));
    assert_eq!(told(&harness).await, ["opportunity_update refused FIELD_CUSTOM_VALIDATION_EXCEPTION"]);
    assert_eq!(calls(&harness, 120, &ada("+49 30 901822", "A call")).await, 2, "it is not sent again unchanged");
    send(&harness, 180, &ada("+49 30 901822", "A visit")).await;
    assert_eq!(next_step(&harness).await, "A visit");
    harness.stop().await;
}

#[tokio::test]
async fn what_a_sales_rep_types_in_meanwhile_stays() {
    let harness = Harness::start(with_opportunities).await;
    send(&harness, 0, &ada("+49 30 901820", "A call")).await;
    let made = convert(&harness, true).await;
    after_the_second_of(&harness, &only(&harness, "Opportunity").await).await;
    let edit = json!({ "fault": "edit", "writes": true, "count": 1, "record": made["opportunity_id"], "fields": { "NextStep": "Lunch" } });
    harness.faults(json!([edit])).await;
    send(&harness, 60, &ada("+49 30 901821", "A call")).await;
    let fields = only(&harness, "Opportunity").await["fields"].clone();
    assert_eq!((&fields["NextStep"], &fields["Description"]), (&json!("Lunch"), &json!("The engine is slow.")));
    let changed = "opportunity_update retry ENTITY_FAILED_IFLASTMODIFIED_ON_UPDATE";
    assert_eq!(told(&harness).await, [changed, "opportunity_update ok null"]);
    harness.stop().await;
}

#[tokio::test]
async fn an_opportunity_that_is_locked_for_a_moment_is_filled_a_moment_later() {
    let harness = Harness::start(with_opportunities).await;
    send(&harness, 0, &ada("+49 30 901820", "A call")).await;
    convert(&harness, true).await;
    let when = json!({ "NextStep": "A call" });
    harness.faults(json!([{ "fault": "error", "code": "UNABLE_TO_LOCK_ROW", "when": when, "count": 1 }])).await;
    send(&harness, 60, &ada("+49 30 901821", "A call")).await;
    assert_eq!((phone(&harness).await, next_step(&harness).await), (json!("+4930901821"), json!("A call")));
    assert_eq!(told(&harness).await, ["opportunity_update retry UNABLE_TO_LOCK_ROW", "opportunity_update ok null"]);
    harness.stop().await;
}

#[tokio::test]
async fn what_only_a_person_can_mend_of_an_opportunity_is_not_sent_again_unchanged() {
    for code in ["ENTITY_IS_LOCKED", "INSUFFICIENT_ACCESS_OR_READONLY"] {
        let harness = Harness::start(with_opportunities).await;
        send(&harness, 0, &ada("+49 30 901820", "A call")).await;
        convert(&harness, true).await;
        harness.faults(json!([{ "fault": "error", "code": code, "when": { "NextStep": "A call" } }])).await;
        send(&harness, 60, &ada("+49 30 901821", "A call")).await;
        assert_eq!(told(&harness).await, [format!("opportunity_update refused {code}")]);
        assert_eq!(calls(&harness, 120, &ada("+49 30 901822", "A call")).await, 2, "{code}");
        assert_eq!(phone(&harness).await, "+4930901822");
        harness.stop().await;
    }
}

#[tokio::test]
async fn what_would_be_written_to_an_opportunity_is_told_where_nothing_is() {
    let harness = Harness::start(with_opportunities).await;
    send(&harness, 0, &ada("+49 30 901820", "A call")).await;
    convert(&harness, true).await;
    let observe =
        |config: &mut Config| config.destinations.values_mut().for_each(|destination| destination.mode = Mode::Observe);
    let harness = harness.restarted(observe).await;
    send(&harness, 60, &ada("+49 30 901821", "A call")).await;
    assert_eq!(
        (told(&harness).await, next_step(&harness).await),
        (vec!["opportunity_update planned null".to_owned()], Json::Null)
    );
    let id = only(&harness, "Opportunity").await["id"].as_str().unwrap().to_owned();
    harness.edit_record(&id, json!({ "NextStep": "A call", "Description": "Met at the fair." })).await;
    send(&harness, 120, &ada("+49 30 901822", "A call")).await;
    assert_eq!(told(&harness).await[1..], ["opportunity_match planned null"]);
    harness.stop().await;
}

#[tokio::test]
async fn the_check_looks_at_the_rows_and_at_what_tells_the_opportunity() {
    let harness = Harness::start(with_opportunities).await;
    let finding = async |subject: &str| {
        let check = harness.until("check", |check| check["items"] != json!([])).await;
        let findings = check["items"][0]["findings"].as_array().unwrap().clone();
        findings.into_iter().find(|finding| finding["subject"] == subject).unwrap_or_default()["severity"].clone()
    };
    assert_eq!((finding("Opportunity.NextStep").await, finding("Opportunity").await), (json!("ok"), json!("ok")));
    harness.remove("fields", json!({ "object": "Lead", "name": "ConvertedOpportunityId", "hide": true })).await;
    harness.remove("fields", json!({ "object": "Opportunity", "name": "NextStep", "hide": true })).await;
    harness.resume_with_new_schema().await;
    assert_eq!(finding("Opportunity.NextStep").await, "error");
    assert_eq!(finding("Lead.ConvertedOpportunityId").await, "warning");
    // A conversion is then no trouble, and tells of no opportunity.
    send(&harness, 0, &ada("+49 30 901820", "A call")).await;
    convert(&harness, true).await;
    send(&harness, 60, &ada("+49 30 901821", "A call")).await;
    assert_eq!((phone(&harness).await, told(&harness).await), (json!("+4930901821"), Vec::new()));
    // Which one it is was not to be seen, and is by now.
    harness.order("fields", json!({ "object": "Lead", "name": "ConvertedOpportunityId" })).await;
    harness.order("fields", json!({ "object": "Opportunity", "name": "NextStep" })).await;
    harness.resume_with_new_schema().await;
    send(&harness, 120, &ada("+49 30 901822", "A call")).await;
    assert_eq!(next_step(&harness).await, "A call");
    harness.stop().await;
}

#[tokio::test]
async fn opportunities_that_our_user_may_not_see_keep_no_lead_waiting() {
    let stage = Stage::new().await;
    let hidden = json!([{ "fault": "status", "status": 404, "path": "Opportunity/describe" }]);
    stage.order("faults", json!({ "rules": hidden })).await;
    let harness = stage.start(with_opportunities).await;
    send(&harness, 0, &ada("+49 30 901820", "A call")).await;
    convert(&harness, true).await;
    send(&harness, 60, &ada("+49 30 901821", "A call")).await;
    assert_eq!((phone(&harness).await, next_step(&harness).await), (json!("+4930901821"), Json::Null));
    let check = harness.until("check", |check| check["items"] != json!([])).await;
    let findings = check["items"][0]["findings"].as_array().unwrap();
    let of_opportunity = findings.iter().filter(|finding| finding["subject"] == "Opportunity");
    assert_eq!(of_opportunity.map(|finding| &finding["severity"]).collect::<Vec<_>>(), ["error"], "{check}");
    // Once it is shown, what the lead says goes there.
    harness.faults(json!([])).await;
    harness.resume_with_new_schema().await;
    send(&harness, 120, &ada("+49 30 901822", "A call")).await;
    assert_eq!(next_step(&harness).await, "A call");
    harness.stop().await;
}

#[tokio::test]
async fn without_rows_for_contacts_a_converted_lead_is_held_and_its_opportunity_left_alone() {
    let harness = Harness::start(|config| {
        with_opportunities(config);
        for row in config.destinations.values_mut().flat_map(|destination| destination.fields.iter_mut()) {
            row.on.retain(|object| object.as_str() != "Contact");
        }
    })
    .await;
    let check = harness.until("check", |check| check["items"] != json!([])).await;
    assert!(check.to_string().contains("no rows for what a converted record becomes"), "{check}");
    send(&harness, 0, &ada("+49 30 901820", "A call")).await;
    convert(&harness, true).await;
    send(&harness, 60, &ada("+49 30 901821", "A call")).await;
    assert_eq!(harness.admin("leads/klozeo/cl_1").await["jobs"][0]["code"], "record_converted");
    assert_eq!(next_step(&harness).await, Json::Null);
    harness.stop().await;
}

#[tokio::test]
async fn the_opportunities_of_a_batch_are_read_and_filled_together() {
    let harness = Harness::start(with_opportunities).await;
    let person = |n: usize, phone: &str| {
        let mut lead = ada(phone, &format!("Call {n}"));
        (lead["id"], lead["name"]) = (json!(format!("cl_{n}")), json!(format!("Ada{n} Nr{n}")));
        lead["email"] = json!(format!("ada{n}@nr{n}.example"));
        lead
    };
    let all = async |kind: &str, after: i64, phone: &str| {
        harness.admin_post("destinations/salesforce/pause", json!({ "note": "to be one batch" })).await;
        for n in 0..10 {
            harness.send(&event(kind, CREATED + after, &person(n, phone))).await;
        }
        harness.resume().await;
        harness.settled().await;
    };
    all("lead.created", 0, "+49 30 901820").await;
    let mut made = Vec::new();
    for n in 0..10 {
        let lead = harness.record_of(&format!("cl_{n}")).await;
        let converted = harness.order("convert", json!({ "id": lead["id"] })).await;
        made.push(converted["opportunity_id"].as_str().unwrap().to_owned());
    }
    all("lead.updated", 60, "+49 30 901821").await;
    let opportunities = harness.control("records?object=Opportunity").await["items"].as_array().unwrap().clone();
    for (n, id) in made.iter().enumerate() {
        let own = opportunities.iter().find(|opportunity| opportunity["id"] == json!(id)).unwrap();
        assert_eq!(own["fields"]["NextStep"], format!("Call {n}"), "each lead its own");
    }
    let fills = harness.admin("sync-log?operation=opportunity_update").await["items"].as_array().unwrap().clone();
    let requests: std::collections::BTreeSet<String> = fills.iter().map(|row| row["request_id"].to_string()).collect();
    assert_eq!((fills.len(), requests.len()), (10, 1), "one call for all");
    harness.stop().await;
}

#[tokio::test]
async fn each_lead_that_was_converted_into_one_contact_has_its_own_opportunity() {
    let harness = Harness::start(with_opportunities).await;
    send(&harness, 0, &ada("+49 30 901820", "A call")).await;
    let made = convert(&harness, true).await;
    send(&harness, 60, &ada("+49 30 901820", "A call")).await;
    // Another lead of hers under another name and address, which a sales rep puts to the same Contact.
    let mut other = ada("+49 30 901820", "A tender");
    (other["id"], other["name"], other["email"]) = (json!("cl_2"), json!("A. King"), json!("king@engine.example"));
    send(&harness, 0, &other).await;
    let lead = harness.record_of("cl_2").await;
    let wanted = json!({ "id": lead["id"], "account_id": made["account_id"], "contact_id": made["contact_id"] });
    let second = harness.order("convert", wanted).await;
    other["country"] = json!("AT");
    send(&harness, 60, &other).await;
    let opportunities =
        async || harness.control("records?object=Opportunity").await["items"].as_array().unwrap().clone();
    let next_step = |opportunities: &[Json], made: &Json| {
        let own = opportunities.iter().find(|opportunity| opportunity["id"] == made["opportunity_id"]).unwrap();
        own["fields"]["NextStep"].clone()
    };
    // While a person is asked whose the Contact is, the second one is left alone.
    assert_eq!(
        (next_step(&opportunities().await, &made), next_step(&opportunities().await, &second)),
        (json!("A call"), Json::Null)
    );
    let conflicts = harness.admin("conflicts?state=open&kind=shared_record").await;
    assert_eq!(conflicts["items"][0]["lead_id"], "cl_2", "{conflicts}");
    harness
        .admin_post(&format!("conflicts/{}/resolve", conflicts["items"][0]["id"]), json!({ "choose": "lead" }))
        .await;
    harness.settled().await;
    assert_eq!(
        (next_step(&opportunities().await, &made), next_step(&opportunities().await, &second)),
        (json!("A call"), json!("A tender"))
    );
    harness.stop().await;
}

#[tokio::test]
async fn a_new_lead_whose_record_was_converted_long_ago_is_known_by_that_conversion() {
    let harness = Harness::start(with_opportunities).await;
    let record =
        json!({ "FirstName": "Ada", "LastName": "Lovelace", "Email": "ada@lovelace.example", "Company": "Engine" });
    let record = harness.order("records", json!({ "object": "Lead", "fields": record })).await;
    harness.order("convert", json!({ "id": record["id"] })).await;
    send(&harness, 0, &ada("+49 30 901820", "A call")).await;
    assert_eq!((phone(&harness).await, next_step(&harness).await), (json!("+4930901820"), json!("A call")));
    harness.stop().await;
}
