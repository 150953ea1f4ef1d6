//! Signed requests with one thing changed: none may pass.

use leadrelay::domain::signature::{
    HmacRules, Message, SignatureFormat, SignedRequest, TimestampFrom, TokenLocation, Verdict, Verifier, VerifyRules,
};
use leadrelay::domain::time::Timestamp;
use leadrelay::source::preset;

use super::{Named, first_seed, is_long, secret, verifiers};

const NOW: Timestamp = Timestamp::from_seconds(1_767_225_600);
const URL: &str = "https://hooks.example.com/webhooks/source";
const BODY: &str =
    r#"{"event":"lead.created","key":"a-secret-of-the-sender","data":{"id":"cl_1","name":"Ada Lovelace"}}"#;

/// A request as it is sent.
#[derive(Clone)]
struct Request {
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    query: String,
    body: Vec<u8>,
}

impl Request {
    fn verdict(&self, verifier: &Verifier) -> Verdict {
        let request = SignedRequest {
            method: &self.method,
            url: Some(&self.url),
            headers: &self.headers,
            query: Some(&self.query),
            path_token: None,
            body: &self.body,
        };
        verifier.verify(&request, NOW).verdict
    }

    fn header(&mut self, name: &str) -> &mut String {
        &mut self.headers.iter_mut().find(|(known, _)| known == name).unwrap().1
    }
}

fn genuine(name: &str, verifier: &Verifier) -> Request {
    let body = if name == "google-ads" { BODY.replace("\"key\"", "\"google_key\"") } else { BODY.to_owned() };
    let message = Message { method: "POST", url: URL, timestamp: NOW, id: "msg_1", body: body.as_bytes() };
    let query = format!("a=1&token={}", secret(name));
    let headers = verifier.sign(&message);
    Request { method: "POST".into(), url: URL.into(), headers, query, body: body.into_bytes() }
}

/// One bit less or more, one byte less or more, a piece twice, or other bytes in its place.
fn changed(rng: &mut fastrand::Rng, bytes: &mut Vec<u8>) {
    let at = rng.usize(0..bytes.len());
    match rng.usize(0..6) {
        0 | 1 => bytes[at] ^= 1 << rng.u8(0..8),
        2 => drop(bytes.remove(at)),
        3 => bytes.insert(at, rng.u8(..)),
        4 => bytes.truncate(at),
        _ => bytes.extend_from_slice(&bytes.clone()[at..]),
    }
}

/// Other text of ASCII, which a header can carry.
fn changed_text(rng: &mut fastrand::Rng, text: &mut String) {
    let before = text.clone();
    while *text == before {
        let mut bytes = before.clone().into_bytes();
        changed(rng, &mut bytes);
        *text = bytes.into_iter().map(|byte| char::from(byte & 0x7f)).filter(char::is_ascii_graphic).collect();
    }
}

/// Any bit of a signature's header flipped, or a character less, or one more that does not part entries.
fn changed_signature(rng: &mut fastrand::Rng, rules: &HmacRules, header: &mut String) {
    if let SignatureFormat::OptionalPrefix(prefix) = &rules.signature_format {
        header.insert_str(0, prefix);
    }
    let at = rng.usize(0..header.len());
    let byte = header.as_bytes()[at];
    match rng.usize(0..4) {
        0 => header.truncate(at),
        1 => header.replace_range(at..at + 1, ""),
        2 => header.insert(at, char::from(rng.u8(b'-'..=b'z'))),
        _ => header.replace_range(at..at + 1, &char::from(byte ^ (1 << rng.u8(0..8))).to_string()),
    }
}

fn mutate_hmac(rng: &mut fastrand::Rng, rules: &HmacRules, request: &mut Request) {
    let signs = |part: &str| rules.signed_content.contains(part);
    loop {
        match rng.usize(0..8) {
            0..3 => return changed(rng, &mut request.body),
            3 | 4 => return changed_signature(rng, rules, request.header(&rules.signature_header)),
            5 if signs("{url}") => return changed_text(rng, &mut request.url),
            5 if signs("{method}") => return changed_text(rng, &mut request.method),
            6 => {
                if let Some(id) = &rules.id_from {
                    return changed_text(rng, request.header(id));
                }
            }
            7 => match &rules.timestamp_from {
                Some(TimestampFrom::Header(name)) => return changed_text(rng, request.header(name)),
                // In the signature's header.
                Some(TimestampFrom::KeyValue(_)) | None => {}
            },
            _ => {}
        }
    }
}

fn mutate_token(rng: &mut fastrand::Rng, location: &TokenLocation, name: &str, request: &mut Request) {
    let mut token = secret(name);
    changed_text(rng, &mut token);
    let right = secret(name);
    match location {
        TokenLocation::Header { name, prefix } => *request.header(name) = format!("{prefix}{token}"),
        TokenLocation::Basic => {
            use base64::Engine as _;
            let token = base64::engine::general_purpose::STANDARD.encode(token);
            *request.header("Authorization") = format!("Basic {token}");
        }
        TokenLocation::Query { .. } | TokenLocation::Path => {
            let encoded: String = url::form_urlencoded::byte_serialize(token.as_bytes()).collect();
            request.query = request.query.replace(&right, &encoded);
        }
        TokenLocation::Body { .. } => {
            let quoted = serde_json::to_string(&token).unwrap();
            let body = String::from_utf8(request.body.clone()).unwrap();
            request.body = body.replace(&format!("\"{right}\""), &quoted).into_bytes();
        }
    }
}

#[test]
fn of_a_million_changed_requests_none_is_accepted() {
    let cases: u64 = if is_long() { 1_000_000 } else { 100_000 };
    let known: Vec<_> = verifiers()
        .into_iter()
        .map(|(name, verifier)| {
            let request = genuine(name, &verifier);
            assert_eq!(request.verdict(&verifier), Verdict::Valid, "{name}");
            (name, preset(name).unwrap().verify.unwrap(), verifier, request)
        })
        .collect();
    let mut accepted = Vec::new();
    let first = first_seed();
    for seed in first..first + cases {
        let named = Named(seed);
        let mut rng = fastrand::Rng::with_seed(seed);
        let (name, rules, verifier, genuine) = &known[rng.usize(0..known.len())];
        let mut request = genuine.clone();
        match rules {
            VerifyRules::Hmac(rules) => mutate_hmac(&mut rng, rules, &mut request),
            VerifyRules::Token(rules) => mutate_token(&mut rng, &rules.location, name, &mut request),
        }
        if request.verdict(verifier) != Verdict::Invalid {
            accepted.push((*name, seed, request.headers, String::from_utf8_lossy(&request.body).into_owned()));
        }
        drop(named);
    }
    assert!(accepted.is_empty(), "{} of {cases}, such as {:?}", accepted.len(), accepted.first());
}
