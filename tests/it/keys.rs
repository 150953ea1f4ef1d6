//! The form of our keys changes once records carry them, as when a second lead system comes: each record gets its lead's new
//! key by the next sync, nobody's else is touched, and nothing is doubled.

use std::path::Path;
use std::time::Duration;

use leadrelay::clock::Clock;
use leadrelay::config::Config;
use leadrelay::domain::time::Timestamp;
use serde_json::{Value as Json, json};

use crate::harness::{Harness, Stage, event, signature};

const CREATED: i64 = 1_767_225_600;
const FIELD: &str = "Lead_System_Id__c";
const WARNING: &str = "a key that was formed otherwise";

fn person(id: &str, city: &str) -> Json {
    json!({ "id": id, "name": format!("Ada {id}"), "email": format!("{id}@lovelace.example"), "city": city })
}

/// Our keys from now on.
pub fn form_keys(config: &mut Config, form: &str) {
    let form = format!("external_id_value = \"{form}\"   #");
    let text = include_str!("../../leadrelay.toml").replace("#external_id_value = \"{lead_id}\"   #", &form);
    assert!(text.contains(&form));
    let none = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
    let other = Config::parse(&text, Path::new("leadrelay.toml"), &|_| None, &none).unwrap();
    let form = &other.destinations.values().next().unwrap().records.external_id_value;
    for destination in config.destinations.values_mut() {
        destination.records.external_id_value = form.clone();
    }
}

/// As the configuration becomes with a second lead system.
pub fn with_a_second_source(config: &mut Config) {
    form_keys(config, "{source}:{lead_id}");
    for destination in config.destinations.values_mut() {
        destination.sources.push("other".into());
    }
    let first = config.sources.values().next().unwrap().clone();
    config.sources.insert("other".into(), first);
}

async fn reload(harness: &Harness) {
    harness.write_configuration(with_a_second_source);
    harness.admin_post("reload", json!({})).await;
    harness.until("check", |check| !check["items"].as_array().unwrap().is_empty()).await;
}

async fn create(harness: &Harness, lead: &Json) {
    harness.send(&event("lead.created", CREATED, lead)).await;
    harness.settled().await;
}

async fn send_other(harness: &Harness, lead: &Json) {
    let body = event("lead.created", CREATED, lead);
    let signed = signature(&body);
    assert_eq!(harness.post_to("/webhooks/other", &[("X-Klozeo-Signature", &signed)], body).await.0, 202);
    harness.settled().await;
}

async fn resync(harness: &Harness, changed: bool) {
    let run = harness.admin_post("resync", json!({ "destination": "salesforce", "changed": changed })).await;
    harness.until(&format!("runs/{}", run["run"]), |run| run["state"] == "done").await;
    harness.settled().await;
}

async fn update(harness: &Harness, id: &str, city: &str) {
    let mut lead = person(id, city);
    lead["updated_at"] = json!(CREATED + 60);
    harness.send(&event("lead.updated", CREATED + 60, &lead)).await;
    harness.settled().await;
}

async fn sync(harness: &Harness, id: &str) {
    harness.admin_post(&format!("leads/klozeo/{id}/sync"), json!({})).await;
    harness.settled().await;
}

/// The records' keys with the records' IDs, in the order of the keys.
async fn keys(harness: &Harness) -> Vec<(String, String)> {
    let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    let records = harness.records().await;
    let mut keys: Vec<_> = records.iter().map(|record| (text(&record["fields"][FIELD]), text(&record["id"]))).collect();
    keys.sort();
    keys
}

fn only_keys(keys: &[(String, String)]) -> Vec<&str> {
    keys.iter().map(|(key, _)| key.as_str()).collect()
}

/// What the log says of the lead's key, oldest first.
async fn said_of_key(harness: &Harness, source: &str, lead: &str) -> Vec<Json> {
    let log = harness.admin(&format!("sync-log?source={source}&lead_id={lead}&field={FIELD}")).await;
    let mut said = Vec::new();
    for row in log["items"].as_array().unwrap().iter().rev() {
        let row = harness.admin(&format!("sync-log/{}", row["id"])).await;
        let decisions = row["decisions"].as_array().unwrap().iter();
        said.extend(decisions.filter(|decision| decision["field"] == FIELD).cloned());
    }
    said
}

