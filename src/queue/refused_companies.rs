//! Companies that the CRM refused to make: each is remembered by the lead's link, so that it is not sent again unchanged.
//!
//! Beside the values, another mapping or schema is worth another try, and so are a person's order and any event more than a
//! day later, since validation rules are invisible from outside.

use std::collections::BTreeMap;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::batch::{Batch, Member, Planned};
use super::destination::Rules;
use crate::domain::ids::FieldName;
use crate::domain::plan::{BasePair, CompanyAction, SyncPlan};
use crate::domain::record::CrmValue;
use crate::domain::time::Timestamp;

const DAY: Duration = Duration::from_secs(86_400);

impl Batch {
    /// Has the plans do without companies that were refused before as they would be made now.
    pub(super) fn without_refused_companies(&self, planned: &mut [Planned]) {
        let now = self.destination.clock.now();
        for Planned { member, plan, .. } in planned {
            do_without(plan, member, &self.rules, now);
        }
    }
}

/// The same for one plan.
pub(super) fn do_without(plan: &mut SyncPlan, member: &Member, rules: &Rules, now: Timestamp) {
    let Some(company) = &mut plan.company else { return };
    let CompanyAction::Create { fields, .. } = &company.action else { return };
    let link = member.work.link.as_ref().filter(|link| link.fingerprint == rules.fingerprint && !member.job.forced);
    let Some(Some(known)) = link.and_then(|link| link.left_out.get(&company.link_field)) else { return };
    let is_recent = matches!(&known.crm, CrmValue::DateTime(at) if now.since(*at) < DAY);
    if known.lead != told(fields) || !is_recent {
        return;
    }
    company.action = CompanyAction::Nothing { reason: "refused by the CRM before with the same values".to_owned() };
    plan.left_out.insert(company.link_field.clone(), Some(known.clone()));
}

/// Remembers that the CRM, or its duplicate rule, refused to make the lead's company, if it was sent as the lead alone has it.
pub(super) fn remember(plan: &mut SyncPlan, sent: &BTreeMap<FieldName, CrmValue>, now: Timestamp) {
    let Some(company) = &plan.company else { return };
    if !matches!(&company.action, CompanyAction::Create { fields, .. } if fields == sent) {
        return;
    }
    let refused = BasePair { lead: told(sent), crm: CrmValue::DateTime(now) };
    plan.left_out.insert(company.link_field.clone(), Some(refused));
}

/// Equal for equal values.
fn told(fields: &BTreeMap<FieldName, CrmValue>) -> CrmValue {
    CrmValue::Text(hex::encode(&Sha256::digest(format!("{fields:?}"))[..16]))
}
