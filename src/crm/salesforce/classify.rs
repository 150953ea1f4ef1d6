//! Reads Salesforce's errors as decisions for the queue. Pure; by code, and by text only where the code says too little.

mod codes;

use std::time::Duration;

use serde::Deserialize;

use self::codes::{CODES, Class, Code, OWN};
use super::wire::full_id;
use crate::crm::CrmError;
use crate::domain::ids::{FieldName, RecordRef};

/// More logins than the user may make.
const LOGIN_RATE: &str = "LOGIN_RATE_EXCEEDED";

/// What a save is refused with that a duplicate rule finds the like of.
const DUPLICATES_DETECTED: &str = "DUPLICATES_DETECTED";

/// What an error code means and what a person can do, in plain words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remedy {
    pub means: &'static str,
    pub todo: &'static str,
}

/// What the code means and what to do about it; never fails, for a code that nobody knows too.
pub fn remedy(code: &str) -> Remedy {
    // `http_502` and the like: an answer without a code of Salesforce's.
    let code = if code.starts_with("http_") { "http" } else { code };
    let own = || OWN.iter().find(|(name, _)| *name == code).map(|(_, remedy)| *remedy);
    known(code).map(|known| known.remedy).or_else(own).unwrap_or(Remedy {
        means: "Salesforce gave an error that this program does not know.",
        todo: "Look the code up in Salesforce's documentation; the request ID in the sync log finds the request.",
    })
}

