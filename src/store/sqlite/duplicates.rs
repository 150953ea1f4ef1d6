//! Leads that share a record, and the search for records that may be one person's.
//!
//! The search reads the indexes of addresses and names in pieces, past the writer; only what it finds is written.

use rusqlite::{Connection, params};
use sqlx::{AssertSqlSafe, QueryBuilder, Sqlite};

use super::{SqliteStore, strangers};
use crate::domain::ids::LeadKey;
use crate::domain::time::Timestamp;
use crate::store::listed::{read_linked_person, read_pair, read_people};
use crate::store::paging::{PairPlace, cut, limit, place, place_of_pair};
use crate::store::pairs::{Part, push_page};
use crate::store::{
    Compared, LinkedPerson, Listed, Page, People, PersonPlace, Same, SharedFilter, SharedPair, StoreResult, Suspect,
    ToldApart,
};

/// How many rows one step drops; webhooks wait for it.
const PIECE: i64 = 100;

/// What two of these leads have in common is told by their neighbours in the index: the rest of the key that the piece
/// before ended in, then the keys behind it.
fn people_sql(same: Same) -> String {
    let (column, collation) = match same {
        Same::Email => ("email", ""),
        Same::NameAndDomain => ("name", " COLLATE NOCASE"),
    };
    format!(
        "SELECT key, (SELECT l.email FROM leads l WHERE l.source = p.source AND l.lead_id = p.lead_id) AS email, source, lead_id, n
           FROM (SELECT key, source, lead_id, lag(key) OVER piece AS previous, lead(key) OVER piece AS following,
                        count(*) OVER () AS n
                   FROM (SELECT * FROM (SELECT {column} AS key, source, lead_id FROM leads
                                         WHERE {column} IS NOT NULL AND {column} = ?1{collation}
                                           AND (source, lead_id) > (?2, ?3) ORDER BY source, lead_id LIMIT ?4)
                          UNION ALL
                         SELECT * FROM (SELECT {column} AS key, source, lead_id FROM leads
                                         WHERE {column} IS NOT NULL AND {column} > ?1{collation}
                                         ORDER BY {column}{collation}, source, lead_id LIMIT ?4)
                          LIMIT ?4)
                 WINDOW piece AS (ORDER BY key{collation}, source, lead_id)) p
          WHERE previous IS NULL OR following IS NULL OR previous = key{collation} OR following = key{collation}
          ORDER BY key{collation}, source, lead_id"
    )
}

pub(super) async fn people_after(
    store: &SqliteStore,
    same: Same,
    after: &PersonPlace,
    limit: u32,
) -> StoreResult<People> {
    let rows = sqlx::query(AssertSqlSafe(people_sql(same)))
        .bind(&after.key)
        .bind(&after.source)
        .bind(&after.lead_id)
        .bind(i64::from(limit))
        .fetch_all(&store.readers)
        .await?;
    read_people(&rows)
}

pub(super) async fn linked(store: &SqliteStore, leads: &[LeadKey]) -> StoreResult<Vec<LinkedPerson>> {
    let keys: Vec<[&str; 2]> = leads.iter().map(|lead| [lead.source.as_str(), lead.id.as_str()]).collect();
    let keys = serde_json::to_string(&keys).expect("a list of texts can be written");
    let rows = sqlx::query(
        "SELECT k.destination, k.source, k.lead_id, k.object, k.record_id
           FROM json_each(?1) j CROSS JOIN leads l CROSS JOIN (SELECT DISTINCT destination FROM job_counts) d
          CROSS JOIN links k
          WHERE l.source = j.value ->> 0 AND l.lead_id = j.value ->> 1 AND l.deleted = 0 AND l.excluded = 0
            AND k.destination = d.destination AND k.source = l.source AND k.lead_id = l.lead_id
          ORDER BY j.key, k.destination",
    )
    .bind(keys)
    .fetch_all(&store.readers)
    .await?;
    rows.iter().map(read_linked_person).collect()
}

pub(super) async fn suspect(store: &SqliteStore, suspects: &[Suspect]) -> StoreResult<u64> {
    let noted = store.writer.run_each(suspects.to_vec(), suspect_one).await;
    Ok(noted.into_iter().collect::<StoreResult<Vec<usize>>>()?.into_iter().sum::<usize>() as u64)
}

/// A question of either lead that names the other's record.
const QUESTION: &str = "SELECT 1 FROM conflicts c WHERE c.destination = ?1 AND c.kind IN ('match', 'shared_record')
    AND ((c.source = ?2 AND c.lead_id = ?3 AND instr(c.question, '\"' || o.record_id || '\"') > 0)
         OR (c.source = ?4 AND c.lead_id = ?5 AND instr(c.question, '\"' || k.record_id || '\"') > 0)) AND c.state = ";

