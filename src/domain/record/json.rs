//! CRM values as JSON with their type, so that they come back exactly, and as text for people.

use std::fmt;

use rust_decimal::Decimal;
use serde_json::{Value as Json, json};

use super::CrmValue;
use crate::domain::time::Timestamp;

impl CrmValue {
    /// The value as JSON: `null`, or an object with its type as the only key, such as `{"number":"1.50"}`.
    pub fn to_json_value(&self) -> Json {
        match self {
            CrmValue::Null => Json::Null,
            CrmValue::Text(text) => json!({ "text": text }),
            CrmValue::Number(number) => json!({ "number": number.to_string() }),
            CrmValue::Boolean(flag) => json!({ "boolean": flag }),
            CrmValue::Date(day) => json!({ "date": day.to_string() }),
            CrmValue::DateTime(moment) => json!({ "datetime": moment.to_string() }),
            CrmValue::Choices(choices) => json!({ "choices": choices }),
        }
    }

    /// Reads what `to_json_value` wrote; `None` for anything else.
    pub fn from_json_value(json: &Json) -> Option<Self> {
        if json.is_null() {
            return Some(CrmValue::Null);
        }
        let object = json.as_object().filter(|object| object.len() == 1)?;
        let (kind, value) = object.iter().next()?;
        Some(match kind.as_str() {
            "text" => CrmValue::Text(value.as_str()?.to_owned()),
            "number" => CrmValue::Number(Decimal::from_str_exact(value.as_str()?).ok()?),
            "boolean" => CrmValue::Boolean(value.as_bool()?),
            "date" => CrmValue::Date(value.as_str()?.parse().ok()?),
            "datetime" => CrmValue::DateTime(read_moment(value.as_str()?)?),
            "choices" => CrmValue::Choices(
                value.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<_>>()?,
            ),
            _ => return None,
        })
    }

    /// The value as compact JSON text, for storing.
    pub fn to_json(&self) -> String {
        self.to_json_value().to_string()
    }

    /// Reads what `to_json` wrote.
    pub fn from_json(text: &str) -> Option<Self> {
        Self::from_json_value(&serde_json::from_str(text).ok()?)
    }
}

fn read_moment(text: &str) -> Option<Timestamp> {
    match text.strip_suffix("us") {
        Some(micros) => micros.parse().ok().map(Timestamp::from_micros),
        None => Timestamp::parse_rfc3339(text),
    }
}

impl fmt::Display for CrmValue {
    /// The value as a person reads it; nothing for an empty field.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CrmValue::Null => Ok(()),
            CrmValue::Text(text) => f.write_str(text),
            CrmValue::Number(number) => write!(f, "{number}"),
            CrmValue::Boolean(flag) => write!(f, "{flag}"),
            CrmValue::Date(day) => write!(f, "{day}"),
            CrmValue::DateTime(moment) => write!(f, "{moment}"),
            CrmValue::Choices(choices) => choices.iter().enumerate().try_for_each(|(place, choice)| {
                f.write_str(if place == 0 { "" } else { "; " })?;
                f.write_str(choice)
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_value() -> impl Strategy<Value = CrmValue> {
        prop_oneof![
            Just(CrmValue::Null),
            any::<String>().prop_map(CrmValue::Text),
            (any::<i64>(), 0u32..28).prop_map(|(digits, scale)| CrmValue::Number(Decimal::new(digits, scale))),
            any::<bool>().prop_map(CrmValue::Boolean),
            (-9999i16..=9999, 1i8..=12, 1i8..=28)
                .prop_map(|(year, month, day)| CrmValue::Date(jiff::civil::Date::new(year, month, day).unwrap())),
            any::<i64>().prop_map(|micros| CrmValue::DateTime(Timestamp::from_micros(micros))),
            proptest::collection::btree_set(any::<String>(), 0..4).prop_map(CrmValue::Choices),
        ]
    }

    proptest! {
        #[test]
        fn a_value_comes_back_exactly(value in any_value()) {
            prop_assert_eq!(CrmValue::from_json(&value.to_json()), Some(value));
        }
    }

    #[test]
    fn what_is_no_value_is_not_read() {
        assert_eq!(CrmValue::from_json("{\"text\":1}"), None);
        assert_eq!(CrmValue::from_json("{\"text\":\"a\",\"number\":\"1\"}"), None);
        assert_eq!(CrmValue::from_json("\"a\""), None);
    }
}
