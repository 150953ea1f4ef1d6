//! The company that a lead belongs to: found, filled or to be made, and pointed to by the person's record.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use crate::domain::company::{CompanyKeys, CompanyMatch, CompanyObject, choose};
use crate::domain::envelope::TimeFormat;
use crate::domain::ids::{FieldName, ObjectName, RecordRef};
use crate::domain::lead::Lead;
use crate::domain::mapping::domain::{company_domain, company_domain_of_site};
use crate::domain::mapping::{FieldType, Given};
use crate::domain::matching::{Candidate, MatchedBy};
use crate::domain::merge::RowOutcome;
use crate::domain::record::{CrmRecord, CrmValue};
use crate::domain::time::Timestamp;

use super::ask::Blanks;
use super::create::create;
use super::rows::one_row;
use super::sides::{Sides, sides_of, text_of};
use super::{
    Action, BasePair, CandidateSummary, Choice, ConflictKind, Decision, Link, PlanInput, Question, Resolution, Rule,
    SyncPlan, SyncRules,
};

/// What a destination does about companies.
#[derive(Clone, Debug)]
pub struct CompanyRules {
    pub object: CompanyObject,
    /// Whether a company that is not found is made.
    pub create: bool,
    /// By which field the records of each kind point to their company, where they do.
    pub lookups: BTreeMap<ObjectName, FieldName>,
    /// The rows of the company's own fields; among them those of its name and of its website.
    pub rows: SyncRules,
}

/// What is to be done about one lead's company.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompanyPlan {
    pub keys: CompanyKeys,
    pub action: CompanyAction,
    /// Of one that is filled: when it was changed last before it was read.
    pub modified_at: Option<Timestamp>,
    pub decisions: Vec<Decision>,
    /// By which field the lead's record is to point to it, and what stands there; `None`: it cannot, or points to one that
    /// a person chose.
    pub lookup: Option<(FieldName, CrmValue)>,
    /// Under which a link keeps which company it is.
    pub link_field: FieldName,
    /// Whether it is news that this is the lead's company.
    pub is_new: bool,
    /// Whether the lead says nothing new of it since it was looked at.
    pub is_told: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompanyAction {
    /// It is this one. `fields`: what is blank there and known to the lead.
    Is {
        record: RecordRef,
        by: MatchedBy,
        reason: String,
        fields: BTreeMap<FieldName, CrmValue>,
    },
    Create {
        fields: BTreeMap<FieldName, CrmValue>,
        reason: String,
    },
    /// None is found, and none is made; or a person is asked.
    Nothing {
        reason: String,
    },
}

impl SyncPlan {
    /// Has the person's record point to its company, now that this is known, and keeps in mind which it is.
    ///
    /// `whole`: all that the lead says of the company was dealt with; else it is looked at again the next time.
    pub fn point_to(&mut self, company: &RecordRef, object: &CompanyObject, whole: bool) {
        let Some(of) = &self.company else { return };
        let id = CrmValue::Text(company.id.to_string());
        let said = if whole { of.keys.said.clone() } else { format!("{} #", of.keys.identity()) };
        self.bases.insert(object.link_field(), BasePair { lead: CrmValue::Text(said), crm: id.clone() });
        let Some((field, stands)) = of.lookup.clone().filter(|(_, stands)| *stands != id) else { return };
        let rule = match &mut self.action {
            Action::Create { fields, .. } => {
                fields.insert(field.clone(), id.clone());
                Rule::Created
            }
            Action::Update { fields, .. } => {
                fields.insert(field.clone(), id.clone());
                if stands.is_null() { Rule::FilledBlank } else { Rule::LeadChanged }
            }
            action => {
                let Some((record, _)) = self.matched.clone() else { return };
                *action = Action::Update { record, fields: BTreeMap::from([(field.clone(), id.clone())]) };
                if stands.is_null() { Rule::FilledBlank } else { Rule::LeadChanged }
            }
        };
        self.announced.insert(field.clone(), BasePair { lead: id.clone(), crm: id.clone() });
        let (lead, written) = (Some(id.clone()), Some(id));
        let decision = Decision { field, base: None, lead, crm: Some(stands), written, rule, note: None };
        self.decisions.push(decision);
    }

    /// This field is left out after all. If it is the one that points to the company, which company it is stays known, and
    /// it is looked at again the next time.
    pub fn points_not_by(&mut self, field: &FieldName) {
        let Some(of) = &self.company else { return };
        if of.lookup.as_ref().is_some_and(|(lookup, _)| lookup == field)
            && let Some(base) = self.bases.get_mut(&of.link_field)
        {
            base.lead = CrmValue::Text(looked_at(&of.keys.said));
        }
    }
}

