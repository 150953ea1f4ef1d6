//! Leads that share a record, and the search for records that may be one person's.
//!
//! The search reads the indexes of addresses and names in pieces; only what it finds is written.

use sqlx::{AssertSqlSafe, Postgres, QueryBuilder};

use super::by_hand::DESTINATIONS;
use super::rows::{cannot_be, columns};
use super::time::Time;
use super::{PostgresStore, strangers};
use crate::domain::ids::LeadKey;
use crate::domain::time::Timestamp;
use crate::store::listed::{read_linked_person, read_pair, read_people};
use crate::store::paging::{PairPlace, cut, limit, place, place_of_pair};
use crate::store::pairs::{Part, push_page};
use crate::store::{
    Compared, LinkedPerson, Listed, Page, People, PersonPlace, Same, SharedFilter, SharedPair, StoreResult, Suspect,
    ToldApart,
};

/// How many rows one step drops.
const PIECE: i64 = 500;

pub(super) async fn people_after(
    store: &PostgresStore,
    same: Same,
    after: &PersonPlace,
    limit: u32,
) -> StoreResult<People> {
    let (column, key) = match same {
        Same::Email => ("email", "email COLLATE \"C\""),
        Same::NameAndDomain => ("name", "lower(name) COLLATE \"C\""),
    };
    // What two of these leads have in common is told by their neighbours in the index.
    let sql = format!(
        "SELECT key, email, source, lead_id, n
           FROM (SELECT key, email, source, lead_id, lag(key) OVER piece AS previous, lead(key) OVER piece AS following,
                        count(*) OVER () AS n
                   FROM (SELECT {key} AS key, email, source, lead_id FROM leads
                          WHERE {column} IS NOT NULL AND ({key}, source, lead_id) > ($1, $2, $3)
                          ORDER BY {key}, source, lead_id LIMIT $4) few
                 WINDOW piece AS (ORDER BY key COLLATE \"C\", source, lead_id)) p
          WHERE previous IS NULL OR following IS NULL OR previous = key OR following = key
          ORDER BY key COLLATE \"C\", source, lead_id"
    );
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(&after.key)
        .bind(&after.source)
        .bind(&after.lead_id)
        .bind(i64::from(limit))
        .persistent(false)
        .fetch_all(&store.pool)
        .await?;
    read_people(&rows)
}

pub(super) async fn linked(store: &PostgresStore, leads: &[LeadKey]) -> StoreResult<Vec<LinkedPerson>> {
    let destinations: Vec<String> = sqlx::query_scalar(DESTINATIONS).fetch_all(&store.pool).await?;
    let (sources, ids) = columns(leads);
    // Planned for these values: how many they are tells that the indexes are to be used.
    let rows = sqlx::query(
        "SELECT k.destination, k.source, k.lead_id, k.object, k.record_id
           FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS u (source, lead_id, place)
           JOIN leads l ON l.source = u.source AND l.lead_id = u.lead_id AND NOT l.deleted AND NOT l.excluded
          CROSS JOIN unnest($3::text[]) AS d (destination)
           JOIN links k ON k.destination = d.destination AND k.source = l.source AND k.lead_id = l.lead_id
          ORDER BY u.place, k.destination",
    )
    .bind(sources)
    .bind(ids)
    .bind(destinations)
    .persistent(false)
    .fetch_all(&store.pool)
    .await?;
    rows.iter().map(read_linked_person).collect()
}

/// A question of either lead that names the other's record.
const QUESTION: &str =
    "SELECT 1 FROM conflicts c WHERE c.destination = u.destination AND c.kind IN ('match', 'shared_record')
    AND ((c.source = u.source AND c.lead_id = u.lead_id AND strpos(c.question::text, '\"' || o.record_id || '\"') > 0)
         OR (c.source = u.other_source AND c.lead_id = u.other_lead_id
             AND strpos(c.question::text, '\"' || k.record_id || '\"') > 0)) AND c.state = ";

/// The pair in either order.
const TOLD_APART: &str = "SELECT 1 FROM told_apart t WHERE t.destination = u.destination
    AND (t.source, t.lead_id, t.other_source, t.other_lead_id) IN (
            (u.source, u.lead_id, u.other_source, u.other_lead_id), (u.other_source, u.other_lead_id, u.source, u.lead_id))";

/// Whether a person decided what the two are.
fn by_hand() -> String {
    format!(
        "(k.matched_by = 'link' OR o.matched_by = 'link' OR EXISTS ({QUESTION} 'resolved') OR EXISTS ({TOLD_APART}))"
    )
}

/// A question that was put by a rule is no suspicion while it is open, and its answer is a person's. A lead that is being
/// erased at this moment is passed over.
pub(super) async fn suspect(store: &PostgresStore, suspects: &[Suspect]) -> StoreResult<u64> {
    let (sources, leads) = columns(suspects.iter().map(|suspect| &suspect.lead));
    let (other_sources, others) = columns(suspects.iter().map(|suspect| &suspect.other));
    let sql = format!(
        "INSERT INTO suspects (destination, source, lead_id, other_source, other_lead_id, same, by_hand, since, found_at)
         SELECT u.destination, u.source, u.lead_id, u.other_source, u.other_lead_id, u.same,
                {}, u.found_at, u.found_at
           FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[])
                AS u (destination, source, lead_id, other_source, other_lead_id, same, found_at)
           JOIN leads a ON a.source = u.source AND a.lead_id = u.lead_id
           JOIN leads b ON b.source = u.other_source AND b.lead_id = u.other_lead_id
           JOIN links k ON k.destination = u.destination AND k.source = u.source AND k.lead_id = u.lead_id
           JOIN links o ON o.destination = u.destination AND o.source = u.other_source AND o.lead_id = u.other_lead_id
          WHERE k.record_id <> o.record_id AND NOT EXISTS ({QUESTION} 'open')
            FOR KEY SHARE OF a, b SKIP LOCKED
         ON CONFLICT (destination, source, lead_id) DO UPDATE
            SET other_source = excluded.other_source, other_lead_id = excluded.other_lead_id, same = excluded.same,
                by_hand = excluded.by_hand, found_at = excluded.found_at,
                since = CASE WHEN suspects.other_source = excluded.other_source
                              AND suspects.other_lead_id = excluded.other_lead_id
                             THEN suspects.since ELSE excluded.since END
          WHERE suspects.found_at < excluded.found_at",
        by_hand()
    );
    let noted = sqlx::query(AssertSqlSafe(sql))
        .bind(suspects.iter().map(|suspect| suspect.destination.as_str()).collect::<Vec<_>>())
        .bind(sources)
        .bind(leads)
        .bind(other_sources)
        .bind(others)
        .bind(suspects.iter().map(|suspect| suspect.same.as_str()).collect::<Vec<_>>())
        .bind(suspects.iter().map(|suspect| Time(suspect.found_at)).collect::<Vec<_>>())
        .execute(&store.pool)
        .await?;
    Ok(noted.rows_affected())
}

pub(super) async fn tell_apart(store: &PostgresStore, told: &ToldApart) -> StoreResult<bool> {
    const PAIR: &str =
        "u.destination = $1 AND u.source = $2 AND u.lead_id = $3 AND u.other_source = $4 AND u.other_lead_id = $5";
    let other = match &told.other {
        Compared::Lead(other) => other,
        Compared::Record(record) => return strangers::tell_apart(store, told, record).await,
    };
    let of_lead = |lead: &LeadKey| cannot_be(lead.source.as_str()) || cannot_be(lead.id.as_str());
    if cannot_be(told.destination.as_str()) || of_lead(&told.lead) || of_lead(other) {
        return Ok(false);
    }
    let tell = if told.apart {
        format!(
            "INSERT INTO told_apart (destination, source, lead_id, other_source, other_lead_id)
             SELECT u.destination, u.source, u.lead_id, u.other_source, u.other_lead_id FROM suspects u WHERE {PAIR}
             ON CONFLICT DO NOTHING"
        )
    } else {
        "DELETE FROM told_apart WHERE destination = $1
            AND (source, lead_id, other_source, other_lead_id) IN (($2, $3, $4, $5), ($4, $5, $2, $3))"
            .to_owned()
    };
    // With a search that comes to the pair at this moment one waits for the other.
    let hold = format!("SELECT 1 FROM suspects u WHERE {PAIR} FOR UPDATE");
    let update = format!(
        "UPDATE suspects u SET by_hand = {}
           FROM links k, links o
          WHERE {PAIR} AND k.destination = u.destination AND k.source = u.source AND k.lead_id = u.lead_id
            AND o.destination = u.destination AND o.source = u.other_source AND o.lead_id = u.other_lead_id",
        by_hand()
    );
    let mut tx = store.pool.begin().await?;
    for (step, sql) in [hold, tell, update].into_iter().enumerate() {
        let done = sqlx::query(AssertSqlSafe(sql))
            .bind(told.destination.as_str())
            .bind(told.lead.source.as_str())
            .bind(told.lead.id.as_str())
            .bind(other.source.as_str())
            .bind(other.id.as_str())
            .execute(&mut *tx)
            .await?;
        if step == 0 && done.rows_affected() == 0 {
            return Ok(false);
        }
    }
    tx.commit().await?;
    Ok(true)
}

pub(super) async fn drop_before(store: &PostgresStore, found_before: Timestamp) -> StoreResult<bool> {
    let dropped = sqlx::query(
        "DELETE FROM suspects WHERE (destination, source, lead_id) IN (
             SELECT destination, source, lead_id FROM suspects WHERE found_at < $1 LIMIT $2)",
    )
    .bind(Time(found_before))
    .bind(PIECE)
    .execute(&store.pool)
    .await?;
    Ok(dropped.rows_affected() > 0)
}

