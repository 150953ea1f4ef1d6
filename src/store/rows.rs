//! Numbers of the schema as what they mean; the same in both databases.

use std::fmt::Display;

use crate::domain::job::{Class, Lane};
use crate::store::{StoreError, StoreResult};

/// The number of a class in `jobs.class`.
pub(in crate::store) fn class_number(class: Class) -> i16 {
    match class {
        Class::Live => 0,
        Class::Backfill => 1,
    }
}

/// The number of a lane in `jobs.lane`.
pub(in crate::store) fn lane_number(lane: Lane) -> i16 {
    match lane {
        Lane::First => 0,
        Lane::Linked => 1,
    }
}

/// The class of a number; the schema allows no other.
pub(in crate::store) fn class(number: i16) -> Class {
    if number == 0 { Class::Live } else { Class::Backfill }
}

/// The lane of a number; the schema allows no other.
pub(in crate::store) fn lane(number: i16) -> Lane {
    if number == 0 { Lane::First } else { Lane::Linked }
}

/// What a column holds, or which row is broken.
pub(in crate::store) fn read<T>(
    found: Option<T>,
    table: &'static str,
    column: &'static str,
    id: impl Display,
) -> StoreResult<T> {
    found.ok_or_else(|| StoreError::Corrupt { table, column, id: id.to_string() })
}
