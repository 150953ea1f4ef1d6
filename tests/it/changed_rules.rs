//! What a changed filter, mode or mapping means for leads that are there: nothing by itself, a resync that knows them all, and
//! no question that nobody can answer any more.

use std::time::Duration;

use leadrelay::clock::Clock;
use leadrelay::config::{Company, Config, Mode, StoreUrl, Unmapped};
use leadrelay::domain::cel::Expression;
use leadrelay::domain::ids::SourceName;
use leadrelay::domain::mapping::{ConflictRule, FieldType, OnInvalid};
use leadrelay::domain::time::Timestamp;
use rusqlite::Connection;
use serde_json::{Value as Json, json};
use sqlx::AssertSqlSafe;

use crate::companies;
use crate::harness::{Harness, Stage, event};
use crate::postgres;

const CREATED: i64 = 1_767_225_600;

async fn send(harness: &Harness, at: i64, id: &str, city: &str) {
    let lead =
        json!({ "id": id, "name": format!("Ada {id}"), "email": format!("{id}@lovelace.example"), "city": city });
    let kind = if at == 0 { "lead.created" } else { "lead.updated" };
    harness.send(&event(kind, CREATED + at, &lead)).await;
    harness.settled().await;
}

/// How many leads today's rules may plan otherwise.
async fn preview(harness: &Harness) -> u64 {
    let asked = json!({ "destination": "salesforce", "changed": true, "dry_run": true });
    let counted = harness.admin_post("resync", asked).await;
    assert_eq!(counted["leads"], counted["planned_otherwise"], "{counted}");
    let check = harness.admin_text("check").await;
    let told = format!("{} were last planned by", counted["leads"]);
    assert_eq!(check.contains(&told), counted["leads"] != 0, "{check}");
    counted["leads"].as_u64().unwrap()
}

async fn resync_changed(harness: &Harness) {
    let run = harness.admin_post("resync", json!({ "destination": "salesforce", "changed": true })).await;
    harness.until(&format!("runs/{}", run["run"]), |run| run["state"] == "done").await;
    harness.settled().await;
}

/// Has the service take these settings of the destination beside those that it was started with.
async fn take(harness: &Harness, mode: Mode, filter: Option<&str>, more: impl Fn(&mut Config)) {
    harness.write_configuration(|config| {
        for destination in config.destinations.values_mut() {
            destination.mode = mode;
            destination.filter = filter.map(|filter| Expression::parse(filter).unwrap());
        }
        more(config);
    });
    harness.admin_post("reload", json!({})).await;
    // The rules of before stay until the CRM is described anew.
    harness.until("check", |check| check["items"][0]["checked_at"].is_string()).await;
}

#[tokio::test]
async fn a_resync_knows_the_leads_that_a_filter_left_alone() {
    let (narrow, wide) = (Some("city == \"Berlin\""), Some("city != \"Bonn\""));
    let harness = Harness::start(|config| {
        for destination in config.destinations.values_mut() {
            destination.filter = Some(Expression::parse("city == \"Berlin\"").unwrap());
        }
    })
    .await;
    for (id, city) in [("cl_1", "Berlin"), ("cl_2", "Bonn"), ("cl_3", "Ulm")] {
        send(&harness, 0, id, city).await;
    }
    assert_eq!((harness.records().await.len(), preview(&harness).await), (1, 0));
    take(&harness, Mode::Live, wide, |_| {}).await;
    assert_eq!(preview(&harness).await, 3, "two were left alone by the filter of before");
    resync_changed(&harness).await;
    harness.record_of("cl_3").await;
    assert_eq!((harness.records().await.len(), preview(&harness).await), (2, 0));
    take(&harness, Mode::Live, narrow, |_| {}).await;
    assert_eq!(preview(&harness).await, 3);
    resync_changed(&harness).await;
    assert_eq!((harness.records().await.len(), preview(&harness).await), (2, 0));
    // One that is told of again, and of which the log says so already.
    send(&harness, 60, "cl_2", "Köln").await;
    assert_eq!(preview(&harness).await, 0);
    let without_city = |config: &mut Config| {
        for destination in config.destinations.values_mut() {
            destination.fields.retain(|row| row.lead != "city");
        }
    };
    take(&harness, Mode::Live, narrow, without_city).await;
    assert_eq!(preview(&harness).await, 3, "the mapping is another one");
    resync_changed(&harness).await;
    assert_eq!(preview(&harness).await, 0);
    harness.stop().await;
}

