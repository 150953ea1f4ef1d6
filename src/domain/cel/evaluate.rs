//! From a tree and a lead to a value.

use std::cell::Cell;

use rust_decimal::Decimal;

use super::operand::Operand;
use super::parser::{Each, Loop, Node, Operator};
use super::scope::{Scope, written_step};
use super::{EvaluationError, MOST_STEPS, Reading, functions};
use crate::domain::lead::Lead;
use crate::domain::value::Value;

pub(super) type Evaluated = Result<Operand, EvaluationError>;

/// The value of the whole tree.
pub(super) fn evaluate(root: &Node, lead: &Lead, reading: Reading) -> Result<Value, EvaluationError> {
    let evaluation = Evaluation { scope: Scope { lead, reading }, steps: Cell::new(0) };
    evaluation.of(root, &Items::None).map(Operand::into_value)
}

/// The items of the loops around an expression, innermost first.
enum Items<'i> {
    None,
    One { name: &'i str, item: &'i Operand, outer: &'i Items<'i> },
}

impl Items<'_> {
    fn find(&self, wanted: &str) -> Option<&Operand> {
        match self {
            Items::None => None,
            Items::One { name, item, .. } if *name == wanted => Some(item),
            Items::One { outer, .. } => outer.find(wanted),
        }
    }
}

pub(super) struct Evaluation<'l> {
    scope: Scope<'l>,
    steps: Cell<usize>,
}

