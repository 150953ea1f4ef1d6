//! Which lead owns a record, which leads may be getting one, and which lack some of their values there.

use std::collections::HashMap;

use sqlx::PgExecutor;

use super::PostgresStore;
use super::rows::cannot_be;
use super::time::Time;
use crate::domain::ids::{DestinationName, FieldName, LeadKey, RecordRef};
use crate::domain::plan::ConflictKind;
use crate::domain::time::Timestamp;
use crate::store::stored::pairs_from_json;
use crate::store::{LeaseToken, OpenCreate, RecordOwner, Sharing, StoreError, StoreResult};

pub(super) async fn find_owners(
    store: &PostgresStore,
    destination: &DestinationName,
    records: &[RecordRef],
) -> StoreResult<Vec<Option<RecordOwner>>> {
    let ids: Vec<&str> = records.iter().map(|record| record.id.as_str()).filter(|id| !cannot_be(id)).collect();
    let rows: Vec<(String, String, String, bool, bool)> = sqlx::query_as(
        "SELECT l.record_id, l.source, l.lead_id, COALESCE(d.deleted, false), COALESCE(d.excluded, false)
           FROM links l LEFT JOIN leads d ON d.source = l.source AND d.lead_id = l.lead_id
          WHERE l.owner AND l.destination = $1 AND l.record_id = ANY ($2::text[])",
    )
    .bind(destination.as_str())
    .bind(ids)
    .fetch_all(&store.pool)
    .await?;
    let owner = |(record, source, lead, deleted, excluded): (String, String, String, bool, bool)| {
        (record, RecordOwner { lead: LeadKey::new(source.as_str(), lead.as_str()), deleted, excluded })
    };
    let owners: HashMap<String, RecordOwner> = rows.into_iter().map(owner).collect();
    Ok(records.iter().map(|record| owners.get(record.id.as_str()).cloned()).collect())
}

/// Whether living leads share each of these records with its owner. One in doubt may, whether its question is open or closed,
/// until a person tells it apart.
pub(super) async fn find_shared(
    store: &PostgresStore,
    destination: &DestinationName,
    records: &[RecordRef],
) -> StoreResult<Vec<Sharing>> {
    let shared: Vec<(bool, bool)> = sqlx::query_as(
        "SELECT s.surely, s.in_doubt
           FROM unnest($2::text[]) WITH ORDINALITY AS u (id, place)
          CROSS JOIN LATERAL (
                SELECT coalesce(bool_or(l.in_doubt IS NULL), false) AS surely,
                       coalesce(bool_or(l.in_doubt IS NOT NULL AND NOT coalesce(
                           (SELECT c.state = 'resolved' AND c.answer ->> 'choice' <> 'lead' FROM conflicts c
                             WHERE c.source = l.source AND c.lead_id = l.lead_id AND c.destination = l.destination
                               AND c.kind = $3 AND c.question #>> '{record,id}' IN (l.in_doubt, l.record_id)
                             ORDER BY c.id DESC LIMIT 1), false)), false) AS in_doubt
                  FROM links l JOIN leads d ON d.source = l.source AND d.lead_id = l.lead_id
                 WHERE l.destination = $1 AND l.record_id = u.id AND NOT l.owner
                   AND NOT d.deleted AND NOT d.excluded) s
          ORDER BY u.place",
    )
    .bind(destination.as_str())
    .bind(records.iter().map(|record| record.id.as_str()).collect::<Vec<_>>())
    .bind(ConflictKind::SharedRecord.as_str())
    .fetch_all(&store.pool)
    .await?;
    Ok(shared.into_iter().map(|(surely, in_doubt)| Sharing::of(surely, in_doubt)).collect())
}

/// Leads with rows left out by other rules than these, in key order.
pub(super) async fn with_rows_left_out(
    store: &PostgresStore,
    destination: &DestinationName,
    fingerprint: &str,
) -> StoreResult<Vec<LeadKey>> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        r#"SELECT source, lead_id FROM links
            WHERE destination = $1 AND lacks AND fingerprint <> $2 ORDER BY source COLLATE "C", lead_id COLLATE "C""#,
    )
    .bind(destination.as_str())
    .bind(fingerprint)
    .fetch_all(&store.pool)
    .await?;
    Ok(rows.into_iter().map(|(source, lead)| LeadKey::new(source.as_str(), lead.as_str())).collect())
}

/// Living leads that own a record whose key was formed otherwise. What was left as it is, since it is no key of ours, is none.
pub(super) async fn count_keys_formed_otherwise(
    db: impl PgExecutor<'_>,
    destination: &DestinationName,
    field: &FieldName,
    form: &str,
) -> StoreResult<u64> {
    let count: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM links l JOIN leads d ON d.source = l.source AND d.lead_id = l.lead_id
          WHERE l.destination = $1 AND l.owner AND NOT d.deleted AND NOT d.excluded
            AND l.bases #>> $2 <> $3 AND l.kept #>> $2 IS DISTINCT FROM $3",
    )
    .bind(destination.as_str())
    .bind([field.as_str(), "lead", "text"])
    .bind(form)
    .fetch_one(db)
    .await?;
    Ok(count.unsigned_abs())
}

/// Creates that may still land, of leads without a record: without an answer, or of batches that ended without settling.
/// Those of other processes hold their people while they live, so that whoever holds the same people has not to hear of them.
pub(super) async fn find_open_creates(
    store: &PostgresStore,
    destination: &DestinationName,
    at_work: &[LeaseToken],
    now: Timestamp,
) -> StoreResult<Vec<OpenCreate>> {
    let found: Vec<(i64, String, String, String)> = sqlx::query_as(
        "SELECT i.id, i.source, i.lead_id, i.value_pairs::text FROM intents i
          WHERE i.destination = $1 AND i.record_id IS NULL
            AND (i.settled = 1 OR i.settled = 0 AND i.lease_token <> ALL ($2)
                 AND NOT EXISTS (SELECT 1 FROM leases h WHERE h.holder = i.lease_token AND h.until > $3))
            AND NOT EXISTS (SELECT 1 FROM links l
                             WHERE l.destination = i.destination AND l.source = i.source AND l.lead_id = i.lead_id)
          ORDER BY i.id",
    )
    .bind(destination.as_str())
    .bind(at_work)
    .bind(Time(now))
    .fetch_all(&store.pool)
    .await?;
    let read = |(id, source, lead, pairs): (i64, String, String, String)| {
        let rows = pairs_from_json(&pairs).map_err(|_| StoreError::Corrupt {
            table: "intents",
            column: "value_pairs",
            id: id.to_string(),
        })?;
        Ok(OpenCreate { lead: LeadKey::new(source.as_str(), lead.as_str()), rows })
    };
    found.into_iter().map(read).collect()
}
