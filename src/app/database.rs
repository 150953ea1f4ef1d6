//! What is done to the database without running the service.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{check, open_store};
use crate::clock::Clock;
use crate::config::{Config, ServerUrl, StoreUrl};
use crate::domain::check::{Finding, Severity, of_former_keys};
use crate::domain::ids::{DestinationName, FieldName, SourceName};
use crate::domain::matching::KeyField;
use crate::store::postgres::copy::{CopiedTable, Progress, copy_from};
use crate::store::postgres::{self, PostgresStore};
use crate::store::sqlite::{self, Options, SqliteStore, back_up as copy_file};
use crate::store::{Store, StoreError, StoreResult};

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

/// The lead fields that each source's events had.
pub type SeenFields = BTreeMap<SourceName, Vec<String>>;

/// Reads them; `None` where there is no database yet. Only reads, beside whichever service has the database open or opens it.
pub async fn seen_fields(config: &Config) -> StoreResult<Option<SeenFields>> {
    let sources = config.sources.keys();
    let seen = match &config.store.url {
        StoreUrl::Sqlite(path) if !path.exists() => return Ok(None),
        StoreUrl::Sqlite(path) => {
            must_not_be_moved(path)?;
            sqlite::seen_fields(path, sources).await
        }
        StoreUrl::Postgres(server) => {
            postgres::seen_fields(server.expose(), config.store.allow_unsafe_server, sources).await
        }
    };
    match seen {
        // Nothing was ever made in it.
        Err(StoreError::TooOld { found: 0, .. }) => Ok(None),
        seen => seen.map(Some),
    }
}

/// What is to be said of records whose keys were formed otherwise than they are now, for each destination; read likewise from a
/// database that can be read.
async fn former_keys(config: &Config) -> StoreResult<Vec<(DestinationName, Finding)>> {
    let keys = config.destinations.values().map(|destination| check::key_of(&destination.records));
    let keys: Vec<(KeyField, String)> = keys.collect();
    let asked = config.destinations.keys().zip(&keys);
    let asked: Vec<(DestinationName, FieldName, String)> =
        asked.map(|(name, (key, form))| (name.clone(), key.field.clone(), form.clone())).collect();
    let counts = match &config.store.url {
        StoreUrl::Sqlite(path) => sqlite::count_keys_formed_otherwise(path, &asked).await?,
        StoreUrl::Postgres(server) => {
            postgres::count_keys_formed_otherwise(server.expose(), config.store.allow_unsafe_server, &asked).await?
        }
    };
    let told = config.destinations.keys().zip(keys).zip(counts);
    Ok(told
        .filter_map(|((name, (key, form)), count)| Some((name.clone(), of_former_keys(count, &key, &form)?)))
        .collect())
}

/// What `check` says of the database.
#[derive(Debug)]
pub struct Looked {
    /// Of the database itself.
    pub finding: Finding,
    /// What it says of each destination's records.
    pub of_destinations: Vec<(DestinationName, Finding)>,
    pub seen: SeenFields,
}

/// Looks at the database, reading only. What cannot be read is a finding, not an error.
pub async fn look(config: &Config) -> Looked {
    let seen = seen_fields(config).await;
    let keys = if matches!(seen, Ok(Some(_))) { former_keys(config).await } else { Ok(Vec::new()) };
    let (of_destinations, failed) = match keys {
        Ok(told) => (told, None),
        Err(error) => (Vec::new(), Some(Err(error))),
    };
    let finding = finding(config.store.migrate, failed.as_ref().unwrap_or(&seen));
    Looked { finding, of_destinations, seen: seen.ok().flatten().unwrap_or_default() }
}

/// `migrate`: whether a service that starts brings the database up to date.
fn finding(migrate: bool, looked: &StoreResult<Option<SeenFields>>) -> Finding {
    let found = |severity, finding: &str, remedy: &str| Finding {
        severity,
        subject: "store.url".to_owned(),
        finding: finding.to_owned(),
        remedy: remedy.to_owned(),
    };
    match looked {
        Ok(Some(_)) => found(Severity::Ok, "the database can be read", ""),
        Ok(None) if migrate => found(Severity::Ok, "there is no database yet; the service makes it", ""),
        Ok(None) => found(Severity::Error, "there is no database yet, and the service may not make it", MIGRATE),
        Err(error @ StoreError::TooOld { .. }) if migrate => {
            found(Severity::Warning, &error.to_string(), "start the service: it applies them")
        }
        Err(error @ StoreError::TooOld { .. }) => found(Severity::Error, &error.to_string(), MIGRATE),
        Err(StoreError::Unfit(why)) => {
            let (what, remedy) = why.rsplit_once("; ").unwrap_or((why, LOOK));
            found(Severity::Error, what, remedy)
        }
        Err(error) => found(Severity::Error, &error.reason(), error.remedy().unwrap_or(LOOK)),
    }
}

const MIGRATE: &str = "run `leadrelay migrate`";
const LOOK: &str = "see that `store.url` names leadrelay's database, and that this user may read it";

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
pub(super) fn must_not_be_moved(file: &Path) -> StoreResult<()> {
    let beside = moved_note(file);
    let Ok(note) = std::fs::read_to_string(&beside) else { return Ok(()) };
    let (file, note, beside) = (file.display(), note.trim(), beside.display());
    let why =
        format!("{file} was {note}; what came since is there. To go back to the file all the same, delete {beside}");
    Err(StoreError::Unfit(why))
}

fn moved_note(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".moved");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_the_database_says_what_to_do() {
        let check = |migrate: bool, looked: StoreResult<Option<SeenFields>>, severity: Severity, remedy: &str| {
            let found = finding(migrate, &looked);
            assert_eq!((found.severity, found.remedy.as_str()), (severity, remedy), "{looked:?}");
        };
        let too_old = || Err(StoreError::TooOld { found: 1, known: 2 });
        check(true, Ok(Some(SeenFields::new())), Severity::Ok, "");
        check(true, Ok(None), Severity::Ok, "");
        check(false, Ok(None), Severity::Error, MIGRATE);
        check(true, too_old(), Severity::Warning, "start the service: it applies them");
        check(false, too_old(), Severity::Error, MIGRATE);
        check(true, Err(StoreError::Unfit("it is old; upgrade it".to_owned())), Severity::Error, "upgrade it");
        check(true, Err(StoreError::Unavailable("it is no database".to_owned())), Severity::Error, LOOK);
    }
}
