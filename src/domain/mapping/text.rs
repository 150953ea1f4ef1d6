//! Text: trimmed at its ends, with line feeds only, otherwise exactly as sent.

use crate::domain::mapping::TooLong;
use crate::domain::record::{CrmValue, FieldSchema, text_length};

use super::convert::{Invalid, Note, Outcome};

/// Text for a field of limited length; no character is cut in two.
pub(super) fn convert(sent: &str, field: Option<&FieldSchema>, too_long: TooLong) -> Outcome {
    let text = clean(sent)?;
    let limit = limit(field);
    let length = text_length(&text);
    match limit {
        Some(most) if length > most && too_long == TooLong::Truncate => {
            let mut left = most;
            let fitting = |c: &char| {
                let rest = left.checked_sub(c.len_utf16());
                left = rest.unwrap_or(0);
                rest.is_some()
            };
            let cut: String = text.chars().take_while(fitting).collect();
            let cut = cut.trim_end().to_owned();
            if cut.is_empty() {
                // Not one character fits.
                fits(&text, field)?;
            }
            let to = text_length(&cut);
            Ok(Some((CrmValue::Text(cut), Some(Note::Truncated { from: length, to }))))
        }
        _ => {
            fits(&text, field)?;
            Ok(whole(text))
        }
    }
}

/// The text trimmed, with line feeds for carriage returns.
pub(super) fn clean(sent: &str) -> Result<String, Invalid> {
    if sent.contains('\0') {
        return Err(Invalid::new(
            "unstorable_text",
            "holds a NUL character, which no CRM stores; remove it in the lead",
        ));
    }
    Ok(sent.trim().replace("\r\n", "\n").replace('\r', "\n"))
}

/// Refuses what is longer than the field.
pub(super) fn fits(text: &str, field: Option<&FieldSchema>) -> Result<(), Invalid> {
    let length = text_length(text);
    match limit(field) {
        Some(most) if length > most => Err(Invalid::new(
            "too_long",
            format!(
                "has {length} characters, the field takes {most}; shorten it, lengthen the field, or for text set too_long = \"truncate\""
            ),
        )),
        _ => Ok(()),
    }
}

/// The text as a value; nothing where none is left.
pub(super) fn whole(text: String) -> Option<(CrmValue, Option<Note>)> {
    (!text.is_empty()).then_some((CrmValue::Text(text), None))
}

fn limit(field: Option<&FieldSchema>) -> Option<usize> {
    field?.length.map(|most| usize::try_from(most).unwrap_or(usize::MAX))
}
