//! Picklists as Salesforce describes them: labels, values that depend on another field's, and lists of countries and states.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::DescribedValue;
use crate::domain::ids::FieldName;
use crate::domain::record::{Choice, Choices, CrmFieldKind, FieldSchema, Places};

/// The choices of a field; `controlling`: each field's values in the order of their bits.
pub(super) fn choices(
    values: &[DescribedValue],
    controller: Option<String>,
    controlling: &BTreeMap<String, Vec<String>>,
) -> Choices {
    let controlled_by = controller.as_ref().and_then(|name| controlling.get(name));
    let choice = |described: &DescribedValue| {
        let value = described.value.clone()?;
        Some(Choice {
            label: described.label.clone().unwrap_or_else(|| value.clone()),
            under: controlled_by.map(|all| under(described.valid_for.as_deref().unwrap_or_default(), all)),
            value,
        })
    };
    let all: Vec<Choice> = values.iter().filter(|value| value.active).filter_map(choice).collect();
    // A controller that we may not see says nothing.
    let controller = controlled_by.and(controller).map(FieldName::new);
    let tells_more = controller.is_some() || all.iter().any(|choice| choice.label != choice.value);
    Choices { all: if tells_more { all } else { Vec::new() }, controller, places: None }
}

/// The controlling values whose bits are set.
fn under(valid_for: &str, all: &[String]) -> BTreeSet<String> {
    let bits = STANDARD.decode(valid_for).unwrap_or_default();
    let is_set = |place: usize| bits.get(place / 8).is_some_and(|byte| byte & (0x80 >> (place % 8)) != 0);
    all.iter().enumerate().filter(|(place, _)| is_set(*place)).map(|(_, value)| value.clone()).collect()
}

/// Where the org has state and country picklists, each address has codes beside its names, and the names are such lists too:
/// a name that is not on the list is refused.
pub(super) fn name_places(fields: &mut BTreeMap<FieldName, FieldSchema>) {
    let sides: Vec<String> = fields
        .keys()
        .filter_map(|name| name.as_str().strip_suffix("CountryCode"))
        .filter(|side| ["", "Mailing", "Other", "Billing", "Shipping"].contains(side))
        .map(str::to_owned)
        .collect();
    for side in sides {
        let name = |part: &str| FieldName::new(format!("{side}{part}"));
        let Some(countries) = fields.get(&name("CountryCode")).map(|field| field.choices.all.clone()) else { continue };
        let label_of: BTreeMap<&str, &str> =
            countries.iter().map(|choice| (choice.value.as_str(), choice.label.as_str())).collect();
        let named = |choice: &Choice| {
            let under = choice.under.as_ref().map(|codes| {
                codes.iter().filter_map(|code| label_of.get(code.as_str())).map(|label| (*label).to_owned()).collect()
            });
            Choice { value: choice.label.clone(), label: choice.value.clone(), under }
        };
        for (part, places) in [("Country", Places::Countries), ("State", Places::States)] {
            let code = name(&format!("{part}Code"));
            let Some(coded) = fields.get_mut(&code).map(|coded| {
                coded.choices.places = Some(places);
                coded.choices.clone()
            }) else {
                continue;
            };
            if coded.all.is_empty() {
                continue;
            }
            let Some(text) = fields.get_mut(&name(part)) else { continue };
            let all: Vec<Choice> = coded.all.iter().map(named).collect();
            text.kind = CrmFieldKind::Picklist;
            text.values = all.iter().map(|choice| choice.value.clone()).collect();
            text.restricted = true;
            let controller = coded.controller.is_some().then(|| name("Country"));
            text.choices = Choices { all, controller, places: Some(places) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_name_controlling_values_from_the_highest_on_and_bad_ones_name_none() {
        let all: Vec<String> = (0..10).map(|number| number.to_string()).collect();
        let under = |text: &str| under(text, &all).into_iter().collect::<Vec<_>>().join(" ");
        assert_eq!(under("gEA="), "0 9");
        assert_eq!(under("gA=="), "0", "shorter than there are values");
        assert_eq!([under(""), under("not base64!")], ["", ""]);
    }

    #[test]
    fn a_list_without_labels_and_controller_says_no_more_than_its_values() {
        let value = |value: &str, label: &str, active: bool| DescribedValue {
            active,
            value: Some(value.to_owned()),
            label: Some(label.to_owned()),
            valid_for: None,
        };
        let none = BTreeMap::new();
        assert_eq!(choices(&[value("Hot", "Hot", true)], None, &none), Choices::default());
        let labelled = choices(&[value("H", "Hot", true), value("C", "Cold", false)], None, &none);
        assert_eq!(labelled.all.iter().map(|choice| choice.label.as_str()).collect::<Vec<_>>(), ["Hot"]);
        let hidden = choices(&[value("H", "H", true)], Some("Hidden__c".to_owned()), &none);
        assert_eq!(hidden, Choices::default(), "nothing is known of what controls it");
    }
}
