//! The rules that a destination's mapping, its settings and the CRM's schema make together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::DestinationSettings;
use super::beside::{company_rules, opportunity_reading, opportunity_rules, written_opportunity};
use crate::crm::{CompanyReading, Crm, Reading};
use crate::domain::company::CompanyObject;
use crate::domain::ids::{FieldName, ObjectName};
use crate::domain::mapping::{Covered, Direction, FieldRow, Take};
use crate::domain::matching::{KeyField, MatchRules, PersonObject};
use crate::domain::opportunity::OpportunityObject;
use crate::domain::plan::{OnDelete, SyncRules};
use crate::domain::record::Schema;
use crate::domain::time::Timestamp;

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

/// The kinds of records that a CRM has for people and, where they are looked up, for companies and opportunities.
#[derive(Clone, Debug)]
pub struct Kinds {
    pub people: Vec<PersonObject>,
    pub company: Option<CompanyObject>,
    pub opportunity: Option<OpportunityObject>,
}

impl Kinds {
    pub(super) fn of(crm: &dyn Crm, settings: &DestinationSettings) -> Self {
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
pub(super) fn rules_of_all(rules: &SyncRules) -> impl Iterator<Item = (&ObjectName, &SyncRules)> {
    [(&rules.matching.object, rules)].into_iter().chain(&rules.others)
}

pub(super) fn make_rules(settings: &DestinationSettings, kinds: &Kinds, schema: Schema, seen_at: Timestamp) -> Rules {
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
pub(super) fn rules_for(
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
        key_form: settings.external_id_value.to_string(),
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
