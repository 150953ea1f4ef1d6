//! One source: what its requests are verified and read by, and what of them is stored.

use std::borrow::Cow;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::{ClockAhead, Incoming, OnceAMinute, Refusals};
use crate::domain::envelope::{
    BodyKind, Content, PointerError, ReadRules, Reader, Reading, Unreadable, as_json, remedy, without, without_unread,
};
use crate::domain::headers::RECEIVED_AT;
use crate::domain::ids::{DestinationName, LeadId, SourceName};
use crate::domain::signature::{Handshake, ProvenBy, TokenLocation, TokenRules, Verifier, VerifierError, VerifyRules};
use crate::domain::time::Timestamp;
use crate::domain::value::raw::RawJson;
use crate::store::{EventKind, EventState, NewEvent};
use crate::telemetry::metrics::WebhookMeter;

/// Headers by which senders and operators find a message again; kept beside those that the read rules name.
const TRACING_HEADERS: [&str; 2] = ["webhook-id", "webhook-timestamp"];

/// One source as intake needs it.
pub struct SourceRuntime {
    pub name: SourceName,
    pub enabled: bool,
    /// Whose jobs its events make due.
    pub destinations: Vec<DestinationName>,
    pub refusals: Refusals,
    pub clock_ahead: ClockAhead,
    pub meter: WebhookMeter,
    /// Answers what `/webhooks/{source}` is asked before anything is sent.
    pub handshake: Option<Handshake>,
    /// What to look at first when this sender's requests are refused; empty where nothing is peculiar to it.
    pub if_refused: &'static str,
    /// Whether it is answered with SOAP's acknowledgement.
    pub wants_soap: bool,
    pub(super) verifier: Verifier,
    pub(super) reader: Reader,
    kept_headers: Vec<String>,
    /// Where secrets stand in the body: they are taken out before anything is stored.
    secrets_in_body: Vec<String>,
    /// Whether one of them is what proves a request: then the body is read before anything is proven.
    token_in_body: bool,
    token_in_path: bool,
    pub(super) said_refused: OnceAMinute,
    pub(super) said_quarantined: OnceAMinute,
}

/// Why a source cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error(transparent)]
    Verify(#[from] VerifierError),
    #[error(transparent)]
    Read(#[from] PointerError),
}

impl SourceRuntime {
    /// Prepares a source. After metrics were installed, or its requests are not counted.
    pub fn new(
        name: SourceName,
        enabled: bool,
        verify: &VerifyRules,
        secrets: &[String],
        read: ReadRules,
        destinations: Vec<DestinationName>,
    ) -> Result<Self, SourceError> {
        let verifier = Verifier::new(verify, secrets)?;
        let reader = Reader::new(read)?;
        let secret_header = secret_header(verify);
        let mut secrets_in_body = reader.rules().not_stored.clone();
        let token_in_body = match verify {
            VerifyRules::Token(TokenRules { location: TokenLocation::Body { pointer } }) => Some(pointer.clone()),
            _ => None,
        };
        secrets_in_body.extend(token_in_body.clone());
        let mut kept_headers: Vec<String> =
            reader.header_names().into_iter().chain(TRACING_HEADERS).map(str::to_ascii_lowercase).collect();
        kept_headers.retain(|header| !header.eq_ignore_ascii_case(secret_header) && header != RECEIVED_AT);
        kept_headers.sort_unstable();
        kept_headers.dedup();
        let meter = WebhookMeter::new(&name);
        Ok(Self {
            name,
            enabled,
            destinations,
            refusals: Refusals::default(),
            clock_ahead: ClockAhead::default(),
            meter,
            handshake: None,
            if_refused: "",
            wants_soap: false,
            verifier,
            reader,
            kept_headers,
            secrets_in_body,
            token_in_body: token_in_body.is_some(),
            token_in_path: matches!(verify, VerifyRules::Token(TokenRules { location: TokenLocation::Path })),
            said_refused: OnceAMinute::default(),
            said_quarantined: OnceAMinute::default(),
        })
    }

    /// What is peculiar to its sender: its handshake, what to look at first when its requests are refused, and whether it
    /// wants SOAP's acknowledgement.
    pub fn peculiar(self, handshake: Option<Handshake>, if_refused: &'static str, wants_soap: bool) -> Self {
        Self { handshake, if_refused, wants_soap, ..self }
    }

    /// What its requests are proven by.
    pub fn proven_by(&self) -> ProvenBy {
        self.verifier.proven_by()
    }

    /// Whether its address ends with its token.
    pub fn has_token_in_path(&self) -> bool {
        self.token_in_path
    }

    /// Whether its requests may have such a body.
    pub fn takes(&self, kind: BodyKind) -> bool {
        self.reader.rules().bodies.takes(kind)
    }

    /// Whether its bodies are read before they are stored, since a secret stands in them.
    pub(super) fn has_secrets_in_body(&self) -> bool {
        !self.secrets_in_body.is_empty()
    }

    /// What an operator should know of the way that this source is set up.
    pub fn advice(&self) -> Vec<&'static str> {
        let thin = (!self.reader.rules().types.thin.is_empty()).then(|| remedy(Unreadable::NeedsFetch.code()));
        thin.into_iter().chain(Some(self.if_refused).filter(|text| !text.is_empty())).collect()
    }
}

