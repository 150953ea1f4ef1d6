//! The embedded store: one SQLite file, one writer thread, read-only connections beside it.
//!
//! Everything that writes goes through `writer::Writer`, which owns the only connection that may. Reads see the last
//! commit and never wait for the writer. Each verb has its SQL in a file of its own.

mod lock;
mod migrations;
mod writer;

mod accept;
mod announce;
mod append;
mod claim;
mod dirty;
mod duplicates;
mod erase;
mod fold;
mod gates;
mod recover;
mod replay;
mod settle;
mod work;

mod backup;
mod by_hand;
mod conflicts;
mod dead_letters;
mod events;
mod figures;
mod leads;
mod links;
mod log;
mod people;
mod private;
mod prune;
mod refused;
mod runs;
mod strangers;
mod unfolded;

mod cells;
mod verbs;
mod walk;

#[cfg(test)]
mod plan_tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use tokio::sync::watch;

use super::{StoreError, StoreResult, rows};
use crate::domain::ids::{DestinationName, FieldName, SourceName};
pub use backup::back_up;
use lock::DatabaseLock;
use writer::Writer;

/// How many read-only connections are kept; a list that is read slowly must not hold up the workers.
const READERS: u32 = 8;

/// The store of one process in one SQLite file.
pub struct SqliteStore {
    writer: Writer,
    readers: SqlitePool,
    path: PathBuf,
    due: Arc<watch::Sender<u64>>,
    /// Held for the store's whole life; last, so that it is let go of after everything else.
    _lock: DatabaseLock,
}

/// How a store is opened.
pub struct Options {
    /// Whether missing migrations are applied; else a database that lacks one is refused.
    pub migrate: bool,
    /// The most events in one commit. Anything but the default is for measuring what group commit is worth.
    pub max_batch: usize,
    /// Hears of every commit that was synced, with the number of events that it stored.
    pub on_commit: Box<dyn Fn(usize) + Send + Sync>,
}

impl Default for Options {
    fn default() -> Self {
        Self { migrate: true, max_batch: 512, on_commit: Box::new(|_| {}) }
    }
}

impl SqliteStore {
    /// The version of the schema that this program knows, which every open store is at.
    pub const SCHEMA_VERSION: i64 = migrations::NEWEST;

    /// Opens the database at `path`, creating it if there is none, and locks it against other processes until the store
    /// is dropped.
    ///
    /// [`StoreError::InUse`] names the holder; [`StoreError::TooNew`]: a newer program has been here;
    /// [`StoreError::TooOld`]: migrations are missing and `options` do not allow to apply them.
    pub async fn open(path: &Path, options: Options) -> StoreResult<Self> {
        let lock = DatabaseLock::take(path)?;
        migrations::apply(path, options.migrate).await?;
        let (due, _) = watch::channel(0);
        let due = Arc::new(due);
        let writer = Writer::start(path, options.max_batch, options.on_commit, Arc::clone(&due)).await?;
        let readers = readers(path, READERS).await?;
        Ok(Self { writer, readers, path: path.to_owned(), due, _lock: lock })
    }

    /// Tells waiting workers that jobs may have become due.
    fn wake_workers(&self) {
        self.due.send_modify(|times| *times = times.wrapping_add(1));
    }
}

async fn readers(path: &Path, most: u32) -> StoreResult<SqlitePool> {
    let connect = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .busy_timeout(Duration::from_secs(5))
        .statement_cache_capacity(200);
    let pool = SqlitePoolOptions::new().max_connections(most).acquire_timeout(Duration::from_secs(5));
    Ok(pool.connect_with(connect).await?)
}

/// The lead fields that each source's events had. Only reads and does not lock, so that another process may have the database
/// open or open it meanwhile; it must have the schema that this program knows.
pub async fn seen_fields(
    path: &Path,
    sources: impl Iterator<Item = &SourceName>,
) -> StoreResult<BTreeMap<SourceName, Vec<String>>> {
    let readers = readers(path, 1).await?;
    let read = async {
        migrations::must_be_newest(&mut *readers.acquire().await?).await?;
        let mut seen = BTreeMap::new();
        for source in sources {
            seen.insert(source.clone(), leads::seen_fields(&readers, source).await?);
        }
        Ok(seen)
    };
    let seen = read.await;
    readers.close().await;
    seen
}

/// How many records of each destination carry, in this field, a key that was formed otherwise; read like the above.
pub async fn count_keys_formed_otherwise(
    path: &Path,
    asked: &[(DestinationName, FieldName, String)],
) -> StoreResult<Vec<u64>> {
    let readers = readers(path, 1).await?;
    let count = async {
        let mut counts = Vec::with_capacity(asked.len());
        for (destination, field, form) in asked {
            counts.push(links::count_keys_formed_otherwise(&readers, destination, field, form).await?);
        }
        Ok(counts)
    };
    let counts = count.await;
    readers.close().await;
    counts
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        match error.sqlite_error_code() {
            Some(
                ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::ReadOnly
                | ErrorCode::CannotOpen
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
                | ErrorCode::OutOfMemory,
            ) => StoreError::Unavailable(error.to_string()),
            _ => StoreError::Database(Box::new(error)),
        }
    }
}

#[cfg(test)]
mod fixtures;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{EventLog, Store};

    #[tokio::test]
    async fn a_store_commits_after_it_was_opened_and_nothing_after_it_was_closed() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("leadrelay.db"), Options::default()).await.unwrap();
        store.ready().await.unwrap();
        store.close().await;
        assert!(matches!(store.ready().await, Err(StoreError::Unavailable(_))));
        assert!(matches!(store.accept_events(Vec::new()).await, Err(StoreError::Unavailable(_))));
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn the_database_its_companions_and_its_copies_are_their_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("leadrelay.db"), Options::default()).await.unwrap();
        store.ready().await.unwrap();
        store.backup(&folder.path().join("copy.db")).await.unwrap();
        for name in ["leadrelay.db", "leadrelay.db-wal", "leadrelay.db-shm", "copy.db"] {
            let mode = std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }

    #[tokio::test]
    async fn a_backup_is_complete_and_never_takes_the_place_of_a_file() {
        let fixture = fixtures::Fixture::new().await;
        fixture.accept(fixtures::event("ada", "{}")).await;
        let to = fixture.folder.path().join("copy.db");
        fixture.store.backup(&to).await.unwrap();
        assert!(matches!(fixture.store.backup(&to).await, Err(StoreError::FileExists(_))));
        let copy = SqliteStore::open(&to, Options::default()).await.unwrap();
        let everything = crate::store::Page { limit: 9, cursor: None };
        assert_eq!(copy.list_events(&Default::default(), &everything).await.unwrap().items.len(), 1);
    }

    #[tokio::test]
    async fn a_second_store_on_the_same_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("leadrelay.db");
        let store = SqliteStore::open(&path, Options::default()).await.unwrap();
        assert!(matches!(SqliteStore::open(&path, Options::default()).await, Err(StoreError::InUse { .. })));
        drop(store);
        SqliteStore::open(&path, Options::default()).await.unwrap();
    }
}
