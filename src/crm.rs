//! CRMs: one trait for all, batch first, with one verdict per record.
//!
//! An adapter knows its protocol, its limits and how to name its errors, and nothing of leads, jobs or storage. It does
//! not retry (but for one replay after a token was refused), sleep or log bodies; the queue does the first two.

pub mod gate;
pub mod salesforce;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;

use crate::clock::SinceBoot;
use crate::domain::company::CompanyObject;
use crate::domain::divergence::DuplicateRule;
use crate::domain::ids::{FieldName, ObjectName, RecordId, RecordRef, RequestId};
use crate::domain::matching::{Candidates, MatchKeys, PersonObject};
use crate::domain::missing::NewField;
use crate::domain::opportunity::OpportunityObject;
use crate::domain::record::{CrmRecord, CrmValue, Schema};
use crate::domain::time::Timestamp;

/// A CRM as the queue needs it.
#[async_trait]
pub trait Crm: Send + Sync {
    /// The kinds of records that a person may be; each is looked through for every lead.
    fn people(&self) -> Vec<PersonObject>;

    /// The kind of record that a company is.
    fn companies(&self) -> CompanyObject;

    /// The kind of record that an opportunity is.
    fn opportunities(&self) -> OpportunityObject;

    /// The kind of record that its users are, who may own records.
    fn users(&self) -> UserObject;

    /// What the CRM says of these objects now, past any cache.
    async fn describe(&self, objects: &[ObjectName]) -> Result<Schema, CrmError>;

    /// Records that may be these people; one answer per set of keys, in the order given.
    ///
    /// A record found by name has the company's domain and no other first name. What became another record (a converted
    /// Lead, a merged record) is there together with what it became. A linked record that is neither there nor found to be
    /// merged is gone. An error is the lookup's, not any lead's:
    /// after [`CrmError::Collateral`] it is to be repeated in halves, and only a lookup for a single lead fails by that
    /// lead's own fault.
    async fn find(&self, request: &FindRequest) -> Result<Vec<Candidates>, CrmError>;

    /// Carries out at most [`MAX_WRITES`] writes in as few calls as they take; each has its own result, in the order given,
    /// whatever happened to its neighbours. No write is sent twice.
    ///
    /// No record may be named twice. Where the CRM refused the whole request and one of several records may be the cause,
    /// each has [`CrmError::Collateral`] and is to be repeated in smaller company; a record alone has the error itself.
    async fn write(&self, request: &WriteRequest) -> Vec<WriteResult>;

    /// What the CRM's own active rules take for duplicates.
    async fn duplicate_rules(&self) -> Result<Vec<DuplicateRule>, CrmError>;

    /// What our user has its rights by and that may be given more, by name.
    async fn permission_holders(&self) -> Result<Vec<PermissionHolder>, CrmError>;

    /// Which of these fields there are, whether or not our user sees them.
    async fn existing_fields(&self, fields: &[NewField]) -> Result<BTreeSet<(ObjectName, FieldName)>, CrmError>;

    /// Makes a custom field and gives our user the right to read and write it; of one that is there already only the latter.
    async fn make_field(&self, field: &NewField, holder: &PermissionHolder) -> Result<FieldMaking, CrmError>;
}

/// Something by which users have rights in the CRM: a permission set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PermissionHolder {
    pub id: String,
    pub name: String,
}

/// What was done so that a field is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldMaking {
    /// It was made and is shown to our user.
    Made,
    /// It was there, and is shown to our user now.
    Shown,
}

/// What a CRM keeps its users as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserObject {
    pub object: ObjectName,
    /// Those by which an owner is found: the address, and whether the user is active.
    pub fields: Vec<FieldName>,
}

/// The most records that one call to [`Crm::write`] or [`Crm::find`] may name.
pub const MAX_WRITES: usize = 200;

/// What to look up, and which fields to read of what is found.
#[derive(Clone, Debug)]
pub struct FindRequest {
    pub request_id: RequestId,
    pub keys: Vec<MatchKeys>,
    pub reading: Reading,
}

/// Which objects a person may be, and which of their fields are read.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// The field that carries our key, on every object that has it.
    pub external_id: Option<FieldName>,
    pub fields: BTreeMap<ObjectName, BTreeSet<FieldName>>,
    /// The records that companies are, where they are looked up.
    pub companies: Option<CompanyReading>,
    /// The records that opportunities are, where they are read.
    pub opportunities: Option<OpportunityReading>,
}

impl Reading {
    /// The fields that are read of this kind of record.
    pub fn fields_of(&self, object: &ObjectName) -> Option<&BTreeSet<FieldName>> {
        let companies = self.companies.as_ref().filter(|companies| companies.object.object == *object);
        let opportunities = self.opportunities.as_ref().filter(|of| of.object.object == *object);
        let fields = self.fields.get(object).or(companies.map(|companies| &companies.fields));
        fields.or(opportunities.map(|opportunities| &opportunities.fields))
    }
}

