//! The JWT bearer flow: who may log in by a signed assertion.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use super::ids;
use super::value::Value;
use super::world::World;

/// `grant_type` of the flow.
pub(super) const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// For whom an assertion is meant that a production org takes.
const AUDIENCE: &str = "https://login.salesforce.com";
/// How far ahead an assertion may end: three minutes, and as much for clocks that differ.
const FARTHEST: i64 = 360;

#[derive(Deserialize)]
struct Header {
    alg: String,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: String,
    exp: Json,
}

impl Claims {
    /// The second at which it expires: a number, which some clients send as text.
    fn expires(&self) -> Option<i64> {
        self.exp.as_i64().or_else(|| self.exp.as_str()?.parse().ok())
    }
}

/// Why somebody may not log in: `error` and `error_description`.
pub(super) type LoginRefusal = (&'static str, &'static str);

const EXPIRED: LoginRefusal = ("invalid_grant", "expired authorization code");
const STRANGER: LoginRefusal = ("invalid_grant", "user hasn't approved this consumer");

/// Verifies an assertion at this second. Only the integration user is admitted to the app; `url` is the org as the caller
/// reached it.
///
/// An org that was given no key cannot tell whose an assertion is: it takes each that is one and has not expired, as it takes any
/// client id and secret.
pub(super) fn verify(world: &World, assertion: &str, url: &str, now: i64) -> Result<(), LoginRefusal> {
    let unverified = ("invalid_grant", "invalid assertion");
    let (signed, signature) = assertion.rsplit_once('.').ok_or(unverified)?;
    let (header, claims) = signed.split_once('.').ok_or(unverified)?;
    let header: Header = part(header).ok_or(unverified)?;
    let claims: Claims = part(claims).ok_or(unverified)?;
    let expires = claims.expires().ok_or(unverified)?;
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| unverified)?;
    if claims.iss.is_empty() {
        return Err(("invalid_client_id", "client identifier invalid"));
    }
    if header.alg != "RS256" || signature.is_empty() {
        return Err(unverified);
    }
    let Some(key) = &world.login_key else {
        return match &*claims.sub {
            _ if expires <= now => Err(EXPIRED),
            "" => Err(STRANGER),
            _ => Ok(()),
        };
    };
    if !key.verifies(signed.as_bytes(), &signature) {
        return Err(unverified);
    }
    if claims.aud != AUDIENCE && claims.aud != url {
        return Err(("invalid_grant", "audience is invalid"));
    }
    if expires <= now {
        return Err(EXPIRED);
    }
    if expires > now.saturating_add(FARTHEST) {
        return Err(unverified);
    }
    match world.user(&claims.sub) {
        Some((_, false)) => Err(("invalid_grant", "inactive user")),
        Some((id, true)) if id == ids::user(ids::API_USER) => Ok(()),
        _ => Err(STRANGER),
    }
}

fn part<T: DeserializeOwned>(encoded: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(encoded).ok()?).ok()
}

impl World {
    /// The user of this name, and whether active.
    fn user(&self, name: &str) -> Option<(&str, bool)> {
        let users = self.table("User")?;
        let table = &self.tables[users];
        let (field, _) = table.object.find("Username")?;
        let row = table.holders(field, &Value::text(name)).next()?;
        Some((&table.row(row).id, self.flag(users, row, "IsActive")))
    }
}
