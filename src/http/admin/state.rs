//! What the admin API works with, and what it asks of the running service beyond the store.

use std::ops::Deref;
use std::sync::Arc;

use async_trait::async_trait;

use crate::clock::Clock;
use crate::config::AdminToken;
use crate::domain::divergence::Divergence;
use crate::domain::explained::Explained;
use crate::domain::ids::{DestinationName, LeadKey, ObjectName, RecordRef, SourceName};
use crate::domain::plan::ConflictKind;
use crate::domain::time::Timestamp;
use crate::http::figures::Figures;
use crate::intake::Intake;
use crate::store::{Erased, Ordered, Pause, PlannedBy, Replica, ResyncScope, Store, StoreError, StoreResult};
use crate::telemetry::metrics::Exposition;

/// Everything a handler may reach; cheap to clone.
#[derive(Clone)]
pub struct AdminState(Arc<AdminParts>);

/// What [`AdminState`] is made of.
pub struct AdminParts {
    pub store: Arc<dyn Store>,
    pub intake: Arc<Intake>,
    pub operations: Arc<dyn Operations>,
    pub figures: Arc<Figures>,
    pub exposition: Exposition,
    pub tokens: Vec<AdminToken>,
    /// This process.
    pub replica: Replica,
    pub clock: Clock,
}

impl AdminState {
    /// Shares the parts among handlers.
    pub fn new(parts: AdminParts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Deref for AdminState {
    type Target = AdminParts;

    fn deref(&self) -> &AdminParts {
        &self.0
    }
}

/// What operators see and start that is not in the store: the workers, the gates, the mapping, the checks.
#[async_trait]
pub trait Operations: Send + Sync {
    /// Every configured destination as it stands, by name. Quick: asked at each scrape.
    fn destinations(&self) -> Vec<DestinationState>;

    /// A person changed what this destination owes: its workers look again at once.
    fn wake(&self, destination: &DestinationName);

    /// A pause was stored: nothing is sent until it ends or [`Self::resumed`] is called.
    fn paused(&self, pause: &Pause);

    /// A pause was lifted: its workers go on at once.
    fn resumed(&self, destination: &DestinationName);

    /// The mapping document: every row, then every lead field seen without one.
    async fn mapping(&self) -> StoreResult<Vec<MappingEntry>>;

    /// The rules by which the destination's leads are planned now; `None`: its CRM was not described yet.
    fn planned_by(&self, destination: &DestinationName) -> Option<PlannedBy>;

    /// What the newest preflight of each destination found.
    async fn checks(&self) -> StoreResult<Vec<CheckReport>>;

    /// Who takes what for a duplicate: the lead systems, leadrelay and the CRM. `None`: no such destination. The CRM is asked
    /// at most once an hour, whatever it answers, and sooner again only if it did not answer.
    async fn divergence(&self, destination: &DestinationName) -> Option<Divergence>;

    /// What an error code in this destination's sync log means and what to do; has an answer for unknown codes too.
    fn explain(&self, destination: &DestinationName, code: &str) -> Explanation;

    /// The record that an ID of this destination's CRM is of, where the ID tells its kind.
    fn record_named(&self, destination: &DestinationName, id: &str) -> Option<RecordRef>;

    /// The kinds of records that a question of this kind may be answered with; empty: with none, or nobody knows.
    fn kinds_in_question(&self, destination: &DestinationName, kind: ConflictKind) -> Vec<ObjectName>;

    /// Carries out a person's order about which record a lead is.
    async fn order_link(&self, wish: &LinkWish) -> Result<Ordered, OrderError>;

    /// What would be done for a lead now; nothing is written. `None`: nothing is known of it.
    async fn explain_lead(
        &self,
        destination: &DestinationName,
        lead: &LeadKey,
    ) -> Result<Option<Explained>, OrderError>;

    /// Erases what is known of a lead, and with `crm` deletes its records in CRMs first. `None`: nothing is known of it.
    async fn erase(&self, lead: &LeadKey, crm: bool) -> Result<Option<Erasing>, OrderError>;

    /// Reads the configuration again, and takes it if it is right.
    async fn reload(&self) -> Result<Reloaded, ReloadError>;

    /// Starts marking the leads of a scope dirty as backfill; answers the run's ID once the run is stored.
    async fn start_resync(&self, scope: ResyncScope, by: &str) -> StoreResult<i64>;

    /// Starts the search for records that may be one person's; answers the run's ID. `None`: one is under way.
    async fn search_duplicates(&self, by: &str) -> StoreResult<Option<i64>>;

    /// Asks a run to stop where it is. `false`: it does not run (any more).
    async fn cancel_run(&self, id: i64) -> StoreResult<bool>;
}

/// What a person wants a lead to be.
#[derive(Clone, Debug)]
pub struct LinkWish {
    pub destination: DestinationName,
    pub lead: LeadKey,
    /// `None`: no longer the record that it is linked to.
    pub record: Option<RecordRef>,
    /// The revision of the link that the person saw.
    pub revision: Option<i64>,
    pub by: String,
}

/// What came of erasing a lead.
#[derive(Clone, Debug)]
pub struct Erasing {
    pub erased: Erased,
    /// Its records in CRMs, and why each was left; `None`: it was deleted.
    pub records: Vec<(DestinationName, RecordRef, Option<String>)>,
}

/// A changed configuration was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reloaded {
    /// Keys that changed and that only a restart can change.
    pub restart_needed: Vec<String>,
}

/// Why a changed configuration was not taken; the old one stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReloadError {
    /// The service was not started from a file.
    NoFile,
    /// Every mistake: file, line, what to write instead.
    Wrong(Vec<String>),
    Failed(String),
}

