//! Storing a batch of events in one statement.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::LazyLock;

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::repeats::{Decided, Fate, First, Known, decide};
use crate::domain::ids::EventId;
use crate::domain::job::Class;
use crate::domain::time::Timestamp;
use crate::store::erased::counted_as;
use crate::store::postgres::rows::{self, cannot_be, readable_option};
use crate::store::postgres::time::Time;
use crate::store::postgres::{dirty, erase};
use crate::store::requests::IntakeRequest;
use crate::store::stored::headers_to_json;
use crate::store::{EventReceipt, EventState, NewEvent, StoreError, StoreResult};

const HOUR_MICROS: i64 = 3_600_000_000;

/// Stores events of which none is known, and then all that follows from them; nothing at all if any of their keys is there
/// already, or, unless $22, if any lead was erased. If a key comes to be there at the same moment, it fails as not unique.
static STORE_NEW: LazyLock<String> = LazyLock::new(|| {
    store_sql(
        // A sender may use one ID again and again: it is looked for once, and only where it is there the content is.
        "met AS MATERIALIZED (
             SELECT g.source, g.received_at, g.maybe_reused,
                    g.keyed AND EXISTS (SELECT 1 FROM event_keys k
                                         WHERE k.source = g.source AND k.sender_id = g.sender_id
                                           AND k.content_hash = g.content_hash OFFSET 0) AS same
               FROM given g
              WHERE EXISTS (SELECT 1 FROM event_keys k
                             WHERE k.source = g.source AND k.sender_id = g.sender_id OFFSET 0)),
         new AS MATERIALIZED (
             SELECT NOT repeats AND NOT unscreened AS yes, unscreened
               FROM (SELECT EXISTS (SELECT 1 FROM met WHERE same) AS repeats,
                            NOT $22 AND EXISTS (SELECT 1 FROM erased) AS unscreened OFFSET 0) seen),
         keyed AS (
             INSERT INTO event_keys (source, sender_id, content_hash, event_id, received_at)
             SELECT source, sender_id, content_hash, id, received_at FROM given WHERE keyed AND (SELECT yes FROM new)
              ORDER BY sender_id COLLATE \"C\", source COLLATE \"C\", content_hash
             RETURNING 1),
         ready AS MATERIALIZED (SELECT yes AND (SELECT count(*) FROM keyed) >= 0 AS yes, unscreened FROM new)",
        "SELECT source, received_at FROM met WHERE maybe_reused",
    )
});

/// Stores the events and all that follows from them.
///
/// Unless $22, nothing but the keys is stored if any of them was there before: then what is known under them must be looked
/// at first. No matter what, they are locked, so that nobody else decides about them meanwhile. $23: keys of events from
/// this number on are this batch's own.
static STORE: LazyLock<String> = LazyLock::new(|| {
    store_sql(
        "keyed AS (
             INSERT INTO event_keys (source, sender_id, content_hash, event_id, received_at)
             SELECT source, sender_id, content_hash, id, received_at FROM given WHERE keyed
              ORDER BY sender_id COLLATE \"C\", source COLLATE \"C\", content_hash
             ON CONFLICT (source, sender_id, content_hash) DO UPDATE
                SET event_id = excluded.event_id, received_at = excluded.received_at WHERE $22
             RETURNING 1),
         ready AS MATERIALIZED (
             SELECT (SELECT count(*) FROM keyed) = (SELECT count(*) FROM given WHERE keyed) OR $22 AS yes,
                    false AS unscreened)",
        "SELECT g.source, g.received_at FROM given g
          WHERE g.maybe_reused
            AND EXISTS (SELECT 1 FROM event_keys k
                         WHERE k.source = g.source AND k.sender_id = g.sender_id AND k.event_id < $23
                        OFFSET 0)",
    )
});

