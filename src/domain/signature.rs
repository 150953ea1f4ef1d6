//! Is this webhook genuine and fresh?
//!
//! Two schemes cover every sender: an HMAC over a template of the request, and a secret token somewhere in it.

use std::time::Duration;

/// How a source proves that it sent a request: `[sources.NAME.verify]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VerifyRules {
    /// An HMAC over (parts of) the request.
    Hmac(HmacRules),
    /// A secret that is sent along.
    Token(TokenRules),
}

/// The parameters of the scheme `hmac`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HmacRules {
    pub algorithm: Algorithm,
    pub encoding: Encoding,
    /// The header that carries the signature; any letter case.
    pub signature_header: String,
    pub signature_format: SignatureFormat,
    /// Literal text with `{body}`, `{timestamp}`, `{id}`, `{method}` and `{url}`.
    pub signed_content: String,
    pub timestamp_from: Option<TimestampFrom>,
    pub timestamp_unit: TimestampUnit,
    /// How far the timestamp may be from our clock, either way; checked only where the scheme has a timestamp.
    pub tolerance: Duration,
    /// The header that carries the sender's ID of the message.
    pub id_from: Option<String>,
    pub secret_encoding: SecretEncoding,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Sha256,
    Sha1,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Hex,
    Base64,
}

/// How the signature stands in its header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignatureFormat {
    /// The signature alone.
    Plain,
    /// The text, which must be there, then the signature.
    Prefix(String),
    /// The text, if it is there, then the signature.
    OptionalPrefix(String),
    /// A comma list of `key=value`; any value of this key may match.
    KeyValue(String),
    /// A space list of `version,signature`; any of this version may match.
    List(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimestampFrom {
    Header(String),
    /// The key `t` (or another) of a `kv:` signature header.
    KeyValue(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampUnit {
    Seconds,
    Milliseconds,
}

/// How the configured secret becomes the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretEncoding {
    Utf8,
    /// Base64 after removing this prefix where it is there.
    Base64 {
        strip: String,
    },
}

/// The parameters of the scheme `token`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRules {
    pub location: TokenLocation,
}

/// Where the token stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenLocation {
    Header {
        name: String,
        /// Text before the token, such as `Bearer `.
        prefix: String,
    },
    /// HTTP Basic; the secret is `user:password`.
    Basic,
    Query {
        name: String,
    },
    /// The last segment of `POST /webhooks/{source}/{token}`.
    Path,
    /// A JSON pointer into the body.
    Body {
        pointer: String,
    },
}
