//! Whether five million log rows can be searched, and pruned without intake noticing.
//!
//! `cargo bench --bench log`, ten minutes and 5 GB of disk, most of it for making the rows; `STORE=postgres` does the same
//! on a PostgreSQL server of its own, `ROWS=500000` is quicker and shows less. `DATABASE`, the path of a file or a
//! `postgres://` URL, keeps the rows there, or finds them there; `PART=search`, `PART=metrics` or `PART=prune` is one
//! part alone, `RATE=300` sends fewer webhooks meanwhile. Each filter alone and ten combinations are asked for a page
//! of 50 by HTTP, with other values each time. A filter alone has to give a full page, or all there is; a combination,
//! and a word that is in no error, may give less with a cursor, where much had to be looked through in vain. A missed
//! target ends it with 1.

#[allow(dead_code, reason = "each benchmark uses a part of it")]
mod load;
mod log_rows;
#[allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test program uses a part of it, and ends at what it does not expect"
)]
#[path = "../tests/support/postgres.rs"]
mod postgres;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use leadrelay::app::App;
use leadrelay::clock::Clock;
use leadrelay::config::{AdminToken, Config, Role, ServerUrl, StoreUrl};
use leadrelay::domain::time::Timestamp;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use load::client::send;
use load::figures::{judge, percentile, verdict};
use load::requests::prepare;
use log_rows::{DAYS, LEADS, Rows};

/// How often each filter is asked for.
const ASKED: usize = 40;
const PAGE: usize = 50;
/// Webhooks a second while it prunes and while it does not, unless `RATE` says otherwise.
const RATE: f64 = 1_000.0;
const SENT_FOR: Duration = Duration::from_secs(10);
const CONNECTIONS: usize = 16;
const TOKEN: &str = "bench";

fn main() -> io::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let rows = std::env::var("ROWS").ok().and_then(|text| text.parse().ok()).unwrap_or(5_000_000);
    let part = std::env::var("PART").unwrap_or_default();
    let wanted = |name: &str| part.is_empty() || part == name;
    let place = Place::find(&runtime)?;
    let begun = Instant::now();
    let rows = runtime.block_on(make_rows(&place.url, rows))?;
    println!("{} rows ready after {} s", rows.rows, begun.elapsed().as_secs());

    let config = configuration(&place.url)?;
    let clock = Clock::manual(rows.now);
    let start = || runtime.block_on(App::start(&config, clock.clone())).map_err(io::Error::other);
    let app = start()?;
    let client = Client::new(app.admin)?;
    if wanted("search") {
        runtime.block_on(search(&client, rows.now))?;
    }
    if wanted("metrics") {
        runtime.block_on(scrape(&client))?;
    }
    let quiet = if wanted("prune") { intake(app.webhooks, 0)? } else { 0.0 };
    runtime.block_on(app.stop());
    if wanted("prune") {
        // Two thirds of the rows are older than they are kept: pruning begins with the start.
        clock.advance(Duration::from_secs(60 * 86_400));
        let app = start()?;
        let pruning = intake(app.webhooks, 1)?;
        runtime.block_on(app.stop());
        println!("202 after {quiet:.2} ms (p99) while nothing is pruned, {pruning:.2} ms while it is");
        let ratio = pruning / quiet;
        judge("p99 of the 202 while pruning against without", ratio, ratio <= 2.0, "<= 2");
    }
    Ok(verdict())
}

/// Where the rows are.
struct Place {
    url: StoreUrl,
    /// Goes with the run, as a folder and a server of its own do.
    _own: (Option<tempfile::TempDir>, Option<postgres::Cluster>),
}

impl Place {
    fn find(runtime: &tokio::runtime::Runtime) -> io::Result<Self> {
        if let Ok(kept) = std::env::var("DATABASE") {
            let url = if kept.starts_with("postgres") {
                StoreUrl::Postgres(ServerUrl::parse(&kept).map_err(io::Error::other)?)
            } else {
                StoreUrl::Sqlite(PathBuf::from(kept))
            };
            return Ok(Self { url, _own: (None, None) });
        }
        if std::env::var("STORE").as_deref() == Ok("postgres") {
            let settings = "shared_buffers = 1GB\nmax_wal_size = 8GB\n";
            let server = postgres::Cluster::new(settings).ok_or_else(|| io::Error::other("no PostgreSQL here"))?;
            let url = server.url(&runtime.block_on(server.create_database()));
            let url = StoreUrl::Postgres(ServerUrl::parse(&url).map_err(io::Error::other)?);
            return Ok(Self { url, _own: (None, Some(server)) });
        }
        let folder = tempfile::tempdir()?;
        Ok(Self { url: StoreUrl::Sqlite(folder.path().join("leadrelay.db")), _own: (Some(folder), None) })
    }
}

