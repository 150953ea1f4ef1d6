//! What a store promises of one destination, as simply as it can be said: a few lists in memory.

use std::collections::BTreeMap;

use leadrelay::domain::ids::LeadKey;
use leadrelay::domain::job::{Class, Lane, MAY_LAND_FOR};
use leadrelay::domain::time::Timestamp;
use leadrelay::store::*;

const DAY: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Owed,
    Held,
    Dead,
}

#[derive(Clone, Debug)]
pub struct Job {
    pub state: State,
    pub lane: Lane,
    pub class: Class,
    pub due: Timestamp,
    pub token: Option<LeaseToken>,
    pub attempt: u32,
    pub wanted: i64,
    pub owed_since: Timestamp,
    pub first_failed: Option<Timestamp>,
    pub waiting_since: Option<Timestamp>,
    pub code: Option<String>,
    pub detail: Option<String>,
    pub suspicion: u32,
    pub forced: bool,
    pub refusal: Option<Refusal>,
    pub look_again: Option<Timestamp>,
}

pub struct Event {
    pub lead: LeadKey,
    pub sender_id: Option<String>,
    pub content_hash: [u8; 32],
    pub received_at: Timestamp,
    pub folded: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linked {
    pub record: String,
    pub owner: bool,
    pub revision: i64,
    pub linked_at: Timestamp,
}

pub struct Open {
    pub id: IntentId,
    pub lead: LeadKey,
    token: LeaseToken,
    pub stage: Stage,
}

/// What is known of an announced write.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    UnderWay,
    MayLandUntil(Timestamp),
    /// It goes when the lead was looked at once more.
    ToBeLookedAt,
}

pub struct Conflict {
    pub id: i64,
    pub lead: LeadKey,
    pub open: bool,
    pub answered: bool,
    pub revision: i64,
    pub detail: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Why {
    News,
    Asked,
    Forced,
}

#[derive(Default)]
pub struct Promises {
    pub events: Vec<Event>,
    /// Revision, and whether it is deleted.
    pub leads: BTreeMap<LeadKey, (i64, bool)>,
    pub jobs: BTreeMap<LeadKey, Job>,
    pub links: BTreeMap<LeadKey, Linked>,
    pub intents: Vec<Open>,
    pub conflicts: Vec<Conflict>,
    pub log_rows: usize,
}

impl Promises {
    /// The place of the event that this one repeats, if it does.
    pub fn accept(&mut self, event: &NewEvent) -> Option<usize> {
        let lead = LeadKey { source: event.source.clone(), id: event.lead.clone().unwrap() };
        let seen = |seen: &Event| {
            seen.sender_id.is_some() && seen.sender_id == event.sender_id && seen.content_hash == event.content_hash
        };
        if let Some(same) = self.events.iter().rposition(seen)
            && !self.events[same + 1..].iter().any(|later| later.lead == lead)
        {
            return Some(same);
        }
        self.events.push(Event {
            lead: lead.clone(),
            sender_id: event.sender_id.clone(),
            content_hash: event.content_hash,
            received_at: event.received_at,
            folded: false,
        });
        self.touch(&lead, Class::Live, event.received_at, Why::News);
        None
    }

    /// An event, a person's wish, a late write: the lead is owed.
    fn touch(&mut self, lead: &LeadKey, class: Class, now: Timestamp, why: Why) {
        let lane = self.lane(lead);
        let Some(job) = self.jobs.get_mut(lead) else {
            let new = Job {
                state: State::Owed,
                lane,
                class,
                due: now,
                token: None,
                attempt: 0,
                wanted: 1,
                owed_since: now,
                first_failed: None,
                waiting_since: None,
                code: None,
                detail: None,
                suspicion: 0,
                forced: why == Why::Forced,
                refusal: None,
                look_again: None,
            };
            self.jobs.insert(lead.clone(), new);
            return;
        };
        job.wanted += 1;
        let refused_long_ago = job.refusal.as_ref().is_some_and(|refusal| refusal.at.after(DAY) < now);
        job.forced |= why == Why::Forced || (job.state == State::Dead && refused_long_ago);
        if job.state == State::Owed {
            job.class = job.class.min(class);
            if job.token.is_none() && why != Why::News {
                job.due = job.due.min(now);
            }
        } else {
            job.owe(now);
            (job.class, job.code, job.detail, job.suspicion) = (class, None, None, 0);
        }
    }

    pub fn mark_dirty(&mut self, mark: &DirtyMark) {
        for lead in &mark.leads {
            self.touch(lead, mark.class, mark.now, if mark.forced { Why::Forced } else { Why::Asked });
        }
    }

