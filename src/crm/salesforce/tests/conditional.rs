//! Updates that hold only while their records are as they were read.

use super::*;

/// An update that holds only while Bob's record is as it was.
fn conditional(id: &str) -> RecordWrite {
    RecordWrite { unmodified_since: Timestamp::parse_rfc3339("2026-01-31T10:00:00.7Z"), ..update(id) }
}

fn owned(external_id: &str) -> RecordWrite {
    let mut write = create(external_id);
    write.fields.insert("OwnerId".into(), CrmValue::Text("0055g00000BbbBbAAV".into()));
    write
}

/// With a text that a composite would take for a reference.
fn odd(mut write: RecordWrite) -> RecordWrite {
    write.fields.insert("LastName".into(), CrmValue::Text("@{creates[0].id}".into()));
    write
}

/// As the sync log keeps it: method, path, and the condition.
fn logged(result: &WriteResult) -> (String, String, String) {
    let request: serde_json::Value = serde_json::from_str(&result.request).unwrap();
    let text = |key: &str| request[key].as_str().unwrap_or_default().replace("/services/data/v62.0", "");
    (text("method"), text("url"), text("if_unmodified_since"))
}

#[tokio::test]
async fn one_batch_holds_conditions_explanations_and_texts_that_look_like_references() {
    let org = Org::start().await;
    let (crm, meter) = adapter(&org.address);
    crm.describe(&["Lead".into()]).await.unwrap();
    let found = json!([{"errorCode": "DUPLICATES_DETECTED", "message": "m", "duplicateResut": {"matchResults": [
        {"matchRecords": [{"record": {"attributes": {"type": "Contact"}, "Id": EVE}}]}]}}]);
    let part = |reference: &str, status: u16, body: serde_json::Value| json!({"referenceId": reference, "httpStatusCode": status, "body": body});
    let made = |id: &str| json!({"id": id, "success": true, "errors": []});
    let answers = json!({"compositeResponse": [
        part("creates_saved", 200, json!([made("00Q5g00000DDDDDEA5")])),
        part("alone0", 204, serde_json::Value::Null),
        part("alone1", 400, found.clone()),
        part("alone2", 412, json!([{"errorCode": "BRAND_NEW", "message": "changed"}])),
    ]});
    org.answer("/composite", Reply::json(200, answers));
    let changed = json!([{"errorCode": "PRECONDITION_FAILED", "message": "changed"}]);
    for reply in [Reply::json(412, changed), Reply::raw(204, ""), Reply::json(400, found)] {
        org.answer("/sobjects/Lead", reply);
    }
    let (save, explain) = (OnDuplicate::Save, OnDuplicate::Explain);
    let (third, fourth) = ("00Q5g00000FFFFFEA5", "00Q5g00000GGGGGEA5");
    let writes = vec![
        conditional(ADA),
        RecordWrite { duplicates: explain, ..create("a") },
        RecordWrite { duplicates: save, ..conditional(BOB) },
        odd(conditional(third)),
        RecordWrite { duplicates: save, ..create("b") },
        RecordWrite { duplicates: save, ..odd(conditional(fourth)) },
        RecordWrite { duplicates: explain, ..odd(create("c")) },
    ];
    let results = crm.write(&write_request(writes)).await;
    assert_eq!(verdicts(&results), ["ok", "Duplicate", "Changed", "Changed", "ok", "ok", "Duplicate"]);
    for place in [1, 6] {
        let Err(CrmError::Duplicate { records, .. }) = &results[place].outcome else { panic!("{place}") };
        assert_eq!(records[0].id.as_str(), EVE);
    }
    let id = |place: usize| results[place].outcome.as_ref().unwrap().record.id.as_str();
    assert_eq!((id(0), id(4), id(5)), (ADA, "00Q5g00000DDDDDEA5", fourth));
    assert_eq!(meter.endpoints(), ["composite", "record", "record", "record"]);

    // What was sent, and that the log says so.
    let since = "Sat, 31 Jan 2026 10:00:00 GMT";
    let body: serde_json::Value = serde_json::from_str(&org.seen("/composite")[0].body).unwrap();
    let parts = body["compositeRequest"].as_array().unwrap();
    let told = |part: &serde_json::Value| {
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().replace("/services/data/v62.0", "");
        let headers = &part["httpHeaders"];
        let sent = (text(&part["method"]), text(&part["url"]), text(&headers["If-Unmodified-Since"]));
        (sent, text(&headers["Sforce-Duplicate-Rule-Header"]), text(&headers["Sforce-Auto-Assign"]))
    };
    let sent: Vec<_> = parts.iter().filter(|part| part["method"] != "GET").map(told).collect();
    let of = |place: usize, saves: &str, assigns: &str| (logged(&results[place]), saves.to_owned(), assigns.to_owned());
    let saves = "allowSave=true";
    assert_eq!(sent, [of(4, saves, "TRUE"), of(0, "", "FALSE"), of(1, "", "TRUE"), of(2, saves, "FALSE")]);
    let path = |id: &str| format!("/sobjects/Lead{id}");
    assert_eq!(logged(&results[0]), ("PATCH".into(), path(&format!("/{ADA}")), since.into()));
    assert_eq!(logged(&results[1]), ("POST".into(), path(""), String::new()));
    assert_eq!(logged(&results[4]), ("POST".into(), "/composite/sobjects".into(), String::new()));
    let calls: Vec<_> = org.seen("/sobjects/Lead").into_iter().filter(|seen| seen.method != "GET").collect();
    let told = |seen: &org::Seen| {
        let sent = (seen.method.to_string(), seen.path.replace("/services/data/v62.0", ""));
        let header = |name: &str| seen.header(name).to_owned();
        let sent = (sent.0, sent.1, header("if-unmodified-since"));
        (sent, header("sforce-duplicate-rule-header"), header("sforce-auto-assign"))
    };
    let sent: Vec<_> = calls.iter().map(told).collect();
    assert_eq!(sent, [of(3, "", "FALSE"), of(5, saves, "FALSE"), of(6, "", "TRUE")]);
    assert_eq!(logged(&results[3]), ("PATCH".into(), path(&format!("/{third}")), since.into()));
    assert_eq!(logged(&results[6]), ("POST".into(), path(""), String::new()));
    let body: serde_json::Value = serde_json::from_str(&calls[2].body).unwrap();
    assert_eq!(body, json!({"Ext__c": "c", "LastName": "@{creates[0].id}"}));
    assert_eq!(calls[0].header("x-request-id"), "req-2");
}

