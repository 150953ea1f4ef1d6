//! Logging in by assertion.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rsa::KeyPair;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::Value as Json;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

use super::*;

fn key() -> Arc<KeyPair> {
    let text = include_bytes!("../../../../tests/support/keys/pkcs8.pem");
    let der = PrivatePkcs8KeyDer::from_pem_slice(text).unwrap();
    Arc::new(KeyPair::from_pkcs8(der.secret_pkcs8_der()).unwrap())
}

fn credentials() -> Credentials {
    Credentials::Jwt {
        client_id: "id".into(),
        username: "relay@example.com".into(),
        audience: "https://login.salesforce.com".into(),
        key: key(),
    }
}

/// The claims of an assertion, once its signature is verified.
fn verified(form: &str) -> Json {
    let assertion = form.rsplit_once("&assertion=").unwrap().1;
    let (signed, signature) = assertion.rsplit_once('.').unwrap();
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap();
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key().public().as_ref().to_vec());
    public.verify(signed.as_bytes(), &decode(signature)).unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    assert_eq!(decode(header), br#"{"alg":"RS256"}"#);
    serde_json::from_slice(&decode(claims)).unwrap()
}

#[tokio::test]
async fn an_assertion_logs_all_workers_in_and_another_one_renews_the_session() {
    let org = Org::start().await;
    let start = Timestamp::from_seconds(1_767_225_600);
    let clock = Clock::manual(start);
    let (crm, meter) = adapter_as(credentials(), &org.address, clock.clone());
    let logins = async || futures_util::future::join_all((0..8).map(|_| crm.login())).await;
    assert!(logins().await.iter().all(Result::is_ok));
    clock.advance(Duration::from_secs(7_200));
    org.expire_tokens();
    crm.describe(&["Lead".into()]).await.unwrap();
    assert!(logins().await.iter().all(Result::is_ok));

    let claims: Vec<Json> = org.seen("/oauth2/token").iter().map(|seen| verified(&seen.body)).collect();
    let claim =
        |exp: i64| json!({"iss": "id", "sub": "relay@example.com", "aud": "https://login.salesforce.com", "exp": exp});
    assert_eq!(claims, [claim(1_767_225_600 + 180), claim(1_767_225_600 + 7_200 + 180)]);
    let counted = meter.0.lock().unwrap().iter().filter(|call| call.endpoint == "token" && call.counted).count();
    assert_eq!(counted, 0, "no login is a counted call");
}

#[tokio::test]
async fn a_refused_assertion_is_named_by_its_cause_and_the_key_is_never_shown() {
    let org = Org::start().await;
    let refusal = json!({"error": "invalid_grant", "error_description": "user hasn't approved this consumer"});
    org.answer("/oauth2/token", Reply::json(400, refusal));
    let (crm, _) = adapter_as(credentials(), &org.address, Clock::system());
    let error = crm.login().await.unwrap_err();
    assert_eq!(error.code(), "login_not_approved");
    assert!(error.to_string().ends_with("invalid_grant: user hasn't approved this consumer"), "{error}");
    assert!(format!("{:?}", credentials()).ends_with("key: \"[redacted]\" }"));
    crm.login().await.unwrap();
}
