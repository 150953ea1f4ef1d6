//! What a person orders for one lead and what needs the CRM at once: a look at a record, our ID taken from it, its delete.
//!
//! The lead's record is in hand meanwhile, as it is for a batch, and the gate is heeded.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::destination::{Destination, Rules};
use super::keys::{Hold, InHand, of_record};
use super::redact::without_values;
use crate::clock::SinceBoot;
use crate::crm::gate::{Entry, Permit, WorkClass, outcome_of};
use crate::crm::{CrmError, FindRequest, OnDuplicate, RecordWrite, WriteRequest, WriteResult};
use crate::domain::ids::{LeadKey, ObjectName, RecordRef, RequestId};
use crate::domain::matching::{Candidate, MatchKeys, MatchedBy};
use crate::domain::plan::{Decision, OwnKeys, Rule};
use crate::domain::record::{CrmRecord, CrmValue};
use crate::store::{NewLogRow, Operation, Outcome, Shared, StoreError};

/// How long it may take until a batch has let go of the lead, or the gate has room.
const WAIT_FOR: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Why an order cannot be carried out now.
#[derive(Debug, thiserror::Error)]
pub enum ByHandError {
    #[error("the lead is being synced, or as much as may be is")]
    InHand,
    #[error("{0}")]
    Closed(String),
    #[error("it was asked too often")]
    TooOften { wait: Duration },
    #[error(transparent)]
    Crm(#[from] CrmError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A lead and its records, kept from every batch until this is released, and the right to ask the CRM.
pub struct AtHand<'a> {
    destination: &'a Destination,
    rules: Arc<Rules>,
    permit: Permit,
    hold: Hold,
}

impl Destination {
    /// Takes these records in hand, and the lead itself as long as it has none, with the right to ask the CRM.
    pub async fn take_in_hand(&self, lead: &LeadKey, records: &[&RecordRef]) -> Result<AtHand<'_>, ByHandError> {
        let until = Instant::now() + WAIT_FOR;
        let permit = loop {
            match self.gate.enter(WorkClass::Live) {
                Entry::Go(permit) => break permit,
                Entry::Closed { why, .. } => {
                    return Err(ByHandError::Closed(format!("{} is closed: {why}", self.name)));
                }
                Entry::Busy if Instant::now() >= until => return Err(ByHandError::InHand),
                Entry::Busy => tokio::time::sleep(LOOK_EVERY).await,
            }
        };
        let rules = self.first_look().await?;
        let hold = self.keep_from_batches(lead, records).await?;
        Ok(AtHand { destination: self, rules, permit, hold })
    }

