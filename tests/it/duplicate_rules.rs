//! The CRM's own duplicate rules: what they find is asked about, and what a person or the settings say is saved.

use leadrelay::config::{Config, DuplicateRule};
use serde_json::{Value as Json, json};

use crate::harness::{Harness, event};

const CREATED: i64 = 1_767_225_600;

fn ada(id: &str, phone: &str) -> Json {
    let company = json!([{ "name": "company", "value": "Engine" }]);
    let email = format!("ada@{id}.example").replace('_', "-");
    json!({ "id": id, "name": "Ada Lovelace", "email": email, "phone": phone, "attributes": company })
}

/// Rows for Contacts too, so that a lead may be one.
fn with_contacts(config: &mut Config) {
    let of_both = ["FirstName", "LastName", "Email", "Phone"];
    for row in config.destinations.values_mut().flat_map(|destination| destination.fields.iter_mut()) {
        if of_both.contains(&row.crm.as_str()) {
            row.on = vec!["Lead".into(), "Contact".into()];
        }
    }
}

/// A service, an org with such a rule over Leads and Contacts, and a Contact that only the rule finds.
async fn start(action: &str, adapt: impl FnOnce(&mut Config)) -> (Harness, String) {
    let harness = Harness::start(adapt).await;
    let rule =
        json!({ "object": "Lead", "against": ["Lead", "Contact"], "match": "name_and_company", "action": action });
    harness.order("duplicate-rules", json!({ "rules": [rule] })).await;
    let make = async |object: &str, fields: Json| {
        let made = harness.order("records", json!({ "object": object, "fields": fields })).await;
        made["id"].as_str().unwrap().to_owned()
    };
    let account = make("Account", json!({ "Name": "Engine" })).await;
    let contact = json!({ "FirstName": "Ada", "LastName": "Lovelace", "AccountId": account });
    let contact = make("Contact", contact).await;
    (harness, contact)
}

async fn send(harness: &Harness, after: i64, lead: &Json) {
    let kind = if after == 0 { "lead.created" } else { "lead.updated" };
    harness.send(&event(kind, CREATED + after, lead)).await;
    harness.settled().await;
}

async fn open_conflicts(harness: &Harness) -> Vec<Json> {
    harness.admin("conflicts?state=open").await["items"].as_array().unwrap().clone()
}

/// Answers the one open conflict.
async fn answer(harness: &Harness, answer: Json) {
    let open = open_conflicts(harness).await;
    assert_eq!(open.len(), 1, "{open:?}");
    harness.admin_post(&format!("conflicts/{}/resolve", open[0]["id"]), answer).await;
    harness.settled().await;
}

#[tokio::test]
async fn the_contact_that_a_rule_found_is_shown_and_the_lead_becomes_it_if_a_person_says_so() {
    let (harness, contact) = start("alert", with_contacts).await;
    send(&harness, 0, &ada("cl_1", "+49 30 901820")).await;
    let open = open_conflicts(&harness).await;
    assert_eq!((open.len(), &open[0]["kind"]), (1, &json!("match")), "{open:?}");
    let candidate = &open[0]["candidates"][0]["record"];
    assert_eq!((&candidate["object"], &candidate["id"]), (&json!("Contact"), &json!(contact)), "{open:?}");
    assert_eq!(harness.records().await, Vec::<Json>::new());

    answer(&harness, json!({ "choose": "record", "record_id": contact })).await;
    let record = harness.control(&format!("records/{contact}")).await;
    let fields = &record["fields"];
    assert_eq!((&fields["Lead_System_Id__c"], &fields["Phone"]), (&json!("cl_1"), &json!("+4930901820")), "{record}");
    assert_eq!(harness.records().await, Vec::<Json>::new());
    assert_eq!(open_conflicts(&harness).await, Vec::<Json>::new());
    harness.stop().await;
}

