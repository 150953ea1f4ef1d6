//! Reading all that planning needs of many leads, in one look at the database.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use sqlx::{Connection, Row, SqliteConnection};

use super::{SqliteStore, rows};
use crate::domain::headers::{RECEIVED_AT, received_at};
use crate::domain::ids::{DestinationName, EventId, FieldName, LeadKey, RecordId, RecordRef};
use crate::domain::lead::Lead;
use crate::domain::plan::{ConflictKind, Intent, Link};
use crate::domain::time::Timestamp;
use crate::store::stored::{
    answer_from_json, headers_from_json, left_out_from_json, pairs_from_json, question_from_json,
};
use crate::store::{OpenConflict, StoreResult, StoredEvent, Work};

/// The most events and bytes of one lead in one step, and the most bytes in all. Each lead has at least one event.
const MAX_EVENTS: usize = 500;
const MAX_BYTES: i64 = 4 << 20;
const MAX_BYTES_IN_ALL: i64 = 32 << 20;

/// Beside each query: the leads as a JSON list of `[source, lead_id]`; `k.key` is a lead's place in it.
const KEYS: &str = "json_each(?1) k CROSS JOIN";

pub(super) async fn load(
    store: &SqliteStore,
    destination: &DestinationName,
    leads: &[LeadKey],
) -> StoreResult<Vec<Work>> {
    let keys: Vec<[&str; 2]> = leads.iter().map(|lead| [lead.source.as_str(), lead.id.as_str()]).collect();
    let keys = serde_json::to_string(&keys).expect("a list of texts can be written");
    let mut work: Vec<Work> = leads.iter().map(empty).collect();
    let mut db = store.readers.acquire().await?;
    let mut look = db.begin().await?;
    load_leads(&mut look, &keys, &mut work).await?;
    load_events(&mut look, &keys, &mut work).await?;
    load_links(&mut look, &keys, destination, &mut work).await?;
    load_intents(&mut look, &keys, destination, &mut work).await?;
    load_conflicts(&mut look, &keys, destination, &mut work).await?;
    look.commit().await?;
    Ok(work)
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
fn at(work: &mut [Work], row: &sqlx::sqlite::SqliteRow) -> StoreResult<usize> {
    let place: i64 = row.try_get(0)?;
    rows::read(usize::try_from(place).ok().filter(|place| *place < work.len()), "json_each", "key", place)
}

async fn load_leads(db: &mut SqliteConnection, keys: &str, work: &mut [Work]) -> StoreResult<()> {
    let sql = format!(
        "SELECT k.key, l.document, l.revision, l.excluded FROM {KEYS} leads l
          WHERE l.source = k.value ->> 0 AND l.lead_id = k.value ->> 1"
    );
    for row in sqlx::query(sqlx::AssertSqlSafe(sql)).bind(keys).fetch_all(db).await? {
        let place = at(work, &row)?;
        let key = work[place].key.clone();
        let lead = Lead::from_json(key.clone(), row.try_get(1)?).ok();
        work[place].lead = Some((rows::read(lead, "leads", "document", key)?, row.try_get(2)?));
        work[place].excluded = row.try_get(3)?;
    }
    Ok(())
}

async fn load_events(db: &mut SqliteConnection, keys: &str, work: &mut [Work]) -> StoreResult<()> {
    let chosen = choose_events(db, keys, work).await?;
    if chosen.is_empty() {
        return Ok(());
    }
    let copies = load_copies(db, keys, &chosen).await?;
    let ids = serde_json::to_string(&chosen).expect("a list of numbers can be written");
    let sql = "SELECT k.value, e.kind, e.received_at, e.content_hash, b.headers, b.body
                 FROM json_each(?1) k CROSS JOIN events e CROSS JOIN bodies b
                WHERE e.id = k.value ->> 1 AND b.event_id = e.id ORDER BY e.id";
    for row in sqlx::query(sql).bind(ids).fetch_all(db).await? {
        let chosen: String = row.try_get(0)?;
        let (place, id): (usize, i64) = rows::read(serde_json::from_str(&chosen).ok(), "events", "id", &chosen)?;
        let hash: Vec<u8> = row.try_get(3)?;
        let headers = headers_from_json(row.try_get(4)?).ok();
        let first_copy = copies.get(&(place, hash)).copied().filter(|(first, _)| first.0 < id);
        work[place].unfolded.push(StoredEvent {
            id: EventId(id),
            kind: rows::event_kind(row.try_get(1)?, id)?,
            received_at: Timestamp::from_micros(row.try_get(2)?),
            headers: rows::read(headers, "bodies", "headers", id)?,
            body: Bytes::from(row.try_get::<Vec<u8>, _>(5)?),
            first_copy,
        });
    }
    Ok(())
}

/// The unfolded events that fit into this step, as places and IDs.
async fn choose_events(db: &mut SqliteConnection, keys: &str, work: &mut [Work]) -> StoreResult<Vec<(usize, i64)>> {
    let sql = format!(
        "SELECT k.key, e.id, e.size FROM {KEYS} events e
          WHERE e.id IN (SELECT u.id FROM events u
                          WHERE u.source = k.value ->> 0 AND u.lead_id = k.value ->> 1 AND u.state = 'stored'
                          ORDER BY u.id LIMIT ?2)
          ORDER BY k.key, e.id"
    );
    let limit = MAX_EVENTS as i64 + 1;
    let (mut chosen, mut in_all) = (Vec::new(), 0i64);
    let mut taken: HashMap<usize, (usize, i64)> = HashMap::new();
    for row in sqlx::query(sqlx::AssertSqlSafe(sql)).bind(keys).bind(limit).fetch_all(db).await? {
        let place = at(work, &row)?;
        let (id, size): (i64, i64) = (row.try_get(1)?, row.try_get(2)?);
        let (events, bytes) = taken.entry(place).or_default();
        let full = *events >= MAX_EVENTS || *bytes + size > MAX_BYTES || in_all + size > MAX_BYTES_IN_ALL;
        if work[place].more_events || (full && *events > 0) {
            work[place].more_events = true;
            continue;
        }
        *events += 1;
        *bytes += size;
        in_all += size;
        chosen.push((place, id));
    }
    Ok(chosen)
}

/// By lead and content: the first event of those that came more than once.
async fn load_copies(
    db: &mut SqliteConnection,
    keys: &str,
    chosen: &[(usize, i64)],
) -> StoreResult<HashMap<(usize, Vec<u8>), (EventId, Timestamp)>> {
    let places: BTreeSet<usize> = chosen.iter().map(|(place, _)| *place).collect();
    let places = serde_json::to_string(&places).expect("a list of numbers can be written");
    let sql = format!(
        "SELECT c.place, c.content_hash, c.id, e.received_at, b.headers
           FROM (SELECT k.key AS place, h.content_hash AS content_hash, min(h.id) AS id
                   FROM {KEYS} events h INDEXED BY events_lead
                  WHERE h.source = k.value ->> 0 AND h.lead_id = k.value ->> 1
                    AND k.key IN (SELECT value FROM json_each(?2))
                  GROUP BY k.key, h.content_hash HAVING count(*) > 1) c
           JOIN events e ON e.id = c.id
           LEFT JOIN bodies b ON b.event_id = c.id AND instr(b.headers, ?3) > 0"
    );
    let mut copies = HashMap::new();
    for row in sqlx::query(sqlx::AssertSqlSafe(sql)).bind(keys).bind(places).bind(RECEIVED_AT).fetch_all(db).await? {
        let place: i64 = row.try_get(0)?;
        let (id, at): (i64, i64) = (row.try_get(2)?, row.try_get(3)?);
        let place = usize::try_from(place).unwrap_or(usize::MAX);
        let accepted_later = row.try_get::<Option<&str>, _>(4)?.and_then(|kept| headers_from_json(kept).ok());
        let came_at = accepted_later.and_then(|headers| received_at(&headers));
        let at = came_at.unwrap_or(Timestamp::from_micros(at));
        copies.insert((place, row.try_get(1)?), (EventId(id), at));
    }
    Ok(copies)
}

async fn load_links(
    db: &mut SqliteConnection,
    keys: &str,
    destination: &DestinationName,
    work: &mut [Work],
) -> StoreResult<()> {
    let sql = format!(
        "SELECT k.key, l.object, l.record_id, l.matched_by, l.owner, l.bases, l.kept, l.fingerprint, l.revision,
                l.left_out, l.in_doubt
           FROM {KEYS} links l
          WHERE l.destination = ?2 AND l.source = k.value ->> 0 AND l.lead_id = k.value ->> 1"
    );
    for row in sqlx::query(sqlx::AssertSqlSafe(sql)).bind(keys).bind(destination.as_str()).fetch_all(db).await? {
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
    db: &mut SqliteConnection,
    keys: &str,
    destination: &DestinationName,
    work: &mut [Work],
) -> StoreResult<()> {
    let sql = format!(
        "SELECT k.key, i.id, i.request_id, i.object, i.record_id, i.value_pairs, i.announced_at
           FROM {KEYS} intents i
          WHERE i.destination = ?2 AND i.source = k.value ->> 0 AND i.lead_id = k.value ->> 1
          ORDER BY i.id"
    );
    for row in sqlx::query(sqlx::AssertSqlSafe(sql)).bind(keys).bind(destination.as_str()).fetch_all(db).await? {
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
            announced_at: Timestamp::from_micros(row.try_get(6)?),
        });
    }
    Ok(())
}

/// The open conflicts, and the newest answer to each question.
async fn load_conflicts(
    db: &mut SqliteConnection,
    keys: &str,
    destination: &DestinationName,
    work: &mut [Work],
) -> StoreResult<()> {
    let sql = format!(
        "SELECT k.key, c.id, c.kind, c.field, c.state, c.revision, c.question, c.answer
           FROM {KEYS} conflicts c
          WHERE c.source = k.value ->> 0 AND c.lead_id = k.value ->> 1 AND c.destination = ?2
            AND c.state IN ('open', 'resolved')
          ORDER BY c.id"
    );
    let mut answered: BTreeMap<(usize, ConflictKind, Option<FieldName>), _> = BTreeMap::new();
    for row in sqlx::query(sqlx::AssertSqlSafe(sql)).bind(keys).bind(destination.as_str()).fetch_all(db).await? {
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
