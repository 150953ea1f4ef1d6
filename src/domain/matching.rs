//! Which CRM records could be this person?

use super::record::CrmRecord;

/// The keys by which one lead's record is looked up; what is `None` is not looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MatchKeys {
    /// The record that the lead is linked to. With it nothing else is looked up.
    pub linked: Option<super::ids::RecordRef>,
    /// Our key on the record.
    pub external_id: Option<String>,
    /// Looked up without regard to letter case.
    pub email: Option<String>,
    pub name_and_domain: Option<NameAndDomain>,
}

/// A person's name and the domain of the company; free-mail and role addresses give none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameAndDomain {
    pub first: Option<String>,
    pub last: String,
    /// Registrable domain, lower case, punycode.
    pub domain: String,
}

/// Every record that answered to one lead's keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Candidates {
    pub found: Vec<Candidate>,
}

/// A record and the strongest key that it answered to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub record: CrmRecord,
    pub by: MatchedBy,
}

/// How a record was recognised, the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MatchedBy {
    Link,
    ExternalId,
    Email,
    NameAndCompanyDomain,
}

impl MatchedBy {
    /// The word used in the log, the API and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            MatchedBy::Link => "link",
            MatchedBy::ExternalId => "external_id",
            MatchedBy::Email => "email",
            MatchedBy::NameAndCompanyDomain => "name_and_company_domain",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Link, Self::ExternalId, Self::Email, Self::NameAndCompanyDomain]
            .into_iter()
            .find(|matched| matched.as_str() == word)
    }
}
