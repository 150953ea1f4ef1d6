//! Requests that only hold while a resource is as the caller knows it.

use http::Method;

use super::error::Refusal;
use super::value::{http_date, parse_http_date};
use super::wire::{Answer, Call};

/// What a resource is compared by.
#[derive(Debug)]
pub(super) struct State {
    /// In seconds, which is all that headers tell: two changes within one are not told apart.
    pub modified: i64,
    /// The `ETag`, where the resource has one.
    pub tag: Option<String>,
}

impl State {
    /// Adds the headers that later conditions are made of.
    pub fn show(&self, answer: Answer) -> Answer {
        let answer = answer.with("Last-Modified", http_date(self.modified));
        match &self.tag {
            Some(tag) => answer.with("ETag", tag.clone()),
            None => answer,
        }
    }
}

/// Answers a request whose condition fails: 304 for a read of what is known, 412 for the rest.
///
/// A date that is none is refused on a write and ignored on a read.
pub(super) fn judge(state: &State, call: &Call) -> Result<Option<Answer>, Refusal> {
    let reads = call.method == Method::GET;
    let date = |name: &str| match call.header(name).map(|header| (header, parse_http_date(header))) {
        Some((_, Some(date))) => Ok(Some(date)),
        Some((header, None)) if !reads => {
            Err(Refusal::new(400, "INVALID_HEADER", format!("Invalid value for header {name}: {header}")))
        }
        _ => Ok(None),
    };
    if let Some(tag) = &state.tag {
        if call.header("If-Match").is_some_and(|wanted| !names(wanted, tag)) {
            return Err(changed());
        }
        if call.header("If-None-Match").is_some_and(|known| names(known, tag)) {
            return if reads { Ok(Some(state.show(Answer::empty(304)))) } else { Err(changed()) };
        }
    }
    if date("If-Unmodified-Since")?.is_some_and(|since| state.modified > since) {
        return Err(changed());
    }
    // On a write it asks for a change that the caller has not seen, which is of no use to anybody, but documented.
    if date("If-Modified-Since")?.is_some_and(|since| state.modified <= since) {
        return Ok(Some(state.show(Answer::empty(304))));
    }
    Ok(None)
}

/// Whether a header names this tag, alone, in a list, or by `*`; with or without quotes and weakness.
fn names(header: &str, tag: &str) -> bool {
    let bare = |text: &str| text.trim().trim_start_matches("W/").trim_matches('"').to_owned();
    header.trim() == "*" || header.split(',').any(|one| bare(one) == bare(tag))
}

fn changed() -> Refusal {
    let message = "The requested resource has been modified since the given date";
    Refusal::new(412, "ENTITY_FAILED_IFLASTMODIFIED_ON_UPDATE", message)
}
