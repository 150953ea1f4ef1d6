//! Collections and composites.

use reqwest::Method;
use serde_json::{Value as Json, json};

use super::{DATA, Org, code, lead};

#[tokio::test]
async fn collections_answer_record_by_record() {
    let org = Org::start().await;
    let records = json!([lead("One", "1"), { "attributes": { "type": "Lead" }, "LastName": "Two" }, lead("Three", "1"), { "attributes": { "type": "Nope" } }]);
    let (status, items) = org.post("composite/sobjects", json!({ "records": records })).await;
    assert_eq!(status, 200);
    let codes: Vec<&str> =
        items.as_array().unwrap().iter().map(|item| item["errors"][0]["statusCode"].as_str().unwrap_or("ok")).collect();
    assert_eq!(codes, ["ok", "REQUIRED_FIELD_MISSING", "DUPLICATE_VALUE", "INVALID_TYPE"]);
    let (_, items) = org
        .post("composite/sobjects", json!({ "allOrNone": true, "records": [lead("Two", "2"), lead("One", "1")] }))
        .await;
    assert_eq!(items[0]["errors"][0]["statusCode"], "ALL_OR_NONE_OPERATION_ROLLED_BACK");
    assert_eq!(org.leads().await, 1);

    let body = json!({ "records": [lead("Uno", "1"), lead("Two", "2"), lead("Two", "2"), { "attributes": { "type": "Lead" }, "LastName": "x" }] });
    let (_, items) = org.patch("composite/sobjects/Lead/Lead_System_Id__c", body).await;
    let seen: Vec<&str> = items
        .as_array()
        .unwrap()
        .iter()
        .map(|item| match (&item["success"], &item["created"]) {
            (Json::Bool(true), Json::Bool(true)) => "created",
            (Json::Bool(true), _) => "updated",
            _ => item["errors"][0]["statusCode"].as_str().unwrap(),
        })
        .collect();
    assert_eq!(seen, ["updated", "created", "DUPLICATE_VALUE", "MISSING_ARGUMENT"]);

    let ids: Vec<&str> = items.as_array().unwrap()[..2].iter().map(|item| item["id"].as_str().unwrap()).collect();
    let (_, rows) = org
        .post(
            "composite/sobjects/Lead",
            json!({ "ids": [ids[1], "00Q000000000000AAA", ids[0]], "fields": ["LastName"] }),
        )
        .await;
    assert_eq!((&rows[0]["LastName"], &rows[1], &rows[2]["LastName"]), (&json!("Two"), &Json::Null, &json!("Uno")));
    let update = json!({ "records": [{ "attributes": { "type": "Lead" }, "id": ids[0], "Title": "x" }, { "attributes": { "type": "Lead" }, "Title": "x" }] });
    let (_, items) = org.patch("composite/sobjects", update).await;
    assert_eq!((&items[0]["success"], &items[1]["success"]), (&json!(true), &json!(false)));
    let (_, items) = org.call(Method::DELETE, &format!("composite/sobjects?ids={},{}", ids[0], ids[0]), None).await;
    assert_eq!(
        (&items[0]["success"], &items[1]["errors"][0]["statusCode"]),
        (&json!(true), &json!("ENTITY_IS_DELETED"))
    );

    let many: Vec<Json> = (0..201).map(|number| lead("Many", &format!("m{number}"))).collect();
    let (status, answer) = org.post("composite/sobjects", json!({ "records": many })).await;
    assert_eq!((status, code(&answer)), (400, "EXCEEDED_ID_LIMIT"));
}

