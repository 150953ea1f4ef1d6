//! Leads whose source is not in the configuration any more, or has another name there.

use std::collections::BTreeMap;
use std::time::Duration;

use tracing::warn;

use super::batch::Batch;
use super::settle::Settling;
use crate::domain::ids::SourceName;
use crate::store::{ClaimedJob, JobEnd, NewLogRow, Operation, Outcome, Settlement, StoreResult};

/// Under which word such a lead is held.
pub const UNKNOWN_SOURCE: &str = "unknown_source";
/// How soon it is looked at again, should nobody have noticed that the source is back.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(86_400);

fn why(source: &SourceName) -> String {
    format!("the configuration has no [sources.{source}]")
}

impl Batch {
    /// Holds the jobs of these leads, and answers the others: how their events are to be read nobody knows, and a plan without
    /// them would be wrong.
    pub(super) async fn hold_of_unknown_sources(&self, jobs: Vec<ClaimedJob>) -> StoreResult<Vec<ClaimedJob>> {
        let (known, unknown): (Vec<_>, Vec<_>) =
            jobs.into_iter().partition(|job| self.destination.sources.contains_key(&job.lead.source));
        let mut leads_of: BTreeMap<&SourceName, usize> = BTreeMap::new();
        for job in &unknown {
            *leads_of.entry(&job.lead.source).or_default() += 1;
        }
        for (source, leads) in leads_of {
            warn!(destination = %self.destination.name, %source, leads, "{leads} leads wait: {}; write its section again and reload, or exclude the leads", why(source));
        }
        let settling = Settling { batch: self, leads: 1, lookup_calls: 0 };
        self.settle(unknown.iter().map(|job| settling.of_unknown_source(job)).collect(), &self.lease).await?;
        Ok(known)
    }
}

impl Settling<'_> {
    fn of_unknown_source(&self, job: &ClaimedJob) -> Settlement {
        let code = UNKNOWN_SOURCE.to_owned();
        let detail = why(&job.lead.source);
        let row = NewLogRow {
            operation: Operation::Hold,
            outcome: Outcome::Conflict,
            error_code: Some(code.clone()),
            error: Some(detail.clone()),
            api_calls: 0,
            ..self.blank_row(job, None)
        };
        let blank = self.blank_settlement(job);
        // Told once, however often it is looked at again.
        let log = if job.last_error.as_ref() == Some(&detail) { Vec::new() } else { vec![row] };
        let look_again_at = Some(blank.now.after(LOOK_AGAIN_AFTER));
        Settlement { end: JobEnd::Held { code, detail, look_again_at }, log, ..blank }
    }
}