/// The header whose value proves who sent a request; never stored.
fn secret_header(rules: &VerifyRules) -> &str {
    match rules {
        VerifyRules::Hmac(hmac) => &hmac.signature_header,
        VerifyRules::Token(token) => match &token.location {
            TokenLocation::Header { name, .. } => name,
            TokenLocation::Basic | TokenLocation::Query { .. } | TokenLocation::Path | TokenLocation::Body { .. } => {
                "authorization"
            }
        },
    }
}

/// What reading said of one record.
pub(super) struct Outline {
    pub(super) lead: Option<LeadId>,
    pub(super) kind: EventKind,
    pub(super) event_type: Option<String>,
    pub(super) state: EventState,
    pub(super) reason: Option<String>,
}

impl Outline {
    pub(super) fn of(content: Content, event_type: Option<String>, reader: &Reader) -> Self {
        let (lead, kind, state, reason) = match content {
            Content::Upsert(lead) => (Some(lead), EventKind::Upsert, EventState::Stored, None),
            Content::Delete(lead) => (Some(lead), EventKind::Delete, EventState::Stored, None),
            Content::Ignored(lead) => {
                let reason = "ignored_type: `types` does not name this event type, or says to ignore it".to_owned();
                (lead, EventKind::Other, EventState::Ignored, Some(reason))
            }
            Content::NeedsFetch(lead) => {
                return Self { lead, event_type, ..Self::unreadable(&Unreadable::NeedsFetch, reader) };
            }
            Content::Unreadable(reason) => return Self { event_type, ..Self::unreadable(&reason, reader) },
        };
        Self { lead, kind, event_type, state, reason }
    }

    pub(super) fn unreadable(reason: &Unreadable, reader: &Reader) -> Self {
        let (kind, state) = (EventKind::Other, EventState::Quarantined);
        let said = format!("{}: {reason}{}", reason.code(), reader.place_of(reason));
        Self { lead: None, kind, event_type: None, state, reason: Some(said) }
    }
}

