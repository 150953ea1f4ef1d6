//! Reading columns as what they mean.

use std::fmt::Display;

use crate::domain::job::{Class, Lane};
use crate::domain::matching::MatchedBy;
use crate::domain::plan::ConflictKind;
use crate::store::{EventKind, StoreError, StoreResult};

/// The number of a class in `jobs.class`.
pub(super) fn class_number(class: Class) -> i64 {
    match class {
        Class::Live => 0,
        Class::Backfill => 1,
    }
}

/// The number of a lane in `jobs.lane`.
pub(super) fn lane_number(lane: Lane) -> i64 {
    match lane {
        Lane::First => 0,
        Lane::Linked => 1,
    }
}

/// The class of a number; the schema allows no other.
pub(super) fn class(number: i64) -> Class {
    if number == 0 { Class::Live } else { Class::Backfill }
}

/// The lane of a number; the schema allows no other.
pub(super) fn lane(number: i64) -> Lane {
    if number == 0 { Lane::First } else { Lane::Linked }
}

/// What a column holds, or which row is broken.
pub(super) fn read<T>(found: Option<T>, table: &'static str, column: &'static str, id: impl Display) -> StoreResult<T> {
    found.ok_or_else(|| StoreError::Corrupt { table, column, id: id.to_string() })
}

pub(super) fn event_kind(word: &str, id: i64) -> StoreResult<EventKind> {
    read(EventKind::parse(word), "events", "kind", id)
}

pub(super) fn matched_by(word: &str, lead: impl Display) -> StoreResult<MatchedBy> {
    read(MatchedBy::parse(word), "links", "matched_by", lead)
}

pub(super) fn conflict_kind(word: &str, id: i64) -> StoreResult<ConflictKind> {
    read(ConflictKind::parse(word), "conflicts", "kind", id)
}
