//! The databases of the services under test: SQLite files, or databases of the tests' own server where
//! `LEADRELAY_TEST_STORE` is `postgres`.

use std::path::{Path, PathBuf};

use leadrelay::config::{ServerUrl, StoreUrl};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use sqlx::AssertSqlSafe;

use crate::postgres::{self, Database};

pub const VARIABLE: &str = "LEADRELAY_TEST_STORE";

/// One service's database.
pub enum TestDatabase {
    File(PathBuf),
    Server(Database),
    /// On a server of the test's own.
    At(String),
}

impl TestDatabase {
    /// A new one; in `folder`, if it is a file.
    pub async fn new(folder: &Path) -> Self {
        match std::env::var(VARIABLE).as_deref() {
            Err(_) | Ok("sqlite") => Self::File(folder.join("leadrelay.db")),
            Ok("postgres") => Self::Server(postgres::shared().expect("PostgreSQL was asked for").database().await),
            Ok(other) => panic!("{VARIABLE} is {other}, neither sqlite nor postgres"),
        }
    }

    /// As `[store] url` names it.
    pub fn url(&self) -> String {
        match self {
            Self::File(path) => format!("sqlite://{}", path.display()),
            Self::Server(Database { url, .. }) | Self::At(url) => url.clone(),
        }
    }

    pub fn store_url(&self) -> StoreUrl {
        match self {
            Self::File(path) => StoreUrl::Sqlite(path.clone()),
            Self::Server(Database { url, .. }) | Self::At(url) => StoreUrl::Postgres(ServerUrl::parse(url).unwrap()),
        }
    }

    /// Refuses every change to the rows of a table.
    pub async fn refuse_changes_of(&self, table: &str) {
        match self {
            Self::File(path) => {
                let trigger =
                    format!("CREATE TRIGGER refuse BEFORE UPDATE ON {table} BEGIN SELECT RAISE(ABORT, 'no'); END");
                Connection::open(path).unwrap().execute_batch(&trigger).unwrap();
            }
            Self::Server(Database { url, .. }) | Self::At(url) => {
                let trigger = format!(
                    "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
                     CREATE TRIGGER refuse BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION refuse()"
                );
                let mut db = postgres::connect(url).await;
                sqlx::raw_sql(AssertSqlSafe(trigger)).execute(&mut db).await.unwrap();
            }
        }
    }

    /// The rows of a table that belong to a lead, for a person to read.
    pub async fn rows_of(&self, table: &str, lead: &str) -> Vec<String> {
        match self {
            Self::File(path) => {
                let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
                let mut query = db.prepare(&format!("SELECT * FROM {table} WHERE lead_id = ?1")).unwrap();
                let columns = query.column_count();
                let read =
                    |row: &rusqlite::Row<'_>| (0..columns).map(|column| shown(row.get_ref_unwrap(column))).collect();
                let rows = query.query_map([lead], |row| Ok::<Vec<String>, _>(read(row))).unwrap();
                rows.map(|row| row.unwrap().join(" | ")).collect()
            }
            Self::Server(Database { url, .. }) | Self::At(url) => {
                let mut db = postgres::connect(url).await;
                let sql =
                    format!("SELECT row_to_json(found)::text FROM (SELECT * FROM {table} WHERE lead_id = $1) found");
                sqlx::query_scalar(AssertSqlSafe(sql)).bind(lead).fetch_all(&mut db).await.unwrap()
            }
        }
    }
}

fn shown(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "-".to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
        ValueRef::Blob(bytes) => str::from_utf8(bytes).map_or_else(|_| hex::encode(bytes), str::to_owned),
    }
}
