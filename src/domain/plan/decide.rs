//! From one lead, what is known of it and what was found, to a plan.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::domain::cel::Expression;
use crate::domain::company::CompanyKeys;
use crate::domain::envelope::TimeFormat;
use crate::domain::ids::{FieldName, ObjectName, RecordRef};
use crate::domain::lead::Lead;
use crate::domain::mapping::{Covered, FieldRow, FieldType, OnInvalid, Take};
use crate::domain::matching::{Candidate, Candidates, Match, MatchRules, OnShared, Person, choose};
use crate::domain::merge::{self, LeadSide};
use crate::domain::record::{CrmFieldKind, CrmRecord, CrmValue, Schema};

use super::{
    Action, BasePair, Choice, ConflictKind, Decision, Intent, LeftOut, Link, OnDelete, Owner, Question, Resolution,
    SyncPlan,
    ask::{self, Blanks},
    company::{self, CompanyRules},
    computed::VALUE_ERROR,
    create::create,
    deleted, dependent, doubt,
    eligible::left_alone,
    external_id,
    gone::{OnCrmDelete, gone},
    opportunity::{self, OpportunityRules},
    rows::{apply, one_row, yields_to_people},
    sides::{Sides, sides_of, text_of},
    standing::Standing,
};

/// What one destination's mapping document and settings say.
#[derive(Clone, Debug)]
pub struct SyncRules {
    /// Which leads are synced; `None`: all.
    pub filter: Option<Expression>,
    /// A lead with custom attributes beside these fields is held; `None`: it is not.
    pub refuses_beside: Option<Covered>,
    /// The rows of the record's object, in file order.
    pub rows: Vec<FieldRow>,
    /// The field that carries our key.
    pub external_id: FieldName,
    /// How our keys are formed, as the configuration says it.
    pub key_form: String,
    pub matching: MatchRules,
    pub on_shared: OnShared,
    /// When the linked record was deleted in the CRM.
    pub on_crm_delete: OnCrmDelete,
    /// What is done about companies; `None`: they are fields of the person's record only.
    pub company: Option<Arc<CompanyRules>>,
    /// What is written to the opportunities of converted leads; `None`: nothing.
    pub opportunity: Option<Arc<OpportunityRules>>,
    pub on_delete: OnDelete,
    /// What the CRM says of its fields.
    pub schema: Schema,
    /// The same for the other kinds of records that a lead may be.
    pub others: BTreeMap<ObjectName, SyncRules>,
}

impl SyncRules {
    /// The rules for records of this kind; `None`: they are not written to.
    pub fn of(&self, object: &ObjectName) -> Option<&SyncRules> {
        if *object == self.matching.object { Some(self) } else { self.others.get(object) }
    }
}

/// One lead, what is known of it, and what was found.
#[derive(Clone, Copy)]
pub struct PlanInput<'a> {
    pub lead: &'a Lead,
    /// The key that the lead's record is to carry.
    pub external_id: &'a str,
    /// Keys that it carries or may carry instead, by our own doing.
    pub former_ids: &'a BTreeSet<String>,
    /// How the lead's source writes times.
    pub times: TimeFormat,
    pub link: Option<&'a Link>,
    /// Unsettled writes, oldest first.
    pub intents: &'a [Intent],
    /// People's answers, oldest first.
    pub answers: &'a [Resolution],
    pub found: &'a Candidates,
    /// The keys by which the company was looked up.
    pub company: Option<&'a CompanyKeys>,
    /// Whether a person asked for this attempt, or something else that could matter and that we cannot see.
    pub asked_for: bool,
    /// Whether a living lead shares the record of a deleted one, or may.
    pub shared: bool,
    /// Which of our leads owns a record.
    pub owner_of: &'a dyn Fn(&RecordRef) -> Option<Owner>,
}

