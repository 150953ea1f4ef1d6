//! Questions for a person, and what the answers mean for the next plan.

use crate::domain::ids::{RecordId, RecordRef};
use crate::domain::lead::Lead;
use crate::domain::mapping::{FieldRow, OnInvalid};
use crate::domain::matching::Candidates;
use crate::domain::merge::LeadSide;
use crate::domain::record::{CrmRecord, CrmValue};
use crate::domain::value::Value;

use super::computed;
use super::doubt::Doubt;
use super::standing::{Carries, Standing};
use super::{BasePair, Choice, ConflictKind, Link, PlanInput, Question, Resolution, SyncRules};

/// As much of a value that cannot be stored as a person is shown.
const SHOWN_CHARACTERS: usize = 255;

/// The link that planning goes by: none for a sharer whom a person gave a record of its own.
pub fn planned_link<'a>(link: Option<&'a Link>, answers: &[Resolution]) -> Option<&'a Link> {
    link.filter(|link| link.owner || !is_another_person(&link.record, answers))
}

/// The candidates without the records that a person said are somebody else's.
pub(super) fn possible(found: &Candidates, answers: &[Resolution]) -> Candidates {
    let possible = found.found.iter().filter(|hit| !is_another_person(&hit.record.reference(), answers));
    // The others are not for choosing the record.
    Candidates { found: possible.cloned().collect(), ..Candidates::default() }
}

/// Whether a person said of two leads on this record that they are two people, or unlinked the lead from it.
pub fn is_another_person(record: &RecordRef, answers: &[Resolution]) -> bool {
    matches!(answer_on_sharing(record, answers), Some(Choice::Create))
}

/// What a person said of two leads on this record; the newest answer counts.
pub(super) fn answer_on_sharing<'a>(record: &RecordRef, answers: &'a [Resolution]) -> Option<&'a Choice> {
    answers
        .iter()
        .rev()
        .find(|answer| answer.kind == ConflictKind::SharedRecord && answer.seen_records.contains(record))
        .map(|answer| &answer.choice)
}

/// Whether a person said of two leads on this record that it stays as it is; the newest answer counts.
pub(super) fn was_told_apart(record: &RecordId, answers: &[Resolution]) -> bool {
    let about = |answer: &&Resolution| {
        answer.kind == ConflictKind::SharedRecord && answer.seen_records.iter().any(|seen| seen.id == *record)
    };
    answers.iter().rev().find(about).is_some_and(|answer| answer.choice == Choice::Crm)
}

/// Whether a person said that the lead is this record; the newest answer counts.
pub(super) fn is_said_to_be(record: &RecordRef, answers: &[Resolution]) -> bool {
    let said = answers.iter().rev().find_map(|answer| match (answer.kind, &answer.choice) {
        (ConflictKind::Match, Choice::Record(chosen)) => Some(chosen == record),
        (ConflictKind::SharedRecord, choice) if answer.seen_records.contains(record) => Some(*choice == Choice::Lead),
        _ => None,
    });
    said == Some(true)
}

/// What a blank says of a field that had a value before.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Blanks {
    /// That there is none: for a new record, and for who the person is.
    Count,
    /// Nothing, unless the row says so: for a record that is there. The last value counts, which stands in the CRM or was on
    /// its way there when the blank came.
    Yield,
}

/// What the lead says for a row.
pub(super) fn value_for<'l>(row: &FieldRow, lead: &'l Lead, path: &str, blanks: Blanks) -> Option<&'l Value> {
    if row.clear || blanks == Blanks::Count { lead.get(path) } else { lead.get_lasting(path) }
}

/// The value that the lead had before it was emptied, where it is.
pub(super) fn taken_back<'v>(now: &LeadSide, lasting: &'v LeadSide) -> Option<&'v CrmValue> {
    match (now, lasting) {
        (LeadSide::Silent, LeadSide::Says(value, _)) if !value.is_null() => Some(value),
        _ => None,
    }
}

/// How a link keeps in mind that its record was made without a value that the lead had taken back by then.
pub(super) fn mark_of(taken_back: &CrmValue) -> BasePair {
    BasePair { lead: taken_back.clone(), crm: CrmValue::Null }
}

/// The lead's value as a person is shown it where it cannot be stored.
pub(super) fn unstorable(row: &FieldRow, lead: &Lead, blanks: Blanks) -> Option<CrmValue> {
    let value = computed::said(row, lead, blanks)?;
    let text = value.scalar_text().map_or_else(|| Value::to_json(&value), str::to_owned);
    Some(CrmValue::Text(text.chars().take(SHOWN_CHARACTERS).collect()))
}

pub(super) fn invalid_question(
    row: &FieldRow,
    message: &str,
    lead: Option<CrmValue>,
    crm: Option<&CrmValue>,
) -> Option<Question> {
    (row.on_invalid == OnInvalid::Review).then(|| Question {
        field: Some(row.crm.clone()),
        lead,
        crm: crm.cloned(),
        ..Question::new(ConflictKind::Invalid, message)
    })
}

/// What a person said to do about this very value that cannot be stored.
pub(super) fn answer_on_invalid<'a>(
    row: &FieldRow,
    lead: Option<&CrmValue>,
    answers: &'a [Resolution],
) -> Option<&'a Resolution> {
    let about = |answer: &&Resolution| answer.kind == ConflictKind::Invalid && answer.field.as_ref() == Some(&row.crm);
    answers.iter().rev().find(about).filter(|answer| answer.seen_lead.as_ref() == lead)
}

pub(super) fn shared_question(
    input: &PlanInput<'_>,
    standing: &Standing,
    doubt: Option<&Doubt>,
    record: &CrmRecord,
    rules: &SyncRules,
) -> Question {
    let other = standing.other.as_ref().filter(|owner| !owner.has_left()).map(|owner| owner.lead.clone());
    let whose = match &other {
        Some(owner) => Some(format!("the record belongs to lead {owner} already")),
        None if standing.carries == Carries::Another => {
            Some("the record carries another external ID already".to_owned())
        }
        None => None,
    };
    let why: Vec<String> = whose.into_iter().chain(doubt.and_then(|doubt| doubt.why).map(str::to_owned)).collect();
    // Whose record it was may have been erased, and then nothing here tells that name again.
    let is_orphan = standing.other.is_none()
        && (standing.carries == Carries::Another || input.link.is_some_and(Link::is_inherited));
    let crm = match doubt {
        None => Some(record.value(&rules.external_id).clone()),
        Some(doubt) => (!is_orphan).then(|| CrmValue::Text(doubt.record.clone())),
    };
    Question {
        record: Some(record.reference()),
        lead: doubt.map(|doubt| CrmValue::Text(doubt.lead.clone())),
        crm,
        other,
        ..Question::new(ConflictKind::SharedRecord, why.join(", and "))
    }
}
