//! The adapter against an org that answers as it is told to.

mod conditional;
mod login;
mod org;
mod rules;

use std::sync::Mutex;
use std::time::Instant;

use serde_json::json;

use self::org::{Org, Reply};
use super::*;
use crate::clock::SinceBoot;
use crate::crm::{Call, OnDuplicate, Reading, RecordWrite, Usage, Written};
use crate::domain::ids::{FieldName, RecordId, RecordRef, RequestId};
use crate::domain::matching::{MatchKeys, MatchedBy, NameAndDomain};
use crate::domain::record::CrmValue;
use crate::domain::time::Timestamp;

#[derive(Default)]
struct Meter(Mutex<Vec<Call>>);

impl CallMeter for Meter {
    fn called(&self, call: &Call) {
        self.0.lock().unwrap().push(call.clone());
    }
}

impl Meter {
    /// The endpoints called, without the logins and describes that come first.
    fn endpoints(&self) -> Vec<&'static str> {
        let calls = self.0.lock().unwrap();
        calls.iter().map(|call| call.endpoint).filter(|name| !["token", "describe"].contains(name)).collect()
    }
}

fn adapter(address: &str) -> (Salesforce, Arc<Meter>) {
    let credentials = Credentials::Client { client_id: "id".into(), client_secret: "hush".into() };
    adapter_as(credentials, address, Clock::system())
}

fn adapter_as(credentials: Credentials, address: &str, clock: Clock) -> (Salesforce, Arc<Meter>) {
    let meter = Arc::new(Meter::default());
    let settings = SalesforceSettings {
        login_url: Url::parse(address).unwrap(),
        credentials,
        api_version: "v62.0".into(),
        timeout: Duration::from_millis(700),
        clock,
    };
    (Salesforce::new(settings, Arc::clone(&meter) as Arc<dyn CallMeter>).unwrap(), meter)
}

fn reading() -> Reading {
    let lead = ["LastName", "Email", "AnnualRevenue"].map(FieldName::from);
    let fields = [("Lead".into(), lead.into()), ("Contact".into(), ["Email".into()].into())];
    Reading { external_id: Some("Ext__c".into()), fields: fields.into(), companies: None, opportunities: None }
}

fn find_request(keys: Vec<MatchKeys>) -> FindRequest {
    FindRequest { request_id: RequestId::new("req-1"), keys, reading: reading() }
}

fn by_email(email: &str) -> MatchKeys {
    MatchKeys { email: Some(email.into()), ..MatchKeys::default() }
}

fn create(external_id: &str) -> RecordWrite {
    let fields = [("Ext__c", external_id), ("LastName", "Lovelace")];
    let fields = fields.into_iter().map(|(field, text)| (field.into(), CrmValue::Text(text.into())));
    RecordWrite {
        object: "Lead".into(),
        id: None,
        fields: fields.collect(),
        delete: false,
        unmodified_since: None,
        duplicates: OnDuplicate::Refuse,
    }
}

fn update(id: &str) -> RecordWrite {
    let revenue = CrmValue::Number("9007199254740993.25".parse().unwrap());
    RecordWrite {
        object: "Lead".into(),
        id: Some(id.into()),
        fields: [("AnnualRevenue".into(), revenue)].into(),
        delete: false,
        unmodified_since: None,
        duplicates: OnDuplicate::Refuse,
    }
}

fn write_request(writes: Vec<RecordWrite>) -> WriteRequest {
    let send_until = SinceBoot::now().after(Duration::from_secs(60));
    WriteRequest { request_id: RequestId::new("req-2"), writes, reading: reading(), auto_assign: true, send_until }
}

fn errors(results: &[WriteResult]) -> Vec<String> {
    results
        .iter()
        .map(|result| result.outcome.as_ref().map_or_else(|error| format!("{error:?}"), |_| "ok".into()))
        .collect()
}

/// The variant's name of each result.
fn verdicts(results: &[WriteResult]) -> Vec<String> {
    errors(results).iter().map(|text| text.split(' ').next().unwrap().to_owned()).collect()
}

