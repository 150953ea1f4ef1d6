//! Reading columns as what they mean, and writing what PostgreSQL's `text` cannot hold.

use std::borrow::Cow;

use crate::domain::ids::LeadKey;
pub(super) use crate::store::rows::*;

/// Whether no column can hold this text: PostgreSQL has no U+0000 in one.
pub(super) fn cannot_be(text: &str) -> bool {
    text.contains('\0')
}

/// A text for people to read. The place of U+0000 is taken by U+FFFD.
pub(super) fn readable(text: &str) -> Cow<'_, str> {
    if cannot_be(text) { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
}

/// As [`readable`], for what may be absent.
pub(super) fn readable_option(text: Option<&str>) -> Option<Cow<'_, str>> {
    text.map(readable)
}

/// The two columns of leads, for `UNNEST`.
pub(super) fn columns<'l>(leads: impl IntoIterator<Item = &'l LeadKey>) -> (Vec<&'l str>, Vec<&'l str>) {
    leads.into_iter().map(|lead| (lead.source.as_str(), lead.id.as_str())).unzip()
}