    /// Everything that is due, in the order of keys.
    pub fn claim(&mut self, claim: &Claim) -> Vec<ClaimedJob> {
        let mut claimed = Vec::new();
        for (lead, job) in &mut self.jobs {
            if job.look_again.is_some_and(|at| at <= claim.now) {
                job.forced |= job.refusal.is_some();
                job.owe(claim.now);
            }
            if job.state != State::Owed || job.due > claim.now || (job.class == Class::Backfill && !claim.backfill) {
                continue;
            }
            let lease_expired = job.token.replace(claim.token).is_some();
            (job.due, job.attempt, job.waiting_since) = (claim.lease_ends_at, job.attempt + 1, None);
            for intent in self.intents.iter_mut().filter(|intent| lease_expired && intent.lead == *lead) {
                if intent.stage == Stage::UnderWay {
                    intent.stage = Stage::MayLandUntil(claim.now.after(MAY_LAND_FOR));
                }
            }
            claimed.push(ClaimedJob {
                lead: lead.clone(),
                lane: job.lane,
                class: job.class,
                attempt: job.attempt,
                wanted: job.wanted,
                owed_since: job.owed_since,
                first_failed_at: job.first_failed,
                last_error: job.detail.clone(),
                suspicion: job.suspicion,
                refusal: job.refusal.clone(),
                forced: job.forced,
                lease_expired,
            });
        }
        claimed
    }

    /// Whether the lease still holds, which the announcement renews.
    pub fn announce(&mut self, lead: &LeadKey, token: LeaseToken, now: Timestamp, until: Timestamp) -> bool {
        let held = self.jobs.get_mut(lead).filter(|job| job.token == Some(token) && job.due > now);
        held.map(|job| job.due = until).is_some()
    }

    pub fn announced(&mut self, id: IntentId, lead: &LeadKey, token: LeaseToken) {
        self.intents.push(Open { id, lead: lead.clone(), token, stage: Stage::UnderWay });
    }

    pub fn give_back(&mut self, back: &GiveBack) {
        if let Some(job) = self.jobs.get_mut(&back.lead).filter(|job| job.token == Some(back.token)) {
            job.token = None;
            (job.due, job.waiting_since) = (back.due_at, back.waiting_since);
            job.attempt = job.attempt.saturating_sub(1);
        }
    }

    pub fn settle(&mut self, settlement: &Settlement) -> Settled {
        let (lead, now) = (&settlement.lead, settlement.now);
        self.log_rows += settlement.log.len();
        let leased = self.jobs.get(lead).filter(|job| job.token == Some(settlement.token));
        let Some(moved) = leased.map(|job| job.wanted != settlement.wanted) else {
            self.end_intents(settlement, false);
            if settlement.wrote {
                self.touch(lead, Class::Live, now, Why::News);
            }
            return Settled::LeaseLost;
        };
        let linked = self.change_link(settlement);
        if linked {
            self.ask(settlement, moved);
        }
        self.end_intents(settlement, linked);
        if settlement.looked && linked && !moved && !matches!(settlement.end, JobEnd::Retry { .. }) {
            self.intents.retain(|intent| intent.lead != *lead || intent.stage != Stage::ToBeLookedAt);
        }
        let again = if linked { self.end_job(settlement, moved) } else { true };
        if again {
            self.owe_again(lead, now);
        }
        Settled::Recorded { again }
    }

    fn end_intents(&mut self, settlement: &Settlement, linked: bool) {
        for (id, end) in &settlement.intents {
            let mine = |intent: &Open| intent.id == *id && intent.lead == settlement.lead;
            if linked && *end == IntentEnd::Closed {
                self.intents.retain(|intent| !mine(intent));
            } else if let Some(intent) = self.intents.iter_mut().find(|intent| mine(intent)) {
                intent.stage = match end {
                    IntentEnd::Closed => Stage::ToBeLookedAt,
                    IntentEnd::OpenUntil(until) => Stage::MayLandUntil(*until),
                };
            }
        }
    }

