//! Every error code that a client has to know, where and how an org says it.

use reqwest::Method;
use serde_json::{Value as Json, json};

use super::{DATA, Org, code, lead};
use crate::sandbox::codes::{KNOWN, Level};

/// The codes of section 16, "Error classes", of the Salesforce contract; a test of the list that the sandbox knows.
const WANTED: &str = "
    INVALID_SESSION_ID INVALID_AUTH_HEADER INVALID_LOGIN API_DISABLED_FOR_ORG API_CURRENTLY_DISABLED INSUFFICIENT_ACCESS
    INSUFFICIENT_ACCESS_OR_READONLY INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY CLIENT_NOT_ACCESSIBLE_FOR_USER
    FUNCTIONALITY_NOT_ENABLED REQUEST_LIMIT_EXCEEDED LOGIN_RATE_EXCEEDED EXCEEDED_QUOTA LIMIT_EXCEEDED SERVER_UNAVAILABLE
    UNABLE_TO_LOCK_ROW REQUEST_RUNNING_TOO_LONG QUERY_TIMEOUT TOO_MANY_APEX_REQUESTS UNKNOWN_EXCEPTION INTERNAL_ERROR
    FUNCTIONALITY_TEMPORARILY_UNAVAILABLE INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE ORG_IN_MAINTENANCE ORG_LOCKED
    TRIAL_EXPIRED REQUIRED_FIELD_MISSING FIELD_CUSTOM_VALIDATION_EXCEPTION FIELD_INTEGRITY_EXCEPTION
    FIELD_FILTER_VALIDATION_EXCEPTION CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY CANNOT_EXECUTE_FLOW_TRIGGER FLOW_EXCEPTION
    INVALID_FIELD INVALID_FIELD_FOR_INSERT_UPDATE FIELD_NOT_UPDATABLE INVALID_TYPE INVALID_TYPE_ON_FIELD_IN_RECORD
    STRING_TOO_LONG INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST INVALID_EMAIL_ADDRESS NUMBER_OUTSIDE_VALID_RANGE
    JSON_PARSER_ERROR MALFORMED_ID MALFORMED_QUERY QUERY_TOO_COMPLICATED INVALID_QUERY_LOCATOR INVALID_CROSS_REFERENCE_KEY
    INACTIVE_OWNER_OR_USER NOT_FOUND TEXT_DATA_OUTSIDE_SUPPORTED_CHARSET INVALID_CURRENCY_ISO INVALID_DATE_FORMAT
    UNAVAILABLE_RECORDTYPE_EXCEPTION METHOD_NOT_ALLOWED UNSUPPORTED_MEDIA_TYPE UNSUPPORTED_API_VERSION STORAGE_LIMIT_EXCEEDED
    CUSTOM_ENTITY_OR_FIELD_LIMIT CUSTOM_FIELD_INDEX_LIMIT_EXCEEDED DUPLICATE_DEVELOPER_NAME DUPLICATE_VALUE
    DUPLICATE_EXTERNAL_ID DUPLICATES_DETECTED ENTITY_FAILED_IFLASTMODIFIED_ON_UPDATE COLLISION_DETECTED
    RECORD_IN_USE_BY_WORKFLOW ENTITY_IS_DELETED ENTITY_IS_LOCKED ENTITY_IS_ARCHIVED CANNOT_UPDATE_CONVERTED_LEAD
    ALL_OR_NONE_OPERATION_ROLLED_BACK PROCESSING_HALTED BATCH_PROCESSING_HALTED EXCEEDED_ID_LIMIT INVALID_BATCH_SIZE
    EXCEEDED_MAX_SIZE_REQUEST TOO_MANY_RECORDS INVALID_REPLICATION_DATE";

impl Org {
    async fn order(&self, rule: Json) {
        let mut rule = rule;
        rule["fault"] = json!("error");
        self.faults(json!([rule])).await;
    }
}

