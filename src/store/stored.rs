//! The JSON forms of domain types as both databases store them.
//!
//! They are part of the schema: what is written here must be read by every later version. Parts of a row's identity (a
//! lead's key, a conflict's kind) have columns of their own and are not repeated.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::domain::ids::{FieldName, LeadKey, RecordId, RecordRef};
use crate::domain::matching::MatchedBy;
use crate::domain::plan::{
    BasePair, CandidateSummary, Choice, ConflictKind, Decision, LeftOut, Question, Resolution, Rule, RuleAction,
};
use crate::domain::record::CrmValue;
use crate::domain::time::Timestamp;

use super::types::Refusal;

/// Bases, kept pairs, announced values: one pair per CRM field.
pub type Pairs = BTreeMap<FieldName, BasePair>;

/// A person's answer to a conflict, beside the question that it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonsAnswer {
    pub choice: Choice,
    pub by: String,
    pub at: Timestamp,
    pub note: Option<String>,
}

impl PersonsAnswer {
    /// The answer as planning uses it: it holds for what the person saw in the question.
    pub fn resolve(&self, question: &Question) -> Resolution {
        let candidates = question.candidates.iter().map(|candidate| candidate.record.clone());
        Resolution {
            kind: question.kind,
            field: question.field.clone(),
            choice: self.choice.clone(),
            seen_lead: question.lead.clone(),
            seen_crm: question.crm.clone(),
            seen_records: question
                .record
                .iter()
                .cloned()
                .chain(candidates)
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect(),
        }
    }
}

/// Writes pairs as an object by field.
pub fn pairs_to_json(pairs: &Pairs) -> String {
    let stored: BTreeMap<&str, StoredPair<'_>> =
        pairs.iter().map(|(field, pair)| (field.as_str(), StoredPair::from(pair))).collect();
    write(&stored)
}

/// Reads what [`pairs_to_json`] wrote.
pub fn pairs_from_json(text: &str) -> Result<Pairs, serde_json::Error> {
    let stored: BTreeMap<String, StoredPair<'_>> = serde_json::from_str(text)?;
    Ok(stored.into_iter().map(|(field, pair)| (FieldName::new(field), pair.into())).collect())
}

/// Writes the rows that are left out, as an object by field.
pub fn left_out_to_json(left_out: &LeftOut) -> String {
    let stored: BTreeMap<&str, Option<StoredPair>> =
        left_out.iter().map(|(field, pair)| (field.as_str(), pair.as_ref().map(StoredPair::from))).collect();
    write(&stored)
}

/// Reads what [`left_out_to_json`] wrote.
pub fn left_out_from_json(text: &str) -> Result<LeftOut, serde_json::Error> {
    let stored: BTreeMap<String, Option<StoredPair>> = serde_json::from_str(text)?;
    Ok(stored.into_iter().map(|(field, pair)| (FieldName::new(field), pair.map(BasePair::from))).collect())
}

/// Writes the decisions of one log row.
pub fn decisions_to_json(decisions: &[Decision]) -> String {
    write(&decisions.iter().map(StoredDecision::from).collect::<Vec<_>>())
}

/// Reads what [`decisions_to_json`] wrote.
pub fn decisions_from_json(text: &str) -> Result<Vec<Decision>, serde_json::Error> {
    let stored: Vec<StoredDecision<'_>> = serde_json::from_str(text)?;
    Ok(stored.into_iter().map(Decision::from).collect())
}

/// Writes a question without its kind and field.
pub fn question_to_json(question: &Question) -> String {
    write(&StoredQuestion::from(question))
}

/// Reads what [`question_to_json`] wrote.
pub fn question_from_json(
    kind: ConflictKind,
    field: Option<FieldName>,
    text: &str,
) -> Result<Question, serde_json::Error> {
    let stored: StoredQuestion<'_> = serde_json::from_str(text)?;
    Ok(Question {
        kind,
        field,
        record: stored.record.map(RecordRef::from),
        base: stored.base.map(BasePair::from),
        lead: stored.lead.map(StoredValue::into_value),
        crm: stored.crm.map(StoredValue::into_value),
        candidates: stored.candidates.into_iter().map(CandidateSummary::from).collect(),
        other: stored.other.map(|(source, id)| LeadKey::new(source.as_str(), id.as_str())),
        duplicate_rule: stored.duplicate_rule.map(RuleAction::from),
        detail: stored.detail,
    })
}

/// Writes a person's answer.
pub fn answer_to_json(answer: &PersonsAnswer) -> String {
    write(&StoredAnswer {
        choice: StoredChoice::from(&answer.choice),
        by: answer.by.clone(),
        at: answer.at.as_micros(),
        note: answer.note.clone(),
    })
}

/// Reads what [`answer_to_json`] wrote.
pub fn answer_from_json(text: &str) -> Result<PersonsAnswer, serde_json::Error> {
    let stored: StoredAnswer = serde_json::from_str(text)?;
    Ok(PersonsAnswer {
        choice: stored.choice.into(),
        by: stored.by,
        at: Timestamp::from_micros(stored.at),
        note: stored.note,
    })
}

