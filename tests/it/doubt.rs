//! Leads whose record may be another person's: whose it becomes, and what follows from what a person says.

use leadrelay::config::Config;
use leadrelay::domain::mapping::{FieldRow, FieldType};
use leadrelay::domain::plan::OnDelete;
use serde_json::{Value as Json, json};

use crate::contacts::with_contacts;
use crate::harness::{Harness, event};

const CREATED: i64 = 1_767_225_600;

/// A lead of somebody at the address that the family shares.
fn lovelace(id: &str, first: &str, city: &str) -> Json {
    json!({ "id": id, "name": format!("{first} Lovelace"), "email": "family@lovelace.example", "city": city })
}

async fn send(harness: &Harness, after: i64, lead: &Json) {
    let kind = if after == 0 { "lead.created" } else { "lead.updated" };
    harness.send(&event(kind, CREATED + after, lead)).await;
    harness.settled().await;
}

async fn delete(harness: &Harness, id: &str) {
    harness.send(&event("lead.deleted", CREATED + 600, &json!({ "id": id }))).await;
    harness.settled().await;
}

async fn make(harness: &Harness, object: &str, fields: Json) -> String {
    let made = harness.order("records", json!({ "object": object, "fields": fields })).await;
    made["id"].as_str().unwrap().to_owned()
}

async fn open_conflicts(harness: &Harness) -> Vec<Json> {
    harness.admin("conflicts?state=open").await["items"].as_array().unwrap().clone()
}

/// Answers the lead's one open conflict.
async fn answer(harness: &Harness, lead: &str, choice: &str) {
    let mut open = open_conflicts(harness).await;
    open.retain(|conflict| conflict["lead_id"] == lead);
    assert_eq!(open.len(), 1, "{open:?}");
    harness.admin_post(&format!("conflicts/{}/resolve", open[0]["id"]), json!({ "choose": choice })).await;
    harness.settled().await;
}

/// What the lead is linked to: the record's ID, and whether it owns it.
async fn link(harness: &Harness, lead: &str) -> (String, bool) {
    let link = harness.admin(&format!("leads/klozeo/{lead}")).await["links"][0].clone();
    (link["record"]["id"].as_str().unwrap().to_owned(), link["owner"].as_bool().unwrap())
}

fn on_delete(on: OnDelete) -> impl Fn(&mut Config) {
    move |config| config.destinations.values_mut().for_each(|destination| destination.records.on_delete = on.clone())
}

#[tokio::test]
async fn a_record_goes_to_a_sharer_without_doubt_before_an_older_one_in_doubt() {
    let harness = Harness::start(|_| {}).await;
    send(&harness, 0, &lovelace("cl_1", "Ada", "Berlin")).await;
    send(&harness, 0, &lovelace("cl_2", "Grace", "Bonn")).await;
    send(&harness, 0, &lovelace("cl_3", "Ada", "Köln")).await;
    let (record, _) = link(&harness, "cl_1").await;
    assert_eq!(open_conflicts(&harness).await.len(), 2);
    delete(&harness, "cl_1").await;
    assert_eq!(link(&harness, "cl_3").await, (record.clone(), true));
    assert_eq!(link(&harness, "cl_2").await, (record, false));
    let fields = harness.record_of("cl_3").await["fields"].clone();
    assert_eq!((&fields["FirstName"], &fields["City"]), (&json!("Ada"), &json!("Köln")));
    let open = open_conflicts(&harness).await;
    assert_eq!((open.len(), &open[0]["lead_id"]), (1, &json!("cl_2")), "{open:?}");
    harness.stop().await;
}

