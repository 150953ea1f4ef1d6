//! Accounts, contacts, opportunities, their links, and the users who own them.

use reqwest::Method;
use serde_json::{Value as Json, json};

use super::{DATA, Org, code};

#[tokio::test]
async fn every_object_is_described_created_queried_upserted_and_deleted() {
    let org = Org::start().await;
    let (_, all) = org.get("sobjects").await;
    for object in ["Lead", "Contact", "Account", "Opportunity", "OpportunityContactRole", "User", "Group"] {
        let listed = all["sobjects"].as_array().unwrap().iter().any(|listed| listed["name"] == object);
        assert!(listed, "{object}");
    }
    for (object, body, field, value) in [
        ("Lead", json!({ "LastName": "L", "Company": "C" }), "Title", json!("T")),
        ("Contact", json!({ "LastName": "L" }), "Department", json!("D")),
        ("Account", json!({ "Name": "N" }), "Website", json!("https://acme.example")),
        (
            "Opportunity",
            json!({ "Name": "N", "StageName": "Qualification", "CloseDate": "2026-03-31" }),
            "Amount",
            json!(12.5),
        ),
    ] {
        let (_, described) = org.get(&format!("sobjects/{object}/describe")).await;
        let key = described["fields"].as_array().unwrap().iter().find(|field| field["name"] == "Lead_System_Id__c");
        assert_eq!(key.unwrap()["unique"], true, "{object}");
        let (status, made) = org.patch(&format!("sobjects/{object}/Lead_System_Id__c/k-1"), body.clone()).await;
        assert_eq!((status, &made["created"]), (201, &json!(true)), "{object}: {made}");
        let (status, same) =
            org.patch(&format!("sobjects/{object}/Lead_System_Id__c/k-1"), json!({ field: value })).await;
        assert_eq!((status, &same["id"]), (200, &made["id"]), "{object}: {same}");
        let statement = format!("SELECT Id, {field} FROM {object} WHERE Lead_System_Id__c IN ('k-1')");
        assert_eq!(org.query(&statement).await["records"][0][field], value, "{object}");
        let mut record = body.clone();
        record["attributes"] = json!({ "type": object });
        record["Lead_System_Id__c"] = json!("k-1");
        let (_, items) = org.post("composite/sobjects", json!({ "records": [record] })).await;
        assert_eq!(items[0]["errors"][0]["statusCode"], "DUPLICATE_VALUE", "{object}");
        let id = made["id"].as_str().unwrap();
        assert_eq!(org.call(Method::DELETE, &format!("sobjects/{object}/{id}"), None).await.0, 204);
        assert_eq!(org.query(&statement).await["totalSize"], 0);
    }
}

#[tokio::test]
async fn each_object_needs_its_names() {
    let org = Org::start().await;
    for (object, missing) in [
        ("Lead", "[LastName, Company]"),
        ("Contact", "[LastName]"),
        ("Account", "[Name]"),
        ("Opportunity", "[Name, StageName, CloseDate]"),
        ("OpportunityContactRole", "[OpportunityId, ContactId]"),
    ] {
        let (status, answer) = org.post(&format!("sobjects/{object}"), json!({})).await;
        assert_eq!((status, code(&answer)), (400, "REQUIRED_FIELD_MISSING"), "{object}");
        assert_eq!(answer[0]["message"], format!("Required fields are missing: {missing}"));
    }
}

#[tokio::test]
async fn references_lead_to_records_of_the_right_kind() {
    let org = Org::start().await;
    let account = org.make("Account", json!({ "Name": "Acme", "Lead_System_Id__c": "A-17" })).await;
    let contact = org.make("Contact", json!({ "LastName": "L", "AccountId": &account[..15] })).await;
    assert_eq!(org.record(&contact).await["fields"]["AccountId"], account.as_str());
    let by_key = json!({ "LastName": "M", "Account": { "Lead_System_Id__c": "A-17" } });
    let second = org.make("Contact", by_key).await;
    assert_eq!(org.record(&second).await["fields"]["AccountId"], account.as_str());
    for (object, fields, expected) in [
        ("Contact", json!({ "LastName": "L", "AccountId": contact }), "MALFORMED_ID"),
        ("Contact", json!({ "LastName": "L", "AccountId": "001000000000000AAA" }), "INVALID_CROSS_REFERENCE_KEY"),
        ("Contact", json!({ "LastName": "L", "AccountId": "nobody" }), "MALFORMED_ID"),
        ("Contact", json!({ "LastName": "L", "Account": { "Lead_System_Id__c": "a-17" } }), "INVALID_FIELD"),
        ("Contact", json!({ "LastName": "L", "Account": { "Phone": "1" } }), "INVALID_FIELD"),
        ("Contact", json!({ "LastName": "L", "Account": {} }), "INVALID_FIELD"),
        ("Contact", json!({ "LastName": "L", "OwnerId": null }), "INVALID_CROSS_REFERENCE_KEY"),
    ] {
        let (status, answer) = org.post(&format!("sobjects/{object}"), fields.clone()).await;
        assert_eq!((status, code(&answer)), (400, expected), "{fields}: {answer}");
    }
    org.call(Method::DELETE, &format!("sobjects/Account/{account}"), None).await;
    assert_eq!(org.record(&contact).await["deleted"], true);
    let (_, answer) = org.post("sobjects/Contact", json!({ "LastName": "L", "AccountId": account })).await;
    assert_eq!(code(&answer), "INVALID_CROSS_REFERENCE_KEY");
}

