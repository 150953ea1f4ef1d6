//! Whose a record is among our leads, and by which keys it is known as that lead's own.

use std::collections::BTreeMap;

use super::destination::Destination;
use crate::domain::ids::{LeadKey, RecordRef};
use crate::domain::matching::Candidates;
use crate::domain::plan::{OwnKeys, Owner};
use crate::store::{RecordOwner, StoreResult, Work};

impl Destination {
    /// Our keys for a lead's record.
    pub(super) fn own_keys(&self, work: &Work) -> OwnKeys {
        let now = self.settings.external_id_value.value_for(&work.key);
        OwnKeys::of(&work.key, now, work.link.as_ref(), &work.intents, &self.settings.external_id)
    }

    /// Our keys for the records of these leads.
    pub(super) async fn load_own_keys(&self, leads: &[LeadKey]) -> StoreResult<BTreeMap<LeadKey, OwnKeys>> {
        if leads.is_empty() {
            return Ok(BTreeMap::new());
        }
        let works = self.store.load_work(&self.name, leads).await?;
        Ok(works.into_iter().map(|work| (work.key.clone(), self.own_keys(&work))).collect())
    }
}

/// Whose the records that were found are among our leads.
pub(super) async fn owners_of(
    destination: &Destination,
    found: &[Candidates],
) -> StoreResult<BTreeMap<RecordRef, Owner>> {
    let found = found.iter().flat_map(|candidates| &candidates.found);
    let records: Vec<RecordRef> = found.map(|candidate| candidate.record.reference()).collect();
    let owners = destination.store.find_owners(&destination.name, &records).await?;
    // Only what became of these depends on the key that their record carries.
    let left = owners.iter().flatten().filter(|owner| owner.has_left());
    let left: Vec<LeadKey> = left.map(|owner| owner.lead.clone()).collect();
    let keys = destination.load_own_keys(&left).await?;
    let owner = |RecordOwner { lead, deleted, excluded }| {
        let keys = keys.get(&lead).cloned().unwrap_or_default();
        Owner { lead, keys, deleted, excluded }
    };
    Ok(records.into_iter().zip(owners).filter_map(|(record, found)| Some((record, owner(found?)))).collect())
}
