//! How quickly webhooks are taken in, and how long each waits for its 202.
//!
//! `cargo bench --bench intake`, about two minutes; `SECONDS=1` is shorter and noisier. `STORE=postgres` does the same on a
//! PostgreSQL server of its own. `PROTOTYPE=path/to/server` puts the measuring program beside it that the design started
//! from. Server and client are two processes of this program, 64 keep-alive connections send distinct signed bodies of
//! 1.2 KB, and medians of five alternating runs are printed with their targets. Absolute figures hold for one machine only;
//! the ratios are what counts. A missed target ends it with 1.

mod load;
#[allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test program uses a part of it, and ends at what it does not expect"
)]
#[path = "../tests/support/postgres.rs"]
mod postgres;

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use leadrelay::clock::Clock;
use leadrelay::domain::ids::{DestinationName, EventId, SourceName};
use leadrelay::http::serve::{ServeLimits, serve};
use leadrelay::http::{BodyLimits, public_router};
use leadrelay::intake::{Intake, SourceRuntime};
use leadrelay::source::preset;
use leadrelay::store::postgres::{self as shared, PostgresStore};
use leadrelay::store::sqlite::{self as embedded, SqliteStore};
use leadrelay::store::{EventLog, EventReceipt, NewEvent, StoreResult};

use load::children::Process;
use load::client::{Run, send};
use load::figures::{judge, median, percentile, verdict};
use load::requests::{SECRET, prepare};

const RUNS: usize = 5;
const CONNECTIONS: usize = 64;
const PREPARED: usize = 160_000;
const ROLE: &str = "INTAKE_BENCH_ROLE";
/// Where the server of a role finds its database; without it in a file of its own.
const DATABASE: &str = "INTAKE_BENCH_DATABASE";
/// What a server has that stores each request by itself.
const CONNECTIONS_OF_THE_NAIVE: usize = 20;

fn main() -> io::Result<ExitCode> {
    match std::env::var(ROLE) {
        Ok(role) => be_server(&role)?,
        Err(_) => measure()?,
    }
    Ok(verdict())
}

/// Which store is measured, and what it should reach.
struct Bench {
    /// `None`: SQLite.
    server: Option<postgres::Cluster>,
    times_the_naive: f64,
    acks_per_sync: f64,
}

impl Bench {
    fn new() -> io::Result<Self> {
        match std::env::var("STORE").as_deref() {
            Err(_) | Ok("sqlite") => Ok(Self { server: None, times_the_naive: 5.0, acks_per_sync: 10.0 }),
            Ok("postgres") => {
                let settings = "shared_buffers = 1GB\nmax_wal_size = 8GB\n";
                let server = postgres::Cluster::new(settings).ok_or_else(|| io::Error::other("no PostgreSQL here"))?;
                Ok(Self { server: Some(server), times_the_naive: 2.5, acks_per_sync: 1.0 })
            }
            Ok(other) => Err(io::Error::other(format!("STORE={other} is neither sqlite nor postgres"))),
        }
    }

    /// The address of a fresh database on the server, if there is one.
    fn database(&self) -> io::Result<Option<String>> {
        let Some(server) = &self.server else { return Ok(None) };
        Ok(Some(server.url(&runtime()?.block_on(server.create_database()))))
    }

