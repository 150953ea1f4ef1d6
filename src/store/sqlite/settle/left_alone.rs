//! Settling's notes of rules by which leads were planned that no link tells of.

use rusqlite::{Connection, params};

use crate::store::{JobEnd, PlannedBy, Settlement, StoreResult};

/// Notes the rules, or that the link tells them from now on. What is tried again by itself was not planned to its end.
pub(super) fn note(db: &Connection, settlement: &Settlement) -> StoreResult<()> {
    if matches!(settlement.end, JobEnd::Retry { .. }) {
        return Ok(());
    }
    let (destination, lead) = (settlement.destination.as_str(), &settlement.lead);
    match &settlement.left_alone {
        Some(PlannedBy { fingerprint, observed }) => db
            .prepare_cached(
                "INSERT INTO left_alone (destination, source, lead_id, fingerprint, observed) VALUES (?1, ?2, ?3, ?4, ?5)
                     ON CONFLICT DO UPDATE SET fingerprint = excluded.fingerprint, observed = excluded.observed
                      WHERE fingerprint <> excluded.fingerprint OR observed <> excluded.observed",
            )?
            .execute(params![destination, lead.source.as_str(), lead.id.as_str(), fingerprint, observed])?,
        None => db
            .prepare_cached("DELETE FROM left_alone WHERE destination = ?1 AND source = ?2 AND lead_id = ?3")?
            .execute(params![destination, lead.source.as_str(), lead.id.as_str()])?,
    };
    Ok(())
}
