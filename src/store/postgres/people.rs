//! What people did: pauses and the audit log.

use sqlx::{PgConnection, Postgres, QueryBuilder};

use super::PostgresStore;
use super::rows::{readable, readable_option};
use super::time::Time;
use super::walk::{Numbered, Span};
use crate::domain::ids::DestinationName;
use crate::domain::time::Timestamp;
use crate::store::listed::{read_audit_row, read_pause};
use crate::store::{AuditEntry, AuditRow, Listed, Page, Pause, StoreResult};

pub(super) const AUDIT: Numbered = Numbered {
    table: "audit",
    select: "SELECT id, at, by, action, target, source, lead_id, detail FROM audit WHERE ",
    bounds: "SELECT (SELECT min(id) FROM audit), (SELECT max(id) FROM audit)",
    probe: "SELECT id, at FROM audit WHERE id >= $1 ORDER BY id LIMIT 1",
};

/// Pauses a destination; a pause that is there already is replaced.
pub(super) async fn pause(store: &PostgresStore, pause: &Pause) -> StoreResult<()> {
    let mut tx = store.pool.begin().await?;
    sqlx::query(
        "INSERT INTO pauses (destination, by, note, since, until) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (destination) DO UPDATE
         SET by = excluded.by, note = excluded.note, since = excluded.since, until = excluded.until",
    )
    .bind(pause.destination.as_str())
    .bind(readable(&pause.by))
    .bind(readable_option(pause.note.as_deref()))
    .bind(Time(pause.since))
    .bind(pause.until.map(Time))
    .execute(&mut *tx)
    .await?;
    append_audit(&mut tx, &AuditEntry::of_pause(pause)).await?;
    tx.commit().await?;
    Ok(())
}

/// Ends a pause; `false`: there was none.
pub(super) async fn resume(
    store: &PostgresStore,
    destination: &DestinationName,
    by: &str,
    now: Timestamp,
) -> StoreResult<bool> {
    let mut tx = store.pool.begin().await?;
    let ended =
        sqlx::query("DELETE FROM pauses WHERE destination = $1").bind(destination.as_str()).execute(&mut *tx).await?;
    let is_ended = ended.rows_affected() > 0;
    if is_ended {
        append_audit(&mut tx, &AuditEntry::of_resume(destination, by, now)).await?;
    }
    tx.commit().await?;
    Ok(is_ended)
}

/// Every pause, by destination. Whether one is over is for the caller to say.
pub(super) async fn load_pauses(store: &PostgresStore) -> StoreResult<Vec<Pause>> {
    let rows =
        sqlx::query(r#"SELECT destination, by, note, since, until FROM pauses ORDER BY destination COLLATE "C""#)
            .fetch_all(&store.pool)
            .await?;
    rows.iter().map(read_pause).collect()
}

/// Appends to the audit log.
pub(super) async fn record_audit(store: &PostgresStore, entry: &AuditEntry) -> StoreResult<()> {
    let mut db = store.pool.acquire().await?;
    append_audit(&mut db, entry).await
}

/// The same as a part of the change that it tells of.
pub(super) async fn append_audit(db: &mut PgConnection, entry: &AuditEntry) -> StoreResult<()> {
    sqlx::query(
        "INSERT INTO audit (at, by, action, target, source, lead_id, detail) VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(Time(entry.at))
    .bind(readable(&entry.by))
    .bind(readable(&entry.action))
    .bind(readable(&entry.target))
    .bind(entry.lead.as_ref().map(|lead| readable(lead.source.as_str())))
    .bind(entry.lead.as_ref().map(|lead| readable(lead.id.as_str())))
    .bind(readable_option(entry.detail.as_deref()))
    .execute(db)
    .await?;
    Ok(())
}

/// One page of the audit log, newest first.
pub(super) async fn list_audit(store: &PostgresStore, page: &Page) -> StoreResult<Listed<AuditRow>> {
    let all = |_: &mut QueryBuilder<Postgres>| {};
    let span = Span { from: None, to: None, narrow: true };
    AUDIT.page(&store.pool, page, &span, all, read_audit_row).await
}
