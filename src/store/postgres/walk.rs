//! Lists, newest first: walking a large table in pieces.

use std::time::Instant;

use sqlx::postgres::PgRow;
use sqlx::{PgPool, Postgres, QueryBuilder};

use super::time::Time;
use crate::domain::time::Timestamp;
use crate::store::cells::Cells;
use crate::store::paging::place;
use crate::store::walking::{Halving, Walk};
pub(super) use crate::store::walking::{Span, Window};
use crate::store::{Listed, Page, StoreResult};

/// A table whose rows are numbered about in the order of their coming.
pub(super) struct Numbered {
    pub table: &'static str,
    /// `SELECT … FROM table WHERE `, to be followed by conditions.
    pub select: &'static str,
    pub bounds: &'static str,
    /// ID and time of the first row from an ID on.
    pub probe: &'static str,
}

impl Numbered {
    /// One page of the rows that meet the conditions, by descending number.
    pub(super) async fn page<T>(
        &self,
        db: &PgPool,
        page: &Page,
        span: &Span,
        conditions: impl Fn(&mut QueryBuilder<Postgres>),
        read: impl Fn(&PgRow) -> StoreResult<T>,
    ) -> StoreResult<Listed<T>> {
        let piece = |query: &mut QueryBuilder<Postgres>, window: Window| {
            query.push(self.select);
            push_bounds(query, window);
            conditions(query);
            push_order(query, window);
        };
        self.walk(db, page, span, piece, read).await
    }

    /// As [`Numbered::page`], with `piece` writing the whole statement.
    ///
    /// Each is planned for its own values: a plan for any value would read every partition, and by the wrong index where
    /// a value is rare.
    pub(super) async fn walk<T>(
        &self,
        db: &PgPool,
        page: &Page,
        span: &Span,
        piece: impl Fn(&mut QueryBuilder<Postgres>, Window),
        read: impl Fn(&PgRow) -> StoreResult<T>,
    ) -> StoreResult<Listed<T>> {
        let began = Instant::now();
        let (lowest, below) = self.span(db, span, place(page)?).await?;
        let mut walk = Walk::new(began, page, span.narrow, lowest, below);
        while let Some(window) = walk.piece() {
            let mut query = QueryBuilder::new("");
            piece(&mut query, window);
            let rows = query.build().persistent(false).fetch_all(db).await?;
            let numbered = rows.iter().map(|row| Ok((Cells::numbered(row, self.table)?.1, read(row)?)));
            walk.read(numbered.collect::<StoreResult<Vec<_>>>()?);
        }
        Ok(walk.end())
    }

    /// The lowest ID to look at, and the one below which to begin.
    async fn span(&self, db: &PgPool, span: &Span, place: Option<i64>) -> StoreResult<(i64, i64)> {
        let (lowest, highest): (Option<i64>, Option<i64>) = sqlx::query_as(self.bounds).fetch_one(db).await?;
        let (Some(first), Some(highest)) = (lowest, highest) else { return Ok((0, 0)) };
        let end = highest.saturating_add(1);
        let (mut lowest, mut below) = (first, end.min(place.unwrap_or(end)));
        if let Some(from) = span.from {
            lowest = lowest.max(self.find(db, first, end, from).await?.before());
        }
        if let Some(to) = span.to {
            let after = Timestamp::from_micros(to.as_micros().saturating_add(1));
            below = below.min(self.find(db, first, end, after).await?.after());
        }
        Ok((lowest, below))
    }

    /// About the first ID whose row is not before `time`, in a table from `low` to `high`.
    pub(super) async fn find(&self, db: &PgPool, low: i64, high: i64, time: Timestamp) -> StoreResult<Halving> {
        // The same connection for all: it has the statement ready.
        let mut db = db.acquire().await?;
        let mut halving = Halving::new(low, high, time);
        while let Some(middle) = halving.middle() {
            let row: Option<(i64, Time)> = sqlx::query_as(self.probe).bind(middle).fetch_optional(&mut *db).await?;
            halving.saw(row.map(|(id, at)| (id, at.0)));
        }
        Ok(halving)
    }
}

/// Begins the conditions.
pub(super) fn push_bounds(query: &mut QueryBuilder<Postgres>, window: Window) {
    query.push("id >= ").push_bind(window.floor).push(" AND id < ").push_bind(window.below);
}

pub(super) fn push_order(query: &mut QueryBuilder<Postgres>, window: Window) {
    query.push(" ORDER BY id DESC LIMIT ").push_bind(window.limit);
}