impl SourceRuntime {
    /// Turns a verified request into events: one per record, or the whole body as one that is quarantined.
    pub(super) fn read(&self, request: &Incoming<'_>, now: Timestamp) -> Vec<NewEvent> {
        let sent = self.stored_form(&request.body, self.headers_to_store(request));
        let event = |body: Bytes, is_form: bool, outline: Outline, sender: (Option<String>, [u8; 32])| NewEvent {
            source: self.name.clone(),
            destinations: if outline.state == EventState::Stored { self.destinations.clone() } else { Vec::new() },
            lead: outline.lead,
            kind: outline.kind,
            event_type: outline.event_type,
            sender_id: sender.0,
            content_hash: sender.1,
            state: outline.state,
            reason: outline.reason,
            received_at: now,
            request_id: request.request_id.clone(),
            headers: if is_form { sent.headers.clone() } else { without_content_type(&sent.headers) },
            body,
        };
        let readings =
            match sent.unreadable.clone().map_or_else(|| self.reader.read_intake(&sent.body, &sent.headers), Err) {
                Ok(readings) => readings,
                Err(reason) => {
                    let hash = Sha256::digest(&sent.body).into();
                    let mut outline = Outline::unreadable(&reason, &self.reader);
                    if sent.body.is_empty()
                        && let (Some(_), Some(said)) = (&sent.unreadable, &mut outline.reason)
                    {
                        said.push_str("; nothing of the body was kept, since a secret stands somewhere in it");
                    }
                    return vec![event(sent.body.clone(), true, outline, (None, hash))];
                }
            };
        let one = |reading: Reading<'_>| {
            let (body, is_form) = match reading.slice {
                // The one record of a request: its bytes are shared, not copied.
                Cow::Borrowed(slice) if slice.len() == sent.body.len() => (sent.body.clone(), true),
                slice => (Bytes::from(slice.into_owned()), false),
            };
            let sender = match reading.sender_id {
                Some(sender) => (Some(sender.event_id), sender.content_hash),
                None => (None, Sha256::digest(&body).into()),
            };
            event(body, is_form, Outline::of(reading.content, reading.event_type, &self.reader), sender)
        };
        readings.into_iter().map(one).collect()
    }

    /// The request as it may be stored: with the headers that reading it again needs, and without a secret in its body.
    fn stored_form(&self, body: &Bytes, headers: Vec<(String, String)>) -> StoredForm {
        if self.secrets_in_body.is_empty() {
            return StoredForm { body: body.clone(), headers, unreadable: None };
        }
        let rules = self.reader.rules();
        let as_json = |body: &[u8]| as_json(body, &headers, &rules.bodies, &rules.records).map(Cow::into_owned);
        let is_xml = BodyKind::of(&headers) == BodyKind::Xml && !rules.not_stored.is_empty();
        let redacted = as_json(body).and_then(|json| {
            let json = match is_xml {
                // The secret may stand elsewhere than its sender puts it.
                true => as_json(&without_unread(body, &rules.not_stored).unwrap_or_default())?,
                false => json,
            };
            let mut text = RawJson::parse(&json)?.text().to_owned();
            for pointer in &self.secrets_in_body {
                text = without(RawJson::parse(text.as_bytes())?, pointer);
            }
            Ok(text)
        });
        match redacted {
            Ok(text) => {
                StoredForm { body: Bytes::from(text), headers: without_content_type(&headers), unreadable: None }
            }
            Err(reason) => {
                let body = self.unread(body).unwrap_or_default();
                StoredForm { body, headers, unreadable: Some(reason) }
            }
        }
    }

    /// The same of a request that is not proven to be the sender's: its body is not read, but where that is what proves it.
    /// `None`: nobody knows where in it a secret stands.
    pub(super) fn held_form(
        &self,
        body: &Bytes,
        headers: Vec<(String, String)>,
    ) -> Option<(Bytes, Vec<(String, String)>)> {
        if self.token_in_body {
            let StoredForm { body, headers, unreadable } = self.stored_form(body, headers);
            return unreadable.is_none().then_some((body, headers));
        }
        Some((self.unread(body)?, headers))
    }

    /// What may be kept of a body that is not read.
    fn unread(&self, body: &Bytes) -> Option<Bytes> {
        if self.secrets_in_body.is_empty() {
            return Some(body.clone());
        }
        without_unread(body, &self.secrets_in_body).map(Bytes::from)
    }

    /// The headers that reading the request again needs.
    pub(super) fn headers_to_store(&self, request: &Incoming<'_>) -> Vec<(String, String)> {
        let kept = self.kept_headers.iter();
        let mut headers: Vec<(String, String)> =
            kept.filter_map(|name| Some((name.clone(), request.headers.text(name)?.to_owned()))).collect();
        if BodyKind::of(request.headers) != BodyKind::Json && !self.kept_headers.iter().any(|name| name == CONTENT_TYPE)
        {
            let kind = request.headers.text(CONTENT_TYPE).unwrap_or_default();
            headers.push((CONTENT_TYPE.to_owned(), kind.to_owned()));
        }
        headers
    }
}

/// What of a request is stored.
struct StoredForm {
    body: Bytes,
    headers: Vec<(String, String)>,
    /// Why the body could not be read to take the secrets out of it; so much of it is left as cannot hold one.
    unreadable: Option<Unreadable>,
}

const CONTENT_TYPE: &str = "content-type";

/// What was turned into JSON must not be read as the form that it came in.
fn without_content_type(headers: &[(String, String)]) -> Vec<(String, String)> {
    headers.iter().filter(|(name, _)| name != CONTENT_TYPE).cloned().collect()
}

#[cfg(test)]
mod tests;
