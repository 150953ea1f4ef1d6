//! Who may use the admin API: bearer tokens, of which only the SHA-256 is known here.

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::Response;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::admin::state::AdminState;
use super::error::ApiError;
use crate::config::{AdminToken, Role};

/// Who asks, as the audit log names them.
#[derive(Clone, Debug)]
pub struct Caller {
    pub name: String,
    pub role: Role,
}

/// Lets a request through whose token's role allows its method: viewers read, operators read and change.
///
/// It stands before every route of the API at once, so that no handler can forget it.
pub(super) async fn require_token(
    State(app): State<AdminState>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let caller = identify(request.headers(), &app.tokens).ok_or(ApiError::NoToken)?;
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if !reads && caller.role < Role::Operator {
        return Err(ApiError::Forbidden);
    }
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

/// Compares with every token in full, whichever matches.
fn identify(headers: &HeaderMap, tokens: &[AdminToken]) -> Option<Caller> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let digest: [u8; 32] = Sha256::digest(token.trim().as_bytes()).into();
    let same = |known: &&AdminToken| bool::from(known.sha256.ct_eq(&digest));
    let found: Vec<&AdminToken> = tokens.iter().filter(same).collect();
    found.first().map(|token| Caller { name: token.name.clone(), role: token.role })
}

/// The caller that `require_token` let through.
impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.get::<Caller>().cloned().ok_or(ApiError::NoToken)
    }
}
