//! People whom the CRM keeps as Contacts: found there, converted by a sales rep, merged, deleted.

use leadrelay::config::Config;
use leadrelay::domain::mapping::{ConflictRule, FieldRow};
use leadrelay::domain::plan::OnCrmDelete;
use serde_json::{Value as Json, json};

use crate::harness::{Harness, event};

const CREATED: i64 = 1_767_225_600;

fn ada(id: &str, phone: &str) -> Json {
    json!({ "id": id, "name": "Ada Lovelace", "email": "ada@lovelace.example", "phone": phone, "country": "DE" })
}

/// The rows of what both kinds of record have go to both.
pub fn with_contacts(config: &mut Config) {
    let is_of_both = |row: &&mut FieldRow| ["FirstName", "LastName", "Email", "Phone"].contains(&row.crm.as_str());
    let rows = config.destinations.values_mut().flat_map(|destination| destination.fields.iter_mut());
    rows.filter(is_of_both).for_each(|row| row.on.push("Contact".into()));
}

fn on_crm_delete(on: OnCrmDelete) -> impl Fn(&mut Config) {
    move |config| {
        with_contacts(config);
        config.destinations.values_mut().for_each(|destination| destination.records.on_crm_delete = on);
    }
}

async fn make(harness: &Harness, object: &str, fields: Json) -> String {
    let made = harness.order("records", json!({ "object": object, "fields": fields })).await;
    made["id"].as_str().unwrap().to_owned()
}

/// The live records of an object.
async fn all(harness: &Harness, object: &str) -> Vec<Json> {
    harness.control(&format!("records?object={object}")).await["items"].as_array().unwrap().clone()
}

async fn send(harness: &Harness, after: i64, lead: &Json) {
    let kind = if after == 0 { "lead.created" } else { "lead.updated" };
    harness.send(&event(kind, CREATED + after, lead)).await;
    harness.settled().await;
}

