//! Deleting what is older than it is needed.
//!
//! Tables in which old rows may have to stay are walked through in pieces, and how far the walk came is stored: a piece
//! never costs more than its own rows, however many had to stay before it.

use rusqlite::{Connection, OptionalExtension, params, params_from_iter};

use super::SqliteStore;
use crate::domain::time::Timestamp;
use crate::store::StoreResult;

/// How many rows one step looks at: deleting them takes about a millisecond, for which webhooks wait. Five steps a second
/// are 43 million rows a day.
const PIECE: i64 = 100;

/// A table that is walked through by its number.
struct Sweep {
    name: &'static str,
    /// ID and time of the piece after `?1`, at most `?2` rows.
    piece: &'static str,
    /// Deletes what is not needed of the IDs after `?1` up to `?2`, if it is older than `?3`; `?4`: not what is unfolded.
    delete: &'static str,
    /// What goes with the rows: the same range, whatever row is no longer there.
    with_it: &'static [&'static str],
}

const SWEEPS: [Sweep; 3] = [
    Sweep {
        name: "events",
        piece: "SELECT id, received_at FROM events WHERE id > ?1 ORDER BY id LIMIT ?2",
        // What a job still has to fold stays, and so does the newest folded event of every lead that is known, from which
        // it can be told what the lead system said last.
        delete: "DELETE FROM events WHERE id > ?1 AND id <= ?2 AND received_at < ?3
                    AND NOT (state = 'stored'
                        AND (?4 OR EXISTS (SELECT 1 FROM jobs j WHERE j.source = events.source AND j.lead_id = events.lead_id)))
                    AND NOT (state = 'folded'
                        AND EXISTS (SELECT 1 FROM leads l WHERE l.source = events.source AND l.lead_id = events.lead_id)
                        AND NOT EXISTS (SELECT 1 FROM events n WHERE n.source = events.source AND n.lead_id = events.lead_id
                                           AND n.id > events.id AND n.state = 'folded'))",
        with_it: &["DELETE FROM bodies WHERE event_id > ?1 AND event_id <= ?2
                       AND NOT EXISTS (SELECT 1 FROM events e WHERE e.id = bodies.event_id)"],
    },
    Sweep {
        name: "sync_log",
        piece: "SELECT id, at FROM sync_log WHERE id > ?1 ORDER BY id LIMIT ?2",
        // The last success of a link stays.
        delete: "DELETE FROM sync_log WHERE id > ?1 AND id <= ?2 AND at < ?3
                    AND NOT (outcome = 'ok'
                        AND EXISTS (SELECT 1 FROM links l WHERE l.destination = sync_log.destination
                                       AND l.source = sync_log.source AND l.lead_id = sync_log.lead_id)
                        AND NOT EXISTS (SELECT 1 FROM sync_log n WHERE n.lead_id = sync_log.lead_id AND n.id > sync_log.id
                                           AND n.source = sync_log.source AND n.destination = sync_log.destination
                                           AND n.outcome = 'ok'))",
        with_it: &["DELETE FROM sync_log_bodies WHERE log_id > ?1 AND log_id <= ?2
                       AND NOT EXISTS (SELECT 1 FROM sync_log s WHERE s.id = sync_log_bodies.log_id)"],
    },
    Sweep {
        name: "conflicts",
        piece: "SELECT id, opened_at FROM conflicts WHERE id > ?1 ORDER BY id LIMIT ?2",
        // A person's newest answer to a question stays as long as the lead: planning goes by it.
        delete: "DELETE FROM conflicts WHERE id > ?1 AND id <= ?2 AND state <> 'open' AND closed_at < ?3
                    AND NOT (state = 'resolved'
                        AND EXISTS (SELECT 1 FROM leads l WHERE l.source = conflicts.source AND l.lead_id = conflicts.lead_id)
                        AND NOT EXISTS (SELECT 1 FROM conflicts n WHERE n.source = conflicts.source
                                           AND n.lead_id = conflicts.lead_id AND n.id > conflicts.id
                                           AND n.destination = conflicts.destination AND n.kind = conflicts.kind
                                           AND n.field = conflicts.field AND n.state = 'resolved'))",
        with_it: &[],
    },
];

/// Tables of which nothing old has to stay; `?1` is the time, `?2` the most rows.
const DELETES: [&str; 5] = [
    "DELETE FROM event_keys WHERE (source, sender_id, content_hash) IN (
         SELECT source, sender_id, content_hash FROM event_keys WHERE received_at < ?1 LIMIT ?2)",
    "DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE at < ?1 LIMIT ?2)",
    "DELETE FROM outcome_counts WHERE (minute, destination, operation, outcome) IN (
         SELECT minute, destination, operation, outcome FROM outcome_counts WHERE minute < ?1 LIMIT ?2)",
    "DELETE FROM source_counts WHERE (source, hour, state) IN (
         SELECT source, hour, state FROM source_counts WHERE hour < ?1 LIMIT ?2)",
    "DELETE FROM budget WHERE (destination, hour) IN (
         SELECT destination, hour FROM budget WHERE hour < ?1 LIMIT ?2)",
];

/// Looks at one piece of what is older than `before` and deletes what nothing needs. `false`: all was looked at, and the
/// next call begins anew.
pub(super) async fn prune(store: &SqliteStore, before: Timestamp, keep_unfolded: bool) -> StoreResult<bool> {
    store.writer.run(move |db| Ok(step(db, before, keep_unfolded)?)).await
}

fn step(db: &Connection, before: Timestamp, keep_unfolded: bool) -> rusqlite::Result<bool> {
    for sql in DELETES {
        if db.prepare_cached(sql)?.execute(params![before.as_micros(), PIECE])? > 0 {
            return Ok(true);
        }
    }
    for sweep in &SWEEPS {
        if sweep_piece(db, sweep, before, keep_unfolded)? {
            return Ok(true);
        }
    }
    db.execute("DELETE FROM sweeps", [])?;
    Ok(false)
}

/// `false`: what comes next in this table is not old.
fn sweep_piece(db: &Connection, sweep: &Sweep, before: Timestamp, keep_unfolded: bool) -> rusqlite::Result<bool> {
    let position: i64 = db
        .prepare_cached("SELECT position FROM sweeps WHERE name = ?")?
        .query_row([sweep.name], |row| row.get(0))
        .optional()?
        .unwrap_or(-1);
    let piece: Vec<(i64, i64)> = db
        .prepare_cached(sweep.piece)?
        .query_map([position, PIECE], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let Some((last, _)) = piece.last() else { return Ok(false) };
    if piece.iter().all(|(_, at)| *at >= before.as_micros()) {
        return Ok(false);
    }
    let mut delete = db.prepare_cached(sweep.delete)?;
    let values = [position, *last, before.as_micros(), keep_unfolded.into()];
    let taken = delete.parameter_count();
    delete.execute(params_from_iter(&values[..taken]))?;
    for sql in sweep.with_it {
        db.prepare_cached(sql)?.execute([position, *last])?;
    }
    db.prepare_cached(
        "INSERT INTO sweeps (name, position) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET position = excluded.position",
    )?
    .execute(params![sweep.name, last])?;
    Ok(true)
}