/// The SQL that stores events once `keys`, which has the keys stored or locked, says that they are `ready`. `reused`: those
/// whose sender ID came before with other content.
///
/// Event numbers are drawn in order of arrival, which is that of the arrays. Keys come first: they are what copies of one
/// event wait for, in other processes too, and everybody takes them in the same order.
fn store_sql(keys: &str, reused: &str) -> String {
    let marked = "(SELECT u.*, $21::smallint AS class, false AS forced
                     FROM unnest($16::text[], $17::text[], $18::text[], $19::timestamptz[], $20::bigint[])
                          WITH ORDINALITY AS u(destination, source, lead_id, at, times, place)
                    WHERE (SELECT yes FROM ready)) marked";
    format!(
        "WITH given AS MATERIALIZED (
             SELECT u.*, nextval('event_ids') AS id
               FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
                           $7::bytea[], $8::timestamptz[], $9::text[], $10::text[], $11::integer[],
                           $12::text[], $13::bytea[], $14::boolean[], $15::boolean[])
                    WITH ORDINALITY AS u(source, lead_id, kind, state, event_type, sender_id, content_hash,
                                         received_at, request_id, reason, size, headers, body, keyed,
                                         maybe_reused, place)),
         {keys},
         stored AS (
             INSERT INTO events (id, source, lead_id, kind, state, event_type, sender_id, content_hash, received_at,
                                 request_id, reason, size)
             SELECT id, source, lead_id, kind, state, event_type, sender_id, content_hash, received_at, request_id,
                    reason, size
               FROM given WHERE (SELECT yes FROM ready)),
         kept AS (
             INSERT INTO bodies (event_id, received_at, headers, body)
             SELECT id, received_at, headers, body FROM given WHERE (SELECT yes FROM ready)),
         owed AS ({owed} RETURNING 1),
         counted AS (
             INSERT INTO source_counts (source, hour, state, slot, n)
             SELECT source, hour, state, (pg_backend_pid() % 32)::smallint, sum(n)::bigint
               FROM (SELECT * FROM unnest($24::text[], $25::timestamptz[], $26::text[], $27::bigint[])
                               AS u(source, hour, state, n)
                     UNION ALL
                     SELECT source, date_trunc('hour', received_at), 'reused_id', 1 FROM ({reused}) r) c
              WHERE (SELECT yes FROM ready) AND (SELECT count(*) FROM owed) >= 0
              GROUP BY source, hour, state ORDER BY source COLLATE \"C\", hour, state COLLATE \"C\"
             ON CONFLICT (source, hour, state, slot) DO UPDATE SET n = source_counts.n + excluded.n)
         SELECT ARRAY(SELECT id FROM given ORDER BY place), ready.yes, ready.unscreened FROM ready",
        owed = dirty::upsert_sql(marked, "true")
    )
}

/// What came of a batch.
#[derive(Default)]
pub(super) struct Stored {
    /// What each request is answered, in the order given; those that are missing could not be stored.
    pub(super) receipts: Vec<StoreResult<Vec<EventReceipt>>>,
    pub(super) made_due: bool,
}

/// Stores all requests in one commit, the events of erased leads without their data. If one event of them is refused for
/// another reason than the state of the server, they are repeated one by one, and what fails alone is kept as bytes.
/// `erasures`: whether it is known that any lead was erased.
///
/// An error: nobody knows what is on disk of the requests without receipts, and the connection must not be used any more.
pub(super) async fn store(
    db: &mut PgConnection,
    requests: &mut [IntakeRequest],
    erasures: &mut bool,
    stored: &mut Stored,
    on_commit: &(dyn Fn(usize) + Send + Sync),
) -> StoreResult<()> {
    let mut repeats = false;
    if !*erasures {
        match store_new(db, &events_of(requests), false).await {
            Ok(Tried::Stored(done)) => {
                answer_all(requests, done, stored, on_commit);
                return Ok(());
            }
            Ok(Tried::Repeats) => repeats = true,
            Ok(Tried::Unscreened) => *erasures = true,
            Err(error @ StoreError::Unavailable(_)) => return Err(error),
            // It will be refused again, and then told.
            Err(_) => {}
        }
    }
    // Another process may have erased a lead just now.
    erase::screen(db, requests).await?;
    let events = events_of(requests);
    let done = if repeats { store_repeats(db, &events).await } else { commit(db, &events).await };
    match done {
        Ok(done) => {
            answer_all(requests, done, stored, on_commit);
            return Ok(());
        }
        Err(error @ StoreError::Unavailable(_)) => return Err(error),
        Err(error) => tracing::warn!("a batch of events was refused and is stored one by one: {error}"),
    }
    let mut doubt = None;
    for request in requests.iter() {
        let done = match commit(db, &request.events.iter().collect::<Vec<_>>()).await {
            Err(StoreError::Database(_) | StoreError::Corrupt { .. }) => commit_at_any_rate(db, &request.events).await,
            done => done,
        };
        match done {
            Ok(done) => {
                on_commit(done.stored);
                stored.made_due |= done.made_due;
                stored.receipts.push(Ok(done.receipts));
            }
            Err(error @ StoreError::Unavailable(_)) => return Err(error),
            Err(error) => {
                tracing::error!("events could not be stored even as bytes: {error}");
                // Perhaps it is the connection, though the server does not say so.
                doubt = Some(StoreError::Unavailable(error.to_string()));
                stored.receipts.push(Err(error));
            }
        }
    }
    doubt.map_or(Ok(()), Err)
}

