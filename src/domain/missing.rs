//! Custom fields that the mapping writes and the CRM does not have: what they would have to be.

use super::check::Written;
use super::ids::{FieldName, ObjectName};
use super::mapping::{Computed, Direction, FieldRow};
use super::record::Schema;

/// Characters of a text field; the most that one may have.
const TEXT_CHARACTERS: u32 = 255;
/// Characters of a field for a block of many lines.
const NOTE_CHARACTERS: u32 = 32_768;
/// Digits of a number, of which so many are behind the point.
const DIGITS: u32 = 18;
const SCALE: u32 = 4;
const MONEY_SCALE: u32 = 2;

/// A custom field to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewField {
    pub object: ObjectName,
    pub name: FieldName,
    /// As people see it.
    pub label: String,
    pub kind: NewFieldKind,
    /// Whether it is our key: unique and an external ID, letters compared as they are.
    pub is_key: bool,
    /// What the CRM's administrators read about it.
    pub description: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewFieldKind {
    Text {
        length: u32,
    },
    LongText {
        length: u32,
    },
    Number {
        digits: u32,
        scale: u32,
    },
    Currency {
        digits: u32,
        scale: u32,
    },
    Percent {
        digits: u32,
        scale: u32,
    },
    Checkbox,
    Date,
    DateTime,
    Email,
    Phone,
    Url,
    /// Unrestricted, with the values that the mapping names.
    Picklist {
        values: Vec<String>,
    },
    MultiPicklist {
        values: Vec<String>,
    },
}

impl NewFieldKind {
    /// For people: `text, 64 characters`.
    pub fn told(&self) -> String {
        let numbered =
            |what: &str, digits: &u32, scale: &u32| format!("{what}, {digits} digits, {scale} behind the point");
        let listed = |what: &str, values: &[String]| match values {
            [] => format!("{what}, no values yet"),
            values => format!("{what}: {}", values.join(", ")),
        };
        match self {
            NewFieldKind::Text { length } => format!("text, {length} characters"),
            NewFieldKind::LongText { length } => format!("long text, {length} characters"),
            NewFieldKind::Number { digits, scale } => numbered("number", digits, scale),
            NewFieldKind::Currency { digits, scale } => numbered("currency", digits, scale),
            NewFieldKind::Percent { digits, scale } => numbered("percent", digits, scale),
            NewFieldKind::Checkbox => "checkbox".to_owned(),
            NewFieldKind::Date => "date".to_owned(),
            NewFieldKind::DateTime => "date and time".to_owned(),
            NewFieldKind::Email => "email".to_owned(),
            NewFieldKind::Phone => "phone".to_owned(),
            NewFieldKind::Url => "url".to_owned(),
            NewFieldKind::Picklist { values } => listed("picklist", values),
            NewFieldKind::MultiPicklist { values } => listed("multi-select picklist", values),
        }
    }
}

/// A field that is missing and cannot be made, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmakeable {
    pub subject: String,
    pub why: String,
}

/// What the described object lacks of what these rows write: fields to be made, and those that cannot be.
///
/// Fields that are there are never among them, whatever their type. An object that is not described lacks nothing.
pub fn missing(
    rows: &[FieldRow],
    object: &ObjectName,
    written: Written<'_>,
    delete_flag: Option<&FieldName>,
    schema: &Schema,
) -> (Vec<NewField>, Vec<Unmakeable>) {
    let (mut fields, mut unmakeable) = (Vec::new(), Vec::new());
    let Some(described) = schema.objects.get(object) else { return (fields, unmakeable) };
    let key = written.external_id.map(|name| {
        let kind = NewFieldKind::Text { length: super::check::ID_CHARACTERS };
        (name, Some(kind), true, "The lead's ID in the lead system. Written by leadrelay.".to_owned())
    });
    let flag = delete_flag.map(|name| {
        let description = "Set where the lead was deleted in the lead system. Written by leadrelay.";
        (name, Some(NewFieldKind::Checkbox), false, description.to_owned())
    });
    let synced = rows.iter().filter(|row| row.direction == Direction::ToCrm && row.on.contains(object));
    let of_rows = synced.map(|row| {
        (&row.crm, kind_of(row), false, format!("{} of the lead in the lead system. Written by leadrelay.", row.lead))
    });
    for (name, kind, is_key, description) in key.into_iter().chain(flag).chain(of_rows) {
        let is_planned = |field: &NewField| field.name == *name;
        if described.fields.contains_key(name) || fields.iter().any(is_planned) {
            continue;
        }
        let subject = format!("{object}.{name}");
        match (is_custom(name.as_str()), kind) {
            (true, Some(kind)) => {
                let label = name.as_str().trim_end_matches("__c").replace('_', " ");
                fields.push(NewField { object: object.clone(), name: name.clone(), label, kind, is_key, description });
            }
            (false, _) => unmakeable.push(Unmakeable {
                subject,
                why: "only custom fields can be made: letters, digits and single underscores, at most 40 of them, then __c"
                    .to_owned(),
            }),
            (true, None) => unmakeable.push(Unmakeable {
                subject,
                why: "a field of the row's type is made in the CRM's setup".to_owned(),
            }),
        }
    }
    (fields, unmakeable)
}

