use super::*;
use crate::domain::value::Value;

const VECTORS: &str = include_str!("../../../tests/it/fixtures/vectors.json");
const BODY: &[u8] = br#"{"event":"lead.created"}"#;

fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer).and_then(Value::scalar_text)
}

fn rules(config: &Value) -> VerifyRules {
    let named = |pointer: &str| text(config, pointer).map(str::to_owned);
    match text(config, "/scheme").unwrap() {
        "hmac" => VerifyRules::Hmac(HmacRules {
            algorithm: Algorithm::parse(text(config, "/algorithm").unwrap()).unwrap(),
            encoding: Encoding::parse(text(config, "/encoding").unwrap()).unwrap(),
            signature_header: named("/signature_header").unwrap(),
            signature_format: SignatureFormat::parse(text(config, "/signature_format").unwrap()).unwrap(),
            signed_content: named("/signed_content").unwrap(),
            timestamp_from: text(config, "/timestamp_from").map(|from| TimestampFrom::parse(from).unwrap()),
            timestamp_unit: TimestampUnit::parse(text(config, "/timestamp_unit").unwrap()).unwrap(),
            tolerance: Duration::from_secs(text(config, "/tolerance_s").map_or(0, |seconds| seconds.parse().unwrap())),
            id_from: text(config, "/id_from").map(|from| parse_id_from(from).unwrap()),
            secret_encoding: SecretEncoding::parse(text(config, "/secret_encoding").unwrap()).unwrap(),
        }),
        "token" => VerifyRules::Token(TokenRules {
            location: match text(config, "/location").unwrap() {
                "header" => TokenLocation::Header {
                    name: named("/name").unwrap(),
                    prefix: named("/prefix").unwrap_or_default(),
                },
                "basic" => TokenLocation::Basic,
                "query" => TokenLocation::Query { name: named("/name").unwrap() },
                "body" => TokenLocation::Body { pointer: named("/pointer").unwrap() },
                other => panic!("no vector has location {other}"),
            },
        }),
        other => panic!("no vector has scheme {other}"),
    }
}

fn judged(vector: &Value) -> Verdict {
    use base64::Engine as _;
    let config = vector.pointer("/config").unwrap();
    let secrets = [text(vector, "/secret").unwrap().to_owned()];
    let verifier = Verifier::new(&rules(config), &secrets).unwrap();
    let body = match text(vector, "/request/body_base64") {
        Some(encoded) => base64::engine::general_purpose::STANDARD.decode(encoded).unwrap(),
        None => text(vector, "/request/body").unwrap().as_bytes().to_vec(),
    };
    let Some(Value::Object(headers)) = vector.pointer("/request/headers") else { panic!("no headers") };
    let headers: Vec<(String, String)> =
        headers.iter().map(|(name, value)| (name.clone(), value.scalar_text().unwrap().to_owned())).collect();
    let url = text(vector, "/request/url");
    let request = SignedRequest {
        method: text(vector, "/request/method").unwrap(),
        url,
        headers: &headers,
        query: url.and_then(|url| url.split_once('?')).map(|(_, query)| query),
        path_token: None,
        body: &body,
    };
    verifier.verify(&request, Timestamp::from_seconds(text(vector, "/now").unwrap().parse().unwrap())).verdict
}

/// What a verifier with these secrets says of the request, and of what is kept of it by a verifier that had another secret.
fn judged_twice(vector: &Value, secret: &str) -> (Verdict, Verdict, Proof) {
    let config = vector.pointer("/config").unwrap();
    let (rules, Some(Value::Object(headers))) = (rules(config), vector.pointer("/request/headers")) else {
        panic!("no headers")
    };
    let headers: Vec<(String, String)> =
        headers.iter().map(|(name, value)| (name.clone(), value.scalar_text().unwrap().to_owned())).collect();
    let url = text(vector, "/request/url");
    let body = text(vector, "/request/body").unwrap_or_default().as_bytes();
    let path_and_query = url.map_or("", |url| &url[url.find("//").map_or(0, |at| at + 2)..]);
    let (host, path_and_query) = path_and_query.split_at(path_and_query.find('/').unwrap_or(0));
    let request = SignedRequest {
        method: text(vector, "/request/method").unwrap(),
        url,
        headers: &headers,
        query: url.and_then(|url| url.split_once('?')).map(|(_, query)| query),
        path_token: None,
        body,
    };
    let now = Timestamp::from_seconds(text(vector, "/now").unwrap().parse().unwrap());
    let proof = Verifier::new(&rules, &[WRONG.to_owned()]).unwrap().proof(&request, path_and_query, [7; SALT]);
    let today = Verifier::new(&rules, &[secret.to_owned()]).unwrap();
    let base = format!("https://{host}");
    let kept = Kept { proof: &proof, public_url: Some(&base), body };
    (today.verify(&request, now).verdict, today.judge_again(&kept, now).verdict, proof)
}

