//! What is in flight: the keys and records that a batch has in hand, so that no two batches touch one person or record,
//! in this process or in another one on the same database.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::{debug, warn};

use crate::domain::company::CompanyKeys;
use crate::domain::ids::{DestinationName, RecordRef};
use crate::domain::matching::MatchKeys;
use crate::domain::record::folded_name;
use crate::domain::time::Timestamp;
use crate::store::{ClaimedJob, KeyHold, LeaseToken, Shared, StoreResult};

/// Everything that batches of one destination have in hand in this process.
#[derive(Clone, Debug, Default)]
pub struct InFlight(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    keys: HashSet<String>,
    /// Of the batches at work.
    batches: HashSet<LeaseToken>,
}

/// What one batch has in hand; given back when it is dropped, panics included.
pub struct Hold {
    in_flight: InFlight,
    store: Arc<dyn Shared>,
    destination: DestinationName,
    token: LeaseToken,
    keys: Vec<String>,
    /// Whether the other processes were told of any.
    told: bool,
}

/// Who has a key that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InHand {
    /// We do, from now on.
    Ours,
    /// Another lead of this process.
    Neighbours,
    /// A lead of another process.
    Elsewhere,
}

/// Jobs given back, by who has their person or record in hand.
#[derive(Debug, Default)]
pub(super) struct Deferred {
    pub here: Vec<ClaimedJob>,
    pub elsewhere: Vec<ClaimedJob>,
}

impl Deferred {
    pub fn add(&mut self, job: ClaimedJob, whose: InHand) {
        match whose {
            InHand::Elsewhere => self.elsewhere.push(job),
            InHand::Ours | InHand::Neighbours => self.here.push(job),
        }
    }

    /// Its company may be the one that a lead of the same batch makes.
    pub fn add_behind_namesake(&mut self, job: ClaimedJob) {
        self.here.push(job);
    }
}

impl InFlight {
    /// An empty hold of a batch, to be filled by [`Hold::reserve`].
    pub fn hold(&self, store: &Arc<dyn Shared>, destination: &DestinationName, token: LeaseToken) -> Hold {
        self.lock().batches.insert(token);
        let (store, destination) = (Arc::clone(store), destination.clone());
        Hold { in_flight: self.clone(), store, destination, token, keys: Vec::new(), told: false }
    }

    /// The batches that have something in hand, or may take it.
    pub fn at_work(&self) -> Vec<LeaseToken> {
        self.lock().batches.iter().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hold {
    /// Takes all keys of each lead until then, or none of its keys if anyone (this batch included) has one in hand.
    pub async fn reserve(
        &mut self,
        wants: Vec<Vec<String>>,
        now: Timestamp,
        until: Timestamp,
    ) -> StoreResult<Vec<InHand>> {
        let mut answers: Vec<InHand> = wants.iter().map(|keys| self.reserve_here(keys)).collect();
        let places: Vec<usize> =
            (0..wants.len()).filter(|place| answers[*place] == InHand::Ours && !wants[*place].is_empty()).collect();
        if places.is_empty() {
            return Ok(answers);
        }
        let hold = KeyHold {
            destination: self.destination.clone(),
            token: self.token,
            wants: places.iter().map(|place| wants[*place].clone()).collect(),
            now,
            until,
        };
        self.told = true;
        for (place, held) in places.into_iter().zip(self.store.hold_keys(&hold).await?) {
            if !held {
                self.release_here(&wants[place]);
                answers[place] = InHand::Elsewhere;
            }
        }
        Ok(answers)
    }

    /// Whether this batch has the key in hand.
    pub fn has(&self, key: &String) -> bool {
        self.keys.contains(key)
    }

    fn reserve_here(&mut self, keys: &[String]) -> InHand {
        let mut taken = self.in_flight.lock();
        if keys.iter().any(|key| taken.keys.contains(key)) {
            return InHand::Neighbours;
        }
        taken.keys.extend(keys.iter().cloned());
        self.keys.extend(keys.iter().cloned());
        InHand::Ours
    }

    fn release_here(&mut self, keys: &[String]) {
        let mut taken = self.in_flight.lock();
        for key in keys {
            taken.keys.remove(key);
        }
        self.keys.retain(|key| !keys.contains(key));
    }

    /// Gives everything back.
    pub async fn release(mut self) {
        if std::mem::take(&mut self.told)
            && let Err(error) = self.store.release_keys(self.token).await
        {
            let destination = &self.destination;
            warn!(%destination, "other processes wait until the people of a batch of {destination} run out, which could not be released: {error}");
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.told
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let (store, destination, token) = (Arc::clone(&self.store), self.destination.clone(), self.token);
            runtime.spawn(async move {
                // A batch that was broken off, by a stop or since the store is away, which was said.
                if let Err(error) = store.release_keys(token).await {
                    debug!(%destination, "the people of a batch of {destination} run out by themselves: {error}");
                }
            });
        }
        let mut taken = self.in_flight.lock();
        taken.batches.remove(&self.token);
        for key in &self.keys {
            taken.keys.remove(key);
        }
    }
}

/// The keys of a lead, each in the form in which two leads of one person are equal.
pub fn of_lead(keys: &MatchKeys) -> Vec<String> {
    let person =
        keys.name_and_domain.as_ref().map(|person| format!("name:{}@{}", folded_name(&person.last), person.domain));
    let own = keys.external_id.iter().chain(&keys.former_ids).map(|id| format!("external_id:{id}"));
    let known = keys.linked.as_ref().or(keys.chosen.as_ref()).map(of_record);
    let others = [keys.email.as_ref().map(|email| format!("email:{}", email.to_lowercase())), person];
    known.into_iter().chain(own).chain(others.into_iter().flatten()).collect()
}

/// The keys of a company, each in the form in which two leads of one company have one in common.
pub fn of_company(keys: &CompanyKeys) -> BTreeSet<String> {
    let own = keys.external_ids().into_iter().map(|id| company_key(&id));
    own.chain(keys.known.as_ref().map(of_record)).collect()
}

/// The key of a company that carries this one.
pub fn company_key(external_id: &str) -> String {
    format!("company:{external_id}")
}

/// The key of a record.
pub fn of_record(record: &RecordRef) -> String {
    format!("record:{}", record.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Alone;

    impl Shared for Alone {}

    #[tokio::test]
    async fn a_key_in_hand_is_refused_until_its_batch_is_done() {
        let (store, crm): (Arc<dyn Shared>, _) = (Arc::new(Alone), DestinationName::new("crm"));
        let in_flight = InFlight::default();
        let hold = |n| in_flight.hold(&store, &crm, uuid::Uuid::from_u128(n));
        let (mut first, mut second) = (hold(1), hold(2));
        let now = Timestamp::from_seconds(1);
        let wants = |keys: &[&str]| vec![keys.iter().map(ToString::to_string).collect::<Vec<_>>()];
        let taken = first.reserve(wants(&["email:a", "external_id:1"]), now, now).await.unwrap();
        assert_eq!(taken, [InHand::Ours]);
        let taken = second.reserve(wants(&["external_id:2", "email:a"]), now, now).await.unwrap();
        assert_eq!(taken, [InHand::Neighbours]);
        let taken = second.reserve(wants(&["external_id:2"]), now, now).await.unwrap();
        assert_eq!(taken, [InHand::Ours], "a refused lead must take nothing");
        first.release().await;
        assert_eq!(in_flight.at_work(), [uuid::Uuid::from_u128(2)]);
        assert_eq!(second.reserve(wants(&["email:a"]), now, now).await.unwrap(), [InHand::Ours]);
    }
}
