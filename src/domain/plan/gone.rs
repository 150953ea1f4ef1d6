//! What becomes of a lead whose record is not in the CRM any more.

use crate::domain::ids::RecordRef;

use super::{Action, Choice, ConflictKind, PlanInput, Question, Resolution, SyncPlan, SyncRules};

/// When the linked record was deleted in the CRM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnCrmDelete {
    /// The lead waits for a person.
    Hold,
    /// The lead is left alone until a person syncs it.
    Unlink,
    /// The lead is looked for and, if it is not found, made again.
    Recreate,
    /// A person is asked.
    Review,
}

const DELETED: &str = "the linked record was deleted in the CRM";

/// The plan for a lead whose record is gone, and did not become another one.
pub(super) fn gone(input: &PlanInput<'_>, rules: &SyncRules) -> SyncPlan {
    let forget = |why: &str| SyncPlan::without_record(Action::Forget { detail: format!("{DELETED}; {why}") });
    match rules.on_crm_delete {
        OnCrmDelete::Hold => SyncPlan::without_record(Action::Hold { code: "record_gone", detail: DELETED.to_owned() }),
        OnCrmDelete::Unlink if input.asked_for => forget("a person asked for the lead to be synced"),
        OnCrmDelete::Unlink => SyncPlan::without_record(Action::Skip {
            code: "record_gone",
            detail: format!("{DELETED}; the lead is left alone until a person syncs it"),
        }),
        OnCrmDelete::Recreate => forget("the lead gets another one"),
        OnCrmDelete::Review => {
            let Some(record) = input.link.map(|link| &link.record) else { return forget("the lead gets another one") };
            match answer_on(record, input.answers) {
                Some(_) => forget("a person decided what becomes of the lead"),
                None => asked(record),
            }
        }
    }
}

/// What a person said of this record that is gone.
fn answer_on<'a>(record: &RecordRef, answers: &'a [Resolution]) -> Option<&'a Choice> {
    answers
        .iter()
        .rev()
        .find(|answer| answer.kind == ConflictKind::Match && answer.seen_records.contains(record))
        .map(|answer| &answer.choice)
}

fn asked(record: &RecordRef) -> SyncPlan {
    let detail = format!(
        "{} {} was deleted in the CRM: is the lead another record (\"record\"), or does it get a new one (\"create\")?",
        record.object, record.id
    );
    let question = Question { record: Some(record.clone()), ..Question::new(ConflictKind::Match, detail.clone()) };
    SyncPlan { questions: vec![question], ..SyncPlan::without_record(Action::Hold { code: "match_conflict", detail }) }
}
