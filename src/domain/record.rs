//! CRM records, the values in them, and the CRM's schema, in words that every CRM shares.

mod choices;
mod json;
mod names;
mod same;

pub use choices::{Choice, Choices, Places, controlling_text};
pub use names::{folded_name, is_accent, known_name, names_contradict, names_differ, spellings_of_name};
pub use same::same_value;

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;

use super::ids::{FieldName, ObjectName, RecordId, RecordRef};
use super::time::Timestamp;

/// A value as a CRM field holds it, in one canonical form, so that equal values are equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CrmValue {
    /// The field is empty.
    Null,
    Text(String),
    /// Exact; never went through a double.
    Number(Decimal),
    Boolean(bool),
    Date(jiff::civil::Date),
    DateTime(Timestamp),
    /// The chosen values of a multi-select field, without order.
    Choices(BTreeSet<String>),
}

impl CrmValue {
    /// Whether the field is empty. Text is never blank here: edges turn blank text to `Null`.
    pub fn is_null(&self) -> bool {
        matches!(self, CrmValue::Null)
    }
}

/// How many characters a text has as CRMs count them: in UTF-16, so that an emoji or a rare ideograph is two.
pub fn text_length(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

/// A record as it was read: only the fields that were asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrmRecord {
    pub id: RecordId,
    pub object: ObjectName,
    pub fields: BTreeMap<FieldName, CrmValue>,
    /// When anything on it last changed, where the CRM says so.
    pub modified_at: Option<Timestamp>,
    /// When it was created, where the CRM says so.
    pub created_at: Option<Timestamp>,
    /// Whether the user we log in as changed it last, where the CRM says so.
    pub modified_by_us: Option<bool>,
    /// Set where the record has become another one (a converted Lead: its Contact).
    pub became: Option<RecordRef>,
}

impl CrmRecord {
    /// Of a record that has become another one, what happened to it and which that is.
    pub fn fate(&self) -> Option<String> {
        self.became.as_ref().map(|other| self.fate_as(other))
    }

    /// The same, with the record that it is in the end.
    pub fn fate_as(&self, other: &RecordRef) -> String {
        let what = if other.object == self.object { "merged into" } else { "converted to" };
        format!("{what} {} {}", other.object, other.id)
    }

    /// Which record this is.
    pub fn reference(&self) -> RecordRef {
        RecordRef { object: self.object.clone(), id: self.id.clone() }
    }

    /// The field's value; `Null` for a field that was not read.
    pub fn value(&self, field: &FieldName) -> &CrmValue {
        self.fields.get(field).unwrap_or(&CrmValue::Null)
    }
}

/// What the CRM says of its objects and fields, as the user we log in as may see them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema {
    pub objects: BTreeMap<ObjectName, ObjectSchema>,
}

impl Schema {
    /// The field's description, if the object has it and it is visible to us.
    pub fn field(&self, object: &ObjectName, field: &FieldName) -> Option<&FieldSchema> {
        self.objects.get(object)?.fields.get(field)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectSchema {
    pub name: ObjectName,
    pub createable: bool,
    pub updateable: bool,
    /// By API name. A field that our user may not see is absent.
    pub fields: BTreeMap<FieldName, FieldSchema>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldSchema {
    pub name: FieldName,
    pub label: String,
    pub kind: CrmFieldKind,
    /// The CRM's own word for the type, for messages.
    pub type_name: String,
    /// Most characters, for text-like fields.
    pub length: Option<u32>,
    /// Digits in all, and after the point, for numbers.
    pub precision: Option<u32>,
    pub scale: Option<u32>,
    pub nillable: bool,
    /// The CRM fills it in on create when it is left out.
    pub defaulted: bool,
    pub createable: bool,
    pub updateable: bool,
    pub unique: bool,
    pub external_id: bool,
    pub case_sensitive: bool,
    /// May stand in a query's condition.
    pub filterable: bool,
    /// Active picklist values, as they are written.
    pub values: Vec<String>,
    /// Whether the CRM refuses values that are not listed.
    pub restricted: bool,
    pub choices: Choices,
}

impl FieldSchema {
    /// Whether a create without it is refused.
    pub fn required_on_create(&self) -> bool {
        self.createable && !self.nillable && !self.defaulted && self.kind != CrmFieldKind::Boolean
    }
}

/// The kinds of CRM field that the mapping can tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CrmFieldKind {
    Text,
    LongText,
    Email,
    Phone,
    Url,
    Picklist,
    MultiPicklist,
    Integer,
    Decimal,
    Currency,
    Percent,
    Boolean,
    Date,
    DateTime,
    /// Points to another record.
    Reference,
    /// Anything that a mapping cannot write.
    Other,
}