/// Decides what one CRM needs in order to hold this lead.
///
/// Same inputs, same plan, and nothing is written: planning again after the plan ran yields [`Action::Unchanged`].
pub fn plan_sync(input: &PlanInput<'_>, rules: &SyncRules) -> SyncPlan {
    if !input.lead.is_alive() {
        return deleted::deleted(input, rules);
    }
    if let Some(plan) = left_alone(input.lead, rules) {
        return plan;
    }
    // A lead linked to a record of a kind without rows says nothing of it.
    let own = input.link.map_or(Some(rules), |link| rules.of(&link.record.object));
    let [now, lasting] =
        [Blanks::Count, Blanks::Yield].map(|blanks| own.map_or_else(Sides::new, |own| lead_sides(input, blanks, own)));
    if let Some(plan) = held_by_invalid_value(if input.link.is_some() { &lasting } else { &now }) {
        return plan;
    }
    let found = ask::possible(input.found, input.answers);
    match choose(&person(&now), input.link, &found, input.answers, &rules.matching) {
        Match::Nobody => company::add(create(input, &now, &lasting, rules), input, None, rules),
        Match::One(candidate) => into_its_record(input, candidate, input, rules),
        Match::Moved { from, to } => {
            // What was agreed on or written to the record before says nothing of this one.
            let anew = PlanInput { link: None, intents: &[], ..*input };
            // A record that was in doubt is so still.
            let shared = input.link.filter(|link| !link.owner && !ask::is_said_to_be(&from, input.answers));
            let by = shared.map_or(to.by, |link| link.matched_by);
            let to = &Candidate { record: to.record.clone(), by };
            // Which opportunity was made of it stays true.
            let plan = into_its_record(&anew, to, input, rules);
            SyncPlan { moved_from: Some(from), ..plan }
        }
        Match::Ask { candidates, detail } => SyncPlan {
            questions: vec![Question { candidates, ..Question::new(ConflictKind::Match, detail.clone()) }],
            ..SyncPlan::without_record(Action::Hold { code: "match_conflict", detail })
        },
        Match::Gone => gone(input, rules),
        Match::Became(candidate, other) => {
            let is_missing = rules.matching.writes(&other.object);
            let (code, end) =
                if is_missing { ("record_gone", ", which was deleted") } else { ("record_converted", "") };
            let RecordRef { object, id } = candidate.record.reference();
            let detail = format!("{object} {id} was {}{end}", candidate.record.fate_as(&other));
            SyncPlan::without_record(Action::Hold { code, detail })
        }
        Match::Elsewhere(record) => SyncPlan::without_record(Action::Skip {
            code: "other_object",
            detail: format!("a person linked the lead to {} {}, which is not written to", record.object, record.id),
        }),
    }
}

/// The plan for the record that the lead is, by the rows of its kind. `before`: what was known of the lead when it was
/// another record.
fn into_its_record(input: &PlanInput<'_>, candidate: &Candidate, before: &PlanInput<'_>, all: &SyncRules) -> SyncPlan {
    let Some(rules) = all.of(&candidate.record.object) else {
        let RecordRef { object, id } = candidate.record.reference();
        return SyncPlan::without_record(Action::Hold {
            code: "other_object",
            detail: format!("the lead is linked to {object} {id}, and the mapping has no rows for records of {object}"),
        });
    };
    let [now, lasting] = [Blanks::Count, Blanks::Yield].map(|blanks| lead_sides(input, blanks, rules));
    if let Some(plan) = held_by_invalid_value(&lasting) {
        return plan;
    }
    if let Some(doubt) = doubt::of(input, candidate, before.link, &now, rules) {
        return doubt.linked_only(input, candidate, &lasting, rules);
    }
    let mut plan = into_record(input, candidate, &now, &lasting, rules);
    opportunity::keep_converted(&mut plan, before);
    opportunity::add(company::add(plan, input, Some(&candidate.record), rules), before, all)
}

fn lead_sides<'a>(input: &PlanInput<'_>, blanks: Blanks, rules: &'a SyncRules) -> Sides<'a> {
    sides_of(input.lead, blanks, input.given(), rules)
}

pub(super) fn person(sides: &Sides<'_>) -> Person {
    Person {
        first: text_of(sides, |row| row.take == Some(Take::FirstName)),
        last: text_of(sides, |row| row.take == Some(Take::LastName)),
    }
}

fn held_by_invalid_value(sides: &Sides<'_>) -> Option<SyncPlan> {
    sides.iter().find_map(|(row, side)| match side {
        LeadSide::Invalid { code, message } if row.on_invalid == OnInvalid::Hold || *code == VALUE_ERROR => {
            let mut plan = SyncPlan::without_record(Action::Hold {
                code: if *code == VALUE_ERROR { VALUE_ERROR } else { "invalid_value" },
                detail: format!("{}: {message}", row.crm),
            });
            plan.decisions.push(merge::invalid(row, message, &CrmValue::Null, None));
            Some(plan)
        }
        _ => None,
    })
}

