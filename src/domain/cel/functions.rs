//! The functions that an expression may call.

use rust_decimal::Decimal;

use super::evaluate::{Evaluated, Evaluation, error, number};
use super::operand::Operand;
use super::{EvaluationError, Wrong};
use crate::domain::mapping::exact_number;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Size,
    Text,
    Number,
    Whole,
    Truth,
    StartsWith,
    EndsWith,
    Contains,
    Matches,
    IndexOf,
    Lower,
    Upper,
    Trim,
    Replace,
    Split,
    Join,
    Substring,
}

/// How a function is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `size(x)`
    Plain,
    /// `x.trim()`
    Of,
    Either,
}

/// Each with how it is written, and how many arguments it takes at least and at most, what it is asked of included.
const FUNCTIONS: &[(&str, Function, Form, usize, usize)] = &[
    ("size", Function::Size, Form::Either, 1, 1),
    ("string", Function::Text, Form::Plain, 1, 1),
    ("double", Function::Number, Form::Plain, 1, 1),
    ("int", Function::Whole, Form::Plain, 1, 1),
    ("bool", Function::Truth, Form::Plain, 1, 1),
    ("startsWith", Function::StartsWith, Form::Of, 2, 2),
    ("endsWith", Function::EndsWith, Form::Of, 2, 2),
    ("contains", Function::Contains, Form::Of, 2, 2),
    ("matches", Function::Matches, Form::Either, 2, 2),
    ("indexOf", Function::IndexOf, Form::Of, 2, 2),
    ("lowerAscii", Function::Lower, Form::Of, 1, 1),
    ("upperAscii", Function::Upper, Form::Of, 1, 1),
    ("trim", Function::Trim, Form::Of, 1, 1),
    ("replace", Function::Replace, Form::Of, 3, 3),
    ("split", Function::Split, Form::Of, 2, 2),
    ("join", Function::Join, Form::Of, 1, 2),
    ("substring", Function::Substring, Form::Of, 2, 3),
];

/// Loops and questions, which the parser reads itself.
const MACROS: &[&str] = &["has", "all", "exists", "exists_one", "filter", "map"];

/// The function of this name, if it takes that many arguments.
pub(super) fn find(name: &str, by_target: bool, arguments: usize, at: usize) -> Result<Function, Wrong> {
    let Some((_, function, form, least, most)) = FUNCTIONS.iter().find(|(known, ..)| *known == name) else {
        if MACROS.contains(&name) {
            let remedy = format!("write it like tags.{name}(t, t == \"vip\"), or has(attributes.size)");
            return Err(Wrong::new(at, format!("{name} is not called so"), remedy));
        }
        let known: Vec<&str> = FUNCTIONS.iter().map(|(known, ..)| *known).chain(MACROS.iter().copied()).collect();
        let lower = name.to_lowercase();
        let alike =
            |known: &&&str| known.to_lowercase().starts_with(&lower) || strsim::damerau_levenshtein(known, name) <= 2;
        let remedy = match known.iter().find(alike) {
            Some(near) => format!("did you mean {near}()?"),
            None => format!("known are {}", known.join(", ")),
        };
        return Err(Wrong::new(at, format!("there is no function {name}()"), remedy));
    };
    if (*form == Form::Of && !by_target) || (*form == Form::Plain && by_target) {
        let written = if by_target { format!("{name}(x)") } else { format!("x.{name}(…)") };
        return Err(Wrong::new(at, format!("{name} is not called so"), format!("write {written}")));
    }
    if !(*least..=*most).contains(&arguments) {
        let own = usize::from(by_target);
        let takes =
            if least == most { format!("{}", least - own) } else { format!("{} or {}", least - own, most - own) };
        let problem = format!("{name}() is given {} arguments", arguments - own);
        return Err(Wrong::new(at, problem, format!("it takes {takes}")));
    }
    Ok(*function)
}