#[tokio::test]
async fn nobody_inherits_a_record_that_may_be_another_persons() {
    // Asked and not answered, or told apart.
    for answered in [None, Some("crm")] {
        for gone in ["delete", "exclude", "unlink", "erase"] {
            let harness = Harness::start(|_| {}).await;
            send(&harness, 0, &lovelace("cl_1", "Ada", "Berlin")).await;
            send(&harness, 0, &lovelace("cl_2", "Grace", "Bonn")).await;
            let (record, _) = link(&harness, "cl_1").await;
            if let Some(choice) = answered {
                answer(&harness, "cl_2", choice).await;
            }
            match gone {
                "delete" => delete(&harness, "cl_1").await,
                "exclude" => drop(harness.admin_post("leads/klozeo/cl_1/exclude", json!({})).await),
                "unlink" => drop(harness.admin_ask("DELETE", "leads/klozeo/cl_1/links/salesforce", json!({})).await),
                _ => drop(harness.admin_ask("DELETE", "leads/klozeo/cl_1", json!({})).await),
            }
            harness.settled().await;
            send(&harness, 660, &lovelace("cl_2", "Grace", "Trier")).await;
            assert_eq!(link(&harness, "cl_2").await, (record.clone(), false), "{gone} {answered:?}");
            let kept = harness.control(&format!("records/{record}")).await;
            let fields = &kept["fields"];
            assert_eq!((&fields["FirstName"], &fields["City"]), (&json!("Ada"), &json!("Berlin")), "{gone}: {kept}");
            assert_ne!(fields["Lead_System_Id__c"], "cl_2", "{gone} {answered:?}: {kept}");
            let log = harness.admin("sync-log?lead_id=cl_2&error=became_owner").await;
            assert_eq!(log["items"], json!([]), "{gone} {answered:?}");
            let open = open_conflicts(&harness).await;
            assert_eq!(open.len(), usize::from(answered.is_none()), "{gone}: {open:?}");
            if answered.is_none() {
                // It is the same person: now it is the lead's, with its ID.
                answer(&harness, "cl_2", "lead").await;
                let fields = harness.record_of("cl_2").await["fields"].clone();
                assert_eq!((&fields["FirstName"], &fields["City"]), (&json!("Grace"), &json!("Trier")), "{gone}");
                assert!(link(&harness, "cl_2").await.1);
            }
            harness.stop().await;
        }
    }
}

#[tokio::test]
async fn the_record_of_a_deleted_lead_is_kept_while_it_is_asked_whose_it_is_and_deleted_once_they_are_told_apart() {
    for (choice, deleted) in [(None, false), (Some("crm"), true)] {
        let harness = Harness::start(on_delete(OnDelete::Delete)).await;
        send(&harness, 0, &lovelace("cl_1", "Ada", "Berlin")).await;
        send(&harness, 0, &lovelace("cl_2", "Grace", "Bonn")).await;
        if let Some(choice) = choice {
            answer(&harness, "cl_2", choice).await;
        }
        delete(&harness, "cl_1").await;
        assert_eq!(harness.records().await.is_empty(), deleted, "{choice:?}");
        harness.stop().await;
    }
}

async fn in_doubt_and_then_out_of_the_filter(harness: &Harness) {
    send(harness, 0, &lovelace("cl_1", "Ada", "Berlin")).await;
    send(harness, 0, &lovelace("cl_2", "Grace", "Bonn")).await;
    assert_eq!(open_conflicts(harness).await.len(), 1);
    send(harness, 60, &lovelace("cl_2", "Grace", "Paris")).await;
    assert_eq!(open_conflicts(harness).await, Vec::<Json>::new(), "the filter closes the question");
}

fn without_paris(config: &mut Config) {
    on_delete(OnDelete::Delete)(config);
    for destination in config.destinations.values_mut() {
        destination.filter = Some(leadrelay::domain::cel::Expression::parse("city != 'Paris'").unwrap());
    }
}

#[tokio::test]
async fn a_question_that_the_filter_closed_leaves_the_record_in_doubt() {
    for erases in [false, true] {
        let harness = Harness::start(without_paris).await;
        in_doubt_and_then_out_of_the_filter(&harness).await;
        if erases {
            let (status, erased) = harness.admin_ask("DELETE", "leads/klozeo/cl_1?crm=true", json!({})).await;
            assert_eq!((status, &erased["records"][0]["deleted"]), (200, &json!(false)), "{erased}");
        } else {
            delete(&harness, "cl_1").await;
        }
        assert_eq!(harness.records().await.len(), 1, "{erases}: nobody said whose it is");
        harness.stop().await;
    }
}

#[tokio::test]
async fn the_record_of_a_deleted_lead_goes_once_they_are_told_apart_afterwards() {
    for (choice, records) in [("lead", 1), ("crm", 0), ("create", 1)] {
        let harness = Harness::start(on_delete(OnDelete::Delete)).await;
        send(&harness, 0, &lovelace("cl_1", "Ada", "Berlin")).await;
        send(&harness, 0, &lovelace("cl_2", "Grace", "Bonn")).await;
        let (record, _) = link(&harness, "cl_1").await;
        delete(&harness, "cl_1").await;
        assert_eq!(harness.records().await.len(), 1);
        answer(&harness, "cl_2", choice).await;
        let left = harness.records().await;
        assert_eq!(left.len(), records, "{choice}: {left:?}");
        assert_eq!(left.iter().any(|left| left["id"] == record), choice == "lead", "{choice}: {left:?}");
        harness.stop().await;
    }
}

