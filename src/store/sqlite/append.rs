//! Appending to the sync log.

use rusqlite::{Connection, OptionalExtension, params};

use super::SqliteStore;
use crate::store::decided::Decided;
use crate::store::{NewLogRow, StoreResult};

const MINUTE_MICROS: i64 = 60_000_000;

/// Appends one row in a commit of its own.
pub(super) async fn append_one(store: &SqliteStore, row: &NewLogRow) -> StoreResult<()> {
    let row = row.clone();
    store.writer.run(move |db| append(db, &row)).await
}

/// Appends one row with its decisions and bodies, and counts it for the error rate.
pub(super) fn append(db: &Connection, row: &NewLogRow) -> StoreResult<()> {
    append_decided(db, row, &Decided::of(row))
}

/// As [`append`], with decisions that were made ready before.
pub(super) fn append_decided(db: &Connection, row: &NewLogRow, decided: &Decided) -> StoreResult<()> {
    let field_set = if decided.fields.is_empty() { None } else { Some(field_set(db, &decided.fields)?) };
    db.prepare_cached(
        "INSERT INTO sync_log (at, source, lead_id, destination, operation, outcome, object, record_id, matched_by,
                               error_code, error, attempt, api_calls, batch, duration_ms, request_id, event_id, field_set)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)",
    )?
    .execute(params![
        row.at.as_micros(),
        row.lead.source.as_str(),
        row.lead.id.as_str(),
        row.destination.as_str(),
        row.operation.as_str(),
        row.outcome.as_str(),
        row.record.as_ref().map(|record| record.object.as_str()),
        row.record.as_ref().map(|record| record.id.as_str()),
        row.matched_by.map(|by| by.as_str()),
        row.error_code,
        row.error,
        row.attempt,
        row.api_calls,
        row.batch,
        i64::try_from(row.duration_ms).unwrap_or(i64::MAX),
        row.request_id.as_ref().map(|id| id.as_str()),
        row.event.map(|event| event.0),
        field_set,
    ])?;
    let id = db.last_insert_rowid();
    if !row.decisions.is_empty() || row.request.is_some() || row.response.is_some() {
        db.prepare_cached(
            "INSERT INTO sync_log_bodies (log_id, decisions, request, response) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![id, decided.json, row.request, row.response])?;
    }
    let minute = row.at.as_micros().div_euclid(MINUTE_MICROS).saturating_mul(MINUTE_MICROS);
    db.prepare_cached(
        "INSERT INTO outcome_counts (minute, destination, operation, outcome, n) VALUES (?1, ?2, ?3, ?4, 1)
         ON CONFLICT DO UPDATE SET n = n + 1",
    )?
    .execute(params![minute, row.destination.as_str(), row.operation.as_str(), row.outcome.as_str()])?;
    Ok(())
}

/// The set of these fields; made where no row had it before.
fn field_set(db: &Connection, fields: &str) -> StoreResult<i64> {
    let known: Option<i64> = db
        .prepare_cached("SELECT id FROM field_sets WHERE fields = ?1")?
        .query_row([fields], |row| row.get(0))
        .optional()?;
    if let Some(set) = known {
        return Ok(set);
    }
    db.prepare_cached("INSERT INTO field_sets (fields) VALUES (?1)")?.execute([fields])?;
    let set = db.last_insert_rowid();
    let mut add = db.prepare_cached("INSERT INTO field_set_members (field, set_id) VALUES (?1, ?2)")?;
    for field in fields.split('\n') {
        add.execute(params![field, set])?;
    }
    Ok(set)
}
