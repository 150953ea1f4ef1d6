//! What one CRM needs in order to hold a lead: all of it as one decision, with its reasons.

mod ask;
pub mod company;
mod computed;
mod create;
mod decide;
mod deleted;
mod dependent;
mod doubt;
mod eligible;
mod external_id;
mod gone;
mod keys;
mod note;
mod opportunity;
mod owners;
mod rows;
mod sides;
mod standing;

pub use ask::{is_another_person, planned_link};
pub use company::{CompanyAction, CompanyPlan, CompanyRules};
pub use decide::{PlanInput, SyncRules, plan_sync};
pub use deleted::can_flag;
pub use eligible::{FILTERED, left_alone};
pub use external_id::OwnKeys;
pub use gone::OnCrmDelete;
pub use keys::{create_keys, match_keys};
pub use opportunity::{OpportunityPlan, OpportunityRules};
pub use sides::said;

use std::collections::BTreeMap;

use super::ids::{FieldName, LeadKey, ObjectName, RecordId, RecordRef, RequestId};
use super::matching::MatchedBy;
use super::record::CrmValue;
use super::time::Timestamp;

/// The pair of values of one mapping row that both sides last settled on. Each side is compared with its own half, so
/// sides that differ for good (a rule, a value map, a CRM that rewrites) stay quiet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BasePair {
    /// The lead's value, converted to the CRM's type; `Null` where the lead had none.
    pub lead: CrmValue,
    /// What the CRM was read to hold.
    pub crm: CrmValue,
}

/// Mapping rows that are not written: with the pair of values that the CRM refused; `None` where the value does not fit the
/// field, or the field cannot be written. A changed mapping or schema is a reason to try again.
pub type LeftOut = BTreeMap<FieldName, Option<BasePair>>;

/// Which CRM record a lead is, and what both sides agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub record: RecordRef,
    pub matched_by: MatchedBy,
    /// Whether the record carries this lead's external ID. The others that matched it are sharers.
    pub owner: bool,
    pub bases: BTreeMap<FieldName, BasePair>,
    /// Pairs that were left as they are (drift, a kept value, one that the lead took back before its record was made),
    /// remembered so that each is logged once.
    pub kept: BTreeMap<FieldName, BasePair>,
    pub left_out: LeftOut,
    /// Set while the record may be another person's: then nothing of the lead is put there, and the lead never inherits it. It
    /// is the one about which a person was asked, and which may have been merged into the record since.
    pub in_doubt: Option<RecordId>,
    /// Of the rows and settings that it was last planned with; empty while it has only been handed the record.
    pub fingerprint: String,
    /// Changes whenever anything above does.
    pub revision: i64,
}

impl Link {
    /// Of the record's owner: nothing is agreed on yet.
    pub fn to(record: RecordRef, matched_by: MatchedBy) -> Self {
        Self {
            record,
            matched_by,
            owner: true,
            bases: BTreeMap::new(),
            kept: BTreeMap::new(),
            left_out: LeftOut::new(),
            in_doubt: None,
            fingerprint: String::new(),
            revision: 0,
        }
    }

    /// Whether the owner before this lead went, and the lead has not written its own ID since: as the owner that it was made,
    /// or as a sharer in doubt that becomes the owner if it is that person.
    pub fn is_inherited(&self) -> bool {
        self.fingerprint.is_empty()
    }
}

/// Whose record it is among our leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    pub lead: LeadKey,
    /// Of one that left: by which its record is known as its own.
    pub keys: OwnKeys,
    /// Whether it was deleted in the lead system.
    pub deleted: bool,
    /// Whether a person excluded it.
    pub excluded: bool,
}

impl Owner {
    /// Whether the next lead that matches takes the record over.
    pub fn has_left(&self) -> bool {
        self.deleted || self.excluded
    }
}

/// One announced write whose outcome is not yet settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    pub id: i64,
    pub request_id: RequestId,
    pub object: ObjectName,
    /// `None`: a create.
    pub record: Option<RecordRef>,
    /// Per row: the lead's value, and the value that is sent to the CRM.
    pub rows: BTreeMap<FieldName, BasePair>,
    pub announced_at: Timestamp,
}

/// Why a field of the record is, or is not, what the lead says; one per mapping row that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub field: FieldName,
    pub base: Option<BasePair>,
    pub lead: Option<CrmValue>,
    pub crm: Option<CrmValue>,
    /// What is sent; `None`: the CRM's value stays.
    pub written: Option<CrmValue>,
    pub rule: Rule,
    /// What a person should know besides: a truncation, why a value is invalid.
    pub note: Option<String>,
}

