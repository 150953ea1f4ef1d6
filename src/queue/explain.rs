//! What would be done for a lead now, rule by rule, without doing it: planned by the code that syncs, from what the CRM
//! answers to the same lookup. Nothing is written, neither there nor here.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::batch::{Member, new_request_id};
use super::by_hand::ByHandError;
use super::calls::counted;
use super::destination::{Destination, Rules};
use super::doubtful::wait_for_creates;
use super::fold;
use super::gone::{excluded, find_shared};
use super::keys;
use super::left_out::without_known;
use super::planning::{owners_of, plan_member};
use super::refused_companies::do_without;
use super::settle::asks_about_company;
use crate::crm::gate::{Entry, Permit, WorkClass};
use crate::crm::{CrmError, FindRequest};
use crate::domain::ids::{LeadKey, RecordRef};
use crate::domain::job::{Class, Lane};
use crate::domain::lead::Lead;
use crate::domain::mapping::Direction;
use crate::domain::matching::{Candidates, MatchedBy};
use crate::domain::plan::{
    Action, CompanyAction, ConflictKind, Decision, Rule, SyncPlan, left_alone, match_keys, planned_link,
};
use crate::domain::time::Timestamp;
use crate::store::{ClaimedJob, ConflictRow, OpenConflict, Work};

/// How long it may take until the gate has room.
const WAIT_FOR: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Whoever may read may have leads explained: so many at once, and then one each so often.
const LOOKS_AT_ONCE: u32 = 30;
const A_LOOK_EACH: Duration = Duration::from_secs(120);

/// Until when the looks that were taken are spoken for.
#[derive(Debug, Default)]
pub(super) struct Looks(Mutex<Option<Timestamp>>);

impl Looks {
    /// Takes one; else says how long it is until there is one.
    fn take(&self, now: Timestamp) -> Result<(), Duration> {
        let mut until = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all = now.after(A_LOOK_EACH * LOOKS_AT_ONCE);
        // Further away only after the clock was set back.
        let spoken_for = until.unwrap_or(now).clamp(now, all);
        let after = spoken_for.after(A_LOOK_EACH);
        if after > all {
            return Err(after.since(all));
        }
        *until = Some(after);
        Ok(())
    }
}

