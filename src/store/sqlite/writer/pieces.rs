//! Doing many small things without holding up intake.

use std::collections::VecDeque;
use std::time::Instant;

use rusqlite::Connection;

use super::{Each, PIECE};
use crate::store::{StoreError, StoreResult};

/// Does `each` to items from the front until the time is up, inside the open transaction, each in a savepoint of its own.
pub(super) fn do_some<I, T>(
    db: &mut Connection,
    left: &mut VecDeque<I>,
    each: Each<I, T>,
) -> StoreResult<Vec<StoreResult<T>>> {
    let begun = Instant::now();
    let mut done = Vec::new();
    while let Some(item) = left.pop_front() {
        db.prepare_cached("SAVEPOINT item")?.execute([])?;
        let outcome = match each(db, &item) {
            Err(error @ StoreError::Unavailable(_)) => return Err(error),
            outcome => outcome,
        };
        if outcome.is_err() {
            db.prepare_cached("ROLLBACK TO item")?.execute([])?;
        }
        db.prepare_cached("RELEASE item")?.execute([])?;
        done.push(outcome);
        if begun.elapsed() > PIECE {
            break;
        }
    }
    Ok(done)
}
