//! Salesforce's requests and answers as they look on the wire, and values to and from JSON without a digit lost.

use std::collections::{BTreeMap, BTreeSet};

use jiff::fmt::strtime;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use serde_json::value::RawValue;

use super::classify::ApiError;
use crate::domain::ids::RecordId;
use crate::domain::record::{CrmFieldKind, CrmValue};
use crate::domain::time::Timestamp;

/// A row as queries return it and collections take it.
pub(super) type Row = serde_json::Map<String, Json>;

/// Several requests in one counted call.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CompositeRequest<'a> {
    pub all_or_none: bool,
    /// Always false: the parts run in the order given.
    pub collate_subrequests: bool,
    pub composite_request: Vec<Subrequest<'a>>,
}

impl<'a> CompositeRequest<'a> {
    /// These parts, in this order, none undone because another failed.
    pub fn in_order(parts: Vec<Subrequest<'a>>) -> Self {
        Self { all_or_none: false, collate_subrequests: false, composite_request: parts }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Subrequest<'a> {
    pub method: &'static str,
    pub url: String,
    pub reference_id: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub http_headers: BTreeMap<&'static str, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<SubrequestBody<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum SubrequestBody<'a> {
    Collection(Collection<'a>),
    /// The fields of one record.
    Record(Row),
}

/// Up to 200 records to be created or changed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Collection<'a> {
    pub all_or_none: bool,
    pub records: Vec<&'a Row>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CompositeAnswer {
    pub composite_response: Vec<Subanswer>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Subanswer {
    /// `null` where there is none.
    pub body: Option<Box<RawValue>>,
    pub http_status_code: u16,
    pub reference_id: String,
}

impl Subanswer {
    /// The bytes of its body.
    pub fn bytes(&self) -> &[u8] {
        self.body.as_deref().map_or(b"null", |body| body.get().as_bytes())
    }
}

/// One record's result in a collection, in the place of its request.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct SaveResult {
    #[serde(default)]
    pub id: Option<String>,
    pub success: bool,
    #[serde(default)]
    pub errors: Vec<ApiError>,
}

/// One page of a query's answer.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct QueryPage {
    pub done: bool,
    #[serde(default)]
    pub next_records_url: Option<String>,
    #[serde(default)]
    pub records: Vec<Row>,
}

/// A granted token. There is no lifetime in it.
#[derive(Deserialize)]
pub(super) struct TokenAnswer {
    pub access_token: String,
    pub instance_url: String,
    /// `…/id/00D…/005…`: the organisation and the user.
    #[serde(default)]
    pub id: Option<String>,
}

/// The ID in its form of 18 characters, so that equal IDs are equal.
///
/// What is no ID of 15 characters stays as it is.
pub(super) fn full_id(id: &str) -> RecordId {
    const CHECK: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";
    if id.len() != 15 || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return RecordId::new(id);
    }
    let check = id.as_bytes().chunks(5).map(|group| {
        let upper = group.iter().enumerate().filter(|(_, byte)| byte.is_ascii_uppercase());
        let index = upper.fold(0usize, |bits, (place, _)| bits | (1 << place));
        CHECK.get(index).copied().map_or('A', char::from)
    });
    RecordId::new(id.chars().chain(check).collect::<String>())
}

/// The value as a collection takes it: numbers with every digit, moments in UTC, choices in a stable order.
pub(super) fn to_json(value: &CrmValue) -> Json {
    match value {
        CrmValue::Null => Json::Null,
        CrmValue::Text(text) => Json::String(text.clone()),
        // Decimal prints plain digits, which are a JSON number always; as text they would be refused, not changed.
        CrmValue::Number(number) => {
            let digits = number.to_string();
            digits.parse().map_or(Json::String(digits), Json::Number)
        }
        CrmValue::Boolean(flag) => Json::Bool(*flag),
        CrmValue::Date(date) => Json::String(date.to_string()),
        CrmValue::DateTime(moment) => Json::String(moment_text(*moment)),
        CrmValue::Choices(choices) => Json::String(choices.iter().map(String::as_str).collect::<Vec<_>>().join(";")),
    }
}

/// Reads a field's value in the canonical form of its kind; what does not look like its kind stays text.
pub(super) fn from_json(json: &Json, kind: CrmFieldKind) -> CrmValue {
    match (json, kind) {
        (Json::Null, _) => CrmValue::Null,
        (Json::Bool(flag), _) => CrmValue::Boolean(*flag),
        (Json::Number(number), _) => read_number(&number.to_string()),
        (Json::String(text), _) if text.trim().is_empty() => CrmValue::Null,
        (Json::String(text), CrmFieldKind::Date) => {
            text.parse().map_or_else(|_| CrmValue::Text(text.clone()), CrmValue::Date)
        }
        (Json::String(text), CrmFieldKind::DateTime) => {
            read_moment(text).map_or_else(|| CrmValue::Text(text.clone()), CrmValue::DateTime)
        }
        (Json::String(text), CrmFieldKind::MultiPicklist) => {
            let choices: BTreeSet<String> =
                text.split(';').map(str::trim).filter(|choice| !choice.is_empty()).map(str::to_owned).collect();
            if choices.is_empty() { CrmValue::Null } else { CrmValue::Choices(choices) }
        }
        (
            Json::String(text),
            CrmFieldKind::Integer | CrmFieldKind::Decimal | CrmFieldKind::Currency | CrmFieldKind::Percent,
        ) => read_number(text),
        (Json::String(text), _) => CrmValue::Text(text.clone()),
        // Compound values such as addresses; a mapping cannot write them, so they are only shown.
        (Json::Array(_) | Json::Object(_), _) => CrmValue::Text(json.to_string()),
    }
}

