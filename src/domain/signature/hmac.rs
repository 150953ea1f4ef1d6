//! The scheme `hmac`: a keyed hash over parts of the request, in a header.

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::content::{Parts, SignedContent};
use super::proof::{Proof, Signed, picked};
use super::{
    Algorithm, Encoding, HmacRules, Judgement, Message, SecretEncoding, SignatureFormat, SignedRequest, TimestampFrom,
    TimestampUnit, Verdict, VerifierError,
};
use crate::domain::headers::HEADER_SPACE;
use crate::domain::time::Timestamp;

/// Of secrets, with or without padding: they are written by people. Signatures have one spelling.
const SECRET_BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Longer than any signature in any encoding.
const LONGEST_SIGNATURE: usize = 128;

pub(super) struct HmacVerifier {
    rules: HmacRules,
    content: SignedContent,
    keys: Vec<Key>,
}

/// A prepared key, which is cloned for each request.
#[derive(Clone)]
pub(super) enum Key {
    Sha256(Hmac<Sha256>),
    Sha1(Hmac<Sha1>),
}

impl Key {
    fn new(algorithm: Algorithm, secret: &[u8]) -> Self {
        const ANY_LENGTH: &str = "an HMAC key may have any length";
        match algorithm {
            Algorithm::Sha256 => Key::Sha256(Hmac::new_from_slice(secret).expect(ANY_LENGTH)),
            Algorithm::Sha1 => Key::Sha1(Hmac::new_from_slice(secret).expect(ANY_LENGTH)),
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Key::Sha256(mac) => mac.update(bytes),
            Key::Sha1(mac) => mac.update(bytes),
        }
    }

    pub(super) fn finish(self) -> Vec<u8> {
        match self {
            Key::Sha256(mac) => mac.finalize().into_bytes().to_vec(),
            Key::Sha1(mac) => mac.finalize().into_bytes().to_vec(),
        }
    }
}

impl HmacVerifier {
    pub(super) fn new(rules: &HmacRules, secrets: &[String]) -> Result<Self, VerifierError> {
        let content = SignedContent::parse(&rules.signed_content)?;
        if content.has_timestamp() && rules.timestamp_from.is_none() {
            return Err(VerifierError::TimestampNowhere);
        }
        if content.has_id() && rules.id_from.is_none() {
            return Err(VerifierError::IdNowhere);
        }
        if let (Some(TimestampFrom::KeyValue(key)), format) = (&rules.timestamp_from, &rules.signature_format)
            && !matches!(format, SignatureFormat::KeyValue(_))
        {
            return Err(VerifierError::TimestampNotInSignature(key.clone()));
        }
        let keys = secrets.iter().enumerate().map(|(index, secret)| {
            let secret = key_bytes(secret, &rules.secret_encoding, index + 1)?;
            Ok(Key::new(rules.algorithm, &secret))
        });
        Ok(Self { rules: rules.clone(), content, keys: keys.collect::<Result<_, VerifierError>>()? })
    }

    pub(super) fn verify(&self, request: &SignedRequest<'_>, now: Timestamp) -> Judgement {
        let Some(header) = request.headers.text(&self.rules.signature_header) else { return Judgement::INVALID };
        let claimed = self.claimed(header);
        let timestamp = match &self.rules.timestamp_from {
            None => None,
            Some(from) => match timestamp_text(from, header, request) {
                Some(text) => Some(text),
                None => return Judgement::INVALID,
            },
        };
        let parts = Parts {
            body: request.body,
            timestamp,
            id: self.rules.id_from.as_deref().and_then(|name| request.headers.text(name)),
            method: request.method,
            url: request.url,
        };
        if claimed.is_empty() || !self.any_matches(&claimed, &parts) {
            return Judgement::INVALID;
        }
        let Some(timestamp) = timestamp else { return Judgement::VALID };
        let Some(moment) = self.moment(timestamp) else { return Judgement::INVALID };
        let stale = now.since(moment).max(moment.since(now)) > self.rules.tolerance;
        Judgement { verdict: if stale { Verdict::Stale } else { Verdict::Valid }, signed_at: Some(moment) }
    }

    pub(super) fn proof(&self, request: &SignedRequest<'_>, path_and_query: &str) -> Proof {
        let rules = &self.rules;
        if request.headers.text(&rules.signature_header).is_none_or(str::is_empty) {
            return Proof::Missing;
        }
        let time = match &rules.timestamp_from {
            Some(TimestampFrom::Header(name)) => Some(name.as_str()),
            Some(TimestampFrom::KeyValue(_)) | None => None,
        };
        let names = [rules.signature_header.as_str()].into_iter().chain(time).chain(rules.id_from.as_deref());
        Proof::Signed(Signed {
            method: request.method.to_owned(),
            path_and_query: self.content.has_url().then(|| path_and_query.to_owned()),
            headers: picked(request.headers, names),
        })
    }

    fn any_matches(&self, claimed: &[Vec<u8>], parts: &Parts<'_>) -> bool {
        self.keys.iter().any(|key| {
            let Some(tag) = self.content.tag(key, parts) else { return false };
            claimed.iter().any(|signature| bool::from(signature.ct_eq(&tag)))
        })
    }