#[tokio::test]
async fn a_composite_is_one_call_whose_parts_refer_to_each_other() {
    let org = Org::start().await;
    let parts = json!([
        { "method": "POST", "url": format!("{DATA}/composite/sobjects"), "referenceId": "w1", "body": { "records": [lead("One", "1")] } },
        { "method": "GET", "url": format!("{DATA}/query?q=SELECT Id, LastName FROM Lead WHERE Lead_System_Id__c IN ('1')"), "referenceId": "q1" },
        { "method": "PATCH", "url": format!("{DATA}/sobjects/Lead/@{{q1.records[0].Id}}"), "referenceId": "u1", "body": { "Title": "@{q1.records[0].LastName}" },
          "httpHeaders": { "Sforce-Auto-Assign": "FALSE" } },
        { "method": "GET", "url": format!("{DATA}/sobjects/Lead/@{{q9.id}}"), "referenceId": "h1" }
    ]);
    let before = org.get("/_sandbox/stats").await.1["calls"].as_u64().unwrap();
    let (status, answer) =
        org.post("composite", json!({ "collateSubrequests": false, "compositeRequest": parts })).await;
    assert_eq!(status, 200);
    let statuses: Vec<u64> = answer["compositeResponse"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| part["httpStatusCode"].as_u64().unwrap())
        .collect();
    assert_eq!(statuses, [200, 200, 204, 400]);
    assert_eq!(answer["compositeResponse"][3]["body"][0]["errorCode"], "PROCESSING_HALTED");
    let id = answer["compositeResponse"][0]["body"][0]["id"].as_str().unwrap();
    assert_eq!(org.record(id).await["fields"]["Title"], "One");
    assert_eq!(org.get("/_sandbox/stats").await.1["calls"], before + 1);

    let query = |number: usize| json!({ "method": "GET", "url": format!("{DATA}/query?q=SELECT Id FROM Lead"), "referenceId": format!("q{number}") });
    let wide: Vec<Json> = (0..6).map(query).collect();
    assert_eq!(org.post("composite", json!({ "compositeRequest": wide })).await.0, 400);
    let parts = json!([
        { "method": "POST", "url": format!("{DATA}/sobjects/Lead"), "referenceId": "a", "body": { "LastName": "A", "Company": "B" } },
        { "method": "POST", "url": format!("{DATA}/sobjects/Lead"), "referenceId": "b", "body": { "LastName": "A" } }
    ]);
    let (_, answer) = org.post("composite", json!({ "allOrNone": true, "compositeRequest": parts })).await;
    assert_eq!(answer["compositeResponse"][0]["body"][0]["errorCode"], "PROCESSING_HALTED");
    assert_eq!(answer["compositeResponse"][1]["body"][0]["errorCode"], "REQUIRED_FIELD_MISSING");
    assert_eq!(org.leads().await, 1);
    let forbidden = json!([{ "method": "GET", "url": format!("{DATA}/limits"), "referenceId": "a", "httpHeaders": { "accept": "x" } }]);
    assert_eq!(org.post("composite", json!({ "compositeRequest": forbidden })).await.0, 400);
}

#[tokio::test]
async fn a_composite_of_all_or_none_binds_its_collections_together_whatever_they_say() {
    let org = Org::start().await;
    let kept = org.lead(json!({})).await;
    let url = format!("{DATA}/composite/sobjects");
    let refused = json!({ "attributes": { "type": "Lead" }, "LastName": "No company" });
    let create = |body: Json| json!({ "method": "POST", "url": url, "referenceId": "w", "body": body });
    let parts = [
        create(json!({ "records": [lead("One", "1"), refused] })),
        create(json!({ "allOrNone": false, "records": [lead("One", "1"), refused] })),
        json!({ "method": "DELETE", "url": format!("{url}?ids={kept},00Q000000000000AAA"), "referenceId": "d" }),
        json!({ "method": "DELETE", "url": format!("{url}?ids={kept},00Q000000000000AAA&allOrNone=false"), "referenceId": "d" }),
    ];
    for part in parts {
        let (_, answer) = org.post("composite", json!({ "allOrNone": true, "compositeRequest": [part] })).await;
        let told = &answer["compositeResponse"][0]["body"][0];
        assert_eq!(told["errors"][0]["statusCode"], "ALL_OR_NONE_OPERATION_ROLLED_BACK", "{answer}");
        assert_eq!(org.leads().await, 1);
    }
    let (status, answer) = org.call(Method::DELETE, "composite/sobjects", None).await;
    assert_eq!((status, code(&answer)), (400, "REQUIRED_FIELD_MISSING"), "no ids");
}

#[tokio::test]
async fn a_collated_query_does_not_wait_for_the_write_ahead_of_it() {
    let org = Org::start().await;
    let parts = json!([
        { "method": "POST", "url": format!("{DATA}/sobjects/Lead"), "referenceId": "w", "body": { "LastName": "A", "Company": "B" } },
        { "method": "GET", "url": format!("{DATA}/query?q=SELECT Id FROM Lead"), "referenceId": "q" }
    ]);
    let (_, answer) = org.post("composite", json!({ "compositeRequest": parts })).await;
    assert_eq!(answer["compositeResponse"][1]["body"]["totalSize"], 0);
}
