//! People's orders for single leads: links and exclusions.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgConnection;

use super::PostgresStore;
use super::append::append_decided;
use super::dirty::{self, Why};
use super::people::append_audit;
use super::rows::cannot_be;
use super::settle::heirs::{Besides, Parting, find_deleted_owner, find_heir, hand_over, unlink};
use super::settle::links::{NewLink, insert_all};
use super::time::Time;
use crate::domain::ids::{DestinationName, LeadKey, RecordRef};
use crate::domain::job::Class;
use crate::domain::lead::Lead;
use crate::domain::matching::MatchedBy;
use crate::domain::plan::{ConflictKind, Link};
use crate::domain::time::Timestamp;
use crate::store::by_hand::{EXCLUDED, LINKED_BY_HAND, UNLINKED_BY_HAND, unlinked_answer, unlinked_question};
use crate::store::decided::Decided;
use crate::store::stored::{answer_from_json, answer_to_json, question_from_json, question_to_json};
use crate::store::{AuditEntry, Exclusion, LinkOrder, NewLogRow, Ordered, StoreError, StoreResult};

/// How often the heirs of records may turn out to be others than were locked.
pub(super) const HEIRS: usize = 5;

/// A link as it stands.
struct Known {
    record: RecordRef,
    owner: bool,
    revision: i64,
}

pub(super) async fn order_link(store: &PostgresStore, order: &LinkOrder) -> StoreResult<Ordered> {
    if cannot_be(order.lead.id.as_str()) || order.record.as_ref().is_some_and(|record| cannot_be(record.id.as_str())) {
        return Ok(Ordered::NotLinked);
    }
    let mut besides: Option<Besides> = None;
    for _ in 0..HEIRS {
        let mut tx = store.pool.begin().await?;
        // The jobs first, in key order, as settling locks them.
        let owed = besides.iter().map(|(lead, why)| (lead, *why)).chain([(&order.lead, Why::Forced)]).collect();
        dirty::touch_each(&mut tx, &order.destination, owed, order.now).await?;
        let (ordered, found) = change(&mut tx, order, besides.as_ref()).await?;
        if ordered != Ordered::Done {
            tx.rollback().await?;
            return Ok(ordered);
        }
        if found == besides {
            tx.commit().await?;
            store.wake_workers();
            return Ok(ordered);
        }
        tx.rollback().await?;
        besides = found;
    }
    Err(StoreError::Unavailable("the heirs of a record keep changing".to_owned()))
}

/// Carries the order out; answers who is owed besides. If that is not `expected`, the transaction has to be taken back.
async fn change(
    db: &mut PgConnection,
    order: &LinkOrder,
    expected: Option<&Besides>,
) -> StoreResult<(Ordered, Option<Besides>)> {
    let LinkOrder { destination, lead, now, .. } = order;
    let known = find(db, destination, lead).await?;
    if order.revision.is_some_and(|seen| known.as_ref().map(|known| known.revision) != Some(seen)) {
        return Ok((Ordered::Changed, None));
    }
    let parting = Parting { destination, lead, now: *now };
    let mut log = order.log.clone();
    let mut besides = None;
    match (&order.record, known) {
        (None, None) => return Ok((Ordered::NotLinked, None)),
        (None, Some(known)) => {
            besides = let_go(db, &parting, &known, expected, &mut log).await?;
            keep_apart(db, order, &known.record).await?;
        }
        (Some(record), Some(known)) if known.owner && known.record == *record => {}
        (Some(record), known) => {
            if let Some(owner) = clear_the_way(db, destination, lead, record).await? {
                return Ok((Ordered::OwnedBy(owner), None));
            }
            if let Some(known) = known {
                besides = let_go(db, &parting, &known, expected, &mut log).await?;
            }
            let link = Link::to(record.clone(), MatchedBy::Link);
            let new = NewLink { destination, lead, link: &link, now: *now };
            if insert_all(db, &[&new]).await? != [true] {
                // Another lead took the record meanwhile.
                let owner = clear_the_way(db, destination, lead, record).await?;
                return Ok((owner.map_or(Ordered::Changed, Ordered::OwnedBy), None));
            }
        }
    }
    let why = if order.record.is_some() { LINKED_BY_HAND } else { UNLINKED_BY_HAND };
    close_conflicts(db, Some(destination), lead, *now, why).await?;
    set_lane(db, destination, lead).await?;
    append_all(db, &log).await?;
    append_audit(db, &AuditEntry::of_link(order)).await?;
    Ok((Ordered::Done, besides))
}

