//! One destination at work: its settings, its CRM, and the rules that its mapping and the CRM's schema make together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::Notify;
use tracing::{info, warn};

use super::keys::InFlight;
use super::verdict::RetryPolicy;
use crate::clock::Clock;
use crate::config::ExternalIdTemplate;
use crate::crm::gate::Gate;
use crate::crm::{Crm, CrmError, Reading};
use crate::domain::cel::Expression;
use crate::domain::envelope::{Reader, TimeFormat};
use crate::domain::ids::{DestinationName, FieldName, ObjectName, SourceName};
use crate::domain::job::Class;
use crate::domain::mapping::{Covered, FieldRow, Take};
use crate::domain::matching::{KeyField, MatchRules, MatchedBy, OnAmbiguous, OnShared, PersonObject};
use crate::domain::plan::SyncRules;
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
    pub auto_assign: bool,
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

/// How a source's stored events are read.
#[derive(Debug)]
pub struct SourceReading {
    pub reader: Reader,
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
    /// Leases that ran out and of which the log does not tell yet.
    ran_out: Mutex<Recovered>,
    rules: RwLock<Option<Arc<Rules>>>,
    /// The fingerprint of the rules by which leads with rows left out were marked dirty last.
    caught_up_with: tokio::sync::Mutex<Option<String>>,
    last_error: RwLock<Option<(Timestamp, String, String)>>,
    undescribed: RwLock<Option<Undescribed>>,
    woken: Notify,
    /// Held while the CRM is looked at: two do not do so for the first time, and what the later one saw stands.
    looking: tokio::sync::Mutex<()>,
}

/// What the mapping document and the CRM's schema say together.
#[derive(Debug)]
pub struct Rules {
    pub sync: SyncRules,
    pub reading: Reading,
    /// Of the mapping, the settings and the schema.
    pub fingerprint: String,
    /// When the CRM was described.
    pub seen_at: Timestamp,
    /// Fields by which records are recognised and that the CRM does not show: the gate is closed for them.
    pub missing_keys: BTreeSet<KeyField>,
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
            ran_out: Mutex::default(),
            rules: RwLock::default(),
            caught_up_with: tokio::sync::Mutex::default(),
            last_error: RwLock::default(),
            undescribed: RwLock::default(),
            woken: Notify::new(),
            looking: tokio::sync::Mutex::default(),
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

