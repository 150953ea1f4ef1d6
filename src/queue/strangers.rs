//! The search in a CRM for records that no lead of ours is and that may be the person of a lead's record all the same: with
//! its address, or with its name at the domain of its company, as the rules in `match` compare them.
//!
//! It asks as a batch of new leads would, behind all other work and only while the gate lets such work through.

use std::time::{Duration, Instant};

use super::batch::new_request_id;
use super::calls::counted;
use super::destination::{Destination, Rules};
use crate::crm::gate::{Entry, Permit, WorkClass};
use crate::crm::{FindRequest, Reading};
use crate::domain::ids::{LeadKey, RecordRef};
use crate::domain::matching::{Candidate, Candidates, MatchKeys, MatchedBy};
use crate::domain::plan::{OwnKeys, match_keys};
use crate::domain::time::Timestamp;
use crate::store::{Same, StoreResult, Stranger, Work};

/// How long it may take until the gate has room.
const WAIT_FOR: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Of many records with one address so many are told, the oldest first.
const MOST_OF_ONE: usize = 3;

/// What asking about some leads came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    pub calls: u32,
    /// Records that may be the person of a lead's.
    pub suspected: u64,
}

/// A lead that is a record.
struct Known {
    lead: LeadKey,
    record: RecordRef,
    keys: MatchKeys,
}

impl Destination {
    /// Asks the CRM about the people of these leads, at most 200, and notes which records may be one of them. `None`: it must not
    /// be asked now, or did not answer.
    pub async fn look_for_strangers(&self, leads: &[LeadKey], began: Timestamp) -> StoreResult<Option<Asked>> {
        let Some(rules) = self.rules() else { return Ok(None) };
        let works = self.store.load_work(&self.name, leads).await?;
        let known: Vec<Known> = works.into_iter().filter_map(|work| self.known(work, &rules)).collect();
        if known.is_empty() {
            return Ok(Some(Asked::default()));
        }
        let Some(permit) = self.enter_behind_all().await else { return Ok(None) };
        let request = FindRequest {
            request_id: new_request_id(),
            keys: known.iter().map(|known| known.keys.clone()).collect(),
            reading: Reading { companies: None, opportunities: None, ..rules.reading.clone() },
        };
        let (found, calls) = counted(self.crm.find(&request)).await;
        permit.answered(found.as_ref().map(|_| ()));
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                self.note_error(&error);
                return Ok(None);
            }
        };
        let strangers = known.iter().zip(&found).flat_map(|(known, found)| others(known, found));
        let strangers = strangers.map(|(lead, record, same)| Stranger {
            destination: self.name.clone(),
            lead: lead.clone(),
            record,
            same,
            found_at: began,
        });
        let suspected = self.store.suspect_strangers(&strangers.collect::<Vec<_>>()).await?;
        Ok(Some(Asked { calls, suspected }))
    }

    /// A living lead that is a record, and by what its person is looked up.
    fn known(&self, work: Work, rules: &Rules) -> Option<Known> {
        let (lead, _) = work.lead.filter(|(lead, _)| lead.is_alive() && !work.excluded)?;
        let times = self.times_of(&lead.key.source);
        let MatchKeys { email, name_and_domain, .. } =
            match_keys(&lead, &OwnKeys::default(), None, &[], times, false, &rules.sync);
        let keys = MatchKeys { email, name_and_domain, ..MatchKeys::default() };
        let has_any = keys.email.is_some() || keys.name_and_domain.is_some();
        let record = work.link.filter(|_| has_any)?.record;
        Some(Known { lead: lead.key, record, keys })
    }

    async fn enter_behind_all(&self) -> Option<Permit> {
        let until = Instant::now() + WAIT_FOR;
        loop {
            match self.gate.enter(WorkClass::Backfill) {
                Entry::Go(permit) => return Some(permit),
                Entry::Busy if Instant::now() < until => tokio::time::sleep(LOOK_EVERY).await,
                Entry::Busy | Entry::Closed { .. } => return None,
            }
        }
    }
}

/// The records that answered and are another one than the lead's, and by what.
fn others<'k>(known: &'k Known, found: &Candidates) -> Vec<(&'k LeadKey, RecordRef, Same)> {
    let is_other = |hit: &&Candidate| hit.record.became.is_none() && hit.record.id != known.record.id;
    let mut hits: Vec<&Candidate> = found.found.iter().filter(is_other).collect();
    hits.sort_by_key(|hit| (hit.record.created_at, hit.record.id.clone()));
    let same = |by: MatchedBy| if by == MatchedBy::Email { Same::Email } else { Same::NameAndDomain };
    hits.into_iter().take(MOST_OF_ONE).map(|hit| (&known.lead, hit.record.reference(), same(hit.by))).collect()
}
