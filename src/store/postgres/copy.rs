//! Moving everything from an SQLite database here.
//!
//! Each table is read in pieces and compared row by row with what is here: what differs is removed, and then what is missing
//! is written. So a copy that was broken off goes on where it was, and one made while the service still runs is brought up to
//! date by a second one after it has stopped. At the end every table is counted and summed up on both sides.

mod rows;
mod tables;

use std::path::Path;

use sha2::{Digest, Sha256};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool};

use self::rows::{Row, Source, Target};
use self::tables::{TABLES, Table};
use super::{connect, migrations, partitions};
use crate::domain::time::Timestamp;
use crate::store::{StoreError, StoreResult};

/// Rows compared at once.
const PIECE: i64 = 1000;

/// The mark of a database that is being copied to. Whoever serves it removes the mark, if the copy is complete.
const MARK: &str = "copying";
const INCOMPLETE: i64 = 1;
const COMPLETE: i64 = 2;

/// Where a copy stands.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    pub table: &'static str,
    /// Rows of it that were compared, and how many there are.
    pub done: u64,
    pub total: u64,
}

/// What a copy found and did in one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopiedTable {
    pub table: &'static str,
    /// Rows, the same on both sides.
    pub rows: u64,
    /// Rows that were not here or differed.
    pub written: u64,
    /// Rows here that are no longer there.
    pub removed: u64,
    /// Over all rows, in whatever order; the same on both sides.
    pub checksum: String,
}

/// Brings the database at `url` to exactly what the SQLite file holds.
///
/// The file may be in use: it is read as it is when the copy begins, and then the copy is not complete; `at_rest`: nobody can
/// write to it. [`StoreError::Unfit`] if the database already holds
/// something that is not from a copy, or if somebody else changed it meanwhile.
pub async fn copy_from(
    path: &Path,
    url: &str,
    accept_unsafe_server: bool,
    at_rest: bool,
    mut tell: impl FnMut(Progress),
) -> StoreResult<Vec<CopiedTable>> {
    let source = SqliteConnectOptions::new().filename(path).read_only(true).connect().await?;
    let mut source = Source(source);
    sqlx::query("BEGIN").execute(&mut source.0).await?;
    let (_, target) = connect::first(url, accept_unsafe_server).await?;
    let mut target = Target(target);
    migrations::apply(&mut target.0, true).await?;
    claim_for_copy(&mut target.0).await?;
    must_be_the_same(&mut source.0, &mut target.0).await?;
    // The tables are not analysed yet, so the planner would rather read them whole than look keys up.
    sqlx::raw_sql("SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off")
        .execute(&mut target.0)
        .await?;
    make_months(&mut source.0, &mut target.0).await?;
    let mut copied = Vec::new();
    for table in &TABLES {
        let removed = remove_what_differs(&mut source, &mut target, table).await?;
        let written = write_what_is_missing(&mut source, &mut target, table, &mut tell).await?;
        copied.push((table, written, removed));
    }
    set_sequences(&mut target.0).await?;
    let mut verified = Vec::new();
    for (table, written, removed) in copied {
        let (there, here) = (source.sum_up(table).await?, target.sum_up(table).await?);
        if there != here {
            return Err(StoreError::Unfit(format!(
                "{} differs after the copy ({} rows there, {} here): something else writes to the new database; see what \
                 it is, and copy again",
                table.name, there.rows, here.rows
            )));
        }
        let Summed { rows, sum } = here;
        verified.push(CopiedTable { table: table.name, rows, written, removed, checksum: format!("{sum:032x}") });
    }
    if at_rest {
        mark(&mut target.0, COMPLETE).await?;
    }
    source.0.close().await?;
    target.0.close().await?;
    Ok(verified)
}

/// Lets a database be served: from now on what is in it came from webhooks, too, and nothing is copied over it.
///
/// [`StoreError::Unfit`] if it was copied to and the copy is not complete.
pub(super) async fn end_copying(db: &PgPool) -> StoreResult<()> {
    let stage: Option<i64> =
        sqlx::query_scalar("SELECT position FROM sweeps WHERE name = $1").bind(MARK).fetch_optional(db).await?;
    match stage {
        None => Ok(()),
        Some(COMPLETE) => {
            sqlx::query("DELETE FROM sweeps WHERE name = $1").bind(MARK).execute(db).await?;
            Ok(())
        }
        Some(_) => Err(StoreError::Unfit(
            "the copy from SQLite to this database is not complete; stop leadrelay on the SQLite file and run `leadrelay \
             migrate --copy-from … --to …` once more, until it says that everything was copied"
                .to_owned(),
        )),
    }
}

async fn claim_for_copy(db: &mut PgConnection) -> StoreResult<()> {
    let (marked, used): (bool, bool) = sqlx::query_as(
        "SELECT EXISTS (SELECT 1 FROM sweeps WHERE name = $1),
                EXISTS (SELECT 1 FROM events) OR EXISTS (SELECT 1 FROM jobs) OR EXISTS (SELECT 1 FROM leads)
                OR EXISTS (SELECT 1 FROM sync_log) OR EXISTS (SELECT 1 FROM replicas)",
    )
    .bind(MARK)
    .fetch_one(&mut *db)
    .await?;
    if used && !marked {
        return Err(StoreError::Unfit(
            "the database to copy to is in use already; give an empty one, so that nothing in it is lost. If it was only \
             copied to and then served by mistake, drop it, make it anew and copy again"
                .to_owned(),
        ));
    }
    mark(db, INCOMPLETE).await
}

