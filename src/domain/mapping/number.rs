//! Numbers, exact to the last digit, and truth values.

use rust_decimal::{Decimal, RoundingStrategy};

use crate::domain::record::{CrmFieldKind, CrmValue, FieldSchema};
use crate::domain::value::Value;

use super::convert::{Invalid, Note, Outcome, scalar};

/// Beyond this many digits no `Decimal` is exact; it also bounds what an exponent can make us write.
const MOST_PLACES: i64 = 40;

/// A number for a field of limited digits; decimals beyond the field's are rounded half to even, with a note.
pub(super) fn decimal(value: &Value, field: Option<&FieldSchema>) -> Outcome {
    let sent = read(value)?;
    let scale = match field {
        Some(field) if field.kind == CrmFieldKind::Integer => Some(0),
        Some(field) => field.scale,
        None => None,
    };
    let (number, note) = match scale {
        Some(scale) if sent.scale() > scale => {
            (sent.round_dp_with_strategy(scale, RoundingStrategy::MidpointNearestEven), Some(Note::Rounded { scale }))
        }
        _ => (sent, None),
    };
    let number = number.normalize();
    in_range(number, field)?;
    Ok(Some((CrmValue::Number(number), note)))
}

/// A whole number; a fraction is refused.
pub(super) fn integer(value: &Value, field: Option<&FieldSchema>) -> Outcome {
    let number = read(value)?;
    if !number.is_integer() {
        return Err(Invalid::new(
            "not_an_integer",
            "has a fraction, but the row wants a whole number; use type number",
        ));
    }
    let number = number.normalize();
    in_range(number, field)?;
    Ok(Some((CrmValue::Number(number), None)))
}

/// `true` or `false`, also as yes, no, 1 and 0.
pub(super) fn boolean(value: &Value) -> Outcome {
    let text = scalar(value)?.trim().to_ascii_lowercase();
    let flag = match text.as_str() {
        "true" | "yes" | "1" => true,
        "false" | "no" | "0" => false,
        _ => match value {
            Value::Number(digits) if parse(digits) == Some(Decimal::ONE) => true,
            Value::Number(digits) if parse(digits) == Some(Decimal::ZERO) => false,
            _ => {
                return Err(Invalid::new(
                    "not_a_boolean",
                    "is neither true nor false; send true, false, yes, no, 1 or 0",
                ));
            }
        },
    };
    Ok(Some((CrmValue::Boolean(flag), None)))
}

/// The exact number that a value tells.
pub(super) fn read(value: &Value) -> Result<Decimal, Invalid> {
    if let Value::Bool(_) = value {
        return Err(not_a_number());
    }
    let text = scalar(value)?.trim();
    if !is_plain(text) {
        return Err(not_a_number());
    }
    parse(text).ok_or_else(|| Invalid::new("number_out_of_range", "has more digits than can be kept exactly (28)"))
}

fn not_a_number() -> Invalid {
    Invalid::new(
        "not_a_number",
        "is no plain number; send digits with a point such as 1234.5, without currency or thousands separators",
    )
}

/// Sign, digits with at most one point, and an exponent: the one spelling that means the same everywhere.
fn is_plain(text: &str) -> bool {
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = split_exponent(text);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let exponent = exponent.map(|part| part.strip_prefix(['+', '-']).unwrap_or(part));
    digits(whole) && digits(fraction) && exponent.is_none_or(digits)
}

fn split_exponent(text: &str) -> (&str, Option<&str>) {
    text.split_once(['e', 'E']).map_or((text, None), |(mantissa, exponent)| (mantissa, Some(exponent)))
}

/// The number that a text tells, without ever rounding; `None` where it is no plain number, or one of too many digits.
pub(in crate::domain) fn exact(text: &str) -> Option<Decimal> {
    if is_plain(text) { parse(text) } else { None }
}

/// Reads plain text without ever rounding; `None` where that cannot be done.
fn parse(text: &str) -> Option<Decimal> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = split_exponent(text);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let fraction = fraction.trim_end_matches('0');
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Some(Decimal::ZERO);
    }
    let significant = digits.trim_end_matches('0');
    let dropped = i64::try_from(digits.len() - significant.len()).ok()?;
    let exponent = exponent.map_or(Ok(0), str::parse::<i64>).ok()?;
    let places = exponent.checked_add(dropped)?.checked_sub(i64::try_from(fraction.len()).ok()?)?;
    if significant.len() > 29 || places.abs() > MOST_PLACES {
        return None;
    }
    let plain = if places >= 0 {
        format!("{significant}{}", "0".repeat(usize::try_from(places).ok()?))
    } else {
        let behind = usize::try_from(-places).ok()?;
        let padded = format!("{significant:0>width$}", width = behind + 1);
        let (front, back) = padded.split_at(padded.len() - behind);
        format!("{front}.{back}")
    };
    let number = Decimal::from_str_exact(&plain).ok()?;
    Some(if negative { -number } else { number })
}

fn in_range(number: Decimal, field: Option<&FieldSchema>) -> Result<(), Invalid> {
    let Some(field) = field else { return Ok(()) };
    let whole = number.trunc().abs();
    let holds = match field.precision.filter(|precision| *precision > 0) {
        Some(precision) => {
            let scale = if field.kind == CrmFieldKind::Integer { 0 } else { field.scale.unwrap_or(0) };
            let most = usize::try_from(precision.saturating_sub(scale)).unwrap_or(usize::MAX);
            whole.is_zero() || whole.to_string().len() <= most
        }
        // An integer field that tells no digits is taken for 32 bits.
        None => field.kind != CrmFieldKind::Integer || i32::try_from(number).is_ok(),
    };
    if holds {
        Ok(())
    } else {
        Err(Invalid::new(
            "number_out_of_range",
            "has more digits before the point than the field takes; widen the field",
        ))
    }
}
