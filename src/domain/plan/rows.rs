//! One mapping row of a lead's record: what is written of it, and what is kept in mind.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::envelope::TimeFormat;
use crate::domain::ids::FieldName;
use crate::domain::lead::Lead;
use crate::domain::mapping::{Computed, ConflictRule, FieldRow};
use crate::domain::merge::{self, LeadSide, RowOutcome, RowView};
use crate::domain::record::{CrmRecord, CrmValue, same_value};
use crate::domain::value::Value;

use super::{
    BasePair, Choice, ConflictKind, Decision, PlanInput, Resolution, Rule, SyncPlan, SyncRules,
    ask::{self, Blanks},
    computed, note,
    sides::side,
};

/// Times of two systems that are closer than this do not say which came first.
const CLOCKS_DIFFER_BY: Duration = Duration::from_secs(120);

#[expect(clippy::too_many_arguments, reason = "all of one row's surroundings, named")]
pub(super) fn one_row(
    input: &PlanInput<'_>,
    row: &FieldRow,
    side: &LeadSide,
    record: &CrmRecord,
    known: &BTreeMap<FieldName, BasePair>,
    sharing: bool,
    rules: &SyncRules,
    plan: &mut SyncPlan,
) -> Option<RowOutcome> {
    let crm = record.value(&row.crm);
    let base = known.get(&row.crm);
    let (lead, note) = match side {
        LeadSide::Silent => return None,
        // It takes back what the lead said before, and no value that came from elsewhere.
        LeadSide::Says(CrmValue::Null, _) if !row.clear && (sharing || base.is_none()) => return None,
        LeadSide::Invalid { code, message } => {
            let mut decision = merge::invalid(row, message, crm, base);
            let shown = ask::unstorable(row, input.lead, Blanks::Yield);
            let answer = ask::answer_on_invalid(row, shown.as_ref(), input.answers);
            if answer.is_none() {
                plan.questions.extend(ask::invalid_question(row, message, shown, Some(crm)));
            }
            let given = answer.and_then(|answer| chosen_value(input, row, answer, rules));
            if given.is_none() {
                plan.leave_out_invalid(row, code, message);
            }
            let chosen = given.filter(|value| !same_value(row.kind.crm_kind(), value, crm));
            decision.written = chosen.clone();
            decision.rule = if chosen.is_some() { Rule::Resolved } else { Rule::Invalid };
            return Some(RowOutcome {
                write: chosen,
                base: base.cloned(),
                decision: Some(decision),
                ..RowOutcome::default()
            });
        }
        LeadSide::Says(value, note) => (value, note),
    };
    let schema = rules.schema.field(&rules.matching.object, &row.crm);
    if !schema.is_some_and(|field| field.updateable) {
        if has_something(row, side) {
            plan.leave_out(not_writable(row, schema.is_some()));
        }
        return None;
    }
    let answer = input
        .answers
        .iter()
        .rev()
        .find(|answer| answer.kind == ConflictKind::Field && answer.field.as_ref() == Some(&row.crm));
    let chosen = answer.and_then(|answer| chosen_value(input, row, answer, rules));
    let reference = record.reference();
    let view = RowView {
        row,
        lead,
        note: note.as_ref(),
        crm,
        base,
        kept: input.link.and_then(|link| link.kept.get(&row.crm)),
        answer,
        chosen: chosen.as_ref(),
        record: &reference,
        lead_is_newer: is_newer(row, input.lead, record),
    };
    if is_note(row) {
        return Some(note::decide(&view, sharing, schema));
    }
    Some(if sharing { merge::decide_shared(&view) } else { merge::decide(&view) })
}

/// Whether the lead has anything that the record would lack without the row.
pub(super) fn has_something(row: &FieldRow, side: &LeadSide) -> bool {
    match side {
        LeadSide::Silent => false,
        LeadSide::Says(value, _) => !value.is_null() || row.clear,
        LeadSide::Invalid { .. } => true,
    }
}

/// Whether a value that a person wrote may count for more than the lead's: then it must not be overwritten unread.
pub(super) fn yields_to_people(row: &FieldRow) -> bool {
    row.conflict != ConflictRule::LeadWins || is_note(row)
}

pub(super) fn is_note(row: &FieldRow) -> bool {
    matches!(row.computed, Some(Computed::Unmapped(_)))
}

/// Whether the lead changed later than the record, by more than clocks may differ. The stamp of our own last write says
/// nothing of when a person changed it.
fn is_newer(row: &FieldRow, lead: &Lead, record: &CrmRecord) -> bool {
    let edited_at = record.modified_at.filter(|_| record.modified_by_us != Some(true));
    let (Some(lead_at), Some(edited_at)) = (computed::changed_at(row, lead), edited_at) else { return false };
    lead_at > edited_at.after(CLOCKS_DIFFER_BY)
}

pub(super) fn chosen_value(
    input: &PlanInput<'_>,
    row: &FieldRow,
    answer: &Resolution,
    rules: &SyncRules,
) -> Option<CrmValue> {
    let Choice::Value(text) = &answer.choice else { return None };
    let plain = FieldRow { take: None, values: Vec::new(), computed: None, ..row.clone() };
    let text = Value::Text(text.clone());
    match side(&plain, &|path| (path == plain.lead).then_some(&text), input.given_in(TimeFormat::Rfc3339), rules) {
        LeadSide::Says(value, _) => Some(value),
        LeadSide::Silent => Some(CrmValue::Null),
        LeadSide::Invalid { .. } => None,
    }
}

pub(super) fn apply(
    row: &FieldRow,
    side: &LeadSide,
    outcome: RowOutcome,
    fields: &mut BTreeMap<FieldName, CrmValue>,
    plan: &mut SyncPlan,
) {
    match outcome.base {
        Some(base) => plan.bases.insert(row.crm.clone(), base),
        None => plan.bases.remove(&row.crm),
    };
    if let Some(kept) = outcome.kept {
        plan.kept.insert(row.crm.clone(), kept);
    }
    plan.decisions.extend(outcome.decision);
    plan.questions.extend(outcome.question);
    if let Some(value) = outcome.write {
        let lead = if let LeadSide::Says(lead, _) = side { lead.clone() } else { CrmValue::Null };
        plan.announced.insert(row.crm.clone(), BasePair { lead, crm: value.clone() });
        fields.insert(row.crm.clone(), value);
    }
}

pub(super) fn not_writable(row: &FieldRow, exists: bool) -> Decision {
    let why =
        if exists { "the CRM does not let us write this field" } else { "the CRM has no such field, or hides it" };
    Decision {
        field: row.crm.clone(),
        base: None,
        lead: None,
        crm: None,
        written: None,
        rule: Rule::NotWritable,
        note: Some(why.to_owned()),
    }
}
