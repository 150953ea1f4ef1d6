//! What both stores do alike when a lead is erased: its tombstone, the name that it has from then on, and its old name taken
//! out of texts.

use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::percent_decode;
use serde_json::{Map, Value as Json};
use sha2::{Digest, Sha256};

use super::types::{EventKind, EventState, NewEvent};
use crate::domain::ids::{LeadId, LeadKey, SourceName};

/// Shorter IDs are in too many bodies by chance.
const SHORTEST_TELLING_ID: usize = 4;

/// What an event of an erased lead says instead of data.
pub(super) const ERASED: &str = "the lead was erased";

/// Without it nobody can tell by trying IDs which leads were erased.
#[derive(Clone)]
pub(super) struct ErasureKey(Vec<u8>);

impl ErasureKey {
    /// Of a store that has none yet.
    pub fn new() -> Self {
        let random = [uuid::Uuid::new_v4().into_bytes(), uuid::Uuid::new_v4().into_bytes()].concat();
        Self(Sha256::digest(random).to_vec())
    }

    pub fn stored(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// What stays of a lead, to know it by if it comes again.
    pub fn digest(&self, source: &str, lead: &str) -> Vec<u8> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("a key of any length will do");
        mac.update(&(source.len() as u64).to_be_bytes());
        mac.update(source.as_bytes());
        mac.update(lead.as_bytes());
        mac.finalize().into_bytes().to_vec()
    }
}

/// The lead in the log and everywhere else from then on.
pub(super) fn alias(digest: &[u8]) -> LeadId {
    LeadId::new(format!("erased-{}", hex::encode(&digest[..digest.len().min(12)])))
}

/// What is kept of an event of an erased lead.
pub(super) fn without_data(event: &NewEvent, alias: LeadId) -> NewEvent {
    NewEvent {
        source: event.source.clone(),
        lead: Some(alias),
        kind: EventKind::Other,
        event_type: event.event_type.clone(),
        sender_id: None,
        content_hash: [0; 32],
        state: EventState::Erased,
        reason: Some(ERASED.to_owned()),
        received_at: event.received_at,
        request_id: event.request_id.clone(),
        headers: Vec::new(),
        body: bytes::Bytes::new(),
        destinations: Vec::new(),
    }
}

/// Under which word an event is counted.
pub(super) const fn counted_as(state: EventState) -> &'static str {
    match state {
        EventState::Erased => EventState::Ignored.as_str(),
        state => state.as_str(),
    }
}

/// What is left of the scope of a run that looked for an erased lead, once it has ended.
pub(super) const SCOPE_GONE: &str = r#"{"erased":true}"#;

/// The scope of a run that looked for this lead, with the mark by which it goes when the run ends: until then the run needs
/// it. `None`: it did not look for it.
pub(super) fn marked_scope(scope: &str, lead: &LeadKey, email: Option<&str>, name: Option<&str>) -> Option<String> {
    let mut told: Map<String, Json> = serde_json::from_str(scope).ok()?;
    let asked = |key: &str| told.get(key).and_then(Json::as_str).map(|text| text.trim().to_lowercase());
    let (address, beginning) = (asked("email"), asked("q").filter(|text| !text.is_empty()));
    let lower = |text: Option<&str>| text.map(str::to_lowercase);
    let of_lead = [lower(Some(lead.id.as_str())), lower(email), lower(name)];
    let looked_for = (address.is_some() && address == of_lead[1])
        || beginning.is_some_and(|beginning| of_lead.iter().flatten().any(|text| text.starts_with(&beginning)));
    looked_for.then(|| {
        told.insert("erased".to_owned(), Json::Bool(true));
        Json::Object(told).to_string()
    })
}

/// Whether the sign goes on with an ID beside it.
fn belongs(sign: char) -> bool {
    sign.is_alphanumeric() || matches!(sign, '_' | '-' | '.' | '@' | '+')
}

