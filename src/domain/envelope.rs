//! Where things are in a sender's payload: which records a request holds, and each one's lead, ID, type and version.

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

/// Event types by what they do; a trailing `*` stands for anything. Others are ignored and counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TypeTable {
    pub upsert: Vec<String>,
    pub delete: Vec<String>,
    pub ignore: Vec<String>,
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