pub(super) async fn append_all(db: &mut PgConnection, log: &[NewLogRow]) -> StoreResult<()> {
    let rows: Vec<(&NewLogRow, Decided)> = log.iter().map(|row| (row, Decided::of(row))).collect();
    append_decided(db, &rows.iter().map(|(row, decided)| (*row, decided)).collect::<Vec<_>>()).await
}

async fn find(db: &mut PgConnection, destination: &DestinationName, lead: &LeadKey) -> StoreResult<Option<Known>> {
    let known: Option<(String, String, bool, i64)> = sqlx::query_as(
        "SELECT object, record_id, owner, revision FROM links
          WHERE destination = $1 AND source = $2 AND lead_id = $3 FOR UPDATE",
    )
    .bind(destination.as_str())
    .bind(lead.source.as_str())
    .bind(lead.id.as_str())
    .fetch_optional(db)
    .await?;
    Ok(known.map(|(object, id, owner, revision)| Known {
        record: RecordRef { object: object.as_str().into(), id: id.as_str().into() },
        owner,
        revision,
    }))
}

/// Unlinks the lead; what it owned goes to the oldest living sharer, if that is who was expected. Answers who is owed
/// besides: that one, or the deleted owner of a record that it was not sure to share.
async fn let_go(
    db: &mut PgConnection,
    parting: &Parting<'_>,
    known: &Known,
    expected: Option<&Besides>,
    log: &mut Vec<NewLogRow>,
) -> StoreResult<Option<Besides>> {
    unlink(db, parting.destination, parting.lead).await?;
    if !known.owner {
        let owner = find_deleted_owner(db, parting.destination, &known.record).await?;
        return Ok(owner.map(|owner| (owner, Why::Asked)));
    }
    let heir = find_heir(db, parting.destination, &known.record).await?.map(|heir| (heir, Why::News));
    if let Some(besides @ (heir, _)) = &heir
        && expected == Some(besides)
    {
        log.push(hand_over(db, parting, known.record.clone(), heir).await?);
    }
    Ok(heir)
}

/// Takes the record from another lead that is gone; the living one that owns it stands in the way.
async fn clear_the_way(
    db: &mut PgConnection,
    destination: &DestinationName,
    lead: &LeadKey,
    record: &RecordRef,
) -> StoreResult<Option<LeadKey>> {
    let owner: Option<(String, String, bool)> = sqlx::query_as(
        "SELECT l.source, l.lead_id,
                EXISTS (SELECT 1 FROM leads d WHERE d.source = l.source AND d.lead_id = l.lead_id
                                                AND (d.deleted OR d.excluded))
           FROM links l WHERE l.destination = $1 AND l.record_id = $2 AND l.owner",
    )
    .bind(destination.as_str())
    .bind(record.id.as_str())
    .fetch_optional(&mut *db)
    .await?;
    let Some((source, id, gone)) = owner else { return Ok(None) };
    let owner = LeadKey::new(source.as_str(), id.as_str());
    if owner == *lead {
        return Ok(None);
    }
    if !gone {
        return Ok(Some(owner));
    }
    unlink(db, destination, &owner).await?;
    Ok(None)
}

