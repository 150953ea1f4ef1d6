//! Users of the CRM that were looked up as owners, kept for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::SinceBoot;
use crate::domain::mapping::{OwnerFound, Owners};

/// How long a user that was found is taken to be there.
const KEPT: Duration = Duration::from_secs(600);
/// How long one that was not: soon somebody makes or activates the user.
const KEPT_IF_NOT: Duration = Duration::from_secs(60);
/// More than an org has salespeople; beyond it what is out of date goes.
const MOST: usize = 10_000;

/// What is known of addresses, and since when.
#[derive(Debug, Default)]
pub(super) struct KnownOwners(Mutex<BTreeMap<String, (OwnerFound, SinceBoot)>>);

impl KnownOwners {
    /// What is known now of those that are wanted; the others stay in `wanted`.
    pub fn take_known(&self, wanted: &mut BTreeSet<String>) -> Owners {
        let mut owners = Owners::default();
        if wanted.is_empty() {
            return owners;
        }
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        wanted.retain(|address| match known.get(address).filter(|(found, since)| is_fresh(found, *since)) {
            Some((found, _)) => {
                owners.insert(address.clone(), found.clone());
                false
            }
            None => true,
        });
        owners
    }

    /// Keeps what was looked up.
    pub fn keep(&self, found: &Owners) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() > MOST {
            known.retain(|_, (found, since)| is_fresh(found, *since));
        }
        let now = SinceBoot::now();
        known.extend(found.iter().map(|(address, found)| (address.clone(), (found.clone(), now))));
    }
}

fn is_fresh(found: &OwnerFound, since: SinceBoot) -> bool {
    let kept = if matches!(found, OwnerFound::Active(_)) { KEPT } else { KEPT_IF_NOT };
    since.elapsed() < kept
}
