//! Log rows of three months and their leads, alike on both databases.

use std::io;
use std::path::Path;

use leadrelay::domain::time::Timestamp;
use leadrelay::store::Store;
use leadrelay::store::postgres::{self, PostgresStore};
use leadrelay::store::sqlite::{self, SqliteStore};
use rusqlite::{Connection, OpenFlags};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

/// Over so many days, all of which are kept.
pub const DAYS: u64 = 88;
pub const LEADS: usize = 200_000;
/// Events that nobody can read, as a source may send none but such.
const QUARANTINED: usize = 1_000_000;

pub fn lead(n: usize) -> String {
    format!("cl_{n}")
}

pub fn record(n: usize) -> String {
    format!("00Q{n}")
}

pub fn request(n: usize) -> String {
    format!("req_{n}")
}

pub fn email(n: usize) -> String {
    format!("person{n}@example.com")
}

pub struct Rows {
    pub rows: usize,
    pub now: Timestamp,
}

/// Values of row `i`, in SQL that both databases read.
const VALUES: &str = "
    CASE WHEN i < 3 THEN 'gone' WHEN i % 10 = 9 THEN 'other' ELSE 'klozeo' END, 'cl_' || (i % {leads}), 'crm',
    CASE WHEN i < 3 THEN 'delete' WHEN i % 10 = 0 THEN 'create' WHEN i % 10 = 1 THEN 'unchanged'
         WHEN i % 100 = 2 THEN 'hold' ELSE 'update' END,
    CASE WHEN i % 1000 = 5 THEN 'dead' WHEN i % 100 = 6 THEN 'refused' WHEN i % 50 = 7 THEN 'retry' ELSE 'ok' END,
    'Lead', '00Q' || (i % {leads}),
    CASE i % 40 WHEN 0 THEN 'external_id' WHEN 1 THEN 'email' WHEN 2 THEN 'name_and_company_domain' ELSE 'link' END,
    CASE WHEN i % 1000 = 5 OR i % 100 = 6 THEN 'REQUIRED_FIELD_MISSING' WHEN i % 50 = 7 THEN 'UNABLE_TO_LOCK_ROW' END,
    CASE WHEN i % 1000 = 5 OR i % 100 = 6 THEN 'Required fields are missing: [LastName]'
         WHEN i % 50 = 7 THEN 'The record is locked by another user' END,
    1, 2, 200, 120, 'req_' || (i / 20), i,
    CASE WHEN i < 3 THEN 1000 WHEN i % 2 = 0 THEN 1 + i % 100 END";

const COLUMNS: &str =
    "at, source, lead_id, destination, operation, outcome, object, record_id, matched_by, error_code, error,
                       attempt, api_calls, batch, duration_ms, request_id, event_id, field_set";

/// How many rows were made, and when: what came later has other times.
const MADE: &str = "SELECT (SELECT max(id) FROM sync_log), (SELECT updated_at FROM leads WHERE source = 'klozeo' AND lead_id = 'cl_0')";

/// The rows that are in this file already.
pub fn made_on_sqlite(file: &Path) -> io::Result<Option<Rows>> {
    if !file.exists() {
        return Ok(None);
    }
    let made = || -> rusqlite::Result<(Option<i64>, Option<i64>)> {
        let db = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        db.query_row(MADE, [], |row| Ok((row.get(0)?, row.get(1)?)))
    };
    let (count, at) = made().map_err(io::Error::other)?;
    Ok(count.zip(at).and_then(|(count, at)| Rows::made(count, at)))
}

/// The rows that are in this database already.
pub async fn made_on_postgres(url: &str) -> io::Result<Option<Rows>> {
    made_there(url).await.map_err(io::Error::other)
}

