//! The opportunity that a sales rep made of the lead's record: what is blank there and known to the lead is filled.
//!
//! It is known by the conversion, never looked for, and never made. A link keeps which one it is, since the record that says
//! so is the lead's no longer.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::domain::envelope::TimeFormat;
use crate::domain::ids::{FieldName, RecordRef};
use crate::domain::lead::Lead;
use crate::domain::mapping::{FieldRow, Given};
use crate::domain::matching::{Candidate, MatchedBy};
use crate::domain::opportunity::{Conversion, OpportunityKey, OpportunityObject};
use crate::domain::record::CrmValue;
use crate::domain::time::Timestamp;

use super::ask::Blanks;
use super::company::{filled, telling};
use super::sides::{sides_of, text_of};
use super::{Action, BasePair, ConflictKind, Decision, Link, OwnKeys, PlanInput, Rule, SyncPlan, SyncRules};

/// What a destination writes to the opportunities of converted leads.
#[derive(Clone, Debug)]
pub struct OpportunityRules {
    pub object: OpportunityObject,
    /// The rows of its fields.
    pub rows: SyncRules,
}

/// What is to be done about one lead's opportunity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpportunityPlan {
    pub record: RecordRef,
    pub is_gone: bool,
    /// When it was changed last before it was read: nobody may have filled in meanwhile what was blank.
    pub modified_at: Option<Timestamp>,
    /// What is blank there and known to the lead.
    pub fields: BTreeMap<FieldName, CrmValue>,
    pub decisions: Vec<Decision>,
    /// Whether it is news that this is the lead's opportunity.
    pub is_new: bool,
    /// Whether the lead says nothing new of it since it was looked at.
    pub is_told: bool,
    /// Under which a link keeps which opportunity it is.
    pub link_field: FieldName,
    /// All that the lead says of it: with the same words there is nothing to look at again.
    said: String,
}

impl SyncPlan {
    /// Keeps in mind which opportunity is the lead's.
    ///
    /// `whole`: all that the lead says of it was dealt with; else it is looked at again the next time.
    pub fn know_opportunity(&mut self, whole: bool) {
        let Some(of) = &self.opportunity else { return };
        let said = if whole { CrmValue::Text(of.said.clone()) } else { CrmValue::Null };
        let known = BasePair { lead: said, crm: CrmValue::Text(of.record.id.to_string()) };
        self.bases.insert(of.link_field.clone(), known);
    }
}

impl OpportunityPlan {
    /// Why values of the lead are not written to it, as long as that was not told before.
    pub fn untold(&self) -> Vec<Decision> {
        if self.is_told && !self.is_new { Vec::new() } else { telling(&self.decisions).cloned().collect() }
    }

    /// Why it is this opportunity, for the log.
    pub fn decision(&self) -> Decision {
        Decision {
            field: self.link_field.clone(),
            base: None,
            lead: None,
            crm: Some(CrmValue::Text(self.record.id.to_string())),
            written: None,
            rule: Rule::Agreed,
            note: Some("it was made of the lead's record when that was converted".to_owned()),
        }
    }
}

/// The opportunity that is known to be the lead's.
fn known(link: &Link, rules: &SyncRules) -> Option<RecordRef> {
    let OpportunityObject { object, .. } = &rules.opportunity.as_deref()?.object;
    match link.bases.get(&rules.opportunity.as_deref()?.object.link_field()) {
        Some(BasePair { crm: CrmValue::Text(id), .. }) => {
            Some(RecordRef { object: object.clone(), id: id.as_str().into() })
        }
        _ => None,
    }
}

/// Under which a link keeps the record that was converted into the linked one: its kind beside its ID.
const CONVERTED: &str = "Converted.Id";

/// The record of the lead's that was converted into the linked one.
fn converted(link: &Link) -> Option<RecordRef> {
    match link.bases.get(&CONVERTED.into()) {
        Some(BasePair { lead: CrmValue::Text(object), crm: CrmValue::Text(id) }) => {
            Some(RecordRef { object: object.as_str().into(), id: id.as_str().into() })
        }
        _ => None,
    }
}

/// Keeps in mind which record of the lead's was converted into the person's, also while opportunities are not written to: it
/// tells its opportunity for good, and the lead is linked to it no more.
pub(super) fn keep_converted(plan: &mut SyncPlan, input: &PlanInput<'_>) {
    let Some((person, _)) = &plan.matched else { return };
    let was_converted = |candidate: &&Candidate| {
        let into_another_kind =
            candidate.record.became.as_ref().is_some_and(|next| next.object != candidate.record.object);
        into_another_kind && input.found.end_of(candidate).is_ok_and(|end| end.record.reference() == *person)
    };
    let found: Vec<&Candidate> = input.found.found.iter().filter(was_converted).collect();
    let strongest = found.iter().map(|candidate| candidate.by).min();
    let mut strongest = found.iter().filter(|candidate| Some(candidate.by) == strongest);
    let is_its_own =
        |by: MatchedBy| plan.owner || by == MatchedBy::ExternalId || input.link.is_some_and(|link| link.owner);
    let pair = match (strongest.next(), strongest.next()) {
        (Some(one), None) if is_its_own(one.by) => {
            let RecordRef { object, id } = one.record.reference();
            Some(BasePair { lead: CrmValue::Text(object.to_string()), crm: CrmValue::Text(id.to_string()) })
        }
        _ => input.link.and_then(|link| link.bases.get(&CONVERTED.into())).cloned(),
    };
    plan.bases.extend(pair.map(|pair| (CONVERTED.into(), pair)));
}

