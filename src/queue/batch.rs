//! One batch of claimed jobs: folded, looked up, planned, announced, written, settled.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use tracing::{debug, error, warn};

use super::beside::Owed;
use super::calls::counted;
use super::destination::{Destination, Rules};
use super::fold;
use super::keys::{self, Deferred, Hold, InHand};
use super::lease::Lease;
use super::record::{A_MOMENT, A_WHILE};
use super::settle::Settling;
use super::suspects::{by_suspicion, died_alone};
use super::writes::{Call, Sent, announced_write, record_write};
use crate::clock::SinceBoot;
use crate::crm::gate::{Permit, outcome_of};
use crate::crm::{CrmError, FindRequest, OnDuplicate, WriteRequest, WriteResult};
use crate::domain::ids::{LeadKey, RequestId};
use crate::domain::lead::Lead;
use crate::domain::mapping::Owners;
use crate::domain::matching::{Candidates, MatchKeys};
use crate::domain::plan::{Link, OwnKeys, SyncPlan, match_keys, planned_link};
use crate::store::{
    Announced, AnnouncedWrite, Announcement, ClaimedJob, IntentId, JobEnd, LeaseToken, LeasesOf, NewLogRow,
    StoreResult, Work,
};

/// Why a lead is held that cannot be planned.
pub(super) const INTERNAL_ERROR: &str = "internal_error";

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
    pub own: OwnKeys,
    /// By which its record is looked up.
    pub keys: MatchKeys,
    /// What the batch holds for it.
    pub in_hand: Vec<String>,
}

/// A member with its plan.
pub(super) struct Planned {
    pub member: Member,
    pub plan: SyncPlan,
    /// How its write meets the CRM's own duplicate rules.
    pub duplicates: OnDuplicate,
    /// Whether the CRM's assignment rules may choose the owner of a new record.
    pub assigns: bool,
    /// What this attempt did before its last call, refused calls among it, with what was announced: logged with that one.
    pub before: Vec<(Option<IntentId>, NewLogRow)>,
    /// Calls of this attempt in which a duplicate rule refused it and that another one followed: what was announced, and what
    /// the call cost, until a row tells of that.
    pub asked: Vec<(IntentId, u32)>,
    /// What was not written beside the person's record and is to be tried again.
    pub owed: Option<Owed>,
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
        let jobs = self.hold_of_unknown_sources(jobs).await?;
        let settling = Settling { batch: &self, leads: 1, lookup_calls: 0 };
        self.settle(poison.iter().map(|job| settling.poisoned(job)).collect(), &self.lease).await?;
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

    /// Folds the leads' events and takes their keys in hand; leads whose key another one has wait.
    async fn load(&mut self, jobs: Vec<ClaimedJob>, deferred: &mut Deferred) -> StoreResult<Vec<Member>> {
        let (mut members, mut wants, mut excluded) = (Vec::new(), Vec::new(), Vec::new());
        for (n, (job, lead, work)) in
            fold::load_folded(&self.destination, jobs, |job| &job.lead).await?.into_iter().enumerate()
        {
            let_others_run(n).await;
            let own = self.destination.own_keys(&work);
            let times = self.destination.times_of(&job.lead.source);
            let link = planned_link(work.link.as_ref(), &work.resolutions);
            let keys = match_keys(&lead, &own, link, &work.resolutions, times, job.forced, &self.rules.sync);
            let in_hand = keys::of_lead(&keys);
            let member = Member { job, lead, work, own, keys, in_hand: in_hand.clone() };
            if member.work.excluded {
                excluded.push(member);
                continue;
            }
            wants.push(in_hand);
            members.push(member);
        }
        self.leave_excluded(excluded).await?;
        let members = self.reserve(members, wants, deferred, |member| member.job).await?;
        let members = self.reserve_companies(members, deferred).await?;
        self.without_doubtful(members).await
    }

    /// Takes in hand what each one wants; whose wants another one has in hand is deferred.
    pub(super) async fn reserve<T>(
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
        let mut keys: Vec<MatchKeys> = members.iter().map(|member| member.keys.clone()).collect();
        let known: Vec<Owners> = keys.iter_mut().map(|keys| destination.owners.take_known(&mut keys.owners)).collect();
        let request = FindRequest { request_id: new_request_id(), keys, reading: self.rules.reading.clone() };
        let mut found = destination.crm.find(&request).await;
        for (found, known) in found.iter_mut().flatten().zip(&known) {
            destination.owners.keep(&found.owners);
            found.owners.extend(known);
        }
        self.permit.answered(found.as_ref().map(|_| ()));
        if let Err(error) = &found {
            destination.note_error(error);
        }
        report.drift |= matches!(found, Err(CrmError::SchemaDrift { .. }));
        found
    }

