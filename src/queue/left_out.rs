//! Fields that the CRM refuses: written without, and remembered, so that they are not sent again unchanged.
//!
//! The link keeps the pair of values with which a field was refused. A changed value on either side, another mapping or
//! another schema, and a person's answer make it worth another try.

use crate::crm::CrmError;
use crate::domain::ids::{FieldName, RecordRef};
use crate::domain::mapping::FieldType;
use crate::domain::plan::{Action, BasePair, Decision, Link, Rule, SyncPlan, SyncRules};
use crate::domain::record::CrmValue;

/// Another record carries the key.
const TAKEN: &str = "DUPLICATE_VALUE";

/// An owner who is no user any more, be it one that the lead named or one that an assignment rule chose.
const INACTIVE_OWNER: &str = "INACTIVE_OWNER_OR_USER";

/// The plan without the fields that the CRM refused, if it can do without them. A key that another record carries is left out of
/// a record that carries the one before, or that we gave it before, which a person has to look at; the values are written. An
/// owner who was refused is left out even where the answer names no field: the CRM then chooses another.
pub(super) fn without_refused(plan: &SyncPlan, error: &CrmError, rules: &SyncRules) -> Option<SyncPlan> {
    if let CrmError::Duplicate { code, message, fields, records, .. } = error
        && code == TAKEN
        && (fields.is_empty() || fields.contains(&rules.external_id))
        && gives_key_again(plan, rules)
    {
        let mut plan = plan.clone();
        let other = records.first().map_or(message.clone(), |other| format!("{} {}", other.object, other.id));
        leave_out(&mut plan, &rules.external_id, &format!("another record carries this key: {other}"));
        return Some(plan);
    }
    let CrmError::Refused { code, fields: refused, message } = error else { return None };
    let (Action::Create { object, .. } | Action::Update { record: RecordRef { object, .. }, .. }) = &plan.action else {
        return None;
    };
    let needed = |field: &FieldName| {
        *field == rules.external_id
            || rules.schema.field(object, field).is_none_or(|schema| schema.required_on_create())
    };
    let (Action::Create { fields, .. } | Action::Update { fields, .. }) = &plan.action else { return None };
    let owners = owner_fields(rules).filter(|field| fields.contains_key(field)).cloned().collect();
    let refused = if code == INACTIVE_OWNER && refused.is_empty() { &owners } else { refused };
    if refused.is_empty() || refused.iter().any(|field| needed(field) || !fields.contains_key(field)) {
        return None;
    }
    let mut plan = plan.clone();
    for field in refused {
        leave_out(&mut plan, field, &format!("refused by the CRM: {message}"));
    }
    Some(plan)
}

/// Whether a record that carries a key of its lead, or did, is to get one, without which it can do.
fn gives_key_again(plan: &SyncPlan, rules: &SyncRules) -> bool {
    let again = |decision: &Decision| match decision.rule {
        Rule::LeadChanged => true,
        // A person took it from this record.
        Rule::FilledBlank => decision.base.is_some(),
        _ => false,
    };
    let is_keys = |decision: &&Decision| decision.field == rules.external_id;
    plan.announced.contains_key(&rules.external_id) && plan.decisions.iter().filter(is_keys).any(again)
}

/// The fields that say whose a record is.
fn owner_fields(rules: &SyncRules) -> impl Iterator<Item = &FieldName> {
    let rows = [rules].into_iter().chain(rules.others.values()).flat_map(|rules| &rules.rows);
    rows.filter(|row| row.kind == FieldType::Owner).map(|row| &row.crm)
}

/// Whether an assignment rule of the CRM gave the new record to an inactive user: it can be made without these rules.
pub(super) fn assigned_to_inactive(plan: &SyncPlan, error: &CrmError) -> bool {
    let is_owner = matches!(error, CrmError::Refused { code, .. } if code == INACTIVE_OWNER);
    is_owner && matches!(plan.action, Action::Create { .. })
}

/// The plan without what was refused before with the same values, while mapping and schema are what they were.
pub(super) fn without_known(mut plan: SyncPlan, link: Option<&Link>, fingerprint: &str) -> SyncPlan {
    let is_for = |link: &&Link| matches!(&plan.action, Action::Update { record, .. } if *record == link.record);
    let Some(link) = link.filter(|link| link.fingerprint == fingerprint).filter(is_for) else { return plan };
    let resolved = |plan: &SyncPlan, field: &FieldName| {
        plan.decisions.iter().any(|decision| decision.field == *field && decision.rule == Rule::Resolved)
    };
    let known: Vec<FieldName> = plan
        .announced
        .keys()
        .filter(|field| !resolved(&plan, field) && link.left_out.get(*field) == Some(&Some(standing(&plan, field))))
        .cloned()
        .collect();
    for field in known {
        leave_out(&mut plan, &field, "refused by the CRM before with the same values");
    }
    plan
}

/// What both sides hold of a field that is to be written.
fn standing(plan: &SyncPlan, field: &FieldName) -> BasePair {
    let lead = plan.announced.get(field).map_or(CrmValue::Null, |pair| pair.lead.clone());
    let decision = plan.decisions.iter().find(|decision| decision.field == *field);
    BasePair { lead, crm: decision.and_then(|decision| decision.crm.clone()).unwrap_or(CrmValue::Null) }
}

fn leave_out(plan: &mut SyncPlan, field: &FieldName, why: &str) {
    let pair = standing(plan, field);
    plan.left_out.insert(field.clone(), Some(pair));
    plan.announced.remove(field);
    plan.points_not_by(field);
    for decision in plan.decisions.iter_mut().filter(|decision| decision.field == *field) {
        decision.written = None;
        decision.rule = Rule::Invalid;
        decision.note = Some(why.to_owned());
    }
    if let Action::Create { fields, .. } | Action::Update { fields, .. } = &mut plan.action {
        fields.remove(field);
        if fields.is_empty() {
            plan.action = Action::Unchanged;
        }
    }
}

#[cfg(test)]
mod tests;