    /// The signatures in a header that may count, decoded; what is no signature at all is left out.
    fn claimed(&self, header: &str) -> Vec<Vec<u8>> {
        let texts: Vec<&str> = match &self.rules.signature_format {
            SignatureFormat::Plain => vec![header],
            SignatureFormat::Prefix(prefix) => header.strip_prefix(prefix.as_str()).into_iter().collect(),
            SignatureFormat::OptionalPrefix(prefix) => vec![header.strip_prefix(prefix.as_str()).unwrap_or(header)],
            SignatureFormat::KeyValue(key) => key_values(header, key).collect(),
            SignatureFormat::List(version) => header
                .split_ascii_whitespace()
                .filter_map(|item| item.split_once(',').filter(|(known, _)| known == version).map(|(_, text)| text))
                .collect(),
        };
        texts.into_iter().filter_map(|text| self.decoded(text)).collect()
    }

    /// A signature has one spelling, so that none in which anything was changed is taken; hex has one in either letter case.
    fn decoded(&self, text: &str) -> Option<Vec<u8>> {
        if text.is_empty() || text.len() > LONGEST_SIGNATURE {
            return None;
        }
        match self.rules.encoding {
            Encoding::Hex => {
                let has = |is_case: fn(&u8) -> bool| text.as_bytes().iter().any(is_case);
                let is_mixed = has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase);
                if is_mixed { None } else { hex::decode(text).ok() }
            }
            Encoding::Base64 => STANDARD.decode(text).ok(),
        }
    }

    fn moment(&self, text: &str) -> Option<Timestamp> {
        // Without a plus sign or leading zeros.
        let number: i64 = text.parse().ok().filter(|number: &i64| number.to_string() == text)?;
        let in_micros = match self.rules.timestamp_unit {
            TimestampUnit::Seconds => 1_000_000,
            TimestampUnit::Milliseconds => 1_000,
        };
        number.checked_mul(in_micros).map(Timestamp::from_micros)
    }

    pub(super) fn sign(&self, message: &Message<'_>) -> Vec<(String, String)> {
        let timestamp = match self.rules.timestamp_unit {
            TimestampUnit::Seconds => message.timestamp.as_seconds().to_string(),
            TimestampUnit::Milliseconds => message.timestamp.as_micros().div_euclid(1_000).to_string(),
        };
        let parts = Parts {
            body: message.body,
            timestamp: Some(&timestamp),
            id: Some(message.id),
            method: message.method,
            url: Some(message.url),
        };
        let tag = self.keys.first().and_then(|key| self.content.tag(key, &parts)).unwrap_or_default();
        let signature = match self.rules.encoding {
            Encoding::Hex => hex::encode(tag),
            Encoding::Base64 => STANDARD.encode(tag),
        };
        let value = match (&self.rules.signature_format, &self.rules.timestamp_from) {
            (SignatureFormat::KeyValue(key), Some(TimestampFrom::KeyValue(at))) => {
                format!("{at}={timestamp},{key}={signature}")
            }
            (SignatureFormat::KeyValue(key), _) => format!("{key}={signature}"),
            (SignatureFormat::Plain | SignatureFormat::OptionalPrefix(_), _) => signature,
            (SignatureFormat::Prefix(prefix), _) => format!("{prefix}{signature}"),
            (SignatureFormat::List(version), _) => format!("{version},{signature}"),
        };
        let mut headers = Vec::new();
        headers.extend(self.rules.id_from.iter().map(|name| (name.clone(), message.id.to_owned())));
        if let Some(TimestampFrom::Header(name)) = &self.rules.timestamp_from {
            headers.push((name.clone(), timestamp.clone()));
        }
        headers.push((self.rules.signature_header.clone(), value));
        headers
    }
}

/// The timestamp as it was sent.
fn timestamp_text<'a>(from: &TimestampFrom, header: &'a str, request: &SignedRequest<'a>) -> Option<&'a str> {
    let text = match from {
        TimestampFrom::Header(name) => request.headers.text(name)?,
        TimestampFrom::KeyValue(key) => key_values(header, key).next()?,
    };
    (!text.is_empty()).then_some(text)
}

/// The values of a key in a comma list; lists may have white space behind a comma.
fn key_values<'a>(header: &'a str, key: &str) -> impl Iterator<Item = &'a str> {
    header.split(',').filter_map(move |item| {
        let (known, value) = item.trim_start_matches(HEADER_SPACE).split_once('=')?;
        (known == key).then_some(value)
    })
}

fn key_bytes(secret: &str, encoding: &SecretEncoding, number: usize) -> Result<Vec<u8>, VerifierError> {
    match encoding {
        SecretEncoding::Utf8 => Ok(secret.as_bytes().to_vec()),
        SecretEncoding::Base64 { strip } => {
            let text = secret.strip_prefix(strip.as_str()).unwrap_or(secret);
            match SECRET_BASE64.decode(text.trim()) {
                Ok(key) if key.is_empty() => Err(VerifierError::EmptySecret(number)),
                Ok(key) => Ok(key),
                Err(_) => Err(VerifierError::SecretNotBase64(number)),
            }
        }
    }
}
