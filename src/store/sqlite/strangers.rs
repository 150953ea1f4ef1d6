//! Records of a CRM that no lead is and that may be the person of a lead's record.

use rusqlite::{Connection, params};

use super::SqliteStore;
use crate::domain::ids::{DestinationName, LeadKey, RecordId};
use crate::store::cells::Cells;
use crate::store::listed::read_linked_lead;
use crate::store::pairs::AnyOf;
use crate::store::searched::{place_of, texts_of};
use crate::store::{LinkedLead, SearchPlace, SearchedSpan, StoreResult, Stranger, ToldApart};

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

pub(super) async fn drop_of(store: &SqliteStore, span: &SearchedSpan) -> StoreResult<()> {
    let span = span.clone();
    let work = move |db: &mut Connection| {
        let (source, lead) = texts_of(span.after.as_ref());
        let (last_source, last_lead) = texts_of(span.until.as_ref());
        let up_to = if span.until.is_some() { "AND (source, lead_id) <= (?4, ?5)" } else { "AND ?4 = ?5" };
        db.prepare_cached(&format!(
            "DELETE FROM strangers
              WHERE destination = ?1 AND (source, lead_id) > (?2, ?3) {up_to} AND found_at < ?6"
        ))?
        .execute(params![
            span.destination.as_str(),
            source,
            lead,
            last_source,
            last_lead,
            span.found_before.as_micros()
        ])?;
        Ok(())
    };
    store.writer.run(work).await
}

/// Drops those of every destination but these, which is a JSON list: nobody searches there any more.
pub(super) async fn drop_orphaned(store: &SqliteStore, destinations: &str) -> StoreResult<()> {
    loop {
        let orphaned: Vec<(String, String, String, String)> = sqlx::query_as(
            "SELECT destination, source, lead_id, record_id FROM strangers
              WHERE destination NOT IN (SELECT value FROM json_each(?1)) LIMIT 1000",
        )
        .bind(destinations)
        .fetch_all(&store.readers)
        .await?;
        if orphaned.is_empty() {
            return Ok(());
        }
        let dropped = store.writer.run_each(orphaned, |db, (destination, source, lead, record)| {
            let mut one = db.prepare_cached(
                "DELETE FROM strangers WHERE destination = ?1 AND source = ?2 AND lead_id = ?3 AND record_id = ?4",
            )?;
            Ok(one.execute(params![destination, source, lead, record])?)
        });
        dropped.await.into_iter().collect::<StoreResult<Vec<usize>>>()?;
    }
}

pub(super) async fn linked_leads(
    store: &SqliteStore,
    destination: &DestinationName,
    leads: &[LeadKey],
) -> StoreResult<Vec<LinkedLead>> {
    let keys: Vec<[&str; 2]> = leads.iter().map(|lead| [lead.source.as_str(), lead.id.as_str()]).collect();
    let keys = serde_json::to_string(&keys).expect("a list of texts can be written");
    let rows = sqlx::query(
        "SELECT l.source, l.lead_id, l.document, k.object, k.record_id,
                EXISTS (SELECT 1 FROM jobs o
                         WHERE o.destination = k.destination AND o.source = k.source AND o.lead_id = k.lead_id) AS has_job
           FROM json_each(?1) j CROSS JOIN leads l CROSS JOIN links k
          WHERE l.source = j.value ->> 0 AND l.lead_id = j.value ->> 1 AND l.deleted = 0 AND l.excluded = 0
            AND k.destination = ?2 AND k.source = l.source AND k.lead_id = l.lead_id
          ORDER BY j.key",
    )
    .bind(keys)
    .bind(destination.as_str())
    .fetch_all(&store.readers)
    .await?;
    rows.iter().map(read_linked_lead).collect()
}

pub(super) async fn load_search(
    store: &SqliteStore,
    destination: &DestinationName,
) -> StoreResult<Option<SearchPlace>> {
    let row = sqlx::query("SELECT source, lead_id, since, calls FROM searches WHERE destination = ?")
        .bind(destination.as_str())
        .fetch_optional(&store.readers)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let cells = Cells::new(&row, "searches", destination);
    let after = place_of(cells.get("source")?, cells.get("lead_id")?);
    Ok(Some(SearchPlace { after, since: cells.get("since")?, calls: cells.count("calls")? }))
}

pub(super) async fn save_search(
    store: &SqliteStore,
    destination: &DestinationName,
    place: &SearchPlace,
) -> StoreResult<()> {
    let (destination, place) = (destination.clone(), place.clone());
    let work = move |db: &mut Connection| {
        let (source, lead) = texts_of(place.after.as_ref());
        let calls = i64::try_from(place.calls).unwrap_or(i64::MAX);
        db.prepare_cached(
            "INSERT OR REPLACE INTO searches (destination, source, lead_id, since, calls) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![destination.as_str(), source, lead, place.since.as_micros(), calls])?;
        Ok(())
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

/// Those of a record, on either side.
pub(super) const OF_RECORD: AnyOf = &[
    &["s.record_id = ", ""],
    &[
        "(s.lead_id, s.source, s.destination) IN (SELECT lead_id, source, destination FROM links WHERE record_id = ",
        ")",
    ],
];
