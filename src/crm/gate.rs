//! The gate of a destination: how much may go to the CRM now, and why it may not.
//!
//! It keeps to a number of batches in flight and to a share of the day's calls, heeds what the CRM asks for, leaves a
//! failing CRM alone, and tells a CRM that refuses everything from leads that are wrong. What a closed gate keeps waiting
//! uses up no attempt and no time of its lead's patience ([`Gate::closed_time_since`]).

mod budget;
mod circuit;
mod elsewhere;
mod refusals;
mod spans;
mod state;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use self::budget::BudgetSnapshot;
pub use self::elsewhere::{Closing, Neighbour};
pub use self::state::GateState;
use super::{Call, CallMeter, CrmError, Usage, WriteResult};
use crate::clock::Clock;
use crate::domain::ids::{LeadKey, ObjectName};
use crate::domain::matching::KeyField;
use crate::domain::time::Timestamp;

/// What a destination may be asked to bear.
#[derive(Clone, Debug)]
pub struct GateSettings {
    /// Batches in flight at once; nought counts as one.
    pub concurrency: usize,
    /// Our share of the CRM's calls in 24 hours.
    pub calls_per_day: u64,
    /// Of the organisation's whole use: where it stands so high, nothing is sent.
    pub org_stop_percent: u32,
    /// Of our share: what backfill may not use.
    pub reserve_for_live_percent: u32,
}

/// Whether someone waits for the work, or it fills in what is old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkClass {
    Live,
    /// Backfill, replay and repair.
    Backfill,
}

/// How much a probe may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batch {
    /// One lead: does the CRM answer at all?
    Single,
    /// As many leads as ever: does the CRM take any? Those not refused yet come first.
    Full,
}

/// The gate's word on one batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GateDecision {
    /// It may go.
    Open,
    /// It may go to find out whether the trouble is over.
    Probe { batch: Batch },
    /// Nothing is wrong, but as much as may be is in flight; ask again when something has come back.
    Busy,
    /// It must wait, at least until then; `None`: until something else happens.
    Closed { until: Option<Timestamp>, why: GateReason },
}

/// Why the gate is closed. Its `Display` is the sentence that an operator reads.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GateReason {
    #[error("paused by {by}{}", .note.as_deref().map(|note| format!(": {note}")).unwrap_or_default())]
    Paused { by: String, note: Option<String> },
    #[error("the CRM field {field}, by which records are recognised, is missing or hidden")]
    Drift { field: KeyField },
    #[error("the CRM does not show us the fields of {object}: {detail}")]
    Undescribed { object: ObjectName, code: String, detail: String },
    #[error("the CRM refuses most leads with {code}, so the cause is there and not in the leads")]
    RefusingAll { code: String },
    #[error("the CRM says that its daily allowance of calls is used up ({code})")]
    AllowanceSpent { code: String },
    #[error("{detail} ({code})")]
    LoginRefused { code: String, detail: String },
    #[error("the CRM fails ({code}): {detail}")]
    Failing { code: String, detail: String },
    #[error("the CRM refuses our lookups: {detail}")]
    LookupRefused { code: String, detail: String },
    #[error("the CRM asked us to slow down")]
    Throttled,
    #[error("the organisation has used {percent} % of its calls, all programs together")]
    OrgStop { percent: u32 },
    #[error("our share of the day's calls is used up")]
    BudgetSpent,
    #[error("what is left of our share of the day's calls is kept for live leads")]
    ReservedForLive,
    /// `reason` is the other's word, one of these; `text` its sentence.
    #[error("{text} (found by another replica)")]
    Elsewhere { reason: &'static str, code: Option<String>, text: String },
}

