//! What follows when the CRM's own duplicate rule refuses a record: ask what it found, and save it where a person said so.

use crate::crm::{CrmError, OnDuplicate, WriteResult};
use crate::domain::ids::RecordRef;
use crate::domain::plan::{Choice, ConflictKind, Resolution};
use crate::queue::batch::Planned;

/// Told of a rule that cannot be overruled.
pub(super) const BLOCKED: &str =
    "the rule blocks it whoever insists: choose the record, or have the rule changed to an alert";

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
pub(super) fn linked_elsewhere<'a>(planned: &Planned, error: &'a CrmError) -> Option<&'a RecordRef> {
    let found = found_by_rule(error)??;
    let chosen = newest_answer(planned).map(|answer| &answer.choice);
    (chosen == Some(&Choice::Record(found.clone())) && planned.member.keys.chosen.is_none()).then_some(found)
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
