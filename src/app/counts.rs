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
pub(super) struct Counts {
    last: Mutex<BTreeMap<DestinationName, (Instant, Counted)>>,
    /// For how long a count is good that took so long.
    kept_for: fn(Duration) -> Duration,
}

impl Default for Counts {
    fn default() -> Self {
        Self { last: Mutex::default(), kept_for }
    }
}

/// What was counted, and by which rules.
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
        let mut last = self.last.lock().await;
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
        let until = Instant::now() + (self.kept_for)(began.elapsed());
        last.insert(scope.destination.clone(), (until, counted.clone()));
        Ok(counted)
    }
}

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
    use crate::domain::ids::{LeadKey, RecordRef};
    use crate::domain::lead::Lead;
    use crate::domain::time::Timestamp;
    use crate::store::sqlite::{Options, SqliteStore};
    use crate::store::{FoldedLead, LinkOrder, Ordered};

    #[test]
    fn counting_takes_a_tenth_of_the_time_at_most_and_what_is_quick_is_always_fresh() {
        let check = |took, expected| assert_eq!(kept_for(Duration::from_millis(took)), Duration::from_millis(expected));
        check(99, 0);
        check(100, 1_000);
        check(1_200, 12_000);
    }

    #[tokio::test]
    async fn what_was_counted_is_told_again_but_not_for_other_rules() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("leadrelay.db"), Options::default()).await.unwrap();
        let link = async |id: &str| {
            let lead = LeadKey::new("klozeo", id);
            let folded = FoldedLead {
                lead: Lead::new(lead.clone()),
                expected: None,
                events: Vec::new(),
                email: None,
                name: None,
            };
            store.save_leads(&[folded]).await.unwrap();
            let order = LinkOrder {
                destination: "crm".into(),
                lead,
                record: Some(RecordRef { object: "Lead".into(), id: id.into() }),
                revision: None,
                by: "ops".to_owned(),
                now: Timestamp::from_seconds(1),
                log: Vec::new(),
            };
            assert_eq!(store.order_link(&order).await.unwrap(), Ordered::Done);
        };
        let kept = Counts { kept_for: |_| Duration::from_secs(600), ..Counts::default() };
        let counted = async |counts: &Counts, fingerprint: &str| {
            let by = PlannedBy { fingerprint: fingerprint.to_owned(), observed: false };
            let all = ResyncScope::of("crm".into(), vec!["klozeo".into()]);
            let scope = ResyncScope { planned_otherwise_than: Some(by), ..all };
            counts.count(&store, &scope, &"Key__c".into(), "").await.unwrap().planned_otherwise
        };
        let fresh = Counts { kept_for: |_| Duration::ZERO, ..Counts::default() };
        link("cl_1").await;
        assert_eq!((counted(&kept, "f").await, counted(&fresh, "f").await), (1, 1));
        link("cl_2").await;
        assert_eq!((counted(&kept, "f").await, counted(&fresh, "f").await), (1, 2));
        assert_eq!((counted(&kept, "g").await, counted(&kept, "f").await), (2, 2));
    }
}
