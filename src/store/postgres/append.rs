//! Appending to the sync log.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgConnection;

use super::PostgresStore;
use super::rows::readable_option;
use super::time::Time;
use crate::domain::time::Timestamp;
use crate::store::decided::Decided;
use crate::store::{NewLogRow, StoreResult};

const MINUTE_MICROS: i64 = 60_000_000;

/// Appends one row in a commit of its own.
pub(super) async fn append_one(store: &PostgresStore, row: &NewLogRow) -> StoreResult<()> {
    let mut tx = store.pool.begin().await?;
    append(&mut tx, std::slice::from_ref(row)).await?;
    tx.commit().await?;
    Ok(())
}

/// Appends rows with their decisions and bodies, and counts them for the error rate: the last thing that a transaction
/// does, since others may wait for the counts.
pub(super) async fn append(db: &mut PgConnection, rows: &[NewLogRow]) -> StoreResult<()> {
    let decided: Vec<_> = rows.iter().map(Decided::of).collect();
    append_decided(db, &rows.iter().zip(&decided).collect::<Vec<_>>()).await
}

/// As [`append`], with decisions that were made ready before.
pub(super) async fn append_decided(db: &mut PgConnection, rows: &[(&NewLogRow, &Decided)]) -> StoreResult<()> {
    if rows.is_empty() {
        return Ok(());
    }
    make_field_sets(db, rows).await?;
    insert(db, rows).await?;
    count(db, rows).await
}

