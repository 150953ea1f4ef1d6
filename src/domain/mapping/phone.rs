//! Phone numbers in E.164, with their extension.

use phonenumber::country::Id;
use phonenumber::metadata::DATABASE;
use phonenumber::{Metadata, PhoneNumber, Type};

use crate::domain::record::FieldSchema;
use crate::domain::value::Value;

use super::convert::{Invalid, Outcome, scalar};
use super::text;

/// The kinds of number whose lengths count; the general plan tells no lengths.
const COMMON: &[Type] = &[Type::FixedLine, Type::Mobile];

/// Those that must look like it, too: Canada has some of seven digits, and a call within a town is none of them.
const SPECIAL: &[Type] =
    &[Type::TollFree, Type::PremiumRate, Type::SharedCost, Type::PersonalNumber, Type::Voip, Type::Pager, Type::Uan];

/// A number as `+12025550118`, or `+12025550118 x45`.
///
/// What is possible by its length is taken: numbering plans move faster than tables of them, and a refused number is a lost one.
pub(super) fn convert(sent: &str, country: Option<Id>, field: Option<&FieldSchema>) -> Outcome {
    let folded: String = sent.trim().chars().map(fold).collect::<String>().to_ascii_lowercase();
    let folded = folded.strip_prefix("tel:").unwrap_or(&folded);
    let (number, extension) = split_extension(folded);
    let dialled = digits(number).ok_or_else(not_a_phone)?;
    let parsed = parse(&dialled, country).ok_or_else(|| match (country, dialled.starts_with('+')) {
        (None, false) => Invalid::new(
            "no_country_code",
            "has no country code and the country is not known; send it as +44 20 …, or set `country` or `country_from` in the row",
        ),
        _ => Invalid::new("not_a_phone", "has too few or too many digits for a phone number of its country"),
    })?;
    let mut out = e164(&parsed);
    if let Some(extension) = extension {
        out = format!("{out} x{extension}");
    }
    text::fits(&out, field)?;
    Ok(text::whole(out))
}

/// The text that may be a phone number. Of a number only its digits are: `49301234.0` would gain one, and a sign would be lost.
pub(super) fn text_of(value: &Value) -> Result<&str, Invalid> {
    match value {
        Value::Number(digits) if !digits.bytes().all(|byte| byte.is_ascii_digit()) => Err(not_a_phone()),
        value => scalar(value),
    }
}

fn not_a_phone() -> Invalid {
    Invalid::new("not_a_phone", "is no phone number; digits with an optional leading + are needed")
}

fn parse(dialled: &str, country: Option<Id>) -> Option<PhoneNumber> {
    let as_sent = if dialled.starts_with('+') {
        possible(None, dialled)
    } else {
        country.and_then(|country| possible(Some(country), dialled))
    };
    // 00 is how most of the world dials +.
    as_sent
        .or_else(|| possible(None, &format!("+{}", dialled.strip_prefix("00")?)))
        // A row of zeros reads as another number each time it is read.
        .filter(|number| possible(None, &e164(number)).is_some_and(|again| e164(&again) == e164(number)))
}

fn possible(country: Option<Id>, dialled: &str) -> Option<PhoneNumber> {
    let number = phonenumber::parse(country, dialled).ok()?;
    let national = number.national().to_string();
    let length = u16::try_from(national.len()).ok()?;
    let plans = DATABASE.by_code(&number.code().value())?;
    let has = |plan: &Metadata, kinds: &[Type], alike: bool| {
        let mut known = kinds.iter().filter_map(|kind| plan.descriptors().get(*kind));
        known.any(|kind| kind.possible_length().contains(&length) && (!alike || kind.is_match(&national)))
    };
    plans.iter().any(|plan| has(plan, COMMON, false) || has(plan, SPECIAL, true)).then_some(number)
}

fn e164(number: &PhoneNumber) -> String {
    format!("+{}{}", number.code().value(), number.national())
}

/// The number's digits, with a leading `+` if it had one; `None` where anything else than digits and punctuation stands.
fn digits(number: &str) -> Option<String> {
    let number = number.trim();
    let international = number.starts_with('+') || number.starts_with("00");
    // The trunk zero in `+44 (0)20` is not dialled from abroad.
    let number = if international { number.replacen("(0)", "", 1) } else { number.to_owned() };
    let (plus, rest) = number.strip_prefix('+').map_or(("", number.as_str()), |rest| ("+", rest));
    let punctuation =
        |c: char| c.is_whitespace() || "-./()[]~\u{2010}\u{2011}\u{2012}\u{2013}\u{2014}\u{2212}\u{30fc}".contains(c);
    if !rest.chars().all(|c| c.is_ascii_digit() || punctuation(c) || is_direction_mark(c)) {
        return None;
    }
    let digits: String = rest.chars().filter(char::is_ascii_digit).collect();
    (3..=20).contains(&digits.len()).then(|| format!("{plus}{digits}"))
}

fn split_extension(number: &str) -> (&str, Option<&str>) {
    for mark in [";ext=", "extension", "ext.", "ext", "x", "#", "durchwahl"] {
        if let Some((front, back)) = number.split_once(mark) {
            let back = back.trim_matches(|c: char| c.is_whitespace() || c == '.' || c == ':');
            let front = front.trim_end_matches(|c: char| c.is_whitespace() || c == ',');
            if (1..=10).contains(&back.len()) && back.bytes().all(|byte| byte.is_ascii_digit()) {
                return (front, Some(back));
            }
        }
    }
    (number, None)
}

fn is_direction_mark(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200b}')
}

/// Full-width and Arabic digits and signs as ASCII ones.
fn fold(c: char) -> char {
    let digit = |zero: char| char::from_digit(u32::from(c) - u32::from(zero), 10).unwrap_or(c);
    match c {
        '\u{ff10}'..='\u{ff19}' => digit('\u{ff10}'),
        '\u{0660}'..='\u{0669}' => digit('\u{0660}'),
        '\u{06f0}'..='\u{06f9}' => digit('\u{06f0}'),
        '\u{0966}'..='\u{096f}' => digit('\u{0966}'),
        '\u{ff0b}' => '+',
        '\u{ff0d}' => '-',
        '\u{ff08}' => '(',
        '\u{ff09}' => ')',
        '\u{ff0e}' => '.',
        '\u{ff0f}' => '/',
        _ => c,
    }
}