impl GateReason {
    /// The stable word for the API and metrics.
    pub const fn as_str(&self) -> &'static str {
        match self {
            GateReason::Paused { .. } => "paused",
            GateReason::Drift { .. } => "drift",
            GateReason::Undescribed { .. } => "undescribed",
            GateReason::RefusingAll { .. } => "refusing_all",
            GateReason::AllowanceSpent { .. } => "allowance_spent",
            GateReason::LoginRefused { .. } => "login_refused",
            GateReason::Failing { .. } => "failing",
            GateReason::LookupRefused { .. } => "lookup_refused",
            GateReason::Throttled => "throttled",
            GateReason::OrgStop { .. } => "org_stop",
            GateReason::BudgetSpent => "budget_spent",
            GateReason::ReservedForLive => "reserved_for_live",
            GateReason::Elsewhere { reason, .. } => reason,
        }
    }

    /// Why the gate closes when lookups or writes fail so again and again.
    fn of_failure(error: &CrmError) -> Self {
        let (code, detail) = (error.code().to_owned(), error.to_string());
        match error {
            CrmError::Unauthorised { .. } => Self::LoginRefused { code, detail },
            CrmError::SchemaDrift { .. } | CrmError::Operator { .. } => Self::LookupRefused { code, detail },
            _ => Self::Failing { code, detail },
        }
    }

    /// What another process has found, by the word that its gate told.
    pub fn elsewhere(reason: &str, code: Option<String>, text: String) -> Self {
        let known = SHARED_REASONS.into_iter().find(|known| *known == reason).unwrap_or("failing");
        GateReason::Elsewhere { reason: known, code, text }
    }

    /// The error code under which its cause and its remedy are explained.
    pub fn code(&self) -> Option<&str> {
        match self {
            GateReason::RefusingAll { code }
            | GateReason::AllowanceSpent { code }
            | GateReason::LoginRefused { code, .. }
            | GateReason::Undescribed { code, .. }
            | GateReason::LookupRefused { code, .. }
            | GateReason::Failing { code, .. } => Some(code),
            GateReason::Drift { .. } => Some("key_field_missing"),
            GateReason::Throttled => Some("throttled"),
            GateReason::Elsewhere { code, .. } => code.as_deref(),
            GateReason::Paused { .. }
            | GateReason::OrgStop { .. }
            | GateReason::BudgetSpent
            | GateReason::ReservedForLive => None,
        }
    }

    /// Whether it stays closed until a person has done something that nobody has yet in hand: whoever paused it knows, and
    /// leads that wait longer than `alerts.retry_age` are told of all the same.
    pub fn needs_person(&self) -> bool {
        ["drift", "undescribed", "refusing_all", "login_refused", "lookup_refused"].contains(&self.as_str())
    }
}

/// The words of what one process finds and tells the others.
const SHARED_REASONS: [&str; 9] = [
    "drift",
    "undescribed",
    "refusing_all",
    "allowance_spent",
    "login_refused",
    "failing",
    "lookup_refused",
    "throttled",
    "org_stop",
];

/// Leads that were refused with this code since then were refused by the CRM's fault, not by theirs: they are owed again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pardon {
    pub code: String,
    pub since: Timestamp,
}

/// A person's order to stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    pub by: String,
    pub note: Option<String>,
    pub until: Option<Timestamp>,
}

/// The gate as an operator is shown it, for live leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateStatus {
    pub open: bool,
    pub reason: Option<GateReason>,
    pub since: Option<Timestamp>,
    /// When it opens or is tried, where that is known. In the past: it is being tried.
    pub until: Option<Timestamp>,
    pub in_flight: usize,
    pub calls_used: u64,
    pub calls_left: u64,
    /// The organisation's whole use, where its headers said so lately.
    pub org_usage: Option<Usage>,
}

/// The gate that all workers of one destination share; also the meter of its adapter.
pub struct Gate {
    state: Mutex<GateState>,
    clock: Clock,
}

/// What [`Gate::enter`] answers.
#[derive(Debug)]
pub enum Entry {
    /// The batch may go; dropping the permit ends it.
    Go(Permit),
    /// As [`GateDecision::Busy`].
    Busy,
    /// As [`GateDecision::Closed`].
    Closed { until: Option<Timestamp>, why: GateReason },
}