#[tokio::test]
async fn a_resync_knows_the_leads_that_were_only_observed() {
    let harness = Harness::start(|_| {}).await;
    send(&harness, 0, "cl_1", "Berlin").await;
    send(&harness, 0, "cl_2", "Berlin").await;
    let filter = Some("city != \"Bonn\"");
    take(&harness, Mode::Live, filter, |_| {}).await;
    resync_changed(&harness).await;
    take(&harness, Mode::Observe, filter, |_| {}).await;
    assert_eq!(preview(&harness).await, 0, "the rules are the same");
    send(&harness, 60, "cl_2", "Ulm").await;
    send(&harness, 0, "cl_3", "Ulm").await;
    send(&harness, 0, "cl_4", "Bonn").await;
    assert_eq!(preview(&harness).await, 0, "by these rules all were planned");
    take(&harness, Mode::Observe, None, |_| {}).await;
    assert_eq!(preview(&harness).await, 4);
    resync_changed(&harness).await;
    assert_eq!(preview(&harness).await, 0, "observed by the new filter");
    take(&harness, Mode::Observe, filter, |_| {}).await;
    resync_changed(&harness).await;
    take(&harness, Mode::Live, filter, |_| {}).await;
    assert_eq!(preview(&harness).await, 3, "what the filter leaves alone stays so");
    assert_eq!(harness.records().await.len(), 2);
    resync_changed(&harness).await;
    assert_eq!(harness.record_of("cl_2").await["fields"]["City"], "Ulm");
    harness.record_of("cl_3").await;
    assert_eq!((harness.records().await.len(), preview(&harness).await), (3, 0));
    harness.stop().await;
}

#[tokio::test]
async fn a_resync_knows_the_leads_that_could_not_be_written_by_the_mapping_of_before() {
    let of_destination = |config: &mut Config, unmapped: Unmapped, kind: FieldType| {
        for destination in config.destinations.values_mut() {
            destination.records.unmapped = unmapped.clone();
            for row in destination.fields.iter_mut().filter(|row| row.lead == "city") {
                (row.kind, row.on_invalid) = (kind, OnInvalid::Hold);
            }
        }
    };
    let harness = Harness::start(|config| of_destination(config, Unmapped::Error, FieldType::Number)).await;
    let odd = json!({ "id": "cl_1", "name": "Ada Odd", "attributes": [{ "name": "shoe_size", "value": "41" }] });
    harness.send(&event("lead.created", CREATED, &odd)).await;
    send(&harness, 0, "cl_2", "Berlin").await;
    let log = harness.admin_text("sync-log").await;
    assert!(log.contains("invalid_value") && log.contains("unmapped_attribute"), "{log}");
    assert_eq!((harness.records().await.len(), preview(&harness).await), (0, 0));
    take(&harness, Mode::Live, None, |config| of_destination(config, Unmapped::Drop, FieldType::Text)).await;
    assert_eq!(preview(&harness).await, 2);
    resync_changed(&harness).await;
    assert_eq!((harness.records().await.len(), preview(&harness).await), (2, 0));
    harness.stop().await;
}

/// The open conflicts, which the figures count as well.
async fn open(harness: &Harness) -> Vec<Json> {
    let listed = harness.admin("conflicts?state=open").await["items"].as_array().unwrap().clone();
    let standing = harness.app.store.standing_figures().await.unwrap();
    let counted: u64 = standing.open_conflicts.iter().map(|(_, _, n)| n).sum();
    assert_eq!(counted, listed.len() as u64, "{standing:?}");
    listed
}

/// Why the newest conflict closed.
async fn closed_why(harness: &Harness) -> Json {
    harness.admin("conflicts").await["items"][0]["resolution"]["note"].clone()
}

#[tokio::test]
async fn questions_about_companies_close_where_companies_are_not_looked_up_any_more() {
    let harness = Harness::start(companies::contacts(Company::Account)).await;
    for name in ["Acme North", "Acme South"] {
        companies::make(&harness, "Account", json!({ "Name": name, "Website": "http://acme.example" })).await;
    }
    let ada = companies::lead("cl_1", "Ada Lovelace", "ada@acme.example", "Acme");
    companies::send(&harness, 0, &ada).await;
    assert_eq!(open(&harness).await[0]["kind"], "company");
    harness.write_configuration(|config| {
        config.destinations.values_mut().for_each(|destination| destination.records.company = Company::Inline);
    });
    harness.admin_post("reload", json!({})).await;
    harness.until("conflicts?state=open", |open| open["items"] == json!([])).await;
    assert_eq!(open(&harness).await, Vec::<Json>::new());
    assert_eq!(closed_why(&harness).await, "companies are not looked up any more");
    take(&harness, Mode::Live, None, |_| {}).await;
    harness.until("conflicts?state=open", |open| open["items"].as_array().unwrap().len() == 1).await;
    assert_eq!(open(&harness).await.len(), 1, "it is asked again");
    harness.stop().await;
}

