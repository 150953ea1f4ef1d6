//! By which rules a lead was planned, for a resync of what was planned by others.

use super::Settling;
use crate::domain::plan::{Action, LeftOut, Link, SyncPlan};
use crate::queue::batch::Member;
use crate::store::{JobEnd, LinkChange, PlannedBy};

pub(super) fn is_skipped(plan: &SyncPlan) -> bool {
    matches!(plan.action, Action::Skip { .. })
}

impl Settling<'_> {
    /// What is noted of these rules where the lead's link does not tell that it was planned by them.
    pub(super) fn left_alone(&self, member: &Member, skipped: bool, end: &JobEnd) -> Option<PlannedBy> {
        let observes = self.batch.destination.observes();
        let waits = matches!(end, JobEnd::Held { .. } | JobEnd::Dead { .. });
        let left = observes || (skipped || waits) && member.work.link.is_none();
        let fingerprint = || self.batch.rules.fingerprint.clone();
        left.then(|| PlannedBy { fingerprint: fingerprint(), observed: observes && !skipped })
    }

    /// Notes in the link that these rules ask for nothing, and that what others left out has not been tried by them.
    pub(super) fn planned_by_these_rules(&self, member: &Member) -> LinkChange {
        let fingerprint = &self.batch.rules.fingerprint;
        // An heir that has not written its ID yet is known by the empty one.
        let planned_otherwise = |link: &&Link| !link.fingerprint.is_empty() && link.fingerprint != *fingerprint;
        let Some(link) = member.work.link.as_ref().filter(planned_otherwise) else { return LinkChange::Keep };
        LinkChange::Put {
            link: Link { fingerprint: fingerprint.clone(), left_out: LeftOut::new(), ..link.clone() },
            planned_with: Some(link.revision),
        }
    }
}
