//! Who owns a record when its owner is gone.

use sqlx::PgConnection;

use crate::domain::ids::{DestinationName, LeadKey, RecordRef};
use crate::domain::plan::ConflictKind;
use crate::domain::time::Timestamp;
use crate::store::postgres::dirty::Why;
use crate::store::postgres::time::Time;
use crate::store::{NewLogRow, Operation, Outcome, StoreResult};

/// A lead that is gone, and where.
pub(in crate::store::postgres) struct Parting<'a> {
    pub destination: &'a DestinationName,
    pub lead: &'a LeadKey,
    pub now: Timestamp,
}

/// Who is owed besides a lead that parts from its record, and why: its heir, or its deleted owner.
pub(in crate::store::postgres) type Besides = (LeadKey, Why);

/// The oldest living sharer of a record, of those who are surely that person.
pub(in crate::store::postgres) async fn find_heir(
    db: &mut PgConnection,
    destination: &DestinationName,
    record: &RecordRef,
) -> StoreResult<Option<LeadKey>> {
    let heir: Option<(String, String)> = sqlx::query_as(
        r#"SELECT l.source, l.lead_id FROM links l JOIN leads d ON d.source = l.source AND d.lead_id = l.lead_id
            WHERE l.destination = $1 AND l.record_id = $2 AND NOT l.owner AND l.in_doubt IS NULL
              AND NOT d.deleted AND NOT d.excluded
            ORDER BY l.linked_at, l.source COLLATE "C", l.lead_id COLLATE "C" LIMIT 1"#,
    )
    .bind(destination.as_str())
    .bind(record.id.as_str())
    .fetch_optional(db)
    .await?;
    Ok(heir.map(|(source, id)| LeadKey::new(source.as_str(), id.as_str())))
}

/// The deleted lead that owns a record: if one that may have been the same person is it no longer, the record is not kept for
/// that one any more.
pub(in crate::store::postgres) async fn find_deleted_owner(
    db: &mut PgConnection,
    destination: &DestinationName,
    record: &RecordRef,
) -> StoreResult<Option<LeadKey>> {
    let owner: Option<(String, String)> = sqlx::query_as(
        "SELECT l.source, l.lead_id FROM links l JOIN leads d ON d.source = l.source AND d.lead_id = l.lead_id
          WHERE l.destination = $1 AND l.record_id = $2 AND l.owner AND d.deleted",
    )
    .bind(destination.as_str())
    .bind(record.id.as_str())
    .fetch_optional(db)
    .await?;
    Ok(owner.map(|(source, id)| LeadKey::new(source.as_str(), id.as_str())))
}

/// Deletes a lead's link.
pub(in crate::store::postgres) async fn unlink(
    db: &mut PgConnection,
    destination: &DestinationName,
    lead: &LeadKey,
) -> StoreResult<()> {
    sqlx::query("DELETE FROM links WHERE destination = $1 AND source = $2 AND lead_id = $3")
        .bind(destination.as_str())
        .bind(lead.source.as_str())
        .bind(lead.id.as_str())
        .execute(db)
        .await?;
    Ok(())
}

/// Makes `heir`, whose job was made due before, the record's owner, without a base: what the record holds came from the
/// other lead. The empty fingerprint says that its key is to replace the other's.
pub(in crate::store::postgres) async fn hand_over(
    db: &mut PgConnection,
    parting: &Parting<'_>,
    record: RecordRef,
    heir: &LeadKey,
) -> StoreResult<NewLogRow> {
    let Parting { destination, lead, now } = *parting;
    sqlx::query(
        "UPDATE links SET owner = true, bases = '{}', kept = '{}', left_out = '{}', lacks = false, fingerprint = '',
                          revision = revision + 1
          WHERE destination = $1 AND source = $2 AND lead_id = $3",
    )
    .bind(destination.as_str())
    .bind(heir.source.as_str())
    .bind(heir.id.as_str())
    .execute(&mut *db)
    .await?;
    sqlx::query(
        "UPDATE conflicts SET state = 'moot', revision = revision + 1, updated_at = $5, closed_at = $5
          WHERE destination = $1 AND source = $2 AND lead_id = $3 AND kind = $4 AND state = 'open'",
    )
    .bind(destination.as_str())
    .bind(heir.source.as_str())
    .bind(heir.id.as_str())
    .bind(ConflictKind::SharedRecord.as_str())
    .bind(Time(now))
    .execute(&mut *db)
    .await?;
    Ok(NewLogRow {
        record: Some(record),
        error_code: Some("became_owner".to_owned()),
        error: Some(format!("owns the record from now on, since lead {lead} is gone")),
        ..NewLogRow::note(now, heir.clone(), destination.clone(), Operation::Skip, Outcome::Ok)
    })
}