#[tokio::test]
async fn another_person_is_created_once_and_only_past_the_record_that_was_seen() {
    let (harness, contact) = start("alert", with_contacts).await;
    send(&harness, 0, &ada("cl_1", "+49 30 901820")).await;
    answer(&harness, json!({ "choose": "create" })).await;
    let made = harness.record_of("cl_1").await;
    let log = harness.admin("sync-log?lead_id=cl_1").await;
    let told =
        |row: usize| (log["items"][row]["outcome"].clone(), log["items"][row]["error"].as_str().unwrap().to_owned());
    assert_eq!(told(0), (json!("ok"), "saved past the CRM's duplicate rule, as a person said".to_owned()));
    assert!(told(1).0 == "conflict" && told(1).1.ends_with(&format!("it found Contact {contact}")), "{log}");
    assert_eq!(log["items"].as_array().unwrap().len(), 2, "{log}");
    assert_eq!(open_conflicts(&harness).await, Vec::<Json>::new());
    send(&harness, 60, &ada("cl_1", "+49 30 901821")).await;
    assert_eq!(harness.record_of("cl_1").await["fields"]["Phone"], "+4930901821");
    assert_eq!(harness.records().await.len(), 1);

    // What was said of one lead says nothing of another.
    send(&harness, 0, &ada("cl_2", "+49 30 901822")).await;
    let open = open_conflicts(&harness).await;
    assert_eq!((open.len(), &open[0]["lead_id"]), (1, &json!("cl_2")), "{open:?}");
    let found = open[0]["candidates"][0]["record"]["id"].as_str().unwrap();
    assert!([contact.as_str(), made["id"].as_str().unwrap()].contains(&found), "{open:?}");
    assert_eq!(harness.records().await.len(), 1);
    harness.stop().await;
}

/// Exchanges the org's rules: one for leads by name and company for each of these, with the object it searches.
async fn set_rules(harness: &Harness, rules: &[(&str, &str)]) {
    let rule = |(against, action): &(&str, &str)| json!({ "object": "Lead", "against": [against], "match": "name_and_company", "action": action });
    let rules: Vec<Json> = rules.iter().map(rule).collect();
    harness.order("duplicate-rules", json!({ "rules": rules })).await;
}

/// What the one open conflict may be answered with, by which kind of rule it is asked, and which records are in question.
async fn asked(harness: &Harness) -> (Json, Json, Vec<String>) {
    let open = open_conflicts(harness).await;
    assert_eq!(open.len(), 1, "{open:?}");
    let candidates = open[0]["candidates"].as_array().unwrap().iter();
    let candidates = candidates.map(|candidate| {
        assert_eq!(candidate["matched_by"], "duplicate_rule", "{candidate}");
        candidate["record"]["id"].as_str().unwrap().to_owned()
    });
    (open[0]["choices"].clone(), open[0]["duplicate_rule"].clone(), candidates.collect())
}

#[tokio::test]
async fn a_rule_that_blocks_is_not_overruled_and_says_so() {
    let (harness, contact) = start("block", with_contacts).await;
    send(&harness, 0, &ada("cl_1", "+49 30 901820")).await;
    let blocked = (json!(["record"]), json!("block"), vec![contact.clone()]);
    assert_eq!(asked(&harness).await, blocked, "at the first question already");
    let open = open_conflicts(&harness).await;
    let detail = open[0]["detail"].as_str().unwrap();
    assert!(detail.contains("rule Standard_Lead_Duplicate_Rule refused it"), "{detail}");
    assert!(detail.contains("the rule blocks it whoever insists"), "{detail}");
    let resolve = format!("conflicts/{}/resolve", open[0]["id"]);
    let (status, problem) = harness.admin_ask("POST", &resolve, json!({ "choose": "create" })).await;
    let told = problem["detail"].as_str().unwrap();
    assert!(
        status == 422 && told.contains("blocks") && told.contains("have the rule changed to an alert"),
        "{problem}"
    );

    // The rule is changed, and back again after a person was asked.
    set_rules(&harness, &[("Contact", "alert")]).await;
    harness.admin_post("leads/klozeo/cl_1/sync", json!({})).await;
    harness.settled().await;
    assert_eq!(asked(&harness).await, (json!(["record", "create"]), json!("alert"), vec![contact.clone()]));
    set_rules(&harness, &[("Contact", "block")]).await;
    answer(&harness, json!({ "choose": "create" })).await;
    assert_eq!(asked(&harness).await, blocked);
    assert_eq!(harness.records().await, Vec::<Json>::new());
    harness.stop().await;
}

