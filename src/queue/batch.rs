//! One batch of claimed jobs: folded, looked up, planned, announced, written, settled.

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tracing::{debug, error, warn};

use super::calls::counted;
use super::destination::{Destination, Rules};
use super::fold;
use super::keys::{self, Deferred, Hold, InHand};
use super::lease::Lease;
use super::left_out::without_known;
use super::settle::Settling;
use super::suspects::{by_suspicion, died_alone};
use super::verdict::after_the_probe;
use super::writes::{Call, Sent, announced_write, record_write};
use crate::crm::gate::{Pardon, Permit, outcome_of};
use crate::crm::{CrmError, FindRequest, WriteRequest};
use crate::domain::ids::{LeadKey, RecordRef, RequestId};
use crate::domain::lead::Lead;
use crate::domain::matching::{Candidates, MatchKeys};
use crate::domain::plan::{Action, Link, Owner, PlanInput, SyncPlan, create_keys, match_keys, plan_sync, planned_link};
use crate::store::{
    Announced, Announcement, ClaimedJob, GiveBack, IntentId, JobEnd, LeaseToken, LeasesOf, NewLogRow, Pardoned,
    RecordOwner, Settlement, StoreError, StoreResult, Work,
};

/// Why a lead is held that cannot be planned.
pub(super) const INTERNAL_ERROR: &str = "internal_error";

/// Whoever waits for a neighbour in flight waits a moment, so that it is not asked for again and again.
const A_MOMENT: Duration = Duration::from_millis(20);
/// The same for a neighbour in another process: its end is not seen from here, and it may have died.
const A_WHILE: Duration = Duration::from_millis(200);

/// Jobs that one worker has leased together.
pub(super) struct Batch {
    pub destination: Arc<Destination>,
    pub rules: Arc<Rules>,
    pub token: LeaseToken,
    pub lease: Lease,
    /// The keys and records in hand; given back with the batch.
    pub hold: Hold,
    pub permit: Permit,
}

/// One lead of the batch with all that planning needs but what the CRM holds.
pub(super) struct Member {
    pub job: ClaimedJob,
    pub lead: Lead,
    pub work: Work,
    pub external_id: String,
    /// By which its record is looked up.
    pub keys: MatchKeys,
}

impl Member {
    fn planned_link(&self) -> Option<&Link> {
        planned_link(self.work.link.as_ref(), &self.work.resolutions)
    }
}

/// A member with its plan.
pub(super) struct Planned {
    pub member: Member,
    pub plan: SyncPlan,
    /// Calls of this attempt that were refused before the last one: logged with it.
    pub refused_calls: Vec<(IntentId, NewLogRow)>,
}

/// What the batch as a whole says of the CRM and of the queue.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// Per lead: done, or refused with a code.
    pub leads: Vec<(LeadKey, Result<(), String>)>,
    /// Set if the CRM no longer has a field that was asked for.
    pub drift: bool,
    /// Jobs that were given back at once, since a neighbour had their person or record in hand.
    pub deferred: usize,
}

impl Batch {
    /// Pays the debts of these jobs, or settles why not. Every job is settled or given back, whatever happens outside.
    ///
    /// After a panic the jobs are due again at once, those that had announced as suspects.
    pub async fn run(self, jobs: Vec<ClaimedJob>) -> StoreResult<Report> {
        let (destination, token) = (Arc::clone(&self.destination), self.token);
        match AssertUnwindSafe(self.pay(jobs)).catch_unwind().await {
            Ok(paid) => paid,
            Err(_) => {
                error!(destination = %destination.name, "a batch of {} failed inside leadrelay; its leads are tried again, in halves where they were being written", destination.name);
                destination.store.recover_leases(LeasesOf::Batch(token), destination.clock.now()).await?;
                Ok(Report::default())
            }
        }
    }

