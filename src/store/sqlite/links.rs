//! Which lead owns a record, and which leads lack some of their values there.

use std::collections::HashMap;

use sqlx::{QueryBuilder, Sqlite};

use super::SqliteStore;
use crate::domain::ids::{DestinationName, LeadKey, RecordRef};
use crate::store::{RecordOwner, StoreResult};

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
                    EXISTS (SELECT 1 FROM leads d
                             WHERE d.source = l.source AND d.lead_id = l.lead_id AND d.deleted = 1)
               FROM links l WHERE l.owner = 1 AND l.destination = ",
        );
        query.push_bind(destination.as_str()).push(" AND l.record_id IN (");
        let mut ids = query.separated(", ");
        for record in some {
            ids.push_bind(record.id.as_str());
        }
        query.push(")");
        let rows: Vec<(String, String, String, bool)> = query.build_query_as().fetch_all(&store.readers).await?;
        owners.extend(rows.into_iter().map(|(record, source, lead, deleted)| {
            (record, RecordOwner { lead: LeadKey::new(source.as_str(), lead.as_str()), deleted })
        }));
    }
    Ok(records.iter().map(|record| owners.get(record.id.as_str()).cloned()).collect())
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
