//! From how an attempt went to what is recorded of it.

mod conflicts;
mod duplicates;
mod links;
mod planned_by;
mod rows;

use std::time::Duration;

use sha2::{Digest, Sha256};
use tracing::error;

use super::batch::{Batch, INTERNAL_ERROR, Member, Planned, Report};
use super::left_out::{assigned_to_inactive, without_refused};
use super::verdict::{Verdict, after_error, in_hand, refused, refused_with_all, still_refused, waiting};
use super::writes::{Sent, known_before};
use crate::crm::{CrmError, WriteResult};
use crate::domain::job::MAY_LAND_FOR;
use crate::domain::plan::{Action, ConflictKind, FILTERED, SyncPlan};
use crate::domain::time::Timestamp;
use crate::store::{
    ClaimedJob, IntentEnd, IntentId, JobEnd, LinkChange, NewLogRow, Operation, Outcome, Refusal, Settlement,
};
use crate::telemetry::metrics;
use conflicts::{OUT_OF_THE_FILTER, moot};
pub(super) use conflicts::{asked_by_duplicate_rule, asks_about_company};
pub(super) use duplicates::told_of_rule;
use duplicates::{linked_elsewhere, past_the_rule};
use links::{drop_link, is_kept};
use planned_by::is_skipped;

/// Settles the leads of one call.
pub(super) struct Settling<'a> {
    pub batch: &'a Batch,
    /// How many leads shared the calls.
    pub leads: u32,
    /// Calls in which their records were looked up.
    pub lookup_calls: u32,
}

