//! Settling's changes of links. Whoever changes a lead's link has its job locked, but for the link that a deleted lead loses.

use std::collections::{HashMap, HashSet};

use sqlx::{Connection, PgConnection};

use super::heirs::{Parting, find_heir, hand_over, unlink};
use crate::domain::ids::{DestinationName, LeadKey, RecordId, RecordRef};
use crate::domain::plan::Link;
use crate::domain::time::Timestamp;
use crate::store::postgres::keys::JobKeys;
use crate::store::postgres::time::Time;
use crate::store::stored::{left_out_to_json, pairs_to_json};
use crate::store::{LinkChange, NewLogRow, Settlement, StoreResult};

/// Another row has that key already.
const UNIQUE_VIOLATION: &str = "23505";

/// What became of a link.
#[derive(Default)]
pub(super) struct Change {
    /// `false`: it moved meanwhile, or another lead owns the record, and nothing was changed.
    pub linked: bool,
    /// Who inherits the record. Nothing was handed over where that is not who was expected.
    pub heir: Option<LeadKey>,
    /// What the log says of it.
    pub log: Option<NewLogRow>,
}

impl Change {
    fn linked(linked: bool) -> Self {
        Self { linked, ..Self::default() }
    }
}

/// A link that a lead is to have from `now` on.
pub(in crate::store::postgres) struct NewLink<'a> {
    pub destination: &'a DestinationName,
    pub lead: &'a LeadKey,
    pub link: &'a Link,
    pub now: Timestamp,
}

impl<'a> NewLink<'a> {
    fn of(settlement: &'a Settlement, link: &'a Link) -> Self {
        Self { destination: &settlement.destination, lead: &settlement.lead, link, now: settlement.now }
    }
}

/// The columns of links, as arrays.
struct Columns<'a> {
    keys: JobKeys<'a>,
    objects: Vec<&'a str>,
    records: Vec<&'a str>,
    matched_by: Vec<&'static str>,
    owner: Vec<bool>,
    bases: Vec<String>,
    kept: Vec<String>,
    left_out: Vec<String>,
    lacks: Vec<bool>,
    in_doubt: Vec<Option<&'a str>>,
    fingerprints: Vec<&'a str>,
}

