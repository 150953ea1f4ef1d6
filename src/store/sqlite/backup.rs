//! A copy of the database while it runs.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::{SqliteStore, private};
use crate::store::{StoreError, StoreResult};

pub(super) async fn backup(store: &SqliteStore, to: &Path) -> StoreResult<()> {
    back_up(&store.path, to).await
}

/// Writes the database as it is at one moment to a new file, which appears under its name only when it is complete and on
/// disk. A file that is there already is left alone.
///
/// Only reads, so that it may run in another process than the one that holds the database.
pub async fn back_up(from: &Path, to: &Path) -> StoreResult<()> {
    let (from, to) = (from.to_owned(), to.to_owned());
    let copied = tokio::task::spawn_blocking(move || copy(&from, &to)).await;
    copied.unwrap_or_else(|error| Err(StoreError::Database(Box::new(error))))
}

fn copy(from: &Path, to: &Path) -> StoreResult<()> {
    if to.symlink_metadata().is_ok() {
        return Err(exists(to));
    }
    let partial = partial_name(to);
    let done = vacuum_into(from, &partial).and_then(|()| publish(&partial, to));
    // A link to it may be the backup by now; the name of the unfinished one goes in any case.
    let removed = fs::remove_file(&partial);
    done?;
    removed.map_err(failed)
}

/// One read transaction: neither intake nor the queue waits for it.
fn vacuum_into(from: &Path, partial: &Path) -> StoreResult<()> {
    private::create(partial).map_err(failed)?;
    let name = partial.to_str().ok_or_else(|| failed(io::Error::other("the file's name is not UTF-8")))?;
    let db = Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    db.busy_timeout(std::time::Duration::from_secs(5))?;
    db.execute("VACUUM INTO ?", [name])?;
    File::open(partial).and_then(|file| file.sync_all()).map_err(failed)
}

/// Linking, unlike renaming, never takes the place of a file that came meanwhile.
fn publish(partial: &Path, to: &Path) -> StoreResult<()> {
    fs::hard_link(partial, to).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => exists(to),
        _ => failed(error),
    })?;
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

fn partial_name(to: &Path) -> PathBuf {
    let mut name = OsString::from(to);
    name.push(format!(".partial-{}", uuid::Uuid::new_v4()));
    PathBuf::from(name)
}

fn exists(to: &Path) -> StoreError {
    StoreError::FileExists(to.display().to_string())
}

fn failed(error: io::Error) -> StoreError {
    StoreError::Database(Box::new(error))
}
