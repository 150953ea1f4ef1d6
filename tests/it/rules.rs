//! The filter, computed values, and attributes without a row, from webhook to record.

use leadrelay::config::Mode;
use leadrelay::domain::mapping::ConflictRule;
use serde_json::{Value as Json, json};

use crate::harness::{Harness, Stage, event};

const CREATED: i64 = 1_767_225_600;

fn ada(score: Option<u32>, city: &str, budget: &str) -> Json {
    let mut lead = json!({
        "id": "cl_1", "name": "Ada Lovelace", "email": "ada@lovelace.example", "city": city,
        "attributes": [{ "name": "budget", "value": budget }],
    });
    if let Some(score) = score {
        lead["score"] = score.into();
    }
    lead
}

/// The shipped configuration with a filter, a computed city and a note.
async fn start() -> Harness {
    start_on(Stage::new().await).await
}

async fn start_on(mut stage: Stage) -> Harness {
    let mut change = |old: &str, new: &str| {
        assert!(stage.text.contains(old), "{old}");
        stage.text = stage.text.replacen(old, new, 1);
    };
    change("kind = \"salesforce\"\n", "kind = \"salesforce\"\nfilter = 'score >= 20.0'\n");
    change("lead = \"city\"\n", "value = 'city + \" (\" + source + \")\"'\n");
    change("crm = \"Description\"\n", "crm = \"Description\"\ndirection = \"none\"\n");
    change("#unmapped = \"drop\"  ", "unmapped = \"note\"\nnote_field = \"Description\" # ");
    stage.start(|_| {}).await
}

/// What the log tells of the lead, the newest first: operation and code.
async fn log(harness: &Harness) -> Vec<String> {
    let log = harness.admin("sync-log?lead_id=cl_1").await;
    let told = |row: &Json| format!("{} {}", row["operation"], row["error_code"]).replace('"', "");
    log["items"].as_array().unwrap().iter().map(told).collect()
}

#[tokio::test]
async fn a_lead_is_synced_while_the_filter_holds_and_left_alone_otherwise() {
    let harness = start().await;
    let told = async |at: i64, lead: &Json| {
        harness.send(&event("lead.updated", CREATED + at, lead)).await;
        harness.settled().await;
        log(&harness).await
    };
    assert_eq!(told(0, &ada(None, "Berlin", "1")).await, ["hold filter_error"]);
    let error = harness.error("filter_error").await;
    assert!(error["remedy"].as_str().unwrap().contains("score != null"), "{error}");
    let calls = harness.control("stats").await["calls"].clone();
    assert_eq!(told(60, &ada(Some(5), "Berlin", "1")).await, ["skip filtered", "hold filter_error"]);
    assert_eq!(told(120, &ada(Some(6), "Berlin", "1")).await.len(), 2, "it is logged once");
    assert_eq!(harness.control("stats").await["calls"], calls, "nothing is looked up");
    assert_eq!(harness.records().await, Vec::<Json>::new());

    assert_eq!(told(180, &ada(Some(20), "Bonn", "5")).await[0], "create null");
    let record = harness.record_of("cl_1").await;
    assert_eq!(record["fields"]["City"], "Bonn (klozeo)");
    let block = "--- lead attributes (kept by leadrelay) ---\nbudget: 5\n--- end of lead attributes ---";
    assert_eq!(record["fields"]["Description"], block);

    let edited = format!("Called her.\n{block}\nCall again.");
    harness.edit_record(record["id"].as_str().unwrap(), json!({ "Description": edited })).await;
    told(240, &ada(Some(21), "Bonn", "6")).await;
    let after = harness.record_of("cl_1").await["fields"]["Description"].clone();
    assert_eq!(after, edited.replace("budget: 5", "budget: 6"));

    assert_eq!(told(300, &ada(Some(1), "Kiel", "7")).await[0], "skip filtered");
    assert_eq!(harness.record_of("cl_1").await["fields"]["City"], "Bonn (klozeo)", "what was synced before stays");

    let mapping = harness.admin("mapping").await;
    let line = |field: &str| {
        let items = mapping["items"].as_array().unwrap();
        items.iter().find(|item| item["lead_field"] == field).unwrap_or_else(|| panic!("{field}: {mapping}")).clone()
    };
    assert_eq!(line("score >= 20.0")["direction"], "filter");
    assert_eq!(line("city + \" (\" + source + \")\"")["crm_field"], "City");
    assert_eq!(line("attributes.budget")["crm_field"], "Description");
    harness.stop().await;
}

