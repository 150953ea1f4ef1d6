//! What is made of the leases of processes that died, and what time makes of writes without an answer.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use uuid::Uuid;

use super::dirty::{self, Why};
use super::replicas::{OF_LATE, nobody_died};
use super::time::Time;
use super::{PostgresStore, append, leases};
use crate::domain::ids::{DestinationName, LeadKey, ObjectName, RecordId, RecordRef};
use crate::domain::job::{Class, MAY_LAND_FOR};
use crate::domain::time::Timestamp;
use crate::store::cells::Cells;
use crate::store::stored::decisions_from_json;
use crate::store::{LeaseToken, LeasesOf, NewLogRow, Operation, Outcome, Recovered, StoreError, StoreResult};

/// Rows handled in one transaction.
const PIECE: i64 = 100;
/// Waits that are shortened in one statement.
const WAITS: i64 = 5000;

const PROCESS_DIED: Unsettled<'_> = Unsettled {
    of: None,
    lead: None,
    code: "process_died",
    detail: "the process ended before the answer was recorded; the record is read again",
};

const NOT_RECORDED: Unsettled<'_> = Unsettled {
    code: "not_recorded",
    detail: "the answer could not be recorded before the lease ended; the record is read again",
    ..PROCESS_DIED
};

/// Releases leases. While another process may live, nobody can tell its leases from those of a dead one until they run out.
pub(super) async fn recover(store: &PostgresStore, whose: LeasesOf, now: Timestamp) -> StoreResult<Recovered> {
    let mut db = store.pool.acquire().await?;
    let (died, of) = match whose {
        LeasesOf::DeadProcess => (PROCESS_DIED, left_behind(&mut db, store.replica).await?),
        LeasesOf::Batch(token) => {
            let (code, detail) =
                ("internal_error", "leadrelay failed before the answer was recorded; the record is read again");
            (Unsettled { of: Some(token), lead: None, code, detail }, Some(vec![token]))
        }
    };
    let which = Which { of, destination: None, as_told_by: None };
    let mut recovered = Recovered::default();
    loop {
        let released = release_leases(&mut db, &which, now).await?;
        recovered.leases += released;
        if released == 0 {
            break;
        }
    }
    if let (LeasesOf::DeadProcess, Some(left)) = (whose, &which.of) {
        leases::release_left(&mut db, left).await?;
    }
    loop {
        let mut piece = db.begin().await?;
        let unknown = open_unsettled(&mut piece, &died, now).await?;
        piece.commit().await?;
        recovered.unknown_writes += unknown;
        if unknown == 0 {
            break;
        }
    }
    store.wake_workers();
    Ok(recovered)
}

/// Whose leases there are, if no other process can have any: each leaves its row until it ends, or has not been seen for
/// long. Read at one moment, so that a process that starts just now is either known of or has nothing in here yet.
async fn left_behind(db: &mut PgConnection, this: Uuid) -> StoreResult<Option<Vec<LeaseToken>>> {
    let left = format!(
        "SELECT ARRAY(SELECT lease_token FROM jobs WHERE lease_token IS NOT NULL UNION SELECT holder FROM leases)
          WHERE NOT EXISTS (SELECT 1 FROM replicas r WHERE r.id <> $1 AND {OF_LATE})"
    );
    Ok(sqlx::query_scalar(AssertSqlSafe(left)).bind(this).fetch_optional(db).await?)
}

/// Releases the leases of a destination that ran out, and makes of their writes what a start does; together, so that
/// nothing is left behind by whoever does this. First those of which nobody died, and then the others.
pub(super) async fn ran_out(
    store: &PostgresStore,
    destination: &DestinationName,
    now: Timestamp,
) -> StoreResult<Recovered> {
    let any: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM jobs WHERE lease_token IS NOT NULL AND destination = $1 AND due_at <= $2)",
    )
    .bind(destination.as_str())
    .bind(Time(now))
    .fetch_one(&store.pool)
    .await?;
    let mut recovered = Recovered::default();
    if !any {
        return Ok(recovered);
    }
    for (as_told_by, what_of_it) in [(Some(store.replica), NOT_RECORDED), (None, PROCESS_DIED)] {
        let which = Which { of: None, destination: Some(destination), as_told_by };
        loop {
            let mut piece = store.pool.begin().await?;
            let released = release_leases(&mut piece, &which, now).await?;
            if released == 0 {
                break;
            }
            loop {
                let unknown = open_unsettled(&mut piece, &what_of_it, now).await?;
                recovered.unknown_writes += unknown;
                if unknown == 0 {
                    break;
                }
            }
            piece.commit().await?;
            recovered.leases += released;
        }
    }
    store.wake_workers();
    Ok(recovered)
}