/// Long enough, and base64 as well.
const WRONG: &str = "d3Jvbmd3cm9uZ3dyb25nd3Jvbmd3cm9uZw==";

#[test]
fn what_is_kept_of_a_request_is_judged_as_the_request_was() {
    let file = Value::parse_json(VECTORS.as_bytes()).unwrap();
    let Some(Value::List(vectors)) = file.pointer("/vectors") else { panic!("no vectors") };
    let mut genuine = 0;
    for vector in vectors
        .iter()
        .filter(|vector| vector.pointer("/handshake").is_none() && text(vector, "/request/body_base64").is_none())
    {
        let id = text(vector, "/id").unwrap();
        let (at_once, kept, _) = judged_twice(vector, text(vector, "/secret").unwrap());
        assert_eq!(kept, at_once, "{id}");
        genuine += usize::from(at_once == Verdict::Valid);
        assert_eq!(judged_twice(vector, WRONG).1, Verdict::Invalid, "{id}: by another secret");
    }
    assert!(genuine > 10, "only {genuine} genuine cases");
}

#[test]
fn a_token_is_kept_as_a_hash_and_a_request_without_one_is_told() {
    let file = Value::parse_json(VECTORS.as_bytes()).unwrap();
    let Some(Value::List(vectors)) = file.pointer("/vectors") else { panic!("no vectors") };
    let tokens: Vec<&Value> = vectors
        .iter()
        .filter(|vector| text(vector, "/config/scheme") == Some("token") && text(vector, "/expect") == Some("valid"))
        .collect();
    assert!(!tokens.is_empty());
    for vector in tokens {
        assert!(matches!(judged_twice(vector, WRONG).2, Proof::Token { .. }), "{}", text(vector, "/id").unwrap());
    }
    let rules = VerifyRules::Token(TokenRules { location: TokenLocation::Query { name: "key".to_owned() } });
    let bare = SignedRequest {
        method: "POST",
        url: None,
        headers: &Vec::new(),
        query: Some("a=b"),
        path_token: None,
        body: BODY,
    };
    let verifier = Verifier::new(&rules, &[WRONG.to_owned()]).unwrap();
    assert!(verifier.proof(&bare, "/webhooks/x?a=b", [0; SALT]) == Proof::Missing);
}

#[test]
fn every_published_case_is_judged_as_it_should_be() {
    let file = Value::parse_json(VECTORS.as_bytes()).unwrap();
    let Some(Value::List(vectors)) = file.pointer("/vectors") else { panic!("no vectors") };
    let mut judged_cases = 0;
    for vector in vectors.iter().filter(|vector| vector.pointer("/handshake").is_none()) {
        let expected = match text(vector, "/expect").unwrap() {
            "valid" => Verdict::Valid,
            "invalid" => Verdict::Invalid,
            "stale" => Verdict::Stale,
            other => panic!("no verdict {other}"),
        };
        assert_eq!(judged(vector), expected, "{}", text(vector, "/id").unwrap());
        judged_cases += 1;
    }
    assert_eq!((judged_cases, vectors.len()), (57, 60));
}

fn hmac_rules() -> HmacRules {
    HmacRules {
        algorithm: Algorithm::Sha256,
        encoding: Encoding::Hex,
        signature_header: "X-Signature".into(),
        signature_format: SignatureFormat::Plain,
        signed_content: "{body}".into(),
        timestamp_from: None,
        timestamp_unit: TimestampUnit::Seconds,
        tolerance: Duration::from_secs(300),
        id_from: None,
        secret_encoding: SecretEncoding::Utf8,
    }
}

fn token_rules(location: TokenLocation) -> VerifyRules {
    VerifyRules::Token(TokenRules { location })
}

fn verifier(rules: HmacRules, secrets: &[&str]) -> Result<Verifier, VerifierError> {
    Verifier::new(&VerifyRules::Hmac(rules), &secrets.iter().map(|secret| secret.to_string()).collect::<Vec<_>>())
}

fn request<'a>(headers: &'a Vec<(String, String)>, query: Option<&'a str>, path: Option<&'a str>) -> SignedRequest<'a> {
    SignedRequest { method: "POST", url: Some("https://x.example/in"), headers, query, path_token: path, body: BODY }
}