#[tokio::test]
async fn the_record_of_a_deleted_lead_goes_once_the_other_one_that_it_may_be_is_gone() {
    for gone in ["unlink", "exclude", "erase", "delete"] {
        let harness = Harness::start(on_delete(OnDelete::Delete)).await;
        send(&harness, 0, &lovelace("cl_1", "Ada", "Berlin")).await;
        send(&harness, 0, &lovelace("cl_2", "Grace", "Bonn")).await;
        let (record, _) = link(&harness, "cl_1").await;
        delete(&harness, "cl_1").await;
        assert_eq!(harness.records().await.len(), 1, "{gone}: it may be the other's");
        match gone {
            "unlink" => drop(harness.admin_ask("DELETE", "leads/klozeo/cl_2/links/salesforce", json!({})).await),
            "exclude" => drop(harness.admin_post("leads/klozeo/cl_2/exclude", json!({})).await),
            "erase" => drop(harness.admin_ask("DELETE", "leads/klozeo/cl_2", json!({})).await),
            _ => delete(&harness, "cl_2").await,
        }
        harness.settled().await;
        let left = harness.records().await;
        assert_eq!(left.len(), usize::from(gone == "unlink"), "{gone}: {left:?}");
        assert!(left.iter().all(|left| left["id"] != record), "{gone}: {left:?}");
        harness.stop().await;
    }
}

#[tokio::test]
async fn no_question_tells_the_name_of_an_erased_lead_whenever_it_is_asked() {
    for deleted_before in [None, Some("before it is asked"), Some("after it is asked")] {
        let harness = Harness::start(|_| {}).await;
        send(&harness, 0, &lovelace("cl_1", "Ada", "Berlin")).await;
        if deleted_before == Some("before it is asked") {
            delete(&harness, "cl_1").await;
        }
        send(&harness, 0, &lovelace("cl_2", "Grace", "Bonn")).await;
        if deleted_before == Some("after it is asked") {
            delete(&harness, "cl_1").await;
            send(&harness, 30, &lovelace("cl_2", "Grace", "Trier")).await;
        }
        assert!(harness.admin_text("conflicts").await.contains("Ada"), "people are told apart by their names");
        harness.admin_ask("DELETE", "leads/klozeo/cl_1", json!({})).await;
        harness.settled().await;
        let told = async |when: &str| {
            let conflicts = harness.admin_text("conflicts").await;
            assert!(
                !conflicts.contains("Ada") && conflicts.contains("Grace"),
                "{deleted_before:?} {when}: {conflicts}"
            );
        };
        told("at once").await;
        send(&harness, 60, &lovelace("cl_2", "Grace", "Köln")).await;
        told("planned again").await;
        send(&harness, 0, &lovelace("cl_3", "Byron", "Ulm")).await;
        assert_eq!(open_conflicts(&harness).await.len(), 2);
        told("by another").await;
        harness.stop().await;
    }
}

/// The conversion of a sales rep's own Lead of Ada: the Contact and the Opportunity.
async fn converted(harness: &Harness) -> (String, String) {
    let fields =
        json!({ "FirstName": "Ada", "LastName": "Lovelace", "Email": "family@lovelace.example", "Company": "Engine" });
    let lead = make(harness, "Lead", fields).await;
    let made = harness.order("convert", json!({ "id": lead, "opportunity": true })).await;
    let id = |of: &str| made[of].as_str().unwrap().to_owned();
    (id("contact_id"), id("opportunity_id"))
}

fn with_opportunities(config: &mut Config) {
    with_contacts(config);
    for destination in config.destinations.values_mut() {
        let text = destination.fields.iter().find(|row| row.crm.as_str() == "City").unwrap().clone();
        let row = FieldRow { crm: "NextStep".into(), on: vec!["Opportunity".into()], ..text };
        destination.fields.push(row);
    }
}

#[tokio::test]
async fn the_opportunity_of_a_contact_is_filled_once_a_person_says_that_the_lead_is_that_contact() {
    for other_lead_owns_it in [false, true] {
        let harness = Harness::start(with_opportunities).await;
        let (contact, opportunity) = converted(&harness).await;
        if other_lead_owns_it {
            send(&harness, 0, &lovelace("cl_1", "Ada", "")).await;
            assert_eq!(link(&harness, "cl_1").await, (contact.clone(), true));
        }
        send(&harness, 0, &lovelace("cl_2", "Grace", "Bonn")).await;
        assert_eq!(link(&harness, "cl_2").await, (contact.clone(), false));
        let next_step = async || harness.control(&format!("records/{opportunity}")).await["fields"]["NextStep"].clone();
        assert_eq!(next_step().await, Json::Null, "nothing is written while in doubt");
        answer(&harness, "cl_2", "lead").await;
        assert_eq!(next_step().await, "Bonn", "{other_lead_owns_it}");
        assert_eq!(open_conflicts(&harness).await, Vec::<Json>::new());
        harness.stop().await;
    }
}