impl<'a> Columns<'a> {
    fn of(new: &[&NewLink<'a>]) -> Self {
        Self {
            keys: new.iter().map(|new| (new.destination, new.lead)).collect(),
            objects: new.iter().map(|new| new.link.record.object.as_str()).collect(),
            records: new.iter().map(|new| new.link.record.id.as_str()).collect(),
            matched_by: new.iter().map(|new| new.link.matched_by.as_str()).collect(),
            owner: new.iter().map(|new| new.link.owner).collect(),
            bases: new.iter().map(|new| pairs_to_json(&new.link.bases)).collect(),
            kept: new.iter().map(|new| pairs_to_json(&new.link.kept)).collect(),
            left_out: new.iter().map(|new| left_out_to_json(&new.link.left_out)).collect(),
            lacks: new.iter().map(|new| !new.link.left_out.is_empty()).collect(),
            in_doubt: new.iter().map(|new| in_doubt(new.link)).collect(),
            fingerprints: new.iter().map(|new| new.link.fingerprint.as_str()).collect(),
        }
    }
}

/// Changes links as planned where that takes nothing but writing the row. `false`: nothing was changed, and the lead has to
/// be looked at alone. The leads and their records differ from each other.
pub(super) async fn put_all(db: &mut PgConnection, settlements: &[&Settlement]) -> StoreResult<Vec<bool>> {
    let mut linked = vec![true; settlements.len()];
    let (mut first, mut next) = (Vec::new(), Vec::new());
    for (nth, settlement) in settlements.iter().enumerate() {
        match &settlement.link {
            LinkChange::Keep => {}
            LinkChange::Put { link, planned_with: None } => first.push((nth, NewLink::of(settlement, link))),
            LinkChange::Put { link, planned_with: Some(revision) } => {
                next.push((nth, NewLink::of(settlement, link), *revision));
            }
            LinkChange::Remove { .. }
            | LinkChange::Release { .. }
            | LinkChange::PutAndRelease { .. }
            | LinkChange::Drop { .. } => {
                linked[nth] = false;
            }
        }
    }
    let inserted = insert_all(db, &first.iter().map(|(_, new)| new).collect::<Vec<_>>()).await?;
    for ((nth, _), inserted) in first.iter().zip(inserted) {
        linked[*nth] = inserted;
    }
    let updated = update_all(db, &next.iter().map(|(_, new, revision)| (new, *revision)).collect::<Vec<_>>()).await?;
    for ((nth, ..), updated) in next.iter().zip(updated) {
        linked[*nth] = updated;
    }
    Ok(linked)
}

/// Inserts leads' first links, at revision 1; `false`: a link was made meanwhile, or another lead owns the record. Of one
/// lead there is one.
pub(in crate::store::postgres) async fn insert_all(
    db: &mut PgConnection,
    new: &[&NewLink<'_>],
) -> StoreResult<Vec<bool>> {
    if new.is_empty() {
        return Ok(Vec::new());
    }
    // Two transactions that insert links of the same records wait for each other: in the order of these.
    let mut in_order = new.to_vec();
    in_order.sort_by_key(|new| (new.destination, &new.link.record.id));
    let columns = Columns::of(&in_order);
    let inserted: Vec<(String, String, String)> = sqlx::query_as(
        "INSERT INTO links (destination, source, lead_id, object, record_id, matched_by, owner, bases, kept, left_out,
                            lacks, in_doubt, fingerprint, revision, linked_at)
         SELECT destination, source, lead_id, object, record_id, matched_by, owner, bases::json, kept::json,
                left_out::json, lacks, in_doubt, fingerprint, 1, linked_at
           FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::boolean[],
                       $8::text[], $9::text[], $10::text[], $11::boolean[], $12::text[], $13::text[], $14::timestamptz[])
             AS u (destination, source, lead_id, object, record_id, matched_by, owner, bases, kept, left_out, lacks,
                   in_doubt, fingerprint, linked_at)
         ON CONFLICT DO NOTHING
         RETURNING destination, source, lead_id",
    )
    .bind(columns.keys.destinations)
    .bind(columns.keys.sources)
    .bind(columns.keys.leads)
    .bind(columns.objects)
    .bind(columns.records)
    .bind(columns.matched_by)
    .bind(columns.owner)
    .bind(columns.bases)
    .bind(columns.kept)
    .bind(columns.left_out)
    .bind(columns.lacks)
    .bind(columns.in_doubt)
    .bind(columns.fingerprints)
    .bind(in_order.iter().map(|new| Time(new.now)).collect::<Vec<_>>())
    .fetch_all(db)
    .await?;
    let inserted: HashSet<(&str, &str, &str)> =
        inserted.iter().map(|(destination, source, lead)| (&**destination, &**source, &**lead)).collect();
    let is_in = |new: &&NewLink<'_>| {
        inserted.contains(&(new.destination.as_str(), new.lead.source.as_str(), new.lead.id.as_str()))
    };
    Ok(new.iter().map(is_in).collect())
}

