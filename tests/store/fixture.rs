//! What the tests start from: a store of either kind, and events, claims and settlements to feed it with.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use leadrelay::domain::ids::{DestinationName, LeadKey, RecordRef};
use leadrelay::domain::job::Lane;
use leadrelay::domain::lead::Lead;
use leadrelay::domain::matching::MatchedBy;
use leadrelay::domain::plan::{ConflictKind, Link, Question};
use leadrelay::domain::signature::{Proof, Signed};
use leadrelay::domain::time::Timestamp;
use leadrelay::store::postgres::{self, PostgresStore};
use leadrelay::store::sqlite::{self, SqliteStore};
use leadrelay::store::*;
use sqlx::{AssertSqlSafe, PgConnection};
use tempfile::TempDir;

use crate::postgres::{Database, connect, shared_or_skipped};

/// Makes each of these functions two tests: `sqlite::NAME` and `postgres::NAME`.
macro_rules! on_both_stores {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::fixture::Fixture::sqlite().await).await;
            })+
        }

        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                if let Some(fixture) = crate::fixture::Fixture::postgres().await {
                    super::$name(fixture).await;
                }
            })+
        }
    };
}

/// A store on a database of its own.
pub struct Fixture {
    pub store: Arc<dyn Store>,
    place: Place,
}

/// A transaction of another connection that is not committed yet.
pub enum Held {
    Sqlite(rusqlite::Connection),
    Postgres(PgConnection),
}

enum Place {
    Sqlite(TempDir),
    Postgres(Database),
}

impl Fixture {
    pub async fn sqlite() -> Self {
        Self::at(Place::Sqlite(tempfile::tempdir().unwrap())).await
    }

    /// `None` where there is no PostgreSQL.
    pub async fn postgres() -> Option<Self> {
        Some(Self::at(Place::Postgres(shared_or_skipped()?.database().await)).await)
    }

    async fn at(place: Place) -> Self {
        Self { store: place.open().await.unwrap(), place }
    }

    /// Drops the store without closing it, as a crash would, and opens the database again.
    pub async fn reopen(self) -> Self {
        let Self { store, place } = self;
        drop(store);
        Self::at(place).await
    }

    /// The same after running this SQL on the closed database; whether it opens, with or without migrating.
    pub async fn reopen_after(self, sql: &str, migrate: bool) -> StoreResult<Arc<dyn Store>> {
        let Self { store, place } = self;
        drop(store);
        place.execute(sql).await;
        place.open_with(migrate).await
    }

    /// As many stores as may share the database: on SQLite, where that is one, the same again and again.
    pub async fn stores(&self, number: usize) -> Vec<Arc<dyn Store>> {
        let mut stores = vec![Arc::clone(&self.store)];
        while stores.len() < number {
            stores.push(match &self.place {
                Place::Sqlite(_) => Arc::clone(&self.store),
                Place::Postgres(_) => self.place.open().await.unwrap(),
            });
        }
        stores
    }

    pub async fn accept(&self, event: NewEvent) -> EventReceipt {
        self.store.accept_events(vec![event]).await.unwrap().remove(0)
    }

    pub async fn claim(&self, at_second: i64) -> Vec<ClaimedJob> {
        self.store.claim_jobs(&claim(at_second)).await.unwrap()
    }

    /// An event of this lead, claimed at once, which must be all that is due.
    pub async fn claimed(&self, lead: &str, at_second: i64) -> (LeaseToken, ClaimedJob) {
        self.accept(NewEvent { received_at: secs(at_second), ..event(lead, "{}") }).await;
        let claim = claim(at_second);
        let mut jobs = self.store.claim_jobs(&claim).await.unwrap();
        assert_eq!(jobs.len(), 1);
        (claim.token, jobs.remove(0))
    }

    pub async fn settle(&self, settlement: Settlement) -> Settled {
        self.store.settle(vec![settlement]).await.remove(0).unwrap()
    }

    pub async fn work(&self, lead: &str) -> Work {
        self.store.load_work(&crm(), &[key(lead)]).await.unwrap().remove(0)
    }

    /// The number that a query of one value finds.
    pub async fn count(&self, sql: &str) -> i64 {
        self.numbers(&format!("SELECT coalesce(({sql}), 0)")).await.remove(0)
    }

