//! What goes into the store and comes out of it.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::domain::ids::{
    DestinationName, EventId, FieldName, LeadId, LeadKey, ObjectName, RecordRef, RequestId, SourceName,
};
use crate::domain::job::{Class, Lane};
use crate::domain::lead::Lead;
use crate::domain::matching::MatchedBy;
use crate::domain::plan::{BasePair, Choice, ConflictKind, Decision, Intent, Link, Question, Resolution};
use crate::domain::time::Timestamp;

// Events -----------------------------------------------------------------------------------------------------------------

/// One event as intake read it.
#[derive(Clone, Debug)]
pub struct NewEvent {
    pub source: SourceName,
    /// `None` only where no lead could be read.
    pub lead: Option<LeadId>,
    pub kind: EventKind,
    pub event_type: Option<String>,
    /// The sender's own ID of the event.
    pub sender_id: Option<String>,
    /// Of the lead and the type, for telling a repeat from a reused ID, and for recognising redeliveries.
    pub content_hash: [u8; 32],
    pub state: EventState,
    /// Why it is quarantined or ignored.
    pub reason: Option<String>,
    pub received_at: Timestamp,
    pub request_id: RequestId,
    /// The headers that reading needs again, chosen by the source's rules.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    /// Whose jobs it makes due; empty for what is not stored as a change.
    pub destinations: Vec<DestinationName>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    Upsert,
    Delete,
    /// Of a type that changes no lead, or unreadable.
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventState {
    Stored,
    Folded,
    /// Folded, and older in every field than what was known.
    Stale,
    Quarantined,
    Ignored,
    Erased,
}

impl EventKind {
    /// The word in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            EventKind::Upsert => "upsert",
            EventKind::Delete => "delete",
            EventKind::Other => "other",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Upsert, Self::Delete, Self::Other].into_iter().find(|kind| kind.as_str() == word)
    }
}

impl EventState {
    /// The word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            EventState::Stored => "stored",
            EventState::Folded => "folded",
            EventState::Stale => "stale",
            EventState::Quarantined => "quarantined",
            EventState::Ignored => "ignored",
            EventState::Erased => "erased",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Stored, Self::Folded, Self::Stale, Self::Quarantined, Self::Ignored, Self::Erased]
            .into_iter()
            .find(|state| state.as_str() == word)
    }
}

/// What became of one event of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventReceipt {
    pub id: EventId,
    /// Whether it repeats an event that is stored under this ID.
    pub duplicate: bool,
}

/// A stored event, ready to be folded.
#[derive(Clone, Debug)]
pub struct StoredEvent {
    pub id: EventId,
    pub kind: EventKind,
    pub received_at: Timestamp,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    /// The first event of this lead with the same content, if that is another one.
    pub first_copy: Option<(EventId, Timestamp)>,
}

/// What today's settings read of a kept event.
#[derive(Clone, Debug)]
pub struct Reread {
    pub lead: Option<LeadId>,
    pub kind: EventKind,
    pub event_type: Option<String>,
    pub state: EventState,
    pub reason: Option<String>,
}

// Jobs -------------------------------------------------------------------------------------------------------------------

#[derive(Clone, Debug)]
pub struct Claim {
    pub destination: DestinationName,
    /// `None`: either lane.
    pub lane: Option<Lane>,
    /// Whether backfill may be claimed after live work.
    pub backfill: bool,
    pub limit: u32,
    pub now: Timestamp,
    pub lease_ends_at: Timestamp,
    pub token: LeaseToken,
}

/// The right to try; a later one makes it worthless.
pub type LeaseToken = uuid::Uuid;
pub type IntentId = i64;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedJob {
    pub lead: LeadKey,
    pub lane: Lane,
    pub class: Class,
    /// Counts from 1.
    pub attempt: u32,
    /// Moves with every event; what was planned with an older one is owed again.
    pub wanted: i64,
    /// When the debt began: the receipt of the oldest event not yet agreed with the CRM.
    pub owed_since: Timestamp,
    pub first_failed_at: Option<Timestamp>,
    pub last_error: Option<String>,
    /// How often its batch's process died after announcing; such leads come back in halves.
    pub suspicion: u32,
    /// Refusals: what was refused, so that an equal one is not sent again.
    pub refusal: Option<Refusal>,
    /// Whether a person, a late event or the daily look asked, so that a remembered refusal is ignored.
    pub forced: bool,
    /// Whether it was leased before and that lease ran out.
    pub lease_expired: bool,
}

