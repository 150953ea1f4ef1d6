//! The CRMs' own duplicate rules, as they were last read. Whoever may look at the check has them read, so what came of it is
//! kept whatever it was, and the calls are none that live leads may need.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::crm::CrmError;
use crate::crm::gate::{Entry, WorkClass};
use crate::domain::divergence::DuplicateRule;
use crate::domain::ids::DestinationName;
use crate::domain::time::Timestamp;
use crate::queue::destination::Destination;

/// For how long it is kept what the CRM said.
const KEPT_FOR: Duration = Duration::from_secs(3600);

/// For how long, if it said nothing.
const NO_ANSWER_KEPT_FOR: Duration = Duration::from_secs(300);

/// How long whoever looks at the check waits for an answer.
const WITHIN: Duration = Duration::from_secs(5);

type Answer = Result<Vec<DuplicateRule>, CrmError>;

#[derive(Default)]
pub(super) struct CrmRules(Mutex<BTreeMap<DestinationName, (Timestamp, Answer)>>);

impl CrmRules {
    /// The destination's rules, or why they are not known. Asked for at most once an hour, after no answer once in five
    /// minutes; not while nothing is sent to the CRM, nor by calls that are kept for live leads.
    pub(super) async fn of(&self, destination: &Destination) -> Answer {
        let now = destination.clock.now();
        if let Some((seen_at, answer)) = self.lock().get(&destination.name) {
            let kept_for = match answer {
                Ok(_) => KEPT_FOR,
                Err(error) if is_no_answer(error) => NO_ANSWER_KEPT_FOR,
                Err(_) => KEPT_FOR,
            };
            if now.since(*seen_at) < kept_for {
                return answer.clone();
            }
        }
        // What a probe finds out is not for this to say.
        if !destination.gate.status().open {
            return Err(not_asked("nothing is sent to it now"));
        }
        let permit = match destination.gate.enter(WorkClass::Backfill) {
            Entry::Go(permit) => permit,
            Entry::Busy => return Err(not_asked("as much as may be is being asked already; look again in a moment")),
            Entry::Closed { why, .. } => return Err(not_asked(&why.to_string())),
        };
        // Kept before it is asked, so that those who look meanwhile, or go away, do not have it asked again.
        self.keep(destination, now, Err(not_asked("it is being asked; look again in some minutes")));
        let asked = tokio::time::timeout(WITHIN, destination.crm.duplicate_rules()).await;
        let answer = asked.unwrap_or_else(|_| Err(not_asked("it did not answer in time")));
        // That we may not read its rules says nothing of leads.
        if let Err(error @ (CrmError::Throttled { .. } | CrmError::BudgetSpent { .. })) = &answer {
            permit.answered(Err(error));
        }
        self.keep(destination, now, answer.clone());
        answer
    }

    /// Has the CRM asked when somebody looks again.
    pub(super) fn forget(&self, destination: &DestinationName) {
        self.lock().remove(destination);
    }

    fn keep(&self, destination: &Destination, now: Timestamp, answer: Answer) {
        self.lock().insert(destination.name.clone(), (now, answer));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<DestinationName, (Timestamp, Answer)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_no_answer(error: &CrmError) -> bool {
    matches!(error, CrmError::Unavailable { .. } | CrmError::Unknown { .. } | CrmError::Throttled { .. })
}

fn not_asked(detail: &str) -> CrmError {
    CrmError::Unavailable { code: "not_asked".to_owned(), detail: detail.to_owned() }
}