    async fn pay(mut self, jobs: Vec<ClaimedJob>) -> StoreResult<Report> {
        let mut report = Report::default();
        let mut deferred = Deferred::default();
        let (poison, jobs): (Vec<ClaimedJob>, _) = jobs.into_iter().partition(|job| died_alone(job.suspicion));
        let settling = Settling { batch: &self, leads: 1, lookup_calls: 0 };
        self.settle(poison.iter().map(|job| settling.poisoned(job)).collect()).await?;
        for chunk in by_suspicion(jobs) {
            let members = self.load(chunk, &mut deferred).await?;
            self.sync(members, &mut deferred, &mut report).await?;
        }
        report.deferred = deferred.here.len() + deferred.elsewhere.len();
        // What waited for a neighbour is owed as before; its next batch finds the neighbour's record.
        self.give_back(deferred.here, A_MOMENT, None).await?;
        self.give_back(deferred.elsewhere, A_WHILE, None).await?;
        self.permit.settled(
            report.leads.iter().map(|(lead, outcome)| (lead, outcome.as_ref().copied().map_err(String::as_str))),
        );
        self.pardon().await?;
        self.hold.release().await;
        Ok(report)
    }

    /// Owes again what was refused by the CRM's fault, as came to light since; it comes after the leads not refused yet.
    async fn pardon(&self) -> StoreResult<()> {
        let Destination { name, gate, store, clock, .. } = &*self.destination;
        for Pardon { code, since } in gate.take_pardons() {
            let due_at = gate.refuses_all().map_or_else(|| clock.now(), |(_, until)| after_the_probe(until));
            let pardoned = Pardoned { destination: name.clone(), code, since, due_at };
            let leads = store.owe_refused_again(&pardoned).await?;
            if leads > 0 {
                let code = &pardoned.code;
                warn!(destination = %name, code, leads, "{name} refuses most leads with {code}, so that is not the leads' fault: {leads} dead letters of it are owed again");
            }
        }
        Ok(())
    }

    /// Folds the leads' events and takes their keys in hand; leads whose key another one has wait.
    async fn load(&mut self, jobs: Vec<ClaimedJob>, deferred: &mut Deferred) -> StoreResult<Vec<Member>> {
        let (mut members, mut wants) = (Vec::new(), Vec::new());
        for (n, (job, lead, work)) in fold::load_folded(&self.destination, jobs).await?.into_iter().enumerate() {
            let_others_run(n).await;
            let external_id = self.destination.settings.external_id_value.value_for(&job.lead);
            let times = self.destination.times_of(&job.lead.source);
            let link = planned_link(work.link.as_ref(), &work.resolutions);
            let keys = match_keys(&lead, &external_id, link, &work.resolutions, times, &self.rules.sync);
            wants.push(keys::of_lead(&keys));
            members.push(Member { job, lead, work, external_id, keys });
        }
        let members = self.reserve(members, wants, deferred, |member| member.job).await?;
        self.without_doubtful(members).await
    }

    /// Takes in hand what each one wants; whose wants another one has in hand is deferred.
    async fn reserve<T>(
        &mut self,
        all: Vec<T>,
        wants: Vec<Vec<String>>,
        deferred: &mut Deferred,
        job: impl Fn(T) -> ClaimedJob,
    ) -> StoreResult<Vec<T>> {
        let (now, until) = (self.destination.clock.now(), self.lease.ends_at);
        let answers = self.hold.reserve(wants, now, until).await?;
        let mut ours = Vec::with_capacity(all.len());
        for (one, whose) in all.into_iter().zip(answers) {
            match whose {
                InHand::Ours => ours.push(one),
                InHand::Neighbours | InHand::Elsewhere => deferred.add(job(one), whose),
            }
        }
        Ok(ours)
    }

    /// Gives back new leads that may be a person whose record another lead's create, of which no answer came, may still
    /// make: it would not be found yet. They wait until that lead has its record, or its create can no longer land.
    async fn without_doubtful(&self, members: Vec<Member>) -> StoreResult<Vec<Member>> {
        if members.iter().all(|member| member.keys.linked.is_some()) {
            return Ok(members);
        }
        // Asked after the keys were taken in hand: from now on no other batch creates these people.
        let mut doubtful: HashMap<String, Vec<LeadKey>> = HashMap::new();
        let Destination { name, store, clock, in_flight, .. } = &*self.destination;
        for create in store.find_open_creates(name, &in_flight.at_work(), clock.now()).await? {
            for key in keys::of_lead(&create_keys(&create.rows, &self.rules.sync)) {
                doubtful.entry(key).or_default().push(create.lead.clone());
            }
        }
        let waits = |member: &Member| {
            let others = keys::of_lead(&member.keys).into_iter().filter_map(|key| doubtful.get(&key)).flatten();
            others.into_iter().any(|lead| *lead != member.job.lead)
        };
        let (waiting, members): (Vec<Member>, _) = members.into_iter().partition(waits);
        let waiting = waiting.into_iter().map(|member| member.job).collect();
        self.give_back(waiting, self.destination.settings.retry.first, None).await?;
        Ok(members)
    }