impl Evaluation<'_> {
    /// Counts work before it is done, in bytes that are made or copied.
    pub fn spend(&self, bytes: usize) -> Result<(), EvaluationError> {
        self.steps.set(self.steps.get().saturating_add(1 + bytes / 16));
        if self.steps.get() > MOST_STEPS {
            return Err(error(format!("takes more than {MOST_STEPS} steps")));
        }
        Ok(())
    }

    fn of(&self, node: &Node, items: &Items<'_>) -> Evaluated {
        self.spend(0)?;
        if let Some((Node::Name(root), field)) = written_step(node)
            && items.find(root).is_none()
            && let Some(value) = self.scope.field_of(root, field)
        {
            self.spend(value.size())?;
            return Ok(if matches!(node, Node::Has(..)) { Operand::Bool(value != Operand::Null) } else { value });
        }
        match node {
            Node::Null => Ok(Operand::Null),
            Node::Bool(flag) => Ok(Operand::Bool(*flag)),
            Node::Number(number) => Ok(Operand::Number(*number)),
            Node::Text(text) => {
                self.spend(text.len())?;
                Ok(Operand::Text(text.clone()))
            }
            Node::Name(name) => {
                let value = items.find(name).cloned().unwrap_or_else(|| self.scope.name(name));
                self.spend(value.size())?;
                Ok(value)
            }
            Node::List(nodes) => {
                nodes.iter().map(|node| self.of(node, items)).collect::<Result<_, _>>().map(Operand::List)
            }
            Node::Map(entries) => self.map(entries, items),
            Node::Field(value, field) => step(self.of(value, items)?, field),
            Node::Has(value, field) => Ok(Operand::Bool(step(self.of(value, items)?, field)? != Operand::Null)),
            Node::Index(value, key) => at_key(self.of(value, items)?, &self.of(key, items)?),
            Node::Not(value) => truth(&self.of(value, items)?, "!").map(|flag| Operand::Bool(!flag)),
            Node::Negate(value) => number(&self.of(value, items)?, "-").map(|number| Operand::Number(-number)),
            Node::Binary(Operator::And, left, right) => self.either(false, left, right, items),
            Node::Binary(Operator::Or, left, right) => self.either(true, left, right, items),
            Node::Binary(operator, left, right) => {
                let (left, right) = (self.of(left, items)?, self.of(right, items)?);
                self.spend(left.size().saturating_add(right.size()))?;
                binary(*operator, left, right)
            }
            Node::Choice(condition, then, otherwise) => {
                let chosen = truth(&self.of(condition, items)?, "?")?;
                self.of(if chosen { then } else { otherwise }, items)
            }
            Node::Call(function, arguments) => {
                let arguments: Vec<Operand> =
                    arguments.iter().map(|argument| self.of(argument, items)).collect::<Result<_, _>>()?;
                functions::call(*function, &arguments, self)
            }
            Node::Matches(value, pattern) => match self.of(value, items)? {
                Operand::Text(text) => {
                    self.spend(text.len().saturating_mul(8))?;
                    Ok(Operand::Bool(pattern.is_match(&text)))
                }
                other => Err(error(format!("matches() is asked of {}, where a text is needed", other.kind()))),
            },
            Node::Each(each, inner) => self.each(*each, inner, items),
        }
    }

    /// `&&` and `||`: the side that decides counts, even where the other one is an error.
    fn either(&self, decides: bool, left: &Node, right: &Node, items: &Items<'_>) -> Evaluated {
        let sign = if decides { "||" } else { "&&" };
        let left = self.of(left, items).and_then(|left| truth(&left, sign));
        if left.as_ref().is_ok_and(|left| *left == decides) {
            return Ok(Operand::Bool(decides));
        }
        let right = self.of(right, items).and_then(|right| truth(&right, sign))?;
        if right == decides { Ok(Operand::Bool(decides)) } else { left.map(Operand::Bool) }
    }

    fn map(&self, entries: &[(Node, Node)], items: &Items<'_>) -> Evaluated {
        let mut fields = std::collections::BTreeMap::new();
        for (key, value) in entries {
            let Operand::Text(key) = self.of(key, items)? else {
                return Err(error("a key of an object is no text".to_owned()));
            };
            if fields.insert(key, self.of(value, items)?).is_some() {
                return Err(error("a key of an object stands there twice".to_owned()));
            }
        }
        Ok(Operand::Map(fields))
    }

    fn each(&self, each: Each, inner: &Loop, items: &Items<'_>) -> Evaluated {
        let over = match self.of(&inner.over, items)? {
            Operand::List(list) => list,
            Operand::Map(fields) => fields.into_keys().map(Operand::Text).collect(),
            other => return Err(error(format!("each item of {} is asked for, where a list is needed", other.kind()))),
        };
        let (mut found, mut kept, mut failed) = (0, Vec::new(), None);
        for item in over {
            let scope = Items::One { name: &inner.item, item: &item, outer: items };
            let holds = match &inner.condition {
                Some(condition) => self.of(condition, &scope).and_then(|value| truth(&value, "the condition")),
                None => Ok(true),
            };
            // As with && and ||, an error counts only where no other item decides; running out of steps always does.
            let holds = match (holds, each) {
                (Err(wrong), Each::All | Each::Exists) if self.steps.get() <= MOST_STEPS => {
                    failed.get_or_insert(wrong);
                    continue;
                }
                (holds, _) => holds?,
            };
            found += usize::from(holds);
            match each {
                Each::All if !holds => return Ok(Operand::Bool(false)),
                Each::Exists if holds => return Ok(Operand::Bool(true)),
                Each::Filter if holds => kept.push(item),
                Each::Map if holds => kept
                    .extend(inner.result.iter().map(|result| self.of(result, &scope)).collect::<Result<Vec<_>, _>>()?),
                _ => {}
            }
        }
        match (each, failed) {
            (_, Some(wrong)) => Err(wrong),
            (Each::All, None) => Ok(Operand::Bool(true)),
            (Each::Exists, None) => Ok(Operand::Bool(false)),
            (Each::ExistsOne, None) => Ok(Operand::Bool(found == 1)),
            (Each::Filter | Each::Map, None) => Ok(Operand::List(kept)),
        }
    }
}

pub(super) fn error(what: String) -> EvaluationError {
    EvaluationError(what)
}

fn truth(value: &Operand, of: &str) -> Result<bool, EvaluationError> {
    match value {
        Operand::Bool(flag) => Ok(*flag),
        other => Err(error(format!("{of} is given {}, where true or false is needed", other.kind()))),
    }
}

pub(super) fn number(value: &Operand, of: &str) -> Result<Decimal, EvaluationError> {
    match value {
        Operand::Number(number) => Ok(*number),
        other => Err(error(format!("{of} is given {}, where a number is needed", other.kind()))),
    }
}

/// A field of an object; of what is absent every field is absent too.
fn step(value: Operand, field: &str) -> Evaluated {
    match value {
        Operand::Null => Ok(Operand::Null),
        Operand::Map(mut fields) => Ok(fields.remove(field).unwrap_or(Operand::Null)),
        other => Err(error(format!("the field {field} is asked of {}", other.kind()))),
    }
}