/// Whether a person linked one of the two to their record, or answered the question that the second one's match with it put.
const DECIDED: &str = "(k.matched_by = 'link' OR o.matched_by = 'link' OR EXISTS (SELECT 1 FROM conflicts c
     WHERE c.source = k.source AND c.lead_id = k.lead_id AND c.destination = k.destination AND c.state = 'resolved'
       AND c.kind IN ('match', 'shared_record') AND strpos(c.question::text, '\"' || k.record_id || '\"') > 0))";

fn shared() -> String {
    format!(
        "SELECT 'shared' AS kind, k.destination AS destination, k.matched_by AS by, {DECIDED} AS by_hand, k.linked_at AS at,
                k.source AS source, k.lead_id AS lead_id, k.object AS object, k.record_id AS record_id,
                o.source AS other_source, o.lead_id AS other_lead_id, o.object AS other_object, o.record_id AS other_record
           FROM links k JOIN links o ON o.destination = k.destination AND o.record_id = k.record_id AND o.owner
          WHERE NOT k.owner"
    )
}

const SUSPECTED: &str = "SELECT 'suspected' AS kind, s.destination AS destination, s.same AS by, s.by_hand AS by_hand,
        s.since AS at, k.source AS source, k.lead_id AS lead_id, k.object AS object, k.record_id AS record_id,
        o.source AS other_source, o.lead_id AS other_lead_id, o.object AS other_object, o.record_id AS other_record
   FROM suspects s
   JOIN links k ON k.destination = s.destination AND k.source = s.source AND k.lead_id = s.lead_id
   JOIN links o ON o.destination = s.destination AND o.source = s.other_source AND o.lead_id = s.other_lead_id
  WHERE k.record_id <> o.record_id";

/// The lists that the list of pairs is made of.
fn parts() -> [Part; 3] {
    [
        Part::shared(shared(), DECIDED),
        Part::suspected(SUSPECTED.to_owned()),
        Part::strangers(strangers::SUSPECTED.to_owned(), strangers::OF_RECORD),
    ]
}

pub(super) async fn list(store: &PostgresStore, filter: &SharedFilter, page: &Page) -> StoreResult<Listed<SharedPair>> {
    let limit = limit(page);
    let place: Option<PairPlace> = place(page)?;
    let texts = [&filter.destination, &filter.source, &filter.lead_id, &filter.record_id];
    if texts.into_iter().flatten().any(|text| cannot_be(text)) {
        return Ok(Listed::nothing());
    }
    let mut query = QueryBuilder::<Postgres>::new("");
    push_page(&mut query, &parts(), filter, place.as_ref(), limit as i64 + 1, Time);
    let rows = query.build().persistent(false).fetch_all(&store.pool).await?;
    let items = rows.iter().map(read_pair).collect::<StoreResult<Vec<_>>>()?;
    Ok(cut(items, limit, place_of_pair))
}