fn events_of(requests: &[IntakeRequest]) -> Vec<&NewEvent> {
    requests.iter().flat_map(|request| &request.events).collect()
}

fn answer_all(requests: &[IntakeRequest], done: Done, stored: &mut Stored, on_commit: &(dyn Fn(usize) + Send + Sync)) {
    on_commit(done.stored);
    stored.made_due = done.made_due;
    let mut receipts = done.receipts.into_iter();
    stored.receipts =
        requests.iter().map(|request| Ok(receipts.by_ref().take(request.events.len()).collect())).collect();
}

/// The event as PostgreSQL can hold it: where its identity contains U+0000, which a `text` cannot, the bytes of it are kept.
pub(super) fn storable(event: NewEvent) -> NewEvent {
    let identity =
        [event.lead.as_ref().map(|lead| lead.as_str()), event.sender_id.as_deref(), event.event_type.as_deref()];
    if identity.into_iter().flatten().any(cannot_be) {
        tracing::error!(source = %event.source, "an event of {} is quarantined: its lead, type or ID contains U+0000", event.source);
        return as_bytes(&event, "its lead, type or ID contains U+0000");
    }
    event
}

/// The event without anything that was read of it.
fn as_bytes(event: &NewEvent, why: &str) -> NewEvent {
    NewEvent {
        lead: None,
        event_type: None,
        sender_id: None,
        state: EventState::Quarantined,
        reason: Some(format!("it could not be stored: {why}")),
        destinations: Vec::new(),
        ..event.clone()
    }
}

/// Keeps the bytes of what cannot be stored as what it is. Each event is tried alone and taken back, and then all of them
/// are stored together, so that what they touch is locked in the usual order.
async fn commit_at_any_rate(db: &mut PgConnection, events: &[NewEvent]) -> StoreResult<Done> {
    let mut fitting = Vec::with_capacity(events.len());
    for event in events {
        let mut trial = db.begin().await?;
        let tried = store_within(&mut trial, &[event]).await;
        trial.rollback().await?;
        match tried {
            Ok(_) => fitting.push(event.clone()),
            Err(error @ StoreError::Unavailable(_)) => return Err(error),
            Err(error) => {
                tracing::error!(source = %event.source, "an event of {} is quarantined: {error}", event.source);
                fitting.push(as_bytes(event, &error.to_string()));
            }
        }
    }
    commit(db, &fitting.iter().collect::<Vec<_>>()).await
}

/// What one commit did.
struct Done {
    receipts: Vec<EventReceipt>,
    stored: usize,
    made_due: bool,
}

/// What came of the attempt to store events in one statement.
enum Tried {
    Stored(Done),
    /// Nothing is stored: some of them are known.
    Repeats,
    /// Nothing is stored: a lead was erased, and it was not looked whether it is one of theirs.
    Unscreened,
}

/// Stores events in a transaction of its own: of one statement if none of them is known. Those of erased leads must have
/// been screened.
async fn commit(db: &mut PgConnection, events: &[&NewEvent]) -> StoreResult<Done> {
    match store_new(db, events, true).await? {
        Tried::Stored(done) => Ok(done),
        Tried::Repeats | Tried::Unscreened => store_repeats(db, events).await,
    }
}

async fn store_new(db: &mut PgConnection, events: &[&NewEvent], screened: bool) -> StoreResult<Tried> {
    if events.is_empty() {
        return Ok(Tried::Stored(Done { receipts: Vec::new(), stored: 0, made_due: false }));
    }
    let decided = decide(events, &HashMap::new());
    match run(db, &STORE_NEW, events, &decided, screened, i64::MAX).await {
        Ok(Ran { ids, ready: true, .. }) => Ok(Tried::Stored(finish(events, &decided, &ids))),
        Ok(Ran { unscreened: true, .. }) => Ok(Tried::Unscreened),
        Ok(_) => Ok(Tried::Repeats),
        // A copy was stored by another connection at the same moment.
        Err(sqlx::Error::Database(said)) if said.is_unique_violation() => Ok(Tried::Repeats),
        Err(error) => Err(error.into()),
    }
}

/// Stores events of which some are known in a transaction of its own.
async fn store_repeats(db: &mut PgConnection, events: &[&NewEvent]) -> StoreResult<Done> {
    let mut transaction = db.begin().await?;
    let done = store_within(&mut transaction, events).await?;
    transaction.commit().await?;
    Ok(done)
}

