//! One destination at work: its settings, its CRM, and the rules by which leads are planned.

mod beside;
mod rules;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Notify;
use tracing::{info, warn};

pub use self::beside::written_opportunity;
pub use self::rules::{Kinds, Rules, objects_read};
use self::rules::{make_rules, rules_of_all};
use super::explain::Looks;
use super::keys::InFlight;
use super::owners::KnownOwners;
use super::verdict::RetryPolicy;
use crate::clock::Clock;
use crate::config::ExternalIdTemplate;
use crate::crm::gate::Gate;
use crate::crm::{Crm, CrmError, OnDuplicate};
use crate::domain::cel::Expression;
use crate::domain::envelope::{Reader, TimeFormat};
use crate::domain::ids::{DestinationName, FieldName, ObjectName, SourceName};
use crate::domain::job::Class;
use crate::domain::listed::Listed;
use crate::domain::mapping::FieldRow;
use crate::domain::matching::{MatchedBy, OnAmbiguous, OnShared};
use crate::domain::plan::{OnCrmDelete, OnDelete};
use crate::domain::record::Schema;
use crate::domain::time::Timestamp;
use crate::store::{DirtyMark, Recovered, Store, StoreResult};
use crate::telemetry::metrics;

/// What the queue needs of a destination's settings.
#[derive(Clone, Debug)]
pub struct DestinationSettings {
    /// Plan and log everything, write nothing.
    pub observe: bool,
    pub object: ObjectName,
    pub external_id: FieldName,
    pub external_id_value: ExternalIdTemplate,
    pub match_by: Vec<MatchedBy>,
    pub on_ambiguous: OnAmbiguous,
    pub on_shared: OnShared,
    pub on_crm_delete: OnCrmDelete,
    /// What is done about companies; `None`: they are fields of the person's record only.
    pub company: Option<CompanySettings>,
    pub on_delete: OnDelete,
    pub auto_assign: bool,
    /// How the CRM's own duplicate rules are met at first.
    pub duplicates: OnDuplicate,
    pub rows: Vec<FieldRow>,
    /// Which leads are synced.
    pub filter: Option<Expression>,
    /// Hold leads with custom attributes that no row takes.
    pub refuse_unmapped: bool,
    pub linger: Duration,
    pub timeout: Duration,
    pub lease: Duration,
    pub retry: RetryPolicy,
    /// Whether requests and responses are kept with field values.
    pub log_bodies: bool,
}

/// What is done about companies.
#[derive(Clone, Debug)]
pub struct CompanySettings {
    /// Whether a company that is not found is made.
    pub create: bool,
    /// The field of `object` that points to it, where that is not the CRM's own.
    pub lookup: Option<FieldName>,
    /// Whether it is also looked for by the people of its domain.
    pub by_contacts: bool,
}

/// How a source's stored events are read, and by what its leads are listed, whichever destination's worker folds them.
#[derive(Debug)]
pub struct SourceReading {
    pub reader: Reader,
    pub listed: Listed,
}

/// A configured CRM with everything that syncing to it needs.
pub struct Destination {
    pub name: DestinationName,
    pub settings: DestinationSettings,
    pub store: Arc<dyn Store>,
    pub crm: Arc<dyn Crm>,
    pub gate: Arc<Gate>,
    pub clock: Clock,
    pub sources: Arc<BTreeMap<SourceName, SourceReading>>,
    pub(super) in_flight: InFlight,
    /// Users of the CRM that were looked up lately.
    pub(super) owners: KnownOwners,
    /// How often leads were explained lately.
    pub(super) looks: Looks,
    /// Leases that ran out and of which the log does not tell yet.
    ran_out: Mutex<Recovered>,
    rules: RwLock<Option<Arc<Rules>>>,
    /// The rules by which leads with rows left out were marked dirty last. A field that is gone and back again makes equal rules,
    /// but leads planned in between lack its value.
    caught_up_with: tokio::sync::Mutex<Option<Arc<Rules>>>,
    last_error: RwLock<Option<(Timestamp, String, String)>>,
    undescribed: RwLock<Option<Undescribed>>,
    woken: Arc<Notify>,
    /// Held while the CRM is looked at: two do not do so for the first time, and what the later one saw stands.
    looking: tokio::sync::Mutex<()>,
}