const ADA: &str = "00Q5g00000AAAAAEA5";
const BOB: &str = "00Q5g00000BBBBBEA5";
const EVE: &str = "0035g00000CCCCCAA5";

#[tokio::test]
async fn one_call_finds_every_lead_by_its_strongest_key() {
    let org = Org::start().await;
    let ada = json!({"attributes": {"type": "Lead"}, "Id": ADA, "Ext__c": "k-1", "Email": "ADA@acme.example", "FirstName": "Ada",
        "LastName": "Lovelace", "AnnualRevenue": 120000.0, "SystemModstamp": "2026-01-31T10:00:00.000+0000",
        "CreatedDate": "2026-01-30T10:00:00.000+0000", "LastModifiedById": "0055g00000UUUUUAA5",
        "IsConverted": true, "ConvertedContactId": EVE});
    let bob =
        json!({"Id": BOB, "Email": "bob@mail.ACME.co.uk", "FirstName": "Bob", "LastName": "Byron", "Website": null});
    let eve = json!({"Id": EVE, "Email": "ada@acme.example", "LastName": "Lovelace"});
    org.composite_of(&[json!([eve]), json!([]), json!([ada]), json!([ada]), json!([bob])]);
    let (crm, meter) = adapter(&org.address);
    let name = |first: &str, domain: &str| {
        Some(NameAndDomain { first: Some(first.into()), last: "byron".into(), domain: domain.into() })
    };
    let keys = vec![
        MatchKeys { external_id: Some("K-1".into()), email: Some("Ada@Acme.example".into()), ..MatchKeys::default() },
        MatchKeys { name_and_domain: name("bob", "acme.co.uk"), ..MatchKeys::default() },
        MatchKeys { name_and_domain: name("Rob", "acme.co.uk"), ..MatchKeys::default() },
        MatchKeys { name_and_domain: name("bob", "co.uk"), ..MatchKeys::default() },
        MatchKeys {
            linked: Some(RecordRef { object: "Lead".into(), id: ADA[..15].into() }),
            ..by_email("bob@mail.acme.co.uk")
        },
        MatchKeys::default(),
    ];
    let found = crm.find(&find_request(keys)).await.unwrap();

    let shown: Vec<Vec<(&str, MatchedBy)>> = found
        .iter()
        .map(|candidates| candidates.found.iter().map(|found| (found.record.id.as_str(), found.by)).collect())
        .collect();
    let none = Vec::new();
    assert_eq!(
        shown,
        [
            vec![(ADA, MatchedBy::ExternalId), (EVE, MatchedBy::ExternalId)],
            vec![(BOB, MatchedBy::NameAndCompanyDomain)],
            none.clone(),
            none.clone(),
            vec![(ADA, MatchedBy::Link), (EVE, MatchedBy::Link)],
            none,
        ]
    );
    let record = &found[0].found[0].record;
    assert_eq!(record.value(&"AnnualRevenue".into()), &CrmValue::Number(120_000.into()));
    assert_eq!(record.became, Some(RecordRef { object: "Contact".into(), id: EVE.into() }));
    assert_eq!(record.modified_by_us, Some(true));
    assert_eq!(record.modified_at, Timestamp::parse_rfc3339("2026-01-31T10:00:00Z"));

    assert_eq!(meter.endpoints(), ["composite"]);
    let request = org.seen("/composite").remove(0);
    assert_eq!(request.header("x-request-id"), "req-1");
    let queries = request.queries();
    assert_eq!(queries.len(), 5, "{queries:#?}");
    assert!(
        queries[0].contains("FROM Contact WHERE Ext__c IN ('K-1') OR Email IN ('ada@acme.example')"),
        "{queries:#?}"
    );
    assert!(queries[2].ends_with(&format!("FROM Lead WHERE Id IN ('{ADA}') OR Ext__c IN ('K-1')")), "{queries:#?}");
}

