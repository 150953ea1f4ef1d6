//! People and companies whose record may be made at any moment, by a create of which no answer came.

use std::collections::{BTreeMap, HashMap};

use super::batch::{Batch, Member};
use super::destination::{Destination, Rules};
use super::keys;
use crate::domain::ids::{FieldName, LeadKey};
use crate::domain::plan::{BasePair, company, create_keys};
use crate::store::StoreResult;

impl Batch {
    /// Gives back new leads that may be a person whose record another lead's create, of which no answer came, may still
    /// make: it would not be found yet. They wait until that lead has its record, or its create can no longer land.
    pub(super) async fn without_doubtful(&self, members: Vec<Member>) -> StoreResult<Vec<Member>> {
        let waits = wait_for_creates(&self.destination, &self.rules, &members).await?;
        let (mut waiting, mut going_on) = (Vec::new(), Vec::with_capacity(members.len()));
        for (member, waits) in members.into_iter().zip(waits) {
            if waits {
                waiting.push(member.job);
            } else {
                going_on.push(member);
            }
        }
        self.give_back(waiting, self.destination.settings.retry.first, None).await?;
        Ok(going_on)
    }
}

/// Which of these may be a person whose record another lead's create may still make.
pub(super) async fn wait_for_creates(
    destination: &Destination,
    rules: &Rules,
    members: &[Member],
) -> StoreResult<Vec<bool>> {
    if members.iter().all(|member| member.keys.linked.is_some() && member.keys.company.is_none()) {
        return Ok(vec![false; members.len()]);
    }
    // Asked after the keys were taken in hand: from now on no other batch creates these people.
    let mut doubtful: HashMap<String, Vec<LeadKey>> = HashMap::new();
    let Destination { name, store, clock, in_flight, .. } = destination;
    for create in store.find_open_creates(name, &in_flight.at_work(), clock.now()).await? {
        for key in keys_of_create(&create.rows, rules) {
            doubtful.entry(key).or_default().push(create.lead.clone());
        }
    }
    let waits = |member: &Member| {
        let person = keys::of_lead(&member.keys).into_iter();
        let company = member.keys.company.iter().flat_map(keys::of_company);
        let others = person.chain(company).filter_map(|key| doubtful.get(&key)).flatten();
        others.into_iter().any(|lead| *lead != member.job.lead)
    };
    Ok(members.iter().map(waits).collect())
}

/// The keys of the person, or of the company, that an announced create makes.
fn keys_of_create(announced: &BTreeMap<FieldName, BasePair>, rules: &Rules) -> Vec<String> {
    let companies = rules.sync.company.as_ref();
    let of_company = companies.map(|rules| company::announced_keys(announced, &rules.object)).unwrap_or_default();
    if of_company.is_empty() { keys::of_lead(&create_keys(announced, &rules.sync)) } else { of_company }
}
