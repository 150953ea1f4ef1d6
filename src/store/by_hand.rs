//! What both stores write down of people's orders.

use super::LinkOrder;
use super::stored::PersonsAnswer;
use crate::domain::ids::RecordRef;
use crate::domain::matching::MatchedBy;
use crate::domain::plan::{CandidateSummary, Choice, ConflictKind, Question};

/// Why a conflict closed that nobody answered.
pub(super) const LINKED_BY_HAND: &str = "a person said which record the lead is";
pub(super) const UNLINKED_BY_HAND: &str = "a person unlinked the lead";
pub(super) const VANISHED: &str = "its row is no longer in the mapping";
pub(super) const NO_COMPANIES: &str = "companies are not looked up any more";
pub(super) const NO_DESTINATION: &str = "its destination is not in the configuration any more";
pub(super) const ASKED_AGAIN: &str = "it could not be answered for a while; what still stands is asked again";
pub(super) const EXCLUDED: &str = "a person excluded the lead from syncing";

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
    let candidates = earlier.into_iter().filter(|known| known != record).map(candidate).collect();
    Question { record: Some(record.clone()), candidates, ..Question::new(ConflictKind::SharedRecord, UNLINKED_BY_HAND) }
}

/// The answer to it.
pub(super) fn unlinked_answer(order: &LinkOrder) -> PersonsAnswer {
    PersonsAnswer { choice: Choice::Create, by: order.by.clone(), at: order.now, note: None }
}
