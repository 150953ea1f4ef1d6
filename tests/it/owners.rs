//! Owners by their address: the CRM's one active user of that address, or nobody.

use leadrelay::app::check;
use leadrelay::config::Config;
use leadrelay::domain::check::Severity;
use leadrelay::domain::mapping::{ConflictRule, FieldType, OnInvalid};
use serde_json::{Value as Json, json};

use crate::harness::{Harness, event};

const CREATED: i64 = 1_767_225_600;

fn ada(id: &str, owner: &str, city: &str) -> Json {
    let owner = json!([{ "name": "owner", "value": owner }]);
    json!({ "id": id, "name": "Ada Lovelace", "email": format!("ada@{}.example", id.replace('_', "-")), "city": city, "attributes": owner })
}

/// One more row: the lead's owner.
fn with_owner(config: &mut Config) {
    for destination in config.destinations.values_mut() {
        let mut row = destination.fields.iter().find(|row| row.crm.as_str() == "City").unwrap().clone();
        row.lead = "attributes.owner".to_owned();
        row.crm = "OwnerId".into();
        row.kind = FieldType::Owner;
        destination.fields.push(row);
    }
}

async fn user(harness: &Harness, address: &str) -> Json {
    let users = harness.control("records?object=User").await;
    let is_it = |user: &&Json| user["fields"]["Email"] == address;
    users["items"].as_array().unwrap().iter().find(is_it).unwrap()["id"].clone()
}

async fn owner_of(harness: &Harness, lead: &str) -> Json {
    harness.record_of(lead).await["fields"]["OwnerId"].clone()
}

async fn send(harness: &Harness, after: i64, lead: &Json) {
    let kind = if after == 0 { "lead.created" } else { "lead.updated" };
    harness.send(&event(kind, CREATED + after, lead)).await;
    harness.settled().await;
}

/// The decision on the owner in the newest entry of the lead's log.
async fn decision(harness: &Harness, lead: &str) -> Json {
    let log = harness.admin(&format!("sync-log?lead_id={lead}")).await;
    let entry = harness.admin(&format!("sync-log/{}", log["items"][0]["id"])).await;
    let decisions = entry["decisions"].as_array().unwrap().clone();
    decisions.into_iter().find(|decision| decision["field"] == "OwnerId").unwrap_or(Json::Null)
}

#[tokio::test]
async fn a_record_gets_the_owner_that_its_lead_names_and_no_assignment_rule_takes_it_away() {
    let harness = Harness::start(with_owner).await;
    let (sam, casey) =
        (user(&harness, "sam.sales@sandbox.example").await, user(&harness, "casey.clerk@sandbox.example").await);
    let calls = async || harness.control("stats").await["calls"].as_u64().unwrap();
    send(&harness, 0, &ada("cl_0", "", "Berlin")).await;
    assert!(
        owner_of(&harness, "cl_0").await.as_str().unwrap().starts_with("00G"),
        "the rules assign what has no owner"
    );
    let before = calls().await;
    send(&harness, 0, &ada("cl_1", "Sam.SALES@sandbox.example", "Berlin")).await;
    assert_eq!(calls().await - before, 2, "users are looked up in the call that looks for the record");
    assert_eq!(owner_of(&harness, "cl_1").await, sam);

    // What was read back agrees: nothing drifts, and nothing is written again.
    harness.admin_post("leads/klozeo/cl_1/sync", json!({})).await;
    harness.settled().await;
    let log = harness.admin("sync-log?lead_id=cl_1").await;
    assert_eq!(log["items"][0]["operation"], "unchanged", "{log}");

    send(&harness, 60, &ada("cl_1", "casey.clerk@sandbox.example", "Berlin")).await;
    assert_eq!(owner_of(&harness, "cl_1").await, casey);
    // A colleague takes the record over; the lead says nothing new of it.
    let id = harness.record_of("cl_1").await["id"].as_str().unwrap().to_owned();
    harness.edit_record(&id, json!({ "OwnerId": sam })).await;
    send(&harness, 120, &ada("cl_1", "casey.clerk@sandbox.example", "Bonn")).await;
    assert_eq!(owner_of(&harness, "cl_1").await, sam);
    assert_eq!(decision(&harness, "cl_1").await["rule"], "drift");
    // A blank says nothing of the owner.
    send(&harness, 180, &ada("cl_1", "", "Bonn")).await;
    assert_eq!(owner_of(&harness, "cl_1").await, sam);
    harness.stop().await;
}

