//! Lead systems: what is known of each beforehand, as presets of `verify` and `read`.

mod duplicates;
mod presets;

use crate::domain::envelope::ReadRules;
use crate::domain::signature::{HandshakeKind, VerifyRules};

pub use duplicates::duplicate_rules;
pub use presets::preset;

/// The presets that a configuration may name.
pub const NAMES: [&str; 24] = [
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
    "salesforce",
    "google-ads",
    "unbounce",
    "jotform",
    "generic-header",
    "generic-bearer",
    "generic-query",
    "custom",
];

/// What a source needs no configuration for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    /// Whether it counts as delivered only what is answered with SOAP's acknowledgement.
    pub wants_soap: bool,
}

impl Preset {
    fn new(verify: VerifyRules, read: ReadRules) -> Self {
        Self { verify: Some(verify), read: Some(read), ..Self::default() }
    }
}

#[cfg(test)]
mod tests;