/// How companies are looked up.
#[derive(Clone, Debug)]
pub struct CompanyReading {
    pub object: CompanyObject,
    pub fields: BTreeSet<FieldName>,
    /// Whether a company that is not found otherwise is looked for by the people of its domain: at the cost of a call.
    pub by_contacts: bool,
}

/// Which fields are read of the opportunities that were made of leads' records.
#[derive(Clone, Debug)]
pub struct OpportunityReading {
    pub object: OpportunityObject,
    pub fields: BTreeSet<FieldName>,
}

/// Writes that are sent together.
#[derive(Clone, Debug)]
pub struct WriteRequest {
    /// Sent as `x-request-id`; the sync log names it.
    pub request_id: RequestId,
    pub writes: Vec<RecordWrite>,
    /// What is read back of each written record.
    pub reading: Reading,
    /// Whether the CRM's assignment rules run on what is created; they never run on updates.
    pub auto_assign: bool,
    /// Nothing is sent later than this: the right to write is going to end. What was not sent for it is
    /// [`CrmError::too_late`].
    pub send_until: SinceBoot,
}

/// One record to be created, changed or deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordWrite {
    pub object: ObjectName,
    /// `None`: an insert, never an upsert. It carries its external ID among `fields`.
    pub id: Option<RecordId>,
    pub fields: BTreeMap<FieldName, CrmValue>,
    /// The record goes; there are no `fields` then, and nothing is read back.
    pub delete: bool,
    /// An update that is not carried out, with [`CrmError::Changed`], if the record was changed after this moment; as exactly
    /// as the CRM can tell.
    pub unmodified_since: Option<Timestamp>,
    pub duplicates: OnDuplicate,
}

/// What becomes of a write of which the CRM's own duplicate rules say that the record is there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDuplicate {
    /// It is refused; the answer need not tell what was found.
    #[default]
    Refuse,
    /// It is refused, and the answer tells what was found, for as many writes as the CRM lets one call say that of.
    Explain,
    /// It is saved all the same, where the rule lets itself be overruled.
    Save,
    /// The same; where the rule blocks it, the answer tells what was found, as with [`Self::Explain`].
    SaveOrExplain,
}

impl OnDuplicate {
    /// Whether rules that let themselves be overruled are.
    pub const fn saves(self) -> bool {
        matches!(self, OnDuplicate::Save | OnDuplicate::SaveOrExplain)
    }

    /// Whether the answer tells what was found.
    pub const fn explains(self) -> bool {
        matches!(self, OnDuplicate::Explain | OnDuplicate::SaveOrExplain)
    }

    /// The same with an answer that tells what was found.
    pub const fn explained(self) -> Self {
        if self.saves() { OnDuplicate::SaveOrExplain } else { OnDuplicate::Explain }
    }
}

/// What became of one record's write.
#[derive(Clone, Debug)]
pub struct WriteResult {
    pub outcome: Result<Written, CrmError>,
    /// This record's part of the request and of the answer, for the sync log.
    pub request: String,
    pub response: String,
}

/// A write that the CRM carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    pub record: RecordRef,
    /// The record as it stands after the write, rules and triggers of the CRM included; `None` if it could not be read.
    pub read_back: Option<CrmRecord>,
}

/// Why the CRM did not do what was asked, named after what follows from it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CrmError {
    /// Too much at once; the same request later.
    #[error("the CRM limits the rate of calls")]
    Throttled { code: &'static str, retry_after: Option<Duration> },
    /// The daily allowance of calls is used up, ours or the organisation's.
    #[error("the daily allowance of API calls is used up ({code})")]
    BudgetSpent { code: String, until: Option<Timestamp> },
    /// Not reached, or not able to answer now; nothing was executed, or repeating it is safe.
    #[error("the CRM is unavailable: {detail}")]
    Unavailable { code: String, detail: String },
    /// The request was sent and no answer came; it may have been executed, and may still be.
    #[error("the CRM did not answer: {detail}")]
    Unknown { detail: String },
    /// The login or the token is refused.
    #[error("the CRM refuses our login: {detail}")]
    Unauthorised { code: String, detail: String },
    /// Permanent for this data. `fields` may name some of the causes only.
    #[error("the CRM refuses the record ({code}): {message}")]
    Refused { code: String, message: String, fields: Vec<FieldName> },
    /// Another record holds the key, or the CRM's duplicate rule matched.
    #[error("the CRM says that the record exists already ({code})")]
    Duplicate {
        code: String,
        message: String,
        /// Fields whose value another record holds, where the answer names them.
        fields: Vec<FieldName>,
        /// All that the answer names.
        records: Vec<RecordRef>,
        /// The duplicate rule, where the answer names it.
        rule: Option<String>,
        /// Whether the answer says that the rule lets nobody overrule it.
        blocks: bool,
    },
    /// The record is deleted, or merged into another.
    #[error("the record is gone from the CRM ({code})")]
    Gone { code: String, merged_into: Option<RecordRef> },
    /// The record was changed since it was read, and nothing was written; it is to be read and planned again.
    #[error("the record was changed since it was read ({code})")]
    Changed { code: String },
    /// The record has become another one.
    #[error("the record was converted")]
    Converted { to: Option<RecordRef> },
    /// Failed because a neighbour did, or may have; repeat it in smaller company.
    #[error("a neighbour in the batch failed ({code})")]
    Collateral { code: String },
    /// A field or object is missing, hidden or not to be written by us: the schema's fault, never the lead's. It may come
    /// for a whole query or batch, or for each record that names the field.
    #[error("the CRM does not let us use {} ({code}): {message}", what_drifted(field.as_ref()))]
    SchemaDrift { code: String, field: Option<FieldName>, message: String },
    /// A person must act in the CRM: permission, licence, storage.
    #[error("the CRM needs an administrator ({code}): {message}")]
    Operator { code: String, message: String },
    /// A code that nobody knows: a 4xx is held, tried daily and alerted.
    #[error("the CRM answered with an unknown error ({code}): {message}")]
    Unfamiliar { code: String, message: String },
}