impl Gate {
    /// An open gate that has made the calls of `budget`.
    pub fn new(settings: GateSettings, budget: &BudgetSnapshot, clock: Clock) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(GateState::new(settings, budget)), clock })
    }

    /// Asks to send a batch.
    pub fn enter(self: &Arc<Self>, class: WorkClass) -> Entry {
        let probe = match self.lock().decide(self.clock.now(), class) {
            GateDecision::Open => None,
            GateDecision::Probe { batch } => Some(batch),
            GateDecision::Busy => return Entry::Busy,
            GateDecision::Closed { until, why } => return Entry::Closed { until, why },
        };
        Entry::Go(Permit { gate: Arc::clone(self), class, probe })
    }

    /// Tells which of the fields by which records are recognised are missing: while there are any, the gate is closed.
    pub fn set_drift(&self, missing: &BTreeSet<KeyField>) {
        self.lock().set_drift(self.clock.now(), missing);
    }

    /// Goes on by other settings: what is in flight, what was counted, pauses and closings stay. The CRM is described anew,
    /// and what closed by itself is tried at once.
    pub fn exchange(&self, settings: GateSettings) {
        self.lock().exchange(self.clock.now(), settings);
    }

    /// Tells how a describe ended: while one fails that a person must see to, nothing goes but a probe, which describes again.
    pub fn described(&self, outcome: Result<(), (&ObjectName, &CrmError)>) {
        self.lock().described(self.clock.now(), outcome, fastrand::f64());
    }

    /// Whether the last describe failed so that a person must see to it.
    pub fn is_undescribed(&self) -> bool {
        self.lock().is_undescribed()
    }

    /// A person stops the work.
    pub fn pause(&self, pause: Pause) {
        self.lock().pause(self.clock.now(), pause);
    }

    /// A person lets the work go on.
    pub fn resume(&self) {
        self.lock().resume(self.clock.now());
    }

    /// Why this process keeps away, for the others to know.
    pub fn own_closing(&self) -> Option<Closing> {
        self.lock().own_closing(self.clock.now())
    }

    /// Hears of the other processes: calls that they made, and who of them keeps away. Answers whether that let us go on.
    pub fn set_elsewhere(&self, calls: &BudgetSnapshot, neighbours: Vec<Neighbour>) -> bool {
        self.lock().set_elsewhere(self.clock.now(), calls, neighbours)
    }

    /// A person's order as another process took it: holds or lifts a pause, if ours was not changed since `orders` were
    /// counted. Answers whether that changed anything.
    pub fn set_pause(&self, orders: u64, pause: Option<Pause>) -> bool {
        self.lock().set_pause(self.clock.now(), orders, pause)
    }

    /// A person let the work go on elsewhere: what closed by itself is tried at once.
    pub fn try_now(&self) {
        self.lock().try_now(self.clock.now());
    }

    /// How many orders of people this process took.
    pub fn orders(&self) -> u64 {
        self.lock().orders()
    }

    /// The calls by hour, to be kept over a restart.
    pub fn budget(&self) -> BudgetSnapshot {
        self.lock().budget()
    }

    /// The spans of time in which live work could not go, to be kept over a restart; the last may still go on.
    pub fn closed_spans(&self) -> Vec<(Timestamp, Timestamp)> {
        self.lock().closed_spans(self.clock.now())
    }

    /// Adds spans that were kept over a restart.
    pub fn restore_closed_spans(&self, spans: Vec<(Timestamp, Timestamp)>) {
        self.lock().restore_closed_spans(spans);
    }

    /// For how long since that moment live work could not go.
    pub fn closed_time_since(&self, since: Timestamp) -> Duration {
        self.lock().closed_time_since(self.clock.now(), since)
    }

    /// The code with which the CRM refuses everything, and until when it is left alone.
    pub fn refuses_all(&self) -> Option<(String, Timestamp)> {
        self.lock().refuses_all()
    }

    /// Leads were settled as refused: if the CRM is known by now to refuse all, they are pardoned like those before them.
    pub fn pardon_late(&self) {
        self.lock().pardon();
    }

    /// What came to light since this was last asked of leads that were refused.
    pub fn take_pardons(&self) -> Vec<Pardon> {
        self.lock().take_pardons()
    }

    /// The gate as an operator is shown it.
    pub fn status(&self) -> GateStatus {
        self.lock().status(self.clock.now())
    }

    fn lock(&self) -> MutexGuard<'_, GateState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CallMeter for Gate {
    fn called(&self, call: &Call) {
        self.lock().called(self.clock.now(), call);
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").finish_non_exhaustive()
    }
}

/// The right to send one batch; given back when it is dropped.
#[derive(Debug)]
pub struct Permit {
    gate: Arc<Gate>,
    class: WorkClass,
    probe: Option<Batch>,
}

impl Permit {
    /// Set if the batch is a probe, and then how much it may carry.
    pub fn probe(&self) -> Option<Batch> {
        self.probe
    }

    /// Tells how a lookup ended; for a write see [`outcome_of`].
    pub fn answered(&self, outcome: Result<(), &CrmError>) {
        self.gate.lock().answered(self.gate.clock.now(), self.probe, outcome, fastrand::f64());
    }

