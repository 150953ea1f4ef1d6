//! Signature headers: no text makes verifying panic, and none that is made up is taken.

use leadrelay::domain::signature::{SignedRequest, Verdict, VerifyRules};
use leadrelay::domain::time::Timestamp;
use leadrelay::source::preset;

use super::{for_a_while, strung, verifiers};

const PIECES: &[&str] = &[
    "v1",
    "v1,",
    "v1=",
    "v0=",
    "t=",
    "t",
    ",",
    "=",
    " ",
    ".",
    "sha256=",
    "sha1=",
    "hmacsha256=",
    "Basic ",
    "Bearer ",
    "00",
    "ff",
    "FF",
    "zz",
    "AAAA",
    "====",
    "c94c5c6e0b328db7483cb0be7c74f15605d799e0c7524c7c1796348dc90c98a8",
    "1767225600",
    "-1",
    "9223372036854775808",
    "é",
    "\u{7f}",
    "relay:",
    "a-secret-of-the-sende",
    "%00",
    "&token=",
    "token",
];

#[test]
fn no_header_that_is_made_up_proves_anything() {
    let verifiers = verifiers();
    for_a_while(|rng| {
        let (name, verifier) = &verifiers[rng.usize(0..verifiers.len())];
        let mut headers = Vec::new();
        match preset(name).unwrap().verify.unwrap() {
            VerifyRules::Hmac(rules) => {
                headers.push((rules.signature_header, strung(rng, PIECES, 12)));
                headers.extend(rules.id_from.map(|id| (id, strung(rng, PIECES, 3))));
                for header in
                    ["webhook-timestamp", "X-HubSpot-Request-Timestamp", "x-webflow-timestamp", "X-CIO-Timestamp"]
                {
                    headers.push((header.to_owned(), strung(rng, PIECES, 3)));
                }
            }
            VerifyRules::Token(_) => {
                headers.push(("Authorization".to_owned(), strung(rng, PIECES, 6)));
                headers.push(("X-Relay-Token".to_owned(), strung(rng, PIECES, 6)));
                headers.push(("Content-Type".to_owned(), strung(rng, PIECES, 6)));
            }
        }
        let (query, body) = (strung(rng, PIECES, 8), strung(rng, PIECES, 12));
        let request = SignedRequest {
            method: "POST",
            url: Some("https://hooks.example.com/webhooks/x"),
            headers: &headers,
            query: Some(&query),
            path_token: Some(&query),
            body: body.as_bytes(),
        };
        let verdict = verifier.verify(&request, Timestamp::from_seconds(1_767_225_600)).verdict;
        assert_eq!(verdict, Verdict::Invalid, "{name}: {headers:?}");
    });
}