#[tokio::test]
async fn further_pages_are_read_and_counted() {
    let org = Org::start().await;
    let first = json!({"done": false, "totalSize": 2, "nextRecordsUrl": "/services/data/v62.0/query/01g-1", "records": [{"Id": ADA, "Email": "a@x.example"}]});
    org.answer("/composite", Reply::json(200, org::composite(&[(200, org::page(&json!([]))), (200, first)])));
    org.answer("/query/", Reply::json(200, json!({"done": true, "records": [{"Id": BOB, "Email": "a@x.example"}]})));
    let (crm, meter) = adapter(&org.address);
    let found = crm.find(&find_request(vec![by_email("a@x.example")])).await.unwrap();
    assert_eq!(found[0].found.len(), 2);
    assert_eq!(meter.endpoints(), ["composite", "query_more"]);
}

#[tokio::test]
async fn pages_without_end_or_elsewhere_are_no_answer() {
    let org = Org::start().await;
    let (crm, _) = adapter(&org.address);
    for next in ["http://elsewhere.example/x", "/services/data/v62.0/query/empty"] {
        let page = json!({"done": false, "nextRecordsUrl": next, "records": []});
        org.answer("/composite", Reply::json(200, org::composite(&[(200, page.clone())])));
        org.answer("/query/", Reply::json(200, page));
        let error = crm.find(&find_request(vec![by_email("a@x.example")])).await.unwrap_err();
        assert_eq!(error.code(), "answer_unreadable");
    }
}

#[tokio::test]
async fn a_field_that_is_gone_is_named_and_the_schema_read_anew() {
    let org = Org::start().await;
    let gone = json!([{"message": "No such column 'Ext__c' on entity 'Lead'", "errorCode": "INVALID_FIELD"}]);
    org.answer("/composite", Reply::json(200, org::composite(&[(400, gone)])));
    let (crm, _) = adapter(&org.address);
    let error = crm.find(&find_request(vec![by_email("a@x.example")])).await.unwrap_err();
    assert!(matches!(error, CrmError::SchemaDrift { field: Some(field), .. } if field.as_str() == "Ext__c"));
    crm.describe(&["Lead".into()]).await.unwrap();
    assert_eq!(org.seen("/describe").last().unwrap().header("if-modified-since"), "");
}

#[tokio::test]
async fn people_are_never_asked_for_by_a_field_that_is_not_shown() {
    let org = Org::start().await;
    let fields = json!([{ "name": "Ext__c", "type": "string" }]);
    org.answer("/describe", Reply::json(200, json!({ "createable": true, "updateable": true, "fields": fields })));
    let (crm, _) = adapter(&org.address);
    let error = crm.find(&find_request(vec![by_email("a@x.example")])).await.unwrap_err();
    assert!(
        matches!(&error, CrmError::SchemaDrift { field: Some(field), .. } if field.as_str() == "Contact.Email"),
        "{error}"
    );
    assert!(org.seen("/composite").is_empty(), "and it is not left out either");
}

#[tokio::test]
async fn an_unchanged_schema_is_not_sent_again() {
    let org = Org::start().await;
    let (crm, meter) = adapter(&org.address);
    let schema = crm.describe(&["Lead".into()]).await.unwrap();
    org.answer("/describe", Reply::raw(304, ""));
    assert_eq!(crm.describe(&["Lead".into()]).await.unwrap(), schema);
    assert_eq!(org.seen("/describe")[1].header("if-modified-since"), "Wed, 21 Oct 2026 07:28:00 GMT");
    org.answer(
        "/describe",
        Reply::json(404, json!([{"errorCode": "NOT_FOUND", "message": "The requested resource does not exist"}])),
    );
    assert_eq!(verdict(&crm.describe(&["Nope".into()]).await.unwrap_err()), "SchemaDrift");
    assert_eq!(verdict(&crm.describe(&["../x".into()]).await.unwrap_err()), "SchemaDrift");
    let usage = meter.0.lock().unwrap()[1].usage;
    assert_eq!(usage, Some(Usage { used: 18, allowed: 15_000 }));
    let counted: Vec<bool> = meter.0.lock().unwrap().iter().map(|call| call.counted).collect();
    assert_eq!(counted, [false, true, true, true], "the login is not counted");
}

fn verdict(error: &CrmError) -> String {
    format!("{error:?}").split(' ').next().unwrap().to_owned()
}

