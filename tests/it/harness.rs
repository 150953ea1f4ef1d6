//! The whole service in this process, against a sandbox CRM: webhooks go in over HTTP, and the sandbox's own records tell.

use std::path::Path;
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use leadrelay::app::App;
use leadrelay::clock::Clock;
use leadrelay::config::{Config, DestinationKind, StoreUrl};
use leadrelay::sandbox::{RunningSandbox, Sandbox};
use serde_json::Value as Json;
use sha2::Sha256;
use tempfile::TempDir;

/// The sample leads, one webhook body a line.
pub const SAMPLES: &str = include_str!("../../src/cli/demo/leads-200.ndjson");

/// A running service and the CRM that it syncs to.
pub struct Harness {
    pub app: App,
    pub sandbox: RunningSandbox,
    client: reqwest::Client,
    config: Config,
    folder: TempDir,
}

impl Harness {
    /// Starts both with the shipped configuration, changed by `adapt`.
    pub async fn start(adapt: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sandbox = Sandbox::start(([127, 0, 0, 1], 0).into()).await.unwrap();
        let text = include_str!("../../leadrelay.toml");
        let read = |path: &Path| std::fs::read_to_string(path);
        let mut config = Config::parse(text, Path::new("leadrelay.toml"), &|_| None, &read).unwrap();
        config.server.listen.set_port(0);
        config.admin.listen.set_port(0);
        config.store.url = StoreUrl::Sqlite(folder.path().join("leadrelay.db"));
        for destination in config.destinations.values_mut() {
            let DestinationKind::Salesforce(salesforce) = &mut destination.kind;
            salesforce.url = sandbox.url().parse().unwrap();
            destination.limits.linger = Duration::ZERO;
            destination.retry.first = Duration::from_millis(50);
            destination.retry.longest = Duration::from_millis(500);
        }
        adapt(&mut config);
        let app = App::start(&config, Clock::system()).await.unwrap();
        Self { app, sandbox, client: reqwest::Client::new(), config, folder }
    }

    /// Stops the service and starts it again on the same database and CRM, its configuration changed by `adapt`.
    pub async fn restarted(self, adapt: impl FnOnce(&mut Config)) -> Self {
        let Self { app, sandbox, client, mut config, folder } = self;
        app.stop().await;
        adapt(&mut config);
        let app = App::start(&config, Clock::system()).await.unwrap();
        Self { app, sandbox, client, config, folder }
    }

    /// Sends one signed webhook; the word it is answered with.
    pub async fn send(&self, body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(b"leadrelay-test-secret").unwrap();
        mac.update(body);
        let signature = hex::encode(mac.finalize().into_bytes());
        let url = format!("http://{}/webhooks/klozeo", self.app.webhooks);
        let request = self.client.post(url).header("X-Klozeo-Signature", signature).body(body.to_vec());
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 202);
        let answer: Json = answer.json().await.unwrap();
        answer["status"].as_str().unwrap().to_owned()
    }

    /// Waits until nothing is owed that would be tried by itself.
    pub async fn settled(&self) {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let figures = self.app.store.queue_figures(Clock::system().now()).await.unwrap();
            if figures.iter().all(|queue| queue.ready + queue.leased + queue.retrying == 0) {
                return;
            }
            assert!(Instant::now() < until, "not settled: {figures:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What the admin API says once it is as expected.
    pub async fn until(&self, path: &str, expected: impl Fn(&Json) -> bool) -> Json {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let seen = self.admin(path).await;
            if expected(&seen) {
                return seen;
            }
            assert!(Instant::now() < until, "{path} never became as expected: {seen}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Reads from the admin API.
    pub async fn admin(&self, path: &str) -> Json {
        let request = self.client.get(format!("http://{}/admin/v1/{path}", self.app.admin));
        self.json(request.bearer_auth(self.token())).await
    }

    /// Changes something through the admin API.
    pub async fn admin_post(&self, path: &str, body: Json) -> Json {
        let request = self.client.post(format!("http://{}/admin/v1/{path}", self.app.admin));
        self.json(request.bearer_auth(self.token()).json(&body)).await
    }

    /// Asks the sandbox's control API.
    pub async fn control(&self, path: &str) -> Json {
        self.json(self.client.get(format!("{}/_sandbox/{path}", self.sandbox.url()))).await
    }

    /// Orders something from the sandbox's control API.
    pub async fn order(&self, path: &str, body: Json) -> Json {
        self.json(self.client.post(format!("{}/_sandbox/{path}", self.sandbox.url())).json(&body)).await
    }

    /// Edits a record as a CRM user.
    pub async fn edit_record(&self, id: &str, fields: Json) {
        let request = self.client.patch(format!("{}/_sandbox/records/{id}", self.sandbox.url()));
        self.json(request.json(&serde_json::json!({ "fields": fields }))).await;
    }

    /// Deletes a record as a CRM user.
    pub async fn delete_record(&self, id: &str) {
        self.json(self.client.delete(format!("{}/_sandbox/records/{id}", self.sandbox.url()))).await;
    }

    /// Every live Lead with its fields and history.
    pub async fn records(&self) -> Vec<Json> {
        self.control("records?object=Lead").await["items"].as_array().unwrap().clone()
    }

    /// The one live record that carries this lead's ID.
    pub async fn record_of(&self, lead: &str) -> Json {
        let mut records = self.records().await;
        records.retain(|record| record["fields"]["Lead_System_Id__c"] == lead);
        assert_eq!(records.len(), 1, "{lead} must be one record");
        records.remove(0)
    }

    /// Ends both.
    pub async fn stop(self) {
        self.app.stop().await;
        self.sandbox.stop().await;
    }

    fn token(&self) -> &str {
        self.app.made_token.as_deref().unwrap()
    }

    async fn json(&self, request: reqwest::RequestBuilder) -> Json {
        let answer = request.send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{status}: {text}");
        serde_json::from_str(&text).unwrap_or(Json::Null)
    }
}

/// A webhook body in Klozeo's shape.
pub fn event(kind: &str, at: i64, lead: &Json) -> Vec<u8> {
    serde_json::json!({ "event": kind, "timestamp": at, "data": lead }).to_string().into_bytes()
}
