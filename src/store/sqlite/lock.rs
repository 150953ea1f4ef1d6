//! The lock that keeps a second process away from the database.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::store::{StoreError, StoreResult};

/// The right to use one database, held until it is dropped or the process ends, however it ends.
///
/// The lock is on a file beside the database, since SQLite itself locks ranges of its own file, and carries the holder's
/// process ID for whoever comes second. The file stays: removing it would let two processes lock two files of one name.
pub(super) struct DatabaseLock {
    _file: File,
}

impl DatabaseLock {
    /// Locks the database at `path`; [`StoreError::InUse`] names the process that holds it.
    pub(super) fn take(path: &Path) -> StoreResult<Self> {
        let beside = lock_path(path);
        let unavailable = |error: std::io::Error| StoreError::Unavailable(format!("{}: {error}", beside.display()));
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&beside)
            .map_err(unavailable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Whatever cannot be read is no reason to hide who is in the way.
                let read = Read::by_ref(&mut file).take(200).read_to_string(&mut holder);
                let holder = match (read, holder.trim()) {
                    (Ok(_), pid) if !pid.is_empty() => format!("process {pid}"),
                    _ => "another process".to_owned(),
                };
                return Err(StoreError::InUse { path: path.display().to_string(), holder });
            }
            Err(TryLockError::Error(error)) => return Err(unavailable(error)),
        }
        file.set_len(0).map_err(unavailable)?;
        file.seek(SeekFrom::Start(0)).map_err(unavailable)?;
        writeln!(file, "{}", std::process::id()).map_err(unavailable)?;
        Ok(Self { _file: file })
    }
}

fn lock_path(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_opener_is_told_who_holds_the_database() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("leadrelay.db");
        let held = DatabaseLock::take(&path).unwrap();
        let Err(StoreError::InUse { holder, .. }) = DatabaseLock::take(&path) else {
            panic!("locked twice");
        };
        assert_eq!(holder, format!("process {}", std::process::id()));
        drop(held);
        DatabaseLock::take(&path).unwrap();
    }
}