    /// Looks up, plans and carries out. A batch that the CRM refuses as a whole is halved until the culprit stands alone.
    async fn sync(&mut self, members: Vec<Member>, deferred: &mut Deferred, report: &mut Report) -> StoreResult<()> {
        let mut parts = vec![self.without_left_alone(members, report).await?];
        while let Some(mut part) = parts.pop() {
            if part.is_empty() {
                continue;
            }
            let (found, lookup_calls) = counted(self.find(&part, report)).await;
            let found = match found {
                Ok(found) => found,
                Err(error) if refuses_the_batch(&error) && part.len() > 1 => {
                    let half = part.split_off(part.len() / 2);
                    parts.extend([half, part]);
                    continue;
                }
                Err(error) => {
                    if !refuses_the_batch(&error) {
                        // No lead's fault: the others would meet the same trouble.
                        part.extend(parts.drain(..).flatten());
                    }
                    self.settle_all_failed(part, lookup_calls, &error, report).await?;
                    continue;
                }
            };
            let planned = self.plan(part, &found, deferred).await?;
            self.carry_out(planned, lookup_calls, report).await?;
        }
        Ok(())
    }

    async fn find(&self, members: &[Member], report: &mut Report) -> Result<Vec<Candidates>, CrmError> {
        self.ensure_time_for_a_call()?;
        let destination = &self.destination;
        let keys = members.iter().map(|member| member.keys.clone()).collect();
        let request = FindRequest { request_id: new_request_id(), keys, reading: self.rules.reading.clone() };
        let found = destination.crm.find(&request).await;
        self.permit.answered(found.as_ref().map(|_| ()));
        if let Err(error) = &found {
            destination.note_error(error);
        }
        report.drift |= matches!(found, Err(CrmError::SchemaDrift { .. }));
        found
    }

    /// Plans each lead; a lead whose record another one has in hand waits.
    async fn plan(
        &mut self,
        members: Vec<Member>,
        found: &[Candidates],
        deferred: &mut Deferred,
    ) -> StoreResult<Vec<Planned>> {
        let records: Vec<RecordRef> = found
            .iter()
            .flat_map(|candidates| &candidates.found)
            .map(|candidate| candidate.record.reference())
            .collect();
        let owners = self.destination.store.find_owners(&self.destination.name, &records).await?;
        let owner = |RecordOwner { lead, deleted }| Owner {
            external_id: self.destination.settings.external_id_value.value_for(&lead),
            lead,
            deleted,
        };
        let owner_of: BTreeMap<&RecordRef, Owner> =
            records.iter().zip(owners).filter_map(|(record, found)| Some((record, owner(found?)))).collect();
        let records_of = |member: &Member, found: &Candidates| {
            let mut records: Vec<String> =
                found.found.iter().map(|candidate| keys::of_record(&candidate.record.reference())).collect();
            let own = member.keys.linked.as_ref().or(member.keys.chosen.as_ref()).map(keys::of_record);
            records.retain(|record| Some(record) != own.as_ref());
            records.dedup();
            records
        };
        let members: Vec<(Member, &Candidates)> = members.into_iter().zip(found).collect();
        let wants = members.iter().map(|(member, found)| records_of(member, found)).collect();
        let members = self.reserve(members, wants, deferred, |(member, _)| member.job).await?;
        let mut planned = Vec::with_capacity(members.len());
        for (n, (member, found)) in members.into_iter().enumerate() {
            let_others_run(n).await;
            let plan = self.plan_one(&member, found, &|record| owner_of.get(record).cloned());
            // Who asked for it knows of something that could matter and that we cannot see.
            let plan = match member.job.forced {
                true => plan,
                false => without_known(plan, member.work.link.as_ref(), &self.rules.fingerprint),
            };
            planned.push(Planned { member, plan, refused_calls: Vec::new() });
        }
        Ok(planned)
    }

