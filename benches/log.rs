//! Whether five million log rows can be searched, and pruned without intake noticing.
//!
//! `cargo bench --bench log`, ten minutes and 5 GB of disk, most of it for making the rows; `STORE=postgres` does the same
//! on a PostgreSQL server of its own, `ROWS=500000` is quicker and shows less. Each filter alone and ten combinations are
//! asked for a page of 50, with other values each time; the answer may be short with a cursor, where much had to be looked
//! through in vain.

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
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use leadrelay::app::App;
use leadrelay::clock::Clock;
use leadrelay::config::{Config, ServerUrl, StoreUrl};
use leadrelay::domain::matching::MatchedBy;
use leadrelay::domain::time::Timestamp;
use leadrelay::store::{LogFilter, Operation, Outcome, Page, Store};

use load::client::send;
use load::figures::{judge, percentile};
use load::requests::prepare;
use log_rows::{DAYS, LEADS, Rows};

/// How often each filter is asked for.
const ASKED: usize = 40;
const PAGE: u32 = 50;
/// Webhooks a second while it prunes and while it does not.
const RATE: f64 = 1_000.0;
const SENT_FOR: Duration = Duration::from_secs(10);
const CONNECTIONS: usize = 16;

fn main() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let rows = std::env::var("ROWS").ok().and_then(|text| text.parse().ok()).unwrap_or(5_000_000);
    let folder = tempfile::tempdir()?;
    let server = match std::env::var("STORE").as_deref() {
        Ok("postgres") => {
            let settings = "shared_buffers = 1GB\nmax_wal_size = 8GB\n";
            Some(postgres::Cluster::new(settings).ok_or_else(|| io::Error::other("no PostgreSQL here"))?)
        }
        _ => None,
    };
    let begun = Instant::now();
    let now = Clock::system().now();
    let rows = Rows { rows, now };
    let url = match &server {
        Some(server) => {
            let url = server.url(&runtime.block_on(server.create_database()));
            runtime.block_on(rows.make_on_postgres(&url));
            StoreUrl::Postgres(ServerUrl::parse(&url).map_err(io::Error::other)?)
        }
        None => {
            let file = folder.path().join("leadrelay.db");
            runtime.block_on(rows.make_on_sqlite(&file))?;
            StoreUrl::Sqlite(file)
        }
    };
    println!("{} rows made in {} s", rows.rows, begun.elapsed().as_secs());

    let config = configuration(url)?;
    let clock = Clock::manual(now);
    let app = runtime.block_on(App::start(&config, clock.clone())).map_err(io::Error::other)?;
    runtime.block_on(search(&app.store, now))?;
    runtime.block_on(scrape(app.admin))?;
    let quiet = intake(app.webhooks, 0)?;
    runtime.block_on(app.stop());

    // Two thirds of the rows are older than they are kept: pruning begins with the start.
    clock.advance(Duration::from_secs(60 * 86_400));
    let app = runtime.block_on(App::start(&config, clock)).map_err(io::Error::other)?;
    let pruning = intake(app.webhooks, 1)?;
    runtime.block_on(app.stop());
    println!("202 after {quiet:.2} ms (p99) while nothing is pruned, {pruning:.2} ms while it is");
    let ratio = pruning / quiet;
    judge("p99 of the 202 while pruning against without", ratio, ratio <= 2.0, "<= 2");
    Ok(())
}

/// The shipped configuration on this database, with the CRM left alone.
fn configuration(url: StoreUrl) -> io::Result<Config> {
    let text = include_str!("../leadrelay.toml");
    let read = |path: &Path| std::fs::read_to_string(path);
    let mut config = Config::parse(text, Path::new("leadrelay.toml"), &|_| None, &read).map_err(io::Error::other)?;
    config.server.listen.set_port(0);
    config.admin.listen.set_port(0);
    config.store.url = url;
    Ok(config)
}

/// p99 of the 202 at a moderate rate.
fn intake(address: SocketAddr, run: usize) -> io::Result<f64> {
    let count = (RATE * SENT_FOR.as_secs_f64()) as usize;
    let requests = prepare("/webhooks/klozeo", run * count, count);
    let run = send(address, &requests, CONNECTIONS, SENT_FOR * 2, Some(RATE))?;
    assert_eq!(run.refused, 0, "every request must be answered 202");
    Ok(percentile(&run.latencies, 0.99))
}

async fn scrape(admin: SocketAddr) -> io::Result<()> {
    let client = reqwest::Client::builder().no_proxy().build().map_err(io::Error::other)?;
    let mut times = Vec::new();
    for _ in 0..ASKED {
        let begun = Instant::now();
        let answer = client.get(format!("http://{admin}/metrics")).send().await.map_err(io::Error::other)?;
        answer.bytes().await.map_err(io::Error::other)?;
        times.push(begun.elapsed());
        // Its figures are a second old at most.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    times.sort_unstable();
    let p95 = percentile(&times, 0.95);
    judge("/metrics, p95 in ms", p95, p95 <= 50.0, "<= 50");
    Ok(())
}

/// One filter, made anew for each time it is asked for.
type Filter = fn(&Values, &mut LogFilter);

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
}

