//! Taking a request apart into its records.

use std::borrow::Cow;

use super::Unreadable;
use crate::domain::value::raw::{Document, RawJson, unescaped};

/// The most records that one request may hold.
pub(super) const MAX_RECORDS: usize = 1_000;

/// The most that one request may grow to, since each record is stored with what stands around it.
pub(super) const MAX_BYTES: usize = 16 << 20;

/// The way to the records: names, and `*` for each item of a list.
#[derive(Clone, Debug)]
pub(super) struct RecordPath(Vec<Step>);

#[derive(Clone, Debug)]
enum Step {
    Member(String),
    Items,
}

impl RecordPath {
    pub(super) fn new(records: &str) -> Self {
        let steps = records.split('/').skip(1).map(|token| match token {
            "*" => Step::Items,
            name => Step::Member(unescaped(name).into_owned()),
        });
        Self(steps.collect())
    }

    /// The request once for each of its records, with every list on the way cut down to that record; nothing where the
    /// request holds one record as it is.
    pub(super) fn split(&self, request: &Document<'_>) -> Result<Option<Vec<String>>, Unreadable> {
        match self.only(request) {
            Ok(_) => return Ok(None),
            Err(reason) if !self.0.iter().any(|step| matches!(step, Step::Items)) => return Err(reason),
            Err(_) => {}
        }
        let slices = cut(request.raw(), &self.0)?;
        if slices.is_empty() { Err(Unreadable::NoRecords) } else { Ok(Some(slices)) }
    }

    /// The record of a request that holds just one.
    pub(super) fn only<'a>(&self, request: &'a Document<'a>) -> Result<Cow<'a, Document<'a>>, Unreadable> {
        if self.0.is_empty() {
            return Ok(Cow::Borrowed(request));
        }
        let mut record = request.raw();
        for step in &self.0 {
            record = match step {
                Step::Member(name) => member(record, name).ok_or(Unreadable::NoRecords)?,
                Step::Items => match record.items().as_deref() {
                    Some([only]) => *only,
                    Some([_, _, ..]) => return Err(Unreadable::SeveralRecords),
                    Some([]) | None => return Err(Unreadable::NoRecords),
                },
            };
        }
        Ok(Cow::Owned(Document::of(record)))
    }
}

fn member<'a>(value: RawJson<'a>, name: &str) -> Option<RawJson<'a>> {
    value.members()?.into_iter().rev().find(|(known, _)| known == name).map(|(_, value)| value)
}

fn cut(value: RawJson<'_>, path: &[Step]) -> Result<Vec<String>, Unreadable> {
    let Some((step, rest)) = path.split_first() else { return Ok(vec![value.text().to_owned()]) };
    let mut slices = Vec::new();
    let mut bytes = 0usize;
    let mut keep = |slice: String| {
        bytes = bytes.saturating_add(slice.len());
        slices.push(slice);
        if slices.len() > MAX_RECORDS || bytes > MAX_BYTES { Err(Unreadable::TooManyRecords) } else { Ok(()) }
    };
    match step {
        Step::Items => {
            for item in value.items().unwrap_or_default() {
                for record in cut(item, rest)? {
                    keep(format!("[{record}]"))?;
                }
            }
        }
        Step::Member(name) => {
            let Some(child) = member(value, name) else { return Ok(Vec::new()) };
            let mut around = String::new();
            for (known, neighbour) in value.members().unwrap_or_default().iter().filter(|(known, _)| known != name) {
                around.extend([&quoted(known), ":", neighbour.text(), ","]);
            }
            let name = quoted(name);
            for record in cut(child, rest)? {
                keep(format!("{{{around}{name}:{record}}}"))?;
            }
        }
    }
    Ok(slices)
}

fn quoted(name: &str) -> String {
    crate::domain::value::Value::Text(name.to_owned()).to_json()
}