/// Makes the sets of fields that no row had before. Hardly ever is there one, and then nothing is written.
async fn make_field_sets(db: &mut PgConnection, rows: &[(&NewLogRow, &Decided)]) -> StoreResult<()> {
    let sets: BTreeSet<&str> =
        rows.iter().map(|(_, decided)| decided.fields.as_str()).filter(|fields| !fields.is_empty()).collect();
    if sets.is_empty() {
        return Ok(());
    }
    sqlx::query(
        r"WITH made AS (
              INSERT INTO field_sets (fields)
              SELECT fields FROM unnest($1::text[]) WITH ORDINALITY AS wanted (fields, n)
               WHERE NOT EXISTS (SELECT 1 FROM field_sets known
                                  WHERE known.digest = sha256(replace(wanted.fields, '\', '\\')::bytea))
               ORDER BY n
              ON CONFLICT DO NOTHING
              RETURNING id, fields)
          INSERT INTO field_set_members (field, set_id)
          SELECT field, id FROM made, unnest(string_to_array(made.fields, E'\n')) AS field",
    )
    .bind(sets.into_iter().collect::<Vec<_>>())
    .execute(db)
    .await?;
    Ok(())
}

async fn insert(db: &mut PgConnection, rows: &[(&NewLogRow, &Decided)]) -> StoreResult<()> {
    fn column<'r, T>(rows: &[(&'r NewLogRow, &'r Decided)], of: impl Fn(&'r NewLogRow) -> T) -> Vec<T> {
        rows.iter().map(|(row, _)| of(row)).collect()
    }
    let narrow = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    let decisions: Vec<Option<&str>> = rows
        .iter()
        .map(|(row, decided)| {
            let kept = !row.decisions.is_empty() || row.request.is_some() || row.response.is_some();
            kept.then_some(decided.json.as_str())
        })
        .collect();
    sqlx::query(
        r"WITH new AS (
              SELECT nextval('sync_log_ids') AS id, row.*
                FROM unnest($1::timestamptz[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                            $8::text[], $9::text[], $10::text[], $11::text[], $12::integer[], $13::integer[],
                            $14::integer[], $15::bigint[], $16::text[], $17::bigint[], $18::text[], $19::text[],
                            $20::text[], $21::text[])
                  AS row (at, source, lead_id, destination, operation, outcome, object, record_id, matched_by,
                          error_code, error, attempt, api_calls, batch, duration_ms, request_id, event_id, fields,
                          decisions, request, response)),
          logged AS (
              INSERT INTO sync_log (id, at, source, lead_id, destination, operation, outcome, object, record_id,
                                    matched_by, error_code, error, attempt, api_calls, batch, duration_ms, request_id,
                                    event_id, field_set)
              SELECT id, at, source, lead_id, destination, operation, outcome, object, record_id, matched_by, error_code,
                     error, attempt, api_calls, batch, duration_ms, request_id, event_id,
                     (SELECT known.id FROM field_sets known
                       WHERE fields <> '' AND known.digest = sha256(replace(new.fields, '\', '\\')::bytea))
                FROM new)
          INSERT INTO sync_log_bodies (log_id, at, decisions, request, response)
          SELECT id, at, decisions::json, request, response FROM new WHERE decisions IS NOT NULL",
    )
    .bind(column(rows, |row| Time(row.at)))
    .bind(column(rows, |row| row.lead.source.as_str()))
    .bind(column(rows, |row| row.lead.id.as_str()))
    .bind(column(rows, |row| row.destination.as_str()))
    .bind(column(rows, |row| row.operation.as_str()))
    .bind(column(rows, |row| row.outcome.as_str()))
    .bind(column(rows, |row| row.record.as_ref().map(|record| record.object.as_str())))
    .bind(column(rows, |row| row.record.as_ref().map(|record| record.id.as_str())))
    .bind(column(rows, |row| row.matched_by.map(|by| by.as_str())))
    .bind(column(rows, |row| readable_option(row.error_code.as_deref())))
    .bind(column(rows, |row| readable_option(row.error.as_deref())))
    .bind(column(rows, |row| narrow(row.attempt)))
    .bind(column(rows, |row| narrow(row.api_calls)))
    .bind(column(rows, |row| narrow(row.batch)))
    .bind(column(rows, |row| i64::try_from(row.duration_ms).unwrap_or(i64::MAX)))
    .bind(column(rows, |row| row.request_id.as_ref().map(|id| id.as_str())))
    .bind(column(rows, |row| row.event.map(|event| event.0)))
    .bind(rows.iter().map(|(_, decided)| decided.fields.as_str()).collect::<Vec<_>>())
    .bind(decisions)
    .bind(column(rows, |row| readable_option(row.request.as_deref())))
    .bind(column(rows, |row| readable_option(row.response.as_deref())))
    .execute(db)
    .await?;
    Ok(())
}

async fn count(db: &mut PgConnection, rows: &[(&NewLogRow, &Decided)]) -> StoreResult<()> {
    let mut counts: BTreeMap<(Time, &str, &str, &str), i64> = BTreeMap::new();
    for (row, _) in rows {
        let minute = row.at.as_micros().div_euclid(MINUTE_MICROS).saturating_mul(MINUTE_MICROS);
        let minute = Time(Timestamp::from_micros(minute));
        let counted = (minute, row.destination.as_str(), row.operation.as_str(), row.outcome.as_str());
        *counts.entry(counted).or_default() += 1;
    }
    let keys = counts.keys();
    sqlx::query(
        "INSERT INTO outcome_counts (minute, destination, operation, outcome, slot, n)
         SELECT minute, destination, operation, outcome, (pg_backend_pid() % 32)::smallint, n
           FROM unnest($1::timestamptz[], $2::text[], $3::text[], $4::text[], $5::bigint[])
             AS counted (minute, destination, operation, outcome, n)
         ON CONFLICT (minute, destination, operation, outcome, slot)
         DO UPDATE SET n = outcome_counts.n + excluded.n",
    )
    .bind(keys.clone().map(|(minute, ..)| *minute).collect::<Vec<_>>())
    .bind(keys.clone().map(|(_, destination, ..)| *destination).collect::<Vec<_>>())
    .bind(keys.clone().map(|(_, _, operation, _)| *operation).collect::<Vec<_>>())
    .bind(keys.map(|(.., outcome)| *outcome).collect::<Vec<_>>())
    .bind(counts.values().copied().collect::<Vec<_>>())
    .execute(db)
    .await?;
    Ok(())
}