impl Settling<'_> {
    /// Whether this very write was refused before, and nothing that could matter changed since.
    pub fn is_known_refusal(&self, planned: &Planned) -> bool {
        self.known_refusal(&planned.member, &planned.plan).is_some()
    }

    fn known_refusal<'m>(&self, member: &'m Member, plan: &SyncPlan) -> Option<&'m Refusal> {
        let known = member.job.refusal.as_ref().filter(|_| !member.job.forced);
        known.filter(|known| known.fingerprint == self.fingerprint(plan))
    }

    /// Settles a lead that needs no write, or whose write is known to be refused.
    pub fn without_write(&self, mut planned: Planned) -> Settlement {
        let seen = known_before(&planned, &self.batch.rules.fingerprint);
        let observes = self.batch.destination.observes();
        let mut settlement = self.settlement(&planned.member, &planned.plan);
        self.take_what_was_before(&mut planned, &mut settlement);
        let asked = planned.take_asked_calls();
        let Planned { member, plan, .. } = planned;
        let mut row = self.log_row(&member, &plan);
        row.api_calls += asked;
        match &plan.action {
            Action::Unchanged => {
                settlement.link = self.link(&member, &plan, None);
                row.outcome = if plan.questions.is_empty() { Outcome::Ok } else { Outcome::Conflict };
            }
            Action::Skip { code, detail } => {
                row.error_code = Some((*code).to_owned());
                row.error = Some(detail.clone());
                let is_gone = member.work.excluded || !member.lead.is_alive();
                let owned = member.work.link.as_ref().filter(|link| link.owner && is_gone);
                settlement.link = match (owned, self.link(&member, &plan, None)) {
                    (Some(link), _) => LinkChange::Release { planned_with: link.revision },
                    (None, LinkChange::Put { link, planned_with }) => LinkChange::PutAndRelease { link, planned_with },
                    (None, change) => change,
                };
            }
            Action::Hold { code, detail } => {
                row.error_code = Some((*code).to_owned());
                row.error = Some(detail.clone());
                // What leadrelay cannot do is a failure; what a person has to decide is none.
                row.outcome = if *code == INTERNAL_ERROR { Outcome::Refused } else { Outcome::Conflict };
                let look_again_at = Some(settlement.now.after(Duration::from_secs(86_400)));
                settlement.end = JobEnd::Held { code: (*code).to_owned(), detail: detail.clone(), look_again_at };
            }
            Action::Forget { detail } => {
                row.error_code = Some("record_gone".to_owned());
                row.error = Some(detail.clone());
                if let Some(link) = &member.work.link {
                    settlement.link = LinkChange::Remove { planned_with: link.revision };
                }
                let (code, detail) = ("record_gone".to_owned(), detail.clone());
                settlement.end = JobEnd::Retry { due_at: settlement.now, code, detail, failed: false };
            }
            Action::Refuse { code, message, .. } => {
                self.refuse(&mut settlement, &mut row, &member, &plan, code, message);
            }
            Action::Delete { record, gone: true } => {
                row.error = Some("the record was gone already".to_owned());
                settlement.link = drop_link(&member, record);
            }
            // Observed only, or refused before with the same values.
            Action::Create { .. } | Action::Update { .. } | Action::Delete { gone: false, .. } => {
                if let (false, Some(known)) = (observes, &member.job.refusal) {
                    let message = "refused before with the same values; not sent again";
                    if let Some((link, planned_with)) = seen {
                        settlement.link = LinkChange::Put { link, planned_with };
                    }
                    self.refuse(&mut settlement, &mut row, &member, &plan, &known.code, message);
                }
            }
        }
        settlement.looked = !observes && is_kept(&settlement.link, &member, &plan);
        if is_skipped(&plan) && matches!(settlement.link, LinkChange::Keep) {
            settlement.link = self.planned_by_these_rules(&member);
        }
        settlement.left_alone = self.left_alone(&member, is_skipped(&plan), &settlement.end);
        if observes {
            row.outcome = Outcome::Planned;
            settlement.link = LinkChange::Keep;
            settlement.end = JobEnd::Done;
            settlement.questions.clear();
            settlement.moot.clear();
        }
        settlement.log.push(row);
        self.tell(&member, &settlement);
        settlement
    }

    /// Settles a lead of which there is nothing new to tell: it is left alone as this says.
    pub fn told_before(&self, Planned { member, plan, .. }: &Planned) -> Settlement {
        let destination = &self.batch.destination;
        metrics::sync_delay(&destination.name, destination.clock.now().since(member.job.owed_since));
        let left_alone = self.left_alone(member, is_skipped(plan), &JobEnd::Done);
        match destination.observes() {
            true => Settlement { left_alone, ..self.blank_settlement(&member.job) },
            false => {
                let link = self.planned_by_these_rules(member);
                Settlement { link, left_alone, ..self.settlement(member, plan) }
            }
        }
    }

    /// Refused without a call: it says nothing new of the CRM, so the gate does not hear of it.
    fn refuse(
        &self,
        settlement: &mut Settlement,
        row: &mut NewLogRow,
        member: &Member,
        plan: &SyncPlan,
        code: &str,
        message: &str,
    ) {
        match self.known_refusal(member, plan) {
            Some(known) => (settlement.end, row.outcome) = (still_refused(known, message), Outcome::Refused),
            None => {
                (settlement.end, row.outcome) =
                    refused(code, message, &member.job, &self.fingerprint(plan), settlement.now);
            }
        }
        row.error_code = Some(code.to_owned());
        row.error = Some(message.to_owned());
    }

    /// Settles a lead whose process died each time it was written, at last alone: it is not tried again by itself.
    pub fn poisoned(&self, job: &ClaimedJob) -> Settlement {
        let (lead, destination) = (&job.lead, &self.batch.destination.name);
        let (code, detail) =
            ("poison", "leadrelay died each time it wrote this lead, at last with no other; please report it");
        error!(source = %lead.source, lead.id = %lead.id, %destination, code, "lead {} is a dead letter: {detail}", lead.id);
        let row = NewLogRow {
            operation: Operation::Hold,
            outcome: Outcome::Dead,
            error_code: Some(code.to_owned()),
            error: Some(detail.to_owned()),
            api_calls: 0,
            ..self.blank_row(job, None)
        };
        let end = JobEnd::Dead { code: code.to_owned(), detail: detail.to_owned(), refusal: None, look_again_at: None };
        Settlement { end, log: vec![row], ..self.blank_settlement(job) }
    }

    /// Settles a lead whose record could not be looked up; `None`: the gate closes, and this was no attempt.
    pub fn after_failed_lookup(&self, member: &Member, error: &CrmError, report: &mut Report) -> Option<Settlement> {
        let verdict = match error {
            // What the whole org lacks is no lead's fault: the gate closes, and the leads stay owed.
            CrmError::Operator { code, message } => {
                let (code, detail) = (code.clone(), message.clone());
                self.verdict(&CrmError::Unavailable { code, detail }, member, "lookup")
            }
            error => self.verdict(error, member, "lookup"),
        };
        let Verdict::End(end, outcome) = verdict else { return None };
        if let CrmError::Refused { code, .. } = error {
            report.leads.push((member.lead.key.clone(), Err(code.clone())));
        }
        let row = NewLogRow {
            operation: Operation::Hold,
            outcome,
            error_code: Some(error.code().to_owned()),
            error: Some(error.to_string()),
            ..self.blank_row(&member.job, member.lead.newest_arrival())
        };
        let left_alone = self.left_alone(member, false, &end);
        let settlement = Settlement { end, left_alone, log: vec![row], ..self.blank_settlement(&member.job) };
        self.tell(member, &settlement);
        Some(settlement)
    }

    /// Settles what was sent. The second half are leads to be sent once more: without the fields that were refused, without the
    /// CRM's assignment rules, or with another word to its duplicate rules.
    pub fn after_write(&self, sent: Sent) -> (Vec<Settlement>, Vec<Planned>) {
        let (mut settlements, mut again) = (Vec::new(), Vec::new());
        let reduced = self.without_refused_fields(&sent);
        self.tell_gate(&sent, &reduced);
        let refusing = self.batch.destination.gate.refuses_all();
        let Sent { call, planned, intents, results } = sent;
        for (((mut planned, intent), result), reduced) in planned.into_iter().zip(intents).zip(results).zip(reduced) {
            if let Some(duplicates) = past_the_rule(&planned, &result) {
                planned.asked.push((intent, call.calls));
                planned.duplicates = duplicates;
                again.push(planned);
                continue;
            }
            let mut row = self.sent_row(&mut planned, &call, &result);
            if let Some(plan) = reduced {
                row.outcome = Outcome::Refused;
                planned.before.push((Some(intent), row));
                planned.plan = plan;
                if planned.plan.action == Action::Unchanged {
                    settlements.push(self.without_what_was_refused(planned));
                } else {
                    again.push(planned);
                }
                continue;
            }
            if goes_unassigned(&planned, &result) {
                row.outcome = Outcome::Refused;
                planned.before.push((Some(intent), row));
                planned.assigns = false;
                again.push(planned);
                continue;
            }
            settlements.push(self.as_answered(planned, intent, row, &result, refusing.as_ref()));
        }
        (settlements, again)
    }

    /// Settles a lead by what its write was answered.
    fn as_answered(
        &self,
        mut planned: Planned,
        intent: IntentId,
        mut row: NewLogRow,
        result: &WriteResult,
        refusing: Option<&(String, Timestamp)>,
    ) -> Settlement {
        let mut settlement = self.settlement(&planned.member, &planned.plan);
        settlement.wrote = true;
        self.take_what_was_before(&mut planned, &mut settlement);
        let may_land_late = match &result.outcome {
            Ok(written) if matches!(planned.plan.action, Action::Delete { .. }) => {
                settlement.link = drop_link(&planned.member, &written.record);
                false
            }
            Ok(written) => {
                settlement.link = self.link(&planned.member, &planned.plan, Some(written));
                written.read_back.is_none()
            }
            Err(CrmError::Gone { merged_into: None, .. })
                if let Action::Delete { record, .. } = &planned.plan.action =>
            {
                (row.outcome, row.error_code) = (Outcome::Ok, None);
                row.error = Some("the record was gone already".to_owned());
                settlement.link = drop_link(&planned.member, record);
                false
            }
            Err(error) => {
                self.after_refusal(&planned, error, &mut settlement, &mut row, refusing);
                matches!(error, CrmError::Unknown { .. })
            }
        };
        settlement.looked = is_kept(&settlement.link, &planned.member, &planned.plan);
        settlement.left_alone = self.left_alone(&planned.member, false, &settlement.end);
        let open_until = IntentEnd::OpenUntil(settlement.now.after(MAY_LAND_FOR));
        settlement.intents.push((intent, if may_land_late { open_until } else { IntentEnd::Closed }));
        settlement.log.push(row);
        self.tell(&planned.member, &settlement);
        settlement
    }

    /// Per lead: its plan without the fields that the CRM refused, if it can do without them.
    fn without_refused_fields(&self, sent: &Sent) -> Vec<Option<SyncPlan>> {
        let rules = &self.batch.rules.sync;
        let pairs = sent.planned.iter().zip(&sent.results);
        pairs.map(|(planned, result)| without_refused(&planned.plan, result.outcome.as_ref().err()?, rules)).collect()
    }

    /// Tells the gate which leads were written and which refused, before they are settled: if the CRM refuses all of them,
    /// they stay owed.
    fn tell_gate(&self, sent: &Sent, reduced: &[Option<SyncPlan>]) {
        let leads = sent.planned.iter().zip(&sent.results).zip(reduced).filter(|(_, reduced)| reduced.is_none());
        let leads = leads.filter(|((planned, result), _)| !goes_unassigned(planned, result));
        self.batch.permit.settled(leads.filter_map(|((planned, result), _)| match &result.outcome {
            Ok(_) => Some((&planned.member.lead.key, Ok(()))),
            Err(CrmError::Refused { code, .. }) => Some((&planned.member.lead.key, Err(code.as_str()))),
            Err(_) => None,
        }));
    }

    /// Settles a lead of which nothing was left to send: both sides agree but for what the CRM refuses to hold.
    fn without_what_was_refused(&self, mut planned: Planned) -> Settlement {
        let mut settlement = self.settlement(&planned.member, &planned.plan);
        settlement.wrote = true;
        settlement.link = self.link(&planned.member, &planned.plan, None);
        settlement.looked = is_kept(&settlement.link, &planned.member, &planned.plan);
        self.take_what_was_before(&mut planned, &mut settlement);
        self.tell(&planned.member, &settlement);
        settlement
    }

    /// Settles a lead that is left to somebody else after calls that were refused: they are logged, and what the lead still
    /// needs is looked for after `wait`.
    pub fn left(&self, mut planned: Planned, wait: Duration) -> Settlement {
        let mut settlement = self.blank_settlement(&planned.member.job);
        settlement.end =
            in_hand(settlement.now.after(wait), "another replica has this lead, its person or its record in hand");
        settlement.wrote = true;
        self.take_what_was_before(&mut planned, &mut settlement);
        if let Some(row) = settlement.log.last_mut() {
            row.api_calls += planned.take_asked_calls();
        }
        settlement
    }

    /// Notes for each lead that the call was refused as a whole; logged when the lead is settled.
    pub fn note_refused_batch(&self, sent: &mut Sent) {
        let Sent { call, planned, intents, results } = sent;
        for ((planned, intent), result) in planned.iter_mut().zip(intents).zip(results) {
            let row = self.sent_row(planned, call, result);
            planned.before.push((Some(*intent), row));
        }
    }

    fn after_refusal(
        &self,
        planned: &Planned,
        error: &CrmError,
        settlement: &mut Settlement,
        row: &mut NewLogRow,
        refusing: Option<&(String, Timestamp)>,
    ) {
        let member = &planned.member;
        if let Some(record) = linked_elsewhere(planned, error, &self.batch.rules.sync) {
            row.error_code = Some("other_object".to_owned());
            row.error =
                Some(format!("a person linked the lead to {} {}, which is not written to", record.object, record.id));
            row.outcome = Outcome::Conflict;
            return;
        }
        if let Some(question) = duplicates::question(planned, error) {
            let look_again_at = Some(settlement.now.after(Duration::from_secs(86_400)));
            settlement.end =
                JobEnd::Held { code: "match_conflict".to_owned(), detail: question.detail.clone(), look_again_at };
            row.error = Some(told_of_rule(&question));
            settlement.moot.retain(|conflict| conflict.kind != question.kind);
            settlement.questions.push(question);
            row.outcome = Outcome::Conflict;
            return;
        }
        match self.verdict(error, member, &self.fingerprint(&planned.plan)) {
            Verdict::End(end, outcome) => {
                settlement.end = refused_with_all(end, refusing);
                let stays_owed = outcome == Outcome::Refused && matches!(settlement.end, JobEnd::Retry { .. });
                row.outcome = if stays_owed { Outcome::Retry } else { outcome };
            }
            Verdict::Wait => {
                settlement.end = waiting(settlement.now, error);
                row.outcome = Outcome::Retry;
            }
        }
        // The plan never asks what only the CRM's duplicate rule does, and here the rule was not heard.
        if !matches!(row.outcome, Outcome::Refused | Outcome::Conflict) {
            settlement.moot.retain(|conflict| conflict.kind != ConflictKind::Match);
        }
    }

    /// Settles a lead whose company could not be made: its record is not written without it. `announced`: what was, and how
    /// that went, of the lead for which the company was to be made.
    pub fn after_failed_company(
        &self,
        mut planned: Planned,
        error: &CrmError,
        announced: Option<(IntentId, NewLogRow)>,
    ) -> Settlement {
        let mut settlement = self.blank_settlement(&planned.member.job);
        self.take_what_was_before(&mut planned, &mut settlement);
        let (end, outcome) = match self.verdict(error, &planned.member, "company") {
            Verdict::End(end, outcome) => (end, outcome),
            Verdict::Wait => (waiting(settlement.now, error), Outcome::Retry),
        };
        settlement.left_alone = self.left_alone(&planned.member, false, &end);
        settlement.end = end;
        let row = match announced {
            Some((intent, row)) => {
                let may_land = matches!(error, CrmError::Unknown { .. });
                let open_until = IntentEnd::OpenUntil(settlement.now.after(MAY_LAND_FOR));
                settlement.intents.push((intent, if may_land { open_until } else { IntentEnd::Closed }));
                settlement.wrote = true;
                NewLogRow { outcome, ..row }
            }
            None => NewLogRow {
                operation: Operation::Hold,
                outcome,
                error_code: Some(error.code().to_owned()),
                error: Some(format!("the lead's company could not be made: {error}")),
                ..self.blank_row(&planned.member.job, planned.member.lead.newest_arrival())
            },
        };
        let asked = planned.take_asked_calls();
        settlement.log.push(NewLogRow { api_calls: row.api_calls + asked, ..row });
        self.tell(&planned.member, &settlement);
        settlement
    }

    pub(super) fn verdict(&self, error: &CrmError, member: &Member, fingerprint: &str) -> Verdict {
        let destination = &self.batch.destination;
        let now = destination.clock.now();
        let waited = destination.gate.closed_time_since(member.job.first_failed_at.unwrap_or(now));
        after_error(error, &member.job, fingerprint, &destination.settings.retry, waited, now, fastrand::f64())
    }

    /// What was done before the last call is logged before it. What was announced for it is settled: refused, or a company's
    /// record, of which nothing more need be known. What it left undone beside the person's record is owed.
    fn take_what_was_before(&self, planned: &mut Planned, settlement: &mut Settlement) {
        for (intent, row) in std::mem::take(&mut planned.before) {
            settlement.wrote |= intent.is_some();
            settlement.intents.extend(intent.map(|intent| (intent, IntentEnd::Closed)));
            settlement.log.push(row);
        }
        settlement.wrote |= !planned.asked.is_empty();
        settlement.intents.extend(planned.asked.iter().map(|(intent, _)| (*intent, IntentEnd::Closed)));
        self.keep_owed(planned, settlement);
    }

    /// A settlement that says: both sides agree, nothing to record but what the plan found.
    fn settlement(&self, member: &Member, plan: &SyncPlan) -> Settlement {
        Settlement {
            questions: plan.questions.clone(),
            moot: moot(&member.work.open_conflicts, plan),
            moot_why: matches!(plan.action, Action::Skip { code: FILTERED, .. }).then_some(OUT_OF_THE_FILTER),
            ..self.blank_settlement(&member.job)
        }
    }

    pub(super) fn blank_settlement(&self, job: &ClaimedJob) -> Settlement {
        let Batch { destination, token, .. } = self.batch;
        Settlement::of(job, destination.name.clone(), *token, destination.clock.now())
    }

    /// Of everything that a refusal may depend on: the same again would be refused again.
    fn fingerprint(&self, plan: &SyncPlan) -> String {
        let mut hash = Sha256::new();
        hash.update(self.batch.rules.fingerprint.as_bytes());
        hash.update(format!("{:?}", plan.action));
        hex::encode(hash.finalize())
    }
}

/// Whether it is to be sent once more without the CRM's assignment rules.
fn goes_unassigned(planned: &Planned, result: &WriteResult) -> bool {
    planned.assigns && result.outcome.as_ref().is_err_and(|error| assigned_to_inactive(&planned.plan, error))
}
