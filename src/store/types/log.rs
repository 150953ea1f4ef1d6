//! The sync log.

use crate::domain::ids::{DestinationName, EventId, LeadKey, RecordRef, RequestId};
use crate::domain::matching::MatchedBy;
use crate::domain::plan::Decision;
use crate::domain::time::Timestamp;

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

impl NewLogRow {
    /// A row of something that no call was made for; what else is known of it, the caller fills in.
    pub fn note(
        at: Timestamp,
        lead: LeadKey,
        destination: DestinationName,
        operation: Operation,
        outcome: Outcome,
    ) -> Self {
        Self {
            at,
            lead,
            destination,
            operation,
            outcome,
            record: None,
            matched_by: None,
            error_code: None,
            error: None,
            attempt: 0,
            api_calls: 0,
            batch: 1,
            duration_ms: 0,
            request_id: None,
            event: None,
            decisions: Vec::new(),
            request: None,
            response: None,
        }
    }
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
    /// It became known which record the lead's company is.
    AccountMatch,
    AccountCreate,
    AccountUpdate,
    /// It became known which opportunity was made of the lead's record, or that it is gone.
    OpportunityMatch,
    OpportunityUpdate,
}

impl Operation {
    pub const ALL: [Self; 13] = [
        Self::Create,
        Self::Update,
        Self::Unchanged,
        Self::Convert,
        Self::Delete,
        Self::WriteBack,
        Self::Hold,
        Self::Skip,
        Self::AccountMatch,
        Self::AccountCreate,
        Self::AccountUpdate,
        Self::OpportunityMatch,
        Self::OpportunityUpdate,
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
            Operation::AccountMatch => "account_match",
            Operation::AccountCreate => "account_create",
            Operation::AccountUpdate => "account_update",
            Operation::OpportunityMatch => "opportunity_match",
            Operation::OpportunityUpdate => "opportunity_update",
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
