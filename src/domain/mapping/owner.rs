//! Owners of records: users of the CRM, known by their address.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::ids::RecordId;
use crate::domain::record::CrmValue;

use super::convert::{Invalid, Outcome};
use super::email;

/// As much of what is no address as a person is shown.
const SHOWN_CHARACTERS: usize = 255;

/// The CRM's users as far as they were looked up, by [`address`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owners(BTreeMap<String, OwnerFound>);

/// Who has an address among the CRM's users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnerFound {
    /// One active user.
    Active(RecordId),
    Nobody,
    /// Users that are all inactive.
    Inactive,
    /// More than one active user.
    Several,
}

impl Owners {
    /// Nobody was looked up.
    pub const fn none() -> Self {
        Self(BTreeMap::new())
    }

    /// Notes what was found of an address.
    pub fn insert(&mut self, address: String, found: OwnerFound) {
        self.0.insert(address, found);
    }

    /// What is known of these addresses.
    pub fn of(&self, addresses: &BTreeSet<String>) -> Self {
        let known = addresses.iter().filter_map(|address| self.0.get_key_value(address));
        Self(known.map(|(address, found)| (address.clone(), found.clone())).collect())
    }

    /// Takes in what another lookup found.
    pub fn extend(&mut self, others: &Self) {
        self.0.extend(others.0.iter().map(|(address, found)| (address.clone(), found.clone())));
    }

    pub fn iter(&self) -> impl Iterator<Item = (&String, &OwnerFound)> {
        self.0.iter()
    }
}

/// How an owner is looked up: the address without regard to letter case; `None` where the text is no address.
pub fn address(text: &str) -> Option<String> {
    email::read(text).ok().map(|address| address.to_lowercase())
}

/// The ID of the one active user with this address. A refusal says the address: it is to be given to a user, or another one
/// to the lead.
pub(super) fn convert(sent: &str, owners: &Owners) -> Outcome {
    let shown: String = sent.chars().take(SHOWN_CHARACTERS).collect();
    user_of(sent, owners).map_err(|invalid| Invalid::new(invalid.code, format!("{shown:?} {}", invalid.message)))
}

fn user_of(sent: &str, owners: &Owners) -> Outcome {
    let address = email::read(sent)?.to_lowercase();
    match owners.0.get(&address) {
        Some(OwnerFound::Active(id)) => Ok(Some((CrmValue::Text(id.as_str().to_owned()), None))),
        Some(OwnerFound::Inactive) => Err(Invalid::new(
            "inactive_owner",
            "is the address of an inactive user of the CRM; activate the user, or give the lead another owner",
        )),
        Some(OwnerFound::Several) => Err(Invalid::new(
            "several_owners",
            "is the address of several active users of the CRM; give each an address of its own",
        )),
        Some(OwnerFound::Nobody) | None => Err(Invalid::new(
            "unknown_owner",
            "is the address of no user of the CRM; give the user this address there, or the lead another owner",
        )),
    }
}
