//! Where things are in a sender's payload: which records a request holds, and each one's lead, ID, type and version.
//!
//! A payload is read twice by the same rules: in short before it is stored ([`Reader::read_intake`]), and in full when its
//! lead is folded ([`Reader::read_change`]).

mod change;
mod expression;
mod records;
mod times;

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use super::headers::Headers;
use super::ids::LeadId;
use super::value::ValueError;
use super::value::raw::{Document, RawJson};
use expression::Scene;
use records::RecordPath;

pub use expression::ExpressionError;
pub use times::parse_time;

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
        let attributes = rules.attributes.iter();
        let pointers = attributes
            .flat_map(|at| [("attributes.at", &at.at), ("attributes.name", &at.name), ("attributes.value", &at.value)])
            .chain([("records", &rules.records), ("lead", &rules.lead)]);
        for (key, pointer) in pointers {
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
        let mut names: Vec<&str> = all.flat_map(Expression::header_names).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Reads a request as far as storing it needs: one reading for each record it holds, at least one.
    ///
    /// A record that cannot be read spoils none of its neighbours.
    pub fn read_intake<'a>(&self, body: &'a [u8], headers: &dyn Headers) -> Result<Vec<Reading<'a>>, Unreadable> {
        let document = Document::parse(body)?;
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
        let sender_id = self.rules.event_id.as_ref().and_then(|at| scene.text(at)).filter(|id| is_id(id)).map(|id| {
            let lead_id = lead_id.as_ref().map_or("", LeadId::as_str);
            let content_hash =
                content_hash(&[event_type.as_deref().unwrap_or(""), lead_id, lead.map_or("", RawJson::text)]);
            SenderId { event_id: id.into_owned(), content_hash }
        });
        let content = match (self.effect(event_type.as_deref()), lead_id) {
            (Ok(Effect::Ignore), lead_id) => Content::Ignored(lead_id.ok()),
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
        scene.record.pointer(&self.rules.lead).map(|lead| scene.unwrapped(lead))
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
/// How a source's payload is read: `[sources.NAME.read]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadRules {
    /// Where the records are; the empty path: the body is the one record.
    pub records: String,
    pub event_id: Option<Expression>,
    pub event_type: Option<Expression>,
    pub types: TypeTable,
    /// JSON pointer to the lead inside the record.
    pub lead: String,
    pub lead_id: Expression,
    /// Compared element by element.
    pub version: Vec<Expression>,
    pub delete_version: Vec<Expression>,
    /// Fields with a version of their own.
    pub field_versions: Vec<(String, Vec<Expression>)>,
    pub times: TimeFormat,
    pub attributes: Option<AttributeRules>,
    pub payload: PayloadKind,
    /// `[x]` counts as `x`.
    pub unwrap_single: bool,
}

/// Event types by what they do; a `*` stands for anything. Others are ignored and counted.
///
/// A type that is named as it is counts before one with a `*`; then ignore before delete before upsert.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TypeTable {
    pub upsert: Vec<String>,
    pub delete: Vec<String>,
    pub ignore: Vec<String>,
}

/// What an event of some type does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    Upsert,
    Delete,
    Ignore,
}

impl TypeTable {
    /// What an event of this type does.
    pub fn effect(&self, event_type: &str) -> Effect {
        let table = [(&self.ignore, Effect::Ignore), (&self.delete, Effect::Delete), (&self.upsert, Effect::Upsert)];
        let exact = table.iter().find(|(types, _)| types.iter().any(|known| known == event_type));
        let like = || table.iter().find(|(types, _)| types.iter().any(|pattern| is_like(event_type, pattern)));
        exact.or_else(like).map_or(Effect::Ignore, |(_, effect)| *effect)
    }
}

/// Whether text fits a pattern in which each `*` stands for any text.
fn is_like(text: &str, pattern: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return text == pattern };
    let Some(mut text) = text.strip_prefix(start) else { return false };
    let mut pieces: Vec<&str> = rest.split('*').collect();
    let end = pieces.pop().unwrap_or_default();
    for piece in pieces {
        match text.split_once(piece) {
            Some((_, after)) => text = after,
            None => return false,
        }
    }
    text.ends_with(end)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeFormat {
    UnixSeconds,
    UnixMilliseconds,
    Rfc3339,
}

/// Where custom attributes are listed inside the lead, and where each one's name and value are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributeRules {
    pub at: String,
    pub name: String,
    pub value: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadKind {
    /// Absent fields keep their value.
    Patch,
    /// Absent fields are cleared.
    Full,
}

/// A value expression: `/a/b`, `^/a`, `header:NAME`, `=text`, `{/a}.{^/b}`, and `x | y`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression {
    /// The first that is present counts.
    pub alternatives: Vec<Term>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Term {
    Record(String),
    Envelope(String),
    Header(String),
    Constant(String),
    /// Literal text and terms in turn.
    Template(Vec<TemplatePart>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplatePart {
    Literal(String),
    Term(Box<Term>),
}

#[cfg(test)]
mod tests;
