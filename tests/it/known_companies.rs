//! Companies that are like one another: kept apart in one batch as they are one after the other.

use leadrelay::config::{Company, Mode};
use serde_json::{Value as Json, json};

use crate::companies::{all, contact_of, contacts, lead, make};
use crate::harness::{Harness, event};

const CREATED: i64 = 1_767_225_600;

/// Sends these leads so that they come together in one batch.
async fn send_together(harness: &Harness, leads: &[Json]) {
    harness.admin_post("destinations/salesforce/pause", json!({})).await;
    for lead in leads {
        harness.send(&event("lead.created", CREATED, lead)).await;
    }
    harness.resume().await;
    harness.settled().await;
}

#[tokio::test]
async fn two_new_companies_of_one_name_in_one_batch_are_asked_about_as_one_after_the_other() {
    let harness = Harness::start(contacts(Company::Account)).await;
    let of = |id: &str, first: &str, host: &str| {
        lead(id, &format!("{first} Lovelace"), &format!("{first}@{host}"), "Phoenix GmbH")
    };
    let leads = [
        of("cl_1", "ada", "phoenix-a.example"),
        of("cl_2", "bea", "phoenix-hotels.example"),
        of("cl_3", "cleo", "gmail.com"),
        of("cl_4", "dora", "phoenix-hotels.example"),
    ];
    send_together(&harness, &leads).await;
    let accounts = all(&harness, "Account").await;
    assert_eq!(accounts.len(), 1, "{accounts:?}");
    let account_of = async |id: &str| contact_of(&harness, id).await["fields"]["AccountId"].clone();
    for (id, expected) in [("cl_1", &accounts[0]["id"]), ("cl_3", &accounts[0]["id"]), ("cl_2", &Json::Null)] {
        assert_eq!(account_of(id).await, *expected, "{id}");
    }
    let asked = harness.admin("conflicts?state=open").await["items"].as_array().unwrap().clone();
    let mut of: Vec<&str> = asked.iter().map(|conflict| conflict["lead_id"].as_str().unwrap()).collect();
    of.sort_unstable();
    assert_eq!(of, ["cl_2", "cl_4"], "{asked:?}");
    assert!(asked.iter().all(|conflict| conflict["kind"] == "company"), "{asked:?}");
    harness.stop().await;
}

/// Nothing is made that the others could wait for.
#[tokio::test]
async fn new_companies_of_one_name_are_observed_together_and_each_as_one_of_its_own() {
    let harness = Harness::start(|config| {
        contacts(Company::Account)(config);
        config.destinations.values_mut().for_each(|destination| destination.mode = Mode::Observe);
    })
    .await;
    let of =
        |n: usize| lead(&format!("cl_{n}"), &format!("Ann{n} Bly"), &format!("ann@host{n}.example"), "Phoenix GmbH");
    let calls = async || harness.control("stats").await["calls"].as_u64().unwrap();
    let before = calls().await;
    send_together(&harness, &(0..60).map(of).collect::<Vec<_>>()).await;
    let cost = calls().await - before;
    assert!(cost < 20, "{cost} calls to look up what few can tell");
    let of_companies = harness.admin("sync-log?operation=account_create&limit=200").await;
    assert_eq!(of_companies["items"].as_array().unwrap().len(), 60, "{of_companies}");
    harness.stop().await;
}

/// The Contacts of both domains are more than one look reads.
#[tokio::test(flavor = "multi_thread")]
async fn a_company_is_not_chosen_by_only_some_of_its_people() {
    let harness = Harness::start(|config| {
        contacts(Company::MatchOnly)(config);
        config.destinations.values_mut().for_each(|destination| destination.records.company_by_contacts = true);
    })
    .await;
    let mut accounts = Vec::new();
    for name in ["Initech", "Umbrella", "Sirius"] {
        accounts.push(make(&harness, "Account", json!({ "Name": name })).await);
    }
    let people = async |account: usize, host: &str, numbers: std::ops::Range<usize>| {
        for n in numbers {
            let contact = json!({
                "LastName": format!("Of {n}"), "Email": format!("{n}@{host}"), "AccountId": accounts[account],
            });
            make(&harness, "Contact", contact).await;
        }
    };
    people(0, "tps.example", 0..1).await;
    people(1, "hive.example", 0..1_999).await;
    people(2, "tps.example", 1..3).await;
    let leads = [
        lead("cl_1", "Ada Lovelace", "ada@tps.example", "TPS Reports"),
        lead("cl_2", "Bea Byron", "bea@hive.example", "The Hive"),
    ];
    send_together(&harness, &leads).await;
    for (id, account) in [("cl_1", 2), ("cl_2", 1)] {
        assert_eq!(contact_of(&harness, id).await["fields"]["AccountId"], json!(accounts[account]), "{id}");
    }
    // Of one domain alone there are more than are read.
    people(1, "hive.example", 1_999..2_000).await;
    send_together(&harness, &[lead("cl_3", "Cleo Byron", "cleo@hive.example", "The Hive")]).await;
    assert_eq!(contact_of(&harness, "cl_3").await["fields"]["AccountId"], Json::Null);
    harness.stop().await;
}
