//! The login: one token for all workers, kept until Salesforce refuses it, and renewed by one of them for all.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderValue;
use ring::rsa::KeyPair;
use tokio::sync::Mutex;
use url::{Host, Url};

use super::assertion::{self, Claims, JWT_BEARER};
use super::classify;
use super::transport::{Http, SendError};
use super::wire::{TokenAnswer, full_id};
use crate::clock::Clock;
use crate::crm::CrmError;
use crate::domain::ids::RecordId;

/// Who we are for Salesforce, and how that is proved.
#[derive(Clone)]
pub enum Credentials {
    /// The client credentials of a connected app, which acts as its Run As user.
    Client { client_id: String, client_secret: String },
    /// A user who was admitted to the app beforehand, by an assertion that is signed with the app's key.
    Jwt { client_id: String, username: String, audience: String, key: Arc<KeyPair> },
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client { client_id, .. } => {
                f.debug_struct("Client").field("client_id", client_id).field("client_secret", &"[redacted]").finish()
            }
            Self::Jwt { client_id, username, audience, .. } => f
                .debug_struct("Jwt")
                .field("client_id", client_id)
                .field("username", username)
                .field("audience", audience)
                .field("key", &"[redacted]")
                .finish(),
        }
    }
}

/// A token, and where and as whom it is used.
pub(super) struct Session {
    pub bearer: HeaderValue,
    /// Scheme, host and port, without a slash at the end.
    pub instance: String,
    /// The user that our changes are made by.
    pub user: Option<RecordId>,
}

/// Keeps the token of one org.
pub(super) struct Login {
    token_url: String,
    credentials: Credentials,
    clock: Clock,
    state: Mutex<State>,
    /// How many logins have ended, well or not.
    ended: AtomicU64,
}

#[derive(Default)]
struct State {
    session: Option<Arc<Session>>,
    failure: Option<CrmError>,
}

impl Login {
    pub fn new(login_url: &Url, credentials: Credentials, clock: Clock) -> Self {
        let token_url = format!("{}/services/oauth2/token", login_url.as_str().trim_end_matches('/'));
        Self { token_url, credentials, clock, state: Mutex::default(), ended: AtomicU64::new(0) }
    }

    /// The session that all share; a new one if there is none yet, or if it is the one that was `refused`.
    ///
    /// However many ask at once, one request is made, and all get what came of it, a failure too.
    pub async fn session(&self, http: &Http, refused: Option<&Arc<Session>>) -> Result<Arc<Session>, CrmError> {
        let seen = self.ended.load(Ordering::Acquire);
        let mut state = self.state.lock().await;
        if let Some(session) = &state.session
            && !refused.is_some_and(|refused| Arc::ptr_eq(refused, session))
        {
            return Ok(Arc::clone(session));
        }
        if self.ended.load(Ordering::Acquire) != seen
            && let Some(failure) = &state.failure
        {
            return Err(failure.clone());
        }
        let result = self.request_token(http).await.map(Arc::new);
        *state = match &result {
            Ok(session) => State { session: Some(Arc::clone(session)), failure: None },
            Err(failure) => State { session: None, failure: Some(failure.clone()) },
        };
        self.ended.fetch_add(1, Ordering::Release);
        result
    }

    async fn request_token(&self, http: &Http) -> Result<Session, CrmError> {
        let request = match &self.credentials {
            Credentials::Client { client_id, client_secret } => {
                let grant = ("grant_type", "client_credentials");
                http.post_form(&self.token_url, &[grant, ("client_id", client_id), ("client_secret", client_secret)])
            }
            Credentials::Jwt { client_id, username, audience, key } => {
                // A new one for each login: there is no refresh token, and each is good for minutes only.
                let claims = Claims::new(client_id, username, audience, self.clock.now());
                let assertion = assertion::sign(key, &claims)?;
                http.post_form(&self.token_url, &[("grant_type", JWT_BEARER), ("assertion", &assertion)])
            }
        };
        let answer = http.exchange("token", false, request).await.map_err(SendError::of_a_read)?;
        if answer.status != 200 {
            return Err(classify::classify_login(answer.status, answer.retry_after, &answer.body));
        }
        let token: TokenAnswer =
            serde_json::from_slice(&answer.body).map_err(|_| classify::unreadable(answer.status))?;
        read_token(&token)
    }
}

fn read_token(token: &TokenAnswer) -> Result<Session, CrmError> {
    let refused = |detail: &str| CrmError::Unauthorised { code: "instance_refused".into(), detail: detail.into() };
    let instance =
        Url::parse(&token.instance_url).map_err(|_| refused("the instance_url of the login is no address"))?;
    if !is_confidential(&instance) {
        return Err(refused("the instance_url of the login is not https"));
    }
    let mut bearer = HeaderValue::from_str(&format!("Bearer {}", token.access_token))
        .map_err(|_| refused("the token holds characters that no header can carry"))?;
    bearer.set_sensitive(true);
    let user = token.id.as_deref().and_then(|id| id.rsplit('/').next()).filter(|id| id.starts_with("005"));
    Ok(Session { bearer, instance: instance.origin().ascii_serialization(), user: user.map(full_id) })
}

/// Whether what is sent there stays private: https, or this machine.
pub(super) fn is_confidential(url: &Url) -> bool {
    url.scheme() == "https" && url.has_host() || url.scheme() == "http" && is_loopback(url)
}

/// Whether the address is this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => IpAddr::from(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::from(ip).is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(instance: &str) -> TokenAnswer {
        TokenAnswer {
            access_token: "00D!secret".into(),
            instance_url: instance.into(),
            id: Some("https://login.salesforce.com/id/00D5g000004Aaaa/0055g00000BbbBb".into()),
        }
    }

    #[test]
    fn the_instance_must_keep_the_token_private() {
        let instance = |url: &str| read_token(&token(url)).map(|session| session.instance).ok();
        assert_eq!(instance("https://a.my.salesforce.com/").as_deref(), Some("https://a.my.salesforce.com"));
        assert_eq!(instance("http://127.0.0.1:8089").as_deref(), Some("http://127.0.0.1:8089"));
        assert_eq!(instance("http://[::1]:8089").as_deref(), Some("http://[::1]:8089"));
        for refused in ["http://a.my.salesforce.com", "http://127.0.0.1.example.com", "ftp://127.0.0.1", "nonsense", ""]
        {
            assert_eq!(instance(refused), None, "{refused}");
        }
    }

    #[test]
    fn the_user_is_known_by_the_full_id_and_the_secret_is_never_printed() {
        let session = read_token(&token("https://a.example")).unwrap();
        assert_eq!(session.user.map(|user| user.as_str().len()), Some(18));
        assert!(!format!("{:?}", session.bearer).contains("secret"));
        let credentials = Credentials::Client { client_id: "id".into(), client_secret: "hush".into() };
        assert!(!format!("{credentials:?}").contains("hush"));
    }
}
