//! Deleting in pieces, and how far that came.

use sqlx::{AssertSqlSafe, PgConnection};

use super::{PIECE, needed};
use crate::domain::time::Timestamp;
use crate::store::postgres::partitions::{MONTHLY, Month};
use crate::store::postgres::time::Time;

/// Tables of which nothing old has to stay, and which rows are old: `$1` is the time.
const DELETES: [(&str, &str); 7] = [
    ("event_keys", "received_at < $1"),
    ("audit", "at < $1"),
    ("outcome_counts", "minute < $1"),
    ("source_counts", "hour < $1"),
    ("budget", "hour < $1"),
    ("closed_spans", "opened_at < $1"),
    ("runs", "updated_at < $1 AND state <> 'running'"),
];

/// What replicas leave behind that died, by the database's clock, which they go by: their rows, which nobody heeds any more,
/// their closed gates, and the people of their batches that nobody wanted since.
const GONE: [(&str, &str); 3] = [
    ("replicas", "seen_at < clock_timestamp() - interval '1 hour'"),
    ("closures", "NOT EXISTS (SELECT 1 FROM replicas r WHERE r.id = closures.replica)"),
    ("leases", "until < clock_timestamp() - interval '1 hour'"),
];

/// Where the round's own marks are kept, among the positions of sweeps.
const ROUND: &str = "round";
const TRIED: &str = "tried";
/// Before the name of a month of which a copy is being made; its position outlives the round.
const COPY: &str = "copy ";

/// A table that is walked through by its number.
struct Sweep {
    name: String,
    time: &'static str,
    /// Rows `e` that are old enough to go.
    old: String,
    needed: String,
    /// What goes with the rows: the same range, whatever row is no longer there.
    with_it: Option<String>,
}

/// `true`: this is the first step of a round.
pub(super) async fn begin_round(db: &mut PgConnection) -> sqlx::Result<bool> {
    let begun = sqlx::query("INSERT INTO sweeps (name, position) VALUES ($1, 0) ON CONFLICT DO NOTHING")
        .bind(ROUND)
        .execute(db)
        .await?;
    Ok(begun.rows_affected() > 0)
}

pub(super) async fn end_round(db: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM sweeps WHERE NOT starts_with(name, $1)").bind(COPY).execute(db).await?;
    Ok(())
}

pub(super) async fn count_try(db: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "INSERT INTO sweeps AS s (name, position) VALUES ($1, 1)
         ON CONFLICT (name) DO UPDATE SET position = s.position + 1 RETURNING position",
    )
    .bind(TRIED)
    .fetch_one(db)
    .await
}

/// How far the copy of a month came.
pub(super) async fn copied_up_to(db: &mut PgConnection, month: &str) -> sqlx::Result<i64> {
    position(db, &format!("{COPY}{month}")).await
}

pub(super) async fn save_copied(db: &mut PgConnection, month: &str, position: i64) -> sqlx::Result<()> {
    save(db, &format!("{COPY}{month}"), position).await
}

pub(super) async fn forget_copied(db: &mut PgConnection, month: &str) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM sweeps WHERE name = $1").bind(format!("{COPY}{month}")).execute(db).await?;
    Ok(())
}

/// Deletes a piece of what is simply old. Rows that someone has in hand are left to the next time, so that nobody is waited
/// for.
pub(super) async fn delete_piece(db: &mut PgConnection, before: Timestamp) -> sqlx::Result<bool> {
    for (table, old) in DELETES.into_iter().chain(GONE) {
        let sql = format!(
            "DELETE FROM {table} WHERE ctid = ANY(ARRAY(
                 SELECT ctid FROM {table} WHERE {old} AND $1::timestamptz IS NOT NULL LIMIT $2 FOR UPDATE SKIP LOCKED))"
        );
        let done = sqlx::query(AssertSqlSafe(sql)).bind(Time(before)).bind(PIECE).execute(&mut *db).await?;
        if done.rows_affected() > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Goes on with the first table in which something old is left to look at.