    /// Writes what the plans say, in one call, and settles everything.
    pub(super) async fn carry_out(
        &mut self,
        mut planned: Vec<Planned>,
        lookup_calls: u32,
        report: &mut Report,
    ) -> StoreResult<()> {
        self.without_refused_companies(&mut planned);
        let companies = self.company_tasks(&planned).await?;
        let opportunities = self.opportunity_fills(&planned).await?;
        let settling = Settling { batch: self, leads: u32::try_from(planned.len()).unwrap_or(u32::MAX), lookup_calls };
        self.fill_opportunities(&mut planned, opportunities, &settling, report).await?;
        let planned = self.with_companies(planned, companies, &settling, report).await?;
        let (mut writing, mut settlements) = (Vec::new(), Vec::new());
        for mut planned in planned {
            // The field that points to the company is known only now.
            planned.plan = self.without_known(&planned.member, planned.plan);
            if planned.plan.writes() && !self.destination.observes() && !settling.is_known_refusal(&planned) {
                writing.push(planned);
            } else {
                settlements.push(settling.without_write(planned));
            }
        }
        self.settle(settlements, &self.lease).await?;
        let mut parts = vec![writing];
        while let Some(part) = parts.pop() {
            if part.is_empty() {
                continue;
            }
            let (sent, lost) = self.announce_and_write(part, report).await?;
            self.leave(lost, &settling).await?;
            let Some(mut sent) = sent else { continue };
            if sent.planned.len() > 1 && sent.is_refused_as_a_whole() {
                warn!(destination = %self.destination.name, leads = sent.planned.len(), "the CRM refused a batch as a whole; trying it in halves");
                settling.note_refused_batch(&mut sent);
                let half = sent.planned.split_off(sent.planned.len() / 2);
                parts.extend([half, sent.planned]);
                continue;
            }
            let lease = sent.call.lease;
            let (settlements, again) = settling.after_write(sent);
            let refused = settlements.iter().any(|settlement| matches!(settlement.end, JobEnd::Dead { .. }));
            self.settle(settlements, &lease).await?;
            if refused {
                // It may have come to light while these were being settled.
                self.destination.gate.pardon_late();
            }
            self.pardon().await?;
            let (again, unassigned) = again.into_iter().partition(|planned| planned.assigns);
            parts.extend([again, unassigned]);
        }
        Ok(())
    }

    /// Announces and writes; answers besides the leads of which the lease or a key is lost.
    async fn announce_and_write(
        &self,
        planned: Vec<Planned>,
        report: &mut Report,
    ) -> StoreResult<(Option<Sent>, Vec<Planned>)> {
        let destination = &self.destination;
        let writes = planned.iter().map(|planned| announced_write(planned, &self.rules.fingerprint)).collect();
        let (announcement, lease, announced) = self.announce(writes).await?;
        let (mut kept, mut intents, mut lost) = (Vec::new(), Vec::new(), Vec::new());
        for ((mut planned, write), announced) in planned.into_iter().zip(announcement.writes).zip(announced) {
            let Some(Announced { intent, linked }) = announced else {
                lost.push(planned);
                continue;
            };
            if let (Some((link, _)), Some(revision)) = (write.known, linked) {
                planned.member.work.link = Some(Link { revision, ..link });
            }
            kept.push(planned);
            intents.push(intent);
        }
        if kept.is_empty() {
            return Ok((None, lost));
        }
        let request = WriteRequest {
            request_id: announcement.request_id,
            writes: kept.iter().map(record_write).collect(),
            reading: self.rules.reading.clone(),
            auto_assign: kept.iter().all(|planned| planned.assigns),
            // No call is sent with less than its time-out left on the lease.
            send_until: lease.until.before(destination.settings.timeout),
        };
        debug!(destination = %destination.name, leads = kept.len(), request.id = %request.request_id, "writing {} leads", kept.len());
        let (results, calls) = self.send(&request, report).await;
        let call = Call { request_id: request.request_id, sent_at: announcement.now, lease, calls };
        Ok((Some(Sent { call, planned: kept, intents, results }), lost))
    }

    /// Renews the lease of these writes' leads and commits what is about to be written; answers for each whether it may be.
    pub(super) async fn announce(
        &self,
        writes: Vec<AnnouncedWrite>,
    ) -> StoreResult<(Announcement, Lease, Vec<Option<Announced>>)> {
        let destination = &self.destination;
        let (at, now) = (SinceBoot::now(), destination.clock.now());
        let lease = Lease::new(now, at, destination.settings.lease);
        let announcement = Announcement {
            destination: destination.name.clone(),
            token: self.token,
            now,
            lease_ends_at: lease.ends_at,
            request_id: new_request_id(),
            writes,
        };
        let announced = destination.store.announce(&announcement).await?;
        Ok((announcement, lease, announced))
    }

    /// Sends writes, and says how many calls that made; the gate hears of it.
    pub(super) async fn send(&self, request: &WriteRequest, report: &mut Report) -> (Vec<WriteResult>, u32) {
        let (results, calls) = counted(self.destination.crm.write(request)).await;
        let outcome = outcome_of(&results);
        if !outcome.is_err_and(CrmError::is_too_late) {
            self.permit.answered(outcome);
        }
        if let Err(error) = outcome {
            self.destination.note_error(error);
        }
        report.drift |= results.iter().any(|result| matches!(result.outcome, Err(CrmError::SchemaDrift { .. })));
        (results, calls)
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
        self.settle(settlements, &self.lease).await?;
        self.give_back(waiting, A_MOMENT, Some(error)).await
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
pub(super) fn refuses_the_batch(error: &CrmError) -> bool {
    matches!(error, CrmError::Refused { .. } | CrmError::Unfamiliar { .. } | CrmError::Collateral { .. })
}

pub(super) fn new_request_id() -> RequestId {
    RequestId::new(uuid::Uuid::now_v7().to_string())
}
