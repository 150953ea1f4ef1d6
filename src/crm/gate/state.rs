//! The gate as a state machine without a clock: everything is told the time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::budget::{Budget, BudgetSnapshot, OrgUse};
use super::circuit::Circuit;
use super::elsewhere::{Closing, Elsewhere, Neighbour};
use super::refusals::{COUNTS_FOR, Refusals};
use super::spans::Spans;
use super::{Batch, GateDecision, GateReason, GateSettings, GateStatus, Pardon, Pause, WorkClass};
use crate::crm::{Call, CrmError};
use crate::domain::ids::{LeadKey, ObjectName};
use crate::domain::matching::KeyField;
use crate::domain::time::Timestamp;

/// Failures in a row after which the CRM is left alone for a while.
const FAILURES_IN_A_ROW: u32 = 3;
/// What a batch is expected to need: a lookup and a write.
const CALLS_PER_BATCH: u64 = 2;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// Whether work may go to one destination now, and what of it.
#[derive(Debug)]
pub struct GateState {
    settings: GateSettings,
    live: usize,
    backfill: usize,
    probing: bool,
    budget: Budget,
    org: OrgUse,
    /// Set while the organisation's use keeps us out.
    org_stopped: Option<Timestamp>,
    failures: u32,
    breaker: Circuit<GateReason>,
    throttle: Circuit<()>,
    /// The CRM itself says that the day's allowance is used up.
    allowance: Circuit<String>,
    /// The CRM does not say what fields it has, and a person must see to it.
    undescribed: Circuit<GateReason>,
    systemic: Circuit<Arc<str>>,
    refusals: Refusals,
    pardons: Vec<Pardon>,
    drift: BTreeSet<KeyField>,
    pause: Option<Pause>,
    /// How many orders of people were taken.
    orders: u64,
    elsewhere: Elsewhere,
    /// The kind of trouble that we have found ourselves, and the others are told of.
    own_trouble: Option<(&'static str, Timestamp)>,
    spans: Spans,
}

impl GateState {
    /// An open gate that has made the calls of `budget`.
    pub fn new(settings: GateSettings, budget: &BudgetSnapshot) -> Self {
        Self {
            settings,
            live: 0,
            backfill: 0,
            probing: false,
            budget: Budget::restore(budget),
            org: OrgUse::default(),
            org_stopped: None,
            failures: 0,
            breaker: Circuit::new(SECOND, 5 * MINUTE),
            throttle: Circuit::new(SECOND, 5 * MINUTE),
            allowance: Circuit::new(15 * MINUTE, 30 * MINUTE),
            undescribed: Circuit::new(SECOND, 5 * MINUTE),
            systemic: Circuit::new(MINUTE, 15 * MINUTE),
            refusals: Refusals::default(),
            pardons: Vec::new(),
            drift: BTreeSet::new(),
            pause: None,
            orders: 0,
            elsewhere: Elsewhere::default(),
            own_trouble: None,
            spans: Spans::default(),
        }
    }

    /// Whether a batch of this class may go now. `Open` and `Probe` hand out a permit; [`Self::release`] takes it back.
    pub fn decide(&mut self, now: Timestamp, class: WorkClass) -> GateDecision {
        self.note_closing(now);
        if let Some((why, until)) = self.shut(now, class) {
            return GateDecision::Closed { until, why };
        }
        let backfill_limit = self.settings.concurrency.saturating_sub(1).max(1);
        let full = self.live + self.backfill >= self.settings.concurrency.max(1);
        let backfill_full = class == WorkClass::Backfill && self.backfill >= backfill_limit;
        if full || backfill_full || self.is_spoken_for(now, class) {
            return GateDecision::Busy;
        }
        let probe = self.probe_wanted(now);
        if probe.is_some() {
            if self.probing {
                return GateDecision::Busy;
            }
            self.probing = true;
        }
        match class {
            WorkClass::Live => self.live += 1,
            WorkClass::Backfill => self.backfill += 1,
        }
        probe.map_or(GateDecision::Open, |batch| GateDecision::Probe { batch })
    }

