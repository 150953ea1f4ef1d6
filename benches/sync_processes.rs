//! The service and the sandbox CRM, each in a process of its own, and what is asked of them from outside.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use leadrelay::app::App;
use leadrelay::clock::Clock;
use leadrelay::config::{Config, DestinationKind, ServerUrl, StoreUrl};
use leadrelay::sandbox::Sandbox;
use leadrelay::telemetry::{self, LogFormat};
use rusqlite::{Connection, OpenFlags};
use serde_json::Value as Json;
use sqlx::PgPool;
use tempfile::TempDir;

use crate::load::children::Process;
use crate::load::requests::SECRET;

pub const ROLE: &str = "SYNC_BENCH_ROLE";
const CRM_URL: &str = "SYNC_BENCH_CRM";
/// Where the service finds its database; without it in a file of its own.
const SERVER_URL: &str = "SYNC_BENCH_DATABASE";
const DATABASE: &str = "leadrelay.db";
const SETTINGS: &str = include_str!("../leadrelay.toml");

/// The sandbox.
pub struct Crm {
    pub process: Process,
    url: String,
    control: Control,
}

/// Counted by the sandbox itself.
pub struct Stats {
    pub calls: u64,
    pub leads: usize,
}

impl Crm {
    pub fn start() -> io::Result<Self> {
        let mut process = Process::start(Command::new(std::env::current_exe()?).env(ROLE, "crm"))?;
        let url = process.line()?;
        Ok(Self { process, url, control: Control::new()? })
    }

    pub fn stats(&self) -> io::Result<Stats> {
        let stats = self.control.ask(|client| client.get(format!("{}/_sandbox/stats", self.url)))?;
        let count = |json: &Json| json.as_u64().ok_or_else(|| io::Error::other("the sandbox did not count"));
        let leads = count(&stats["records"]["Lead"])?;
        Ok(Stats { calls: count(&stats["calls"])?, leads: usize::try_from(leads).map_err(io::Error::other)? })
    }

    pub fn finish(self) -> io::Result<()> {
        self.process.finish().map(drop)
    }
}

/// The service with the shipped configuration, but for addresses and a batch that waits for nobody.
pub struct Service {
    pub process: Process,
    pub webhooks: SocketAddr,
    admin: String,
    token: String,
    control: Control,
    queue: Queue,
    _folder: TempDir,
}

/// A look into the service's database.
enum Queue {
    File(Connection),
    Server(PgPool),
}

impl Service {
    /// With a file of its own, or on the database at `server`.
    pub fn start(crm: &Crm, server: Option<&str>) -> io::Result<Self> {
        assert!(SETTINGS.contains(SECRET), "the requests must be signed with the configured secret");
        let folder = tempfile::tempdir()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.env(ROLE, "service").env(CRM_URL, &crm.url).current_dir(folder.path()).stderr(Stdio::null());
        command.envs(server.map(|url| (SERVER_URL, url)));
        let mut process = Process::start(&mut command)?;
        let told = process.line()?;
        let [webhooks, admin, token] = told.split(' ').collect::<Vec<_>>()[..] else {
            return Err(io::Error::other(format!("the service did not start: {told}")));
        };
        let control = Control::new()?;
        let queue = match server {
            None => {
                let file = folder.path().join(DATABASE);
                let queue = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY);
                let queue = queue.map_err(io::Error::other)?;
                queue.busy_timeout(Duration::from_secs(5)).map_err(io::Error::other)?;
                Queue::File(queue)
            }
            Some(url) => Queue::Server(control.runtime.block_on(PgPool::connect(url)).map_err(io::Error::other)?),
        };
        Ok(Self {
            webhooks: webhooks.parse().map_err(io::Error::other)?,
            admin: format!("http://{admin}/admin/v1"),
            token: token.to_owned(),
            process,
            control,
            queue,
            _folder: folder,
        })
    }

    pub fn pause(&self) -> io::Result<()> {
        self.order("pause", "{}")
    }

    pub fn resume(&self) -> io::Result<()> {
        self.order("resume", "")
    }

    fn order(&self, what: &str, body: &'static str) -> io::Result<()> {
        let url = format!("{}/destinations/salesforce/{what}", self.admin);
        let ordered = self.control.ask(|client| {
            client.post(url).bearer_auth(&self.token).header("content-type", "application/json").body(body)
        });
        ordered.map(drop)
    }

    /// How many leads are owed.
    pub fn owed(&self) -> io::Result<usize> {
        let count = match &self.queue {
            Queue::File(file) => {
                let sql = "SELECT coalesce(sum(n), 0) FROM job_counts WHERE status IN ('ready', 'leased', 'retrying')";
                let count = |sql| file.prepare_cached(sql)?.query_row([], |row| row.get::<_, i64>(0));
                count(sql).map_err(io::Error::other)?
            }
            Queue::Server(server) => {
                let count = sqlx::query_scalar("SELECT count(*) FROM jobs WHERE state = 'owed'").fetch_one(server);
                self.control.runtime.block_on(count).map_err(io::Error::other)?
            }
        };
        usize::try_from(count).map_err(io::Error::other)
    }

    pub fn finish(self) -> io::Result<()> {
        self.process.finish().map(drop)
    }
}

