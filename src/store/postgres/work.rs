//! Reading all that planning needs of many leads, in one look at the database.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::time::Time;
use super::{PostgresStore, erase, rows};
use crate::domain::headers::{RECEIVED_AT, received_at};
use crate::domain::ids::{DestinationName, EventId, FieldName, LeadKey, RecordId, RecordRef};
use crate::domain::lead::Lead;
use crate::domain::plan::{ConflictKind, Intent, Link};
use crate::domain::time::Timestamp;
use crate::store::stored::{
    answer_from_json, headers_from_json, left_out_from_json, pairs_from_json, question_from_json,
};
use crate::store::{Erasure, OpenConflict, StoreResult, StoredEvent, Work};

/// The most events and bytes of one lead in one step, and the most bytes in all. Each lead has at least one event.
const MAX_EVENTS: usize = 500;
const MAX_BYTES: i64 = 4 << 20;
const MAX_BYTES_IN_ALL: i64 = 32 << 20;

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
    let mut work: Vec<Work> = leads.iter().map(empty).collect();
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

fn empty(key: &LeadKey) -> Work {
    Work {
        key: key.clone(),
        excluded: false,
        lead: None,
        unfolded: Vec::new(),
        more_events: false,
        link: None,
        intents: Vec::new(),
        resolutions: Vec::new(),
        open_conflicts: Vec::new(),
    }
}

/// The lead at the place that a row names; the places are those of our own list.
fn at(work: &[Work], row: &PgRow) -> StoreResult<usize> {
    let ordinal: i64 = row.try_get(0)?;
    rows::read(place(ordinal).filter(|place| *place < work.len()), "unnest", "place", ordinal)
}

fn place(ordinal: i64) -> Option<usize> {
    usize::try_from(ordinal - 1).ok()
}

async fn load_leads(db: &mut PgConnection, keys: &Keys<'_>, work: &mut [Work]) -> StoreResult<()> {
    let sql = "SELECT k.place, l.document::text, l.revision, l.excluded
                 FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS k(source, lead_id, place)
                 JOIN leads l ON l.source = k.source AND l.lead_id = k.lead_id";
    for row in sqlx::query(sql).bind(&keys.sources).bind(&keys.leads).fetch_all(db).await? {
        let place = at(work, &row)?;
        let key = work[place].key.clone();
        let lead = Lead::from_json(key.clone(), row.try_get(1)?).ok();
        work[place].lead = Some((rows::read(lead, "leads", "document", key)?, row.try_get(2)?));
        work[place].excluded = row.try_get(3)?;
    }
    Ok(())
}

/// An unfolded event that fits into this step: its lead's place, its ID and when it came.
type Chosen = (usize, i64, Time);

async fn load_events(db: &mut PgConnection, keys: &Keys<'_>, work: &mut [Work]) -> StoreResult<()> {
    let chosen = choose_events(db, keys, work).await?;
    if chosen.is_empty() {
        return Ok(());
    }
    let copies = load_copies(db, keys, &chosen).await?;
    let sql = "SELECT c.place, e.id, e.kind, e.received_at, e.content_hash, b.headers, b.body
                 FROM unnest($1::bigint[], $2::timestamptz[]) WITH ORDINALITY AS c(id, received_at, place)
                 JOIN events e ON e.id = c.id AND e.received_at = c.received_at
                 JOIN bodies b ON b.event_id = e.id AND b.received_at = e.received_at
                ORDER BY e.id";
    let ids: Vec<i64> = chosen.iter().map(|(_, id, _)| *id).collect();
    let times: Vec<Time> = chosen.iter().map(|(.., at)| *at).collect();
    for row in sqlx::query(sql).bind(ids).bind(times).fetch_all(db).await? {
        let (ordinal, id): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        let (place, ..) = *rows::read(place(ordinal).and_then(|place| chosen.get(place)), "events", "id", id)?;
        let hash: Vec<u8> = row.try_get(4)?;
        let headers = headers_from_json(row.try_get(5)?).ok();
        let first_copy = copies.get(&(place, hash)).copied().filter(|(first, _)| first.0 < id);
        work[place].unfolded.push(StoredEvent {
            id: EventId(id),
            kind: rows::event_kind(row.try_get(2)?, id)?,
            received_at: row.try_get::<Time, _>(3)?.0,
            headers: rows::read(headers, "bodies", "headers", id)?,
            body: Bytes::from(row.try_get::<Vec<u8>, _>(6)?),
            first_copy,
        });
    }
    Ok(())
}

