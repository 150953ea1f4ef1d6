//! People and companies whose record may be made at any moment, by a create of which no answer came.

use std::collections::{BTreeMap, HashMap};

use super::batch::{Batch, Member};
use super::destination::Destination;
use super::keys;
use crate::domain::ids::{FieldName, LeadKey};
use crate::domain::plan::{BasePair, company, create_keys};
use crate::store::StoreResult;

impl Batch {
    /// Gives back new leads that may be a person whose record another lead's create, of which no answer came, may still
    /// make: it would not be found yet. They wait until that lead has its record, or its create can no longer land.
    pub(super) async fn without_doubtful(&self, members: Vec<Member>) -> StoreResult<Vec<Member>> {
        if members.iter().all(|member| member.keys.linked.is_some() && member.keys.company.is_none()) {
            return Ok(members);
        }
        // Asked after the keys were taken in hand: from now on no other batch creates these people.
        let mut doubtful: HashMap<String, Vec<LeadKey>> = HashMap::new();
        let Destination { name, store, clock, in_flight, .. } = &*self.destination;
        for create in store.find_open_creates(name, &in_flight.at_work(), clock.now()).await? {
            for key in self.keys_of_create(&create.rows) {
                doubtful.entry(key).or_default().push(create.lead.clone());
            }
        }
        let waits = |member: &Member| {
            let person = keys::of_lead(&member.keys).into_iter();
            let company = member.keys.company.iter().flat_map(keys::of_company);
            let others = person.chain(company).filter_map(|key| doubtful.get(&key)).flatten();
            others.into_iter().any(|lead| *lead != member.job.lead)
        };
        let (waiting, members): (Vec<Member>, _) = members.into_iter().partition(waits);
        let waiting = waiting.into_iter().map(|member| member.job).collect();
        self.give_back(waiting, self.destination.settings.retry.first, None).await?;
        Ok(members)
    }

    /// The keys of the person, or of the company, that an announced create makes.
    fn keys_of_create(&self, announced: &BTreeMap<FieldName, BasePair>) -> Vec<String> {
        let companies = self.rules.sync.company.as_ref();
        let of_company = companies.map(|rules| company::announced_keys(announced, &rules.object)).unwrap_or_default();
        if of_company.is_empty() { keys::of_lead(&create_keys(announced, &self.rules.sync)) } else { of_company }
    }
}
