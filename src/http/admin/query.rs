//! What lists and filters have in common: pages, parameters, and errors that say what to write.

use std::fmt::Display;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::ids::LeadKey;
use crate::domain::time::Timestamp;
use crate::http::error::ApiError;
use crate::store::{Listed, Page, StoreError};

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

    /// One page of a list that is at hand as a whole: its cursor is the number of items before it.
    pub fn page_of(items: Vec<T>, limit: Option<u32>, cursor: Option<String>) -> Result<Self, ApiError> {
        let Page { limit, cursor } = page(limit, cursor)?;
        let before = cursor.map_or(Ok(0), |cursor| cursor.parse::<usize>().map_err(|_| StoreError::BadCursor))?;
        let until = before.saturating_add(limit as usize);
        let next = (items.len() > until).then(|| until.to_string());
        Ok(Self { items: items.into_iter().skip(before).take(limit as usize).collect(), next })
    }
}

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// 1 to 500; 50 if left out
    pub(super) limit: Option<u32>,
    /// `next` of the page before
    pub(super) cursor: Option<String>,
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

/// There is no such thing; `list`: where its like is listed.
pub(super) fn none(what: impl Display, list: &str) -> ApiError {
    ApiError::NoSuch(format!("There is no {what}; GET /admin/v1/{list} lists what there is."))
}

/// The lead is not known, or was erased.
pub(super) fn no_lead(lead: &LeadKey) -> ApiError {
    none(format_args!("lead {lead}"), "leads")
}

/// Query parameters; an unknown or unreadable one is an error that names it.
pub struct Params<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let query = Query::<T>::try_from_uri(&parts.uri);
        query.map(|Query(params)| Self(params)).map_err(|wrong| {
            // What a number's parser says of other text.
            let text = wrong.body_text().replace("invalid digit found in string", "write a whole number");
            ApiError::BadRequest(text)
        })
    }
}

/// Path parameters; one that cannot be what it should be names nothing.
pub struct Named<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Named<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        Path::from_request_parts(parts, state)
            .await
            .map(|Path(path)| Self(path))
            .map_err(|wrong| ApiError::NoSuch(wrong.body_text()))
    }
}

/// A JSON body; no body counts as `{}`.
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let bytes = axum::body::Bytes::from_request(request, state).await.map_err(|_| ApiError::TooLarge)?;
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        // A list of values in the order of the fields would be read, too.
        if text.trim_ascii_start().starts_with(b"[") {
            return Err(ApiError::Invalid("the body: write a JSON object, in braces, and not a list".to_owned()));
        }
        Json::from_bytes(text).map(|Json(body)| Self(body)).map_err(|wrong: JsonRejection| match wrong {
            JsonRejection::JsonDataError(wrong) => ApiError::Invalid(wrong.body_text()),
            wrong => ApiError::BadRequest(wrong.body_text()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_at_hand_is_read_page_by_page() {
        let page = |cursor: Option<String>| ListOf::page_of(vec!['a', 'b', 'c'], Some(2), cursor).unwrap();
        let first = page(None);
        assert_eq!((&first.items[..], first.next.as_deref()), (&['a', 'b'][..], Some("2")));
        let last = page(first.next);
        assert_eq!((&last.items[..], last.next), (&['c'][..], None));
        assert!(page(Some("9".to_owned())).items.is_empty(), "the list became shorter");
        assert!(ListOf::page_of(vec!['a'], None, Some("x".to_owned())).is_err());
    }
}
