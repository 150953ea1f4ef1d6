//! `check --create-missing`: from an org without the fields to a lead that arrives with them.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value as Json, json};

use crate::harness::{Harness, Stage, event};

const CUSTOM: [&str; 5] = ["Lead_System_Id__c", "Lead_Score__c", "Lead_Tags__c", "Industry_Detail__c", "Last_Seen__c"];

/// Rows for fields that no org has, and one whose field is of another type.
const MORE_ROWS: &str = r#"
[[destinations.salesforce.fields]]
lead = "attributes.budget"
crm = "Budget__c"
type = "currency"

[[destinations.salesforce.fields]]
lead = "attributes.temper"
crm = "Temper__c"
type = "picklist"
values = { "hot" = "Hot", "cold" = "Cold" }

[[destinations.salesforce.fields]]
lead = "attributes.other"
crm = "Other_Type__c"
type = "number"
"#;

/// What a command printed, with how it ended.
struct Told {
    code: i32,
    out: String,
    err: String,
}

impl Told {
    fn report(&self) -> Json {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("{}{}", self.out, self.err))
    }

    /// The subjects of errors.
    fn errors(&self) -> Vec<String> {
        let report = self.report();
        let findings = report["destinations"][0]["findings"].as_array().unwrap().iter();
        findings
            .filter(|found| found["severity"] == "error")
            .map(|found| found["subject"].as_str().unwrap().to_owned())
            .collect()
    }

    /// What became of each field.
    fn outcomes(&self) -> Vec<String> {
        let report = self.report();
        let created = report["created"].as_array().unwrap().iter();
        created
            .map(|field| format!("{} {}", field["field"].as_str().unwrap(), field["outcome"].as_str().unwrap()))
            .collect()
    }
}

