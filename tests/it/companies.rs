//! Companies: found by domain and name, made once, and asked about where nobody else can tell.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::Duration;

use leadrelay::config::{Company, Config};
use leadrelay::domain::mapping::FieldRow;
use serde_json::{Value as Json, json};

use crate::edited_meanwhile::after_the_second_of;
use crate::harness::{Harness, event};

const CREATED: i64 = 1_767_225_600;

pub fn lead(id: &str, name: &str, email: &str, company: &str) -> Json {
    json!({ "id": id, "name": name, "email": email, "attributes": [{ "name": "company", "value": company }] })
}

/// Leads become Contacts of an Account; what says how large a company is goes to the Account.
pub fn contacts(company: Company) -> impl Fn(&mut Config) {
    move |config| {
        for destination in config.destinations.values_mut() {
            destination.records.object = "Contact".into();
            destination.records.company = company;
            let of_person = ["FirstName", "LastName", "Email", "Phone"];
            for row in &mut destination.fields {
                let to = |object: &str| vec![object.into()];
                row.on = match row.crm.as_str() {
                    field if of_person.contains(&field) => to("Contact"),
                    "NumberOfEmployees" => to("Account"),
                    _ => to("Lead"),
                };
            }
            let is_kept =
                |row: &FieldRow| row.on != ["Lead".into()] || ["Company", "Website"].contains(&row.crm.as_str());
            destination.fields.retain(is_kept);
        }
    }
}

pub async fn make(harness: &Harness, object: &str, fields: Json) -> String {
    let made = harness.order("records", json!({ "object": object, "fields": fields })).await;
    made["id"].as_str().unwrap().to_owned()
}

pub async fn all(harness: &Harness, object: &str) -> Vec<Json> {
    harness.control(&format!("records?object={object}")).await["items"].as_array().unwrap().clone()
}

pub async fn send(harness: &Harness, after: i64, lead: &Json) {
    let kind = if after == 0 { "lead.created" } else { "lead.updated" };
    harness.send(&event(kind, CREATED + after, lead)).await;
    harness.settled().await;
}

pub async fn contact_of(harness: &Harness, lead: &str) -> Json {
    let mut contacts = all(harness, "Contact").await;
    contacts.retain(|contact| contact["fields"]["Lead_System_Id__c"] == lead);
    assert_eq!(contacts.len(), 1, "{lead} must be one Contact");
    contacts.remove(0)
}