async fn store_within(db: &mut PgConnection, events: &[&NewEvent]) -> StoreResult<Done> {
    let decided = decide(events, &HashMap::new());
    let final_at_once = decided.keyed.is_empty();
    let Ran { ids, ready, .. } = run(db, &STORE, events, &decided, final_at_once, i64::MAX).await?;
    if ready {
        return Ok(finish(events, &decided, &ids));
    }
    let own_from = ids.first().copied().unwrap_or(i64::MAX);
    let decided = decide(events, &find_known(db, events).await?);
    let Ran { ids, .. } = run(db, &STORE, events, &decided, true, own_from).await?;
    Ok(finish(events, &decided, &ids))
}

/// What the database holds under the keys of events, by place. Keys of this batch have no event yet.
async fn find_known(db: &mut PgConnection, events: &[&NewEvent]) -> StoreResult<HashMap<usize, Known>> {
    let asked: Vec<(usize, &NewEvent, &str)> = events
        .iter()
        .enumerate()
        .filter_map(|(place, event)| Some((place, *event, event.sender_id.as_deref()?)))
        .collect();
    let found: Vec<(i64, i64, String, bool)> = sqlx::query_as(
        "SELECT u.place, e.id, e.state,
                EXISTS (SELECT 1 FROM events o WHERE o.source = u.source AND o.lead_id = u.lead_id AND o.id > e.id
                           AND o.state IN ('stored', 'folded', 'stale', 'erased'))
           FROM unnest($1::text[], $2::text[], $3::bytea[], $4::text[])
                WITH ORDINALITY AS u(source, sender_id, content_hash, lead_id, place)
           JOIN event_keys k ON k.source = u.source AND k.sender_id = u.sender_id AND k.content_hash = u.content_hash
           JOIN events e ON e.id = k.event_id AND e.received_at = k.received_at",
    )
    .bind(asked.iter().map(|(_, event, _)| event.source.as_str()).collect::<Vec<_>>())
    .bind(asked.iter().map(|(.., sender_id)| *sender_id).collect::<Vec<_>>())
    .bind(asked.iter().map(|(_, event, _)| &event.content_hash[..]).collect::<Vec<_>>())
    .bind(asked.iter().map(|(_, event, _)| event.lead.as_ref().map(|lead| lead.as_str())).collect::<Vec<_>>())
    .fetch_all(db)
    .await?;
    let mut known = HashMap::new();
    for (ordinal, id, state, moved_on) in found {
        let asked = usize::try_from(ordinal - 1).ok().and_then(|place| asked.get(place));
        let (place, ..) = rows::read(asked, "event_keys", "place", ordinal)?;
        let unread = matches!(state.as_str(), "quarantined" | "ignored");
        known.insert(*place, Known { id: EventId(id), unread, moved_on });
    }
    Ok(known)
}

fn finish(events: &[&NewEvent], decided: &Decided, ids: &[i64]) -> Done {
    let mut ids = ids.iter();
    let mut receipts: Vec<EventReceipt> = Vec::with_capacity(events.len());
    for fate in &decided.fates {
        receipts.push(match fate {
            Fate::Stored => {
                let erased = events[receipts.len()].state == EventState::Erased;
                EventReceipt { id: EventId(ids.next().copied().unwrap_or_default()), duplicate: false, erased }
            }
            Fate::Repeats(First::Known(id)) => EventReceipt { id: *id, duplicate: true, erased: false },
            Fate::Repeats(First::InBatch(place)) => {
                EventReceipt { id: receipts[*place].id, duplicate: true, erased: false }
            }
        });
    }
    let stored = decided.fates.iter().filter(|fate| **fate == Fate::Stored).count();
    let made_due = std::iter::zip(events, &decided.fates).any(|(event, fate)| {
        *fate == Fate::Stored && lead_of_change(event).is_some() && !event.destinations.is_empty()
    });
    Done { receipts, stored, made_due }
}

/// The lead that the event changes.
fn lead_of_change(event: &NewEvent) -> Option<&str> {
    event.lead.as_ref().filter(|_| event.state == EventState::Stored).map(|lead| lead.as_str())
}

/// What [`run`] did.
struct Ran {
    /// The numbers of the events that are to be stored.
    ids: Vec<i64>,
    /// Whether they were.
    ready: bool,
    /// They were not, since a lead was erased.
    unscreened: bool,
}