/// Whether a person decided what the two are.
fn by_hand() -> String {
    format!(
        "(k.matched_by = 'link' OR o.matched_by = 'link' OR EXISTS ({QUESTION} 'resolved')
          OR EXISTS (SELECT 1 FROM told_apart t WHERE t.destination = ?1
                        AND (t.source, t.lead_id, t.other_source, t.other_lead_id) IN (VALUES (?2, ?3, ?4, ?5), (?4, ?5, ?2, ?3))))"
    )
}

/// A question that was put by a rule is no suspicion while it is open, and its answer is a person's.
fn suspect_one(db: &mut Connection, suspect: &Suspect) -> StoreResult<usize> {
    let (destination, found_at) = (suspect.destination.as_str(), suspect.found_at.as_micros());
    let (lead, other) = (&suspect.lead, &suspect.other);
    let noted = db
        .prepare_cached(&format!(
            "INSERT INTO suspects (destination, source, lead_id, other_source, other_lead_id, same, by_hand, since, found_at)
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, {}, ?7, ?7
               FROM links k CROSS JOIN links o
              WHERE k.destination = ?1 AND k.source = ?2 AND k.lead_id = ?3
                AND o.destination = ?1 AND o.source = ?4 AND o.lead_id = ?5
                AND k.record_id <> o.record_id AND NOT EXISTS ({QUESTION} 'open')
             ON CONFLICT (destination, source, lead_id) DO UPDATE
                SET other_source = excluded.other_source, other_lead_id = excluded.other_lead_id, same = excluded.same,
                    by_hand = excluded.by_hand, found_at = excluded.found_at,
                    since = CASE WHEN suspects.other_source = excluded.other_source
                                  AND suspects.other_lead_id = excluded.other_lead_id
                                 THEN suspects.since ELSE excluded.since END
              WHERE suspects.found_at < excluded.found_at",
            by_hand()
        ))?
        .execute(params![
            destination,
            lead.source.as_str(),
            lead.id.as_str(),
            other.source.as_str(),
            other.id.as_str(),
            suspect.same.as_str(),
            found_at,
        ])?;
    Ok(noted)
}

pub(super) async fn tell_apart(store: &SqliteStore, told: &ToldApart) -> StoreResult<bool> {
    let told = told.clone();
    store.writer.run(move |db| tell_one_apart(db, &told)).await
}

fn tell_one_apart(db: &mut Connection, told: &ToldApart) -> StoreResult<bool> {
    let other = match &told.other {
        Compared::Lead(other) => other,
        Compared::Record(record) => return strangers::tell_apart(db, told, record),
    };
    let pair = params![
        told.destination.as_str(),
        told.lead.source.as_str(),
        told.lead.id.as_str(),
        other.source.as_str(),
        other.id.as_str(),
    ];
    let is_suspected = db
        .prepare_cached(
            "SELECT 1 FROM suspects
              WHERE destination = ?1 AND source = ?2 AND lead_id = ?3 AND other_source = ?4 AND other_lead_id = ?5",
        )?
        .exists(pair)?;
    if !is_suspected {
        return Ok(false);
    }
    let tell = if told.apart {
        "INSERT INTO told_apart (destination, source, lead_id, other_source, other_lead_id)
         VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING"
    } else {
        "DELETE FROM told_apart WHERE destination = ?1
            AND (source, lead_id, other_source, other_lead_id) IN (VALUES (?2, ?3, ?4, ?5), (?4, ?5, ?2, ?3))"
    };
    db.prepare_cached(tell)?.execute(pair)?;
    db.prepare_cached(&format!(
        "UPDATE suspects SET by_hand = {}
           FROM links k CROSS JOIN links o
          WHERE suspects.destination = ?1 AND suspects.source = ?2 AND suspects.lead_id = ?3
            AND k.destination = ?1 AND k.source = ?2 AND k.lead_id = ?3
            AND o.destination = ?1 AND o.source = ?4 AND o.lead_id = ?5",
        by_hand()
    ))?
    .execute(pair)?;
    Ok(true)
}

pub(super) async fn drop_before(store: &SqliteStore, found_before: Timestamp) -> StoreResult<bool> {
    let work = move |db: &mut Connection| {
        let dropped = db
            .prepare_cached(
                "DELETE FROM suspects WHERE (destination, source, lead_id) IN (
                     SELECT destination, source, lead_id FROM suspects WHERE found_at < ?1 LIMIT ?2)",
            )?
            .execute(params![found_before.as_micros(), PIECE])?;
        Ok(dropped > 0)
    };
    store.writer.run(work).await
}

/// Whether a person linked one of the two to their record, or answered the question that the second one's match with it put.
const DECIDED: &str = "(k.matched_by = 'link' OR o.matched_by = 'link' OR EXISTS (SELECT 1 FROM conflicts c
     WHERE c.source = k.source AND c.lead_id = k.lead_id AND c.destination = k.destination AND c.state = 'resolved'
       AND c.kind IN ('match', 'shared_record') AND instr(c.question, '\"' || k.record_id || '\"') > 0))";

