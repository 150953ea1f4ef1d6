//! What lists and filters have in common: pages, parameters, and errors that say what to write.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use serde::Serialize;
use serde::de::DeserializeOwned;
use utoipa::ToSchema;

use crate::domain::time::Timestamp;
use crate::http::error::ApiError;
use crate::store::{Listed, Page};

const DEFAULT_LIMIT: u32 = 50;
pub(super) const MOST: u32 = 500;
const LONGEST_CURSOR: usize = 512;

/// One page of a list, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct ListOf<T> {
    pub items: Vec<T>,
    /// Give it as `cursor` to read on; null: this was the last page.
    pub next: Option<String>,
}

impl<T> ListOf<T> {
    /// Shows every item of a page.
    pub fn showing<R>(listed: Listed<R>, show: impl FnMut(R) -> T) -> Self {
        Self { items: listed.items.into_iter().map(show).collect(), next: listed.next }
    }

    /// A list that always fits on one page.
    pub fn whole(items: Vec<T>) -> Self {
        Self { items, next: None }
    }
}

/// Which page is asked for.
pub(super) fn page(limit: Option<u32>, cursor: Option<String>) -> Result<Page, ApiError> {
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MOST).contains(&limit) {
        return Err(ApiError::Invalid(format!("limit: {limit} is not from 1 to {MOST}")));
    }
    let is_sane =
        |cursor: &String| cursor.len() <= LONGEST_CURSOR && cursor.bytes().all(|byte| byte.is_ascii_graphic());
    if cursor.as_ref().is_some_and(|cursor| !is_sane(cursor)) {
        return Err(ApiError::Invalid("cursor: write `next` of the page before as it was answered".to_owned()));
    }
    Ok(Page { limit, cursor })
}

/// Reads a time of a filter. A `+` that came as a space is put back.
pub(super) fn time(name: &str, text: Option<&str>) -> Result<Option<Timestamp>, ApiError> {
    let read = |text: &str| {
        Timestamp::parse_rfc3339(&text.replace(' ', "+"))
            .ok_or_else(|| ApiError::Invalid(format!("{name}: write a time as RFC 3339, such as 2026-01-31T12:00:00Z")))
    };
    text.map(read).transpose()
}

/// Reads a word of a closed set.
pub(super) fn word<T>(
    name: &str,
    text: Option<&str>,
    parse: impl Fn(&str) -> Option<T>,
    known: &[&str],
) -> Result<Option<T>, ApiError> {
    let read =
        |text: &str| parse(text).ok_or_else(|| ApiError::Invalid(format!("{name}: write one of {}", known.join(", "))));
    text.map(read).transpose()
}

/// Query parameters; an unknown or unreadable one is an error that names it.
pub struct Params<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let query = Query::<T>::try_from_uri(&parts.uri);
        query.map(|Query(params)| Self(params)).map_err(|wrong| ApiError::BadRequest(wrong.body_text()))
    }
}

/// Path parameters; one that cannot be what it should be names nothing.
pub struct Named<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Named<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        Path::from_request_parts(parts, state).await.map(|Path(path)| Self(path)).map_err(|_| ApiError::NotFound)
    }
}

/// A JSON body; no body counts as `{}`.
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let bytes = axum::body::Bytes::from_request(request, state).await.map_err(|_| ApiError::TooLarge)?;
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        Json::from_bytes(text).map(|Json(body)| Self(body)).map_err(|wrong: JsonRejection| match wrong {
            JsonRejection::JsonDataError(wrong) => ApiError::Invalid(wrong.body_text()),
            wrong => ApiError::BadRequest(wrong.body_text()),
        })
    }
}