const ALONE: [(&str, Filter); 20] = [
    ("no filter", |_, _| {}),
    ("lead_id", |values, filter| filter.lead_id = Some(log_rows::lead(values.lead))),
    ("lead_id, none such", |_, filter| filter.lead_id = Some("cl_none".to_owned())),
    ("record_id", |values, filter| filter.record_id = Some(log_rows::record(values.lead))),
    ("source", |_, filter| filter.source = Some("other".to_owned())),
    ("source, none such", |_, filter| filter.source = Some("none".to_owned())),
    ("destination", |_, filter| filter.destination = Some("crm".to_owned())),
    ("operation, most", |_, filter| filter.operation = Some(Operation::Update)),
    ("operation, three old rows", |_, filter| filter.operation = Some(Operation::Delete)),
    ("outcome, most", |_, filter| filter.outcome = Some(Outcome::Ok)),
    ("outcome, one in a thousand", |_, filter| filter.outcome = Some(Outcome::Dead)),
    ("from", |values, filter| filter.from = Some(values.some_day)),
    ("to", |values, filter| filter.to = Some(values.some_day)),
    ("error", |_, filter| filter.error = Some("REQUIRED_FIELD_MISSING".to_owned())),
    ("matched_by", |_, filter| filter.matched_by = Some(MatchedBy::NameAndCompanyDomain)),
    ("request_id", |values, filter| filter.request_id = Some(log_rows::request(values.lead))),
    ("email", |values, filter| filter.email = Some(log_rows::email(values.lead))),
    ("field, one in fifty", |_, filter| filter.field = Some("Field_7".to_owned())),
    ("q, a lead", |values, filter| filter.q = Some(log_rows::lead(values.lead))),
    ("q, a word", |_, filter| filter.q = Some("required".to_owned())),
];

const TOGETHER: [(&str, Filter); 10] = [
    ("one day's updates", |values, filter| {
        (filter.from, filter.to) = (Some(values.some_day), Some(values.next_day));
        filter.operation = Some(Operation::Update);
    }),
    ("one day's dead letters", |values, filter| {
        (filter.from, filter.to) = (Some(values.some_day), Some(values.next_day));
        filter.outcome = Some(Outcome::Dead);
    }),
    ("a lead's failures", |values, filter| {
        filter.lead_id = Some(log_rows::lead(values.lead));
        filter.outcome = Some(Outcome::Retry);
    }),
    ("a source's creates of a day", |values, filter| {
        (filter.from, filter.to) = (Some(values.some_day), Some(values.next_day));
        (filter.source, filter.operation) = (Some("other".to_owned()), Some(Operation::Create));
    }),
    ("one error since some day", |values, filter| {
        (filter.from, filter.error) = (Some(values.some_day), Some("UNABLE_TO_LOCK_ROW".to_owned()));
    }),
    ("a field at one destination", |_, filter| {
        (filter.field, filter.destination) = (Some("Field_7".to_owned()), Some("crm".to_owned()));
    }),
    ("an address's creates", |values, filter| {
        (filter.email, filter.operation) = (Some(log_rows::email(values.lead)), Some(Operation::Create));
    }),
    ("a word in an old day's errors", |values, filter| {
        (filter.from, filter.to) = (Some(values.long_ago), Some(values.long_ago.after(Duration::from_secs(86_400))));
        filter.q = Some("locked".to_owned());
    }),
    ("a source's matches by name, refused", |_, filter| {
        (filter.source, filter.outcome) = (Some("other".to_owned()), Some(Outcome::Refused));
        filter.matched_by = Some(MatchedBy::NameAndCompanyDomain);
    }),
    ("what does not exist, of the last hour", |values, filter| {
        filter.from = Some(values.now.before(Duration::from_secs(3_600)));
        filter.operation = Some(Operation::Convert);
    }),
];

async fn search(store: &Arc<dyn Store>, now: Timestamp) -> io::Result<()> {
    for (name, change) in ALONE.into_iter().chain(TOGETHER) {
        let (mut times, mut found, mut short) = (Vec::new(), 0, 0);
        for _ in 0..ASKED {
            let mut filter = LogFilter::default();
            change(&Values::new(now), &mut filter);
            let begun = Instant::now();
            let page = store.search_sync_log(&filter, &Page { limit: PAGE, cursor: None }).await;
            times.push(begun.elapsed());
            let page = page.map_err(io::Error::other)?;
            found += page.items.len();
            short += usize::from(page.next.is_some() && page.items.len() < PAGE as usize);
        }
        times.sort_unstable();
        let p95 = percentile(&times, 0.95);
        println!("{:>6.1} rows a page, {short:>2} of {ASKED} short", found as f64 / ASKED as f64);
        judge(&format!("{name}, p95 in ms"), p95, p95 <= 200.0, "<= 200");
    }
    Ok(())
}
