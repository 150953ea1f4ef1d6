//! What would be done for a lead now, rule by rule, without doing it: planned by the code that syncs, from what the CRM
//! answers to the same lookup. Nothing is written, neither there nor here.

use std::collections::BTreeMap;
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
use super::ownership::owners_of;
use super::planning::plan_member;
use super::refused_companies::do_without;
use super::settle::asks_about_company;
use crate::crm::gate::{Entry, Permit, WorkClass};
use crate::crm::{CrmError, FindRequest};
use crate::domain::explained::{Explained, KeptBack};
use crate::domain::ids::{FieldName, LeadKey, RecordRef};
use crate::domain::job::Lane;
use crate::domain::lead::Lead;
use crate::domain::mapping::Direction;
use crate::domain::matching::Candidates;
use crate::domain::plan::{
    Action, Choice, CompanyAction, ConflictKind, Decision, Question, Rule, SyncPlan, company, left_alone, match_keys,
    planned_link, said,
};
use crate::domain::record::CrmValue;
use crate::domain::time::Timestamp;
use crate::store::{ClaimedJob, ConflictFilter, ConflictRow, ConflictState, OpenConflict, Page, Work};

/// So many of the questions that were ever asked about a lead are looked at.
const QUESTIONS: u32 = 100;

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

/// What is planned for a lead without a look at the CRM, and why that is enough.
fn unasked(plan: SyncPlan, why: &str) -> Explained {
    let waits = holding(&plan).map(str::to_owned);
    Explained { plan: Some(plan), not_asked: Some(why.to_owned()), waits, ..Explained::default() }
}

/// Something that a lead waits for before it is written.
struct Wait {
    code: Option<&'static str>,
    text: String,
    until: String,
}

/// Why planning holds the lead.
fn holding(plan: &SyncPlan) -> Option<&str> {
    if let Action::Hold { detail, .. } = &plan.action { Some(detail) } else { None }
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
            return Ok(Some(unasked(excluded(), "a person excluded the lead")));
        }
        let more_events = work.more_events;
        let (rules, permit) = match (self.rules(), self.enter().await?) {
            (Some(rules), permit) => (rules, permit),
            (None, Ok(permit)) => (self.first_look().await?, Ok(permit)),
            (None, Err(why)) => return Ok(Some(Explained { not_asked: Some(why), ..Explained::default() })),
        };
        let member = self.member(lead, work, &rules);
        let mut explained = Explained { keys: keys::of_lead(&member.keys), ..Explained::default() };
        if member.lead.is_alive() && left_alone(&member.lead, &rules.sync).is_some() {
            let plan = plan_member(self, &rules, &member, &Candidates::default(), false, &|_| None);
            let unasked = unasked(plan, "the lead is left alone whatever the CRM holds");
            return Ok(Some(Explained { keys: explained.keys, ..unasked }));
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
        let why = self.why_left_alone(&plan, &member).await?;
        let of_its_kind = plan.matched.as_ref().and_then(|(record, _)| rules.sync.of(&record.object));
        let times = self.times_of(&member.lead.key.source);
        let says = of_its_kind.map(|of| said(&member.lead, times, &found.owners, of)).unwrap_or_default();
        let mut plan = with_agreed(plan, &found, &rules, why, &says);
        name_conflicts(&mut plan, &member.work.open_conflicts);
        let mut waits: Vec<Wait> = self.ask_as_the_crm_did(&mut plan, &member).await?.into_iter().collect();
        if more_events {
            waits.push(Wait {
                code: None,
                text: "more events of the lead wait than are looked at here; they are folded first".to_owned(),
                until: "those events are folded, which may change what is planned".to_owned(),
            });
        }
        if wait_for_creates(self, &rules, std::slice::from_ref(&member)).await?.contains(&true) {
            let text =
                "a write of another lead, of which no answer came, may still make this person's record or company";
            let until = "it is known what that write did, and nothing of this person is found then".to_owned();
            waits.push(Wait { code: None, text: text.to_owned(), until });
        }
        let held = holding(&plan).map(|detail| match asked(&plan, &member) {
            Some(open) => format!("conflict {} waits for a person's answer: {detail}", open.id),
            None => detail.to_owned(),
        });
        let texts: Vec<String> = held.into_iter().chain(waits.iter().map(|wait| wait.text.clone())).collect();
        explained.waits = (!texts.is_empty()).then(|| texts.join("; "));
        explained.kept_back = (plan.writes() && !waits.is_empty()).then(|| KeptBack {
            code: waits.iter().find_map(|wait| wait.code).map(str::to_owned),
            until: waits.iter().map(|wait| wait.until.as_str()).collect::<Vec<_>>().join("; "),
        });
        explained.plan = Some(plan);
        Ok(Some(explained))
    }

    /// Why nothing, or nothing but blanks, is written to a record that is not the lead's own: what a person is asked, or
    /// decided.
    async fn why_left_alone(&self, plan: &SyncPlan, member: &Member) -> Result<Option<(Rule, String)>, ByHandError> {
        let Some((record, _)) = plan.matched.as_ref().filter(|_| !plan.owner) else { return Ok(None) };
        let lead = &member.lead.key;
        let filter = ConflictFilter {
            kind: Some(ConflictKind::SharedRecord),
            source: Some(lead.source.to_string()),
            lead_id: Some(lead.id.to_string()),
            destination: Some(self.name.to_string()),
            ..ConflictFilter::default()
        };
        let asked = self.store.list_conflicts(&filter, &Page { limit: QUESTIONS, cursor: None }).await?.items;
        // It may have been asked about a record that was merged into this one.
        let is_it = |asked: &RecordRef| asked == record || Some(&asked.id) == plan.in_doubt.as_ref();
        let newest = asked.into_iter().find(|row| row.question.record.as_ref().is_some_and(is_it));
        Ok(match newest.map(|row| (row.id, row.state)) {
            Some((id, ConflictState::Resolved { choice: choice @ Choice::Crm, by, at, .. })) => {
                let choice = choice.as_str();
                let said = format!("a person decided so: conflict {id} was answered with `{choice}` by {by} at {at}");
                Some((Rule::Resolved, said))
            }
            Some((id, ConflictState::Open)) if plan.in_doubt.is_some() => {
                Some((Rule::Review, format!("nothing is written until a person answers conflict {id}")))
            }
            _ if plan.in_doubt.is_some() => {
                Some((Rule::Review, "nothing is written until a person answers the question".to_owned()))
            }
            _ => None,
        })
    }

    /// Adds to the plan what the CRM's own duplicate rule asked when this was written last, which no lookup tells, and says
    /// for which answer the lead waits.
    async fn ask_as_the_crm_did(&self, plan: &mut SyncPlan, member: &Member) -> Result<Option<Wait>, ByHandError> {
        let mut waits = None;
        let of_company = asks_about_company(plan);
        let may_stay = |open: &&OpenConflict| match open.kind {
            ConflictKind::Match => matches!(plan.action, Action::Create { .. } | Action::Update { .. }),
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
                waits = Some(Wait {
                    code: Some("match_conflict"),
                    text: format!("conflict {} waits for a person's answer: {}", open.id, question.detail),
                    until: passes_the_rule(&question, &plan.action),
                });
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
        let own = self.own_keys(&work);
        let (times, link) = (self.times_of(&lead.key.source), planned_link(work.link.as_ref(), &work.resolutions));
        // Its company and its opportunity are shown even where the lead says nothing new of them.
        let link = link.map(|link| company::looked_at_anew(link, &rules.sync));
        let keys = match_keys(&lead, &own, link.as_ref(), &work.resolutions, times, true, &rules.sync);
        let job = ClaimedJob {
            lane: if work.link.is_some() { Lane::Linked } else { Lane::First },
            ..ClaimedJob::new(lead.key.clone(), self.clock.now())
        };
        Member { job, lead, work, own, keys, in_hand: Vec::new() }
    }

    async fn find_one(&self, member: &Member, rules: &Rules, permit: &Permit) -> Result<Candidates, CrmError> {
        let (keys, reading) = (vec![member.keys.clone()], rules.reading.clone());
        let found = self.crm.find(&FindRequest { request_id: new_request_id(), keys, reading }).await;
        permit.answered(found.as_ref().map(|_| ()));
        Ok(found?.into_iter().next().unwrap_or_default())
    }
}