    pub(super) fn plan_one(
        &self,
        member: &Member,
        found: &Candidates,
        owner_of: &dyn Fn(&RecordRef) -> Option<Owner>,
    ) -> SyncPlan {
        let input = PlanInput {
            lead: &member.lead,
            external_id: &member.external_id,
            times: self.destination.times_of(&member.lead.key.source),
            link: member.planned_link(),
            intents: &member.work.intents,
            answers: &member.work.resolutions,
            found,
            owner_of,
        };
        catch_unwind(AssertUnwindSafe(|| plan_sync(&input, &self.rules.sync))).unwrap_or_else(|_| {
            error!(lead.id = %member.lead.key.id, "planning lead {} failed inside leadrelay; it is held", member.lead.key.id);
            SyncPlan::without_record(Action::Hold {
                code: INTERNAL_ERROR,
                detail: "planning this lead failed inside leadrelay; please report it".to_owned(),
            })
        })
    }

    /// Writes what the plans say, in one call, and settles everything.
    pub(super) async fn carry_out(
        &self,
        planned: Vec<Planned>,
        lookup_calls: u32,
        report: &mut Report,
    ) -> StoreResult<()> {
        let settling = Settling { batch: self, leads: u32::try_from(planned.len()).unwrap_or(u32::MAX), lookup_calls };
        let (mut writing, mut settlements) = (Vec::new(), Vec::new());
        for planned in planned {
            let writes = matches!(planned.plan.action, Action::Create { .. } | Action::Update { .. });
            if writes && !self.destination.observes() && !settling.is_known_refusal(&planned) {
                writing.push(planned);
            } else {
                settlements.push(settling.without_write(planned));
            }
        }
        self.settle(settlements).await?;
        let mut parts = vec![writing];
        while let Some(part) = parts.pop() {
            if part.is_empty() {
                continue;
            }
            let Some(mut sent) = self.announce_and_write(part, report).await? else { continue };
            if sent.planned.len() > 1 && sent.is_refused_as_a_whole() {
                warn!(destination = %self.destination.name, leads = sent.planned.len(), "the CRM refused a batch as a whole; trying it in halves");
                settling.note_refused_batch(&mut sent);
                let half = sent.planned.split_off(sent.planned.len() / 2);
                parts.extend([half, sent.planned]);
                continue;
            }
            let (settlements, again) = settling.after_write(sent);
            let refused = settlements.iter().any(|settlement| matches!(settlement.end, JobEnd::Dead { .. }));
            self.settle(settlements).await?;
            if refused {
                // It may have come to light while these were being settled.
                self.destination.gate.pardon_late();
            }
            self.pardon().await?;
            parts.push(again);
        }
        Ok(())
    }

    /// Announces and writes; leads whose lease is lost are left to whoever has it now.
    async fn announce_and_write(&self, planned: Vec<Planned>, report: &mut Report) -> StoreResult<Option<Sent>> {
        let destination = &self.destination;
        let request_id = new_request_id();
        let (at, now) = (Instant::now(), destination.clock.now());
        let lease = Lease::new(now, at, destination.settings.lease);
        let announcement = Announcement {
            destination: destination.name.clone(),
            token: self.token,
            now,
            lease_ends_at: lease.ends_at,
            request_id: request_id.clone(),
            writes: planned.iter().map(|planned| announced_write(planned, &self.rules.fingerprint)).collect(),
        };
        let announced = destination.store.announce(&announcement).await?;
        let (mut kept, mut intents) = (Vec::new(), Vec::new());
        for ((mut planned, write), announced) in planned.into_iter().zip(announcement.writes).zip(announced) {
            let Some(Announced { intent, linked }) = announced else { continue };
            if let (Some((link, _)), Some(revision)) = (write.known, linked) {
                planned.member.work.link = Some(Link { revision, ..link });
            }
            kept.push(planned);
            intents.push(intent);
        }
        if kept.is_empty() {
            return Ok(None);
        }
        let request = WriteRequest {
            request_id,
            writes: kept.iter().map(record_write).collect(),
            reading: self.rules.reading.clone(),
            auto_assign: destination.settings.auto_assign,
            // No call is sent with less than its time-out left on the lease.
            send_until: lease.until.checked_sub(destination.settings.timeout).unwrap_or(at),
        };
        debug!(destination = %destination.name, leads = kept.len(), request.id = %request.request_id, "writing {} leads", kept.len());
        let (results, calls) = counted(destination.crm.write(&request)).await;
        let outcome = outcome_of(&results);
        if !outcome.is_err_and(CrmError::is_too_late) {
            self.permit.answered(outcome);
        }
        if let Err(error) = outcome {
            destination.note_error(error);
        }
        report.drift |= results.iter().any(|result| matches!(result.outcome, Err(CrmError::SchemaDrift { .. })));
        let call = Call { request_id: request.request_id, sent_at: now, calls };
        Ok(Some(Sent { call, planned: kept, intents, results }))
    }

