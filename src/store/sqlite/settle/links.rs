//! Settling's changes of links.

use rusqlite::{Connection, OptionalExtension, params};

use crate::domain::ids::{DestinationName, LeadKey, RecordId, RecordRef};
use crate::domain::job::Class;
use crate::domain::plan::{ConflictKind, Link};
use crate::domain::time::Timestamp;
use crate::store::sqlite::append;
use crate::store::sqlite::dirty::{self, Why};
use crate::store::stored::{left_out_to_json, pairs_to_json};
use crate::store::{LinkChange, NewLogRow, Operation, Outcome, Settlement, StoreResult};

/// Changes the link as it was planned; `false`: it moved meanwhile, or another lead owns the record, and nothing was
/// changed.
pub(super) fn change(db: &Connection, settlement: &Settlement) -> StoreResult<bool> {
    match &settlement.link {
        LinkChange::Keep => Ok(true),
        LinkChange::Put { link, planned_with } => put(db, settlement, link, *planned_with),
        LinkChange::Remove { planned_with } => remove(db, settlement, *planned_with),
        LinkChange::Release { planned_with } => release(db, settlement, *planned_with),
        LinkChange::Drop { record, planned_with } => drop_links(db, settlement, record, *planned_with),
        LinkChange::PutAndRelease { link, planned_with } => Ok(put(db, settlement, link, *planned_with)?
            && release(db, settlement, planned_with.map_or(1, |revision| revision + 1))?),
    }
}

fn put(db: &Connection, settlement: &Settlement, link: &Link, planned_with: Option<i64>) -> StoreResult<bool> {
    match planned_with {
        None => insert(db, settlement, link),
        Some(revision) => update(db, settlement, link, revision),
    }
}

fn insert(db: &Connection, settlement: &Settlement, link: &Link) -> StoreResult<bool> {
    let insert = || insert_new(db, &settlement.destination, &settlement.lead, link, settlement.now);
    Ok(insert()? || (take_from_deleted(db, settlement, link, 0)? && insert()?))
}

/// Inserts a lead's first link, at revision 1; `false`: a link was made meanwhile, or another lead owns the record.
pub(in crate::store::sqlite) fn insert_new(
    db: &Connection,
    destination: &DestinationName,
    lead: &LeadKey,
    link: &Link,
    now: Timestamp,
) -> StoreResult<bool> {
    let inserted = db
        .prepare_cached(
            "INSERT INTO links (destination, source, lead_id, object, record_id, matched_by, owner, bases, kept,
                                fingerprint, left_out, in_doubt, revision, linked_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, 1, ?13)
             ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            destination.as_str(),
            lead.source.as_str(),
            lead.id.as_str(),
            link.record.object.as_str(),
            link.record.id.as_str(),
            link.matched_by.as_str(),
            link.owner,
            pairs_to_json(&link.bases),
            pairs_to_json(&link.kept),
            link.fingerprint,
            left_out_to_json(&link.left_out),
            in_doubt(link),
            now.as_micros(),
        ])?;
    Ok(inserted == 1)
}

fn update(db: &Connection, settlement: &Settlement, link: &Link, revision: i64) -> StoreResult<bool> {
    let mut update = db.prepare_cached(
        "UPDATE OR IGNORE links SET object = ?5, record_id = ?6, matched_by = ?7, owner = ?8, bases = ?9, kept = ?10,
                                    fingerprint = ?11, left_out = ?12, in_doubt = ?13, revision = revision + 1
          WHERE destination = ?1 AND source = ?2 AND lead_id = ?3 AND revision = ?4",
    )?;
    let link_values = params![
        settlement.destination.as_str(),
        settlement.lead.source.as_str(),
        settlement.lead.id.as_str(),
        revision,
        link.record.object.as_str(),
        link.record.id.as_str(),
        link.matched_by.as_str(),
        link.owner,
        pairs_to_json(&link.bases),
        pairs_to_json(&link.kept),
        link.fingerprint,
        left_out_to_json(&link.left_out),
        in_doubt(link),
    ];
    if update.execute(link_values)? == 1 {
        return Ok(true);
    }
    Ok(take_from_deleted(db, settlement, link, revision)? && update.execute(link_values)? == 1)
}

