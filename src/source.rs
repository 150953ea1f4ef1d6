//! Lead systems: what is known of each beforehand, as presets of `verify` and `read`.

mod presets;

use crate::domain::envelope::ReadRules;
use crate::domain::signature::VerifyRules;

pub use presets::preset;

/// The presets that a configuration may name.
pub const NAMES: [&str; 3] = ["klozeo", "standard-webhooks", "custom"];

/// What a source needs no configuration for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preset {
    /// How its requests are verified; none where the configuration must say it.
    pub verify: Option<VerifyRules>,
    /// How its payloads are read; none where the configuration must say it.
    pub read: Option<ReadRules>,
    /// Paths of the lead's fields that the lead system documents, for the mapping document's `not synced` rows.
    pub lead_fields: &'static [&'static str],
}

#[cfg(test)]
mod tests;
