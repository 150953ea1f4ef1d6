//! What follows when the CRM's own duplicate rule refuses a record: ask what it found, and save it where a person said so.

use super::conflicts::asked_by_duplicate_rule;
use crate::crm::{CrmError, OnDuplicate, WriteResult};
use crate::domain::ids::RecordRef;
use crate::domain::plan::{Choice, ConflictKind, Question, Resolution, SyncRules};
use crate::queue::batch::Planned;

/// Told of a rule that cannot be overruled.
const BLOCKED: &str = "the rule blocks it whoever insists: choose the record, or have the rule changed to an alert";

/// How the write is to be sent once more; `None`: a person is asked.
///
/// First it is asked what the rule found. Where a person said of that record, or where none can be named, that the lead is
/// another person, it is saved all the same.
pub(super) fn past_the_rule(planned: &Planned, result: &WriteResult) -> Option<OnDuplicate> {
    let found = found_by_rule(result.outcome.as_ref().err()?)?;
    if planned.duplicates == OnDuplicate::Save {
        return None;
    }
    let apart = newest_answer(planned).filter(|answer| answer.choice == Choice::Create);
    let apart = apart.is_some_and(|answer| match found {
        Some(record) => answer.seen_records.contains(record),
        None => answer.seen_records.is_empty(),
    });
    match (planned.duplicates, found) {
        // Not before it is known what is overruled.
        (OnDuplicate::Refuse, None) => Some(OnDuplicate::Explain),
        _ if apart => Some(OnDuplicate::Save),
        _ => None,
    }
}

/// The record that a person said the lead is, where the rule found that one and it is of a kind that is not written to.
///
/// A lead that has a record keeps it: what it says has to go there, so the rule's question stays open.
pub(super) fn linked_elsewhere<'a>(planned: &Planned, error: &'a CrmError, rules: &SyncRules) -> Option<&'a RecordRef> {
    let found = found_by_rule(error)??;
    let is_free = planned.member.work.link.is_none() && rules.of(&found.object).is_none();
    let chosen = newest_answer(planned).map(|answer| &answer.choice);
    (is_free && chosen == Some(&Choice::Record(found.clone()))).then_some(found)
}

/// What a person is asked, if a duplicate rule refused the write: with what the answers can do here.
pub(super) fn question(planned: &Planned, error: &CrmError) -> Option<Question> {
    let mut question = asked_by_duplicate_rule(error, ConflictKind::Match)?;
    if let Some(link) = planned.member.work.link.as_ref().filter(|_| !question.candidates.is_empty()) {
        let RecordRef { object, id } = &link.record;
        question.detail.push_str(&format!(
            "; the lead is linked to {object} {id}, and `record` does not change that: if it is the record found, \
             link it to that one by hand, or unlink it where that is of a kind without rows"
        ));
    }
    if planned.duplicates == OnDuplicate::Save {
        question.detail.push_str("; ");
        question.detail.push_str(BLOCKED);
    }
    Some(question)
}

/// The record that the CRM's duplicate rule found, if that refused the write and the answer names one.
fn found_by_rule(error: &CrmError) -> Option<Option<&RecordRef>> {
    match error {
        CrmError::Duplicate { code, record, .. } if code == "DUPLICATES_DETECTED" => Some(record.as_ref()),
        _ => None,
    }
}

/// What a person said last of who the lead is.
fn newest_answer(planned: &Planned) -> Option<&Resolution> {
    planned.member.work.resolutions.iter().rev().find(|answer| answer.kind == ConflictKind::Match)
}
