//! The filter, computed values, and attributes without a row, from webhook to record.

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
    let mut stage = Stage::new().await;
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
