//! Walking a large table in pieces, newest first: what does not depend on the database.

use std::time::{Duration, Instant};

use super::paging::{cursor, cut, limit};
use super::{Listed, Page};
use crate::domain::time::Timestamp;

/// How many IDs the first piece of a walk spans.
const WINDOW: i64 = 20_000;
/// Up to here pieces grow fast where they are answered at once, be it by an index or because few of the IDs are left.
/// Beyond, a plan that the server changes its mind about would cost too much.
const WIDE_WINDOW: i64 = 320_000;
/// A piece that took less is followed by a larger one, and one that took more by a smaller one.
const QUICK: Duration = Duration::from_millis(8);
const INSTANT: Duration = Duration::from_millis(3);
const SLOW: Duration = Duration::from_millis(40);
/// How long a page may be looked for, so that whoever asked has it within 200 ms. It then ends early, and its cursor goes
/// on from there.
const PATIENCE: Duration = Duration::from_millis(120);
/// How far IDs and times may disagree in order: what was appended together was not always timed in that order.
const DISORDER: i64 = 20_000;

/// Which rows of a table are looked at.
pub(super) struct Span {
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
    /// Whether an index leads to the rows alone that meet the conditions, so that the table need not be walked in pieces.
    pub narrow: bool,
}

/// One piece of a walk: the IDs from `floor` to before `below`, of which at most `limit` rows are wanted, newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub floor: i64,
    pub below: i64,
    pub limit: i64,
}

/// Looks for about the first ID whose row is not before a moment, by halving: IDs come about in the order of time.
pub(super) struct Halving {
    low: i64,
    high: i64,
    time: Timestamp,
}

impl Halving {
    /// Among the IDs from `low` to before `high`.
    pub(super) fn new(low: i64, high: i64, time: Timestamp) -> Self {
        Self { low, high, time }
    }

    /// From which ID on the next row is to be read; `None`: it is found.
    pub(super) fn middle(&self) -> Option<i64> {
        (self.high.saturating_sub(self.low) > DISORDER / 4).then(|| self.low + (self.high - self.low) / 2)
    }

    /// Takes in ID and time of the first row from [`Halving::middle`] on.
    pub(super) fn saw(&mut self, row: Option<(i64, Timestamp)>) {
        match row {
            Some((id, at)) if at < self.time => self.low = id.saturating_add(1),
            _ => self.high = self.low + (self.high - self.low) / 2,
        }
    }

    /// An ID before which no row is of the moment or later.
    pub(super) fn before(&self) -> i64 {
        self.low.saturating_sub(DISORDER)
    }

    /// An ID from which on every row is of the moment or later.
    pub(super) fn after(&self) -> i64 {
        self.low.saturating_add(DISORDER)
    }
}

/// A page on its way: which piece is read next, and what was found so far.
///
/// Rows that come meanwhile move nothing. The page may end early, with a cursor, where many rows were looked at in vain.
pub(super) struct Walk<T> {
    began: Instant,
    limit: usize,
    lowest: i64,
    below: i64,
    width: i64,
    /// The floor of the piece that is read now, and since when it is.
    reading: Option<(i64, Instant)>,
    /// How long the last piece took; the first one is read whatever came before.
    took: Option<Duration>,
    found: Vec<(i64, T)>,
}

impl<T> Walk<T> {
    /// Through the IDs from `lowest` to before `below`.
    pub(super) fn new(began: Instant, page: &Page, narrow: bool, lowest: i64, below: i64) -> Self {
        let width = if narrow { i64::MAX } else { WINDOW };
        Self { began, limit: limit(page), lowest, below, width, reading: None, took: None, found: Vec::new() }
    }

    /// What is to be read next; `None`: nothing more.
    pub(super) fn piece(&mut self) -> Option<Window> {
        if self.is_complete() || self.is_out_of_patience() {
            return None;
        }
        let floor = self.lowest.max(self.below.saturating_sub(self.width));
        self.reading = Some((floor, Instant::now()));
        Some(Window { floor, below: self.below, limit: (self.limit + 1 - self.found.len()) as i64 })
    }

    /// Takes in the rows of the piece, with their IDs.
    pub(super) fn read(&mut self, rows: impl IntoIterator<Item = (i64, T)>) {
        self.found.extend(rows);
        if let Some((floor, asked)) = self.reading.take() {
            let took = asked.elapsed();
            self.took = Some(took);
            self.width = next_width(self.width, took);
            self.below = floor;
        }
    }

    /// The page as it was found.
    pub(super) fn end(self) -> Listed<T> {
        let next = (!self.is_complete()).then(|| cursor(&self.below));
        let listed = cut(self.found, self.limit, |(id, _)| *id);
        let items = listed.items.into_iter().map(|(_, item)| item).collect();
        Listed { items, next: listed.next.or(next) }
    }

    fn is_complete(&self) -> bool {
        self.below <= self.lowest || self.found.len() > self.limit
    }

    /// The next piece takes about as long as the last.
    fn is_out_of_patience(&self) -> bool {
        self.took.is_some_and(|took| self.began.elapsed() + took > PATIENCE)
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

    fn walk(limit: u32, began: Instant) -> Walk<&'static str> {
        Walk::new(began, &Page { limit, cursor: None }, false, 1, 30_001)
    }

    #[test]
    fn a_walk_reads_piece_after_piece_until_the_page_is_full_or_the_table_ends() {
        let mut short = walk(2, Instant::now());
        assert_eq!(short.piece(), Some(Window { floor: 10_001, below: 30_001, limit: 3 }));
        short.read([(20_000, "a")]);
        assert_eq!(short.piece(), Some(Window { floor: 1, below: 10_001, limit: 2 }));
        short.read([]);
        assert_eq!(short.piece(), None);
        let page = short.end();
        assert_eq!((page.items, page.next), (vec!["a"], None));

        let mut full = walk(2, Instant::now());
        full.piece();
        full.read([(20_000, "a"), (19_000, "b"), (18_000, "c")]);
        assert_eq!(full.piece(), None);
        let page = full.end();
        assert_eq!((page.items, page.next), (vec!["a", "b"], Some(cursor(&19_000))));
    }

    #[test]
    fn a_walk_that_takes_too_long_ends_early_but_never_where_it_began() {
        let long_ago = Instant::now().checked_sub(2 * PATIENCE).unwrap();
        let mut walk = walk(2, long_ago);
        assert!(walk.piece().is_some());
        walk.read([(20_000, "a")]);
        assert_eq!(walk.piece(), None);
        let page = walk.end();
        assert_eq!((page.items, page.next), (vec!["a"], Some(cursor(&10_001))));
    }

    #[test]
    fn halving_finds_a_moment_to_within_the_disorder() {
        let at = |id: i64| Timestamp::from_micros(id * 10);
        for sought in [0, 1, 77_777, 499_999, 500_000, 900_000] {
            let mut halving = Halving::new(1, 500_001, at(sought));
            while let Some(middle) = halving.middle() {
                halving.saw((middle <= 500_000).then(|| (middle, at(middle))));
            }
            let inside = sought.clamp(1, 500_001);
            assert!(halving.before() < inside, "{sought}");
            assert!(halving.after() >= inside, "{sought}");
            assert!(halving.after() - halving.before() == 2 * DISORDER, "{sought}");
        }
    }
}
