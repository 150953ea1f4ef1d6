//! Reads the JSON that a caller sends for a field, as strictly as an org does.

use rust_decimal::{Decimal, RoundingStrategy};
use serde_json::Value as Json;

use super::error::Refusal;
use super::ids;
use super::schema::{Field, Kind};
use super::value::{Value, parse_date, parse_moment};

/// Reads one value for one field; `None` is null, which empty text counts as.
pub(super) fn read(field: &Field, json: &Json) -> Result<Option<Value>, Refusal> {
    if json.is_null() {
        return if field.kind == Kind::Boolean { Err(wrong_json(field, json)) } else { Ok(None) };
    }
    match field.kind {
        Kind::Boolean => json.as_bool().map(|flag| Some(Value::Bool(flag))).ok_or_else(|| wrong_json(field, json)),
        Kind::Int | Kind::Double | Kind::Currency | Kind::Percent => match json {
            Json::Number(number) => read_number(field, number.as_str(), json).map(Some),
            _ => Err(wrong_json(field, json)),
        },
        _ => match json {
            Json::String(text) => read_text(field, text.trim(), json),
            _ => Err(wrong_json(field, json)),
        },
    }
}

fn read_text(field: &Field, text: &str, json: &Json) -> Result<Option<Value>, Refusal> {
    if text.is_empty() {
        return Ok(None);
    }
    match field.kind {
        Kind::Date => {
            let date = parse_date(text).ok_or_else(|| wrong_json(field, json))?;
            in_calendar(field, date.year().into(), text)?;
            Ok(Some(Value::Date(date)))
        }
        Kind::DateTime => {
            let moment = parse_moment(text).ok_or_else(|| wrong_json(field, json))?;
            let year = jiff::Timestamp::from_second(moment)
                .map_or(0, |at| at.to_zoned_datetime(jiff::tz::TimeZone::UTC).year());
            in_calendar(field, year.into(), text)?;
            Ok(Some(Value::Moment(moment)))
        }
        Kind::Reference | Kind::Id => match ids::canonical(text) {
            Some(id) => Ok(Some(Value::text(id))),
            None => Err(Refusal::of_fields(
                "MALFORMED_ID",
                format!("{}: id value of incorrect type: {text}", field.label),
                &[&field.name],
            )),
        },
        Kind::MultiPicklist => {
            let mut chosen: Vec<&str> = Vec::new();
            for value in text.split(';').map(str::trim).filter(|value| !value.is_empty()) {
                if !chosen.contains(&value) {
                    chosen.push(value);
                }
            }
            for value in &chosen {
                in_picklist(field, value)?;
            }
            let text = chosen.join(";");
            fits(field, &text)?;
            Ok((!text.is_empty()).then(|| Value::text(text)))
        }
        _ => {
            fits(field, text)?;
            if field.kind == Kind::Picklist {
                in_picklist(field, text)?;
            }
            if field.kind == Kind::Email && !is_email(text) {
                let message = format!("{}: invalid email address: {text}", field.label);
                return Err(Refusal::of_fields("INVALID_EMAIL_ADDRESS", message, &[&field.name]));
            }
            Ok(Some(Value::text(text)))
        }
    }
}

fn read_number(field: &Field, digits: &str, json: &Json) -> Result<Value, Refusal> {
    if field.kind == Kind::Int && digits.contains(['.', 'e', 'E']) {
        return Err(wrong_json(field, json));
    }
    let outside = || {
        let message = format!("{}: value outside of valid range on numeric field: {digits}", field.label);
        Refusal::of_fields("NUMBER_OUTSIDE_VALID_RANGE", message, &[&field.name])
    };
    let number = parse_decimal(digits).ok_or_else(outside)?;
    // Fractions are rounded to the field's places, too many whole digits are refused.
    let rounded = number.round_dp_with_strategy(field.scale, RoundingStrategy::MidpointAwayFromZero);
    let limit = 10u128.checked_pow(field.precision.saturating_sub(field.scale)).unwrap_or(u128::MAX);
    if rounded.trunc().mantissa().unsigned_abs() / 10u128.pow(rounded.trunc().scale()) >= limit {
        return Err(outside());
    }
    Ok(Value::Number(rounded))
}