#[tokio::test]
async fn the_account_of_a_lead_in_doubt_is_made_once_a_person_says_that_it_is_the_same_person() {
    let harness = Harness::start(|config| {
        with_contacts(config);
        config.destinations.values_mut().for_each(|destination| {
            destination.records.company = leadrelay::config::Company::Account;
        });
    })
    .await;
    let fields = json!({ "FirstName": "Ada", "LastName": "Lovelace", "Email": "family@lovelace.example" });
    let contact = make(&harness, "Contact", fields).await;
    let mut grace = lovelace("cl_2", "Grace", "Bonn");
    grace["attributes"] = json!([{ "name": "company", "value": "Engine" }]);
    send(&harness, 0, &grace).await;
    let accounts = async || harness.control("records?object=Account").await["items"].as_array().unwrap().len();
    assert_eq!(accounts().await, 0);
    answer(&harness, "cl_2", "lead").await;
    assert_eq!(accounts().await, 1);
    let fields = harness.control(&format!("records/{contact}")).await["fields"].clone();
    assert_eq!((&fields["FirstName"], fields["AccountId"].is_null()), (&json!("Grace"), false), "{fields}");
    harness.stop().await;
}

#[tokio::test]
async fn what_a_person_told_apart_stays_so_in_the_record_that_it_is_merged_into() {
    let harness = Harness::start(|_| {}).await;
    let of = |first: &str, email: &str| json!({ "FirstName": first, "LastName": "Lovelace", "Company": "Engine", "Email": email });
    let first = make(&harness, "Lead", of("Ada", "family@lovelace.example")).await;
    let survivors = [
        make(&harness, "Lead", of("Ada", "other@lovelace.example")).await,
        make(&harness, "Lead", of("Byron", "third@lovelace.example")).await,
        make(&harness, "Lead", of("Grace", "fourth@lovelace.example")).await,
    ];
    send(&harness, 0, &lovelace("cl_2", "Grace", "Bonn")).await;
    answer(&harness, "cl_2", "crm").await;
    let mut merged = first;
    for (nth, survivor) in survivors.iter().enumerate() {
        harness.order("merge", json!({ "master": survivor, "losers": [merged] })).await;
        for again in 0..2 {
            let after = 60 * (1 + 2 * nth as i64 + again);
            send(&harness, after, &lovelace("cl_2", "Grace", &format!("City {after}"))).await;
            assert_eq!(link(&harness, "cl_2").await, (survivor.clone(), false));
            let fields = harness.control(&format!("records/{survivor}")).await["fields"].clone();
            assert_eq!((&fields["City"], &fields["Lead_System_Id__c"]), (&Json::Null, &Json::Null), "{nth}");
            // The last one has the lead's name: nobody said that it is another person than that one.
            assert_eq!(open_conflicts(&harness).await.len(), usize::from(nth == 2), "{nth}");
        }
        merged = survivor.clone();
    }
    let open = open_conflicts(&harness).await;
    assert!(open[0]["detail"].as_str().unwrap().contains("merged into"), "{open:?}");
    answer(&harness, "cl_2", "lead").await;
    assert_eq!(harness.record_of("cl_2").await["id"], survivors[2]);
    assert_eq!(harness.record_of("cl_2").await["fields"]["City"], "City 360");
    assert_eq!(open_conflicts(&harness).await, Vec::<Json>::new());
    harness.stop().await;
}

#[tokio::test]
async fn an_unknown_owner_of_a_lead_in_doubt_is_told_when_it_is_first_seen() {
    let harness = Harness::start(|config| {
        for destination in config.destinations.values_mut() {
            let city = destination.fields.iter().find(|row| row.crm.as_str() == "City").unwrap().clone();
            let (lead, kind) = ("attributes.owner".to_owned(), FieldType::Owner);
            destination.fields.push(FieldRow { lead, crm: "OwnerId".into(), kind, ..city });
        }
    })
    .await;
    send(&harness, 0, &lovelace("cl_1", "Ada", "Berlin")).await;
    let mut grace = lovelace("cl_2", "Grace", "Bonn");
    grace["attributes"] = json!([{ "name": "owner", "value": "nobody@sandbox.example" }]);
    send(&harness, 0, &grace).await;
    let log = harness.admin("sync-log?lead_id=cl_2").await;
    let rows = log["items"].as_array().unwrap();
    assert_eq!((rows.len(), &rows[0]["error_code"]), (1, &json!("shared_record")), "{log}");
    let error = rows[0]["error"].as_str().unwrap();
    assert!(error.contains("may be of a person") && error.contains("OwnerId is left out: "), "{error}");
    let found = harness.admin("sync-log?q=nobody@sandbox.example").await;
    assert_eq!(found["items"].as_array().unwrap().len(), 1, "{found}");
    // Nothing is left out of a record that is not written.
    assert_eq!(harness.admin("leads/klozeo/cl_2").await["links"][0]["left_out"], json!([]));
    harness.stop().await;
}
