//! What the org says when it refuses something, in the two shapes that its resources use.

use std::borrow::Cow;

use serde_json::{Value as Json, json};

/// One reason why a request or a record was refused.
///
/// Single-record resources show it with `errorCode`, collections with `statusCode`; the words are the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The HTTP status on a call for this one record.
    pub status: u16,
    pub code: Cow<'static, str>,
    pub message: String,
    /// The fields at fault; `None` where the org leaves the key out.
    pub fields: Option<Vec<String>>,
    /// What a duplicate rule found.
    pub duplicates: Option<Box<Json>>,
}

/// Everything that was wrong with one record, never empty.
pub(super) type Refusals = Vec<Refusal>;

impl Refusal {
    pub fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code: Cow::Borrowed(code), message: message.into(), fields: None, duplicates: None }
    }

    /// A refusal of data: 400 and the fields at fault.
    pub fn of_fields(code: &'static str, message: impl Into<String>, fields: &[&str]) -> Self {
        Self { fields: Some(fields.iter().map(|field| (*field).to_owned()).collect()), ..Self::new(400, code, message) }
    }

    pub fn no_such_resource() -> Self {
        Self::new(404, "NOT_FOUND", "The requested resource does not exist")
    }

    pub fn method_not_allowed(method: &http::Method) -> Self {
        Self::new(
            405,
            "METHOD_NOT_ALLOWED",
            format!("HTTP Method '{method}' not allowed. See the resource's documentation"),
        )
    }

    pub fn session() -> Self {
        Self::new(401, "INVALID_SESSION_ID", "Session expired or invalid")
    }

    pub fn deleted() -> Self {
        Self { fields: Some(Vec::new()), ..Self::new(404, "ENTITY_IS_DELETED", "entity is deleted") }
    }

    pub fn json(message: impl Into<String>) -> Self {
        Self::new(400, "JSON_PARSER_ERROR", message)
    }

    /// The shape of single-record resources, queries and composite items.
    pub fn as_error(&self) -> Json {
        let mut error = json!({ "message": self.message, "errorCode": self.code });
        if let Some(fields) = &self.fields {
            error["fields"] = json!(fields);
        }
        if let Some(found) = &self.duplicates {
            // Spelt like this by every org.
            error["duplicateResut"] = Json::clone(found);
        }
        error
    }

    /// The shape inside a collections item, which does not tell what a duplicate rule found.
    pub fn as_item_error(&self) -> Json {
        if self.duplicates.is_some() {
            return json!({ "statusCode": self.code, "message": "Use one of these records?", "fields": [] });
        }
        json!({ "statusCode": self.code, "message": self.message, "fields": self.fields.as_deref().unwrap_or_default() })
    }
}

impl From<Refusal> for Refusals {
    fn from(refusal: Refusal) -> Self {
        vec![refusal]
    }
}