fn in_doubt(link: &Link) -> Option<&str> {
    link.in_doubt.as_ref().map(RecordId::as_str)
}

fn remove(db: &Connection, settlement: &Settlement, revision: i64) -> StoreResult<bool> {
    let (destination, lead) = (settlement.destination.as_str(), &settlement.lead);
    let removed = db
        .prepare_cached("DELETE FROM links WHERE destination = ?1 AND source = ?2 AND lead_id = ?3 AND revision = ?4")?
        .execute(params![destination, lead.source.as_str(), lead.id.as_str(), revision])?;
    Ok(removed == 1)
}

/// Unlinks the lead that is gone and owns the record, so that this one can; `false`: that was not what stood in the way.
fn take_from_deleted(db: &Connection, settlement: &Settlement, link: &Link, revision: i64) -> StoreResult<bool> {
    if !link.owner {
        return Ok(false);
    }
    let (destination, lead) = (settlement.destination.as_str(), &settlement.lead);
    let taken = db
        .prepare_cached(
            "DELETE FROM links
              WHERE destination = ?1 AND record_id = ?4 AND owner = 1 AND (source, lead_id) <> (?2, ?3)
                AND EXISTS (SELECT 1 FROM leads d
                             WHERE d.source = links.source AND d.lead_id = links.lead_id AND (d.deleted = 1 OR d.excluded = 1))
                AND ?5 = coalesce((SELECT own.revision FROM links own
                                    WHERE own.destination = ?1 AND own.source = ?2 AND own.lead_id = ?3), 0)",
        )?
        .execute(params![destination, lead.source.as_str(), lead.id.as_str(), link.record.id.as_str(), revision])?;
    Ok(taken == 1)
}

/// Unlinks the lead and hands its record to its heir. Without one it stays linked: whoever comes next finds
/// whose the record was.
fn release(db: &Connection, settlement: &Settlement, revision: i64) -> StoreResult<bool> {
    let (destination, lead) = (settlement.destination.as_str(), &settlement.lead);
    let record: Option<RecordRef> = db
        .prepare_cached(
            "SELECT object, record_id FROM links
              WHERE destination = ?1 AND source = ?2 AND lead_id = ?3 AND revision = ?4 AND owner = 1",
        )?
        .query_row(params![destination, lead.source.as_str(), lead.id.as_str(), revision], |row| {
            let (object, id): (String, String) = (row.get(0)?, row.get(1)?);
            Ok(RecordRef { object: object.as_str().into(), id: id.as_str().into() })
        })
        .optional()?;
    let Some(record) = record else { return Ok(false) };
    let parting = Parting { destination: &settlement.destination, lead, now: settlement.now };
    if let Some(heir) = find_heir(db, &settlement.destination, &record)? {
        unlink(db, &settlement.destination, lead)?;
        hand_over(db, &parting, record, &heir)?;
    }
    Ok(true)
}

/// Unlinks every lead that is gone from a record that is, too.
fn drop_links(
    db: &Connection,
    settlement: &Settlement,
    record: &RecordRef,
    planned_with: Option<i64>,
) -> StoreResult<bool> {
    let (destination, lead) = (settlement.destination.as_str(), &settlement.lead);
    if let Some(revision) = planned_with {
        let own = db
            .prepare_cached(
                "DELETE FROM links WHERE destination = ?1 AND source = ?2 AND lead_id = ?3 AND revision = ?4",
            )?
            .execute(params![destination, lead.source.as_str(), lead.id.as_str(), revision])?;
        if own == 0 {
            return Ok(false);
        }
    }
    db.prepare_cached(
        "DELETE FROM links WHERE destination = ?1 AND record_id = ?2
            AND EXISTS (SELECT 1 FROM leads d WHERE d.source = links.source AND d.lead_id = links.lead_id
                                                AND (d.deleted = 1 OR d.excluded = 1))",
    )?
    .execute(params![destination, record.id.as_str()])?;
    Ok(true)
}

/// A lead that is gone, and where.
pub(in crate::store::sqlite) struct Parting<'a> {
    pub destination: &'a DestinationName,
    pub lead: &'a LeadKey,
    pub now: Timestamp,
}

