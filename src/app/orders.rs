//! People's orders for single leads that need the CRM at once.

use std::sync::Arc;

use crate::crm::CrmError;
use crate::domain::explained::Explained;
use crate::domain::ids::{LeadKey, RecordRef};
use crate::domain::record::CrmRecord;
use crate::domain::time::Timestamp;
use crate::http::admin::state::{Erasing, LinkWish, OrderError};
use crate::queue::by_hand::{AtHand, ByHandError};
use crate::queue::destination::Destination;
use crate::queue::keys::Hold;
use crate::store::{Erasure, LinkOrder, Ordered, Sharing, Store};

impl From<ByHandError> for OrderError {
    fn from(error: ByHandError) -> Self {
        match error {
            ByHandError::InHand => OrderError::NotNow("The lead is being synced; try again in a moment.".to_owned()),
            ByHandError::Closed(why) => {
                OrderError::NotNow(format!("Nothing can be asked of the CRM now, since {why}. Try again later."))
            }
            ByHandError::TooOften { wait } => {
                OrderError::TooOften { retry_after: u32::try_from(wait.as_secs() + 1).unwrap_or(u32::MAX) }
            }
            ByHandError::Crm(error) => OrderError::Crm(format!("{error}. Nothing was changed here; try again.")),
            ByHandError::Store(error) => OrderError::Store(error),
        }
    }
}

/// What would be done for a lead now.
pub(super) async fn explain(
    destination: Option<&Arc<Destination>>,
    lead: &LeadKey,
) -> Result<Option<Explained>, OrderError> {
    Ok(destination.ok_or(OrderError::NotFound)?.explain(lead).await?)
}

/// Links a lead to a record, or unlinks it. The record that it leaves loses its ID, unless a living lead shares it: then
/// that one's replaces it.
pub(super) async fn link(
    store: &dyn Store,
    destination: Option<&Arc<Destination>>,
    wish: &LinkWish,
) -> Result<Ordered, OrderError> {
    let destination = destination.ok_or(OrderError::NotFound)?;
    let known = linked_to(store, destination, &wish.lead).await?;
    let records: Vec<&RecordRef> = known.iter().map(|(record, ..)| record).chain(&wish.record).collect();
    let at_hand = destination.take_in_hand(&wish.lead, &records).await?;
    let done = link_at_hand(store, destination, &at_hand, wish).await;
    at_hand.release().await;
    destination.wake();
    done
}

async fn link_at_hand(
    store: &dyn Store,
    destination: &Destination,
    at_hand: &AtHand<'_>,
    wish: &LinkWish,
) -> Result<Ordered, OrderError> {
    // Read again: a batch may have had the lead in hand until now.
    let known = linked_to(store, destination, &wish.lead).await?;
    let revision = known.as_ref().map(|(.., revision)| *revision);
    if wish.revision.is_some() && wish.revision != revision {
        return Ok(Ordered::Changed);
    }
    let record = match &wish.record {
        None => None,
        Some(record) => Some(existing(destination, at_hand, record).await?),
    };
    if let Some(record) = &record
        && let Some(owner) = store.find_owners(&destination.name, std::slice::from_ref(record)).await?.remove(0)
        && owner.lead != wish.lead
        && !owner.has_left()
    {
        return Ok(Ordered::OwnedBy(owner.lead));
    }
    let mut log = Vec::new();
    if let Some((left, true, _)) = known.filter(|(left, ..)| Some(left) != record.as_ref())
        && store.find_shared(&destination.name, std::slice::from_ref(&left)).await?.remove(0) != Sharing::Surely
    {
        log.extend(at_hand.disown(&wish.lead, &left).await?);
    }
    let order = LinkOrder {
        destination: destination.name.clone(),
        lead: wish.lead.clone(),
        record,
        revision,
        by: wish.by.clone(),
        now: destination.clock.now(),
        log,
    };
    Ok(store.order_link(&order).await?)
}

/// The record that the lead is linked to, whether it owns it, and the link's revision.
async fn linked_to(
    store: &dyn Store,
    destination: &Destination,
    lead: &LeadKey,
) -> Result<Option<(RecordRef, bool, i64)>, OrderError> {
    let work = store.load_work(&destination.name, std::slice::from_ref(lead)).await?.into_iter().next();
    Ok(work.and_then(|work| work.link).map(|link| (link.record, link.owner, link.revision)))
}

