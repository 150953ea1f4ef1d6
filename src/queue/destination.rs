//! One destination at work: its settings, its CRM, and the rules that its mapping and the CRM's schema make together.

mod beside;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::Notify;
use tracing::{info, warn};

pub use self::beside::written_opportunity;
use self::beside::{company_rules, opportunity_reading, opportunity_rules};
use super::explain::Looks;
use super::keys::InFlight;
use super::owners::KnownOwners;
use super::verdict::RetryPolicy;
use crate::clock::Clock;
use crate::config::ExternalIdTemplate;
use crate::crm::gate::Gate;
use crate::crm::{CompanyReading, Crm, CrmError, OnDuplicate, Reading};
use crate::domain::cel::Expression;
use crate::domain::company::CompanyObject;
use crate::domain::envelope::{Reader, TimeFormat};
use crate::domain::ids::{DestinationName, FieldName, ObjectName, SourceName};
use crate::domain::job::Class;
use crate::domain::listed::Listed;
use crate::domain::mapping::{Covered, Direction, FieldRow, Take};
use crate::domain::matching::{KeyField, MatchRules, MatchedBy, OnAmbiguous, OnShared, PersonObject};
use crate::domain::opportunity::OpportunityObject;
use crate::domain::plan::{OnCrmDelete, OnDelete, SyncRules};
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

/// The kinds of records that a CRM has for people and, where they are looked up, for companies and opportunities.
#[derive(Clone, Debug)]
pub struct Kinds {
    pub people: Vec<PersonObject>,
    pub company: Option<CompanyObject>,
    pub opportunity: Option<OpportunityObject>,
}

impl Kinds {
    fn of(crm: &dyn Crm, settings: &DestinationSettings) -> Self {
        let company = settings.company.as_ref().map(|_| crm.companies());
        Self { people: crm.people(), company, opportunity: written_opportunity(crm, &settings.rows) }
    }

    pub fn is_opportunity(&self, object: &ObjectName) -> bool {
        self.opportunity.as_ref().is_some_and(|opportunity| opportunity.object == *object)
    }
}

/// The objects whose fields must be known: the one that is written, and all that a person, a company or an opportunity may be.
pub fn objects_read(object: &ObjectName, kinds: &Kinds) -> BTreeSet<ObjectName> {
    let company = kinds.company.iter().map(|company| &company.object);
    let beside = company.chain(kinds.opportunity.iter().map(|opportunity| &opportunity.object));
    kinds.people.iter().map(|person| &person.object).chain([object]).chain(beside).cloned().collect()
}

/// The other kinds of records that a lead may be: those of people that the mapping has rows for.
fn others(settings: &DestinationSettings, people: &[PersonObject]) -> BTreeSet<ObjectName> {
    let has_rows = |object: &&ObjectName| {
        **object != settings.object
            && settings.rows.iter().any(|row| row.direction == Direction::ToCrm && row.on.contains(object))
    };
    people.iter().map(|person| &person.object).filter(has_rows).cloned().collect()
}

/// The fields by which records are recognised.
fn keys(settings: &DestinationSettings, kinds: &Kinds) -> Vec<KeyField> {
    let ours = |object: ObjectName| KeyField { object, field: settings.external_id.clone() };
    let written = others(settings, &kinds.people).into_iter().chain([settings.object.clone()]);
    let people = kinds.people.iter().flat_map(|person| person.keys(&settings.match_by));
    let makes = settings.company.as_ref().is_some_and(|company| company.create);
    let company = kinds.company.iter().flat_map(|company| {
        let key = |field: &FieldName| KeyField { object: company.object.clone(), field: field.clone() };
        // Without our key on it a company could be made twice.
        let ours = Some(&settings.external_id).filter(|_| makes);
        [&company.name, &company.website].into_iter().chain(ours).map(key).collect::<Vec<_>>()
    });
    people.chain(company).chain(written.map(ours)).collect()
}

/// The rules for each kind of record.
fn rules_of_all(rules: &SyncRules) -> impl Iterator<Item = (&ObjectName, &SyncRules)> {
    [(&rules.matching.object, rules)].into_iter().chain(&rules.others)
}

fn make_rules(settings: &DestinationSettings, kinds: &Kinds, schema: Schema, seen_at: Timestamp) -> Rules {
    let others = others(settings, &kinds.people);
    let company = kinds.company.as_ref().and_then(|object| company_rules(object, settings, &schema)).map(Arc::new);
    let rules_for = |object: &ObjectName| SyncRules {
        company: company.clone(),
        ..rules_for(object, &settings.rows, settings, &others, &schema)
    };
    let mut sync = rules_for(&settings.object);
    let opportunity = kinds.opportunity.as_ref().map(|object| opportunity_rules(object, settings, &schema));
    sync.opportunity = opportunity.map(Arc::new);
    sync.others = others.iter().map(|object| (object.clone(), rules_for(object))).collect();
    let reading = reading(settings, &kinds.people, &sync);
    let keys = keys(settings, kinds).into_iter();
    let missing_keys = keys.filter(|key| schema.field(&key.object, &key.field).is_none()).collect();
    let fingerprint = fingerprint(settings, &sync);
    Rules { sync, reading, fingerprint, seen_at, missing_keys }
}

