//! Picklist values, one and several.

use std::collections::BTreeSet;

use crate::domain::record::{Choice, CrmValue, FieldSchema, Places};
use crate::domain::value::Value;

use super::convert::{Invalid, Outcome, scalar};
use super::{country, text};

/// The picklist that is chosen from, as far as it is known.
#[derive(Clone, Copy)]
pub(super) struct Picklist<'a> {
    pub field: Option<&'a FieldSchema>,
    /// The lead's value of the controlling field, where there is one.
    pub controlling: Option<&'a str>,
}

/// One value: mapped by the row, then as the CRM spells it, if the CRM lists it.
pub(super) fn one(sent: &str, values: &[(String, String)], list: Picklist<'_>) -> Outcome {
    let field = list.field;
    let choice = chosen(sent, values, list)?;
    text::fits(&choice, field)?;
    Ok(text::whole(choice))
}

/// A list, or a single value as a list of one; blanks and repeats are dropped, without regard to case.
pub(super) fn several(value: &Value, values: &[(String, String)], list: Picklist<'_>) -> Outcome {
    let items = match value {
        Value::List(items) => items.as_slice(),
        single => std::slice::from_ref(single),
    };
    let mut texts = Vec::with_capacity(items.len());
    for item in items.iter().filter(|item| !item.is_blank()) {
        texts.push(scalar(item)?);
    }
    collect(&texts, values, list)
}

/// Choices as one text, separated as CRMs write them.
pub(super) fn joined(sent: &str, values: &[(String, String)], list: Picklist<'_>) -> Outcome {
    let texts: Vec<&str> = sent.split(';').filter(|item| !item.trim().is_empty()).collect();
    collect(&texts, values, list)
}

fn collect(texts: &[&str], values: &[(String, String)], list: Picklist<'_>) -> Outcome {
    let (mut choices, mut seen) = (BTreeSet::new(), BTreeSet::new());
    for sent in texts {
        let choice = chosen(sent, values, list)?;
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
    text::fits(&together, list.field)?;
    Ok(Some((CrmValue::Choices(choices), None)))
}

/// The value that a row maps a text to, spelt as the CRM lists it.
pub(super) fn chosen(sent: &str, values: &[(String, String)], list: Picklist<'_>) -> Result<String, Invalid> {
    let clean = text::clean(sent)?;
    let folded = clean.to_lowercase();
    let mapped = values
        .iter()
        .find(|(from, _)| from == sent)
        .or_else(|| values.iter().find(|(from, _)| from.trim().to_lowercase() == folded))
        .map_or(clean, |(_, to)| to.trim().to_owned());
    let Some(field) = list.field else { return Ok(mapped) };
    let listed = if field.choices.all.is_empty() {
        let folded = mapped.to_lowercase();
        let spelt = || field.values.iter().find(|listed| listed.to_lowercase() == folded);
        field.values.iter().find(|listed| **listed == mapped).or_else(spelt).cloned()
    } else {
        among(&mapped, field, list.controlling)?
    };
    match listed {
        Some(listed) => Ok(listed),
        None if field.restricted => Err(Invalid::new(
            "value_not_listed",
            "is no value of the CRM's picklist; map it in `values`, or add it to the picklist",
        )),
        None => Ok(mapped),
    }
}

/// The choice that a text means: by its value, its label, or another name of a country.
fn among(text: &str, field: &FieldSchema, controlling: Option<&str>) -> Result<Option<String>, Invalid> {
    let all: Vec<&Choice> = field.choices.all.iter().collect();
    let fitting = |choice: &&&Choice| controlling.is_none_or(|controlling| choice.is_valid_under(controlling));
    let valid: Vec<&Choice> = all.iter().filter(fitting).copied().collect();
    let countries = field.choices.places == Some(Places::Countries);
    if let Some(found) = meant(text, &valid, countries)? {
        return Ok(Some(found));
    }
    if valid.len() < all.len() && field.restricted && meant(text, &all, countries)?.is_some() {
        return Err(Invalid::new(
            "not_under_controlling_value",
            "is a value of the CRM's picklist, but not one that goes with the lead's value of the field on which it depends; map \
             it in `values`, correct either in the lead, or let the picklist allow it",
        ));
    }
    Ok(None)
}

fn meant(text: &str, choices: &[&Choice], countries: bool) -> Result<Option<String>, Invalid> {
    let folded = text.to_lowercase();
    if let Some(choice) = choices.iter().find(|choice| choice.value == text) {
        return Ok(Some(choice.value.clone()));
    }
    if let Some(choice) = choices.iter().find(|choice| choice.value.to_lowercase() == folded) {
        return Ok(Some(choice.value.clone()));
    }
    let labelled: BTreeSet<&String> =
        choices.iter().filter(|choice| choice.label.to_lowercase() == folded).map(|choice| &choice.value).collect();
    if labelled.len() > 1 {
        return Err(Invalid::new(
            "ambiguous_choice",
            "is how several values of the CRM's picklist are written; give the value itself, map it in `values`, or map the \
             field on which it depends",
        ));
    }
    if let Some(value) = labelled.first() {
        return Ok(Some((*value).clone()));
    }
    let Some(country) = countries.then(|| country::find(text)).flatten() else { return Ok(None) };
    let is_it =
        |choice: &&&Choice| [&choice.value, &choice.label].iter().any(|name| country::find(name) == Some(country));
    Ok(choices.iter().find(is_it).map(|choice| choice.value.clone()))
}
