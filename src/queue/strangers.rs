//! The search in a CRM for records that no lead of ours is and that may be the person of a lead's record all the same: with
//! its address, or with its name at the domain of its company, as the rules in `match` compare them.
//!
//! It asks as a batch of new leads would, behind all other work and only while the gate lets such work through, about a page
//! of leads at a time. Each destination has its own place and its own calls, kept with every page.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::batch::{new_request_id, refuses_the_batch};
use super::calls::counted;
use super::destination::{Destination, Rules};
use crate::crm::gate::{Entry, Permit, WorkClass};
use crate::crm::{FindRequest, Reading};
use crate::domain::ids::{LeadKey, RecordId, RecordRef};
use crate::domain::job::Class;
use crate::domain::matching::{Candidate, Candidates, MatchKeys, MatchedBy};
use crate::domain::plan::{OwnKeys, match_keys};
use crate::domain::time::Timestamp;
use crate::store::{
    DirtyMark, LinkedLead, ResyncScope, Same, SearchPlace, SearchedSpan, StoreError, StoreResult, Stranger,
};

/// How many leads a CRM is asked about at once.
const AT_ONCE: u32 = 200;
/// One in so many of a day's calls is for the search.
const SHARE_OF_CALLS: u64 = 50;
const DAY: Duration = Duration::from_secs(24 * 3600);
/// How long it may take until the gate has room.
const WAIT_FOR: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Of many records with one address so many are told, the oldest first.
const MOST_OF_ONE: usize = 3;

/// One CRM's search at work.
pub struct StrangerSearch<'d> {
    destination: &'d Destination,
    began: Timestamp,
    place: SearchPlace,
    /// Calls that a day's searches may make together.
    allowance: u64,
    /// Fewer than usual where a page was refused, so that the culprit comes to stand alone.
    at_once: u32,
    /// Leads that it went past.
    pub passed: u64,
    /// Of these, those that the CRM refuses to be asked about, or that cannot be read.
    pub left_out: u64,
    /// Records that may be the person of a lead's.
    pub suspected: u64,
}

/// What one step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The CRM was asked, and is to rest.
    Asked,
    /// There was nothing to ask about these leads.
    Passed,
    /// No lead is left; the next search begins with the first one.
    Whole,
    Stopped(Stop),
}

/// Why a CRM is not asked on; the next search goes on from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    NotDescribed,
    Closed,
    Busy,
    Spent,
    NoAnswer,
}

impl Stop {
    /// For whoever reads the run.
    pub const fn why(self) -> &'static str {
        match self {
            Stop::NotDescribed => "its schema is not read yet",
            Stop::Closed => "it is paused or closed, or keeps its calls for live leads",
            Stop::Busy => "it had no room beside other work",
            Stop::Spent => "the search made its share of the day's calls, one in fifty",
            Stop::NoAnswer => "it did not answer",
        }
    }
}

/// What asking about a page came to.
enum Answer {
    Found(Vec<Stranger>),
    /// None of these leads is a record with something to look for.
    NothingToAsk,
    /// One of the leads may be to blame.
    Refused,
    Stopped(Stop),
}

/// A lead that is a record.
struct Known {
    lead: LeadKey,
    record: RecordRef,
    keys: MatchKeys,
    has_job: bool,
}

impl<'d> StrangerSearch<'d> {
    /// From where the last one came to.
    pub async fn resume(destination: &'d Destination, began: Timestamp) -> StoreResult<Self> {
        let known = destination.store.load_search(&destination.name).await?;
        let place = known.unwrap_or(SearchPlace { after: None, since: began, calls: 0 });
        let status = destination.gate.status();
        let allowance = (status.calls_used + status.calls_left).div_ceil(SHARE_OF_CALLS);
        Ok(Self { destination, began, place, allowance, at_once: AT_ONCE, passed: 0, left_out: 0, suspected: 0 })
    }

