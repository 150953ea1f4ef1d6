//! The whole service in this process, against a sandbox CRM: webhooks go in over HTTP, and the sandbox's own records tell.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use leadrelay::app::App;
use leadrelay::clock::Clock;
use leadrelay::config::{Config, ConfigErrors, DestinationKind, StoreUrl};
use leadrelay::sandbox::{RunningSandbox, Sandbox};
use serde_json::{Value as Json, json};
use sha2::Sha256;
use tempfile::TempDir;

use crate::database::TestDatabase;

/// The sample leads, one webhook body a line.
pub const SAMPLES: &str = include_str!("../../src/cli/demo/leads-200.ndjson");

/// A CRM, and a service that does not run yet.
pub struct Stage {
    pub sandbox: RunningSandbox,
    /// Of the service's configuration; the shipped one.
    pub text: String,
    pub clock: Clock,
    client: reqwest::Client,
    database: TestDatabase,
    _folder: Option<TempDir>,
}

/// A running service and the CRM that it syncs to.
pub struct Harness {
    pub app: App,
    config: Config,
    /// What a reload reads.
    file: Arc<Mutex<Result<Config, ConfigErrors>>>,
    stage: Stage,
}

impl Stage {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = TestDatabase::new(folder.path()).await;
        Self { _folder: Some(folder), ..Self::on(database).await }
    }

    /// The same on a database that is there.
    pub async fn on(database: TestDatabase) -> Self {
        Self {
            database,
            sandbox: Sandbox::start(([127, 0, 0, 1], 0).into()).await.unwrap(),
            text: include_str!("../../leadrelay.toml").to_owned(),
            clock: Clock::system(),
            client: reqwest::Client::new(),
            _folder: None,
        }
    }

    /// Starts the service with its configuration, changed by `adapt`.
    pub async fn start(self, adapt: impl FnOnce(&mut Config)) -> Harness {
        let read = |path: &Path| std::fs::read_to_string(path);
        let mut config = Config::parse(&self.text, Path::new("leadrelay.toml"), &|_| None, &read).unwrap();
        config.server.listen.set_port(0);
        config.admin.listen.set_port(0);
        config.store.url = self.database.store_url();
        config.store.allow_unsafe_server = true;
        for destination in config.destinations.values_mut() {
            let DestinationKind::Salesforce(salesforce) = &mut destination.kind;
            salesforce.url = self.sandbox.url().parse().unwrap();
            destination.limits.linger = Duration::ZERO;
            destination.retry.first = Duration::from_millis(50);
            destination.retry.longest = Duration::from_millis(500);
        }
        adapt(&mut config);
        let (app, file) = started(&config, &self.clock).await;
        Harness { app, config, file, stage: self }
    }

    /// Orders something from the sandbox's control API.
    pub async fn order(&self, path: &str, body: Json) -> Json {
        json(self.client.post(format!("{}/_sandbox/{path}", self.sandbox.url())).json(&body)).await
    }

    /// Takes something away by the sandbox's control API.
    pub async fn remove(&self, path: &str, body: Json) {
        json(self.client.delete(format!("{}/_sandbox/{path}", self.sandbox.url())).json(&body)).await;
    }
}

impl Harness {
    /// Starts both with the shipped configuration, changed by `adapt`.
    pub async fn start(adapt: impl FnOnce(&mut Config)) -> Self {
        Stage::new().await.start(adapt).await
    }

    /// Stops the service and starts it again on the same database and CRM, its configuration changed by `adapt`.
    pub async fn restarted(self, adapt: impl FnOnce(&mut Config)) -> Self {
        let Self { app, mut config, stage, .. } = self;
        app.stop().await;
        adapt(&mut config);
        let (app, file) = started(&config, &stage.clock).await;
        Self { app, config, file, stage }
    }

    /// With what it was started.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Changes the configuration file, which a reload reads.
    pub fn write_configuration(&self, adapt: impl FnOnce(&mut Config)) {
        let mut config = self.config.clone();
        adapt(&mut config);
        *self.file.lock().unwrap() = Ok(config);
    }

