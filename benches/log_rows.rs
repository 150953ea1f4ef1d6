//! Log rows of three months and their leads, alike on both databases.

use std::io;
use std::path::Path;

use leadrelay::domain::time::Timestamp;
use leadrelay::store::Store;
use leadrelay::store::sqlite::{Options, SqliteStore};
use rusqlite::Connection;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

/// Over so many days, all of which are kept.
pub const DAYS: u64 = 88;
pub const LEADS: usize = 200_000;

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
    CASE WHEN i % 10 = 9 THEN 'other' ELSE 'klozeo' END, 'cl_' || (i % {leads}), 'crm',
    CASE WHEN i < 3 THEN 'delete' WHEN i % 10 = 0 THEN 'create' WHEN i % 10 = 1 THEN 'unchanged'
         WHEN i % 100 = 2 THEN 'hold' ELSE 'update' END,
    CASE WHEN i % 1000 = 5 THEN 'dead' WHEN i % 100 = 6 THEN 'refused' WHEN i % 50 = 7 THEN 'retry' ELSE 'ok' END,
    'Lead', '00Q' || (i % {leads}),
    CASE i % 40 WHEN 0 THEN 'external_id' WHEN 1 THEN 'email' WHEN 2 THEN 'name_and_company_domain' ELSE 'link' END,
    CASE WHEN i % 1000 = 5 OR i % 100 = 6 THEN 'REQUIRED_FIELD_MISSING' WHEN i % 50 = 7 THEN 'UNABLE_TO_LOCK_ROW' END,
    CASE WHEN i % 1000 = 5 OR i % 100 = 6 THEN 'Required fields are missing: [LastName]'
         WHEN i % 50 = 7 THEN 'The record is locked by another user' END,
    1, 2, 200, 120, 'req_' || (i / 20), i, CASE WHEN i % 2 = 0 THEN 1 + i % 50 END";

const COLUMNS: &str =
    "at, source, lead_id, destination, operation, outcome, object, record_id, matched_by, error_code, error,
                       attempt, api_calls, batch, duration_ms, request_id, event_id, field_set";

impl Rows {
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
        SqliteStore::open(file, Options::default()).await.map_err(io::Error::other)?.close().await;
        let Self { rows, .. } = self;
        let (first, step, values) = (self.first_at(), self.step_micros(), self.values());
        let sql = format!(
            "PRAGMA synchronous = OFF; PRAGMA cache_size = -1000000; BEGIN;
             WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {rows})
             INSERT INTO sync_log ({COLUMNS}) SELECT {first} + i * {step}, {values} FROM n;
             WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {rows})
             INSERT INTO sync_log_bodies (log_id, decisions) SELECT i + 1, '[]' FROM n;
             WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {LEADS})
             INSERT INTO leads (source, lead_id, revision, document, name, email, deleted, updated_at)
             SELECT CASE WHEN i % 10 = 9 THEN 'other' ELSE 'klozeo' END, 'cl_' || i, 1, '{{}}', 'Person ' || i,
                    'person' || i || '@example.com', 0, {first} FROM n;
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i + 1 <= 50)
             INSERT INTO field_sets (id, fields) SELECT i, 'Field_' || i FROM n;
             INSERT INTO field_set_members (field, set_id) SELECT fields, id FROM field_sets;
             COMMIT; PRAGMA wal_checkpoint(TRUNCATE);"
        );
        let made = || Connection::open(file)?.execute_batch(&sql);
        made().map_err(io::Error::other)
    }

    pub async fn make_on_postgres(&self, url: &str) {
        let Self { rows, .. } = self;
        let (first, step, values) = (self.first_at(), self.step_micros(), self.values());
        let at = format!("'epoch'::timestamptz + ({first} + i * {step}) * interval '1 microsecond'");
        let mut db = PgConnection::connect(url).await.expect("the server is there");
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
        for sql in [
            "SET timezone = 'UTC'; SET synchronous_commit = off; SET work_mem = '256MB'; SET maintenance_work_mem = '512MB'"
                .to_owned(),
            months,
            format!(
                "INSERT INTO sync_log (id, {COLUMNS}) SELECT i + 1, {at}, {values} FROM generate_series(0, {rows} - 1) i"
            ),
            format!(
                "INSERT INTO sync_log_bodies (log_id, at, decisions)
                 SELECT i + 1, {at}, '[]' FROM generate_series(0, {rows} - 1) i"
            ),
            format!("SELECT setval('sync_log_ids', {rows})"),
            format!(
                "INSERT INTO leads (source, lead_id, revision, document, name, email, deleted, updated_at)
                 SELECT CASE WHEN i % 10 = 9 THEN 'other' ELSE 'klozeo' END, 'cl_' || i, 1, '{{}}', 'Person ' || i,
                        'person' || i || '@example.com', false, now() FROM generate_series(0, {LEADS} - 1) i"
            ),
            "INSERT INTO field_sets (id, fields) SELECT i, 'Field_' || i FROM generate_series(1, 50) i".to_owned(),
            "INSERT INTO field_set_members (field, set_id) SELECT fields, id FROM field_sets".to_owned(),
            "VACUUM ANALYZE".to_owned(),
        ] {
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut db).await.expect("rows are made");
        }
    }
}