    /// Takes a permit back, whatever became of its batch.
    pub fn release(&mut self, now: Timestamp, class: WorkClass, probe: Option<Batch>) {
        match class {
            WorkClass::Live => self.live = self.live.saturating_sub(1),
            WorkClass::Backfill => self.backfill = self.backfill.saturating_sub(1),
        }
        if probe.is_some() {
            self.probing = false;
        }
        self.note_closing(now);
    }

    /// Hears how a lookup or a write ended as a whole; a record that was refused is an answer like any other.
    pub fn answered(&mut self, now: Timestamp, probe: Option<Batch>, outcome: Result<(), &CrmError>, jitter: f64) {
        match outcome {
            Err(CrmError::Throttled { retry_after, .. }) => {
                self.throttle.trip(now, (), retry_after.unwrap_or_default(), jitter);
            }
            Err(CrmError::BudgetSpent { code, until }) => {
                let at_least = until.map_or(Duration::ZERO, |until| until.since(now));
                self.allowance.trip(now, code.clone(), at_least, jitter);
            }
            // A field that a lookup names, or a right that it lacks, is nothing that a single lead could have wrong.
            Err(
                error @ (CrmError::Unavailable { .. }
                | CrmError::Unknown { .. }
                | CrmError::Unauthorised { .. }
                | CrmError::Operator { .. }
                | CrmError::SchemaDrift { .. }),
            ) => {
                self.failures = self.failures.saturating_add(1);
                if probe.is_some() || self.failures >= FAILURES_IN_A_ROW {
                    self.breaker.trip(now, GateReason::of_failure(error), Duration::ZERO, jitter);
                }
            }
            // Its halves will tell.
            Err(CrmError::Collateral { .. }) => {}
            Ok(()) | Err(_) => {
                self.failures = 0;
                self.breaker.open();
                // What was under way before the CRM asked for a pause does not end the pause.
                if self.throttle.is_half_open(now) {
                    self.throttle.open();
                }
                if self.allowance.is_half_open(now) {
                    self.allowance.open();
                }
            }
        }
        self.note_closing(now);
    }

    /// Hears how a describe ended. What passes by itself is [`Self::answered`]'s to judge; anything else closes at once.
    pub fn described(&mut self, now: Timestamp, outcome: Result<(), (&ObjectName, &CrmError)>, jitter: f64) {
        match outcome {
            Ok(()) => self.undescribed.open(),
            Err((object, error)) if error.needs_person() => {
                let (code, detail) = (error.code().to_owned(), error.to_string());
                let why = GateReason::Undescribed { object: object.clone(), code, detail };
                self.undescribed.trip(now, why, Duration::ZERO, jitter);
            }
            Err(_) => {}
        }
        self.note_closing(now);
    }

    /// Whether the last describe failed so that a person must see to it.
    pub fn is_undescribed(&self) -> bool {
        self.undescribed.closed().is_some()
    }

    /// Hears what became of each lead of a batch: done, or refused with a code.
    ///
    /// Many distinct leads refused with one code close the gate; while it is closed so, one success of a probe opens it.
    pub fn settled<'a>(
        &mut self,
        now: Timestamp,
        probe: Option<Batch>,
        leads: impl IntoIterator<Item = (&'a LeadKey, Result<(), &'a str>)>,
        jitter: f64,
    ) {
        let (mut done, mut refused) = (false, false);
        for (lead, outcome) in leads {
            match outcome {
                Ok(()) => done = true,
                Err(_) => refused = true,
            }
            self.refusals.add(now, lead, outcome.err());
        }
        if self.systemic.is_half_open(now) {
            if done && probe.is_some() {
                self.pardon();
                self.systemic.open();
                self.refusals.clear();
            } else if refused
                && probe == Some(Batch::Full)
                && let Some(code) = self.systemic.closed().map(|closed| Arc::clone(&closed.why))
            {
                self.systemic.trip(now, code, Duration::ZERO, jitter);
            }
        } else if self.systemic.closed().is_none()
            && let Some(code) = self.refusals.systemic(now)
        {
            self.systemic.trip(now, code, Duration::ZERO, jitter);
            self.pardon();
        }
        self.note_closing(now);
    }

