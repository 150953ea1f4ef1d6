//! Lists, newest first: reading cells, and walking a large table in pieces.

use std::time::{Duration, Instant};

use sqlx::sqlite::SqliteRow;
use sqlx::{Decode, QueryBuilder, Row, Sqlite, SqlitePool, Type};

use crate::domain::time::Timestamp;
use crate::store::paging::{cursor, cut, limit, place};
use crate::store::{Listed, Page, StoreError, StoreResult};

/// How many IDs one piece of a walk spans.
const WINDOW: i64 = 20_000;
/// How long a page may be looked for. It then ends early, and its cursor goes on from there.
const PATIENCE: Duration = Duration::from_millis(200);
/// How far IDs and times may disagree in order: what was appended together was not always timed in that order.
const DISORDER: i64 = 20_000;

/// One row as it was read; what does not fit names the table, the column and the row.
pub(super) struct Cells<'r> {
    pub row: &'r SqliteRow,
    pub table: &'static str,
    pub id: String,
}

impl<'r> Cells<'r> {
    pub(super) fn new(row: &'r SqliteRow, table: &'static str, id: impl ToString) -> Self {
        Self { row, table, id: id.to_string() }
    }

    /// The row of a table whose key is the number `id`.
    pub(super) fn numbered(row: &'r SqliteRow, table: &'static str) -> StoreResult<(Self, i64)> {
        let cells = Self::new(row, table, "?");
        let id: i64 = cells.get("id")?;
        Ok((Self::new(row, table, id), id))
    }

    pub(super) fn get<T: Decode<'r, Sqlite> + Type<Sqlite>>(&self, column: &'static str) -> StoreResult<T> {
        self.row.try_get(column).map_err(|_| self.corrupt(column))
    }

    pub(super) fn time(&self, column: &'static str) -> StoreResult<Timestamp> {
        self.get(column).map(Timestamp::from_micros)
    }

    pub(super) fn maybe_time(&self, column: &'static str) -> StoreResult<Option<Timestamp>> {
        Ok(self.get::<Option<i64>>(column)?.map(Timestamp::from_micros))
    }

    /// A number that is never negative.
    pub(super) fn count<T: TryFrom<i64>>(&self, column: &'static str) -> StoreResult<T> {
        T::try_from(self.get(column)?).map_err(|_| self.corrupt(column))
    }

    pub(super) fn word<T>(&self, column: &'static str, parse: impl Fn(&str) -> Option<T>) -> StoreResult<T> {
        parse(self.get(column)?).ok_or_else(|| self.corrupt(column))
    }

    pub(super) fn corrupt(&self, column: &'static str) -> StoreError {
        StoreError::Corrupt { table: self.table, column, id: self.id.clone() }
    }
}

/// A table whose rows are numbered in the order of their coming.
pub(super) struct Numbered {
    /// `SELECT … FROM table WHERE `, to be followed by conditions.
    pub select: &'static str,
    pub bounds: &'static str,
    /// ID and time of the first row from an ID on.
    pub probe: &'static str,
}

/// Which of its rows are looked at.
pub(super) struct Span {
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
    /// Whether the conditions leave few rows by an index, so that the table need not be walked in pieces.
    pub narrow: bool,
}

impl Numbered {
    /// One page of the rows that meet the conditions, by descending number.
    ///
    /// Rows that come meanwhile move nothing. A page may end early, with a cursor, where many rows were looked at in vain.
    pub(super) async fn page<T>(
        &self,
        db: &SqlitePool,
        page: &Page,
        span: &Span,
        conditions: impl Fn(&mut QueryBuilder<Sqlite>),
        read: impl Fn(&SqliteRow) -> StoreResult<(i64, T)>,
    ) -> StoreResult<Listed<T>> {
        let limit = limit(page);
        let (lowest, mut below) = self.span(db, span, place(page)?).await?;
        let mut found: Vec<(i64, T)> = Vec::new();
        let began = Instant::now();
        while below > lowest && found.len() <= limit {
            if began.elapsed() > PATIENCE {
                let next = Some(cursor(&below));
                return Ok(Listed { items: found.into_iter().map(|(_, item)| item).collect(), next });
            }
            let floor = if span.narrow { lowest } else { lowest.max(below.saturating_sub(WINDOW)) };
            let mut query = self.query(floor, below, &conditions);
            query.push(" ORDER BY id DESC LIMIT ").push_bind((limit + 1 - found.len()) as i64);
            for row in query.build().fetch_all(db).await? {
                found.push(read(&row)?);
            }
            below = floor;
        }
        let listed = cut(found, limit, |(id, _)| *id);
        Ok(Listed { items: listed.items.into_iter().map(|(_, item)| item).collect(), next: listed.next })
    }

    fn query(&self, floor: i64, below: i64, conditions: &impl Fn(&mut QueryBuilder<Sqlite>)) -> QueryBuilder<Sqlite> {
        let mut query = QueryBuilder::new(self.select);
        query.push("id >= ").push_bind(floor).push(" AND id < ").push_bind(below);
        conditions(&mut query);
        query
    }

    /// How the database would carry out a piece of the walk.
    #[cfg(test)]
    pub(super) async fn plan(&self, db: &SqlitePool, conditions: impl Fn(&mut QueryBuilder<Sqlite>)) -> String {
        let mut query = self.query(1, 1_000_000, &conditions);
        query.push(" ORDER BY id DESC LIMIT 50");
        let sql = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", query.sql().as_str()));
        let rows = sqlx::raw_sql(sql).fetch_all(db).await.unwrap();
        rows.iter().map(|row| row.get::<String, _>("detail")).collect::<Vec<_>>().join("; ")
    }

    /// The lowest ID to look at, and the one below which to begin.
    async fn span(&self, db: &SqlitePool, span: &Span, place: Option<i64>) -> StoreResult<(i64, i64)> {
        let (lowest, highest): (Option<i64>, Option<i64>) = sqlx::query_as(self.bounds).fetch_one(db).await?;
        let (Some(mut lowest), Some(highest)) = (lowest, highest) else { return Ok((0, 0)) };
        let mut below = highest.saturating_add(1);
        let (first, end) = (lowest, below);
        if let Some(from) = span.from {
            lowest = lowest.max(self.first_after_disorder(db, first, end, from).await?);
        }
        if let Some(to) = span.to {
            let after = Timestamp::from_micros(to.as_micros().saturating_add(1));
            below = below.min(self.first_from(db, first, end, after).await?.saturating_add(DISORDER));
        }
        Ok((lowest, below.min(place.unwrap_or(i64::MAX))))
    }

    /// An ID before which no row is of `time` or later, in a table from `low` to `high`.
    pub(super) async fn first_after_disorder(
        &self,
        db: &SqlitePool,
        low: i64,
        high: i64,
        time: Timestamp,
    ) -> StoreResult<i64> {
        Ok(self.first_from(db, low, high, time).await?.saturating_sub(DISORDER))
    }

    /// About the first ID whose row is not before `time`, found by halving.
    async fn first_from(&self, db: &SqlitePool, mut low: i64, mut high: i64, time: Timestamp) -> StoreResult<i64> {
        while low < high {
            let middle = low + (high - low) / 2;
            let row: Option<(i64, i64)> = sqlx::query_as(self.probe).bind(middle).fetch_optional(db).await?;
            match row {
                Some((id, at)) if at < time.as_micros() => low = id.saturating_add(1),
                _ => high = middle,
            }
        }
        Ok(low)
    }
}
