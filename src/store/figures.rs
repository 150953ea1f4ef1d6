//! Figures from what either database counts.

use std::collections::BTreeMap;

use super::{QueueFigures, SourceFigures, StoreError, StoreResult};
use crate::domain::ids::DestinationName;
use crate::domain::plan::ConflictKind;
use crate::domain::time::Timestamp;

pub(super) const MINUTE: i64 = 60_000_000;
pub(super) const HOUR: i64 = 60 * MINUTE;

/// When the minute or hour of `time` begins: how counters name it.
pub(super) fn start_of(time: Timestamp, length: i64) -> Timestamp {
    Timestamp::from_micros(time.as_micros().div_euclid(length).saturating_mul(length))
}

/// Of each destination how many jobs have a status.
pub(super) fn queue_figures(counts: Vec<(String, String, i64)>) -> StoreResult<BTreeMap<String, QueueFigures>> {
    let mut figures: BTreeMap<String, QueueFigures> = BTreeMap::new();
    for (destination, status, n) in counts {
        let corrupt = |column| StoreError::Corrupt { table: "job_counts", column, id: destination.clone() };
        let n = u64::try_from(n).map_err(|_| corrupt("n"))?;
        let entry =
            figures.entry(destination.clone()).or_insert_with(|| QueueFigures::empty(destination.as_str().into()));
        match status.as_str() {
            "ready" => entry.ready = n,
            "leased" => entry.leased = n,
            "retrying" => entry.retrying = n,
            "held" => entry.held = n,
            "dead" => entry.dead = n,
            _ => return Err(corrupt("status")),
        }
    }
    Ok(figures)
}

/// Adds how many jobs of a destination are held with a code.
pub(super) fn add_held_codes(figures: &mut BTreeMap<String, QueueFigures>, held: Vec<(String, String, i64)>) {
    for (destination, code, n) in held {
        if let Some(entry) = figures.get_mut(&destination) {
            entry.held_codes.push((code, n.unsigned_abs()));
        }
    }
}

/// How many there are of each destination, or source.
pub(super) fn counted<N: for<'n> From<&'n str>>(counts: Vec<(String, i64)>) -> Vec<(N, u64)> {
    counts.into_iter().map(|(name, n)| (name.as_str().into(), n.unsigned_abs())).collect()
}

/// How many conflicts of a kind are open in each destination.
pub(super) fn open_conflicts(
    counts: Vec<(String, String, i64)>,
) -> StoreResult<Vec<(DestinationName, ConflictKind, u64)>> {
    let open = counts.into_iter().map(|(destination, kind, n)| match ConflictKind::parse(&kind) {
        Some(kind) => Ok((destination.as_str().into(), kind, n.unsigned_abs())),
        None => Err(StoreError::Corrupt { table: "conflicts", column: "kind", id: destination }),
    });
    open.collect()
}

/// What came of a source's events, by their states.
pub(super) fn source_figures(counts: Vec<(String, i64)>, last_received: Option<Timestamp>) -> SourceFigures {
    let mut figures = SourceFigures { last_received, ..SourceFigures::default() };
    for (state, n) in counts {
        match state.as_str() {
            "ignored" => figures.ignored += n.unsigned_abs(),
            "quarantined" => figures.quarantined += n.unsigned_abs(),
            "stored" => figures.accepted += n.unsigned_abs(),
            // Repeats and reused IDs are counted besides.
            _ => {}
        }
    }
    figures
}
