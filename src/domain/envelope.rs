//! Where things are in a sender's payload: which records a request holds, and each one's lead, ID, type and version.
//!
//! A payload is read twice by the same rules: in short before it is stored ([`Reader::read_intake`]), and in full when its
//! lead is folded ([`Reader::read_change`]).

mod body;
mod change;
mod expression;
mod pairs;
mod records;
mod redact;
mod rules;
mod times;
mod unread;
mod xml;

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use super::headers::Headers;
use super::ids::LeadId;
use super::value::ValueError;
use super::value::raw::{Document, RawJson};
use expression::Scene;
use records::RecordPath;

pub use body::{BodyKind, as_json};
pub use expression::ExpressionError;
pub use redact::without;
pub use rules::{
    AttributeRules, BodyRules, Effect, Expression, Find, OptionRules, PayloadKind, ReadRules, TemplatePart, Term,
    TimeFormat, TypeTable,
};
pub use times::{is_time_pattern, parse_time};
pub use unread::without_unread;

/// The longest ID of a lead or event, or name of an event type, that is taken for one.
pub const MAX_ID_BYTES: usize = 512;

/// Reads the payloads of one source. Prepared once.
#[derive(Clone, Debug)]
pub struct Reader {
    rules: ReadRules,
    records: RecordPath,
}

/// What intake has to know of one record before it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading<'a> {
    /// The bytes to store, which read again hold this record alone: the request's own where it holds one record; else
    /// the request with every list on the way to the record cut down to it, the record's own bytes unchanged.
    pub slice: Cow<'a, [u8]>,
    pub event_type: Option<String>,
    pub sender_id: Option<SenderId>,
    pub content: Content,
}

/// What one record is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    Upsert(LeadId),
    Delete(LeadId),
    /// Left out by its type.
    Ignored(Option<LeadId>),
    /// To be quarantined: it names a lead and says nothing else of it.
    NeedsFetch(Option<LeadId>),
    /// To be quarantined.
    Unreadable(Unreadable),
}

/// The sender's own ID of an event, and what tells a repeat of it from another event under a reused ID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SenderId {
    pub event_id: String,
    /// SHA-256 over the event's type, lead ID and lead.
    pub content_hash: [u8; 32],
}

/// Why a request or a record holds no event of a lead. The texts are shown to operators and hold nothing of a payload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    #[error(transparent)]
    Json(#[from] ValueError),
    #[error("the form is broken: {0}")]
    Form(&'static str),
    #[error("the XML cannot be read: {0}")]
    Xml(&'static str),
    #[error("the body holds more than {} fields of a form or {} elements of XML, or they are larger than {} MiB", body::MAX_FIELDS, xml::MAX_NODES, records::MAX_BYTES >> 20)]
    TooManyFields,
    #[error("the event only names a lead, which would have to be fetched from the lead system")]
    NeedsFetch,
    #[error("no record stands where `records` says")]
    NoRecords,
    #[error("the request holds more than {} records, or they are larger than {} MiB", records::MAX_RECORDS, records::MAX_BYTES >> 20)]
    TooManyRecords,
    #[error("the stored event holds several records by today's `records`")]
    SeveralRecords,
    #[error("no event type, or one of more than {MAX_ID_BYTES} bytes, stands where `event_type` says")]
    NoEventType,
    #[error("no lead ID stands where `lead_id` says")]
    NoLeadId,
    #[error("the lead ID is longer than {MAX_ID_BYTES} bytes or holds control characters")]
    BadLeadId,
    #[error("no object stands where `lead` says")]
    NoLead,
}

impl Unreadable {
    /// A stable word for filters and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Unreadable::Json(ValueError::Empty) => "empty",
            Unreadable::Json(ValueError::NotUtf8(_)) => "not_utf8",
            Unreadable::Json(ValueError::TooDeep) => "too_deep",
            Unreadable::Json(ValueError::Broken(_)) => "broken_json",
            Unreadable::Form(_) => "broken_form",
            Unreadable::Xml(_) => "broken_xml",
            Unreadable::TooManyFields => "too_many_fields",
            Unreadable::NeedsFetch => "needs_fetch",
            Unreadable::NoRecords => "no_records",
            Unreadable::TooManyRecords => "too_many_records",
            Unreadable::SeveralRecords => "several_records",
            Unreadable::NoEventType => "no_event_type",
            Unreadable::NoLeadId => "no_lead_id",
            Unreadable::BadLeadId => "bad_lead_id",
            Unreadable::NoLead => "no_lead",
        }
    }
}

