//! Updates that hold only while their records are as they were read.

use super::*;

/// An update that holds only while Bob's record is as it was.
fn conditional(id: &str) -> RecordWrite {
    RecordWrite { unmodified_since: Timestamp::parse_rfc3339("2026-01-31T10:00:00.7Z"), ..update(id) }
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
    for request in org.seen("/composite") {
        let body: serde_json::Value = serde_json::from_str(&request.body).unwrap();
        let parts = body["compositeRequest"].as_array().unwrap();
        let is_wide = |part: &&serde_json::Value| {
            part["url"].as_str().unwrap().contains("/composite/") || part["method"] == "GET"
        };
        assert!(parts.len() <= 25 && parts.iter().filter(is_wide).count() <= 5, "{}", parts.len());
    }
}