pub(super) async fn sweep_piece(db: &mut PgConnection, before: Timestamp, keep_unfolded: bool) -> sqlx::Result<bool> {
    for sweep in sweeps(db, keep_unfolded).await? {
        if sweep.piece(db, before).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Conflicts, what is in no month's partition, and what stayed of months.
async fn sweeps(db: &mut PgConnection, keep_unfolded: bool) -> sqlx::Result<Vec<Sweep>> {
    let mut sweeps = vec![Sweep {
        name: "conflicts".to_owned(),
        time: "opened_at",
        old: "e.state <> 'open' AND e.closed_at < $3".to_owned(),
        // A person's newest answer to a question stays as long as the lead: planning goes by it.
        needed: "(e.state = 'resolved'
                  AND EXISTS (SELECT 1 FROM leads l WHERE l.source = e.source AND l.lead_id = e.lead_id OFFSET 0)
                  AND NOT EXISTS (
                      SELECT 1 FROM conflicts n WHERE n.source = e.source AND n.lead_id = e.lead_id AND n.id > e.id
                         AND n.destination = e.destination AND n.kind = e.kind AND n.field = e.field
                         AND n.state = 'resolved' OFFSET 0))"
            .to_owned(),
        with_it: None,
    }];
    for monthly in &MONTHLY {
        let (table, time, of) = (monthly.table, monthly.time, monthly.of);
        for name in partitions(db, table).await? {
            let kept = Month::of_partition(&name, &format!("{table}_kept"));
            let with_it = match kept {
                Some(month) => month.partition(&format!("{}_kept", monthly.with_it)),
                None if name == format!("{table}_rest") => format!("{}_rest", monthly.with_it),
                None => continue,
            };
            sweeps.push(Sweep {
                name,
                time,
                old: format!("e.{time} < $3"),
                needed: needed(monthly, keep_unfolded),
                with_it: Some(format!(
                    "DELETE FROM {with_it} b WHERE b.{of} > $1 AND b.{of} <= $2
                        AND NOT EXISTS (SELECT 1 FROM {table} e WHERE e.id = b.{of} AND e.{time} = b.{time} OFFSET 0)"
                )),
            });
        }
    }
    Ok(sweeps)
}

/// The names of a table's partitions, in order.
pub(super) async fn partitions(db: &mut PgConnection, table: &str) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
          WHERE i.inhparent = to_regclass($1) ORDER BY c.relname",
    )
    .bind(table)
    .fetch_all(db)
    .await
}

impl Sweep {
    /// `false`: what comes next in this table is not old.
    async fn piece(&self, db: &mut PgConnection, before: Timestamp) -> sqlx::Result<bool> {
        let Self { name, time, old, needed, with_it } = self;
        let position = position(db, name).await?;
        let piece = format!("SELECT id, {time} FROM {name} WHERE id > $1 ORDER BY id LIMIT $2");
        let piece: Vec<(i64, Time)> =
            sqlx::query_as(AssertSqlSafe(piece)).bind(position).bind(PIECE).fetch_all(&mut *db).await?;
        let Some((last, _)) = piece.last() else { return Ok(false) };
        if piece.iter().all(|(_, at)| at.0 >= before) {
            return Ok(false);
        }
        // Locked first, and then looked at anew: what a replay has just put back is needed for a job that came with it.
        let lock = format!(
            "SELECT e.id FROM {name} e WHERE e.id > $1 AND e.id <= $2 AND {old} AND NOT {needed} FOR UPDATE SKIP LOCKED"
        );
        let locked = sqlx::query_scalar(AssertSqlSafe(lock)).bind(position).bind(last).bind(Time(before));
        let locked: Vec<i64> = locked.fetch_all(&mut *db).await?;
        let delete = format!("DELETE FROM {name} e WHERE e.id = ANY($1) AND NOT {needed}");
        sqlx::query(AssertSqlSafe(delete)).bind(locked).execute(&mut *db).await?;
        if let Some(with_it) = with_it {
            sqlx::query(AssertSqlSafe(with_it.clone())).bind(position).bind(last).execute(&mut *db).await?;
        }
        save(db, name, *last).await?;
        Ok(true)
    }
}

async fn position(db: &mut PgConnection, name: &str) -> sqlx::Result<i64> {
    let position = sqlx::query_scalar("SELECT position FROM sweeps WHERE name = $1").bind(name);
    Ok(position.fetch_optional(db).await?.unwrap_or(-1))
}

async fn save(db: &mut PgConnection, name: &str, position: i64) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO sweeps (name, position) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET position = excluded.position",
    )
    .bind(name)
    .bind(position)
    .execute(db)
    .await?;
    Ok(())
}
