//! Tokens.

use reqwest::StatusCode;
use serde_json::{Value as Json, json};

use super::{DATA, Org, code};

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