#[tokio::test]
async fn owners_are_active_users_and_of_leads_also_queues() {
    let org = Org::start().await;
    let user = async |mail: &str| {
        let found = org.query(&format!("SELECT Id, IsActive, Name FROM User WHERE Email = '{mail}'")).await;
        found["records"][0].clone()
    };
    let (sam, ines) = (user("SAM.SALES@sandbox.example").await, user("ines.former@sandbox.example").await);
    assert_eq!((&sam["Name"], &sam["IsActive"], &ines["IsActive"]), (&json!("Sam Sales"), &json!(true), &json!(false)));
    let queue = org.query("SELECT Id FROM Group WHERE Type = 'Queue'").await["records"][0]["Id"].clone();
    let owned = async |object: &str, owner: &Json| {
        let body = json!({ "LastName": "L", "Company": "C", "Name": "N", "OwnerId": owner });
        let wanted = match object {
            "Lead" => json!({ "LastName": body["LastName"], "Company": body["Company"], "OwnerId": owner }),
            "Contact" => json!({ "LastName": body["LastName"], "OwnerId": owner }),
            _ => json!({ "Name": body["Name"], "OwnerId": owner }),
        };
        let (_, answer) = org.post(&format!("sobjects/{object}"), wanted).await;
        answer
    };
    for object in ["Lead", "Contact", "Account"] {
        assert_eq!(owned(object, &sam["Id"]).await["success"], true);
        let refused = owned(object, &ines["Id"]).await;
        assert_eq!(code(&refused), "INACTIVE_OWNER_OR_USER", "{object}");
        let expected = format!(
            "operation performed with inactive user [{}] as owner of {}",
            &ines["Id"].as_str().unwrap()[..15],
            object.to_lowercase()
        );
        assert_eq!(refused[0]["message"], expected);
    }
    assert_eq!(owned("Lead", &queue).await["success"], true);
    assert_eq!(code(&owned("Contact", &queue).await), "MALFORMED_ID");
    let (status, answer) = org.post("sobjects/User", json!({ "LastName": "L" })).await;
    assert_eq!((status, code(&answer)), (400, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY"));
    let made = json!({ "object": "User", "fields": { "Username": "x@sandbox.example", "Email": "sam.sales@sandbox.example", "LastName": "X", "IsActive": true } });
    assert_eq!(org.post("/_sandbox/records", made).await.0, 201);
    let doubled = org.query("SELECT Id FROM User WHERE Email = 'sam.sales@sandbox.example'").await;
    assert_eq!(doubled["totalSize"], 2);
    assert!(org.get("/_sandbox/stats").await.1["records"].get("User").is_none());
}

#[tokio::test]
async fn an_opportunity_follows_its_stage_and_has_one_primary_contact() {
    let org = Org::start().await;
    let contact = org.make("Contact", json!({ "LastName": "L" })).await;
    let other = org.make("Contact", json!({ "LastName": "M" })).await;
    let body = json!({ "Name": "Deal", "StageName": "Value Proposition", "CloseDate": "2026-08-31", "Amount": 1000, "ContactId": contact });
    let id = org.make("Opportunity", body).await;
    let fields = org.record(&id).await["fields"].clone();
    assert_eq!(
        (fields["Probability"].to_string(), fields["ExpectedRevenue"].to_string()),
        ("50.0".into(), "500.0".into())
    );
    assert_eq!(
        (&fields["Fiscal"], &fields["ForecastCategory"], &fields["IsClosed"]),
        (&json!("2026 3"), &json!("Pipeline"), &json!(false))
    );
    let roles = org
        .query(&format!("SELECT ContactId, IsPrimary FROM OpportunityContactRole WHERE OpportunityId = '{id}'"))
        .await;
    assert_eq!((&roles["totalSize"], &roles["records"][0]["ContactId"]), (&json!(1), &json!(contact)));
    org.make(
        "OpportunityContactRole",
        json!({ "OpportunityId": id, "ContactId": other, "Role": "Decision Maker", "IsPrimary": true }),
    )
    .await;
    let primary = org
        .query(&format!(
            "SELECT ContactId FROM OpportunityContactRole WHERE OpportunityId = '{id}' AND IsPrimary = true"
        ))
        .await;
    assert_eq!((&primary["totalSize"], &primary["records"][0]["ContactId"]), (&json!(1), &json!(other)));
    let won = json!({ "StageName": "Closed Won", "Probability": 99 });
    assert_eq!(org.patch(&format!("sobjects/Opportunity/{id}"), won).await.0, 204);
    let fields = org.record(&id).await["fields"].clone();
    assert_eq!((&fields["IsWon"], fields["Probability"].to_string()), (&json!(true), "99.0".into()));
    assert_eq!(org.patch(&format!("sobjects/Opportunity/{id}"), json!({ "StageName": "In Progress" })).await.0, 204);
    let (_, answer) = org.patch(&format!("sobjects/Opportunity/{id}"), json!({ "ContactId": contact })).await;
    assert_eq!(code(&answer), "INVALID_FIELD_FOR_INSERT_UPDATE");
}

#[tokio::test]
async fn a_person_with_a_company_and_a_deal_is_one_composite() {
    let org = Org::start().await;
    let collection = |reference: &str, record: Json| {
        json!({
            "method": "PATCH", "referenceId": reference, "body": { "records": [record] },
            "url": format!("{DATA}/composite/sobjects/{}/Lead_System_Id__c", record["attributes"]["type"].as_str().unwrap()),
        })
    };
    let parts = json!([
        collection("a", json!({ "attributes": { "type": "Account" }, "Lead_System_Id__c": "1", "Name": "Acme" })),
        collection(
            "c",
            json!({ "attributes": { "type": "Contact" }, "Lead_System_Id__c": "1", "LastName": "L", "Account": { "Lead_System_Id__c": "1" } })
        ),
        collection(
            "o",
            json!({
                "attributes": { "type": "Opportunity" }, "Lead_System_Id__c": "1", "Name": "D", "StageName": "Prospecting", "CloseDate": "2026-01-31",
                "Account": { "Lead_System_Id__c": "1" }, "ContactId": "@{c[0].id}",
            })
        ),
    ]);
    let (status, answer) =
        org.post("composite", json!({ "collateSubrequests": false, "compositeRequest": parts })).await;
    assert_eq!(status, 200);
    let made: Vec<&Json> =
        answer["compositeResponse"].as_array().unwrap().iter().map(|part| &part["body"][0]["success"]).collect();
    assert_eq!(made, [&json!(true); 3], "{answer}");
    let roles = org.query("SELECT ContactId FROM OpportunityContactRole").await;
    assert_eq!(roles["records"][0]["ContactId"], answer["compositeResponse"][1]["body"][0]["id"]);

    let half = json!([
        { "method": "POST", "url": format!("{DATA}/sobjects/Opportunity"), "referenceId": "o",
          "body": { "Name": "D", "StageName": "Prospecting", "CloseDate": "2026-01-31", "ContactId": roles["records"][0]["ContactId"] } },
        { "method": "POST", "url": format!("{DATA}/sobjects/Account"), "referenceId": "a", "body": {} }
    ]);
    org.post("composite", json!({ "allOrNone": true, "compositeRequest": half })).await;
    assert_eq!(org.query("SELECT Id FROM OpportunityContactRole").await["totalSize"], 1);
    assert_eq!(org.query("SELECT Id FROM Opportunity").await["totalSize"], 1);
}

#[tokio::test]
async fn a_field_is_taken_away_or_hidden_by_a_query_as_well() {
    let org = Org::start().await;
    let made = json!({ "object": "Lead", "name": "Floor__c", "type": "text", "length": 20 });
    assert_eq!(org.post("/_sandbox/fields", made).await.0, 201);
    let delete = async |query: &str| org.call(Method::DELETE, &format!("/_sandbox/fields{query}"), None).await;
    assert_eq!(delete("?object=Lead&name=Floor__c").await.0, 200);
    assert_eq!(delete("?object=Lead&name=Floor__c").await.0, 404, "it is gone");
    assert_eq!(delete("?object=Lead&name=Lead_Score__c&hide=true").await.0, 200);
    let (_, described) = org.get("/services/data/v62.0/sobjects/Lead/describe").await;
    assert!(!described.to_string().contains("Lead_Score__c"), "our user may not see it");
    let (status, answer) = delete("").await;
    assert_eq!((status, answer.to_string().contains("missing field `object`")), (400, true), "{answer}");
}