/// What to do about an event that is quarantined for the reason with this code.
pub fn remedy(code: &str) -> &'static str {
    match code {
        "broken_xml" => {
            "Have the lead system send the message once more, as whole, well-formed XML without a document type; the stored \
             body shows where this one breaks off."
        }
        "empty" | "not_utf8" | "broken_json" | "too_deep" | "broken_form" | "too_many_fields" => {
            "Have the lead system send JSON, or another form that its source takes, as the table in docs/lead-systems.md says."
        }
        "needs_fetch" => {
            "Fetching leads is not built: have the lead system, or an automation such as Zapier, n8n or Make, send the \
             lead itself to a source with the preset generic-header. The event is kept and can be replayed."
        }
        "no_records" | "too_many_records" | "several_records" => {
            "Compare the stored body with `records` in the source's `read` settings, mend them, and replay the event."
        }
        "no_event_type" => {
            "Compare the stored body with `event_type` in the source's `read` settings, mend it, and replay the event."
        }
        _ => {
            "Compare the stored body with `lead` and `lead_id` in the source's `read` settings, mend them, and replay the \
             event."
        }
    }
}

/// Rules that cannot be followed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} = {written:?} is no JSON pointer; write \"/a/b\", with ~1 for / and ~0 for ~ in a name")]
pub struct PointerError {
    pub key: &'static str,
    pub written: String,
}

impl Reader {
    /// Prepares the rules of a source.
    pub fn new(rules: ReadRules) -> Result<Self, PointerError> {
        let options = rules.attributes.iter().filter_map(|rules| rules.options.as_ref());
        let options = options
            .flat_map(|rules| [("options.at", &rules.at), ("options.id", &rules.id), ("options.text", &rules.text)]);
        let attributes = rules.attributes.iter().map(|rules| ("attributes.at", &rules.at));
        let leads = rules.lead.iter().map(|lead| ("lead", lead));
        for (key, pointer) in options.chain(attributes).chain(leads).chain([("records", &rules.records)]) {
            if !expression::is_pointer(pointer) {
                return Err(PointerError { key, written: pointer.clone() });
            }
        }
        let records = RecordPath::new(&rules.records);
        Ok(Self { rules, records })
    }

    /// The rules that this reader follows.
    pub fn rules(&self) -> &ReadRules {
        &self.rules
    }