/// One element of an error answer. Collections say `statusCode` where everything else says `errorCode`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct ApiError {
    #[serde(default, alias = "statusCode", rename = "errorCode")]
    pub code: String,
    #[serde(default)]
    pub message: String,
    #[serde(default)]
    pub fields: Vec<String>,
    /// The key is misspelt on the wire.
    #[serde(default, alias = "duplicateResult", rename = "duplicateResut")]
    duplicate: Option<DuplicateResult>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct DuplicateResult {
    /// Of the rule: whether the same is saved for who insists.
    allow_save: Option<bool>,
    /// The rule's API name.
    duplicate_rule: Option<String>,
    match_results: Vec<MatchResult>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct MatchResult {
    match_records: Vec<MatchRecord>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct MatchRecord {
    record: MatchedId,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct MatchedId {
    #[serde(rename = "Id")]
    id: Option<String>,
    attributes: MatchedAttributes,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct MatchedAttributes {
    /// The kind of record.
    #[serde(rename = "type")]
    object: Option<String>,
}

/// The errors that a body names; none if it is not an error answer of Salesforce's.
pub(super) fn read_errors(body: &[u8]) -> Vec<ApiError> {
    let errors: Vec<ApiError> = serde_json::from_slice(body).unwrap_or_default();
    errors.into_iter().filter(|error| !error.code.is_empty()).collect()
}

/// Reads an answer that is no success as a decision for the queue.
///
/// Of several errors the one that needs most counts; the fields that they name are put together.
pub(super) fn classify(status: u16, retry_after: Option<Duration>, errors: &[ApiError]) -> CrmError {
    if status == 429 {
        return CrmError::throttled(retry_after);
    }
    let worst = errors.iter().map(|error| classify_one(status, retry_after, error)).max_by_key(weight);
    match worst {
        Some(CrmError::Refused { code, message, .. }) => {
            let mut fields: Vec<FieldName> = Vec::new();
            add_new(&mut fields, errors.iter().flat_map(|error| &error.fields).map(|name| name.as_str().into()));
            CrmError::Refused { code, message, fields }
        }
        Some(CrmError::Duplicate { code, .. }) if code == DUPLICATES_DETECTED => found_by_rules(errors),
        Some(error) => error,
        None => without_code(status),
    }
}

/// All that the duplicate rules found: each that found something tells in an element of its own.
fn found_by_rules(errors: &[ApiError]) -> CrmError {
    let (mut messages, mut records, mut rules) = (Vec::new(), Vec::new(), Vec::new());
    let mut blocks = false;
    for error in errors.iter().filter(|error| error.code == DUPLICATES_DETECTED) {
        add_new(&mut messages, [without_query(&error.message)]);
        add_new(&mut records, duplicates_of(error));
        if let Some(said) = &error.duplicate {
            add_new(&mut rules, said.duplicate_rule.clone());
            blocks |= said.allow_save == Some(false);
        }
    }
    let rule = (!rules.is_empty()).then(|| rules.join(" and "));
    let (code, message) = (DUPLICATES_DETECTED.to_owned(), messages.join(" "));
    CrmError::Duplicate { code, message, fields: Vec::new(), records, rule, blocks }
}

/// Adds what is not there yet.
fn add_new<T: PartialEq>(known: &mut Vec<T>, more: impl IntoIterator<Item = T>) {
    for one in more {
        if !known.contains(&one) {
            known.push(one);
        }
    }
}

/// Whether a 401 means that a new token may help: expiry, not a token of the wrong kind.
pub(super) fn is_expired_session(errors: &[ApiError]) -> bool {
    errors.iter().any(|error| {
        error.code == "INVALID_SESSION_ID"
            && !error.message.contains("This session is not valid for use with the REST API")
            && !error.message.contains("Connected app is not attached to Agent")
    })
}

/// What follows for each of `records` writes or lookups when the request that carried them all was refused: one of them
/// may have caused what hits the others unjustly, so all are repeated in smaller company; what stood alone bears it.
pub(super) fn of_the_whole(error: CrmError, records: usize) -> CrmError {
    let shrinkable =
        |code: &str| code == "answer_too_large" || known(code).is_some_and(|known| known.class == Class::TooMuch);
    match error {
        CrmError::Refused { code, .. }
        | CrmError::Unfamiliar { code, .. }
        | CrmError::Duplicate { code, .. }
        | CrmError::Gone { code, .. }
            if records > 1 =>
        {
            CrmError::Collateral { code }
        }
        CrmError::Unavailable { code, .. } if records > 1 && shrinkable(&code) => CrmError::Collateral { code },
        other => other,
    }
}

/// Reads a refusal of the token endpoint, whose error body is an object.
pub(super) fn classify_login(status: u16, retry_after: Option<Duration>, body: &[u8]) -> CrmError {
    #[derive(Deserialize)]
    struct LoginError {
        error: String,
        #[serde(default)]
        error_description: String,
    }
    if status == 429 {
        return CrmError::throttled(retry_after);
    }
    let Ok(LoginError { error, error_description }) = serde_json::from_slice(body) else {
        return match read_errors(body) {
            errors if !errors.is_empty() => classify(status, retry_after, &errors),
            _ if status >= 500 || status == 420 => without_code(status),
            _ => unreadable(status),
        };
    };
    if error.eq_ignore_ascii_case(LOGIN_RATE) || error_description.eq_ignore_ascii_case("login rate exceeded") {
        return CrmError::Throttled { code: LOGIN_RATE, retry_after };
    }
    if status >= 500 {
        return CrmError::Unavailable { code: error, detail: error_description };
    }
    let detail = if error_description.is_empty() { error.clone() } else { format!("{error}: {error_description}") };
    let code = login_refusal(&error, &error_description).map_or(error, str::to_owned);
    CrmError::Unauthorised { code, detail }
}

/// Our own word for what `invalid_grant` says in its text only: each cause is mended in another place.
fn login_refusal(error: &str, description: &str) -> Option<&'static str> {
    if !error.eq_ignore_ascii_case("invalid_grant") {
        return None;
    }
    let description = description.to_ascii_lowercase().replace('\u{2019}', "'");
    let known = [
        ("no client credentials user enabled", "login_without_user"),
        ("hasn't approved this consumer", "login_not_approved"),
        ("audience is invalid", "login_audience"),
        ("expired authorization code", "login_expired"),
        ("invalid assertion", "login_assertion"),
        ("inactive user", "login_inactive_user"),
        ("ip restricted", "login_address"),
    ];
    known.iter().find(|(text, _)| description.contains(text)).map(|(_, word)| *word)
}

/// An answer that is not Salesforce's: an HTML page, JSON of another shape, a redirect.
pub(super) fn unreadable(status: u16) -> CrmError {
    CrmError::Unavailable {
        code: "answer_unreadable".into(),
        detail: format!("HTTP {status} with a body that is not Salesforce's"),
    }
}

fn known(code: &str) -> Option<&'static Code> {
    CODES.iter().find(|known| known.name.eq_ignore_ascii_case(code))
}

fn classify_one(status: u16, retry_after: Option<Duration>, error: &ApiError) -> CrmError {
    let code = error.code.clone();
    let message = without_query(&error.message);
    let Some(known) = known(&error.code) else {
        return match status {
            500.. => CrmError::Unavailable { code, detail: message },
            401 => CrmError::Unauthorised { code, detail: message },
            // What the code is called where a condition fails is not documented.
            412 => CrmError::Changed { code },
            _ if error.code.starts_with("LOGIN_") => CrmError::Unauthorised { code, detail: message },
            _ => CrmError::Unfamiliar { code, message },
        };
    };
    match known.class {
        Class::Login => CrmError::Unauthorised { code, detail: message },
        Class::RequestLimit if message.contains("Concurrent") => CrmError::throttled(retry_after),
        Class::RequestLimit => CrmError::BudgetSpent { code, until: None },
        Class::Throttle => CrmError::Throttled { code: known.name, retry_after },
        Class::Retry | Class::TooMuch => CrmError::Unavailable { code, detail: message },
        Class::Trigger if names_a_passing_cause(&message) => CrmError::Unavailable { code, detail: message },
        Class::Refused if says_that_the_record_is_missing(status, error) => CrmError::Gone { code, merged_into: None },
        Class::Trigger | Class::Refused => {
            CrmError::Refused { code, message, fields: error.fields.iter().map(|name| name.as_str().into()).collect() }
        }
        Class::Schema => CrmError::SchemaDrift { code, field: drifted_field(error), message },
        Class::Duplicate => {
            let (fields, records) = (taken_fields(error), duplicates_of(error));
            CrmError::Duplicate { code, message, fields, records, rule: None, blocks: false }
        }
        Class::Gone => CrmError::Gone { code, merged_into: None },
        Class::Changed => CrmError::Changed { code },
        Class::Converted => CrmError::Converted { to: None },
        Class::Collateral => CrmError::Collateral { code },
        Class::Operator => CrmError::Operator { code, message },
    }
}

fn without_code(status: u16) -> CrmError {
    let (code, detail) = (format!("http_{status}"), format!("HTTP {status} without an error code"));
    match status {
        300 => CrmError::Duplicate {
            code,
            message: "several records hold the external ID".into(),
            fields: Vec::new(),
            records: Vec::new(),
            rule: None,
            blocks: false,
        },
        401 => CrmError::Unauthorised { code, detail },
        412 => CrmError::Changed { code: "PRECONDITION_FAILED".into() },
        400..=499 if status != 420 => CrmError::Unfamiliar { code, message: detail },
        _ => CrmError::Unavailable { code, detail },
    }
}

/// How much an error outweighs its neighbours in one answer.
fn weight(error: &CrmError) -> u8 {
    match error {
        CrmError::Unauthorised { .. } => 13,
        CrmError::BudgetSpent { .. } => 12,
        CrmError::Throttled { .. } => 11,
        CrmError::SchemaDrift { .. } => 10,
        CrmError::Operator { .. } => 9,
        CrmError::Converted { .. } => 8,
        CrmError::Gone { .. } => 7,
        CrmError::Refused { .. } => 6,
        CrmError::Unfamiliar { .. } => 5,
        CrmError::Changed { .. } => 4,
        CrmError::Duplicate { .. } => 3,
        CrmError::Unknown { .. } => 2,
        CrmError::Unavailable { .. } => 1,
        CrmError::Collateral { .. } => 0,
    }
}

/// A trigger or flow passes on what the platform told it.
fn names_a_passing_cause(message: &str) -> bool {
    ["UNABLE_TO_LOCK_ROW", "LIMIT_EXCEEDED", "LimitException"].iter().any(|cause| message.contains(cause))
}

/// The same code says that a referenced record is missing (then a field is named) or that the written one is: of a record
/// with an address of its own in the status, of others in the text, which is in our user's language.
fn says_that_the_record_is_missing(status: u16, error: &ApiError) -> bool {
    error.code == "INVALID_CROSS_REFERENCE_KEY"
        && error.fields.is_empty()
        && (status == 404 || error.message.eq_ignore_ascii_case("invalid cross reference id"))
}

/// The text without the query that Salesforce repeats in it, with a caret under the trouble: queries hold people's data.
fn without_query(message: &str) -> String {
    let repeats = |line: &str| line.trim() == "^" || line.starts_with("ERROR at Row:");
    let lines: Vec<&str> = message.lines().collect();
    match lines.iter().rposition(|line| repeats(line)) {
        Some(last) => lines[last + 1..].join("\n"),
        None => message.to_owned(),
    }
}

/// The field by `fields`, else by the text: `No such column 'Foo__c' on entity 'Lead'`.
fn drifted_field(error: &ApiError) -> Option<FieldName> {
    if let Some(field) = error.fields.first() {
        return Some(field.as_str().into());
    }
    if !error.code.eq_ignore_ascii_case("INVALID_FIELD") {
        return None;
    }
    let (_, told) = error.message.rsplit_once("No such column '")?;
    let (name, _) = told.split_once('\'')?;
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_name.then(|| name.into())
}

/// The fields whose value another record holds: listed, or named as in "duplicate value found: Key__c duplicates value on
/// record with id: 00Q…".
fn taken_fields(error: &ApiError) -> Vec<FieldName> {
    let told = error.message.strip_prefix("duplicate value found: ").and_then(|told| told.split_once(" duplicates "));
    let named = told.map(|(field, _)| field).filter(|field| is_name(field));
    error.fields.iter().map(String::as_str).chain(named).map(FieldName::from).collect()
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|sign| sign.is_ascii_alphanumeric() || sign == '_')
}

/// The records that are there already: all that the duplicate rule matched, else the one at the end of
/// `duplicate value found: Ext__c duplicates value on record with id: 00Q…`.
fn duplicates_of(error: &ApiError) -> Vec<RecordRef> {
    let listed =
        error.duplicate.iter().flat_map(|result| &result.match_results).flat_map(|result| &result.match_records);
    let reference = |found: &MatchRecord| {
        let MatchedId { id, attributes } = &found.record;
        let id = id.as_deref()?;
        match attributes.object.as_deref() {
            Some(object) => Some(RecordRef { object: object.into(), id: full_id(id) }),
            None => record_named(id),
        }
    };
    let mut found: Vec<RecordRef> = Vec::new();
    // Two of a rule's matching rules may find the same one.
    add_new(&mut found, listed.filter_map(reference));
    if found.is_empty() {
        let tail = error.message.rsplit_once(':').map(|(_, tail)| tail.trim().trim_end_matches('.'));
        found.extend(tail.and_then(record_named));
    }
    found
}

/// The record that an ID is of, where its beginning tells the kind.
pub fn record_named(id: &str) -> Option<RecordRef> {
    let is_id = matches!(id.len(), 15 | 18) && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let known = [("00Q", "Lead"), ("003", "Contact"), ("001", "Account")];
    let (_, object) = known.iter().find(|(prefix, _)| is_id && id.starts_with(prefix))?;
    Some(RecordRef { object: (*object).into(), id: full_id(id) })
}

#[cfg(test)]
mod tests;
