//! The real binary as a child process that is killed and started again on the same files and ports.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use super::crm::Items;
use super::leads::Lead;
use crate::database::TestDatabase;

/// What webhooks are signed with.
pub const SECRET: &str = "the kill test's secret";
const TOKEN: &str = "the kill test's admin token";
/// How long a start, and paying all that is owed, may take.
const LONGEST_START: Duration = Duration::from_secs(20);
const LONGEST_DRAIN: Duration = Duration::from_secs(90);

pub struct Service {
    folder: Option<tempfile::TempDir>,
    pub database: TestDatabase,
    config: PathBuf,
    webhooks: u16,
    admin: u16,
    client: reqwest::Client,
    child: Option<Child>,
}

/// One row of the sync log; `decisions` where it was asked for by its ID.
#[derive(Debug, Deserialize)]
pub struct LogEntry {
    pub id: i64,
    pub lead_id: String,
    pub record: Option<RecordId>,
    pub error_code: Option<String>,
    pub request_id: Option<String>,
    #[serde(default)]
    pub decisions: Vec<Decision>,
}

#[derive(Debug, Deserialize)]
pub struct RecordId {
    pub id: String,
}

#[derive(Debug, Deserialize)]
pub struct Decision {
    pub field: String,
    pub lead: Option<Json>,
    pub crm: Option<Json>,
    pub written: Option<Json>,
    pub rule: String,
}

#[derive(Debug, Deserialize)]
pub struct Conflict {
    pub lead_id: String,
    pub kind: String,
}

#[derive(Deserialize)]
struct Queue {
    ready: u64,
    leased: u64,
    retrying: u64,
}

#[derive(Deserialize)]
struct Page<T> {
    items: Vec<T>,
    next: Option<String>,
}