    /// Tells what became of the leads that were written: done, or refused for good with a code.
    pub fn settled<'a>(&self, leads: impl IntoIterator<Item = (&'a LeadKey, Result<(), &'a str>)>) {
        self.gate.lock().settled(self.gate.clock.now(), self.probe, leads, fastrand::f64());
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gate.lock().release(self.gate.clock.now(), self.class, self.probe);
    }
}

/// How a write ended as a whole: as its first record did, unless another was answered. One locked row is no outage.
pub fn outcome_of(results: &[WriteResult]) -> Result<(), &CrmError> {
    let is_trouble = |error: &CrmError| {
        matches!(
            error,
            CrmError::Throttled { .. }
                | CrmError::BudgetSpent { .. }
                | CrmError::Unavailable { .. }
                | CrmError::Unknown { .. }
                | CrmError::Unauthorised { .. }
        )
    };
    let mut first = None;
    for result in results {
        match &result.outcome {
            Err(error) if is_trouble(error) => first = first.or(Some(error)),
            _ => return Ok(()),
        }
    }
    first.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crm::Written;
    use crate::domain::ids::RecordRef;

    fn gate() -> (Arc<Gate>, Clock) {
        let clock = Clock::manual(Timestamp::from_seconds(1_800_000_000));
        let settings =
            GateSettings { concurrency: 1, calls_per_day: 10, org_stop_percent: 90, reserve_for_live_percent: 20 };
        (Gate::new(settings, &BudgetSnapshot::default(), clock.clone()), clock)
    }

    fn permit(gate: &Arc<Gate>) -> Permit {
        match gate.enter(WorkClass::Live) {
            Entry::Go(permit) => permit,
            other => panic!("{other:?}"),
        }
    }

    fn result(outcome: Result<(), CrmError>) -> WriteResult {
        let written = Written { record: RecordRef { object: "Lead".into(), id: "00Q".into() }, read_back: None };
        WriteResult { outcome: outcome.map(|()| written), request: String::new(), response: String::new() }
    }

    #[test]
    fn a_permit_that_is_dropped_makes_room_and_a_dropped_probe_lets_another_try() {
        let (gate, clock) = gate();
        let first = permit(&gate);
        assert!(matches!(gate.enter(WorkClass::Live), Entry::Busy));
        first.answered(Err(&CrmError::throttled(Some(Duration::from_secs(60)))));
        drop(first);
        let Entry::Closed { until, why: GateReason::Throttled } = gate.enter(WorkClass::Live) else { panic!("open") };
        assert_eq!(until, Some(clock.now().after(Duration::from_secs(60))));
        clock.advance(Duration::from_secs(60));
        assert_eq!(permit(&gate).probe(), Some(Batch::Single));
        let probe = permit(&gate);
        assert_eq!(probe.probe(), Some(Batch::Single));
        probe.answered(Ok(()));
        drop(probe);
        assert_eq!(permit(&gate).probe(), None);
        assert_eq!(gate.closed_time_since(Timestamp::from_seconds(0)), Duration::from_secs(60));
    }

    #[test]
    fn the_gate_is_the_meter_of_its_adapter() {
        let (gate, _) = gate();
        let meter: Arc<dyn CallMeter> = gate.clone();
        for counted in [true, true, false] {
            let usage = Some(Usage { used: 5, allowed: 100 });
            meter.called(&Call { endpoint: "composite", status: None, elapsed: Duration::ZERO, counted, usage });
        }
        let status = gate.status();
        assert_eq!((status.open, status.calls_used, status.calls_left), (true, 2, 8));
        assert_eq!(status.org_usage.map(|usage| usage.allowed), Some(100));
    }

    #[test]
    fn a_write_failed_only_if_every_record_did_for_the_crms_sake() {
        let locked = || CrmError::Unavailable { code: "UNABLE_TO_LOCK_ROW".into(), detail: String::new() };
        let refused = CrmError::Refused { code: "RULE".into(), message: String::new(), fields: Vec::new() };
        assert_eq!(outcome_of(&[]), Ok(()));
        assert_eq!(outcome_of(&[result(Err(locked())), result(Ok(()))]), Ok(()));
        assert_eq!(outcome_of(&[result(Err(locked())), result(Err(refused))]), Ok(()));
        assert_eq!(outcome_of(&[result(Err(locked())), result(Err(locked()))]), Err(&locked()));
    }
}