/// The reason of a decision; the words are part of the sync log's contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// Neither side changed, or both hold the same value.
    Agreed,
    /// The record is new.
    Created,
    /// Only the lead changed.
    LeadChanged,
    /// The CRM's field was blank.
    FilledBlank,
    /// Both differ and the row says `lead_wins`.
    LeadWins,
    /// Both differ, or only the CRM changed, and the row says `crm_wins`; or the record is not the lead's alone, so that only
    /// its blanks are filled.
    CrmWins,
    /// The row says `latest_wins`: the lead changed last, or only the CRM changed.
    LatestWins,
    /// Lists of both sides were put together.
    Merged,
    /// Only the CRM changed a field that the lead owns; set back.
    Enforced,
    /// Only the CRM changed a field that the lead owns; left alone until the lead changes.
    Drift,
    /// A person has to decide.
    Review,
    /// A person decided.
    Resolved,
    /// The lead's value cannot be stored in this field; left out.
    Invalid,
    /// The CRM requires a value and the lead has none.
    Default,
    /// A second lead on this record: a value of the first is not overwritten.
    Shared,
    /// The CRM does not let us write this field; left out.
    NotWritable,
}

impl Rule {
    /// The word in the sync log and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Rule::Agreed => "agreed",
            Rule::Created => "created",
            Rule::LeadChanged => "lead_changed",
            Rule::FilledBlank => "filled_blank",
            Rule::LeadWins => "lead_wins",
            Rule::CrmWins => "crm_wins",
            Rule::LatestWins => "latest_wins",
            Rule::Merged => "merged",
            Rule::Enforced => "enforced",
            Rule::Drift => "drift",
            Rule::Review => "review",
            Rule::Resolved => "resolved",
            Rule::Invalid => "invalid",
            Rule::Default => "default",
            Rule::Shared => "shared",
            Rule::NotWritable => "not_writable",
        }
    }
}

/// The kinds of question that only a person can answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConflictKind {
    /// Both sides changed one field and its row says `review`.
    Field,
    /// Which record is this person?
    Match,
    /// Two leads on one record.
    SharedRecord,
    /// A value that the CRM cannot take, in a row that says `on_invalid = "review"`.
    Invalid,
    /// Which record is the lead's company?
    Company,
}

impl ConflictKind {
    pub const ALL: [Self; 5] = [Self::Field, Self::Match, Self::SharedRecord, Self::Invalid, Self::Company];

    /// The word in the API, the log and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            ConflictKind::Field => "field",
            ConflictKind::Match => "match",
            ConflictKind::SharedRecord => "shared_record",
            ConflictKind::Invalid => "invalid",
            ConflictKind::Company => "company",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// What a duplicate rule of the CRM does about a record that it finds the like of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleAction {
    /// It refuses the record unless somebody insists; so, too, where the CRM did not tell.
    Alert,
    /// It refuses the record whoever insists.
    Block,
}

impl RuleAction {
    /// The word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            RuleAction::Alert => "alert",
            RuleAction::Block => "block",
        }
    }
}

/// A question as planning puts it. One is open per lead, destination, kind and row; a later one replaces it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub kind: ConflictKind,
    /// The mapping row's CRM field, for kinds `field` and `invalid`.
    pub field: Option<FieldName>,
    pub record: Option<RecordRef>,
    pub base: Option<BasePair>,
    /// What the lead says; for kind `shared_record`, where it is in doubt whether they are one person, the lead's name.
    pub lead: Option<CrmValue>,
    /// What the CRM holds; for kind `shared_record` the external ID on the record, or where that is in doubt its name.
    pub crm: Option<CrmValue>,
    /// For kinds `match` and `company`: the records in question, and what speaks for and against each.
    pub candidates: Vec<CandidateSummary>,
    /// For kind `shared_record`: the lead that owns the record, where it is one of ours.
    pub other: Option<LeadKey>,
    /// Set where not planning asks, but the CRM's own duplicate rule.
    pub duplicate_rule: Option<RuleAction>,
    /// One sentence for the person who decides.
    pub detail: String,
}

