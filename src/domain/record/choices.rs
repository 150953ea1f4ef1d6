//! What may be chosen in a picklist: how each choice may be written, and under which values of another field it is one.

use std::collections::BTreeSet;

use super::{CrmValue, FieldSchema, ObjectSchema};
use crate::domain::ids::FieldName;

/// The choices of a picklist, where more is known of them than [`FieldSchema::values`] tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choices {
    /// In the CRM's order. A value may stand here twice, under different controlling ones.
    pub all: Vec<Choice>,
    /// The field on whose value it depends which ones may be chosen.
    pub controller: Option<FieldName>,
    /// Countries or their states: what the record already holds must go with what is written, too.
    pub places: Option<Places>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Places {
    /// Also known by ISO codes and by common names.
    Countries,
    States,
}

/// One choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// What is written.
    pub value: String,
    /// Another way in which people write it: its label, or the code of a place.
    pub label: String,
    /// The controlling values under which it may be chosen; `None`: all.
    pub under: Option<BTreeSet<String>>,
}

impl Choice {
    /// Whether it may be chosen under this value of the controlling field.
    pub fn is_valid_under(&self, controlling: &str) -> bool {
        let is_it = |value: &String| value.to_lowercase() == controlling.to_lowercase();
        self.under.as_ref().is_none_or(|under| under.iter().any(is_it))
    }
}

impl ObjectSchema {
    /// The fields whose values must go with this one's: the one on which it depends, and those that depend on it.
    pub fn goes_with<'a>(&'a self, field: &'a FieldName) -> impl Iterator<Item = &'a FieldName> {
        let controller = self.fields.get(field).and_then(|schema| schema.choices.controller.as_ref());
        let depend = |schema: &&FieldSchema| schema.choices.controller.as_ref() == Some(field);
        controller.into_iter().chain(self.fields.values().filter(depend).map(|schema| &schema.name))
    }
}

impl FieldSchema {
    /// Whether the CRM takes this value of the field under that one of the controlling field.
    pub fn takes_under(&self, value: &CrmValue, controlling: &CrmValue) -> bool {
        let under = controlling_text(controlling);
        let valid = |text: &str| {
            let mut known = self.choices.all.iter().filter(|choice| choice.value == text);
            known.any(|choice| match &under {
                Some(under) => choice.is_valid_under(under),
                None => choice.under.is_none(),
            })
        };
        match value {
            CrmValue::Text(text) => valid(text),
            CrmValue::Choices(choices) => choices.iter().all(|choice| valid(choice)),
            _ => true,
        }
    }
}

/// A controlling field's value as choices name it; `None`: the field is empty.
pub fn controlling_text(value: &CrmValue) -> Option<String> {
    match value {
        CrmValue::Text(text) => Some(text.clone()),
        CrmValue::Boolean(flag) => Some(flag.to_string()),
        _ => None,
    }
}
