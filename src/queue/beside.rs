//! Writing beside the person's record, its company or its opportunity; and what of it is left unwritten: the lead stays owed
//! for it.

use super::batch::{Batch, Member, Planned, Report};
use super::settle::Settling;
use super::verdict::{Verdict, in_hand, waiting};
use super::writes::Call;
use crate::crm::{CrmError, OnDuplicate, RecordWrite, WriteRequest, WriteResult};
use crate::domain::plan::SyncPlan;
use crate::store::{Announced, AnnouncedWrite, IntentId, JobEnd, Settlement, StoreResult};

/// A task with what was announced for it and how it went.
pub(super) struct Done<T> {
    pub task: T,
    pub intent: IntentId,
    pub result: WriteResult,
    pub call: Call,
}

impl Batch {
    /// Announces the tasks and writes them; answers besides what was not announced, since the lease or a key is lost: it is
    /// another batch's by now.
    pub(super) async fn write_beside<T>(
        &self,
        tasks: Vec<T>,
        writes: Vec<AnnouncedWrite>,
        write: impl Fn(&T) -> RecordWrite,
        report: &mut Report,
    ) -> StoreResult<(Vec<Done<T>>, Vec<T>)> {
        let (announcement, lease, announced) = self.announce(writes).await?;
        let (mut ours, mut intents, mut lost) = (Vec::new(), Vec::new(), Vec::new());
        for (task, announced) in tasks.into_iter().zip(announced) {
            match announced {
                Some(Announced { intent, .. }) => {
                    ours.push(task);
                    intents.push(intent);
                }
                None => lost.push(task),
            }
        }
        if ours.is_empty() {
            return Ok((Vec::new(), lost));
        }
        let request = WriteRequest {
            request_id: announcement.request_id,
            writes: ours.iter().map(write).collect(),
            reading: self.rules.reading.clone(),
            auto_assign: false,
            send_until: lease.until.min(self.lease.until).before(self.destination.settings.timeout),
        };
        let (results, calls) = self.send(&request, report).await;
        let done = |((task, intent), result): ((T, IntentId), WriteResult)| Done {
            task,
            intent,
            result,
            call: Call { request_id: request.request_id.clone(), sent_at: announcement.now, lease, calls },
        };
        Ok((ours.into_iter().zip(intents).zip(results).map(done).collect(), lost))
    }
}

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
            Owed::InHand => in_hand(
                settlement.now.after(self.batch.destination.settings.retry.first),
                "another batch has the lead's company or opportunity in hand",
            ),
            Owed::Failed(error) => match self.verdict(&error, &planned.member, "beside") {
                Verdict::End(end, _) => end,
                Verdict::Wait => waiting(settlement.now, &error),
            },
        };
    }
}
