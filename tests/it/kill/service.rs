//! The real binary as child processes that are killed and started again on the same files and ports: one on SQLite, or
//! several behind one address on PostgreSQL.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use super::configuration::configuration;
use super::crm::Items;
use super::leads::Lead;
use crate::database::TestDatabase;
use crate::proxy::Proxy;

/// What webhooks are signed with.
pub const SECRET: &str = "the kill test's secret";
pub const TOKEN: &str = "the kill test's admin token";
/// How long a replica has a lead for itself.
pub const LEASE: Duration = Duration::from_secs(3);
/// How long a start, and paying all that is owed, may take.
const LONGEST_START: Duration = Duration::from_secs(20);
const LONGEST_DRAIN: Duration = Duration::from_secs(90);

pub struct Service {
    folder: Option<tempfile::TempDir>,
    pub replicas: Vec<Replica>,
    pub database: TestDatabase,
    /// For webhooks and for operators, where there are several replicas.
    front: Option<(Proxy, Proxy)>,
    client: reqwest::Client,
}

/// One process.
pub struct Replica {
    config: PathBuf,
    webhooks: u16,
    admin: u16,
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

impl Replica {
    fn new(folder: &Path, n: usize, store: &str, crm: &str, rng: &mut Rng) -> Self {
        let (webhooks, admin) = (free_port(rng), free_port(rng));
        let config = folder.join(format!("leadrelay-{n}.toml"));
        fs::write(&config, configuration(store, webhooks, admin, crm)).unwrap();
        Self { config, webhooks, admin, child: None }
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

    /// SIGKILL.
    pub fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Sends the process a signal by its name.
    pub fn signal(&self, name: &str) {
        let id = self.process().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }

    /// The number of its process.
    pub fn process(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Waits for a process that was told to end.
    pub fn wait(&mut self) {
        let status = self.child.take().unwrap().wait().unwrap();
        assert!(status.success(), "{status}\n{}", self.end_of_log());
    }

    /// Whether it ended by itself.
    fn has_ended(&mut self) -> bool {
        self.child.as_mut().unwrap().try_wait().unwrap().is_some()
    }

    fn log(&self) -> PathBuf {
        self.config.with_extension("log")
    }

    fn end_of_log(&self) -> String {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Service {
    /// One process with a database of its own.
    pub async fn new(crm: &str, mut rng: Rng) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = TestDatabase::new(folder.path()).await;
        let replicas = vec![Replica::new(folder.path(), 0, &database.url(), crm, &mut rng)];
        Self { folder: Some(folder), replicas, database, front: None, client: client() }
    }

    /// So many processes behind one address, on the database at `store`.
    pub async fn replicated(crm: &str, mut rng: Rng, store: &str, replicas: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let replicas: Vec<Replica> =
            (0..replicas).map(|n| Replica::new(folder.path(), n, store, crm, &mut rng)).collect();
        let webhooks = Proxy::start(replicas.iter().map(|replica| replica.webhooks).collect()).await;
        let admin = Proxy::start(replicas.iter().map(|replica| replica.admin).collect()).await;
        let database = TestDatabase::At(store.to_owned());
        Self { folder: Some(folder), replicas, database, front: Some((webhooks, admin)), client: client() }
    }

    /// Where webhooks are sent.
    pub fn webhooks(&self) -> String {
        let port = self.front.as_ref().map_or(self.replicas[0].webhooks, |(webhooks, _)| webhooks.port);
        format!("http://127.0.0.1:{port}/webhooks/klozeo")
    }

    pub fn start(&mut self) {
        self.replicas.iter_mut().for_each(Replica::start);
    }

    /// SIGKILL for one of the processes, which comes back at once. It must not have ended by itself; where the database is
    /// not in our process, it may have found none at its start.
    pub fn kill_one(&mut self, rng: &mut Rng) {
        let replica = rng.choice(&mut self.replicas).unwrap();
        assert!(self.front.is_some() || !replica.has_ended(), "the service ended by itself\n{}", replica.end_of_log());
        replica.kill();
        replica.start();
    }

    /// Starts again whatever found no database when it started, as a supervisor would.
    pub fn revive(&mut self) {
        for replica in &mut self.replicas {
            if replica.has_ended() {
                replica.start();
            }
        }
    }

    /// Has new connections go to all replicas but this one, or to all.
    pub fn route_around(&self, replica: Option<usize>) {
        let (webhooks, admin) = self.front.as_ref().unwrap();
        let kept = || self.replicas.iter().enumerate().filter(|(n, _)| Some(*n) != replica);
        webhooks.send_to(kept().map(|(_, replica)| replica.webhooks).collect());
        admin.send_to(kept().map(|(_, replica)| replica.admin).collect());
    }

    /// Whether every process is.
    pub async fn is_ready(&self) -> bool {
        for replica in &self.replicas {
            let request = self.client.get(format!("http://127.0.0.1:{}/readyz", replica.admin));
            if !request.send().await.is_ok_and(|answer| answer.status().is_success()) {
                return false;
            }
        }
        true
    }

    pub async fn until_ready(&mut self) {
        let began = Instant::now();
        while !self.is_ready().await {
            if self.front.is_some() {
                self.revive();
            }
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
        let port = self.front.as_ref().map_or(self.replicas[0].admin, |(_, admin)| admin.port);
        format!("http://127.0.0.1:{port}/admin/v1/{path}")
    }

    fn end_of_log(&self) -> String {
        let each = self.replicas.iter().enumerate();
        each.map(|(n, replica)| format!("log of process {n}:\n{}", replica.end_of_log())).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn client() -> reqwest::Client {
    // No connection is kept: the process at its other end may be gone, or not be the one that is asked next.
    reqwest::Client::builder().timeout(Duration::from_secs(10)).pool_max_idle_per_host(0).build().unwrap()
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