fn shared() -> String {
    format!(
        "SELECT 'shared' AS kind, k.destination AS destination, k.matched_by AS by, {DECIDED} AS by_hand, k.linked_at AS at,
                k.source AS source, k.lead_id AS lead_id, k.object AS object, k.record_id AS record_id,
                o.source AS other_source, o.lead_id AS other_lead_id, o.object AS other_object, o.record_id AS other_record
           FROM links k CROSS JOIN links o
          WHERE k.owner = 0 AND o.destination = k.destination AND o.record_id = k.record_id AND o.owner = 1"
    )
}

const SUSPECTED: &str = "SELECT 'suspected' AS kind, s.destination AS destination, s.same AS by, s.by_hand AS by_hand,
        s.since AS at, k.source AS source, k.lead_id AS lead_id, k.object AS object, k.record_id AS record_id,
        o.source AS other_source, o.lead_id AS other_lead_id, o.object AS other_object, o.record_id AS other_record
   FROM suspects s CROSS JOIN links k CROSS JOIN links o
  WHERE k.destination = s.destination AND k.source = s.source AND k.lead_id = s.lead_id
    AND o.destination = s.destination AND o.source = s.other_source AND o.lead_id = s.other_lead_id
    AND k.record_id <> o.record_id";

/// The lists that the list of pairs is made of.
fn parts() -> [Part; 3] {
    [
        Part::shared(shared(), DECIDED),
        Part::suspected(SUSPECTED.to_owned()),
        Part::strangers(strangers::SUSPECTED.to_owned(), strangers::OF_RECORD),
    ]
}

pub(super) async fn list(store: &SqliteStore, filter: &SharedFilter, page: &Page) -> StoreResult<Listed<SharedPair>> {
    let limit = limit(page);
    let place: Option<PairPlace> = place(page)?;
    let mut query = QueryBuilder::<Sqlite>::new("");
    push_page(&mut query, &parts(), filter, place.as_ref(), limit as i64 + 1, Timestamp::as_micros);
    let rows = query.build().fetch_all(&store.readers).await?;
    let items = rows.iter().map(read_pair).collect::<StoreResult<Vec<_>>>()?;
    Ok(cut(items, limit, place_of_pair))
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::Fixture;
    use super::*;
    use crate::store::pairs::push_part;

    async fn plan(fixture: &Fixture, sql: String) -> String {
        let sql = format!("EXPLAIN QUERY PLAN {sql}");
        let steps: Vec<(i64, i64, i64, String)> =
            sqlx::query_as(AssertSqlSafe(sql)).fetch_all(&fixture.store.readers).await.unwrap();
        steps.into_iter().map(|step| step.3).collect::<Vec<_>>().join("; ")
    }

    #[tokio::test]
    async fn people_are_read_in_the_order_of_an_index_from_where_the_piece_before_ended() {
        let fixture = Fixture::new().await;
        for (same, index) in [
            (Same::Email, "SEARCH leads USING COVERING INDEX leads_email (email"),
            (Same::NameAndDomain, "SEARCH leads USING COVERING INDEX leads_name (name"),
        ] {
            let plan = plan(&fixture, people_sql(same)).await;
            let rest = plan.contains(&format!("{index}=? AND (source,lead_id)>(?,?))"));
            assert!(rest && plan.contains(&format!("{index}>?)")) && !plan.contains("SCAN leads"), "{plan}");
        }
    }

    async fn plan_of(fixture: &Fixture, part: &Part, filter: &SharedFilter, place: Option<&PairPlace>) -> String {
        let mut query = QueryBuilder::<Sqlite>::new("");
        push_part(&mut query, part, filter, place, Timestamp::as_micros);
        plan(fixture, query.sql().as_str().to_owned()).await
    }

    #[tokio::test]
    async fn a_page_of_pairs_is_read_in_the_order_of_an_index() {
        let fixture = Fixture::new().await;
        for (part, index) in parts().iter().zip(["links_shared", "suspects_since", "strangers_since"]) {
            let plan = plan_of(&fixture, part, &SharedFilter::default(), Some(&Default::default())).await;
            assert!(plan.contains(index) && !plan.contains("B-TREE FOR ORDER BY"), "{plan}");
        }
    }

    #[tokio::test]
    async fn records_of_no_lead_are_found_by_lead_and_record_through_indexes() {
        let fixture = Fixture::new().await;
        let [.., strangers] = parts();
        let x = || Some("x".to_owned());
        for filter in [
            SharedFilter { lead_id: x(), ..SharedFilter::default() },
            SharedFilter { source: x(), lead_id: x(), ..SharedFilter::default() },
            SharedFilter { record_id: x(), ..SharedFilter::default() },
        ] {
            let plan = plan_of(&fixture, &strangers, &filter, None).await;
            assert!(!plan.contains("SCAN"), "{filter:?}: {plan}");
        }
    }
}