/// Keeps in mind that the lead is not this record, as a person's answer does.
async fn keep_apart(db: &mut PgConnection, order: &LinkOrder, record: &RecordRef) -> StoreResult<()> {
    let LinkOrder { destination, lead, now, .. } = order;
    let kind = ConflictKind::SharedRecord;
    let before: Option<(String, Option<String>)> = sqlx::query_as(
        "SELECT question::text, answer::text FROM conflicts
          WHERE source = $2 AND lead_id = $3 AND destination = $1 AND kind = $4 AND state = 'resolved'
          ORDER BY id DESC LIMIT 1",
    )
    .bind(destination.as_str())
    .bind(lead.source.as_str())
    .bind(lead.id.as_str())
    .bind(kind.as_str())
    .fetch_optional(&mut *db)
    .await?;
    let before = before.and_then(|(question, answer)| {
        Some((question_from_json(kind, None, &question).ok()?, answer_from_json(&answer?).ok()?))
    });
    let question = unlinked_question(record, before.as_ref().map(|(question, answer)| (question, answer)));
    sqlx::query(
        "INSERT INTO conflicts (destination, source, lead_id, kind, field, state, revision, question, answer, opened_at,
                                updated_at, closed_at)
         VALUES ($1, $2, $3, $4, '', 'resolved', 1, $5::json, $6::json, $7, $7, $7)",
    )
    .bind(destination.as_str())
    .bind(lead.source.as_str())
    .bind(lead.id.as_str())
    .bind(kind.as_str())
    .bind(question_to_json(&question))
    .bind(answer_to_json(&unlinked_answer(order)))
    .bind(Time(*now))
    .execute(db)
    .await?;
    Ok(())
}

/// Closes the lead's open conflicts, everywhere or with one destination.
async fn close_conflicts(
    db: &mut PgConnection,
    destination: Option<&DestinationName>,
    lead: &LeadKey,
    now: Timestamp,
    why: &str,
) -> StoreResult<()> {
    sqlx::query(
        "UPDATE conflicts SET state = 'moot', revision = revision + 1, updated_at = $4, closed_at = $4, closed_why = $5
          WHERE source = $2 AND lead_id = $3 AND state = 'open' AND ($1::text IS NULL OR destination = $1)",
    )
    .bind(destination.map(DestinationName::as_str))
    .bind(lead.source.as_str())
    .bind(lead.id.as_str())
    .bind(Time(now))
    .bind(why)
    .execute(db)
    .await?;
    Ok(())
}

/// Where the lead's link changed, its job may belong to the other lane.
async fn set_lane(db: &mut PgConnection, destination: &DestinationName, lead: &LeadKey) -> StoreResult<()> {
    sqlx::query(
        "UPDATE jobs j SET lane = CASE WHEN EXISTS (SELECT 1 FROM links l
                                                     WHERE l.destination = $1 AND l.source = $2 AND l.lead_id = $3)
                                       THEN 1 ELSE 0 END
          WHERE j.destination = $1 AND j.source = $2 AND j.lead_id = $3",
    )
    .bind(destination.as_str())
    .bind(lead.source.as_str())
    .bind(lead.id.as_str())
    .execute(db)
    .await?;
    Ok(())
}

/// Every destination that a lead of these may owe something or be linked in.
pub(super) const DESTINATIONS: &str = "WITH RECURSIVE names (destination) AS (
        SELECT min(destination) FROM links
         UNION ALL
        SELECT (SELECT min(destination) FROM links WHERE destination > names.destination)
          FROM names WHERE names.destination IS NOT NULL)
    SELECT destination FROM names WHERE destination IS NOT NULL
     UNION SELECT destination FROM job_counts UNION SELECT destination FROM job_count_changes";

pub(super) async fn set_excluded(store: &PostgresStore, exclusion: &Exclusion) -> StoreResult<bool> {
    if cannot_be(exclusion.lead.id.as_str()) {
        return Ok(false);
    }
    let mut besides: BTreeMap<DestinationName, Besides> = BTreeMap::new();
    for _ in 0..HEIRS {
        let mut tx = store.pool.begin().await?;
        // The lead before the jobs, as replaying takes them.
        if !mark(&mut tx, exclusion).await? {
            tx.rollback().await?;
            return Ok(false);
        }
        append_audit(&mut tx, &AuditEntry::of_exclusion(exclusion)).await?;
        let found = if exclusion.excluded {
            leave(&mut tx, exclusion, &besides).await?
        } else {
            owe(&mut tx, exclusion).await?;
            BTreeMap::new()
        };
        if found == besides {
            tx.commit().await?;
            store.wake_workers();
            return Ok(true);
        }
        tx.rollback().await?;
        besides = found;
    }
    Err(StoreError::Unavailable("the heirs of a record keep changing".to_owned()))
}

