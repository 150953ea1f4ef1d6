//! The rows of the sync log that tell of an attempt.

use super::Settling;
use crate::crm::WriteResult;
use crate::domain::ids::EventId;
use crate::domain::matching::MatchedBy;
use crate::domain::plan::{Action, ConflictKind, SyncPlan};
use crate::queue::batch::{Member, Planned};
use crate::queue::redact::without_values;
use crate::queue::writes::Call;
use crate::store::{ClaimedJob, NewLogRow, Operation, Outcome};

impl Settling<'_> {
    pub(super) fn sent_row(&self, planned: &mut Planned, call: &Call, result: &WriteResult) -> NewLogRow {
        let mut row = self.sent(self.log_row(&planned.member, &planned.plan), call, result);
        row.api_calls += planned.take_asked_calls();
        // Else the settings say so of every record.
        let a_person_said_so = planned.duplicates.saves() && !self.batch.destination.settings.duplicates.saves();
        if a_person_said_so && result.outcome.is_ok() {
            let told = row.error.map(|told| format!("{told}; ")).unwrap_or_default();
            row.error = Some(format!("{told}saved past the CRM's duplicate rule, as a person said"));
        }
        row
    }

    /// A row of what was sent, with its request and its answer.
    pub fn sent(&self, mut row: NewLogRow, call: &Call, result: &WriteResult) -> NewLogRow {
        let now = self.batch.destination.clock.now();
        row.request_id = Some(call.request_id.clone());
        row.duration_ms = u64::try_from(now.since(call.sent_at).as_millis()).unwrap_or(u64::MAX);
        row.api_calls += call.calls;
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

    /// A log row about a record beside the person's: the lead's company, or its opportunity.
    pub fn row_beside(&self, member: &Member, operation: Operation) -> NewLogRow {
        let blank = self.blank_row(&member.job, member.lead.newest_arrival());
        let outcome = if self.batch.destination.observes() { Outcome::Planned } else { Outcome::Ok };
        // The lookup's calls are told with the person's record.
        NewLogRow { operation, outcome, api_calls: 0, ..blank }
    }

    pub(super) fn log_row(&self, member: &Member, plan: &SyncPlan) -> NewLogRow {
        let operation = match &plan.action {
            Action::Create { .. } | Action::Refuse { .. } => Operation::Create,
            Action::Update { .. } => Operation::Update,
            Action::Delete { .. } => Operation::Delete,
            Action::Unchanged => Operation::Unchanged,
            Action::Hold { .. } => Operation::Hold,
            Action::Skip { .. } | Action::Forget { .. } => Operation::Skip,
        };
        // Where planning stopped before its record, the row still says which record it is about.
        let linked = member.work.link.as_ref().filter(|_| matches!(operation, Operation::Hold | Operation::Skip));
        let matched = plan.matched.clone().or(linked.map(|link| (link.record.clone(), MatchedBy::Link)));
        let (record, matched_by) = matched.unzip();
        // A lead without a record of its own says why in each of its rows.
        let shared = plan.questions.iter().find(|question| question.kind == ConflictKind::SharedRecord);
        let moved = plan.moved_from.as_ref().zip(record.as_ref()).map(|(from, to)| {
            let told =
                format!("{} {} became {} {}, which the lead is from now on", from.object, from.id, to.object, to.id);
            ("record_moved".to_owned(), told)
        });
        let shared = shared.map(|shared| ("shared_record".to_owned(), shared.detail.clone()));
        let owner = plan.owner_left_out.as_ref().map(|(code, told)| ((*code).to_owned(), told.clone()));
        // Who was left out as an owner is told whatever else there is to say.
        let told = [moved, shared, owner]
            .into_iter()
            .flatten()
            .reduce(|(code, first), (_, also)| (code, format!("{first}; {also}")));
        let (error_code, error) = told.unzip();
        let blank = self.blank_row(&member.job, member.lead.newest_arrival());
        NewLogRow { operation, record, matched_by, error_code, error, decisions: plan.decisions.clone(), ..blank }
    }

    pub(in crate::queue) fn blank_row(&self, job: &ClaimedJob, event: Option<EventId>) -> NewLogRow {
        let (now, destination) = (self.batch.destination.clock.now(), self.batch.destination.name.clone());
        NewLogRow {
            attempt: job.attempt,
            api_calls: self.lookup_calls,
            batch: self.leads,
            event,
            ..NewLogRow::note(now, job.lead.clone(), destination, Operation::Unchanged, Outcome::Ok)
        }
    }
}