#[tokio::test]
async fn a_second_rule_that_blocks_what_the_first_one_lets_pass_names_its_records_too() {
    let (harness, contact) = start("alert", with_contacts).await;
    let twin = json!({ "FirstName": "Ada", "LastName": "Lovelace", "Company": "Engine" });
    let twin = harness.order("records", json!({ "object": "Lead", "fields": twin })).await["id"].clone();
    set_rules(&harness, &[("Contact", "alert"), ("Lead", "block")]).await;
    send(&harness, 0, &ada("cl_1", "+49 30 901820")).await;
    assert_eq!(asked(&harness).await, (json!(["record", "create"]), json!("alert"), vec![contact]));
    answer(&harness, json!({ "choose": "create" })).await;
    let blocked = (json!(["record"]), json!("block"), vec![twin.as_str().unwrap().to_owned()]);
    assert_eq!(asked(&harness).await, blocked);
    // Each answer of the CRM is told once.
    let log = harness.admin("sync-log?lead_id=cl_1").await;
    assert_eq!(log["items"].as_array().unwrap().len(), 2, "{log}");
    assert_eq!(harness.records().await.len(), 1);
    harness.stop().await;

    // Where the settings save past every alert, what blocks is told with what it found.
    let (harness, contact) = start("block", |config| {
        with_contacts(config);
        allow(config);
    })
    .await;
    send(&harness, 0, &ada("cl_1", "+49 30 901820")).await;
    assert_eq!(asked(&harness).await, (json!(["record"]), json!("block"), vec![contact]));
    harness.stop().await;
}

#[tokio::test]
async fn all_records_that_a_rule_names_are_in_question_and_the_chosen_one_is_written_past_the_others() {
    let (harness, first) = start("alert", with_contacts).await;
    let account = harness.control(&format!("records/{first}")).await["fields"]["AccountId"].clone();
    let fields = json!({ "FirstName": "ADA", "LastName": "Lovelace", "AccountId": account });
    let second = harness.order("records", json!({ "object": "Contact", "fields": fields })).await["id"].clone();
    let second = second.as_str().unwrap();
    // Contacts have the same rule, which compares them when one of them is written.
    let rules = ["Lead", "Contact"].map(
        |object| json!({ "object": object, "against": ["Contact"], "match": "name_and_company", "action": "alert" }),
    );
    harness.order("duplicate-rules", json!({ "rules": rules })).await;
    send(&harness, 0, &ada("cl_1", "+49 30 901820")).await;
    let (_, _, candidates) = asked(&harness).await;
    assert_eq!(candidates, [first.as_str(), second]);
    let log = harness.admin("sync-log?lead_id=cl_1").await;
    let told = log["items"][0]["error"].as_str().unwrap();
    assert!(told.ends_with(&format!("it found Contact {first}, Contact {second}")), "{told}");
    assert_eq!(log["items"].as_array().unwrap().len(), 1, "{log}");

    answer(&harness, json!({ "choose": "record", "record_id": &second[..15] })).await;
    assert_eq!(open_conflicts(&harness).await, Vec::<Json>::new());
    let fields = &harness.control(&format!("records/{second}")).await["fields"];
    assert_eq!((&fields["Lead_System_Id__c"], &fields["FirstName"]), (&json!("cl_1"), &json!("Ada")), "{fields}");
    harness.stop().await;
}

#[tokio::test]
async fn a_lead_that_a_rule_holds_is_explained_by_the_question_that_it_waits_for() {
    let (harness, contact) = start("alert", with_contacts).await;
    send(&harness, 0, &ada("cl_1", "+49 30 901820")).await;
    let open = open_conflicts(&harness).await;
    let explained = harness.admin("leads/klozeo/cl_1/explain").await;
    let waits = explained["waits"].as_str().unwrap();
    assert!(waits.starts_with(&format!("conflict {} waits for a person's answer", open[0]["id"])), "{waits}");
    assert!(waits.contains(open[0]["detail"].as_str().unwrap()), "{waits}");
    let questions = &explained["plan"]["questions"];
    assert_eq!((questions.as_array().unwrap().len(), &questions[0]["kind"]), (1, &json!("match")), "{questions}");
    let candidate = &questions[0]["candidates"][0];
    assert_eq!((&candidate["record"]["id"], &candidate["matched_by"]), (&json!(contact), &json!("duplicate_rule")));
    assert_kept_back(&explained, "a person answers the conflict with `create`");

    answer(&harness, json!({ "choose": "create" })).await;
    let explained = harness.admin("leads/klozeo/cl_1/explain").await;
    assert_eq!((&explained["waits"], &explained["plan"]["questions"]), (&Json::Null, &json!([])), "{explained}");
    assert_eq!((&explained["plan"]["action"], &explained["plan"]["kept_back"]), (&json!("unchanged"), &Json::Null));
    harness.stop().await;
}

