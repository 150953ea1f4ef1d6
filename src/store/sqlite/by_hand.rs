//! People's orders for single leads: links and exclusions.

use rusqlite::{Connection, OptionalExtension, params};

use super::SqliteStore;
use super::append;
use super::dirty::{self, Why};
use super::people::append_audit;
use super::settle::links::{Parting, find_heir, hand_over, insert_new, owe_deleted_owner, unlink};
use crate::domain::ids::{DestinationName, LeadKey, RecordRef};
use crate::domain::job::Class;
use crate::domain::lead::Lead;
use crate::domain::matching::MatchedBy;
use crate::domain::plan::{ConflictKind, Link};
use crate::domain::time::Timestamp;
use crate::store::by_hand::{EXCLUDED, LINKED_BY_HAND, UNLINKED_BY_HAND, unlinked_answer, unlinked_question};
use crate::store::stored::{answer_from_json, answer_to_json, question_from_json, question_to_json};
use crate::store::{AuditEntry, Exclusion, LinkOrder, Ordered, StoreResult};

/// A link as it stands.
struct Known {
    record: RecordRef,
    owner: bool,
    revision: i64,
}

pub(super) async fn order_link(store: &SqliteStore, order: &LinkOrder) -> StoreResult<Ordered> {
    let order = order.clone();
    let ordered = store.writer.run(move |db| change(db, &order)).await?;
    store.wake_workers();
    Ok(ordered)
}

fn change(db: &Connection, order: &LinkOrder) -> StoreResult<Ordered> {
    let LinkOrder { destination, lead, now, .. } = order;
    let known = find(db, destination, lead)?;
    if order.revision.is_some_and(|seen| known.as_ref().map(|known| known.revision) != Some(seen)) {
        return Ok(Ordered::Changed);
    }
    let parting = Parting { destination, lead, now: *now };
    match (&order.record, known) {
        (None, None) => return Ok(Ordered::NotLinked),
        (None, Some(known)) => {
            let_go(db, &parting, &known)?;
            keep_apart(db, order, &known.record)?;
        }
        (Some(record), Some(known)) if known.owner && known.record == *record => {}
        (Some(record), known) => {
            if let Some(owner) = clear_the_way(db, destination, lead, record)? {
                return Ok(Ordered::OwnedBy(owner));
            }
            if let Some(known) = known {
                let_go(db, &parting, &known)?;
            }
            insert_new(db, destination, lead, &Link::to(record.clone(), MatchedBy::Link), *now)?;
        }
    }
    let why = if order.record.is_some() { LINKED_BY_HAND } else { UNLINKED_BY_HAND };
    close_conflicts(db, Some(destination), lead, *now, why)?;
    dirty::touch(db, destination, lead, Class::Live, *now, Why::Forced)?;
    set_lane(db, destination, lead)?;
    order.log.iter().try_for_each(|row| append::append(db, row))?;
    append_audit(db, &AuditEntry::of_link(order))?;
    Ok(Ordered::Done)
}

fn find(db: &Connection, destination: &DestinationName, lead: &LeadKey) -> StoreResult<Option<Known>> {
    let known = db
        .prepare_cached(
            "SELECT object, record_id, owner, revision FROM links
              WHERE destination = ?1 AND source = ?2 AND lead_id = ?3",
        )?
        .query_row(params![destination.as_str(), lead.source.as_str(), lead.id.as_str()], |row| {
            let (object, id): (String, String) = (row.get(0)?, row.get(1)?);
            let record = RecordRef { object: object.as_str().into(), id: id.as_str().into() };
            Ok(Known { record, owner: row.get(2)?, revision: row.get(3)? })
        })
        .optional()?;
    Ok(known)
}

/// Unlinks the lead; what it owned goes to the oldest living sharer.
fn let_go(db: &Connection, parting: &Parting<'_>, known: &Known) -> StoreResult<()> {
    unlink(db, parting.destination, parting.lead)?;
    if !known.owner {
        return owe_deleted_owner(db, parting.destination, &known.record, parting.now);
    }
    if let Some(heir) = find_heir(db, parting.destination, &known.record)? {
        hand_over(db, parting, known.record.clone(), &heir)?;
    }
    Ok(())
}

