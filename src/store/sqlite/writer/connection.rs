//! The connection that writes: how it is opened, and how its transactions begin and end.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use crate::store::{StoreError, StoreResult};

/// Opens the connection for writing. What durability rests on is read back and not taken for granted.
pub(super) fn open(path: &Path) -> StoreResult<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.set_prepared_statement_cache_capacity(200);
    db.busy_timeout(std::time::Duration::from_secs(5))?;
    let journal: String = db.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    db.execute_batch(
        "PRAGMA synchronous = FULL;
         PRAGMA foreign_keys = OFF;
         PRAGMA cache_size = -65536;
         PRAGMA temp_store = MEMORY;
         PRAGMA secure_delete = ON;",
    )?;
    db.query_row("PRAGMA wal_autocheckpoint = 1000", [], |_| Ok(()))?;
    let synchronous: i64 = db.query_row("PRAGMA synchronous", [], |row| row.get(0))?;
    if journal != "wal" || synchronous != 2 {
        let found = format!("journal mode {journal}, synchronous {synchronous}");
        return Err(StoreError::Unavailable(format!("{} cannot be made durable: {found}", path.display())));
    }
    Ok(db)
}

/// Begins a transaction that may write.
pub(in crate::store::sqlite) fn begin(db: &Connection) -> StoreResult<()> {
    Ok(db.prepare_cached("BEGIN IMMEDIATE")?.execute([]).map(drop)?)
}

/// Ends it on disk. Whatever goes wrong here, the caller cannot know whether it was stored.
pub(in crate::store::sqlite) fn commit(db: &Connection) -> StoreResult<()> {
    let committed = db.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([]));
    committed.map(drop).map_err(|error| StoreError::Unavailable(error.to_string()))
}

/// Takes back everything since [`begin`]; `false`: even that failed.
pub(in crate::store::sqlite) fn roll_back(db: &Connection) -> bool {
    db.is_autocommit() || db.execute_batch("ROLLBACK").is_ok()
}
