//! What would be done for a lead now, and why.

use crate::domain::ids::RecordRef;
use crate::domain::matching::MatchedBy;
use crate::domain::plan::SyncPlan;

/// What planning a lead now gives, and from what.
#[derive(Clone, Debug, Default)]
pub struct Explained {
    /// `None`: the CRM could not be asked.
    pub plan: Option<SyncPlan>,
    /// Why the CRM was not asked; what is planned did not need it, or there is no plan.
    pub not_asked: Option<String>,
    /// By what its record was looked up.
    pub keys: Vec<String>,
    /// What answered, and to which of them.
    pub found: Vec<(RecordRef, MatchedBy)>,
    /// What it waits for.
    pub waits: Option<String>,
    /// Set where what is planned is not done before something else came.
    pub kept_back: Option<KeptBack>,
    pub api_calls: u32,
}

/// Why a write that is planned is not done now.
#[derive(Clone, Debug)]
pub struct KeptBack {
    /// Under which word the lead is held, if it is.
    pub code: Option<String>,
    /// What has to come first.
    pub until: String,
}
