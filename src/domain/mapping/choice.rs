//! Picklist values, one and several.

use std::collections::BTreeSet;

use crate::domain::record::{CrmValue, FieldSchema};
use crate::domain::value::Value;

use super::convert::{Invalid, Outcome, scalar};
use super::text;

/// One value: mapped by the row, then as the CRM spells it, if the CRM lists it.
pub(super) fn one(sent: &str, values: &[(String, String)], field: Option<&FieldSchema>) -> Outcome {
    let choice = chosen(sent, values, field)?;
    text::fits(&choice, field)?;
    Ok(text::whole(choice))
}

/// A list, or a single value as a list of one; blanks and repeats are dropped, without regard to case.
pub(super) fn several(value: &Value, values: &[(String, String)], field: Option<&FieldSchema>) -> Outcome {
    let items = match value {
        Value::List(items) => items.as_slice(),
        single => std::slice::from_ref(single),
    };
    let mut texts = Vec::with_capacity(items.len());
    for item in items.iter().filter(|item| !item.is_blank()) {
        texts.push(scalar(item)?);
    }
    collect(&texts, values, field)
}

/// Choices as one text, separated as CRMs write them.
pub(super) fn joined(sent: &str, values: &[(String, String)], field: Option<&FieldSchema>) -> Outcome {
    let texts: Vec<&str> = sent.split(';').filter(|item| !item.trim().is_empty()).collect();
    collect(&texts, values, field)
}

fn collect(texts: &[&str], values: &[(String, String)], field: Option<&FieldSchema>) -> Outcome {
    let (mut choices, mut seen) = (BTreeSet::new(), BTreeSet::new());
    for sent in texts {
        let choice = chosen(sent, values, field)?;
        if choice.contains(';') {
            return Err(Invalid::new(
                "separator_in_choice",
                "has an item with a semicolon, which separates choices in the CRM; map it to another word in `values`",
            ));
        }
        if !choice.is_empty() && seen.insert(choice.to_lowercase()) {
            choices.insert(choice);
        }
    }
    if choices.is_empty() {
        return Ok(None);
    }
    let together = choices.iter().map(String::as_str).collect::<Vec<_>>().join(";");
    text::fits(&together, field)?;
    Ok(Some((CrmValue::Choices(choices), None)))
}

/// The value that a row maps a text to, spelt as the CRM lists it.
pub(super) fn chosen(sent: &str, values: &[(String, String)], field: Option<&FieldSchema>) -> Result<String, Invalid> {
    let clean = text::clean(sent)?;
    let folded = clean.to_lowercase();
    let mapped = values
        .iter()
        .find(|(from, _)| from == sent)
        .or_else(|| values.iter().find(|(from, _)| from.trim().to_lowercase() == folded))
        .map_or(clean, |(_, to)| to.trim().to_owned());
    let Some(field) = field else { return Ok(mapped) };
    let folded = mapped.to_lowercase();
    let listed = field
        .values
        .iter()
        .find(|listed| **listed == mapped)
        .or_else(|| field.values.iter().find(|listed| listed.to_lowercase() == folded));
    match listed {
        Some(listed) => Ok(listed.clone()),
        None if field.restricted => Err(Invalid::new(
            "value_not_listed",
            "is no value of the CRM's picklist; map it in `values`, or add it to the picklist",
        )),
        None => Ok(mapped),
    }
}
