//! Events: what comes in, and what is kept of it.

use bytes::Bytes;

use crate::domain::ids::{DestinationName, EventId, LeadId, RequestId, SourceName};
use crate::domain::time::Timestamp;

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
    /// Whether it is of a lead that was erased, so that nothing of it is kept but that it came.
    pub erased: bool,
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