/// Takes the record from another lead that is gone; the living one that owns it stands in the way.
fn clear_the_way(
    db: &Connection,
    destination: &DestinationName,
    lead: &LeadKey,
    record: &RecordRef,
) -> StoreResult<Option<LeadKey>> {
    let owner: Option<(String, String, bool)> = db
        .prepare_cached(
            "SELECT l.source, l.lead_id,
                    EXISTS (SELECT 1 FROM leads d WHERE d.source = l.source AND d.lead_id = l.lead_id
                                                    AND (d.deleted = 1 OR d.excluded = 1))
               FROM links l WHERE l.destination = ?1 AND l.record_id = ?2 AND l.owner = 1",
        )?
        .query_row(params![destination.as_str(), record.id.as_str()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((source, id, gone)) = owner else { return Ok(None) };
    let owner = LeadKey::new(source.as_str(), id.as_str());
    if owner == *lead {
        return Ok(None);
    }
    if !gone {
        return Ok(Some(owner));
    }
    unlink(db, destination, &owner)?;
    Ok(None)
}

/// Keeps in mind that the lead is not this record, as a person's answer does.
fn keep_apart(db: &Connection, order: &LinkOrder, record: &RecordRef) -> StoreResult<()> {
    let LinkOrder { destination, lead, now, .. } = order;
    let kind = ConflictKind::SharedRecord;
    let before: Option<(String, Option<String>)> = db
        .prepare_cached(
            "SELECT question, answer FROM conflicts
              WHERE source = ?2 AND lead_id = ?3 AND destination = ?1 AND kind = ?4 AND state = 'resolved'
              ORDER BY id DESC LIMIT 1",
        )?
        .query_row(params![destination.as_str(), lead.source.as_str(), lead.id.as_str(), kind.as_str()], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    let before = before.and_then(|(question, answer)| {
        Some((question_from_json(kind, None, &question).ok()?, answer_from_json(&answer?).ok()?))
    });
    let question = unlinked_question(record, before.as_ref().map(|(question, answer)| (question, answer)));
    db.prepare_cached(
        "INSERT INTO conflicts (destination, source, lead_id, kind, field, state, revision, question, answer, opened_at,
                                updated_at, closed_at)
         VALUES (?1, ?2, ?3, ?4, '', 'resolved', 1, ?5, ?6, ?7, ?7, ?7)",
    )?
    .execute(params![
        destination.as_str(),
        lead.source.as_str(),
        lead.id.as_str(),
        kind.as_str(),
        question_to_json(&question),
        answer_to_json(&unlinked_answer(order)),
        now.as_micros(),
    ])?;
    Ok(())
}

/// Closes the lead's open conflicts, everywhere or with one destination.
fn close_conflicts(
    db: &Connection,
    destination: Option<&DestinationName>,
    lead: &LeadKey,
    now: Timestamp,
    why: &str,
) -> StoreResult<()> {
    db.prepare_cached(
        "UPDATE conflicts SET state = 'moot', revision = revision + 1, updated_at = ?4, closed_at = ?4, closed_why = ?5
          WHERE source = ?2 AND lead_id = ?3 AND state = 'open' AND (?1 IS NULL OR destination = ?1)",
    )?
    .execute(params![
        destination.map(DestinationName::as_str),
        lead.source.as_str(),
        lead.id.as_str(),
        now.as_micros(),
        why,
    ])?;
    Ok(())
}

/// Where the lead's link changed, its job may belong to the other lane.
fn set_lane(db: &Connection, destination: &DestinationName, lead: &LeadKey) -> StoreResult<()> {
    db.prepare_cached(
        "UPDATE jobs SET lane = EXISTS (SELECT 1 FROM links WHERE destination = ?1 AND source = ?2 AND lead_id = ?3)
          WHERE destination = ?1 AND source = ?2 AND lead_id = ?3",
    )?
    .execute(params![destination.as_str(), lead.source.as_str(), lead.id.as_str()])?;
    Ok(())
}

pub(super) async fn set_excluded(store: &SqliteStore, exclusion: &Exclusion) -> StoreResult<bool> {
    let exclusion = exclusion.clone();
    let changed = store.writer.run(move |db| set(db, &exclusion)).await?;
    store.wake_workers();
    Ok(changed)
}

fn set(db: &Connection, exclusion: &Exclusion) -> StoreResult<bool> {
    let Exclusion { lead, excluded, destinations, now, .. } = exclusion;
    let key = params![lead.source.as_str(), lead.id.as_str()];
    let known = db
        .prepare_cached(
            "SELECT 1 FROM events WHERE source = ?1 AND lead_id = ?2 UNION ALL
             SELECT 1 FROM leads WHERE source = ?1 AND lead_id = ?2 LIMIT 1",
        )?
        .exists(key)?;
    if !known {
        return Ok(false);
    }
    // One of which nothing is folded yet has no row.
    db.prepare_cached(
        "INSERT INTO leads (source, lead_id, revision, document, deleted, updated_at) VALUES (?1, ?2, 1, ?3, 0, ?4)
         ON CONFLICT DO NOTHING",
    )?
    .execute(params![
        lead.source.as_str(),
        lead.id.as_str(),
        Lead::new(lead.clone()).to_json(),
        now.as_micros()
    ])?;
    let changed = db
        .prepare_cached(
            "UPDATE leads SET excluded = ?3, revision = revision + 1
              WHERE source = ?1 AND lead_id = ?2 AND excluded <> ?3",
        )?
        .execute(params![lead.source.as_str(), lead.id.as_str(), excluded])?;
    if changed == 0 {
        return Ok(false);
    }
    append_audit(db, &AuditEntry::of_exclusion(exclusion))?;
    if !excluded {
        for destination in destinations {
            dirty::touch(db, destination, lead, Class::Live, *now, Why::Forced)?;
        }
        return Ok(true);
    }
    let mut names = db.prepare_cached("SELECT DISTINCT destination FROM job_counts ORDER BY destination")?;
    let names: Vec<String> = names.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for destination in names.into_iter().map(DestinationName::new) {
        leave(db, &Parting { destination: &destination, lead, now: *now })?;
    }
    close_conflicts(db, None, lead, *now, EXCLUDED)?;
    Ok(true)
}

/// Drops what an excluded lead owes a destination and hands on what it owned there; without an heir it keeps its record until
/// another lead takes it. What is in hand is looked at once more, and dropped then.
fn leave(db: &Connection, parting: &Parting<'_>) -> StoreResult<()> {
    let Parting { destination, lead, .. } = parting;
    match find(db, destination, lead)? {
        Some(known) if known.owner => match find_heir(db, destination, &known.record)? {
            Some(heir) => {
                unlink(db, destination, lead)?;
                hand_over(db, parting, known.record, &heir)?;
            }
            // Whoever planned with it as it was plans again.
            None => {
                db.prepare_cached(
                    "UPDATE links SET revision = revision + 1 WHERE destination = ?1 AND source = ?2 AND lead_id = ?3",
                )?
                .execute(params![destination.as_str(), lead.source.as_str(), lead.id.as_str()])?;
            }
        },
        Some(known) => owe_deleted_owner(db, destination, &known.record, parting.now)?,
        None => {}
    }
    let key = params![destination.as_str(), lead.source.as_str(), lead.id.as_str()];
    db.prepare_cached(
        "DELETE FROM jobs WHERE destination = ?1 AND source = ?2 AND lead_id = ?3 AND lease_token IS NULL",
    )?
    .execute(key)?;
    db.prepare_cached("UPDATE jobs SET wanted = wanted + 1 WHERE destination = ?1 AND source = ?2 AND lead_id = ?3")?
        .execute(key)?;
    Ok(())
}