    /// The headers that the rules look at: those to keep with an event, so that it can be read again.
    pub fn header_names(&self) -> Vec<&str> {
        let rules = &self.rules;
        let all = rules.event_id.iter().chain(&rules.event_type).chain([&rules.lead_id]).chain(&rules.version);
        let all = all.chain(&rules.delete_version).chain(rules.field_versions.iter().flat_map(|(_, version)| version));
        let all = all.chain(rules.fields.iter().map(|(_, value)| value));
        let all = all.chain(rules.attributes.iter().flat_map(|rules| [&rules.name, &rules.value]));
        let mut names: Vec<&str> = all.flat_map(Expression::header_names).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Where the rules look for what was not found there, for a message: ` (/data/id)`; nothing where no rule is at fault.
    pub fn place_of(&self, reason: &Unreadable) -> String {
        let rules = &self.rules;
        match reason {
            Unreadable::NoRecords | Unreadable::SeveralRecords => format!(" ({})", rules.records),
            Unreadable::NoEventType => rules.event_type.as_ref().map(|at| format!(" ({at})")).unwrap_or_default(),
            Unreadable::NoLeadId | Unreadable::BadLeadId => format!(" ({})", rules.lead_id),
            Unreadable::NoLead => format!(" ({})", rules.lead.join(" or ")),
            _ => String::new(),
        }
    }

    /// Reads a request as far as storing it needs: one reading for each record it holds, at least one.
    ///
    /// A record that cannot be read spoils none of its neighbours. A form or XML is read as JSON; so are the slices of one
    /// that holds several records, which are then to be stored without its content type.
    pub fn read_intake<'a>(&self, body: &'a [u8], headers: &dyn Headers) -> Result<Vec<Reading<'a>>, Unreadable> {
        let json = as_json(body, headers, &self.rules.bodies, &self.rules.records)?;
        let document = Document::parse(&json)?;
        let Some(slices) = self.records.split(&document)? else {
            let (event_type, sender_id, content) = self.outline(&document, headers)?;
            return Ok(vec![Reading { slice: Cow::Borrowed(body), event_type, sender_id, content }]);
        };
        let read = |slice: String| {
            let (event_type, sender_id, content) = self.outline(&Document::parse(slice.as_bytes())?, headers)?;
            Ok(Reading { slice: Cow::Owned(slice.into_bytes()), event_type, sender_id, content })
        };
        slices.into_iter().map(read).collect()
    }

    fn outline(
        &self,
        document: &Document<'_>,
        headers: &dyn Headers,
    ) -> Result<(Option<String>, Option<SenderId>, Content), Unreadable> {
        let scene = self.scene(document, headers)?;
        let event_type = self.event_type(&scene);
        let lead_id = self.lead_id(&scene);
        let lead = self.lead(&scene);
        let effect = self.effect(event_type.as_deref());
        // What only names a lead says nothing of it; an attempt counter beside its name makes it no other event.
        let said = lead.filter(|_| !matches!(effect, Ok(Effect::Thin)));
        let sender_id = self.rules.event_id.as_ref().and_then(|at| scene.text(at)).filter(|id| is_id(id)).map(|id| {
            let lead_id = lead_id.as_ref().map_or("", LeadId::as_str);
            let content_hash =
                content_hash(&[event_type.as_deref().unwrap_or(""), lead_id, said.map_or("", RawJson::text)]);
            SenderId { event_id: id.into_owned(), content_hash }
        });
        let content = match (effect, lead_id) {
            (Ok(Effect::Ignore), lead_id) => Content::Ignored(lead_id.ok()),
            (Ok(Effect::Thin), lead_id) => Content::NeedsFetch(lead_id.ok()),
            (Ok(Effect::Upsert), Ok(_)) if !lead.is_some_and(RawJson::is_object) => {
                Content::Unreadable(Unreadable::NoLead)
            }
            (Ok(Effect::Upsert), Ok(id)) => Content::Upsert(id),
            (Ok(Effect::Delete), Ok(id)) => Content::Delete(id),
            (Err(reason), _) | (_, Err(reason)) => Content::Unreadable(reason),
        };
        Ok((event_type.map(Cow::into_owned), sender_id, content))
    }

    fn scene<'a>(&self, document: &'a Document<'a>, headers: &'a dyn Headers) -> Result<Scene<'a>, Unreadable> {
        let record = self.records.only(document)?;
        Ok(Scene { record, envelope: document, headers, unwrap_single: self.rules.unwrap_single })
    }

    fn event_type<'s>(&'s self, scene: &'s Scene<'_>) -> Option<Cow<'s, str>> {
        scene.text(self.rules.event_type.as_ref()?).filter(|event_type| is_id(event_type))
    }

    fn lead<'a>(&self, scene: &Scene<'a>) -> Option<RawJson<'a>> {
        let all = || self.rules.lead.iter().filter_map(|at| scene.record.pointer(at));
        let mut all = all().map(|lead| scene.unwrapped(lead));
        let first = all.next()?;
        Some(if first.is_object() { first } else { all.find(|lead| lead.is_object()).unwrap_or(first) })
    }

    fn lead_id(&self, scene: &Scene<'_>) -> Result<LeadId, Unreadable> {
        let id = scene.id(&self.rules.lead_id).ok_or(Unreadable::NoLeadId)?;
        if is_id(&id) { Ok(LeadId::new(&*id)) } else { Err(Unreadable::BadLeadId) }
    }

    fn effect(&self, event_type: Option<&str>) -> Result<Effect, Unreadable> {
        match (&self.rules.event_type, event_type) {
            (None, _) => Ok(Effect::Upsert),
            (Some(_), None) => Err(Unreadable::NoEventType),
            (Some(_), Some(event_type)) => Ok(self.rules.types.effect(event_type)),
        }
    }
}

/// Each part is preceded by its length, so that no two lists of parts run together to the same text.
fn content_hash(parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// Longer text would not fit the indexes of every database, and PostgreSQL holds no NUL.
fn is_id(text: &str) -> bool {
    text.len() <= MAX_ID_BYTES && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests;