/// Whose writes were announced and not settled, and what the log says of it.
#[derive(Clone, Copy)]
pub(super) struct Unsettled<'a> {
    /// `None`: of whoever has no lease any more.
    pub of: Option<LeaseToken>,
    /// `None`: of all its leads.
    pub lead: Option<&'a LeadKey>,
    pub code: &'static str,
    pub detail: &'static str,
}

/// Which leases are released.
struct Which<'a> {
    /// `None`: whoever's, but only those that ran out.
    of: Option<Vec<LeaseToken>>,
    /// `None`: of all of them.
    destination: Option<&'a DestinationName>,
    /// Only those of which nobody died, as this process can tell; they are not suspect.
    as_told_by: Option<Uuid>,
}

/// Makes leased jobs due now. Those that had announced are suspect; of the others the attempt never began.
async fn release_leases(db: &mut PgConnection, which: &Which<'_>, now: Timestamp) -> StoreResult<u64> {
    let release = format!(
        "WITH held AS MATERIALIZED (
             SELECT destination, source, lead_id FROM jobs j
              WHERE lease_token IS NOT NULL AND (lease_token = ANY ($3::uuid[]) OR $3 IS NULL AND due_at <= $1)
                AND ($4::text IS NULL OR destination = $4) AND ($5::uuid IS NULL OR {})
              ORDER BY destination COLLATE \"C\", source COLLATE \"C\", lead_id COLLATE \"C\" LIMIT $2
                FOR UPDATE),
         told AS MATERIALIZED (
             SELECT h.*, EXISTS (SELECT 1 FROM intents i
                                  WHERE i.destination = h.destination AND i.source = h.source
                                    AND i.lead_id = h.lead_id AND i.settled = 0) AS announced
               FROM held h)
         UPDATE jobs j SET lease_token = NULL, due_at = $1,
                attempt = CASE WHEN t.announced THEN j.attempt ELSE greatest(j.attempt - 1, 0) END,
                suspicion = j.suspicion + (t.announced AND $5 IS NULL)::integer
           FROM told t
          WHERE j.destination = t.destination AND j.source = t.source AND j.lead_id = t.lead_id",
        nobody_died("$5")
    );
    let released = sqlx::query(AssertSqlSafe(release))
        .bind(Time(now))
        .bind(PIECE)
        .bind(&which.of)
        .bind(which.destination.map(DestinationName::as_str))
        .bind(which.as_told_by)
        .execute(db)
        .await?;
    Ok(released.rows_affected())
}

/// Writes that were announced and of which nothing is known: logged, and kept open while they may land. A piece of them;
/// within the caller's transaction, where the rows stay locked.
pub(super) async fn open_unsettled(db: &mut PgConnection, whose: &Unsettled<'_>, now: Timestamp) -> StoreResult<u64> {
    let (source, lead) = whose.lead.map(|lead| (lead.source.as_str(), lead.id.as_str())).unzip();
    let unsettled = sqlx::query(
        "SELECT id, destination, source, lead_id, object, record_id, attempt, request_id, decisions::text AS decisions
           FROM intents i
          WHERE settled = 0 AND ($2::uuid IS NULL OR lease_token = $2)
            AND ($3::text IS NULL OR (source = $3 AND lead_id = $4))
            AND ($2 IS NOT NULL OR NOT EXISTS (
                    SELECT 1 FROM jobs j WHERE j.destination = i.destination AND j.source = i.source
                       AND j.lead_id = i.lead_id AND j.lease_token = i.lease_token))
          ORDER BY destination COLLATE \"C\", source COLLATE \"C\", lead_id COLLATE \"C\", id LIMIT $1
            FOR UPDATE OF i",
    )
    .bind(PIECE)
    .bind(whose.of)
    .bind(source)
    .bind(lead)
    .fetch_all(&mut *db)
    .await?;
    if unsettled.is_empty() {
        return Ok(0);
    }
    let log = unsettled.iter().map(|row| unknown_write(row, whose, now)).collect::<StoreResult<Vec<_>>>()?;
    let ids = unsettled.iter().map(|row| row.try_get("id")).collect::<Result<Vec<i64>, _>>()?;
    sqlx::query("UPDATE intents SET settled = 1, keep_open_until = $2 WHERE id = ANY ($1)")
        .bind(ids)
        .bind(Time(now.after(MAY_LAND_FOR)))
        .execute(&mut *db)
        .await?;
    note(db, &log).await?;
    Ok(unsettled.len() as u64)
}