/// Writes a remembered refusal.
pub fn refusal_to_json(refusal: &Refusal) -> String {
    write(&StoredRefusal {
        fingerprint: refusal.fingerprint.clone(),
        code: refusal.code.clone(),
        at: refusal.at.as_micros(),
        tries: refusal.tries,
    })
}

/// Reads what [`refusal_to_json`] wrote.
pub fn refusal_from_json(text: &str) -> Result<Refusal, serde_json::Error> {
    let stored: StoredRefusal = serde_json::from_str(text)?;
    Ok(Refusal {
        fingerprint: stored.fingerprint,
        code: stored.code,
        at: Timestamp::from_micros(stored.at),
        tries: stored.tries,
    })
}

/// Writes the headers kept of a request.
pub fn headers_to_json(headers: &[(String, String)]) -> String {
    write(&headers)
}

/// Reads what [`headers_to_json`] wrote.
pub fn headers_from_json(text: &str) -> Result<Vec<(String, String)>, serde_json::Error> {
    serde_json::from_str(text)
}

fn write<T: Serialize>(stored: &T) -> String {
    serde_json::to_string(stored).expect("stored forms have text for keys, so each can be written")
}

/// `"null"`, `{"text":"Ada"}`, `{"number":"45.5"}`, … so that no value is taken for one of another type.
struct StoredValue<'a>(Cow<'a, CrmValue>);

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PlainValue<'a> {
    Null,
    Text(Cow<'a, str>),
    Number(String),
    Boolean(bool),
    Date(String),
    /// Microseconds since the epoch.
    Datetime(i64),
    Choices(Cow<'a, BTreeSet<String>>),
}

impl Serialize for StoredValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let plain = match &*self.0 {
            CrmValue::Null => PlainValue::Null,
            CrmValue::Text(text) => PlainValue::Text(text.into()),
            CrmValue::Number(number) => PlainValue::Number(number.to_string()),
            CrmValue::Boolean(flag) => PlainValue::Boolean(*flag),
            CrmValue::Date(date) => PlainValue::Date(date.to_string()),
            CrmValue::DateTime(moment) => PlainValue::Datetime(moment.as_micros()),
            CrmValue::Choices(choices) => PlainValue::Choices(Cow::Borrowed(choices)),
        };
        plain.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for StoredValue<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = match PlainValue::deserialize(deserializer)? {
            PlainValue::Null => CrmValue::Null,
            PlainValue::Text(text) => CrmValue::Text(text.into_owned()),
            PlainValue::Number(number) => CrmValue::Number(number.parse().map_err(D::Error::custom)?),
            PlainValue::Boolean(flag) => CrmValue::Boolean(flag),
            PlainValue::Date(date) => CrmValue::Date(date.parse().map_err(D::Error::custom)?),
            PlainValue::Datetime(micros) => CrmValue::DateTime(Timestamp::from_micros(micros)),
            PlainValue::Choices(choices) => CrmValue::Choices(choices.into_owned()),
        };
        Ok(Self(Cow::Owned(value)))
    }
}

impl StoredValue<'_> {
    fn into_value(self) -> CrmValue {
        self.0.into_owned()
    }
}

fn value(value: Option<&CrmValue>) -> Option<StoredValue<'_>> {
    value.map(|value| StoredValue(Cow::Borrowed(value)))
}

#[derive(Serialize, Deserialize)]
struct StoredPair<'a> {
    lead: StoredValue<'a>,
    crm: StoredValue<'a>,
}

impl<'a> From<&'a BasePair> for StoredPair<'a> {
    fn from(pair: &'a BasePair) -> Self {
        Self { lead: StoredValue(Cow::Borrowed(&pair.lead)), crm: StoredValue(Cow::Borrowed(&pair.crm)) }
    }
}

impl From<StoredPair<'_>> for BasePair {
    fn from(pair: StoredPair<'_>) -> Self {
        Self { lead: pair.lead.into_value(), crm: pair.crm.into_value() }
    }
}

#[derive(Serialize, Deserialize)]
struct StoredRecord {
    object: String,
    id: String,
}

impl From<&RecordRef> for StoredRecord {
    fn from(record: &RecordRef) -> Self {
        Self { object: record.object.as_str().to_owned(), id: record.id.as_str().to_owned() }
    }
}

