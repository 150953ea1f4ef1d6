//! Figures of queue, errors and sources. None needs a scan of a large table: counters where there are any, else partial
//! indexes that hold only what is counted.

use std::collections::{BTreeMap, HashSet};

use sqlx::{AssertSqlSafe, QueryBuilder};

use super::SqliteStore;
use super::log::LOG;
use crate::domain::ids::{DestinationName, SourceName};
use crate::domain::time::Timestamp;
use crate::store::cells::Cells;
use crate::store::figures::{
    HOUR, MINUTE, add_held_codes, counted, open_conflicts, queue_figures, source_figures, start_of,
};
use crate::store::listed::read_outcome_count;
use crate::store::{ErrorGroup, Outcome, OutcomeCount, QueueFigures, SourceFigures, StandingFigures, StoreResult};

/// How many held jobs are looked at to tell what they wait for.
const MOST_HELD: i64 = 2_000;
/// How many failures of each outcome are looked at, the newest.
const MOST_FAILURES: i64 = 25_000;
/// How many events are looked at, the newest, for a source's last one.
const MOST_EVENTS: i64 = 10_000;

/// Source and ID of the leads of a group.
type Leads = HashSet<(String, String)>;

/// How many quarantined events of each source are counted at most: a source may quarantine all that it gets.
const MOST_QUARANTINED: i64 = 10_000;
/// Sources are found one after the other, so that none is counted to its end.
const QUARANTINED: &str = "WITH RECURSIVE found (source) AS (
         SELECT min(source) FROM events INDEXED BY events_quarantined WHERE state = 'quarantined'
         UNION ALL
         SELECT (SELECT min(source) FROM events INDEXED BY events_quarantined WHERE state = 'quarantined' AND source > found.source)
           FROM found WHERE found.source IS NOT NULL)
     SELECT source, (SELECT count(*) FROM (
                SELECT 1 FROM events INDEXED BY events_quarantined WHERE state = 'quarantined' AND source = found.source LIMIT ?1) AS counted)
       FROM found WHERE source IS NOT NULL";

/// How many suspicions of each destination and either kind are looked at.
const MOST_SUSPECTED: i64 = 10_000;
/// As the list of pairs shows them: what became one record meanwhile, or a lead's, is none.
const SUSPECTED: &str = "SELECT destination, leads + strangers FROM (
     SELECT d.destination AS destination,
            (SELECT count(*) FROM (SELECT * FROM suspects INDEXED BY suspects_open
                                    WHERE by_hand = 0 AND destination = d.destination LIMIT ?1) s
              CROSS JOIN links k CROSS JOIN links o
              WHERE k.destination = s.destination AND k.source = s.source AND k.lead_id = s.lead_id
                AND o.destination = s.destination AND o.source = s.other_source AND o.lead_id = s.other_lead_id
                AND k.record_id <> o.record_id) AS leads,
            (SELECT count(*) FROM (SELECT * FROM strangers INDEXED BY strangers_open
                                    WHERE by_hand = 0 AND destination = d.destination LIMIT ?1) s
              CROSS JOIN links k
              WHERE k.destination = s.destination AND k.source = s.source AND k.lead_id = s.lead_id
                AND NOT EXISTS (SELECT 1 FROM links l WHERE l.record_id = s.record_id AND l.destination = s.destination)) AS strangers
       FROM (SELECT DISTINCT destination FROM job_counts) d)
  WHERE leads + strangers > 0";