/// `false`: nothing is known of the lead, or it was so already.
async fn mark(db: &mut PgConnection, exclusion: &Exclusion) -> StoreResult<bool> {
    let Exclusion { lead, excluded, now, .. } = exclusion;
    // One of which nothing is folded yet has no row.
    sqlx::query(
        "INSERT INTO leads (source, lead_id, revision, document, deleted, updated_at)
         SELECT $1, $2, 1, $3::json, false, $4
          WHERE EXISTS (SELECT 1 FROM events WHERE source = $1 AND lead_id = $2)
         ON CONFLICT DO NOTHING",
    )
    .bind(lead.source.as_str())
    .bind(lead.id.as_str())
    .bind(Lead::new(lead.clone()).to_json())
    .bind(Time(*now))
    .execute(&mut *db)
    .await?;
    let changed = sqlx::query(
        "UPDATE leads SET excluded = $3, revision = revision + 1 WHERE source = $1 AND lead_id = $2 AND excluded <> $3",
    )
    .bind(lead.source.as_str())
    .bind(lead.id.as_str())
    .bind(*excluded)
    .execute(db)
    .await?;
    Ok(changed.rows_affected() == 1)
}

async fn owe(db: &mut PgConnection, exclusion: &Exclusion) -> StoreResult<()> {
    let mut destinations: Vec<&DestinationName> = exclusion.destinations.iter().collect();
    destinations.sort();
    for destination in destinations {
        dirty::touch(db, destination, &exclusion.lead, Class::Live, exclusion.now, Why::Forced).await?;
    }
    Ok(())
}

/// Drops what an excluded lead owes and hands on what it owned; answers who is owed besides. Without an heir it keeps its
/// record until another lead takes it. What is in hand is looked at once more, and dropped then.
async fn leave(
    db: &mut PgConnection,
    exclusion: &Exclusion,
    expected: &BTreeMap<DestinationName, Besides>,
) -> StoreResult<BTreeMap<DestinationName, Besides>> {
    let (lead, now) = (&exclusion.lead, exclusion.now);
    let names: Vec<String> = sqlx::query_scalar(DESTINATIONS).fetch_all(&mut *db).await?;
    let names: BTreeSet<DestinationName> = names.into_iter().map(DestinationName::new).collect();
    for destination in &names {
        let besides = expected.get(destination).map(|(lead, why)| (lead, *why));
        let owed = besides.into_iter().chain([(lead, Why::News)]).collect();
        dirty::touch_each(db, destination, owed, now).await?;
    }
    let (mut besides, mut log) = (BTreeMap::new(), Vec::new());
    for destination in &names {
        let parting = Parting { destination, lead, now };
        let known = find(db, destination, lead).await?;
        if let Some(known) = known.as_ref().filter(|known| !known.owner) {
            let owner = find_deleted_owner(db, destination, &known.record).await?;
            besides.extend(owner.map(|owner| (destination.clone(), (owner, Why::Asked))));
        }
        if let Some(known) = known.filter(|known| known.owner) {
            match find_heir(db, destination, &known.record).await? {
                Some(heir) => {
                    let heir = (heir, Why::News);
                    if expected.get(destination) == Some(&heir) {
                        unlink(db, destination, lead).await?;
                        log.push(hand_over(db, &parting, known.record, &heir.0).await?);
                    }
                    besides.insert(destination.clone(), heir);
                }
                // Whoever planned with it as it was plans again.
                None => {
                    sqlx::query(
                        "UPDATE links SET revision = revision + 1 WHERE destination = $1 AND source = $2 AND lead_id = $3",
                    )
                    .bind(destination.as_str())
                    .bind(lead.source.as_str())
                    .bind(lead.id.as_str())
                    .execute(&mut *db)
                    .await?;
                }
            }
        }
        sqlx::query("DELETE FROM jobs WHERE destination = $1 AND source = $2 AND lead_id = $3 AND lease_token IS NULL")
            .bind(destination.as_str())
            .bind(lead.source.as_str())
            .bind(lead.id.as_str())
            .execute(&mut *db)
            .await?;
    }
    close_conflicts(db, None, lead, now, EXCLUDED).await?;
    append_all(db, &log).await?;
    Ok(besides)
}