    /// The numbers that a query of one column finds.
    pub async fn numbers(&self, sql: &str) -> Vec<i64> {
        match &self.place {
            Place::Sqlite(folder) => {
                let db = open_sqlite(folder.path());
                let mut query = db.prepare(&in_sqlite(sql)).unwrap();
                let rows = query.query_map([], |row| row.get(0)).unwrap();
                rows.collect::<Result<_, _>>().unwrap()
            }
            Place::Postgres(database) => {
                let sql = format!("SELECT n::bigint FROM ({}) AS numbers (n)", in_postgres(sql));
                let mut db = connect(&database.url).await;
                sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut db).await.unwrap()
            }
        }
    }

    /// Runs SQL behind the store's back: in SQLite's dialect, but for `us(N)`, the moment so many microseconds after the
    /// epoch, and `true` and `false`.
    pub async fn execute(&self, sql: &str) {
        self.place.execute(sql).await;
    }

    /// Empties the database, but for its counters.
    pub async fn clear(&self) {
        let tables = [
            "events",
            "bodies",
            "event_keys",
            "leads",
            "links",
            "jobs",
            "intents",
            "conflicts",
            "sync_log",
            "sync_log_bodies",
            "pauses",
        ];
        self.execute(&tables.map(|table| format!("DELETE FROM {table};")).concat()).await;
    }

    /// Runs SQL behind the store's back, in a transaction that stays open.
    pub async fn hold(&self, sql: &str) -> Held {
        match &self.place {
            Place::Sqlite(folder) => {
                let db = open_sqlite(folder.path());
                db.execute_batch(&format!("BEGIN IMMEDIATE; {}", in_sqlite(sql))).unwrap();
                Held::Sqlite(db)
            }
            Place::Postgres(database) => {
                let mut db = connect(&database.url).await;
                let sql = format!("BEGIN; {}", in_postgres(sql));
                sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut db).await.unwrap();
                Held::Postgres(db)
            }
        }
    }

    /// The text that belongs to this store, where they differ.
    pub fn either<T>(&self, sqlite: T, postgres: T) -> T {
        match self.place {
            Place::Sqlite(_) => sqlite,
            Place::Postgres(_) => postgres,
        }
    }

    /// Where SQLite's database is.
    pub fn file(&self) -> PathBuf {
        match &self.place {
            Place::Sqlite(folder) => database_in(folder.path()),
            Place::Postgres(_) => panic!("this store has no file"),
        }
    }

    pub fn is_postgres(&self) -> bool {
        matches!(self.place, Place::Postgres(_))
    }

    /// Has the database refuse every new row of a table for which a condition on `new` holds.
    pub async fn refuse(&self, table: &str, condition: &str) {
        self.refuse_any("INSERT", table, condition).await;
    }

    /// Has the database refuse every change to a row of a table for which a condition on `new` holds.
    pub async fn refuse_changes(&self, table: &str, condition: &str) {
        self.refuse_any("UPDATE", table, condition).await;
    }

    async fn refuse_any(&self, what: &str, table: &str, condition: &str) {
        let sqlite = format!(
            "CREATE TRIGGER refuse BEFORE {what} ON {table} WHEN {condition} BEGIN SELECT RAISE(ABORT, 'no'); END"
        );
        let postgres = format!(
            "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN RAISE check_violation USING MESSAGE = 'no'; END $$;
             CREATE TRIGGER refuse BEFORE {what} ON {table} FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION refuse()"
        );
        self.execute(&self.either(sqlite, postgres)).await;
    }

    /// Ends what [`Fixture::refuse`] began.
    pub async fn refuse_no_more(&self, table: &str) {
        let postgres = format!("DROP TRIGGER refuse ON {table}");
        self.execute(self.either("DROP TRIGGER refuse", &postgres)).await;
    }
}

impl Held {
    pub async fn commit(self) {
        match self {
            Held::Sqlite(db) => db.execute_batch("COMMIT").unwrap(),
            Held::Postgres(mut db) => {
                sqlx::raw_sql("COMMIT").execute(&mut db).await.unwrap();
            }
        }
    }
}

impl Place {
    async fn open(&self) -> StoreResult<Arc<dyn Store>> {
        self.open_with(true).await
    }

    async fn open_with(&self, migrate: bool) -> StoreResult<Arc<dyn Store>> {
        Ok(match self {
            Place::Sqlite(folder) => {
                let options = sqlite::Options { migrate, ..Default::default() };
                Arc::new(SqliteStore::open(&database_in(folder.path()), options).await?)
            }
            Place::Postgres(database) => {
                let options = postgres::Options { migrate, accept_unsafe_server: true, ..Default::default() };
                Arc::new(PostgresStore::open(&database.url, options).await?)
            }
        })
    }

    async fn execute(&self, sql: &str) {
        match self {
            Place::Sqlite(folder) => {
                open_sqlite(folder.path()).execute_batch(&in_sqlite(sql)).unwrap();
            }
            Place::Postgres(database) => {
                let mut db = connect(&database.url).await;
                sqlx::raw_sql(AssertSqlSafe(in_postgres(sql))).execute(&mut db).await.unwrap();
            }
        }
    }
}

fn database_in(folder: &Path) -> PathBuf {
    folder.join("leadrelay.db")
}

fn open_sqlite(folder: &Path) -> rusqlite::Connection {
    let db = rusqlite::Connection::open(database_in(folder)).unwrap();
    db.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
    db
}

fn in_sqlite(sql: &str) -> String {
    sql.replace("us(", "(")
}

pub fn in_postgres(sql: &str) -> String {
    sql.replace("us(", "timestamptz 'epoch' + interval '1 microsecond' * (").replace(" x'", r" bytea '\x")
}