async fn mark(db: &mut PgConnection, stage: i64) -> StoreResult<()> {
    sqlx::query(
        "INSERT INTO sweeps (name, position) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET position = excluded.position",
    )
    .bind(MARK)
    .bind(stage)
    .execute(db)
    .await?;
    Ok(())
}

/// What was copied before must have come from the same file: another one would take its place row by row.
async fn must_be_the_same(source: &mut SqliteConnection, target: &mut PgConnection) -> StoreResult<()> {
    let newest = "SELECT id, request_id FROM events ORDER BY id DESC LIMIT 1";
    let Some((id, request)): Option<(i64, String)> = sqlx::query_as(newest).fetch_optional(target).await? else {
        return Ok(());
    };
    let there: Option<String> =
        sqlx::query_scalar("SELECT request_id FROM events WHERE id = ?").bind(id).fetch_optional(source).await?;
    if there.as_ref() == Some(&request) {
        return Ok(());
    }
    Err(StoreError::Unfit(
        "what was copied to this database before came from another SQLite file; see which is the right one, or give an \
         empty database"
            .to_owned(),
    ))
}

/// Keeps everybody from serving the database until this transaction ends; refused if somebody already does.
async fn go_on_copying(db: &mut PgConnection) -> StoreResult<()> {
    let marked: Option<i64> = sqlx::query_scalar("SELECT position FROM sweeps WHERE name = $1 FOR SHARE")
        .bind(MARK)
        .fetch_optional(db)
        .await?;
    marked.map(|_| ()).ok_or_else(|| {
        StoreError::Unfit(
            "leadrelay was started on the new database before the copy was complete, and what it took in since is kept; \
             to copy again, stop it and give an empty database"
                .to_owned(),
        )
    })
}

/// Makes a partition for each month that has rows.
async fn make_months(source: &mut SqliteConnection, target: &mut PgConnection) -> StoreResult<()> {
    let months: Vec<i64> = sqlx::query_scalar(
        "WITH times (at) AS (SELECT min(received_at) FROM events UNION ALL SELECT max(received_at) FROM events
                             UNION ALL SELECT min(at) FROM sync_log UNION ALL SELECT max(at) FROM sync_log)
         SELECT at FROM times WHERE at IS NOT NULL ORDER BY at",
    )
    .fetch_all(source)
    .await?;
    if let [first, .., last] = months[..] {
        partitions::make_between(target, Timestamp::from_micros(first), Timestamp::from_micros(last)).await?;
    }
    Ok(())
}

/// Removes what is no longer there, and what is there in another form: first of all, so that no row is in the way of another
/// one that has its place by now, such as the owner of a record. Answers how many are no longer there.
async fn remove_what_differs(source: &mut Source, target: &mut Target, table: &Table) -> StoreResult<u64> {
    let (mut after, mut gone) = (None, 0);
    loop {
        let here = target.page(table, after.as_ref(), PIECE).await?;
        let Some(last) = here.last() else { return Ok(gone) };
        after = Some(last.clone());
        let there = source.with_keys_of(table, &here).await?;
        gone += here.iter().filter(|row| !there.contains_key(row.key(table))).count() as u64;
        let differing: Vec<Row> = here.into_iter().filter(|row| there.get(row.key(table)) != Some(row)).collect();
        target.remove(table, &differing).await?;
    }
}

async fn write_what_is_missing(
    source: &mut Source,
    target: &mut Target,
    table: &Table,
    tell: &mut impl FnMut(Progress),
) -> StoreResult<u64> {
    let total = source.count(table).await?;
    let (mut after, mut done, mut written) = (None, 0, 0);
    loop {
        tell(Progress { table: table.name, done, total });
        let there = source.page(table, after.as_ref(), PIECE).await?;
        let Some(last) = there.last() else { return Ok(written) };
        after = Some(last.clone());
        done += there.len() as u64;
        let here = target.with_keys_of(table, &there).await?;
        let missing: Vec<Row> = there.into_iter().filter(|row| !here.contains_key(row.key(table))).collect();
        written += missing.len() as u64;
        target.insert(table, &missing).await?;
    }
}

/// So that new rows get numbers of their own.
async fn set_sequences(db: &mut PgConnection) -> StoreResult<()> {
    let mut transaction = db.begin().await?;
    go_on_copying(&mut transaction).await?;
    for (sequence, of) in [
        ("'event_ids'", "SELECT max(id) FROM events"),
        ("'sync_log_ids'", "SELECT max(id) FROM sync_log"),
        ("pg_get_serial_sequence('intents', 'id')", "SELECT max(id) FROM intents"),
        ("pg_get_serial_sequence('conflicts', 'id')", "SELECT max(id) FROM conflicts"),
        ("pg_get_serial_sequence('field_sets', 'id')", "SELECT max(id) FROM field_sets"),
        ("pg_get_serial_sequence('refused_requests', 'id')", "SELECT max(id) FROM refused_requests"),
        ("pg_get_serial_sequence('audit', 'id')", "SELECT max(id) FROM audit"),
        ("pg_get_serial_sequence('runs', 'id')", "SELECT max(id) FROM runs"),
    ] {
        let set = format!("SELECT setval({sequence}, coalesce(({of}), 0) + 1, false)");
        sqlx::raw_sql(sqlx::AssertSqlSafe(set)).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// How many rows, and the sum of their hashes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Summed {
    rows: u64,
    sum: u128,
}

impl Summed {
    fn add(&mut self, row: &Row) {
        let hash = Sha256::digest(row.bytes());
        let mut half = [0; 16];
        half.copy_from_slice(&hash[..16]);
        self.rows += 1;
        self.sum = self.sum.wrapping_add(u128::from_be_bytes(half));
    }
}
