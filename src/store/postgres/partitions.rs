//! Monthly partitions: made ahead, so that no row waits for one.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::domain::time::Timestamp;
use crate::store::StoreResult;

/// Two tables that have a partition for each month, called `<table>_y2026m11`, and one for the rest, `<table>_rest`.
///
/// What has to stay of a pruned month is in the rest if it is little, else in `<table>_kept_y2026m11`.
pub(super) struct Monthly {
    pub table: &'static str,
    /// The column of its month, in both.
    pub time: &'static str,
    /// What goes with its rows.
    pub with_it: &'static str,
    /// The column there that names the row.
    pub of: &'static str,
}

pub(super) const MONTHLY: [Monthly; 2] = [
    Monthly { table: "events", time: "received_at", with_it: "bodies", of: "event_id" },
    Monthly { table: "sync_log", time: "at", with_it: "sync_log_bodies", of: "log_id" },
];

/// How many months ahead of the present one have partitions.
const MONTHS_AHEAD: usize = 2;
/// The advisory lock of whoever makes partitions.
const MAKING: i64 = 0x6c72_0002;

/// A month by UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Month(Date);

impl Month {
    pub(super) fn of(moment: Timestamp) -> Self {
        let moment = jiff::Timestamp::from_microsecond(moment.as_micros()).unwrap_or_default();
        Self(TimeZone::UTC.to_datetime(moment).date().first_of_month())
    }

    /// The month of a partition, by its name.
    pub(super) fn of_partition(name: &str, table: &str) -> Option<Self> {
        let (year, month) = name.strip_prefix(table)?.strip_prefix("_y")?.split_once('m')?;
        Date::new(year.parse().ok()?, month.parse().ok()?, 1).ok().map(Self)
    }

    pub(super) fn partition(self, table: &str) -> String {
        format!("{table}_y{:04}m{:02}", self.0.year(), self.0.month())
    }

    fn next(self) -> Option<Self> {
        self.0.checked_add(jiff::Span::new().months(1)).ok().map(Self)
    }

    /// The moments between which it lies, as the database reads them.
    pub(super) fn bounds(self) -> Option<(String, String)> {
        Some((format!("{} 00:00:00+00", self.0), format!("{} 00:00:00+00", self.next()?.0)))
    }
}

/// Makes the partitions of this month and the next ones. A month of which rows are in the rest already goes without.
pub(super) async fn make_ahead(db: &mut PgConnection, now: Timestamp) -> StoreResult<()> {
    let months = std::iter::successors(Some(Month::of(now)), |month| month.next());
    make_months(db, months.take(1 + MONTHS_AHEAD)).await
}

/// The same from one moment's month to another's.
pub(super) async fn make_between(db: &mut PgConnection, first: Timestamp, last: Timestamp) -> StoreResult<()> {
    let months = std::iter::successors(Some(Month::of(first)), |month| month.next());
    make_months(db, months.take_while(|month| *month <= Month::of(last))).await
}

async fn make_months(db: &mut PgConnection, months: impl Iterator<Item = Month>) -> StoreResult<()> {
    for month in months {
        for monthly in &MONTHLY {
            if let Err(error) = make(db, monthly, month).await {
                let name = month.partition(monthly.table);
                tracing::warn!("{name} could not be made; tried again within a day: {error}");
            }
        }
    }
    Ok(())
}

/// Both partitions or none. They are made apart and then attached: readers and writers of other months go on.
async fn make(db: &mut PgConnection, monthly: &Monthly, month: Month) -> sqlx::Result<()> {
    let mut db = db.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(MAKING).execute(&mut *db).await?;
    let exists: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL OR to_regclass($2) IS NOT NULL")
        .bind(month.partition(monthly.table))
        .bind(month.partition(&format!("{}_kept", monthly.table)))
        .fetch_one(&mut *db)
        .await?;
    if exists {
        return Ok(());
    }
    sqlx::query("SET LOCAL lock_timeout = '200ms'").execute(&mut *db).await?;
    for table in [monthly.table, monthly.with_it] {
        let name = month.partition(table);
        create_apart(&mut db, &name, table, monthly.time, month).await?;
        attach(&mut db, &name, table, month).await?;
    }
    db.commit().await
}

/// Makes a table that can become a partition without being read, with the settings of the one for the rest: a table that has
/// partitions has none of its own.
pub(super) async fn create_apart(
    db: &mut PgConnection,
    name: &str,
    table: &str,
    time: &str,
    month: Month,
) -> sqlx::Result<()> {
    let (from, to) = month.bounds().unwrap_or_default();
    let settings: Option<String> = sqlx::query_scalar(
        "SELECT 'WITH (' || array_to_string(reloptions, ', ') || ')' FROM pg_class WHERE oid = to_regclass($1)",
    )
    .bind(format!("{table}_rest"))
    .fetch_one(&mut *db)
    .await?;
    run(
        db,
        format!(
            "CREATE TABLE {name} (LIKE {table} INCLUDING ALL,
                 CONSTRAINT {name}_month CHECK ({time} >= '{from}' AND {time} < '{to}')) {}",
            settings.unwrap_or_default()
        ),
    )
    .await
}

pub(super) async fn attach(db: &mut PgConnection, name: &str, table: &str, month: Month) -> sqlx::Result<()> {
    let (from, to) = month.bounds().unwrap_or_default();
    run(db, format!("ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ('{from}') TO ('{to}')")).await?;
    // It spared reading the table; from now on the bounds hold, and each row would be compared twice.
    run(db, format!("ALTER TABLE {name} DROP CONSTRAINT {name}_month")).await
}

/// Runs statements whose only variable parts are names and bounds of partitions.
pub(super) async fn run(db: &mut PgConnection, sql: String) -> sqlx::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(db).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_tells_its_month() {
        let november = Month::of(Timestamp::from_seconds(1_795_000_000));
        assert_eq!(november.partition("events"), "events_y2026m11");
        let bounds = ("2026-11-01 00:00:00+00".to_owned(), "2026-12-01 00:00:00+00".to_owned());
        assert_eq!(november.bounds(), Some(bounds));
        for (name, month) in [
            ("events_y2026m11", Some(november)),
            ("events_rest", None),
            ("events_y2026m13", None),
            ("events_kept_y2026m11", None),
            ("bodies_y2026m11", None),
        ] {
            assert_eq!(Month::of_partition(name, "events"), month, "{name}");
        }
    }
}