    /// Leads that were refused before there were enough to tell, or by a batch that was under way when it was told.
    pub fn pardon(&mut self) {
        let closed = self.systemic.closed();
        self.pardons.extend(
            closed.map(|closed| Pardon { code: closed.why.to_string(), since: closed.since.before(COUNTS_FOR) }),
        );
    }

    /// What came to light since this was last asked of leads that were refused.
    pub fn take_pardons(&mut self) -> Vec<Pardon> {
        std::mem::take(&mut self.pardons)
    }

    /// Counts a call that was made.
    pub fn called(&mut self, now: Timestamp, call: &Call) {
        if call.counted {
            self.budget.count(now);
        }
        self.org.count(now, call.counted, call.usage);
        self.note_org_stop(now);
        self.note_closing(now);
    }

    /// Keeps the gate closed while a describe does not show these fields: without them nothing can be recognised.
    pub fn set_drift(&mut self, now: Timestamp, missing: &BTreeSet<KeyField>) {
        self.drift.clone_from(missing);
        self.note_closing(now);
    }

    /// Goes on by other settings. The CRM is described anew for them, and what closed by itself is tried at once.
    pub fn exchange(&mut self, now: Timestamp, settings: GateSettings) {
        self.settings = settings;
        self.drift.clear();
        self.undescribed.try_now(now);
        self.breaker.try_now(now);
        self.systemic.try_now(now);
        self.note_org_stop(now);
        self.note_closing(now);
    }

    /// A person stops the work.
    pub fn pause(&mut self, now: Timestamp, pause: Pause) {
        self.orders = self.orders.wrapping_add(1);
        self.pause = Some(pause);
        self.note_closing(now);
    }

    /// How many orders of people were taken.
    pub fn orders(&self) -> u64 {
        self.orders
    }

    /// A pause as it is stored, or none; what was ordered here since `orders` were counted is newer.
    pub fn set_pause(&mut self, now: Timestamp, orders: u64, pause: Option<Pause>) -> bool {
        if self.orders != orders || self.pause == pause {
            return false;
        }
        self.pause = pause;
        self.note_closing(now);
        true
    }

    /// A person lets the work go on.
    pub fn resume(&mut self, now: Timestamp) {
        self.orders = self.orders.wrapping_add(1);
        self.pause = None;
        self.try_now(now);
    }

    /// Whoever has it go on has looked: what was closed by itself is tried at once, a spent allowance as well.
    pub fn try_now(&mut self, now: Timestamp) {
        self.breaker.try_now(now);
        self.systemic.try_now(now);
        self.allowance.try_now(now);
        self.org.forget();
        self.note_closing(now);
    }

    /// Hears of the other processes: the calls that they made, and who keeps away. Answers whether one of them found that
    /// trouble is over, which is then over for us as well.
    pub fn set_elsewhere(&mut self, now: Timestamp, calls: &BudgetSnapshot, neighbours: Vec<Neighbour>) -> bool {
        self.budget.set_elsewhere(calls);
        let was_closed = self.barrier(now, WorkClass::Live).is_some();
        for kind in self.elsewhere.hear(neighbours) {
            self.open_by_kind(kind);
        }
        self.note_closing(now);
        was_closed && self.barrier(now, WorkClass::Live).is_none()
    }

    /// What the others have to know: why we keep away, if that is not what all see alike or heard from them.
    pub fn own_closing(&self, now: Timestamp) -> Option<Closing> {
        let (reason, until) = self.troubles(now).into_iter().next()?;
        let since = self.own_trouble.filter(|(kind, _)| *kind == reason.as_str()).map_or(now, |(_, since)| since);
        Some(Closing { reason, since, until })
    }

