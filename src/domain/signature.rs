//! Is this webhook genuine and fresh?
//!
//! Two schemes cover every sender: an HMAC over a template of the request, and a secret token somewhere in it. A
//! [`Verifier`] is prepared once per source; the bytes are judged as they were received, before anything reads them.

mod content;
mod forms;
mod handshake;
mod hmac;
mod proof;
mod token;

use std::fmt;
use std::time::Duration;

use super::headers::Headers;
use super::time::Timestamp;

pub use content::ContentError;
pub use forms::{FormError, is_header_name, parse_id_from};
pub use handshake::{Handshake, HandshakeAnswer, HandshakeKind};
pub use proof::{Kept, Proof, SALT, Signed};

/// Judges the requests of one source. Prepared once; judging changes nothing.
///
/// Every secret may match, so that a sender can change its secret while both are configured.
pub struct Verifier(Scheme);

enum Scheme {
    Hmac(hmac::HmacVerifier),
    Token(token::TokenVerifier),
}

/// What a request says for itself, as it was received.
pub struct SignedRequest<'a> {
    pub method: &'a str,
    /// The URL that the sender called: the configured public one with this request's path and query.
    pub url: Option<&'a str>,
    pub headers: &'a dyn Headers,
    /// What stands behind the `?`, still encoded.
    pub query: Option<&'a str>,
    /// The last segment of `POST /webhooks/{source}/{token}`, decoded.
    pub path_token: Option<&'a str>,
    pub body: &'a [u8],
}

/// What proves that a request is the sender's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProvenBy {
    /// Made over the request with the secret.
    Signature,
    /// The secret itself, sent along.
    Token,
}

/// Whether a request is genuine and fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Valid,
    /// Not proven to be the sender's.
    Invalid,
    /// The sender's, but its timestamp is too far from our clock, either way.
    Stale,
}

/// What is known of a request once it was judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    pub verdict: Verdict,
    /// By the sender's clock; of genuine requests, where the scheme has a timestamp.
    pub signed_at: Option<Timestamp>,
}

impl Judgement {
    const INVALID: Self = Self { verdict: Verdict::Invalid, signed_at: None };
    const VALID: Self = Self { verdict: Verdict::Valid, signed_at: None };
}

/// Why a source's requests cannot be judged. Never shows a secret.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifierError {
    #[error("no secret is given: without one nobody can tell a genuine request from a forged one")]
    NoSecret,
    #[error("secret {0} is empty")]
    EmptySecret(usize),
    #[error("secret {0} is not base64; write the sender's secret as it is shown, or secret_encoding = \"utf8\"")]
    SecretNotBase64(usize),
    #[error(transparent)]
    Content(#[from] ContentError),
    #[error("signed_content has {{timestamp}}, but timestamp_from does not say where it stands")]
    TimestampNowhere,
    #[error("signed_content has {{id}}, but id_from does not say where it stands")]
    IdNowhere,
    #[error("timestamp_from = \"kv:{0}\" needs signature_format = \"kv:KEY\"")]
    TimestampNotInSignature(String),
}

impl Verifier {
    /// Prepares the keys of a source.
    pub fn new(rules: &VerifyRules, secrets: &[String]) -> Result<Self, VerifierError> {
        if secrets.is_empty() {
            return Err(VerifierError::NoSecret);
        }
        if let Some(index) = secrets.iter().position(|secret| secret.trim().is_empty()) {
            return Err(VerifierError::EmptySecret(index + 1));
        }
        Ok(Self(match rules {
            VerifyRules::Hmac(rules) => Scheme::Hmac(hmac::HmacVerifier::new(rules, secrets)?),
            VerifyRules::Token(rules) => Scheme::Token(token::TokenVerifier::new(rules, secrets)),
        }))
    }

    /// What its requests are proven by.
    pub fn proven_by(&self) -> ProvenBy {
        match &self.0 {
            Scheme::Hmac(_) => ProvenBy::Signature,
            Scheme::Token(_) => ProvenBy::Token,
        }
    }

    /// Judges one request. Comparing takes the same time wherever a wrong signature differs.
    pub fn verify(&self, request: &SignedRequest<'_>, now: Timestamp) -> Judgement {
        match &self.0 {
            Scheme::Hmac(hmac) => hmac.verify(request, now),
            Scheme::Token(token) if token.verify(request) => Judgement::VALID,
            Scheme::Token(_) => Judgement::INVALID,
        }
    }

    /// What has to be kept of a refused request so that [`Self::judge_again`] can tell whether it was genuine.
    pub fn proof(&self, request: &SignedRequest<'_>, path_and_query: &str, salt: [u8; SALT]) -> Proof {
        match &self.0 {
            Scheme::Hmac(hmac) => hmac.proof(request, path_and_query),
            Scheme::Token(token) => token.proof(request, salt),
        }
    }

    /// Judges a kept request by today's secrets, as if it were still the moment at which it was received.
    pub fn judge_again(&self, kept: &Kept<'_>, received_at: Timestamp) -> Judgement {
        match (&self.0, kept.proof) {
            (Scheme::Hmac(hmac), Proof::Signed(signed)) => {
                let url = signed.path_and_query.as_ref().zip(kept.public_url);
                let url = url.map(|(path_and_query, base)| format!("{base}{path_and_query}"));
                let request = SignedRequest {
                    method: &signed.method,
                    url: url.as_deref(),
                    headers: &signed.headers,
                    query: None,
                    path_token: None,
                    body: kept.body,
                };
                hmac.verify(&request, received_at)
            }
            (Scheme::Token(token), Proof::Token { salt, digest }) if token.is_known(salt, digest) => Judgement::VALID,
            _ => Judgement::INVALID,
        }
    }

    /// The headers that this source would send with a message, made with the first secret.
    ///
    /// None where the proof is not in a header but in the URL or the body.
    pub fn sign(&self, message: &Message<'_>) -> Vec<(String, String)> {
        match &self.0 {
            Scheme::Hmac(hmac) => hmac.sign(message),
            Scheme::Token(token) => token.sign(),
        }
    }
}

/// Keys stay out of logs.
impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier([redacted])")
    }
}

/// What a sender would sign.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    pub method: &'a str,
    pub url: &'a str,
    pub timestamp: Timestamp,
    pub id: &'a str,
    pub body: &'a [u8],
}

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
    /// A JSON pointer into the body, or into the JSON that a form is read as.
    Body {
        pointer: String,
    },
}

#[cfg(test)]
mod tests;