async fn made_there(url: &str) -> sqlx::Result<Option<Rows>> {
    let mut db = PgConnection::connect(url).await?;
    let known: bool = sqlx::query_scalar("SELECT to_regclass('sync_log') IS NOT NULL").fetch_one(&mut db).await?;
    if !known {
        return Ok(None);
    }
    let made = MADE.replace("updated_at", "(extract(epoch FROM updated_at) * 1000000)::bigint");
    let (count, at): (Option<i64>, Option<i64>) = sqlx::query_as(AssertSqlSafe(made)).fetch_one(&mut db).await?;
    Ok(count.zip(at).and_then(|(count, at)| Rows::made(count, at)))
}

impl Rows {
    /// What a run before has made, by how many there are and when that was.
    fn made(count: i64, at: i64) -> Option<Self> {
        let rows = usize::try_from(count).ok().filter(|rows| *rows > 0)?;
        Some(Self { rows, now: Timestamp::from_micros(at) })
    }

    /// Between two rows.
    fn step_micros(&self) -> i64 {
        (DAYS * 86_400 * 1_000_000 / self.rows as u64) as i64
    }

    fn first_at(&self) -> i64 {
        self.now.as_micros() - self.step_micros() * self.rows as i64
    }

    fn values(&self) -> String {
        VALUES.replace("{leads}", &LEADS.to_string())
    }