/// A text about other leads, with the erased one under its new name; `None`: it does not name it.
pub(super) fn renamed(text: &str, lead: &LeadKey, alias: &LeadId) -> Option<String> {
    let (name, new) = (lead.to_string(), format!("{}/{alias}", lead.source));
    let mut told = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(&name) {
        let (before, after) = (&rest[..at], &rest[at + name.len()..]);
        // `cl_1` is not named by `cl_10`; a full stop may end a sentence.
        let whole = !after.chars().next().is_some_and(|sign| belongs(sign) && sign != '.');
        told.push_str(before);
        told.push_str(if whole { &new } else { &name });
        rest = after;
    }
    told.push_str(rest);
    (told != text).then_some(told)
}

/// A question whose record another lead is, without what it says of that record: its key, or a name.
pub(super) fn without_owner(question: &str) -> Option<String> {
    let mut told: Map<String, Json> = serde_json::from_str(question).ok()?;
    told.remove("crm")?;
    Some(Json::Object(told).to_string())
}

/// By which bodies that nobody could read are known to be a lead's: its ID or its address, form-encoded or not.
pub(super) struct Needles {
    id: Option<String>,
    email: Option<String>,
}

impl Needles {
    pub fn of(lead: &LeadKey, email: Option<&str>) -> Self {
        let id = Some(lead.id.as_str()).filter(|id| id.len() >= SHORTEST_TELLING_ID);
        let email = email.filter(|email| email.contains('@'));
        Self { id: id.map(str::to_lowercase), email: email.map(str::to_lowercase) }
    }

    /// Its address alone, by which it is known in what other lead systems send.
    pub fn of_address(email: Option<&str>) -> Self {
        let email = email.filter(|email| email.contains('@'));
        Self { id: None, email: email.map(str::to_lowercase) }
    }

    pub fn are_in(&self, body: &[u8]) -> bool {
        let spaced: Vec<u8> = body.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
        let decoded: Vec<u8> = percent_decode(&spaced).collect();
        let tells = |body: &str| {
            let body = body.to_lowercase();
            self.id.as_ref().is_some_and(|id| names(&body, id))
                || self.email.as_ref().is_some_and(|email| body.contains(email.as_str()))
        };
        [body, &decoded].into_iter().any(|body| {
            let body = String::from_utf8_lossy(body);
            tells(&body) || (body.contains('\\') && tells(&without_escapes(&body)))
        })
    }
}

/// By which held requests are known to tell of a lead: those of its own source by its ID or its address, others by its
/// address.
pub(super) struct Telling {
    source: SourceName,
    pub own: Needles,
    others: Needles,
}

impl Telling {
    pub fn of(lead: &LeadKey, email: Option<&str>) -> Self {
        Self { source: lead.source.clone(), own: Needles::of(lead, email), others: Needles::of_address(email) }
    }

    pub fn is_by(&self, source: &str, body: &[u8]) -> bool {
        (if source == self.source.as_str() { &self.own } else { &self.others }).are_in(body)
    }
}

/// A text with JSON's `\u0040` and `\/` as the signs that they stand for.
fn without_escapes(body: &str) -> String {
    let (mut told, mut rest) = (String::with_capacity(body.len()), body);
    while let Some((before, after)) = rest.split_once('\\') {
        told.push_str(before);
        let code = after.strip_prefix('u').and_then(|after| after.split_at_checked(4));
        let sign = code.and_then(|(code, after)| Some((char::from_u32(u32::from_str_radix(code, 16).ok()?)?, after)));
        if let Some((sign, after)) = sign {
            told.push(sign);
            rest = after;
        } else {
            if !after.starts_with('/') {
                told.push('\\');
            }
            rest = after;
        }
    }
    told.push_str(rest);
    told
}

/// Whether the ID stands in the body as a whole. One of digits or of letters alone is in others' bodies too, as an amount
/// or a word: that one must be a text of its own, or the value of a name that ends in "id".
fn names(body: &str, id: &str) -> bool {
    let ordinary = id.chars().all(|sign| sign.is_ascii_digit()) || id.chars().all(char::is_alphabetic);
    body.match_indices(id).any(|(at, _)| {
        let (before, after) = (&body[..at], &body[at + id.len()..]);
        if before.ends_with('"') && after.starts_with('"') {
            return true;
        }
        let whole = !before.chars().next_back().is_some_and(belongs)
            && !after.chars().next().is_some_and(|sign| belongs(sign) && sign != '.');
        whole && (!ordinary || follows_id(before))
    })
}

