//! Value expressions: how they are written, and what they give for one record.

use std::borrow::Cow;
use std::fmt;

use sha2::{Digest, Sha256};

use super::{Expression, Find, TemplatePart, Term};
use crate::domain::headers::Headers;
use crate::domain::signature::is_header_name;
use crate::domain::value::Value;
use crate::domain::value::raw::{Document, RawJson};

/// A value expression that is not written as it must be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the value expression {written:?} {problem}")]
pub struct ExpressionError {
    pub written: String,
    /// What is wrong, and what to write instead.
    pub problem: &'static str,
}

const FORMS: &str = "is none of /POINTER, ^/POINTER, header:NAME, sha256:/POINTER, find(/LIST, /POINTER = TEXT, /POINTER), =TEXT and \
                     {/POINTER}TEXT{^/POINTER}";

impl Expression {
    /// Reads `/a/b`, `^/a`, `header:NAME`, `find(/a, /b = text, /c)`, `=text`, `{/a}.{^/b}`, or several of them with `|`
    /// between.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        let wrong = |problem| ExpressionError { written: text.to_owned(), problem };
        let alternatives = text.split('|').map(|term| parse_term(term.trim()));
        Ok(Self { alternatives: alternatives.collect::<Result<_, _>>().map_err(wrong)? })
    }

    /// The headers that the expression looks at.
    pub(super) fn header_names(&self) -> Vec<&str> {
        fn names(term: &Term) -> Vec<&str> {
            match term {
                Term::Header(name) => vec![name],
                Term::Template(parts) => parts
                    .iter()
                    .flat_map(|part| match part {
                        TemplatePart::Term(term) => names(term),
                        TemplatePart::Literal(_) => Vec::new(),
                    })
                    .collect(),
                Term::Record(_) | Term::Envelope(_) | Term::Hash(_) | Term::Find(_) | Term::Constant(_) => Vec::new(),
            }
        }
        self.alternatives.iter().flat_map(names).collect()
    }
}

/// As it is written in a configuration; read again, it is the same.
impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, term) in self.alternatives.iter().enumerate() {
            let between = if place == 0 { "" } else { " | " };
            write!(f, "{between}{term}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Term::Record(pointer) => f.write_str(pointer),
            Term::Envelope(pointer) => write!(f, "^{pointer}"),
            Term::Header(name) => write!(f, "header:{name}"),
            Term::Hash(pointer) => write!(f, "sha256:{pointer}"),
            Term::Find(Find { list, at, text, take }) => write!(f, "find({list}, {at} = {text}, {take})"),
            Term::Constant(text) => write!(f, "={text}"),
            Term::Template(parts) => parts.iter().try_for_each(|part| match part {
                TemplatePart::Literal(text) => f.write_str(text),
                TemplatePart::Term(term) => write!(f, "{{{term}}}"),
            }),
        }
    }
}

fn parse_term(text: &str) -> Result<Term, &'static str> {
    if let Some(constant) = text.strip_prefix('=') {
        return Ok(Term::Constant(constant.to_owned()));
    }
    if text.contains('{') && !text.starts_with(['/', '^']) && !text.starts_with(FIND) {
        return parse_template(text).map(Term::Template);
    }
    parse_place(text)
}

fn parse_place(text: &str) -> Result<Term, &'static str> {
    const NO_POINTER: &str = "has a pointer with a ~ that is neither ~0 (for ~) nor ~1 (for /)";
    if let Some(name) = text.strip_prefix("header:") {
        return if is_header_name(name) { Ok(Term::Header(name.to_owned())) } else { Err("has no header's name") };
    }
    if let Some(pointer) = text.strip_prefix("sha256:") {
        return if is_pointer(pointer) { Ok(Term::Hash(pointer.to_owned())) } else { Err(NO_POINTER) };
    }
    if let Some(parts) = text.strip_prefix(FIND) {
        return parse_find(parts).map(Term::Find);
    }
    let (pointer, in_envelope) = text.strip_prefix('^').map_or((text, false), |pointer| (pointer, true));
    match pointer {
        "" if !in_envelope => Err("has an empty part"),
        _ if !pointer.starts_with('/') => Err(FORMS),
        _ if !is_pointer(pointer) => Err(NO_POINTER),
        _ if in_envelope => Ok(Term::Envelope(pointer.to_owned())),
        _ => Ok(Term::Record(pointer.to_owned())),
    }
}

const FIND: &str = "find(";

/// What follows `find(`. The text may hold anything but a comma and `|`, in a template not `}` either.
fn parse_find(parts: &str) -> Result<Find, &'static str> {
    const FORM: &str = "has a find that is not written as find(/LIST, /POINTER = TEXT, /POINTER)";
    let parts: Vec<&str> = parts.strip_suffix(')').ok_or(FORM)?.split(',').map(str::trim).collect();
    let [list, condition, take] = parts.as_slice() else { return Err(FORM) };
    let (at, text) = condition.split_once('=').ok_or(FORM)?;
    let (at, text) = (at.trim(), text.trim());
    let all_pointers = [list, &at, take].into_iter().all(|pointer| pointer.starts_with('/') && is_pointer(pointer));
    if !all_pointers || text.is_empty() {
        return Err(FORM);
    }
    let [list, at, text, take] = [*list, at, text, *take].map(str::to_owned);
    Ok(Find { list, at, text, take })
}

