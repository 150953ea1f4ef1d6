//! Custom attributes: lists of pairs such as `[{"name": …, "value": …}]`, and objects.

use std::borrow::Cow;

use super::expression::Scene;
use super::{AttributeRules, OptionRules};
use crate::domain::value::Value;
use crate::domain::value::raw::{Document, RawJson};

/// The custom attributes by name, in the order listed; none where they are neither listed nor null.
pub(super) fn listed<'a>(scene: &Scene<'a>, lead: RawJson<'a>, rules: &AttributeRules) -> Option<Vec<(String, Value)>> {
    let at = lead.pointer(&rules.at)?;
    if let Some(members) = at.members() {
        let value = |value: RawJson<'a>| {
            let value = scene.unwrapped(value);
            let inside =
                (rules.wrapped && value.is_object()).then(|| inside(scene, value).value(&rules.value)).flatten();
            inside.unwrap_or_else(|| blank_as_null(value.to_value()))
        };
        return Some(members.into_iter().map(|(name, member)| (name.into_owned(), value(member))).collect());
    }
    if at.text() == "null" {
        return Some(Vec::new());
    }
    Some(at.items()?.into_iter().filter_map(|item| pair(scene, item, rules)).collect())
}

/// A pair without a name or without a value is none.
fn pair<'a>(scene: &Scene<'a>, item: RawJson<'a>, rules: &AttributeRules) -> Option<(String, Value)> {
    let item = inside(scene, item);
    let name = item.text(&rules.name)?.into_owned();
    let value = item.value(&rules.value)?;
    let value = match &rules.options {
        Some(options) => chosen(value, &choices(&item, options)),
        None => value,
    };
    Some((name, value))
}

/// An item or member as a record of its own.
fn inside<'a>(scene: &Scene<'a>, item: RawJson<'a>) -> Scene<'a> {
    let record = Cow::Owned(Document::of(item));
    Scene { record, envelope: scene.envelope, headers: scene.headers, unwrap_single: scene.unwrap_single }
}

/// The choices of a pair by their IDs.
fn choices(item: &Scene<'_>, rules: &OptionRules) -> Vec<(String, Value)> {
    let listed = item.record.pointer(&rules.at).and_then(RawJson::items).unwrap_or_default();
    let choice = |choice: RawJson<'_>| {
        let id = choice.pointer(&rules.id)?.scalar_text()?.into_owned();
        Some((id, choice.pointer(&rules.text)?.to_value()))
    };
    listed.into_iter().filter_map(choice).collect()
}

/// The texts of the choices whose IDs stand in a value; what is no such ID stays as it is.
fn chosen(value: Value, choices: &[(String, Value)]) -> Value {
    match value {
        Value::List(items) => Value::List(items.into_iter().map(|item| chosen(item, choices)).collect()),
        value => {
            let choice = choices.iter().find(|(id, _)| value.scalar_text() == Some(id));
            choice.map_or_else(|| value.clone(), |(_, text)| text.clone())
        }
    }
}

fn blank_as_null(value: Value) -> Value {
    if value.is_blank() { Value::Null } else { value }
}

#[cfg(test)]
mod tests {
    use crate::domain::envelope::tests::{attributes, change, rules};
    use crate::domain::envelope::{AttributeRules, ReadRules};

    #[test]
    fn of_a_name_that_stands_twice_the_last_that_says_something_counts() {
        let list = r#"[{"name":"a","value":1},{"name":"a","value":2},{"name":"b","value":"x"},{"name":"b","value":null},
            {"name":"c","value":"y"},{"name":"c","value":[]},{"name":"d","value":null},{"name":"d","value":" "}]"#;
        let told = change(rules(), &format!(r#"{{"event":"lead.created","data":{{"id":1,"attributes":{list}}}}}"#));
        let value = |name: &str| told.fields[&format!("attributes.{name}")].to_json();
        assert_eq!(["a", "b", "c", "d"].map(value), ["2", "\"x\"", "\"y\"", "null"]);
    }

    #[test]
    fn an_attribute_that_is_an_object_may_hold_its_value() {
        let rules_for = |wrapped| {
            let listed = AttributeRules { wrapped, ..attributes("/attributes", "/name", "/value | /id") };
            ReadRules { attributes: vec![listed], ..rules() }
        };
        let body = r#"{"event":"lead.created","data":{"id":1,"attributes":{"a":{"type":"text","value":"x"},"b":{"id":12},
            "c":{"value":null},"d":{"e":1},"f":["g"]}}}"#;
        let told = change(rules_for(true), body);
        let value = |name: &str| told.fields[&format!("attributes.{name}")].to_json();
        assert_eq!(["a", "b", "c", "d", "f"].map(value), [r#""x""#, "12", "null", r#"{"e":1}"#, r#"["g"]"#]);
        let whole = change(rules_for(false), body);
        assert_eq!(whole.fields["attributes.a"].to_json(), r#"{"type":"text","value":"x"}"#);
    }
}
