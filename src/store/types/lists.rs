//! What operators list: pages of events, leads, conflicts and dead letters.

use bytes::Bytes;

use super::events::EventState;
use super::log::LogRow;
use super::people::AuditRow;
use crate::domain::ids::{DestinationName, EventId, LeadId, LeadKey, RequestId, SourceName};
use crate::domain::job::Class;
use crate::domain::lead::Lead;
use crate::domain::plan::{Choice, ConflictKind, Link, Question};
use crate::domain::time::Timestamp;

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

impl<T> Listed<T> {
    /// A list without any rows.
    pub fn nothing() -> Self {
        Self { items: Vec::new(), next: None }
    }
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
    /// By a person's order it is not synced.
    pub excluded: bool,
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
    /// There is nothing to decide any more: planning no longer finds it, or what `why` says.
    Moot {
        at: Timestamp,
        why: Option<String>,
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

/// Leads that were refused with a code since some moment, and not by their fault.
#[derive(Clone, Debug)]
pub struct Pardoned {
    pub destination: DestinationName,
    pub code: String,
    pub since: Timestamp,
    pub due_at: Timestamp,
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