/// Nothing is promised but what would be done once something else came first.
fn assert_kept_back(explained: &Json, until: &str) {
    let plan = &explained["plan"];
    assert_eq!((&plan["action"], &plan["code"]), (&json!("hold"), &json!("match_conflict")), "{plan}");
    assert_eq!((&plan["fields"], &plan["decisions"]), (&json!([]), &json!([])), "{plan}");
    let kept_back = &plan["kept_back"];
    assert_eq!(kept_back["action"], "create", "{plan}");
    assert!(kept_back["until"].as_str().unwrap().contains(until), "{plan}");
    let named = |list: &Json, field: &str| list.as_array().unwrap().iter().any(|entry| entry["field"] == field);
    assert!(named(&kept_back["fields"], "Lead_System_Id__c") && named(&kept_back["decisions"], "LastName"), "{plan}");
}

#[tokio::test]
async fn a_lead_that_a_rule_blocks_is_not_explained_by_a_record_that_nobody_can_make() {
    let (harness, _) = start("block", with_contacts).await;
    send(&harness, 0, &ada("cl_1", "+49 30 901820")).await;
    let explained = harness.admin("leads/klozeo/cl_1/explain").await;
    assert!(explained["waits"].as_str().unwrap().contains("waits for a person's answer"), "{explained}");
    assert_kept_back(&explained, "the rule is changed to an alert in the CRM and the lead is synced");
    harness.stop().await;
}

#[tokio::test]
async fn a_failure_that_people_dealt_with_is_shown_as_history() {
    let (harness, _) = start("alert", with_contacts).await;
    send(&harness, 0, &ada("cl_1", "+49 30 901820")).await;
    let failed = harness.error("DUPLICATES_DETECTED").await;
    assert_eq!((&failed["leads"], &failed["open"]), (&json!(1), &json!(1)), "{failed}");
    answer(&harness, json!({ "choose": "create" })).await;
    let failed = harness.error("DUPLICATES_DETECTED").await;
    assert_eq!((&failed["leads"], &failed["open"]), (&json!(1), &json!(0)), "{failed}");

    // A lead that somebody excludes is nobody's work any more either.
    send(&harness, 0, &ada("cl_2", "+49 30 901822")).await;
    assert_eq!(harness.error("DUPLICATES_DETECTED").await["open"], 1);
    harness.admin_post("leads/klozeo/cl_2/exclude", json!({})).await;
    assert_eq!(harness.error("DUPLICATES_DETECTED").await["open"], 0);
    harness.stop().await;
}

#[tokio::test]
async fn the_question_of_a_rule_stays_the_same_one_while_the_crm_does_not_answer() {
    let (harness, _) = start("alert", with_contacts).await;
    send(&harness, 0, &ada("cl_1", "+49 30 901820")).await;
    let asked = open_conflicts(&harness).await;
    harness.faults(json!([{ "fault": "status", "status": 503, "writes": true }])).await;
    harness.send(&event("lead.updated", CREATED + 60, &ada("cl_1", "+49 30 901821"))).await;
    harness.until("sync-log?lead_id=cl_1&outcome=retry", |log| !log["items"].as_array().unwrap().is_empty()).await;
    let open = open_conflicts(&harness).await;
    assert_eq!((open.len(), &open[0]["id"]), (1, &asked[0]["id"]), "{open:?}");
    harness.faults(json!([])).await;
    answer(&harness, json!({ "choose": "create" })).await;
    assert_eq!(harness.record_of("cl_1").await["fields"]["Phone"], "+4930901821");
    assert_eq!(open_conflicts(&harness).await, Vec::<Json>::new());
    harness.stop().await;
}