impl Clone for Looks {
    fn clone(&self) -> Self {
        Self(Mutex::new(*self.0.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// What planning a lead now gives, and from what.
#[derive(Clone, Debug, Default)]
pub struct Explained {
    /// `None`: the CRM could not be asked.
    pub plan: Option<SyncPlan>,
    /// Why the CRM was not asked; what is planned did not need it, or there is no plan.
    pub not_asked: Option<String>,
    /// By what its record was looked up.
    pub keys: Vec<String>,
    /// What answered, and to which of them.
    pub found: Vec<(RecordRef, MatchedBy)>,
    /// Why it would wait all the same.
    pub waits: Option<String>,
    pub api_calls: u32,
}

impl Destination {
    /// Plans a lead as it is now, with all that came since it was looked at last. `None`: nothing is known of it.
    pub async fn explain(&self, key: &LeadKey) -> Result<Option<Explained>, ByHandError> {
        let works = self.store.load_work(&self.name, std::slice::from_ref(key)).await?;
        let Some(mut work) = works.into_iter().next() else { return Ok(None) };
        if work.lead.is_none() && work.unfolded.is_empty() {
            return Ok(None);
        }
        let lead = fold::folded_now(self, &mut work);
        if work.excluded {
            let not_asked = Some("a person excluded the lead".to_owned());
            return Ok(Some(Explained { plan: Some(excluded()), not_asked, ..Explained::default() }));
        }
        let mut waits = Vec::new();
        if work.more_events {
            waits.push("more events of the lead wait than are looked at here; they are folded first".to_owned());
        }
        let (rules, permit) = match (self.rules(), self.enter().await?) {
            (Some(rules), permit) => (rules, permit),
            (None, Ok(permit)) => (self.first_look().await?, Ok(permit)),
            (None, Err(why)) => return Ok(Some(Explained { not_asked: Some(why), ..Explained::default() })),
        };
        let member = self.member(lead, work, &rules);
        let mut explained = Explained { keys: keys::of_lead(&member.keys), ..Explained::default() };
        if member.lead.is_alive() && left_alone(&member.lead, &rules.sync).is_some() {
            let plan = plan_member(self, &rules, &member, &Candidates::default(), false, &|_| None);
            let not_asked = Some("the lead is left alone whatever the CRM holds".to_owned());
            return Ok(Some(Explained { plan: Some(plan), not_asked, ..explained }));
        }
        let permit = match permit {
            Ok(permit) => permit,
            Err(why) => return Ok(Some(Explained { not_asked: Some(why), ..explained })),
        };
        let (found, api_calls) = counted(self.find_one(&member, &rules, &permit)).await;
        let found = found?;
        explained.api_calls = api_calls;
        explained.found = found.found.iter().map(|found| (found.record.reference(), found.by)).collect();
        let owners = owners_of(self, std::slice::from_ref(&found)).await?;
        let shared = find_shared(self, &rules, std::slice::from_ref(&member)).await?.contains(&member.lead.key);
        let plan = plan_member(self, &rules, &member, &found, shared, &|record| owners.get(record).cloned());
        let plan = with_company(plan, &member, &rules, self.clock.now());
        let mut plan = with_agreed(plan, &found, &rules);
        waits.extend(self.ask_as_the_crm_did(&mut plan, &member).await?);
        explained.plan = Some(plan);
        if wait_for_creates(self, &rules, std::slice::from_ref(&member)).await?.contains(&true) {
            waits.push(
                "a write of another lead, of which no answer came, may still make this person's record or company"
                    .to_owned(),
            );
        }
        explained.waits = (!waits.is_empty()).then(|| waits.join("; "));
        Ok(Some(explained))
    }

    /// Adds to the plan what the CRM's own duplicate rule asked when this was written last, which no lookup tells, and says
    /// for which answer the lead waits.
    async fn ask_as_the_crm_did(&self, plan: &mut SyncPlan, member: &Member) -> Result<Option<String>, ByHandError> {
        let mut waits = None;
        let writes = matches!(plan.action, Action::Create { .. } | Action::Update { .. });
        let of_company = asks_about_company(plan);
        let may_stay = |open: &&OpenConflict| match open.kind {
            ConflictKind::Match => writes,
            ConflictKind::Company => of_company,
            ConflictKind::Field | ConflictKind::SharedRecord | ConflictKind::Invalid => false,
        };
        for open in member.work.open_conflicts.iter().filter(may_stay) {
            let is_planned = plan.questions.iter().any(|question| question.kind == open.kind);
            let conflict = self.store.load_conflict(open.id).await?.filter(|_| !is_planned);
            let Some(ConflictRow { question, .. }) = conflict.filter(|row| row.question.duplicate_rule.is_some())
            else {
                continue;
            };
            if open.kind == ConflictKind::Match {
                waits = Some(format!("conflict {} waits for a person's answer: {}", open.id, question.detail));
            }
            plan.questions.push(question);
        }
        Ok(waits)
    }

    /// The right to ask the CRM, or why there is none. Nobody waits for a lead because of a look.
    async fn enter(&self) -> Result<Result<Permit, String>, ByHandError> {
        let until = Instant::now() + WAIT_FOR;
        loop {
            match self.gate.enter(WorkClass::Backfill) {
                Entry::Go(permit) => {
                    self.looks.take(self.clock.now()).map_err(|wait| ByHandError::TooOften { wait })?;
                    return Ok(Ok(permit));
                }
                Entry::Closed { why, .. } => return Ok(Err(format!("{} is closed: {why}", self.name))),
                Entry::Busy if Instant::now() >= until => return Err(ByHandError::InHand),
                Entry::Busy => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }

    /// The lead as a batch would have it, as if it had just become due.
    fn member(&self, lead: Lead, work: Work, rules: &Arc<Rules>) -> Member {
        let external_id = self.settings.external_id_value.value_for(&lead.key);
        let (times, link) = (self.times_of(&lead.key.source), planned_link(work.link.as_ref(), &work.resolutions));
        // Its opportunity is shown even where the lead says nothing new of it.
        let keys = match_keys(&lead, &external_id, link, &work.resolutions, times, true, &rules.sync);
        let job = ClaimedJob {
            lead: lead.key.clone(),
            lane: if work.link.is_some() { Lane::Linked } else { Lane::First },
            class: Class::Live,
            attempt: 1,
            wanted: 0,
            owed_since: self.clock.now(),
            first_failed_at: None,
            last_error: None,
            suspicion: 0,
            refusal: None,
            forced: false,
            lease_expired: false,
        };
        Member { job, lead, work, external_id, keys, in_hand: Vec::new() }
    }

    async fn find_one(&self, member: &Member, rules: &Rules, permit: &Permit) -> Result<Candidates, CrmError> {
        let (keys, reading) = (vec![member.keys.clone()], rules.reading.clone());
        let found = self.crm.find(&FindRequest { request_id: new_request_id(), keys, reading }).await;
        permit.answered(found.as_ref().map(|_| ()));
        Ok(found?.into_iter().next().unwrap_or_default())
    }
}

/// With the rows of which there is nothing to tell, since nothing is done about them.
fn with_agreed(mut plan: SyncPlan, found: &Candidates, rules: &Rules) -> SyncPlan {
    let (Action::Unchanged | Action::Update { .. }, Some((record, _))) = (&plan.action, &plan.matched) else {
        return plan;
    };
    let held = found.found.iter().map(|found| &found.record).find(|found| found.reference() == *record);
    let (Some(held), Some(of)) = (held, rules.sync.of(&record.object)) else { return plan };
    for row in of.rows.iter().filter(|row| row.direction == Direction::ToCrm) {
        if plan.decisions.iter().any(|decision| decision.field == row.crm) {
            continue;
        }
        let (base, kept) = (plan.bases.get(&row.crm), plan.kept.get(&row.crm));
        let (rule, note) = match (kept, base) {
            (Some(_), _) => (Rule::Drift, Some("left as it is, which was told when it was first seen")),
            (None, Some(_)) => (Rule::Agreed, None),
            (None, None) => (Rule::Agreed, Some("the lead says nothing of it")),
        };
        plan.decisions.push(Decision {
            field: row.crm.clone(),
            base: base.cloned(),
            lead: kept.or(base).map(|pair| pair.lead.clone()),
            crm: Some(held.value(&row.crm).clone()),
            written: None,
            rule,
            note: note.map(str::to_owned),
        });
    }
    plan
}

/// As a batch goes on with a plan: without what was refused before, and with the company that is there already.
fn with_company(plan: SyncPlan, member: &Member, rules: &Rules, now: Timestamp) -> SyncPlan {
    let known = |plan| without_known(plan, member.work.link.as_ref(), &rules.fingerprint);
    let mut plan = known(plan);
    do_without(&mut plan, member, rules, now);
    let company = plan.company.as_ref().zip(rules.sync.company.as_ref());
    let Some((company, of)) = company else { return plan };
    let CompanyAction::Is { record, fields, .. } = company.action.clone() else { return plan };
    plan.point_to(&record, &of.object, fields.is_empty());
    known(plan)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_looks_may_be_taken_at_once_and_then_one_each_so_often() {
        let (looks, at) = (Looks::default(), Timestamp::from_seconds);
        let taken = (0..LOOKS_AT_ONCE + 5).filter(|_| looks.take(at(1000)).is_ok()).count();
        assert_eq!(taken, LOOKS_AT_ONCE as usize);
        assert_eq!(looks.take(at(1000)), Err(A_LOOK_EACH));
        assert_eq!(looks.take(at(1119)), Err(Duration::from_secs(1)));
        assert_eq!((looks.take(at(1120)), looks.take(at(1120))), (Ok(()), Err(A_LOOK_EACH)));
        let set_back = at(0);
        assert_eq!(looks.take(set_back), Err(A_LOOK_EACH), "as if all had been taken just now");
        let day = at(100_000);
        assert_eq!((0..1000).filter(|_| looks.take(day).is_ok()).count(), LOOKS_AT_ONCE as usize);
    }
}
