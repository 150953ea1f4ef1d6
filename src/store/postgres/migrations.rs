//! Bringing a database to the schema that this program knows.

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{PgConnection, SqlSafeStr};

use super::connect;
use crate::store::{StoreError, StoreResult};

/// Every migration: version, description, SQL. Numbers and meaning are those of SQLite.
const MIGRATIONS: [(i64, &str, &str); 1] =
    [(1, "events jobs and log", include_str!("../../../migrations/postgres/0001_events_jobs_and_log.sql"))];

/// The version that the newest of them brings a database to.
pub(super) const NEWEST: i64 = MIGRATIONS[MIGRATIONS.len() - 1].0;

/// A migration may take as long as it takes, and whoever waits for another's too.
const UNLIMITED: &str = "SET statement_timeout = 0; SET lock_timeout = 0";
const LIMITED: &str = "RESET statement_timeout; RESET lock_timeout";

/// Applies what is missing, each migration in a transaction of its own; replicas that start together wait for each other,
/// however long one takes.
///
/// A database of a newer program is refused, and with `allowed` = false also one that lacks a migration.
pub(super) async fn apply(db: &mut PgConnection, allowed: bool) -> StoreResult<()> {
    match must_be_newest(db).await {
        Err(StoreError::TooOld { found, known }) if allowed => {
            tracing::info!("the database is brought from version {found} to {known}, by this process or another one");
        }
        looked => looked?,
    }
    sqlx::raw_sql(UNLIMITED).execute(&mut *db).await?;
    run(db).await?;
    sqlx::raw_sql(LIMITED).execute(db).await?;
    Ok(())
}

/// Refuses a database of a newer program, and one that lacks a migration.
pub(super) async fn must_be_newest(db: &mut PgConnection) -> StoreResult<()> {
    match (newest_applied(db).await?, NEWEST) {
        (found, known) if found > known => Err(StoreError::TooNew { found, known }),
        (found, known) if found < known => Err(StoreError::TooOld { found, known }),
        _ => Ok(()),
    }
}

async fn run(db: &mut PgConnection) -> StoreResult<()> {
    let migrations = MIGRATIONS
        .into_iter()
        .map(|(version, name, sql)| {
            Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
        })
        .collect();
    Migrator::with_migrations(migrations).run(db).await.map_err(|error| match error {
        MigrateError::Execute(cause) | MigrateError::ExecuteMigration(cause, _) => connect::told(cause),
        other => StoreError::Database(Box::new(other)),
    })
}

/// The newest migration that the database has; 0 for an empty one.
async fn newest_applied(db: &mut PgConnection) -> StoreResult<i64> {
    let exists: bool =
        sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL").fetch_one(&mut *db).await?;
    if !exists {
        return Ok(0);
    }
    let newest = sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM _sqlx_migrations").fetch_one(db).await;
    newest.map_err(connect::told)
}
