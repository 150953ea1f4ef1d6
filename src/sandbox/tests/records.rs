//! Single records, and the schema they obey.

use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};

use super::{Org, code};

#[tokio::test]
async fn a_record_is_created_read_updated_and_deleted() {
    let org = Org::start().await;
    let id = org.lead(json!({ "FirstName": " Ada ", "Lead_Score__c": 87, "Email": "Ada@Analytical.example" })).await;
    let path = format!("sobjects/Lead/{id}");
    let (status, read) = org.get(&format!("{path}?fields=Name,Lead_Score__c,Status,IsConverted,Title")).await;
    assert_eq!(status, 200);
    assert_eq!(read["Name"], "Ada Lovelace");
    assert_eq!(read["Lead_Score__c"].to_string(), "87.0");
    assert_eq!(
        (&read["Status"], &read["IsConverted"], &read["Title"]),
        (&json!("Open - Not Contacted"), &json!(false), &Json::Null)
    );
    assert_eq!(org.patch(&path, json!({ "Title": "Countess", "FirstName": null })).await, (204, Json::Null));
    assert_eq!(org.record(&id).await["fields"]["Name"], "Lovelace");
    assert_eq!(org.call(Method::DELETE, &path, None).await.0, 204);
    let (status, gone) = org.call(Method::DELETE, &path, None).await;
    assert_eq!((status, code(&gone)), (404, "ENTITY_IS_DELETED"));
    assert_eq!(org.get(&path).await.0, 404);
    assert_eq!(org.leads().await, 0);
}

#[tokio::test]
async fn what_the_schema_forbids_is_refused_by_name() {
    let org = Org::start().await;
    let taken = org.lead(json!({ "Lead_System_Id__c": "a-1" })).await;
    let check = async |fields: Json, expected: &str| {
        let (status, answer) = org.post("sobjects/Lead", fields.clone()).await;
        assert_eq!((status, code(&answer)), (400, expected), "{fields}: {answer}");
        answer
    };
    let missing = check(json!({ "Title": "x" }), "REQUIRED_FIELD_MISSING").await;
    assert_eq!(missing[0]["message"], "Required fields are missing: [LastName, Company]");
    assert_eq!(missing[0]["fields"], json!(["LastName", "Company"]));
    let twice = check(json!({ "LastName": "L", "Company": "C", "Lead_System_Id__c": "a-1" }), "DUPLICATE_VALUE").await;
    let expected =
        format!("duplicate value found: Lead_System_Id__c duplicates value on record with id: {}", &taken[..15]);
    assert_eq!(twice[0]["message"], expected);
    check(json!({ "LastName": "L", "Company": "C", "Nope__c": 1 }), "INVALID_FIELD").await;
    check(json!({ "LastName": "L", "Company": "C", "Name": "x" }), "INVALID_FIELD_FOR_INSERT_UPDATE").await;
    check(json!({ "LastName": "L", "Company": "C", "OwnerId": null }), "INVALID_CROSS_REFERENCE_KEY").await;
    check(json!({ "LastName": "L", "Company": "C", "OwnerId": taken }), "MALFORMED_ID").await;
    assert_eq!(
        org.post("sobjects/Lead", json!({ "LastName": "L", "Company": "C", "Lead_System_Id__c": "A-1" })).await.0,
        201
    );
    let (status, answer) = org.patch(&format!("sobjects/Lead/{taken}"), json!({ "LastName": "" })).await;
    assert_eq!((status, code(&answer)), (400, "REQUIRED_FIELD_MISSING"));
    let (status, answer) = org.patch(&format!("sobjects/Lead/{taken}"), json!({ "IsConverted": true })).await;
    assert_eq!((status, code(&answer)), (400, "INVALID_FIELD_FOR_INSERT_UPDATE"));
    assert_eq!(
        org.patch(&format!("/_sandbox/records/{taken}"), json!({ "fields": { "IsConverted": true } })).await.0,
        200
    );
    let (status, answer) = org.patch(&format!("sobjects/Lead/{taken}"), json!({ "Title": "x" })).await;
    assert_eq!((status, code(&answer)), (400, "CANNOT_UPDATE_CONVERTED_LEAD"));
}

#[tokio::test]
async fn an_upsert_creates_updates_or_shows_all_matches() {
    let org = Org::start().await;
    let path = "sobjects/Lead/Lead_System_Id__c/a%2F1";
    let body = json!({ "LastName": "Lovelace", "Company": "Analytical" });
    let (status, made) = org.patch(path, body.clone()).await;
    assert_eq!((status, &made["created"]), (201, &json!(true)));
    let (status, same) = org.patch(path, json!({ "Title": "Countess" })).await;
    assert_eq!((status, &same["created"], &same["id"]), (200, &json!(false), &made["id"]));
    assert_eq!(org.record(made["id"].as_str().unwrap()).await["fields"]["Lead_System_Id__c"], "a/1");
    let (status, answer) = org.patch(path, json!({ "Lead_System_Id__c": "a/1" })).await;
    assert_eq!((status, code(&answer)), (400, "INVALID_FIELD"));
    assert_eq!(org.patch("sobjects/Lead/Title/x", body.clone()).await.0, 404);
    assert_eq!(org.patch("sobjects/Lead/Lead_System_Id__c/new?updateOnly=true", body.clone()).await.0, 404);
    assert_eq!(org.patch("sobjects/Lead/Email/a@b.inc", body.clone()).await.0, 404);

    org.lead(json!({ "Email": "two@acme.example" })).await;
    org.lead(json!({ "Email": "TWO@acme.example" })).await;
    let (status, urls) = org.patch("sobjects/Lead/Email/two@acme.example", body).await;
    assert_eq!((status, urls.as_array().unwrap().len()), (300, 2));
    assert_eq!(org.get("/_sandbox/stats").await.1["duplicates"], json!({ "external_id": 0, "email": 1 }));
}

