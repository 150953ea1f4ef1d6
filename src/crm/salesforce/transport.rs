//! One HTTP call to Salesforce: bounded in time and size, with the token that all workers share, and counted.

use std::error::Error as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, header};
use reqwest::{Client, RequestBuilder, redirect};

use super::auth::{Login, Session};
use super::classify;
use crate::clock::SinceBoot;
use crate::crm::{Call, CallMeter, CrmError, Usage};
use crate::domain::ids::RequestId;

/// The largest answer that is read; the contract's largest page of rows stays far below.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;
/// Longer waits are not believed; the gate asks again by then.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// The header that says what a save does that a duplicate rule finds the like of, and what it is told.
pub(super) const DUPLICATE_RULES: &str = "Sforce-Duplicate-Rule-Header";
pub(super) const ALLOW_SAVE: &str = "allowSave=true";

/// What is sent.
pub(super) struct Outgoing {
    /// A word of [`Call::endpoint`].
    pub endpoint: &'static str,
    pub method: Method,
    /// From the instance's root: `/services/data/…`.
    pub path: String,
    pub json: Option<Bytes>,
    pub request_id: Option<RequestId>,
    pub if_modified_since: Option<String>,
    /// The condition of a change.
    pub if_unmodified_since: Option<String>,
    /// Whether the org's assignment rules run; `None` where nothing is written, or each part says it itself.
    pub auto_assign: Option<bool>,
    /// Whether duplicate rules that let themselves be overruled are.
    pub save_duplicates: bool,
    /// After this it is not sent; `None`: it does no harm at any time.
    pub send_until: Option<SinceBoot>,
}

impl Outgoing {
    /// A read of `path`.
    pub fn get(endpoint: &'static str, path: String) -> Self {
        Self {
            endpoint,
            method: Method::GET,
            path,
            json: None,
            request_id: None,
            if_modified_since: None,
            if_unmodified_since: None,
            auto_assign: None,
            save_duplicates: false,
            send_until: None,
        }
    }
}

/// An answer, whatever its status.
#[derive(Debug)]
pub(super) struct Answer {
    pub status: u16,
    pub retry_after: Option<Duration>,
    pub last_modified: Option<String>,
    pub body: Bytes,
}

