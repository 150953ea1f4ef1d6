//! A field's value as the org keeps it, and how JSON and queries see it.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::Date;
use rust_decimal::Decimal;
use serde_json::Value as Json;

use super::schema::Kind;

/// A value that is not null; a field without one is absent from its row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Bool(bool),
    Number(Decimal),
    Text(Arc<str>),
    Date(Date),
    /// Seconds since 1970: the org keeps no fractions.
    Moment(i64),
}

impl Value {
    pub fn text(text: impl Into<Arc<str>>) -> Self {
        Self::Text(text.into())
    }

    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// As answers show it; whole numbers of a decimal field keep one place, as an org's do (`87.0`).
    pub fn to_json(&self, kind: Kind) -> Json {
        match self {
            Self::Bool(flag) => Json::Bool(*flag),
            Self::Text(text) => Json::String(text.to_string()),
            Self::Date(date) => Json::String(date.to_string()),
            Self::Moment(seconds) => Json::String(moment_text(*seconds)),
            Self::Number(number) => {
                let number = number.normalize();
                let text = match kind {
                    Kind::Int => number.to_string(),
                    _ if number.scale() == 0 => format!("{number}.0"),
                    _ => number.to_string(),
                };
                text.parse::<serde_json::Number>().map_or(Json::Null, Json::Number)
            }
        }
    }

    /// What two values that an org calls equal have in common.
    pub fn key(&self, case_sensitive: bool) -> Cow<'_, str> {
        match self {
            Self::Text(text) if case_sensitive => Cow::Borrowed(text),
            Self::Text(text) => Cow::Owned(text.to_lowercase()),
            Self::Bool(flag) => Cow::Borrowed(if *flag { "true" } else { "false" }),
            Self::Number(number) => Cow::Owned(number.normalize().to_string()),
            Self::Date(date) => Cow::Owned(date.to_string()),
            Self::Moment(seconds) => Cow::Owned(seconds.to_string()),
        }
    }

    /// The order of two values of one field; text ignores case unless the field says otherwise.
    pub fn order(&self, other: &Self, case_sensitive: bool) -> Ordering {
        match (self, other) {
            (Self::Number(left), Self::Number(right)) => left.cmp(right),
            (Self::Moment(left), Self::Moment(right)) => left.cmp(right),
            (Self::Date(left), Self::Date(right)) => left.cmp(right),
            _ => self.key(case_sensitive).cmp(&other.key(case_sensitive)),
        }
    }
}

/// `2026-01-31T10:00:00.000+0000`: the org's spelling, with an offset that has no colon.
pub(super) fn moment_text(seconds: i64) -> String {
    Timestamp::from_second(seconds)
        .map_or_else(|_| String::new(), |at| at.strftime("%Y-%m-%dT%H:%M:%S.000+0000").to_string())
}

/// `Sat, 31 Jan 2026 10:00:00 GMT`, for headers.
pub(super) fn http_date(seconds: i64) -> String {
    Timestamp::from_second(seconds)
        .map_or_else(|_| String::new(), |at| at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())
}

/// Reads a header's date; only the form of [`http_date`] is one.
pub(super) fn parse_http_date(text: &str) -> Option<i64> {
    let wanted = text.trim();
    let civil = jiff::civil::DateTime::strptime("%a, %d %b %Y %H:%M:%S GMT", wanted).ok()?;
    Some(civil.to_zoned_datetime(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second())
}

/// Reads `2026-01-31`, and nothing looser.
pub(super) fn parse_date(text: &str) -> Option<Date> {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
    if shape != "9999-99-99" {
        return None;
    }
    text.parse().ok()
}

/// Reads `2026-01-31T10:00:00Z`, with up to nine decimals and an offset with or without colon, and nothing looser.
pub(super) fn parse_moment(text: &str) -> Option<i64> {
    if !text.is_ascii() {
        return None;
    }
    let (date, rest) = (text.get(..10)?, text.get(10..)?);
    parse_date(date)?;
    let rest: String = rest.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
    let zone = rest.strip_prefix("T99:99:99")?;
    let zone = match zone.strip_prefix('.') {
        Some(decimals) => {
            let after = decimals.trim_start_matches('9');
            if !(1..=9).contains(&(decimals.len() - after.len())) {
                return None;
            }
            after
        }
        None => zone,
    };
    if !matches!(zone, "Z" | "+99:99" | "-99:99" | "+9999" | "-9999") {
        return None;
    }
    text.parse::<Timestamp>()
        .ok()
        .map(|at| at.as_nanosecond().div_euclid(1_000_000_000))
        .and_then(|s| i64::try_from(s).ok())
}

/// The sandbox's own clock: it stands for a foreign system, whose time the service cannot set.
#[expect(clippy::disallowed_methods, reason = "an org keeps its own time")]
pub(super) fn now() -> Timestamp {
    Timestamp::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_strictly_and_shown_as_an_org_shows_them() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(parse_moment(text).map(moment_text).as_deref(), expected, "{text}");
        };
        check("2026-01-31T10:00:00Z", Some("2026-01-31T10:00:00.000+0000"));
        check("2026-01-31T10:00:00.999+02:00", Some("2026-01-31T08:00:00.000+0000"));
        check("2026-01-31T10:00:00.000+0000", Some("2026-01-31T10:00:00.000+0000"));
        check("1969-12-31T23:59:59.500Z", Some("1969-12-31T23:59:59.000+0000"));
        for wrong in [
            "2026-01-31",
            "2026-01-31 10:00:00Z",
            "2026-01-31T10:00Z",
            "2026-01-31T10:00:00",
            "2026-02-31T10:00:00Z",
            "é",
            "",
        ] {
            check(wrong, None);
        }
    }

    #[test]
    fn header_dates_come_back_as_they_went() {
        assert_eq!(http_date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(parse_http_date(&http_date(1_780_000_000)), Some(1_780_000_000));
        assert_eq!(parse_http_date("yesterday"), None);
    }

    #[test]
    fn numbers_keep_every_digit() {
        let big = Value::Number("9007199254740993".parse().unwrap());
        assert_eq!(big.to_json(Kind::Double).to_string(), "9007199254740993.0");
        assert_eq!(big.to_json(Kind::Int).to_string(), "9007199254740993");
        assert_eq!(Value::Number("12.50".parse().unwrap()).to_json(Kind::Double).to_string(), "12.5");
    }
}
