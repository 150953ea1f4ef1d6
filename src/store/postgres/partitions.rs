//! Monthly partitions: made ahead, so that no row waits for one.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use sqlx::PgConnection;

use crate::domain::time::Timestamp;
use crate::store::StoreResult;

/// Tables that have a partition for each month, called `<table>_y2026m11`, and one for the rest, `<table>_rest`.
pub(super) const PARTITIONED: [&str; 4] = ["events", "bodies", "sync_log", "sync_log_bodies"];

/// How many months ahead of the present one have partitions.
const MONTHS_AHEAD: i32 = 2;

/// Makes the partitions of this month and the next ones. A month of which rows are in the rest already goes without.
pub(super) async fn make_ahead(db: &mut PgConnection, now: Timestamp) -> StoreResult<()> {
    let month = first_of_month(now);
    let last = month.checked_add(jiff::Span::new().months(MONTHS_AHEAD)).unwrap_or(month);
    make_months(db, month, last).await
}

/// The same from one moment's month to another's.
pub(super) async fn make_between(db: &mut PgConnection, first: Timestamp, last: Timestamp) -> StoreResult<()> {
    make_months(db, first_of_month(first), first_of_month(last)).await
}

async fn make_months(db: &mut PgConnection, mut month: Date, last: Date) -> StoreResult<()> {
    while month <= last {
        let Some(next) = month.checked_add(jiff::Span::new().months(1)).ok() else { return Ok(()) };
        for table in PARTITIONED {
            let name = partition_name(table, month);
            let exists: bool =
                sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL").bind(&name).fetch_one(&mut *db).await?;
            if exists {
                continue;
            }
            let make = format!(
                "CREATE TABLE IF NOT EXISTS {name} PARTITION OF {table}
                     FOR VALUES FROM ('{month} 00:00:00+00') TO ('{next} 00:00:00+00')"
            );
            if let Err(error) = sqlx::raw_sql(sqlx::AssertSqlSafe(make)).execute(&mut *db).await {
                tracing::warn!("{table} goes on without a partition for {month}: {error}");
            }
        }
        month = next;
    }
    Ok(())
}

fn first_of_month(now: Timestamp) -> Date {
    let moment = jiff::Timestamp::from_microsecond(now.as_micros()).unwrap_or_default();
    TimeZone::UTC.to_datetime(moment).date().first_of_month()
}

fn partition_name(table: &str, month: Date) -> String {
    format!("{table}_y{:04}m{:02}", month.year(), month.month())
}