/// Figures of each destination that ever had a job: counters that triggers keep, and the first entry of three indexes. The
/// codes of held jobs are those of the 2,000 held last.
pub(super) async fn queue(store: &SqliteStore, _now: Timestamp) -> StoreResult<Vec<QueueFigures>> {
    let counts: Vec<(String, String, i64)> =
        sqlx::query_as("SELECT destination, status, n FROM job_counts ORDER BY destination, status")
            .fetch_all(&store.readers)
            .await?;
    let mut figures = queue_figures(counts)?;
    for (destination, entry) in &mut figures {
        let (oldest, failing, waiting): (Option<i64>, Option<i64>, Option<i64>) = sqlx::query_as(
            "SELECT (SELECT min(since) FROM (
                         SELECT min(owed_since) AS since FROM jobs
                          WHERE destination = ?1 AND state = 'owed' AND owed_since <> due_at
                         UNION ALL
                         SELECT min(due_at) FROM jobs WHERE destination = ?1 AND state = 'owed' AND lane = 0 AND class = 0
                         UNION ALL
                         SELECT min(due_at) FROM jobs WHERE destination = ?1 AND state = 'owed' AND lane = 0 AND class = 1
                         UNION ALL
                         SELECT min(due_at) FROM jobs WHERE destination = ?1 AND state = 'owed' AND lane = 1 AND class = 0
                         UNION ALL
                         SELECT min(due_at) FROM jobs WHERE destination = ?1 AND state = 'owed' AND lane = 1 AND class = 1)),
                    (SELECT min(first_failed_at) FROM jobs
                      WHERE destination = ?1 AND state = 'owed' AND first_failed_at IS NOT NULL),
                    (SELECT min(waiting_since) FROM jobs
                      WHERE destination = ?1 AND state = 'owed' AND waiting_since IS NOT NULL)",
        )
        .bind(destination)
        .fetch_one(&store.readers)
        .await?;
        entry.oldest = oldest.map(Timestamp::from_micros);
        // What waits behind a closed gate has not failed, but it is as late.
        entry.oldest_retry = failing.into_iter().chain(waiting).min().map(Timestamp::from_micros);
    }
    let held: Vec<(String, String, i64)> = sqlx::query_as(
        "SELECT destination, code, count(*)
           FROM (SELECT destination, coalesce(code, '') AS code FROM jobs WHERE state = 'held' AND state <> 'owed'
                  ORDER BY ended_at DESC LIMIT ?)
          GROUP BY destination, code ORDER BY count(*) DESC, code",
    )
    .bind(MOST_HELD)
    .fetch_all(&store.readers)
    .await?;
    add_held_codes(&mut figures, held);
    Ok(figures.into_values().collect())
}

/// Whether a row `l` tells of what is still so: no later one tells of the same record of its lead, or that nothing is done for
/// the lead any more; and of a conflict, that it is open, or that the lead waits.
const STANDS: &str =
    "(EXISTS (SELECT 1 FROM leads e WHERE e.source = l.source AND e.lead_id = l.lead_id AND e.excluded = 0)
    AND (l.outcome <> 'conflict'
         OR EXISTS (SELECT 1 FROM conflicts c WHERE c.destination = l.destination AND c.source = l.source
                       AND c.lead_id = l.lead_id AND c.state = 'open')
         OR EXISTS (SELECT 1 FROM jobs j WHERE j.destination = l.destination AND j.source = l.source
                       AND j.lead_id = l.lead_id))
    AND NOT EXISTS (SELECT 1 FROM sync_log n
         WHERE n.lead_id = l.lead_id AND n.id > l.id AND n.source = l.source AND n.destination = l.destination
           AND (n.operation IN ('skip', 'delete')
                OR (n.operation LIKE 'account%') = (l.operation LIKE 'account%')
                   AND (n.operation LIKE 'opportunity%') = (l.operation LIKE 'opportunity%'))))";

/// Failures since then, first the groups that stand for most leads, then the most frequent; of each outcome the newest
/// 25,000 at most.
pub(super) async fn errors(store: &SqliteStore, since: Timestamp) -> StoreResult<Vec<ErrorGroup>> {
    let (lowest, highest): (Option<i64>, Option<i64>) = sqlx::query_as(LOG.bounds).fetch_one(&store.readers).await?;
    let (Some(lowest), Some(highest)) = (lowest, highest) else { return Ok(Vec::new()) };
    let first = LOG.find(&store.readers, lowest, highest, since).await?.before();
    let mut groups: BTreeMap<(String, String), (ErrorGroup, Leads, Leads)> = BTreeMap::new();
    let sql = format!(
        "SELECT id, at, source, lead_id, destination, error_code, {STANDS} AS stands FROM sync_log l
          WHERE outcome = ? AND outcome <> 'ok' AND id >= ? AND +at >= ? AND +error_code IS NOT NULL
          ORDER BY id DESC LIMIT ?"
    );
    for outcome in [Outcome::Retry, Outcome::Refused, Outcome::Dead, Outcome::Unknown, Outcome::Conflict] {
        let rows = sqlx::query(AssertSqlSafe(sql.as_str()))
            .bind(outcome.as_str())
            .bind(first)
            .bind(since.as_micros())
            .bind(MOST_FAILURES)
            .fetch_all(&store.readers)
            .await?;
        for row in &rows {
            let (cells, _) = Cells::numbered(row, "sync_log")?;
            let at = cells.get("at")?;
            let (destination, code): (String, String) = (cells.get("destination")?, cells.get("error_code")?);
            let (group, leads, open) = groups.entry((destination, code)).or_insert_with_key(|(destination, code)| {
                let destination = DestinationName::from(destination.as_str());
                let code = code.clone();
                let group =
                    ErrorGroup { destination, code, count: 0, leads: 0, open: 0, first_seen: at, last_seen: at };
                (group, HashSet::new(), HashSet::new())
            });
            group.count += 1;
            group.first_seen = group.first_seen.min(at);
            group.last_seen = group.last_seen.max(at);
            let lead: (String, String) = (cells.get("source")?, cells.get("lead_id")?);
            if cells.get("stands")? {
                open.insert(lead.clone());
            }
            leads.insert(lead);
        }
    }
    let counted = |(group, leads, open): (ErrorGroup, Leads, Leads)| ErrorGroup {
        leads: leads.len() as u64,
        open: open.len() as u64,
        ..group
    };
    let mut groups: Vec<ErrorGroup> = groups.into_values().map(counted).collect();
    groups.sort_by_key(|group| std::cmp::Reverse((group.open, group.count)));
    Ok(groups)
}

