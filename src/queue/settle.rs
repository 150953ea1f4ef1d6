//! From how an attempt went to what is recorded of it.

use std::time::Duration;

use sha2::{Digest, Sha256};
use tracing::{error, info, warn};

use super::batch::{Batch, Member, Planned, Report, Sent};
use super::destination::Rules;
use super::redact::without_values;
use super::verdict::{Verdict, after_error, refused};
use crate::crm::{CrmError, WriteResult, Written};
use crate::domain::ids::{FieldName, RecordRef, RequestId};
use crate::domain::matching::MatchedBy;
use crate::domain::merge::bases_after_write;
use crate::domain::plan::{Action, CandidateSummary, ConflictKind, Link, Question, Rule, SyncPlan};
use crate::domain::time::Timestamp;
use crate::store::{IntentEnd, JobEnd, LinkChange, NewLogRow, OpenConflict, Operation, Outcome, Settlement};
use crate::telemetry::metrics;

/// How long a write without an answer may still land.
const MAY_LAND_LATE: Duration = Duration::from_secs(15 * 60);

/// Settles the leads of one call.
pub(super) struct Settling<'a> {
    pub batch: &'a Batch,
    /// How many leads shared the calls.
    pub leads: u32,
}

impl Settling<'_> {
    /// Whether this very write was refused before, and nothing that could matter changed since.
    pub fn is_known_refusal(&self, planned: &Planned) -> bool {
        let job = &planned.member.job;
        !job.forced && job.refusal.as_ref().is_some_and(|known| known.fingerprint == self.fingerprint(&planned.plan))
    }

    /// Settles a lead that needs no write, or whose write is known to be refused.
    pub fn without_write(&self, planned: Planned, report: &mut Report) -> Settlement {
        let Planned { member, plan, .. } = planned;
        let observes = self.batch.destination.observes();
        let mut settlement = self.settlement(&member, &plan);
        let mut row = self.log_row(&member, &plan);
        match &plan.action {
            Action::Unchanged => {
                settlement.link = self.link(&member, &plan, None);
                row.outcome = if plan.questions.is_empty() { Outcome::Ok } else { Outcome::Conflict };
                report.leads.push((member.lead.key.clone(), Ok(())));
            }
            Action::Skip { code, detail } => {
                row.error_code = Some((*code).to_owned());
                row.error = Some(detail.clone());
                if let (false, Some(link)) =
                    (member.lead.is_alive(), member.work.link.as_ref().filter(|link| link.owner))
                {
                    settlement.link = LinkChange::Release { planned_with: link.revision };
                }
            }
            Action::Hold { code, detail } => {
                row.error_code = Some((*code).to_owned());
                row.error = Some(detail.clone());
                row.outcome = Outcome::Conflict;
                let look_again_at = Some(settlement.now.after(Duration::from_secs(86_400)));
                settlement.end = JobEnd::Held { code: (*code).to_owned(), detail: detail.clone(), look_again_at };
            }
            Action::Refuse { code, message, .. } => {
                self.refuse(&mut settlement, &mut row, &member, &plan, code, message, report);
            }
            // Observed only, or refused before with the same values.
            Action::Create { .. } | Action::Update { .. } => {
                if let (false, Some(known)) = (observes, &member.job.refusal) {
                    let (code, message) = (known.code.clone(), "refused before with the same values; not sent again");
                    self.refuse(&mut settlement, &mut row, &member, &plan, &code, message, report);
                }
            }
        }
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

    #[expect(clippy::too_many_arguments, reason = "the settlement, its log row and what they are made from")]
    fn refuse(
        &self,
        settlement: &mut Settlement,
        row: &mut NewLogRow,
        member: &Member,
        plan: &SyncPlan,
        code: &str,
        message: &str,
        report: &mut Report,
    ) {
        let Verdict::End(end, outcome) = refused(code, message, &member.job, &self.fingerprint(plan), settlement.now)
        else {
            return;
        };
        settlement.end = end;
        row.outcome = outcome;
        row.error_code = Some(code.to_owned());
        row.error = Some(message.to_owned());
        report.leads.push((member.lead.key.clone(), Err(code.to_owned())));
    }

    /// Settles a lead whose record could not be looked up; `None`: the gate closes, and this was no attempt.
    pub fn after_failed_lookup(&self, member: &Member, error: &CrmError, report: &mut Report) -> Option<Settlement> {
        let now = self.batch.destination.clock.now();
        let Verdict::End(end, outcome) = self.verdict(error, member, "lookup") else { return None };
        if let CrmError::Refused { code, .. } = error {
            report.leads.push((member.lead.key.clone(), Err(code.clone())));
        }
        let row = NewLogRow {
            operation: Operation::Hold,
            outcome,
            error_code: Some(error.code().to_owned()),
            error: Some(error.to_string()),
            ..self.blank_row(member)
        };
        let settlement = Settlement {
            destination: self.batch.destination.name.clone(),
            token: self.batch.token,
            lead: member.lead.key.clone(),
            now,
            wanted: member.job.wanted,
            end,
            link: LinkChange::Keep,
            questions: Vec::new(),
            moot: Vec::new(),
            intents: Vec::new(),
            log: vec![row],
            wrote: false,
        };
        self.tell(member, &settlement);
        Some(settlement)
    }

    /// Settles what was sent. The second half are leads to be sent once more without the fields that were refused.
    pub fn after_write(&self, sent: Sent, report: &mut Report) -> (Vec<Settlement>, Vec<Planned>) {
        let (mut settlements, mut again) = (Vec::new(), Vec::new());
        let Sent { request_id, sent_at, planned, intents, results } = sent;
        for ((mut planned, intent), result) in planned.into_iter().zip(intents).zip(results) {
            let mut row = self.sent_row(&planned, &request_id, sent_at, &result);
            if let Err(error) = &result.outcome
                && let Some(plan) = without_refused_fields(&planned.plan, error, &self.batch.rules)
            {
                row.outcome = Outcome::Refused;
                planned.refused_calls.push((intent, row));
                again.push(Planned { plan, ..planned });
                continue;
            }
            let mut settlement = self.settlement(&planned.member, &planned.plan);
            settlement.wrote = true;
            for (intent, row) in std::mem::take(&mut planned.refused_calls) {
                settlement.intents.push((intent, IntentEnd::Closed));
                settlement.log.push(row);
            }
            let intent_end = match &result.outcome {
                Ok(written) => {
                    settlement.link = self.link(&planned.member, &planned.plan, Some(written));
                    report.leads.push((planned.member.lead.key.clone(), Ok(())));
                    written.read_back.is_none()
                }
                Err(error) => {
                    self.after_refusal(&planned, error, &mut settlement, &mut row, report);
                    matches!(error, CrmError::Unknown { .. })
                }
            };
            let open_until = IntentEnd::OpenUntil(settlement.now.after(MAY_LAND_LATE));
            settlement.intents.push((intent, if intent_end { open_until } else { IntentEnd::Closed }));
            settlement.log.push(row);
            self.tell(&planned.member, &settlement);
            settlements.push(settlement);
        }
        (settlements, again)
    }

    /// Notes for each lead that the call was refused as a whole; logged when the lead is settled.
    pub fn note_refused_batch(&self, sent: &mut Sent) {
        let Sent { request_id, sent_at, planned, intents, results } = sent;
        for ((planned, intent), result) in planned.iter_mut().zip(intents).zip(results) {
            let row = self.sent_row(planned, request_id, *sent_at, result);
            planned.refused_calls.push((*intent, row));
        }
    }

    fn sent_row(
        &self,
        planned: &Planned,
        request_id: &RequestId,
        sent_at: Timestamp,
        result: &WriteResult,
    ) -> NewLogRow {
        let mut row = self.log_row(&planned.member, &planned.plan);
        let now = self.batch.destination.clock.now();
        row.request_id = Some(request_id.clone());
        row.duration_ms = u64::try_from(now.since(sent_at).as_millis()).unwrap_or(u64::MAX);
        row.api_calls = 2;
        let keep = if self.batch.destination.settings.log_bodies { str::to_owned } else { without_values };
        row.request = Some(keep(&result.request));
        row.response = Some(keep(&result.response));
        match &result.outcome {
            Ok(written) => row.record = Some(written.record.clone()),
            Err(error) => {
                row.outcome = Outcome::Retry;
                row.error_code = Some(error.code().to_owned());
                row.error = Some(error.to_string());
            }
        }
        row
    }

    fn after_refusal(
        &self,
        planned: &Planned,
        error: &CrmError,
        settlement: &mut Settlement,
        row: &mut NewLogRow,
        report: &mut Report,
    ) {
        let member = &planned.member;
        if let CrmError::Refused { code, .. } = error {
            report.leads.push((member.lead.key.clone(), Err(code.clone())));
        }
        if let Some(question) = asked_by_duplicate_rule(error, &self.batch.rules) {
            let look_again_at = Some(settlement.now.after(Duration::from_secs(86_400)));
            settlement.end =
                JobEnd::Held { code: "match_conflict".to_owned(), detail: question.detail.clone(), look_again_at };
            settlement.questions.push(question);
            row.outcome = Outcome::Conflict;
            return;
        }
        match self.verdict(error, member, &self.fingerprint(&planned.plan)) {
            Verdict::End(end, outcome) => {
                settlement.end = end;
                row.outcome = outcome;
            }
            Verdict::Wait => {
                let error = format!("{}: {error}", error.code());
                settlement.end = JobEnd::Retry { due_at: settlement.now, error, failed: false };
                row.outcome = Outcome::Retry;
            }
        }
    }

    fn verdict(&self, error: &CrmError, member: &Member, fingerprint: &str) -> Verdict {
        let destination = &self.batch.destination;
        let now = destination.clock.now();
        let waited = destination.gate.closed_time_since(member.job.first_failed_at.unwrap_or(now));
        after_error(error, &member.job, fingerprint, &destination.settings.retry, waited, now, fastrand::f64())
    }

    /// A settlement that says: both sides agree, nothing to record but what the plan found.
    fn settlement(&self, member: &Member, plan: &SyncPlan) -> Settlement {
        let open = &member.work.open_conflicts;
        let asks = |conflict: &OpenConflict| {
            plan.questions.iter().any(|question| question.kind == conflict.kind && question.field == conflict.field)
        };
        Settlement {
            destination: self.batch.destination.name.clone(),
            token: self.batch.token,
            lead: member.lead.key.clone(),
            now: self.batch.destination.clock.now(),
            wanted: member.job.wanted,
            end: JobEnd::Done,
            link: LinkChange::Keep,
            questions: plan.questions.clone(),
            moot: open.iter().filter(|conflict| !asks(conflict)).cloned().collect(),
            intents: Vec::new(),
            log: Vec::new(),
            wrote: false,
        }
    }

    fn link(&self, member: &Member, plan: &SyncPlan, written: Option<&Written>) -> LinkChange {
        let matched = plan.matched.clone();
        let Some((record, matched_by)) = written
            .map(|written| (written.record.clone(), matched.as_ref().map_or(MatchedBy::ExternalId, |(_, by)| *by)))
            .or(matched)
        else {
            return LinkChange::Keep;
        };
        let known = member.work.link.as_ref();
        let bases = match written {
            Some(written) => bases_after_write(&plan.bases, &plan.announced, written.read_back.as_ref()),
            None => plan.bases.clone(),
        };
        let matched_by = known.filter(|known| known.record == record).map_or(matched_by, |known| known.matched_by);
        let link = Link {
            record,
            matched_by,
            owner: plan.owner,
            bases,
            kept: plan.kept.clone(),
            fingerprint: self.batch.rules.fingerprint.clone(),
            revision: known.map_or(0, |link| link.revision),
        };
        if known == Some(&link) {
            return LinkChange::Keep;
        }
        LinkChange::Put { link, planned_with: known.map(|link| link.revision) }
    }

    fn log_row(&self, member: &Member, plan: &SyncPlan) -> NewLogRow {
        let operation = match &plan.action {
            Action::Create { .. } | Action::Refuse { .. } => Operation::Create,
            Action::Update { .. } => Operation::Update,
            Action::Unchanged => Operation::Unchanged,
            Action::Hold { .. } => Operation::Hold,
            Action::Skip { .. } => Operation::Skip,
        };
        NewLogRow {
            operation,
            record: plan.matched.as_ref().map(|(record, _)| record.clone()),
            matched_by: plan.matched.as_ref().map(|(_, by)| *by),
            decisions: plan.decisions.clone(),
            ..self.blank_row(member)
        }
    }

    fn blank_row(&self, member: &Member) -> NewLogRow {
        NewLogRow {
            at: self.batch.destination.clock.now(),
            lead: member.lead.key.clone(),
            destination: self.batch.destination.name.clone(),
            operation: Operation::Unchanged,
            outcome: Outcome::Ok,
            record: None,
            matched_by: None,
            error_code: None,
            error: None,
            attempt: member.job.attempt,
            api_calls: 1,
            batch: self.leads,
            duration_ms: 0,
            request_id: None,
            event: member.lead.newest_arrival(),
            decisions: Vec::new(),
            request: None,
            response: None,
        }
    }

    /// Of everything that a refusal may depend on: the same again would be refused again.
    fn fingerprint(&self, plan: &SyncPlan) -> String {
        let mut hash = Sha256::new();
        hash.update(self.batch.rules.fingerprint.as_bytes());
        hash.update(format!("{:?}", plan.action));
        hex::encode(hash.finalize())
    }

    /// One log line and the metrics of one lead.
    fn tell(&self, member: &Member, settlement: &Settlement) {
        let destination = &self.batch.destination.name;
        for row in &settlement.log {
            metrics::sync_operation(destination, row.operation, row.outcome);
        }
        let Some(row) = settlement.log.last() else { return };
        let (lead, operation) = (&member.lead.key, row.operation.as_str());
        let code = row.error_code.as_deref().unwrap_or_default();
        match &settlement.end {
            JobEnd::Done => {
                if member.work.link.is_none()
                    && let Some(matched_by) = row.matched_by
                {
                    metrics::matched(destination, matched_by);
                }
                metrics::sync_delay(destination, settlement.now.since(member.job.owed_since));
                info!(source = %lead.source, lead.id = %lead.id, %destination, operation, "synced lead {} to {destination}: {operation}", lead.id);
            }
            JobEnd::Retry { due_at, .. } => {
                warn!(source = %lead.source, lead.id = %lead.id, %destination, operation, code, "lead {} is tried again at {due_at}: {code}", lead.id);
            }
            JobEnd::Held { .. } => {
                info!(source = %lead.source, lead.id = %lead.id, %destination, code, "lead {} waits: {code}", lead.id);
            }
            JobEnd::Dead { .. } => {
                error!(source = %lead.source, lead.id = %lead.id, %destination, operation, code, "lead {} is a dead letter: {code}", lead.id);
            }
        }
    }
}