fn at_key(value: Operand, key: &Operand) -> Evaluated {
    match (value, key) {
        (Operand::List(items), Operand::Number(place)) => {
            let place = Some(place).filter(|place| place.is_integer()).and_then(|place| usize::try_from(*place).ok());
            let item = place.and_then(|place| items.into_iter().nth(place));
            item.ok_or_else(|| error("a list has no item at this place; the first one is [0]".to_owned()))
        }
        (value, Operand::Text(key)) => step(value, key),
        (value, key) => Err(error(format!("an item of {} is asked for by {}", value.kind(), key.kind()))),
    }
}

fn binary(operator: Operator, left: Operand, right: Operand) -> Evaluated {
    let word = match operator {
        Operator::Equal => return equal(&left, &right).map(Operand::Bool),
        Operator::Unequal => return equal(&left, &right).map(|equal| Operand::Bool(!equal)),
        Operator::In => return contains(&right, &left).map(Operand::Bool),
        Operator::Less => return compare(&left, &right, |order| order.is_lt()),
        Operator::LessOrEqual => return compare(&left, &right, |order| order.is_le()),
        Operator::Greater => return compare(&left, &right, |order| order.is_gt()),
        Operator::GreaterOrEqual => return compare(&left, &right, |order| order.is_ge()),
        Operator::Add => match (left, right) {
            (Operand::Text(left), Operand::Text(right)) => return Ok(Operand::Text(left + &right)),
            (Operand::List(left), Operand::List(right)) => {
                return Ok(Operand::List(left.into_iter().chain(right).collect()));
            }
            (left, right) => return arithmetic("+", &left, &right, Decimal::checked_add),
        },
        Operator::Subtract => return arithmetic("-", &left, &right, Decimal::checked_sub),
        Operator::Multiply => return arithmetic("*", &left, &right, Decimal::checked_mul),
        Operator::Divide => "/",
        Operator::Remainder => "%",
        Operator::And | Operator::Or => return Err(error("&& and || are decided elsewhere".to_owned())),
    };
    if right == Operand::Number(Decimal::ZERO) {
        return Err(error(format!("{word} by zero")));
    }
    let operation = if word == "/" { Decimal::checked_div } else { Decimal::checked_rem };
    arithmetic(word, &left, &right, operation)
}

fn arithmetic(
    word: &str,
    left: &Operand,
    right: &Operand,
    operation: impl Fn(Decimal, Decimal) -> Option<Decimal>,
) -> Evaluated {
    let (Operand::Number(left), Operand::Number(right)) = (left, right) else {
        return Err(error(format!("{word} is given {} and {}", left.kind(), right.kind())));
    };
    operation(*left, *right).map(Operand::Number).ok_or_else(|| error(format!("{word} gives more than 28 digits")))
}

/// Values of two kinds are unequal, as the language says.
pub(super) fn equal(left: &Operand, right: &Operand) -> Result<bool, EvaluationError> {
    match (left, right) {
        (Operand::Huge(_), Operand::Huge(_) | Operand::Number(_)) | (Operand::Number(_), Operand::Huge(_)) => {
            Err(error(format!("{} and {} cannot be compared", left.kind(), right.kind())))
        }
        (Operand::List(left), Operand::List(right)) if left.len() == right.len() => {
            left.iter().zip(right).try_fold(true, |so_far, (left, right)| Ok(so_far && equal(left, right)?))
        }
        _ => Ok(left == right),
    }
}

fn compare(left: &Operand, right: &Operand, holds: impl Fn(std::cmp::Ordering) -> bool) -> Evaluated {
    let order = match (left, right) {
        (Operand::Number(left), Operand::Number(right)) => left.cmp(right),
        (Operand::Text(left), Operand::Text(right)) => left.cmp(right),
        (Operand::Bool(left), Operand::Bool(right)) => left.cmp(right),
        _ => return Err(error(format!("{} and {} cannot be compared", left.kind(), right.kind()))),
    };
    Ok(Operand::Bool(holds(order)))
}

fn contains(all: &Operand, wanted: &Operand) -> Result<bool, EvaluationError> {
    match (all, wanted) {
        (Operand::List(items), _) => items.iter().try_fold(false, |found, item| Ok(found || equal(item, wanted)?)),
        (Operand::Map(fields), Operand::Text(key)) => Ok(fields.contains_key(key)),
        _ => Err(error(format!("`in` looks for {} in {}", wanted.kind(), all.kind()))),
    }
}
