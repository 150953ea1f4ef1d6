//! Counts that read all links of a destination. One is made at a time, and what took long is kept for a while: however often
//! somebody looks at the check, intake and workers have the database to themselves for most of the time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::check;
use crate::config::RecordsConfig;
use crate::domain::check::{Finding, Severity, of_former_keys};
use crate::domain::ids::{DestinationName, FieldName};
use crate::store::{PlannedBy, ResyncScope, Store, StoreResult};

/// What is counted faster is counted each time.
const QUICK: Duration = Duration::from_millis(100);
/// For how many times as long as it took a count is kept.
const KEPT_FOR: u32 = 10;

/// What was counted last of each destination, and until when it is kept.
#[derive(Default)]
pub(super) struct Counts(Mutex<BTreeMap<DestinationName, (Instant, Counted)>>);

/// Of which leads there are how many.
#[derive(Clone)]
struct Counted {
    rules: Option<PlannedBy>,
    keys_formed_otherwise: u64,
    planned_otherwise: u64,
}

impl Counts {
    /// What is to be said of the destination's leads that are there: how many have a key of another form, and how many were
    /// planned by other rules than these, where rules are known.
    pub(super) async fn findings(
        &self,
        store: &dyn Store,
        scope: &ResyncScope,
        records: &RecordsConfig,
    ) -> StoreResult<Vec<Finding>> {
        let (key, form) = check::key_of(records);
        let counted = self.count(store, scope, &key.field, &form).await?;
        let formed = of_former_keys(counted.keys_formed_otherwise, &key, &form);
        Ok(formed.into_iter().chain(planned_otherwise(counted.planned_otherwise)).collect())
    }

    async fn count(&self, store: &dyn Store, scope: &ResyncScope, key: &FieldName, form: &str) -> StoreResult<Counted> {
        let mut last = self.0.lock().await;
        let rules = &scope.planned_otherwise_than;
        if let Some((until, counted)) = last.get(&scope.destination)
            && *until > Instant::now()
            && counted.rules == *rules
        {
            return Ok(counted.clone());
        }
        let began = Instant::now();
        let keys_formed_otherwise = store.count_keys_formed_otherwise(&scope.destination, key, form).await?;
        let planned_otherwise = if rules.is_some() { store.count_leads(scope).await? } else { 0 };
        let counted = Counted { rules: rules.clone(), keys_formed_otherwise, planned_otherwise };
        let until = Instant::now() + kept_for(began.elapsed());
        last.insert(scope.destination.clone(), (until, counted.clone()));
        Ok(counted)
    }
}

/// For how long a count is good that took so long.
fn kept_for(took: Duration) -> Duration {
    if took < QUICK { Duration::ZERO } else { took * KEPT_FOR }
}

/// What is to be said of leads that today's rules may plan differently.
fn planned_otherwise(leads: u64) -> Option<Finding> {
    (leads > 0).then(|| Finding {
        severity: Severity::Warning,
        subject: "leads".to_owned(),
        finding: format!(
            "{leads} were last planned by another mapping, other settings or other fields of the CRM, or only observed"
        ),
        remedy: "see how many, and sync them again, with POST /admin/v1/resync and \"changed\": true".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counting_takes_a_tenth_of_the_time_at_most_and_what_is_quick_is_always_fresh() {
        let check = |took, expected| assert_eq!(kept_for(Duration::from_millis(took)), Duration::from_millis(expected));
        check(99, 0);
        check(100, 1_000);
        check(1_200, 12_000);
    }
}
