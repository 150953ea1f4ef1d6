//! What a signature is made over: literal text and parts of the request.

use super::hmac::Key;

/// Why a `signed_content` cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    #[error("signed_content has no {{body}}: the signature would prove nothing about the lead")]
    NoBody,
    #[error("signed_content has {{{0}}}; known are {{body}}, {{timestamp}}, {{id}}, {{method}} and {{url}}")]
    UnknownPart(String),
    #[error("signed_content has a {{ without its }}")]
    OpenBrace,
}

/// A `signed_content` taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SignedContent(Vec<Part>);

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Body,
    Timestamp,
    Id,
    Method,
    Url,
}

/// What the parts are in one request; the timestamp is the text received, not a number printed again.
pub(super) struct Parts<'a> {
    pub body: &'a [u8],
    pub timestamp: Option<&'a str>,
    pub id: Option<&'a str>,
    pub method: &'a str,
    pub url: Option<&'a str>,
}

impl SignedContent {
    pub(super) fn parse(template: &str) -> Result<Self, ContentError> {
        let mut parts = Vec::new();
        let mut rest = template;
        while let Some((literal, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or(ContentError::OpenBrace)?;
            if !literal.is_empty() {
                parts.push(Part::Literal(literal.to_owned()));
            }
            parts.push(match name {
                "body" => Part::Body,
                "timestamp" => Part::Timestamp,
                "id" => Part::Id,
                "method" => Part::Method,
                "url" => Part::Url,
                _ => return Err(ContentError::UnknownPart(name.to_owned())),
            });
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.to_owned()));
        }
        if parts.contains(&Part::Body) { Ok(Self(parts)) } else { Err(ContentError::NoBody) }
    }

    pub(super) fn has_timestamp(&self) -> bool {
        self.0.contains(&Part::Timestamp)
    }

    pub(super) fn has_id(&self) -> bool {
        self.0.contains(&Part::Id)
    }

    pub(super) fn has_url(&self) -> bool {
        self.0.contains(&Part::Url)
    }

    /// The signature over these parts with this key, without copying the body; none if a part is missing.
    pub(super) fn tag(&self, key: &Key, parts: &Parts<'_>) -> Option<Vec<u8>> {
        let mut mac = key.clone();
        for part in &self.0 {
            mac.update(match part {
                Part::Literal(text) => text.as_bytes(),
                Part::Body => parts.body,
                Part::Timestamp => parts.timestamp?.as_bytes(),
                Part::Id => parts.id?.as_bytes(),
                Part::Method => parts.method.as_bytes(),
                Part::Url => parts.url?.as_bytes(),
            });
        }
        Some(mac.finish())
    }
}
