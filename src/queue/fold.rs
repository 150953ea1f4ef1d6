//! Folding: the events that came since a lead was last looked at, into the lead.

use tracing::warn;

use super::batch::let_others_run;
use super::destination::Destination;
use crate::domain::envelope::{Reader, Unreadable};
use crate::domain::headers::received_at;
use crate::domain::ids::LeadKey;
use crate::domain::lead::{Arrival, Change, Lead};
use crate::store::{EventState, FoldedLead, StoreResult, StoredEvent, Work};

/// Loads the leads of jobs, or of what else names one, folds what is not folded yet and saves the result.
///
/// A lead that moved meanwhile is loaded and folded again, so a fold never goes backwards.
pub(super) async fn load_folded<J>(
    destination: &Destination,
    jobs: Vec<J>,
    lead_of: impl Fn(&J) -> &LeadKey,
) -> StoreResult<Vec<(J, Lead, Work)>> {
    let mut done = Vec::with_capacity(jobs.len());
    let mut open = jobs;
    while !open.is_empty() {
        let keys: Vec<LeadKey> = open.iter().map(|job| lead_of(job).clone()).collect();
        let works = destination.store.load_work(&destination.name, &keys).await?;
        let mut changed = Vec::new();
        let mut folded = Vec::new();
        for (n, (job, mut work)) in open.into_iter().zip(works).enumerate() {
            let_others_run(n).await;
            let (mut lead, expected) = match work.lead.take() {
                Some((lead, revision)) => (lead, Some(revision)),
                None => (Lead::new(lead_of(&job).clone()), None),
            };
            let events: Vec<_> =
                work.unfolded.iter().map(|event| (event.id, fold_event(destination, &mut lead, event))).collect();
            if events.is_empty() {
                done.push((job, lead, work));
                continue;
            }
            let listed = destination.sources.get(&lead.key.source).map(|source| &source.listed);
            let email = listed.and_then(|listed| listed.email(&lead));
            let name = listed.and_then(|listed| listed.name(&lead));
            folded.push(FoldedLead { lead, expected, events, email, name });
            changed.push((job, work));
        }
        open = Vec::new();
        if folded.is_empty() {
            break;
        }
        let saved = destination.store.save_leads(&folded).await?;
        for (((job, work), folded), saved) in changed.into_iter().zip(folded).zip(saved) {
            if saved && !work.more_events {
                done.push((job, folded.lead, work));
            } else {
                open.push(job);
            }
        }
    }
    Ok(done)
}

/// The lead with all of its events that were loaded, and nothing saved.
pub(super) fn folded_now(destination: &Destination, work: &mut Work) -> Lead {
    let mut lead = work.lead.take().map_or_else(|| Lead::new(work.key.clone()), |(lead, _)| lead);
    for event in &work.unfolded {
        fold_event(destination, &mut lead, event);
    }
    lead
}

/// Folds one event. One that today's settings cannot read is put aside, not lost.
fn fold_event(destination: &Destination, lead: &mut Lead, event: &StoredEvent) -> EventState {
    let Some(source) = destination.sources.get(&lead.key.source) else { return EventState::Quarantined };
    match read(&source.reader, event) {
        Ok(Some(change)) => {
            if change.disbelieved {
                warn!(source = %lead.key.source, lead.id = %lead.key.id, event = %event.id, "event {} of lead {} has a version from the future; its arrival counts instead", event.id, lead.key.id);
            }
            if lead.fold(&change) { EventState::Folded } else { EventState::Stale }
        }
        Ok(None) => EventState::Ignored,
        Err(error) => {
            warn!(source = %lead.key.source, lead.id = %lead.key.id, event = %event.id, "event {} cannot be read with today's settings ({}); it is quarantined", event.id, error.code());
            EventState::Quarantined
        }
    }
}

/// Reads the event. A redelivery counts with its first copy's arrival, but only where both have the same version: of an
/// event without a version of its own the arrival is the version.
fn read(reader: &Reader, event: &StoredEvent) -> Result<Option<Change>, Unreadable> {
    let received_at = received_at(&event.headers).unwrap_or(event.received_at);
    let read = |arrival| reader.read_change(&event.body, &event.headers, received_at, arrival);
    let own = Arrival { at: received_at, event: event.id };
    let change = read(own)?;
    let effective = own.effective(event.first_copy.map(|(event, at)| Arrival { at, event }));
    if effective == own {
        return Ok(change);
    }
    let as_first = read(effective)?;
    let same_version =
        matches!((&change, &as_first), (Some(own), Some(first)) if own.stamp.version == first.stamp.version);
    Ok(if same_version { as_first } else { change })
}