    /// Whether the job is owed again at once.
    fn end_job(&mut self, settlement: &Settlement, moved: bool) -> bool {
        let lane = self.lane(&settlement.lead);
        let job = self.jobs.get_mut(&settlement.lead).unwrap();
        let (state, code, detail, look_again) = match &settlement.end {
            JobEnd::Retry { due_at, code, detail, failed } => {
                (job.due, job.token, job.lane) = (*due_at, None, lane);
                (job.code, job.detail) = (Some(code.clone()), Some(detail.clone()));
                job.suspicion = if settlement.wrote { 0 } else { job.suspicion };
                if *failed {
                    job.first_failed.get_or_insert(settlement.now);
                }
                return false;
            }
            JobEnd::Done => {
                (job.refusal, job.forced) = (None, false);
                if !moved {
                    self.jobs.remove(&settlement.lead);
                }
                return moved;
            }
            JobEnd::Held { code, detail, look_again_at } => (State::Held, code, detail, look_again_at),
            JobEnd::Dead { code, detail, refusal, look_again_at } => {
                (job.refusal, job.forced) = (refusal.clone(), false);
                (State::Dead, code, detail, look_again_at)
            }
        };
        if moved {
            return true;
        }
        (job.state, job.token, job.lane, job.due) = (state, None, lane, settlement.now);
        (job.code, job.detail, job.look_again) = (Some(code.clone()), Some(detail.clone()), *look_again);
        (job.suspicion, job.forced) = (0, false);
        false
    }

    /// A new debt, since the oldest event that was not folded.
    fn owe_again(&mut self, lead: &LeadKey, now: Timestamp) {
        let oldest = self.unfolded(lead).next().map(|event| event.received_at);
        let lane = self.lane(lead);
        let job = self.jobs.get_mut(lead).unwrap();
        job.owe(now);
        (job.token, job.lane, job.suspicion) = (None, lane, 0);
        (job.code, job.detail, job.owed_since) = (None, None, oldest.unwrap_or(now));
    }

    fn change_link(&mut self, settlement: &Settlement) -> bool {
        match &settlement.link {
            LinkChange::Keep => true,
            LinkChange::Put { link, planned_with } => self.put(settlement, link, *planned_with),
            LinkChange::Remove { planned_with } => {
                let is_there = self.links.get(&settlement.lead).is_some_and(|own| own.revision == *planned_with);
                is_there && self.links.remove(&settlement.lead).is_some()
            }
            LinkChange::Release { planned_with } => self.release(settlement, *planned_with),
            LinkChange::Drop { .. } => unreachable!("no settlement of these deletes a record"),
            LinkChange::PutAndRelease { link, planned_with } => {
                self.put(settlement, link, *planned_with)
                    && self.release(settlement, planned_with.map_or(1, |revision| revision + 1))
            }
        }
    }

    fn put(&mut self, settlement: &Settlement, link: &leadrelay::domain::plan::Link, planned: Option<i64>) -> bool {
        let (lead, record) = (&settlement.lead, link.record.id.as_str());
        let own = self.links.get(lead);
        if own.map(|own| own.revision) != planned {
            return false;
        }
        let (revision, linked_at) = own.map_or((1, settlement.now), |own| (own.revision + 1, own.linked_at));
        if link.owner
            && let Some(other) = self.owner(record).filter(|other| other != lead)
        {
            if !self.is_deleted(&other) {
                return false;
            }
            self.links.remove(&other);
        }
        let link = Linked { record: record.to_owned(), owner: link.owner, revision, linked_at };
        self.links.insert(lead.clone(), link);
        true
    }

    /// The oldest living sharer takes the record over, if there is one.
    fn release(&mut self, settlement: &Settlement, planned: i64) -> bool {
        let own = self.links.get(&settlement.lead).filter(|own| own.revision == planned && own.owner);
        let Some(own) = own.cloned() else { return false };
        let sharers = self.links.iter().filter(|(lead, link)| {
            link.record == own.record && !link.owner && self.leads.get(lead).is_some_and(|(_, deleted)| !deleted)
        });
        let heir = sharers.min_by_key(|(lead, link)| (link.linked_at, (*lead).clone())).map(|(lead, _)| lead.clone());
        if let Some(heir) = heir {
            self.links.remove(&settlement.lead);
            let link = self.links.get_mut(&heir).unwrap();
            (link.owner, link.revision) = (true, link.revision + 1);
            self.touch(&heir, Class::Live, settlement.now, Why::News);
            self.log_rows += 1;
        }
        true
    }

    fn ask(&mut self, settlement: &Settlement, moved: bool) {
        let lead = &settlement.lead;
        for question in &settlement.questions {
            let open = self.conflicts.iter_mut().find(|conflict| conflict.lead == *lead && conflict.open);
            if let Some(open) = open {
                if open.detail != question.detail {
                    (open.detail, open.revision) = (question.detail.clone(), open.revision + 1);
                }
            } else if !moved || !self.conflicts.iter().any(|conflict| conflict.lead == *lead && conflict.answered) {
                // The store gives the number.
                let (id, detail) = (0, question.detail.clone());
                let new = Conflict { id, lead: lead.clone(), open: true, answered: false, revision: 1, detail };
                self.conflicts.push(new);
            }
        }
        for moot in &settlement.moot {
            let mine = |conflict: &&mut Conflict| {
                conflict.id == moot.id && conflict.lead == *lead && conflict.open && conflict.revision == moot.revision
            };
            if let Some(conflict) = self.conflicts.iter_mut().find(mine) {
                (conflict.open, conflict.revision) = (false, conflict.revision + 1);
            }
        }
    }