#[tokio::test]
async fn an_owner_who_is_unknown_inactive_or_not_the_only_one_is_left_out_and_named() {
    let harness = Harness::start(with_owner).await;
    let casey = user(&harness, "casey.clerk@sandbox.example").await;
    for name in ["Twin One", "Twin Two"] {
        let fields = json!({
            "Username": format!("{name}@sandbox.example"), "LastName": name, "Email": "twins@sandbox.example", "IsActive": true,
        });
        harness.order("records", json!({ "object": "User", "fields": fields })).await;
    }
    send(&harness, 0, &ada("cl_1", "casey.clerk@sandbox.example", "Berlin")).await;
    for (after, address, says, code) in [
        (60, "ines.former@sandbox.example", "inactive user", "inactive_owner"),
        (120, "nobody@sandbox.example", "of no user", "unknown_owner"),
        (180, "twins@sandbox.example", "several active users", "several_owners"),
        (240, "Casey Clerk", "holds no @", "unknown_owner"),
    ] {
        let city = format!("City {after}");
        send(&harness, after, &ada("cl_1", address, &city)).await;
        let record = harness.record_of("cl_1").await;
        assert_eq!((&record["fields"]["OwnerId"], &record["fields"]["City"]), (&casey, &json!(city)), "{address}");
        let told = decision(&harness, "cl_1").await;
        assert_eq!(told["rule"], "invalid", "{told}");
        assert!(told["note"].as_str().unwrap().contains(says), "{told}");

        // Found by what is wrong and by who it is; a spreadsheet of it names the address.
        let found = harness.admin(&format!("sync-log?error={code}")).await;
        assert_eq!(found["items"][0]["outcome"], "ok", "{found}");
        let error = found["items"][0]["error"].as_str().unwrap();
        assert!(error.starts_with("OwnerId is left out: ") && error.contains(&format!("{address:?} ")), "{error}");
        assert!(error.contains(says), "{error}");
        let word = address.split([' ', '@']).next().unwrap();
        let found = harness.admin(&format!("sync-log?q={word}")).await;
        assert_eq!(found["items"].as_array().unwrap().len(), 1, "{found}");
    }
    // A new record, too.
    send(&harness, 0, &ada("cl_2", "nobody@sandbox.example", "Berlin")).await;
    let found = harness.admin("sync-log?error=unknown_owner&lead_id=cl_2").await;
    assert_eq!(found["items"][0]["operation"], "create", "{found}");
    assert_eq!(harness.admin("errors").await["items"], json!([]), "nothing failed");
    harness.admin_ask("DELETE", "leads/klozeo/cl_2", json!({})).await;
    assert!(!harness.admin_text("sync-log?error=unknown_owner&operation=create").await.contains("nobody@"));
    // A row that is about something else says it as well.
    let mut stranger = ada("cl_3", "stranger@sandbox.example", "Berlin");
    stranger["email"] = json!("ada@cl-1.example");
    send(&harness, 0, &stranger).await;
    let found = harness.admin("sync-log?q=stranger").await;
    assert_eq!(found["items"][0]["error_code"], "shared_record", "{found}");
    harness.stop().await;
}

