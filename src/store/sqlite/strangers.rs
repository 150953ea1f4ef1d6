//! Records of a CRM that no lead is and that may be the person of a lead's record.

use rusqlite::{Connection, params};

use super::SqliteStore;
use super::duplicates::PIECE;
use crate::domain::ids::RecordId;
use crate::domain::time::Timestamp;
use crate::store::{StoreResult, Stranger, ToldApart};

/// A question of the lead that names the record.
const QUESTION: &str = "SELECT 1 FROM conflicts c WHERE c.source = ?2 AND c.lead_id = ?3 AND c.destination = ?1
    AND c.kind IN ('match', 'shared_record') AND instr(c.question, '\"' || ?4 || '\"') > 0 AND c.state = ";

/// Whether a person decided what the two are. Where one is no lead, there is no source of it.
fn by_hand() -> String {
    format!(
        "(EXISTS (SELECT 1 FROM links k WHERE k.destination = ?1 AND k.source = ?2 AND k.lead_id = ?3 AND k.matched_by = 'link')
          OR EXISTS ({QUESTION} 'resolved')
          OR EXISTS (SELECT 1 FROM told_apart t
                      WHERE t.destination = ?1 AND t.source = ?2 AND t.lead_id = ?3 AND t.other_source = '' AND t.other_lead_id = ?4))"
    )
}

pub(super) async fn suspect(store: &SqliteStore, strangers: &[Stranger]) -> StoreResult<u64> {
    let noted = store.writer.run_each(strangers.to_vec(), suspect_one).await;
    Ok(noted.into_iter().collect::<StoreResult<Vec<usize>>>()?.into_iter().sum::<usize>() as u64)
}

fn suspect_one(db: &mut Connection, stranger: &Stranger) -> StoreResult<usize> {
    let noted = db
        .prepare_cached(&format!(
            "INSERT INTO strangers (destination, source, lead_id, record_id, object, same, by_hand, since, found_at)
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, {}, ?7, ?7
               FROM links own
              WHERE own.destination = ?1 AND own.source = ?2 AND own.lead_id = ?3
                AND NOT EXISTS (SELECT 1 FROM links o WHERE o.record_id = ?4 AND o.destination = ?1)
                AND NOT EXISTS ({QUESTION} 'open')
             ON CONFLICT (destination, source, lead_id, record_id) DO UPDATE
                SET same = excluded.same, by_hand = excluded.by_hand, found_at = excluded.found_at
              WHERE strangers.found_at < excluded.found_at",
            by_hand()
        ))?
        .execute(params![
            stranger.destination.as_str(),
            stranger.lead.source.as_str(),
            stranger.lead.id.as_str(),
            stranger.record.id.as_str(),
            stranger.record.object.as_str(),
            stranger.same.as_str(),
            stranger.found_at.as_micros(),
        ])?;
    Ok(noted)
}

/// The same as of two leads, of a lead and a record of no lead.
pub(super) fn tell_apart(db: &Connection, told: &ToldApart, record: &RecordId) -> StoreResult<bool> {
    let pair = params![told.destination.as_str(), told.lead.source.as_str(), told.lead.id.as_str(), record.as_str()];
    let is_suspected = db
        .prepare_cached(
            "SELECT 1 FROM strangers WHERE destination = ?1 AND source = ?2 AND lead_id = ?3 AND record_id = ?4",
        )?
        .exists(pair)?;
    if !is_suspected {
        return Ok(false);
    }
    let tell = if told.apart {
        "INSERT INTO told_apart (destination, source, lead_id, other_source, other_lead_id)
         VALUES (?1, ?2, ?3, '', ?4) ON CONFLICT DO NOTHING"
    } else {
        "DELETE FROM told_apart
          WHERE destination = ?1 AND source = ?2 AND lead_id = ?3 AND other_source = '' AND other_lead_id = ?4"
    };
    db.prepare_cached(tell)?.execute(pair)?;
    db.prepare_cached(&format!(
        "UPDATE strangers SET by_hand = {}
          WHERE destination = ?1 AND source = ?2 AND lead_id = ?3 AND record_id = ?4",
        by_hand()
    ))?
    .execute(pair)?;
    Ok(true)
}

pub(super) async fn drop_before(store: &SqliteStore, found_before: Timestamp) -> StoreResult<bool> {
    let work = move |db: &mut Connection| {
        let dropped = db
            .prepare_cached(
                "DELETE FROM strangers WHERE (destination, source, lead_id, record_id) IN (
                     SELECT destination, source, lead_id, record_id FROM strangers WHERE found_at < ?1 LIMIT ?2)",
            )?
            .execute(params![found_before.as_micros(), PIECE])?;
        Ok(dropped > 0)
    };
    store.writer.run(work).await
}

/// As the list of pairs shows them.
pub(super) const SUSPECTED: &str =
    "SELECT 'suspected' AS kind, s.destination AS destination, s.same AS by, s.by_hand AS by_hand,
        s.since AS at, k.source AS source, k.lead_id AS lead_id, k.object AS object, k.record_id AS record_id,
        NULL AS other_source, NULL AS other_lead_id, s.object AS other_object, s.record_id AS other_record
   FROM strangers s CROSS JOIN links k
  WHERE k.destination = s.destination AND k.source = s.source AND k.lead_id = s.lead_id
    AND NOT EXISTS (SELECT 1 FROM links l WHERE l.record_id = s.record_id AND l.destination = s.destination)";
