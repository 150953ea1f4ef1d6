//! Reading all that planning needs of many leads, in one look at the database.

use std::collections::BTreeSet;

use sqlx::PgConnection;

use super::time::Time;
use super::{PostgresStore, erase, rows};
use crate::domain::headers::RECEIVED_AT;
use crate::domain::ids::{DestinationName, LeadKey};
use crate::store::cells::Cells;
use crate::store::work::{
    FirstCopies, MAX_EVENTS, Step, place, read_copies, take_conflicts, take_events, take_intents, take_leads,
    take_links,
};
use crate::store::{Erasure, StoreResult, Work};

/// The leads that are asked for, as columns; each query numbers them from 1.
struct Keys<'k> {
    sources: Vec<&'k str>,
    leads: Vec<&'k str>,
}

/// All queries see the database at one moment: an event that another worker folds meanwhile must be seen either as unfolded
/// or in its lead, never in neither.
pub(super) async fn load(
    store: &PostgresStore,
    destination: &DestinationName,
    leads: &[LeadKey],
) -> StoreResult<Vec<Work>> {
    let (sources, ids) = rows::columns(leads);
    let keys = Keys { sources, leads: ids };
    let mut work: Vec<Work> = leads.iter().cloned().map(Work::of).collect();
    let mut look = store.pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    load_leads(&mut look, &keys, &mut work).await?;
    load_events(&mut look, &keys, &mut work).await?;
    load_links(&mut look, &keys, destination, &mut work).await?;
    load_intents(&mut look, &keys, destination, &mut work).await?;
    load_conflicts(&mut look, &keys, destination, &mut work).await?;
    look.commit().await?;
    erase_late(store, &mut work).await?;
    Ok(work)
}

/// Erases what came in for an erased lead while that was erased: another process may not have known of it yet.
async fn erase_late(store: &PostgresStore, work: &mut [Work]) -> StoreResult<()> {
    let is_new = |work: &&Work| work.lead.is_none() && !work.unfolded.is_empty();
    let new: Vec<LeadKey> = work.iter().filter(is_new).map(|work| work.key.clone()).collect();
    if new.is_empty() {
        return Ok(());
    }
    let mut db = store.pool.acquire().await?;
    let erased = erase::find_erased(&mut db, &new).await?;
    drop(db);
    for work in work.iter_mut().filter(|work| erased.contains_key(&work.key)) {
        let now = work.unfolded.iter().map(|event| event.received_at).max().unwrap_or_default();
        erase::erase(store, &Erasure { lead: work.key.clone(), now }).await?;
        work.unfolded.clear();
        work.more_events = false;
    }
    Ok(())
}

async fn load_leads(db: &mut PgConnection, keys: &Keys<'_>, work: &mut [Work]) -> StoreResult<()> {
    let sql = "SELECT k.place - 1 AS place, l.document::text AS document, l.revision, l.excluded
                 FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS k(source, lead_id, place)
                 JOIN leads l ON l.source = k.source AND l.lead_id = k.lead_id";
    take_leads(&sqlx::query(sql).bind(&keys.sources).bind(&keys.leads).fetch_all(db).await?, work)
}

/// An unfolded event that fits into this step: its lead's place, its ID and when it came.
type Chosen = (usize, i64, Time);

async fn load_events(db: &mut PgConnection, keys: &Keys<'_>, work: &mut [Work]) -> StoreResult<()> {
    let chosen = choose_events(db, keys, work).await?;
    if chosen.is_empty() {
        return Ok(());
    }
    let copies = load_copies(db, keys, &chosen, work).await?;
    let sql = "SELECT c.place, e.id, e.kind, e.received_at, e.content_hash, b.headers, b.body
                 FROM unnest($1::bigint[], $2::bigint[], $3::timestamptz[]) AS c(place, id, received_at)
                 JOIN events e ON e.id = c.id AND e.received_at = c.received_at
                 JOIN bodies b ON b.event_id = e.id AND b.received_at = e.received_at
                ORDER BY e.id";
    let rows = sqlx::query(sql)
        .bind(chosen.iter().map(|(place, ..)| *place as i64).collect::<Vec<_>>())
        .bind(chosen.iter().map(|(_, id, _)| *id).collect::<Vec<_>>())
        .bind(chosen.iter().map(|(.., at)| *at).collect::<Vec<_>>())
        .fetch_all(db)
        .await?;
    take_events(&rows, &copies, work)
}