/// A refusal as it is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Of operation, record, refused values, mapping and schema.
    pub fingerprint: String,
    pub code: String,
    pub at: Timestamp,
    /// How often it was tried by itself since: three daily, then weekly.
    pub tries: u32,
}

/// What planning needs of one lead.
#[derive(Clone, Debug)]
pub struct Work {
    pub key: LeadKey,
    /// The folded lead and its revision, if any event of it was folded before.
    pub lead: Option<(Lead, i64)>,
    /// In order of arrival. More than fit in one step: `more_events`; fold, save and load again.
    pub unfolded: Vec<StoredEvent>,
    pub more_events: bool,
    pub link: Option<Link>,
    /// Oldest first.
    pub intents: Vec<Intent>,
    /// The newest answer of a person per question.
    pub resolutions: Vec<Resolution>,
    /// The open conflicts, with the revision at which they were seen.
    pub open_conflicts: Vec<OpenConflict>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenConflict {
    pub id: i64,
    pub kind: ConflictKind,
    pub field: Option<FieldName>,
    pub revision: i64,
}

#[derive(Clone, Debug)]
pub struct FoldedLead {
    pub lead: Lead,
    /// The revision it was loaded at; `None`: it did not exist.
    pub expected: Option<i64>,
    /// Every event that was folded, and whether it changed anything.
    pub events: Vec<(EventId, EventState)>,
    /// For searching by address and for finding neighbours.
    pub email: Option<String>,
    /// For listings.
    pub name: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Announcement {
    pub destination: DestinationName,
    pub token: LeaseToken,
    pub now: Timestamp,
    pub lease_ends_at: Timestamp,
    pub request_id: RequestId,
    pub writes: Vec<AnnouncedWrite>,
}

#[derive(Clone, Debug)]
pub struct AnnouncedWrite {
    pub lead: LeadKey,
    pub object: ObjectName,
    /// `None`: a create.
    pub record: Option<RecordRef>,
    pub rows: BTreeMap<FieldName, BasePair>,
    /// Why each field is written: logged by the next start if the process ends before the attempt is settled.
    pub decisions: Vec<Decision>,
}

/// What came of one attempt for one lead.
#[derive(Clone, Debug)]
pub struct Settlement {
    pub destination: DestinationName,
    pub token: LeaseToken,
    pub lead: LeadKey,
    pub now: Timestamp,
    /// The job's `wanted` that this attempt was planned with.
    pub wanted: i64,
    pub end: JobEnd,
    pub link: LinkChange,
    /// Opened, or updated in place where one is open for the same kind and field.
    pub questions: Vec<Question>,
    /// Open conflicts that planning no longer finds; closed as `moot` if still at this revision.
    pub moot: Vec<OpenConflict>,
    pub intents: Vec<(IntentId, IntentEnd)>,
    /// At least one row.
    pub log: Vec<NewLogRow>,
    /// Whether something was written outside, so that a lost lease makes the lead dirty again.
    pub wrote: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobEnd {
    /// Agreed with the CRM: the row goes.
    Done,
    /// Tried again by itself at `due_at`. `failed`: it counts as a failure (for the retry age), not as mere waiting.
    Retry { due_at: Timestamp, error: String, failed: bool },
    /// Waits for a person, a daily look or the CRM's schema; in no alert.
    Held { code: String, detail: String, look_again_at: Option<Timestamp> },
    /// A dead letter. `refusal`: looked at again by itself at `look_again_at`.
    Dead { code: String, detail: String, refusal: Option<Refusal>, look_again_at: Option<Timestamp> },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkChange {
    Keep,
    /// Written only at the revision it was planned with (`None`: there was no link); else the job is owed again. If
    /// another lead owns the record by now, nothing is linked and the job is owed again.
    Put {
        link: Link,
        planned_with: Option<i64>,
    },
    /// The lead is gone: the oldest living sharer of its record, if any, becomes owner and is marked dirty.
    Release {
        planned_with: i64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntentEnd {
    /// Settled: its values are in the base, or it certainly did not happen.
    Closed,
    /// It may land late: stays open until then, when the lead is read once more.
    OpenUntil(Timestamp),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// All of it was recorded; `true`: the job is owed again at once, since the lead moved meanwhile.
    Recorded { again: bool },
    /// Only the log was.
    LeaseLost,
    /// The database refused something of this lead; nothing of it was recorded, its intents stay open and its job is
    /// tried again after a while.
    Failed,
}

#[derive(Clone, Debug)]
pub struct GiveBack {
    pub destination: DestinationName,
    pub lead: LeadKey,
    pub token: LeaseToken,
    pub due_at: Timestamp,
    /// Why it waits, for `GET /queue`; does not count as a failure but, with a closed gate, for the retry age.
    pub waiting_since: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    pub leases: u64,
    pub unknown_writes: u64,
}

#[derive(Clone, Debug)]
pub struct DirtyMark {
    pub destination: DestinationName,
    pub leads: Vec<LeadKey>,
    pub class: Class,
    pub now: Timestamp,
    /// A person asked: a remembered refusal is ignored.
    pub forced: bool,
}

// Sync log ---------------------------------------------------------------------------------------------------------------

#[derive(Clone, Debug)]
pub struct NewLogRow {
    pub at: Timestamp,
    pub lead: LeadKey,
    pub destination: DestinationName,
    pub operation: Operation,
    pub outcome: Outcome,
    pub record: Option<RecordRef>,
    pub matched_by: Option<MatchedBy>,
    pub error_code: Option<String>,
    pub error: Option<String>,
    pub attempt: u32,
    /// Calls of the whole batch, and how many leads shared them.
    pub api_calls: u32,
    pub batch: u32,
    pub duration_ms: u64,
    pub request_id: Option<RequestId>,
    /// The newest event that it covers.
    pub event: Option<EventId>,
    pub decisions: Vec<Decision>,
    pub request: Option<String>,
    pub response: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    Create,
    Update,
    Unchanged,
    Convert,
    Delete,
    WriteBack,
    Hold,
    Skip,
}

impl Operation {
    pub const ALL: [Self; 8] = [
        Self::Create,
        Self::Update,
        Self::Unchanged,
        Self::Convert,
        Self::Delete,
        Self::WriteBack,
        Self::Hold,
        Self::Skip,
    ];

    /// The word in the API, the log and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Operation::Create => "create",
            Operation::Update => "update",
            Operation::Unchanged => "unchanged",
            Operation::Convert => "convert",
            Operation::Delete => "delete",
            Operation::WriteBack => "write_back",
            Operation::Hold => "hold",
            Operation::Skip => "skip",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.as_str() == word)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    Ok,
    Retry,
    Refused,
    Conflict,
    Dead,
    Unknown,
    Planned,
}

impl Outcome {
    pub const ALL: [Self; 7] =
        [Self::Ok, Self::Retry, Self::Refused, Self::Conflict, Self::Dead, Self::Unknown, Self::Planned];

    /// The word in the API, the log and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Retry => "retry",
            Outcome::Refused => "refused",
            Outcome::Conflict => "conflict",
            Outcome::Dead => "dead",
            Outcome::Unknown => "unknown",
            Outcome::Planned => "planned",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == word)
    }
}

#[derive(Clone, Debug, Default)]
pub struct LogFilter {
    pub lead_id: Option<String>,
    pub record_id: Option<String>,
    pub source: Option<String>,
    pub destination: Option<String>,
    pub operation: Option<Operation>,
    pub outcome: Option<Outcome>,
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
    /// An error code.
    pub error: Option<String>,
    pub matched_by: Option<MatchedBy>,
    pub request_id: Option<String>,
    pub email: Option<String>,
    /// A CRM field that was written or decided otherwise than agreed.
    pub field: Option<String>,
    /// A lead, record or request ID, or the beginning of a word in the error.
    pub q: Option<String>,
}

#[derive(Clone, Debug)]
pub struct LogRow {
    pub id: i64,
    pub at: Timestamp,
    pub lead: LeadKey,
    pub destination: DestinationName,
    pub operation: Operation,
    pub outcome: Outcome,
    pub record: Option<RecordRef>,
    pub matched_by: Option<MatchedBy>,
    pub error_code: Option<String>,
    pub error: Option<String>,
    pub attempt: u32,
    pub api_calls: u32,
    pub batch: u32,
    pub duration_ms: u64,
    pub request_id: Option<RequestId>,
    pub event: Option<EventId>,
}

#[derive(Clone, Debug)]
pub struct LogRowDetail {
    pub row: LogRow,
    pub decisions: Vec<Decision>,
    pub request: Option<String>,
    pub response: Option<String>,
}

// Lists ------------------------------------------------------------------------------------------------------------------

/// One page of a list, newest first.
#[derive(Clone, Debug)]
pub struct Page {
    pub limit: u32,
    /// Where the page before ended, as [`Listed::next`] gave it.
    pub cursor: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Listed<T> {
    pub items: Vec<T>,
    /// `None`: this was the last page.
    pub next: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    pub source: Option<String>,
    pub lead_id: Option<String>,
    pub state: Option<EventState>,
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
}

#[derive(Clone, Debug)]
pub struct EventRow {
    pub id: EventId,
    pub source: SourceName,
    pub lead_id: Option<LeadId>,
    pub event_type: Option<String>,
    pub sender_id: Option<String>,
    pub state: EventState,
    pub reason: Option<String>,
    pub received_at: Timestamp,
    pub request_id: RequestId,
    pub size: u64,
}

#[derive(Clone, Debug)]
pub struct EventDetail {
    pub row: EventRow,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

#[derive(Clone, Debug, Default)]
pub struct LeadFilter {
    pub source: Option<String>,
    pub email: Option<String>,
    /// The beginning of a lead ID, an address or a name.
    pub q: Option<String>,
}

#[derive(Clone, Debug)]
pub struct LeadRow {
    pub key: LeadKey,
    pub name: Option<String>,
    pub email: Option<String>,
    pub deleted: bool,
    pub updated_at: Timestamp,
}

#[derive(Clone, Debug)]
pub struct LeadView {
    pub row: LeadRow,
    pub lead: Option<Lead>,
    pub links: Vec<(DestinationName, Link)>,
    pub jobs: Vec<JobRow>,
    pub conflicts: Vec<ConflictRow>,
    /// Newest first, bounded.
    pub timeline: Vec<TimelineEntry>,
}

#[derive(Clone, Debug)]
pub struct JobRow {
    pub destination: DestinationName,
    /// `ready`, `leased`, `retrying`, `held` or `dead`.
    pub state: &'static str,
    pub class: Class,
    pub attempt: u32,
    pub due_at: Option<Timestamp>,
    pub owed_since: Timestamp,
    pub code: Option<String>,
    pub detail: Option<String>,
}

#[derive(Clone, Debug)]
pub enum TimelineEntry {
    Event(EventRow),
    Operation(Box<LogRow>),
    Person(AuditRow),
}

#[derive(Clone, Debug, Default)]
pub struct ConflictFilter {
    pub id: Option<i64>,
    /// `open`, `resolved` or `moot`.
    pub state: Option<String>,
    pub kind: Option<ConflictKind>,
    pub field: Option<String>,
    pub source: Option<String>,
    pub lead_id: Option<String>,
    pub destination: Option<String>,
    /// Opened before then.
    pub opened_before: Option<Timestamp>,
}

#[derive(Clone, Debug)]
pub struct ConflictRow {
    pub id: i64,
    pub destination: DestinationName,
    pub lead: LeadKey,
    pub question: Question,
    pub state: ConflictState,
    pub revision: i64,
    pub opened_at: Timestamp,
    pub updated_at: Timestamp,
}

#[derive(Clone, Debug)]
pub enum ConflictState {
    Open,
    Resolved {
        choice: Choice,
        by: String,
        at: Timestamp,
        note: Option<String>,
    },
    /// Planning no longer finds it.
    Moot {
        at: Timestamp,
    },
}

/// A person's answer to one conflict.
#[derive(Clone, Debug)]
pub struct Answer {
    pub conflict: i64,
    /// The revision that the person saw; `None`: whatever it is.
    pub revision: Option<i64>,
    pub choice: Choice,
    pub note: Option<String>,
    pub by: String,
    pub now: Timestamp,
}

#[derive(Clone, Debug)]
pub enum Answered {
    Done(Box<ConflictRow>),
    NotFound,
    /// It changed since it was read, or is not open any more.
    Changed(Box<ConflictRow>),
    /// Questions of this kind do not have this answer, or the record was not in question.
    WrongChoice(Box<ConflictRow>),
}

#[derive(Clone, Debug, Default)]
pub struct DeadLetterFilter {
    pub leads: Vec<LeadKey>,
    pub destination: Option<String>,
    pub source: Option<String>,
    pub code: Option<String>,
}

#[derive(Clone, Debug)]
pub struct DeadLetter {
    pub lead: LeadKey,
    pub destination: DestinationName,
    pub code: String,
    pub detail: String,
    pub attempt: u32,
    pub owed_since: Timestamp,
    pub died_at: Timestamp,
    pub look_again_at: Option<Timestamp>,
}

// Figures ----------------------------------------------------------------------------------------------------------------

#[derive(Clone, Debug)]
pub struct QueueFigures {
    pub destination: DestinationName,
    pub ready: u64,
    pub leased: u64,
    pub retrying: u64,
    pub held: u64,
    pub dead: u64,
    /// Since when the longest owed job that is ready, leased or retrying is owed.
    pub oldest: Option<Timestamp>,
    /// Since when the longest retrying one fails, or waits behind a closed gate.
    pub oldest_retry: Option<Timestamp>,
    pub held_codes: Vec<(String, u64)>,
}

#[derive(Clone, Debug)]
pub struct ErrorGroup {
    pub destination: DestinationName,
    pub code: String,
    pub count: u64,
    pub leads: u64,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
}

#[derive(Clone, Debug)]
pub struct OutcomeCount {
    pub destination: DestinationName,
    pub operation: Operation,
    pub outcome: Outcome,
    pub count: u64,
}

#[derive(Clone, Debug, Default)]
pub struct StandingFigures {
    pub open_conflicts: Vec<(DestinationName, ConflictKind, u64)>,
    pub shared_records: Vec<(DestinationName, u64)>,
    pub quarantined: Vec<(SourceName, u64)>,
}

#[derive(Clone, Debug, Default)]
pub struct SourceFigures {
    pub last_received: Option<Timestamp>,
    pub accepted: u64,
    pub ignored: u64,
    pub quarantined: u64,
}

// People -----------------------------------------------------------------------------------------------------------------

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    pub destination: DestinationName,
    pub by: String,
    pub note: Option<String>,
    pub since: Timestamp,
    pub until: Option<Timestamp>,
}

#[derive(Clone, Debug)]
pub struct AuditEntry {
    pub at: Timestamp,
    /// The token's name.
    pub by: String,
    pub action: String,
    /// What it was done to: `destination salesforce`, `lead klozeo/cl_1`.
    pub target: String,
    /// The lead concerned, so that its timeline shows it.
    pub lead: Option<LeadKey>,
    pub detail: Option<String>,
}

#[derive(Clone, Debug)]
pub struct AuditRow {
    pub id: i64,
    pub entry: AuditEntry,
}

#[derive(Clone, Debug)]
pub struct NewRun {
    /// `resync`, `replay`, …
    pub kind: &'static str,
    pub by: String,
    pub started_at: Timestamp,
    /// What it works on, as JSON.
    pub scope: String,
    pub total: u64,
}

#[derive(Clone, Debug)]
pub struct RunProgress {
    pub done: u64,
    /// Where to go on after a restart.
    pub position: Option<LeadKey>,
    /// `running`, `done`, `cancelled` or `failed`.
    pub state: &'static str,
    pub detail: Option<String>,
    pub now: Timestamp,
}

#[derive(Clone, Debug)]
pub struct RunRow {
    pub id: i64,
    pub kind: String,
    pub by: String,
    pub started_at: Timestamp,
    pub updated_at: Timestamp,
    pub scope: String,
    pub total: u64,
    pub done: u64,
    pub position: Option<LeadKey>,
    pub state: String,
    pub detail: Option<String>,
}

/// Which leads a resync touches.
#[derive(Clone, Debug, Default)]
pub struct ResyncScope {
    pub sources: Vec<SourceName>,
    pub destination: Option<DestinationName>,
    pub lead_id: Option<String>,
    /// Only leads whose last planning used another fingerprint than this one.
    pub planned_otherwise_than: Option<String>,
}