/// Makes the rows, if they are not there yet.
async fn make_rows(url: &StoreUrl, rows: usize) -> io::Result<Rows> {
    let made = match url {
        StoreUrl::Sqlite(file) => log_rows::made_on_sqlite(file)?,
        StoreUrl::Postgres(server) => log_rows::made_on_postgres(server.expose()).await?,
    };
    if let Some(made) = made {
        return Ok(made);
    }
    let rows = Rows { rows, now: Clock::system().now() };
    match url {
        StoreUrl::Sqlite(file) => rows.make_on_sqlite(file).await?,
        StoreUrl::Postgres(server) => rows.make_on_postgres(server.expose()).await?,
    }
    Ok(rows)
}

/// The shipped configuration on this database, with the CRM left alone.
fn configuration(url: &StoreUrl) -> io::Result<Config> {
    let text = include_str!("../leadrelay.toml");
    let read = |path: &Path| std::fs::read_to_string(path);
    let mut config = Config::parse(text, Path::new("leadrelay.toml"), &|_| None, &read).map_err(io::Error::other)?;
    config.server.listen.set_port(0);
    config.admin.listen.set_port(0);
    let sha256 = Sha256::digest(TOKEN).into();
    config.admin.tokens = vec![AdminToken { name: TOKEN.to_owned(), role: Role::Viewer, sha256 }];
    config.store.url = url.clone();
    Ok(config)
}

/// p99 of the 202 at a moderate rate.
fn intake(address: SocketAddr, run: usize) -> io::Result<f64> {
    let rate = std::env::var("RATE").ok().and_then(|text| text.parse().ok()).unwrap_or(RATE);
    let count = (rate * SENT_FOR.as_secs_f64()) as usize;
    let requests = prepare("/webhooks/klozeo", run * count, count);
    let run = send(address, &requests, CONNECTIONS, SENT_FOR * 2, Some(rate))?;
    assert_eq!(run.refused, 0, "every request must be answered 202");
    Ok(percentile(&run.latencies, 0.99))
}

/// Somebody who reads by the admin listener.
struct Client {
    http: reqwest::Client,
    admin: SocketAddr,
}

impl Client {
    fn new(admin: SocketAddr) -> io::Result<Self> {
        let http = reqwest::Client::builder().no_proxy().build().map_err(io::Error::other)?;
        Ok(Self { http, admin })
    }

    /// The answer, and how long it took to come.
    async fn get(&self, path: &str, query: &Query) -> io::Result<(Vec<u8>, Duration)> {
        let begun = Instant::now();
        let request = self.http.get(format!("http://{}{path}", self.admin)).bearer_auth(TOKEN).query(query);
        let answer = request.send().await.and_then(reqwest::Response::error_for_status).map_err(io::Error::other)?;
        let body = answer.bytes().await.map_err(io::Error::other)?;
        Ok((body.to_vec(), begun.elapsed()))
    }
}

