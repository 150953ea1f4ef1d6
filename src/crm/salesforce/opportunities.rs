//! Opportunities: those that were made of the leads' records when they were converted.

use std::collections::BTreeSet;

use super::find::{Found, Query, lower};
use super::rows::Reader;
use super::soql::{self, Key};
use super::wire::full_id;
use crate::domain::ids::RecordRef;
use crate::domain::matching::{MatchKeys, MatchedBy};
use crate::domain::opportunity::{Conversion, OpportunityKey};
use crate::domain::record::CrmRecord;

/// The lookup of the opportunities that are known to be the leads': one query ordinarily.
pub(super) fn plan_queries<'a>(readers: &'a [Reader<'a>], keys: &[MatchKeys]) -> Vec<Query<'a>> {
    let Some(reader) = readers.iter().find(|reader| reader.is_opportunity()) else { return Vec::new() };
    let known = keys.iter().filter_map(|keys| match &keys.opportunity {
        Some(OpportunityKey::Known(record)) => Some(Key::Id(full_id(record.id.as_str()))),
        _ => None,
    });
    let known: Vec<Key> = known.collect::<BTreeSet<Key>>().into_iter().collect();
    let queries = soql::find_by_keys(&reader.target(), &known).into_iter();
    queries.map(|soql| Query::live(reader, soql)).collect()
}

/// The keys of records that may have been converted: one keeps our key and its address, though its lead goes on as another
/// record.
pub(super) fn of_converted(keys: &[MatchKeys]) -> impl Iterator<Item = Key> {
    keys.iter().flat_map(|keys| match &keys.opportunity {
        Some(OpportunityKey::MadeOf(record)) => vec![Key::Id(full_id(record.id.as_str()))],
        Some(OpportunityKey::OfConverted { external_ids, email }) => {
            let email = email.as_deref().map(|email| Key::Email(lower(email)));
            external_ids.iter().map(|key| Key::ExternalId(key.trim().to_owned())).chain(email).collect()
        }
        _ => Vec::new(),
    })
}

/// What conversions made of the records that one lead's keys found, or of those with its keys: as the strongest key tells.
pub(super) fn conversions(found: &Found, keys: &MatchKeys, hits: &[(usize, MatchedBy)]) -> Vec<Conversion> {
    let (mut known, mut of_record, mut with_our_key, mut with_address): (_, _, Vec<usize>, &[usize]) =
        (None, None, Vec::new(), &[]);
    match &keys.opportunity {
        Some(OpportunityKey::Known(opportunity)) => known = keys.linked.as_ref().zip(Some(opportunity)),
        Some(OpportunityKey::MadeOf(record)) => of_record = found.place(record),
        Some(OpportunityKey::OfConverted { external_ids, email }) => {
            with_our_key = external_ids.iter().flat_map(|key| found.with_our_key(key)).copied().collect();
            with_address = email.as_deref().map_or(&[], |email| found.with_address(email));
        }
        None => {}
    }
    // Another person's of this address was made another Contact.
    let is_the_linked_one = |place: &usize| {
        let end = end_of(found, *place);
        keys.linked.as_ref().is_some_and(|linked| end.is_some_and(|end| end.id == full_id(linked.id.as_str())))
    };
    let with_address: Vec<usize> = with_address.iter().copied().filter(is_the_linked_one).collect();
    let mut made: Vec<(MatchedBy, usize, &RecordRef)> = hits
        .iter()
        .copied()
        .chain(of_record.map(|place| (place, MatchedBy::Link)))
        .chain(with_our_key.into_iter().map(|place| (place, MatchedBy::ExternalId)))
        .chain(with_address.into_iter().map(|place| (place, MatchedBy::Email)))
        .filter_map(|(place, by)| Some((by, place, found.opportunities.get(&place)?)))
        .chain(known.and_then(|(link, opportunity)| Some((MatchedBy::Link, found.place(link)?, opportunity))))
        .collect();
    let strongest = made.iter().map(|(by, ..)| *by).min();
    made.retain(|(by, ..)| Some(*by) == strongest);
    let conversion = |(_, place, opportunity): (MatchedBy, usize, &RecordRef)| {
        let record = found.place(opportunity).and_then(|place| found.records.get(place)).cloned();
        Some(Conversion { person: end_of(found, place)?, opportunity: opportunity.clone(), record })
    };
    made.into_iter().filter_map(conversion).collect()
}

/// What the record became in the end; itself, if nothing.
fn end_of(found: &Found, place: usize) -> Option<RecordRef> {
    let (mut end, mut passed) = (place, BTreeSet::new());
    while passed.insert(end)
        && let Some(next) = found.records.get(end)?.became.as_ref().and_then(|next| found.place(next))
    {
        end = next;
    }
    found.records.get(end).map(CrmRecord::reference)
}
