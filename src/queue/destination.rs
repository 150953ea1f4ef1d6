//! One destination at work: its settings, its CRM, and the rules that its mapping and the CRM's schema make together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};
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
use crate::domain::envelope::{Reader, TimeFormat};
use crate::domain::ids::{DestinationName, FieldName, ObjectName, SourceName};
use crate::domain::job::Class;
use crate::domain::mapping::{FieldRow, Take};
use crate::domain::matching::{MatchRules, MatchedBy, OnAmbiguous, OnShared};
use crate::domain::plan::SyncRules;
use crate::domain::record::Schema;
use crate::domain::time::Timestamp;
use crate::store::{DirtyMark, Store, StoreResult};

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
    rules: RwLock<Option<Arc<Rules>>>,
    /// The fingerprint of the rules by which leads with rows left out were marked dirty last.
    caught_up_with: tokio::sync::Mutex<Option<String>>,
    last_error: RwLock<Option<(Timestamp, String, String)>>,
    woken: Notify,
    /// Held while the CRM is looked at for the first time, so that two do not.
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
}

/// The objects that a person may be.
const PEOPLE: [&str; 2] = ["Lead", "Contact"];

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
            rules: RwLock::default(),
            caught_up_with: tokio::sync::Mutex::default(),
            last_error: RwLock::default(),
            woken: Notify::new(),
            looking: tokio::sync::Mutex::default(),
        }
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

    pub(super) fn note_error(&self, error: &CrmError) {
        let noted = (self.clock.now(), error.code().to_owned(), error.to_string());
        *self.last_error.write().unwrap_or_else(PoisonError::into_inner) = Some(noted);
    }

    /// The rules; describes the CRM only if that was not done yet.
    pub async fn first_look(&self) -> Result<Arc<Rules>, CrmError> {
        let _looking = self.looking.lock().await;
        match self.rules() {
            Some(rules) => Ok(rules),
            None => self.look_at_schema().await,
        }
    }

    /// Describes the CRM and makes the rules anew. A missing key field closes the gate until a describe shows it.
    pub async fn look_at_schema(&self) -> Result<Arc<Rules>, CrmError> {
        let schema = self.crm.describe(&PEOPLE.map(ObjectName::from)).await?;
        let rules = Arc::new(make_rules(&self.settings, schema, self.clock.now()));
        for field in self.key_fields() {
            if rules.sync.schema.field(&self.settings.object, &field).is_some() {
                self.gate.end_drift(&field);
            } else {
                warn!(destination = %self.name, %field, "the field {field}, by which records are recognised, is missing in {}, or hidden", self.name);
                self.gate.close_for_drift(field);
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

impl Destination {
    /// The fields by which records are recognised.
    fn key_fields(&self) -> Vec<FieldName> {
        let by = |key: MatchedBy, field: &str| self.settings.match_by.contains(&key).then(|| FieldName::from(field));
        let email = by(MatchedBy::Email, "Email");
        let name = by(MatchedBy::NameAndCompanyDomain, "LastName");
        [Some(self.settings.external_id.clone()), email, name].into_iter().flatten().collect()
    }
}

fn make_rules(settings: &DestinationSettings, schema: Schema, seen_at: Timestamp) -> Rules {
    let rows: Vec<FieldRow> = settings.rows.iter().filter(|row| row.on.contains(&settings.object)).cloned().collect();
    let taking = |part: Take| rows.iter().find(|row| row.take == Some(part)).map(|row| row.crm.clone());
    let matching = MatchRules {
        object: settings.object.clone(),
        by: settings.match_by.clone(),
        on_ambiguous: settings.on_ambiguous,
        first_name: taking(Take::FirstName),
        last_name: taking(Take::LastName),
    };
    let reading = reading(settings, &rows, &schema);
    let fingerprint = fingerprint(settings, &schema);
    let sync =
        SyncRules { rows, external_id: settings.external_id.clone(), matching, on_shared: settings.on_shared, schema };
    Rules { sync, reading, fingerprint, seen_at }
}

/// Every mapped field that the CRM has; of the other objects that a person may be, what tells who it is.
fn reading(settings: &DestinationSettings, rows: &[FieldRow], schema: &Schema) -> Reading {
    const IDENTITY: [&str; 4] = ["FirstName", "LastName", "Email", "Website"];
    let mut fields: BTreeMap<ObjectName, BTreeSet<FieldName>> = BTreeMap::new();
    for object in PEOPLE.map(ObjectName::from) {
        let Some(described) = schema.objects.get(&object) else { continue };
        let is_ours = object == settings.object;
        let mapped = rows.iter().map(|row| row.crm.clone()).filter(|_| is_ours);
        let wanted = mapped
            .chain(IDENTITY.map(FieldName::from))
            .chain([settings.external_id.clone()])
            .filter(|field| described.fields.contains_key(field));
        let wanted = wanted.collect();
        fields.insert(object, wanted);
    }
    Reading { external_id: Some(settings.external_id.clone()), fields }
}

/// Equal while nothing changed that planning depends on.
fn fingerprint(settings: &DestinationSettings, schema: &Schema) -> String {
    let mut hash = Sha256::new();
    let described = settings.rows.iter().map(|row| schema.field(&settings.object, &row.crm));
    hash.update(format!(
        "{:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        settings.rows,
        settings.object,
        settings.external_id,
        settings.external_id_value,
        settings.on_shared,
        settings.match_by,
        described.collect::<Vec<_>>(),
    ));
    hex::encode(&hash.finalize()[..16])
}
