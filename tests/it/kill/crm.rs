//! The sandbox as the test sees it: trouble is ordered, records, histories and requests are read.

use std::collections::BTreeMap;

use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};
use serde_json::{Value as Json, json};

/// The row that no person edits, and that says which version of which lead stands in a record.
pub const MARK: &str = "Industry_Detail__c";
/// The key of a lead's own record.
pub const OUR_ID: &str = "Lead_System_Id__c";

#[derive(Deserialize)]
pub struct Items<T> {
    pub items: Vec<T>,
}

/// A record with all that was ever done to it.
#[derive(Debug, Deserialize)]
pub struct Record {
    pub id: String,
    pub deleted: bool,
    pub fields: BTreeMap<String, Json>,
    pub history: Vec<Edit>,
}

impl Record {
    pub fn text(&self, field: &str) -> Option<&str> {
        self.fields.get(field).and_then(Json::as_str)
    }
}

#[derive(Debug, Deserialize)]
pub struct Edit {
    #[serde(deserialize_with = "time")]
    pub at: jiff::Timestamp,
    pub by: String,
    pub changes: BTreeMap<String, Json>,
    pub request: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct Request {
    pub id: String,
    #[serde(deserialize_with = "time")]
    pub at: jiff::Timestamp,
    pub method: String,
    pub asks_to_write: bool,
    pub written: u64,
    pub executed: bool,
}

#[derive(Deserialize)]
struct Stats {
    calls: u64,
    faults: BTreeMap<String, u64>,
}

fn time<'de, D: Deserializer<'de>>(read: D) -> Result<jiff::Timestamp, D::Error> {
    String::deserialize(read)?.parse().map_err(D::Error::custom)
}

pub struct Crm {
    client: reqwest::Client,
    url: String,
}

impl Crm {
    pub fn new(url: String) -> Self {
        Self { client: reqwest::Client::new(), url: format!("{url}/_sandbox") }
    }

    pub async fn lift_limits(&self) {
        self.post("limits", &json!({ "max": 1_000_000_000u64 })).await;
    }

    /// Loses 5 % of the answers after executing, resets 5 % before, lands 1 % late, answers 5 % with 503, throttles 2 %. What
    /// is rare strikes once at the beginning, so that a short run need not go on until it does.
    pub async fn order_faults(&self, seed: u64) {
        let wanted = [
            (0.025, json!({ "fault": "reset_after" })),
            (0.025, json!({ "fault": "timeout_after" })),
            (0.05, json!({ "fault": "reset_before" })),
            (0.005, json!({ "fault": "late_write" })),
            (0.005, json!({ "fault": "late_write", "status": 504 })),
            (0.05, json!({ "fault": "status", "status": 503 })),
            (0.02, json!({ "fault": "throttle" })),
        ];
        // Each rule draws only for what the ones before it spared.
        let mut spared = 1.0;
        let mut rules = vec![
            json!({ "fault": "late_write", "writes": true, "count": 1 }),
            json!({ "fault": "throttle", "writes": true, "count": 1 }),
        ];
        for (share, mut rule) in wanted {
            rule["rate"] = json!(share / spared);
            spared -= share;
            rules.push(rule);
        }
        rules.extend([json!({ "fault": "rewrite", "field": "City" }), json!({ "fault": "usage_jitter" })]);
        self.post("faults", &json!({ "seed": seed, "rules": rules })).await;
    }

    /// Carries out many writes without ever answering.
    pub async fn order_silence(&self, seed: u64) {
        let rule = json!({ "fault": "timeout_after", "writes": true, "rate": 0.3 });
        self.post("faults", &json!({ "seed": seed, "rules": [rule] })).await;
    }

    /// Ends all trouble but the trigger, which belongs to the org; answers how often each fault struck.
    pub async fn end_faults(&self) -> BTreeMap<String, u64> {
        let faults = self.faults_struck().await;
        self.order_one_by_one(&[], &["City"]).await;
        faults
    }

    /// How often each fault struck.
    pub async fn faults_struck(&self) -> BTreeMap<String, u64> {
        self.get::<Stats>("stats").await.faults
    }

    /// How many requests it was asked, control and logins apart.
    pub async fn calls(&self) -> u64 {
        self.get::<Stats>("stats").await.calls
    }

    /// Has each of these befall one request, in this order, and a trigger rewrite these fields.
    pub async fn order_one_by_one(&self, faults: &[Json], rewritten: &[&str]) {
        let mut rules = faults.to_vec();
        for rule in &mut rules {
            rule["count"] = json!(1);
        }
        rules.extend(rewritten.iter().map(|field| json!({ "fault": "rewrite", "field": field })));
        self.post("faults", &json!({ "rules": rules })).await;
    }

    /// All records, deleted ones too.
    pub async fn records(&self, object: &str) -> Vec<Record> {
        self.get::<Items<Record>>(&format!("records?object={object}&deleted=true")).await.items
    }

    pub async fn requests(&self) -> Vec<Request> {
        self.get::<Items<Request>>("requests").await.items
    }

    /// Edits a record as a person does.
    pub async fn edit(&self, record: &str, field: &str, value: &str) {
        let request = self.client.patch(format!("{}/records/{record}", self.url));
        let answer = request.json(&json!({ "fields": { field: value } })).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }

    async fn post(&self, path: &str, body: &Json) {
        let answer = self.client.post(format!("{}/{path}", self.url)).json(body).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> T {
        self.client.get(format!("{}/{path}", self.url)).send().await.unwrap().json().await.unwrap()
    }
}