/// A describe that failed after the last one that did not.
#[derive(Clone, Debug)]
pub struct Undescribed {
    pub at: Timestamp,
    pub object: ObjectName,
    pub error: CrmError,
}

impl Destination {
    /// A destination that has not looked at its CRM yet.
    pub fn new(
        name: DestinationName,
        settings: DestinationSettings,
        store: Arc<dyn Store>,
        crm: Arc<dyn Crm>,
        gate: Arc<Gate>,
        clock: Clock,
        sources: Arc<BTreeMap<SourceName, SourceReading>>,
    ) -> Self {
        Self {
            name,
            settings,
            store,
            crm,
            gate,
            clock,
            sources,
            in_flight: InFlight::default(),
            owners: KnownOwners::default(),
            looks: Looks::default(),
            ran_out: Mutex::default(),
            rules: RwLock::default(),
            caught_up_with: tokio::sync::Mutex::default(),
            last_error: RwLock::default(),
            undescribed: RwLock::default(),
            woken: Arc::default(),
            looking: tokio::sync::Mutex::default(),
        }
    }

    /// The same, knowing what the batches of the one before it, whose settings were exchanged, still have in hand.
    pub fn succeeding(self, before: &Self) -> Self {
        Self {
            in_flight: before.in_flight.clone(),
            looks: before.looks.clone(),
            last_error: RwLock::new(before.last_error()),
            woken: Arc::clone(&before.woken),
            ..self
        }
    }

    /// Makes due again what another process had in hand when it died, or lost the database: what it was writing is suspect,
    /// which must be known before anyone claims it.
    pub(super) async fn recover_ran_out(&self, now: Timestamp) -> StoreResult<()> {
        let recovered = self.store.recover_ran_out(&self.name, now).await?;
        if recovered.leases > 0 {
            metrics::leases_expired(&self.name, recovered.leases);
            let mut ran_out = self.ran_out.lock().unwrap_or_else(PoisonError::into_inner);
            ran_out.leases += recovered.leases;
            ran_out.unknown_writes += recovered.unknown_writes;
        }
        Ok(())
    }

