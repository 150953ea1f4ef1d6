//! What both stores write down of people's orders.

use super::LinkOrder;
use super::stored::PersonsAnswer;
use crate::domain::ids::RecordRef;
use crate::domain::matching::MatchedBy;
use crate::domain::plan::{CandidateSummary, Choice, ConflictKind, Link, Question};

/// Why a conflict closed that nobody answered.
pub(super) const LINKED_BY_HAND: &str = "a person said which record the lead is";
pub(super) const UNLINKED_BY_HAND: &str = "a person unlinked the lead";
pub(super) const VANISHED: &str = "its row is no longer in the mapping";
pub(super) const NO_COMPANIES: &str = "companies are not looked up any more";
pub(super) const NO_DESTINATION: &str = "its destination is not in the configuration any more";
pub(super) const ASKED_AGAIN: &str = "it could not be answered for a while; what still stands is asked again";
pub(super) const EXCLUDED: &str = "a person excluded the lead from syncing";

/// The link that a person ordered: nothing is agreed on yet, and the record gets the lead's key.
pub(super) fn link_to(record: &RecordRef) -> Link {
    Link {
        record: record.clone(),
        matched_by: MatchedBy::Link,
        owner: true,
        bases: Default::default(),
        kept: Default::default(),
        left_out: Default::default(),
        in_doubt: None,
        fingerprint: String::new(),
        revision: 0,
    }
}

/// The question that unlinking answers: the lead is another person than this record, and than those it was unlinked from
/// before.
pub(super) fn unlinked_question(record: &RecordRef, before: Option<(&Question, &PersonsAnswer)>) -> Question {
    let earlier = before.filter(|(_, answer)| answer.choice == Choice::Create);
    let earlier = earlier.map(|(question, answer)| answer.resolve(question).seen_records).unwrap_or_default();
    let candidate = |record: RecordRef| CandidateSummary {
        record,
        by: MatchedBy::Link,
        speaks: "the lead was kept apart from it before".to_owned(),
    };
    Question {
        kind: ConflictKind::SharedRecord,
        field: None,
        record: Some(record.clone()),
        base: None,
        lead: None,
        crm: None,
        candidates: earlier.into_iter().filter(|known| known != record).map(candidate).collect(),
        other: None,
        duplicate_rule: None,
        detail: UNLINKED_BY_HAND.to_owned(),
    }
}

/// The answer to it.
pub(super) fn unlinked_answer(order: &LinkOrder) -> PersonsAnswer {
    PersonsAnswer { choice: Choice::Create, by: order.by.clone(), at: order.now, note: None }
}