fn unknown_write(row: &PgRow, whose: &Unsettled<'_>, now: Timestamp) -> StoreResult<NewLogRow> {
    let (cells, lead) = Cells::of_lead(row, "intents")?;
    let object: ObjectName = cells.get("object")?;
    let record = cells.get::<Option<RecordId>>("record_id")?.map(|id| RecordRef { object, id });
    let operation = if record.is_some() { Operation::Update } else { Operation::Create };
    Ok(NewLogRow {
        record,
        error_code: Some(whose.code.to_owned()),
        error: Some(whose.detail.to_owned()),
        attempt: cells.count("attempt")?,
        request_id: cells.get("request_id")?,
        // What cannot be read any more must not keep the program from starting.
        decisions: decisions_from_json(cells.get("decisions")?).unwrap_or_default(),
        ..NewLogRow::note(now, lead, cells.get("destination")?, operation, Outcome::Unknown)
    })
}

/// Appends log rows, together or else each for itself. What the database refuses of them must keep neither the program from
/// starting nor the writes from being looked for.
async fn note(db: &mut PgConnection, log: &[NewLogRow]) -> StoreResult<()> {
    if let Err(error) = append_apart(db, log).await {
        refused(error)?;
        for row in log {
            if let Err(error) = append_apart(db, std::slice::from_ref(row)).await {
                let (lead, destination, error) = (&row.lead, &row.destination, refused(error)?);
                tracing::error!(lead.id = %lead.id, %destination, "cannot log that the outcome of a write of {lead} is unknown: {error}");
            }
        }
    }
    Ok(())
}

/// An error that is of the rows; the state of the server is the caller's business.
fn refused(error: StoreError) -> StoreResult<StoreError> {
    match error {
        StoreError::Database(_) | StoreError::Corrupt { .. } => Ok(error),
        error => Err(error),
    }
}

async fn append_apart(db: &mut PgConnection, log: &[NewLogRow]) -> StoreResult<()> {
    let mut savepoint = db.begin().await?;
    append::append(&mut savepoint, log).await?;
    Ok(savepoint.commit().await?)
}

pub(super) async fn close_late(store: &PostgresStore, now: Timestamp) -> StoreResult<u64> {
    let mut closed = 0;
    loop {
        let mut piece = store.pool.begin().await?;
        let (found, of_these) = close_some(&mut piece, now).await?;
        piece.commit().await?;
        closed += of_these;
        if of_these > 0 {
            store.wake_workers();
        }
        if found < PIECE {
            return Ok(closed);
        }
    }
}

/// Answers how many late intents were found, and of how many another process had not taken care meanwhile.
async fn close_some(db: &mut PgConnection, now: Timestamp) -> StoreResult<(i64, u64)> {
    let late: Vec<(i64, String, String, String)> = sqlx::query_as(
        "SELECT id, destination, source, lead_id FROM intents
          WHERE keep_open_until IS NOT NULL AND keep_open_until <= $1 ORDER BY keep_open_until LIMIT $2",
    )
    .bind(Time(now))
    .bind(PIECE)
    .fetch_all(&mut *db)
    .await?;
    let mut leads: BTreeMap<DestinationName, BTreeSet<LeadKey>> = BTreeMap::new();
    for (_, destination, source, lead) in &late {
        let key = LeadKey::new(source.as_str(), lead.as_str());
        leads.entry(destination.as_str().into()).or_default().insert(key);
    }
    // Jobs before intents, as whoever settles them takes them.
    for (destination, leads) in leads {
        let leads: Vec<LeadKey> = leads.into_iter().collect();
        dirty::touch_many(db, &destination, &leads, Class::Live, now, Why::News).await?;
    }
    // They go when the look that each stands for is settled: a value that landed late must not seem an edit.
    let closed = sqlx::query(
        "UPDATE intents SET settled = 2, keep_open_until = NULL
          WHERE id IN (SELECT id FROM intents WHERE id = ANY ($1) AND keep_open_until <= $2
                        ORDER BY destination COLLATE \"C\", source COLLATE \"C\", lead_id COLLATE \"C\", id FOR UPDATE)",
    )
    .bind(late.iter().map(|(id, ..)| *id).collect::<Vec<_>>())
    .bind(Time(now))
    .execute(db)
    .await?;
    Ok((late.len() as i64, closed.rows_affected()))
}

pub(super) async fn shorten_waits(store: &PostgresStore, latest: Timestamp) -> StoreResult<u64> {
    let mut shortened = 0;
    loop {
        let piece = sqlx::query(
            "WITH long AS MATERIALIZED (
                 SELECT destination, source, lead_id FROM jobs WHERE state = 'owed' AND due_at > $1
                  ORDER BY destination COLLATE \"C\", source COLLATE \"C\", lead_id COLLATE \"C\" LIMIT $2 FOR UPDATE)
             UPDATE jobs j SET due_at = $1 FROM long
              WHERE j.destination = long.destination AND j.source = long.source AND j.lead_id = long.lead_id",
        )
        .bind(Time(latest))
        .bind(WAITS)
        .execute(&store.pool)
        .await?
        .rows_affected();
        shortened += piece;
        if piece == 0 {
            break;
        }
    }
    store.wake_workers();
    Ok(shortened)
}