/// A client for the one or the other's own API.
struct Control {
    runtime: tokio::runtime::Runtime,
    client: reqwest::Client,
}

impl Control {
    fn new() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let client =
            reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().map_err(io::Error::other)?;
        Ok(Self { runtime, client })
    }

    fn ask(&self, request: impl FnOnce(&reqwest::Client) -> reqwest::RequestBuilder) -> io::Result<Json> {
        self.runtime.block_on(async {
            let answer = request(&self.client).send().await.map_err(io::Error::other)?;
            let answer = answer.error_for_status().map_err(io::Error::other)?;
            answer.json().await.map_err(io::Error::other)
        })
    }
}

/// Runs as one of the two until stdin ends.
pub fn be_role(role: &str) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match role {
            "crm" => be_crm().await,
            _ => be_service().await,
        }
    })
}

async fn be_crm() -> io::Result<()> {
    let sandbox = Sandbox::start(([127, 0, 0, 1], 0).into()).await?;
    writeln!(io::stdout(), "{}", sandbox.url())?;
    stdin_ends().await;
    sandbox.stop().await;
    writeln!(io::stdout(), "ended")
}

async fn be_service() -> io::Result<()> {
    telemetry::init(LogFormat::Human, &|_| None).map_err(io::Error::other)?;
    let read = |path: &Path| std::fs::read_to_string(path);
    let config = Config::parse(SETTINGS, Path::new("leadrelay.toml"), &|_| None, &read);
    let mut config = config.map_err(|_| io::Error::other("the shipped configuration is wrong"))?;
    config.server.listen.set_port(0);
    config.admin.listen.set_port(0);
    config.store.url = match std::env::var(SERVER_URL) {
        Ok(url) => StoreUrl::Postgres(ServerUrl::parse(&url).map_err(io::Error::other)?),
        Err(_) => StoreUrl::Sqlite(DATABASE.into()),
    };
    for destination in config.destinations.values_mut() {
        let DestinationKind::Salesforce(salesforce) = &mut destination.kind;
        salesforce.url =
            std::env::var(CRM_URL).map_err(io::Error::other)?.parse().map_err(|_| io::Error::other("no URL"))?;
        destination.limits.linger = Duration::ZERO;
    }
    let app = Box::pin(App::start(&config, Clock::system())).await.map_err(io::Error::other)?;
    let token = app.made_token.clone().unwrap_or_default();
    writeln!(io::stdout(), "{} {} {token}", app.webhooks, app.admin)?;
    stdin_ends().await;
    app.stop().await;
    writeln!(io::stdout(), "ended")
}

/// Whether it ended or broke off, nobody wants this process any more.
async fn stdin_ends() {
    let _ = tokio::task::spawn_blocking(|| io::stdin().read_to_end(&mut Vec::new())).await;
}