/// Reads a number's exact digits; `None` beyond what any field could hold.
pub(super) fn parse_decimal(digits: &str) -> Option<Decimal> {
    if digits.contains(['e', 'E']) { Decimal::from_scientific(digits).ok() } else { digits.parse().ok() }
}

/// Salesforce counts in UTF-16.
fn fits(field: &Field, text: &str) -> Result<(), Refusal> {
    if text.encode_utf16().count() <= field.length {
        return Ok(());
    }
    let message = format!("{}: data value too large: {text} (max length={})", field.label, field.length);
    Err(Refusal::of_fields("STRING_TOO_LONG", message, &[&field.name]))
}

fn in_picklist(field: &Field, value: &str) -> Result<(), Refusal> {
    // Codes of places are checked together with their names.
    if !field.restricted || field.is_place_code() || field.choices.iter().any(|allowed| allowed.value == value) {
        return Ok(());
    }
    Err(bad_choice(field, value))
}

/// A value that a restricted picklist does not have, or not under the value of the field that controls it.
pub(super) fn bad_choice(field: &Field, value: &str) -> Refusal {
    let message = format!("{}: bad value for restricted picklist field: {value}", field.label);
    Refusal::of_fields("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message, &[&field.name])
}

fn in_calendar(field: &Field, year: i32, text: &str) -> Result<(), Refusal> {
    if (1700..=4000).contains(&year) {
        return Ok(());
    }
    let message = format!("{}: invalid date: {text}", field.label);
    Err(Refusal::of_fields("FIELD_INTEGRITY_EXCEPTION", message, &[&field.name]))
}

fn wrong_json(field: &Field, json: &Json) -> Refusal {
    let wanted = match field.kind {
        Kind::Boolean => "boolean",
        Kind::Int => "int",
        kind if kind.is_decimal() => "double",
        Kind::Date => "date",
        Kind::DateTime => "datetime",
        _ => "string",
    };
    let (token, shown) = match json {
        Json::Null => ("VALUE_NULL", "null".to_owned()),
        Json::Bool(flag) => (if *flag { "VALUE_TRUE" } else { "VALUE_FALSE" }, flag.to_string()),
        Json::Number(number) if number.as_str().contains(['.', 'e', 'E']) => ("VALUE_NUMBER_FLOAT", number.to_string()),
        Json::Number(number) => ("VALUE_NUMBER_INT", number.to_string()),
        Json::String(text) => ("VALUE_STRING", text.clone()),
        Json::Array(_) => ("START_ARRAY", "[".to_owned()),
        Json::Object(_) => ("START_OBJECT", "{".to_owned()),
    };
    Refusal::json(format!(
        "Cannot deserialize instance of {wanted} from {token} value {shown} or request may be missing a required field at [line:1, column:2]"
    ))
}

/// Whether an org takes this for an address: ASCII, one `@`, no stray dots, and a domain that has one.
fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let local_fits = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*/=?^_+-`{|}~.".contains(c);
    let local_is_good = (1..=64).contains(&local.len())
        && local.chars().all(local_fits)
        && !local.starts_with('.')
        && !local.ends_with('.')
        && !local.contains("..");
    let labels: Vec<&str> = domain.split('.').collect();
    let label_is_good = |label: &&str| {
        (1..=63).contains(&label.len())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let top_is_good = labels.last().is_some_and(|top| top.len() >= 2 && !top.chars().all(|c| c.is_ascii_digit()));
    local_is_good && labels.len() >= 2 && labels.iter().all(label_is_good) && top_is_good
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::schema::standard;
    use super::*;

    /// `Ok` is what an answer would show.
    fn check(name: &str, json: &Json, expected: Result<Json, &str>) {
        let lead = standard::objects(0).remove(0);
        let (_, field) = lead.find(name).unwrap();
        let seen = match read(field, json) {
            Ok(value) => Ok(value.map_or(Json::Null, |value| value.to_json(field.kind))),
            Err(refusal) => Err(refusal.code),
        };
        assert_eq!(seen, expected.map_err(Into::into), "{name} = {json}");
    }

    fn number(text: &str) -> Json {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn text_is_trimmed_counted_in_characters_and_never_cut() {
        check("LastName", &json!("  Lovelace\n"), Ok(json!("Lovelace")));
        check("LastName", &json!("   "), Ok(Json::Null));
        check("LastName", &json!("é".repeat(80)), Ok(json!("é".repeat(80))));
        check("LastName", &json!("é".repeat(81)), Err("STRING_TOO_LONG"));
        check("LastName", &json!(5), Err("JSON_PARSER_ERROR"));
        check("LastName", &json!(["a"]), Err("JSON_PARSER_ERROR"));
        check("Industry_Detail__c", &json!("x".repeat(41)), Err("STRING_TOO_LONG"));
    }

    #[test]
    fn numbers_keep_their_digits_and_are_refused_when_they_do_not_fit() {
        check("Lead_Score__c", &number("87"), Ok(number("87.0")));
        check("Lead_Score__c", &number("12.345678"), Ok(number("12.345678")));
        check("Lead_Score__c", &number("0.00000049"), Ok(number("0.0")));
        check("Lead_Score__c", &number("1e-7"), Ok(number("0.0")));
        check("Lead_Score__c", &number("999999999999.999999"), Ok(number("999999999999.999999")));
        for wide in ["1000000000000", "9007199254740993", "1e400", "-1e30", "1e-400"] {
            check("Lead_Score__c", &number(wide), Err("NUMBER_OUTSIDE_VALID_RANGE"));
        }
        check("AnnualRevenue", &number("900719925474099300"), Ok(number("900719925474099300.0")));
        check("NumberOfEmployees", &number("99999999"), Ok(number("99999999")));
        check("NumberOfEmployees", &number("100000000"), Err("NUMBER_OUTSIDE_VALID_RANGE"));
        check("NumberOfEmployees", &number("8.5"), Err("JSON_PARSER_ERROR"));
        check("Lead_Score__c", &json!("87"), Err("JSON_PARSER_ERROR"));
    }

    #[test]
    fn addresses_are_checked_for_form() {
        for good in ["ada@b.example", "a.b+c@sub.example.com", "o'neil@example.com", "x@xn--mnchen-3ya.example"] {
            check("Email", &json!(good), Ok(json!(good)));
        }
        for wrong in [
            "ada",
            "@b.example",
            "ada@",
            "ada@localhost",
            "a b@c.example",
            "a@b@c.example",
            "ä@b.example",
            "ada@bücher.example",
            ".a@b.example",
            "a.@b.example",
            "a..b@c.example",
            "a@b..example",
            "a@-b.example",
            "a@b.e",
            "mailto:ada@b.example",
            "Ada <ada@b.example>",
            "a@b.example,c@d.example",
            "\"a b\"@c.example",
            "a@10.0.0.1",
        ] {
            check("Email", &json!(wrong), Err("INVALID_EMAIL_ADDRESS"));
        }
    }

    #[test]
    fn the_other_types_are_as_strict() {
        check("CleanStatus", &json!("Matched"), Ok(json!("Matched")));
        check("CleanStatus", &json!("Other"), Err("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"));
        check("Status", &json!("Anything"), Ok(json!("Anything")));
        check("Lead_Tags__c", &json!("b; a;b;;a"), Ok(json!("b;a")));
        check("IsUnreadByOwner", &Json::Null, Err("JSON_PARSER_ERROR"));
        check("IsUnreadByOwner", &json!(true), Ok(json!(true)));
        check("Last_Seen__c", &json!("2026-01-31T10:00:00.7+02:00"), Ok(json!("2026-01-31T08:00:00.000+0000")));
        check("Last_Seen__c", &json!("2026-01-31"), Err("JSON_PARSER_ERROR"));
        check("Last_Seen__c", &json!("9999-01-31T10:00:00Z"), Err("FIELD_INTEGRITY_EXCEPTION"));
        check("OwnerId", &json!("nobody"), Err("MALFORMED_ID"));
    }

    proptest! {
        #[test]
        fn no_text_makes_a_field_panic(text in "\\PC{0,60}", digits in "-?[0-9]{1,40}(\\.[0-9]{1,40})?(e-?[0-9]{1,4})?") {
            let lead = standard::objects(0).remove(0);
            for (_, field) in lead.live() {
                let _ = read(field, &Json::String(text.clone()));
                if let Ok(number) = serde_json::from_str::<Json>(&digits) {
                    let _ = read(field, &number);
                }
            }
        }
    }
}
