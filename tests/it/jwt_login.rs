//! The service logs in by a signed assertion.

use leadrelay::app::check;
use leadrelay::sandbox::{LoginKey, Options, Sandbox};
use serde_json::json;

use crate::harness::{Harness, Stage, event};

/// A service that logs in with this key, as this user, to an org that knows the certificate.
async fn start(key: &str, username: &str) -> Harness {
    let login_key = LoginKey::read(include_str!("../support/keys/certificate.pem")).unwrap();
    start_at(Options { login_key: Some(login_key), ..Options::default() }, key, username).await
}

async fn start_at(options: Options<'_>, key: &str, username: &str) -> Harness {
    let mut stage = Stage::new().await;
    stage.sandbox = Sandbox::start_with(([127, 0, 0, 1], 0).into(), options).await.unwrap();
    let line = stage.text.lines().find(|line| line.starts_with("login = ")).unwrap().to_owned();
    let login = format!(
        r#"login = {{ flow = "jwt_bearer", url = "http://127.0.0.1:8090", client_id = "app", username = "{username}", private_key = "${{file:tests/support/keys/{key}}}" }}"#
    );
    stage.text = stage.text.replace(&line, &login);
    stage.start(|_| {}).await
}

async fn create(harness: &Harness, id: &str) {
    let lead = json!({ "id": id, "name": "Ada Lovelace", "email": format!("ada@{}.example", id.replace('_', "-")), "updated_at": 1_760_000_000 });
    assert_eq!(harness.send(&event("lead.created", 1_760_000_000, &lead)).await, "accepted");
}

#[tokio::test]
async fn a_lead_arrives_by_an_assertion_and_the_next_one_by_another_when_the_session_has_ended() {
    let harness = start("pkcs1.pem", "integration.user@sandbox.example").await;
    create(&harness, "cl_1").await;
    harness.settled().await;
    assert_eq!(harness.record_of("cl_1").await["fields"]["LastName"], "Lovelace");
    harness.order("expire_tokens", json!({})).await;
    create(&harness, "cl_2").await;
    harness.settled().await;
    harness.record_of("cl_2").await;
    harness.stop().await;
}

#[tokio::test]
async fn a_sandbox_that_was_given_no_key_takes_any() {
    let harness = start_at(Options::default(), "other.pem", "whoever@sandbox.example").await;
    create(&harness, "cl_1").await;
    harness.settled().await;
    harness.record_of("cl_1").await;
    harness.stop().await;
}

#[tokio::test]
async fn a_refused_assertion_stops_the_destination_with_what_to_do() {
    for (key, username, code, remedy) in [
        ("other.pem", "integration.user@sandbox.example", "login_assertion", "Upload the certificate"),
        ("pkcs8.pem", "sam.sales@sandbox.example", "login_not_approved", "let admin approved users in"),
    ] {
        let harness = start(key, username).await;
        create(&harness, "cl_1").await;
        let seen = harness.destination(|seen| seen["state"] == "stopped").await;
        assert_eq!(seen["last_error"]["code"], code);
        assert!(seen["last_error"]["remedy"].as_str().unwrap().contains(remedy), "{seen}");
        let checks = check::run(harness.config()).await.unwrap();
        let login = checks[0].findings.iter().find(|finding| finding.subject == "login").unwrap();
        assert!(login.remedy.contains(remedy), "{login:?}");
        harness.stop().await;
    }
}