/// Updates links that are at their revision and stay with their record and owner.
async fn update_all(db: &mut PgConnection, new: &[(&NewLink<'_>, i64)]) -> StoreResult<Vec<bool>> {
    if new.is_empty() {
        return Ok(Vec::new());
    }
    let columns = Columns::of(&new.iter().map(|(new, _)| *new).collect::<Vec<_>>());
    let updated: Vec<i64> = sqlx::query_scalar(
        "UPDATE links l
            SET object = u.object, matched_by = u.matched_by, bases = u.bases::json, kept = u.kept::json,
                left_out = u.left_out::json, lacks = u.lacks, in_doubt = u.in_doubt, fingerprint = u.fingerprint,
                revision = l.revision + 1
           FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::boolean[],
                       $8::text[], $9::text[], $10::text[], $11::boolean[], $12::text[], $13::text[], $14::bigint[])
                WITH ORDINALITY
             AS u (destination, source, lead_id, object, record_id, matched_by, owner, bases, kept, left_out, lacks,
                   in_doubt, fingerprint, revision, n)
          WHERE l.destination = u.destination AND l.source = u.source AND l.lead_id = u.lead_id
            AND l.revision = u.revision AND l.record_id = u.record_id AND l.owner = u.owner
      RETURNING u.n",
    )
    .bind(columns.keys.destinations)
    .bind(columns.keys.sources)
    .bind(columns.keys.leads)
    .bind(columns.objects)
    .bind(columns.records)
    .bind(columns.matched_by)
    .bind(columns.owner)
    .bind(columns.bases)
    .bind(columns.kept)
    .bind(columns.left_out)
    .bind(columns.lacks)
    .bind(columns.in_doubt)
    .bind(columns.fingerprints)
    .bind(new.iter().map(|(_, revision)| *revision).collect::<Vec<_>>())
    .fetch_all(db)
    .await?;
    let updated: HashSet<i64> = updated.into_iter().collect();
    Ok((1..).take(new.len()).map(|nth| updated.contains(&nth)).collect())
}

/// Moves the bases of links that are at their revision; answers the revision from now on.
pub(in crate::store::postgres) async fn rebase_all(
    db: &mut PgConnection,
    new: &[(&NewLink<'_>, i64)],
) -> StoreResult<Vec<Option<i64>>> {
    if new.is_empty() {
        return Ok(Vec::new());
    }
    let keys: JobKeys = new.iter().map(|(new, _)| (new.destination, new.lead)).collect();
    let moved: Vec<(i64, i64)> = sqlx::query_as(
        "UPDATE links l SET bases = u.bases::json, revision = l.revision + 1
           FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[]) WITH ORDINALITY
             AS u (destination, source, lead_id, bases, revision, n)
          WHERE l.destination = u.destination AND l.source = u.source AND l.lead_id = u.lead_id
            AND l.revision = u.revision
      RETURNING u.n, l.revision",
    )
    .bind(keys.destinations)
    .bind(keys.sources)
    .bind(keys.leads)
    .bind(new.iter().map(|(new, _)| pairs_to_json(&new.link.bases)).collect::<Vec<_>>())
    .bind(new.iter().map(|(_, revision)| *revision).collect::<Vec<_>>())
    .fetch_all(db)
    .await?;
    let moved: HashMap<i64, i64> = moved.into_iter().collect();
    Ok((1..).take(new.len()).map(|nth| moved.get(&nth).copied()).collect())
}

/// Changes the link of one lead as it was planned. `heir`: whose job is locked, because it may inherit the record.
pub(super) async fn change(
    db: &mut PgConnection,
    settlement: &Settlement,
    heir: Option<&LeadKey>,
) -> StoreResult<Change> {
    match &settlement.link {
        LinkChange::Keep => Ok(Change::linked(true)),
        LinkChange::Put { link, planned_with } => Ok(Change::linked(put(db, settlement, link, *planned_with).await?)),
        LinkChange::Remove { planned_with } => Ok(Change::linked(remove(db, settlement, *planned_with).await?)),
        LinkChange::Release { planned_with } => release(db, settlement, *planned_with, heir).await,
        LinkChange::Drop { record, planned_with } => {
            Ok(Change::linked(drop_links(db, settlement, record, *planned_with).await?))
        }
        LinkChange::PutAndRelease { link, planned_with } => {
            if !put(db, settlement, link, *planned_with).await? {
                return Ok(Change::linked(false));
            }
            release(db, settlement, planned_with.map_or(1, |revision| revision + 1), heir).await
        }
    }
}

async fn put(
    db: &mut PgConnection,
    settlement: &Settlement,
    link: &Link,
    planned_with: Option<i64>,
) -> StoreResult<bool> {
    if try_to_put(db, settlement, link, planned_with).await? {
        return Ok(true);
    }
    Ok(take_from_deleted(db, settlement, link, planned_with.unwrap_or(0)).await?
        && try_to_put(db, settlement, link, planned_with).await?)
}

async fn try_to_put(
    db: &mut PgConnection,
    settlement: &Settlement,
    link: &Link,
    planned_with: Option<i64>,
) -> StoreResult<bool> {
    let new = NewLink::of(settlement, link);
    match planned_with {
        None => Ok(insert_all(db, &[&new]).await? == [true]),
        Some(revision) => update(db, &new, revision).await,
    }
}

async fn update(db: &mut PgConnection, new: &NewLink<'_>, revision: i64) -> StoreResult<bool> {
    // That another lead owns the record may turn out only when that lead's transaction commits.
    let mut attempt = db.begin().await?;
    let updated = sqlx::query(
        "UPDATE links SET object = $5, record_id = $6, matched_by = $7, owner = $8, bases = $9::json, kept = $10::json,
                          left_out = $11::json, lacks = $12, in_doubt = $13, fingerprint = $14,
                          revision = revision + 1
          WHERE destination = $1 AND source = $2 AND lead_id = $3 AND revision = $4",
    )
    .bind(new.destination.as_str())
    .bind(new.lead.source.as_str())
    .bind(new.lead.id.as_str())
    .bind(revision)
    .bind(new.link.record.object.as_str())
    .bind(new.link.record.id.as_str())
    .bind(new.link.matched_by.as_str())
    .bind(new.link.owner)
    .bind(pairs_to_json(&new.link.bases))
    .bind(pairs_to_json(&new.link.kept))
    .bind(left_out_to_json(&new.link.left_out))
    .bind(!new.link.left_out.is_empty())
    .bind(in_doubt(new.link))
    .bind(&new.link.fingerprint)
    .execute(&mut *attempt)
    .await;
    match updated {
        Ok(updated) => {
            attempt.commit().await?;
            Ok(updated.rows_affected() == 1)
        }
        Err(sqlx::Error::Database(said)) if said.code().as_deref() == Some(UNIQUE_VIOLATION) => {
            attempt.rollback().await?;
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

fn in_doubt(link: &Link) -> Option<&str> {
    link.in_doubt.as_ref().map(RecordId::as_str)
}

async fn remove(db: &mut PgConnection, settlement: &Settlement, revision: i64) -> StoreResult<bool> {
    let removed =
        sqlx::query("DELETE FROM links WHERE destination = $1 AND source = $2 AND lead_id = $3 AND revision = $4")
            .bind(settlement.destination.as_str())
            .bind(settlement.lead.source.as_str())
            .bind(settlement.lead.id.as_str())
            .bind(revision)
            .execute(db)
            .await?;
    Ok(removed.rows_affected() == 1)
}

/// Unlinks the lead that is gone and owns the record, so that this one can; `false`: that was not what stood in the way.
async fn take_from_deleted(
    db: &mut PgConnection,
    settlement: &Settlement,
    link: &Link,
    revision: i64,
) -> StoreResult<bool> {
    if !link.owner {
        return Ok(false);
    }
    let taken = sqlx::query(
        "DELETE FROM links l
          WHERE l.destination = $1 AND l.record_id = $4 AND l.owner AND (l.source, l.lead_id) <> ($2, $3)
            AND EXISTS (SELECT 1 FROM leads d WHERE d.source = l.source AND d.lead_id = l.lead_id AND (d.deleted OR d.excluded))
            AND $5 = coalesce((SELECT own.revision FROM links own
                                WHERE own.destination = $1 AND own.source = $2 AND own.lead_id = $3), 0)",
    )
    .bind(settlement.destination.as_str())
    .bind(settlement.lead.source.as_str())
    .bind(settlement.lead.id.as_str())
    .bind(link.record.id.as_str())
    .bind(revision)
    .execute(db)
    .await?;
    Ok(taken.rows_affected() == 1)
}

/// Unlinks the lead and hands its record to its heir. Without one it stays linked: whoever comes next finds
/// whose the record was.
async fn release(
    db: &mut PgConnection,
    settlement: &Settlement,
    revision: i64,
    expected: Option<&LeadKey>,
) -> StoreResult<Change> {
    let lead = &settlement.lead;
    // Locked, since another lead may be taking the record from this deleted one.
    let record: Option<(String, String)> = sqlx::query_as(
        "SELECT object, record_id FROM links
          WHERE destination = $1 AND source = $2 AND lead_id = $3 AND revision = $4 AND owner FOR UPDATE",
    )
    .bind(settlement.destination.as_str())
    .bind(lead.source.as_str())
    .bind(lead.id.as_str())
    .bind(revision)
    .fetch_optional(&mut *db)
    .await?;
    let Some((object, id)) = record else { return Ok(Change::linked(false)) };
    let record = RecordRef { object: object.as_str().into(), id: id.as_str().into() };
    let parting = Parting { destination: &settlement.destination, lead, now: settlement.now };
    let heir = find_heir(db, &settlement.destination, &record).await?;
    let mut log = None;
    if let Some(heir) = heir.as_ref().filter(|heir| Some(*heir) == expected) {
        unlink(db, &settlement.destination, lead).await?;
        log = Some(hand_over(db, &parting, record, heir).await?);
    }
    Ok(Change { linked: true, heir, log })
}

/// Unlinks every lead that is gone from a record that is, too.
async fn drop_links(
    db: &mut PgConnection,
    settlement: &Settlement,
    record: &RecordRef,
    planned_with: Option<i64>,
) -> StoreResult<bool> {
    let (destination, lead) = (settlement.destination.as_str(), &settlement.lead);
    if let Some(revision) = planned_with {
        let own =
            sqlx::query("DELETE FROM links WHERE destination = $1 AND source = $2 AND lead_id = $3 AND revision = $4")
                .bind(destination)
                .bind(lead.source.as_str())
                .bind(lead.id.as_str())
                .bind(revision)
                .execute(&mut *db)
                .await?;
        if own.rows_affected() == 0 {
            return Ok(false);
        }
    }
    sqlx::query(
        "DELETE FROM links l WHERE l.destination = $1 AND l.record_id = $2
            AND EXISTS (SELECT 1 FROM leads d WHERE d.source = l.source AND d.lead_id = l.lead_id
                                                AND (d.deleted OR d.excluded))",
    )
    .bind(destination)
    .bind(record.id.as_str())
    .execute(db)
    .await?;
    Ok(true)
}