async fn warned(harness: &Harness) -> Option<String> {
    let check = harness.admin("check").await;
    let findings = check["items"][0]["findings"].as_array().unwrap();
    let told = findings.iter().find(|found| found["finding"].as_str().unwrap().contains(WARNING))?;
    assert_eq!((&told["severity"], &told["subject"]), (&json!("warning"), &json!(format!("Lead.{FIELD}"))), "{told}");
    assert!(told["remedy"].as_str().unwrap().contains("resync"), "{told}");
    Some(told["finding"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn each_record_gets_the_new_key_of_its_lead_by_its_next_sync_and_a_second_source_doubles_nobody() {
    let harness = Harness::start(|_| {}).await;
    for n in 1..=4 {
        create(&harness, &person(&format!("cl_{n}"), "Berlin")).await;
    }
    // A second lead on the record of the first.
    let twin = json!({ "id": "twin", "name": "Ada cl_1", "email": "cl_1@lovelace.example", "city": "Bonn" });
    create(&harness, &twin).await;
    let before = keys(&harness).await;
    assert_eq!(only_keys(&before), ["cl_1", "cl_2", "cl_3", "cl_4"]);
    assert_eq!(warned(&harness).await, None);

    let harness = harness.restarted(with_a_second_source).await;
    harness.until("check", |check| !check["items"].as_array().unwrap().is_empty()).await;
    harness.settled().await;
    assert_eq!(keys(&harness).await, before, "nothing happens by itself");
    assert!(warned(&harness).await.unwrap().starts_with("4 linked leads "));
    let preview = json!({ "destination": "salesforce", "changed": true, "dry_run": true });
    assert_eq!(harness.admin_post("resync", preview).await["leads"], 5);

    // Leads of the second system with the same IDs are other people.
    for n in 1..=4 {
        let id = format!("cl_{n}");
        let lead = json!({ "id": id, "name": format!("Bob {id}"), "email": format!("{id}@byron.example") });
        send_other(&harness, &lead).await;
    }
    let all = ["cl_1", "cl_2", "cl_3", "cl_4", "other:cl_1", "other:cl_2", "other:cl_3", "other:cl_4"];
    assert_eq!(only_keys(&keys(&harness).await), all);

    // An event of the lead changes its key in the write that its value needs.
    update(&harness, "cl_2", "Bonn").await;
    let written = harness.record_of("klozeo:cl_2").await;
    assert_eq!(written["fields"]["City"], "Bonn");
    let log = harness.admin("sync-log?lead_id=cl_2&source=klozeo&operation=update").await;
    assert_eq!(log["items"].as_array().unwrap().len(), 1, "{log}");
    let said = said_of_key(&harness, "klozeo", "cl_2").await;
    let last = said.last().unwrap();
    let expected = json!({
        "field": FIELD, "base": { "lead": "{lead_id}", "crm": "cl_2" }, "lead": "klozeo:cl_2", "crm": "cl_2",
        "written": "klozeo:cl_2", "rule": "lead_changed", "note": last["note"],
    });
    assert_eq!(last, &expected);
    assert_eq!(last["note"], "keys are formed by {source}:{lead_id} now, by {lead_id} before");
    assert!(warned(&harness).await.unwrap().starts_with("3 linked leads "));

    let explained = harness.admin("leads/klozeo/cl_3/explain").await;
    let decisions = explained["plan"]["decisions"].as_array().unwrap();
    let of_key = decisions.iter().find(|decision| decision["field"] == FIELD).unwrap();
    assert_eq!((&of_key["crm"], &of_key["written"]), (&json!("cl_3"), &json!("klozeo:cl_3")), "{explained}");
    harness.record_of("cl_3").await;

    resync(&harness, true).await;
    let after = keys(&harness).await;
    let ids = |keys: &[(String, String)]| keys.iter().map(|(_, id)| id.clone()).take(4).collect::<Vec<_>>();
    let all = ["cl_1", "cl_2", "cl_3", "cl_4"].map(|id| format!("klozeo:{id}"));
    assert_eq!(only_keys(&after)[..4], all);
    assert_eq!((after.len(), ids(&after)), (8, ids(&before)), "the same records");
    assert_eq!(said_of_key(&harness, "klozeo", "twin").await, Vec::<Json>::new(), "a lead that owns no record");
    assert_eq!(harness.record_of("klozeo:cl_1").await["fields"]["City"], "Berlin");
    assert_eq!(warned(&harness).await, None);

    let writes = harness.admin("sync-log?operation=update").await["items"].as_array().unwrap().len();
    resync(&harness, false).await;
    let again = harness.admin("sync-log?operation=update").await["items"].as_array().unwrap().len();
    assert_eq!((again, keys(&harness).await), (writes, after), "once is enough");
    harness.stop().await;
}

#[tokio::test]
async fn a_key_that_a_person_wrote_stays_and_is_told_once() {
    let harness = Harness::start(|_| {}).await;
    for id in ["cl_1", "cl_2"] {
        create(&harness, &person(id, "Berlin")).await;
    }
    let theirs = harness.record_of("cl_1").await["id"].as_str().unwrap().to_owned();
    harness.edit_record(&theirs, json!({ FIELD: "their-own-7" })).await;
    let emptied = harness.record_of("cl_2").await["id"].as_str().unwrap().to_owned();
    harness.edit_record(&emptied, json!({ FIELD: null })).await;
    reload(&harness).await;
    resync(&harness, true).await;
    assert_eq!(only_keys(&keys(&harness).await), ["klozeo:cl_2", "their-own-7"]);
    let said = said_of_key(&harness, "klozeo", "cl_1").await;
    let drift: Vec<&Json> = said.iter().filter(|decision| decision["rule"] == "drift").collect();
    assert_eq!(drift.len(), 1, "{said:?}");
    assert_eq!((&drift[0]["crm"], &drift[0]["written"]), (&json!("their-own-7"), &json!(null)));
    assert_eq!(warned(&harness).await, None, "a resync does not change it");
    sync(&harness, "cl_1").await;
    assert_eq!(said_of_key(&harness, "klozeo", "cl_1").await, said, "told once");

    // Put back by a person, it is ours again.
    harness.edit_record(&theirs, json!({ FIELD: "cl_1" })).await;
    sync(&harness, "cl_1").await;
    assert_eq!(only_keys(&keys(&harness).await), ["klozeo:cl_1", "klozeo:cl_2"]);
    harness.stop().await;
}

#[tokio::test]
async fn a_new_key_that_another_record_carries_is_left_out_and_told_and_the_rest_is_written() {
    let harness = Harness::start(|_| {}).await;
    for id in ["cl_1", "cl_2"] {
        create(&harness, &person(id, "Berlin")).await;
    }
    let made = json!({ "LastName": "Byron", "Company": "Elsewhere", FIELD: "klozeo:cl_1" });
    let made = harness.order("records", json!({ "object": "Lead", "fields": made })).await;
    let other = made["id"].as_str().unwrap().to_owned();
    reload(&harness).await;
    update(&harness, "cl_1", "Bonn").await;
    assert_eq!(harness.record_of("cl_1").await["fields"]["City"], "Bonn");
    let said = said_of_key(&harness, "klozeo", "cl_1").await;
    let last = said.last().unwrap();
    assert_eq!((&last["rule"], &last["written"]), (&json!("invalid"), &json!(null)), "{last}");
    assert!(last["note"].as_str().unwrap().contains(&other), "which record it is: {last}");
    let lead = harness.admin("leads/klozeo/cl_1").await;
    assert_eq!(lead["links"][0]["left_out"], json!([FIELD]), "{lead}");
    assert_eq!(lead["jobs"], json!([]), "nothing else waits for it");
    assert!(warned(&harness).await.unwrap().starts_with("2 linked leads "));

    // Not sent again unchanged, but where a person asks for it.
    update_with(&harness, "cl_1", "Kiel", CREATED + 120).await;
    assert_eq!(harness.record_of("cl_1").await["fields"]["City"], "Kiel");
    let refused = harness.admin("sync-log?lead_id=cl_1&error=DUPLICATE_VALUE").await;
    assert_eq!(refused["items"].as_array().unwrap().len(), 1, "{refused}");
    resync(&harness, false).await;
    assert_eq!(only_keys(&keys(&harness).await), ["cl_1", "klozeo:cl_1", "klozeo:cl_2"]);
    harness.delete_record(&other).await;
    sync(&harness, "cl_1").await;
    assert_eq!(only_keys(&keys(&harness).await), ["klozeo:cl_1", "klozeo:cl_2"]);
    assert_eq!(harness.admin("leads/klozeo/cl_1").await["links"][0]["left_out"], json!([]));
    assert_eq!(warned(&harness).await, None);
    harness.stop().await;
}

#[tokio::test]
async fn a_key_that_a_person_moved_to_another_record_is_left_out_and_the_rest_is_written() {
    let harness = Harness::start(|_| {}).await;
    create(&harness, &person("cl_1", "Berlin")).await;
    let record = harness.record_of("cl_1").await["id"].as_str().unwrap().to_owned();
    harness.edit_record(&record, json!({ FIELD: null })).await;
    let made = json!({ "LastName": "Byron", "Company": "Elsewhere", FIELD: "cl_1" });
    harness.order("records", json!({ "object": "Lead", "fields": made })).await;
    update(&harness, "cl_1", "Bonn").await;
    let kept = harness.control(&format!("records/{record}")).await;
    assert_eq!((&kept["fields"]["City"], &kept["fields"][FIELD]), (&json!("Bonn"), &json!(null)), "{kept}");
    let lead = harness.admin("leads/klozeo/cl_1").await;
    assert_eq!((&lead["links"][0]["left_out"], &lead["jobs"]), (&json!([FIELD]), &json!([])), "{lead}");
    harness.stop().await;
}

async fn update_with(harness: &Harness, id: &str, city: &str, at: i64) {
    let mut lead = person(id, city);
    lead["updated_at"] = json!(at);
    harness.send(&event("lead.updated", at, &lead)).await;
    harness.settled().await;
}

/// A service whose clock stands, so that what was lost is not tried again before the keys are formed otherwise.
async fn standing() -> Harness {
    let mut stage = Stage::new().await;
    stage.clock = Clock::manual(Timestamp::from_seconds(CREATED + 60));
    stage.start(|_| {}).await
}

/// The write is executed and its answer lost.
fn lost() -> Json {
    json!({ "fault": "reset_after", "writes": true, "count": 1 })
}

/// The write is executed two seconds later.
fn late() -> Json {
    json!({ "fault": "late_write", "status": 504, "writes": true, "count": 1 })
}

async fn without_answer(harness: &Harness, fault: Json, kind: &str, lead: &Json) {
    harness.faults(json!([fault])).await;
    harness.send(&event(kind, CREATED + 1, lead)).await;
    let path = format!("sync-log?lead_id={}&outcome=unknown", lead["id"].as_str().unwrap());
    harness.until(&path, |log| !log["items"].as_array().unwrap().is_empty()).await;
}

/// Waits until the CRM has carried out so many writes.
async fn written(harness: &Harness, times: usize) {
    let mut seen = Vec::new();
    for _ in 0..200 {
        let requests = harness.control("requests").await;
        seen = requests["items"].as_array().unwrap().clone();
        seen.retain(|request| request["asks_to_write"] == true && request["executed"] == true);
        if seen.len() == times {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{} writes were carried out: {seen:?}", seen.len());
}

#[tokio::test]
async fn a_record_that_was_made_without_an_answer_is_found_by_the_key_that_it_was_made_with() {
    for restarts in [false, true] {
        let harness = standing().await;
        // Nothing but the key tells who it is.
        without_answer(&harness, lost(), "lead.created", &json!({ "id": "cl_1", "name": "Ada Lovelace" })).await;
        let harness = if restarts {
            harness.restarted(with_a_second_source).await
        } else {
            reload(&harness).await;
            harness
        };
        harness.settled().await;
        assert_eq!(only_keys(&keys(&harness).await), ["klozeo:cl_1"], "one record, with its new key");
        assert_eq!(warned(&harness).await, None);
        harness.stop().await;
    }
}

#[tokio::test]
async fn a_new_key_of_which_no_answer_came_is_known_however_late_it_lands() {
    fn as_before(config: &mut Config) {
        config.sources.remove(&"other".into());
        for destination in config.destinations.values_mut() {
            destination.sources.pop();
            destination.records.external_id_value = leadrelay::config::ExternalIdTemplate::lead_id();
        }
    }
    for fault in [lost(), late()] {
        let harness = standing().await;
        create(&harness, &person("cl_1", "Berlin")).await;
        let harness = harness.restarted(with_a_second_source).await;
        without_answer(&harness, fault.clone(), "lead.updated", &person("cl_1", "Bonn")).await;
        if fault == lost() {
            harness.record_of("klozeo:cl_1").await;
        }
        let harness = harness.restarted(as_before).await;
        harness.settled().await;
        // The create, the write without an answer, and the one after it.
        written(&harness, 3).await;
        harness.look_at_late_writes().await;
        assert_eq!(only_keys(&keys(&harness).await), ["cl_1"], "{fault}");
        assert_eq!(harness.record_of("cl_1").await["fields"]["City"], "Bonn");
        harness.stop().await;
    }
}

#[tokio::test]
async fn the_record_of_a_lead_that_left_is_known_by_its_old_key() {
    let harness = Harness::start(|_| {}).await;
    for id in ["cl_1", "cl_2"] {
        create(&harness, &person(id, "Berlin")).await;
    }
    let first = harness.record_of("cl_1").await["id"].clone();
    harness.send(&event("lead.deleted", CREATED + 60, &json!({ "id": "cl_1" }))).await;
    harness.settled().await;
    reload(&harness).await;
    assert!(warned(&harness).await.unwrap().starts_with("1 linked lead "), "a deleted one is synced no more");
    // The next lead of that person takes the record over.
    let heir = json!({ "id": "7", "name": "Ada cl_1", "email": "cl_1@lovelace.example" });
    send_other(&harness, &heir).await;
    assert_eq!(harness.record_of("other:7").await["id"], first);
    assert_eq!(harness.admin("conflicts?state=open").await["items"], json!([]));

    // An unlinked lead's record loses the key that it still carries.
    let (status, _) = harness.admin_ask("DELETE", "leads/klozeo/cl_2/links/salesforce", json!({})).await;
    assert_eq!(status, 200);
    harness.settled().await;
    assert_eq!(only_keys(&keys(&harness).await), ["", "klozeo:cl_2", "other:7"]);
    harness.stop().await;
}

#[tokio::test]
async fn an_erased_lead_leaves_no_record_that_was_made_without_an_answer() {
    let harness = standing().await;
    without_answer(&harness, lost(), "lead.created", &person("cl_1", "Berlin")).await;
    harness.write_configuration(|config| {
        with_a_second_source(config);
        config.destinations.values_mut().for_each(|destination| destination.retry.first = Duration::from_secs(3600));
    });
    harness.admin_post("reload", json!({})).await;
    harness.until("check", |check| !check["items"].as_array().unwrap().is_empty()).await;
    assert_eq!(harness.records().await.len(), 1);
    let (status, answer) = harness.admin_ask("DELETE", "leads/klozeo/cl_1?crm=true", json!({})).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(harness.records().await, Vec::<Json>::new(), "{answer}");
    harness.stop().await;
}

#[tokio::test]
async fn a_key_that_the_crm_rewrites_as_the_record_is_made_doubles_nobody_and_is_told_once() {
    let harness = Harness::start(|_| {}).await;
    harness.order("faults", json!({ "rules": [{ "fault": "rewrite", "field": FIELD, "suffix": "-X" }] })).await;
    create(&harness, &person("cl_1", "Berlin")).await;
    let made = keys(&harness).await;
    assert_eq!(only_keys(&made), ["Cl_1-X"]);
    update(&harness, "cl_1", "Bonn").await;
    sync(&harness, "cl_1").await;
    let harness = harness.restarted(|_| {}).await;
    let mut lead = person("cl_1", "Hamburg");
    lead["updated_at"] = json!(CREATED + 120);
    harness.send(&event("lead.updated", CREATED + 120, &lead)).await;
    harness.settled().await;
    resync(&harness, false).await;
    assert_eq!(keys(&harness).await, made);
    assert_eq!(harness.record_of("Cl_1-X").await["fields"]["City"], "Hamburg");
    let told: Vec<Json> = said_of_key(&harness, "klozeo", "cl_1").await.iter().map(|of| of["rule"].clone()).collect();
    assert_eq!(told, ["drift"]);
    assert_eq!(harness.admin("conflicts?state=open").await["items"], json!([]));
    harness.stop().await;
}
