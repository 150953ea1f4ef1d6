//! Reading all that planning needs of many leads, in one look at the database.

use std::collections::BTreeSet;

use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

use super::SqliteStore;
use crate::domain::headers::RECEIVED_AT;
use crate::domain::ids::{DestinationName, LeadKey};
use crate::store::cells::Cells;
use crate::store::work::{
    FirstCopies, MAX_EVENTS, Step, place, read_copies, take_conflicts, take_events, take_intents, take_leads,
    take_links,
};
use crate::store::{StoreResult, Work};

/// Beside each query: the leads as a JSON list of `[source, lead_id]`; `k.key` is a lead's place in it.
const KEYS: &str = "json_each(?1) k CROSS JOIN";

pub(super) async fn load(
    store: &SqliteStore,
    destination: &DestinationName,
    leads: &[LeadKey],
) -> StoreResult<Vec<Work>> {
    let keys: Vec<[&str; 2]> = leads.iter().map(|lead| [lead.source.as_str(), lead.id.as_str()]).collect();
    let keys = serde_json::to_string(&keys).expect("a list of texts can be written");
    let mut work: Vec<Work> = leads.iter().cloned().map(Work::of).collect();
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

async fn load_leads(db: &mut SqliteConnection, keys: &str, work: &mut [Work]) -> StoreResult<()> {
    let sql = format!(
        "SELECT k.key AS place, l.document, l.revision, l.excluded FROM {KEYS} leads l
          WHERE l.source = k.value ->> 0 AND l.lead_id = k.value ->> 1"
    );
    take_leads(&sqlx::query(AssertSqlSafe(sql)).bind(keys).fetch_all(db).await?, work)
}

async fn load_events(db: &mut SqliteConnection, keys: &str, work: &mut [Work]) -> StoreResult<()> {
    let chosen = choose_events(db, keys, work).await?;
    if chosen.is_empty() {
        return Ok(());
    }
    let copies = load_copies(db, keys, &chosen, work).await?;
    let chosen = serde_json::to_string(&chosen).expect("a list of numbers can be written");
    let sql = "SELECT k.value ->> 0 AS place, e.id, e.kind, e.received_at, e.content_hash, b.headers, b.body
                 FROM json_each(?1) k CROSS JOIN events e CROSS JOIN bodies b
                WHERE e.id = k.value ->> 1 AND b.event_id = e.id ORDER BY e.id";
    take_events(&sqlx::query(sql).bind(chosen).fetch_all(db).await?, &copies, work)
}

/// The unfolded events that fit into this step, as places and IDs.
async fn choose_events(db: &mut SqliteConnection, keys: &str, work: &mut [Work]) -> StoreResult<Vec<(usize, i64)>> {
    let sql = format!(
        "SELECT k.key AS place, e.id, e.size FROM {KEYS} events e
          WHERE e.id IN (SELECT u.id FROM events u
                          WHERE u.source = k.value ->> 0 AND u.lead_id = k.value ->> 1 AND u.state = 'stored'
                          ORDER BY u.id LIMIT ?2)
          ORDER BY k.key, e.id"
    );
    let limit = MAX_EVENTS as i64 + 1;
    let (mut chosen, mut in_step) = (Vec::new(), Step::default());
    for row in sqlx::query(AssertSqlSafe(sql)).bind(keys).bind(limit).fetch_all(db).await? {
        let place = place(&row, work)?;
        let (cells, id) = Cells::numbered(&row, "events")?;
        if in_step.takes(place, cells.get("size")?, work) {
            chosen.push((place, id));
        }
    }
    Ok(chosen)
}

/// By lead and content: the first event of those that came more than once.
async fn load_copies(
    db: &mut SqliteConnection,
    keys: &str,
    chosen: &[(usize, i64)],
    work: &[Work],
) -> StoreResult<FirstCopies> {
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
    read_copies(&sqlx::query(AssertSqlSafe(sql)).bind(keys).bind(places).bind(RECEIVED_AT).fetch_all(db).await?, work)
}

async fn load_links(
    db: &mut SqliteConnection,
    keys: &str,
    destination: &DestinationName,
    work: &mut [Work],
) -> StoreResult<()> {
    let sql = format!(
        "SELECT k.key AS place, l.object, l.record_id, l.matched_by, l.owner, l.bases, l.kept, l.fingerprint, l.revision,
                l.left_out, l.in_doubt
           FROM {KEYS} links l
          WHERE l.destination = ?2 AND l.source = k.value ->> 0 AND l.lead_id = k.value ->> 1"
    );
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(keys).bind(destination.as_str()).fetch_all(db).await?;
    take_links(&rows, work)
}

async fn load_intents(
    db: &mut SqliteConnection,
    keys: &str,
    destination: &DestinationName,
    work: &mut [Work],
) -> StoreResult<()> {
    let sql = format!(
        "SELECT k.key AS place, i.id, i.request_id, i.object, i.record_id, i.value_pairs, i.announced_at
           FROM {KEYS} intents i
          WHERE i.destination = ?2 AND i.source = k.value ->> 0 AND i.lead_id = k.value ->> 1
          ORDER BY i.id"
    );
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(keys).bind(destination.as_str()).fetch_all(db).await?;
    take_intents(&rows, work)
}

async fn load_conflicts(
    db: &mut SqliteConnection,
    keys: &str,
    destination: &DestinationName,
    work: &mut [Work],
) -> StoreResult<()> {
    let sql = format!(
        "SELECT k.key AS place, c.id, c.kind, c.field, c.state, c.revision, c.question, c.answer
           FROM {KEYS} conflicts c
          WHERE c.source = k.value ->> 0 AND c.lead_id = k.value ->> 1 AND c.destination = ?2
            AND c.state IN ('open', 'resolved')
          ORDER BY c.id"
    );
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(keys).bind(destination.as_str()).fetch_all(db).await?;
    take_conflicts(&rows, work)
}