pub fn secs(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

pub fn micros(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

pub fn crm() -> DestinationName {
    DestinationName::from("crm")
}

pub fn key(lead: &str) -> LeadKey {
    LeadKey::new("klozeo", lead)
}

pub fn page(limit: u32, cursor: Option<String>) -> Page {
    Page { limit, cursor }
}

pub fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// An upsert of this lead, received at second 10, for the destination `crm`.
pub fn event(lead: &str, body: &str) -> NewEvent {
    let mut content_hash = [0; 32];
    for (place, byte) in content_hash.iter_mut().zip(body.bytes()) {
        *place = byte;
    }
    NewEvent {
        source: "klozeo".into(),
        lead: Some(lead.into()),
        kind: EventKind::Upsert,
        event_type: Some("lead.updated".to_owned()),
        sender_id: None,
        content_hash,
        state: EventState::Stored,
        reason: None,
        received_at: secs(10),
        request_id: "req-1".into(),
        headers: vec![("x-type".to_owned(), "a".to_owned())],
        body: Bytes::copy_from_slice(body.as_bytes()),
        destinations: vec![crm()],
    }
}

pub fn with_id(sender_id: &str, event: NewEvent) -> NewEvent {
    NewEvent { sender_id: text(sender_id), ..event }
}

/// A claim of everything, with a token of its own and a lease of 90 seconds.
pub fn claim(at_second: i64) -> Claim {
    Claim {
        destination: crm(),
        lane: None,
        backfill: true,
        limit: 200,
        now: secs(at_second),
        lease_ends_at: secs(at_second + 90),
        token: uuid::Uuid::new_v4(),
    }
}

/// The announcement of a create of this lead, which renews its lease.
pub fn announcement(token: LeaseToken, lead: &str, at_second: i64) -> Announcement {
    Announcement {
        destination: crm(),
        token,
        now: secs(at_second),
        lease_ends_at: secs(at_second + 90),
        request_id: "req-9".into(),
        writes: vec![AnnouncedWrite {
            keys: Vec::new(),
            lead: key(lead),
            object: "Lead".into(),
            record: None,
            rows: Default::default(),
            known: None,
            decisions: Vec::new(),
        }],
    }
}

/// A job that is tried again.
pub fn retry(due_at: Timestamp, failed: bool) -> JobEnd {
    JobEnd::Retry { due_at, code: "503".to_owned(), detail: "busy".to_owned(), failed }
}

/// The settlement of a claimed job that agreed, with one log row.
pub fn settlement(token: LeaseToken, job: &ClaimedJob, at_second: i64) -> Settlement {
    Settlement {
        log: vec![log_row(&job.lead, at_second)],
        looked: true,
        ..Settlement::of(job, crm(), token, secs(at_second))
    }
}

pub fn log_row(lead: &LeadKey, at_second: i64) -> NewLogRow {
    NewLogRow {
        attempt: 1,
        api_calls: 2,
        duration_ms: 3,
        ..NewLogRow::note(secs(at_second), lead.clone(), crm(), Operation::Update, Outcome::Ok)
    }
}

pub fn record(id: &str) -> RecordRef {
    RecordRef { object: "Lead".into(), id: id.into() }
}

pub fn link(record_id: &str, owner: bool) -> Link {
    Link { owner, fingerprint: "f1".to_owned(), ..Link::to(record(record_id), MatchedBy::Email) }
}

/// A first link to this record.
pub fn put(record_id: &str, owner: bool) -> LinkChange {
    LinkChange::Put { link: link(record_id, owner), planned_with: None }
}

/// A question about the field `Email`.
pub fn question(detail: &str) -> Question {
    Question { field: Some("Email".into()), ..Question::new(ConflictKind::Field, detail) }
}

pub fn lanes(jobs: &[ClaimedJob]) -> Vec<(&str, Lane)> {
    jobs.iter().map(|job| (job.lead.id.as_str(), job.lane)).collect()
}

/// What folding all loaded events of a lead would save.
pub fn folded(work: &Work) -> FoldedLead {
    FoldedLead {
        lead: Lead::new(work.key.clone()),
        expected: work.lead.as_ref().map(|(_, revision)| *revision),
        events: work.unfolded.iter().map(|event| (event.id, EventState::Folded)).collect(),
        email: text("ada@a.example"),
        name: None,
    }
}

/// A request whose signature was wrong.
pub fn refused(source: &str, at_second: i64, body: &str) -> NewRefused {
    let headers = vec![("x-signature".to_owned(), "ab\"12".to_owned())];
    NewRefused {
        source: source.into(),
        reason: RefusedFor::WrongSignature,
        received_at: secs(at_second),
        request_id: format!("request {body}").as_str().into(),
        proof: Proof::Signed(Signed { method: "POST".to_owned(), path_and_query: Some("/w?a".to_owned()), headers }),
        headers: vec![("content-type".to_owned(), "text/plain".to_owned())],
        body: Bytes::from(body.to_owned()),
    }
}
