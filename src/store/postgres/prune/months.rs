//! Months that are over and old: copied as far as they are needed, and dropped.

use sqlx::{AssertSqlSafe, PgConnection};

use super::sweeps::{copied_up_to, forget_copied, partitions, save_copied};
use super::{PIECE, needed};
use crate::domain::time::Timestamp;
use crate::store::postgres::partitions::{Month, Monthly, attach, create_apart, run};

/// Up to how many rows that stay of a month go into the rest: few, since the rest is read whole when a month is attached.
const LITTLE: i64 = 500;

/// How many events may have changed since they were copied when the copy takes the month's place.
const FEW_CHANGES: i64 = 20;

/// The tables of one month: its partitions, and those for what stays of them.
struct Tables<'m> {
    monthly: &'m Monthly,
    month: Month,
    table: String,
    with_it: String,
    kept: String,
    with_kept: String,
    /// Which of its rows `e` have to stay.
    needed: String,
}

/// One step with the oldest month that is over and old. `false`: there is none, and nothing is left to tidy.
pub(super) async fn step(
    db: &mut PgConnection,
    monthly: &Monthly,
    before: Timestamp,
    keep_unfolded: bool,
) -> sqlx::Result<bool> {
    let names = partitions(db, monthly.table).await?;
    let this = Month::of(before);
    let old = names.iter().filter_map(|name| Month::of_partition(name, monthly.table)).filter(|month| *month < this);
    if let Some(month) = old.min() {
        return Tables::new(monthly, month, keep_unfolded).prune(db).await;
    }
    let kept = format!("{}_kept", monthly.table);
    for month in names.iter().filter_map(|name| Month::of_partition(name, &kept)) {
        let tables = Tables::new(monthly, month, keep_unfolded);
        if tables.kept_is_little(db).await? {
            tables.move_to_rest(db).await?;
            return Ok(true);
        }
    }
    Ok(false)
}

impl<'m> Tables<'m> {
    fn new(monthly: &'m Monthly, month: Month, keep_unfolded: bool) -> Self {
        let kept = |table: &str| month.partition(&format!("{table}_kept"));
        Self {
            monthly,
            month,
            needed: needed(monthly, keep_unfolded),
            table: month.partition(monthly.table),
            with_it: month.partition(monthly.with_it),
            kept: kept(monthly.table),
            with_kept: kept(monthly.with_it),
        }
    }

    /// Goes on with the copy; when it is complete, it takes the month's place.
    async fn prune(&self, db: &mut PgConnection) -> sqlx::Result<bool> {
        let begun: bool =
            sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL").bind(&self.kept).fetch_one(&mut *db).await?;
        if !begun {
            self.begin(db).await?;
        }
        let position = copied_up_to(db, &self.table).await?;
        match self.copy_piece(db, position).await? {
            Some(last) => save_copied(db, &self.table, last).await?,
            None if self.many_changes(db).await? => self.catch_up(db).await?,
            None => self.swap(db).await?,
        }
        Ok(true)
    }

    /// Makes the tables for the copy. From now on it is noted which events of the month change; the log never does.
    async fn begin(&self, db: &mut PgConnection) -> sqlx::Result<()> {
        let Self { monthly, month, table, .. } = self;
        wait_briefly(db).await?;
        create_apart(db, &self.kept, monthly.table, monthly.time, *month).await?;
        create_apart(db, &self.with_kept, monthly.with_it, monthly.time, *month).await?;
        if self.changes() {
            let note = format!(
                "DELETE FROM pruning_changes;
                 CREATE TRIGGER {table}_changed AFTER INSERT OR UPDATE ON {table}
                     FOR EACH ROW EXECUTE FUNCTION note_changed_event()"
            );
            run(db, note).await?;
        }
        Ok(())
    }

    fn changes(&self) -> bool {
        self.monthly.table == "events"
    }

    /// Copies what is needed of the next rows, and answers the last of them.
    async fn copy_piece(&self, db: &mut PgConnection, position: i64) -> sqlx::Result<Option<i64>> {
        let Self { monthly, needed, table, with_it, kept, with_kept, .. } = self;
        let of = monthly.of;
        let copy = format!(
            "WITH piece AS MATERIALIZED (SELECT * FROM {table} WHERE id > $1 ORDER BY id LIMIT $2),
                  kept AS (INSERT INTO {kept} SELECT e.* FROM piece e WHERE {needed}
                               ON CONFLICT DO NOTHING RETURNING id),
                  with_kept AS (INSERT INTO {with_kept} SELECT b.* FROM {with_it} b
                                 WHERE b.{of} IN (SELECT id FROM kept) ON CONFLICT DO NOTHING)
             SELECT max(id) FROM piece"
        );
        sqlx::query_scalar(AssertSqlSafe(copy)).bind(position).bind(PIECE).fetch_one(db).await
    }

