//! Handshakes: how a lead system asks an address whether it is meant to receive its webhooks.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The longest challenge that is answered.
const LONGEST_CHALLENGE: usize = 128;

/// Whose handshake it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeKind {
    /// `hub.verify_token` must be right, and `hub.challenge` is returned.
    Meta,
    /// `challengeCode` is returned with its HMAC, and asked for again every two hours.
    LinkedIn,
    /// A HEAD request only has to be answered.
    Intercom,
}

/// Answers the handshakes of one source. Prepared once.
pub struct Handshake(Prepared);

enum Prepared {
    /// The digest of the verify token, so that comparing takes the same time whatever was sent.
    Meta([u8; 32]),
    LinkedIn(Hmac<Sha256>),
    Intercom,
}

/// What a handshake is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandshakeAnswer {
    /// The challenge, as plain text.
    Challenge(String),
    /// The challenge and what proves that the secret is known.
    Proof { code: String, response: String },
    /// That there is somebody.
    Present,
    /// The token is wrong, or there is no challenge that may be answered.
    Refused,
}

impl Handshake {
    /// `secret` is LinkedIn's client secret, or the verify token that was chosen for Meta.
    pub fn new(kind: HandshakeKind, secret: &str) -> Self {
        Self(match kind {
            HandshakeKind::Meta => Prepared::Meta(Sha256::digest(secret).into()),
            HandshakeKind::LinkedIn => {
                Prepared::LinkedIn(Hmac::new_from_slice(secret.as_bytes()).expect("an HMAC key may have any length"))
            }
            HandshakeKind::Intercom => Prepared::Intercom,
        })
    }

    /// The HTTP method by which it is asked.
    pub fn method(&self) -> &'static str {
        match self.0 {
            Prepared::Meta(_) | Prepared::LinkedIn(_) => "GET",
            Prepared::Intercom => "HEAD",
        }
    }

    /// The header `Allow` of a source that has it.
    pub fn allow(&self) -> &'static str {
        match self.0 {
            Prepared::Meta(_) | Prepared::LinkedIn(_) => "GET, POST",
            Prepared::Intercom => "HEAD, POST",
        }
    }

    /// Answers the query of one request.
    ///
    /// What is answered can prove no webhook: whoever asks gets LinkedIn's HMAC over a text of their choice, and a webhook's
    /// signature is one over `hmacsha256=` and the body; so only letters, digits, `-` and `_` are answered.
    pub fn answer(&self, query: Option<&str>) -> HandshakeAnswer {
        let value = |name: &str| {
            let pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
            pairs.into_iter().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
        };
        let challenge = |name| value(name).filter(|text| is_challenge(text));
        match &self.0 {
            Prepared::Meta(token) => {
                let digest: [u8; 32] = Sha256::digest(value("hub.verify_token").unwrap_or_default()).into();
                let genuine = bool::from(digest.ct_eq(token)) && value("hub.mode").as_deref() == Some("subscribe");
                match challenge("hub.challenge") {
                    Some(challenge) if genuine => HandshakeAnswer::Challenge(challenge),
                    _ => HandshakeAnswer::Refused,
                }
            }
            Prepared::LinkedIn(key) => match challenge("challengeCode") {
                Some(code) => {
                    let mut mac = key.clone();
                    mac.update(code.as_bytes());
                    let response = hex::encode(mac.finalize().into_bytes());
                    HandshakeAnswer::Proof { code, response }
                }
                None => HandshakeAnswer::Refused,
            },
            Prepared::Intercom => HandshakeAnswer::Present,
        }
    }
}

fn is_challenge(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=LONGEST_CHALLENGE).contains(&text.len()) && text.bytes().all(plain)
}

/// Keys stay out of logs.
impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handshake([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::value::Value;

    const VECTORS: &str = include_str!("../../../tests/it/fixtures/vectors.json");

    #[test]
    fn every_published_handshake_is_answered_as_it_should_be() {
        let file = Value::parse_json(VECTORS.as_bytes()).unwrap();
        let Some(Value::List(vectors)) = file.pointer("/vectors") else { panic!("no vectors") };
        let mut answered = 0;
        for vector in vectors {
            let text = |pointer: &str| vector.pointer(pointer).and_then(Value::scalar_text);
            let kind = match text("/handshake") {
                None => continue,
                Some("meta") => HandshakeKind::Meta,
                Some("linkedin") => HandshakeKind::LinkedIn,
                Some(other) => panic!("no handshake {other}"),
            };
            let secret = text("/verify_token").or(text("/secret")).unwrap();
            let query = text("/request/url").unwrap().split_once('?').map(|(_, query)| query);
            let expected = match text("/expect_response/status") {
                Some("403") => HandshakeAnswer::Refused,
                _ if kind == HandshakeKind::Meta => {
                    HandshakeAnswer::Challenge(text("/expect_response/body").unwrap().to_owned())
                }
                _ => HandshakeAnswer::Proof {
                    code: text("/expect_response/json/challengeCode").unwrap().to_owned(),
                    response: text("/expect_response/json/challengeResponse").unwrap().to_owned(),
                },
            };
            assert_eq!(Handshake::new(kind, secret).answer(query), expected, "{}", text("/id").unwrap());
            answered += 1;
        }
        assert_eq!(answered, 3);
    }

    #[test]
    fn a_handshake_gives_no_signature_of_a_webhook_away() {
        let linkedin = Handshake::new(HandshakeKind::LinkedIn, "li-client-secret");
        for code in ["hmacsha256%3D%7B%7D", "hmacsha256=", "%7B%22a%22%3A1%7D", "a+b", "", &"a".repeat(129), "%00"] {
            let query = format!("challengeCode={code}");
            assert_eq!(linkedin.answer(Some(&query)), HandshakeAnswer::Refused, "{code}");
        }
        assert_eq!(linkedin.answer(None), HandshakeAnswer::Refused);
    }

    #[test]
    fn meta_must_know_the_token_and_mean_to_subscribe() {
        let meta = Handshake::new(HandshakeKind::Meta, "token");
        for query in [
            "hub.mode=subscribe&hub.challenge=1",
            "hub.mode=subscribe&hub.challenge=1&hub.verify_token=",
            "hub.mode=subscribe&hub.challenge=1&hub.verify_token=tokens",
            "hub.mode=unsubscribe&hub.challenge=1&hub.verify_token=token",
            "hub.mode=subscribe&hub.challenge=%3Cscript%3E&hub.verify_token=token",
            "hub.mode=subscribe&hub.verify_token=token",
        ] {
            assert_eq!(meta.answer(Some(query)), HandshakeAnswer::Refused, "{query}");
        }
    }
}