    fn open_by_kind(&mut self, kind: &str) {
        for circuit in [&mut self.breaker, &mut self.undescribed] {
            if circuit.closed().is_some_and(|closed| closed.why.as_str() == kind) {
                circuit.open();
                self.failures = 0;
            }
        }
        if self.throttle.closed().is_some() && kind == GateReason::Throttled.as_str() {
            self.throttle.open();
        }
        let spent = |closed: &super::circuit::Closed<String>| GateReason::AllowanceSpent { code: closed.why.clone() };
        if self.allowance.closed().map(spent).is_some_and(|reason| reason.as_str() == kind) {
            self.allowance.open();
        }
        let refusing =
            |closed: &super::circuit::Closed<Arc<str>>| GateReason::RefusingAll { code: closed.why.to_string() };
        if self.systemic.closed().map(refusing).is_some_and(|reason| reason.as_str() == kind) {
            self.pardon();
            self.systemic.open();
            self.refusals.clear();
        }
    }

    /// The calls by hour, to be kept over a restart.
    pub fn budget(&self) -> BudgetSnapshot {
        self.budget.snapshot()
    }

    /// The spans of time in which live work could not go, to be kept over a restart; the last may still go on.
    pub fn closed_spans(&self, now: Timestamp) -> Vec<(Timestamp, Timestamp)> {
        self.spans.all(now)
    }

    /// Adds spans that were kept over a restart.
    pub fn restore_closed_spans(&mut self, spans: Vec<(Timestamp, Timestamp)>) {
        self.spans.restore(spans);
    }

    /// For how long between `since` and `now` live work could not go.
    pub fn closed_time_since(&self, now: Timestamp, since: Timestamp) -> Duration {
        self.spans.closed_time_since(now, since)
    }

    /// The code with which most leads are refused, and until when none is tried.
    pub fn refuses_all(&self) -> Option<(String, Timestamp)> {
        self.systemic.closed().map(|closed| (closed.why.to_string(), closed.until))
    }

    /// The gate as an operator is shown it.
    pub fn status(&self, now: Timestamp) -> GateStatus {
        let closed = self.barrier(now, WorkClass::Live);
        let used = self.budget.used(now);
        let (reason, until) = closed.map_or((None, None), |(why, until)| (Some(why), until));
        GateStatus {
            open: reason.is_none(),
            since: reason.is_some().then(|| self.spans.closed_since().unwrap_or(now)),
            reason,
            until,
            in_flight: self.live + self.backfill,
            calls_used: used,
            calls_left: self.settings.calls_per_day.saturating_sub(used),
            org_usage: self.org.estimate(now),
        }
    }

    /// What keeps work out now, and until when; not what a probe may try.
    fn shut(&self, now: Timestamp, class: WorkClass) -> Option<(GateReason, Option<Timestamp>)> {
        self.barriers(now, class).into_iter().find(|(_, until)| until.is_none_or(|until| until > now))
    }

    /// What the gate is closed for, including what a probe may try.
    fn barrier(&self, now: Timestamp, class: WorkClass) -> Option<(GateReason, Option<Timestamp>)> {
        self.shut(now, class).or_else(|| self.barriers(now, class).into_iter().next())
    }

    /// Everything that stands in the way, the most telling first.
    fn barriers(&self, now: Timestamp, class: WorkClass) -> Vec<(GateReason, Option<Timestamp>)> {
        let mut barriers = Vec::new();
        if let Some(pause) = &self.pause
            && pause.until.is_none_or(|until| until > now)
        {
            barriers.push((GateReason::Paused { by: pause.by.clone(), note: pause.note.clone() }, pause.until));
        }
        let own = self.own_closing(now);
        if let Some(theirs) = self.elsewhere.binding(own.as_ref()) {
            // Not to be tried by us: asked again in a moment.
            let until = theirs.until.map(|until| until.max(now.after(SECOND)));
            barriers.push((theirs.reason.clone(), until));
        }
        barriers.extend(self.troubles(now));
        barriers.extend(self.budget_barrier(now, class));
        barriers
    }