    /// Asks about the next leads. Those that are refused together are asked about in halves, and one that is refused alone is
    /// gone past.
    pub async fn step(&mut self, scope: &ResyncScope) -> StoreResult<Step> {
        let leads = self.destination.store.leads_after(scope, self.place.after.as_ref(), self.at_once).await?;
        if leads.is_empty() {
            self.drop_settled(None).await?;
            self.place.after = None;
            self.save().await?;
            return Ok(Step::Whole);
        }
        let answer = self.ask(&leads).await?;
        let step = match &answer {
            Answer::NothingToAsk => Step::Passed,
            Answer::Stopped(stop) => Step::Stopped(*stop),
            Answer::Found(_) | Answer::Refused => Step::Asked,
        };
        match answer {
            Answer::Refused if leads.len() > 1 => self.at_once = u32::try_from(leads.len() / 2).unwrap_or(1),
            Answer::Refused => {
                self.left_out += 1;
                self.pass(&leads);
            }
            Answer::Found(strangers) => {
                self.suspected += self.destination.store.suspect_strangers(&strangers).await?;
                self.drop_settled(leads.last()).await?;
                self.pass(&leads);
            }
            Answer::NothingToAsk => {
                self.drop_settled(leads.last()).await?;
                self.pass(&leads);
            }
            Answer::Stopped(_) => {}
        }
        self.save().await?;
        Ok(step)
    }

    fn pass(&mut self, leads: &[LeadKey]) {
        self.passed += leads.len() as u64;
        self.place.after = leads.last().cloned();
        self.at_once = (self.at_once * 2).min(AT_ONCE);
    }

    async fn save(&self) -> StoreResult<()> {
        self.destination.store.save_search(&self.destination.name, &self.place).await
    }

    /// Drops what was suspected of the leads from here on, up to this one, and was not found again.
    async fn drop_settled(&self, until: Option<&LeadKey>) -> StoreResult<()> {
        let span = SearchedSpan {
            destination: self.destination.name.clone(),
            after: self.place.after.clone(),
            until: until.cloned(),
            found_before: self.began,
        };
        self.destination.store.drop_strangers(&span).await
    }

    async fn ask(&mut self, leads: &[LeadKey]) -> StoreResult<Answer> {
        let destination = self.destination;
        let Some(rules) = destination.rules() else { return Ok(Answer::Stopped(Stop::NotDescribed)) };
        let linked = match destination.store.linked_leads(&destination.name, leads).await {
            Ok(linked) => linked,
            Err(StoreError::Corrupt { .. }) => return Ok(Answer::Refused),
            Err(error) => return Err(error),
        };
        let known: Vec<Known> = linked.into_iter().filter_map(|lead| destination.known(lead, &rules)).collect();
        if known.is_empty() {
            return Ok(Answer::NothingToAsk);
        }
        if self.is_spent() {
            return Ok(Answer::Stopped(Stop::Spent));
        }
        let permit = match destination.enter_behind_all().await {
            Ok(permit) => permit,
            Err(stop) => return Ok(Answer::Stopped(stop)),
        };
        let request = FindRequest {
            request_id: new_request_id(),
            keys: known.iter().map(|known| known.keys.clone()).collect(),
            reading: Reading { companies: None, opportunities: None, ..rules.reading.clone() },
        };
        let (found, calls) = counted(destination.crm.find(&request)).await;
        permit.answered(found.as_ref().map(|_| ()));
        self.place.calls += u64::from(calls);
        match found {
            Ok(found) => destination.strangers(&known, &found, &rules, self.began).await.map(Answer::Found),
            Err(error) => {
                destination.note_error(&error);
                let is_a_lead_s = refuses_the_batch(&error);
                Ok(if is_a_lead_s { Answer::Refused } else { Answer::Stopped(Stop::NoAnswer) })
            }
        }
    }

    fn is_spent(&mut self) -> bool {
        let now = self.destination.clock.now();
        if now.since(self.place.since) >= DAY {
            (self.place.since, self.place.calls) = (now, 0);
        }
        self.place.calls >= self.allowance
    }
}

