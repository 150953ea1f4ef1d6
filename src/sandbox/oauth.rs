//! The token endpoint: client credentials, assertions, and a refusal for every other flow.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HOST};
use http::{HeaderMap, HeaderName};
use serde_json::json;

use super::value::now;
use super::wire::Answer;
use super::world::World;
use super::{assertion, ids};

/// The secret with which wrong credentials can be tried.
const WRONG: &str = "wrong";

/// `POST /services/oauth2/token`; errors are an object here, not the array of the other resources.
///
/// The token's `instance_url` is the address by which the caller reached the sandbox, so that it works through a port
/// that was forwarded.
pub(super) fn token(world: &mut World, method: &http::Method, headers: &HeaderMap, form: &[u8]) -> Answer {
    if method != http::Method::POST {
        return refused("invalid_request", "must use HTTP POST");
    }
    world.usage.tokens += 1;
    if let Some(refusal) = world.faults.login() {
        let body = json!({ "error": refusal.code, "error_description": refusal.message });
        return Answer::json(refusal.status, body);
    }
    let fields: Vec<(String, String)> = url::form_urlencoded::parse(form).into_owned().collect();
    let field = |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let header = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let url = world.address(header(HOST));
    match field("grant_type").as_deref() {
        Some("client_credentials") => {
            let (id, secret) = match header(AUTHORIZATION).and_then(basic) {
                Some((id, secret)) => (Some(id), Some(secret)),
                None => (field("client_id"), field("client_secret")),
            };
            if id.as_deref().unwrap_or_default().is_empty() {
                return refused("invalid_client_id", "client identifier invalid");
            }
            if matches!(secret.as_deref().unwrap_or_default(), "" | WRONG) {
                return refused("invalid_client", "invalid client credentials");
            }
        }
        Some(assertion::JWT_BEARER) => {
            let Some(signed) = field("assertion") else {
                return refused("invalid_request", "assertion is required");
            };
            if let Err((error, description)) = assertion::verify(world, &signed, &url, now().as_second()) {
                return refused(error, description);
            }
        }
        None => return refused("invalid_request", "grant_type is required"),
        Some(_) => return refused("unsupported_grant_type", "grant type not supported"),
    }
    let token = world.sessions.issue();
    let identity = format!("{url}/id/{}/{}", ids::make("00D", 0), ids::user(ids::API_USER));
    let issued = now().as_millisecond().to_string();
    Answer::json(
        200,
        json!({
            "access_token": token, "instance_url": url, "id": identity, "token_type": "Bearer",
            "issued_at": issued, "signature": STANDARD.encode(&issued), "scope": "api", "token_format": "opaque",
            "api_instance_url": "https://api.salesforce.com",
        }),
    )
}

fn refused(error: &str, description: &str) -> Answer {
    Answer::json(400, json!({ "error": error, "error_description": description }))
}

fn basic(header: &str) -> Option<(String, String)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    Some((id.to_owned(), secret.to_owned()))
}