/// The rules for records of one kind.
fn rules_for(
    object: &ObjectName,
    rows: &[FieldRow],
    settings: &DestinationSettings,
    others: &BTreeSet<ObjectName>,
    schema: &Schema,
) -> SyncRules {
    let rows: Vec<FieldRow> = rows.iter().filter(|row| row.on.contains(object)).cloned().collect();
    let taking = |part: Take| rows.iter().find(|row| row.take == Some(part)).map(|row| row.crm.clone());
    let matching = MatchRules {
        object: object.clone(),
        others: others.clone(),
        by: settings.match_by.clone(),
        on_ambiguous: settings.on_ambiguous,
        first_name: taking(Take::FirstName),
        last_name: taking(Take::LastName),
    };
    SyncRules {
        filter: settings.filter.clone(),
        refuses_beside: settings.refuse_unmapped.then(|| Covered::by(&settings.rows)),
        rows,
        external_id: settings.external_id.clone(),
        matching,
        on_shared: settings.on_shared,
        on_crm_delete: settings.on_crm_delete,
        on_delete: settings.on_delete.clone(),
        company: None,
        opportunity: None,
        schema: schema.clone(),
        others: BTreeMap::new(),
    }
}

/// Every mapped field that the CRM has; of the other objects that a person may be, what tells who it is.
fn reading(settings: &DestinationSettings, people: &[PersonObject], rules: &SyncRules) -> Reading {
    let flag = match &settings.on_delete {
        OnDelete::Flag(field) => Some(field),
        OnDelete::Ignore | OnDelete::Delete => None,
    };
    let mut fields: BTreeMap<ObjectName, BTreeSet<FieldName>> = BTreeMap::new();
    for person in people {
        let Some(described) = rules.schema.objects.get(&person.object) else { continue };
        let mapped = rules.of(&person.object).into_iter().flat_map(|rules| &rules.rows).map(|row| &row.crm);
        let lookup = rules.company.as_ref().and_then(|company| company.lookups.get(&person.object));
        let wanted = mapped
            .clone()
            .chain(mapped.flat_map(|field| described.goes_with(field)))
            .chain(person.identity())
            .chain([&settings.external_id])
            .chain(lookup)
            .chain(flag)
            .filter(|field| described.fields.contains_key(field))
            .cloned();
        fields.insert(person.object.clone(), wanted.collect());
    }
    let companies = rules.company.as_ref().zip(settings.company.as_ref()).map(|(company, of)| {
        let described = rules.schema.objects.get(&company.object.object);
        let mapped = company.rows.rows.iter().map(|row| &row.crm);
        let wanted = mapped.chain([&company.object.name, &company.object.website, &settings.external_id]);
        let is_there = |field: &&FieldName| described.is_some_and(|described| described.fields.contains_key(field));
        let fields = wanted.filter(is_there).cloned().collect();
        CompanyReading { object: company.object.clone(), fields, by_contacts: of.by_contacts }
    });
    let opportunities = rules.opportunity.as_deref().map(opportunity_reading);
    Reading { external_id: Some(settings.external_id.clone()), fields, companies, opportunities }
}

/// Equal while nothing changed that planning depends on.
fn fingerprint(settings: &DestinationSettings, rules: &SyncRules) -> String {
    let mut hash = Sha256::new();
    let rows: Vec<FieldRow> = settings.rows.iter().map(|row| FieldRow { note: None, ..row.clone() }).collect();
    let flag = match &settings.on_delete {
        OnDelete::Flag(field) => Some(field),
        OnDelete::Ignore | OnDelete::Delete => None,
    };
    let company = rules.company.as_deref();
    let of_people = rules_of_all(rules).flat_map(|(object, of)| {
        let lookup = company.and_then(|company| company.lookups.get(object));
        of.rows.iter().map(|row| &row.crm).chain(lookup).chain(flag).map(move |field| (object, field))
    });
    let of_companies = company
        .into_iter()
        .flat_map(|company| company.rows.rows.iter().map(move |row| (&company.object.object, &row.crm)));
    let opportunity = rules.opportunity.as_deref();
    let of_opportunities =
        opportunity.into_iter().flat_map(|of| of.rows.rows.iter().map(move |row| (&of.object.object, &row.crm)));
    let described =
        of_people.chain(of_companies).chain(of_opportunities).map(|(object, field)| rules.schema.field(object, field));
    hash.update(format!(
        "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        settings.company,
        rows,
        settings.filter,
        settings.refuse_unmapped,
        settings.object,
        settings.external_id,
        settings.external_id_value,
        settings.on_shared,
        settings.match_by,
        settings.on_ambiguous,
        settings.on_crm_delete,
        settings.on_delete,
        described.collect::<Vec<_>>(),
    ));
    hex::encode(&hash.finalize()[..16])
}

#[cfg(test)]
mod tests;