/// The record under the CRM's own ID, if a lead can be it.
async fn existing(
    destination: &Destination,
    at_hand: &AtHand<'_>,
    record: &RecordRef,
) -> Result<RecordRef, OrderError> {
    let (name, kinds) = (&destination.name, at_hand.linkable());
    if !kinds.contains(&record.object) {
        let kinds: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
        return Err(OrderError::Wrong(format!("object: leads become {} in {name}; write that", kinds.join(" or "))));
    }
    let (object, id) = (&record.object, &record.id);
    let found = match at_hand.look_up(record).await {
        Err(ByHandError::Crm(CrmError::Refused { message, .. } | CrmError::Unfamiliar { message, .. })) => {
            return Err(OrderError::Wrong(format!("record_id: {name} does not take {id} for an ID ({message})")));
        }
        found => found?,
    };
    let Some(found) = found else {
        return Err(OrderError::Wrong(format!("record_id: {name} has no {object} {id}, or does not show it to us")));
    };
    if let Some(fate) = found.fate() {
        return Err(OrderError::Wrong(format!("record_id: it was {fate}")));
    }
    Ok(found.reference())
}

/// What keeps the lead from a destination's batches while it is erased.
enum Kept<'d> {
    Asking(AtHand<'d>),
    Waiting(Hold),
}

/// Erases a lead while no batch has it in hand. With `crm` the records that it owns are deleted first, so that an error there
/// leaves it to be tried again; each delete is logged at once. None is deleted before all destinations are in hand.
pub(super) async fn erase(
    store: &dyn Store,
    destinations: &[Arc<Destination>],
    lead: &LeadKey,
    crm: bool,
    now: Timestamp,
) -> Result<Option<Erasing>, OrderError> {
    // What is known from events or held requests alone was never sent to a CRM; whether it is known at all the store tells.
    let view = store.load_lead(lead).await?;
    let crm_may_know = view.is_some();
    let (mut kept, mut records) = (Vec::new(), Vec::new());
    for destination in destinations {
        let known = linked_to(store, destination, lead).await?;
        let own: Vec<&RecordRef> = known.iter().map(|(record, ..)| record).collect();
        if !(crm && crm_may_know) || destination.settings.observe {
            kept.push(Kept::Waiting(destination.keep_from_batches(lead, &own).await?));
            let why = if crm { "this destination only observes" } else { "not asked for" };
            records.extend(known.map(|(record, ..)| (destination.name.clone(), record, Some(why.to_owned()))));
            continue;
        }
        kept.push(Kept::Asking(destination.take_in_hand(lead, &own).await?));
    }
    for (destination, kept) in destinations.iter().zip(&kept) {
        if let Kept::Asking(at_hand) = kept
            && let Some((record, left)) = delete_record(store, destination, at_hand, lead).await?
        {
            records.push((destination.name.clone(), record, left));
        }
    }
    for (destination, link) in view.map(|view| view.links).unwrap_or_default() {
        // A destination that only has another name now was told of by that.
        if records.iter().all(|(_, known, _)| *known != link.record)
            && destinations.iter().all(|configured| configured.name != destination)
        {
            records.push((destination, link.record, Some("its destination is not in the configuration".to_owned())));
        }
    }
    let erased = store.erase_lead(&Erasure { lead: lead.clone(), now }).await?;
    for kept in kept {
        match kept {
            Kept::Asking(at_hand) => at_hand.release().await,
            Kept::Waiting(hold) => hold.release().await,
        }
    }
    destinations.iter().for_each(|destination| destination.wake());
    Ok(erased.map(|erased| Erasing { erased, records }))
}

/// Deletes the record that the lead owns, and that no living lead shares; answers why it was left, else `None` with it.
async fn delete_record(
    store: &dyn Store,
    destination: &Destination,
    at_hand: &AtHand<'_>,
    lead: &LeadKey,
) -> Result<Option<(RecordRef, Option<String>)>, OrderError> {
    let (record, found) = match linked_to(store, destination, lead).await? {
        Some((record, false, _)) => return Ok(Some((record, Some("another lead owns it".to_owned())))),
        Some((record, true, _)) => {
            match store.find_shared(&destination.name, std::slice::from_ref(&record)).await?.remove(0) {
                Sharing::Not => {}
                Sharing::InDoubt => return Ok(Some((record, Some("a living lead may share it".to_owned())))),
                Sharing::Surely => {
                    return Ok(Some((record, Some("a living lead shares it and owns it from now on".to_owned()))));
                }
            }
            let found = at_hand.look_up(&record).await?;
            (record, found)
        }
        // A create without an answer may have made it.
        None => match at_hand.look_for_own(lead).await? {
            Some(found) => (found.reference(), Some(found)),
            None => return Ok(None),
        },
    };
    if let Some(fate) = found.as_ref().and_then(CrmRecord::fate) {
        return Ok(Some((record, Some(format!("it was {fate}: delete that one by hand")))));
    }
    if found.is_some() {
        store.append_log(&at_hand.delete(lead, &record).await?).await?;
    }
    Ok(Some((record, None)))
}