impl From<StoredRecord> for RecordRef {
    fn from(record: StoredRecord) -> Self {
        Self { object: record.object.as_str().into(), id: RecordId::new(record.id) }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Rule", rename_all = "snake_case")]
enum StoredRule {
    Agreed,
    Created,
    LeadChanged,
    FilledBlank,
    LeadWins,
    CrmWins,
    LatestWins,
    Merged,
    Enforced,
    Drift,
    Review,
    Resolved,
    Invalid,
    Default,
    Shared,
    NotWritable,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "MatchedBy", rename_all = "snake_case")]
enum StoredMatchedBy {
    Link,
    ExternalId,
    Email,
    NameAndCompanyDomain,
    CompanyDomain,
    CompanyName,
    CompanyContacts,
    DuplicateRule,
}

#[derive(Serialize, Deserialize)]
struct StoredDecision<'a> {
    field: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base: Option<StoredPair<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lead: Option<StoredValue<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crm: Option<StoredValue<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    written: Option<StoredValue<'a>>,
    #[serde(with = "StoredRule")]
    rule: Rule,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<Cow<'a, str>>,
}

impl<'a> From<&'a Decision> for StoredDecision<'a> {
    fn from(decision: &'a Decision) -> Self {
        Self {
            field: decision.field.as_str().into(),
            base: decision.base.as_ref().map(StoredPair::from),
            lead: value(decision.lead.as_ref()),
            crm: value(decision.crm.as_ref()),
            written: value(decision.written.as_ref()),
            rule: decision.rule,
            note: decision.note.as_deref().map(Cow::Borrowed),
        }
    }
}

impl From<StoredDecision<'_>> for Decision {
    fn from(stored: StoredDecision<'_>) -> Self {
        Self {
            field: FieldName::from(&*stored.field),
            base: stored.base.map(BasePair::from),
            lead: stored.lead.map(StoredValue::into_value),
            crm: stored.crm.map(StoredValue::into_value),
            written: stored.written.map(StoredValue::into_value),
            rule: stored.rule,
            note: stored.note.map(Cow::into_owned),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct StoredQuestion<'a> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    record: Option<StoredRecord>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base: Option<StoredPair<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lead: Option<StoredValue<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crm: Option<StoredValue<'a>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    candidates: Vec<StoredCandidate>,
    /// Source and ID of the lead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    other: Option<(String, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    duplicate_rule: Option<StoredRuleAction>,
    detail: String,
}

impl<'a> From<&'a Question> for StoredQuestion<'a> {
    fn from(question: &'a Question) -> Self {
        let other = question.other.as_ref();
        Self {
            record: question.record.as_ref().map(StoredRecord::from),
            base: question.base.as_ref().map(StoredPair::from),
            lead: value(question.lead.as_ref()),
            crm: value(question.crm.as_ref()),
            candidates: question.candidates.iter().map(StoredCandidate::from).collect(),
            other: other.map(|lead| (lead.source.as_str().to_owned(), lead.id.as_str().to_owned())),
            duplicate_rule: question.duplicate_rule.map(StoredRuleAction::from),
            detail: question.detail.clone(),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredRuleAction {
    Alert,
    Block,
}

impl From<RuleAction> for StoredRuleAction {
    fn from(action: RuleAction) -> Self {
        match action {
            RuleAction::Alert => Self::Alert,
            RuleAction::Block => Self::Block,
        }
    }
}

impl From<StoredRuleAction> for RuleAction {
    fn from(stored: StoredRuleAction) -> Self {
        match stored {
            StoredRuleAction::Alert => Self::Alert,
            StoredRuleAction::Block => Self::Block,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct StoredCandidate {
    record: StoredRecord,
    #[serde(with = "StoredMatchedBy")]
    by: MatchedBy,
    speaks: String,
}

impl From<&CandidateSummary> for StoredCandidate {
    fn from(candidate: &CandidateSummary) -> Self {
        Self { record: StoredRecord::from(&candidate.record), by: candidate.by, speaks: candidate.speaks.clone() }
    }
}

impl From<StoredCandidate> for CandidateSummary {
    fn from(stored: StoredCandidate) -> Self {
        Self { record: stored.record.into(), by: stored.by, speaks: stored.speaks }
    }
}

#[derive(Serialize, Deserialize)]
struct StoredAnswer {
    choice: StoredChoice,
    by: String,
    at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredChoice {
    Lead,
    Crm,
    Value(String),
    Record(StoredRecord),
    Create,
}

impl From<&Choice> for StoredChoice {
    fn from(choice: &Choice) -> Self {
        match choice {
            Choice::Lead => StoredChoice::Lead,
            Choice::Crm => StoredChoice::Crm,
            Choice::Value(text) => StoredChoice::Value(text.clone()),
            Choice::Record(record) => StoredChoice::Record(record.into()),
            Choice::Create => StoredChoice::Create,
        }
    }
}

impl From<StoredChoice> for Choice {
    fn from(choice: StoredChoice) -> Self {
        match choice {
            StoredChoice::Lead => Choice::Lead,
            StoredChoice::Crm => Choice::Crm,
            StoredChoice::Value(text) => Choice::Value(text),
            StoredChoice::Record(record) => Choice::Record(record.into()),
            StoredChoice::Create => Choice::Create,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct StoredRefusal {
    fingerprint: String,
    code: String,
    at: i64,
    tries: u32,
}

#[cfg(test)]
mod tests;
