//! Escaping in queries: text of any kind finds the record that holds it, and no other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use leadrelay::clock::Clock;
use leadrelay::crm::salesforce::{Credentials, Salesforce, SalesforceSettings};
use leadrelay::crm::{Call, CallMeter, Crm, FindRequest, Reading};
use leadrelay::domain::ids::RequestId;
use leadrelay::domain::matching::{MatchKeys, MatchedBy};
use leadrelay::sandbox::Sandbox;
use serde_json::{Value as Json, json};

use super::{for_a_while, strung};

const PIECES: &[&str] = &[
    "'",
    "\\",
    "\\'",
    "\\\\",
    "\\n",
    "\n",
    "\r",
    "\t",
    "\u{8}",
    "\u{c}",
    "\u{1}",
    "\u{7f}",
    "\u{85}",
    "\u{2028}",
    "%",
    "_",
    "\\u0041",
    "\\U",
    "\"",
    ")",
    " OR Id != '",
    "--",
    "@{x.id}",
    "é",
    "👩",
    "+",
    "&",
    "#",
    "?",
    "%27",
    " ",
    "{",
    "null",
];

struct NoMeter;

impl CallMeter for NoMeter {
    fn called(&self, _: &Call) {}
}

fn adapter(address: &str) -> Salesforce {
    let settings = SalesforceSettings {
        login_url: address.parse().unwrap(),
        credentials: Credentials::Client { client_id: "id".into(), client_secret: "hush".into() },
        api_version: "v62.0".into(),
        timeout: Duration::from_secs(20),
        clock: Clock::system(),
    };
    Salesforce::new(settings, Arc::new(NoMeter)).unwrap()
}

/// As much of a text as the external ID holds, in the sandbox's count.
fn fitting(text: &str) -> String {
    let mut units = 0;
    text.chars()
        .take_while(|c| {
            units += c.len_utf16();
            units <= 50
        })
        .collect()
}

#[test]
fn text_of_any_kind_finds_the_record_that_holds_it_and_no_other() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for_a_while(|rng| runtime.block_on(look_up(rng)));
}

async fn look_up(rng: &mut fastrand::Rng) {
    let sandbox = Sandbox::start(([127, 0, 0, 1], 0).into()).await.unwrap();
    let client = reqwest::Client::new();
    // White space at either end is trimmed by the CRM, so something else stands there.
    let texts: Vec<String> = (0..25).map(|n| format!("{n}{}x", fitting(&strung(rng, PIECES, 8)))).collect();
    let mut records = Vec::new();
    for text in &texts {
        let fields = json!({ "LastName": "Lee", "Company": "Lee Ltd", "Lead_System_Id__c": text });
        let request = client.post(format!("{}/_sandbox/records", sandbox.url()));
        let answer = request.json(&json!({ "object": "Lead", "fields": fields })).send().await.unwrap();
        let made: Json = answer.json().await.unwrap();
        records.push(made["id"].as_str().unwrap_or_else(|| panic!("{text:?}: {made}")).to_owned());
    }
    let keys = texts.iter().map(|text| MatchKeys { external_id: Some(text.clone()), ..MatchKeys::default() });
    let request = FindRequest {
        request_id: RequestId::new("fuzz"),
        keys: keys.collect(),
        reading: Reading {
            external_id: Some("Lead_System_Id__c".into()),
            companies: None,
            opportunities: None,
            fields: BTreeMap::from([("Lead".into(), ["LastName".into()].into())]),
        },
    };
    let found = adapter(&sandbox.url()).find(&request).await.unwrap();
    for ((text, record), candidates) in texts.iter().zip(&records).zip(&found) {
        let seen: Vec<_> =
            candidates.found.iter().map(|candidate| (candidate.record.id.as_str(), candidate.by)).collect();
        assert_eq!(seen, [(record.as_str(), MatchedBy::ExternalId)], "{text:?}");
    }
    sandbox.stop().await;
}
