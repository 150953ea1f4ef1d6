//! The assertion of the JWT bearer flow: who logs in, for whom that is meant and until when, signed with RS256.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::rsa::KeyPair;
use ring::signature::RSA_PKCS1_SHA256;
use serde::Serialize;

use crate::crm::CrmError;
use crate::domain::time::Timestamp;

/// `grant_type` of the flow.
pub(super) const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// How long one is good for; Salesforce takes none that ends much later.
const SECONDS: i64 = 180;

/// What is claimed.
#[derive(Debug, Serialize)]
pub(super) struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    /// Seconds since 1970.
    exp: i64,
}

impl<'a> Claims<'a> {
    pub fn new(client_id: &'a str, username: &'a str, audience: &'a str, now: Timestamp) -> Self {
        let exp = now.as_seconds().saturating_add(SECONDS);
        Self { iss: client_id, sub: username, aud: audience, exp }
    }
}

/// Header, claims and signature, each in base64 as URLs carry it, with dots between.
pub(super) fn sign(key: &KeyPair, claims: &Claims<'_>) -> Result<String, CrmError> {
    let failed = |detail: &str| CrmError::Unauthorised { code: "assertion_unsigned".into(), detail: detail.into() };
    let claims = serde_json::to_vec(claims).map_err(|_| failed("the claims cannot be written as JSON"))?;
    let signed = format!("{}.{}", encode(br#"{"alg":"RS256"}"#), encode(&claims));
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
        .map_err(|_| failed("the private key cannot sign"))?;
    Ok(format!("{signed}.{}", encode(&signature)))
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
