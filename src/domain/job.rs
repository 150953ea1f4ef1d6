//! What one lead owes one CRM, and what follows from an attempt to pay it.

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