impl Answer {
    /// The decision that follows from an answer that is no success.
    pub fn error(&self) -> CrmError {
        let errors = classify::read_errors(&self.body);
        if errors.is_empty() && self.status < 400 && self.status != 300 {
            return classify::unreadable(self.status);
        }
        classify::classify(self.status, self.retry_after, &errors)
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum SendError {
    /// Nothing reached Salesforce, or the login failed.
    NotSent(CrmError),
    /// The request was sent, and may have been carried out.
    Lost { code: &'static str, detail: String },
}

impl SendError {
    /// For requests that only read: whatever happened, asking again does no harm.
    pub fn of_a_read(self) -> CrmError {
        match self {
            SendError::NotSent(error) => error,
            SendError::Lost { code, detail } => CrmError::Unavailable { code: code.into(), detail },
        }
    }

    /// For requests that change something.
    pub fn of_a_write(self) -> CrmError {
        match self {
            SendError::NotSent(error) => error,
            SendError::Lost { detail, .. } => CrmError::Unknown { detail },
        }
    }
}

/// The connection pool and the login of one org.
pub(super) struct Transport {
    http: Http,
    login: Login,
}

impl Transport {
    pub fn new(http: Http, login: Login) -> Self {
        Self { http, login }
    }

    /// The session in use; logs in if there is none.
    pub async fn session(&self) -> Result<Arc<Session>, CrmError> {
        self.login.session(&self.http, None).await
    }

    /// Sends the request; once more with a new token if Salesforce says that the session has ended, since such a request
    /// was not carried out.
    pub async fn send(&self, request: &Outgoing) -> Result<Answer, SendError> {
        let session = self.session().await.map_err(SendError::NotSent)?;
        let answer = self.send_with(&session, request).await?;
        let expired = answer.status == 401 && classify::is_expired_session(&classify::read_errors(&answer.body));
        if !expired {
            return Ok(answer);
        }
        let renewed = self.login.session(&self.http, Some(&session)).await.map_err(SendError::NotSent)?;
        self.send_with(&renewed, request).await
    }

    async fn send_with(&self, session: &Session, request: &Outgoing) -> Result<Answer, SendError> {
        // Asked here, after whatever a login took.
        if request.send_until.is_some_and(|until| SinceBoot::now() > until) {
            return Err(SendError::NotSent(CrmError::too_late()));
        }
        let url = format!("{}{}", session.instance, request.path);
        let mut outgoing = self
            .http
            .client
            .request(request.method.clone(), url)
            .header(header::AUTHORIZATION, session.bearer.clone())
            .header("Sforce-Call-Options", "client=leadrelay")
            .header("Sforce-Mru", "updateMru=false");
        if let Some(id) = &request.request_id {
            outgoing = outgoing.header("x-request-id", id.as_str());
        }
        if let Some(assign) = request.auto_assign {
            outgoing = outgoing.header("Sforce-Auto-Assign", if assign { "TRUE" } else { "FALSE" });
        }
        if request.save_duplicates {
            outgoing = outgoing.header(DUPLICATE_RULES, ALLOW_SAVE);
        }
        if let Some(since) = &request.if_modified_since {
            outgoing = outgoing.header(header::IF_MODIFIED_SINCE, since);
        }
        if let Some(since) = &request.if_unmodified_since {
            outgoing = outgoing.header(header::IF_UNMODIFIED_SINCE, since);
        }
        if let Some(json) = &request.json {
            outgoing = outgoing.header(header::CONTENT_TYPE, "application/json; charset=UTF-8").body(json.clone());
        }
        self.http.exchange(request.endpoint, true, outgoing).await
    }
}

/// Sends requests and tells the meter of each.
pub(super) struct Http {
    client: Client,
    meter: Arc<dyn CallMeter>,
}

impl Http {
    /// A pool whose calls end after `timeout`. `direct`: past any proxy of the environment, for a CRM on this machine.
    pub fn new(timeout: Duration, direct: bool, meter: Arc<dyn CallMeter>) -> Result<Self, reqwest::Error> {
        let accept = header::HeaderValue::from_static("application/json");
        let builder = Client::builder()
            .user_agent(concat!("leadrelay/", env!("CARGO_PKG_VERSION")))
            .default_headers(HeaderMap::from_iter([(header::ACCEPT, accept)]))
            .redirect(redirect::Policy::none())
            .timeout(timeout)
            .connect_timeout(timeout.min(Duration::from_secs(10)))
            .pool_idle_timeout(Duration::from_secs(50))
            .tcp_keepalive(Duration::from_secs(30))
            .tcp_nodelay(true);
        let builder = if direct { builder.no_proxy() } else { builder };
        Ok(Self { client: builder.build()?, meter })
    }

    /// A form to be posted, as the token endpoint takes it.
    pub fn post_form(&self, url: &str, form: &[(&str, &str)]) -> RequestBuilder {
        self.client.post(url).form(form)
    }

    /// Sends the request and reads the whole answer; a longer one than [`MAX_ANSWER_BYTES`] is dropped with its connection.
    pub async fn exchange(
        &self,
        endpoint: &'static str,
        counted: bool,
        request: RequestBuilder,
    ) -> Result<Answer, SendError> {
        let started = Instant::now();
        let mut call = Call { endpoint, status: None, elapsed: Duration::ZERO, counted, usage: None };
        let result = read(request, &mut call).await;
        call.elapsed = started.elapsed();
        self.meter.called(&call);
        result
    }
}

async fn read(request: RequestBuilder, call: &mut Call) -> Result<Answer, SendError> {
    let mut response = request.send().await.map_err(|error| {
        if error.is_connect() || error.is_builder() {
            let code = "unreachable".to_owned();
            SendError::NotSent(CrmError::Unavailable { code, detail: reasons(error) })
        } else {
            SendError::Lost { code: "no_answer", detail: reasons(error) }
        }
    })?;
    call.status = Some(response.status().as_u16());
    call.usage = header_text(response.headers(), "sforce-limit-info").and_then(parse_usage);
    let mut answer = Answer {
        status: response.status().as_u16(),
        retry_after: parse_retry_after(response.headers()),
        last_modified: header_text(response.headers(), "last-modified").map(str::to_owned),
        body: Bytes::new(),
    };
    let mut body = BytesMut::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len().saturating_add(chunk.len()) > MAX_ANSWER_BYTES => {
                let detail = format!("the answer is larger than {} MiB", MAX_ANSWER_BYTES / 1024 / 1024);
                return Err(SendError::Lost { code: "answer_too_large", detail });
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => break,
            Err(error) => return Err(SendError::Lost { code: "no_answer", detail: reasons(error) }),
        }
    }
    answer.body = body.freeze();
    Ok(answer)
}

/// The error and what stands behind it, without the address.
fn reasons(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Reads `api-usage=18/15000`; a second item for a managed app is not ours.
fn parse_usage(text: &str) -> Option<Usage> {
    let items = text.split([';', ',']);
    let (used, allowed) = items.filter_map(|item| item.trim().strip_prefix("api-usage=")).next()?.split_once('/')?;
    let usage = Usage { used: used.trim().parse().ok()?, allowed: allowed.trim().parse().ok()? };
    (usage.allowed > 0).then_some(usage)
}

/// Reads seconds, or a date as seen from the answer's own `Date`.
fn parse_retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = header_text(headers, "retry-after")?.trim();
    let wait = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let moment = |text: &str| jiff::fmt::rfc2822::parse(text).ok().map(|moment| moment.timestamp().as_second());
            let seconds = moment(text)?.saturating_sub(moment(header_text(headers, "date")?)?);
            Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
        }
    };
    Some(wait.min(LONGEST_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usage_header_is_read_without_the_apps_own_item() {
        let usage = |used, allowed| Some(Usage { used, allowed });
        assert_eq!(parse_usage("api-usage=18/15000"), usage(18, 15_000));
        assert_eq!(parse_usage("api-usage=25/5000; per-app-api-usage=17/250(appName=x)"), usage(25, 5_000));
        assert_eq!(parse_usage("per-app-api-usage=17/250(appName=x)"), None);
        for broken in
            ["", "api-usage=", "api-usage=1", "api-usage=a/b", "api-usage=-1/5", "api-usage=99999999999999999999/1"]
        {
            assert_eq!(parse_usage(broken), None, "{broken}");
        }
    }

    #[test]
    fn a_wait_is_read_in_seconds_and_as_a_date_and_is_bounded() {
        let check = |pairs: &[(&'static str, &'static str)], expected: Option<u64>| {
            let headers = pairs
                .iter()
                .map(|(name, text)| (header::HeaderName::from_static(name), header::HeaderValue::from_static(text)));
            assert_eq!(parse_retry_after(&headers.collect()), expected.map(Duration::from_secs), "{pairs:?}");
        };
        check(&[], None);
        check(&[("retry-after", "90")], Some(90));
        check(&[("retry-after", "soon")], None);
        check(&[("retry-after", "99999999999")], Some(86_400));
        let date = ("date", "Wed, 21 Oct 2026 07:28:00 GMT");
        check(&[("retry-after", "Wed, 21 Oct 2026 07:30:00 GMT"), date], Some(120));
        check(&[("retry-after", "Wed, 21 Oct 2026 07:00:00 GMT"), date], Some(0));
        check(&[("retry-after", "Wed, 21 Oct 2026 07:30:00 GMT")], None);
    }
}
