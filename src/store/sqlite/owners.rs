//! Which lead owns a record, and which leads may be getting one.

use std::collections::HashMap;

use sqlx::{QueryBuilder, Sqlite};

use super::{SqliteStore, rows};
use crate::domain::ids::{DestinationName, LeadKey, RecordRef};
use crate::store::stored::pairs_from_json;
use crate::store::{OpenCreate, StoreResult};

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

pub(super) async fn find_open_creates(
    store: &SqliteStore,
    destination: &DestinationName,
) -> StoreResult<Vec<OpenCreate>> {
    let found: Vec<(i64, String, String, String)> = sqlx::query_as(
        "SELECT i.id, i.source, i.lead_id, i.value_pairs FROM intents i
          WHERE i.destination = ?1 AND i.record_id IS NULL AND i.settled < 2
            AND NOT EXISTS (SELECT 1 FROM links l
                             WHERE l.destination = i.destination AND l.source = i.source AND l.lead_id = i.lead_id)
          ORDER BY i.id",
    )
    .bind(destination.as_str())
    .fetch_all(&store.readers)
    .await?;
    let read = |(id, source, lead, pairs): (i64, String, String, String)| {
        let announced = rows::read(pairs_from_json(&pairs).ok(), "intents", "value_pairs", id)?;
        Ok(OpenCreate { lead: LeadKey::new(source.as_str(), lead.as_str()), rows: announced })
    };
    found.into_iter().map(read).collect()
}