/// Whether what comes next is the value of a name that ends in "id": `"lead_id": `, `submissionID=`, `data[id]=`, `<id>`.
fn follows_id(before: &str) -> bool {
    let quotes = |sign: char| sign.is_whitespace() || matches!(sign, '"' | '\'' | '\\' | ']');
    let name = before.trim_end_matches(quotes).strip_suffix([':', '=', '>']);
    name.is_some_and(|name| name.trim_end_matches(quotes).ends_with("id"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lead_is_renamed_where_it_is_named_and_no_other_one_is() {
        let check = |text: &str, expected: Option<&str>| {
            let renamed = renamed(text, &LeadKey::new("klozeo", "cl_1"), &LeadId::new("erased-0"));
            assert_eq!(renamed.as_deref(), expected, "{text}");
        };
        check(
            "the record belongs to lead klozeo/cl_1 already",
            Some("the record belongs to lead klozeo/erased-0 already"),
        );
        check("lead klozeo/cl_1.", Some("lead klozeo/erased-0."));
        check("klozeo/cl_10 and klozeo/cl_1", Some("klozeo/cl_10 and klozeo/erased-0"));
        check("lead klozeo/cl_10", None);
    }

    #[test]
    fn a_body_is_a_leads_by_its_id_or_its_address() {
        let needles = Needles::of(&LeadKey::new("klozeo", "cl_1"), Some("Ada@Lovelace.example"));
        assert!(needles.are_in(br#"{"id":"cl_1""#));
        assert!(needles.are_in(b"to ADA@lovelace.example, broken"));
        assert!(!needles.are_in(br#"{"id":"cl_10"}"#));
        assert!(!needles.are_in(b"xcl_1 my-cl_1 cl_1@b.example"));
        assert!(!Needles::of(&LeadKey::new("klozeo", "1"), None).are_in(br#"{"page":"1"}"#));
    }

    #[test]
    fn a_body_is_read_without_its_escapes_too() {
        let needles = Needles::of(&LeadKey::new("forms", "ab/12"), Some("ada@lövelace.example"));
        for body in [r#"{"id":"ab\/12"}"#, r#"{"mail":"ada\u0040l\u00f6velace.example"}"#, r#"broken \u00 ab\/12 \"#] {
            assert!(needles.are_in(body.as_bytes()), "{body}");
        }
        assert!(!needles.are_in(br#"{"id":"ab\\12"}"#));
    }

    #[test]
    fn a_number_is_an_id_where_it_is_called_one() {
        let needles = Needles::of(&LeadKey::new("jotform", "98765"), None);
        let is_its = |body: &str| needles.are_in(body.as_bytes());
        for body in [
            r#"{"id":98765}"#,
            r#"{"lead_id" : 98765, "x": 1"#,
            r#"{"number": "98765"}"#,
            "a=b&submissionID=98765&c=d",
            "submissionID=98765",
            "data%5Bid%5D=98765",
            "<id>98765</id>",
            r#"{\"id\":\"98765\"}"#,
        ] {
            assert!(is_its(body), "{body}");
        }
        for body in [r#"{"id":987654}"#, r#"{"id":198765}"#, r#"{"amount":98765}"#, "zip=98765", "call 98765 now"] {
            assert!(!is_its(body), "{body}");
        }
    }

    #[test]
    fn a_forms_body_is_read_decoded_too() {
        let needles = Needles::of(&LeadKey::new("forms", "ab/1 2"), Some("ada+crm@lovelace.example"));
        assert!(needles.are_in(b"email=ada%2Bcrm%40lovelace.example&x=1"));
        assert!(needles.are_in(b"entry=ab%2F1+2"));
        assert!(needles.are_in(br#"{"email":"ada+crm@lovelace.example"}"#));
        assert!(!needles.are_in(b"email=ada%40lovelace.example&entry=ab%2F1"));
    }
}