    /// Takes these records in hand, and the lead itself as long as it has none.
    pub async fn keep_from_batches(&self, lead: &LeadKey, records: &[&RecordRef]) -> Result<Hold, ByHandError> {
        let until = Instant::now() + WAIT_FOR;
        let store: Arc<dyn Shared> = Arc::clone(&self.store) as _;
        let mut hold = self.in_flight.hold(&store, &self.name, uuid::Uuid::new_v4());
        let external_id = format!("external_id:{}", self.settings.external_id_value.value_for(lead));
        let mut keys: Vec<String> = records.iter().map(|record| of_record(record)).chain([external_id]).collect();
        keys.sort();
        keys.dedup();
        loop {
            let now = self.clock.now();
            match hold.reserve(vec![keys.clone()], now, now.after(self.settings.lease)).await?.first() {
                Some(InHand::Ours) => return Ok(hold),
                _ if Instant::now() >= until => return Err(ByHandError::InHand),
                _ => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }
}

impl AtHand<'_> {
    /// The kinds of record that a lead may be linked to.
    pub fn linkable(&self) -> Vec<ObjectName> {
        let people = self.destination.crm.people().into_iter().map(|person| person.object);
        people.filter(|object| self.rules.sync.of(object).is_some()).collect()
    }

    /// The record as the CRM shows it now; `None`: it is not there.
    pub async fn look_up(&self, record: &RecordRef) -> Result<Option<CrmRecord>, ByHandError> {
        let keys = MatchKeys { linked: Some(record.clone()), ..MatchKeys::default() };
        Ok(self.find(keys).await?.into_iter().map(|candidate| candidate.record).next())
    }

    /// The record that itself carries the lead's external ID; of several, one that was converted or merged.
    pub async fn look_for_own(&self, lead: &LeadKey) -> Result<Option<CrmRecord>, ByHandError> {
        let field = &self.destination.settings.external_id;
        let ours = self.own_keys(lead).await?;
        let (external_id, former_ids) = (Some(ours.now.clone()), ours.former.clone());
        let keys = MatchKeys { external_id, former_ids, ..MatchKeys::default() };
        let mut own: Vec<CrmRecord> = self.find(keys).await?.into_iter().map(|candidate| candidate.record).collect();
        own.retain(|record| ours.contains(record.value(field)));
        own.sort_by_key(|record| record.became.is_none());
        Ok(own.into_iter().next())
    }

    async fn own_keys(&self, lead: &LeadKey) -> Result<OwnKeys, ByHandError> {
        Ok(self.destination.load_own_keys(std::slice::from_ref(lead)).await?.remove(lead).unwrap_or_default())
    }

    async fn find(&self, keys: MatchKeys) -> Result<Vec<Candidate>, ByHandError> {
        let (keys, reading) = (vec![keys], self.rules.reading.clone());
        let found = self.destination.crm.find(&FindRequest { request_id: new_request_id(), keys, reading }).await;
        self.permit.answered(found.as_ref().map(|_| ()));
        Ok(found?.into_iter().next().unwrap_or_default().found)
    }

    /// Takes the lead's ID from a record that it is no longer, if it is there; answers what the log is to say of it.
    pub async fn disown(&self, lead: &LeadKey, record: &RecordRef) -> Result<Option<NewLogRow>, ByHandError> {
        let field = &self.destination.settings.external_id;
        let ours = self.own_keys(lead).await?;
        let found = self.look_up(record).await?.filter(|found| found.became.is_none());
        let carried = found.map(|found| found.value(field).clone()).filter(|carried| ours.contains(carried));
        let Some(carried) = carried.filter(|_| !self.destination.observes()) else { return Ok(None) };
        let decision = Decision {
            field: field.clone(),
            base: None,
            lead: None,
            crm: Some(carried),
            written: Some(CrmValue::Null),
            rule: Rule::Resolved,
            note: Some("a person unlinked the lead from this record".to_owned()),
        };
        let fields = [(field.clone(), CrmValue::Null)].into();
        let write = RecordWrite {
            object: record.object.clone(),
            id: Some(record.id.clone()),
            fields,
            delete: false,
            unmodified_since: None,
            duplicates: OnDuplicate::Refuse,
        };
        let row = self.write(lead, record, write, Operation::Update, vec![decision]).await?;
        Ok(Some(row))
    }

    /// Deletes a record; that it is gone already is as good.
    pub async fn delete(&self, lead: &LeadKey, record: &RecordRef) -> Result<NewLogRow, ByHandError> {
        let (object, id) = (record.object.clone(), Some(record.id.clone()));
        let write = RecordWrite {
            object,
            id,
            fields: Default::default(),
            delete: true,
            unmodified_since: None,
            duplicates: OnDuplicate::Refuse,
        };
        self.write(lead, record, write, Operation::Delete, Vec::new()).await
    }

    async fn write(
        &self,
        lead: &LeadKey,
        record: &RecordRef,
        write: RecordWrite,
        operation: Operation,
        decisions: Vec<Decision>,
    ) -> Result<NewLogRow, ByHandError> {
        let Destination { name, settings, clock, crm, .. } = self.destination;
        let sent_at = clock.now();
        let deletes = write.delete;
        let request = WriteRequest {
            request_id: new_request_id(),
            writes: vec![write],
            reading: self.rules.reading.clone(),
            auto_assign: false,
            send_until: SinceBoot::now().after(settings.timeout),
        };
        let mut results = crm.write(&request).await;
        self.permit.answered(outcome_of(&results));
        let Some(WriteResult { outcome, request: sent, response }) = results.pop() else {
            return Err(CrmError::Unknown { detail: "there is no result".to_owned() }.into());
        };
        match outcome {
            Err(CrmError::Gone { merged_into: None, .. }) if deletes => {}
            outcome => drop(outcome?),
        }
        let now = clock.now();
        let keep = |text: String| if settings.log_bodies { text } else { without_values(&text) };
        Ok(NewLogRow {
            record: Some(record.clone()),
            matched_by: Some(MatchedBy::Link),
            api_calls: 1,
            duration_ms: u64::try_from(now.since(sent_at).as_millis()).unwrap_or(u64::MAX),
            request_id: Some(request.request_id),
            decisions,
            request: Some(keep(sent)),
            response: Some(keep(response)),
            ..NewLogRow::note(now, lead.clone(), name.clone(), operation, Outcome::Ok)
        })
    }

    /// Lets batches have the lead again.
    pub async fn release(self) {
        self.hold.release().await;
    }
}

fn new_request_id() -> RequestId {
    RequestId::new(uuid::Uuid::now_v7().to_string())
}
