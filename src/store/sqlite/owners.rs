//! Which lead owns a record.

use std::collections::HashMap;

use sqlx::{QueryBuilder, Sqlite};

use super::SqliteStore;
use crate::domain::ids::{DestinationName, LeadKey, RecordRef};
use crate::store::StoreResult;

/// Bound values in one statement.
const MOST: usize = 500;

pub(super) async fn find(
    store: &SqliteStore,
    destination: &DestinationName,
    records: &[RecordRef],
) -> StoreResult<Vec<Option<LeadKey>>> {
    let mut owners: HashMap<String, LeadKey> = HashMap::new();
    for some in records.chunks(MOST) {
        let mut query: QueryBuilder<Sqlite> =
            QueryBuilder::new("SELECT record_id, source, lead_id FROM links WHERE owner = 1 AND destination = ");
        query.push_bind(destination.as_str()).push(" AND record_id IN (");
        let mut ids = query.separated(", ");
        for record in some {
            ids.push_bind(record.id.as_str());
        }
        query.push(")");
        let rows: Vec<(String, String, String)> = query.build_query_as().fetch_all(&store.readers).await?;
        let owner =
            |(record, source, lead): (String, String, String)| (record, LeadKey::new(source.as_str(), lead.as_str()));
        owners.extend(rows.into_iter().map(owner));
    }
    Ok(records.iter().map(|record| owners.get(record.id.as_str()).cloned()).collect())
}
