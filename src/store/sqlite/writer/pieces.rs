//! Doing many small things without holding up intake.

use std::collections::VecDeque;
use std::time::Instant;

use rusqlite::Connection;

use super::{Each, PIECE, SHORT_PIECE, connection};
use crate::store::{StoreError, StoreResult};

/// Does `together` to items from the front until the time is up, inside the open transaction, which is theirs alone. The
/// time is short where somebody is in a `hurry`.
///
/// If one of them fails, all are taken back and done once more by `apart`, each in a savepoint of its own: savepoints cost
/// as much as the items themselves, and hardly ever is one needed.
pub(super) fn do_some<I, T>(
    db: &mut Connection,
    left: &mut VecDeque<I>,
    together: Each<I, T>,
    apart: Each<I, T>,
    hurry: impl Fn() -> bool,
) -> StoreResult<Vec<StoreResult<T>>> {
    let begun = Instant::now();
    let (mut items, mut done) = (Vec::new(), Vec::new());
    while let Some(item) = left.pop_front() {
        let outcome = together(db, &item);
        items.push(item);
        match outcome {
            Ok(outcome) => done.push(Ok(outcome)),
            Err(error @ StoreError::Unavailable(_)) => return Err(error),
            Err(_) => {
                begin_anew(db)?;
                return items.iter().map(|item| do_apart(db, item, apart)).collect();
            }
        }
        let elapsed = begun.elapsed();
        if elapsed > PIECE || (elapsed > SHORT_PIECE && hurry()) {
            break;
        }
    }
    Ok(done)
}

fn begin_anew(db: &Connection) -> StoreResult<()> {
    if !connection::roll_back(db) {
        return Err(StoreError::Unavailable("cannot roll back".to_owned()));
    }
    connection::begin(db)
}

/// Does `each` to one item; one that fails leaves no trace.
fn do_apart<I, T>(db: &mut Connection, item: &I, each: Each<I, T>) -> StoreResult<StoreResult<T>> {
    db.prepare_cached("SAVEPOINT item")?.execute([])?;
    let outcome = match each(db, item) {
        Err(error @ StoreError::Unavailable(_)) => return Err(error),
        outcome => outcome,
    };
    if outcome.is_err() {
        db.prepare_cached("ROLLBACK TO item")?.execute([])?;
    }
    db.prepare_cached("RELEASE item")?.execute([])?;
    Ok(outcome)
}
