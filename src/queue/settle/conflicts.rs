//! Which conflicts an attempt opens and closes.

use crate::crm::CrmError;
use crate::domain::matching::MatchedBy;
use crate::domain::plan::{
    Action, CandidateSummary, CompanyAction, CompanyPlan, ConflictKind, FILTERED, Question, RuleAction, SyncPlan,
};
use crate::store::OpenConflict;

/// Why the conflicts of a lead close that the filter leaves alone.
pub(super) const OUT_OF_THE_FILTER: &str = "the lead falls out of the filter";

/// Open conflicts that planning looked for and no longer finds, or all of a lead that the filter leaves alone.
pub(super) fn moot(open: &[OpenConflict], plan: &SyncPlan) -> Vec<OpenConflict> {
    let asked = |conflict: &OpenConflict| {
        plan.questions.iter().any(|question| question.kind == conflict.kind && question.field == conflict.field)
    };
    // Nobody need answer for a lead that is left alone; one that comes back is asked about again.
    let is_filtered = matches!(plan.action, Action::Skip { code: FILTERED, .. });
    let looked_for = |kind: ConflictKind| match kind {
        // Only where the company was looked up; one that was refused before is not asked about again.
        ConflictKind::Company if !is_filtered => plan.company.as_ref().is_some_and(|of| !is_known_refusal(of, plan)),
        kind => looked_for(plan, kind),
    };
    open.iter().filter(|conflict| looked_for(conflict.kind) && !asked(conflict)).cloned().collect()
}

/// Whether the CRM's duplicate rule asks about the lead's company: when that is made, or not since it was refused before.
pub(in crate::queue) fn asks_about_company(plan: &SyncPlan) -> bool {
    let company = plan.company.as_ref();
    company.is_some_and(|of| matches!(of.action, CompanyAction::Create { .. }) || is_known_refusal(of, plan))
}

/// Whether the company is not made, since that was refused before.
fn is_known_refusal(of: &CompanyPlan, plan: &SyncPlan) -> bool {
    matches!(of.action, CompanyAction::Nothing { .. }) && plan.left_out.contains_key(&of.link_field)
}

/// Whether planning came as far as this kind of question: it may stop before it knows the record, or before its fields.
fn looked_for(plan: &SyncPlan, kind: ConflictKind) -> bool {
    match &plan.action {
        Action::Hold { code: "match_conflict" | "other_object" | "record_gone" | "record_converted", .. }
        | Action::Skip { code: "other_object" | "record_gone", .. }
        | Action::Forget { .. } => kind == ConflictKind::Match,
        Action::Hold { .. } => false,
        Action::Create { .. }
        | Action::Update { .. }
        | Action::Delete { .. }
        | Action::Unchanged
        | Action::Refuse { .. }
        | Action::Skip { .. } => true,
    }
}

/// Advised where a rule cannot be overruled.
pub(super) const CHOOSE: &str = "choose the record that it is, or ";

/// The question that the CRM's own duplicate rule puts, about a person's record (`Match`) or about a company's. A rule that
/// refused what was to be saved all the same (`insisted`) lets nobody overrule it.
pub(in crate::queue) fn asked_by_duplicate_rule(
    error: &CrmError,
    kind: ConflictKind,
    insisted: bool,
) -> Option<Question> {
    let CrmError::Duplicate { code, message, records, rule, blocks, .. } = error else { return None };
    if code != "DUPLICATES_DETECTED" {
        return None;
    }
    let what = if kind == ConflictKind::Company { "the company" } else { "it" };
    let rule = rule.as_ref().map(|rule| format!(" {rule}")).unwrap_or_default();
    let candidates = records.iter().map(|record| CandidateSummary {
        record: record.clone(),
        by: MatchedBy::DuplicateRule,
        speaks: "found by the CRM's own duplicate rule".to_owned(),
    });
    let (action, blocked) = match insisted || *blocks {
        true => {
            let advice = "have the rule changed to an alert and sync the lead";
            (RuleAction::Block, format!("; the rule blocks it whoever insists: {CHOOSE}{advice}"))
        }
        false => (RuleAction::Alert, String::new()),
    };
    Some(Question {
        candidates: candidates.collect(),
        duplicate_rule: Some(action),
        ..Question::new(
            kind,
            format!("the CRM's duplicate rule{rule} refused {what}: {}{blocked}", message.trim_end_matches('.')),
        )
    })
}

#[cfg(test)]
mod tests;
