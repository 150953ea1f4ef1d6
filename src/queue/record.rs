//! What a batch has the store record: what came of its leads, and whom it gives back.

use std::time::Duration;

use tracing::{error, warn};

use super::batch::{Batch, Planned};
use super::destination::Destination;
use super::lease::Lease;
use super::settle::Settling;
use super::verdict::after_the_probe;
use crate::crm::CrmError;
use crate::crm::gate::Pardon;
use crate::store::{ClaimedJob, GiveBack, Pardoned, Settlement, StoreError, StoreResult};

/// Whoever waits for a neighbour in flight waits a moment, so that it is not asked for again and again.
pub(super) const A_MOMENT: Duration = Duration::from_millis(20);
/// The same for a neighbour in another process: its end is not seen from here, and it may have died.
pub(super) const A_WHILE: Duration = Duration::from_millis(200);
/// Between two tries of a store that is away: at first, and at most.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(2);

impl Batch {
    /// Has it recorded what came of these leads. While the store is away that is tried again until the lease ends: what was
    /// written is known here and nowhere else.
    pub(super) async fn settle(&self, settlements: Vec<Settlement>, lease: &Lease) -> StoreResult<()> {
        if settlements.is_empty() {
            return Ok(());
        }
        self.tell_retries(&settlements);
        let (mut left, mut wait) = (settlements, FIRST_WAIT);
        loop {
            let settled = self.destination.store.settle(left.clone()).await;
            let (mut away, mut failed) = (Vec::new(), Vec::new());
            for (settlement, settled) in left.into_iter().zip(settled) {
                match settled {
                    Ok(_) => {}
                    Err(error @ StoreError::Unavailable(_)) => away.push((settlement, error)),
                    Err(error) => failed.push((settlement, error)),
                }
            }
            self.tell_unrecorded(&failed);
            if away.is_empty() || lease.left(self.destination.clock.now()) <= wait {
                self.tell_unrecorded(&away);
                return Ok(());
            }
            tokio::time::sleep(wait).await;
            wait = LONGEST_WAIT.min(wait * 2);
            left = away.into_iter().map(|(settlement, _)| Settlement { again: true, ..settlement }).collect();
        }
    }

    /// Their leases run out and they are planned again; what was written is found by its intent.
    fn tell_unrecorded(&self, failed: &[(Settlement, StoreError)]) {
        let Some((Settlement { lead, .. }, error)) = failed.first() else { return };
        let (name, leads, example) = (&self.destination.name, failed.len(), format!("{}/{}", lead.source, lead.id));
        let reason = error.reason();
        if matches!(error, StoreError::Unavailable(_)) {
            warn!(destination = %name, leads, "what was done for {leads} leads of {name} could not be recorded, e.g. {example}: {reason}; they are looked up and planned again when their lease ends, and nothing need be done");
        } else {
            error!(destination = %name, leads, "what was done for {leads} leads of {name} could not be recorded, e.g. {example}: {reason}; they are looked up and planned again when their lease ends");
        }
    }

    /// Leaves leads of which the lease or a key is lost to whoever has it now. What is still ours is due again after a while.
    pub(super) async fn leave(&self, lost: Vec<Planned>, settling: &Settling<'_>) -> StoreResult<()> {
        let (told, untold): (Vec<_>, Vec<_>) = lost.into_iter().partition(|planned| !planned.before.is_empty());
        // Of these the log has yet to hear what was refused before.
        self.settle(told.into_iter().map(|planned| settling.left(planned, A_WHILE)).collect(), &self.lease).await?;
        self.give_back(untold.into_iter().map(|planned| planned.member.job).collect(), A_WHILE, None).await
    }

    /// Owed as before, and due again after `wait`; behind a closed gate nothing claims them.
    pub(super) async fn give_back(
        &self,
        jobs: Vec<ClaimedJob>,
        wait: Duration,
        closed_by: Option<&CrmError>,
    ) -> StoreResult<()> {
        if jobs.is_empty() {
            return Ok(());
        }
        let now = self.destination.clock.now();
        let back: Vec<GiveBack> = jobs
            .into_iter()
            .map(|job| GiveBack {
                destination: self.destination.name.clone(),
                lead: job.lead,
                token: self.token,
                due_at: now.after(wait),
                waiting_since: closed_by.map(|_| now),
            })
            .collect();
        self.destination.store.give_back(&back).await
    }

    /// Owes again what was refused by the CRM's fault, as came to light since; it comes after the leads not refused yet.
    pub(super) async fn pardon(&self) -> StoreResult<()> {
        let Destination { name, gate, store, clock, .. } = &*self.destination;
        for Pardon { code, since } in gate.take_pardons() {
            let due_at = gate.refuses_all().map_or_else(|| clock.now(), |(_, until)| after_the_probe(until));
            let pardoned = Pardoned { destination: name.clone(), code, since, due_at };
            let leads = store.owe_refused_again(&pardoned).await?;
            if leads > 0 {
                let code = &pardoned.code;
                warn!(destination = %name, code, leads, "{name} refuses most leads with {code}, so that is not the leads' fault: {leads} dead letters of it are owed again");
            }
        }
        Ok(())
    }
}
