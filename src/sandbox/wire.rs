//! One call as the resources see it, whether it came alone or inside a composite, and its answer.

use http::{HeaderMap, Method};
use percent_encoding::percent_decode_str;
use serde_json::{Value as Json, json};

use super::error::Refusal;

/// What a request carried.
#[derive(Debug, Clone)]
pub(super) enum Payload {
    None,
    Json(Json),
    /// Not to be read, and why.
    Unreadable(Refusal),
}

/// A request below `/services/data/vXX.0`.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub method: Method,
    /// `v62.0`
    pub version: String,
    /// The path after the version, decoded part by part.
    pub segments: Vec<String>,
    pub query: Vec<(String, String)>,
    pub headers: HeaderMap,
    pub payload: Payload,
    /// As it came, for fault rules.
    pub target: String,
}

impl Call {
    /// Reads the target of a request: path and query string, still encoded.
    pub fn new(method: Method, target: &str, headers: HeaderMap, payload: Payload) -> Result<Self, Refusal> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let below = path.strip_prefix("/services/data/").ok_or_else(Refusal::no_such_resource)?;
        let mut parts = below.split('/');
        let version = parts.next().unwrap_or_default().to_owned();
        supported(&version)?;
        let mut segments = parts.map(|part| decode(part, false)).collect::<Result<Vec<_>, _>>()?;
        while segments.last().is_some_and(String::is_empty) {
            segments.pop();
        }
        let query = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                Ok((decode(name, true)?, decode(value, true)?))
            })
            .collect::<Result<Vec<_>, Refusal>>()?;
        let mut call = Self { method, version, segments, query, headers, payload, target: target.to_owned() };
        if call.method == Method::POST
            && let Some(wanted) = call.parameter("_HttpMethod")
        {
            call.method =
                Method::from_bytes(wanted.as_bytes()).map_err(|_| Refusal::method_not_allowed(&call.method))?;
        }
        Ok(call)
    }

    /// Whether it asks for records to be created, changed or deleted, by itself or in a part of a composite.
    pub fn asks_to_write(&self) -> bool {
        let Payload::Json(body) = &self.payload else { return self.method != Method::GET };
        match self.segments.as_slice() {
            [.., last] if last == "composite" => {
                let parts = body.get("compositeRequest").and_then(Json::as_array);
                parts.into_iter().flatten().any(|part| part.get("method").and_then(Json::as_str) != Some("GET"))
            }
            _ => self.method != Method::GET,
        }
    }

    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body as JSON; a request without one is refused.
    pub fn body(&self) -> Result<&Json, Refusal> {
        match &self.payload {
            Payload::Json(json) => Ok(json),
            Payload::None => {
                Err(Refusal::json("The HTTP entity body is required, but this request has no entity body."))
            }
            Payload::Unreadable(refusal) => Err(refusal.clone()),
        }
    }

    /// The body as a JSON object.
    pub fn object(&self) -> Result<&serde_json::Map<String, Json>, Refusal> {
        self.body()?.as_object().ok_or_else(|| {
            Refusal::json("Unexpected token: the HTTP entity body must be a JSON object at [line:1, column:1]")
        })
    }
}

/// Decodes one part of a target; a broken escape is refused, as an org does.
fn decode(part: &str, plus_is_space: bool) -> Result<String, Refusal> {
    let broken = || Refusal::new(400, "INVALID_QUERY", "Illegal hex characters in escape (%) pattern");
    let bytes = part.as_bytes();
    for (place, _) in part.match_indices('%') {
        let digits = bytes.get(place + 1..place + 3).ok_or_else(broken)?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(broken());
        }
    }
    let part = if plus_is_space { part.replace('+', " ") } else { part.to_owned() };
    percent_decode_str(&part).decode_utf8().map(|text| text.into_owned()).map_err(|_| broken())
}

/// Versions that this org serves.
pub(super) fn versions() -> impl Iterator<Item = u32> {
    46..=66
}

fn supported(version: &str) -> Result<(), Refusal> {
    let number: u32 = version
        .strip_prefix('v')
        .and_then(|rest| rest.strip_suffix(".0"))
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(Refusal::no_such_resource)?;
    match number {
        _ if versions().any(|served| served == number) => Ok(()),
        0..=30 => {
            Err(Refusal::new(410, "UNSUPPORTED_API_VERSION", "The requested API version is no longer supported."))
        }
        _ => Err(Refusal::no_such_resource()),
    }
}

/// An answer before it is sent.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub status: u16,
    pub content: Content,
    pub headers: Vec<(&'static str, String)>,
}

#[derive(Debug, Clone)]
pub(super) enum Content {
    Empty,
    Json(Json),
    Html(&'static str),
    Xml(String),
}

impl Answer {
    pub fn json(status: u16, body: Json) -> Self {
        Self { status, content: Content::Json(body), headers: Vec::new() }
    }

    pub fn empty(status: u16) -> Self {
        Self { status, content: Content::Empty, headers: Vec::new() }
    }

    pub fn html(status: u16, page: &'static str) -> Self {
        Self { status, content: Content::Html(page), headers: Vec::new() }
    }

    /// The status of the first refusal, and all of them in the body.
    pub fn refused(refusals: &[Refusal]) -> Self {
        let status = refusals.first().map_or(400, |refusal| refusal.status);
        Self::json(status, refusals.iter().map(Refusal::as_error).collect::<Vec<_>>().into())
    }

    pub fn with(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The answer as an item of a composite.
    pub fn as_subresponse(&self, reference: &str) -> Json {
        let body = match &self.content {
            Content::Json(body) => body.clone(),
            Content::Empty => Json::Null,
            Content::Html(page) => json!(page),
            Content::Xml(text) => json!(text),
        };
        let headers: serde_json::Map<String, Json> =
            self.headers.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        json!({ "body": body, "httpHeaders": headers, "httpStatusCode": self.status, "referenceId": reference })
    }
}