#[tokio::test]
async fn a_conditional_update_is_a_part_of_its_own_and_fails_alone_where_the_record_changed() {
    let org = Org::start().await;
    let changed = json!([{"errorCode": "ENTITY_FAILED_IFLASTMODIFIED_ON_UPDATE", "message": "modified"}]);
    org.answer(
        "/composite",
        Reply::json(
            200,
            json!({"compositeResponse": [
        {"referenceId": "updates", "httpStatusCode": 200, "body": [{"id": EVE, "success": true, "errors": []}]},
        {"referenceId": "alone0", "httpStatusCode": 412, "body": changed},
        {"referenceId": "alone2", "httpStatusCode": 204, "body": null},
        {"referenceId": "read0", "httpStatusCode": 200, "body": org::page(&json!([{"Id": BOB, "AnnualRevenue": 5}]))}]}),
        ),
    );
    let (crm, meter) = adapter(&org.address);
    let results =
        crm.write(&write_request(vec![conditional(ADA), update(EVE), conditional(BOB), conditional(BOB)])).await;
    assert_eq!(verdicts(&results), ["Changed", "ok", "ok", "Unknown"], "the last one has no answer");
    let Ok(Written { record, read_back: Some(_) }) = &results[2].outcome else { panic!("{:?}", results[2]) };
    assert_eq!(record.id.as_str(), BOB);
    assert!(
        results[0].response.contains("412") && results[0].request.contains("31 Jan 2026 10:00:00"),
        "{:?}",
        results[0]
    );
    assert_eq!(meter.endpoints(), ["composite"]);
    let body: serde_json::Value = serde_json::from_str(&org.seen("/composite")[0].body).unwrap();
    let parts = body["compositeRequest"].as_array().unwrap();
    assert_eq!(parts.iter().map(|part| part["method"].as_str().unwrap()).collect::<Vec<_>>()[..4], ["PATCH"; 4]);
    assert_eq!(parts[1]["url"], format!("/services/data/v62.0/sobjects/Lead/{ADA}"));
    assert_eq!(
        parts[1]["httpHeaders"],
        json!({"If-Unmodified-Since": "Sat, 31 Jan 2026 10:00:00 GMT", "Sforce-Auto-Assign": "FALSE"})
    );
    assert!(parts[1]["body"].get("attributes").is_none() && parts[1]["body"].get("AnnualRevenue").is_some(), "{body}");
}

#[tokio::test]
async fn conditional_updates_fill_the_first_call_and_then_calls_of_their_own() {
    let org = Org::start().await;
    let (crm, meter) = adapter(&org.address);
    let ids: Vec<String> = (0..200).map(|number| format!("00Q5g0000{number:06}EA5")).collect();
    let of = |conditions: usize| {
        ids.iter()
            .enumerate()
            .map(|(place, id)| if place < conditions { conditional(id) } else { update(id) })
            .collect()
    };
    let mut before = 0;
    for (conditions, calls) in [(0, 1), (20, 1), (21, 2), (43, 2), (44, 3), (200, 9)] {
        assert_eq!(crm.write(&write_request(of(conditions))).await.len(), 200);
        assert_eq!(meter.endpoints().len() - before, calls, "{conditions} conditions");
        before = meter.endpoints().len();
    }
    // Of every kind: 44 travel alone, and the updates that are saved past a rule in a plain collection.
    let of_kind = |(place, id): (usize, &String)| match (place < 44, place % 4) {
        (true, 0) => conditional(id),
        (true, 1) => RecordWrite { duplicates: OnDuplicate::Explain, ..create(id) },
        (true, 2) => RecordWrite { duplicates: OnDuplicate::Save, ..conditional(id) },
        (true, _) => RecordWrite { duplicates: OnDuplicate::Explain, ..conditional(id) },
        (false, 0) => create(id),
        (false, 1) => owned(id),
        (false, 2) => RecordWrite { duplicates: OnDuplicate::Save, ..owned(id) },
        (false, _) => RecordWrite { duplicates: OnDuplicate::Save, ..update(id) },
    };
    let writes = ids.iter().enumerate().map(of_kind).collect();
    assert_eq!(crm.write(&write_request(writes)).await.len(), 200);
    let mut calls = meter.endpoints().split_off(before);
    calls.sort_unstable();
    assert_eq!(calls, ["collections", "composite", "composite", "composite"]);
    for request in org.seen("/composite").iter().filter(|request| request.path.ends_with("/composite")) {
        let body: serde_json::Value = serde_json::from_str(&request.body).unwrap();
        let parts = body["compositeRequest"].as_array().unwrap();
        let is_wide = |part: &&serde_json::Value| {
            part["url"].as_str().unwrap().contains("/composite/") || part["method"] == "GET"
        };
        assert!(parts.len() <= 25 && parts.iter().filter(is_wide).count() <= 5, "{}", parts.len());
    }
}
