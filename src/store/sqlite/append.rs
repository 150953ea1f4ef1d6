//! Appending to the sync log.

use rusqlite::{Connection, params};

use crate::domain::plan::Rule;
use crate::store::stored::decisions_to_json;
use crate::store::{NewLogRow, StoreResult};

const MINUTE_MICROS: i64 = 60_000_000;

/// Appends one row with its decisions and bodies, and counts it for the error rate.
pub(super) fn append(db: &Connection, row: &NewLogRow) -> StoreResult<()> {
    db.prepare_cached(
        "INSERT INTO sync_log (at, source, lead_id, destination, operation, outcome, object, record_id, matched_by,
                               error_code, error, attempt, api_calls, batch, duration_ms, request_id, event_id)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
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
    ])?;
    let id = db.last_insert_rowid();
    if !row.decisions.is_empty() || row.request.is_some() || row.response.is_some() {
        db.prepare_cached(
            "INSERT INTO sync_log_bodies (log_id, decisions, request, response) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![id, decisions_to_json(&row.decisions), row.request, row.response])?;
    }
    let mut add_field = db.prepare_cached("INSERT OR IGNORE INTO sync_log_fields (field, log_id) VALUES (?1, ?2)")?;
    for decision in row.decisions.iter().filter(|decision| decision.rule != Rule::Agreed) {
        add_field.execute(params![decision.field.as_str(), id])?;
    }
    let minute = row.at.as_micros().div_euclid(MINUTE_MICROS).saturating_mul(MINUTE_MICROS);
    db.prepare_cached(
        "INSERT INTO outcome_counts (minute, destination, operation, outcome, n) VALUES (?1, ?2, ?3, ?4, 1)
         ON CONFLICT DO UPDATE SET n = n + 1",
    )?
    .execute(params![minute, row.destination.as_str(), row.operation.as_str(), row.outcome.as_str()])?;
    Ok(())
}
