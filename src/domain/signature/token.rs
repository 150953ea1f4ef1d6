//! The scheme `token`: a secret that is sent along.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::proof::{Proof, SALT};
use super::{SignedRequest, TokenLocation, TokenRules};
use crate::domain::envelope::{BodyRules, as_json};
use crate::domain::headers::HEADER_SPACE;
use crate::domain::value::raw::RawJson;

const BASIC: &str = "Basic ";
const AUTHORIZATION: &str = "Authorization";

pub(super) struct TokenVerifier {
    location: TokenLocation,
    /// Of equal length whatever the secrets, so that not even their length shows in the time that comparing takes.
    digests: Vec<[u8; 32]>,
    first: String,
}

impl TokenVerifier {
    pub(super) fn new(rules: &TokenRules, secrets: &[String]) -> Self {
        Self {
            location: rules.location.clone(),
            digests: secrets.iter().map(|secret| Sha256::digest(secret).into()).collect(),
            first: secrets.first().cloned().unwrap_or_default(),
        }
    }

    pub(super) fn verify(&self, request: &SignedRequest<'_>) -> bool {
        let Some(token) = self.sent(request) else { return false };
        let digest: [u8; 32] = Sha256::digest(&*token).into();
        self.digests.iter().fold(Choice::from(0), |found, known| found | known.ct_eq(&digest)).into()
    }

    pub(super) fn proof(&self, request: &SignedRequest<'_>, salt: [u8; SALT]) -> Proof {
        match self.sent(request).filter(|token| !token.is_empty()) {
            Some(token) => Proof::Token { salt, digest: salted(&salt, &Sha256::digest(&*token).into()) },
            None => Proof::Missing,
        }
    }

    /// Whether a kept hash is one of these secrets'.
    pub(super) fn is_known(&self, salt: &[u8; SALT], digest: &[u8; 32]) -> bool {
        let same = |known: &[u8; 32]| salted(salt, known).ct_eq(digest);
        self.digests.iter().fold(Choice::from(0), |found, known| found | same(known)).into()
    }

    fn sent<'a>(&self, request: &SignedRequest<'a>) -> Option<Cow<'a, [u8]>> {
        match &self.location {
            TokenLocation::Header { name, prefix } => {
                let value = without_prefix(request.headers.text(name)?, prefix)?;
                Some(Cow::Borrowed(value.as_bytes()))
            }
            TokenLocation::Basic => {
                let encoded = without_prefix(request.headers.text(AUTHORIZATION)?, BASIC)?;
                STANDARD.decode(encoded).ok().map(Cow::Owned)
            }
            TokenLocation::Query { name } => url::form_urlencoded::parse(request.query?.as_bytes())
                .find(|(known, _)| known == name)
                .map(|(_, value)| Cow::Owned(value.into_owned().into_bytes())),
            TokenLocation::Path => request.path_token.map(|token| Cow::Borrowed(token.as_bytes())),
            // Read before anything is proven: bodies are bounded, and so is what reading one makes of it.
            TokenLocation::Body { pointer } => {
                let json = as_json(request.body, request.headers, &BodyRules::default(), "").ok()?;
                let value = RawJson::parse(&json).ok()?.pointer(pointer)?;
                value.scalar_text().map(|text| Cow::Owned(text.into_owned().into_bytes()))
            }
        }
    }

    pub(super) fn sign(&self) -> Vec<(String, String)> {
        match &self.location {
            TokenLocation::Header { name, prefix } => vec![(name.clone(), format!("{prefix}{}", self.first))],
            TokenLocation::Basic => {
                vec![(AUTHORIZATION.to_owned(), format!("{BASIC}{}", STANDARD.encode(&self.first)))]
            }
            TokenLocation::Query { .. } | TokenLocation::Path | TokenLocation::Body { .. } => Vec::new(),
        }
    }
}

fn salted(salt: &[u8; SALT], digest: &[u8; 32]) -> [u8; 32] {
    Sha256::new().chain_update(salt).chain_update(digest).finalize().into()
}

/// HTTP takes the word before a token in any letter case.
fn without_prefix<'a>(value: &'a str, prefix: &str) -> Option<&'a str> {
    let (start, rest) = value.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then(|| rest.trim_matches(HEADER_SPACE))
}