    /// No call is sent with less than its time-out left on the lease.
    fn ensure_time_for_a_call(&self) -> Result<(), CrmError> {
        if self.lease.left(self.destination.clock.now()) < self.destination.settings.timeout {
            return Err(CrmError::too_late());
        }
        Ok(())
    }

    async fn settle_all_failed(
        &self,
        members: Vec<Member>,
        lookup_calls: u32,
        error: &CrmError,
        report: &mut Report,
    ) -> StoreResult<()> {
        let settling = Settling { batch: self, leads: u32::try_from(members.len()).unwrap_or(u32::MAX), lookup_calls };
        let (mut settlements, mut waiting) = (Vec::new(), Vec::new());
        for member in members {
            match settling.after_failed_lookup(&member, error, report) {
                Some(settlement) => settlements.push(settlement),
                None => waiting.push(member.job),
            }
        }
        self.settle(settlements).await?;
        self.give_back(waiting, A_MOMENT, Some(error)).await
    }

    pub(super) async fn settle(&self, settlements: Vec<Settlement>) -> StoreResult<()> {
        if settlements.is_empty() {
            return Ok(());
        }
        self.tell_retries(&settlements);
        let leads: Vec<_> = settlements.iter().map(|settlement| settlement.lead.clone()).collect();
        let settled = self.destination.store.settle(settlements).await;
        let failed = leads.iter().zip(settled).filter_map(|(lead, settled)| Some((lead, settled.err()?)));
        let failed: Vec<_> = failed.collect();
        // Their leases run out and they are planned again; what was written is found by its intent.
        if let Some((lead, error)) = failed.first() {
            let (name, leads, example) = (&self.destination.name, failed.len(), format!("{}/{}", lead.source, lead.id));
            let reason = error.reason();
            if matches!(error, StoreError::Unavailable(_)) {
                warn!(destination = %name, leads, "what was done for {leads} leads of {name} could not be recorded, e.g. {example}: {reason}; they are looked up and planned again when their lease ends, and nothing need be done");
            } else {
                error!(destination = %name, leads, "what was done for {leads} leads of {name} could not be recorded, e.g. {example}: {reason}; they are looked up and planned again when their lease ends");
            }
        }
        Ok(())
    }

    /// Owed as before, and due again after `wait`; behind a closed gate nothing claims them.
    async fn give_back(&self, jobs: Vec<ClaimedJob>, wait: Duration, closed_by: Option<&CrmError>) -> StoreResult<()> {
        if jobs.is_empty() {
            return Ok(());
        }
        let now = self.destination.clock.now();
        let back: Vec<GiveBack> = jobs
            .into_iter()
            .map(|job| GiveBack {
                destination: self.destination.name.clone(),
                lead: job.lead,
                token: self.token,
                due_at: now.after(wait),
                waiting_since: closed_by.map(|_| now),
            })
            .collect();
        self.destination.store.give_back(&back).await
    }
}

/// Lets webhooks in between, which wait for the same threads: every so many leads, since each takes some 0.1 ms.
pub(super) async fn let_others_run(leads_done: usize) {
    const AT_ONCE: usize = 8;
    if leads_done % AT_ONCE == AT_ONCE - 1 {
        tokio::task::yield_now().await;
    }
}

/// Whether the error may be the doing of one lead in the batch.
fn refuses_the_batch(error: &CrmError) -> bool {
    matches!(error, CrmError::Refused { .. } | CrmError::Unfamiliar { .. } | CrmError::Collateral { .. })
}

fn new_request_id() -> RequestId {
    RequestId::new(uuid::Uuid::now_v7().to_string())
}
