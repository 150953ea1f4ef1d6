//! Settling's changes of jobs.

use rusqlite::{Connection, params};

use crate::domain::time::Timestamp;
use crate::store::stored::refusal_to_json;
use crate::store::{JobEnd, Refusal, Settlement, StoreError, StoreResult};

/// Ends the attempt as planned; answers whether the job is owed again at once, because the lead moved meanwhile.
pub(super) fn end(db: &Connection, settlement: &Settlement, moved: bool) -> StoreResult<bool> {
    match &settlement.end {
        // A back-off stays: a new event does not shorten it.
        JobEnd::Retry { due_at, code, detail, failed } => {
            retry(db, settlement, *due_at, (code, detail), *failed)?;
            Ok(false)
        }
        JobEnd::Done if moved => {
            remember(db, settlement, None)?;
            owe_again(db, settlement)
        }
        JobEnd::Dead { refusal, .. } if moved => {
            remember(db, settlement, refusal.as_ref())?;
            owe_again(db, settlement)
        }
        JobEnd::Held { .. } if moved => owe_again(db, settlement),
        JobEnd::Done => {
            let (destination, lead) = (settlement.destination.as_str(), &settlement.lead);
            db.prepare_cached("DELETE FROM jobs WHERE destination = ?1 AND source = ?2 AND lead_id = ?3")?
                .execute(params![destination, lead.source.as_str(), lead.id.as_str()])?;
            Ok(false)
        }
        JobEnd::Held { code, detail, look_again_at } => {
            stop(db, settlement, "held", code, detail, *look_again_at)?;
            Ok(false)
        }
        JobEnd::Dead { code, detail, refusal, look_again_at } => {
            remember(db, settlement, refusal.as_ref())?;
            stop(db, settlement, "dead", code, detail, *look_again_at)?;
            Ok(false)
        }
    }
}

/// Makes the job due now as a new debt: since the oldest event that was not folded yet, if there is one.
pub(super) fn owe_again(db: &Connection, settlement: &Settlement) -> StoreResult<bool> {
    let (destination, lead) = (settlement.destination.as_str(), &settlement.lead);
    db.prepare_cached(
        "UPDATE jobs SET state = 'owed', due_at = ?4, lease_token = NULL, attempt = 0, first_failed_at = NULL,
                         code = NULL, detail = NULL, suspicion = 0, ended_at = NULL, look_again_at = NULL,
                         owed_since = coalesce((SELECT received_at FROM events
                                                 WHERE source = ?2 AND lead_id = ?3 AND state = 'stored'
                                                 ORDER BY id LIMIT 1), ?4),
                         lane = EXISTS (SELECT 1 FROM links WHERE destination = ?1 AND source = ?2 AND lead_id = ?3)
          WHERE destination = ?1 AND source = ?2 AND lead_id = ?3",
    )?
    .execute(params![destination, lead.source.as_str(), lead.id.as_str(), settlement.now.as_micros()])?;
    Ok(true)
}

/// Tries again a lead whose settlement could not be recorded, if the lease is still its own.
pub(super) fn postpone(
    db: &Connection,
    settlement: &Settlement,
    until: Timestamp,
    why: &StoreError,
) -> StoreResult<()> {
    let (destination, lead) = (settlement.destination.as_str(), &settlement.lead);
    db.prepare_cached(
        "UPDATE jobs SET due_at = ?5, lease_token = NULL, code = 'not_recorded', detail = ?6,
                         first_failed_at = coalesce(first_failed_at, ?7)
          WHERE destination = ?1 AND source = ?2 AND lead_id = ?3 AND lease_token = ?4",
    )?
    .execute(params![
        destination,
        lead.source.as_str(),
        lead.id.as_str(),
        settlement.token.as_bytes().as_slice(),
        until.as_micros(),
        why.to_string(),
        settlement.now.as_micros(),
    ])?;
    Ok(())
}

/// Tries again later. It stays as suspect as it was, unless the attempt got past what the process died of: its write.
fn retry(
    db: &Connection,
    settlement: &Settlement,
    due_at: Timestamp,
    (code, detail): (&str, &str),
    failed: bool,
) -> StoreResult<()> {
    let (destination, lead) = (settlement.destination.as_str(), &settlement.lead);
    db.prepare_cached(
        "UPDATE jobs SET due_at = ?4, lease_token = NULL, code = ?9, detail = ?5,
                         suspicion = CASE WHEN ?8 THEN 0 ELSE suspicion END,
                         first_failed_at = CASE WHEN ?6 THEN coalesce(first_failed_at, ?7) ELSE first_failed_at END,
                         lane = EXISTS (SELECT 1 FROM links WHERE destination = ?1 AND source = ?2 AND lead_id = ?3)
          WHERE destination = ?1 AND source = ?2 AND lead_id = ?3",
    )?
    .execute(params![
        destination,
        lead.source.as_str(),
        lead.id.as_str(),
        due_at.as_micros(),
        detail,
        failed,
        settlement.now.as_micros(),
        settlement.wrote,
        code,
    ])?;
    Ok(())
}

fn stop(
    db: &Connection,
    settlement: &Settlement,
    state: &str,
    code: &str,
    detail: &str,
    look_again_at: Option<Timestamp>,
) -> StoreResult<()> {
    let (destination, lead) = (settlement.destination.as_str(), &settlement.lead);
    db.prepare_cached(
        "UPDATE jobs SET state = ?4, code = ?5, detail = ?6, look_again_at = ?7, ended_at = ?8, due_at = ?8,
                         lease_token = NULL, suspicion = 0, forced = 0,
                         lane = EXISTS (SELECT 1 FROM links WHERE destination = ?1 AND source = ?2 AND lead_id = ?3)
          WHERE destination = ?1 AND source = ?2 AND lead_id = ?3",
    )?
    .execute(params![
        destination,
        lead.source.as_str(),
        lead.id.as_str(),
        state,
        code,
        detail,
        look_again_at.map(Timestamp::as_micros),
        settlement.now.as_micros(),
    ])?;
    Ok(())
}

/// Replaces the remembered refusal; whoever asked for this attempt has had it.
fn remember(db: &Connection, settlement: &Settlement, refusal: Option<&Refusal>) -> StoreResult<()> {
    let (destination, lead) = (settlement.destination.as_str(), &settlement.lead);
    db.prepare_cached(
        "UPDATE jobs SET refusal = ?4, forced = 0 WHERE destination = ?1 AND source = ?2 AND lead_id = ?3",
    )?
    .execute(params![destination, lead.source.as_str(), lead.id.as_str(), refusal.map(refusal_to_json)])?;
    Ok(())
}
