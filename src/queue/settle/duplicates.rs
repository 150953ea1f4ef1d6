//! What follows when the CRM's own duplicate rule refuses a record: ask what it found, and save it where a person said so.

use super::conflicts::{CHOOSE, asked_by_duplicate_rule};
use crate::crm::{CrmError, OnDuplicate, WriteResult};
use crate::domain::ids::RecordRef;
use crate::domain::plan::{
    Action, CandidateSummary, Choice, ConflictKind, Question, Resolution, SyncRules, is_another_person,
};
use crate::queue::batch::Planned;

/// Of so many records the log's row says which.
const MOST_NAMED: usize = 5;

/// How the write is to be sent once more; `None`: a person is asked.
///
/// First it is asked what the rule found. Where a person said of those records, or where none can be named, that the lead is
/// another person, it is saved all the same, if the rule lets it.
pub(super) fn past_the_rule(planned: &Planned, result: &WriteResult) -> Option<OnDuplicate> {
    let error = result.outcome.as_ref().err()?;
    let found = found_by_rule(error)?;
    if found.is_empty() && !planned.duplicates.explains() {
        return Some(planned.duplicates.explained());
    }
    let is_final = planned.duplicates.saves() || matches!(error, CrmError::Duplicate { blocks: true, .. });
    (!is_final && is_apart(planned, found)).then_some(OnDuplicate::Save)
}

/// Whether a person saw all that the rule found, and said that the lead is none of it: but the record that is written.
fn is_apart(planned: &Planned, found: &[RecordRef]) -> bool {
    let is_another = |record: &RecordRef| is_another_person(record, &planned.member.work.resolutions);
    if !found.is_empty() && found.iter().all(is_another) {
        return true;
    }
    let Some(answer) = newest_answer(planned) else { return false };
    let all_seen = match found {
        [] => answer.seen_records.is_empty(),
        found => found.iter().all(|record| answer.seen_records.contains(record) || is_another(record)),
    };
    let written = match &planned.plan.action {
        Action::Update { record, .. } => Some(record),
        _ => None,
    };
    all_seen
        && match &answer.choice {
            Choice::Create => true,
            Choice::Record(record) => written == Some(record),
            _ => false,
        }
}

/// The record that a person said the lead is, where the rule found that one and it is of a kind that is not written to.
///
/// A lead that has a record keeps it: what it says has to go there, so the rule's question stays open.
pub(super) fn linked_elsewhere<'a>(planned: &Planned, error: &'a CrmError, rules: &SyncRules) -> Option<&'a RecordRef> {
    let Choice::Record(chosen) = &newest_answer(planned)?.choice else { return None };
    let found = found_by_rule(error)?.iter().find(|found| *found == chosen)?;
    (planned.member.work.link.is_none() && rules.of(&found.object).is_none()).then_some(found)
}

/// What a person is asked, if a duplicate rule refused the write: with what the answers can do here.
pub(super) fn question(planned: &Planned, error: &CrmError) -> Option<Question> {
    let mut question = asked_by_duplicate_rule(error, ConflictKind::Match, planned.duplicates.saves())?;
    // Of a rule that blocks all are shown: what a person said of them does not let the record pass.
    if !question.blocks_create() {
        let answers = &planned.member.work.resolutions;
        question.candidates.retain(|candidate| !is_another_person(&candidate.record, answers));
    }
    if let Some(link) = planned.member.work.link.as_ref().filter(|_| !question.candidates.is_empty()) {
        let RecordRef { object, id } = &link.record;
        question.detail = question.detail.replace(CHOOSE, "");
        question.detail.push_str(&format!(
            "; the lead is linked to {object} {id}, and `record` does not change that: if it is the record found, \
             link it to that one by hand, or unlink it where that is of a kind without rows"
        ));
    }
    Some(question)
}

/// The question as the sync log tells it: with the records that were found, which have no column there.
pub(in crate::queue) fn told_of_rule(question: &Question) -> String {
    let named = |candidate: &CandidateSummary| format!("{} {}", candidate.record.object, candidate.record.id);
    let named: Vec<String> = question.candidates.iter().take(MOST_NAMED).map(named).collect();
    let more = question.candidates.len().saturating_sub(MOST_NAMED);
    match (named.as_slice(), more) {
        ([], _) => question.detail.clone(),
        (named, 0) => format!("{}; it found {}", question.detail, named.join(", ")),
        (named, more) => format!("{}; it found {} and {more} more", question.detail, named.join(", ")),
    }
}

/// What the CRM's duplicate rule found, as far as the answer names it, if that refused the write.
fn found_by_rule(error: &CrmError) -> Option<&[RecordRef]> {
    match error {
        CrmError::Duplicate { code, records, .. } if code == "DUPLICATES_DETECTED" => Some(records),
        _ => None,
    }
}

/// What a person said last of who the lead is.
fn newest_answer(planned: &Planned) -> Option<&Resolution> {
    planned.member.work.resolutions.iter().rev().find(|answer| answer.kind == ConflictKind::Match)
}
