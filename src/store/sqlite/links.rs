//! Which lead owns a record, which leads may be getting one, and which lack some of their values there.

use std::collections::HashMap;

use sqlx::{QueryBuilder, Sqlite, SqlitePool};

use super::{SqliteStore, rows};
use crate::domain::ids::{DestinationName, FieldName, LeadKey, RecordRef};
use crate::domain::plan::ConflictKind;
use crate::store::stored::pairs_from_json;
use crate::store::{LeaseToken, OpenCreate, RecordOwner, Sharing, StoreResult};

/// Bound values in one statement.
const MOST: usize = 500;

pub(super) async fn find_owners(
    store: &SqliteStore,
    destination: &DestinationName,
    records: &[RecordRef],
) -> StoreResult<Vec<Option<RecordOwner>>> {
    let mut owners: HashMap<String, RecordOwner> = HashMap::new();
    for some in records.chunks(MOST) {
        let mut query: QueryBuilder<Sqlite> = QueryBuilder::new(
            "SELECT l.record_id, l.source, l.lead_id,
                    COALESCE(d.deleted, 0), COALESCE(d.excluded, 0)
               FROM links l LEFT JOIN leads d ON d.source = l.source AND d.lead_id = l.lead_id
              WHERE l.owner = 1 AND l.destination = ",
        );
        query.push_bind(destination.as_str()).push(" AND l.record_id IN (");
        let mut ids = query.separated(", ");
        for record in some {
            ids.push_bind(record.id.as_str());
        }
        query.push(")");
        let rows: Vec<(String, String, String, bool, bool)> = query.build_query_as().fetch_all(&store.readers).await?;
        owners.extend(rows.into_iter().map(|(record, source, lead, deleted, excluded)| {
            (record, RecordOwner { lead: LeadKey::new(source.as_str(), lead.as_str()), deleted, excluded })
        }));
    }
    Ok(records.iter().map(|record| owners.get(record.id.as_str()).cloned()).collect())
}

/// Whether living leads share each of these records with its owner. One in doubt may, whether its question is open or closed,
/// until a person tells it apart.
pub(super) async fn find_shared(
    store: &SqliteStore,
    destination: &DestinationName,
    records: &[RecordRef],
) -> StoreResult<Vec<Sharing>> {
    let mut shared = Vec::with_capacity(records.len());
    for record in records {
        let (surely, in_doubt): (bool, bool) = sqlx::query_as(
            "SELECT coalesce(max(l.in_doubt IS NULL), 0),
                    coalesce(max(l.in_doubt IS NOT NULL AND NOT coalesce(
                        (SELECT c.state = 'resolved' AND c.answer ->> '$.choice' <> 'lead' FROM conflicts c
                          WHERE c.source = l.source AND c.lead_id = l.lead_id AND c.destination = l.destination
                            AND c.kind = ? AND c.question ->> '$.record.id' IN (l.in_doubt, l.record_id)
                          ORDER BY c.id DESC LIMIT 1), 0)), 0)
               FROM links l JOIN leads d ON d.source = l.source AND d.lead_id = l.lead_id
              WHERE l.destination = ? AND l.record_id = ? AND l.owner = 0 AND d.deleted = 0 AND d.excluded = 0",
        )
        .bind(ConflictKind::SharedRecord.as_str())
        .bind(destination.as_str())
        .bind(record.id.as_str())
        .fetch_one(&store.readers)
        .await?;
        shared.push(Sharing::of(surely, in_doubt));
    }
    Ok(shared)
}

/// Leads with rows left out by other rules than these, in key order.
pub(super) async fn with_rows_left_out(
    store: &SqliteStore,
    destination: &DestinationName,
    fingerprint: &str,
) -> StoreResult<Vec<LeadKey>> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "SELECT source, lead_id FROM links
          WHERE destination = ? AND left_out <> '{}' AND fingerprint <> ? ORDER BY source, lead_id",
    )
    .bind(destination.as_str())
    .bind(fingerprint)
    .fetch_all(&store.readers)
    .await?;
    Ok(rows.into_iter().map(|(source, lead)| LeadKey::new(source.as_str(), lead.as_str())).collect())
}

/// Living leads that own a record whose key was formed otherwise. What was left as it is, since it is no key of ours, is none.
pub(super) async fn count_keys_formed_otherwise(
    readers: &SqlitePool,
    destination: &DestinationName,
    field: &FieldName,
    form: &str,
) -> StoreResult<u64> {
    let count: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM links l JOIN leads d ON d.source = l.source AND d.lead_id = l.lead_id
          WHERE l.destination = ?1 AND l.owner = 1 AND d.deleted = 0 AND d.excluded = 0
            AND json_extract(l.bases, ?2) <> ?3 AND json_extract(l.kept, ?2) IS NOT ?3",
    )
    .bind(destination.as_str())
    .bind(format!("$.\"{field}\".lead.text"))
    .bind(form)
    .fetch_one(readers)
    .await?;
    Ok(count.unsigned_abs())
}

/// Creates that may still land, of leads without a record: without an answer, or of batches that ended without settling.
pub(super) async fn find_open_creates(
    store: &SqliteStore,
    destination: &DestinationName,
    at_work: &[LeaseToken],
) -> StoreResult<Vec<OpenCreate>> {
    let mut query: QueryBuilder<Sqlite> = QueryBuilder::new(
        "SELECT i.id, i.source, i.lead_id, i.value_pairs FROM intents i
          WHERE i.record_id IS NULL AND (i.settled = 1 OR i.settled = 0 AND i.lease_token NOT IN (",
    );
    let mut tokens = query.separated(", ");
    for token in at_work {
        tokens.push_bind(token.as_bytes().to_vec());
    }
    query.push(")) AND i.destination = ").push_bind(destination.as_str()).push(
        " AND NOT EXISTS (SELECT 1 FROM links l
                           WHERE l.destination = i.destination AND l.source = i.source AND l.lead_id = i.lead_id)
          ORDER BY i.id",
    );
    let found: Vec<(i64, String, String, String)> = query.build_query_as().fetch_all(&store.readers).await?;
    let read = |(id, source, lead, pairs): (i64, String, String, String)| {
        let announced = rows::read(pairs_from_json(&pairs).ok(), "intents", "value_pairs", id)?;
        Ok(OpenCreate { lead: LeadKey::new(source.as_str(), lead.as_str()), rows: announced })
    };
    found.into_iter().map(read).collect()
}
