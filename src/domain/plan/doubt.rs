//! A record that was recognised and may be another person's all the same.

use crate::domain::ids::RecordId;
use crate::domain::mapping::FieldRow;
use crate::domain::mapping::domain::is_role_address;
use crate::domain::matching::{self, Candidate, MatchedBy, Person};
use crate::domain::merge::LeadSide;
use crate::domain::record::known_name;

use super::decide::person;
use super::sides::{Sides, text_of};
use super::standing::Standing;
use super::{Action, Link, PlanInput, SyncPlan, SyncRules, ask};

/// Why it is in doubt at an address that several people read.
const ANYONE: &str = "the record with this address, which several people read, may be of a person who is not the lead";

/// That the record may be another person's, and the names of both.
pub(super) struct Doubt {
    /// Why a person is asked; `None`: a person said that it is another one's.
    pub why: Option<&'static str>,
    pub lead: String,
    pub record: String,
    /// About which record: this one, or one that was merged into it.
    about: RecordId,
}

/// Whether the record may be another person's, unless somebody settled that. `before`: the lead's link, which may be to a record
/// that was merged into this one.
///
/// Whom a person told apart stays so for good, in the record that the other one is merged into as well. Only of a survivor
/// that has no other name than the lead a person is asked anew: nobody said of that one that it is another person.
pub(super) fn of(
    input: &PlanInput<'_>,
    candidate: &Candidate,
    before: Option<&Link>,
    now: &Sides<'_>,
    rules: &SyncRules,
) -> Option<Doubt> {
    let record = candidate.record.reference();
    // Whoever inherits was surely that person when it was planned last, and need not be by what both are called now.
    let is_owner = input.link.is_some_and(|link| link.owner && !link.is_inherited());
    if is_owner || ask::is_said_to_be(&record, input.answers) {
        return None;
    }
    let by = input.link.map_or(candidate.by, |link| link.matched_by);
    let (person, other) = (person(now), matching::person_of(&candidate.record, &rules.matching));
    let is_of_a_role = || text_of(now, FieldRow::is_address).is_some_and(|address| is_role_address(&address));
    let is_anyone = by == MatchedBy::Email && is_nameless(&person) && !is_nameless(&other) && is_of_a_role();
    let differs = matching::doubt(&person, &other, by).or(is_anyone.then_some(ANYONE));
    let lead = if is_nameless(&person) { "without a name".to_owned() } else { person.to_string() };
    let doubt = |why, about| Some(Doubt { why, lead: lead.clone(), record: other.to_string(), about });
    let is_apart = |id: &&RecordId| ask::was_told_apart(id, input.answers);
    let doubted = before.and_then(|link| link.in_doubt.as_ref());
    if doubted.is_some() || differs.is_some() {
        if is_apart(&&record.id) {
            return doubt(None, record.id);
        }
        let linked = before.filter(|link| link.in_doubt.is_some()).map(|link| &link.record.id);
        if let Some(apart) = doubted.into_iter().chain(linked).find(is_apart) {
            let anew = "a person said that the lead is another person than a record that was merged into this one";
            return doubt(differs.is_none().then_some(anew), apart.clone());
        }
    }
    differs.and_then(|why| doubt(Some(why), record.id))
}

/// Whether nothing that stands there is a name.
fn is_nameless(person: &Person) -> bool {
    [&person.first, &person.last].into_iter().flatten().all(|name| known_name(name).is_empty())
}

impl Doubt {
    /// The lead is linked to the record, which is left as it is: nothing of the lead is put among what may be another
    /// person's, nor into the company or the opportunity that the record has.
    pub fn linked_only(
        self,
        input: &PlanInput<'_>,
        candidate: &Candidate,
        sides: &Sides<'_>,
        rules: &SyncRules,
    ) -> SyncPlan {
        let record = &candidate.record;
        let mut plan = SyncPlan::without_record(Action::Unchanged);
        plan.matched = Some((record.reference(), candidate.by));
        if self.why.is_some() {
            let standing = Standing::of(input, record, rules);
            plan.questions.push(ask::shared_question(input, &standing, Some(&self), record, rules));
        }
        plan.in_doubt = Some(self.about);
        // Whoever mends the address of an owner need not wait for the answer.
        for (row, side) in sides {
            if let LeadSide::Invalid { code, message } = side {
                plan.tell_of_owner(row, code, message);
            }
        }
        plan
    }
}
