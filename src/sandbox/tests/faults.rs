//! Trouble that was ordered, and the limits.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value as Json, json};

use super::{Org, code};

#[tokio::test]
async fn lost_answers_are_lost_on_the_right_side_of_the_write() {
    let org = Org::start().await;
    let body = json!({ "LastName": "L", "Company": "C" });
    let try_create = async |patience: Duration| {
        let request = org.request(Method::POST, "sobjects/Lead").timeout(patience).json(&body);
        request.send().await
    };
    org.faults(json!([{ "fault": "reset_before", "count": 1 }])).await;
    let err = try_create(Duration::from_secs(5)).await.unwrap_err();
    assert!(!err.is_timeout() && err.status().is_none(), "{err:?}");
    assert_eq!(org.leads().await, 0);
    org.faults(json!([{ "fault": "reset_after", "count": 1 }])).await;
    assert!(!try_create(Duration::from_secs(5)).await.unwrap_err().is_timeout());
    assert_eq!(org.leads().await, 1);
    org.faults(json!([{ "fault": "timeout_after", "count": 1 }])).await;
    assert!(try_create(Duration::from_millis(200)).await.unwrap_err().is_timeout());
    assert_eq!(org.leads().await, 2);
    org.faults(json!([{ "fault": "hang", "count": 1 }])).await;
    assert!(try_create(Duration::from_millis(200)).await.unwrap_err().is_timeout());
    assert_eq!(org.leads().await, 2);
    org.faults(json!([{ "fault": "late_write", "count": 1 }])).await;
    assert!(try_create(Duration::from_millis(200)).await.unwrap_err().is_timeout());
    assert_eq!(org.leads().await, 2);
    let (_, requests) = org.get("/_sandbox/requests").await;
    let executed: Vec<bool> =
        requests["items"].as_array().unwrap().iter().map(|entry| entry["executed"].as_bool().unwrap()).collect();
    assert_eq!(executed, [false, true, true, false, false]);
    let patience = Instant::now() + Duration::from_secs(10);
    while org.leads().await < 3 {
        assert!(Instant::now() < patience, "the late write never landed");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(org.get("/_sandbox/requests").await.1["items"][4]["executed"], true);
}

#[tokio::test]
async fn every_other_fault_shows_as_it_is_named() {
    let org = Org::start().await;
    let body = json!({ "LastName": "L", "Company": "C" });
    let answer_under = async |rule: Json| {
        org.faults(json!([rule])).await;
        org.request(Method::POST, "sobjects/Lead").json(&body).send().await.unwrap()
    };
    let busy = answer_under(json!({ "fault": "status", "status": 503, "retry_after": 2 })).await;
    assert_eq!((busy.status().as_u16(), busy.headers()["retry-after"].to_str().unwrap()), (503, "2"));
    assert_eq!(code(&busy.json().await.unwrap()), "SERVER_UNAVAILABLE");
    let throttled: Json = answer_under(json!({ "fault": "throttle" })).await.json().await.unwrap();
    assert!(throttled[0]["message"].as_str().unwrap().contains("ConcurrentPerOrgLongTxn"));
    assert_eq!(answer_under(json!({ "fault": "throttle", "retry_after": 1 })).await.status().as_u16(), 429);
    let spent = answer_under(json!({ "fault": "daily_limit" })).await;
    assert_eq!(spent.status().as_u16(), 403);
    assert_eq!(spent.json::<Json>().await.unwrap()[0]["message"], "TotalRequests Limit exceeded.");
    let garbage = answer_under(json!({ "fault": "garbage" })).await;
    assert_eq!(garbage.status().as_u16(), 200);
    assert!(garbage.text().await.unwrap().starts_with("<!DOCTYPE html>"));
    let huge = answer_under(json!({ "fault": "huge" })).await;
    assert_eq!(huge.bytes().await.unwrap().len(), 100 * 1024 * 1024);
    assert_eq!(org.leads().await, 0, "a fault that stands for the whole answer executed the request");
    let mut slow = answer_under(json!({ "fault": "slow" })).await;
    assert_eq!(slow.chunk().await.unwrap().unwrap().len(), 1);
    assert_eq!(org.leads().await, 1);
    org.faults(json!([])).await;
    assert_eq!(org.post("sobjects/Lead", body.clone()).await.0, 201);
}

#[tokio::test]
async fn rules_refuse_and_triggers_rewrite_records() {
    let org = Org::start().await;
    org.faults(json!([
        { "fault": "refuse", "field": "Industry", "when": "Banking" },
        { "fault": "rewrite", "field": "City" }
    ]))
    .await;
    let body = json!({ "LastName": "L", "Company": "C", "Industry": "Banking" });
    let (status, answer) = org.post("sobjects/Lead", body).await;
    assert_eq!(
        (status, code(&answer), &answer[0]["fields"]),
        (400, "FIELD_CUSTOM_VALIDATION_EXCEPTION", &json!(["Industry"]))
    );
    let id = org.lead(json!({ "City": "berlin" })).await;
    let record = org.record(&id).await;
    assert_eq!(record["fields"]["City"], "Berlin");
    assert_eq!(record["history"][0]["changes"]["City"], "berlin");
    assert_eq!(
        (&record["history"][1]["by"], &record["history"][1]["changes"]["City"]),
        (&json!("trigger"), &json!("Berlin"))
    );
    org.faults(json!([{ "fault": "refuse", "code": "UNABLE_TO_LOCK_ROW", "count": 1 }])).await;
    let (_, locked) = org.patch(&format!("sobjects/Lead/{id}"), json!({ "Title": "x" })).await;
    assert_eq!(code(&locked), "UNABLE_TO_LOCK_ROW");
    assert_eq!(org.patch(&format!("sobjects/Lead/{id}"), json!({ "Title": "x" })).await.0, 204);
}

#[tokio::test]
async fn calls_are_counted_shown_and_end_at_the_limit() {
    let org = Org::start().await;
    let usage = async || {
        let answer = org.request(Method::GET, "limits").send().await.unwrap();
        (answer.status().as_u16(), answer.headers()["sforce-limit-info"].to_str().unwrap().to_owned())
    };
    assert_eq!(usage().await, (200, "api-usage=1/15000".to_owned()));
    assert_eq!(org.get("nothing/here").await.0, 404);
    assert_eq!(org.get("/services/data").await.0, 200);
    assert_eq!(usage().await, (200, "api-usage=3/15000".to_owned()));
    let stats = org.get("/_sandbox/stats").await.1;
    assert_eq!((&stats["calls"], &stats["calls_by_endpoint"]["limits"]), (&json!(3), &json!(2)));
    org.post("/_sandbox/limits", json!({ "max": 4 })).await;
    assert_eq!(usage().await.0, 200);
    assert_eq!(usage().await.0, 403);
    org.post("/_sandbox/reset", json!({})).await;
    org.post("/_sandbox/limits", json!({ "used_by_others": 100 })).await;
    org.faults(json!([{ "fault": "usage_jitter" }])).await;
    let mut shown = Vec::new();
    for _ in 0..20 {
        let info = usage().await.1;
        shown.push(info.trim_start_matches("api-usage=").split('/').next().unwrap().parse::<u64>().unwrap());
    }
    assert!(shown.windows(2).any(|pair| pair[1] < pair[0]), "{shown:?}");
}

#[tokio::test]
async fn long_requests_unknown_versions_and_conversion_by_rest_are_refused() {
    let org = Org::start().await;
    let status = async |path: String| org.get(&path).await.0;
    assert_eq!(status(format!("query?q={}", "x".repeat(16_384))).await, 414);
    let wide = org.request(Method::GET, "limits").header("x-long", "x".repeat(16_384)).send().await.unwrap();
    assert_eq!(wide.status().as_u16(), 431);
    assert_eq!(status("/services/data/v67.0/limits".to_owned()).await, 404);
    assert_eq!(status("/services/data/v29.0/limits".to_owned()).await, 410);
    assert_eq!(org.post("actions/standard/convertLead", json!({})).await.0, 404);
    assert_eq!(org.call(Method::PUT, "limits", None).await.0, 405);
    let (status, answer) = org.post("sobjects/Case", json!({ "Subject": "x" })).await;
    assert_eq!((status, code(&answer)), (404, "NOT_FOUND"));
    let text = org.request(Method::POST, "sobjects/Lead").body("{}").send().await.unwrap();
    assert_eq!(text.status().as_u16(), 415);
    let broken = org
        .request(Method::POST, "sobjects/Lead")
        .header("content-type", "application/json")
        .body("{")
        .send()
        .await
        .unwrap();
    assert_eq!(code(&broken.json().await.unwrap()), "JSON_PARSER_ERROR");
}

#[tokio::test]
async fn a_reset_empties_the_org_and_gives_no_id_twice() {
    let org = Org::start().await;
    let old = org.lead(json!({ "Lead_System_Id__c": "a" })).await;
    let winner = org.lead(json!({})).await;
    let (status, _) = org.call(Method::DELETE, &format!("/_sandbox/records/{old}?merged_into={winner}"), None).await;
    assert_eq!(status, 200);
    let merged =
        org.request(Method::GET, "queryAll").query(&[("q", "SELECT MasterRecordId FROM Lead WHERE IsDeleted = true")]);
    let merged: Json = merged.send().await.unwrap().json().await.unwrap();
    assert_eq!(merged["records"][0]["MasterRecordId"], winner.as_str());
    org.post("/_sandbox/reset", json!({})).await;
    assert_eq!(org.get("/_sandbox/records").await.1, json!({ "items": [] }));
    assert_eq!(org.get("/_sandbox/stats").await.1["calls"], 0);
    let new = org.lead(json!({ "Lead_System_Id__c": "a" })).await;
    assert!(new != old && new != winner);
    assert_eq!(org.get(&format!("sobjects/Lead/{old}")).await.0, 404);
}
