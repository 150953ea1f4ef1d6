//! Settling's notes of rules by which leads were planned that no link tells of.

use sqlx::PgConnection;

use super::Fate;
use crate::store::postgres::keys::JobKeys;
use crate::store::{JobEnd, PlannedBy, Settlement, StoreResult};

/// Notes the rules, or that the link tells them from now on. What is tried again by itself was not planned to its end.
pub(super) async fn note(db: &mut PgConnection, settlements: &[(&Settlement, Fate)]) -> StoreResult<()> {
    let planned = settlements.iter().filter(|(settlement, fate)| {
        matches!(fate, Fate::Linked { .. }) && !matches!(settlement.end, JobEnd::Retry { .. })
    });
    let (noted, told): (Vec<&Settlement>, Vec<&Settlement>) =
        planned.map(|(settlement, _)| *settlement).partition(|settlement| settlement.left_alone.is_some());
    insert(db, &noted).await?;
    delete(db, &told).await
}

async fn insert(db: &mut PgConnection, noted: &[&Settlement]) -> StoreResult<()> {
    let keys: JobKeys = noted.iter().map(|settlement| (&settlement.destination, &settlement.lead)).collect();
    let rules = noted.iter().filter_map(|settlement| settlement.left_alone.as_ref());
    let (fingerprints, observed): (Vec<&str>, Vec<bool>) =
        rules.map(|PlannedBy { fingerprint, observed }| (fingerprint.as_str(), *observed)).unzip();
    if fingerprints.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO left_alone AS a (destination, source, lead_id, fingerprint, observed)
         SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::boolean[])
             ON CONFLICT (lead_id, source, destination) DO UPDATE
            SET fingerprint = excluded.fingerprint, observed = excluded.observed
          WHERE a.fingerprint <> excluded.fingerprint OR a.observed <> excluded.observed",
    )
    .bind(keys.destinations)
    .bind(keys.sources)
    .bind(keys.leads)
    .bind(fingerprints)
    .bind(observed)
    .execute(db)
    .await?;
    Ok(())
}

async fn delete(db: &mut PgConnection, told: &[&Settlement]) -> StoreResult<()> {
    if told.is_empty() {
        return Ok(());
    }
    let keys: JobKeys = told.iter().map(|settlement| (&settlement.destination, &settlement.lead)).collect();
    sqlx::query(
        "DELETE FROM left_alone a USING unnest($1::text[], $2::text[], $3::text[]) AS u (destination, source, lead_id)
          WHERE a.destination = u.destination AND a.source = u.source AND a.lead_id = u.lead_id",
    )
    .bind(keys.destinations)
    .bind(keys.sources)
    .bind(keys.leads)
    .execute(db)
    .await?;
    Ok(())
}
