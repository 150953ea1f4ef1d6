//! Tokens.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::StatusCode;
use ring::rand::SystemRandom;
use ring::rsa::KeyPair;
use ring::signature::RSA_PKCS1_SHA256;
use serde_json::{Value as Json, json};
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

use super::{DATA, Org, code};
use crate::sandbox::{LoginKey, Options, Sandbox};

#[tokio::test]
async fn tokens_are_handed_out_expire_and_are_renewed() {
    let org = Org::start().await;
    let login = |form: &[(&str, &str)]| {
        let form: Vec<(String, String)> = form.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let url = org.running.url() + "/services/oauth2/token";
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = org.client.post(url).header("content-type", "application/x-www-form-urlencoded").body(body);
        async move {
            let answer = request.send().await.unwrap();
            (answer.status().as_u16(), answer.json::<Json>().await.unwrap())
        }
    };
    let grant = ("grant_type", "client_credentials");
    let (status, token) = login(&[grant, ("client_id", "id"), ("client_secret", "secret")]).await;
    assert_eq!((status, &token["instance_url"]), (200, &json!(org.running.url())));
    assert!(token.get("expires_in").is_none());
    let (status, error) = login(&[grant, ("client_id", "id"), ("client_secret", "wrong")]).await;
    assert_eq!((status, &error["error"]), (400, &json!("invalid_client")));
    let (status, error) = login(&[("grant_type", "password"), ("client_id", "id")]).await;
    assert_eq!((status, &error["error"]), (400, &json!("unsupported_grant_type")));

    let token = token["access_token"].as_str().unwrap();
    let limits = |token: &str| {
        let request = org.client.get(org.running.url() + DATA + "/limits").bearer_auth(token);
        async move { request.send().await.unwrap().status().as_u16() }
    };
    assert_eq!(limits(token).await, 200);
    org.post("/_sandbox/expire_tokens", json!({})).await;
    assert_eq!(limits(token).await, 401);
    assert_eq!(limits("expired").await, 401);
    let (_, token) = login(&[grant, ("client_id", "id"), ("client_secret", "secret")]).await;
    assert_eq!(limits(token["access_token"].as_str().unwrap()).await, 200);
    let bare = org.client.get(org.running.url() + DATA + "/limits").send().await.unwrap();
    assert_eq!(bare.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(code(&bare.json().await.unwrap()), "INVALID_SESSION_ID");
}

/// An assertion with these claims, signed with a key of `tests/support/keys`.
fn assertion(header: &str, claims: &Json, key: &[u8]) -> String {
    let der = PrivatePkcs8KeyDer::from_pem_slice(key).unwrap();
    let pair = KeyPair::from_pkcs8(der.secret_pkcs8_der()).unwrap();
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let signed = format!("{}.{}", encode(header.as_bytes()), encode(claims.to_string().as_bytes()));
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).unwrap();
    format!("{signed}.{}", encode(&signature))
}