/// The oldest living sharer of a record, of those who are surely that person.
pub(in crate::store::sqlite) fn find_heir(
    db: &Connection,
    destination: &DestinationName,
    record: &RecordRef,
) -> StoreResult<Option<LeadKey>> {
    let heir = db
        .prepare_cached(
            "SELECT l.source, l.lead_id FROM links l JOIN leads d ON d.source = l.source AND d.lead_id = l.lead_id
              WHERE l.destination = ?1 AND l.record_id = ?2 AND l.owner = 0 AND l.in_doubt IS NULL
                AND d.deleted = 0 AND d.excluded = 0
              ORDER BY l.linked_at, l.source, l.lead_id LIMIT 1",
        )?
        .query_row(params![destination.as_str(), record.id.as_str()], |row| {
            let (source, id): (String, String) = (row.get(0)?, row.get(1)?);
            Ok(LeadKey::new(source.as_str(), id.as_str()))
        })
        .optional()?;
    Ok(heir)
}

/// Has the deleted lead that owns a record looked at again: for one that may have been the same person its record was kept,
/// and that one is it no longer.
pub(in crate::store::sqlite) fn owe_deleted_owner(
    db: &Connection,
    destination: &DestinationName,
    record: &RecordRef,
    now: Timestamp,
) -> StoreResult<()> {
    let owner = db
        .prepare_cached(
            "SELECT l.source, l.lead_id FROM links l JOIN leads d ON d.source = l.source AND d.lead_id = l.lead_id
              WHERE l.destination = ?1 AND l.record_id = ?2 AND l.owner = 1 AND d.deleted = 1",
        )?
        .query_row(params![destination.as_str(), record.id.as_str()], |row| {
            let (source, id): (String, String) = (row.get(0)?, row.get(1)?);
            Ok(LeadKey::new(source.as_str(), id.as_str()))
        })
        .optional()?;
    match owner {
        Some(owner) => dirty::touch(db, destination, &owner, Class::Live, now, Why::Asked),
        None => Ok(()),
    }
}

/// Deletes a lead's link.
pub(in crate::store::sqlite) fn unlink(
    db: &Connection,
    destination: &DestinationName,
    lead: &LeadKey,
) -> StoreResult<()> {
    db.prepare_cached("DELETE FROM links WHERE destination = ?1 AND source = ?2 AND lead_id = ?3")?
        .execute(params![destination.as_str(), lead.source.as_str(), lead.id.as_str()])?;
    Ok(())
}

/// Makes `heir` the record's owner, without a base: what the record holds came from the other lead. The empty fingerprint
/// says that its key is to replace the other's.
pub(in crate::store::sqlite) fn hand_over(
    db: &Connection,
    parting: &Parting<'_>,
    record: RecordRef,
    heir: &LeadKey,
) -> StoreResult<()> {
    let Parting { destination, lead, now } = *parting;
    let key = params![destination.as_str(), heir.source.as_str(), heir.id.as_str()];
    db.prepare_cached(
        "UPDATE links SET owner = 1, bases = '{}', kept = '{}', left_out = '{}', fingerprint = '', revision = revision + 1
          WHERE destination = ?1 AND source = ?2 AND lead_id = ?3",
    )?
    .execute(key)?;
    db.prepare_cached(
        "UPDATE conflicts SET state = 'moot', revision = revision + 1, updated_at = ?5, closed_at = ?5
          WHERE destination = ?1 AND source = ?2 AND lead_id = ?3 AND kind = ?4 AND state = 'open'",
    )?
    .execute(params![
        destination.as_str(),
        heir.source.as_str(),
        heir.id.as_str(),
        ConflictKind::SharedRecord.as_str(),
        now.as_micros(),
    ])?;
    dirty::touch(db, destination, heir, Class::Live, now, Why::News)?;
    let became_owner = NewLogRow {
        record: Some(record),
        error_code: Some("became_owner".to_owned()),
        error: Some(format!("owns the record from now on, since lead {lead} is gone")),
        ..NewLogRow::note(now, heir.clone(), destination.clone(), Operation::Skip, Outcome::Ok)
    };
    append::append(db, &became_owner)
}