#[tokio::test]
async fn every_code_is_answered_on_a_call_for_one_record_with_its_status() {
    let org = Org::start().await;
    let id = org.lead(json!({})).await;
    org.lead(json!({ "Lead_System_Id__c": "k" })).await;
    for wanted in WANTED.split_whitespace() {
        let known = crate::sandbox::codes::find(wanted).unwrap_or_else(|| panic!("{wanted} is not known"));
        org.order(json!({ "code": wanted, "count": 1 })).await;
        if known.level == Level::Login {
            let form = "grant_type=client_credentials&client_id=a&client_secret=b";
            let request = org.client.post(org.running.url() + "/services/oauth2/token").body(form);
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status().as_u16(), known.status, "{wanted}");
            assert_eq!(answer.json::<Json>().await.unwrap()["error"], wanted);
            continue;
        }
        if known.status == 300 {
            let (status, urls) = org.patch("sobjects/Lead/Lead_System_Id__c/k", json!({ "Title": "x" })).await;
            assert_eq!((status, urls.as_array().map(Vec::len)), (300, Some(1)), "{urls}");
            continue;
        }
        let (status, answer) = org.patch(&format!("sobjects/Lead/{id}"), json!({ "Title": wanted })).await;
        assert_eq!((status, code(&answer)), (known.status, wanted), "{answer}");
        let message = answer[0]["message"].as_str().unwrap();
        assert!(!message.is_empty() && !message.contains(['{', '}']), "{message}");
        assert_eq!(
            answer[0].get("fields").is_some(),
            known.level == Level::Record && wanted != "DUPLICATES_DETECTED",
            "{answer}"
        );
        assert_eq!(answer[0].get("duplicateResut").is_some(), wanted == "DUPLICATES_DETECTED");
        assert_ne!(org.record(&id).await["fields"]["Title"], wanted, "it was written all the same");
        assert_eq!(org.patch(&format!("sobjects/Lead/{id}"), json!({ "Title": "after" })).await.0, 204, "{wanted}");
    }
}

#[tokio::test]
async fn codes_of_records_are_items_of_collections_and_parts_of_composites() {
    let org = Org::start().await;
    for known in KNOWN.iter().filter(|known| known.level == Level::Record) {
        org.order(json!({ "code": known.code, "count": 1 })).await;
        let (status, items) =
            org.post("composite/sobjects", json!({ "records": [lead("One", ""), lead("Two", "")] })).await;
        assert_eq!((status, &items[0]["success"], &items[1]["success"]), (200, &json!(false), &json!(true)));
        assert_eq!(items[0]["errors"][0]["statusCode"], known.code);
        let parts = json!([
            { "method": "POST", "url": format!("{DATA}/sobjects/Lead"), "referenceId": "a", "body": { "LastName": "L", "Company": "C" } },
            { "method": "POST", "url": format!("{DATA}/sobjects/Lead"), "referenceId": "b", "body": { "LastName": "L", "Company": "C" } }
        ]);
        org.order(json!({ "code": known.code, "count": 1 })).await;
        let (status, answer) = org.post("composite", json!({ "compositeRequest": parts })).await;
        let parts = &answer["compositeResponse"];
        assert_eq!(
            (status, &parts[0]["httpStatusCode"], &parts[1]["httpStatusCode"]),
            (200, &json!(known.status), &json!(201))
        );
        assert_eq!(parts[0]["body"][0]["errorCode"], known.code);
    }
}

#[tokio::test]
async fn codes_of_resources_are_parts_of_composites_and_codes_of_calls_are_not() {
    let org = Org::start().await;
    let parts = json!([
        { "method": "GET", "url": format!("{DATA}/query?q=SELECT Id FROM Lead"), "referenceId": "a" },
        { "method": "GET", "url": format!("{DATA}/limits"), "referenceId": "b" }
    ]);
    for known in KNOWN.iter().filter(|known| matches!(known.level, Level::Part | Level::Call)) {
        org.order(json!({ "code": known.code, "count": 1 })).await;
        let (status, answer) = org.post("composite", json!({ "compositeRequest": parts })).await;
        if known.level == Level::Call {
            assert_eq!((status, code(&answer)), (known.status, known.code));
        } else {
            let parts = &answer["compositeResponse"];
            assert_eq!(
                (status, &parts[0]["httpStatusCode"], &parts[1]["httpStatusCode"]),
                (200, &json!(known.status), &json!(200))
            );
            assert_eq!(parts[0]["body"][0]["errorCode"], known.code);
        }
    }
}

