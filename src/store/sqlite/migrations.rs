//! Bringing a database to the schema that this program knows.

use std::path::Path;
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqlSafeStr};

use super::private;
use crate::store::{StoreError, StoreResult};

/// Every migration: version, description, SQL.
const MIGRATIONS: [(i64, &str, &str); 1] =
    [(1, "events jobs and log", include_str!("../../../migrations/sqlite/0001_events_jobs_and_log.sql"))];

/// The version that the newest of them brings a database to.
pub(super) const NEWEST: i64 = MIGRATIONS[MIGRATIONS.len() - 1].0;

/// Applies what is missing, each migration in a transaction of its own.
///
/// A database of a newer program is refused, and with `allowed` = false also one that lacks a migration.
pub(super) async fn apply(path: &Path, allowed: bool) -> StoreResult<()> {
    if allowed {
        private::create(path).map_err(|error| StoreError::Unavailable(format!("{}: {error}", path.display())))?;
    }
    let mut db = SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(5))
        .foreign_keys(false)
        .connect()
        .await?;
    let done = bring_up(&mut db, allowed).await;
    db.close().await?;
    done
}

async fn bring_up(db: &mut SqliteConnection, allowed: bool) -> StoreResult<()> {
    match must_be_newest(db).await {
        Err(StoreError::TooOld { .. }) if allowed => {}
        looked => looked?,
    }
    let migrations = MIGRATIONS
        .into_iter()
        .map(|(version, name, sql)| {
            Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
        })
        .collect();
    Migrator::with_migrations(migrations).run(db).await.map_err(|error| StoreError::Database(Box::new(error)))
}

/// Refuses a database of a newer program, and one that lacks a migration.
pub(super) async fn must_be_newest(db: &mut SqliteConnection) -> StoreResult<()> {
    match (newest_applied(db).await?, NEWEST) {
        (found, known) if found > known => Err(StoreError::TooNew { found, known }),
        (found, known) if found < known => Err(StoreError::TooOld { found, known }),
        _ => Ok(()),
    }
}

/// The newest migration that the database has; 0 for an empty one.
async fn newest_applied(db: &mut SqliteConnection) -> StoreResult<i64> {
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_master WHERE name = '_sqlx_migrations'")
        .fetch_one(&mut *db)
        .await?;
    if tables == 0 {
        return Ok(0);
    }
    Ok(sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM _sqlx_migrations").fetch_one(db).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn change(path: &Path, sql: &'static str) {
        let mut db = SqliteConnectOptions::new().filename(path).connect().await.unwrap();
        sqlx::query(sql).execute(&mut db).await.unwrap();
        db.close().await.unwrap();
    }

    #[tokio::test]
    async fn applying_twice_changes_nothing_and_a_newer_database_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("leadrelay.db");
        apply(&path, true).await.unwrap();
        apply(&path, false).await.unwrap();
        change(&path, "UPDATE _sqlx_migrations SET version = 99 WHERE version = 1").await;
        assert!(matches!(apply(&path, true).await, Err(StoreError::TooNew { found: 99, known: NEWEST })));
    }

    #[tokio::test]
    async fn an_older_database_is_left_alone_where_migrating_is_not_allowed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("leadrelay.db");
        apply(&path, true).await.unwrap();
        change(&path, "DELETE FROM _sqlx_migrations").await;
        assert!(matches!(apply(&path, false).await, Err(StoreError::TooOld { found: 0, known: NEWEST })));
    }
}
