//! From what was found of a batch's leads to a plan for each of them.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tracing::error;

use super::batch::{Batch, INTERNAL_ERROR, Member, Planned, let_others_run};
use super::companies::without_namesakes;
use super::destination::{Destination, Rules};
use super::keys::{self, Deferred};
use super::left_out::without_known;
use super::ownership::owners_of;
use crate::domain::ids::RecordRef;
use crate::domain::matching::Candidates;
use crate::domain::plan::{Action, Intent, Link, Owner, PlanInput, SyncPlan, plan_sync, planned_link};
use crate::store::StoreResult;

impl Member {
    fn planned_link(&self) -> Option<&Link> {
        planned_link(self.work.link.as_ref(), &self.work.resolutions)
    }
}

impl Batch {
    /// Plans each lead; a lead whose record another one has in hand waits.
    pub(super) async fn plan(
        &mut self,
        members: Vec<Member>,
        found: &[Candidates],
        deferred: &mut Deferred,
    ) -> StoreResult<Vec<Planned>> {
        let owner_of = owners_of(&self.destination, found).await?;
        let records_of = |member: &Member, found: &Candidates| {
            let mut records: Vec<String> =
                found.found.iter().map(|candidate| keys::of_record(&candidate.record.reference())).collect();
            let own = member.keys.linked.as_ref().or(member.keys.chosen.as_ref()).map(keys::of_record);
            records.retain(|record| Some(record) != own.as_ref());
            records.dedup();
            records
        };
        self.owe_deleted_owners(&members).await?;
        let shared = self.shared(&members).await?;
        let mut members: Vec<(Member, &Candidates)> = members.into_iter().zip(found).collect();
        let wants: Vec<Vec<String>> = members.iter().map(|(member, found)| records_of(member, found)).collect();
        for ((member, _), records) in members.iter_mut().zip(&wants) {
            member.in_hand.extend(records.iter().cloned());
        }
        let members = self.reserve(members, wants, deferred, |(member, _)| member.job).await?;
        let mut planned = Vec::with_capacity(members.len());
        for (n, (member, found)) in members.into_iter().enumerate() {
            let_others_run(n).await;
            let shared = shared.contains(&member.lead.key);
            let plan = self.plan_one(&member, found, shared, &|record| owner_of.get(record).cloned());
            let plan = self.without_known(&member, plan);
            let (duplicates, assigns) = (self.destination.settings.duplicates, self.destination.settings.auto_assign);
            planned.push(Planned { duplicates, assigns, ..Planned::of(member, plan) });
        }
        match self.destination.observes() {
            // Nothing is made that the others could find.
            true => Ok(planned),
            false => Ok(without_namesakes(planned, deferred)),
        }
    }

    pub(super) fn plan_one(
        &self,
        member: &Member,
        found: &Candidates,
        shared: bool,
        owner_of: &dyn Fn(&RecordRef) -> Option<Owner>,
    ) -> SyncPlan {
        plan_member(&self.destination, &self.rules, member, found, shared, owner_of)
    }

    /// The plan without what was refused before, unless somebody asked for it, who knows of something that could matter and
    /// that we cannot see.
    pub(super) fn without_known(&self, member: &Member, plan: SyncPlan) -> SyncPlan {
        match member.job.forced {
            true => plan,
            false => without_known(plan, member.work.link.as_ref(), &self.rules.fingerprint),
        }
    }
}

/// Plans one lead. A panic is caught: the lead is held, and its neighbours go on.
pub(super) fn plan_member(
    destination: &Destination,
    rules: &Rules,
    member: &Member,
    found: &Candidates,
    shared: bool,
    owner_of: &dyn Fn(&RecordRef) -> Option<Owner>,
) -> SyncPlan {
    // Those of companies say nothing of a person's record.
    let is_persons = |intent: &&Intent| rules.sync.of(&intent.object).is_some();
    let intents: Vec<Intent> = member.work.intents.iter().filter(is_persons).cloned().collect();
    let input = PlanInput {
        lead: &member.lead,
        external_id: &member.own.now,
        former_ids: &member.own.former,
        times: destination.times_of(&member.lead.key.source),
        link: member.planned_link(),
        intents: &intents,
        answers: &member.work.resolutions,
        found,
        company: member.keys.company.as_ref(),
        asked_for: member.job.forced,
        shared,
        owner_of,
    };
    catch_unwind(AssertUnwindSafe(|| plan_sync(&input, &rules.sync))).unwrap_or_else(|_| {
        error!(lead.id = %member.lead.key.id, "planning lead {} failed inside leadrelay; it is held", member.lead.key.id);
        SyncPlan::without_record(Action::Hold {
            code: INTERNAL_ERROR,
            detail: "planning this lead failed inside leadrelay; please report it".to_owned(),
        })
    })
}