/// The unfolded events that fit into this step, lead by lead in order of arrival.
async fn choose_events(db: &mut PgConnection, keys: &Keys<'_>, work: &mut [Work]) -> StoreResult<Vec<Chosen>> {
    let sql = "SELECT k.place - 1 AS place, e.id, e.size, e.received_at
                 FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS k(source, lead_id, place)
                CROSS JOIN LATERAL (
                      SELECT u.id, u.size, u.received_at FROM events u
                       WHERE u.source = k.source AND u.lead_id = k.lead_id AND u.state = 'stored'
                       ORDER BY u.id LIMIT $3) e
                ORDER BY k.place, e.id";
    let limit = MAX_EVENTS as i64 + 1;
    let (mut chosen, mut in_step) = (Vec::new(), Step::default());
    for row in sqlx::query(sql).bind(&keys.sources).bind(&keys.leads).bind(limit).fetch_all(db).await? {
        let place = place(&row, work)?;
        let (cells, id) = Cells::numbered(&row, "events")?;
        if in_step.takes(place, cells.get("size")?, work) {
            chosen.push((place, id, Time(cells.get("received_at")?)));
        }
    }
    Ok(chosen)
}

/// By lead and content: the first event of those that came more than once.
async fn load_copies(
    db: &mut PgConnection,
    keys: &Keys<'_>,
    chosen: &[Chosen],
    work: &[Work],
) -> StoreResult<FirstCopies> {
    let places: BTreeSet<usize> = chosen.iter().map(|(place, ..)| *place).collect();
    let sql = "SELECT k.place, c.content_hash, c.id, e.received_at, b.headers
                 FROM unnest($1::text[], $2::text[], $3::bigint[]) AS k(source, lead_id, place)
                CROSS JOIN LATERAL (
                      SELECT h.content_hash, min(h.id) AS id FROM events h
                       WHERE h.source = k.source AND h.lead_id = k.lead_id
                       GROUP BY h.content_hash HAVING count(*) > 1) c
                 JOIN events e ON e.id = c.id
                 LEFT JOIN bodies b ON b.event_id = e.id AND b.received_at = e.received_at
                       AND strpos(b.headers, $4) > 0";
    let of = |column: &[&str]| places.iter().map(|place| column[*place].to_owned()).collect::<Vec<_>>();
    let rows = sqlx::query(sql)
        .bind(of(&keys.sources))
        .bind(of(&keys.leads))
        .bind(places.iter().map(|place| *place as i64).collect::<Vec<_>>())
        .bind(RECEIVED_AT)
        .fetch_all(db)
        .await?;
    read_copies(&rows, work)
}

async fn load_links(
    db: &mut PgConnection,
    keys: &Keys<'_>,
    destination: &DestinationName,
    work: &mut [Work],
) -> StoreResult<()> {
    let sql = "SELECT k.place - 1 AS place, l.object, l.record_id, l.matched_by, l.owner, l.bases::text AS bases,
                      l.kept::text AS kept, l.fingerprint, l.revision, l.left_out::text AS left_out, l.in_doubt
                 FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS k(source, lead_id, place)
                 JOIN links l ON l.destination = $3 AND l.source = k.source AND l.lead_id = k.lead_id";
    let rows = sqlx::query(sql).bind(&keys.sources).bind(&keys.leads).bind(destination.as_str()).fetch_all(db).await?;
    take_links(&rows, work)
}

async fn load_intents(
    db: &mut PgConnection,
    keys: &Keys<'_>,
    destination: &DestinationName,
    work: &mut [Work],
) -> StoreResult<()> {
    let sql =
        "SELECT k.place - 1 AS place, i.id, i.request_id, i.object, i.record_id, i.value_pairs::text AS value_pairs,
                      i.announced_at
                 FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS k(source, lead_id, place)
                 JOIN intents i ON i.destination = $3 AND i.source = k.source AND i.lead_id = k.lead_id
                ORDER BY i.id";
    let rows = sqlx::query(sql).bind(&keys.sources).bind(&keys.leads).bind(destination.as_str()).fetch_all(db).await?;
    take_intents(&rows, work)
}

async fn load_conflicts(
    db: &mut PgConnection,
    keys: &Keys<'_>,
    destination: &DestinationName,
    work: &mut [Work],
) -> StoreResult<()> {
    let sql = "SELECT k.place - 1 AS place, c.id, c.kind, c.field, c.state, c.revision, c.question::text AS question,
                      c.answer::text AS answer
                 FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS k(source, lead_id, place)
                 JOIN conflicts c ON c.source = k.source AND c.lead_id = k.lead_id
                WHERE c.destination = $3 AND c.state IN ('open', 'resolved')
                ORDER BY c.id";
    let rows = sqlx::query(sql).bind(&keys.sources).bind(&keys.leads).bind(destination.as_str()).fetch_all(db).await?;
    take_conflicts(&rows, work)
}