#[tokio::test]
async fn an_assertion_is_taken_only_of_the_right_key_for_the_right_user_org_and_time() {
    const KEY: &[u8] = include_bytes!("../../../tests/support/keys/pkcs8.pem");
    let certificate = include_str!("../../../tests/support/keys/certificate.pem");
    let bare = include_str!("../../../tests/support/keys/public.pem");
    for known in [Some(certificate), Some(bare), None] {
        let is_strict = known.is_some();
        let login_key = known.map(|text| LoginKey::read(text).unwrap());
        let options = Options { login_key, ..Options::default() };
        let running = Sandbox::start_with("127.0.0.1:0".parse().unwrap(), options).await.unwrap();
        let client = reqwest::Client::new();
        let login = async |assertion: String| {
            let form = [("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", &assertion)];
            let answer = client.post(running.url() + "/services/oauth2/token").form(&form).send().await.unwrap();
            let (status, body) = (answer.status().as_u16(), answer.json::<Json>().await.unwrap());
            let said = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
            if status == 200 {
                said("instance_url")
            } else {
                format!("{}: {}", said("error"), said("error_description"))
            }
        };
        let now = crate::sandbox::value::now().as_second();
        let right = json!({
            "iss": "app", "sub": "integration.user@sandbox.example", "aud": "https://login.salesforce.com", "exp": now + 180,
        });
        let with = |claim: &str, value: Json| {
            let mut claims = right.clone();
            claims[claim] = value;
            claims
        };
        let signed = |claims: &Json| assertion(r#"{"alg":"RS256"}"#, claims, KEY);
        let unverified = "invalid_grant: invalid assertion";
        assert_eq!(login(signed(&right)).await, running.url());
        assert_eq!(login(signed(&with("aud", running.url().into()))).await, running.url());
        let check = async |claim: &str, value: Json, expected: &str| {
            assert_eq!(login(signed(&with(claim, value))).await, expected, "{claim}");
        };
        let url = running.url();
        // Without a key nobody can tell whose an assertion is.
        let strictly = |refusal: &'static str| if is_strict { refusal } else { &*url };
        check("aud", json!("https://test.salesforce.com"), strictly("invalid_grant: audience is invalid")).await;
        check("exp", json!(now - 1), "invalid_grant: expired authorization code").await;
        check("exp", json!(now + 3600), strictly(unverified)).await;
        check("exp", json!("soon"), unverified).await;
        check("exp", json!((now + 180).to_string()), &url).await;
        check("iss", json!(""), "invalid_client_id: client identifier invalid").await;
        let stranger = "invalid_grant: user hasn't approved this consumer";
        check("sub", json!("nobody@sandbox.example"), strictly(stranger)).await;
        check("sub", json!("sam.sales@sandbox.example"), strictly(stranger)).await;
        check("sub", json!("ines.former@sandbox.example"), strictly("invalid_grant: inactive user")).await;
        check("sub", json!(""), stranger).await;
        let other = include_bytes!("../../../tests/support/keys/other.pem");
        let of_another = assertion(r#"{"alg":"RS256"}"#, &right, other);
        assert_eq!(login(of_another).await, strictly(unverified));
        for wrong in [
            assertion(r#"{"alg":"none"}"#, &right, KEY),
            assertion(r#"{"alg":"HS256"}"#, &right, KEY),
            signed(&right).rsplit_once('.').unwrap().0.to_owned() + ".",
            signed(&right) + "!",
            "a.b.c".to_owned(),
            String::new(),
        ] {
            assert_eq!(login(wrong).await, unverified);
        }
        running.stop().await;
    }
    assert!(LoginKey::read("no key").is_err());
    assert!(LoginKey::read(include_str!("../../../tests/support/keys/pkcs8.pem")).is_err());
}

#[tokio::test]
async fn https_is_spoken_to_those_who_trust_the_certificate() {
    let identity = crate::sandbox::TlsIdentity::self_signed().unwrap();
    let running = crate::sandbox::Sandbox::start_tls("127.0.0.1:0".parse().unwrap(), &identity).await.unwrap();
    let url = running.url() + DATA + "/limits";
    assert!(url.starts_with("https://"));
    let strange = reqwest::Client::new().get(&url).bearer_auth("token").send().await;
    assert!(strange.is_err(), "a certificate that nobody vouches for was trusted");
    let trusted = reqwest::Certificate::from_pem(identity.certificate().as_bytes()).unwrap();
    let client = reqwest::Client::builder().add_root_certificate(trusted).build().unwrap();
    let answer = client.get(&url).bearer_auth("token").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let form = "grant_type=client_credentials&client_id=a&client_secret=b";
    let login = client.post(running.url() + "/services/oauth2/token").body(form).send().await.unwrap();
    assert_eq!(login.json::<Json>().await.unwrap()["instance_url"], running.url());
    assert!(crate::sandbox::TlsIdentity::read("no certificate", "no key").is_err());
    running.stop().await;
}