async fn scrape(client: &Client) -> io::Result<()> {
    let mut times = Vec::new();
    for _ in 0..ASKED {
        times.push(client.get("/metrics", &Query::new()).await?.1);
        // Its figures are a second old at most.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    times.sort_unstable();
    let p95 = percentile(&times, 0.95);
    judge("/metrics, p95 in ms", p95, p95 <= 50.0, "<= 50");
    Ok(())
}

/// Parameters of a search.
type Query = Vec<(&'static str, String)>;
/// One filter, made anew for each time it is asked for.
type Filter = fn(&Values) -> Query;

/// What the filters of one asking use.
struct Values {
    lead: usize,
    now: Timestamp,
    /// Some days ago.
    some_day: Timestamp,
    next_day: Timestamp,
    long_ago: Timestamp,
}

impl Values {
    fn new(now: Timestamp) -> Self {
        let some_day = now.before(Duration::from_secs(fastrand::u64(1..DAYS - 1) * 86_400));
        Self {
            lead: fastrand::usize(0..LEADS),
            now,
            some_day,
            next_day: some_day.after(Duration::from_secs(86_400)),
            long_ago: now.before(Duration::from_secs((DAYS - 2) * 86_400)),
        }
    }

    /// One day, and what else.
    fn of_that_day(&self, also: Query) -> Query {
        one("from", self.some_day).into_iter().chain(one("to", self.next_day)).chain(also).collect()
    }
}

fn one(name: &'static str, value: impl ToString) -> Query {
    vec![(name, value.to_string())]
}

fn all<const N: usize>(parameters: [(&'static str, &str); N]) -> Query {
    parameters.into_iter().map(|(name, value)| (name, value.to_owned())).collect()
}

const ALONE: [(&str, Filter); 27] = [
    ("no filter", |_| Query::new()),
    ("lead_id", |values| one("lead_id", log_rows::lead(values.lead))),
    ("lead_id, none such", |_| one("lead_id", "cl_none")),
    ("record_id", |values| one("record_id", log_rows::record(values.lead))),
    ("source, most", |_| one("source", "klozeo")),
    ("source, one in ten", |_| one("source", "other")),
    ("source, three old rows", |_| one("source", "gone")),
    ("source, none such", |_| one("source", "none")),
    ("destination", |_| one("destination", "crm")),
    ("destination, none such", |_| one("destination", "none")),
    ("operation, most", |_| one("operation", "update")),
    ("operation, three old rows", |_| one("operation", "delete")),
    ("operation, none such", |_| one("operation", "write_back")),
    ("outcome, most", |_| one("outcome", "ok")),
    ("outcome, one in a thousand", |_| one("outcome", "dead")),
    ("outcome, none such", |_| one("outcome", "planned")),
    ("from", |values| one("from", values.some_day)),
    ("to", |values| one("to", values.some_day)),
    ("error", |_| one("error", "REQUIRED_FIELD_MISSING")),
    ("error, none such", |_| one("error", "NONE")),
    ("matched_by", |_| one("matched_by", "name_and_company_domain")),
    ("request_id", |values| one("request_id", log_rows::request(values.lead))),
    ("email", |values| one("email", log_rows::email(values.lead))),
    ("field, one in a hundred", |_| one("field", "Field_7")),
    ("field, three old rows", |_| one("field", "Gone")),
    ("q, a lead", |values| one("q", log_rows::lead(values.lead))),
    ("q, a word", |_| one("q", "required")),
];

/// Ten combinations, and what no index can tell that it is not there.
const WALKED: [(&str, Filter); 11] = [
    ("q, no such word", |_| one("q", "absurd")),
    ("one day's updates", |values| values.of_that_day(one("operation", "update"))),
    ("one day's dead letters", |values| values.of_that_day(one("outcome", "dead"))),
    ("a lead's failures", |values| vec![("lead_id", log_rows::lead(values.lead)), ("outcome", "retry".to_owned())]),
    ("a source's creates of a day, none", |values| {
        values.of_that_day(all([("source", "other"), ("operation", "create")]))
    }),
    ("one error since some day", |values| {
        vec![("from", values.some_day.to_string()), ("error", "UNABLE_TO_LOCK_ROW".to_owned())]
    }),
    ("a field at one destination", |_| all([("field", "Field_7"), ("destination", "crm")])),
    ("an address's creates", |values| {
        vec![("email", log_rows::email(values.lead)), ("operation", "create".to_owned())]
    }),
    ("a word in an old day's errors", |values| {
        let end = values.long_ago.after(Duration::from_secs(86_400));
        vec![("from", values.long_ago.to_string()), ("to", end.to_string()), ("q", "locked".to_owned())]
    }),
    ("a source's matches by name, refused", |_| {
        all([("source", "other"), ("outcome", "refused"), ("matched_by", "name_and_company_domain")])
    }),
    ("what does not exist, of the last hour", |values| {
        vec![("from", values.now.before(Duration::from_secs(3_600)).to_string()), ("operation", "convert".to_owned())]
    }),
];

/// As much of a page as is looked at.
#[derive(Deserialize)]
struct Listed {
    items: Vec<serde::de::IgnoredAny>,
    next: Option<String>,
}

async fn search(client: &Client, now: Timestamp) -> io::Result<()> {
    for (number, (name, filter)) in ALONE.into_iter().chain(WALKED).enumerate() {
        let (mut times, mut found, mut short) = (Vec::new(), 0, 0);
        for _ in 0..ASKED {
            let mut query = filter(&Values::new(now));
            query.push(("limit", PAGE.to_string()));
            let (body, time) = client.get("/admin/v1/sync-log", &query).await?;
            times.push(time);
            let page: Listed = serde_json::from_slice(&body)?;
            found += page.items.len();
            short += usize::from(page.next.is_some() && page.items.len() < PAGE);
        }
        times.sort_unstable();
        let p95 = percentile(&times, 0.95);
        let rows = found as f64 / ASKED as f64;
        judge(
            &format!("{name} ({rows:.1} rows, {short} of {ASKED} pages short), p95 in ms"),
            p95,
            p95 <= 200.0,
            "<= 200",
        );
        if number < ALONE.len() && short > 0 {
            judge(&format!("{name}, pages cut short"), short as f64, false, "0");
        }
    }
    Ok(())
}
