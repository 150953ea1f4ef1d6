//! One lead value as the value of one CRM field, or the reason why it cannot be one.
//!
//! Nothing is invented, cut or cast silently: what changes a value beyond its spelling carries a note.

use std::fmt;

use crate::domain::envelope::TimeFormat;
use crate::domain::record::{CrmFieldKind, CrmValue, FieldSchema};
use crate::domain::value::Value;

use super::choice::Picklist;
use super::{Country, FieldRow, FieldType, Owners, Take};
use super::{choice, domain, email, link, moment, name, number, owner, phone, text};
use super::{country, type_fits};

/// What became of a lead's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Converted {
    /// The lead says nothing of it.
    Absent,
    /// The lead says that it is empty.
    Blank,
    /// The CRM's value, and what was changed on the way.
    Value(CrmValue, Option<Note>),
    /// It cannot be that field's value.
    Invalid(Invalid),
}

/// What a conversion changed; it is logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// Cut from so many characters to so many.
    Truncated { from: usize, to: usize },
    /// Rounded, half to even, to so many digits after the point.
    Rounded { scale: u32 },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::Truncated { from, to } => write!(f, "truncated from {from} to {to} characters"),
            Note::Rounded { scale } => write!(f, "rounded to {scale} digits after the point"),
        }
    }
}

/// A refusal: a stable code, what is wrong and what to do about it. The value itself is not in it, but for an owner's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    pub code: &'static str,
    pub message: String,
}

impl Invalid {
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// What a conversion goes by besides its row, its field and the lead.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// How the source writes times.
    pub times: TimeFormat,
    /// The users that were looked up.
    pub owners: &'a Owners,
    /// What the lead says that the field on which this one depends is to hold.
    pub controlling: Option<&'a str>,
}

impl Given<'static> {
    /// Without users: what names an owner names nobody then.
    pub fn times(times: TimeFormat) -> Self {
        static NOBODY: Owners = Owners::none();
        Self { times, owners: &NOBODY, controlling: None }
    }
}

/// `None`: nothing is left to write.
pub(super) type Outcome = Result<Option<(CrmValue, Option<Note>)>, Invalid>;

/// Converts the row's lead value for its CRM field; `lead` looks up a lead field by path.
///
/// The same input gives the same outcome. A field that is not in the schema has no limits.
pub fn convert<'a>(
    row: &FieldRow,
    lead: &dyn Fn(&str) -> Option<&'a Value>,
    field: Option<&FieldSchema>,
    given: Given<'_>,
) -> Converted {
    let Some(value) = lead(&row.lead) else { return Converted::Absent };
    if value.says_nothing() {
        return Converted::Blank;
    }
    if let Some(field) = field.filter(|field| !type_fits(row.kind, field.kind)) {
        return refused(
            row,
            Invalid::new(
                "type_mismatch",
                format!(
                    "a row of type {} cannot fill a CRM field of type {}; change `type` or `crm` in the row",
                    row.kind.as_str(),
                    field.type_name
                ),
            ),
        );
    }
    let part;
    let value = match row.take {
        None => value,
        Some(take) => match taken(take, value) {
            Ok(Some(text)) => {
                part = Value::Text(text);
                &part
            }
            Ok(None) => return Converted::Absent,
            Err(invalid) => return refused(row, invalid),
        },
    };
    match by_type(row, value, lead, Picklist { field, controlling: given.controlling }, given) {
        Ok(Some((value, note))) => Converted::Value(value, note),
        Ok(None) => Converted::Blank,
        Err(invalid) => refused(row, invalid),
    }
}

fn refused(row: &FieldRow, invalid: Invalid) -> Converted {
    Converted::Invalid(Invalid { code: invalid.code, message: format!("{}: {}", row.lead, invalid.message) })
}

/// The part of the value that the row takes, if the value has one.
fn taken(take: Take, value: &Value) -> Result<Option<String>, Invalid> {
    let whole = scalar(value)?;
    Ok(match take {
        Take::FirstName => name::split(whole).first,
        Take::LastName => name::split(whole).last,
        Take::Domain => Some(domain::of_text(whole).ok_or_else(|| {
            Invalid::new(
                "no_domain",
                "holds no domain; an e-mail address or a web address with a public domain is needed",
            )
        })?),
    })
}

fn by_type<'a>(
    row: &FieldRow,
    value: &Value,
    lead: &dyn Fn(&str) -> Option<&'a Value>,
    list: Picklist<'_>,
    given: Given<'_>,
) -> Outcome {
    let field = list.field;
    match (row.kind, field.map(|field| field.kind)) {
        // What the CRM checks in its field is checked here, whatever the row calls it.
        (FieldType::Email, _) | (FieldType::Text, Some(CrmFieldKind::Email)) => email::convert(scalar(value)?, field),
        (FieldType::Picklist, _) | (FieldType::Text, Some(CrmFieldKind::Picklist)) => {
            choice::one(scalar(value)?, &row.values, list)
        }
        (FieldType::MultiPicklist, _) => choice::several(value, &row.values, list),
        (FieldType::Text, Some(CrmFieldKind::MultiPicklist)) => choice::joined(scalar(value)?, &row.values, list),
        (FieldType::Text, _) if !row.values.is_empty() => {
            let unlisted = Picklist { field: None, ..list };
            text::convert(&choice::chosen(scalar(value)?, &row.values, unlisted)?, field, row.too_long)
        }
        (FieldType::Text, _) => text::convert(scalar(value)?, field, row.too_long),
        (FieldType::Phone, _) => phone::convert(phone::text_of(value)?, phone_country(row, lead)?, field),
        (FieldType::Url, _) => link::convert(scalar(value)?, field),
        (FieldType::Number | FieldType::Currency | FieldType::Percent, _) => number::decimal(value, field),
        (FieldType::Integer, _) => number::integer(value, field),
        (FieldType::Boolean, _) => number::boolean(value),
        (FieldType::Date, _) => moment::date(value, row.format.as_ref(), given.times),
        (FieldType::DateTime, _) => moment::datetime(value, row.format.as_ref(), given.times),
        (FieldType::Owner, _) => owner::convert(scalar(value)?, given.owners),
    }
}

/// The value's text; lists and objects have none.
pub(super) fn scalar(value: &Value) -> Result<&str, Invalid> {
    value.scalar_text().ok_or_else(|| {
        let shape = if matches!(value, Value::List(_)) { "a list" } else { "an object" };
        Invalid::new(
            "not_a_single_value",
            format!("is {shape}, but one value is needed; map a part of it, or use type multi_picklist for a list"),
        )
    })
}

fn phone_country<'a>(
    row: &FieldRow,
    lead: &dyn Fn(&str) -> Option<&'a Value>,
) -> Result<Option<phonenumber::country::Id>, Invalid> {
    match &row.country {
        None => Ok(None),
        Some(Country::Fixed(code)) => country::find(code).map(Some).ok_or_else(|| {
            Invalid::new("unknown_country", "`country` in the row is no country; write an ISO 3166 code such as \"FR\"")
        }),
        // A country nobody knows only matters where the number has no country code; the phone says so then.
        Some(Country::From(path)) => Ok(lead(path).and_then(Value::scalar_text).and_then(country::find)),
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod published;
#[cfg(test)]
pub(crate) mod tests;
