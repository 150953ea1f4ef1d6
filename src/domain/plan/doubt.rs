//! A record that was recognised and may be another person's all the same.

use crate::domain::matching::{self, Candidate};

use super::decide::person;
use super::sides::Sides;
use super::standing::Standing;
use super::{Action, Choice, PlanInput, SyncPlan, SyncRules, ask};

/// Why the record may be another person's, and the names of both.
pub(super) struct Doubt {
    pub why: &'static str,
    pub lead: String,
    pub record: String,
}

/// Why the record may be another person's, unless somebody settled that.
pub(super) fn of(input: &PlanInput<'_>, candidate: &Candidate, now: &Sides<'_>, rules: &SyncRules) -> Option<Doubt> {
    let by = input.link.map_or(candidate.by, |link| link.matched_by);
    // Whoever inherited the record was not asked.
    let is_owner = input.link.is_some_and(|link| link.owner && !link.is_inherited());
    if is_owner || ask::is_said_to_be(&candidate.record.reference(), input.answers) {
        return None;
    }
    let (person, other) = (person(now), matching::person_of(&candidate.record, &rules.matching));
    let why = matching::doubt(&person, &other, by)?;
    Some(Doubt { why, lead: person.to_string(), record: other.to_string() })
}

/// The lead is linked to the record, which is left as it is: nothing of the lead is put among what may be another person's,
/// nor into the company or the opportunity that the record has.
pub(super) fn linked_only(input: &PlanInput<'_>, candidate: &Candidate, doubt: &Doubt, rules: &SyncRules) -> SyncPlan {
    let record = &candidate.record;
    let standing = Standing::of(input, record, rules);
    let mut plan = SyncPlan::without_record(Action::Unchanged);
    plan.matched = Some((record.reference(), candidate.by));
    plan.in_doubt = true;
    if !matches!(ask::answer_on_sharing(&record.reference(), input.answers), Some(Choice::Crm)) {
        plan.questions.push(ask::shared_question(&standing, Some(doubt), record, rules));
    }
    plan
}
