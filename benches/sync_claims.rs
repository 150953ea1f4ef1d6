//! Whether a claim stays quick when `jobs` is large: a thousand rows beside a million, of every kind that must not be read.
//!
//! The due rows lie together, as leads that came together do. Once they lie scattered instead, each on a page of its own,
//! which is what the worst back-offs could bring about: shown, and not judged.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use leadrelay::domain::ids::{DestinationName, LeadKey};
use leadrelay::domain::time::Timestamp;
use leadrelay::store::postgres::{self as shared, PostgresStore};
use leadrelay::store::sqlite::{Options, SqliteStore};
use leadrelay::store::{Claim, GiveBack, LeaseToken, Store, StoreResult};
use rusqlite::{Connection, params};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::load::figures::{judge, percentile};
use crate::plans::steps_that_grow;
use crate::postgres::Cluster;

const FEW: usize = 1_000;
const MANY: usize = 1_000_000;
/// Jobs that are due, in turn; the others are not to be touched.
const DUE: usize = 400;
const AT_ONCE: u32 = 200;
const CLAIMS: usize = 500;

/// What the other rows are, in the terms of either database.
struct Kind {
    name: &'static str,
    on_sqlite: &'static str,
    on_postgres: &'static str,
}

const FUTURE: Kind = Kind {
    name: "due in the future",
    on_sqlite: "due_at = 9000000000000000",
    on_postgres: "due_at = '2200-01-01 00:00:00+00'",
};
const DEAD: Kind = Kind {
    name: "dead",
    on_sqlite: "state = 'dead', ended_at = 1, code = 'bench', look_again_at = 9000000000000000",
    on_postgres: "state = 'dead', ended_at = 'epoch', code = 'bench', look_again_at = '2200-01-01 00:00:00+00'",
};
const LEASED: Kind = Kind {
    name: "leased",
    on_sqlite: "due_at = 9000000000000000, attempt = 1, lease_token = zeroblob(16)",
    on_postgres: "due_at = '2200-01-01 00:00:00+00', attempt = 1,
                  lease_token = '00000000-0000-0000-0000-000000000000'",
};

/// Where the due rows are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Due {
    Together,
    Scattered,
}

pub fn measure(server: Option<&Cluster>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    for kind in [FUTURE, DEAD, LEASED] {
        let times = runtime.block_on(time_claims(&kind, Due::Together, server))?;
        let ratio = times.show(kind.name, "together");
        judge(&format!("claim p99 of a million rows {} against a thousand", kind.name), ratio, ratio <= 2.0, "<= 2");
        let is_bad = |step: &&String| ["TEMP B-TREE", "SCAN"].iter().any(|bad| step.contains(bad));
        let bad = match server {
            None => times.plan.iter().filter(is_bad).count(),
            Some(_) => steps_that_grow(&times.plan).len(),
        };
        judge("steps of the claim's query plan that scan or sort the table", bad as f64, bad == 0, "0");
        println!("    {}", times.plan.join("\n    "));
    }
    runtime.block_on(time_claims(&FUTURE, Due::Scattered, server))?.show(FUTURE.name, "scattered");
    Ok(())
}

/// Of claims in a small and in a large table, ascending.
struct Times {
    few: Vec<Duration>,
    many: Vec<Duration>,
    plan: Vec<String>,
}

impl Times {
    /// Prints them, and answers how many times as long the slowest of many rows take.
    fn show(&self, kind: &str, due: &str) -> f64 {
        let (small, large) = (percentile(&self.few, 0.99), percentile(&self.many, 0.99));
        println!(
            "claims of {AT_ONCE}, {due}, among rows that are {kind}: with {FEW} rows p50 {:.2} ms, p99 {small:.2} ms; with {MANY} rows p50 {:.2} ms, p99 {large:.2} ms",
            percentile(&self.few, 0.5),
            percentile(&self.many, 0.5),
        );
        large / small
    }
}

async fn time_claims(kind: &Kind, due: Due, server: Option<&Cluster>) -> io::Result<Times> {
    let folder = tempfile::tempdir()?;
    let mut claimers = Vec::new();
    for rows in [FEW, MANY] {
        let store = match server {
            None => {
                let path = folder.path().join(format!("{rows}.db"));
                fill_file(&path, rows, kind.on_sqlite, due).await?;
                Claimed::File(open(&path).await?)
            }
            Some(server) => {
                let url = server.url(&server.create_database().await);
                fill_server(&url, rows, kind.on_postgres, due).await.map_err(io::Error::other)?;
                let opened = PostgresStore::open(&url, shared::Options::default()).await;
                Claimed::Server(opened.map_err(io::Error::other)?)
            }
        };
        claimers.push(Claimer::new(store));
    }
    let [in_few, in_many] = &mut claimers[..] else { unreachable!("two databases") };
    let (mut few, mut many) = (Vec::new(), Vec::new());
    // In turn, so that whatever else the machine does hits both.
    for _ in 0..CLAIMS {
        few.push(in_few.claim().await?);
        many.push(in_many.claim().await?);
    }
    few.sort_unstable();
    many.sort_unstable();
    let plan = in_many.store.plan().await.map_err(io::Error::other)?;
    Ok(Times { few, many, plan })
}