#[tokio::test]
async fn a_record_of_a_kind_without_rows_is_left_to_its_people() {
    let (harness, contact) = start("alert", |_| {}).await;
    send(&harness, 0, &ada("cl_1", "+49 30 901820")).await;
    answer(&harness, json!({ "choose": "record", "record_id": contact })).await;
    assert_eq!(open_conflicts(&harness).await, Vec::<Json>::new());
    assert_eq!(harness.records().await, Vec::<Json>::new());
    let log = harness.admin("sync-log?lead_id=cl_1&error=other_object").await;
    assert_eq!(log["items"].as_array().unwrap().len(), 1, "{log}");
    let held = harness.admin("queue").await;
    assert_eq!((&held["items"][0]["held"], &held["items"][0]["dead"]), (&json!(0), &json!(0)), "{held}");
    harness.stop().await;
}

#[tokio::test]
async fn every_record_of_a_batch_that_a_rule_flags_is_told_with_what_was_found() {
    let (harness, contact) = start("alert", with_contacts).await;
    harness.admin_post("destinations/salesforce/pause", json!({})).await;
    for number in 0..30 {
        harness.send(&event("lead.created", CREATED, &ada(&format!("cl_{number}"), "+49 30 901820"))).await;
    }
    harness.resume().await;
    harness.settled().await;
    let open = open_conflicts(&harness).await;
    assert_eq!(open.len(), 30);
    for conflict in &open {
        assert_eq!(conflict["candidates"][0]["record"]["id"], json!(contact), "{conflict}");
    }
    assert_eq!(harness.records().await, Vec::<Json>::new());
    harness.stop().await;
}