#[tokio::test]
async fn one_call_writes_and_reads_back_and_every_record_has_its_own_result() {
    let org = Org::start().await;
    let creates = json!([
        {"id": ADA, "success": true, "errors": []},
        {"success": false, "errors": [{"statusCode": "STRING_TOO_LONG", "message": "too long", "fields": ["LastName"]}]}]);
    let updates = json!([{"id": BOB, "success": true, "errors": []}]);
    let read = json!([{"Id": ADA, "LastName": "LOVELACE", "LastModifiedById": "0055g00000OTHERAA5"}]);
    org.answer(
        "/composite",
        Reply::json(
            200,
            json!({"compositeResponse": [
        {"referenceId": "read0", "httpStatusCode": 200, "httpHeaders": {}, "body": org::page(&read)},
        {"referenceId": "updates", "httpStatusCode": 200, "httpHeaders": {}, "body": updates},
        {"referenceId": "creates", "httpStatusCode": 200, "httpHeaders": {}, "body": creates}]}),
        ),
    );
    let (crm, meter) = adapter(&org.address);
    let results = crm.write(&write_request(vec![create("k-1"), update(BOB), create("k-2")])).await;

    assert_eq!(verdicts(&results), ["ok", "ok", "Refused"]);
    let Ok(Written { record, read_back: Some(read_back) }) = &results[0].outcome else { panic!("{:?}", results[0]) };
    assert_eq!(record.id.as_str(), ADA);
    assert_eq!(read_back.value(&"LastName".into()), &CrmValue::Text("LOVELACE".into()));
    assert_eq!(read_back.modified_by_us, Some(false));
    assert_eq!(results[1].outcome.as_ref().unwrap().read_back, None, "not read back");
    assert!(results[1].request.contains("9007199254740993.25"), "{}", results[1].request);
    assert!(results[2].response.contains("STRING_TOO_LONG") && !results[2].response.contains(ADA));

    assert_eq!(meter.endpoints(), ["composite"]);
    let request = org.seen("/composite").remove(0);
    assert_eq!((request.header("x-request-id"), request.header("sforce-call-options")), ("req-2", "client=leadrelay"));
    let body: serde_json::Value = serde_json::from_str(&request.body).unwrap();
    assert_eq!((&body["allOrNone"], &body["collateSubrequests"]), (&json!(false), &json!(false)));
    let parts = body["compositeRequest"].as_array().unwrap();
    assert_eq!(parts.iter().map(|part| part["method"].as_str().unwrap()).collect::<Vec<_>>(), ["POST", "PATCH", "GET"]);
    assert_eq!(parts[0]["httpHeaders"]["Sforce-Auto-Assign"], "TRUE");
    assert_eq!(parts[1]["httpHeaders"]["Sforce-Auto-Assign"], "FALSE");
    assert_eq!(parts[1]["body"]["records"][0]["id"], BOB);
    assert!(request.body.contains("\"AnnualRevenue\":9007199254740993.25"), "a number lost digits: {}", request.body);
    assert!(
        request.queries()[0].ends_with(&format!("WHERE Ext__c IN ('k-1','k-2') OR Id IN ('{BOB}')")),
        "{:?}",
        request.queries()
    );
}

#[tokio::test]
async fn a_collection_refused_as_a_whole_leaves_the_other_alone() {
    let org = Org::start().await;
    let broken = json!([{"errorCode": "JSON_PARSER_ERROR", "message": "at [line:1, column:20]"}]);
    org.answer(
        "/composite",
        Reply::json(
            200,
            json!({"compositeResponse": [
        {"referenceId": "creates", "httpStatusCode": 400, "body": broken},
        {"referenceId": "updates", "httpStatusCode": 200, "body": [{"id": BOB, "success": true, "errors": []}]}]}),
        ),
    );
    let (crm, _) = adapter(&org.address);
    let results = crm.write(&write_request(vec![create("k-1"), update(BOB), create("k-2")])).await;
    assert_eq!(verdicts(&results), ["Collateral", "ok", "Collateral"]);
}