fn into_record(
    input: &PlanInput<'_>,
    candidate: &Candidate,
    now: &Sides<'_>,
    sides: &Sides<'_>,
    rules: &SyncRules,
) -> SyncPlan {
    let record = &candidate.record;
    let reference = record.reference();
    let said = ask::answer_on_sharing(&reference, input.answers);
    let standing = Standing::of(input, record, rules);
    let input = &PlanInput { link: input.link.filter(|_| !standing.takes_over), ..*input };
    let known = bases_known(input, record, standing.carries.is_its_own(), rules);
    let mut plan = SyncPlan::without_record(Action::Unchanged);
    plan.matched = Some((reference.clone(), candidate.by));
    plan.owner = standing.owner;
    plan.bases = known.clone();
    let mut fields = BTreeMap::new();
    let sharing = !standing.owner && rules.on_shared == OnShared::Review && !matches!(said, Some(Choice::Lead));
    for ((_, now), (row, side)) in now.iter().zip(sides) {
        if let Some(mark) = made_without(input.link, row, known.get(&row.crm), now, side) {
            plan.kept.insert(row.crm.clone(), mark);
            continue;
        }
        let Some(outcome) = one_row(input, row, side, record, &known, sharing, rules, &mut plan) else { continue };
        if outcome.write.is_some() && (sharing || yields_to_people(row)) {
            plan.unmodified_since = record.modified_at;
        }
        apply(row, side, outcome, &mut fields, &mut plan);
    }
    dependent::leave_out(Some(record), &mut fields, &mut plan, rules);
    if standing.owner {
        deleted::take_flag_back(record, standing.was_a_deleted_leads(), rules, &mut fields, &mut plan);
    }
    external_id::decide(input, &standing, record, rules, &mut fields, &mut plan);
    if !standing.owner && !sharing && !fields.is_empty() {
        plan.decisions.push(standing.written_by_a_sharer(input, record, rules));
    }
    if sharing && !matches!(said, Some(Choice::Crm)) {
        plan.questions.push(ask::shared_question(input, &standing, None, record, rules));
    }
    if !fields.is_empty() {
        plan.action = Action::Update { record: reference, fields };
    }
    plan
}

/// The mark of a value that the lead had taken back when its record was made, and has not said again since. Where the answer
/// to the create was lost, its announcement tells.
fn made_without(
    link: Option<&Link>,
    row: &FieldRow,
    base: Option<&BasePair>,
    now: &LeadSide,
    lasting: &LeadSide,
) -> Option<BasePair> {
    let mark = ask::mark_of(ask::taken_back(now, lasting)?);
    let is_known = match link {
        Some(link) => link.kept.get(&row.crm) == Some(&mark),
        None => base.is_some_and(|base| base.lead.is_null()),
    };
    is_known.then_some(mark)
}

/// What both sides last settled on, as far as the look tells.
pub(super) fn bases_known(
    input: &PlanInput<'_>,
    record: &CrmRecord,
    carries_our_id: bool,
    rules: &SyncRules,
) -> BTreeMap<FieldName, BasePair> {
    let no_bases = BTreeMap::new();
    let kind_of = |field: &FieldName| {
        rules.rows.iter().find(|row| row.crm == *field).map_or(CrmFieldKind::Text, |row| row.kind.crm_kind())
    };
    let bases = input.link.map_or(&no_bases, |link| &link.bases);
    merge::bases_after_intents(bases, input.intents, record, carries_our_id, &kind_of)
}

impl SyncPlan {
    /// Notes why a row is not written, and that another mapping or schema may change that.
    pub(super) fn leave_out(&mut self, decision: Decision) {
        self.left_out.insert(decision.field.clone(), None);
        self.decisions.push(decision);
    }

    /// Notes that a row's value cannot be stored; of an owner also who it is that is left out.
    pub(super) fn leave_out_invalid(&mut self, row: &FieldRow, code: &'static str, message: &str) {
        self.left_out.insert(row.crm.clone(), None);
        self.tell_of_owner(row, code, message);
    }

    /// Says for the log who an owner is that cannot be stored; of other rows nothing.
    pub(super) fn tell_of_owner(&mut self, row: &FieldRow, code: &'static str, message: &str) {
        if row.kind != FieldType::Owner {
            return;
        }
        // What is no address at all names nobody either.
        let code = if matches!(code, "inactive_owner" | "several_owners") { code } else { "unknown_owner" };
        let told = format!("{} is left out: {message}", row.crm);
        match &mut self.owner_left_out {
            Some((_, others)) => others.push_str(&format!("; {told}")),
            none => *none = Some((code, told)),
        }
    }

    /// A plan that touches no record.
    pub fn without_record(action: Action) -> Self {
        Self {
            action,
            matched: None,
            owner: false,
            in_doubt: None,
            decisions: Vec::new(),
            questions: Vec::new(),
            bases: BTreeMap::new(),
            kept: BTreeMap::new(),
            left_out: LeftOut::new(),
            owner_left_out: None,
            announced: BTreeMap::new(),
            unmodified_since: None,
            moved_from: None,
            company: None,
            opportunity: None,
        }
    }
}