/// How a link keeps in mind what the lead said of its company where that is to be looked at again all the same.
fn looked_at(said: &str) -> String {
    format!("{said}+")
}

impl CompanyPlan {
    /// Why it is this company, or none, for the log.
    pub fn decision(&self, company: Option<&RecordRef>, object: &CompanyObject) -> Decision {
        let (CompanyAction::Is { reason, .. }
        | CompanyAction::Create { reason, .. }
        | CompanyAction::Nothing { reason }) = &self.action;
        Decision {
            field: object.link_field(),
            base: None,
            lead: Some(CrmValue::Text(self.keys.identity())),
            crm: company.map(|company| CrmValue::Text(company.id.to_string())),
            written: None,
            rule: if company.is_some() { Rule::Agreed } else { Rule::Review },
            note: Some(reason.clone()),
        }
    }
}

/// The link as if nothing were known of what the lead said of its company: so that it is looked up whatever the lead says.
pub fn looked_at_anew(link: &Link, rules: &SyncRules) -> Link {
    let mut link = link.clone();
    if let Some(company) = rules.company.as_deref()
        && let Some(BasePair { lead: CrmValue::Text(said), .. }) = link.bases.get_mut(&company.object.link_field())
    {
        *said = looked_at(said);
    }
    link
}

/// The keys of the lead's company, unless it is known and the lead says nothing new of it.
pub(super) fn keys(
    lead: &Lead,
    link: Option<&Link>,
    answers: &[Resolution],
    times: TimeFormat,
    rules: &SyncRules,
) -> Option<CompanyKeys> {
    let company = rules.company.as_deref().filter(|_| lead.is_alive())?;
    let sides = sides_of(lead, Blanks::Yield, Given::times(times), &company.rows);
    let name = text_of(&sides, |row| row.crm == company.object.name);
    let persons = sides_of(lead, Blanks::Yield, Given::times(times), rules);
    let address = text_of(&persons, |row| row.kind == FieldType::Email && row.take.is_none());
    let site = text_of(&sides, |row| row.crm == company.object.website)
        .or_else(|| text_of(&persons, |row| row.kind == FieldType::Url && row.take.is_none()));
    let of_site = site.as_deref().and_then(company_domain_of_site);
    let domains: BTreeSet<String> = company_domain(address.as_deref(), None).into_iter().chain(of_site).collect();
    let mut keys = CompanyKeys::of(name, domains)?;
    let identity = keys.identity();
    keys.said = said(&keys, &sides, link.map_or(&rules.matching.object, |link| &link.record.object), company, rules);
    let base = link.and_then(|link| link.bases.get(&company.object.link_field()));
    if let Some(BasePair { lead: CrmValue::Text(said), crm }) = base {
        if *said == keys.said {
            return None;
        }
        if let CrmValue::Text(id) = crm
            && said.rsplit_once(" #").is_some_and(|(known, _)| known == identity)
        {
            keys.known = Some(RecordRef { object: company.object.object.clone(), id: id.as_str().into() });
        }
    }
    if let Some(Choice::Record(record)) = newest_answer(answers, &keys).map(|answer| &answer.choice) {
        keys.known = keys.known.or_else(|| Some(record.clone()));
    }
    Some(keys)
}

/// All that the lead says of its company, and by which field a record of this kind is to point to it.
fn said(
    keys: &CompanyKeys,
    sides: &Sides<'_>,
    person: &ObjectName,
    company: &CompanyRules,
    rules: &SyncRules,
) -> String {
    let mut hash = Sha256::new();
    let is_written = |field: &&FieldName| rules.schema.field(person, field).is_some_and(|schema| schema.updateable);
    if let Some(field) = company.lookups.get(person).filter(is_written) {
        hash.update(format!("{person}.{field};"));
    }
    for (row, side) in sides {
        hash.update(side.said_of(&row.crm));
    }
    format!("{} #{}", keys.identity(), hex::encode(&hash.finalize()[..8]))
}

/// What a person said of this very company.
fn newest_answer<'a>(answers: &'a [Resolution], keys: &CompanyKeys) -> Option<&'a Resolution> {
    let seen = Some(CrmValue::Text(keys.identity()));
    answers.iter().rev().find(|answer| answer.kind == ConflictKind::Company && answer.seen_lead == seen)
}

