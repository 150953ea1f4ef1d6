//! Figures of the queue, and what people do: pauses, audit, runs.

use super::by_hand::{Exclusion, LinkOrder};
use super::jobs::PlannedBy;
use super::lists::Answer;
use super::log::{Operation, Outcome};
use crate::domain::ids::{DestinationName, LeadKey, SourceName};
use crate::domain::plan::ConflictKind;
use crate::domain::time::Timestamp;

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

impl QueueFigures {
    /// Of a destination that is owed nothing.
    pub fn empty(destination: DestinationName) -> Self {
        Self {
            destination,
            ready: 0,
            leased: 0,
            retrying: 0,
            held: 0,
            dead: 0,
            oldest: None,
            oldest_retry: None,
            held_codes: Vec::new(),
        }
    }
}

#[derive(Clone, Debug)]
pub struct ErrorGroup {
    pub destination: DestinationName,
    pub code: String,
    pub count: u64,
    pub leads: u64,
    /// Leads of which it is still so.
    pub open: u64,
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
    /// Records that may be another record's person, and of which no person said otherwise.
    pub duplicates_suspected: Vec<(DestinationName, u64)>,
    pub quarantined: Vec<(SourceName, u64)>,
    /// Refused requests that are held.
    pub refused_held: Vec<(SourceName, u64)>,
}

#[derive(Clone, Debug, Default)]
pub struct SourceFigures {
    pub last_received: Option<Timestamp>,
    pub accepted: u64,
    pub ignored: u64,
    pub quarantined: u64,
}

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

/// What is written down in the same transaction as the change itself.
impl AuditEntry {
    pub(in crate::store) fn of_pause(pause: &Pause) -> Self {
        let told = pause.until.map(|until| format!("until {until}")).into_iter().chain(pause.note.clone());
        let detail = told.collect::<Vec<_>>().join(": ");
        Self {
            detail: Some(detail).filter(|detail| !detail.is_empty()),
            ..Self::new(pause.since, &pause.by, "destination.pause", format!("destination {}", pause.destination))
        }
    }

    pub(in crate::store) fn of_resume(destination: &DestinationName, by: &str, at: Timestamp) -> Self {
        Self::new(at, by, "destination.resume", format!("destination {destination}"))
    }

    pub(in crate::store) fn of_answer(answer: &Answer, lead: &LeadKey) -> Self {
        Self {
            lead: Some(lead.clone()),
            detail: Some(format!("choose {}", answer.choice.as_str())),
            ..Self::new(answer.now, &answer.by, "conflict.resolve", format!("conflict {}", answer.conflict))
        }
    }

    pub(in crate::store) fn of_link(order: &LinkOrder) -> Self {
        let LinkOrder { destination, lead, record, by, now, .. } = order;
        let (action, detail) = match record {
            Some(record) => ("lead.link", format!("{destination}: {} {}", record.object, record.id)),
            None => ("lead.unlink", destination.to_string()),
        };
        Self { detail: Some(detail), ..Self::of_lead(*now, by, action, lead) }
    }

    pub(in crate::store) fn of_exclusion(exclusion: &Exclusion) -> Self {
        let Exclusion { lead, excluded, by, now, .. } = exclusion;
        Self::of_lead(*now, by, if *excluded { "lead.exclude" } else { "lead.include" }, lead)
    }

    fn of_lead(at: Timestamp, by: &str, action: &str, lead: &LeadKey) -> Self {
        Self { lead: Some(lead.clone()), ..Self::new(at, by, action, format!("lead {lead}")) }
    }

    fn new(at: Timestamp, by: &str, action: &str, target: String) -> Self {
        Self { at, by: by.to_owned(), action: action.to_owned(), target, lead: None, detail: None }
    }
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
#[derive(Clone, Debug)]
pub struct ResyncScope {
    pub destination: DestinationName,
    /// Every lead of these.
    pub sources: Vec<SourceName>,
    /// Only those with this address.
    pub email: Option<String>,
    /// Only those whose ID, address or name begins so.
    pub q: Option<String>,
    /// Only those that were last planned by other rules than these, without leads that are deleted or excluded: those are not
    /// planned. What was only observed counts, unless these only observe, too.
    pub planned_otherwise_than: Option<PlannedBy>,
}

impl ResyncScope {
    /// Every lead of these sources.
    pub fn of(destination: DestinationName, sources: Vec<SourceName>) -> Self {
        Self { destination, sources, email: None, q: None, planned_otherwise_than: None }
    }

    /// Whether it is every lead: also those of which nothing was folded yet, so that nobody knows an address or a name of theirs.
    pub fn is_whole(&self) -> bool {
        self.email.is_none() && self.q.is_none() && self.planned_otherwise_than.is_none()
    }
}
