//! Opportunities that sales reps made of leads' records, by converting them.

use std::collections::BTreeSet;

use super::ids::{FieldName, ObjectName, RecordRef};
use super::matching::KeyField;
use super::record::CrmRecord;

/// The kind of CRM record that an opportunity is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpportunityObject {
    pub object: ObjectName,
    /// The field by which a converted record points to the opportunity that was made of it.
    pub converted: KeyField,
}

impl OpportunityObject {
    /// Under which a link keeps which opportunity the lead's is.
    pub fn link_field(&self) -> FieldName {
        FieldName::new(format!("{}.Id", self.object))
    }
}

/// By what the opportunity of a linked lead is looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpportunityKey {
    Known(RecordRef),
    /// This record was converted into the linked one, and says so itself, whatever key it carries.
    MadeOf(RecordRef),
    /// The linked record may have come of a conversion: of a record with one of these keys of ours on it, else of one with the
    /// address by which the lead was recognised, which need not have been the lead's own.
    OfConverted {
        external_ids: BTreeSet<String>,
        email: Option<String>,
    },
}

/// A conversion that made an opportunity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversion {
    /// The person's record, as which the converted one goes on.
    pub person: RecordRef,
    pub opportunity: RecordRef,
    /// The opportunity as it was read; `None`: it is gone.
    pub record: Option<CrmRecord>,
}
