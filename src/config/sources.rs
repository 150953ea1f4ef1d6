//! `[sources.NAME]`: the lead systems that send webhooks.

use crate::domain::envelope::ReadRules;
use crate::domain::signature::VerifyRules;

use super::Secret;

/// `[sources.NAME]`: one lead system; how it proves itself, and where things are in what it sends.
#[derive(Clone, Debug)]
pub struct SourceConfig {
    /// False answers 503, so that senders keep their events; true if left out.
    pub enabled: bool,
    /// The preset that `verify` and `read` started from: `klozeo`, `standard-webhooks`, `custom`.
    pub preset: String,
    /// At least one; any may match, so that a secret can be replaced without a gap.
    pub secrets: Vec<Secret>,
    /// The preset's rules with what `[sources.NAME.verify]` overrides.
    pub verify: VerifyRules,
    /// The preset's rules with what `[sources.NAME.read]` overrides.
    pub read: ReadRules,
}