/// Adds to the plan for a person's record what is to be done about the company, where that was looked up.
///
/// `record`: the person's, as it was found; `None`: it is made.
pub(super) fn add(
    mut plan: SyncPlan,
    input: &PlanInput<'_>,
    record: Option<&CrmRecord>,
    rules: &SyncRules,
) -> SyncPlan {
    let writes = matches!(plan.action, Action::Create { .. } | Action::Update { .. } | Action::Unchanged);
    let (Some(company), Some(keys), Some(candidates), true) =
        (rules.company.as_deref(), input.company, &input.found.companies, writes)
    else {
        return plan;
    };
    let base = input.link.and_then(|link| link.bases.get(&company.object.link_field()));
    let person = record.map_or(&rules.matching.object, |record| &record.object);
    let field = company.lookups.get(person).filter(|field| {
        let schema = rules.schema.field(person, field);
        schema.is_some_and(|schema| if record.is_some() { schema.updateable } else { schema.createable })
    });
    let stands = field.zip(record).map_or(&CrmValue::Null, |(field, record)| record.value(field));
    let written = field.zip(input.link).and_then(|(field, link)| link.bases.get(field));
    let is_ours = stands.is_null() || written.is_some_and(|written| written.crm == *stands);
    let (action, question) = match stands {
        CrmValue::Text(id) if !is_ours => (of_the_person(id, company), None),
        _ => matched(input, keys, company, candidates),
    };
    plan.questions.extend(question);
    let sides = sides_of(input.lead, Blanks::Yield, input.given(), &company.rows);
    let mut plan_of = CompanyPlan {
        keys: CompanyKeys { said: said(keys, &sides, person, company, rules), ..keys.clone() },
        action,
        modified_at: None,
        decisions: Vec::new(),
        lookup: field.filter(|_| is_ours).map(|field| (field.clone(), stands.clone())),
        link_field: company.object.link_field(),
        is_new: true,
        is_told: false,
    };
    match &mut plan_of.action {
        CompanyAction::Is { record, fields, .. } => {
            plan_of.is_new = base.is_none_or(|base| base.crm != CrmValue::Text(record.id.to_string()));
            let said = base.map(|base| &base.lead);
            plan_of.is_told = !plan_of.is_new && said == Some(&CrmValue::Text(looked_at(&plan_of.keys.said)));
            if let Some(hit) = candidates.iter().find(|hit| hit.record.id == record.id) {
                plan_of.modified_at = hit.record.modified_at;
                (*fields, plan_of.decisions) = filled(input, &sides, &hit.record, &company.rows);
            }
        }
        CompanyAction::Create { reason, .. } => {
            let made = made(input, keys, &sides, company, std::mem::take(reason));
            (plan_of.action, plan_of.decisions) = made;
        }
        CompanyAction::Nothing { .. } => {}
    }
    plan.company = Some(plan_of);
    plan
}

/// The person's record points to a company already, which people chose, or which it came with.
fn of_the_person(id: &str, company: &CompanyRules) -> CompanyAction {
    CompanyAction::Is {
        record: RecordRef { object: company.object.object.clone(), id: id.into() },
        by: MatchedBy::Link,
        reason: "the person's record belongs to it already".to_owned(),
        fields: BTreeMap::new(),
    }
}

fn matched(
    input: &PlanInput<'_>,
    keys: &CompanyKeys,
    company: &CompanyRules,
    candidates: &[Candidate],
) -> (CompanyAction, Option<Question>) {
    let nothing = |reason: String| CompanyAction::Nothing { reason };
    match choose(keys, candidates, &company.object, &company.rows.external_id) {
        CompanyMatch::One(record, by, reason) => {
            (CompanyAction::Is { record: record.reference(), by, reason, fields: BTreeMap::new() }, None)
        }
        CompanyMatch::Nothing if company.create => {
            let reason = "no company of this domain or name is there".to_owned();
            (CompanyAction::Create { fields: BTreeMap::new(), reason }, None)
        }
        CompanyMatch::Nothing => (nothing("no company of this domain or name is there".to_owned()), None),
        CompanyMatch::Ask { candidates, detail } => match answer_to(&candidates, input.answers, keys) {
            Some(Choice::Create) if company.create => {
                let reason = "a person said that it is another company".to_owned();
                (CompanyAction::Create { fields: BTreeMap::new(), reason }, None)
            }
            Some(Choice::Create) => (nothing("a person said that it is none of those found".to_owned()), None),
            Some(Choice::Record(record)) if candidates.iter().any(|candidate| candidate.record == *record) => {
                let reason = "a person chose it".to_owned();
                (
                    CompanyAction::Is { record: record.clone(), by: MatchedBy::Link, reason, fields: BTreeMap::new() },
                    None,
                )
            }
            _ => (nothing(detail.clone()), Some(asked(candidates, detail, keys))),
        },
    }
}

