//! How both stores write down where a search came to: of the beginning there is no lead, and no lead has an empty ID.

use crate::domain::ids::LeadKey;

/// The lead's texts, or empty ones.
pub(super) fn texts_of(place: Option<&LeadKey>) -> (&str, &str) {
    place.map_or(("", ""), |lead| (lead.source.as_str(), lead.id.as_str()))
}

/// Reads them back.
pub(super) fn place_of(source: &str, lead: &str) -> Option<LeadKey> {
    (!lead.is_empty()).then(|| LeadKey::new(source, lead))
}