    /// Whether the answer counts.
    pub fn answer(&mut self, id: i64, revision: i64, now: Timestamp) -> bool {
        let open = |conflict: &&mut Conflict| conflict.id == id && conflict.open && conflict.revision == revision;
        let Some(conflict) = self.conflicts.iter_mut().find(open) else { return false };
        (conflict.open, conflict.answered, conflict.revision) = (false, true, revision + 1);
        let lead = conflict.lead.clone();
        self.touch(&lead, Class::Live, now, Why::Forced);
        true
    }

    pub fn recover(&mut self, whose: LeasesOf, now: Timestamp) -> Recovered {
        let died = |token: Option<LeaseToken>| match whose {
            LeasesOf::DeadProcess => token.is_some(),
            LeasesOf::Batch(batch) => token == Some(batch),
        };
        let mut recovered = Recovered::default();
        for (lead, job) in self.jobs.iter_mut().filter(|(_, job)| died(job.token)) {
            let announced = |intent: &Open| intent.lead == *lead && intent.stage == Stage::UnderWay;
            if self.intents.iter().any(announced) {
                job.suspicion += 1;
            } else {
                job.attempt = job.attempt.saturating_sub(1);
            }
            (job.token, job.due) = (None, now);
            recovered.leases += 1;
        }
        for intent in
            self.intents.iter_mut().filter(|intent| died(Some(intent.token)) && intent.stage == Stage::UnderWay)
        {
            intent.stage = Stage::MayLandUntil(now.after(MAY_LAND_FOR));
            recovered.unknown_writes += 1;
            self.log_rows += 1;
        }
        recovered
    }

    pub fn close_late(&mut self, now: Timestamp) -> u64 {
        let mut late = Vec::new();
        for intent in &mut self.intents {
            if matches!(intent.stage, Stage::MayLandUntil(until) if until <= now) {
                intent.stage = Stage::ToBeLookedAt;
                late.push(intent.lead.clone());
            }
        }
        for lead in &late {
            self.touch(lead, Class::Live, now, Why::News);
        }
        late.len() as u64
    }

    pub fn shorten_waits(&mut self, latest: Timestamp) -> u64 {
        let waiting = self.jobs.values_mut().filter(|job| job.state == State::Owed && job.due > latest);
        waiting.map(|job| job.due = latest).count() as u64
    }

    pub fn retry_dead(&mut self, now: Timestamp) -> u64 {
        let dead = self.dead();
        for lead in &dead {
            self.touch(lead, Class::Live, now, Why::Forced);
        }
        dead.len() as u64
    }

    pub fn discard_dead(&mut self) -> u64 {
        let dead = self.dead();
        for lead in &dead {
            self.jobs.remove(lead);
            self.log_rows += 1;
        }
        dead.len() as u64
    }

    fn dead(&self) -> Vec<LeadKey> {
        let dead = self.jobs.iter().filter(|(_, job)| job.state == State::Dead);
        dead.map(|(lead, _)| lead.clone()).collect()
    }

    pub fn fold(&mut self, lead: &LeadKey, deleted: bool) {
        for event in self.events.iter_mut().filter(|event| event.lead == *lead) {
            event.folded = true;
        }
        let saved = self.leads.entry(lead.clone()).or_default();
        *saved = (saved.0 + 1, deleted);
    }

    pub fn unfolded(&self, lead: &LeadKey) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(move |event| event.lead == *lead && !event.folded)
    }

    pub fn is_deleted(&self, lead: &LeadKey) -> bool {
        self.leads.get(lead).is_some_and(|(_, deleted)| *deleted)
    }

    pub fn owner(&self, record: &str) -> Option<LeadKey> {
        let owner = self.links.iter().find(|(_, link)| link.record == record && link.owner);
        owner.map(|(lead, _)| lead.clone())
    }

    fn lane(&self, lead: &LeadKey) -> Lane {
        if self.links.contains_key(lead) { Lane::Linked } else { Lane::First }
    }
}

impl Job {
    /// Due now, as a debt that begins anew.
    fn owe(&mut self, now: Timestamp) {
        (self.state, self.due, self.attempt) = (State::Owed, now, 0);
        (self.owed_since, self.first_failed, self.look_again) = (now, None, None);
    }
}