impl Destination {
    /// By what the person of a lead that is a record is looked up, beside that record.
    fn known(&self, linked: LinkedLead, rules: &Rules) -> Option<Known> {
        let LinkedLead { lead, record, has_job } = linked;
        let times = self.times_of(&lead.key.source);
        let MatchKeys { email, name_and_domain, .. } =
            match_keys(&lead, &OwnKeys::default(), None, &[], times, false, &rules.sync);
        let has_any = email.is_some() || name_and_domain.is_some();
        let keys = MatchKeys { chosen: Some(record.clone()), email, name_and_domain, ..MatchKeys::default() };
        has_any.then_some(Known { lead: lead.key, record, keys, has_job })
    }

    async fn enter_behind_all(&self) -> Result<Permit, Stop> {
        let until = Instant::now() + WAIT_FOR;
        loop {
            match self.gate.enter(WorkClass::Backfill) {
                Entry::Go(permit) => return Ok(permit),
                Entry::Busy if Instant::now() < until => tokio::time::sleep(LOOK_EVERY).await,
                Entry::Busy => return Err(Stop::Busy),
                Entry::Closed { .. } => return Err(Stop::Closed),
            }
        }
    }

    /// Which records may be the person of one of the leads. A lead whose own record did not answer is looked up again as a
    /// lead, unless something is owed or held for it anyway.
    async fn strangers(
        &self,
        known: &[Known],
        found: &[Candidates],
        rules: &Rules,
        began: Timestamp,
    ) -> StoreResult<Vec<Stranger>> {
        let is_there = |known: &Known, found: &Candidates| candidate_of(&known.record.id, found).is_some();
        let (there, gone): (Vec<_>, Vec<_>) =
            known.iter().zip(found).partition(|(known, found)| is_there(known, found));
        let is_read = |known: &Known| rules.reading.fields.contains_key(&known.record.object);
        let gone = gone.into_iter().filter(|(known, _)| !known.has_job && is_read(known));
        let leads: Vec<LeadKey> = gone.map(|(known, _)| known.lead.clone()).collect();
        if !leads.is_empty() {
            let (destination, now) = (self.name.clone(), self.clock.now());
            self.store
                .mark_dirty(&DirtyMark { destination, leads, class: Class::Backfill, now, forced: false })
                .await?;
        }
        let others: Vec<(&Known, Vec<&Candidate>)> =
            there.into_iter().map(|(known, found)| (known, others(known, found))).collect();
        let records: Vec<RecordRef> =
            others.iter().flat_map(|(_, others)| others).map(|other| other.record.reference()).collect();
        let owners = self.store.find_owners(&self.name, &records).await?;
        let owned: HashSet<RecordId> =
            records.into_iter().zip(owners).filter(|(_, owner)| owner.is_some()).map(|(record, _)| record.id).collect();
        let of_nobody = others.into_iter().flat_map(|(known, others)| {
            let others = others.into_iter().filter(|other| !owned.contains(&other.record.id)).take(MOST_OF_ONE);
            others.map(move |other| (known, other))
        });
        let stranger = |(known, other): (&Known, &Candidate)| Stranger {
            destination: self.name.clone(),
            lead: known.lead.clone(),
            record: other.record.reference(),
            same: if other.by == MatchedBy::Email { Same::Email } else { Same::NameAndDomain },
            found_at: began,
        };
        Ok(of_nobody.map(stranger).collect())
    }
}

fn candidate_of<'f>(id: &RecordId, found: &'f Candidates) -> Option<&'f Candidate> {
    found.found.iter().find(|candidate| candidate.record.id == *id)
}

/// The records that answered and are neither the lead's own nor what became of it, the oldest first.
fn others<'f>(known: &Known, found: &'f Candidates) -> Vec<&'f Candidate> {
    let mut own = vec![&known.record.id];
    while let Some(next) = own.last().and_then(|last| candidate_of(last, found)?.record.became.as_ref())
        && !own.contains(&&next.id)
    {
        own.push(&next.id);
    }
    let is_other = |hit: &&Candidate| hit.record.became.is_none() && !own.contains(&&hit.record.id);
    let mut others: Vec<&Candidate> = found.found.iter().filter(is_other).collect();
    others.sort_by_key(|hit| (hit.record.created_at, hit.record.id.clone()));
    others
}
