//! `[destinations.NAME.records]`: which record a lead is.

use crate::domain::ids::{FieldName, LeadKey, ObjectName};

/// `[destinations.NAME.records]`: the kind of record a lead becomes, how it is recognised, and what happens when that is unclear.
#[derive(Clone, Debug)]
pub struct RecordsConfig {
    /// `Lead` if left out.
    pub object: ObjectName,
    /// The CRM field that holds our key; unique in the CRM.
    pub external_id: FieldName,
    /// What our key is made of; `{lead_id}` if left out.
    pub external_id_value: ExternalIdTemplate,
    /// The keys a record is looked for by, strongest first; the external ID always leads.
    pub match_by: Vec<MatchKey>,
    /// When several records could be the lead; `review` if left out.
    pub on_ambiguous: OnAmbiguous,
    /// When the record belongs to another lead already; `review` if left out.
    pub on_shared: OnShared,
    /// Whether the CRM's assignment rules run on create; true if left out. They never run on update.
    pub auto_assign: bool,
}

/// What an external ID is made of: text with `{lead_id}` and `{source}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalIdTemplate {
    parts: Vec<TemplatePart>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum TemplatePart {
    Literal(String),
    LeadId,
    Source,
}

impl ExternalIdTemplate {
    /// The external ID of this lead.
    pub fn value_for(&self, lead: &LeadKey) -> String {
        self.parts
            .iter()
            .map(|part| match part {
                TemplatePart::Literal(text) => text.as_str(),
                TemplatePart::LeadId => lead.id.as_str(),
                TemplatePart::Source => lead.source.as_str(),
            })
            .collect()
    }

    /// Whether leads of two sources with the same ID stay apart.
    pub fn names_the_source(&self) -> bool {
        self.parts.contains(&TemplatePart::Source)
    }
}

/// One way to recognise the record of a lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MatchKey {
    ExternalId,
    Email,
    NameAndCompanyDomain,
}

/// What happens when several records could be the lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnAmbiguous {
    /// A person chooses.
    Review,
    /// The record that was created first is taken.
    Oldest,
    /// The record that was created last is taken.
    Newest,
    /// None is taken; the lead gets a record of its own.
    Create,
}

/// What happens when a second lead turns out to be the same record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnShared {
    /// The second lead fills blanks, and a person is asked.
    Review,
    /// The values of the lead that changed last win.
    Newest,
}