    /// What ran out since this was asked last.
    pub(super) fn take_ran_out(&self) -> Recovered {
        std::mem::take(&mut *self.ran_out.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn observes(&self) -> bool {
        self.settings.observe
    }

    pub(super) fn times_of(&self, source: &SourceName) -> TimeFormat {
        self.sources.get(source).map_or(TimeFormat::Rfc3339, |source| source.reader.rules().times)
    }

    /// The rules as they were last made; `None` before the CRM was described.
    pub fn rules(&self) -> Option<Arc<Rules>> {
        self.rules.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Has the claimer look again at once: the gate was opened by a person.
    pub fn wake(&self) {
        self.woken.notify_one();
    }

    pub(super) async fn woken(&self) {
        self.woken.notified().await;
    }

    /// The CRM's last failure as a whole: when, its code, its text.
    pub fn last_error(&self) -> Option<(Timestamp, String, String)> {
        self.last_error.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Why the CRM could not be described when it was last looked at; `None`: it was.
    pub fn undescribed(&self) -> Option<Undescribed> {
        self.undescribed.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn note_error(&self, error: &CrmError) {
        let noted = (self.clock.now(), error.code().to_owned(), error.to_string());
        *self.last_error.write().unwrap_or_else(PoisonError::into_inner) = Some(noted);
    }

    /// The rules; describes the CRM only if that was not done yet.
    pub async fn first_look(&self) -> Result<Arc<Rules>, CrmError> {
        let _looking = self.looking.lock().await;
        match self.rules() {
            Some(rules) => Ok(rules),
            None => self.look().await,
        }
    }

    /// Describes the CRM and makes the rules anew. A missing key field closes the gate until a describe shows it, and so
    /// does an object that is not shown at all.
    pub async fn look_at_schema(&self) -> Result<Arc<Rules>, CrmError> {
        let _looking = self.looking.lock().await;
        self.look().await
    }

    async fn look(&self) -> Result<Arc<Rules>, CrmError> {
        let mut kinds = Kinds::of(&*self.crm, &self.settings);
        let schema = self.describe(&mut kinds).await?;
        let rules = Arc::new(make_rules(&self.settings, &kinds, schema, self.clock.now()));
        self.gate.set_drift(&rules.missing_keys);
        for key in &rules.missing_keys {
            warn!(destination = %self.name, field = %key, "the field {key}, by which records are recognised, is missing in {}, or hidden", self.name);
        }
        for (object, row) in
            rules_of_all(&rules.sync).flat_map(|(object, rules)| rules.rows.iter().map(move |row| (object, row)))
        {
            if rules.sync.schema.field(object, &row.crm).is_none() {
                warn!(destination = %self.name, field = %row.crm, "the field {object}.{} of the mapping is missing in {}, or hidden; it is left out", row.crm, self.name);
            }
        }
        info!(destination = %self.name, "read the schema of {}", self.name);
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&rules));
        Ok(rules)
    }

    /// What the CRM says of every object that is read. Opportunities that it does not show are none of them: leads wait for
    /// no such record.
    async fn describe(&self, kinds: &mut Kinds) -> Result<Schema, CrmError> {
        let (mut schema, mut failed) = (Schema::default(), None);
        for object in objects_read(&self.settings.object, kinds) {
            match self.crm.describe(std::slice::from_ref(&object)).await {
                Ok(described) => schema.objects.extend(described.objects),
                Err(error) if error.needs_person() && kinds.is_opportunity(&object) => {
                    warn!(destination = %self.name, %object, "{} does not show us {object}, so nothing is written there: {error}", self.name);
                    kinds.opportunity = None;
                }
                Err(error) => {
                    failed = Some(Undescribed { at: self.clock.now(), object, error });
                    break;
                }
            }
        }
        self.gate.described(failed.as_ref().map_or(Ok(()), |failed| Err((&failed.object, &failed.error))));
        self.undescribed.write().unwrap_or_else(PoisonError::into_inner).clone_from(&failed);
        failed.map_or(Ok(schema), |failed| Err(failed.error))
    }

    /// Once for each look at the CRM's schema: leads that lack values in their record, since a row or the CRM did not let them through,
    /// are owed again, behind live work. After an error nothing is remembered; call it again.
    pub async fn owe_what_was_left_out(&self) -> StoreResult<()> {
        let Some(rules) = self.rules().filter(|_| !self.observes()) else { return Ok(()) };
        let mut caught_up_with = self.caught_up_with.lock().await;
        if caught_up_with.as_ref().is_some_and(|known| Arc::ptr_eq(known, &rules)) {
            return Ok(());
        }
        let rows = rules_of_all(&rules.sync).flat_map(|(_, rules)| &rules.rows);
        let rows: Vec<FieldName> = rows.map(|row| row.crm.clone()).collect();
        let companies = self.settings.company.is_some();
        let closed = self.store.close_vanished(&self.name, &rows, companies, self.clock.now()).await?;
        if closed > 0 {
            info!(destination = %self.name, conflicts = closed, "closed {closed} conflicts of {}, since the mapping has no longer what they are about", self.name);
        }
        let leads = self.store.leads_with_rows_left_out(&self.name, &rules.fingerprint).await?;
        if !leads.is_empty() {
            info!(destination = %self.name, leads = leads.len(), "{} leads lack values in {}; since its mapping or schema changed they are synced again", leads.len(), self.name);
            let (destination, now) = (self.name.clone(), self.clock.now());
            let mark = DirtyMark { destination, leads, class: Class::Backfill, now, forced: false };
            self.store.mark_dirty(&mark).await?;
        }
        *caught_up_with = Some(rules);
        Ok(())
    }
}
