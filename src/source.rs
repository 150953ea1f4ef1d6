//! Lead systems: what is known of each beforehand, as presets of `verify` and `read`.

mod duplicates;
mod presets;

use crate::domain::envelope::ReadRules;
use crate::domain::signature::{HandshakeKind, VerifyRules};

pub use duplicates::duplicate_rules;
pub use presets::preset;

/// The presets that a configuration may name.
pub const NAMES: [&str; 23] = [
    "klozeo",
    "standard-webhooks",
    "stripe",
    "github",
    "meta",
    "shopify",
    "typeform",
    "calendly",
    "hubspot-v3",
    "intercom",
    "webflow",
    "tally",
    "linkedin",
    "customerio",
    "segment",
    "pipedrive",
    "google-ads",
    "unbounce",
    "jotform",
    "generic-header",
    "generic-bearer",
    "generic-query",
    "custom",
];

/// What a source needs no configuration for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preset {
    /// How its requests are verified; none where the configuration must say it.
    pub verify: Option<VerifyRules>,
    /// How its payloads are read; none where the configuration must say it.
    pub read: Option<ReadRules>,
    /// Paths of the lead's fields that the lead system documents, for the mapping document's `not synced` rows.
    pub lead_fields: &'static [&'static str],
    /// Whose handshakes its address answers.
    pub handshake: Option<HandshakeKind>,
    /// What to look at first when its requests are refused; empty where nothing is peculiar to it.
    pub if_refused: &'static str,
}

impl Preset {
    fn new(verify: VerifyRules, read: ReadRules) -> Self {
        Self { verify: Some(verify), read: Some(read), lead_fields: &[], handshake: None, if_refused: "" }
    }
}

#[cfg(test)]
mod tests;
