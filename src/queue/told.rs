//! What the log and the metrics say of a settled lead.

use tracing::{error, info, warn};

use super::batch::Member;
use super::settle::Settling;
use crate::domain::plan::Rule;
use crate::store::{JobEnd, NewLogRow, Operation, Outcome, Settlement};
use crate::telemetry::metrics;

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
                warn!(source = %lead.source, lead.id = %lead.id, %destination, operation, code, "lead {} is tried again at {due_at}: {code}", lead.id);
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
