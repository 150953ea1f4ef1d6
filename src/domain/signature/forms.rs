//! How the parameters of `[sources.NAME.verify]` are written.

use super::{Algorithm, Encoding, SecretEncoding, SignatureFormat, TimestampFrom, TimestampUnit};

/// A parameter that is not written as it must be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{parameter} cannot be {written:?}; write {expected}")]
pub struct FormError {
    pub parameter: &'static str,
    pub written: String,
    /// What to write instead.
    pub expected: &'static str,
}

impl FormError {
    fn new(parameter: &'static str, written: &str, expected: &'static str) -> Self {
        Self { parameter, written: written.to_owned(), expected }
    }
}

impl Algorithm {
    /// Reads `sha256` or `sha1`.
    pub fn parse(text: &str) -> Result<Self, FormError> {
        match text {
            "sha256" => Ok(Self::Sha256),
            "sha1" => Ok(Self::Sha1),
            _ => Err(FormError::new("algorithm", text, "\"sha256\" or \"sha1\"")),
        }
    }
}

impl Encoding {
    /// Reads `hex` or `base64`.
    pub fn parse(text: &str) -> Result<Self, FormError> {
        match text {
            "hex" => Ok(Self::Hex),
            "base64" => Ok(Self::Base64),
            _ => Err(FormError::new("encoding", text, "\"hex\" or \"base64\"")),
        }
    }
}

impl TimestampUnit {
    /// Reads `s` or `ms`.
    pub fn parse(text: &str) -> Result<Self, FormError> {
        match text {
            "s" => Ok(Self::Seconds),
            "ms" => Ok(Self::Milliseconds),
            _ => Err(FormError::new("timestamp_unit", text, "\"s\" or \"ms\"")),
        }
    }
}

impl SignatureFormat {
    /// Reads `plain`, `prefix:TEXT`, `optional-prefix:TEXT`, `kv:KEY` or `list:VERSION`.
    pub fn parse(text: &str) -> Result<Self, FormError> {
        match text.split_once(':') {
            None if text == "plain" => Ok(Self::Plain),
            Some(("prefix", prefix)) if !prefix.is_empty() => Ok(Self::Prefix(prefix.to_owned())),
            Some(("optional-prefix", prefix)) if !prefix.is_empty() => Ok(Self::OptionalPrefix(prefix.to_owned())),
            Some(("kv", key)) if !key.trim().is_empty() => Ok(Self::KeyValue(key.trim().to_owned())),
            Some(("list", version)) if !version.trim().is_empty() => Ok(Self::List(version.trim().to_owned())),
            _ => Err(FormError::new(
                "signature_format",
                text,
                "\"plain\", \"prefix:TEXT\", \"optional-prefix:TEXT\", \"kv:KEY\" or \"list:VERSION\"",
            )),
        }
    }
}

impl TimestampFrom {
    /// Reads `header:NAME` or `kv:KEY`.
    pub fn parse(text: &str) -> Result<Self, FormError> {
        match text.split_once(':') {
            Some(("header", name)) if is_header_name(name) => Ok(Self::Header(name.to_owned())),
            Some(("kv", key)) if !key.trim().is_empty() => Ok(Self::KeyValue(key.trim().to_owned())),
            _ => Err(FormError::new("timestamp_from", text, "\"header:NAME\" or \"kv:KEY\"")),
        }
    }
}

impl SecretEncoding {
    /// Reads `utf8`, `base64` or `base64;strip=PREFIX`.
    pub fn parse(text: &str) -> Result<Self, FormError> {
        match (text, text.strip_prefix("base64;strip=")) {
            ("utf8", _) => Ok(Self::Utf8),
            ("base64", _) => Ok(Self::Base64 { strip: String::new() }),
            (_, Some(prefix)) if !prefix.is_empty() => Ok(Self::Base64 { strip: prefix.to_owned() }),
            _ => Err(FormError::new("secret_encoding", text, "\"utf8\", \"base64\" or \"base64;strip=PREFIX\"")),
        }
    }
}

/// Reads the `header:NAME` of `id_from`.
pub fn parse_id_from(text: &str) -> Result<String, FormError> {
    match text.strip_prefix("header:") {
        Some(name) if is_header_name(name) => Ok(name.to_owned()),
        _ => Err(FormError::new("id_from", text, "\"header:NAME\"")),
    }
}

/// Whether HTTP allows this as the name of a header.
pub fn is_header_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}