/// A lead whose city was changed on both sides, of which a person is asked.
async fn asked_about_a_city(more: impl FnOnce(&mut Config)) -> Harness {
    let harness = Harness::start(|config| {
        let rows = config.destinations.values_mut().flat_map(|destination| &mut destination.fields);
        rows.filter(|row| row.lead == "city").for_each(|row| row.conflict = ConflictRule::Review);
        more(config);
    })
    .await;
    send(&harness, 0, "cl_1", "Berlin").await;
    let id = harness.record_of("cl_1").await["id"].as_str().unwrap().to_owned();
    harness.edit_record(&id, json!({ "City": "Ulm" })).await;
    send(&harness, 60, "cl_1", "Bonn").await;
    assert_eq!(open(&harness).await.len(), 1);
    harness
}

#[tokio::test]
async fn questions_about_a_lead_that_falls_out_of_the_filter_close_and_come_back_with_it() {
    let harness = asked_about_a_city(|_| {}).await;
    take(&harness, Mode::Live, Some("city == \"Berlin\""), |_| {}).await;
    assert_eq!(open(&harness).await.len(), 1, "nothing happens by itself");
    for _ in 0..2 {
        harness.admin_post("leads/klozeo/cl_1/sync", json!({})).await;
        harness.settled().await;
        assert_eq!(open(&harness).await, Vec::<Json>::new());
        assert_eq!(closed_why(&harness).await, "the lead falls out of the filter");
    }
    take(&harness, Mode::Live, None, |_| {}).await;
    resync_changed(&harness).await;
    assert_eq!(open(&harness).await.len(), 1, "it is asked again");
    harness.stop().await;
}

#[tokio::test]
async fn questions_of_a_destination_that_is_removed_close_and_come_back_with_it() {
    let harness = asked_about_a_city(|_| {}).await;
    harness.admin_post("destinations/salesforce/pause", json!({})).await;
    let harness = harness.restarted(|_| {}).await;
    assert_eq!(open(&harness).await.len(), 1, "a paused one is still asked about");
    harness.resume().await;
    let mut harness = harness;
    for _ in 0..2 {
        harness = harness.restarted(|config| renamed(config, "salesforce", "another")).await;
        harness.until("conflicts?state=open", |open| open["items"] == json!([])).await;
        assert_eq!(open(&harness).await, Vec::<Json>::new());
        assert_eq!(closed_why(&harness).await, "its destination is not in the configuration any more");
        harness = harness.restarted(|config| renamed(config, "another", "salesforce")).await;
        harness.until("conflicts?state=open", |open| open["items"].as_array().unwrap().len() == 1).await;
        harness.settled().await;
        assert_eq!(open(&harness).await.len(), 1, "it is asked again, and once");
    }
    harness.stop().await;
}

fn renamed(config: &mut Config, from: &str, to: &str) {
    let destination = config.destinations.remove(&from.into()).unwrap();
    config.destinations.insert(to.into(), destination);
}

/// Resyncs all that a preview counts.
async fn resync_all(harness: &Harness, destination: &str) {
    let preview = harness.admin_post("resync", json!({ "destination": destination, "dry_run": true })).await;
    let run = harness.admin_post("resync", json!({ "destination": destination })).await;
    let run = harness.until(&format!("runs/{}", run["run"]), |run| run["state"] == "done").await;
    assert_eq!((&run["total"], &run["done"]), (&preview["leads"], &preview["leads"]), "{run}");
}

#[tokio::test]
async fn what_waited_for_a_destination_is_synced_by_the_one_that_takes_its_place() {
    let harness = Harness::start(|_| {}).await;
    send(&harness, 0, "cl_1", "Berlin").await;
    harness.admin_post("destinations/salesforce/pause", json!({})).await;
    let lead = json!({ "id": "cl_2", "name": "Ada cl_2", "email": "cl_2@lovelace.example" });
    harness.send(&event("lead.created", CREATED, &lead)).await;
    let harness = harness.restarted(|config| renamed(config, "salesforce", "another")).await;
    resync_all(&harness, "another").await;
    // What the one of before owed it owes still, so that the queue is never empty.
    harness.until("sync-log?lead_id=cl_2&destination=another", |log| log["items"] != json!([])).await;
    harness.record_of("cl_2").await;
    assert_eq!(harness.records().await.len(), 2);
    harness.stop().await;
}