#[tokio::test]
async fn a_lead_who_is_a_contact_has_its_attributes_noted_there_too_where_the_field_is() {
    let mut stage = Stage::new().await;
    // People who are Contacts are written to as such: their phones.
    let phone = "crm = \"Phone\"\n";
    assert!(stage.text.contains(phone));
    stage.text = stage.text.replacen(phone, &format!("{phone}on = [\"Lead\", \"Contact\"]\n"), 1);
    let contact = |email: &str| json!({ "LastName": "Lovelace", "FirstName": "Ada", "Email": email });
    stage.order("records", json!({ "object": "Contact", "fields": contact("ada@lovelace.example") })).await;
    let harness = start_on(stage).await;
    let note = async || {
        let contacts = harness.control("records?object=Contact").await["items"].clone();
        assert_eq!(contacts.as_array().unwrap().len(), 1, "{contacts}");
        contacts[0]["fields"]["Description"].clone()
    };
    let finding = async || {
        let check = harness.until("check", |check| check["items"] != json!([])).await;
        let findings = check["items"][0]["findings"].as_array().unwrap().clone();
        findings.into_iter().find(|finding| finding["subject"] == "Contact.Description").unwrap()
    };
    harness.send(&event("lead.created", CREATED, &ada(Some(20), "Bonn", "5"))).await;
    harness.settled().await;
    let block = "--- lead attributes (kept by leadrelay) ---\nbudget: 5\n--- end of lead attributes ---";
    assert_eq!((note().await, finding().await["severity"].clone()), (json!(block), json!("ok")));
    assert_eq!(harness.records().await, Vec::<Json>::new());

    // Where Contacts have no such field the note is left out, the record goes on, and the log says so.
    harness.remove("fields", json!({ "object": "Contact", "name": "Description", "hide": true })).await;
    harness.resume_with_new_schema().await;
    assert_eq!(finding().await["severity"], "warning");
    let mut called = ada(Some(20), "Bonn", "6");
    (called["phone"], called["country"]) = (json!("+49 30 901820"), json!("DE"));
    harness.send(&event("lead.updated", CREATED + 60, &called)).await;
    harness.settled().await;
    let log = harness.admin("sync-log?lead_id=cl_1&operation=update").await;
    let entry = harness.admin(&format!("sync-log/{}", log["items"][0]["id"])).await;
    let decision =
        |field: &str| entry["decisions"].as_array().unwrap().iter().find(|one| one["field"] == field).unwrap();
    assert_eq!(
        (&decision("Phone")["written"], &decision("Description")["rule"]),
        (&json!("+4930901820"), &json!("not_writable"))
    );
    harness.stop().await;
}

#[tokio::test]
async fn a_first_contact_overwrites_what_people_wrote_only_by_lead_wins_and_never_while_observing() {
    let cases = [
        (Mode::Live, ConflictRule::LeadWins, "Bonn", 0),
        (Mode::Live, ConflictRule::CrmWins, "Rome", 0),
        (Mode::Live, ConflictRule::Review, "Rome", 1),
        (Mode::Observe, ConflictRule::LeadWins, "Rome", 0),
    ];
    for (mode, rule, expected, asked) in cases {
        let harness = Harness::start(|config| {
            for destination in config.destinations.values_mut() {
                destination.mode = mode;
                destination.fields.iter_mut().filter(|row| row.lead == "city").for_each(|row| row.conflict = rule);
            }
        })
        .await;
        let (first, last, email) = ("Ada", "Lovelace", "ada@lovelace.example");
        let fields =
            json!({ "FirstName": first, "LastName": last, "Email": email, "Company": "Engines", "City": "Rome" });
        harness.order("records", json!({ "object": "Lead", "fields": fields })).await;
        harness.send(&event("lead.created", CREATED, &ada(None, "Bonn", "1"))).await;
        harness.settled().await;
        let records = harness.records().await;
        let conflicts = harness.admin("conflicts?state=open").await["items"].as_array().unwrap().len();
        assert_eq!((records.len(), conflicts), (1, asked), "{mode:?} {rule:?}: {records:?}");
        let (city, key) = (&records[0]["fields"]["City"], &records[0]["fields"]["Lead_System_Id__c"]);
        let expected_key = if mode == Mode::Live { json!("cl_1") } else { Json::Null };
        assert_eq!((city, key), (&json!(expected), &expected_key), "{mode:?} {rule:?}");
        harness.stop().await;
    }
}
