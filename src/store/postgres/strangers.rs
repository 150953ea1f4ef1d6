//! Records of a CRM that no lead is and that may be the person of a lead's record.

use sqlx::AssertSqlSafe;

use super::PostgresStore;
use super::rows::{cannot_be, columns};
use super::time::Time;
use crate::domain::ids::{DestinationName, LeadKey, RecordId};
use crate::store::cells::Cells;
use crate::store::listed::read_linked_lead;
use crate::store::pairs::AnyOf;
use crate::store::searched::{place_of, texts_of};
use crate::store::{LinkedLead, SearchPlace, SearchedSpan, StoreResult, Stranger, ToldApart};

/// A question of the lead that names the record.
const QUESTION: &str = "SELECT 1 FROM conflicts c
    WHERE c.source = u.source AND c.lead_id = u.lead_id AND c.destination = u.destination AND c.kind IN ('match', 'shared_record')
      AND strpos(c.question::text, '\"' || u.record_id || '\"') > 0 AND c.state = ";

/// Whether a person decided what the two are. Where one is no lead, there is no source of it.
fn by_hand() -> String {
    format!(
        "(EXISTS (SELECT 1 FROM links k WHERE k.destination = u.destination AND k.source = u.source AND k.lead_id = u.lead_id
                                          AND k.matched_by = 'link')
          OR EXISTS ({QUESTION} 'resolved')
          OR EXISTS (SELECT 1 FROM told_apart t
                      WHERE t.destination = u.destination AND t.source = u.source AND t.lead_id = u.lead_id
                        AND t.other_source = '' AND t.other_lead_id = u.record_id))"
    )
}

/// A lead that is being erased at this moment is passed over.
pub(super) async fn suspect(store: &PostgresStore, strangers: &[Stranger]) -> StoreResult<u64> {
    let (sources, leads) = columns(strangers.iter().map(|stranger| &stranger.lead));
    let sql = format!(
        "INSERT INTO strangers (destination, source, lead_id, record_id, object, same, by_hand, since, found_at)
         SELECT u.destination, u.source, u.lead_id, u.record_id, u.object, u.same, {}, u.found_at, u.found_at
           FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[])
                AS u (destination, source, lead_id, record_id, object, same, found_at)
           JOIN leads a ON a.source = u.source AND a.lead_id = u.lead_id
           JOIN links own ON own.destination = u.destination AND own.source = u.source AND own.lead_id = u.lead_id
          WHERE NOT EXISTS (SELECT 1 FROM links o WHERE o.record_id = u.record_id AND o.destination = u.destination)
            AND NOT EXISTS ({QUESTION} 'open')
            FOR KEY SHARE OF a SKIP LOCKED
         ON CONFLICT (destination, source, lead_id, record_id) DO UPDATE
            SET same = excluded.same, by_hand = excluded.by_hand, found_at = excluded.found_at
          WHERE strangers.found_at < excluded.found_at",
        by_hand()
    );
    let noted = sqlx::query(AssertSqlSafe(sql))
        .bind(strangers.iter().map(|stranger| stranger.destination.as_str()).collect::<Vec<_>>())
        .bind(sources)
        .bind(leads)
        .bind(strangers.iter().map(|stranger| stranger.record.id.as_str()).collect::<Vec<_>>())
        .bind(strangers.iter().map(|stranger| stranger.record.object.as_str()).collect::<Vec<_>>())
        .bind(strangers.iter().map(|stranger| stranger.same.as_str()).collect::<Vec<_>>())
        .bind(strangers.iter().map(|stranger| Time(stranger.found_at)).collect::<Vec<_>>())
        .execute(&store.pool)
        .await?;
    Ok(noted.rows_affected())
}

/// The same as of two leads, of a lead and a record of no lead.
pub(super) async fn tell_apart(store: &PostgresStore, told: &ToldApart, record: &RecordId) -> StoreResult<bool> {
    const PAIR: &str = "u.destination = $1 AND u.source = $2 AND u.lead_id = $3 AND u.record_id = $4";
    let texts = [told.destination.as_str(), told.lead.source.as_str(), told.lead.id.as_str(), record.as_str()];
    if texts.into_iter().any(cannot_be) {
        return Ok(false);
    }
    let tell = if told.apart {
        format!(
            "INSERT INTO told_apart (destination, source, lead_id, other_source, other_lead_id)
             SELECT u.destination, u.source, u.lead_id, '', u.record_id FROM strangers u WHERE {PAIR}
             ON CONFLICT DO NOTHING"
        )
    } else {
        "DELETE FROM told_apart
          WHERE destination = $1 AND source = $2 AND lead_id = $3 AND other_source = '' AND other_lead_id = $4"
            .to_owned()
    };
    // With a search that comes to the pair at this moment one waits for the other.
    let hold = format!("SELECT 1 FROM strangers u WHERE {PAIR} FOR UPDATE");
    let update = format!("UPDATE strangers u SET by_hand = {} WHERE {PAIR}", by_hand());
    let mut tx = store.pool.begin().await?;
    for (step, sql) in [hold, tell, update].into_iter().enumerate() {
        let query = texts.iter().fold(sqlx::query(AssertSqlSafe(sql)), |query, text| query.bind(*text));
        let done = query.execute(&mut *tx).await?;
        if step == 0 && done.rows_affected() == 0 {
            return Ok(false);
        }
    }
    tx.commit().await?;
    Ok(true)
}

