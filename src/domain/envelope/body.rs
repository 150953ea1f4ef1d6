//! Bodies that are no JSON, read as JSON. A form: one object, with a text for each field, and a list of texts where a field is
//! repeated.

use std::borrow::Cow;
use std::convert::Infallible;

use bytes::Bytes;
use futures_util::{FutureExt, stream};
use percent_encoding::percent_decode;

use super::records::MAX_BYTES;
use super::{BodyRules, Unreadable, xml};
use crate::domain::headers::Headers;
use crate::domain::value::raw::{RawJson, unescaped};
use crate::domain::value::{Value, ValueError};

/// The most fields that a form may have.
pub(super) const MAX_FIELDS: usize = 1_000;

const CONTENT_TYPE: &str = "content-type";

/// What a body is, as its content type says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyKind {
    /// Senders name JSON in many ways, or not at all: everything that is nothing else.
    Json,
    Form,
    Multipart,
    Xml,
}

impl BodyKind {
    /// By the content type among these headers.
    pub fn of(headers: &dyn Headers) -> Self {
        let essence = headers.text(CONTENT_TYPE).and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
        let is_multipart = essence.get(..10).is_some_and(|start| start.eq_ignore_ascii_case("multipart/"));
        let is = |kind: &str| essence.eq_ignore_ascii_case(kind);
        let is_xml = || {
            let suffix = essence.len().checked_sub(4).and_then(|start| essence.get(start..));
            is("text/xml") || is("application/xml") || suffix.is_some_and(|end| end.eq_ignore_ascii_case("+xml"))
        };
        match is("application/x-www-form-urlencoded") {
            true => BodyKind::Form,
            false if is_multipart => BodyKind::Multipart,
            false if is_xml() => BodyKind::Xml,
            false => BodyKind::Json,
        }
    }
}

impl BodyRules {
    /// Whether the source's requests may have such a body.
    pub fn takes(&self, kind: BodyKind) -> bool {
        match kind {
            BodyKind::Json => true,
            BodyKind::Form => self.form,
            BodyKind::Multipart => self.multipart,
            BodyKind::Xml => self.xml,
        }
    }
}

/// The body as JSON; that of a form is built from its fields, that of XML from its elements. Files in a form are left out.
///
/// `records` is where the body's records are: of XML it tells which elements are lists though they occur once.
pub fn as_json<'a>(
    body: &'a [u8],
    headers: &dyn Headers,
    rules: &BodyRules,
    records: &str,
) -> Result<Cow<'a, [u8]>, Unreadable> {
    let fields = match BodyKind::of(headers) {
        BodyKind::Json => return Ok(Cow::Borrowed(body)),
        BodyKind::Form => url_encoded(body)?,
        BodyKind::Multipart => multipart(body, headers.text(CONTENT_TYPE).unwrap_or_default())?,
        BodyKind::Xml => return xml::object(body, &lists(records)).map(|json| Cow::Owned(json.into_bytes())),
    };
    object(fields, rules).map(|json| Cow::Owned(json.into_bytes()))
}

/// The names on the way to each list that the path to the records goes through.
fn lists(records: &str) -> Vec<Vec<String>> {
    let (mut lists, mut names) = (Vec::new(), Vec::new());
    for token in records.split('/').skip(1) {
        match token {
            "*" => lists.push(names.clone()),
            name => names.push(unescaped(name).into_owned()),
        }
    }
    lists
}

/// A field's name and text.
type Field = (String, String);

fn url_encoded(body: &[u8]) -> Result<Vec<Field>, Unreadable> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(ValueError::Empty.into());
    }
    let pieces = body.split(|byte| *byte == b'&').filter(|piece| !piece.is_empty());
    let mut fields = Vec::new();
    for piece in pieces {
        if fields.len() == MAX_FIELDS {
            return Err(Unreadable::TooManyFields);
        }
        let mut halves = piece.splitn(2, |byte| *byte == b'=');
        let mut half = || decoded(halves.next().unwrap_or_default());
        fields.push((half()?, half()?));
    }
    Ok(fields)
}

/// Not replaced by anything where it is no UTF-8: the lead would be another one.
fn decoded(text: &[u8]) -> Result<String, Unreadable> {
    let spaced: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    utf8(percent_decode(&spaced).collect())
}

pub(super) fn utf8(bytes: Vec<u8>) -> Result<String, Unreadable> {
    String::from_utf8(bytes).map_err(|error| ValueError::NotUtf8(error.utf8_error().valid_up_to()).into())
}

fn multipart(body: &[u8], content_type: &str) -> Result<Vec<Field>, Unreadable> {
    let boundary =
        multer::parse_boundary(content_type).map_err(|_| Unreadable::Form("its content type names no boundary"))?;
    let whole = stream::once(std::future::ready(Ok::<_, Infallible>(Bytes::copy_from_slice(body))));
    // All of the body is there, so nothing is ever waited for.
    let read = parts(multer::Multipart::new(whole, boundary)).now_or_never();
    read.unwrap_or(Err(Unreadable::Form("it breaks off")))
}

async fn parts(mut form: multer::Multipart<'_>) -> Result<Vec<Field>, Unreadable> {
    let broken = |_| Unreadable::Form("its parts cannot be told apart, or it breaks off");
    let mut fields = Vec::new();
    let mut seen = 0;
    while let Some(part) = form.next_field().await.map_err(broken)? {
        seen += 1;
        if seen > MAX_FIELDS {
            return Err(Unreadable::TooManyFields);
        }
        let name = part.name().unwrap_or_default().to_owned();
        if part.file_name().is_none() {
            fields.push((name, utf8(part.bytes().await.map_err(broken)?.to_vec())?));
        }
    }
    Ok(fields)
}

fn object(fields: Vec<Field>, rules: &BodyRules) -> Result<String, Unreadable> {
    let mut members: Vec<(String, Vec<String>)> = Vec::new();
    let mut bytes = 0usize;
    for (name, text) in fields {
        let json = match rules.json_fields.contains(&name) {
            true => RawJson::parse(text.as_bytes())?.text().to_owned(),
            false => Value::Text(text).to_json(),
        };
        bytes = bytes.saturating_add(name.len() + json.len());
        if bytes > MAX_BYTES {
            return Err(Unreadable::TooManyFields);
        }
        match members.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(json),
            None => members.push((name, vec![json])),
        }
    }
    let members = members.into_iter().map(|(name, values)| {
        let name = Value::Text(name).to_json();
        match values.as_slice() {
            [only] => format!("{name}:{only}"),
            several => format!("{name}:[{}]", several.join(",")),
        }
    });
    Ok(format!("{{{}}}", members.collect::<Vec<_>>().join(",")))
}

#[cfg(test)]
mod tests;
