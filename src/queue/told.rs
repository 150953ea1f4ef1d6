//! What the log and the metrics say of a settled lead.

use std::collections::BTreeMap;

use tracing::{debug, error, info, warn};

use super::batch::{Batch, Member};
use super::settle::Settling;
use crate::domain::plan::Rule;
use crate::domain::time::Timestamp;
use crate::store::{JobEnd, NewLogRow, Operation, Outcome, Settlement};
use crate::telemetry::metrics;

/// Leads that are tried again for one reason.
struct Again {
    leads: u64,
    first_due: Timestamp,
    example: String,
}

impl Batch {
    /// One log line for each reason for which leads are tried again, however many: a CRM that hangs fails all of them.
    pub(super) fn tell_retries(&self, settlements: &[Settlement]) {
        let destination = &self.destination.name;
        for (code, again) in retries(settlements) {
            let Again { leads, first_due, example } = again;
            if leads == 1 {
                warn!(%destination, leads, code, "lead {example} is tried again in {destination} at {first_due}: {code}");
            } else {
                warn!(%destination, leads, code, "{leads} leads are tried again in {destination} from {first_due} on: {code}; e.g. {example}");
            }
        }
    }
}

fn retries(settlements: &[Settlement]) -> BTreeMap<&str, Again> {
    let mut retries: BTreeMap<&str, Again> = BTreeMap::new();
    for settlement in settlements {
        let JobEnd::Retry { due_at, .. } = &settlement.end else { continue };
        // What is owed may be beside the person's record, of which the last row tells.
        let fails = |row: &&NewLogRow| matches!(row.outcome, Outcome::Retry | Outcome::Unknown);
        let row = settlement.log.iter().rev().find(fails).or(settlement.log.last());
        let code = row.and_then(|row| row.error_code.as_deref()).unwrap_or_default();
        let again = retries.entry(code).or_insert_with(|| Again {
            leads: 0,
            first_due: *due_at,
            example: format!("{}/{}", settlement.lead.source, settlement.lead.id),
        });
        again.leads += 1;
        again.first_due = again.first_due.min(*due_at);
    }
    retries
}

impl Settling<'_> {
    /// One log line and the metrics of one lead.
    pub(super) fn tell(&self, member: &Member, settlement: &Settlement) {
        let destination = &self.batch.destination.name;
        for row in &settlement.log {
            metrics::sync_operation(destination, row.operation, row.outcome);
        }
        let Some(row) = settlement.log.last() else { return };
        let (lead, operation) = (&member.lead.key, row.operation.as_str());
        let code = row.error_code.as_deref().unwrap_or_default();
        match &settlement.end {
            JobEnd::Done => {
                if member.keys.linked.is_none()
                    && let Some(matched_by) = row.matched_by
                {
                    metrics::matched(destination, matched_by);
                }
                metrics::sync_delay(destination, settlement.now.since(member.job.owed_since));
                self.tell_done(member, settlement, row);
            }
            JobEnd::Retry { due_at, .. } => {
                debug!(source = %lead.source, lead.id = %lead.id, %destination, operation, code, "lead {} is tried again at {due_at}: {code}", lead.id);
            }
            JobEnd::Held { .. } => {
                info!(source = %lead.source, lead.id = %lead.id, %destination, code, "lead {} waits: {code}", lead.id);
            }
            JobEnd::Dead { .. } => {
                error!(source = %lead.source, lead.id = %lead.id, %destination, operation, code, "lead {} is a dead letter: {code}; GET /admin/v1/errors says what to do", lead.id);
            }
        }
    }

    fn tell_done(&self, member: &Member, settlement: &Settlement, row: &NewLogRow) {
        let (lead, destination) = (&member.lead.key, &self.batch.destination.name);
        let operation = row.operation.as_str();
        if row.outcome == Outcome::Planned {
            info!(source = %lead.source, lead.id = %lead.id, %destination, operation, "planned for lead {} in {destination}: {operation}; nothing is written, since it observes", lead.id);
            return;
        }
        if row.operation == Operation::Skip {
            let code = row.error_code.as_deref().unwrap_or_default();
            info!(source = %lead.source, lead.id = %lead.id, %destination, operation, code, "left lead {} alone in {destination}: {code}", lead.id);
            return;
        }
        let left_out =
            row.decisions.iter().filter(|decision| matches!(decision.rule, Rule::Invalid | Rule::NotWritable));
        let (left_out, questions) = (left_out.count(), settlement.questions.len());
        let but = match (left_out, questions) {
            (0, 0) => String::new(),
            (_, 0) => format!(", {left_out} values left out"),
            (0, _) => format!(", {questions} conflicts for a person"),
            _ => format!(", {left_out} values left out, {questions} conflicts for a person"),
        };
        info!(source = %lead.source, lead.id = %lead.id, %destination, operation, left_out, questions, "synced lead {} to {destination}: {operation}{but}", lead.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::LeadKey;
    use crate::store::ClaimedJob;

    #[test]
    fn leads_that_are_tried_again_are_counted_by_reason() {
        let settled = |lead: &str, code: &str, end: JobEnd| {
            let lead = LeadKey { source: "klozeo".into(), id: lead.into() };
            let now = Timestamp::from_seconds(0);
            let job = ClaimedJob::new(lead.clone(), now);
            let row = NewLogRow::note(now, lead, "crm".into(), Operation::Update, Outcome::Retry);
            Settlement {
                end,
                log: vec![NewLogRow { error_code: Some(code.to_owned()), ..row }],
                ..Settlement::of(&job, "crm".into(), uuid::Uuid::nil(), now)
            }
        };
        let again = |second| JobEnd::Retry {
            due_at: Timestamp::from_seconds(second),
            code: String::new(),
            detail: String::new(),
            failed: true,
        };
        let settlements = [
            settled("k-1", "no_answer", again(30)),
            settled("k-2", "server_error", again(5)),
            settled("k-3", "no_answer", again(20)),
            settled("k-4", "no_answer", JobEnd::Done),
        ];
        let told: Vec<_> = retries(&settlements)
            .into_iter()
            .map(|(code, again)| (code, again.leads, again.first_due.as_seconds(), again.example))
            .collect();
        let expected = [("no_answer", 2, 20, "klozeo/k-1"), ("server_error", 1, 5, "klozeo/k-2")];
        assert_eq!(told, expected.map(|(code, leads, due, example)| (code, leads, due, example.to_owned())));
    }
}