    /// What this process itself has found, the most telling first.
    fn troubles(&self, now: Timestamp) -> Vec<(GateReason, Option<Timestamp>)> {
        let mut barriers = Vec::new();
        if let Some(field) = self.drift.first() {
            barriers.push((GateReason::Drift { field: field.clone() }, None));
        }
        if let Some(closed) = self.undescribed.closed() {
            barriers.push((closed.why.clone(), Some(closed.until)));
        }
        if let Some(closed) = self.systemic.closed() {
            barriers.push((GateReason::RefusingAll { code: closed.why.to_string() }, Some(closed.until)));
        }
        if let Some(closed) = self.allowance.closed() {
            barriers.push((GateReason::AllowanceSpent { code: closed.why.clone() }, Some(closed.until)));
        }
        if let Some(closed) = self.breaker.closed() {
            barriers.push((closed.why.clone(), Some(closed.until)));
        }
        if let Some(closed) = self.throttle.closed() {
            barriers.push((GateReason::Throttled, Some(closed.until)));
        }
        if self.org_stopped.is_some() {
            let until = self.org.forgotten_at().unwrap_or(now);
            barriers.push((GateReason::OrgStop { percent: self.settings.org_stop_percent }, Some(until)));
        }
        barriers
    }

    fn budget_barrier(&self, now: Timestamp, class: WorkClass) -> Option<(GateReason, Option<Timestamp>)> {
        let limit = self.calls_allowed(class);
        let why = match class {
            WorkClass::Live => GateReason::BudgetSpent,
            WorkClass::Backfill => GateReason::ReservedForLive,
        };
        let spent = self.budget.used(now).saturating_add(CALLS_PER_BATCH) > limit;
        spent.then(|| {
            let until = limit.checked_sub(CALLS_PER_BATCH).and_then(|free| self.budget.falls_to(free, now));
            (why, until)
        })
    }

    /// Whether the batches in flight may need what is left of the class's share.
    fn is_spoken_for(&self, now: Timestamp, class: WorkClass) -> bool {
        let batches = u64::try_from(self.live + self.backfill).unwrap_or(u64::MAX).saturating_add(1);
        let used = self.budget.used(now).saturating_add(batches.saturating_mul(CALLS_PER_BATCH));
        used > self.calls_allowed(class)
    }

    fn calls_allowed(&self, class: WorkClass) -> u64 {
        let all = self.settings.calls_per_day;
        let reserve = all.saturating_mul(u64::from(self.settings.reserve_for_live_percent.min(100))).div_ceil(100);
        match class {
            WorkClass::Live => all,
            WorkClass::Backfill => all.saturating_sub(reserve),
        }
    }

    /// The batch that a probe may be, if something is to be tried.
    fn probe_wanted(&self, now: Timestamp) -> Option<Batch> {
        let alone = self.undescribed.is_half_open(now) || self.breaker.is_half_open(now);
        let alone = alone || self.throttle.is_half_open(now) || self.allowance.is_half_open(now);
        if alone || self.org_stopped.is_some() {
            return Some(Batch::Single);
        }
        self.systemic.is_half_open(now).then_some(Batch::Full)
    }

    fn note_org_stop(&mut self, now: Timestamp) {
        let Some(usage) = self.org.estimate(now) else { return };
        let stop = u128::from(usage.allowed) * u128::from(self.settings.org_stop_percent);
        let reached = u128::from(usage.used) * 100 >= stop;
        self.org_stopped = reached.then(|| self.org_stopped.unwrap_or(now));
    }

    /// Keeps the spans of time in which live work could not go.
    fn note_closing(&mut self, now: Timestamp) {
        let kind = self.troubles(now).first().map(|(reason, _)| reason.as_str());
        if kind != self.own_trouble.map(|(kind, _)| kind) {
            if let Some((was, _)) = self.own_trouble {
                self.elsewhere.note_over(now, was);
            }
            self.own_trouble = kind.map(|kind| (kind, now));
        }
        self.spans.note(now, self.barrier(now, WorkClass::Live).is_some());
    }
}

#[cfg(test)]
mod tests;
