//! Custom attributes without a row, as a marked block in a text field that people write around.
//!
//! The block is leadrelay's and is replaced as a whole when the attributes change; what stands before and after it is
//! kept to the letter. A block that a person changed or took out is left so until the lead's attributes change: then it
//! is written again, in its place or at the end. Attributes that do not fit are left out whole, and their number is told.

use std::ops::Range;

use super::ask::Blanks;
use super::{BasePair, Rule};
use crate::domain::lead::Lead;
use crate::domain::mapping::Covered;
use crate::domain::merge::{self, LeadSide, RowOutcome, RowView};
use crate::domain::record::{CrmValue, FieldSchema, same_value, text_length};
use crate::domain::value::Value;

const BEGIN: &str = "--- lead attributes (kept by leadrelay) ---";
const END: &str = "--- end of lead attributes ---";

/// A line per attribute that has a value and that no row takes, by name.
pub(super) fn lines(lead: &Lead, covered: &Covered, blanks: Blanks) -> Vec<String> {
    let attributes = lead.fields.keys().filter_map(|path| Some((path.as_str(), path.strip_prefix("attributes.")?)));
    let line = |(path, name): (&str, &str)| {
        let value = if blanks == Blanks::Count { lead.get(path) } else { lead.get_lasting(path) };
        let text = on_one_line(&shown(value?));
        (!text.is_empty()).then(|| on_one_line(&format!("{name}: {text}")))
    };
    attributes.filter(|(path, _)| !covered.holds(path)).filter_map(line).collect()
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::List(items) => items.iter().map(shown).filter(|item| !item.is_empty()).collect::<Vec<_>>().join(", "),
        Value::Object(_) => value.to_json(),
        other => other.scalar_text().unwrap_or_default().to_owned(),
    }
}

fn on_one_line(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What the lead says: the whole block, however long.
pub(super) fn side(lines: &[String], field: Option<&FieldSchema>) -> LeadSide {
    if lines.is_empty() {
        return LeadSide::Silent;
    }
    match spliced("", lines, limit(field)) {
        Some(_) => LeadSide::Says(CrmValue::Text(block(lines, 0)), None),
        None => LeadSide::Invalid {
            code: "too_long",
            message: "attributes without a row: none fits into the field; name a long text field in `note_field`"
                .to_owned(),
        },
    }
}

/// The block for a record that does not exist yet, and what a person should know of it.
pub(super) fn for_new_record(said: &CrmValue, field: Option<&FieldSchema>) -> (CrmValue, Option<String>) {
    match spliced("", &lines_of(said), limit(field)) {
        Some((text, cut)) => (CrmValue::Text(text), told(cut)),
        None => (CrmValue::Null, None),
    }
}

/// Decides the block's row: by the block alone, as a field that the lead owns; written is the whole text around it.
pub(super) fn decide(view: &RowView<'_>, sharing: bool, field: Option<&FieldSchema>) -> RowOutcome {
    let standing_now = standing(view.crm);
    let base = view.base.map(|base| BasePair { lead: base.lead.clone(), crm: standing(&base.crm) });
    let inner = RowView { crm: &standing_now, base: base.as_ref(), ..*view };
    let outcome = if sharing { merge::decide_shared(&inner) } else { merge::decide(&inner) };
    if outcome.write.is_none() {
        return outcome;
    }
    let before = if let CrmValue::Text(text) = view.crm { text.as_str() } else { "" };
    match spliced(before, &lines_of(view.lead), limit(field)) {
        Some((text, cut)) => {
            let text = CrmValue::Text(text);
            if same_value(view.row.kind.crm_kind(), &text, view.crm) {
                let agreed = BasePair { lead: view.lead.clone(), crm: view.crm.clone() };
                return RowOutcome { base: Some(agreed), ..RowOutcome::default() };
            }
            let decision = outcome.decision.map(|mut decision| {
                (decision.crm, decision.written, decision.note) =
                    (Some(view.crm.clone()), Some(text.clone()), told(cut));
                decision
            });
            RowOutcome { write: Some(text), decision, ..outcome }
        }
        None => {
            let kept = BasePair { lead: view.lead.clone(), crm: standing_now.clone() };
            let why = "what people wrote leaves no room for the lead's attributes";
            let decision = outcome.decision.filter(|_| view.kept != Some(&kept)).map(|mut decision| {
                (decision.rule, decision.written, decision.note) = (Rule::Invalid, None, Some(why.to_owned()));
                decision
            });
            RowOutcome { base, kept: Some(kept), decision, ..RowOutcome::default() }
        }
    }
}

fn told(cut: usize) -> Option<String> {
    (cut > 0).then(|| format!("{cut} attributes do not fit and were left out"))
}

fn limit(field: Option<&FieldSchema>) -> usize {
    field.and_then(|field| field.length).map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX))
}

fn block(lines: &[String], cut: usize) -> String {
    let rest = (cut > 0).then(|| format!("({cut} more do not fit)"));
    let lines = lines.iter().map(String::as_str).chain(rest.as_deref());
    [BEGIN].into_iter().chain(lines).chain([END]).collect::<Vec<_>>().join("\n")
}

fn lines_of(block: &CrmValue) -> Vec<String> {
    let CrmValue::Text(text) = block else { return Vec::new() };
    text.lines().filter(|line| *line != BEGIN && *line != END).map(str::to_owned).collect()
}

/// The text with the block in the place of the one that stands there, or at its end, and how many lines did not fit;
/// `None`: not one did.
fn spliced(text: &str, lines: &[String], limit: usize) -> Option<(String, usize)> {
    let (before, after) = match place(text) {
        Some(place) => (text[..place.start].to_owned(), &text[place.end..]),
        None if text.is_empty() || text.ends_with('\n') => (text.to_owned(), ""),
        None => (format!("{text}\n"), ""),
    };
    let room = limit.checked_sub(text_length(&before) + text_length(after))?;
    let whole = block(lines, 0);
    if text_length(&whole) <= room {
        return Some((format!("{before}{whole}{after}"), 0));
    }
    let (mut kept, mut left) = (Vec::new(), room.checked_sub(text_length(&block(&[], lines.len())))?);
    for line in lines {
        if let Some(rest) = left.checked_sub(text_length(line) + 1) {
            left = rest;
            kept.push(line.clone());
        }
    }
    let cut = lines.len() - kept.len();
    (!kept.is_empty()).then(|| (format!("{before}{}{after}", block(&kept, cut)), cut))
}

/// The block that stands in a text, without regard to how its lines end.
fn standing(value: &CrmValue) -> CrmValue {
    let CrmValue::Text(text) = value else { return CrmValue::Null };
    match place(text) {
        Some(place) => CrmValue::Text(text[place].lines().map(str::trim_end).collect::<Vec<_>>().join("\n")),
        None => CrmValue::Null,
    }
}

/// Where the first whole block is: from its first mark to the end of its last.
fn place(text: &str) -> Option<Range<usize>> {
    let (mut at, mut start) = (0, None);
    for line in text.split_inclusive('\n') {
        match (line.trim(), start) {
            (BEGIN, _) => start = Some(at),
            (END, Some(start)) => return Some(start..at + line.trim_end().len()),
            _ => {}
        }
        at += line.len();
    }
    None
}