    /// Writes nonsense into it.
    pub fn break_configuration(&self, text: &str) {
        let read = |path: &Path| std::fs::read_to_string(path);
        *self.file.lock().unwrap() = Config::parse(text, Path::new("leadrelay.toml"), &|_| None, &read);
    }

    /// Has the database refuse every change to the rows of a table.
    pub async fn refuse_changes_of(&self, table: &str) {
        self.stage.database.refuse_changes_of(table).await;
    }

    /// A second replica of the service on the same database; `None` where only one process can use it.
    pub async fn replica(&self) -> Option<App> {
        if !matches!(self.config.store.url, StoreUrl::Postgres(_)) {
            return None;
        }
        Some(App::start(&self.config, self.stage.clock.clone()).await.unwrap())
    }

    /// Sends one signed webhook; the word it is answered with.
    pub async fn send(&self, body: &[u8]) -> String {
        let (status, answer) = self.post(&[("X-Klozeo-Signature", &signature(body))], body.to_vec()).await;
        assert_eq!(status, 202, "{answer}");
        answer["status"].as_str().unwrap().to_owned()
    }

    /// Sends a webhook with exactly these headers; the status and the body of the answer.
    pub async fn post(&self, headers: &[(&str, &str)], body: Vec<u8>) -> (u16, Json) {
        self.post_to("/webhooks/klozeo", headers, body).await
    }