fn parse_template(text: &str) -> Result<Vec<TemplatePart>, &'static str> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((literal, after)) = rest.split_once('{') {
        let (place, after) = after.split_once('}').ok_or("has a { without its }")?;
        if !literal.is_empty() {
            parts.push(TemplatePart::Literal(literal.to_owned()));
        }
        parts.push(TemplatePart::Term(Box::new(parse_place(place.trim())?)));
        rest = after;
    }
    if !rest.is_empty() {
        parts.push(TemplatePart::Literal(rest.to_owned()));
    }
    Ok(parts)
}

/// Whether text is a JSON pointer (RFC 6901); the empty one is the whole.
pub(super) fn is_pointer(text: &str) -> bool {
    (text.is_empty() || text.starts_with('/'))
        && text.split('~').skip(1).all(|after| after.starts_with('0') || after.starts_with('1'))
}

/// One record in its request: what expressions are evaluated over.
pub(super) struct Scene<'a> {
    pub(super) record: Cow<'a, Document<'a>>,
    pub(super) envelope: &'a Document<'a>,
    pub(super) headers: &'a dyn Headers,
    pub(super) unwrap_single: bool,
}

impl<'a> Scene<'a> {
    /// The first alternative that is present: a scalar that is neither null nor blank.
    pub(super) fn text<'s>(&'s self, expression: &'s Expression) -> Option<Cow<'s, str>> {
        self.first(expression, Some)
    }

    /// The first alternative that is present and may name something: `true` and `false` name nothing, and taking them for
    /// an ID would make one of many.
    pub(super) fn id<'s>(&'s self, expression: &'s Expression) -> Option<Cow<'s, str>> {
        let is_flag = |term: &Term| self.raw(term).is_some_and(|value| matches!(value.text(), "true" | "false"));
        expression.alternatives.iter().filter(|term| !is_flag(term)).find_map(|term| self.term(term))
    }

    /// The first alternative that is present and can be read so.
    pub(super) fn first<'s, T>(
        &'s self,
        expression: &'s Expression,
        read: impl Fn(Cow<'s, str>) -> Option<T>,
    ) -> Option<T> {
        expression.alternatives.iter().find_map(|term| read(self.term(term)?))
    }

    /// The first alternative that says something, whatever its kind; else the last that is there, a blank one as null.
    pub(super) fn value(&self, expression: &Expression) -> Option<Value> {
        let mut found = None;
        for term in &expression.alternatives {
            let value = match term {
                Term::Record(_) | Term::Envelope(_) | Term::Find(_) => self.raw(term).map(RawJson::to_value),
                _ => self.term(term).map(|text| Value::Text(text.into_owned())),
            };
            match value {
                Some(value) if value.is_blank() => found = Some(Value::Null),
                Some(value) if value.says_nothing() => found = Some(value),
                Some(value) => return Some(value),
                None => {}
            }
        }
        found
    }

    /// What stands at a term's place in the request; nothing of a term that has none.
    fn raw(&self, term: &Term) -> Option<RawJson<'_>> {
        let value = match term {
            Term::Record(pointer) => self.record.pointer(pointer)?,
            Term::Envelope(pointer) => self.envelope.pointer(pointer)?,
            Term::Find(find) => {
                let is_it = |item: &RawJson<'_>| {
                    let told = item.pointer(&find.at).and_then(RawJson::scalar_text);
                    told.is_some_and(|told| told == find.text)
                };
                let list = self.record.pointer(&find.list)?;
                match list.items() {
                    Some(items) if !items.is_empty() => items.into_iter().find(is_it)?.pointer(&find.take)?,
                    None if list.text() != "null" => return None,
                    // A list with nothing in it any more says so of the value, too.
                    _ => list,
                }
            }
            Term::Header(_) | Term::Hash(_) | Term::Constant(_) | Term::Template(_) => return None,
        };
        Some(self.unwrapped(value))
    }

    fn term<'s>(&'s self, term: &'s Term) -> Option<Cow<'s, str>> {
        let text = match term {
            Term::Record(_) | Term::Envelope(_) | Term::Find(_) => self.raw(term)?.scalar_text()?,
            Term::Header(name) => Cow::Borrowed(self.headers.text(name)?),
            Term::Hash(pointer) => {
                Cow::Owned(hex::encode(Sha256::digest(self.record.pointer(pointer)?.text().as_bytes())))
            }
            Term::Constant(text) => Cow::Borrowed(text.as_str()),
            Term::Template(parts) => Cow::Owned(self.template(parts)?),
        };
        if text.trim().is_empty() { None } else { Some(text) }
    }

    fn template(&self, parts: &[TemplatePart]) -> Option<String> {
        let texts = parts.iter().map(|part| match part {
            TemplatePart::Literal(text) => Some(Cow::Borrowed(text.as_str())),
            TemplatePart::Term(term) => self.term(term),
        });
        texts.collect()
    }

    /// `[x]` as `x` where the rules say so.
    pub(super) fn unwrapped<'v>(&self, value: RawJson<'v>) -> RawJson<'v> {
        if !self.unwrap_single {
            return value;
        }
        match value.items().as_deref() {
            Some([only]) => *only,
            _ => value,
        }
    }
}
