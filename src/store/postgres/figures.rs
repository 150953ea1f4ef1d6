//! Figures of queue, errors and sources. None needs a scan of a large table: counters where there are any, else partial
//! indexes that hold only what is counted.

use sqlx::{AssertSqlSafe, Postgres, QueryBuilder};

use super::PostgresStore;
use super::by_hand::DESTINATIONS;
use super::log::LOG;
use super::time::Time;
use crate::domain::ids::SourceName;
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

/// How many changes of the queue's counts are added up at once.
const MOST_CHANGES: i64 = 20_000;
/// The advisory lock of the process that adds them up.
const ADDING_UP: i64 = 0x6c72_0001;

/// How many quarantined events of each source are counted at most: a source may quarantine all that it gets.
const MOST_QUARANTINED: i64 = 10_000;
/// Sources are found one after the other, so that none is counted to its end.
const QUARANTINED: &str = "WITH RECURSIVE found (source) AS (
         SELECT min(source) FROM events WHERE state = 'quarantined'
         UNION ALL
         SELECT (SELECT min(source) FROM events WHERE state = 'quarantined' AND source > found.source)
           FROM found WHERE found.source IS NOT NULL)
     SELECT source, (SELECT count(*) FROM (
                SELECT 1 FROM events WHERE state = 'quarantined' AND source = found.source LIMIT $1) AS counted)
       FROM found WHERE source IS NOT NULL";

/// How many suspicions of each destination and either kind are looked at.
const MOST_SUSPECTED: i64 = 10_000;
/// As the list of pairs shows them: what became one record meanwhile, or a lead's, is none.
fn suspected() -> String {
    format!(
        "SELECT d.destination, a.n + b.n
       FROM ({DESTINATIONS}) d
      CROSS JOIN LATERAL (
             SELECT count(*) AS n
               FROM (SELECT * FROM suspects WHERE NOT by_hand AND destination = d.destination LIMIT $1) s
               JOIN links k ON k.destination = s.destination AND k.source = s.source AND k.lead_id = s.lead_id
               JOIN links o ON o.destination = s.destination AND o.source = s.other_source AND o.lead_id = s.other_lead_id
              WHERE k.record_id <> o.record_id) a
      CROSS JOIN LATERAL (
             SELECT count(*) AS n
               FROM (SELECT * FROM strangers WHERE NOT by_hand AND destination = d.destination LIMIT $1) s
               JOIN links k ON k.destination = s.destination AND k.source = s.source AND k.lead_id = s.lead_id
              WHERE NOT EXISTS (SELECT 1 FROM links l WHERE l.record_id = s.record_id AND l.destination = s.destination)) b
      WHERE a.n + b.n > 0"
    )
}

/// Figures of each destination that ever had a job: counters that triggers keep, and the first entry of three indexes. The
/// codes of held jobs are those of the 2,000 held last.
pub(super) async fn queue(store: &PostgresStore, _now: Timestamp) -> StoreResult<Vec<QueueFigures>> {
    add_up(store).await?;
    let counts: Vec<(String, String, i64)> = sqlx::query_as(
        "SELECT destination, status, sum(n)::bigint
           FROM (SELECT destination, status, n FROM job_counts
                 UNION ALL SELECT destination, status, n FROM job_count_changes) AS counted
          GROUP BY destination, status",
    )
    .fetch_all(&store.pool)
    .await?;
    let mut figures = queue_figures(counts)?;
    for (destination, entry) in &mut figures {
        let (oldest, failing, waiting): (Option<Time>, Option<Time>, Option<Time>) = sqlx::query_as(
            "SELECT least(
                        (SELECT min(owed_since) FROM jobs WHERE destination = $1 AND state = 'owed' AND owed_since <> due_at),
                        (SELECT min(due_at) FROM jobs WHERE destination = $1 AND state = 'owed' AND lane = 0 AND class = 0),
                        (SELECT min(due_at) FROM jobs WHERE destination = $1 AND state = 'owed' AND lane = 0 AND class = 1),
                        (SELECT min(due_at) FROM jobs WHERE destination = $1 AND state = 'owed' AND lane = 1 AND class = 0),
                        (SELECT min(due_at) FROM jobs WHERE destination = $1 AND state = 'owed' AND lane = 1 AND class = 1)),
                    (SELECT min(first_failed_at) FROM jobs
                      WHERE destination = $1 AND state = 'owed' AND first_failed_at IS NOT NULL),
                    (SELECT min(waiting_since) FROM jobs
                      WHERE destination = $1 AND state = 'owed' AND waiting_since IS NOT NULL)",
        )
        .bind(destination)
        .fetch_one(&store.pool)
        .await?;
        entry.oldest = oldest.map(|oldest| oldest.0);
        // What waits behind a closed gate has not failed, but it is as late.
        entry.oldest_retry = failing.into_iter().chain(waiting).min().map(|oldest| oldest.0);
    }
    let held: Vec<(String, String, i64)> = sqlx::query_as(
        "SELECT destination, code, count(*)
           FROM (SELECT destination, coalesce(code, '') AS code FROM jobs WHERE state = 'held' AND state <> 'owed'
                  ORDER BY ended_at DESC LIMIT $1) AS held
          GROUP BY destination, code ORDER BY count(*) DESC, code",
    )
    .bind(MOST_HELD)
    .fetch_all(&store.pool)
    .await?;
    add_held_codes(&mut figures, held);
    Ok(figures.into_values().collect())
}