#[tokio::test]
async fn what_the_whole_answer_says_holds_for_every_record() {
    let org = Org::start().await;
    let (crm, _) = adapter(&org.address);
    let limit = |message: &str| json!([{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": message}]);
    let cases = [
        (Reply::json(403, limit("TotalRequests Limit exceeded.")), "BudgetSpent"),
        (Reply::json(403, limit("ConcurrentRequests Limit exceeded.")), "Throttled"),
        (Reply::json(503, json!([{"errorCode": "SERVER_UNAVAILABLE", "message": ""}])), "Unavailable"),
        (Reply::json(500, json!([{"errorCode": "UNABLE_TO_LOCK_ROW", "message": ""}])), "Unavailable"),
        (Reply::json(400, json!([{"errorCode": "JSON_PARSER_ERROR", "message": ""}])), "Collateral"),
        (Reply::raw(503, "<html>Down</html>"), "Unavailable"),
        (Reply::raw(420, "<html>Moving</html>"), "Unavailable"),
        (Reply::raw(302, ""), "Unavailable"),
        (Reply::raw(502, "<html>Bad gateway</html>"), "Unknown"),
        (Reply::raw(200, "<html>Hello</html>"), "Unknown"),
        (Reply::json(200, json!({"compositeResponse": []})), "Unknown"),
        (Reply::Hang, "Unknown"),
        (Reply::Cut, "Unknown"),
        (Reply::Endless, "Unknown"),
    ];
    for (reply, expected) in cases {
        let case = format!("{reply:?}");
        org.answer("/composite", reply);
        let results = crm.write(&write_request(vec![create("k-1"), create("k-2")])).await;
        assert_eq!(verdicts(&results), [expected, expected], "{case}: {:?}", errors(&results));
    }
}

#[tokio::test]
async fn a_lookup_that_goes_wrong_may_be_repeated_and_takes_no_longer_than_it_may() {
    let org = Org::start().await;
    let (crm, _) = adapter(&org.address);
    let cases = [
        (Reply::raw(200, "<html>Hello</html>"), "answer_unreadable"),
        (Reply::raw(302, ""), "answer_unreadable"),
        (Reply::raw(502, "<html>Bad gateway</html>"), "http_502"),
        (Reply::Hang, "no_answer"),
        (Reply::Cut, "no_answer"),
        (Reply::Endless, "answer_too_large"),
    ];
    for (reply, expected) in cases {
        let case = format!("{reply:?}");
        org.answer("/composite", reply);
        let started = Instant::now();
        let error = crm.find(&find_request(vec![by_email("a@x.example")])).await.unwrap_err();
        assert!(matches!(&error, CrmError::Unavailable { code, .. } if code == expected), "{case}: {error:?}");
        assert!(started.elapsed() < Duration::from_secs(5), "{case}");
        assert_ne!(remedy(expected), remedy("SOMETHING_NEW"), "{case} has no remedy");
    }
}

#[tokio::test]
async fn where_nobody_listens_nothing_was_done() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let (crm, _) = adapter(&address);
    let results = crm.write(&write_request(vec![create("k-1")])).await;
    assert!(
        matches!(&results[0].outcome, Err(CrmError::Unavailable { code, .. }) if code == "unreachable"),
        "{results:?}"
    );
}

#[tokio::test]
async fn all_workers_share_one_login_and_one_renewal() {
    let org = Org::start().await;
    let (crm, meter) = adapter(&org.address);
    crm.describe(&["Lead".into(), "Contact".into()]).await.unwrap();
    org.expire_tokens();
    let request = find_request(vec![by_email("a@x.example")]);
    let answers = futures_util::future::join_all((0..8).map(|_| crm.find(&request))).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    let logins = meter.0.lock().unwrap().iter().filter(|call| call.endpoint == "token").count();
    assert_eq!(logins, 2);
    assert_eq!(meter.endpoints().len(), 16, "each was sent once more, and only once");
}

#[tokio::test]
async fn a_second_refusal_of_the_session_is_final() {
    let org = Org::start().await;
    let (crm, meter) = adapter(&org.address);
    crm.describe(&["Lead".into(), "Contact".into()]).await.unwrap();
    for _ in 0..2 {
        org.answer(
            "/composite",
            Reply::json(401, json!([{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}])),
        );
    }
    let results = crm.write(&write_request(vec![create("k-1")])).await;
    assert_eq!(verdicts(&results), ["Unauthorised"]);
    assert_eq!(meter.endpoints(), ["composite", "composite"]);
}

#[tokio::test]
async fn a_wrong_login_is_named_shared_and_tells_no_secret() {
    let org = Org::start().await;
    let refusal = json!({"error": "invalid_client", "error_description": "invalid client credentials"});
    org.answer("/oauth2/token", Reply::json(400, refusal));
    let (crm, meter) = adapter(&org.address);
    let answers = futures_util::future::join_all((0..4).map(|_| crm.login())).await;
    for answer in answers {
        let error = answer.unwrap_err();
        assert_eq!(error.code(), "invalid_client");
        assert!(error.to_string().ends_with("invalid_client: invalid client credentials"), "{error}");
        assert!(!format!("{error:?} {crm:?}").contains("hush"));
    }
    assert_eq!(meter.0.lock().unwrap().len(), 1, "one request for all");
    crm.login().await.unwrap();
}

#[test]
fn settings_that_would_show_the_secret_are_refused() {
    let make = |url: &str, version: &str| {
        let credentials = Credentials::Client { client_id: String::new(), client_secret: String::new() };
        let login_url = Url::parse(url).unwrap();
        let (api_version, timeout) = (version.into(), Duration::from_secs(1));
        let settings = SalesforceSettings { login_url, credentials, api_version, timeout, clock: Clock::system() };
        Salesforce::new(settings, Arc::new(Meter::default())).is_ok()
    };
    assert!(make("https://a.my.salesforce.com", "v62.0"));
    assert!(!make("http://a.my.salesforce.com", "v62.0"));
    assert!(!make("https://a.my.salesforce.com", "62.0"));
    assert!(!make("https://a.my.salesforce.com", "v62.0/../x"));
}

#[tokio::test]
async fn more_than_two_hundred_records_are_not_sent() {
    let org = Org::start().await;
    let (crm, meter) = adapter(&org.address);
    let results = crm.write(&write_request((0..201).map(|n| create(&n.to_string())).collect())).await;
    assert!(results.len() == 201 && verdicts(&results).iter().all(|verdict| verdict == "Collateral"));
    assert!(crm.write(&write_request(Vec::new())).await.is_empty());
    assert!(meter.0.lock().unwrap().is_empty());
}

#[test]
fn record_ids_are_compared_in_full() {
    assert_eq!(wire::full_id(&ADA[..15]), RecordId::new(ADA));
}

#[tokio::test]
async fn two_hundred_leads_with_all_their_keys_are_looked_up_in_one_call() {
    let org = Org::start().await;
    let (crm, meter) = adapter(&org.address);
    let keys = |n: usize| MatchKeys {
        external_id: Some(format!("3f1c0e5a-7d0b-4c1e-9b1a-{n:012}")),
        email: Some(format!("firstname.lastname{n}@company{n}.example")),
        name_and_domain: Some(NameAndDomain {
            first: None,
            last: format!("Lastname{n}"),
            domain: format!("company{n}.example"),
        }),
        ..MatchKeys::default()
    };
    let found = crm.find(&find_request((0..200).map(keys).collect())).await.unwrap();
    assert_eq!((found.len(), meter.endpoints()), (200, vec!["composite"]));
}

#[tokio::test]
async fn a_lookup_refused_as_a_whole_is_to_be_repeated_in_halves_until_one_lead_is_left() {
    let org = Org::start().await;
    let (crm, _) = adapter(&org.address);
    let refusal = json!([{"errorCode": "MALFORMED_QUERY", "message": "unexpected token"}]);
    for (leads, expected) in [(2, "Collateral"), (1, "Refused")] {
        org.answer("/composite", Reply::json(200, org::composite(&[(400, refusal.clone())])));
        let error = crm.find(&find_request(vec![by_email("a@x.example"); leads])).await.unwrap_err();
        assert_eq!(verdict(&error), expected);
    }
}
