//! Values while an expression is evaluated.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use crate::domain::mapping::exact_number;
use crate::domain::value::Value;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Operand {
    Null,
    Bool(bool),
    Number(Decimal),
    /// A number that no exact decimal is, by its digits: it can be handed on, and nothing else.
    Huge(String),
    Text(String),
    List(Vec<Operand>),
    Map(BTreeMap<String, Operand>),
}

impl Operand {
    /// A field's value: a blank text says nothing, as everywhere.
    pub fn of_field(value: &Value) -> Self {
        match value {
            Value::Text(text) if text.trim().is_empty() => Operand::Null,
            Value::Object(fields) => {
                Operand::Map(fields.iter().map(|(name, value)| (name.clone(), Self::of_field(value))).collect())
            }
            Value::List(items) => Operand::List(items.iter().map(Self::of_item).collect()),
            other => Self::of_item(other),
        }
    }

    fn of_item(value: &Value) -> Self {
        match value {
            Value::Null => Operand::Null,
            Value::Bool(flag) => Operand::Bool(*flag),
            Value::Number(digits) => {
                exact_number(digits).map_or_else(|| Operand::Huge(digits.clone()), Operand::Number)
            }
            Value::Text(text) => Operand::Text(text.clone()),
            Value::List(_) | Value::Object(_) => Self::of_field(value),
        }
    }

    pub fn into_value(self) -> Value {
        match self {
            Operand::Null => Value::Null,
            Operand::Bool(flag) => Value::Bool(flag),
            Operand::Number(number) => Value::Number(number.normalize().to_string()),
            Operand::Huge(digits) => Value::Number(digits),
            Operand::Text(text) => Value::Text(text),
            Operand::List(items) => Value::List(items.into_iter().map(Self::into_value).collect()),
            Operand::Map(fields) => {
                Value::Object(fields.into_iter().map(|(name, value)| (name, value.into_value())).collect())
            }
        }
    }

    /// What it is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Operand::Null => "null",
            Operand::Bool(_) => "true or false",
            Operand::Number(_) => "a number",
            Operand::Huge(_) => "a number of more than 28 digits",
            Operand::Text(_) => "a text",
            Operand::List(_) => "a list",
            Operand::Map(_) => "an object",
        }
    }

    /// About how many bytes a copy takes.
    pub fn size(&self) -> usize {
        match self {
            Operand::Text(text) | Operand::Huge(text) => text.len(),
            Operand::List(items) => items.iter().map(|item| 16 + item.size()).sum(),
            Operand::Map(fields) => fields.iter().map(|(name, value)| 32 + name.len() + value.size()).sum(),
            Operand::Null | Operand::Bool(_) | Operand::Number(_) => 0,
        }
    }
}

/// What a value is, for messages.
pub(super) fn kind_of_value(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::Text(_) => "a text",
        Value::List(_) => "a list",
        Value::Object(_) => "an object",
    }
}