#[tokio::test]
async fn the_description_follows_the_fields_and_answers_304() {
    let org = Org::start().await;
    let describe = async |since: Option<String>| {
        let mut request = org.request(Method::GET, "sobjects/lead/describe");
        if let Some(since) = since {
            request = request.header("If-Modified-Since", since);
        }
        request.send().await.unwrap()
    };
    let first = describe(None).await;
    let stamp = first.headers()["last-modified"].to_str().unwrap().to_owned();
    let body: Json = first.json().await.unwrap();
    let field = |body: &Json, name: &str| {
        body["fields"].as_array().unwrap().iter().find(|field| field["name"] == name).cloned()
    };
    let key = field(&body, "Lead_System_Id__c").unwrap();
    assert_eq!(
        (&key["unique"], &key["externalId"], &key["caseSensitive"], &key["length"]),
        (&json!(true), &json!(true), &json!(true), &json!(64))
    );
    assert_eq!(describe(Some(stamp.clone())).await.status(), StatusCode::NOT_MODIFIED);
    let new =
        json!({ "object": "Lead", "name": "Colour__c", "type": "picklist", "restricted": true, "values": ["Red"] });
    assert_eq!(org.post("/_sandbox/fields", new).await.0, 201);
    let changed = describe(Some(stamp)).await;
    assert_eq!(changed.status(), StatusCode::OK);
    assert!(field(&changed.json().await.unwrap(), "Colour__c").is_some());
    let (_, answer) = org.post("sobjects/Lead", json!({ "LastName": "L", "Company": "C", "Colour__c": "Blue" })).await;
    assert_eq!(code(&answer), "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST");
    let hide = json!({ "object": "Lead", "name": "Colour__c", "hide": true });
    assert_eq!(org.call(Method::DELETE, "/_sandbox/fields", Some(hide)).await.0, 200);
    let (_, answer) = org.post("sobjects/Lead", json!({ "LastName": "L", "Company": "C", "Colour__c": "Red" })).await;
    assert_eq!(code(&answer), "INVALID_FIELD");
    assert_eq!(code(&org.query("SELECT Colour__c FROM Lead").await), "INVALID_FIELD");
}

#[tokio::test]
async fn assignment_rules_run_unless_told_otherwise_and_history_tells_who_did_what() {
    let org = Org::start().await;
    let with_header = |method: Method, path: &str, body: Json| {
        let request =
            org.request(method, path).header("Sforce-Auto-Assign", "FALSE").header("x-request-id", "r-1").json(&body);
        async move { request.send().await.unwrap().json::<Json>().await.unwrap_or_default() }
    };
    let made = with_header(Method::POST, "sobjects/Lead", json!({ "LastName": "L", "Company": "C" })).await;
    let id = made["id"].as_str().unwrap();
    let owner = async || org.record(id).await["fields"]["OwnerId"].as_str().unwrap().to_owned();
    assert!(owner().await.starts_with("005"));
    with_header(Method::PATCH, &format!("sobjects/Lead/{id}"), json!({ "Title": "x" })).await;
    assert!(owner().await.starts_with("005"));
    org.patch(&format!("/_sandbox/records/{id}"), json!({ "fields": { "Title": "y" } })).await;
    org.patch(&format!("sobjects/Lead/{id}"), json!({ "Title": "z" })).await;
    assert!(owner().await.starts_with("00G"));
    let record = org.record(id).await;
    let history: Vec<(&str, &Json)> = record["history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|edit| (edit["by"].as_str().unwrap(), &edit["changes"]["Title"]))
        .collect();
    assert_eq!(
        history,
        [
            ("api", &Json::Null),
            ("api", &json!("x")),
            ("user", &json!("y")),
            ("api", &json!("z")),
            ("trigger", &Json::Null)
        ]
    );
    assert_eq!(record["history"][0]["request"], "r-1");
}

#[tokio::test]
async fn an_id_of_one_run_names_nothing_in_the_next() {
    let id = Org::start().await.lead(json!({})).await;
    let next = Org::start().await;
    assert_ne!(next.lead(json!({})).await, id);
    assert_eq!(next.get(&format!("sobjects/Lead/{id}")).await.0, 404);
}
