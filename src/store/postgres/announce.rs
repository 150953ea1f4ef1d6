//! Committing what is about to be written outside.

use std::collections::{BTreeSet, HashMap, VecDeque};

use sqlx::PgConnection;

use super::keys::JobKeys;
use super::settle::{jobs, links};
use super::time::Time;
use super::{PostgresStore, leases};
use crate::domain::ids::LeadKey;
use crate::domain::plan::Link;
use crate::store::stored::{decisions_to_json, pairs_to_json};
use crate::store::{Announced, AnnouncedWrite, Announcement, IntentId, StoreResult};

/// A write whose lease holds and whose keys are in hand, and which attempt it is of.
struct Held<'a> {
    write: &'a AnnouncedWrite,
    attempt: i32,
}

pub(super) async fn announce(
    store: &PostgresStore,
    announcement: &Announcement,
) -> StoreResult<Vec<Option<Announced>>> {
    let mut tx = store.pool.begin().await?;
    let held = renew(&mut tx, announcement).await?;
    let writes: Vec<&Held<'_>> = held.iter().flatten().collect();
    let linked = note_links(&mut tx, announcement, &writes).await?;
    let intents = insert_intents(&mut tx, announcement, &writes).await?;
    tx.commit().await?;
    let mut announced = intents.into_iter().zip(linked).map(|(intent, linked)| Announced { intent, linked });
    Ok(held.iter().map(|held| held.as_ref().and_then(|_| announced.next())).collect())
}

/// Renews the leases that still hold, of jobs and of keys. Whoever had a key meanwhile may have made the person a record, or
/// looked when this write was not announced yet.
async fn renew<'a>(db: &mut PgConnection, announcement: &'a Announcement) -> StoreResult<Vec<Option<Held<'a>>>> {
    let destination = &announcement.destination;
    let leads: BTreeSet<&LeadKey> = announcement.writes.iter().map(|write| &write.lead).collect();
    let locked = jobs::lock(db, leads.iter().map(|lead| (destination, *lead))).await?;
    let in_hand = leases::renew(db, announcement.token, announcement.lease_ends_at).await?;
    let lost_a_key =
        |write: &&AnnouncedWrite| !write.keys.iter().all(|key| in_hand.contains(&leases::name(destination, key)));
    let lost: BTreeSet<&LeadKey> = announcement.writes.iter().filter(lost_a_key).map(|write| &write.lead).collect();
    let attempts: HashMap<&LeadKey, i32> = leads
        .into_iter()
        .zip(locked)
        .filter_map(|(lead, job)| {
            let job = job.filter(|job| job.token == Some(announcement.token) && job.due_at > announcement.now)?;
            (!lost.contains(lead)).then_some((lead, job.attempt))
        })
        .collect();
    let renewed: JobKeys = attempts.keys().map(|lead| (destination, *lead)).collect();
    sqlx::query(
        "UPDATE jobs j SET due_at = $4
           FROM unnest($1::text[], $2::text[], $3::text[]) AS u (destination, source, lead_id)
          WHERE j.destination = u.destination AND j.source = u.source AND j.lead_id = u.lead_id",
    )
    .bind(renewed.destinations)
    .bind(renewed.sources)
    .bind(renewed.leads)
    .bind(Time(announcement.lease_ends_at))
    .execute(db)
    .await?;
    let held = announcement
        .writes
        .iter()
        .map(|write| attempts.get(&write.lead).map(|attempt| Held { write, attempt: *attempt }));
    Ok(held.collect())
}

/// Inserts one intent for each write; answers their numbers in the order given.
async fn insert_intents(
    db: &mut PgConnection,
    announcement: &Announcement,
    held: &[&Held<'_>],
) -> StoreResult<Vec<IntentId>> {
    if held.is_empty() {
        return Ok(Vec::new());
    }
    let keys: JobKeys = held.iter().map(|held| (&announcement.destination, &held.write.lead)).collect();
    let inserted: Vec<(IntentId, i64)> = sqlx::query_as(
        "WITH new AS (
             SELECT nextval(pg_get_serial_sequence('intents', 'id')) AS id, u.*
               FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                           $8::integer[]) WITH ORDINALITY
                 AS u (destination, source, lead_id, object, record_id, value_pairs, decisions, attempt, n)),
         kept AS (
             INSERT INTO intents (id, destination, source, lead_id, request_id, lease_token, object, record_id,
                                  value_pairs, decisions, attempt, announced_at, settled)
             SELECT id, destination, source, lead_id, $9, $10, object, record_id, value_pairs::json, decisions::json,
                    attempt, $11, 0
               FROM new)
         SELECT id, n FROM new ORDER BY n",
    )
    .bind(keys.destinations)
    .bind(keys.sources)
    .bind(keys.leads)
    .bind(held.iter().map(|held| held.write.object.as_str()).collect::<Vec<_>>())
    .bind(held.iter().map(|held| held.write.record.as_ref().map(|record| record.id.as_str())).collect::<Vec<_>>())
    .bind(held.iter().map(|held| pairs_to_json(&held.write.rows)).collect::<Vec<_>>())
    .bind(held.iter().map(|held| decisions_to_json(&held.write.decisions)).collect::<Vec<_>>())
    .bind(held.iter().map(|held| held.attempt).collect::<Vec<_>>())
    .bind(announcement.request_id.as_str())
    .bind(announcement.token)
    .bind(Time(announcement.now))
    .fetch_all(db)
    .await?;
    Ok(inserted.into_iter().map(|(id, _)| id).collect())
}

/// Puts the links as the looks before the writes found them; answers their revisions, `None` where nothing was known, the
/// link moved meanwhile or another lead owns the record: then settling finds that, too.
async fn note_links(
    db: &mut PgConnection,
    announcement: &Announcement,
    held: &[&Held<'_>],
) -> StoreResult<Vec<Option<i64>>> {
    let mut revisions = vec![None; held.len()];
    let mut left: VecDeque<(usize, &LeadKey, &Link, Option<i64>)> = held
        .iter()
        .enumerate()
        .filter_map(|(nth, held)| {
            held.write.known.as_ref().map(|(link, planned_with)| (nth, &held.write.lead, link, *planned_with))
        })
        .collect();
    // Of each lead at most one at a time, since the second one finds what the first one made of the link.
    while !left.is_empty() {
        let mut leads = BTreeSet::new();
        let (now, later): (VecDeque<_>, VecDeque<_>) = left.into_iter().partition(|(_, lead, ..)| leads.insert(*lead));
        left = later;
        let (mut first, mut next) = (Vec::new(), Vec::new());
        for (nth, lead, link, planned_with) in now {
            let new = links::NewLink { destination: &announcement.destination, lead, link, now: announcement.now };
            match planned_with {
                None => first.push((nth, new)),
                Some(revision) => next.push((nth, new, revision)),
            }
        }
        let inserted = links::insert_all(db, &first.iter().map(|(_, new)| new).collect::<Vec<_>>()).await?;
        for ((nth, _), inserted) in first.iter().zip(inserted) {
            revisions[*nth] = inserted.then_some(1);
        }
        let rebased =
            links::rebase_all(db, &next.iter().map(|(_, new, revision)| (new, *revision)).collect::<Vec<_>>()).await?;
        for ((nth, ..), revision) in next.iter().zip(rebased) {
            revisions[*nth] = revision;
        }
    }
    Ok(revisions)
}
