//! Whose record it is: the lead's own, one that it shares, or one that it takes over.

use crate::domain::record::{CrmRecord, CrmValue};

use super::{Decision, Link, Owner, PlanInput, Rule, SyncRules, external_id};

/// How a lead stands to the record that it is.
pub(super) struct Standing {
    pub owner: bool,
    pub carries: Carries,
    /// Whether our key is to be written.
    pub write_id: bool,
    /// The other lead that owns it, or did until it was deleted or excluded.
    pub other: Option<Owner>,
    /// Whether the lead comes into a record that it shared, or did not know: what was agreed on before does not count.
    pub takes_over: bool,
}

#[derive(PartialEq, Eq)]
pub(super) enum Carries {
    Nothing,
    /// The key of now, be it as the CRM rewrites it.
    Ours,
    /// One that we gave this lead while keys were formed otherwise.
    Former,
    /// The key of a lead of ours that was deleted or excluded.
    Left,
    Another,
}

impl Carries {
    /// Whether it is a key of this lead.
    pub fn is_its_own(&self) -> bool {
        matches!(self, Carries::Ours | Carries::Former)
    }
}

impl Standing {
    pub fn of(input: &PlanInput<'_>, record: &CrmRecord, rules: &SyncRules) -> Self {
        let other = (input.owner_of)(&record.reference()).filter(|owner| owner.lead != input.lead.key);
        let carries = match record.value(&rules.external_id) {
            CrmValue::Null => Carries::Nothing,
            CrmValue::Text(text) if text == input.external_id => Carries::Ours,
            key if external_id::is_rewritten(input, key, rules) => Carries::Ours,
            CrmValue::Text(text) if input.former_ids.contains(text) => Carries::Former,
            key if other.as_ref().is_some_and(|owner| owner.has_left() && owner.keys.contains(key)) => Carries::Left,
            _ => Carries::Another,
        };
        // The key of one that is gone yields to whoever inherits.
        let inherits = input.link.is_some_and(Link::is_inherited);
        let free = (carries != Carries::Another || inherits) && other.as_ref().is_none_or(Owner::has_left);
        match input.link {
            // Made owner when the one before it went: its key replaces the old one.
            Some(link) if link.owner => Self {
                owner: true,
                write_id: match carries {
                    Carries::Nothing | Carries::Former => true,
                    Carries::Another => inherits,
                    Carries::Ours | Carries::Left => false,
                },
                carries,
                other: None,
                takes_over: false,
            },
            Some(_) if !free => Self { owner: false, write_id: false, carries, other, takes_over: false },
            _ => Self { owner: free, write_id: free && carries != Carries::Ours, carries, other, takes_over: free },
        }
    }

    /// Says in the log whose record it is that this lead's values are written to: both leads' IDs.
    pub fn written_by_a_sharer(&self, input: &PlanInput<'_>, record: &CrmRecord, rules: &SyncRules) -> Decision {
        let whose = self.other.as_ref().map_or("another system".to_owned(), |other| format!("lead {}", other.lead));
        Decision {
            field: rules.external_id.clone(),
            base: None,
            lead: Some(CrmValue::Text(input.external_id.to_owned())),
            crm: Some(record.value(&rules.external_id).clone()),
            written: None,
            rule: Rule::Shared,
            note: Some(format!("the record belongs to {whose} and keeps its ID; this lead's values are written to it")),
        }
    }

    /// Why our key is written, where that needs saying.
    pub fn note(&self) -> Option<String> {
        let other = self.other.as_ref().filter(|_| self.carries == Carries::Left)?;
        let left = if other.deleted { "was deleted" } else { "is excluded" };
        Some(format!("the record belonged to lead {}, which {left}", other.lead))
    }

    /// Whether the record was a deleted lead's, and says so where `on_delete` has a flag.
    pub fn was_a_deleted_leads(&self) -> bool {
        self.carries == Carries::Left && self.other.as_ref().is_some_and(|other| other.deleted)
    }
}
