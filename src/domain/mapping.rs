//! The field mapping document: which lead field is which CRM field, how values are converted, and who wins.

pub mod convert;
pub mod documented;
pub mod domain;
pub mod name;

mod choice;
mod country;
mod email;
mod link;
mod moment;
mod number;
mod phone;
mod text;
mod words;

pub use convert::{Converted, Invalid, Note, convert};
pub use words::type_fits;

use super::ids::{FieldName, ObjectName};

/// One row of the mapping document: `[[destinations.NAME.fields]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldRow {
    /// Path in the lead: `email`, `attributes.industry`.
    pub lead: String,
    /// API name in the CRM.
    pub crm: FieldName,
    pub kind: FieldType,
    /// The objects that the row applies to.
    pub on: Vec<ObjectName>,
    pub direction: Direction,
    pub conflict: ConflictRule,
    /// A part of the value instead of all of it.
    pub take: Option<Take>,
    /// How the lead system writes dates; without it only unambiguous ISO 8601 and the source's own times are read.
    pub format: Option<DateFormat>,
    /// Picklist values, lead to CRM.
    pub values: Vec<(String, String)>,
    /// Written only on create and only where the CRM requires a value.
    pub default: Option<String>,
    /// For phones without a country code: an ISO 3166 code, or the lead field that holds one.
    pub country: Option<Country>,
    /// A null in the lead empties the CRM field. Without it a blank never beats a value.
    pub clear: bool,
    pub too_long: TooLong,
    pub on_invalid: OnInvalid,
    /// Shown in the mapping document.
    pub note: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldType {
    Text,
    Email,
    Phone,
    Url,
    Number,
    Integer,
    Currency,
    Percent,
    Boolean,
    Date,
    DateTime,
    Picklist,
    MultiPicklist,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The lead system's value is written to the CRM.
    ToCrm,
    /// Documented, not synced.
    None,
}

/// Who wins when both sides changed a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConflictRule {
    LeadWins,
    CrmWins,
    /// A person decides.
    Review,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    FirstName,
    LastName,
    Domain,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DateFormat {
    UnixSeconds,
    UnixMilliseconds,
    Rfc3339,
    /// A strftime pattern such as `%d/%m/%Y`.
    Pattern(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Country {
    Fixed(String),
    From(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooLong {
    Refuse,
    /// Cut to what fits; logged.
    Truncate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnInvalid {
    /// The field is left out and logged; the record goes on.
    Skip,
    /// The field is left out and a person is asked.
    Review,
    /// The whole record waits for a person.
    Hold,
}