/// Whether a row `l` tells of what is still so: no later one tells of the same record of its lead, or that nothing is done for
/// the lead any more; and of a conflict, that it is open, or that the lead waits. `|| ''` keeps the planner from the index of
/// sources and destinations, which it takes for a narrow one as long as it knows nothing of a table that was just filled.
const STANDS: &str =
    "(EXISTS (SELECT 1 FROM leads e WHERE e.source = l.source AND e.lead_id = l.lead_id AND NOT e.excluded)
    AND (l.outcome <> 'conflict'
         OR EXISTS (SELECT 1 FROM conflicts c WHERE c.destination = l.destination AND c.source = l.source
                       AND c.lead_id = l.lead_id AND c.state = 'open')
         OR EXISTS (SELECT 1 FROM jobs j WHERE j.destination = l.destination AND j.source = l.source
                       AND j.lead_id = l.lead_id))
    AND NOT EXISTS (SELECT 1 FROM sync_log n
         WHERE n.lead_id = l.lead_id AND n.id > l.id AND n.source || '' = l.source
           AND n.destination || '' = l.destination
           AND (n.operation IN ('skip', 'delete')
                OR (n.operation LIKE 'account%') = (l.operation LIKE 'account%')
                   AND (n.operation LIKE 'opportunity%') = (l.operation LIKE 'opportunity%'))))";

