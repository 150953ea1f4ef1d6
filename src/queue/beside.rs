//! What an attempt leaves unwritten beside the person's record, of its company or its opportunity: the lead stays owed for it.

use super::batch::{Member, Planned};
use super::settle::Settling;
use super::verdict::Verdict;
use crate::crm::{CrmError, OnDuplicate};
use crate::domain::plan::SyncPlan;
use crate::store::{JobEnd, Settlement};

/// Why something is still to be written beside a person's record that is settled.
pub(super) enum Owed {
    /// Another batch has the record in hand.
    InHand,
    /// Its write failed, and may go through later.
    Failed(CrmError),
}

impl Owed {
    /// What follows from a write that failed so; `None`: it is dealt with, or waits for the lead to say something else.
    pub fn after(error: &CrmError) -> Option<Self> {
        error.passes().then(|| Owed::Failed(error.clone()))
    }
}

impl Planned {
    /// A member with its plan, of which nothing was done yet.
    pub fn of(member: Member, plan: SyncPlan) -> Self {
        Self {
            member,
            plan,
            duplicates: OnDuplicate::default(),
            assigns: false,
            before: Vec::new(),
            asked: Vec::new(),
            owed: None,
        }
    }

    /// What the calls cost that asked duplicate rules and of which no row tells yet: the one that is being made does.
    pub fn take_asked_calls(&mut self) -> u32 {
        self.asked.iter_mut().map(|(_, calls)| std::mem::take(calls)).sum()
    }
}

impl Settling<'_> {
    /// What is owed beside the person's record is tried again, unless the lead waits for something else anyhow.
    pub(super) fn keep_owed(&self, planned: &mut Planned, settlement: &mut Settlement) {
        let Some(owed) = planned.owed.take().filter(|_| settlement.end == JobEnd::Done) else { return };
        settlement.end = match owed {
            Owed::InHand => JobEnd::Retry {
                due_at: settlement.now.after(self.batch.destination.settings.retry.first),
                error: "another batch has the lead's company or opportunity in hand".to_owned(),
                failed: false,
            },
            Owed::Failed(error) => match self.verdict(&error, &planned.member, "beside") {
                Verdict::End(end, _) => end,
                Verdict::Wait => {
                    JobEnd::Retry { due_at: settlement.now, error: format!("{}: {error}", error.code()), failed: false }
                }
            },
        };
    }
}