#[test]
fn what_a_source_would_send_is_valid_in_every_format() {
    let now = Timestamp::from_seconds(1_767_225_600);
    let message = Message { method: "POST", url: "https://x.example/in", timestamp: now, id: "msg_1", body: BODY };
    let full = "{method}{url}{id}.{timestamp}.{body}";
    for algorithm in [Algorithm::Sha256, Algorithm::Sha1] {
        for encoding in [Encoding::Hex, Encoding::Base64] {
            for (format, timestamp_from, content) in [
                ("plain", None, "{body}"),
                ("prefix:sha256=", Some("header:X-Time"), full),
                ("optional-prefix:hmac=", Some("header:X-Time"), "hmac={body}"),
                ("kv:v1", Some("kv:t"), full),
                ("list:v1", Some("header:X-Time"), full),
            ] {
                let verifier = verifier(
                    HmacRules {
                        algorithm,
                        encoding,
                        signature_format: SignatureFormat::parse(format).unwrap(),
                        signed_content: content.into(),
                        timestamp_from: timestamp_from.map(|from| TimestampFrom::parse(from).unwrap()),
                        timestamp_unit: TimestampUnit::Milliseconds,
                        id_from: Some("X-Id".into()),
                        ..hmac_rules()
                    },
                    &["first secret", "second"],
                )
                .unwrap();
                let headers = verifier.sign(&message);
                let genuine = request(&headers, None, None);
                assert_eq!(verifier.verify(&genuine, now).verdict, Verdict::Valid, "{format} {headers:?}");
                let forged = SignedRequest { body: b"{}", ..genuine };
                assert_eq!(verifier.verify(&forged, now).verdict, Verdict::Invalid, "{format}");
            }
        }
    }
}

/// A header as its bytes, which need not be text.
struct Sent(Vec<(String, Vec<u8>)>);

impl Headers for Sent {
    fn named(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| &value[..])
    }
}

#[test]
fn a_signature_with_any_bit_flipped_or_any_character_left_out_is_refused() {
    let now = Timestamp::from_seconds(1_767_225_600);
    let message = Message { method: "POST", url: "https://x.example/in", timestamp: now, id: "msg_1", body: BODY };
    for algorithm in [Algorithm::Sha256, Algorithm::Sha1] {
        for encoding in [Encoding::Hex, Encoding::Base64] {
            for format in ["plain", "prefix:sha256=", "optional-prefix:hmac=", "kv:v1", "list:v1"] {
                let is_pair = format.starts_with("kv");
                let rules = HmacRules {
                    algorithm,
                    encoding,
                    signature_format: SignatureFormat::parse(format).unwrap(),
                    signed_content: if is_pair { "{timestamp}.{body}" } else { "{body}" }.into(),
                    timestamp_from: is_pair.then(|| TimestampFrom::KeyValue("t".into())),
                    ..hmac_rules()
                };
                let verifier = verifier(rules, &["a secret"]).unwrap();
                let signed = verifier.sign(&message).remove(0).1;
                let signed = if format.starts_with("optional") { format!("hmac={signed}") } else { signed };
                let verdict = |value: Vec<u8>| {
                    let headers = Sent(vec![("X-Signature".to_owned(), value)]);
                    let request = SignedRequest {
                        method: "POST",
                        url: Some("https://x.example/in"),
                        headers: &headers,
                        query: None,
                        path_token: None,
                        body: BODY,
                    };
                    verifier.verify(&request, now).verdict
                };
                assert_eq!(verdict(signed.clone().into_bytes()), Verdict::Valid, "{format} {signed}");
                for at in 0..signed.len() {
                    for bit in 0..8 {
                        let mut bytes = signed.clone().into_bytes();
                        bytes[at] ^= 1 << bit;
                        let shown = String::from_utf8_lossy(&bytes).into_owned();
                        assert_eq!(verdict(bytes), Verdict::Invalid, "{format} {shown:?} for {signed:?}");
                    }
                    let mut bytes = signed.clone().into_bytes();
                    bytes.remove(at);
                    let shown = String::from_utf8_lossy(&bytes).into_owned();
                    assert_eq!(verdict(bytes), Verdict::Invalid, "{format} {shown:?} for {signed:?}");
                }
            }
        }
    }
}