/// `None`: there is no such kind to be made.
fn kind_of(row: &FieldRow) -> Option<NewFieldKind> {
    if matches!(row.computed, Some(Computed::Unmapped(_))) {
        return Some(NewFieldKind::LongText { length: NOTE_CHARACTERS });
    }
    let values = || {
        let mut values: Vec<String> = Vec::new();
        for value in row.values.iter().map(|(_, crm)| crm).chain(&row.default) {
            if !values.contains(value) {
                values.push(value.clone());
            }
        }
        values
    };
    match row.kind.as_str() {
        "text" => Some(NewFieldKind::Text { length: TEXT_CHARACTERS }),
        "email" => Some(NewFieldKind::Email),
        "phone" => Some(NewFieldKind::Phone),
        "url" => Some(NewFieldKind::Url),
        "number" => Some(NewFieldKind::Number { digits: DIGITS, scale: SCALE }),
        "integer" => Some(NewFieldKind::Number { digits: DIGITS, scale: 0 }),
        "currency" => Some(NewFieldKind::Currency { digits: DIGITS, scale: MONEY_SCALE }),
        "percent" => Some(NewFieldKind::Percent { digits: DIGITS, scale: MONEY_SCALE }),
        "boolean" => Some(NewFieldKind::Checkbox),
        "date" => Some(NewFieldKind::Date),
        "datetime" => Some(NewFieldKind::DateTime),
        "picklist" => Some(NewFieldKind::Picklist { values: values() }),
        "multi_picklist" => Some(NewFieldKind::MultiPicklist { values: values() }),
        _ => None,
    }
}

/// Whether a field may have this name.
fn is_custom(name: &str) -> bool {
    let Some(stem) = name.strip_suffix("__c") else { return false };
    (1..=40).contains(&stem.len())
        && stem.starts_with(|sign: char| sign.is_ascii_alphabetic())
        && stem.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !stem.contains("__")
        && !stem.ends_with('_')
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::mapping::FieldType;
    use crate::domain::mapping::convert::tests as samples;
    use crate::domain::record::{CrmFieldKind, ObjectSchema};

    #[test]
    fn what_the_rows_write_and_the_object_lacks_is_told_with_its_type() {
        let row = |crm: &str, kind: FieldType| FieldRow { crm: crm.into(), ..samples::row(kind) };
        let rows = [
            row("There__c", FieldType::Number),
            row("Text__c", FieldType::Text),
            row("Whole__c", FieldType::Integer),
            FieldRow { values: vec![("hot".into(), "Hot".into())], ..row("Pick__c", FieldType::Picklist) },
            row("Key__c", FieldType::Text),
            row("Standard", FieldType::Text),
            row("Two__parts__c", FieldType::Text),
            FieldRow { direction: Direction::None, ..row("Documented__c", FieldType::Text) },
            FieldRow { on: vec!["Contact".into()], ..row("Elsewhere__c", FieldType::Text) },
        ];
        let there = ("There__c".into(), samples::field(CrmFieldKind::Boolean));
        let fields = BTreeMap::from([there]);
        let object = ObjectSchema { name: "Lead".into(), createable: true, updateable: true, fields };
        let schema = Schema { objects: BTreeMap::from([("Lead".into(), object)]) };
        let written = Written { external_id: Some(&"Key__c".into()), made: true, not_without: None };
        let (fields, unmakeable) = missing(&rows, &"Lead".into(), written, Some(&"Gone__c".into()), &schema);
        let told: Vec<String> = fields
            .iter()
            .map(|field| {
                format!(
                    "{} ({}): {}{}",
                    field.name,
                    field.label,
                    field.kind.told(),
                    if field.is_key { ", key" } else { "" }
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                "Key__c (Key): text, 64 characters, key",
                "Gone__c (Gone): checkbox",
                "Text__c (Text): text, 255 characters",
                "Whole__c (Whole): number, 18 digits, 0 behind the point",
                "Pick__c (Pick): picklist: Hot",
            ]
        );
        let subjects: Vec<&str> = unmakeable.iter().map(|field| field.subject.as_str()).collect();
        assert_eq!(subjects, ["Lead.Standard", "Lead.Two__parts__c"]);
    }
}