    /// The same without our tables.
    fn empty_database(&self) -> io::Result<String> {
        let server = self.server.as_ref().ok_or_else(|| io::Error::other("there is no server"))?;
        runtime()?.block_on(server.execute("DROP DATABASE IF EXISTS empty"));
        runtime()?.block_on(server.execute("CREATE DATABASE empty"));
        Ok(server.url("empty"))
    }
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

fn measure() -> io::Result<()> {
    let bench = Bench::new()?;
    let seconds = std::env::var("SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(3);
    let within = Duration::from_secs(seconds);
    let prototype = std::env::var_os("PROTOTYPE");
    let requests = prepare("/webhooks/klozeo", 0, PREPARED);
    let for_prototype = if prototype.is_some() { prepare("/hook/klozeo", 0, PREPARED) } else { Vec::new() };
    let (mut group, mut single, mut none, mut proto) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut acks_per_sync, mut cpu) = (Vec::new(), Vec::new());
    let (mut p50, mut p99) = (Vec::new(), Vec::new());
    for run in 1..=RUNS {
        let Served { run: durable, acks, micros } = run_role(&bench, "group", &requests, within)?;
        let Served { run: alone, .. } = run_role(&bench, "single", &requests, within)?;
        let Served { run: unstored, .. } = run_role(&bench, "none", &requests, within)?;
        println!(
            "run {run}: {:.0}/s durable ({acks:.1} acks a sync), {:.0}/s with one commit per request, {:.0}/s without storing",
            durable.per_second(),
            alone.per_second(),
            unstored.per_second()
        );
        group.push(durable.per_second());
        single.push(alone.per_second());
        none.push(unstored.per_second());
        acks_per_sync.push(acks);
        cpu.push(micros);
        p50.push(percentile(&durable.latencies, 0.5));
        p99.push(percentile(&durable.latencies, 0.99));
        if let Some(program) = &prototype {
            let beside = run_prototype(&bench, Path::new(program), &for_prototype, within)?;
            println!("run {run}: {:.0}/s by the prototype", beside.per_second());
            proto.push(beside.per_second());
        }
    }
    let rate = median(group);
    println!("durable: p50 {:.2} ms, p99 {:.2} ms at saturation", median(p50), median(p99));
    println!("without storing: {:.0}/s", median(none));
    println!("durable 202s: {rate:.0}/s, {:.0} us of the server's CPU time each", median(cpu));
    let ratio = rate / median(single);
    let least = bench.times_the_naive;
    judge("group commit against one commit per request", ratio, ratio >= least, &format!(">= {least}"));
    let acks = median(acks_per_sync);
    let least = bench.acks_per_sync;
    judge("acks per sync", acks, acks >= least, &format!(">= {least}"));
    if !proto.is_empty() {
        let part = rate / median(proto);
        judge("part of the prototype's rate", part, part >= 0.6, ">= 0.6");
    }
    measure_idle(&bench, &requests)
}

/// One webhook at a time on a server that has nothing else to do.
fn measure_idle(bench: &Bench, requests: &[Vec<u8>]) -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let (server, address) = start_role(bench, "group", folder.path())?;
    let run = send(address, &requests[..1_000], 1, Duration::from_secs(10), Some(200.0))?;
    server.finish()?;
    let (p50, p99) = (percentile(&run.latencies, 0.5), percentile(&run.latencies, 0.99));
    judge("one webhook on an idle server, p50 in ms", p50, p50 <= 5.0, "<= 5");
    judge("one webhook on an idle server, p99 in ms", p99, p99 <= 20.0, "<= 20");
    Ok(())
}

fn start_role(bench: &Bench, role: &str, folder: &Path) -> io::Result<(Process, SocketAddr)> {
    let mut command = Command::new(std::env::current_exe()?);
    command.env(ROLE, role).envs(bench.database()?.map(|url| (DATABASE, url))).current_dir(folder);
    let mut server = Process::start(&mut command)?;
    let address = server.line()?.parse().map_err(io::Error::other)?;
    Ok((server, address))
}

/// What the server of a role managed.
struct Served {
    run: Run,
    /// How many events each of its commits held.
    acks: f64,
    /// Its CPU time per webhook.
    micros: f64,
}

fn run_role(bench: &Bench, role: &str, requests: &[Vec<u8>], within: Duration) -> io::Result<Served> {
    let folder = tempfile::tempdir()?;
    let (server, address) = start_role(bench, role, folder.path())?;
    let run = send(address, requests, CONNECTIONS, within, None)?;
    let cpu = server.cpu();
    let told = server.finish()?;
    assert_eq!(run.refused, 0, "every request must be answered 202");
    let commits: f64 = told.parse().map_err(io::Error::other)?;
    let acks = run.accepted as f64 / commits.max(1.0);
    let micros = cpu.as_secs_f64() * 1e6 / run.accepted.max(1) as f64;
    Ok(Served { run, acks, micros })
}