/// Operations by outcome since then, to the minute, from the counters by minute.
pub(super) async fn outcomes(store: &SqliteStore, since: Timestamp) -> StoreResult<Vec<OutcomeCount>> {
    let rows = sqlx::query(
        "SELECT destination, operation, outcome, sum(n) AS n FROM outcome_counts WHERE minute >= ?
          GROUP BY destination, operation, outcome",
    )
    .bind(start_of(since, MINUTE).as_micros())
    .fetch_all(&store.readers)
    .await?;
    rows.iter().map(|row| read_outcome_count(row, since)).collect()
}

/// What stands open, counted in the partial indexes that hold nothing else: `conflicts_open`, `links_sharer`,
/// `suspects_open`, `strangers_open` and `events_quarantined`.
pub(super) async fn standing(store: &SqliteStore) -> StoreResult<StandingFigures> {
    let open: Vec<(String, String, i64)> = sqlx::query_as(
        "SELECT destination, kind, count(*) FROM conflicts INDEXED BY conflicts_open WHERE state = 'open'
          GROUP BY destination, kind",
    )
    .fetch_all(&store.readers)
    .await?;
    let shared: Vec<(String, i64)> = sqlx::query_as(
        "SELECT k.destination, count(DISTINCT k.record_id) FROM links k INDEXED BY links_sharer
          CROSS JOIN links o ON o.destination = k.destination AND o.record_id = k.record_id AND o.owner = 1
          WHERE k.owner = 0 GROUP BY k.destination",
    )
    .fetch_all(&store.readers)
    .await?;
    let suspected: Vec<(String, i64)> =
        sqlx::query_as(SUSPECTED).bind(MOST_SUSPECTED).fetch_all(&store.readers).await?;
    let quarantined: Vec<(String, i64)> =
        sqlx::query_as(QUARANTINED).bind(MOST_QUARANTINED).fetch_all(&store.readers).await?;
    // Few, since their number is bounded.
    let held: Vec<(String, i64)> = sqlx::query_as("SELECT source, count(*) FROM refused_requests GROUP BY source")
        .fetch_all(&store.readers)
        .await?;
    Ok(StandingFigures {
        open_conflicts: open_conflicts(open)?,
        shared_records: counted(shared),
        duplicates_suspected: counted(suspected),
        quarantined: counted(quarantined),
        refused_held: counted(held),
    })
}

/// What a source sent since then, to the hour. Its last event is exact if it is among the newest 10,000 of all, else told
/// to the hour.
pub(super) async fn source(store: &SqliteStore, source: &SourceName, since: Timestamp) -> StoreResult<SourceFigures> {
    let counts: Vec<(String, i64)> =
        sqlx::query_as("SELECT state, sum(n) FROM source_counts WHERE source = ? AND hour >= ? GROUP BY state")
            .bind(source.as_str())
            .bind(start_of(since, HOUR).as_micros())
            .fetch_all(&store.readers)
            .await?;
    let mut query = QueryBuilder::<sqlx::Sqlite>::new(
        "SELECT coalesce(
            (SELECT received_at FROM events WHERE id > (SELECT max(id) FROM events) - ",
    );
    query.push_bind(MOST_EVENTS).push(" AND +source = ").push_bind(source.as_str().to_owned());
    query.push(" ORDER BY id DESC LIMIT 1), (SELECT max(hour) FROM source_counts WHERE source = ");
    query.push_bind(source.as_str().to_owned()).push("))");
    let last: Option<i64> = query.build_query_scalar().fetch_one(&store.readers).await?;
    Ok(source_figures(counts, last.map(Timestamp::from_micros)))
}