/// Why an order about a lead is not carried out.
#[derive(Debug)]
pub enum OrderError {
    /// There is no such destination.
    NotFound,
    /// A part of it cannot be; says which, and what to write.
    Wrong(String),
    /// Not now; says why.
    NotNow(String),
    /// Asked too often; again after so many seconds.
    TooOften {
        retry_after: u32,
    },
    /// What the CRM said.
    Crm(String),
    Store(StoreError),
}

impl From<StoreError> for OrderError {
    fn from(error: StoreError) -> Self {
        OrderError::Store(error)
    }
}

/// What an error code means, and what a person can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Explanation {
    pub meaning: &'static str,
    pub remedy: &'static str,
}

/// A destination as it stands.
#[derive(Clone, Debug)]
pub struct DestinationState {
    pub name: DestinationName,
    /// `salesforce`
    pub kind: &'static str,
    /// `live` or `observe`
    pub mode: &'static str,
    /// Whose leads it gets.
    pub sources: Vec<SourceName>,
    /// `open`, `closed`, or `probing` with a single attempt.
    pub gate: &'static str,
    /// Why it is not open, and what to do.
    pub gate_reason: Option<String>,
    /// Since when it is not open.
    pub gate_since: Option<Timestamp>,
    /// When it is tried again by itself.
    pub gate_until: Option<Timestamp>,
    /// Counted calls of the last 24 hours, and our share.
    pub calls_used: u64,
    pub calls_limit: u64,
    /// The newest error of the CRM: when, its code, its text.
    pub last_error: Option<(Timestamp, String, String)>,
    /// Set while a person must act before anything is sent again: what is wrong and what to do, in one sentence.
    pub needs_person: Option<String>,
}

/// One row of the mapping document.
#[derive(Clone, Debug)]
pub struct MappingEntry {
    pub destination: DestinationName,
    /// `None`: a row that takes no lead field.
    pub lead_field: Option<String>,
    pub lead_format: Option<String>,
    /// `None`: not synced.
    pub crm_field: Option<String>,
    pub crm_label: Option<String>,
    pub crm_format: Option<String>,
    pub objects: Vec<String>,
    /// `to_crm`, `none`, or `not synced`
    pub direction: String,
    /// `lead_wins`, `crm_wins`, `latest_wins`, `review` or `merge`
    pub rule: Option<String>,
    pub note: Option<String>,
}

/// What a preflight found.
#[derive(Clone, Debug)]
pub struct CheckReport {
    pub destination: DestinationName,
    pub checked_at: Timestamp,
    pub findings: Vec<CheckFinding>,
}

/// One finding.
#[derive(Clone, Debug)]
pub struct CheckFinding {
    /// `error`, `warning` or `ok`
    pub severity: &'static str,
    /// What was looked at: `Lead.Email`, `login`.
    pub subject: String,
    pub finding: String,
    /// What to do about it.
    pub remedy: Option<String>,
}
