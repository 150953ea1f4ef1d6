//! Our key on the record of a lead: which ones it may carry, and when the one of now is written.
//!
//! How keys are formed may change once records carry them, as when a second lead system comes. A record is known by the key
//! that it was given, and gets the new one by its lead's next sync; what another one wrote there stays.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::ids::{FieldName, LeadKey};
use crate::domain::record::{CrmRecord, CrmValue};

use super::standing::{Carries, Standing};
use super::{BasePair, Decision, Intent, Link, PlanInput, Rule, SyncPlan, SyncRules};

/// Our keys for one lead's record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnKeys {
    /// As keys are formed now.
    pub now: String,
    /// Others that the record carries by our doing, or may by a write of which no answer came.
    pub former: BTreeSet<String>,
}

impl OwnKeys {
    /// `field` carries our key. A link that does not tell is taken to have been made while keys were formed as they are where
    /// the configuration does not say: by the lead's own ID.
    pub fn of(lead: &LeadKey, now: String, link: Option<&Link>, intents: &[Intent], field: &FieldName) -> Self {
        let text = |value: &CrmValue| match value {
            CrmValue::Text(text) => Some(text.clone()),
            _ => None,
        };
        let agreed = link.filter(|link| link.owner).and_then(|link| match link.bases.get(field) {
            Some(base) => text(&base.crm),
            None => Some(lead.id.as_str().trim().to_owned()),
        });
        let announced = intents.iter().filter_map(|intent| text(&intent.rows.get(field)?.crm));
        let former = agreed.into_iter().chain(announced).filter(|key| *key != now).collect();
        Self { now, former }
    }

    /// Whether this text in the CRM is one of them.
    pub fn contains(&self, value: &CrmValue) -> bool {
        matches!(value, CrmValue::Text(text) if *text == self.now || self.former.contains(text))
    }
}

/// The key of now beside how it is formed, which a link keeps as what both sides agreed on.
pub(super) fn agreed(input: &PlanInput<'_>, rules: &SyncRules) -> BasePair {
    BasePair { lead: CrmValue::Text(rules.key_form.clone()), crm: CrmValue::Text(input.external_id.to_owned()) }
}

/// Whether the record carries what the CRM made of the key of now, as a flow in it does: writing that again changes nothing.
pub(super) fn is_rewritten(input: &PlanInput<'_>, key: &CrmValue, rules: &SyncRules) -> bool {
    let base = input.link.filter(|link| link.owner).and_then(|link| link.bases.get(&rules.external_id));
    base.is_some_and(|base| base.lead == CrmValue::Text(rules.key_form.clone()) && base.crm == *key)
}

/// Writes our key to the lead's own record, unless it carries it or one that is not ours.
pub(super) fn decide(
    input: &PlanInput<'_>,
    standing: &Standing,
    record: &CrmRecord,
    rules: &SyncRules,
    fields: &mut BTreeMap<FieldName, CrmValue>,
    plan: &mut SyncPlan,
) {
    let field = &rules.external_id;
    let base = plan.bases.remove(field);
    if !standing.owner {
        return;
    }
    let agreed = agreed(input, rules);
    if standing.carries == Carries::Ours {
        plan.bases.insert(field.clone(), BasePair { crm: record.value(field).clone(), ..agreed });
        return;
    }
    plan.bases.extend(base.clone().map(|base| (field.clone(), base)));
    let (rule, note) = match standing.carries {
        _ if !standing.write_id => (Rule::Drift, Some("it is no key of this lead, and is left as it is".to_owned())),
        Carries::Former => (Rule::LeadChanged, Some(formed_otherwise(base.as_ref(), rules))),
        Carries::Nothing => (Rule::FilledBlank, None),
        Carries::Ours | Carries::Left | Carries::Another => (Rule::LeadWins, standing.note()),
    };
    let crm = record.value(field).clone();
    if standing.write_id {
        fields.insert(field.clone(), agreed.crm.clone());
        plan.announced.insert(field.clone(), agreed.clone());
    } else {
        let kept = BasePair { lead: agreed.lead.clone(), crm: crm.clone() };
        let is_told = input.link.is_some_and(|link| link.kept.get(field) == Some(&kept));
        plan.kept.insert(field.clone(), kept);
        if is_told {
            return;
        }
    }
    plan.decisions.push(Decision {
        field: field.clone(),
        base,
        lead: Some(agreed.crm.clone()),
        crm: Some(crm),
        written: standing.write_id.then_some(agreed.crm),
        rule,
        note,
    });
}

fn formed_otherwise(base: Option<&BasePair>, rules: &SyncRules) -> String {
    let now = format!("keys are formed by {} now", rules.key_form);
    match base {
        Some(BasePair { lead: CrmValue::Text(before), .. }) if *before != rules.key_form => {
            format!("{now}, by {before} before")
        }
        _ => now,
    }
}
