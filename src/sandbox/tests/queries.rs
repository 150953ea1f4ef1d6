//! Reading by statement.

use reqwest::Method;
use serde_json::{Value as Json, json};

use super::{Org, code, lead};

#[tokio::test]
async fn queries_find_what_they_ask_for() {
    let org = Org::start().await;
    for (name, email, score) in [
        ("Ada", "ada@acme.example", json!(5)),
        ("bob", "BOB@acme.example", json!(7.5)),
        ("O'Neil", "o@b.example", Json::Null),
    ] {
        org.lead(json!({ "LastName": name, "Email": email, "Lead_Score__c": score, "Lead_System_Id__c": format!("{name}-X") })).await;
    }
    let check = async |filter: &str, expected: &[&str]| {
        let answer = org.query(&format!("SELECT LastName FROM Lead {filter}")).await;
        let names: Vec<&str> = answer["records"]
            .as_array()
            .unwrap_or_else(|| panic!("{filter}: {answer}"))
            .iter()
            .map(|row| row["LastName"].as_str().unwrap())
            .collect();
        assert_eq!(names, expected, "{filter}");
    };
    check("WHERE Email IN ('ADA@ACME.EXAMPLE', 'bob@acme.example')", &["Ada", "bob"]).await;
    check("WHERE Lead_System_Id__c = 'ada-x'", &[]).await;
    check("WHERE Lead_System_Id__c = 'Ada-X'", &["Ada"]).await;
    check("WHERE LastName = 'o\\'neil'", &["O'Neil"]).await;
    check("WHERE LastName != 'ADA'", &["bob", "O'Neil"]).await;
    check("WHERE Lead_Score__c > 5", &["bob"]).await;
    check("WHERE Lead_Score__c >= 5.0 AND (Email LIKE '%@acme.example')", &["Ada", "bob"]).await;
    check("WHERE Lead_Score__c = null", &["O'Neil"]).await;
    check("WHERE Lead_Score__c NOT IN (5)", &["bob", "O'Neil"]).await;
    check("WHERE NOT (LastName = 'Ada' OR LastName = 'bob')", &["O'Neil"]).await;
    check("WHERE IsConverted = false ORDER BY Lead_Score__c DESC NULLS LAST LIMIT 2", &["bob", "Ada"]).await;
    check("ORDER BY LastName ASC LIMIT 2 OFFSET 1", &["bob", "O'Neil"]).await;
    check("WHERE CreatedDate > 2020-01-01T00:00:00Z AND CreatedDate < 2021-01-01T00:00:00Z", &[]).await;
    assert_eq!(org.query("SELECT count() FROM Lead WHERE LastName LIKE '_d%'").await["totalSize"], 1);
    for (statement, expected) in [
        ("SELECT Nope FROM Lead", "INVALID_FIELD"),
        ("SELECT Account.Name FROM Lead", "INVALID_FIELD"),
        ("SELECT Id FROM Lead WHERE Description = 'x'", "INVALID_FIELD"),
        ("SELECT Id FROM Lead WHERE LastName = 5", "INVALID_FIELD"),
        ("SELECT Id FROM Lead WHERE Lead_Score__c = '5'", "INVALID_FIELD"),
        ("SELECT Id FROM Lead WHERE CreatedDate > '2020-01-01T00:00:00Z'", "INVALID_FIELD"),
        ("SELECT Id FROM Lead WHERE Id = 'x'", "INVALID_QUERY_FILTER_OPERATOR"),
        ("SELECT Id FROM Xyzzy", "INVALID_TYPE"),
        ("SELECT Id FROM", "MALFORMED_QUERY"),
    ] {
        assert_eq!(code(&org.query(statement).await), expected, "{statement}");
    }
}

#[tokio::test]
async fn long_results_come_in_pages() {
    let org = Org::start().await;
    for chunk in 0..3 {
        let records: Vec<Json> = (0..200).map(|number| lead("Many", &format!("{chunk}-{number}"))).collect();
        org.post("composite/sobjects", json!({ "records": records })).await;
    }
    let first = org
        .request(Method::GET, "query")
        .query(&[("q", "SELECT Id FROM Lead")])
        .header("Sforce-Query-Options", "batchSize=250");
    let mut page: Json = first.send().await.unwrap().json().await.unwrap();
    let (mut sizes, mut ids) = (Vec::new(), std::collections::HashSet::new());
    loop {
        let rows = page["records"].as_array().unwrap();
        sizes.push(rows.len());
        ids.extend(rows.iter().map(|row| row["Id"].as_str().unwrap().to_owned()));
        assert_eq!(
            (page["totalSize"].as_u64(), page["done"].as_bool()),
            (Some(600), Some(page["nextRecordsUrl"].is_null()))
        );
        let Some(next) = page["nextRecordsUrl"].as_str().map(str::to_owned) else { break };
        page = org.get(&next).await.1;
    }
    assert_eq!((sizes, ids.len()), (vec![250, 250, 100], 600));
    let (status, answer) = org.get("query/01g5e0000000000009-250").await;
    assert_eq!((status, code(&answer)), (400, "INVALID_QUERY_LOCATOR"));
}

#[tokio::test]
async fn deleted_rows_are_seen_by_query_all_alone() {
    let org = Org::start().await;
    let id = org.lead(json!({ "Lead_System_Id__c": "gone" })).await;
    org.lead(json!({ "Lead_System_Id__c": "here" })).await;
    org.call(Method::DELETE, &format!("sobjects/Lead/{id}"), None).await;
    let statement = "SELECT Id, IsDeleted FROM Lead WHERE Lead_System_Id__c IN ('gone', 'here')";
    assert_eq!(org.query(statement).await["totalSize"], 1);
    let all = org.request(Method::GET, "queryAll").query(&[("q", statement)]).send().await.unwrap();
    let all: Json = all.json().await.unwrap();
    let deleted: Vec<bool> =
        all["records"].as_array().unwrap().iter().map(|row| row["IsDeleted"].as_bool().unwrap()).collect();
    assert_eq!(deleted, [true, false]);
    org.lead(json!({ "Lead_System_Id__c": "gone" })).await;
}
