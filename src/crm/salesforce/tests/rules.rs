//! What an org's own rules do to records on their way in: duplicate rules, and rules that assign an owner.

use serde_json::Value as Json;

use super::*;

fn with(external_id: &str, duplicates: OnDuplicate, owner: Option<&str>) -> RecordWrite {
    let mut write = RecordWrite { duplicates, ..create(external_id) };
    write.fields.extend(owner.map(|owner| ("OwnerId".into(), CrmValue::Text(owner.into()))));
    write
}

/// The parts of the newest composite call: reference, method and path, headers, and how many records.
fn parts(org: &Org) -> Vec<(String, String, Json, usize)> {
    read_parts(&org.seen("/composite").pop().unwrap().body)
}

fn read_parts(body: &str) -> Vec<(String, String, Json, usize)> {
    let body: Json = serde_json::from_str(body).unwrap();
    let parts = body["compositeRequest"].as_array().unwrap().iter().filter(|part| part["method"] != "GET");
    let told = |part: &Json| {
        let text = |key: &str| part[key].as_str().unwrap().to_owned();
        let called = format!("{} {}", text("method"), text("url").replace("/services/data/v62.0", ""));
        let records = part["body"]["records"].as_array().map_or(1, Vec::len);
        (text("referenceId"), called, part["httpHeaders"].clone(), records)
    };
    parts.map(told).collect()
}

#[tokio::test]
async fn records_that_are_saved_past_a_rule_or_come_with_an_owner_travel_apart() {
    let org = Org::start().await;
    let (crm, _) = adapter(&org.address);
    let (refuse, save) = (OnDuplicate::Refuse, OnDuplicate::Save);
    let owner = Some("0055g00000BbbBbAAV");
    let writes = vec![
        with("a", refuse, None),
        with("b", save, None),
        with("c", refuse, owner),
        with("d", save, owner),
        with("e", refuse, None),
        update(ADA),
        RecordWrite { duplicates: save, ..update(BOB) },
    ];
    crm.write(&write_request(writes)).await;
    let header = |assign: &str| json!({"Sforce-Auto-Assign": assign});
    let saving = |assign: &str| json!({"Sforce-Auto-Assign": assign, "Sforce-Duplicate-Rule-Header": "allowSave=true"});
    let post = "POST /composite/sobjects".to_owned();
    assert_eq!(
        parts_of_composite(&org),
        [
            ("creates".to_owned(), post.clone(), header("TRUE"), 2),
            ("creates_owned".to_owned(), post.clone(), header("FALSE"), 1),
            ("creates_saved".to_owned(), post.clone(), saving("TRUE"), 1),
            ("creates_owned_saved".to_owned(), post, saving("FALSE"), 1),
            ("updates".to_owned(), "PATCH /composite/sobjects".to_owned(), header("FALSE"), 1),
        ]
    );
    // Six collections are one too many for a composite.
    let plain = org.seen("/composite/sobjects");
    assert_eq!(plain.len(), 1);
    assert_eq!(plain[0].header("sforce-duplicate-rule-header"), "allowSave=true");
    assert_eq!(plain[0].header("sforce-auto-assign"), "FALSE");
}

#[tokio::test]
async fn what_a_rule_found_is_told_of_a_record_that_travels_alone() {
    let org = Org::start().await;
    let (crm, _) = adapter(&org.address);
    crm.describe(&["Lead".into()]).await.unwrap();
    let found = json!([{"errorCode": "DUPLICATES_DETECTED", "message": "m", "duplicateResut": {"matchResults": [
        {"matchRecords": [{"record": {"attributes": {"type": "Contact"}, "Id": EVE}}]}]}}]);
    let part = |reference: &str, status: u16, body: Json| json!({"referenceId": reference, "httpStatusCode": status, "httpHeaders": {}, "body": body});
    let answers = json!({"compositeResponse": [
        part("alone0", 400, found),
        part("alone1", 201, json!({"id": BOB, "success": true, "errors": []})),
        part("alone2", 204, Json::Null),
    ]});
    org.answer("/composite", Reply::json(200, answers));
    let explain = OnDuplicate::Explain;
    let changed = RecordWrite { duplicates: explain, ..update(ADA) };
    let writes = vec![with("a", explain, None), with("b", explain, None), changed];
    let results = crm.write(&write_request(writes)).await;
    match &results[0].outcome {
        Err(CrmError::Duplicate { records, .. }) => assert_eq!(records[0].id.as_str(), EVE),
        other => panic!("{other:?}"),
    }
    let id = |place: usize| results[place].outcome.as_ref().unwrap().record.id.as_str();
    assert_eq!((id(1), id(2)), (BOB, ADA));
    assert!(
        results[2].request.contains(&format!(r#""method":"PATCH","url":"/services/data/v62.0/sobjects/Lead/{ADA}""#))
    );
    let sent: Vec<String> = parts(&org).into_iter().map(|(_, called, ..)| called).collect();
    assert_eq!(sent, ["POST /sobjects/Lead", "POST /sobjects/Lead", &format!("PATCH /sobjects/Lead/{ADA}")]);
    let body: Json = serde_json::from_str(&org.seen("/composite").pop().unwrap().body).unwrap();
    assert_eq!(body["compositeRequest"][0]["body"], json!({"Ext__c": "a", "LastName": "Lovelace"}));
}

#[tokio::test]
async fn what_a_rule_found_is_told_of_every_record_however_many_there_are() {
    let org = Org::start().await;
    let (crm, _) = adapter(&org.address);
    let found = |place: usize| {
        let record = json!({"attributes": {"type": "Lead"}, "Id": format!("00Q5g0000{place:06}EA5")});
        json!([{"errorCode": "DUPLICATES_DETECTED", "message": "m",
            "duplicateResut": {"matchResults": [{"matchRecords": [{"record": record}]}]}}])
    };
    let answer = |from: usize, records: usize| {
        let part =
            |n: usize| json!({"referenceId": format!("alone{n}"), "httpStatusCode": 400, "body": found(from + n)});
        Reply::json(200, json!({"compositeResponse": (0..records).map(part).collect::<Vec<_>>()}))
    };
    for (from, records) in [(0, 20), (20, 23), (43, 7)] {
        org.answer("/composite", answer(from, records));
    }
    let many = (0..50).map(|n| with(&n.to_string(), OnDuplicate::Explain, None)).collect();
    let results = crm.write(&write_request(many)).await;
    assert_eq!(results.len(), 50);
    for (place, result) in results.iter().enumerate() {
        match &result.outcome {
            Err(CrmError::Duplicate { records, .. }) => {
                assert_eq!(records[0].id.as_str(), format!("00Q5g0000{place:06}EA5"));
            }
            other => panic!("{place}: {other:?}"),
        }
        assert!(result.request.contains(r#""method":"POST","url":"/services/data/v62.0/sobjects/Lead""#), "{result:?}");
        assert!(result.request.contains(&format!(r#""Ext__c":"{place}""#)), "{result:?}");
    }
    let calls: Vec<usize> = org.seen("/composite").iter().map(|seen| read_parts(&seen.body).len()).collect();
    assert_eq!(calls, [20, 23, 7]);
}

/// The parts of the composite call where there are plain collections beside it.
fn parts_of_composite(org: &Org) -> Vec<(String, String, Json, usize)> {
    let is_composite = |seen: &org::Seen| seen.body.contains("compositeRequest");
    assert_eq!(org.seen("/composite").iter().filter(|seen| is_composite(seen)).count(), 1);
    let body = org.seen("/composite").into_iter().find(is_composite).unwrap().body;
    read_parts(&body)
}