/// A lead that has its own record and then gets the name of the Contact that only the rule finds; the conflict's detail.
async fn renamed_to_the_contact(harness: &Harness) -> (Json, String) {
    let grace = || {
        let mut lead = ada("cl_1", "+49 30 901820");
        lead["name"] = json!("Grace Hopper");
        lead
    };
    send(harness, 0, &grace()).await;
    let own = harness.record_of("cl_1").await;
    send(harness, 60, &ada("cl_1", "+49 30 901821")).await;
    let open = open_conflicts(harness).await;
    assert_eq!((open.len(), &open[0]["kind"]), (1, &json!("match")), "{open:?}");
    (own, open[0]["detail"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_lead_that_has_a_record_stays_asked_about_until_it_is_linked_by_hand() {
    for with_rows in [true, false] {
        let adapt = if with_rows { with_contacts } else { |_: &mut Config| {} };
        let (harness, contact) = start("alert", adapt).await;
        let (own, detail) = renamed_to_the_contact(&harness).await;
        let id = own["id"].as_str().unwrap();
        assert!(detail.contains(&format!("the lead is linked to Lead {id}")), "{detail}");

        // The change is neither written nor forgotten.
        answer(&harness, json!({ "choose": "record", "record_id": contact })).await;
        let open = open_conflicts(&harness).await;
        assert_eq!((open.len(), &open[0]["detail"]), (1, &json!(detail)), "{open:?}");
        let log = harness.admin("sync-log?lead_id=cl_1&error=other_object").await;
        assert_eq!(log["items"], json!([]), "{log}");
        harness.until("queue", |queue| queue["items"][0]["held"] == 1).await;
        assert_eq!(harness.record_of("cl_1").await["fields"]["LastName"], "Hopper");

        if with_rows {
            let link = json!({ "object": "Contact", "record_id": contact });
            let (status, told) = harness.admin_ask("PUT", "leads/klozeo/cl_1/links/salesforce", link).await;
            assert_eq!(status, 200, "{told}");
            harness.settled().await;
            let fields = &harness.control(&format!("records/{contact}")).await["fields"];
            assert_eq!((&fields["Lead_System_Id__c"], &fields["Phone"]), (&json!("cl_1"), &json!("+4930901821")));
        } else {
            answer(&harness, json!({ "choose": "create" })).await;
            assert_eq!(harness.record_of("cl_1").await["fields"]["LastName"], "Lovelace");
        }
        assert_eq!(open_conflicts(&harness).await, Vec::<Json>::new());
        harness.stop().await;
    }
}

#[tokio::test]
async fn a_record_that_is_another_person_s_is_not_asked_about_again_because_a_rule_finds_it() {
    let lovelace = |first: &str, email: &str| json!({ "FirstName": first, "LastName": "Lovelace", "Company": "Engine", "Email": email });
    for (action, with_third) in [("alert", false), ("alert", true), ("block", false)] {
        let (harness, _) = start("alert", |_| {}).await;
        let rule = |by: &str| json!({ "object": "Lead", "match": by, "action": action });
        harness.order("duplicate-rules", json!({ "rules": [rule("name_and_company"), rule("email")] })).await;
        let make = async |first: &str, email: &str| {
            let made = harness.order("records", json!({ "object": "Lead", "fields": lovelace(first, email) })).await;
            made["id"].as_str().unwrap().to_owned()
        };
        // With the lead's address, and a name of its own.
        let other = make("Byron", "ada@cl-1.example").await;
        send(&harness, 0, &ada("cl_1", "+49 30 901820")).await;
        let open = open_conflicts(&harness).await;
        assert_eq!((open.len(), &open[0]["kind"]), (1, &json!("shared_record")), "{open:?}");
        let third = if with_third { Some(make("Ada", "ada@third.example").await) } else { None };
        answer(&harness, json!({ "choose": "create" })).await;
        match (action, third) {
            ("block", _) => assert_eq!(asked(&harness).await, (json!(["record"]), json!("block"), vec![other])),
            (_, Some(third)) => {
                assert_eq!(asked(&harness).await, (json!(["record", "create"]), json!("alert"), vec![third]));
                answer(&harness, json!({ "choose": "create" })).await;
                assert_eq!(open_conflicts(&harness).await, Vec::<Json>::new());
                assert_eq!(harness.records().await.len(), 3);
            }
            (_, None) => {
                assert_eq!(open_conflicts(&harness).await, Vec::<Json>::new());
                assert_eq!(harness.records().await.len(), 2);
            }
        }
        harness.stop().await;
    }
}

#[tokio::test]
async fn a_record_that_the_lead_was_unlinked_from_is_not_asked_about_because_a_rule_finds_it() {
    let (harness, _) = start("alert", |_| {}).await;
    set_rules(&harness, &[("Lead", "alert")]).await;
    send(&harness, 0, &ada("cl_1", "+49 30 901820")).await;
    let first = harness.record_of("cl_1").await["id"].clone();
    let (status, told) = harness.admin_ask("DELETE", "leads/klozeo/cl_1/links/salesforce", json!({})).await;
    assert_eq!(status, 200, "{told}");
    harness.settled().await;
    assert_eq!(open_conflicts(&harness).await, Vec::<Json>::new());
    assert_ne!(harness.record_of("cl_1").await["id"], first);
    assert_eq!(harness.records().await.len(), 2);
    harness.stop().await;
}

#[tokio::test]
async fn what_a_rule_blocks_of_a_lead_that_has_a_record_is_told_with_what_helps() {
    let (harness, _) = start("block", with_contacts).await;
    let (own, detail) = renamed_to_the_contact(&harness).await;
    assert!(
        detail.contains("blocks it whoever insists: have the rule changed to an alert and sync the lead; "),
        "{detail}"
    );
    let linked =
        format!("the lead is linked to Lead {}, and `record` does not change that", own["id"].as_str().unwrap());
    assert!(detail.contains(&linked), "{detail}");
    harness.stop().await;
}

fn allow(config: &mut Config) {
    for destination in config.destinations.values_mut() {
        destination.records.duplicate_rule = DuplicateRule::Allow;
    }
}

#[tokio::test]
async fn duplicates_are_saved_all_the_same_where_the_settings_say_so() {
    let (harness, _) = start("alert", allow).await;
    send(&harness, 0, &ada("cl_1", "+49 30 901820")).await;
    // A text that looks like a reference goes by another way.
    let mut odd = ada("cl_2", "+49 30 901821");
    odd["description"] = json!("@{creates[0].id}");
    send(&harness, 0, &odd).await;
    harness.record_of("cl_1").await;
    assert_eq!(harness.record_of("cl_2").await["fields"]["Description"], "@{creates[0].id}");
    let mut renamed = ada("cl_2", "+49 30 901821");
    renamed["name"] = json!("Ada King");
    send(&harness, 60, &renamed).await;
    send(&harness, 120, &ada("cl_2", "+49 30 901821")).await;
    assert_eq!(harness.record_of("cl_2").await["fields"]["LastName"], "Lovelace");
    assert_eq!(open_conflicts(&harness).await, Vec::<Json>::new());
    harness.stop().await;
}
