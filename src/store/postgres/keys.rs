//! Keys of jobs and links as arrays, for statements over many of them.

use crate::domain::ids::{DestinationName, LeadKey};

/// One array for each column of the key, to be bound one after the other.
#[derive(Default)]
pub(super) struct JobKeys<'a> {
    pub destinations: Vec<&'a str>,
    pub sources: Vec<&'a str>,
    pub leads: Vec<&'a str>,
}

impl<'a> FromIterator<(&'a DestinationName, &'a LeadKey)> for JobKeys<'a> {
    fn from_iter<I: IntoIterator<Item = (&'a DestinationName, &'a LeadKey)>>(keys: I) -> Self {
        let mut arrays = Self::default();
        for (destination, lead) in keys {
            arrays.destinations.push(destination.as_str());
            arrays.sources.push(lead.source.as_str());
            arrays.leads.push(lead.id.as_str());
        }
        arrays
    }
}