/// Runs [`STORE_NEW`] or [`STORE`]; `sure`: their $22.
async fn run(
    db: &mut PgConnection,
    sql: &'static str,
    events: &[&NewEvent],
    decided: &Decided,
    sure: bool,
    own_from: i64,
) -> sqlx::Result<Ran> {
    let is_stored = |place: &usize| decided.fates[*place] == Fate::Stored;
    let places: Vec<usize> = (0..events.len()).filter(is_stored).collect();
    let stored: Vec<&NewEvent> = places.iter().map(|place| events[*place]).collect();
    let among = |set: &HashSet<usize>| places.iter().map(|place| set.contains(place)).collect::<Vec<_>>();
    let owed = Owed::by(&stored);
    let counts = Counts::of(events, decided);
    let (ids, ready, unscreened) = sqlx::query_as(AssertSqlSafe(sql))
        .bind(stored.iter().map(|event| event.source.as_str()).collect::<Vec<_>>())
        .bind(stored.iter().map(|event| event.lead.as_ref().map(|lead| lead.as_str())).collect::<Vec<_>>())
        .bind(stored.iter().map(|event| event.kind.as_str()).collect::<Vec<_>>())
        .bind(stored.iter().map(|event| event.state.as_str()).collect::<Vec<_>>())
        .bind(stored.iter().map(|event| event.event_type.as_deref()).collect::<Vec<_>>())
        .bind(stored.iter().map(|event| event.sender_id.as_deref()).collect::<Vec<_>>())
        .bind(stored.iter().map(|event| &event.content_hash[..]).collect::<Vec<_>>())
        .bind(stored.iter().map(|event| Time(event.received_at)).collect::<Vec<_>>())
        .bind(stored.iter().map(|event| event.request_id.as_str()).collect::<Vec<_>>())
        .bind(stored.iter().map(|event| readable_option(event.reason.as_deref())).collect::<Vec<_>>())
        .bind(stored.iter().map(|event| i32::try_from(event.body.len()).unwrap_or(i32::MAX)).collect::<Vec<_>>())
        .bind(stored.iter().map(|event| headers_to_json(&event.headers)).collect::<Vec<_>>())
        .bind(stored.iter().map(|event| &event.body[..]).collect::<Vec<_>>())
        .bind(among(&decided.keyed))
        .bind(among(&decided.maybe_reused))
        .bind(owed.destinations)
        .bind(owed.sources)
        .bind(owed.leads)
        .bind(owed.at)
        .bind(owed.times)
        .bind(rows::class_number(Class::Live))
        .bind(sure)
        .bind(own_from)
        .bind(counts.sources)
        .bind(counts.hours)
        .bind(counts.states)
        .bind(counts.n)
        .fetch_one(db)
        .await?;
    Ok(Ran { ids, ready, unscreened })
}

/// The jobs that events make owed, in key order: since the first event of each, and by how many.
#[derive(Default)]
struct Owed<'e> {
    destinations: Vec<&'e str>,
    sources: Vec<&'e str>,
    leads: Vec<&'e str>,
    at: Vec<Time>,
    times: Vec<i64>,
}

impl<'e> Owed<'e> {
    fn by(events: &[&'e NewEvent]) -> Self {
        let mut jobs: BTreeMap<(&str, &str, &str), (Timestamp, i64)> = BTreeMap::new();
        for event in events {
            let Some(lead) = lead_of_change(event) else { continue };
            for destination in &event.destinations {
                let key = (destination.as_str(), event.source.as_str(), lead);
                jobs.entry(key).or_insert((event.received_at, 0)).1 += 1;
            }
        }
        let mut owed = Self::default();
        for ((destination, source, lead), (at, times)) in jobs {
            owed.destinations.push(destination);
            owed.sources.push(source);
            owed.leads.push(lead);
            owed.at.push(Time(at));
            owed.times.push(times);
        }
        owed
    }
}

/// How many events of each source came in each hour, and what became of them.
#[derive(Default)]
struct Counts<'e> {
    sources: Vec<&'e str>,
    hours: Vec<Time>,
    states: Vec<&'static str>,
    n: Vec<i64>,
}

impl<'e> Counts<'e> {
    fn of(events: &[&'e NewEvent], decided: &Decided) -> Self {
        let mut counts: BTreeMap<(&str, i64, &'static str), i64> = BTreeMap::new();
        for (place, event) in events.iter().enumerate() {
            let hour = event.received_at.as_micros().div_euclid(HOUR_MICROS).saturating_mul(HOUR_MICROS);
            let mut count = |what| *counts.entry((event.source.as_str(), hour, what)).or_default() += 1;
            match decided.fates[place] {
                Fate::Stored => count(counted_as(event.state)),
                Fate::Repeats(_) => count("duplicate"),
            }
            if decided.reused.contains(&place) {
                count("reused_id");
            }
        }
        let mut listed = Self::default();
        for ((source, hour, state), n) in counts {
            listed.sources.push(source);
            listed.hours.push(Time(Timestamp::from_micros(hour)));
            listed.states.push(state);
            listed.n.push(n);
        }
        listed
    }
}