/// The plan without the fields that the CRM refused, if it can do without them.
fn without_refused_fields(plan: &SyncPlan, error: &CrmError, rules: &Rules) -> Option<SyncPlan> {
    let CrmError::Refused { fields: refused, message, .. } = error else { return None };
    let object = &rules.sync.matching.object;
    let needed = |field: &FieldName| {
        *field == rules.sync.external_id
            || rules.sync.schema.field(object, field).is_none_or(|schema| schema.required_on_create())
    };
    let mut plan = plan.clone();
    let (Action::Create { fields, .. } | Action::Update { fields, .. }) = &mut plan.action else { return None };
    if refused.is_empty() || refused.iter().any(|field| needed(field) || !fields.contains_key(field)) {
        return None;
    }
    for field in refused {
        fields.remove(field);
        plan.announced.remove(field);
        for decision in plan.decisions.iter_mut().filter(|decision| decision.field == *field) {
            decision.written = None;
            decision.rule = Rule::Invalid;
            decision.note = Some(format!("refused by the CRM: {message}"));
        }
    }
    if fields.is_empty() {
        plan.action = Action::Unchanged;
        return None;
    }
    Some(plan)
}

/// The question that the CRM's own duplicate rule puts.
fn asked_by_duplicate_rule(error: &CrmError, rules: &Rules) -> Option<Question> {
    let CrmError::Duplicate { code, message, record } = error else { return None };
    if code != "DUPLICATES_DETECTED" {
        return None;
    }
    let candidates = record.iter().map(|id| CandidateSummary {
        record: RecordRef { object: rules.sync.matching.object.clone(), id: id.clone() },
        by: MatchedBy::NameAndCompanyDomain,
        speaks: "found by the CRM's own duplicate rule".to_owned(),
    });
    Some(Question {
        kind: ConflictKind::Match,
        field: None,
        record: None,
        base: None,
        lead: None,
        crm: None,
        candidates: candidates.collect(),
        other: None,
        detail: format!("the CRM's duplicate rule refused it: {message}"),
    })
}