/// Fills a new database on a server.
async fn fill_server(url: &str, rows: usize, change: &str, due: Due) -> sqlx::Result<()> {
    let mut db = PgConnection::connect(url).await?;
    let is_other = match due {
        Due::Together => format!("i < {}", rows - DUE),
        Due::Scattered => format!("(i + 1) % {} <> 0", rows / DUE),
    };
    let insert = format!(
        "INSERT INTO jobs (destination, source, lead_id, state, lane, class, due_at, attempt, wanted, owed_since,
                           suspicion, forced)
         SELECT 'crm', 'klozeo', 'cl_' || i, 'owed', 0, 0, 'epoch'::timestamptz + i * interval '1 microsecond', 0, 1,
                'epoch', 0, false FROM generate_series(0, {rows} - 1) i"
    );
    let update = format!("UPDATE jobs SET {change} WHERE {}", is_other.replace('i', "substr(lead_id, 4)::int"));
    for sql in [insert, update, "VACUUM FULL ANALYZE jobs".to_owned(), "CHECKPOINT".to_owned()] {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut db).await?;
    }
    Ok(())
}

/// Fills a new database in a file.
async fn fill_file(path: &Path, rows: usize, change: &str, due: Due) -> io::Result<()> {
    open(path).await?.close().await;
    let insert = format!(
        "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {rows})
         INSERT INTO jobs (id, destination, source, lead_id, state, lane, class, due_at, attempt, wanted, owed_since,
                           suspicion, forced)
         SELECT i + 1, 'crm', 'klozeo', 'cl_' || i, 'owed', 0, 0, 1000000 + i, 0, 1, 1000000, 0, 0 FROM n"
    );
    let (is_other, with) = match due {
        Due::Together => ("id <= ?1", rows - DUE),
        Due::Scattered => ("id % ?1 <> 0", rows / DUE),
    };
    let update = format!("UPDATE jobs SET {change} WHERE {is_other}");
    let filled = || -> rusqlite::Result<()> {
        let db = Connection::open(path)?;
        db.execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -262144; BEGIN")?;
        db.execute(&insert, [])?;
        db.execute(&update, params![with as i64])?;
        db.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)")
    };
    filled().map_err(io::Error::other)
}

async fn open(path: &Path) -> io::Result<SqliteStore> {
    SqliteStore::open(path, Options::default()).await.map_err(io::Error::other)
}

enum Claimed {
    File(SqliteStore),
    Server(PostgresStore),
}

impl Claimed {
    fn store(&self) -> &dyn Store {
        match self {
            Claimed::File(store) => store,
            Claimed::Server(store) => store,
        }
    }

    async fn plan(&self) -> StoreResult<Vec<String>> {
        match self {
            Claimed::File(store) => store.claim_plan().await,
            Claimed::Server(store) => store.claim_plan().await,
        }
    }
}

/// Claims again and again, and gives back.
struct Claimer {
    store: Claimed,
    destination: DestinationName,
    /// Moves on, so that what was given back comes last.
    now: i64,
}

impl Claimer {
    fn new(store: Claimed) -> Self {
        Self { store, destination: DestinationName::from("crm"), now: 10_000_000_000_000 / 4 }
    }

    async fn claim(&mut self) -> io::Result<Duration> {
        self.now += 1;
        let now = Timestamp::from_micros(self.now);
        let token = LeaseToken::from_u128(self.now.unsigned_abs().into());
        let claim = Claim {
            destination: self.destination.clone(),
            lane: None,
            backfill: true,
            limit: AT_ONCE,
            now,
            lease_ends_at: now.after(Duration::from_secs(90)),
            token,
        };
        let begun = Instant::now();
        let jobs = self.store.store().claim_jobs(&claim).await.map_err(io::Error::other)?;
        let elapsed = begun.elapsed();
        assert_eq!(jobs.len(), AT_ONCE as usize, "as many are due");
        let back = |lead: LeadKey| GiveBack {
            destination: self.destination.clone(),
            lead,
            token,
            due_at: now,
            waiting_since: None,
        };
        let back: Vec<GiveBack> = jobs.into_iter().map(|job| back(job.lead)).collect();
        self.store.store().give_back(&back).await.map_err(io::Error::other)?;
        Ok(elapsed)
    }
}