/// Failures since then, first the groups that stand for most leads, then the most frequent; of each outcome the newest
/// 25,000 at most.
pub(super) async fn errors(store: &PostgresStore, since: Timestamp) -> StoreResult<Vec<ErrorGroup>> {
    let (lowest, highest): (Option<i64>, Option<i64>) = sqlx::query_as(LOG.bounds).fetch_one(&store.pool).await?;
    let (Some(lowest), Some(highest)) = (lowest, highest) else { return Ok(Vec::new()) };
    let first = LOG.find(&store.pool, lowest, highest, since).await?.before();
    let mut query = QueryBuilder::<Postgres>::new(
        "SELECT destination, error_code, sum(n)::bigint AS n, count(*) AS leads, min(first_seen) AS first_seen,
                max(last_seen) AS last_seen, count(*) FILTER (WHERE stands) AS open
           FROM (SELECT destination, error_code, count(*) AS n, min(at) AS first_seen, max(at) AS last_seen,
                        bool_or(stands) AS stands FROM (",
    );
    let failures = [Outcome::Retry, Outcome::Refused, Outcome::Dead, Outcome::Unknown, Outcome::Conflict];
    for (number, outcome) in failures.into_iter().enumerate() {
        query.push(if number == 0 { "(" } else { " UNION ALL (" });
        query.push(format!("SELECT destination, error_code, source, lead_id, at, {STANDS} AS stands FROM sync_log l"));
        query.push(" WHERE outcome = ");
        query.push_bind(outcome.as_str()).push(" AND outcome <> 'ok' AND id >= ").push_bind(first);
        query.push(" AND at >= ").push_bind(Time(since)).push(" ORDER BY id DESC LIMIT ");
        query.push_bind(MOST_FAILURES).push(")");
    }
    query.push(
        ") AS failures WHERE error_code IS NOT NULL GROUP BY destination, error_code, source, lead_id) AS leads
          GROUP BY destination, error_code ORDER BY open DESC, n DESC, destination, error_code",
    );
    let rows = query.build().persistent(false).fetch_all(&store.pool).await?;
    let groups = rows.iter().map(|row| {
        let cells = Cells::new(row, "sync_log", "?");
        Ok(ErrorGroup {
            destination: cells.get("destination")?,
            code: cells.get("error_code")?,
            count: cells.count("n")?,
            leads: cells.count("leads")?,
            open: cells.count("open")?,
            first_seen: cells.get("first_seen")?,
            last_seen: cells.get("last_seen")?,
        })
    });
    groups.collect()
}

/// Operations by outcome since then, to the minute, from the counters by minute.
pub(super) async fn outcomes(store: &PostgresStore, since: Timestamp) -> StoreResult<Vec<OutcomeCount>> {
    let rows = sqlx::query(
        "SELECT destination, operation, outcome, sum(n)::bigint AS n FROM outcome_counts WHERE minute >= $1
          GROUP BY destination, operation, outcome",
    )
    .bind(Time(start_of(since, MINUTE)))
    .fetch_all(&store.pool)
    .await?;
    rows.iter().map(|row| read_outcome_count(row, since)).collect()
}

/// What stands open, counted in the partial indexes that hold nothing else: `conflicts_open`, `links_sharer`,
/// `suspects_open`, `strangers_open` and `events_quarantined`.
pub(super) async fn standing(store: &PostgresStore) -> StoreResult<StandingFigures> {
    let open: Vec<(String, String, i64)> = sqlx::query_as(
        "SELECT destination, kind, count(*) FROM conflicts WHERE state = 'open'
          GROUP BY destination, kind",
    )
    .fetch_all(&store.pool)
    .await?;
    let shared: Vec<(String, i64)> = sqlx::query_as(
        "SELECT destination, count(*)
           FROM (SELECT DISTINCT k.destination, k.record_id FROM links k
                   JOIN links o ON o.destination = k.destination AND o.record_id = k.record_id AND o.owner
                  WHERE NOT k.owner) AS shared
          GROUP BY destination",
    )
    .fetch_all(&store.pool)
    .await?;
    let suspected: Vec<(String, i64)> =
        sqlx::query_as(AssertSqlSafe(suspected())).bind(MOST_SUSPECTED).fetch_all(&store.pool).await?;
    let quarantined: Vec<(String, i64)> =
        sqlx::query_as(QUARANTINED).bind(MOST_QUARANTINED).fetch_all(&store.pool).await?;
    // Few, since their number is bounded.
    let held: Vec<(String, i64)> =
        sqlx::query_as("SELECT source, count(*) FROM refused_requests GROUP BY source").fetch_all(&store.pool).await?;
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
pub(super) async fn source(store: &PostgresStore, source: &SourceName, since: Timestamp) -> StoreResult<SourceFigures> {
    let counts: Vec<(String, i64)> = sqlx::query_as(
        "SELECT state, sum(n)::bigint FROM source_counts WHERE source = $1 AND hour >= $2 GROUP BY state",
    )
    .bind(source.as_str())
    .bind(Time(start_of(since, HOUR)))
    .fetch_all(&store.pool)
    .await?;
    let last: Option<Time> = sqlx::query_scalar(
        "SELECT coalesce(
            (SELECT received_at FROM events WHERE id > (SELECT max(id) FROM events) - $2 AND source = $1
              ORDER BY id DESC LIMIT 1),
            (SELECT max(hour) FROM source_counts WHERE source = $1))",
    )
    .bind(source.as_str())
    .bind(MOST_EVENTS)
    .fetch_one(&store.pool)
    .await?;
    Ok(source_figures(counts, last.map(|last| last.0)))
}

/// Adds changes of the queue's counts to them, unless another process is at it.
async fn add_up(store: &PostgresStore) -> StoreResult<()> {
    loop {
        let changes: i64 = sqlx::query_scalar(
            "WITH turn AS MATERIALIZED (SELECT pg_try_advisory_xact_lock($1) AS mine),
                  gone AS (DELETE FROM job_count_changes
                            WHERE ctid = ANY(ARRAY(SELECT ctid FROM job_count_changes
                                                    WHERE (SELECT mine FROM turn) LIMIT $2))
                        RETURNING destination, status, n),
                  added AS (INSERT INTO job_counts AS c (destination, status, n)
                            SELECT destination, status, sum(n) FROM gone GROUP BY destination, status
                            ON CONFLICT (destination, status) DO UPDATE SET n = c.n + excluded.n)
             SELECT count(*) FROM gone",
        )
        .bind(ADDING_UP)
        .bind(MOST_CHANGES)
        .fetch_one(&store.pool)
        .await?;
        if changes < MOST_CHANGES {
            return Ok(());
        }
    }
}