/// The open question for whose answer planning holds the lead.
fn asked<'m>(plan: &SyncPlan, member: &'m Member) -> Option<&'m OpenConflict> {
    let is_asked = plan.questions.iter().any(|question| question.kind == ConflictKind::Match);
    member.work.open_conflicts.iter().find(|open| is_asked && open.kind == ConflictKind::Match)
}

/// Says of each field that waits for a person in which conflict it is asked about.
fn name_conflicts(plan: &mut SyncPlan, open: &[OpenConflict]) {
    let waits = |decision: &&mut Decision| decision.rule == Rule::Review && decision.note.is_none();
    for decision in plan.decisions.iter_mut().filter(waits) {
        if let Some(open) = open.iter().find(|open| open.field.as_ref() == Some(&decision.field)) {
            decision.note = Some(format!("nothing is written until a person answers conflict {}", open.id));
        }
    }
}

/// What lets a write pass the duplicate rule of the CRM that asked this.
fn passes_the_rule(question: &Question, action: &Action) -> String {
    let passes = match question.blocks_create() {
        true => "the rule is changed to an alert in the CRM and the lead is synced",
        false => "a person answers the conflict with `create`",
    };
    let else_what = match action {
        Action::Create { .. } => "if it is answered with `record` instead, the lead is the record that is chosen",
        _ => "if it is the record that the rule found, link the lead to that one by hand instead",
    };
    format!("{passes}; {else_what}")
}

/// With the rows of which there is nothing to tell, since nothing is done about them. `why`: why the record is left alone;
/// `says`: what the lead says by the rows of its kind.
fn with_agreed(
    mut plan: SyncPlan,
    found: &Candidates,
    rules: &Rules,
    why: Option<(Rule, String)>,
    says: &BTreeMap<FieldName, Option<CrmValue>>,
) -> SyncPlan {
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
        let (rule, note) = match (kept, base, says.get(&row.crm)) {
            (Some(_), ..) if !plan.owner => {
                let owned = "another lead owns the record, and its value stays";
                (Rule::Shared, Some(why.as_ref().map_or(owned, |(_, why)| why)))
            }
            (Some(_), ..) => (Rule::Drift, Some("left as it is, which was told when it was first seen")),
            (None, Some(_), _) => (Rule::Agreed, None),
            (None, None, Some(_)) if let Some((rule, why)) = &why => (*rule, Some(why.as_str())),
            (None, None, _) => (Rule::Agreed, Some("the lead says nothing of it")),
        };
        let lead = kept.or(base).map(|pair| pair.lead.clone()).or_else(|| says.get(&row.crm).cloned().flatten());
        plan.decisions.push(Decision {
            field: row.crm.clone(),
            base: base.cloned(),
            lead,
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