    /// The same to any path.
    pub async fn post_to(&self, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> (u16, Json) {
        let request = self.stage.client.post(format!("http://{}{path}", self.app.webhooks)).body(body);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let answer = request.send().await.unwrap();
        let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
        let status = answer.status().as_u16();
        if status == 200 {
            assert_eq!(kind, "text/xml; charset=utf-8");
            return (status, answer.text().await.unwrap().into());
        }
        assert_eq!(kind, if status == 202 { "application/json" } else { "application/problem+json" });
        (status, answer.json().await.unwrap())
    }

    /// Waits until nothing is owed that would be tried by itself. A clock moved by hand goes on meanwhile.
    pub async fn settled(&self) {
        self.settled_within(Duration::from_secs(60)).await;
    }

    /// The same for very many leads, on a machine that has more to do.
    pub async fn settled_within(&self, time: Duration) {
        let until = Instant::now() + time;
        loop {
            let figures = self.app.store.queue_figures(self.stage.clock.now()).await.unwrap();
            if figures.iter().all(|queue| queue.ready + queue.leased + queue.retrying == 0) {
                return;
            }
            assert!(Instant::now() < until, "not settled: {figures:?}");
            self.stage.clock.advance(Duration::from_secs(1));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What the admin API shows, once it is as expected.
    pub async fn until(&self, path: &str, expected: impl Fn(&Json) -> bool) -> Json {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let seen = self.admin(path).await;
            if expected(&seen) {
                return seen;
            }
            assert!(Instant::now() < until, "{path} never became as expected: {seen}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The failures with this code, as an operator is shown them, once there are some.
    pub async fn error(&self, code: &str) -> Json {
        let is_it = |group: &Json| group["code"] == code;
        let seen = self.until("errors", |seen| seen["items"].as_array().unwrap().iter().any(is_it)).await;
        seen["items"].as_array().unwrap().iter().find(|group| is_it(group)).unwrap().clone()
    }

    /// The one destination, once it is as expected.
    pub async fn destination(&self, expected: impl Fn(&Json) -> bool) -> Json {
        self.until("destinations", |seen| expected(&seen["items"][0])).await["items"][0].clone()
    }

    /// Lets an operator have the destination go on.
    pub async fn resume(&self) {
        self.admin_post("destinations/salesforce/resume", json!({})).await;
    }

    /// The same, and waits until it has looked at the CRM's schema again, as it does then.
    pub async fn resume_with_new_schema(&self) {
        let seen_at = |check: &Json| check["items"][0]["checked_at"].clone();
        let before = seen_at(&self.admin("check").await);
        self.resume().await;
        self.until("check", |check| seen_at(check) != before).await;
    }

    /// Reads from the admin API.
    pub async fn admin(&self, path: &str) -> Json {
        read(&self.admin_text(path).await)
    }

    /// The same as it comes over the wire.
    pub async fn admin_text(&self, path: &str) -> String {
        self.admin_text_of(&self.app, path).await
    }

    /// What another replica's admin API shows.
    pub async fn admin_of(&self, app: &App, path: &str) -> Json {
        read(&self.admin_text_of(app, path).await)
    }

    async fn admin_text_of(&self, app: &App, path: &str) -> String {
        let request = self.stage.client.get(format!("http://{}/admin/v1/{path}", app.admin));
        text(request.bearer_auth(app.made_token.as_deref().unwrap())).await
    }

    /// Changes something through the admin API.
    pub async fn admin_post(&self, path: &str, body: Json) -> Json {
        let request = self.stage.client.post(format!("http://{}/admin/v1/{path}", self.app.admin));
        json(request.bearer_auth(self.token()).json(&body)).await
    }

    /// Asks the admin API for anything; the status and the body of the answer.
    pub async fn admin_ask(&self, method: &str, path: &str, body: Json) -> (u16, Json) {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = self.stage.client.request(method, format!("http://{}/admin/v1/{path}", self.app.admin));
        let answer = request.bearer_auth(self.token()).json(&body).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, read(&answer.text().await.unwrap()))
    }

    /// Asks the sandbox's control API.
    pub async fn control(&self, path: &str) -> Json {
        json(self.stage.client.get(format!("{}/_sandbox/{path}", self.stage.sandbox.url()))).await
    }

    /// Orders something from the sandbox's control API.
    pub async fn order(&self, path: &str, body: Json) -> Json {
        self.stage.order(path, body).await
    }

    /// Takes something away by the sandbox's control API.
    pub async fn remove(&self, path: &str, body: Json) {
        self.stage.remove(path, body).await;
    }

    /// Has the sandbox make trouble; none any more without rules.
    pub async fn faults(&self, rules: Json) {
        self.order("faults", json!({ "seed": 1, "rules": rules })).await;
    }

    /// Edits a record as a CRM user.
    pub async fn edit_record(&self, id: &str, fields: Json) {
        let request = self.stage.client.patch(format!("{}/_sandbox/records/{id}", self.stage.sandbox.url()));
        json(request.json(&json!({ "fields": fields }))).await;
    }

    /// Deletes a record as a CRM user.
    pub async fn delete_record(&self, id: &str) {
        self.remove(&format!("records/{id}"), json!({})).await;
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

    /// Moves a clock that is moved by hand.
    pub fn advance(&self, by: Duration) {
        self.stage.clock.advance(by);
    }

    /// Lets the time pass in which writes without an answer may land, and the look come that follows.
    pub async fn look_at_late_writes(&self) {
        self.advance(Duration::from_secs(16 * 60));
        self.app.store.close_late_intents(self.stage.clock.now()).await.unwrap();
        self.settled().await;
    }

    /// Ends both.
    pub async fn stop(self) {
        self.app.stop().await;
        self.stage.sandbox.stop().await;
    }

    fn token(&self) -> &str {
        self.app.made_token.as_deref().unwrap()
    }
}

async fn started(config: &Config, clock: &Clock) -> (App, Arc<Mutex<Result<Config, ConfigErrors>>>) {
    let file = Arc::new(Mutex::new(Ok(config.clone())));
    let read = Arc::clone(&file);
    let load = Box::new(move || read.lock().unwrap().clone());
    let app = App::start_reloadable(config, clock.clone(), Some(load)).await.unwrap();
    (app, file)
}

async fn json(request: reqwest::RequestBuilder) -> Json {
    read(&text(request).await)
}

async fn text(request: reqwest::RequestBuilder) -> String {
    let answer = request.send().await.unwrap();
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    assert!(status.is_success(), "{status}: {text}");
    text
}

fn read(text: &str) -> Json {
    if text.is_empty() { Json::Null } else { serde_json::from_str(text).unwrap() }
}

/// The signature that Klozeo would send with this body.
pub fn signature(body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(b"leadrelay-test-secret").unwrap();
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

/// A webhook body in Klozeo's shape.
pub fn event(kind: &str, at: i64, lead: &Json) -> Vec<u8> {
    json!({ "event": kind, "timestamp": at, "data": lead }).to_string().into_bytes()
}