impl Service {
    pub async fn new(crm: &str, mut rng: Rng) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (webhooks, admin) = (free_port(&mut rng), free_port(&mut rng));
        let config = folder.path().join("leadrelay.toml");
        let database = TestDatabase::new(folder.path()).await;
        fs::write(&config, configuration(&database.url(), webhooks, admin, crm)).unwrap();
        let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).build().unwrap();
        Self { folder: Some(folder), database, config, webhooks, admin, client, child: None }
    }

    /// Where webhooks are sent.
    pub fn webhooks(&self) -> String {
        format!("http://127.0.0.1:{}/webhooks/klozeo", self.webhooks)
    }

    pub fn start(&mut self) {
        let log = OpenOptions::new().create(true).append(true).open(self.log()).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_leadrelay"))
            .args(["serve", "--config"])
            .arg(&self.config)
            .env("LEADRELAY_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(File::options().append(true).open(self.log()).unwrap())
            .stderr(log)
            .spawn();
        self.child = Some(child.unwrap());
    }

    /// SIGKILL. It must not have ended by itself.
    pub fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        if let Some(status) = child.try_wait().unwrap() {
            panic!("the service ended by itself: {status}\n{}", self.end_of_log());
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub async fn is_ready(&self) -> bool {
        let request = self.client.get(format!("http://127.0.0.1:{}/readyz", self.admin));
        request.send().await.is_ok_and(|answer| answer.status().is_success())
    }

    pub async fn until_ready(&self) {
        let began = Instant::now();
        while !self.is_ready().await {
            assert!(began.elapsed() < LONGEST_START, "the service does not start\n{}", self.end_of_log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until nothing is owed that is paid without a person.
    pub async fn until_drained(&self) {
        let began = Instant::now();
        loop {
            // The queue's figures are at most a second old.
            tokio::time::sleep(Duration::from_millis(1_100)).await;
            let queues: Items<Queue> = self.get("queue").await;
            let owed: u64 = queues.items.iter().map(|queue| queue.ready + queue.leased + queue.retrying).sum();
            if owed == 0 {
                return;
            }
            assert!(
                began.elapsed() < LONGEST_DRAIN,
                "{owed} leads are still owed after {} s\n{}",
                LONGEST_DRAIN.as_secs(),
                self.end_of_log()
            );
        }
    }

    /// Asks for each lead to be synced once more, as an operator does.
    pub async fn sync_all(&self, leads: &[Lead]) {
        for lead in leads {
            let request = self.client.post(self.at(&format!("leads/klozeo/{}/sync", lead.id)));
            let answer = request.bearer_auth(TOKEN).send().await.unwrap();
            assert_eq!(answer.status().as_u16(), 202, "the acknowledged lead {} is not known", lead.id);
        }
    }

    /// The whole sync log, without decisions.
    pub async fn log_entries(&self) -> Vec<LogEntry> {
        let request = self.client.get(self.at("sync-log")).header("accept", "application/x-ndjson");
        let request = request.timeout(LONGEST_DRAIN).bearer_auth(TOKEN);
        let text = request.send().await.unwrap().text().await.unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Whether the log knows of a write that a kill cut off.
    pub async fn has_died_writing(&self) -> bool {
        let died: Items<LogEntry> = self.get("sync-log?error=process_died&limit=1").await;
        !died.items.is_empty()
    }

    pub async fn log_entry(&self, id: i64) -> LogEntry {
        self.get(&format!("sync-log/{id}")).await
    }

    pub async fn open_conflicts(&self) -> Vec<Conflict> {
        let mut conflicts = Vec::new();
        let mut cursor = String::new();
        loop {
            let page: Page<Conflict> = self.get(&format!("conflicts?state=open&limit=500{cursor}")).await;
            conflicts.extend(page.items);
            match page.next {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return conflicts,
            }
        }
    }

    /// Leaves the database and the log behind, to be looked at.
    pub fn keep(&mut self) -> PathBuf {
        self.folder.take().unwrap().keep()
    }

    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> T {
        let answer = self.client.get(self.at(path)).bearer_auth(TOKEN).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap());
        answer.json().await.unwrap()
    }

    fn at(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/admin/v1/{path}", self.admin)
    }

    fn log(&self) -> PathBuf {
        self.config.with_file_name("log")
    }

    fn end_of_log(&self) -> String {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Below the ports from which the system takes the outgoing ones: those might be in use when the service comes back. Each
/// is given out once.
fn free_port(rng: &mut Rng) -> u16 {
    static GIVEN_OUT: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let port = rng.u16(10_000..30_000) ^ (std::process::id() as u16 & 0xff);
        if GIVEN_OUT.lock().unwrap().insert(port) && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn configuration(database: &str, webhooks: u16, admin: u16, crm: &str) -> String {
    let sha256 = hex::encode(Sha256::digest(TOKEN));
    let rows: String = [
        ("name", "FirstName", "text", "lead_wins", "take = 'first_name'"),
        ("name", "LastName", "text", "lead_wins", "take = 'last_name'\ndefault = 'Unknown'"),
        ("email", "Email", "email", "lead_wins", ""),
        ("attributes.industry", "Industry_Detail__c", "text", "lead_wins", ""),
        ("attributes.company", "Company", "text", "crm_wins", "default = 'Unknown'"),
        ("description", "Description", "text", "lead_wins", ""),
        ("city", "City", "text", "lead_wins", ""),
        ("status", "Status", "picklist", "review", ""),
        ("source", "LeadSource", "picklist", "crm_wins", ""),
        ("score", "Lead_Score__c", "number", "lead_wins", ""),
    ]
    .map(|(lead, crm, kind, rule, more)| {
        format!(
            "[[destinations.salesforce.fields]]\nlead = '{lead}'\ncrm = '{crm}'\ntype = '{kind}'\nconflict = '{rule}'\n{more}\n"
        )
    })
    .concat();
    format!(
        r#"
[server]
listen = "127.0.0.1:{webhooks}"
[admin]
listen = "127.0.0.1:{admin}"
[[admin.tokens]]
name = "kill test"
role = "operator"
sha256 = "{sha256}"
[store]
url = "{database}"
allow_unsafe_server = true
[sources.klozeo]
preset = "klozeo"
secrets = ["{SECRET}"]
[destinations.salesforce]
kind = "salesforce"
login = {{ flow = "client_credentials", url = "{crm}", client_id = "a", client_secret = "b" }}
[destinations.salesforce.records]
external_id = "Lead_System_Id__c"
[destinations.salesforce.limits]
calls_per_day = 100000000
timeout = "1s"
[destinations.salesforce.retry]
first = "50ms"
longest = "500ms"
lease = "3s"
{rows}"#,
    )
}
