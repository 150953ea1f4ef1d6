//! Errors as problem details (RFC 9457): the only place that knows status codes.

use std::borrow::Cow;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tracing::error;
use utoipa::ToSchema;

use crate::domain::signature::ProvenBy;
use crate::store::StoreError;

/// Why a request is not answered as it was meant, named after what the caller can do about it.
#[derive(Debug)]
pub enum ApiError {
    /// There is no such thing, or no such path.
    NotFound,
    /// There is no such thing; the text says what there is instead.
    NoSuch(String),
    /// The path knows these methods only; `None` where the router itself names them.
    MethodNotAllowed(Option<&'static str>),
    /// Not proven to be who may ask, by what such requests are proven.
    Unauthorized(ProvenBy),
    /// As before, on the admin API: a token is missing or unknown.
    NoToken,
    /// The token may read, not change.
    Forbidden,
    /// A handshake without the right token, or without a challenge that may be answered.
    HandshakeRefused,
    /// The request cannot be read; the text says what to write.
    BadRequest(String),
    /// It can be read, but a value in it cannot be; the text says what to write.
    Invalid(String),
    /// The thing changed since the caller read it.
    Changed(String),
    /// It does not go with the state that the thing is in.
    Conflict(String),
    /// The changed configuration is wrong; every mistake, one a line.
    Configuration(Vec<String>),
    /// The CRM refused, or did not answer, what had to be asked of it at once.
    Crm(String),
    /// Each of these costs calls of the CRM's allowance; again after so many seconds.
    TooOften {
        retry_after: u32,
    },
    TooLarge,
    Unsupported(&'static str),
    /// The request did not arrive in time.
    TooSlow,
    /// Not now; the same request again after so many seconds.
    Unavailable {
        retry_after: u32,
        detail: &'static str,
    },
    /// Ours to mend; the log has the cause.
    Internal,
}

/// The body of every error.
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// `urn:leadrelay:problem:` and a stable word.
    #[serde(rename = "type")]
    #[schema(example = "urn:leadrelay:problem:not-found")]
    kind: String,
    /// What happened, the same for every problem of this type.
    title: &'static str,
    /// The HTTP status.
    #[schema(example = 404)]
    status: u16,
    /// What to do, or to write instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<Cow<'static, str>>,
}

impl ApiError {
    fn parts(self) -> (StatusCode, &'static str, &'static str, Option<Cow<'static, str>>) {
        let some = |text: &'static str| Some(Cow::Borrowed(text));
        match self {
            ApiError::NotFound => (StatusCode::NOT_FOUND, "not-found", "There is nothing here", None),
            ApiError::NoSuch(detail) => {
                (StatusCode::NOT_FOUND, "not-found", "There is nothing here", Some(detail.into()))
            }
            ApiError::MethodNotAllowed(_) => {
                let detail = some("The header Allow names the methods that it knows.");
                (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "This path does not know this method", detail)
            }
            ApiError::Unauthorized(by) => {
                let detail = some(match by {
                    ProvenBy::Signature => "Check the secret, the signature over the raw body, and the clock.",
                    ProvenBy::Token => "Check the token, and that it is sent where this source takes it.",
                });
                (StatusCode::UNAUTHORIZED, "unauthorized", "The request is not proven to be genuine and fresh", detail)
            }
            ApiError::NoToken => {
                let detail = some("Send `Authorization: Bearer TOKEN`; `leadrelay token` makes one.");
                (StatusCode::UNAUTHORIZED, "unauthorized", "A right token is needed", detail)
            }
            ApiError::Forbidden => {
                let detail = some("This token's role is viewer; changes need an operator's token.");
                (StatusCode::FORBIDDEN, "forbidden", "This token may not change anything", detail)
            }
            ApiError::HandshakeRefused => {
                let detail = some("Check the verify token, and that the challenge is sent along.");
                (StatusCode::FORBIDDEN, "forbidden", "The handshake is refused", detail)
            }
            ApiError::BadRequest(detail) => {
                (StatusCode::BAD_REQUEST, "bad-request", "The request cannot be read", Some(detail.into()))
            }
            ApiError::Invalid(detail) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "invalid", "A value cannot be used", Some(detail.into()))
            }
            ApiError::Changed(detail) => {
                (StatusCode::PRECONDITION_FAILED, "changed", "It changed since it was read", Some(detail.into()))
            }
            ApiError::Conflict(detail) => {
                (StatusCode::CONFLICT, "conflict", "That does not go with its state", Some(detail.into()))
            }
            ApiError::Configuration(mistakes) => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "configuration",
                "The configuration is wrong, and the old one stays",
                Some(mistakes.join("\n").into()),
            ),
            ApiError::Crm(detail) => {
                (StatusCode::BAD_GATEWAY, "crm", "The CRM did not do what it was asked", Some(detail.into()))
            }
            ApiError::TooOften { .. } => (
                StatusCode::TOO_MANY_REQUESTS,
                "too-many-requests",
                "This was asked too often",
                some("It costs calls of the CRM's daily allowance. Ask again after `Retry-After` seconds."),
            ),
            ApiError::TooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "too-large",
                "The body is larger than this server takes",
                some("`server.max_body` sets the limit."),
            ),
            ApiError::Unsupported(detail) => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported", "The body's form is not understood", some(detail))
            }
            ApiError::TooSlow => {
                (StatusCode::REQUEST_TIMEOUT, "timeout", "The body did not arrive in time", some("Send it again."))
            }
            ApiError::Unavailable { detail, .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Not now", some(detail))
            }
            ApiError::Internal => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "Something is broken on this side",
                some("The log names the cause under this answer's x-request-id."),
            ),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let extra = match &self {
            ApiError::MethodNotAllowed(Some(allow)) => Some((header::ALLOW, HeaderValue::from_static(allow))),
            ApiError::NoToken => Some((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
            ApiError::Unavailable { retry_after, .. } | ApiError::TooOften { retry_after } => {
                Some((header::RETRY_AFTER, HeaderValue::from(*retry_after)))
            }
            // What is left of the body is not read, so the connection ends.
            ApiError::TooLarge | ApiError::TooSlow => Some((header::CONNECTION, HeaderValue::from_static("close"))),
            _ => None,
        };
        let (status, word, title, detail) = self.parts();
        let problem = Problem { kind: format!("urn:leadrelay:problem:{word}"), title, status: status.as_u16(), detail };
        let mut answer = (status, Json(problem)).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        answer.headers_mut().insert(header::CONTENT_TYPE, kind);
        answer.headers_mut().extend(extra);
        answer
    }
}

impl From<StoreError> for ApiError {
    fn from(cause: StoreError) -> Self {
        match cause {
            StoreError::Busy | StoreError::Unavailable(_) => {
                error!("an admin request was not answered: {cause}");
                ApiError::Unavailable { retry_after: 5, detail: "The store does not answer now." }
            }
            StoreError::BadCursor => {
                ApiError::Invalid("cursor: write `next` of the page before, with the same filters".to_owned())
            }
            cause => {
                error!("an admin request failed: {}", crate::telemetry::chain(&cause));
                ApiError::Internal
            }
        }
    }
}