#[tokio::test]
async fn a_rule_chooses_its_place_status_words_and_requests() {
    let org = Org::start().await;
    let id = org.lead(json!({})).await;
    let path = format!("sobjects/Lead/{id}");
    let title = json!({ "Title": "x" });
    org.order(json!({ "code": "UNABLE_TO_LOCK_ROW", "status": 500, "message": "locked", "count": 1 })).await;
    let (status, answer) = org.patch(&path, title.clone()).await;
    assert_eq!((status, code(&answer), &answer[0]["message"]), (500, "UNABLE_TO_LOCK_ROW", &json!("locked")));
    org.order(json!({ "code": "INVALID_FIELD", "level": "part", "path": "query" })).await;
    assert_eq!(code(&org.query("SELECT Id FROM Lead").await), "INVALID_FIELD");
    assert_eq!(org.patch(&path, title.clone()).await.0, 204);
    org.order(json!({ "code": "INVALID_TYPE", "level": "record" })).await;
    let (_, items) = org.post("composite/sobjects", json!({ "records": [lead("One", "")] })).await;
    assert_eq!(items[0]["errors"][0]["statusCode"], "INVALID_TYPE");
    org.order(json!({ "code": "STORAGE_LIMIT_EXCEEDED", "method": "POST" })).await;
    assert_eq!(org.patch(&path, title.clone()).await.0, 204);
    assert_eq!(org.post("sobjects/Lead", json!({ "LastName": "L", "Company": "C" })).await.0, 400);
    org.order(json!({ "code": "ENTITY_IS_LOCKED", "count": 1 })).await;
    assert_eq!(code(&org.call(Method::DELETE, &path, None).await.1), "ENTITY_IS_LOCKED");
    org.order(json!({ "code": "REQUEST_LIMIT_EXCEEDED", "retry_after": 7, "count": 1 })).await;
    let limited = org.request(Method::GET, "limits").send().await.unwrap();
    assert_eq!((limited.status().as_u16(), limited.headers()["retry-after"].to_str().unwrap()), (403, "7"));
    org.faults(json!([{ "fault": "status", "status": 500, "html": true, "count": 1 }])).await;
    let page = org.request(Method::GET, "limits").send().await.unwrap();
    assert_eq!(
        (page.status().as_u16(), page.headers()["content-type"].to_str().unwrap()),
        (500, "text/html; charset=UTF-8")
    );
    for wrong in [
        json!({ "fault": "error", "code": "NO_SUCH_CODE" }),
        json!({ "fault": "error" }),
        json!({ "fault": "error", "code": "NOT_FOUND", "level": "galaxy" }),
    ] {
        let (status, answer) = org.post("/_sandbox/faults", json!({ "rules": [wrong] })).await;
        assert_eq!((status, code(&answer)), (400, "INVALID_INPUT"), "{answer}");
    }
    assert_eq!(org.get("/_sandbox/stats").await.1["faults"], json!({ "status": 1 }));
}

#[tokio::test]
async fn soap_logins_fail_as_faults() {
    let org = Org::start().await;
    let login = "<u:login><u:username>a</u:username><u:password>b</u:password></u:login>";
    assert_eq!(org.soap(login).await.0, 200);
    org.order(json!({ "code": "LOGIN_MUST_USE_SECURITY_TOKEN", "count": 1 })).await;
    let (status, answer) = org.soap(login).await;
    assert!(status == 500 && answer.contains("<sf:exceptionCode>LOGIN_MUST_USE_SECURITY_TOKEN<"), "{answer}");
    let (status, answer) =
        org.soap("<u:login><u:username>a</u:username><u:password>wrong</u:password></u:login>").await;
    assert!(status == 500 && answer.contains("INVALID_LOGIN"), "{answer}");
    assert_eq!(org.get("/_sandbox/stats").await.1["calls"], 0, "logging in is no call");
}
