//! Leads of a batch that are not to be written: excluded by a person, or deleted in their lead system.

use std::collections::BTreeSet;

use super::batch::{Batch, Member, Planned};
use super::destination::{Destination, Rules};
use super::settle::Settling;
use crate::domain::ids::{LeadKey, RecordRef};
use crate::domain::job::Class;
use crate::domain::plan::{Action, OnDelete, SyncPlan};
use crate::store::{DirtyMark, Sharing, StoreResult};

impl Batch {
    /// Settles leads that a person excluded: nothing is looked up for them.
    pub(super) async fn leave_excluded(&self, members: Vec<Member>) -> StoreResult<()> {
        let settling = Settling { batch: self, leads: 1, lookup_calls: 0 };
        let planned = members.into_iter().map(|member| Planned::of(member, excluded()));
        self.settle(planned.map(|planned| settling.without_write(planned)).collect(), &self.lease).await
    }

    /// The deleted leads whose record a living one shares, or may.
    pub(super) async fn shared(&self, members: &[Member]) -> StoreResult<BTreeSet<LeadKey>> {
        find_shared(&self.destination, &self.rules, members).await
    }

    /// Has deleted leads looked at again whose record was kept for one of these, which may have been the same person and is
    /// deleted now as well.
    pub(super) async fn owe_deleted_owners(&self, members: &[Member]) -> StoreResult<()> {
        let Destination { name, store, clock, .. } = &*self.destination;
        let gone = members.iter().filter(|member| !member.lead.is_alive());
        let links = gone.filter_map(|member| member.work.link.as_ref());
        let kept: Vec<RecordRef> =
            links.filter(|link| !link.owner && link.in_doubt.is_some()).map(|link| link.record.clone()).collect();
        if kept.is_empty() || self.rules.sync.on_delete == OnDelete::Ignore {
            return Ok(());
        }
        let owners = store.find_owners(name, &kept).await?.into_iter().flatten();
        let leads: Vec<LeadKey> = owners.filter(|owner| owner.deleted).map(|owner| owner.lead).collect();
        let mark = DirtyMark { destination: name.clone(), leads, class: Class::Live, now: clock.now(), forced: false };
        store.mark_dirty(&mark).await.map(drop)
    }
}

/// What is planned for a lead that a person excluded.
pub(super) fn excluded() -> SyncPlan {
    let detail = "a person excluded the lead from syncing".to_owned();
    SyncPlan::without_record(Action::Skip { code: "lead_excluded", detail })
}

/// Of these the deleted ones whose record a living one shares, or may.
pub(super) async fn find_shared(
    destination: &Destination,
    rules: &Rules,
    members: &[Member],
) -> StoreResult<BTreeSet<LeadKey>> {
    let Destination { name, store, .. } = destination;
    let owned = |member: &&Member| !member.lead.is_alive() && member.work.link.as_ref().is_some_and(|own| own.owner);
    let (leads, records): (Vec<LeadKey>, Vec<RecordRef>) = members
        .iter()
        .filter(owned)
        .filter_map(|member| Some((member.lead.key.clone(), member.work.link.as_ref()?.record.clone())))
        .unzip();
    if records.is_empty() || rules.sync.on_delete == OnDelete::Ignore {
        return Ok(BTreeSet::new());
    }
    let shared = store.find_shared(name, &records).await?;
    Ok(leads.into_iter().zip(shared).filter(|(_, shared)| *shared != Sharing::Not).map(|(lead, _)| lead).collect())
}
