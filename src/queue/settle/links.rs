//! Which record a lead is once it is settled.

use super::Settling;
use crate::crm::Written;
use crate::domain::ids::RecordRef;
use crate::domain::matching::MatchedBy;
use crate::domain::merge::{add_defaults, bases_after_write};
use crate::domain::plan::{Action, Link, SyncPlan};
use crate::queue::batch::Member;
use crate::store::LinkChange;

impl Settling<'_> {
    pub(super) fn link(&self, member: &Member, plan: &SyncPlan, written: Option<&Written>) -> LinkChange {
        let matched = plan.matched.clone();
        let Some((record, matched_by)) = written
            .map(|written| (written.record.clone(), matched.as_ref().map_or(MatchedBy::ExternalId, |(_, by)| *by)))
            .or(matched)
        else {
            return LinkChange::Keep;
        };
        let known = member.work.link.as_ref();
        let bases = match written {
            Some(Written { read_back, .. }) => {
                let mut bases = bases_after_write(&plan.bases, &plan.announced, read_back.as_ref());
                if let (Action::Create { .. }, Some(made)) = (&plan.action, read_back) {
                    add_defaults(&mut bases, made);
                }
                bases
            }
            None => plan.bases.clone(),
        };
        let matched_by = known.filter(|known| known.record == record).map_or(matched_by, |known| known.matched_by);
        // Whoever may be a person that is gone inherits once that is settled.
        let inherits_later = known.is_some_and(|known| known.record == record && known.is_inherited());
        let fingerprint = if plan.in_doubt.is_some() && inherits_later {
            String::new()
        } else {
            self.batch.rules.fingerprint.clone()
        };
        let link = Link {
            record,
            matched_by,
            owner: plan.owner,
            bases,
            kept: plan.kept.clone(),
            left_out: plan.left_out.clone(),
            in_doubt: plan.in_doubt.clone(),
            fingerprint,
            revision: known.map_or(0, |link| link.revision),
        };
        if known == Some(&link) {
            return LinkChange::Keep;
        }
        LinkChange::Put { link, planned_with: known.map(|link| link.revision) }
    }
}

/// The record was deleted: the lead is it no longer, nor is any other that is gone.
pub(super) fn drop_link(member: &Member, record: &RecordRef) -> LinkChange {
    let planned_with = member.work.link.as_ref().map(|link| link.revision);
    LinkChange::Drop { record: record.clone(), planned_with }
}

/// Whether what the look found is in the link from now on, or stood there before.
pub(super) fn is_kept(change: &LinkChange, member: &Member, plan: &SyncPlan) -> bool {
    let stands = |link: &Link| {
        plan.matched.as_ref().is_some_and(|(record, _)| *record == link.record) && link.bases == plan.bases
    };
    matches!(change, LinkChange::Put { .. } | LinkChange::PutAndRelease { .. } | LinkChange::Drop { .. })
        || member.work.link.as_ref().is_some_and(stands)
}
