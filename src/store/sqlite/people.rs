//! What people did: pauses and the audit log.

use rusqlite::{Connection, params};
use sqlx::QueryBuilder;

use super::SqliteStore;
use super::walk::{Numbered, Span};
use crate::domain::ids::DestinationName;
use crate::domain::time::Timestamp;
use crate::store::listed::{read_audit_row, read_pause};
use crate::store::{AuditEntry, AuditRow, Listed, Page, Pause, StoreResult};

pub(super) const AUDIT: Numbered = Numbered {
    table: "audit",
    select: "SELECT id, at, by, action, target, source, lead_id, detail FROM audit WHERE ",
    bounds: "SELECT (SELECT min(id) FROM audit), (SELECT max(id) FROM audit)",
    probe: "SELECT id, at FROM audit WHERE id >= ? ORDER BY id LIMIT 1",
};

/// Pauses a destination; a pause that is there already is replaced.
pub(super) async fn pause(store: &SqliteStore, pause: &Pause) -> StoreResult<()> {
    let pause = pause.clone();
    let work = move |db: &mut Connection| {
        append_audit(db, &AuditEntry::of_pause(&pause))?;
        db.prepare_cached(
            "INSERT INTO pauses (destination, by, note, since, until) VALUES (?, ?, ?, ?, ?)
                 ON CONFLICT (destination) DO UPDATE
                 SET by = excluded.by, note = excluded.note, since = excluded.since, until = excluded.until",
        )?
        .execute(params![
            pause.destination.as_str(),
            pause.by,
            pause.note,
            pause.since.as_micros(),
            pause.until.map(|until| until.as_micros()),
        ])?;
        Ok(())
    };
    store.writer.run(work).await
}

/// Ends a pause; `false`: there was none.
pub(super) async fn resume(
    store: &SqliteStore,
    destination: &DestinationName,
    by: &str,
    now: Timestamp,
) -> StoreResult<bool> {
    let (destination, entry) = (destination.clone(), AuditEntry::of_resume(destination, by, now));
    let work = move |db: &mut Connection| {
        let ended = db.prepare_cached("DELETE FROM pauses WHERE destination = ?")?.execute([destination.as_str()])?;
        if ended > 0 {
            append_audit(db, &entry)?;
        }
        Ok(ended > 0)
    };
    store.writer.run(work).await
}

/// Every pause, by destination. Whether one is over is for the caller to say.
pub(super) async fn load_pauses(store: &SqliteStore) -> StoreResult<Vec<Pause>> {
    let rows = sqlx::query("SELECT destination, by, note, since, until FROM pauses ORDER BY destination")
        .fetch_all(&store.readers)
        .await?;
    rows.iter().map(read_pause).collect()
}

/// Appends to the audit log.
pub(super) async fn record_audit(store: &SqliteStore, entry: &AuditEntry) -> StoreResult<()> {
    let entry = entry.clone();
    store.writer.run(move |db| append_audit(db, &entry)).await
}

/// The same as a part of the change that it tells of.
pub(super) fn append_audit(db: &Connection, entry: &AuditEntry) -> StoreResult<()> {
    db.prepare_cached(
        "INSERT INTO audit (at, by, action, target, source, lead_id, detail) VALUES (?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        entry.at.as_micros(),
        entry.by,
        entry.action,
        entry.target,
        entry.lead.as_ref().map(|lead| lead.source.as_str()),
        entry.lead.as_ref().map(|lead| lead.id.as_str()),
        entry.detail,
    ])?;
    Ok(())
}

/// One page of the audit log, newest first.
pub(super) async fn list_audit(store: &SqliteStore, page: &Page) -> StoreResult<Listed<AuditRow>> {
    let all = |_: &mut QueryBuilder<sqlx::Sqlite>| {};
    let span = Span { from: None, to: None, narrow: true };
    AUDIT.page(&store.readers, page, &span, all, read_audit_row).await
}
