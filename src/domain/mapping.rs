//! The field mapping document: which lead field is which CRM field, how values are converted, and who wins.

pub mod convert;
pub mod documented;
pub mod domain;
pub mod name;

mod choice;
mod country;
pub(super) mod email;
mod link;
mod moment;
mod number;
pub mod owner;
mod phone;
mod text;
mod words;

pub use convert::{Converted, Given, Invalid, Note, convert};
pub(super) use number::exact as exact_number;
pub use owner::{OwnerFound, Owners};
pub use words::type_fits;

use std::collections::BTreeSet;

use super::cel::Expression;
use super::ids::{FieldName, ObjectName};

/// One row of the mapping document: `[[destinations.NAME.fields]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldRow {
    /// Path in the lead: `email`, `attributes.industry`; where the value is computed, how that is written.
    pub lead: String,
    /// What stands in the place of a single field.
    pub computed: Option<Computed>,
    /// API name in the CRM.
    pub crm: FieldName,
    pub kind: FieldType,
    /// The objects that the row applies to.
    pub on: Vec<ObjectName>,
    pub direction: Direction,
    pub conflict: ConflictRule,
    /// An edit in the CRM of a field that the lead owns is set back, once.
    pub enforce: bool,
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

/// A row's value that is made of several fields of the lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Computed {
    Expression(Expression),
    /// The custom attributes that no other row takes, as a block of text; with what the other rows take.
    Unmapped(Covered),
}

/// The lead's fields that the rows of a mapping take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Covered(BTreeSet<String>);

impl Covered {
    /// What these rows take, those that are only documented included.
    pub fn by(rows: &[FieldRow]) -> Self {
        Self(rows.iter().flat_map(FieldRow::reads).map(str::to_owned).collect())
    }

    /// Whether a row takes this field, all of it or a part.
    pub fn holds(&self, path: &str) -> bool {
        let within = |inner: &str, outer: &str| inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('.'));
        self.0.iter().any(|taken| taken == path || taken == "lead" || within(path, taken) || within(taken, path))
    }
}

impl FieldRow {
    /// The paths of the lead fields that it takes.
    pub fn reads(&self) -> impl Iterator<Item = &str> {
        let (own, named) = match &self.computed {
            None => (Some(self.lead.as_str()), None),
            Some(Computed::Expression(expression)) => (None, Some(expression.reads())),
            Some(Computed::Unmapped(_)) => (None, None),
        };
        let country = match &self.country {
            Some(Country::From(path)) => Some(path.as_str()),
            Some(Country::Fixed(_)) | None => None,
        };
        own.into_iter().chain(named.into_iter().flatten().map(String::as_str)).chain(country)
    }

    /// Whether it holds the person's e-mail address, and not a part of it.
    pub fn is_address(&self) -> bool {
        self.kind == FieldType::Email && self.take.is_none()
    }
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
    /// A user of the CRM, whom the lead names by e-mail address.
    Owner,
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
    /// The side that changed last, where times tell it beyond doubt; else a person decides.
    LatestWins,
    /// A person decides.
    Review,
    /// For lists: what the lead added and took away is added and taken away in the CRM.
    Merge,
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