fn what_drifted(field: Option<&FieldName>) -> String {
    field.map_or_else(|| "an object or a field".to_owned(), |field| format!("the field {field}"))
}

/// Ours, not the CRM's.
const TOO_LATE: &str = "lease_too_short";

impl CrmError {
    /// A call that was not sent, since the right to make it might have ended before its answer.
    pub fn too_late() -> Self {
        CrmError::Unavailable { code: TOO_LATE.to_owned(), detail: "the batch took too long to prepare".to_owned() }
    }

    /// Too much at once of whatever it is.
    pub const fn throttled(retry_after: Option<Duration>) -> Self {
        CrmError::Throttled { code: "throttled", retry_after }
    }

    /// Whether it is [`Self::too_late`], which says nothing of the CRM.
    pub fn is_too_late(&self) -> bool {
        matches!(self, CrmError::Unavailable { code, .. } if code == TOO_LATE)
    }

    /// Whether the same request fails until a person has done something, where no lead can be the cause: for a describe.
    pub const fn needs_person(&self) -> bool {
        match self {
            CrmError::Throttled { .. }
            | CrmError::BudgetSpent { .. }
            | CrmError::Unavailable { .. }
            | CrmError::Unknown { .. }
            | CrmError::Unauthorised { .. }
            | CrmError::Changed { .. }
            | CrmError::Collateral { .. } => false,
            CrmError::Refused { .. }
            | CrmError::Duplicate { .. }
            | CrmError::Gone { .. }
            | CrmError::Converted { .. }
            | CrmError::SchemaDrift { .. }
            | CrmError::Operator { .. }
            | CrmError::Unfamiliar { .. } => true,
        }
    }

    /// Whether a write that failed so may go through later, though it says the same: once the CRM can, the record is read anew,
    /// or the schema is.
    pub const fn passes(&self) -> bool {
        !self.needs_person() || matches!(self, CrmError::SchemaDrift { .. })
    }

    /// The stable word under which the log, the API and metrics group this error: the CRM's own code where it gave one.
    pub fn code(&self) -> &str {
        match self {
            CrmError::Throttled { code, .. } => code,
            CrmError::Unknown { .. } => "no_answer",
            CrmError::Converted { .. } => "converted",
            CrmError::BudgetSpent { code, .. }
            | CrmError::Unavailable { code, .. }
            | CrmError::Unauthorised { code, .. }
            | CrmError::Refused { code, .. }
            | CrmError::Duplicate { code, .. }
            | CrmError::Gone { code, .. }
            | CrmError::Changed { code }
            | CrmError::Collateral { code }
            | CrmError::SchemaDrift { code, .. }
            | CrmError::Operator { code, .. }
            | CrmError::Unfamiliar { code, .. } => code,
        }
    }
}

/// One HTTP request to a CRM, as soon as it ended; what the gate counts.
#[derive(Clone, Debug)]
pub struct Call {
    /// A closed set per adapter: `collections`, `composite`, `describe`, `query_more`, `setup`, `token`.
    pub endpoint: &'static str,
    /// `None`: no answer.
    pub status: Option<u16>,
    pub elapsed: Duration,
    /// Whether it counts against the CRM's allowance (a token request does not).
    pub counted: bool,
    /// The organisation's whole use and allowance of the day, where the answer said so.
    pub usage: Option<Usage>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    pub used: u64,
    pub allowed: u64,
}

/// Hears of every call that an adapter makes.
pub trait CallMeter: Send + Sync {
    fn called(&self, call: &Call);
}