#[test]
fn a_signature_is_taken_in_one_spelling_only() {
    let now = Timestamp::from_seconds(1_767_225_600);
    let message = Message { method: "POST", url: "", timestamp: now, id: "", body: BODY };
    // A SHA-256 takes 44 characters of base64, of which one is padding.
    let check = |encoding, format: &str, respelt: &dyn Fn(&str) -> String, expected| {
        let format = SignatureFormat::parse(format).unwrap();
        let at = matches!(format, SignatureFormat::KeyValue(_)).then(|| TimestampFrom::KeyValue("t".into()));
        let rules = HmacRules { encoding, signature_format: format, timestamp_from: at, ..hmac_rules() };
        let verifier = verifier(rules, &["a secret"]).unwrap();
        let signed = respelt(&verifier.sign(&message).remove(0).1);
        let headers = vec![("X-Signature".to_owned(), signed.clone())];
        assert_eq!(verifier.verify(&request(&headers, None, None), now).verdict, expected, "{signed:?}");
    };
    use Encoding::{Base64, Hex};
    use Verdict::{Invalid, Valid};
    check(Hex, "plain", &|signed| signed.to_uppercase(), Valid);
    check(Hex, "plain", &|signed| format!("{}{}", signed[..32].to_uppercase(), &signed[32..]), Invalid);
    check(Hex, "plain", &|signed| format!(" \t{signed} "), Valid);
    check(Hex, "plain", &|signed| format!("\u{a0}{signed}\u{2003}"), Invalid);
    check(Hex, "prefix:sha256=", &|signed| signed.replace("sha", "SHA"), Invalid);
    check(Hex, "prefix:sha256=", &|signed| signed.replace('=', "= "), Invalid);
    check(Hex, "optional-prefix:hmac=", &|signed| format!("hmac= {signed}"), Invalid);
    check(Base64, "plain", &|signed| signed.trim_end_matches('=').to_owned(), Invalid);
    check(Base64, "plain", &|signed| format!("{signed}="), Invalid);
    check(Base64, "list:v1", &|signed| signed.trim_end_matches('=').to_owned(), Invalid);
    check(Base64, "list:v1", &|signed| format!("v0,AAAA {signed} v1,AAAA"), Valid);
    check(Hex, "kv:v1", &|signed| format!("v0=00,{signed},v1=00"), Valid);
    check(Hex, "kv:v1", &|signed| signed.replace(',', ", "), Valid);
    check(Hex, "kv:v1", &|signed| signed.replace("v1=", "v1 ="), Invalid);
    check(Hex, "kv:v1", &|signed| signed.replace("v1=", "v1= "), Invalid);
    check(Hex, "kv:v1", &|signed| signed.replace("t=", "t= "), Invalid);
    check(Hex, "kv:v1", &|signed| signed.replace("t=", "t=+"), Invalid);
    check(Hex, "kv:v1", &|signed| signed.replace("t=", "t=0"), Invalid);
    check(Hex, "kv:v1", &|signed| signed.replace(",v1", " ,v1"), Invalid);
}

#[test]
fn any_of_several_secrets_may_match() {
    let now = Timestamp::default();
    let message = Message { method: "POST", url: "", timestamp: now, id: "", body: BODY };
    let headers = verifier(hmac_rules(), &["new secret"]).unwrap().sign(&message);
    let genuine = request(&headers, None, None);
    for (secrets, expected) in [
        (&["old secret", "new secret"][..], Verdict::Valid),
        (&["new secret", "old secret"], Verdict::Valid),
        (&["old secret"], Verdict::Invalid),
    ] {
        assert_eq!(verifier(hmac_rules(), secrets).unwrap().verify(&genuine, now).verdict, expected);
    }
}

#[test]
fn a_timestamp_without_end_is_refused_and_overflows_nothing() {
    let rules = HmacRules {
        signature_format: SignatureFormat::KeyValue("v1".into()),
        timestamp_from: Some(TimestampFrom::KeyValue("t".into())),
        ..hmac_rules()
    };
    let verifier = verifier(rules, &["a secret"]).unwrap();
    let message = Message { method: "POST", url: "", timestamp: Timestamp::default(), id: "", body: BODY };
    let (_, signed) = verifier.sign(&message).remove(0);
    let signature = signed.split_once(',').unwrap().1.to_owned();
    for (timestamp, expected) in [
        ("9223372036854775807", Verdict::Invalid),
        ("-9223372036854775808", Verdict::Invalid),
        ("9223372036854", Verdict::Stale),
        ("99999999999999999999999", Verdict::Invalid),
        ("yesterday", Verdict::Invalid),
        ("", Verdict::Invalid),
        ("300", Verdict::Valid),
        ("-301", Verdict::Stale),
        ("-0", Verdict::Invalid),
    ] {
        let headers = vec![("x-signature".to_owned(), format!("t={timestamp},{signature}"))];
        assert_eq!(
            verifier.verify(&request(&headers, None, None), Timestamp::default()).verdict,
            expected,
            "{timestamp}"
        );
    }
}

