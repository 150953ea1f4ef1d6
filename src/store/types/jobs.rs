//! Jobs: claimed, planned, announced, settled.

use std::collections::BTreeMap;

use super::events::{EventState, StoredEvent};
use super::log::NewLogRow;
use crate::domain::ids::{DestinationName, EventId, FieldName, LeadKey, ObjectName, RecordRef, RequestId};
use crate::domain::job::{Class, Lane};
use crate::domain::lead::Lead;
use crate::domain::plan::{BasePair, ConflictKind, Decision, Intent, Link, Question, Resolution};
use crate::domain::time::Timestamp;

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

impl ClaimedJob {
    /// The first attempt for a lead without a record, owed since then.
    pub fn new(lead: LeadKey, owed_since: Timestamp) -> Self {
        Self {
            lead,
            lane: Lane::First,
            class: Class::Live,
            attempt: 1,
            wanted: 1,
            owed_since,
            first_failed_at: None,
            last_error: None,
            suspicion: 0,
            refusal: None,
            forced: false,
            lease_expired: false,
        }
    }
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
    /// By a person's order it is not synced.
    pub excluded: bool,
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

impl Work {
    /// Of a lead of which nothing is known yet.
    pub fn of(key: LeadKey) -> Self {
        Self {
            key,
            excluded: false,
            lead: None,
            unfolded: Vec::new(),
            more_events: false,
            link: None,
            intents: Vec::new(),
            resolutions: Vec::new(),
            open_conflicts: Vec::new(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenConflict {
    pub id: i64,
    pub kind: ConflictKind,
    pub field: Option<FieldName>,
    pub revision: i64,
}

/// The lead that a record belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordOwner {
    pub lead: LeadKey,
    /// Whether it was deleted in its lead system.
    pub deleted: bool,
    /// Whether a person excluded it.
    pub excluded: bool,
}

impl RecordOwner {
    /// Whether the record is whoever's comes next.
    pub fn has_left(&self) -> bool {
        self.deleted || self.excluded
    }
}

/// Whether living leads share a record with its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// None does, but for those that a person told apart from it.
    Not,
    /// Some may, which no person told apart from it. None of them inherits it.
    InDoubt,
    /// Some do, and the oldest of them inherits it.
    Surely,
}

impl Sharing {
    /// `surely`: some do; `in_doubt`: some may.
    pub(in crate::store) fn of(surely: bool, in_doubt: bool) -> Self {
        match (surely, in_doubt) {
            (true, _) => Self::Surely,
            (false, true) => Self::InDoubt,
            (false, false) => Self::Not,
        }
    }
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
    /// What the batch took in hand for it by [`crate::store::Shared::hold_keys`] and must still have.
    pub keys: Vec<String>,
    pub rows: BTreeMap<FieldName, BasePair>,
    /// What the look before the write made of earlier writes without an answer, and the link's revision (`None`: no link
    /// yet). Committed with the announcement: else, if this write has no answer either, it could no longer be told.
    pub known: Option<(Link, Option<i64>)>,
    /// Why each field is written: logged by the next start if the process ends before the attempt is settled.
    pub decisions: Vec<Decision>,
}

/// What was committed of one announced write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announced {
    pub intent: IntentId,
    /// The link's revision from now on, if it was changed with it.
    pub linked: Option<i64>,
}

/// A create of which it is not known whether it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenCreate {
    pub lead: LeadKey,
    /// As announced.
    pub rows: BTreeMap<FieldName, BasePair>,
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
    /// By which rules it was planned, where its link does not tell; kept unless it is tried again by itself.
    pub left_alone: Option<PlannedBy>,
    /// Opened, or updated in place where one is open for the same kind and field.
    pub questions: Vec<Question>,
    /// Open conflicts that planning no longer finds; closed as `moot` if still at this revision.
    pub moot: Vec<OpenConflict>,
    /// Why those close, where not planning looked for them in vain.
    pub moot_why: Option<&'static str>,
    pub intents: Vec<(IntentId, IntentEnd)>,
    /// At least one row.
    pub log: Vec<NewLogRow>,
    /// Whether something was written outside, so that a lost lease makes the lead dirty again.
    pub wrote: bool,
    /// Whether the record was looked at and what was found is in the link: then writes that can land no more are forgotten.
    pub looked: bool,
    /// Whether an earlier try to settle this may have been recorded, since its commit was not answered. Then nothing is
    /// recorded without the lease: it was, or whoever took the lease over logged the write as unknown.
    pub again: bool,
}

impl Settlement {
    /// Of an attempt that had nothing to do; its log row, the caller adds.
    pub fn of(job: &ClaimedJob, destination: DestinationName, token: LeaseToken, now: Timestamp) -> Self {
        Self {
            destination,
            token,
            lead: job.lead.clone(),
            now,
            wanted: job.wanted,
            end: JobEnd::Done,
            link: LinkChange::Keep,
            left_alone: None,
            questions: Vec::new(),
            moot: Vec::new(),
            moot_why: None,
            intents: Vec::new(),
            log: Vec::new(),
            wrote: false,
            looked: false,
            again: false,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobEnd {
    /// Agreed with the CRM: the row goes.
    Done,
    /// Tried again by itself at `due_at`. `failed`: it counts as a failure (for the retry age), not as mere waiting.
    Retry { due_at: Timestamp, code: String, detail: String, failed: bool },
    /// Waits for a person, a daily look or the CRM's schema; in no alert.
    Held { code: String, detail: String, look_again_at: Option<Timestamp> },
    /// A dead letter. `refusal`: looked at again by itself at `look_again_at`.
    Dead { code: String, detail: String, refusal: Option<Refusal>, look_again_at: Option<Timestamp> },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkChange {
    Keep,
    /// Written only at the revision it was planned with (`None`: there was no link); else the job is owed again. If
    /// another living lead owns the record by now, nothing is linked and the job is owed again; a deleted one loses it.
    Put {
        link: Link,
        planned_with: Option<i64>,
    },
    /// The record is gone from the CRM, and the lead is to get another.
    Remove {
        planned_with: i64,
    },
    /// The lead is gone: the oldest living sharer of its record becomes owner and is marked dirty. Without one the link
    /// stays, until another lead takes the record over.
    Release {
        planned_with: i64,
    },
    /// The lead is gone, and so is its record: neither it nor any other lead that is gone is linked to it any more. A link
    /// that moved since stands (`None`: there was no link).
    Drop {
        record: RecordRef,
        planned_with: Option<i64>,
    },
    /// The lead is gone, and its record was found only now: it is linked and then released.
    PutAndRelease {
        link: Link,
        planned_with: Option<i64>,
    },
}

/// By which rules a lead was planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedBy {
    /// Of the rows and settings.
    pub fingerprint: String,
    /// Whether the destination only observes, so that nothing of the plan was carried out.
    pub observed: bool,
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
    /// Only the log was, or nothing where an earlier try may have recorded it.
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

/// Whose leases are released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeasesOf {
    /// All that the process before this one had; for its start. Where others may be at work: those that ran out.
    DeadProcess,
    /// Those of one batch that panicked.
    Batch(LeaseToken),
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
