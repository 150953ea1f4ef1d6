//! The sandbox as its callers see it: over HTTP.

mod batches;
mod conditional;
mod duplicates;
mod ends;
mod errors;
mod faults;
mod objects;
mod picklists;
mod queries;
mod records;
mod sessions;
mod tooling;

use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value as Json, json};

use super::{RunningSandbox, Sandbox};

const DATA: &str = "/services/data/v62.0";

struct Org {
    running: RunningSandbox,
    client: reqwest::Client,
}

impl Org {
    async fn start() -> Self {
        let running = Sandbox::start("127.0.0.1:0".parse().unwrap()).await.unwrap();
        Self { running, client: reqwest::Client::new() }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let path = if path.starts_with('/') { path.to_owned() } else { format!("{DATA}/{path}") };
        self.client.request(method, self.running.url() + &path).bearer_auth("token").timeout(Duration::from_secs(5))
    }

    async fn call(&self, method: Method, path: &str, body: Option<Json>) -> (u16, Json) {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        (status, if text.is_empty() { Json::Null } else { serde_json::from_str(&text).unwrap() })
    }

    async fn get(&self, path: &str) -> (u16, Json) {
        self.call(Method::GET, path, None).await
    }

    async fn post(&self, path: &str, body: Json) -> (u16, Json) {
        self.call(Method::POST, path, Some(body)).await
    }

    async fn patch(&self, path: &str, body: Json) -> (u16, Json) {
        self.call(Method::PATCH, path, Some(body)).await
    }

    async fn query(&self, statement: &str) -> Json {
        let answer = self.request(Method::GET, "query").query(&[("q", statement)]).send().await.unwrap();
        answer.json().await.unwrap()
    }

    /// Makes a lead and gives its id.
    async fn lead(&self, fields: Json) -> String {
        let mut lead = json!({ "LastName": "Lovelace", "Company": "Analytical" });
        lead.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let (status, answer) = self.post("sobjects/Lead", lead).await;
        assert_eq!(status, 201, "{answer}");
        answer["id"].as_str().unwrap().to_owned()
    }

    /// Makes a record of any object and gives its id.
    async fn make(&self, object: &str, fields: Json) -> String {
        let (status, answer) = self.post(&format!("sobjects/{object}"), fields).await;
        assert_eq!(status, 201, "{answer}");
        answer["id"].as_str().unwrap().to_owned()
    }

    async fn record(&self, id: &str) -> Json {
        self.get(&format!("/_sandbox/records/{id}")).await.1
    }

    async fn faults(&self, rules: Json) {
        let (status, answer) = self.post("/_sandbox/faults", json!({ "seed": 1, "rules": rules })).await;
        assert_eq!(status, 200, "{answer}");
    }

    async fn leads(&self) -> u64 {
        self.get("/_sandbox/stats").await.1["records"]["Lead"].as_u64().unwrap()
    }
}

fn lead(name: &str, key: &str) -> Json {
    json!({ "attributes": { "type": "Lead" }, "LastName": name, "Company": "Acme", "Lead_System_Id__c": key })
}

fn code(answer: &Json) -> &str {
    answer[0]["errorCode"].as_str().unwrap_or_default()
}
