#![expect(unused, clippy::todo, reason = "not written yet")]
use sqlx::postgres::PgRow;

use super::PostgresStore;
use super::cells::Cells;
use super::walk::Numbered;
use crate::domain::ids::*;
use crate::domain::time::Timestamp;
use crate::store::*;

pub(super) const AUDIT: Numbered = Numbered {
    select: "SELECT id, at, by, action, target, source, lead_id, detail FROM audit WHERE ",
    bounds: "SELECT (SELECT min(id) FROM audit), (SELECT max(id) FROM audit)",
    probe: "SELECT id, at FROM audit WHERE id >= $1 ORDER BY id LIMIT 1",
};

pub(super) async fn pause(store: &PostgresStore, pause: &Pause) -> StoreResult<()> {
    todo!()
}

pub(super) async fn resume(store: &PostgresStore, destination: &DestinationName) -> StoreResult<bool> {
    todo!()
}

pub(super) async fn load_pauses(store: &PostgresStore) -> StoreResult<Vec<Pause>> {
    todo!()
}

pub(super) async fn record_audit(store: &PostgresStore, entry: &AuditEntry) -> StoreResult<()> {
    todo!()
}

pub(super) async fn list_audit(store: &PostgresStore, page: &Page) -> StoreResult<Listed<AuditRow>> {
    todo!()
}

pub(super) fn read_row(row: &PgRow) -> StoreResult<(i64, AuditRow)> {
    let (cells, id) = Cells::numbered(row, "audit")?;
    let source: Option<&str> = cells.get("source")?;
    let lead_id: Option<&str> = cells.get("lead_id")?;
    let entry = AuditEntry {
        at: cells.time("at")?,
        by: cells.get("by")?,
        action: cells.get("action")?,
        target: cells.get("target")?,
        lead: source.zip(lead_id).map(|(source, id)| LeadKey::new(source, id)),
        detail: cells.get("detail")?,
    };
    Ok((id, AuditRow { id, entry }))
}