/// Reads a moment as Salesforce writes it (`2015-06-26T19:57:32.000+0000`, without a colon) or as RFC 3339 has it.
pub(super) fn read_moment(text: &str) -> Option<Timestamp> {
    let with_offset = || {
        let parts = strtime::parse("%Y-%m-%dT%H:%M:%S%.f%z", text).ok()?;
        Some(Timestamp::from_micros(parts.to_timestamp().ok()?.as_microsecond()))
    };
    Timestamp::parse_rfc3339(text).or_else(with_offset)
}

/// The moment in UTC, to the millisecond; without fraction where there is none.
fn moment_text(moment: Timestamp) -> String {
    let format =
        if moment.as_micros().rem_euclid(1_000_000) < 1_000 { "%Y-%m-%dT%H:%M:%SZ" } else { "%Y-%m-%dT%H:%M:%S%.3fZ" };
    match jiff::Timestamp::from_microsecond(moment.as_micros()) {
        Ok(moment) => moment.strftime(format).to_string(),
        Err(_) => moment.to_string(),
    }
}

/// `Sat, 31 Jan 2026 10:00:00 GMT`, as conditions in headers are written: in whole seconds.
pub(super) fn header_date(moment: Timestamp) -> Option<String> {
    let moment = jiff::Timestamp::from_second(moment.as_seconds()).ok()?;
    Some(moment.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())
}

fn read_number(digits: &str) -> CrmValue {
    let number = Decimal::from_str_exact(digits).or_else(|_| Decimal::from_scientific(digits));
    number.map_or_else(|_| CrmValue::Text(digits.to_owned()), |number| CrmValue::Number(number.normalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_fifteen_characters_get_their_check_characters() {
        assert_eq!(full_id("001D000000IRFma").as_str(), "001D000000IRFmaIAH");
        assert_eq!(full_id("001D000000IRFmaIAH").as_str(), "001D000000IRFmaIAH");
        assert_eq!(full_id("not an id").as_str(), "not an id");
    }

    #[test]
    fn values_are_written_and_read_without_loss() {
        let check = |value: CrmValue, kind: CrmFieldKind, wire: &str| {
            assert_eq!(to_json(&value).to_string(), wire);
            assert_eq!(from_json(&serde_json::from_str(wire).unwrap(), kind), value, "{wire}");
        };
        check(CrmValue::Null, CrmFieldKind::Text, "null");
        check(CrmValue::Text("O\"Neil".into()), CrmFieldKind::Text, r#""O\"Neil""#);
        check(CrmValue::Number("9007199254740993".parse().unwrap()), CrmFieldKind::Decimal, "9007199254740993");
        check(CrmValue::Number("0.1".parse().unwrap()), CrmFieldKind::Percent, "0.1");
        check(CrmValue::Number("-45.5".parse().unwrap()), CrmFieldKind::Currency, "-45.5");
        check(CrmValue::Boolean(true), CrmFieldKind::Boolean, "true");
        check(CrmValue::Date("2026-01-31".parse().unwrap()), CrmFieldKind::Date, r#""2026-01-31""#);
        let moment = Timestamp::parse_rfc3339("2026-01-31T10:00:00Z").unwrap();
        check(CrmValue::DateTime(moment), CrmFieldKind::DateTime, r#""2026-01-31T10:00:00Z""#);
        let choices = BTreeSet::from(["b".to_owned(), "a".to_owned()]);
        check(CrmValue::Choices(choices), CrmFieldKind::MultiPicklist, r#""a;b""#);
    }

    #[test]
    fn what_salesforce_writes_differently_is_read_as_the_same_value() {
        let check = |wire: &str, kind: CrmFieldKind, expected: CrmValue| {
            assert_eq!(from_json(&serde_json::from_str(wire).unwrap(), kind), expected, "{wire}");
        };
        check("120000.00", CrmFieldKind::Currency, CrmValue::Number(Decimal::from(120_000)));
        check("1.2E7", CrmFieldKind::Currency, CrmValue::Number(Decimal::from(12_000_000)));
        check("1e999", CrmFieldKind::Decimal, CrmValue::Text("1e+999".into()));
        check("\" \"", CrmFieldKind::Text, CrmValue::Null);
        check("\";\"", CrmFieldKind::MultiPicklist, CrmValue::Null);
        let moment = Timestamp::parse_rfc3339("2015-06-26T19:57:32Z").unwrap();
        check("\"2015-06-26T19:57:32.000+0000\"", CrmFieldKind::DateTime, CrmValue::DateTime(moment));
        check("\"2015-06-26T21:57:32.000+0200\"", CrmFieldKind::DateTime, CrmValue::DateTime(moment));
        check("\"soon\"", CrmFieldKind::DateTime, CrmValue::Text("soon".into()));
    }

    #[test]
    fn conditions_are_in_whole_seconds_and_never_later_than_the_moment() {
        let date = |text: &str| header_date(Timestamp::parse_rfc3339(text).unwrap());
        assert_eq!(date("2026-01-31T10:00:00.999Z").as_deref(), Some("Sat, 31 Jan 2026 10:00:00 GMT"));
    }

    #[test]
    fn moments_are_written_to_the_millisecond() {
        let moment = Timestamp::parse_rfc3339("2026-01-31T10:00:00.123456Z").unwrap();
        assert_eq!(to_json(&CrmValue::DateTime(moment)), "2026-01-31T10:00:00.123Z");
    }
}