/// The function's value; its arguments were counted when the expression was read.
pub(super) fn call(function: Function, arguments: &[Operand], evaluation: &Evaluation<'_>) -> Evaluated {
    use Function as F;
    use Operand as O;
    let null = O::Null;
    let [first, second, third] = [0, 1, 2].map(|place| arguments.get(place).unwrap_or(&null));
    evaluation.spend(arguments.iter().map(Operand::size).sum())?;
    match (function, first, second, third) {
        (F::Size, O::Text(text), ..) => Ok(count(text.chars().count())),
        (F::Size, O::List(items), ..) => Ok(count(items.len())),
        (F::Size, O::Map(fields), ..) => Ok(count(fields.len())),
        (F::Text, O::Bool(_) | O::Number(_) | O::Huge(_) | O::Text(_), ..) => Ok(O::Text(plain_text(first))),
        (F::Number, O::Number(_), ..) => Ok(first.clone()),
        (F::Number, O::Text(text), ..) => parse(text).map(O::Number),
        (F::Whole, O::Number(number), ..) => Ok(O::Number(number.trunc())),
        (F::Whole, O::Text(text), ..) => parse(text).map(|number| O::Number(number.trunc())),
        (F::Truth, O::Bool(_), ..) => Ok(first.clone()),
        (F::Truth, O::Text(text), ..) => match text.as_str() {
            "true" | "True" | "TRUE" | "t" | "1" => Ok(O::Bool(true)),
            "false" | "False" | "FALSE" | "f" | "0" => Ok(O::Bool(false)),
            _ => Err(error("bool() is given a text that says neither true nor false".to_owned())),
        },
        (F::StartsWith, O::Text(text), O::Text(part), _) => Ok(O::Bool(text.starts_with(part.as_str()))),
        (F::EndsWith, O::Text(text), O::Text(part), _) => Ok(O::Bool(text.ends_with(part.as_str()))),
        (F::Contains, O::Text(text), O::Text(part), _) => Ok(O::Bool(text.contains(part.as_str()))),
        (F::IndexOf, O::Text(text), O::Text(part), _) => Ok(match text.find(part.as_str()) {
            Some(place) => count(text.get(..place).unwrap_or_default().chars().count()),
            None => O::Number(Decimal::NEGATIVE_ONE),
        }),
        (F::Lower, O::Text(text), ..) => Ok(O::Text(text.to_ascii_lowercase())),
        (F::Upper, O::Text(text), ..) => Ok(O::Text(text.to_ascii_uppercase())),
        (F::Trim, O::Text(text), ..) => Ok(O::Text(text.trim().to_owned())),
        (F::Replace, O::Text(text), O::Text(from), O::Text(to)) => {
            evaluation.spend(text.matches(from.as_str()).count().saturating_mul(to.len()))?;
            Ok(O::Text(text.replace(from.as_str(), to)))
        }
        (F::Split, O::Text(text), O::Text(by), _) => {
            let parts = if by.is_empty() { text.chars().count() } else { text.matches(by.as_str()).count() + 1 };
            evaluation.spend(parts.saturating_mul(16))?;
            let parts: Vec<O> = if by.is_empty() {
                text.chars().map(|character| O::Text(character.to_string())).collect()
            } else {
                text.split(by.as_str()).map(|part| O::Text(part.to_owned())).collect()
            };
            Ok(O::List(parts))
        }
        (F::Join, O::List(items), O::Text(_) | O::Null, _) if arguments.len() == 1 || *second != O::Null => {
            join(items, if let O::Text(between) = second { between } else { "" }, evaluation)
        }
        (F::Substring, O::Text(text), O::Number(_), O::Number(_) | O::Null)
            if arguments.len() == 2 || *third != O::Null =>
        {
            substring(text, second, (arguments.len() == 3).then_some(third))
        }
        _ => {
            let kinds: Vec<&str> = arguments.iter().map(Operand::kind).collect();
            Err(error(format!("{}() is given {}", name(function), kinds.join(" and "))))
        }
    }
}

fn name(function: Function) -> &'static str {
    FUNCTIONS.iter().find(|(_, known, ..)| *known == function).map_or("", |(name, ..)| name)
}

fn count(of: usize) -> Operand {
    Operand::Number(Decimal::from(of))
}

fn plain_text(value: &Operand) -> String {
    match value {
        Operand::Number(number) => number.normalize().to_string(),
        Operand::Bool(flag) => flag.to_string(),
        Operand::Text(text) | Operand::Huge(text) => text.clone(),
        Operand::Null | Operand::List(_) | Operand::Map(_) => String::new(),
    }
}

fn parse(text: &str) -> Result<Decimal, EvaluationError> {
    exact_number(text.trim())
        .ok_or_else(|| error("a text is read as a number, and is none of at most 28 digits".to_owned()))
}

fn join(items: &[Operand], between: &str, evaluation: &Evaluation<'_>) -> Evaluated {
    evaluation.spend(items.len().saturating_mul(between.len()))?;
    let texts: Option<Vec<&str>> =
        items.iter().map(|item| if let Operand::Text(text) = item { Some(text.as_str()) } else { None }).collect();
    let texts = texts.ok_or_else(|| error("join() is given a list with something else than texts".to_owned()))?;
    Ok(Operand::Text(texts.join(between)))
}

/// By characters, from the first place up to the second, which is not in it.
fn substring(text: &str, from: &Operand, to: Option<&Operand>) -> Evaluated {
    let length = text.chars().count();
    let place = |of: &Operand| {
        let place = number(of, "substring()").ok().filter(Decimal::is_integer);
        place.and_then(|place| usize::try_from(place).ok()).filter(|place| *place <= length)
    };
    let (from, to) = (place(from), to.map_or(Some(length), place));
    match (from, to) {
        (Some(from), Some(to)) if from <= to => Ok(Operand::Text(text.chars().skip(from).take(to - from).collect())),
        _ => Err(error("substring() is asked for places that the text does not have".to_owned())),
    }
}
