//! How a sender's payload is to be read.

/// How a source's payload is read: `[sources.NAME.read]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadRules {
    /// Which bodies are taken besides JSON.
    pub bodies: BodyRules,
    /// Where the records are; the empty path: the body is the one record.
    pub records: String,
    pub event_id: Option<Expression>,
    pub event_type: Option<Expression>,
    pub types: TypeTable,
    /// JSON pointers to the lead inside the record; the first under which an object stands counts.
    pub lead: Vec<String>,
    pub lead_id: Expression,
    /// Compared element by element.
    pub version: Vec<Expression>,
    pub delete_version: Vec<Expression>,
    /// Fields with a version of their own.
    pub field_versions: Vec<(String, Vec<Expression>)>,
    pub times: TimeFormat,
    /// A strftime pattern that versions are written in, instead of `times`.
    pub time_pattern: Option<String>,
    pub attributes: Vec<AttributeRules>,
    /// Fields of the lead that stand elsewhere in the request, by name.
    pub fields: Vec<(String, Expression)>,
    pub payload: PayloadKind,
    /// `[x]` counts as `x`.
    pub unwrap_single: bool,
    /// JSON pointers in the request to what is taken out of it before anything is stored.
    pub not_stored: Vec<String>,
}

impl ReadRules {
    /// The body as it is, read as JSON, is one lead with this ID; every event changes it.
    pub fn new(lead_id: Expression) -> Self {
        Self {
            bodies: BodyRules::default(),
            records: String::new(),
            event_id: None,
            event_type: None,
            types: TypeTable::default(),
            lead: vec![String::new()],
            lead_id,
            version: Vec::new(),
            delete_version: Vec::new(),
            field_versions: Vec::new(),
            times: TimeFormat::Rfc3339,
            time_pattern: None,
            attributes: Vec::new(),
            fields: Vec::new(),
            payload: PayloadKind::Patch,
            unwrap_single: false,
            not_stored: Vec::new(),
        }
    }
}

/// Which bodies a source's requests may have. JSON always; the request's content type decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BodyRules {
    /// `application/x-www-form-urlencoded`.
    pub form: bool,
    /// `multipart/form-data`.
    pub multipart: bool,
    /// `text/xml`, `application/xml` and `…+xml`.
    pub xml: bool,
    /// Fields of a form whose text is JSON.
    pub json_fields: Vec<String>,
}

/// Event types by what they do; a `*` stands for anything. Others are ignored and counted.
///
/// A type that is named as it is counts before one with a `*`; then ignore before thin before delete before upsert.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TypeTable {
    pub upsert: Vec<String>,
    pub delete: Vec<String>,
    /// Events that only name a lead: the lead itself would have to be fetched.
    pub thin: Vec<String>,
    pub ignore: Vec<String>,
}

/// What an event of some type does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    Upsert,
    Delete,
    Thin,
    Ignore,
}

impl TypeTable {
    /// What an event of this type does.
    pub fn effect(&self, event_type: &str) -> Effect {
        let table = [
            (&self.ignore, Effect::Ignore),
            (&self.thin, Effect::Thin),
            (&self.delete, Effect::Delete),
            (&self.upsert, Effect::Upsert),
        ];
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
///
/// Either pairs, `[{"name": …, "value": …}]`, or one object, `{NAME: VALUE}`, whose values may be objects that hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributeRules {
    /// JSON pointer in the lead.
    pub at: String,
    /// In a pair.
    pub name: Expression,
    /// In a pair; the first that says something counts, whatever its kind.
    pub value: Expression,
    /// Whether a member that is an object has its value where `value` says, as a pair does.
    pub wrapped: bool,
    /// Where values are the IDs of choices: the list of choices beside them.
    pub options: Option<OptionRules>,
}

/// The choices of a pair, `[{"id": …, "text": …}]`: an ID among its values stands for the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionRules {
    /// JSON pointer in the pair.
    pub at: String,
    pub id: String,
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadKind {
    /// Absent fields keep their value.
    Patch,
    /// Absent fields are cleared.
    Full,
}

/// A value expression: `/a/b`, `^/a`, `header:NAME`, `sha256:/a`, `find(/a, /b = text, /c)`, `=text`, `{/a}.{^/b}`, and
/// `x | y`.
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
    /// The SHA-256, in hex, of the JSON text under this pointer in the record.
    Hash(String),
    Find(Find),
    Constant(String),
    /// Literal text and terms in turn.
    Template(Vec<TemplatePart>),
}

/// Of the first item of a list under whose `at` this text stands, what stands under `take`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Find {
    /// JSON pointer in the record; the others begin at the item.
    pub list: String,
    pub at: String,
    pub text: String,
    pub take: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplatePart {
    Literal(String),
    Term(Box<Term>),
}