fn run_prototype(bench: &Bench, program: &Path, requests: &[Vec<u8>], within: Duration) -> io::Result<Run> {
    let folder = tempfile::tempdir()?;
    let address = free_address()?;
    let mut command = Command::new(program);
    let database = match &bench.server {
        None => [("MODE", "sqlite".to_owned()), ("DB", "prototype.db".to_owned())],
        Some(_) => [("MODE", "pg".to_owned()), ("DB", bench.empty_database()?)],
    };
    command.envs([("JSON", "v"), ("HMAC", "sha2"), ("SECRET", SECRET)]).envs(database);
    let _server = Process::start(command.env("PORT", address.port().to_string()).current_dir(folder.path()))?;
    wait_for(address)?;
    let run = send(address, requests, CONNECTIONS, within, None)?;
    assert_eq!(run.refused, 0, "the prototype must answer 202");
    Ok(run)
}

/// An address that nobody listens on.
fn free_address() -> io::Result<SocketAddr> {
    std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()
}

/// Waits until somebody listens there.
fn wait_for(address: SocketAddr) -> io::Result<()> {
    for _ in 0..500 {
        if std::net::TcpStream::connect(address).is_ok() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err(io::Error::other(format!("nobody listens on {address}")))
}

/// Serves until stdin ends, and then says how many commits it took.
fn be_server(role: &str) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let commits = Arc::new(AtomicU64::new(0));
        let log: Arc<dyn EventLog> = match role {
            "none" => Arc::new(Nowhere::default()),
            role => open(role == "single", Arc::clone(&commits)).await.map_err(io::Error::other)?,
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        writeln!(io::stdout(), "{}", listener.local_addr()?)?;
        let router = public_router(Arc::new(intake(log)), BodyLimits::of(1 << 20));
        let ended = async {
            // Whether it ended or broke off, nobody wants the server any more.
            let _ = tokio::task::spawn_blocking(|| io::stdin().read_to_end(&mut Vec::new())).await;
        };
        serve(listener, router, ServeLimits::default(), ended).await;
        writeln!(io::stdout(), "{}", commits.load(Ordering::Relaxed))
    })
}

/// The store of a server, which commits each request by itself where it is `naive`.
async fn open(naive: bool, commits: Arc<AtomicU64>) -> StoreResult<Arc<dyn EventLog>> {
    let on_commit = Box::new(move |_| {
        commits.fetch_add(1, Ordering::Relaxed);
    });
    if let Ok(url) = std::env::var(DATABASE) {
        let mut options = shared::Options { on_commit, ..shared::Options::default() };
        if naive {
            (options.max_batch, options.writers) = (1, CONNECTIONS_OF_THE_NAIVE);
        }
        return Ok(Arc::new(PostgresStore::open(&url, options).await?));
    }
    let mut options = embedded::Options { on_commit, ..embedded::Options::default() };
    if naive {
        options.max_batch = 1;
    }
    Ok(Arc::new(SqliteStore::open(Path::new("leadrelay.db"), options).await?))
}

fn intake(log: Arc<dyn EventLog>) -> Intake {
    let preset = preset("klozeo").expect("a preset of this name");
    let (verify, read) = (preset.verify.expect("signatures"), preset.read.expect("reading"));
    let destinations = vec![DestinationName::from("crm")];
    let source =
        SourceRuntime::new(SourceName::from("klozeo"), true, &verify, &[SECRET.to_owned()], read, destinations)
            .expect("the preset is sound");
    Intake::new(log, vec![source], None, Clock::system(), Arc::default())
}

/// Acknowledges everything and keeps nothing.
#[derive(Default)]
struct Nowhere(AtomicI64);

#[async_trait]
impl EventLog for Nowhere {
    async fn accept_events(&self, events: Vec<NewEvent>) -> StoreResult<Vec<EventReceipt>> {
        let id = |_| EventReceipt {
            id: EventId(self.0.fetch_add(1, Ordering::Relaxed) + 1),
            duplicate: false,
            erased: false,
        };
        Ok(events.iter().map(id).collect())
    }
}
