//! Lists, newest first: walking a large table in pieces.

use std::time::{Duration, Instant};

use sqlx::postgres::PgRow;
use sqlx::{PgPool, Postgres, QueryBuilder};

use super::time::Time;
use crate::domain::time::Timestamp;
use crate::store::paging::{cursor, cut, limit, place};
use crate::store::{Listed, Page, StoreResult};

/// How many IDs the first piece of a walk spans.
const WINDOW: i64 = 20_000;
/// Up to here pieces grow fast where they are answered at once, be it by an index or because few of the IDs are left.
/// Beyond, a plan that the server changes its mind about would cost too much.
const WIDE_WINDOW: i64 = 320_000;
/// A piece that took less is followed by a larger one, and one that took more by a smaller one.
const QUICK: Duration = Duration::from_millis(8);
const INSTANT: Duration = Duration::from_millis(3);
const SLOW: Duration = Duration::from_millis(40);
/// How long a page may be looked for. It then ends early, and its cursor goes on from there.
const PATIENCE: Duration = Duration::from_millis(150);
/// How far IDs and times may disagree in order: what was appended together was not always timed in that order.
const DISORDER: i64 = 20_000;

/// A table whose rows are numbered about in the order of their coming.
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

/// One piece of a walk: the IDs from `floor` to before `below`, of which at most `limit` rows are wanted, newest first.
#[derive(Clone, Copy)]
pub(super) struct Window {
    pub floor: i64,
    pub below: i64,
    pub limit: i64,
}

impl Window {
    /// Begins the conditions.
    pub(super) fn push_bounds(self, query: &mut QueryBuilder<Postgres>) {
        query.push("id >= ").push_bind(self.floor).push(" AND id < ").push_bind(self.below);
    }

    pub(super) fn push_order(self, query: &mut QueryBuilder<Postgres>) {
        query.push(" ORDER BY id DESC LIMIT ").push_bind(self.limit);
    }
}

impl Numbered {
    /// One page of the rows that meet the conditions, by descending number.
    ///
    /// Rows that come meanwhile move nothing. A page may end early, with a cursor, where many rows were looked at in vain.
    pub(super) async fn page<T>(
        &self,
        db: &PgPool,
        page: &Page,
        span: &Span,
        conditions: impl Fn(&mut QueryBuilder<Postgres>),
        read: impl Fn(&PgRow) -> StoreResult<(i64, T)>,
    ) -> StoreResult<Listed<T>> {
        let piece = |query: &mut QueryBuilder<Postgres>, window: Window| {
            query.push(self.select);
            window.push_bounds(query);
            conditions(query);
            window.push_order(query);
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
        read: impl Fn(&PgRow) -> StoreResult<(i64, T)>,
    ) -> StoreResult<Listed<T>> {
        let began = Instant::now();
        let limit = limit(page);
        let (lowest, mut below) = self.span(db, span, place(page)?).await?;
        let mut found: Vec<(i64, T)> = Vec::new();
        let mut width = if span.narrow { i64::MAX } else { WINDOW };
        let mut took = Duration::ZERO;
        while below > lowest && found.len() <= limit {
            // The next piece takes about as long as the last.
            if began.elapsed() + took > PATIENCE {
                let next = Some(cursor(&below));
                return Ok(Listed { items: found.into_iter().map(|(_, item)| item).collect(), next });
            }
            let floor = lowest.max(below.saturating_sub(width));
            let mut query = QueryBuilder::new("");
            piece(&mut query, Window { floor, below, limit: (limit + 1 - found.len()) as i64 });
            let asked = Instant::now();
            for row in query.build().persistent(false).fetch_all(db).await? {
                found.push(read(&row)?);
            }
            took = asked.elapsed();
            width = next_width(width, took);
            below = floor;
        }
        let listed = cut(found, limit, |(id, _)| *id);
        Ok(Listed { items: listed.items.into_iter().map(|(_, item)| item).collect(), next: listed.next })
    }

    /// The lowest ID to look at, and the one below which to begin.
    async fn span(&self, db: &PgPool, span: &Span, place: Option<i64>) -> StoreResult<(i64, i64)> {
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
        db: &PgPool,
        low: i64,
        high: i64,
        time: Timestamp,
    ) -> StoreResult<i64> {
        Ok(self.first_from(db, low, high, time).await?.saturating_sub(DISORDER))
    }

    /// About the first ID whose row is not before `time`, found by halving.
    async fn first_from(&self, db: &PgPool, mut low: i64, mut high: i64, time: Timestamp) -> StoreResult<i64> {
        // The same connection for all: it has the statement ready.
        let mut db = db.acquire().await?;
        while high - low > DISORDER / 4 {
            let middle = low + (high - low) / 2;
            let row: Option<(i64, Time)> = sqlx::query_as(self.probe).bind(middle).fetch_optional(&mut *db).await?;
            match row {
                Some((id, at)) if at.0 < time => low = id.saturating_add(1),
                _ => high = middle,
            }
        }
        Ok(low)
    }
}

/// How many IDs the piece after one spans that took `took`.
fn next_width(width: i64, took: Duration) -> i64 {
    if took > SLOW {
        (width / 2).max(WINDOW)
    } else if took < QUICK && width < WIDE_WINDOW {
        width.saturating_mul(4)
    } else if took < INSTANT {
        width.saturating_mul(2)
    } else {
        width
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_grow_where_they_cost_nothing_and_shrink_where_they_cost_much() {
        for (width, millis, next) in [
            (WINDOW, 1, 4 * WINDOW),
            (WINDOW, 7, 4 * WINDOW),
            (WINDOW, 20, WINDOW),
            (WINDOW, 500, WINDOW),
            (WIDE_WINDOW, 7, WIDE_WINDOW),
            (WIDE_WINDOW, 1, 2 * WIDE_WINDOW),
            (WIDE_WINDOW, 90, WIDE_WINDOW / 2),
            (i64::MAX, 1, i64::MAX),
        ] {
            assert_eq!(next_width(width, Duration::from_millis(millis)), next, "{width} IDs in {millis} ms");
        }
    }
}
