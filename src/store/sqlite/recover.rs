//! What a start makes of what the last process left behind, and what time makes of writes without an answer.

use rusqlite::{Connection, params};

use super::dirty::{self, Why};
use super::{SqliteStore, append};
use crate::domain::ids::{DestinationName, LeadKey, RecordRef};
use crate::domain::job::{Class, MAY_LAND_FOR};
use crate::domain::time::Timestamp;
use crate::store::stored::decisions_from_json;
use crate::store::{LeaseToken, LeasesOf, NewLogRow, Operation, Outcome, Recovered, StoreError, StoreResult};

/// Rows handled in one transaction.
const PIECE: i64 = 100;

pub(super) async fn recover(store: &SqliteStore, whose: LeasesOf, now: Timestamp) -> StoreResult<Recovered> {
    let died = match whose {
        LeasesOf::DeadProcess => Unsettled {
            of: None,
            lead: None,
            code: "process_died",
            detail: "the process ended before the answer was recorded; the record is read again",
        },
        LeasesOf::Batch(token) => Unsettled {
            of: Some(token),
            lead: None,
            code: "internal_error",
            detail: "leadrelay failed before the answer was recorded; the record is read again",
        },
    };
    let mut recovered = Recovered::default();
    loop {
        let released = store.writer.run(move |db| release_leases(db, &died, now)).await?;
        recovered.leases += released;
        if released == 0 {
            break;
        }
    }
    loop {
        let unknown = store.writer.run(move |db| open_unsettled(db, &died, now)).await?;
        recovered.unknown_writes += unknown;
        if unknown == 0 {
            break;
        }
    }
    store.wake_workers();
    Ok(recovered)
}

/// Whose writes were announced and not settled, and what the log says of it.
#[derive(Clone, Copy)]
pub(super) struct Unsettled<'a> {
    /// `None`: of whoever had a lease.
    pub of: Option<LeaseToken>,
    /// `None`: of all its leads.
    pub lead: Option<&'a LeadKey>,
    pub code: &'static str,
    pub detail: &'static str,
}

impl Unsettled<'_> {
    fn token(&self) -> Option<&[u8]> {
        self.of.as_ref().map(|token| token.as_bytes().as_slice())
    }
}

/// Makes leased jobs due now. Those that had announced are suspect; of the others the attempt never began.
fn release_leases(db: &mut Connection, died: &Unsettled<'_>, now: Timestamp) -> StoreResult<u64> {
    let released = db
        .prepare_cached(
            "UPDATE jobs SET lease_token = NULL, due_at = ?1,
                 attempt = CASE WHEN announced THEN attempt ELSE max(attempt - 1, 0) END,
                 suspicion = suspicion + announced
               FROM (SELECT j.destination AS d, j.source AS s, j.lead_id AS l,
                            EXISTS (SELECT 1 FROM intents i
                                     WHERE i.destination = j.destination AND i.source = j.source
                                       AND i.lead_id = j.lead_id AND i.settled = 0) AS announced
                       FROM jobs j WHERE j.lease_token IS NOT NULL AND (?3 IS NULL OR j.lease_token = ?3) LIMIT ?2)
              WHERE destination = d AND source = s AND lead_id = l",
        )?
        .execute(params![now.as_micros(), PIECE, died.token()])?;
    Ok(released as u64)
}