    pub async fn make_on_sqlite(&self, file: &Path) -> io::Result<()> {
        SqliteStore::open(file, sqlite::Options::default()).await.map_err(io::Error::other)?.close().await;
        let Self { rows, .. } = self;
        let (first, step, values, now) = (self.first_at(), self.step_micros(), self.values(), self.now.as_micros());
        let sql = format!(
            "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {rows})
             INSERT INTO sync_log ({COLUMNS}) SELECT {first} + i * {step}, {values} FROM n;
             WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {rows})
             INSERT INTO sync_log_bodies (log_id, decisions) SELECT i + 1, '[]' FROM n;
             WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {LEADS})
             INSERT INTO leads (source, lead_id, revision, document, name, email, deleted, updated_at)
             SELECT CASE WHEN i % 10 = 9 THEN 'other' ELSE 'klozeo' END, 'cl_' || i, 1, '{{}}', 'Person ' || i,
                    'person' || i || '@example.com', 0, {now} FROM n;
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i + 1 <= 100)
             INSERT INTO field_sets (id, fields) SELECT i, 'Field_' || i FROM n;
             INSERT INTO field_sets (id, fields) VALUES (1000, 'Gone');
             INSERT INTO field_set_members (field, set_id) SELECT fields, id FROM field_sets;
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {QUARANTINED})
             INSERT INTO events (id, source, kind, state, content_hash, received_at, request_id, size)
             SELECT i, 'meta', 'other', 'quarantined', x'00', {now}, 'req', 200 FROM n;"
        );
        fill_sqlite(file, &sql).map_err(io::Error::other)
    }

    pub async fn make_on_postgres(&self, url: &str) -> io::Result<()> {
        let options = postgres::Options { accept_unsafe_server: true, ..postgres::Options::default() };
        PostgresStore::open(url, options).await.map_err(io::Error::other)?.close().await;
        self.fill_postgres(url).await.map_err(io::Error::other)
    }

    async fn fill_postgres(&self, url: &str) -> sqlx::Result<()> {
        let Self { rows, .. } = self;
        let (first, step, values, now) = (self.first_at(), self.step_micros(), self.values(), self.now.as_micros());
        let at = format!("'epoch'::timestamptz + ({first} + i * {step}) * interval '1 microsecond'");
        let mut db = PgConnection::connect(url).await?;
        let months = format!(
            "DO $$ DECLARE m date := date_trunc('month', 'epoch'::timestamptz + {first} * interval '1 microsecond');
             BEGIN WHILE m < date_trunc('month', now()) LOOP
                 EXECUTE format('CREATE TABLE IF NOT EXISTS sync_log_y%sm%s PARTITION OF sync_log FOR VALUES FROM (%L) TO (%L)',
                     to_char(m, 'YYYY'), to_char(m, 'MM'), m::text || ' 00:00:00+00', (m + interval '1 month')::date::text || ' 00:00:00+00');
                 EXECUTE format('CREATE TABLE IF NOT EXISTS sync_log_bodies_y%sm%s PARTITION OF sync_log_bodies FOR VALUES FROM (%L) TO (%L)',
                     to_char(m, 'YYYY'), to_char(m, 'MM'), m::text || ' 00:00:00+00', (m + interval '1 month')::date::text || ' 00:00:00+00');
                 m := m + interval '1 month';
             END LOOP; END $$"
        );
        let indexes: Vec<(String, String)> = sqlx::query_as(
            "SELECT indexrelid::regclass::text, replace(pg_get_indexdef(indexrelid), ' ON ONLY ', ' ON ') FROM pg_index
              WHERE indrelid = 'sync_log'::regclass AND NOT indisprimary",
        )
        .fetch_all(&mut db)
        .await?;
        let (names, made_anew): (Vec<_>, Vec<_>) = indexes.into_iter().unzip();
        for sql in [
            "SET timezone = 'UTC'; SET synchronous_commit = off; SET work_mem = '256MB'; SET maintenance_work_mem = '512MB'"
                .to_owned(),
            months,
            format!("DROP INDEX {}", names.join(", ")),
            format!(
                "INSERT INTO sync_log (id, {COLUMNS}) SELECT i + 1, {at}, {values} FROM generate_series(0::bigint, {rows} - 1) i"
            ),
            format!(
                "INSERT INTO sync_log_bodies (log_id, at, decisions)
                 SELECT i + 1, {at}, '[]' FROM generate_series(0::bigint, {rows} - 1) i"
            ),
            made_anew.join("; "),
            format!("SELECT setval('sync_log_ids', {rows})"),
            format!(
                "INSERT INTO leads (source, lead_id, revision, document, name, email, deleted, updated_at)
                 SELECT CASE WHEN i % 10 = 9 THEN 'other' ELSE 'klozeo' END, 'cl_' || i, 1, '{{}}', 'Person ' || i,
                        'person' || i || '@example.com', false, 'epoch'::timestamptz + {now} * interval '1 microsecond'
                   FROM generate_series(0::bigint, {LEADS} - 1) i"
            ),
            "INSERT INTO field_sets (id, fields) SELECT i, 'Field_' || i FROM generate_series(1, 100) i".to_owned(),
            "INSERT INTO field_sets (id, fields) VALUES (1000, 'Gone')".to_owned(),
            "INSERT INTO field_set_members (field, set_id) SELECT fields, id FROM field_sets".to_owned(),
            format!(
                "INSERT INTO events (id, source, kind, state, content_hash, received_at, request_id, size)
                 SELECT nextval('event_ids'), 'meta', 'other', 'quarantined', '\\x00', now(), 'req', 200
                   FROM generate_series(1, {QUARANTINED})"
            ),
            "VACUUM ANALYZE".to_owned(),
        ] {
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut db).await?;
        }
        Ok(())
    }
}

/// Indexes are made after the rows, which is quicker.
fn fill_sqlite(file: &Path, rows: &str) -> rusqlite::Result<()> {
    let db = Connection::open(file)?;
    db.execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -1000000; PRAGMA temp_store = MEMORY")?;
    let indexes: Vec<(String, String)> = db
        .prepare(
            "SELECT name, sql FROM sqlite_schema WHERE tbl_name = 'sync_log' AND type = 'index' AND sql IS NOT NULL",
        )?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    db.execute_batch("BEGIN")?;
    for (name, _) in &indexes {
        db.execute_batch(&format!("DROP INDEX {name}"))?;
    }
    db.execute_batch(rows)?;
    for (_, sql) in &indexes {
        db.execute_batch(sql)?;
    }
    db.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)")
}
