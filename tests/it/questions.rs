//! What people are asked: what an answer may be, what is shown of it, and what is said where something else helps.

use serde_json::{Value as Json, json};

use crate::harness::{Harness, event};

const CREATED: i64 = 1_767_225_600;

fn ada(id: &str, city: &str) -> Json {
    json!({ "id": id, "name": "Ada Lovelace", "email": "ada@lovelace.example", "city": city })
}

async fn send(harness: &Harness, lead: &Json) {
    harness.send(&event("lead.created", CREATED, lead)).await;
    harness.settled().await;
}

async fn only_open(harness: &Harness) -> Json {
    let open = harness.admin("conflicts?state=open").await["items"].as_array().unwrap().clone();
    assert_eq!(open.len(), 1, "{open:?}");
    open.into_iter().next().unwrap()
}

#[tokio::test]
async fn two_leads_on_one_record_are_told_with_the_question_that_they_wait_for_and_with_its_answer() {
    let harness = Harness::start(|_| {}).await;
    send(&harness, &ada("cl_1", "Berlin")).await;
    send(&harness, &ada("cl_2", "Bonn")).await;
    let conflict = only_open(&harness).await;
    let (id, resolve) = (conflict["id"].clone(), format!("conflicts/{}/resolve", conflict["id"]));
    let by_hand = async |wanted: bool| {
        let listed = harness.admin(&format!("shared-records?kind=shared&by_hand={wanted}")).await;
        listed["items"].as_array().unwrap().iter().map(|pair| pair["by_hand"].clone()).collect::<Vec<_>>()
    };
    assert_eq!((by_hand(true).await, by_hand(false).await), (vec![], vec![json!(false)]));
    let named = |lead: &str| json!({ "source": "klozeo", "lead_id": lead });
    let pair =
        |lead: &str, other: &str| json!({ "destination": "salesforce", "lead": named(lead), "other": named(other) });
    let refused = async |order: &str, lead: &str, other: &str| {
        let (status, problem) = harness.admin_ask("POST", &format!("shared-records/{order}"), pair(lead, other)).await;
        assert_eq!(status, 404, "{problem}");
        problem["detail"].as_str().unwrap_or_default().to_owned()
    };
    for (order, lead, other) in [("dismiss", "cl_2", "cl_1"), ("dismiss", "cl_1", "cl_2"), ("reopen", "cl_2", "cl_1")] {
        let told = refused(order, lead, other).await;
        assert!(told.contains("are one record") && told.contains("`shared`"), "{told}");
        assert!(told.contains(&format!("POST /admin/v1/conflicts/{id}/resolve")), "{told}");
    }
    let told = refused("dismiss", "cl_2", "cl_9").await;
    assert!(told.contains("not suspected") && told.contains("GET /admin/v1/shared-records"), "{told}");

    // No other record can be chosen here.
    assert_eq!(conflict["choices"], json!(["lead", "crm", "create"]));
    let other =
        harness.order("records", json!({ "object": "Lead", "fields": { "LastName": "X", "Company": "X" } })).await;
    for record in [&other["id"], &conflict["record"]["id"]] {
        let answer = json!({ "choose": "record", "record_id": record });
        let (status, problem) = harness.admin_ask("POST", &resolve, answer).await;
        let told = problem["detail"].as_str().unwrap();
        assert!(status == 422 && told.contains("lead, crm, create"), "{problem}");
        assert!(told.contains("PUT /admin/v1/leads/klozeo/cl_2/links/salesforce"), "{problem}");
    }

    harness.admin_post(&resolve, json!({ "choose": "lead" })).await;
    harness.settled().await;
    assert_eq!((by_hand(true).await, by_hand(false).await), (vec![json!(true)], vec![]));
    let told = refused("dismiss", "cl_2", "cl_1").await;
    assert!(told.contains(&format!("conflict {id} was answered with `lead`")), "{told}");
    assert!(told.contains("DELETE /admin/v1/leads/klozeo/cl_2/links/salesforce"), "{told}");
    harness.stop().await;
}

#[tokio::test]
async fn a_doubt_about_people_names_both_to_those_who_decide_and_to_nobody_else() {
    let harness = Harness::start(|_| {}).await;
    let sister =
        json!({ "FirstName": "Grace", "LastName": "Lovelace", "Company": "X", "Email": "ada@lovelace.example" });
    harness.order("records", json!({ "object": "Lead", "fields": sister })).await;
    send(&harness, &ada("cl_1", "Berlin")).await;
    let conflict = only_open(&harness).await;
    assert_eq!((&conflict["lead"], &conflict["crm"]), (&json!("Ada Lovelace"), &json!("Grace Lovelace")));
    let names_both = |detail: &Json| {
        let detail = detail.as_str().unwrap();
        assert!(detail.contains("the lead is Ada Lovelace, and the record Grace Lovelace"), "{detail}");
    };
    names_both(&conflict["detail"]);
    let explained = harness.admin("leads/klozeo/cl_1/explain").await;
    names_both(&explained["plan"]["questions"][0]["detail"]);
    let log = harness.admin("sync-log?lead_id=cl_1").await;
    assert_eq!(log["items"][0]["error_code"], "shared_record", "{log}");
    let entry = harness.admin(&format!("sync-log/{}", log["items"][0]["id"])).await;
    assert!(!entry["error"].as_str().unwrap().contains("Grace"), "{entry}");
    harness.stop().await;
}

#[tokio::test]
async fn a_kind_of_record_that_contradicts_its_id_is_refused_with_both() {
    let harness = Harness::start(|_| {}).await;
    send(&harness, &ada("cl_1", "Berlin")).await;
    let other =
        harness.order("records", json!({ "object": "Lead", "fields": { "LastName": "X", "Company": "X" } })).await;
    let id = other["id"].as_str().unwrap();
    let path = "leads/klozeo/cl_1/links/salesforce";
    let (status, problem) = harness.admin_ask("PUT", path, json!({ "object": "Contact", "record_id": id })).await;
    let told = format!("object: Contact is written, and {id} is the ID of a record of kind Lead");
    assert!(status == 422 && problem["detail"].as_str().unwrap().starts_with(&told), "{problem}");
    assert_eq!(harness.admin_ask("PUT", path, json!({ "object": "Lead", "record_id": id })).await.0, 200);
    harness.stop().await;
}
