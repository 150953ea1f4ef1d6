//! What one lead owes one CRM, and what follows from an attempt to pay it.

use std::time::Duration;

/// How long a write without an answer may still land.
pub const MAY_LAND_FOR: Duration = Duration::from_secs(15 * 60);

/// Live work goes first; backfill, replay and repair wait behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    Live,
    Backfill,
}

impl Class {
    /// The word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Class::Live => "live",
            Class::Backfill => "backfill",
        }
    }
}

/// First contact is serialised per destination; linked leads run in parallel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// The lead has no link yet.
    First,
    /// The lead is linked.
    Linked,
}