    pub(super) fn observes(&self) -> bool {
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
        let people = self.crm.people();
        let schema = self.describe(&people).await?;
        let rules = Arc::new(make_rules(&self.settings, &people, schema, self.clock.now()));
        for key in keys(&self.settings, &people) {
            if rules.missing_keys.contains(&key) {
                warn!(destination = %self.name, field = %key, "the field {key}, by which records are recognised, is missing in {}, or hidden", self.name);
                self.gate.close_for_drift(key);
            } else {
                self.gate.end_drift(&key);
            }
        }
        for row in &rules.sync.rows {
            if rules.sync.schema.field(&self.settings.object, &row.crm).is_none() {
                warn!(destination = %self.name, field = %row.crm, "the field {} of the mapping is missing in {}, or hidden; it is left out", row.crm, self.name);
            }
        }
        info!(destination = %self.name, "read the schema of {}", self.name);
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&rules));
        Ok(rules)
    }

    /// What the CRM says of every object that is read.
    async fn describe(&self, people: &[PersonObject]) -> Result<Schema, CrmError> {
        let (mut schema, mut failed) = (Schema::default(), None);
        for object in objects_read(&self.settings.object, people) {
            match self.crm.describe(std::slice::from_ref(&object)).await {
                Ok(described) => schema.objects.extend(described.objects),
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

    /// Once for each set of rules: leads that lack values in their record, since a row or the CRM did not let them through,
    /// are owed again, behind live work. After an error nothing is remembered; call it again.
    pub async fn owe_what_was_left_out(&self) -> StoreResult<()> {
        let Some(rules) = self.rules().filter(|_| !self.observes()) else { return Ok(()) };
        let mut caught_up_with = self.caught_up_with.lock().await;
        if caught_up_with.as_ref() == Some(&rules.fingerprint) {
            return Ok(());
        }
        let leads = self.store.leads_with_rows_left_out(&self.name, &rules.fingerprint).await?;
        if !leads.is_empty() {
            info!(destination = %self.name, leads = leads.len(), "{} leads lack values in {}; since its mapping or schema changed they are synced again", leads.len(), self.name);
            let (destination, now) = (self.name.clone(), self.clock.now());
            let mark = DirtyMark { destination, leads, class: Class::Backfill, now, forced: false };
            self.store.mark_dirty(&mark).await?;
        }
        *caught_up_with = Some(rules.fingerprint.clone());
        Ok(())
    }
}

/// The objects whose fields must be known: the one that is written, and all that a person may be.
pub fn objects_read(object: &ObjectName, people: &[PersonObject]) -> BTreeSet<ObjectName> {
    people.iter().map(|person| &person.object).chain([object]).cloned().collect()
}

/// The fields by which records are recognised.
fn keys<'a>(settings: &'a DestinationSettings, people: &'a [PersonObject]) -> impl Iterator<Item = KeyField> + 'a {
    let ours = KeyField { object: settings.object.clone(), field: settings.external_id.clone() };
    people.iter().flat_map(|person| person.keys(&settings.match_by)).chain([ours])
}

fn make_rules(settings: &DestinationSettings, people: &[PersonObject], schema: Schema, seen_at: Timestamp) -> Rules {
    let rows: Vec<FieldRow> = settings.rows.iter().filter(|row| row.on.contains(&settings.object)).cloned().collect();
    let taking = |part: Take| rows.iter().find(|row| row.take == Some(part)).map(|row| row.crm.clone());
    let matching = MatchRules {
        object: settings.object.clone(),
        by: settings.match_by.clone(),
        on_ambiguous: settings.on_ambiguous,
        first_name: taking(Take::FirstName),
        last_name: taking(Take::LastName),
    };
    let reading = reading(settings, people, &rows, &schema);
    let missing_keys = keys(settings, people).filter(|key| schema.field(&key.object, &key.field).is_none()).collect();
    let fingerprint = fingerprint(settings, &schema);
    let sync = SyncRules {
        filter: settings.filter.clone(),
        refuses_beside: settings.refuse_unmapped.then(|| Covered::by(&settings.rows)),
        rows,
        external_id: settings.external_id.clone(),
        matching,
        on_shared: settings.on_shared,
        schema,
    };
    Rules { sync, reading, fingerprint, seen_at, missing_keys }
}

/// Every mapped field that the CRM has; of the other objects that a person may be, what tells who it is.
fn reading(settings: &DestinationSettings, people: &[PersonObject], rows: &[FieldRow], schema: &Schema) -> Reading {
    let mut fields: BTreeMap<ObjectName, BTreeSet<FieldName>> = BTreeMap::new();
    for person in people {
        let Some(described) = schema.objects.get(&person.object) else { continue };
        let is_ours = person.object == settings.object;
        let mapped = rows.iter().map(|row| &row.crm).filter(|_| is_ours);
        let wanted = mapped
            .chain(person.identity())
            .chain([&settings.external_id])
            .filter(|field| described.fields.contains_key(field))
            .cloned();
        fields.insert(person.object.clone(), wanted.collect());
    }
    Reading { external_id: Some(settings.external_id.clone()), fields }
}

/// Equal while nothing changed that planning depends on.
fn fingerprint(settings: &DestinationSettings, schema: &Schema) -> String {
    let mut hash = Sha256::new();
    let described = settings.rows.iter().map(|row| schema.field(&settings.object, &row.crm));
    hash.update(format!(
        "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        settings.rows,
        settings.filter,
        settings.refuse_unmapped,
        settings.object,
        settings.external_id,
        settings.external_id_value,
        settings.on_shared,
        settings.match_by,
        described.collect::<Vec<_>>(),
    ));
    hex::encode(&hash.finalize()[..16])
}
