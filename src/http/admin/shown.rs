//! How the domain's values look in the API.

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::ids::RecordRef;
use crate::domain::plan::BasePair;
use crate::domain::record::CrmValue;
use crate::domain::time::Timestamp;

/// A moment in UTC, as RFC 3339.
#[derive(Debug, Serialize, ToSchema)]
#[schema(value_type = String, format = DateTime, example = "2026-01-31T12:00:00Z")]
pub struct Time(String);

impl From<Timestamp> for Time {
    fn from(moment: Timestamp) -> Self {
        Self(moment.to_string())
    }
}

/// A CRM record.
#[derive(Debug, Serialize, ToSchema)]
pub struct Record {
    #[schema(example = "Lead")]
    pub object: String,
    #[schema(example = "00Q5g00000AbCdEFGH")]
    pub id: String,
}

impl From<RecordRef> for Record {
    fn from(record: RecordRef) -> Self {
        Self { object: record.object.to_string(), id: record.id.to_string() }
    }
}

/// A value of a CRM field. Numbers are text, so that no digit is lost; several chosen values are a list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Shown {
    Null,
    Boolean(bool),
    Text(String),
    Choices(Vec<String>),
}

impl From<CrmValue> for Shown {
    fn from(value: CrmValue) -> Self {
        match value {
            CrmValue::Null => Shown::Null,
            CrmValue::Text(text) => Shown::Text(text),
            CrmValue::Number(number) => Shown::Text(number.to_string()),
            CrmValue::Boolean(flag) => Shown::Boolean(flag),
            CrmValue::Date(date) => Shown::Text(date.to_string()),
            CrmValue::DateTime(moment) => Shown::Text(moment.to_string()),
            CrmValue::Choices(choices) => Shown::Choices(choices.into_iter().collect()),
        }
    }
}

/// The pair of values that both sides last settled on.
#[derive(Debug, Serialize, ToSchema)]
pub struct Base {
    pub lead: Shown,
    pub crm: Shown,
}

impl From<BasePair> for Base {
    fn from(base: BasePair) -> Self {
        Self { lead: base.lead.into(), crm: base.crm.into() }
    }
}

/// How many were touched.
#[derive(Debug, Serialize, ToSchema)]
pub struct Count {
    pub count: u64,
}
