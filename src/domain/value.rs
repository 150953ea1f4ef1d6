//! A value as a lead system sends it: JSON, with every digit of its numbers.

pub mod raw;

use std::collections::BTreeMap;
use std::fmt;

/// How deep a payload may nest; a deeper one is quarantined, not read.
pub const MAX_DEPTH: usize = 64;

/// One JSON value. Numbers keep the digits that were sent, so 9007199254740993 stays what it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    Null,
    Bool(bool),
    /// The number's text as sent, always valid JSON.
    Number(String),
    Text(String),
    List(Vec<Value>),
    Object(BTreeMap<String, Value>),
}

/// Why bytes are no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    #[error("the body is empty")]
    Empty,
    #[error("the body is not UTF-8 (byte {0})")]
    NotUtf8(usize),
    #[error("the JSON nests deeper than {MAX_DEPTH} levels")]
    TooDeep,
    #[error("the JSON is broken: {0}")]
    Broken(String),
}

impl Value {
    /// Reads one JSON document. Depth is checked before anything is built, so no input can exhaust the stack.
    pub fn parse_json(bytes: &[u8]) -> Result<Self, ValueError> {
        raw::RawJson::parse(bytes).map(raw::RawJson::to_value)
    }

    /// Writes the value as compact JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(&raw::Json(self)).unwrap_or_default()
    }

    /// Follows a JSON pointer (RFC 6901).
    pub fn pointer(&self, pointer: &str) -> Option<&Value> {
        if pointer.is_empty() {
            return Some(self);
        }
        pointer.strip_prefix('/')?.split('/').try_fold(self, |value, token| {
            let token = token.replace("~1", "/").replace("~0", "~");
            match value {
                Value::Object(fields) => fields.get(&token),
                Value::List(items) => items.get(token.parse::<usize>().ok()?),
                _ => None,
            }
        })
    }

    /// The text of a scalar: text as it is, a number's digits, `true` or `false`.
    pub fn scalar_text(&self) -> Option<&str> {
        match self {
            Value::Text(text) | Value::Number(text) => Some(text),
            Value::Bool(true) => Some("true"),
            Value::Bool(false) => Some("false"),
            Value::Null | Value::List(_) | Value::Object(_) => None,
        }
    }

    /// Whether the value says "nothing here": null, or text of white space only. An empty list is a value.
    pub fn is_blank(&self) -> bool {
        match self {
            Value::Null => true,
            Value::Text(text) => text.trim().is_empty(),
            _ => false,
        }
    }

    /// Whether nothing is in it: it is blank, or a list without items.
    pub fn says_nothing(&self) -> bool {
        self.is_blank() || matches!(self, Value::List(items) if items.is_empty())
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_json())
    }
}

impl From<serde_json::Value> for Value {
    fn from(json: serde_json::Value) -> Self {
        use serde_json::Value as Json;
        match json {
            Json::Null => Value::Null,
            Json::Bool(flag) => Value::Bool(flag),
            Json::Number(number) => Value::Number(number.to_string()),
            Json::String(text) => Value::Text(text),
            Json::Array(items) => Value::List(items.into_iter().map(Value::from).collect()),
            Json::Object(fields) => {
                Value::Object(fields.into_iter().map(|(name, value)| (name, Value::from(value))).collect())
            }
        }
    }
}

impl From<&Value> for serde_json::Value {
    fn from(value: &Value) -> Self {
        use serde_json::Value as Json;
        match value {
            Value::Null => Json::Null,
            Value::Bool(flag) => Json::Bool(*flag),
            Value::Number(digits) => digits.parse().map_or(Json::Null, Json::Number),
            Value::Text(text) => Json::String(text.clone()),
            Value::List(items) => Json::Array(items.iter().map(Json::from).collect()),
            Value::Object(fields) => {
                Json::Object(fields.iter().map(|(name, value)| (name.clone(), Json::from(value))).collect())
            }
        }
    }
}

/// Counts brackets outside strings; the text need not be valid JSON.
fn nests_too_deep(bytes: &[u8]) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return true;
                }
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_every_digit() {
        let text = r#"{"a":9007199254740993,"b":1e-7,"c":45.50}"#;
        let value = Value::parse_json(text.as_bytes()).unwrap();
        assert_eq!(value.pointer("/a"), Some(&Value::Number("9007199254740993".into())));
        assert_eq!(value.pointer("/c"), Some(&Value::Number("45.50".into())));
        assert_eq!(Value::parse_json(value.to_json().as_bytes()).unwrap(), value);
    }

    #[test]
    fn what_is_no_json_is_refused_by_its_reason() {
        let deep = "[".repeat(10_000);
        assert_eq!(Value::parse_json(b" \n"), Err(ValueError::Empty));
        assert_eq!(Value::parse_json(b"\"\xff\""), Err(ValueError::NotUtf8(1)));
        assert_eq!(Value::parse_json(deep.as_bytes()), Err(ValueError::TooDeep));
        assert!(matches!(Value::parse_json(b"{\"a\":"), Err(ValueError::Broken(_))));
        assert!(matches!(Value::parse_json(b"{} {}"), Err(ValueError::Broken(_))));
        assert!(Value::parse_json(br#"["[[[[","\"[["]"#).is_ok());
    }

    #[test]
    fn a_pointer_reads_escaped_names_and_list_places() {
        let value = Value::parse_json(br#"{"a/b~c":[{"First Name":1}]}"#).unwrap();
        assert_eq!(value.pointer("/a~1b~0c/0/First Name"), Some(&Value::Number("1".into())));
        assert_eq!(value.pointer("/a~1b~0c/1"), None);
        assert_eq!(value.pointer(""), Some(&value));
        assert_eq!(value.pointer("nope"), None);
    }
}