async fn open_conflicts(harness: &Harness) -> Vec<Json> {
    harness.admin("conflicts?state=open").await["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_lead_who_is_a_contact_already_is_written_to_that_contact() {
    let harness = Harness::start(with_contacts).await;
    let contact = json!({ "FirstName": "Ada", "LastName": "Lovelace", "Email": "ADA@lovelace.example" });
    let id = make(&harness, "Contact", contact).await;
    send(&harness, 0, &ada("cl_1", "+49 30 901820")).await;
    assert_eq!(all(&harness, "Lead").await, Vec::<Json>::new());
    let contact = all(&harness, "Contact").await.remove(0);
    assert_eq!(contact["fields"]["Phone"], "+4930901820");
    assert_eq!(contact["fields"]["Lead_System_Id__c"], "cl_1");
    send(&harness, 60, &ada("cl_1", "+49 30 901821")).await;
    assert_eq!(all(&harness, "Contact").await[0]["fields"]["Phone"], "+4930901821");
    let lead = harness.admin("leads/klozeo/cl_1").await;
    assert_eq!(lead["links"][0]["record"], json!({ "object": "Contact", "id": id }), "{lead}");
    harness.stop().await;
}

#[tokio::test]
async fn a_lead_who_is_a_contact_is_asked_about_where_the_mapping_has_no_rows_for_contacts() {
    let harness = Harness::start(|_| {}).await;
    make(&harness, "Contact", json!({ "FirstName": "Ada", "LastName": "Lovelace", "Email": "ada@lovelace.example" }))
        .await;
    send(&harness, 0, &ada("cl_1", "+49 30 901820")).await;
    let conflicts = open_conflicts(&harness).await;
    assert_eq!(conflicts[0]["kind"], "match", "{conflicts:?}");
    assert_eq!(all(&harness, "Lead").await, Vec::<Json>::new());
    harness.stop().await;
}

#[tokio::test]
async fn a_lead_who_is_a_contact_waits_for_a_person_once_the_rows_for_contacts_are_gone() {
    let harness = Harness::start(with_contacts).await;
    let contact = json!({ "FirstName": "Ada", "LastName": "Lovelace", "Email": "ada@lovelace.example" });
    let id = make(&harness, "Contact", contact).await;
    send(&harness, 0, &ada("cl_1", "+49 30 901820")).await;
    harness.edit_record(&id, json!({ "Phone": "+4930901822" })).await;
    let harness = harness
        .restarted(|config| {
            let rows = config.destinations.values_mut().flat_map(|destination| destination.fields.iter_mut());
            rows.for_each(|row| row.on.retain(|object| object.as_str() != "Contact"));
        })
        .await;
    send(&harness, 60, &ada("cl_1", "+49 30 901821")).await;
    let lead = harness.admin("leads/klozeo/cl_1").await;
    assert_eq!((&lead["jobs"][0]["state"], &lead["jobs"][0]["code"]), (&json!("held"), &json!("other_object")));
    assert_eq!(all(&harness, "Contact").await[0]["fields"]["Phone"], "+4930901822");
    assert_eq!(all(&harness, "Lead").await, Vec::<Json>::new());
    harness.stop().await;
}

#[tokio::test]
async fn a_question_about_a_row_of_contacts_stays_open_until_that_row_is_gone() {
    let harness = Harness::start(|config| {
        with_contacts(config);
        for row in config.destinations.values_mut().flat_map(|destination| destination.fields.iter_mut()) {
            if row.lead == "city" {
                row.crm = "MailingCity".into();
            }
            if row.lead == "phone" || row.lead == "city" {
                (row.on, row.conflict) = (vec!["Contact".into()], ConflictRule::Review);
            }
        }
    })
    .await;
    let fields = json!({ "FirstName": "Ada", "LastName": "Lovelace", "Email": "ada@lovelace.example",
                         "Phone": "+4930901821", "MailingCity": "Bonn" });
    make(&harness, "Contact", fields).await;
    let mut lead = ada("cl_1", "+49 30 901820");
    lead["city"] = json!("Berlin");
    send(&harness, 0, &lead).await;
    assert_eq!(open_conflicts(&harness).await.len(), 2);
    let harness = harness
        .restarted(|config| {
            for destination in config.destinations.values_mut() {
                destination.fields.retain(|row| row.lead != "city");
            }
        })
        .await;
    let one = |conflicts: &Json| conflicts["items"].as_array().unwrap().len() == 1;
    let left = harness.until("conflicts?state=open", one).await;
    assert_eq!(left["items"][0]["field"], "Phone", "{left}");
    harness.stop().await;
}

#[tokio::test]
async fn a_lead_that_a_sales_rep_converts_goes_on_as_its_contact() {
    let harness = Harness::start(with_contacts).await;
    send(&harness, 0, &ada("cl_1", "+49 30 901820")).await;
    let lead = harness.record_of("cl_1").await;
    let converted = json!({ "id": lead["id"], "opportunity": false });
    harness.order("convert", converted).await;
    send(&harness, 60, &ada("cl_1", "+49 30 901821")).await;
    let contacts = all(&harness, "Contact").await;
    assert_eq!(contacts.len(), 1);
    assert_eq!(contacts[0]["fields"]["Phone"], "+4930901821");
    assert_eq!(contacts[0]["fields"]["Lead_System_Id__c"], "cl_1");
    let log = harness.admin("sync-log?lead_id=cl_1").await;
    assert_eq!(log["items"][0]["error_code"], "record_moved", "{log}");
    assert_eq!(log["items"][0]["outcome"], "ok", "{log}");
    // From now on it is an ordinary Contact.
    send(&harness, 120, &ada("cl_1", "+49 30 901822")).await;
    assert_eq!(all(&harness, "Contact").await[0]["fields"]["Phone"], "+4930901822");
    let log = harness.admin("sync-log?lead_id=cl_1").await;
    assert_eq!(log["items"][0]["error_code"], Json::Null, "{log}");
    assert_eq!(open_conflicts(&harness).await, Vec::<Json>::new());
    harness.stop().await;
}

#[tokio::test]
async fn a_lead_whose_contact_was_merged_and_deleted_after_the_conversion_waits_and_goes_on_once_it_is_restored() {
    let harness = Harness::start(with_contacts).await;
    send(&harness, 0, &ada("cl_1", "+49 30 901820")).await;
    let lead = harness.record_of("cl_1").await;
    let made = harness.order("convert", json!({ "id": lead["id"] })).await;
    let survivor = make(&harness, "Contact", json!({ "FirstName": "Ada", "LastName": "King" })).await;
    harness.order("merge", json!({ "master": survivor, "losers": [made["contact_id"]] })).await;
    harness.delete_record(&survivor).await;
    send(&harness, 60, &ada("cl_1", "+49 30 901821")).await;
    let held = harness.admin("leads/klozeo/cl_1").await["jobs"][0].clone();
    assert_eq!((&held["state"], &held["code"]), (&json!("held"), &json!("record_gone")), "{held}");
    harness.order("undelete", json!({ "id": survivor })).await;
    harness.admin_post("leads/klozeo/cl_1/sync", json!({})).await;
    harness.settled().await;
    let contacts = all(&harness, "Contact").await;
    assert_eq!((contacts.len(), &contacts[0]["fields"]["Phone"]), (1, &json!("+4930901821")));
    // None can be made anew: the converted Lead, which nobody can change, has the lead's key.
    let harness = harness.restarted(on_crm_delete(OnCrmDelete::Recreate)).await;
    harness.delete_record(&survivor).await;
    send(&harness, 120, &ada("cl_1", "+49 30 901822")).await;
    let held = harness.admin("leads/klozeo/cl_1").await["jobs"][0].clone();
    assert_eq!(held["code"], "record_gone", "{held}");
    assert_eq!((all(&harness, "Lead").await.len(), all(&harness, "Contact").await.len()), (1, 0));
    harness.stop().await;
}

#[tokio::test]
async fn a_new_lead_who_was_converted_long_ago_is_its_contact_whatever_address_that_has() {
    let harness = Harness::start(with_contacts).await;
    let lead =
        json!({ "FirstName": "Ada", "LastName": "Lovelace", "Email": "ada@lovelace.example", "Company": "Engine" });
    let lead = make(&harness, "Lead", lead).await;
    harness.order("convert", json!({ "id": lead, "opportunity": false })).await;
    let contact = all(&harness, "Contact").await[0]["id"].as_str().unwrap().to_owned();
    harness.edit_record(&contact, json!({ "Email": "countess@lovelace.example" })).await;
    send(&harness, 0, &ada("cl_1", "+49 30 901820")).await;
    let contacts = all(&harness, "Contact").await;
    assert_eq!((contacts.len(), &contacts[0]["fields"]["Lead_System_Id__c"]), (1, &json!("cl_1")), "{contacts:?}");
    let live = all(&harness, "Lead").await;
    assert!(live.iter().all(|record| record["fields"]["IsConverted"] == true), "{live:?}");
    harness.stop().await;
}

#[tokio::test]
async fn a_merged_record_is_followed_to_the_one_that_survived() {
    let harness = Harness::start(with_contacts).await;
    send(&harness, 0, &ada("cl_1", "+49 30 901820")).await;
    let loser = harness.record_of("cl_1").await["id"].clone();
    let fields = json!({ "FirstName": "Ada", "LastName": "King", "Company": "Engine", "City": "London" });
    let middle = make(&harness, "Lead", fields.clone()).await;
    let master = make(&harness, "Lead", fields).await;
    // Twice, so that the survivor of the first is the loser of the second.
    harness.order("merge", json!({ "master": middle, "losers": [loser] })).await;
    harness.order("merge", json!({ "master": master, "losers": [middle] })).await;
    send(&harness, 60, &ada("cl_1", "+49 30 901821")).await;
    let survivor = harness.record_of("cl_1").await;
    assert_eq!((&survivor["id"], &survivor["fields"]["Phone"]), (&json!(master), &json!("+4930901821")));
    assert_eq!(all(&harness, "Lead").await.len(), 1);
    harness.stop().await;
}

#[tokio::test]
async fn the_survivor_of_a_merge_keeps_the_id_that_it_has_and_a_person_is_asked() {
    let harness = Harness::start(with_contacts).await;
    send(&harness, 0, &ada("cl_1", "+49 30 901820")).await;
    let grace = json!({ "id": "cl_2", "name": "Grace Hopper", "email": "grace@hopper.example" });
    send(&harness, 0, &grace).await;
    let (loser, master) = (harness.record_of("cl_1").await, harness.record_of("cl_2").await);
    harness.order("merge", json!({ "master": master["id"], "losers": [loser["id"]] })).await;
    send(&harness, 60, &ada("cl_1", "+49 30 901821")).await;
    let survivor = harness.record_of("cl_2").await;
    assert_eq!(survivor["fields"]["FirstName"], "Grace", "{survivor}");
    let conflicts = open_conflicts(&harness).await;
    assert_eq!((&conflicts[0]["kind"], &conflicts[0]["lead_id"]), (&json!("shared_record"), &json!("cl_1")));
    harness.stop().await;
}

#[tokio::test]
async fn a_deleted_record_holds_its_lead_or_leaves_it_alone_until_a_person_syncs_it() {
    for on in [OnCrmDelete::Hold, OnCrmDelete::Unlink] {
        let harness = Harness::start(on_crm_delete(on)).await;
        send(&harness, 0, &ada("cl_1", "+49 30 901820")).await;
        let gone = harness.record_of("cl_1").await;
        harness.delete_record(gone["id"].as_str().unwrap()).await;
        send(&harness, 60, &ada("cl_1", "+49 30 901821")).await;
        assert_eq!(all(&harness, "Lead").await, Vec::<Json>::new(), "{on:?}");
        let held = u8::from(on == OnCrmDelete::Hold);
        harness.until("queue", |queue| queue["items"][0]["held"] == held).await;
        harness.admin_post("leads/klozeo/cl_1/sync", json!({})).await;
        harness.settled().await;
        let made = all(&harness, "Lead").await.len();
        assert_eq!(made, usize::from(on == OnCrmDelete::Unlink), "{on:?}");
        harness.stop().await;
    }
}

#[tokio::test]
async fn a_deleted_record_is_made_again_where_the_settings_or_a_person_say_so() {
    for on in [OnCrmDelete::Recreate, OnCrmDelete::Review] {
        let harness = Harness::start(on_crm_delete(on)).await;
        send(&harness, 0, &ada("cl_1", "+49 30 901820")).await;
        let gone = harness.record_of("cl_1").await;
        harness.delete_record(gone["id"].as_str().unwrap()).await;
        send(&harness, 60, &ada("cl_1", "+49 30 901821")).await;
        if on == OnCrmDelete::Review {
            let conflicts = open_conflicts(&harness).await;
            assert_eq!(conflicts[0]["kind"], "match", "{conflicts:?}");
            harness
                .admin_post(&format!("conflicts/{}/resolve", conflicts[0]["id"]), json!({ "choose": "create" }))
                .await;
            harness.settled().await;
        }
        let made = harness.record_of("cl_1").await;
        assert_ne!(made["id"], gone["id"], "{on:?}");
        assert_eq!(made["fields"]["Phone"], "+4930901821", "{on:?}");
        assert_eq!(open_conflicts(&harness).await, Vec::<Json>::new(), "{on:?}");
        harness.stop().await;
    }
}

#[tokio::test]
async fn leads_become_contacts_where_the_settings_say_so() {
    let harness = Harness::start(|config| {
        for destination in config.destinations.values_mut() {
            destination.records.object = "Contact".into();
            destination.fields.retain(|row| ["FirstName", "LastName", "Email", "Phone"].contains(&row.crm.as_str()));
            destination.fields.iter_mut().for_each(|row| row.on = vec!["Contact".into()]);
        }
    })
    .await;
    send(&harness, 0, &ada("cl_1", "+49 30 901820")).await;
    let contacts = all(&harness, "Contact").await;
    assert_eq!(contacts[0]["fields"]["Lead_System_Id__c"], "cl_1");
    assert_eq!(all(&harness, "Lead").await, Vec::<Json>::new());
    harness.stop().await;
}
