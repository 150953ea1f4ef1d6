//! Requests that hold only while a record is as the caller read it.

use reqwest::{Method, Response};
use serde_json::{Value as Json, json};

use super::{DATA, Org, code};

const LONG_AGO: &str = "Thu, 01 Jan 2015 00:00:00 GMT";
const FAR_AHEAD: &str = "Thu, 01 Jan 2099 00:00:00 GMT";

impl Org {
    async fn with(&self, method: Method, path: &str, header: (&str, &str)) -> Response {
        let request = self.request(method.clone(), path).header(header.0, header.1);
        let request = if method == Method::PATCH { request.json(&json!({ "Description": "x" })) } else { request };
        request.send().await.unwrap()
    }
}

#[tokio::test]
async fn a_write_is_refused_after_a_change_and_carried_out_before_one() {
    let org = Org::start().await;
    let deal = json!({ "Name": "N", "StageName": "S", "CloseDate": "2026-01-31" });
    for (object, fields) in [
        ("Lead", json!({ "LastName": "L", "Company": "C" })),
        ("Contact", json!({ "LastName": "L" })),
        ("Account", json!({ "Name": "N" })),
        ("Opportunity", deal),
    ] {
        let path = format!("sobjects/{object}/{}", org.make(object, fields).await);
        let read = org.request(Method::GET, &path).send().await.unwrap();
        let stamp = read.headers()["last-modified"].to_str().unwrap().to_owned();
        assert_eq!(read.headers().contains_key("etag"), object == "Account");
        assert_eq!(org.with(Method::PATCH, &path, ("If-Unmodified-Since", &stamp)).await.status(), 204);
        let late = org.with(Method::PATCH, &path, ("If-Unmodified-Since", LONG_AGO)).await;
        assert_eq!(late.status(), 412);
        let body: Json = late.json().await.unwrap();
        assert_eq!(code(&body), "ENTITY_FAILED_IFLASTMODIFIED_ON_UPDATE", "{body}");
        assert_eq!(org.with(Method::PATCH, &path, ("If-Unmodified-Since", "soon")).await.status(), 400);
        assert_eq!(org.with(Method::GET, &path, ("If-Unmodified-Since", "soon")).await.status(), 200);
        assert_eq!(org.with(Method::GET, &path, ("If-Unmodified-Since", LONG_AGO)).await.status(), 412);
        assert_eq!(org.with(Method::GET, &path, ("If-Modified-Since", FAR_AHEAD)).await.status(), 304);
        assert_eq!(org.with(Method::GET, &path, ("If-Modified-Since", LONG_AGO)).await.status(), 200);
    }
}

#[tokio::test]
async fn a_change_in_the_next_second_is_seen() {
    let org = Org::start().await;
    let id = org.lead(json!({})).await;
    let path = format!("sobjects/Lead/{id}");
    let read = org.request(Method::GET, &path).send().await.unwrap();
    let stamp = read.headers()["last-modified"].to_str().unwrap().to_owned();
    let mut seen = stamp.clone();
    // Until the org's clock, which knows whole seconds, has gone on.
    while seen == stamp {
        org.patch(&format!("/_sandbox/records/{id}"), json!({ "fields": { "Title": "by hand" } })).await;
        let read = org.request(Method::GET, &path).send().await.unwrap();
        seen = read.headers()["last-modified"].to_str().unwrap().to_owned();
    }
    assert_eq!(org.with(Method::PATCH, &path, ("If-Unmodified-Since", &stamp)).await.status(), 412);
    assert_eq!(org.with(Method::PATCH, &path, ("If-Unmodified-Since", &seen)).await.status(), 204);
}

#[tokio::test]
async fn external_ids_and_deletions_know_no_conditions() {
    let org = Org::start().await;
    let id = org.lead(json!({ "Lead_System_Id__c": "k" })).await;
    let by_key = "sobjects/Lead/Lead_System_Id__c/k";
    assert_eq!(org.with(Method::PATCH, by_key, ("If-Unmodified-Since", LONG_AGO)).await.status(), 200);
    assert_eq!(org.with(Method::GET, by_key, ("If-Modified-Since", FAR_AHEAD)).await.status(), 200);
    let path = format!("sobjects/Lead/{id}");
    assert_eq!(org.with(Method::DELETE, &path, ("If-Unmodified-Since", LONG_AGO)).await.status(), 204);
}

#[tokio::test]
async fn accounts_have_a_tag_that_every_change_moves() {
    let org = Org::start().await;
    let path = format!("sobjects/Account/{}", org.make("Account", json!({ "Name": "N" })).await);
    let tag = async || {
        let read = org.request(Method::GET, &path).send().await.unwrap();
        read.headers()["etag"].to_str().unwrap().to_owned()
    };
    let first = tag().await;
    assert_eq!(org.with(Method::GET, &path, ("If-None-Match", &first)).await.status(), 304);
    assert_eq!(org.with(Method::PATCH, &path, ("If-Match", &first)).await.status(), 204);
    assert_ne!(tag().await, first);
    assert_eq!(org.with(Method::PATCH, &path, ("If-Match", &first)).await.status(), 412);
    assert_eq!(org.with(Method::GET, &path, ("If-None-Match", &first)).await.status(), 200);
    let lead = format!("sobjects/Lead/{}", org.lead(json!({})).await);
    assert_eq!(org.with(Method::PATCH, &lead, ("If-Match", "\"x\"")).await.status(), 204, "leads have no tags");
}

#[tokio::test]
async fn each_part_of_a_composite_has_its_own_conditions() {
    let org = Org::start().await;
    let (old, new) = (org.lead(json!({})).await, org.lead(json!({})).await);
    let part = |id: &str, method: &str, header: &str, date: &str| {
        let mut part = json!({
            "method": method, "url": format!("{DATA}/sobjects/Lead/{id}"), "referenceId": format!("{method}{id}{}", date.len()),
            "httpHeaders": { header: date },
        });
        if method == "PATCH" {
            part["body"] = json!({ "Title": "T" });
        }
        part
    };
    let parts = json!([
        part(&old, "PATCH", "If-Unmodified-Since", LONG_AGO),
        part(&new, "PATCH", "If-Unmodified-Since", FAR_AHEAD),
        part(&new, "GET", "If-Modified-Since", FAR_AHEAD),
    ]);
    let (_, answer) = org.post("composite", json!({ "compositeRequest": parts })).await;
    let parts = answer["compositeResponse"].as_array().unwrap();
    let statuses: Vec<u64> = parts.iter().map(|part| part["httpStatusCode"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [412, 204, 304], "{answer}");
    assert_eq!(parts[0]["body"][0]["errorCode"], "ENTITY_FAILED_IFLASTMODIFIED_ON_UPDATE");
    assert!(parts[1]["body"].is_null() && parts[2]["body"].is_null());
    assert!(parts[2]["httpHeaders"]["Last-Modified"].is_string());
    assert_eq!(org.record(&old).await["fields"].get("Title"), None);
    assert_eq!(org.record(&new).await["fields"]["Title"], "T");
}

#[tokio::test]
async fn the_list_of_objects_answers_304_until_a_description_changes() {
    let org = Org::start().await;
    let first = org.get("sobjects").await.0;
    assert_eq!(first, 200);
    assert_eq!(org.with(Method::GET, "sobjects", ("If-Modified-Since", FAR_AHEAD)).await.status(), 304);
    assert_eq!(org.with(Method::GET, "sobjects", ("If-Modified-Since", LONG_AGO)).await.status(), 200);
}
