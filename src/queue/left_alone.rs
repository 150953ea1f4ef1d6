//! Leads that are left alone or held whatever the CRM holds: settled without a call.

use super::batch::{Batch, Member, Planned, Report};
use super::settle::Settling;
use crate::domain::matching::Candidates;
use crate::domain::plan::{Action, FILTERED, left_alone};
use crate::store::{LogFilter, LogRow, Operation, Page, StoreResult};

impl Batch {
    /// Settles these leads and gives back the others. That a lead falls out of the filter is logged once.
    pub(super) async fn without_left_alone(
        &mut self,
        members: Vec<Member>,
        report: &mut Report,
    ) -> StoreResult<Vec<Member>> {
        let is_left = |member: &Member| member.lead.is_alive() && left_alone(&member.lead, &self.rules.sync).is_some();
        let (left, members): (Vec<Member>, Vec<Member>) = members.into_iter().partition(is_left);
        if left.is_empty() {
            return Ok(members);
        }
        let settling = Settling { batch: self, leads: 1, lookup_calls: 0 };
        let (mut planned, mut told) = (Vec::new(), Vec::new());
        for member in left {
            let plan = self.plan_one(&member, &Candidates::default(), false, &|_| None);
            let is_filtered = matches!(plan.action, Action::Skip { code: FILTERED, .. });
            let told_before = is_filtered && !member.job.forced && self.was_told(&member).await?;
            let one = Planned::of(member, plan);
            if told_before {
                told.push(settling.told_before(&one));
            } else {
                planned.push(one);
            }
        }
        self.settle(told, &self.lease).await?;
        self.carry_out(planned, 0, report).await?;
        Ok(members)
    }

    /// Whether the newest that the log tells of this lead is that it falls out of the filter.
    async fn was_told(&self, member: &Member) -> StoreResult<bool> {
        let lead = &member.lead.key;
        let filter = LogFilter {
            lead_id: Some(lead.id.to_string()),
            source: Some(lead.source.to_string()),
            destination: Some(self.destination.name.to_string()),
            ..LogFilter::default()
        };
        let newest = self.destination.store.search_sync_log(&filter, &Page { limit: 1, cursor: None }).await?;
        let is_told = |row: &LogRow| row.operation == Operation::Skip && row.error_code.as_deref() == Some(FILTERED);
        Ok(newest.items.first().is_some_and(is_told))
    }
}