impl Question {
    /// A question that this sentence puts, with no values and records in it.
    pub fn new(kind: ConflictKind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            field: None,
            record: None,
            base: None,
            lead: None,
            crm: None,
            candidates: Vec::new(),
            other: None,
            duplicate_rule: None,
            detail: detail.into(),
        }
    }

    /// Whether the CRM would refuse the record that `create` asks for, whoever says so.
    pub fn blocks_create(&self) -> bool {
        self.duplicate_rule == Some(RuleAction::Block)
    }

    /// Whether the question can be answered so. A record must be one of those in question, where any are named.
    pub fn takes(&self, choice: &Choice) -> bool {
        if *choice == Choice::Create && self.blocks_create() {
            return false;
        }
        let of_kind = match self.kind {
            ConflictKind::Field => matches!(choice, Choice::Lead | Choice::Crm | Choice::Value(_)),
            ConflictKind::Match | ConflictKind::Company => matches!(choice, Choice::Record(_) | Choice::Create),
            ConflictKind::SharedRecord => matches!(choice, Choice::Lead | Choice::Crm | Choice::Create),
            ConflictKind::Invalid => matches!(choice, Choice::Crm | Choice::Value(_)),
        };
        let Choice::Record(record) = choice else { return of_kind };
        let mut named = self.records().peekable();
        of_kind && (named.peek().is_none() || named.any(|candidate| candidate == record))
    }

    /// The record of which this answer says that it is another person's than the lead.
    pub fn tells_apart(&self, choice: &Choice) -> Option<&RecordRef> {
        self.record.as_ref().filter(|_| self.kind == ConflictKind::SharedRecord && *choice != Choice::Lead)
    }

    /// The records that may be chosen; if there are none, it may be any.
    pub fn records(&self) -> impl Iterator<Item = &RecordRef> {
        self.candidates.iter().map(|candidate| &candidate.record)
    }

    /// The sentence for the person who decides: where it is in doubt whether two are one person, with both names. `detail`,
    /// which the log tells as well, names nobody.
    pub fn for_deciding(&self) -> String {
        match (self.kind, &self.lead, &self.crm) {
            (ConflictKind::SharedRecord, Some(CrmValue::Text(lead)), Some(CrmValue::Text(record))) => {
                format!("{}: the lead is {lead}, and the record {record}", self.detail)
            }
            (ConflictKind::SharedRecord, Some(CrmValue::Text(lead)), None) => {
                format!("{}: the lead is {lead}, and what the record is called is told in the CRM alone", self.detail)
            }
            _ => self.detail.clone(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CandidateSummary {
    pub record: RecordRef,
    pub by: MatchedBy,
    pub speaks: String,
}

/// A person's answer. It holds while both sides still are what the person saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    pub kind: ConflictKind,
    pub field: Option<FieldName>,
    pub choice: Choice,
    pub seen_lead: Option<CrmValue>,
    pub seen_crm: Option<CrmValue>,
    /// For kinds `match`, `shared_record` and `company`: the records that were in question.
    pub seen_records: Vec<RecordRef>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    Lead,
    Crm,
    /// This text, converted like a value of the lead.
    Value(String),
    Record(RecordRef),
    Create,
}

impl Choice {
    /// The word in the API.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Choice::Lead => "lead",
            Choice::Crm => "crm",
            Choice::Value(_) => "value",
            Choice::Record(_) => "record",
            Choice::Create => "create",
        }
    }
}

/// All that follows from comparing one lead with one CRM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncPlan {
    pub action: Action,
    /// The record that the lead is, and how it was recognised; `None` while there is none.
    pub matched: Option<(RecordRef, MatchedBy)>,
    /// Whether the lead owns that record.
    pub owner: bool,
    /// Set if the record may be another person's: as the link keeps it.
    pub in_doubt: Option<RecordId>,
    pub decisions: Vec<Decision>,
    pub questions: Vec<Question>,
    /// The bases as they are if nothing is written, or before the write is read back.
    pub bases: BTreeMap<FieldName, BasePair>,
    pub kept: BTreeMap<FieldName, BasePair>,
    pub left_out: LeftOut,
    /// Of the owners among them: by what the log's row is found, and who they are.
    pub owner_left_out: Option<(&'static str, String)>,
    /// Per row that is written: the lead's value and what is sent.
    pub announced: BTreeMap<FieldName, BasePair>,
    /// The record must not have been changed after this moment, when it was last before it was read: something is written
    /// that may not replace what a person wrote meanwhile.
    pub unmodified_since: Option<Timestamp>,
    /// The record that the lead was linked to, where another one took its place.
    pub moved_from: Option<RecordRef>,
    /// What is to be done about the lead's company, where that was looked up.
    pub company: Option<CompanyPlan>,
    /// What is to be done about the opportunity that a sales rep made of the lead's record, where that was looked up.
    pub opportunity: Option<OpportunityPlan>,
}

impl SyncPlan {
    /// Whether the person's record is written or deleted.
    pub fn writes(&self) -> bool {
        matches!(self.action, Action::Create { .. } | Action::Update { .. } | Action::Delete { gone: false, .. })
    }
}

/// What becomes of the record of a lead that was deleted in its lead system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OnDelete {
    /// It is left as it is.
    Ignore,
    /// This field says so: a checkbox is ticked, a date or a date and time is when the delete came, a text is `deleted`.
    Flag(FieldName),
    /// It is deleted.
    Delete,
}

/// What is to be done outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Create {
        object: ObjectName,
        fields: BTreeMap<FieldName, CrmValue>,
    },
    Update {
        record: RecordRef,
        fields: BTreeMap<FieldName, CrmValue>,
    },
    /// The lead was deleted, and so is its record; `gone`: it is no longer there, so nothing is sent.
    Delete {
        record: RecordRef,
        gone: bool,
    },
    /// Both sides agree already.
    Unchanged,
    /// Nothing is written until a person, an event, a daily look or the CRM's schema moves it.
    Hold {
        code: &'static str,
        detail: String,
    },
    /// Nothing is owed.
    Skip {
        code: &'static str,
        detail: String,
    },
    /// The record that the lead is linked to is gone, and it is to get another: it is looked for at once, as if the lead
    /// were new.
    Forget {
        detail: String,
    },
    /// The CRM would refuse it: known without asking.
    Refuse {
        code: String,
        message: String,
        fields: Vec<FieldName>,
    },
}

#[cfg(test)]
mod tests;