#[tokio::test]
async fn a_person_may_name_another_owner_by_address() {
    let harness = Harness::start(|config| {
        with_owner(config);
        for row in config.destinations.values_mut().filter_map(|destination| destination.fields.last_mut()) {
            row.on_invalid = OnInvalid::Review;
            row.conflict = ConflictRule::Review;
        }
    })
    .await;
    send(&harness, 0, &ada("cl_1", "nobody@sandbox.example", "Berlin")).await;
    let open = harness.admin("conflicts?state=open&kind=invalid").await;
    let answer = json!({ "choose": "value", "value": "sam.sales@sandbox.example" });
    harness.admin_post(&format!("conflicts/{}/resolve", open["items"][0]["id"]), answer).await;
    harness.settled().await;
    assert_eq!(owner_of(&harness, "cl_1").await, user(&harness, "sam.sales@sandbox.example").await);
    harness.stop().await;
}

#[tokio::test]
async fn the_preflight_says_whether_owners_can_be_found_and_written() {
    let harness = Harness::start(with_owner).await;
    let found = async |subject: &str| {
        let checks = check::run(harness.config()).await.unwrap();
        checks[0].findings.iter().find(|finding| finding.subject == subject).cloned()
    };
    assert_eq!(found("User").await.unwrap().severity, Severity::Ok);
    assert_eq!(found("Lead.OwnerId").await.unwrap().severity, Severity::Ok);
    harness.remove("fields", json!({ "object": "User", "name": "IsActive", "hide": true })).await;
    let hidden = found("User.IsActive").await.unwrap();
    assert_eq!(hidden.severity, Severity::Error);
    assert!(hidden.remedy.contains("visible to the integration user"), "{hidden:?}");
    harness.stop().await;
}

/// The CRM refuses an owner and names no field.
fn inactive(rule: Json) -> Json {
    let mut fault = json!({ "fault": "error", "code": "INACTIVE_OWNER_OR_USER", "field": "" });
    fault.as_object_mut().unwrap().extend(rule.as_object().unwrap().clone());
    json!([fault])
}

#[tokio::test]
async fn a_lead_whose_owner_the_crm_refuses_as_inactive_gets_the_owner_that_the_crm_chooses() {
    let harness = Harness::start(with_owner).await;
    let sam = user(&harness, "sam.sales@sandbox.example").await;
    harness.faults(inactive(json!({ "when": { "OwnerId": sam } }))).await;
    send(&harness, 0, &ada("cl_1", "sam.sales@sandbox.example", "Berlin")).await;
    assert!(owner_of(&harness, "cl_1").await.as_str().unwrap().starts_with("00G"), "the rules assign it");
    let told = decision(&harness, "cl_1").await;
    assert_eq!((&told["rule"], &told["written"]), (&json!("invalid"), &Json::Null), "{told}");
    assert!(told["note"].as_str().unwrap().contains("inactive user"), "{told}");
    harness.stop().await;
}

#[tokio::test]
async fn a_lead_that_an_assignment_rule_gives_to_an_inactive_user_is_made_without_these_rules() {
    let harness = Harness::start(with_owner).await;
    harness.faults(inactive(json!({ "count": 1 }))).await;
    send(&harness, 0, &ada("cl_1", "", "Berlin")).await;
    assert!(owner_of(&harness, "cl_1").await.as_str().unwrap().starts_with("005"), "no rule assigned it");
    let log = harness.admin("sync-log?lead_id=cl_1&error=INACTIVE_OWNER_OR_USER").await;
    assert_eq!(log["items"][0]["outcome"], "refused", "{log}");

    // Once: what is refused all the same is a dead letter.
    harness.faults(inactive(json!({}))).await;
    send(&harness, 0, &ada("cl_2", "", "Berlin")).await;
    let log = harness.admin("sync-log?lead_id=cl_2&error=INACTIVE_OWNER_OR_USER").await;
    assert_eq!(log["items"].as_array().unwrap().len(), 2, "{log}");
    let lead = harness.admin("leads/klozeo/cl_2").await;
    assert_eq!(lead["jobs"][0]["state"], "dead", "{lead}");
    harness.stop().await;
}