    /// Puts what stays in the month's place. Everyone else waits meanwhile, for some milliseconds.
    async fn swap(&self, db: &mut PgConnection) -> sqlx::Result<()> {
        self.lock(db).await?;
        if self.changes() {
            self.catch_up(db).await?;
        }
        run(db, format!("DROP TABLE {}, {}", self.table, self.with_it)).await?;
        if self.kept_is_little(db).await? {
            self.insert_into_rest(db).await?;
        } else {
            attach(db, &self.kept, self.monthly.table, self.month).await?;
            attach(db, &self.with_kept, self.monthly.with_it, self.month).await?;
        }
        forget_copied(db, &self.table).await
    }

    async fn lock(&self, db: &mut PgConnection) -> sqlx::Result<()> {
        wait_briefly(db).await?;
        let Monthly { table, with_it, .. } = self.monthly;
        run(db, format!("LOCK TABLE ONLY {table}, ONLY {with_it} IN ACCESS EXCLUSIVE MODE")).await
    }

    /// Whether more changed than should be copied anew while everyone waits.
    async fn many_changes(&self, db: &mut PgConnection) -> sqlx::Result<bool> {
        if !self.changes() {
            return Ok(false);
        }
        let count = "SELECT count(*) > $1 FROM (SELECT 1 FROM pruning_changes LIMIT $1 + 1) AS changes";
        sqlx::query_scalar(count).bind(FEW_CHANGES).fetch_one(db).await
    }

    /// Copies anew what changed since it was looked at, and what a job that came since has to fold. A change is noted by
    /// the transaction that makes it: what is not seen yet is seen the next time.
    async fn catch_up(&self, db: &mut PgConnection) -> sqlx::Result<()> {
        let Self { monthly, needed, table, with_it, kept, with_kept, .. } = self;
        let of = monthly.of;
        let changed: Vec<i64> =
            sqlx::query_scalar("DELETE FROM pruning_changes RETURNING event_id").fetch_all(&mut *db).await?;
        for sql in [
            format!("DELETE FROM {with_kept} WHERE {of} = ANY($1)"),
            format!("DELETE FROM {kept} WHERE id = ANY($1)"),
            format!(
                "INSERT INTO {kept} SELECT e.* FROM {table} e
                  WHERE (e.id = ANY($1) OR e.state = 'stored')
                    AND NOT EXISTS (SELECT 1 FROM {kept} k WHERE k.id = e.id OFFSET 0) AND {needed}"
            ),
            format!(
                "INSERT INTO {with_kept} SELECT b.* FROM {with_it} b
                  WHERE b.{of} = ANY(ARRAY(
                      SELECT id FROM {kept} WHERE id = ANY($1) UNION SELECT id FROM {kept} WHERE state = 'stored'))
                     ON CONFLICT DO NOTHING"
            ),
        ] {
            sqlx::query(AssertSqlSafe(sql)).bind(&changed).execute(&mut *db).await?;
        }
        Ok(())
    }

    async fn kept_is_little(&self, db: &mut PgConnection) -> sqlx::Result<bool> {
        let count = format!("SELECT count(*) <= $1 FROM (SELECT 1 FROM {} LIMIT $1 + 1) AS kept", self.kept);
        sqlx::query_scalar(AssertSqlSafe(count)).bind(LITTLE).fetch_one(db).await
    }

    /// What stayed of a month has become little.
    async fn move_to_rest(&self, db: &mut PgConnection) -> sqlx::Result<()> {
        self.lock(db).await?;
        let Monthly { table, with_it, .. } = self.monthly;
        let detach = format!(
            "ALTER TABLE {table} DETACH PARTITION {}; ALTER TABLE {with_it} DETACH PARTITION {}",
            self.kept, self.with_kept
        );
        run(db, detach).await?;
        self.insert_into_rest(db).await
    }

    /// What belongs to no partition goes into the rest.
    async fn insert_into_rest(&self, db: &mut PgConnection) -> sqlx::Result<()> {
        let Monthly { table, with_it, .. } = self.monthly;
        let Self { kept, with_kept, .. } = self;
        let insert = format!(
            "INSERT INTO {table} SELECT * FROM {kept}; INSERT INTO {with_it} SELECT * FROM {with_kept};
             DROP TABLE {kept}, {with_kept}"
        );
        run(db, insert).await
    }
}

/// How long others may have to wait behind us for tables that are in use.
async fn wait_briefly(db: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query("SET LOCAL lock_timeout = '50ms'").execute(db).await?;
    Ok(())
}