/// 500 leads of 50 companies that nobody knows, at once; by two replicas where the database lets two in.
async fn five_hundred(harness: &Harness) {
    let replica = harness.replica().await;
    harness.faults(json!([{ "fault": "reset_after", "rate": 0.05 }])).await;
    let bodies: Vec<Vec<u8>> = (0..500)
        .map(|n: usize| {
            let (person, company) = (format!("cl_{n}"), n % 50);
            // Written as people write it, and a few leads have an address that says nothing of the company.
            let forms = ["GmbH", "Inc.", "Ltd", "S.A.", ""];
            let name = format!("Company Nr{company} {}", forms[n / 50 % forms.len()]);
            let name = if n.is_multiple_of(3) { name.to_uppercase() } else { name };
            let host = if n.is_multiple_of(17) { "gmail.com".to_owned() } else { format!("company{company}.example") };
            event("lead.created", CREATED, &lead(&person, &format!("Ann{n} Bly{n}"), &format!("ann{n}@{host}"), &name))
        })
        .collect();
    for chunk in bodies.chunks(50) {
        let sent = chunk.iter().map(|body| harness.send(body));
        futures_util::future::join_all(sent).await;
    }
    harness.settled_within(Duration::from_secs(300)).await;
    harness.faults(json!([])).await;
    if let Some(replica) = replica {
        replica.stop().await;
    }
    let accounts = all(harness, "Account").await;
    let names: BTreeSet<String> = accounts
        .iter()
        .map(|account| account["fields"]["Name"].as_str().unwrap().to_lowercase())
        .map(|name| name.split_whitespace().nth(1).unwrap().to_owned())
        .collect();
    assert_eq!((accounts.len(), names.len()), (50, 50), "each company once: {names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_leads_of_new_companies_make_each_company_once() {
    let harness = Harness::start(|config| {
        contacts(Company::Account)(config);
        for destination in config.destinations.values_mut() {
            destination.limits.concurrency = NonZeroU32::new(4).unwrap();
        }
    })
    .await;
    five_hundred(&harness).await;
    let contacts = all(&harness, "Contact").await;
    assert_eq!(contacts.len(), 500);
    let accounts: std::collections::BTreeMap<String, String> = all(&harness, "Account")
        .await
        .iter()
        .map(|account| {
            let name = account["fields"]["Name"].as_str().unwrap().to_lowercase();
            (account["id"].as_str().unwrap().to_owned(), name.split_whitespace().nth(1).unwrap().to_owned())
        })
        .collect();
    for contact in contacts {
        let n: usize = contact["fields"]["Lead_System_Id__c"].as_str().unwrap()[3..].parse().unwrap();
        let account = contact["fields"]["AccountId"].as_str().unwrap_or_default();
        assert_eq!(accounts.get(account), Some(&format!("nr{}", n % 50)), "{contact}");
    }
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leads_that_stay_leads_have_companies_too_and_point_to_them_where_a_field_is_named() {
    let harness = Harness::start(|config| {
        config.destinations.values_mut().for_each(|destination| destination.records.company = Company::Account);
    })
    .await;
    five_hundred(&harness).await;
    assert_eq!(harness.records().await.len(), 500);
    let log = harness.admin("sync-log?operation=account_create&outcome=ok&limit=500").await;
    assert!(!log["items"].as_array().unwrap().is_empty(), "{log}");
    harness.stop().await;
}

#[tokio::test]
async fn a_company_that_is_there_is_found_and_only_its_blanks_are_filled() {
    let harness = Harness::start(contacts(Company::MatchOnly)).await;
    let acme = json!({ "Name": "ACME Werke GmbH", "Website": "https://www.acme.example/de", "Phone": "1" });
    let acme = make(&harness, "Account", acme).await;
    let mut of_acme = lead("cl_1", "Ada Lovelace", "ada@acme.example", "Acme Inc.");
    of_acme["attributes"].as_array_mut().unwrap().push(json!({ "name": "employees", "value": 120 }));
    send(&harness, 0, &of_acme).await;
    assert_eq!(contact_of(&harness, "cl_1").await["fields"]["AccountId"], json!(acme));
    let account = all(&harness, "Account").await.remove(0);
    assert_eq!(account["fields"]["NumberOfEmployees"], 120, "{account}");
    assert_eq!(account["fields"]["Name"], "ACME Werke GmbH");
    of_acme["attributes"][1]["value"] = json!(7);
    send(&harness, 60, &of_acme).await;
    assert_eq!(all(&harness, "Account").await[0]["fields"]["NumberOfEmployees"], 120, "many people share it");
    // That is told, and once.
    of_acme["phone"] = json!("+49 30 901820");
    send(&harness, 120, &of_acme).await;
    let log = harness.admin("sync-log?lead_id=cl_1&operation=account_match").await;
    assert_eq!(log["items"].as_array().unwrap().len(), 1, "{log}");
    let entry = harness.admin(&format!("sync-log/{}", log["items"][0]["id"])).await;
    let stays = |decision: &&Json| decision["field"] == "NumberOfEmployees";
    let stays = entry["decisions"].as_array().unwrap().iter().find(stays).unwrap();
    assert_eq!((&stays["rule"], &stays["lead"], &stays["crm"]), (&json!("crm_wins"), &json!("7"), &json!("120")));
    // By name alone, and not at all.
    make(&harness, "Account", json!({ "Name": "Müller & Söhne GmbH" })).await;
    send(&harness, 0, &lead("cl_2", "Bo Li", "bo.li@gmail.com", "Mueller und Soehne")).await;
    send(&harness, 0, &lead("cl_3", "Cy Twombly", "cy@unheard.example", "Unheard Of Ltd")).await;
    assert!(contact_of(&harness, "cl_2").await["fields"]["AccountId"].is_string());
    assert!(contact_of(&harness, "cl_3").await["fields"]["AccountId"].is_null());
    assert_eq!(all(&harness, "Account").await.len(), 2, "none is made");
    let log = harness.admin("sync-log?lead_id=cl_2&operation=account_match").await;
    assert_eq!(log["items"][0]["matched_by"], "company_name", "{log}");
    let entry = harness.admin(&format!("sync-log/{}", log["items"][0]["id"])).await;
    assert!(entry.to_string().contains("found by the name"), "{entry}");
    harness.stop().await;
}

#[tokio::test]
async fn a_company_that_no_row_names_is_found_by_the_domain_alone() {
    let harness = Harness::start(|config| {
        contacts(Company::MatchOnly)(config);
        for destination in config.destinations.values_mut() {
            destination.fields.retain(|row| row.crm.as_str() != "Company");
        }
    })
    .await;
    let acme = make(&harness, "Account", json!({ "Name": "ACME", "Website": "https://www.acme.example" })).await;
    make(&harness, "Account", json!({ "Name": "Other Ltd" })).await;
    send(&harness, 0, &lead("cl_1", "Ada Lovelace", "ada@acme.example", "Other Ltd")).await;
    send(&harness, 0, &lead("cl_2", "Bo Li", "bo.li@gmail.com", "Other Ltd")).await;
    assert_eq!(contact_of(&harness, "cl_1").await["fields"]["AccountId"], json!(acme));
    assert!(contact_of(&harness, "cl_2").await["fields"]["AccountId"].is_null());
    assert_eq!(all(&harness, "Account").await.len(), 2, "none is made");
    harness.stop().await;
}

#[tokio::test]
async fn a_company_that_cannot_be_filled_at_once_is_filled_later_where_it_is_still_blank() {
    let harness = Harness::start(contacts(Company::MatchOnly)).await;
    let acme = json!({ "Name": "ACME Werke GmbH", "Website": "https://www.acme.example/de" });
    let acme = make(&harness, "Account", acme).await;
    let employees = async || harness.control(&format!("records/{acme}")).await["fields"]["NumberOfEmployees"].clone();
    let told = async |id: &str| {
        let log = harness.admin(&format!("sync-log?lead_id={id}&operation=account_update")).await;
        let told = |row: &Json| format!("{} {}", row["outcome"], row["error_code"]).replace('"', "");
        log["items"].as_array().unwrap().iter().rev().map(told).collect::<Vec<_>>()
    };
    let of_acme = |id: &str| {
        let mut lead = lead(id, "Ada Lovelace", &format!("{id}@acme.example"), "Acme Inc.");
        lead["attributes"].as_array_mut().unwrap().push(json!({ "name": "employees", "value": 120 }));
        lead
    };
    let locked =
        json!({ "fault": "error", "code": "UNABLE_TO_LOCK_ROW", "when": { "NumberOfEmployees": 120 }, "count": 1 });
    harness.faults(json!([locked])).await;
    send(&harness, 0, &of_acme("cl-1")).await;
    assert_eq!(
        (employees().await, told("cl-1").await),
        (json!(120), vec!["retry UNABLE_TO_LOCK_ROW".to_owned(), "ok null".to_owned()])
    );

    // What a person writes there between our look and our write stays.
    harness.edit_record(&acme, json!({ "NumberOfEmployees": null })).await;
    after_the_second_of(&harness, &harness.control(&format!("records/{acme}")).await).await;
    let edit =
        json!({ "fault": "edit", "writes": true, "count": 1, "record": acme, "fields": { "NumberOfEmployees": 7 } });
    harness.faults(json!([edit])).await;
    send(&harness, 0, &of_acme("cl-2")).await;
    assert_eq!(
        (employees().await, told("cl-2").await),
        (json!(7), vec!["retry ENTITY_FAILED_IFLASTMODIFIED_ON_UPDATE".to_owned()])
    );

    // What only a person can mend is not sent again unchanged.
    harness.edit_record(&acme, json!({ "NumberOfEmployees": null })).await;
    harness
        .faults(json!([{ "fault": "error", "code": "ENTITY_IS_LOCKED", "when": { "NumberOfEmployees": 120 } }]))
        .await;
    send(&harness, 0, &of_acme("cl-3")).await;
    let mut renamed = of_acme("cl-3");
    renamed["name"] = json!("Ada King");
    send(&harness, 60, &renamed).await;
    assert_eq!(told("cl-3").await, ["refused ENTITY_IS_LOCKED"]);
    harness.stop().await;
}

#[tokio::test]
async fn a_call_that_only_asked_a_rule_is_counted_once() {
    let harness = Harness::start(contacts(Company::Account)).await;
    make(&harness, "Account", json!({ "Name": "Private" })).await;
    let rule = json!({ "object": "Account", "match": "name_and_company", "action": "alert" });
    harness.order("duplicate-rules", json!({ "rules": [rule] })).await;
    let costs = async |id: &str| {
        let log = harness.admin(&format!("sync-log?lead_id={id}")).await;
        let cost = |row: &Json| format!("{} {}", row["operation"], row["api_calls"]).replace('"', "");
        log["items"].as_array().unwrap().iter().rev().map(cost).collect::<Vec<_>>()
    };
    // Its first row tells of the lookup, of what was asked and of its own call; the next one of the lookup and its own.
    let mut of_private = lead("cl_1", "Ada Lovelace", "ada@cl-1.example", "Private");
    of_private["phone"] = json!("+49 30 901820");
    harness.faults(json!([{ "fault": "refuse", "field": "Phone", "when": "+4930901820" }])).await;
    send(&harness, 0, &of_private).await;
    assert_eq!(costs("cl_1").await, ["account_create 1", "create 3", "create 2"]);
    // Nothing is written of the person.
    harness.faults(json!([])).await;
    send(&harness, 0, &lead("cl_2", "Bo Li", "bo@cl-2.example", "Private")).await;
    harness.admin_post("leads/klozeo/cl_2/sync", json!({})).await;
    harness.settled().await;
    assert_eq!(costs("cl_2").await, ["account_create 1", "create 3", "account_create 1", "unchanged 2"]);
    harness.stop().await;
}

#[tokio::test]
async fn of_several_companies_a_person_chooses_and_the_contact_is_made_meanwhile() {
    let harness = Harness::start(contacts(Company::Account)).await;
    let (mut ids, site) = (Vec::new(), "http://acme.example");
    for name in ["Acme North", "Acme South"] {
        ids.push(make(&harness, "Account", json!({ "Name": name, "Website": site })).await);
    }
    send(&harness, 0, &lead("cl_1", "Ada Lovelace", "ada@acme.example", "Acme")).await;
    assert!(contact_of(&harness, "cl_1").await["fields"]["AccountId"].is_null());
    let conflicts = harness.admin("conflicts?state=open&kind=company").await;
    assert_eq!(conflicts["items"][0]["candidates"].as_array().unwrap().len(), 2, "{conflicts}");
    let answer = json!({ "choose": "record", "record_id": ids[1] });
    harness.admin_post(&format!("conflicts/{}/resolve", conflicts["items"][0]["id"]), answer).await;
    harness.settled().await;
    assert_eq!(contact_of(&harness, "cl_1").await["fields"]["AccountId"], json!(ids[1]));
    // Another of the same company is asked about by itself, and may be of a third.
    send(&harness, 0, &lead("cl_2", "Bo Li", "bo@acme.example", "Acme West")).await;
    let conflicts = harness.admin("conflicts?state=open&kind=company").await;
    harness
        .admin_post(&format!("conflicts/{}/resolve", conflicts["items"][0]["id"]), json!({ "choose": "create" }))
        .await;
    harness.settled().await;
    let third = contact_of(&harness, "cl_2").await["fields"]["AccountId"].clone();
    assert!(third.is_string() && !ids.iter().any(|id| third == **id), "{third}");
    assert_eq!(harness.admin("conflicts?state=open").await["items"], json!([]));
    harness.stop().await;
}

#[tokio::test]
async fn a_person_moves_with_the_lead_to_another_company_but_not_from_one_that_people_chose() {
    let harness = Harness::start(contacts(Company::Account)).await;
    send(&harness, 0, &lead("cl_1", "Ada Lovelace", "ada@acme.example", "Acme")).await;
    let acme = contact_of(&harness, "cl_1").await["fields"]["AccountId"].clone();
    let calls = |stats: Json| stats["calls"].as_u64().unwrap();
    let before = calls(harness.control("stats").await);
    let mut unchanged = lead("cl_1", "Ada Lovelace", "ada@acme.example", "Acme");
    unchanged["phone"] = json!("+49 30 901820");
    send(&harness, 30, &unchanged).await;
    assert_eq!(calls(harness.control("stats").await) - before, 2, "a look and a write");
    send(&harness, 60, &lead("cl_1", "Ada Lovelace", "ada@coyote.example", "Coyote")).await;
    let coyote = contact_of(&harness, "cl_1").await["fields"]["AccountId"].clone();
    assert!(coyote.is_string() && coyote != acme, "{coyote}");
    let chosen = make(&harness, "Account", json!({ "Name": "Umbrella" })).await;
    let contact = contact_of(&harness, "cl_1").await["id"].as_str().unwrap().to_owned();
    harness.edit_record(&contact, json!({ "AccountId": chosen })).await;
    send(&harness, 120, &lead("cl_1", "Ada Lovelace", "ada@acme.example", "Acme")).await;
    assert_eq!(contact_of(&harness, "cl_1").await["fields"]["AccountId"], json!(chosen));
    harness.stop().await;
}

#[tokio::test]
async fn a_company_is_found_by_its_people_where_the_settings_say_so() {
    let harness = Harness::start(|config| {
        contacts(Company::MatchOnly)(config);
        config.destinations.values_mut().for_each(|destination| destination.records.company_by_contacts = true);
    })
    .await;
    let account = make(&harness, "Account", json!({ "Name": "Initech" })).await;
    for n in 0..2 {
        let contact =
            json!({ "LastName": format!("Of {n}"), "Email": format!("{n}@tps.example"), "AccountId": account });
        make(&harness, "Contact", contact).await;
    }
    send(&harness, 0, &lead("cl_1", "Ada Lovelace", "ada@tps.example", "TPS Reports")).await;
    assert_eq!(contact_of(&harness, "cl_1").await["fields"]["AccountId"], json!(account));
    harness.stop().await;
}

#[tokio::test]
async fn a_company_that_the_crm_refuses_keeps_nobody_out_of_it() {
    let harness = Harness::start(contacts(Company::Account)).await;
    let refuse = |name: &str| json!({ "fault": "refuse", "field": "Name", "when": name });
    harness.faults(json!([refuse("Acme"), refuse("Acme Rockets")])).await;
    send(&harness, 0, &lead("cl_1", "Ada Lovelace", "ada@acme.example", "Acme")).await;
    assert!(contact_of(&harness, "cl_1").await["fields"]["AccountId"].is_null());
    let log = harness.admin("sync-log?lead_id=cl_1&operation=account_create").await;
    assert_eq!(log["items"][0]["outcome"], "refused", "{log}");
    let mut called = lead("cl_1", "Ada Lovelace", "ada@acme.example", "Acme");
    called["phone"] = json!("+49 30 901820");
    send(&harness, 60, &called).await;
    assert!(contact_of(&harness, "cl_1").await["fields"]["Phone"].is_string());
    let log = harness.admin("sync-log?lead_id=cl_1&operation=account_create").await;
    assert_eq!(log["items"].as_array().unwrap().len(), 1, "it is not sent again: {log}");
    let explained = harness.admin("leads/klozeo/cl_1/explain").await;
    let company = &explained["plan"]["company"];
    assert_eq!(company["reason"], "refused by the CRM before with the same values", "{explained}");

    // Other values are worth another try, and so is a person's order.
    send(&harness, 120, &lead("cl_1", "Ada Lovelace", "ada@acme.example", "Acme Rockets")).await;
    let log = harness.admin("sync-log?lead_id=cl_1&operation=account_create&outcome=refused").await;
    assert_eq!(log["items"].as_array().unwrap().len(), 2, "{log}");
    harness.faults(json!([])).await;
    send(&harness, 180, &lead("cl_1", "Ada Byron", "ada@acme.example", "Acme Rockets")).await;
    assert!(contact_of(&harness, "cl_1").await["fields"]["AccountId"].is_null());
    harness.admin_post("leads/klozeo/cl_1/sync", json!({})).await;
    harness.settled().await;
    assert!(contact_of(&harness, "cl_1").await["fields"]["AccountId"].is_string(), "tried again when asked for");
    harness.stop().await;
}

#[tokio::test]
async fn a_refused_company_of_a_person_is_not_sent_again_unchanged_and_is_written_when_asked_for() {
    let harness = Harness::start(contacts(Company::Account)).await;
    let acme = make(&harness, "Account", json!({ "Name": "Acme", "Website": "https://acme.example" })).await;
    harness.faults(json!([{ "fault": "refuse", "field": "AccountId", "when": acme }])).await;
    send(&harness, 0, &lead("cl_1", "Ada Lovelace", "ada@acme.example", "Acme")).await;
    assert!(contact_of(&harness, "cl_1").await["fields"]["AccountId"].is_null());
    let mut called = lead("cl_1", "Ada Lovelace", "ada@acme.example", "Acme");
    called["phone"] = json!("+49 30 901820");
    send(&harness, 30, &called).await;
    let refused = harness.admin("sync-log?lead_id=cl_1&outcome=refused").await;
    assert_eq!(refused["items"].as_array().unwrap().len(), 1, "it is not sent again: {refused}");
    assert!(contact_of(&harness, "cl_1").await["fields"]["Phone"].is_string());
    harness.faults(json!([])).await;
    called["phone"] = json!("+49 30 901821");
    send(&harness, 60, &called).await;
    assert!(contact_of(&harness, "cl_1").await["fields"]["AccountId"].is_null(), "nothing changed but the phone");
    harness.admin_post("leads/klozeo/cl_1/sync", json!({})).await;
    harness.settled().await;
    assert_eq!(contact_of(&harness, "cl_1").await["fields"]["AccountId"], json!(acme));
    harness.stop().await;
}

#[tokio::test]
async fn a_company_that_a_person_says_is_new_of_several_leads_is_made_once() {
    let harness = Harness::start(contacts(Company::Account)).await;
    for name in ["Acme North", "Acme South"] {
        make(&harness, "Account", json!({ "Name": name, "Website": "http://acme.example" })).await;
    }
    let leads: Vec<String> = (1..=5).map(|n| format!("cl_{n}")).collect();
    for (n, id) in leads.iter().enumerate() {
        let (name, email) = (format!("Ann{n} Bly{n}"), format!("ann{n}@acme.example"));
        send(&harness, 0, &lead(id, &name, &email, "Acme West")).await;
    }
    harness.admin_post("destinations/salesforce/pause", json!({})).await;
    let open = harness.admin("conflicts?state=open&kind=company").await["items"].as_array().unwrap().clone();
    assert_eq!(open.len(), 5, "{open:?}");
    for conflict in &open {
        let answer = json!({ "choose": "create" });
        harness.admin_post(&format!("conflicts/{}/resolve", conflict["id"]), answer).await;
    }
    harness.admin_post("destinations/salesforce/resume", json!({})).await;
    harness.settled().await;
    let accounts = all(&harness, "Account").await;
    assert_eq!(accounts.len(), 3, "{accounts:?}");
    let west = accounts.iter().find(|account| account["fields"]["Name"] == "Acme West").unwrap();
    for id in &leads {
        assert_eq!(contact_of(&harness, id).await["fields"]["AccountId"], west["id"], "{id}");
    }
    assert_eq!(harness.admin("conflicts?state=open").await["items"], json!([]));
    harness.stop().await;
}

#[tokio::test]
async fn what_a_rule_asked_of_a_company_is_explained_only_while_the_company_is_still_to_be_made() {
    let harness = Harness::start(contacts(Company::Account)).await;
    make(&harness, "Account", json!({ "Name": "Private" })).await;
    let rule = json!({ "object": "Account", "match": "name_and_company", "action": "alert" });
    harness.order("duplicate-rules", json!({ "rules": [rule] })).await;
    send(&harness, 0, &lead("cl_1", "Ada Lovelace", "ada@acme.example", "Private")).await;
    let questions = async || harness.admin("leads/klozeo/cl_1/explain").await["plan"]["questions"].clone();
    assert_eq!(questions().await[0]["kind"], "company");
    make(&harness, "Account", json!({ "Name": "Acme", "Website": "http://acme.example" })).await;
    assert_eq!(questions().await, json!([]));
    harness.stop().await;
}

#[tokio::test]
async fn the_company_that_a_rule_found_is_named_and_not_sent_again_until_a_person_answers() {
    let harness = Harness::start(contacts(Company::Account)).await;
    // What is no company's name is not looked for.
    let found = make(&harness, "Account", json!({ "Name": "Private" })).await;
    let rule = json!({ "object": "Account", "match": "name_and_company", "action": "alert" });
    harness.order("duplicate-rules", json!({ "rules": [rule] })).await;
    let of = |id: &str, phone: &str| {
        let mut lead = lead(id, "Ada Lovelace", &format!("ada@{}.example", id.replace('_', "-")), "Private");
        lead["phone"] = json!(phone);
        lead
    };
    let sent = async |id: &str| {
        let log = harness.admin(&format!("sync-log?lead_id={id}&operation=account_create")).await;
        log["items"].as_array().unwrap().len()
    };
    let open = async || harness.admin("conflicts?state=open").await["items"].as_array().unwrap().clone();
    for (id, choice) in [("cl_1", "record"), ("cl_2", "create")] {
        send(&harness, 0, &of(id, "+49 30 901820")).await;
        assert!(contact_of(&harness, id).await["fields"]["AccountId"].is_null());
        let asked = open().await;
        assert_eq!((asked.len(), &asked[0]["kind"]), (1, &json!("company")), "{asked:?}");
        assert_eq!(asked[0]["candidates"][0]["record"]["id"], json!(found), "{asked:?}");
        assert_eq!(sent(id).await, 1, "one row tells that it was refused and what was found");

        send(&harness, 60, &of(id, "+49 30 901821")).await;
        assert_eq!(contact_of(&harness, id).await["fields"]["Phone"], "+4930901821");
        assert_eq!((sent(id).await, open().await.len()), (1, 1), "it is not sent again, and stays asked");

        let mut answer = json!({ "choose": choice });
        if choice == "record" {
            answer["record_id"] = json!(found);
        }
        harness.admin_post(&format!("conflicts/{}/resolve", asked[0]["id"]), answer).await;
        harness.settled().await;
        assert_eq!(open().await, Vec::<Json>::new());
        let company = contact_of(&harness, id).await["fields"]["AccountId"].clone();
        assert!(company.is_string() && (company == json!(found)) == (choice == "record"), "{company}");
    }
    assert_eq!(all(&harness, "Account").await.len(), 2);

    // A rule that blocks: nobody is offered what the CRM would refuse.
    let rule = json!({ "object": "Account", "match": "name_and_company", "action": "block" });
    harness.order("duplicate-rules", json!({ "rules": [rule] })).await;
    send(&harness, 0, &of("cl_3", "+49 30 901822")).await;
    let asked = open().await;
    assert_eq!((&asked[0]["choices"], &asked[0]["duplicate_rule"]), (&json!(["record"]), &json!("block")), "{asked:?}");
    assert_eq!(asked[0]["candidates"].as_array().unwrap().len(), 2, "{asked:?}");
    let log = harness.admin("sync-log?lead_id=cl_3&operation=account_create").await;
    let told = log["items"][0]["error"].as_str().unwrap();
    assert!(told.contains("the rule blocks it") && told.contains(&format!("Account {found}")), "{told}");
    harness.stop().await;
}