/// The person's answer, while no record is in question that the person did not see.
fn answer_to<'a>(candidates: &[CandidateSummary], answers: &'a [Resolution], keys: &CompanyKeys) -> Option<&'a Choice> {
    let answer = newest_answer(answers, keys)?;
    candidates.iter().all(|candidate| answer.seen_records.contains(&candidate.record)).then_some(&answer.choice)
}

fn asked(candidates: Vec<CandidateSummary>, detail: String, keys: &CompanyKeys) -> Question {
    Question { lead: Some(CrmValue::Text(keys.identity())), candidates, ..Question::new(ConflictKind::Company, detail) }
}

/// Why a value of the lead is not written to a record that is not the lead's alone.
const STAYS: &str = "what stands here stays: only what is blank is filled";

/// What a company's record, or an opportunity's, lacks and the lead knows: it is not the lead's alone, so its values stay.
/// With the decision on each row of which the lead says anything.
pub(super) fn filled(
    input: &PlanInput<'_>,
    sides: &Sides<'_>,
    record: &CrmRecord,
    rules: &SyncRules,
) -> (BTreeMap<FieldName, CrmValue>, Vec<Decision>) {
    // Answers are to questions about the person's record.
    let input = PlanInput { link: None, answers: &[], ..*input };
    let mut scratch = SyncPlan::without_record(Action::Unchanged);
    let mut fields = BTreeMap::new();
    for (row, side) in sides {
        let outcome = one_row(&input, row, side, record, &BTreeMap::new(), true, rules, &mut scratch);
        let Some(RowOutcome { write, decision, base, .. }) = outcome else { continue };
        fields.extend(write.map(|value| (row.crm.clone(), value)));
        let agreed = base.map(|BasePair { lead, crm }| Decision {
            field: row.crm.clone(),
            base: None,
            lead: Some(lead),
            crm: Some(crm),
            written: None,
            rule: Rule::Agreed,
            note: None,
        });
        scratch.decisions.extend(decision.map(of_shared).or(agreed));
    }
    (fields, scratch.decisions)
}

/// Where nothing but blanks is filled there is no first lead whose value stays.
fn of_shared(decision: Decision) -> Decision {
    match decision.rule {
        Rule::Shared => Decision { rule: Rule::CrmWins, note: Some(STAYS.to_owned()), ..decision },
        _ => decision,
    }
}

/// The decisions of which a log tells: those on rows that the two sides do not agree on.
pub(super) fn telling(decisions: &[Decision]) -> impl Iterator<Item = &Decision> {
    decisions.iter().filter(|decision| decision.rule != Rule::Agreed && decision.written.is_none())
}

impl CompanyPlan {
    /// Why values of the lead are not written to the company, as long as that was not told before.
    pub fn untold(&self) -> Vec<Decision> {
        if self.is_told { Vec::new() } else { telling(&self.decisions).cloned().collect() }
    }
}

/// A company's record as it is made, with the strongest of its keys.
fn made(
    input: &PlanInput<'_>,
    keys: &CompanyKeys,
    sides: &Sides<'_>,
    company: &CompanyRules,
    reason: String,
) -> (CompanyAction, Vec<Decision>) {
    let a_persons = matches!(newest_answer(input.answers, keys).map(|answer| &answer.choice), Some(Choice::Create));
    let of_the_lead = format!("lead:{}", input.external_id);
    let strongest = keys.external_ids().into_iter().next();
    // Where the company of this domain or name is another one, its key is taken.
    let key = strongest.filter(|_| !a_persons).unwrap_or(of_the_lead);
    let input = PlanInput { external_id: &key, link: None, answers: &[], ..*input };
    let SyncPlan { action, decisions, .. } = create(&input, sides, sides, &company.rows);
    let action = match action {
        Action::Create { fields, .. } => CompanyAction::Create { fields, reason },
        Action::Refuse { message, .. } => CompanyAction::Nothing { reason: message },
        _ => CompanyAction::Nothing { reason: "it cannot be made".to_owned() },
    };
    (action, decisions)
}

/// The keys of the company that an announced write makes, as they are announced.
pub fn announced_keys(announced: &BTreeMap<FieldName, BasePair>, object: &CompanyObject) -> Vec<String> {
    match announced.get(&object.link_field()).map(|pair| &pair.lead) {
        Some(CrmValue::Text(keys)) => keys.split('\n').map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// How a write of a company is announced: by the keys that it has in hand.
pub fn announced(keys: &BTreeSet<String>, object: &CompanyObject) -> BTreeMap<FieldName, BasePair> {
    let together = keys.iter().map(String::as_str).collect::<Vec<_>>().join("\n");
    BTreeMap::from([(object.link_field(), BasePair { lead: CrmValue::Text(together), crm: CrmValue::Null })])
}
