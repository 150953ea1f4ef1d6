//! Leads that share a record, and records that may be one person's.

use crate::domain::ids::{DestinationName, LeadKey, RecordId, RecordRef};
use crate::domain::lead::Lead;
use crate::domain::time::Timestamp;

/// What two leads have in common that no rule brought together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Same {
    Email,
    /// The name, and the domain of a company's address.
    NameAndDomain,
}

impl Same {
    /// The word in the database and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Same::Email => "email",
            Same::NameAndDomain => "name_and_domain",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Email, Self::NameAndDomain].into_iter().find(|same| same.as_str() == word)
    }
}

/// Where a walk through all people came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PersonPlace {
    /// The address, or the name as the database orders it.
    pub key: String,
    pub source: String,
    pub lead_id: String,
}

/// One piece of a walk through all people.
#[derive(Clone, Debug, Default)]
pub struct People {
    /// How many leads the piece spans; 0: the walk is over.
    pub looked_at: u64,
    /// Of these, in order: the first, the last, and those whose key is also their neighbour's.
    pub people: Vec<PersonRow>,
}

#[derive(Clone, Debug)]
pub struct PersonRow {
    pub place: PersonPlace,
    pub email: Option<String>,
}

impl PersonRow {
    pub fn lead(&self) -> LeadKey {
        LeadKey::new(self.place.source.as_str(), self.place.lead_id.as_str())
    }
}

/// A living lead that is a record of a CRM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkedPerson {
    pub destination: DestinationName,
    pub lead: LeadKey,
    pub record: RecordRef,
}

/// A lead whose record may be the person of another lead's record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspect {
    pub destination: DestinationName,
    pub lead: LeadKey,
    pub other: LeadKey,
    pub same: Same,
    /// When the search began that found it.
    pub found_at: Timestamp,
}

/// A record of a CRM that no lead is and that may be the person of a lead's record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stranger {
    pub destination: DestinationName,
    pub lead: LeadKey,
    pub record: RecordRef,
    pub same: Same,
    /// When the search began that found it.
    pub found_at: Timestamp,
}

/// A living lead that is a record of one CRM, with what it says.
#[derive(Clone, Debug)]
pub struct LinkedLead {
    pub lead: Lead,
    pub record: RecordRef,
    /// Whether anything is owed or held for it there.
    pub has_job: bool,
}

/// How far a CRM was asked for such records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchPlace {
    /// The last lead that was passed; `None`: the search begins with the first one.
    pub after: Option<LeadKey>,
    /// The calls since then, counted for a day.
    pub since: Timestamp,
    pub calls: u64,
}

/// Leads that a CRM was asked about, in key order: those after one up to another, or to the last one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchedSpan {
    pub destination: DestinationName,
    pub after: Option<LeadKey>,
    pub until: Option<LeadKey>,
    /// When the search began.
    pub found_before: Timestamp,
}

/// With what a lead is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compared {
    Lead(LeadKey),
    /// One that no lead is.
    Record(RecordId),
}

/// What a person says of two leads that are suspected to be one person, or of a lead and a record of none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToldApart {
    pub destination: DestinationName,
    /// As they are listed.
    pub lead: LeadKey,
    pub other: Compared,
    /// Whether they are two people; else nothing is said of them any more.
    pub apart: bool,
}

/// Which pairs are listed.
#[derive(Clone, Debug, Default)]
pub struct SharedFilter {
    pub kind: Option<SharedKind>,
    pub by_hand: Option<bool>,
    pub destination: Option<String>,
    /// Of either lead.
    pub source: Option<String>,
    pub lead_id: Option<String>,
    /// Of either lead.
    pub record_id: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SharedKind {
    /// Two leads are one record.
    Shared,
    /// Two records may be one person.
    Suspected,
}

impl SharedKind {
    /// The word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            SharedKind::Shared => "shared",
            SharedKind::Suspected => "suspected",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Shared, Self::Suspected].into_iter().find(|kind| kind.as_str() == word)
    }
}

/// Two leads of one destination, or a lead and a record of none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedPair {
    pub kind: SharedKind,
    pub destination: DestinationName,
    /// What recognised the shared record (`link` by hand), or what two records have in common.
    pub by: String,
    /// Whether a person decided it: linked one of them, or said that they are two people.
    pub by_hand: bool,
    /// When it began to share the record, or was first suspected.
    pub since: Timestamp,
    pub lead: PairedLead,
    /// The record's owner, or what it is compared with.
    pub other: PairedOther,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairedLead {
    pub lead: LeadKey,
    pub record: RecordRef,
    pub name: Option<String>,
    pub email: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairedOther {
    /// `None`: a record that no lead is.
    pub lead: Option<LeadKey>,
    pub record: RecordRef,
    pub name: Option<String>,
    pub email: Option<String>,
}