#[tokio::test]
async fn leads_of_a_source_that_was_renamed_wait_for_it() {
    let sources = |from: &'static str, to: &'static str| {
        move |config: &mut Config| {
            let source = config.sources.remove(&from.into()).unwrap();
            config.sources.insert(to.into(), source);
            config.destinations.values_mut().for_each(|destination| destination.sources = vec![to.into()]);
        }
    };
    let harness = Harness::start(|_| {}).await;
    send(&harness, 0, "cl_1", "Berlin").await;
    harness.admin_post("destinations/salesforce/pause", json!({})).await;
    for (id, kind) in [("cl_1", "lead.updated"), ("cl_2", "lead.created")] {
        let lead =
            json!({ "id": id, "name": format!("Ada {id}"), "email": format!("{id}@lovelace.example"), "city": "Bonn" });
        harness.send(&event(kind, CREATED + 60, &lead)).await;
    }
    let harness = harness.restarted(sources("klozeo", "another")).await;
    harness.resume().await;
    harness.until("queue", |queue| queue["items"][0]["held_codes"] == json!({ "unknown_source": 2 })).await;
    let log = harness.admin("sync-log?error=unknown_source").await;
    assert_eq!(log["items"].as_array().unwrap().len(), 2, "{log}");
    let harness = harness.restarted(sources("another", "klozeo")).await;
    harness.until("queue", |queue| queue["items"][0]["held_codes"] == json!({})).await;
    harness.settled().await;
    for id in ["cl_1", "cl_2"] {
        assert_eq!(harness.record_of(id).await["fields"]["City"], "Bonn");
    }
    harness.stop().await;
}

/// Puts a row in for this lead that nobody can read.
async fn spoil_lead(url: &StoreUrl, id: &str) {
    let insert = format!(
        "INSERT INTO leads (source, lead_id, revision, document, deleted, updated_at)
         SELECT source, lead_id, 1, '[]', false, received_at FROM events WHERE lead_id = '{id}'"
    );
    match url {
        StoreUrl::Sqlite(path) => Connection::open(path).unwrap().execute_batch(&insert).unwrap(),
        StoreUrl::Postgres(url) => {
            let mut db = postgres::connect(url.expose()).await;
            sqlx::raw_sql(AssertSqlSafe(insert)).execute(&mut db).await.unwrap();
        }
    }
}

#[tokio::test]
async fn what_no_destination_takes_is_folded_before_it_is_pruned() {
    let takes = |sources: Vec<SourceName>| {
        move |config: &mut Config| {
            config.destinations.values_mut().for_each(|destination| destination.sources.clone_from(&sources));
        }
    };
    let mut stage = Stage::new().await;
    stage.clock = Clock::manual(Timestamp::from_seconds(CREATED + 60));
    let harness = stage.start(takes(Vec::new())).await;
    let lead = json!({ "id": "cl_1", "name": "Ada cl_1", "email": "cl_1@lovelace.example", "city": "Bonn" });
    harness.send(&event("lead.created", CREATED, &lead)).await;
    harness.send(&event("lead.updated", CREATED + 1, &json!({ "id": "cl_1", "city": "Berlin" }))).await;
    let odd = json!({ "id": "cl_0", "name": "Ada cl_0" });
    harness.send(&event("lead.created", CREATED, &odd)).await;
    let mut url = None;
    harness.write_configuration(|config| url = Some(config.store.url.clone()));
    spoil_lead(&url.unwrap(), "cl_0").await;
    harness.advance(Duration::from_secs(100 * 86_400));
    let harness = harness.restarted(|_| {}).await;
    // Of what was folded the newest event stays, and so does what cannot be folded.
    harness.until("events?lead_id=cl_1", |events| events["items"].as_array().unwrap().len() == 1).await;
    assert_eq!(harness.admin("events?lead_id=cl_0").await["items"].as_array().unwrap().len(), 1);
    let harness = harness.restarted(takes(vec!["klozeo".into()])).await;
    harness.admin_post("leads/klozeo/cl_1/sync", json!({})).await;
    harness.settled().await;
    let fields = harness.record_of("cl_1").await["fields"].clone();
    assert_eq!((&fields["LastName"], &fields["City"]), (&json!("cl_1"), &json!("Berlin")));
    harness.stop().await;
}

#[tokio::test]
async fn questions_that_cannot_be_closed_keep_nothing_from_being_served() {
    let harness = asked_about_a_city(|_| {}).await;
    harness.refuse_changes_of("conflicts").await;
    let harness = harness.restarted(|config| renamed(config, "salesforce", "another")).await;
    send(&harness, 120, "cl_2", "Berlin").await;
    harness.record_of("cl_2").await;
    assert_eq!(open(&harness).await.len(), 1);
    harness.stop().await;
}
