//! How settings are written as text: durations, sizes, shares, addresses.

use std::fmt;

/// A share such as `2%`, exact to a hundredth of a percent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Percent {
    hundredths: u32,
}

impl Percent {
    /// So many whole percent.
    pub const fn new(percent: u32) -> Self {
        Self { hundredths: percent.saturating_mul(100) }
    }

    /// The share as a fraction: 0.02 for `2%`.
    pub fn as_fraction(self) -> f64 {
        f64::from(self.hundredths) / 10_000.0
    }

    /// This share of `whole`, rounded down.
    pub fn of(self, whole: u64) -> u64 {
        u64::try_from(u128::from(whole) * u128::from(self.hundredths) / 10_000).unwrap_or(u64::MAX)
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.hundredths / 100, self.hundredths % 100) {
            (whole, 0) => write!(f, "{whole}%"),
            (whole, part) if part % 10 == 0 => write!(f, "{whole}.{}%", part / 10),
            (whole, part) => write!(f, "{whole}.{part:02}%"),
        }
    }
}
