//! Duplicate rules: what they find, what they refuse, and how one insists.

use reqwest::Method;
use serde_json::{Value as Json, json};

use super::{Org, code};

const HEADER: &str = "Sforce-Duplicate-Rule-Header";

impl Org {
    async fn rules(&self, rules: Json) {
        let (status, answer) = self.post("/_sandbox/duplicate-rules", json!({ "rules": rules })).await;
        assert_eq!(status, 200, "{answer}");
    }

    async fn insisting(&self, path: &str, header: &str, body: Json) -> (u16, Json) {
        let answer = self.request(Method::POST, path).header(HEADER, header).json(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }
}

#[tokio::test]
async fn an_alert_refuses_until_the_caller_insists_and_a_block_always() {
    let org = Org::start().await;
    let old = org.lead(json!({ "Email": "ada@acme.example", "Title": "Countess" })).await;
    let twin = json!({ "LastName": "Byron", "Company": "Other", "Email": "ADA@acme.example" });
    org.rules(json!([{ "object": "Lead", "match": "email", "action": "alert" }])).await;
    let (status, answer) = org.post("sobjects/Lead", twin.clone()).await;
    assert_eq!((status, code(&answer)), (400, "DUPLICATES_DETECTED"));
    let text = "You're creating a duplicate record. We recommend you use an existing record instead.";
    assert_eq!(answer[0]["message"], text);
    assert!(answer[0].get("fields").is_none());
    let found = &answer[0]["duplicateResut"];
    assert_eq!((&found["allowSave"], &found["duplicateRule"]), (&json!(true), &json!("Standard_Lead_Duplicate_Rule")));
    assert_eq!((&found["errorMessage"], &found["duplicateRuleEntityType"]), (&json!(text), &json!("Lead")));
    let matches = &found["matchResults"][0];
    assert_eq!((&matches["entityType"], &matches["size"]), (&json!("Lead"), &json!(1)));
    let record = &matches["matchRecords"][0]["record"];
    let url = format!("/services/data/v62.0/sobjects/Lead/{old}");
    assert_eq!(record, &json!({ "attributes": { "type": "Lead", "url": url }, "Id": old }));

    let (_, answer) = org.insisting("sobjects/Lead", "includeRecordDetails=true", twin.clone()).await;
    let record = &answer[0]["duplicateResut"]["matchResults"][0]["matchRecords"][0]["record"];
    assert_eq!(record["Title"], "Countess");
    assert_eq!(org.insisting("sobjects/Lead", "allowSave=true", twin.clone()).await.0, 201);

    org.rules(json!([{ "object": "Lead", "match": "email", "action": "block", "name": "No_Twins" }])).await;
    let (status, answer) = org.insisting("sobjects/Lead", "allowSave=true", twin.clone()).await;
    assert_eq!((status, code(&answer)), (400, "DUPLICATES_DETECTED"));
    let found = &answer[0]["duplicateResut"];
    assert_eq!((&found["allowSave"], &found["duplicateRule"]), (&json!(false), &json!("No_Twins")));
    org.rules(json!([])).await;
    assert_eq!(org.post("sobjects/Lead", twin).await.0, 201);
}

#[tokio::test]
async fn collections_say_less_and_composites_say_all() {
    let org = Org::start().await;
    org.lead(json!({ "Email": "ada@acme.example" })).await;
    org.rules(json!([{ "object": "Lead", "match": "email", "action": "alert" }])).await;
    let twin = |mail: &str| json!({ "attributes": { "type": "Lead" }, "LastName": "L", "Company": "C", "Email": mail });
    let both = json!({ "records": [twin("ada@acme.example"), twin("new@acme.example")] });
    let (status, items) = org.post("composite/sobjects", both.clone()).await;
    assert_eq!((status, &items[1]["success"]), (200, &json!(true)));
    let error = &items[0]["errors"][0];
    assert_eq!(
        (&error["statusCode"], &error["message"]),
        (&json!("DUPLICATES_DETECTED"), &json!("Use one of these records?"))
    );
    assert!(error.get("duplicateResut").is_none());
    let (_, items) = org.insisting("composite/sobjects", "allowSave=true", both).await;
    assert!(items.as_array().unwrap().iter().all(|item| item["success"] == true));
    let part = |reference: &str, headers: Json| {
        json!({
            "method": "POST", "url": format!("{}/sobjects/Lead", super::DATA), "referenceId": reference, "httpHeaders": headers,
            "body": { "LastName": "L", "Company": "C", "Email": "ada@acme.example" },
        })
    };
    let parts = json!([part("a", json!({})), part("b", json!({ HEADER: "allowSave=true" }))]);
    let (_, answer) = org.post("composite", json!({ "compositeRequest": parts })).await;
    let parts = &answer["compositeResponse"];
    assert_eq!((&parts[0]["httpStatusCode"], &parts[1]["httpStatusCode"]), (&json!(400), &json!(201)));
    assert_eq!(parts[0]["body"][0]["duplicateResut"]["matchResults"][0]["size"], 2);
}

#[tokio::test]
async fn rules_look_among_other_objects_and_only_when_their_fields_change() {
    let org = Org::start().await;
    let account = org.make("Account", json!({ "Name": "Acme" })).await;
    let contact =
        org.make("Contact", json!({ "FirstName": "Ada", "LastName": "Lovelace", "AccountId": account })).await;
    let other = org.lead(json!({ "FirstName": "Ada", "Company": "Other" })).await;
    org.rules(json!([
        { "object": "Lead", "against": ["Lead", "Contact"], "match": "name_and_company", "action": "block" },
        { "object": "Account", "match": "name_and_company", "action": "block" }
    ]))
    .await;
    let twin = json!({ "FirstName": "ada", "LastName": "LOVELACE", "Company": "acme" });
    let (_, answer) = org.post("sobjects/Lead", twin).await;
    let matches = &answer[0]["duplicateResut"]["matchResults"][0];
    assert_eq!(
        (&matches["entityType"], &matches["matchRecords"][0]["record"]["Id"]),
        (&json!("Contact"), &json!(contact))
    );
    let path = format!("sobjects/Lead/{other}");
    assert_eq!(org.patch(&path, json!({ "Title": "x" })).await.0, 204);
    let (status, answer) = org.patch(&path, json!({ "Company": "Acme" })).await;
    assert_eq!((status, code(&answer)), (400, "DUPLICATES_DETECTED"));
    let (_, answer) = org.post("sobjects/Account", json!({ "Name": "ACME" })).await;
    assert_eq!(code(&answer), "DUPLICATES_DETECTED");
    assert_eq!(org.post("sobjects/Account", json!({ "Name": "Acme Ltd" })).await.0, 201);
    let by_hand = json!({ "object": "Account", "fields": { "Name": "Acme" } });
    assert_eq!(org.post("/_sandbox/records", by_hand).await.0, 201, "a person may insist");
}

#[tokio::test]
async fn the_rules_in_force_can_be_queried() {
    let org = Org::start().await;
    let active = "SELECT SobjectType, DeveloperName, MasterLabel FROM DuplicateRule WHERE IsActive = true";
    assert_eq!(org.query(active).await["totalSize"], 0);
    assert_eq!(org.query("SELECT Id FROM DuplicateRule").await["totalSize"], 3);
    org.rules(json!([{ "object": "Contact", "match": "email", "action": "alert" }])).await;
    let rules = org.query(active).await;
    assert_eq!((&rules["totalSize"], &rules["records"][0]["SobjectType"]), (&json!(1), &json!("Contact")));
    let matching = org.query("SELECT Id, DeveloperName FROM MatchingRule WHERE RuleStatus = 'Active'").await;
    let id = matching["records"][0]["Id"].as_str().unwrap();
    let items =
        org.query(&format!("SELECT Field, MatchingMethod FROM MatchingRuleItem WHERE MatchingRuleId = '{id}'")).await;
    assert_eq!((&items["records"][0]["Field"], &items["totalSize"]), (&json!("Email"), &json!(1)));
    for wrong in [
        json!([{ "object": "Opportunity", "match": "email", "action": "alert" }]),
        json!([{ "object": "Account", "match": "email", "action": "alert" }]),
        json!([{ "object": "Lead", "against": ["Account"], "match": "name_and_company", "action": "alert" }]),
        json!([{ "object": "Lead", "match": "phone", "action": "alert" }]),
    ] {
        assert_eq!(org.post("/_sandbox/duplicate-rules", json!({ "rules": wrong })).await.0, 400, "{wrong}");
    }
    assert_eq!(org.query(active).await["totalSize"], 1, "a refused plan changed the rules");
}