pub(super) async fn drop_of(store: &PostgresStore, span: &SearchedSpan) -> StoreResult<()> {
    let (source, lead) = texts_of(span.after.as_ref());
    let (last_source, last_lead) = texts_of(span.until.as_ref());
    let up_to = if span.until.is_some() { "AND (source, lead_id) <= ($4, $5)" } else { "AND $4::text = $5::text" };
    sqlx::query(AssertSqlSafe(format!(
        "DELETE FROM strangers WHERE destination = $1 AND (source, lead_id) > ($2, $3) {up_to} AND found_at < $6"
    )))
    .bind(span.destination.as_str())
    .bind(source)
    .bind(lead)
    .bind(last_source)
    .bind(last_lead)
    .bind(Time(span.found_before))
    .execute(&store.pool)
    .await?;
    Ok(())
}

/// Drops those of every destination but these, in pieces: nobody searches there any more.
pub(super) async fn drop_orphaned(store: &PostgresStore, destinations: &[&str]) -> StoreResult<()> {
    loop {
        let dropped = sqlx::query(
            "DELETE FROM strangers WHERE ctid IN (
                 SELECT ctid FROM strangers WHERE destination <> ALL ($1) LIMIT 10000)",
        )
        .bind(destinations)
        .execute(&store.pool)
        .await?;
        if dropped.rows_affected() == 0 {
            return Ok(());
        }
    }
}

pub(super) async fn linked_leads(
    store: &PostgresStore,
    destination: &DestinationName,
    leads: &[LeadKey],
) -> StoreResult<Vec<LinkedLead>> {
    let (sources, ids) = columns(leads);
    // Planned for these values: how many they are tells that the indexes are to be used.
    let rows = sqlx::query(
        "SELECT l.source, l.lead_id, l.document::text AS document, k.object, k.record_id,
                EXISTS (SELECT 1 FROM jobs o
                         WHERE o.destination = k.destination AND o.source = k.source AND o.lead_id = k.lead_id) AS has_job
           FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS u (source, lead_id, place)
           JOIN leads l ON l.source = u.source AND l.lead_id = u.lead_id AND NOT l.deleted AND NOT l.excluded
           JOIN links k ON k.destination = $3 AND k.source = l.source AND k.lead_id = l.lead_id
          ORDER BY u.place",
    )
    .bind(sources)
    .bind(ids)
    .bind(destination.as_str())
    .persistent(false)
    .fetch_all(&store.pool)
    .await?;
    rows.iter().map(read_linked_lead).collect()
}

pub(super) async fn load_search(
    store: &PostgresStore,
    destination: &DestinationName,
) -> StoreResult<Option<SearchPlace>> {
    let row = sqlx::query("SELECT source, lead_id, since, calls FROM searches WHERE destination = $1")
        .bind(destination.as_str())
        .fetch_optional(&store.pool)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let cells = Cells::new(&row, "searches", destination);
    let after = place_of(cells.get("source")?, cells.get("lead_id")?);
    Ok(Some(SearchPlace { after, since: cells.get("since")?, calls: cells.count("calls")? }))
}

pub(super) async fn save_search(
    store: &PostgresStore,
    destination: &DestinationName,
    place: &SearchPlace,
) -> StoreResult<()> {
    let (source, lead) = texts_of(place.after.as_ref());
    sqlx::query(
        "INSERT INTO searches (destination, source, lead_id, since, calls) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (destination) DO UPDATE
            SET source = excluded.source, lead_id = excluded.lead_id, since = excluded.since, calls = excluded.calls",
    )
    .bind(destination.as_str())
    .bind(source)
    .bind(lead)
    .bind(Time(place.since))
    .bind(i64::try_from(place.calls).unwrap_or(i64::MAX))
    .execute(&store.pool)
    .await?;
    Ok(())
}

/// As the list of pairs shows them.
pub(super) const SUSPECTED: &str =
    "SELECT 'suspected' AS kind, s.destination AS destination, s.same AS by, s.by_hand AS by_hand,
        s.since AS at, k.source AS source, k.lead_id AS lead_id, k.object AS object, k.record_id AS record_id,
        NULL::text AS other_source, NULL::text AS other_lead_id, s.object AS other_object, s.record_id AS other_record
   FROM strangers s
   JOIN links k ON k.destination = s.destination AND k.source = s.source AND k.lead_id = s.lead_id
  WHERE NOT EXISTS (SELECT 1 FROM links l WHERE l.record_id = s.record_id AND l.destination = s.destination)";

/// Those of a record, on either side. Of the leads that are the record an array is made, by which an index is looked up.
pub(super) const OF_RECORD: AnyOf = &[
    &["s.record_id = ", ""],
    &["s.lead_id = ANY (ARRAY(SELECT lead_id FROM links WHERE record_id = ", ")) AND k.record_id = ", ""],
];
