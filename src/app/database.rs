//! What is done to the database without running the service.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};

use super::{check, open_store};
use crate::clock::Clock;
use crate::config::{Config, ServerUrl, StoreUrl};
use crate::domain::check::{Finding, of_former_keys};
use crate::domain::ids::{DestinationName, SourceName};
use crate::store::postgres::PostgresStore;
use crate::store::postgres::copy::{CopiedTable, Progress, copy_from};
use crate::store::sqlite::{self, Options, SqliteStore, back_up as copy_file};
use crate::store::{Store, StoreError};

/// Creates the database or brings it to the version that is answered. A file is refused while another process has it open.
pub async fn migrate(config: &Config) -> Result<i64> {
    let mut config = config.clone();
    config.store.migrate = true;
    let store = open_store(&config).await?;
    store.close().await;
    Ok(match &config.store.url {
        StoreUrl::Sqlite(_) => SqliteStore::SCHEMA_VERSION,
        StoreUrl::Postgres(_) => PostgresStore::SCHEMA_VERSION,
    })
}

/// Writes a consistent copy of the database file to a new one, beside whichever process has it open.
pub async fn back_up(from: &Path, to: &Path) -> Result<()> {
    copy_file(from, to).await.with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
}

/// The lead fields that each source's events had, also beside a service that has the database open; none where there is no
/// database yet.
pub async fn seen_fields(config: &Config) -> Result<BTreeMap<SourceName, Vec<String>>> {
    let mut seen = BTreeMap::new();
    let Some(database) = Readable::open(config).await? else { return Ok(seen) };
    for source in config.sources.keys() {
        let fields = match &database {
            Readable::Store(store) => store.seen_fields(source).await?,
            Readable::Beside(file) => sqlite::seen_fields(file, source).await?,
        };
        seen.insert(source.clone(), fields);
    }
    database.close().await;
    Ok(seen)
}

/// What is to be said of records whose keys were formed otherwise than they are now, for each destination; read likewise.
pub async fn former_keys(config: &Config) -> Result<Vec<(DestinationName, Finding)>> {
    let mut told = Vec::new();
    let Some(database) = Readable::open(config).await? else { return Ok(told) };
    for (name, destination) in &config.destinations {
        let (key, form) = check::key_of(&destination.records);
        let count = match &database {
            Readable::Store(store) => store.count_keys_formed_otherwise(name, &key.field, &form).await?,
            Readable::Beside(file) => sqlite::count_keys_formed_otherwise(file, name, &key.field, &form).await?,
        };
        told.extend(of_former_keys(count, &key, &form).map(|finding| (name.clone(), finding)));
    }
    database.close().await;
    Ok(told)
}

/// A database that is only read.
enum Readable<'c> {
    Store(Arc<dyn Store>),
    /// A file that a service has open.
    Beside(&'c Path),
}

impl<'c> Readable<'c> {
    /// `None`: there is none yet.
    async fn open(config: &'c Config) -> Result<Option<Self>> {
        let file = match &config.store.url {
            StoreUrl::Sqlite(path) if !path.exists() => return Ok(None),
            StoreUrl::Sqlite(path) => Some(path),
            StoreUrl::Postgres(_) => None,
        };
        let mut offline = config.clone();
        offline.store.migrate = false;
        match (open_store(&offline).await, file) {
            (Ok(store), _) => Ok(Some(Self::Store(store))),
            (Err(error), _) if is_empty(&error) => Ok(None),
            (Err(error), Some(file)) if is_in_use(&error) => Ok(Some(Self::Beside(file))),
            (Err(error), _) => Err(error),
        }
    }

    async fn close(self) {
        if let Self::Store(store) = self {
            store.close().await;
        }
    }
}

fn is_in_use(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(StoreError::InUse { .. }))
}

/// Whether there is a database in which nothing was ever made.
fn is_empty(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(StoreError::TooOld { found: 0, .. }))
}

/// What was copied to PostgreSQL.
pub struct Copied {
    pub tables: Vec<CopiedTable>,
    /// Whether nothing can have come since: no service had the file open.
    pub complete: bool,
}

/// Copies an SQLite database to PostgreSQL; a copy that was begun goes on. No service can open the file meanwhile; one that
/// has it open already goes on, and what it writes from now on is not in the copy.
pub async fn copy(
    from: &Path,
    to: &ServerUrl,
    accept_unsafe_server: bool,
    tell: impl FnMut(Progress),
) -> Result<Copied> {
    let held = match SqliteStore::open(from, Options::default()).await {
        Ok(store) => Some(store),
        Err(StoreError::InUse { .. }) => None,
        Err(error) => return Err(error).with_context(|| format!("cannot open {}", from.display())),
    };
    let tables =
        copy_from(from, to.expose(), accept_unsafe_server, held.is_some(), tell).await.context("cannot copy")?;
    let complete = held.is_some();
    if complete {
        note_move(from, to)?;
    }
    if let Some(store) = held {
        store.close().await;
    }
    Ok(Copied { tables, complete })
}

/// Says beside the file that it is not served any more: a service that is started on it by mistake would send the CRM what
/// is old by then.
fn note_move(from: &Path, to: &ServerUrl) -> Result<()> {
    let beside = moved_note(from);
    let note = format!("moved to {to} at {}\n", Clock::system().now());
    std::fs::write(&beside, note).with_context(|| format!("cannot write {}", beside.display()))
}

/// Refuses a file that was moved to another database.
pub(super) fn must_not_be_moved(file: &Path) -> Result<()> {
    let beside = moved_note(file);
    let Ok(note) = std::fs::read_to_string(&beside) else { return Ok(()) };
    let (file, note, beside) = (file.display(), note.trim(), beside.display());
    let why =
        format!("{file} was {note}; what came since is there. To go back to the file all the same, delete {beside}");
    Err(StoreError::Unfit(why).into())
}

fn moved_note(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".moved");
    PathBuf::from(name)
}