/// Writes that were announced and of which nothing is known: logged, and kept open while they may land.
pub(super) fn open_unsettled(db: &Connection, whose: &Unsettled<'_>, now: Timestamp) -> StoreResult<u64> {
    let (source, lead) = whose.lead.map(|lead| (lead.source.as_str(), lead.id.as_str())).unzip();
    let unsettled = db
        .prepare_cached(
            "SELECT id, destination, source, lead_id, object, record_id, attempt, request_id, decisions
               FROM intents
              WHERE settled = 0 AND (?2 IS NULL OR lease_token = ?2)
                AND (?3 IS NULL OR (source = ?3 AND lead_id = ?4)) ORDER BY id LIMIT ?1",
        )?
        .query_map(params![PIECE, whose.token(), source, lead], |row| {
            let (destination, source, lead): (String, String, String) = (row.get(1)?, row.get(2)?, row.get(3)?);
            let (object, record): (String, Option<String>) = (row.get(4)?, row.get(5)?);
            let (request, decisions): (String, String) = (row.get(7)?, row.get(8)?);
            let record = record.map(|id| RecordRef { object: object.as_str().into(), id: id.as_str().into() });
            let operation = if record.is_some() { Operation::Update } else { Operation::Create };
            let lead = LeadKey::new(source.as_str(), lead.as_str());
            let log = NewLogRow {
                record,
                error_code: Some(whose.code.to_owned()),
                error: Some(whose.detail.to_owned()),
                attempt: row.get(6)?,
                request_id: Some(request.as_str().into()),
                // What cannot be read any more must not keep the program from starting.
                decisions: decisions_from_json(&decisions).unwrap_or_default(),
                ..NewLogRow::note(now, lead, destination.as_str().into(), operation, Outcome::Unknown)
            };
            Ok((row.get::<_, i64>(0)?, log))
        })?
        .collect::<Result<Vec<_>, _>>()?;
    for (intent, log) in &unsettled {
        note(db, log)?;
        db.prepare_cached("UPDATE intents SET settled = 1, keep_open_until = ?2 WHERE id = ?1")?
            .execute(params![intent, now.after(MAY_LAND_FOR).as_micros()])?;
    }
    Ok(unsettled.len() as u64)
}

/// Appends a log row. What the database refuses of it must keep neither the program from starting nor the write from being
/// looked for.
fn note(db: &Connection, log: &NewLogRow) -> StoreResult<()> {
    db.prepare_cached("SAVEPOINT note")?.execute([])?;
    if let Err(error) = append::append(db, log) {
        if !matches!(error, StoreError::Database(_) | StoreError::Corrupt { .. }) {
            return Err(error);
        }
        db.prepare_cached("ROLLBACK TO note")?.execute([])?;
        let (lead, destination) = (&log.lead, &log.destination);
        tracing::error!(lead.id = %lead.id, %destination, "cannot log that the outcome of a write of {lead} is unknown: {error}");
    }
    db.prepare_cached("RELEASE note")?.execute([])?;
    Ok(())
}

pub(super) async fn close_late(store: &SqliteStore, now: Timestamp) -> StoreResult<u64> {
    let mut closed = 0;
    loop {
        let piece = store.writer.run(move |db| close_some(db, now)).await?;
        closed += piece;
        if piece == 0 {
            break;
        }
    }
    if closed > 0 {
        store.wake_workers();
    }
    Ok(closed)
}

fn close_some(db: &mut Connection, now: Timestamp) -> StoreResult<u64> {
    let late = db
        .prepare_cached(
            "SELECT id, destination, source, lead_id FROM intents
              WHERE keep_open_until IS NOT NULL AND keep_open_until <= ?1 ORDER BY keep_open_until LIMIT ?2",
        )?
        .query_map(params![now.as_micros(), PIECE], |row| {
            let (destination, source, lead): (String, String, String) = (row.get(1)?, row.get(2)?, row.get(3)?);
            let destination = DestinationName::new(destination);
            Ok((row.get::<_, i64>(0)?, destination, LeadKey::new(source.as_str(), lead.as_str())))
        })?
        .collect::<Result<Vec<_>, _>>()?;
    for (intent, destination, lead) in &late {
        // It goes when the look that it stands for is settled: a value that landed late must not seem an edit.
        db.prepare_cached("UPDATE intents SET settled = 2, keep_open_until = NULL WHERE id = ?1")?.execute([intent])?;
        dirty::touch(db, destination, lead, Class::Live, now, Why::News)?;
    }
    Ok(late.len() as u64)
}

pub(super) async fn shorten_waits(store: &SqliteStore, latest: Timestamp) -> StoreResult<u64> {
    let shortened = store
        .writer
        .run(move |db| {
            let mut shorten = db.prepare_cached("UPDATE jobs SET due_at = ?1 WHERE state = 'owed' AND due_at > ?1")?;
            Ok(shorten.execute([latest.as_micros()])? as u64)
        })
        .await?;
    store.wake_workers();
    Ok(shortened)
}

#[cfg(test)]
mod tests;