/// The unfolded events that fit into this step, lead by lead in order of arrival.
async fn choose_events(db: &mut PgConnection, keys: &Keys<'_>, work: &mut [Work]) -> StoreResult<Vec<Chosen>> {
    let sql = "SELECT k.place, e.id, e.size, e.received_at
                 FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS k(source, lead_id, place)
                CROSS JOIN LATERAL (
                      SELECT u.id, u.size, u.received_at FROM events u
                       WHERE u.source = k.source AND u.lead_id = k.lead_id AND u.state = 'stored'
                       ORDER BY u.id LIMIT $3) e
                ORDER BY k.place, e.id";
    let limit = MAX_EVENTS as i64 + 1;
    let (mut chosen, mut in_all) = (Vec::new(), 0i64);
    let mut taken: HashMap<usize, (usize, i64)> = HashMap::new();
    for row in sqlx::query(sql).bind(&keys.sources).bind(&keys.leads).bind(limit).fetch_all(db).await? {
        let place = at(work, &row)?;
        let (id, size) = (row.try_get(1)?, i64::from(row.try_get::<i32, _>(2)?));
        let (events, bytes) = taken.entry(place).or_default();
        let full = *events >= MAX_EVENTS || *bytes + size > MAX_BYTES || in_all + size > MAX_BYTES_IN_ALL;
        if work[place].more_events || (full && *events > 0) {
            work[place].more_events = true;
            continue;
        }
        *events += 1;
        *bytes += size;
        in_all += size;
        chosen.push((place, id, row.try_get(3)?));
    }
    Ok(chosen)
}

/// Its lead's place, the content, the event, when it was stored, and its headers if they say when it came.
type FirstCopy = (i64, Vec<u8>, i64, Time, Option<String>);

/// By lead and content: the first event of those that came more than once.
async fn load_copies(
    db: &mut PgConnection,
    keys: &Keys<'_>,
    chosen: &[Chosen],
) -> StoreResult<HashMap<(usize, Vec<u8>), (EventId, Timestamp)>> {
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
    let found: Vec<FirstCopy> = sqlx::query_as(sql)
        .bind(of(&keys.sources))
        .bind(of(&keys.leads))
        .bind(places.iter().map(|place| *place as i64).collect::<Vec<_>>())
        .bind(RECEIVED_AT)
        .fetch_all(db)
        .await?;
    let copies = found.into_iter().map(|(place, hash, id, at, accepted_later)| {
        let place = usize::try_from(place).unwrap_or(usize::MAX);
        let headers = accepted_later.and_then(|kept| headers_from_json(&kept).ok());
        let came_at = headers.and_then(|headers| received_at(&headers));
        ((place, hash), (EventId(id), came_at.unwrap_or(at.0)))
    });
    Ok(copies.collect())
}