#[test]
fn a_token_is_found_where_the_rules_say_and_nowhere_else() {
    let secrets = ["tok 1&ü".to_owned()];
    let check = |location: TokenLocation, headers: &[(&str, &str)], query, path, expected| {
        let headers: Vec<(String, String)> =
            headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let verifier = Verifier::new(&token_rules(location.clone()), &secrets).unwrap();
        let verdict = verifier.verify(&request(&headers, query, path), Timestamp::default()).verdict;
        assert_eq!(verdict, expected, "{location:?} {headers:?} {query:?} {path:?}");
    };
    let header = || TokenLocation::Header { name: "Authorization".into(), prefix: "Bearer ".into() };
    let query = || TokenLocation::Query { name: "token".into() };
    use Verdict::{Invalid, Valid};
    check(header(), &[("authorization", "bearer tok 1&ü")], None, None, Valid);
    check(header(), &[("authorization", "tok 1&ü")], None, None, Invalid);
    check(header(), &[("authorization", "ü")], None, None, Invalid);
    check(query(), &[], Some("a=b&token=tok+1%26%C3%BC"), None, Valid);
    check(query(), &[], Some("token=tok"), None, Invalid);
    check(query(), &[], None, Some("tok 1&ü"), Invalid);
    check(TokenLocation::Path, &[], None, Some("tok 1&ü"), Valid);
    check(TokenLocation::Path, &[], None, Some(""), Invalid);
    check(TokenLocation::Path, &[], None, None, Invalid);
    check(TokenLocation::Basic, &[("Authorization", "Basic !")], None, None, Invalid);
}

#[test]
fn a_token_in_a_header_can_be_sent_by_the_sign_command() {
    let message = Message { method: "POST", url: "", timestamp: Timestamp::default(), id: "", body: BODY };
    let secrets = ["relay:s3cret".to_owned()];
    let sent = |location| Verifier::new(&token_rules(location), &secrets).unwrap().sign(&message);
    assert_eq!(sent(TokenLocation::Basic), [("Authorization".to_owned(), "Basic cmVsYXk6czNjcmV0".to_owned())]);
    assert_eq!(sent(TokenLocation::Path), []);
}

#[test]
fn wrong_rules_are_refused_without_showing_a_secret() {
    let content = |text: &str| HmacRules { signed_content: text.into(), ..hmac_rules() };
    let base64 = HmacRules { secret_encoding: SecretEncoding::Base64 { strip: "whsec_".into() }, ..hmac_rules() };
    let in_kv = HmacRules { timestamp_from: Some(TimestampFrom::KeyValue("t".into())), ..hmac_rules() };
    for (rules, secrets, expected) in [
        (hmac_rules(), &[][..], VerifierError::NoSecret),
        (hmac_rules(), &["good", " "], VerifierError::EmptySecret(2)),
        (base64.clone(), &["whsec_hush, hush"], VerifierError::SecretNotBase64(1)),
        (base64, &["whsec_"], VerifierError::EmptySecret(1)),
        (content("fixed"), &["s"], ContentError::NoBody.into()),
        (content("{body}{bdy}"), &["s"], ContentError::UnknownPart("bdy".into()).into()),
        (content("{body}{"), &["s"], ContentError::OpenBrace.into()),
        (content("{timestamp}{body}"), &["s"], VerifierError::TimestampNowhere),
        (content("{id}{body}"), &["s"], VerifierError::IdNowhere),
        (in_kv, &["s"], VerifierError::TimestampNotInSignature("t".into())),
    ] {
        let error = verifier(rules, secrets).unwrap_err();
        assert!(!error.to_string().contains("hush"), "{error}");
        assert_eq!(error, expected);
    }
    assert_eq!(format!("{:?}", verifier(hmac_rules(), &["hush"]).unwrap()), "Verifier([redacted])");
}

#[test]
fn a_parameter_written_wrongly_says_what_to_write() {
    let error = SignatureFormat::parse("prfix:x").unwrap_err().to_string();
    assert!(error.starts_with("signature_format cannot be \"prfix:x\"; write \"plain\""), "{error}");
    for wrong in ["", "plain:x", "prefix:", "kv", "list: "] {
        assert!(SignatureFormat::parse(wrong).is_err(), "{wrong}");
    }
    for wrong in ["", "header:", "header:a b", "kv:", "body:/t"] {
        assert!(TimestampFrom::parse(wrong).is_err(), "{wrong}");
        assert!(parse_id_from(wrong).is_err(), "{wrong}");
    }
    for wrong in ["", "base64;strip=", "hex"] {
        assert!(SecretEncoding::parse(wrong).is_err(), "{wrong}");
    }
}