fn check(folder: &Path, arguments: &[&str]) -> Told {
    let mut command = Command::new(env!("CARGO_BIN_EXE_leadrelay"));
    command.arg("check").args(arguments).current_dir(folder).stdin(Stdio::null()).env_remove("LEADRELAY_CONFIG");
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Told { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

/// An org without the custom fields, and a folder with a configuration that has them.
async fn without_fields() -> (Stage, tempfile::TempDir) {
    let mut stage = Stage::new().await;
    for field in CUSTOM {
        stage.remove("fields", json!({ "object": "Lead", "name": field })).await;
    }
    for (field, kind) in [("Other_Type__c", "boolean"), ("Budget__c", "currency")] {
        stage.order("fields", json!({ "object": "Lead", "name": field, "type": kind })).await;
    }
    stage.remove("fields", json!({ "object": "Lead", "name": "Budget__c", "hide": true })).await;
    let flag = "external_id = \"Lead_System_Id__c\"\non_delete = \"flag\"\ndelete_flag = \"Deleted__c\"\nunmapped = \"note\"\nnote_field = \"Notes__c\"\n";
    stage.text = stage.text.replacen("external_id = \"Lead_System_Id__c\"", flag, 1);
    let rows = stage.text.find("[[destinations.salesforce.fields]]").unwrap();
    stage.text.insert_str(rows, MORE_ROWS.trim_start());
    let folder = tempfile::tempdir().unwrap();
    let text = stage.text.replacen("http://127.0.0.1:8090", &stage.sandbox.url(), 1);
    std::fs::write(folder.path().join("leadrelay.toml"), text).unwrap();
    (stage, folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_fields_are_shown_created_and_filled() {
    let (stage, folder) = without_fields().await;
    let before = check(folder.path(), &["--json"]);
    assert_eq!((before.code, before.errors().len()), (1, 10), "{}", before.out);
    assert!(before.errors().contains(&"Lead.Deleted__c".to_owned()), "{}", before.out);

    // What an org answers only here is the matter of its operator, or means that the field is there: of one that is hidden.
    for case in crate::error_codes::cases(&["create_missing"]) {
        if case.follows == "shown" {
            assert_eq!(case.code, "DUPLICATE_DEVELOPER_NAME");
            continue;
        }
        let fault = json!({ "fault": "error", "level": "call", "code": case.code, "path": "sobjects/CustomField" });
        stage.order("faults", json!({ "rules": [fault] })).await;
        let told = check(folder.path(), &["--create-missing", "--yes", "--json"]);
        assert_eq!(told.code, 1, "{}", told.err);
        assert!(told.outcomes().iter().all(|outcome| outcome.ends_with(" failed")), "{:?}", told.outcomes());
        let error = told.report()["created"][0]["error"].clone();
        assert!(error.as_str().unwrap().contains(case.code), "{error}");
        assert_eq!(check(folder.path(), &["--json"]).errors(), before.errors(), "nothing was created");
    }

    // Nobody sits at a terminal, so nobody is asked. One field fails, and the others are created all the same.
    let fault = json!({ "rules": [{ "fault": "status", "status": 403, "path": "sobjects/CustomField", "count": 1 }] });
    stage.order("faults", fault).await;
    let partly = check(folder.path(), &["--create-missing", "--json"]);
    for told in [
        "Lead.Lead_System_Id__c",
        "text, 64 characters, unique external ID",
        "case-sensitive",
        "number, 18 digits, 4 behind the point",
        "is there already and hidden",
        "picklist: Cold, Hot",
        "checkbox",
        "long text",
    ] {
        assert!(partly.err.contains(told), "{told} is not in\n{}", partly.err);
    }
    assert!(!partly.err.contains("Other_Type__c"), "a field that is there is not touched: {}", partly.err);
    assert_eq!(partly.code, 1, "{}", partly.err);
    let outcomes = partly.outcomes();
    assert_eq!(outcomes.iter().filter(|told| told.ends_with(" created")).count(), 7, "{outcomes:?}");
    assert!(outcomes.contains(&"Budget__c shown".to_owned()), "a hidden field is shown, not made: {outcomes:?}");
    assert_eq!(outcomes[0], "Lead_System_Id__c failed");
    assert!(!partly.report()["created"][0]["error"].as_str().unwrap().is_empty());

    stage.order("faults", json!({ "rules": [] })).await;
    let rest = check(folder.path(), &["--create-missing", "--yes", "--json"]);
    assert_eq!(rest.outcomes(), ["Lead_System_Id__c created"], "{}", rest.err);
    assert_eq!(
        (rest.code, rest.errors()),
        (1, vec!["Lead.Other_Type__c".to_owned()]),
        "of another type, told and left alone"
    );
    stage.remove("fields", json!({ "object": "Lead", "name": "Other_Type__c" })).await;
    let all = check(folder.path(), &["--create-missing", "--yes"]);
    assert_eq!(all.code, 0, "{}{}", all.out, all.err);
    assert!(all.out.contains("Lead.Other_Type__c created") && all.out.contains("0 errors"), "{}", all.out);
    let again = check(folder.path(), &["--create-missing", "--yes"]);
    assert_eq!((again.code, again.err.contains("no custom field is missing")), (0, true), "{}", again.err);
    stage.order("faults", json!({ "rules": [{ "fault": "status", "status": 503, "path": "describe" }] })).await;
    let unasked = check(folder.path(), &["--create-missing", "--yes"]);
    let says = |told: &str| unasked.err.contains(told);
    let told = (says("which custom fields are missing could not be asked"), says("no custom field is missing"));
    assert_eq!((unasked.code, told), (1, (true, false)), "{}", unasked.err);
    stage.order("faults", json!({ "rules": [] })).await;

    let harness = stage.start(|_| {}).await;
    let attributes = json!([
        { "name": "budget", "value": 1500.5 }, { "name": "temper", "value": "hot" }, { "name": "colour", "value": "red" }
    ]);
    let lead = json!({
        "id": "cl_1", "name": "Ada Lovelace", "email": "ada@lovelace.example", "score": 71.5, "tags": ["a", "b"],
        "attributes": attributes,
    });
    harness.send(&event("lead.created", 1_767_225_600, &lead)).await;
    harness.settled().await;
    let fields = harness.record_of("cl_1").await["fields"].clone();
    assert_eq!(
        (&fields["Budget__c"], &fields["Temper__c"], &fields["Lead_Score__c"]),
        (&json!(1500.5), &json!("Hot"), &json!(71.5))
    );
    assert!(fields["Notes__c"].as_str().unwrap().contains("colour: red"), "{fields}");
    assert_eq!(fields["Deleted__c"], json!(false));
    harness.send(&event("lead.deleted", 1_767_225_660, &json!({ "id": "cl_1" }))).await;
    harness.settled().await;
    assert_eq!(harness.record_of("cl_1").await["fields"]["Deleted__c"], json!(true));
    harness.stop().await;
}

/// The command at a terminal, at which somebody types `answer`; what the terminal shows, and how it ended.
fn check_at_a_terminal(folder: &Path, arguments: &str, answer: &str) -> Option<(String, i32)> {
    let command = format!("{} check {arguments}", env!("CARGO_BIN_EXE_leadrelay"));
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &command, "/dev/null"]);
    script.current_dir(folder).env_remove("LEADRELAY_CONFIG").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut running = script.spawn().ok()?;
    running.stdin.take().unwrap().write_all(answer.as_bytes()).unwrap();
    let output = running.wait_with_output().unwrap();
    Some((String::from_utf8_lossy(&output.stdout).into_owned(), output.status.code().unwrap()))
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_sits_at_a_terminal_is_asked_unless_yes_is_said() {
    let (stage, folder) = without_fields().await;
    let before = check(folder.path(), &["--json"]).errors();
    let Some((asked, code)) = check_at_a_terminal(folder.path(), "--create-missing", "n\n") else {
        println!("skipped: no script");
        return;
    };
    assert!(asked.contains("Create 9 fields in salesforce") && asked.contains("nothing was created"), "{asked}");
    assert_eq!((code, check(folder.path(), &["--json"]).errors()), (1, before));
    let (told, _) = check_at_a_terminal(folder.path(), "--create-missing --yes", "n\n").unwrap();
    assert!(!told.contains("[y/N]") && told.contains("Lead.Lead_System_Id__c created"), "{told}");
    drop(stage);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rules_of_all_three_stand_side_by_side() {
    let stage = Stage::new().await;
    let rules = json!({ "rules": [
        { "object": "Lead", "match": "email", "action": "alert", "name": "No_Twins" },
        { "object": "Lead", "match": "name_and_company", "action": "alert", "name": "Alike" },
    ] });
    stage.order("duplicate-rules", rules).await;
    let folder = tempfile::tempdir().unwrap();
    let text = stage.text.replacen("http://127.0.0.1:8090", &stage.sandbox.url(), 1);
    std::fs::write(folder.path().join("leadrelay.toml"), text).unwrap();
    let told = check(folder.path(), &["--json"]);
    let of = |report: &Json, same: &str| -> (Vec<String>, Json) {
        let rows = report["duplicate_rules"].as_array().unwrap();
        let row = rows.iter().find(|row| row["same"] == same).unwrap_or_else(|| panic!("no {same} in {report}"));
        (row["caught_by"].as_object().unwrap().keys().cloned().collect(), row["missed_by"].clone())
    };
    let expected = [
        ("email", vec!["klozeo", "leadrelay", "salesforce"], json!([])),
        ("name and phone", vec!["klozeo"], json!(["leadrelay", "salesforce"])),
        ("company domain and name", vec!["leadrelay"], json!(["klozeo", "salesforce"])),
        ("company name and name", vec!["salesforce"], json!(["klozeo", "leadrelay"])),
    ];
    let agree = |report: &Json| {
        for (same, caught, missed) in &expected {
            assert_eq!(of(report, same), (caught.iter().map(ToString::to_string).collect(), missed.clone()), "{same}");
        }
    };
    agree(&told.report()["destinations"][0]);
    let text = check(folder.path(), &[]).out;
    assert!(text.contains("what counts as a duplicate") && text.contains("No Twins"), "{text}");
    let harness = stage.start(|_| {}).await;
    agree(&harness.until("check", |check| check["items"][0]["duplicate_rules"].is_array()).await["items"][0]);
    harness.stop().await;
}

#[tokio::test]
async fn two_records_that_come_to_share_an_address_are_suspected() {
    let harness = Harness::start(|_| {}).await;
    let lead = |id: &str, name: &str, email: &str| json!({ "id": id, "name": name, "email": email });
    for (id, name, email) in [("cl_1", "Ada Lovelace", "ada@x.example"), ("cl_2", "Bob Byron", "bob@y.example")] {
        harness.send(&event("lead.created", 1_767_225_600, &lead(id, name, email))).await;
    }
    harness.settled().await;
    // No rule looks at a lead again that is a record already.
    harness.send(&event("lead.updated", 1_767_225_700, &lead("cl_2", "Bob Byron", "ADA@x.example"))).await;
    harness.settled().await;
    assert_eq!(harness.admin("shared-records").await, json!({ "items": [], "next": null }));
    let started = harness.admin_post("shared-records/search", json!({})).await;
    let run = harness.until(&format!("runs/{}", started["run"]), |run| run["state"] == "done").await;
    assert_eq!((&run["total"], &run["done"], &run["kind"]), (&json!(2), &json!(2), &json!("duplicates")), "{run}");
    let listed = harness.admin("shared-records?kind=suspected&destination=salesforce").await;
    let pair = &listed["items"][0];
    assert_eq!((&pair["by"], &pair["by_hand"]), (&json!("email"), &json!(false)), "{listed}");
    assert_eq!((&pair["lead"]["lead_id"], &pair["other"]["lead_id"]), (&json!("cl_2"), &json!("cl_1")));
    assert_eq!(pair["other"]["record"]["id"], harness.record_of("cl_1").await["id"]);
    assert_eq!(harness.admin_ask("GET", "shared-records?kind=twins", json!({})).await.0, 422);
    assert_eq!(harness.admin("audit").await["items"][0]["action"], "duplicates.search");
    // A person looks at the two and finds two people.
    let named = |lead: &str| json!({ "source": "klozeo", "lead_id": lead });
    let told =
        json!({ "destination": "salesforce", "lead": named("cl_2"), "other": named("cl_1"), "note": "brothers" });
    let unknown = json!({ "destination": "salesforce", "lead": named("cl_1"), "other": named("cl_2") });
    assert_eq!(harness.admin_ask("POST", "shared-records/dismiss", unknown).await.0, 404);
    assert_eq!(harness.admin_ask("POST", "shared-records/dismiss", told.clone()).await.0, 204);
    let entry = &harness.admin("audit").await["items"][0];
    assert_eq!((&entry["action"], &entry["detail"]), (&json!("duplicates.dismiss"), &json!("brothers")));
    let started = harness.admin_post("shared-records/search", json!({})).await;
    harness.until(&format!("runs/{}", started["run"]), |run| run["state"] == "done").await;
    assert_eq!(harness.admin("shared-records?kind=suspected&by_hand=false").await["items"], json!([]));
    assert_eq!(harness.admin("shared-records?by_hand=true").await["items"].as_array().unwrap().len(), 1);
    assert_eq!(harness.admin_ask("POST", "shared-records/reopen", told).await.0, 204);
    assert_eq!(harness.admin("shared-records?by_hand=false").await["items"].as_array().unwrap().len(), 1);
    assert_eq!(harness.admin_ask("DELETE", "leads/klozeo/cl_1", json!({})).await.0, 200);
    assert_eq!(harness.admin("shared-records").await["items"], json!([]));
    let audit = harness.admin("audit").await;
    assert!(!audit.to_string().contains("cl_1"), "nothing names the erased lead: {audit}");
    assert!(audit.to_string().contains("lead klozeo/cl_2"), "{audit}");
    harness.stop().await;
}