async fn load_links(
    db: &mut PgConnection,
    keys: &Keys<'_>,
    destination: &DestinationName,
    work: &mut [Work],
) -> StoreResult<()> {
    let sql =
        "SELECT k.place, l.object, l.record_id, l.matched_by, l.owner, l.bases::text, l.kept::text, l.fingerprint,
                      l.revision, l.left_out::text, l.in_doubt
                 FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS k(source, lead_id, place)
                 JOIN links l ON l.destination = $3 AND l.source = k.source AND l.lead_id = k.lead_id";
    for row in sqlx::query(sql).bind(&keys.sources).bind(&keys.leads).bind(destination.as_str()).fetch_all(db).await? {
        let place = at(work, &row)?;
        let key = work[place].key.clone();
        let (object, id): (&str, &str) = (row.try_get(1)?, row.try_get(2)?);
        work[place].link = Some(Link {
            record: RecordRef { object: object.into(), id: id.into() },
            matched_by: rows::matched_by(row.try_get(3)?, &key)?,
            owner: row.try_get(4)?,
            bases: rows::read(pairs_from_json(row.try_get(5)?).ok(), "links", "bases", &key)?,
            kept: rows::read(pairs_from_json(row.try_get(6)?).ok(), "links", "kept", &key)?,
            left_out: rows::read(left_out_from_json(row.try_get(9)?).ok(), "links", "left_out", &key)?,
            in_doubt: row.try_get::<Option<&str>, _>(10)?.map(RecordId::from),
            fingerprint: row.try_get(7)?,
            revision: row.try_get(8)?,
        });
    }
    Ok(())
}

async fn load_intents(
    db: &mut PgConnection,
    keys: &Keys<'_>,
    destination: &DestinationName,
    work: &mut [Work],
) -> StoreResult<()> {
    let sql = "SELECT k.place, i.id, i.request_id, i.object, i.record_id, i.value_pairs::text, i.announced_at
                 FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS k(source, lead_id, place)
                 JOIN intents i ON i.destination = $3 AND i.source = k.source AND i.lead_id = k.lead_id
                ORDER BY i.id";
    for row in sqlx::query(sql).bind(&keys.sources).bind(&keys.leads).bind(destination.as_str()).fetch_all(db).await? {
        let place = at(work, &row)?;
        let id: i64 = row.try_get(1)?;
        let (request, object): (&str, &str) = (row.try_get(2)?, row.try_get(3)?);
        let record: Option<&str> = row.try_get(4)?;
        work[place].intents.push(Intent {
            id,
            request_id: request.into(),
            object: object.into(),
            record: record.map(|id| RecordRef { object: object.into(), id: id.into() }),
            rows: rows::read(pairs_from_json(row.try_get(5)?).ok(), "intents", "value_pairs", id)?,
            announced_at: row.try_get::<Time, _>(6)?.0,
        });
    }
    Ok(())
}

/// The open conflicts, and the newest answer to each question.
async fn load_conflicts(
    db: &mut PgConnection,
    keys: &Keys<'_>,
    destination: &DestinationName,
    work: &mut [Work],
) -> StoreResult<()> {
    let sql = "SELECT k.place, c.id, c.kind, c.field, c.state, c.revision, c.question::text, c.answer::text
                 FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS k(source, lead_id, place)
                 JOIN conflicts c ON c.source = k.source AND c.lead_id = k.lead_id
                WHERE c.destination = $3 AND c.state IN ('open', 'resolved')
                ORDER BY c.id";
    let mut answered: BTreeMap<(usize, ConflictKind, Option<FieldName>), _> = BTreeMap::new();
    for row in sqlx::query(sql).bind(&keys.sources).bind(&keys.leads).bind(destination.as_str()).fetch_all(db).await? {
        let place = at(work, &row)?;
        let id: i64 = row.try_get(1)?;
        let kind = rows::conflict_kind(row.try_get(2)?, id)?;
        let field: &str = row.try_get(3)?;
        let field = (!field.is_empty()).then(|| FieldName::from(field));
        if row.try_get::<&str, _>(4)? == "open" {
            work[place].open_conflicts.push(OpenConflict { id, kind, field, revision: row.try_get(5)? });
            continue;
        }
        let question = question_from_json(kind, field.clone(), row.try_get(6)?).ok();
        let question = rows::read(question, "conflicts", "question", id)?;
        let answer = row.try_get::<Option<&str>, _>(7)?.and_then(|json| answer_from_json(json).ok());
        let answer = rows::read(answer, "conflicts", "answer", id)?;
        answered.insert((place, kind, field), answer.resolve(&question));
    }
    for ((place, ..), resolution) in answered {
        work[place].resolutions.push(resolution);
    }
    Ok(())
}