/// By what the opportunity of a linked lead is looked up, unless there is none or the lead says nothing new of it, and nobody
/// asked. A record that is not converted has none, and one that is says so itself.
pub(super) fn key(
    lead: &Lead,
    own: &OwnKeys,
    link: &Link,
    times: TimeFormat,
    asked_for: bool,
    rules: &SyncRules,
) -> Option<OpportunityKey> {
    let of = rules.opportunity.as_deref().filter(|_| lead.is_alive())?;
    if link.record.object == of.object.converted.object {
        return None;
    }
    let base = link.bases.get(&of.object.link_field());
    if let Some(opportunity) = known(link, rules) {
        let is_news = base.is_none_or(|base| base.lead != CrmValue::Text(said(lead, times, of)));
        return (is_news || asked_for).then_some(OpportunityKey::Known(opportunity));
    }
    let is_to_be_found = (base.is_none() || asked_for) && shows_conversions(of, rules);
    if let Some(record) = converted(link).filter(|_| is_to_be_found) {
        return Some(OpportunityKey::MadeOf(record));
    }
    let may_be_its_own = link.owner || link.in_doubt.is_some();
    let email = || {
        let sides = sides_of(lead, Blanks::Yield, Given::times(times), rules);
        text_of(&sides, FieldRow::is_address).filter(|_| rules.matching.by.contains(&MatchedBy::Email))
    };
    is_to_be_found.then(|| OpportunityKey::OfConverted {
        // A converted record is not written any more: it carries the key as it was then, which the linked one may carry no more.
        // First keys are ordinarily the leads' own IDs.
        external_ids: own
            .former
            .iter()
            .cloned()
            .chain([own.now.clone(), lead.key.id.as_str().trim().to_owned()])
            .collect(),
        // A record that is another lead's was made of that one's, unless a person says that both are one.
        email: if may_be_its_own && link.matched_by == MatchedBy::Email { email() } else { None },
    })
}

/// Whether the CRM shows us which opportunity was made of a record.
fn shows_conversions(of: &OpportunityRules, rules: &SyncRules) -> bool {
    rules.schema.field(&of.object.converted.object, &of.object.converted.field).is_some()
}

/// All that the lead says of the opportunity, in the fields that we may write.
fn said(lead: &Lead, times: TimeFormat, of: &OpportunityRules) -> String {
    let mut hash = Sha256::new();
    for (row, side) in sides_of(lead, Blanks::Yield, Given::times(times), &of.rows) {
        let schema = of.rows.schema.field(&of.object.object, &row.crm);
        if schema.is_some_and(|schema| schema.updateable) {
            hash.update(side.said_of(&row.crm));
        }
    }
    hex::encode(&hash.finalize()[..8])
}

/// Whether an opportunity that was found is surely the lead's: the person's record is, or it was made of the lead's own one,
/// which it was linked to or which carries its key; and nobody is asked yet whose the person's record is.
fn is_the_leads(plan: &SyncPlan, input: &PlanInput<'_>, of: &OpportunityRules) -> bool {
    let is_asked = plan.questions.iter().any(|question| question.kind == ConflictKind::SharedRecord);
    let made_of_its_own = |link: &Link| link.owner || link.record.object != of.object.converted.object;
    !is_asked && plan.in_doubt.is_none() && (plan.owner || input.link.is_some_and(made_of_its_own))
}

/// Adds to the plan for a person's record what is to be done about the opportunity, where that was looked up.
pub(super) fn add(mut plan: SyncPlan, input: &PlanInput<'_>, rules: &SyncRules) -> SyncPlan {
    let writes = matches!(plan.action, Action::Update { .. } | Action::Unchanged);
    let (Some(of), Some((person, _)), true) = (rules.opportunity.as_deref(), &plan.matched, writes) else {
        return plan;
    };
    if person.object == of.object.converted.object {
        return plan;
    }
    let link_field = of.object.link_field();
    let base = input.link.and_then(|link| link.bases.get(&link_field)).cloned();
    // Which one is known stays true, whatever becomes of the person's record.
    plan.bases.extend(base.clone().map(|base| (link_field.clone(), base)));
    if !is_the_leads(&plan, input, of) {
        return plan;
    }
    let made: Vec<&Conversion> = input.found.conversions.iter().filter(|made| made.person == *person).collect();
    let Some(conversion) = made.first() else {
        // None was made, or nothing is new.
        if base.is_none() && shows_conversions(of, rules) {
            plan.bases.insert(link_field, BasePair { lead: CrmValue::Null, crm: CrmValue::Null });
        }
        return plan;
    };
    if made.iter().any(|other| other.opportunity != conversion.opportunity) {
        plan.bases.insert(link_field.clone(), BasePair { lead: CrmValue::Null, crm: CrmValue::Null });
        plan.decisions.push(Decision {
            field: link_field,
            base: None,
            lead: None,
            crm: None,
            written: None,
            rule: Rule::Invalid,
            note: Some("several opportunities were made of this person's records; none is written to".to_owned()),
        });
        return plan;
    }
    let said = said(input.lead, input.times, of);
    let (fields, decisions) = conversion.record.as_ref().map_or_else(Default::default, |record| {
        filled(input, &sides_of(input.lead, Blanks::Yield, input.given(), &of.rows), record, &of.rows)
    });
    plan.opportunity = Some(OpportunityPlan {
        record: conversion.opportunity.clone(),
        is_gone: conversion.record.is_none(),
        modified_at: conversion.record.as_ref().and_then(|record| record.modified_at),
        fields,
        decisions,
        is_new: base.as_ref().is_none_or(|base| base.crm != CrmValue::Text(conversion.opportunity.id.to_string())),
        is_told: base.is_some_and(|base| base.lead == CrmValue::Text(said.clone())),
        link_field,
        said,
    });
    plan
}
