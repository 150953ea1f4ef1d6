//! The preflight: logs in to each CRM and compares the mapping with the live schema.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;

use super::connect;
use crate::clock::Clock;
use crate::config::{Company, Config, DestinationConfig, RecordsConfig};
use crate::crm::salesforce::remedy;
use crate::crm::{Call, CallMeter, Crm, CrmError};
use crate::domain::check::{
    Finding, Severity, Written, compare, of_company, of_delete_flag, of_opportunity, of_people,
};
use crate::domain::divergence::{About, Divergence, DuplicateRule, RuleHolder, rule, words};
use crate::domain::ids::{DestinationName, FieldName, ObjectName, SourceName};
use crate::domain::mapping::{Direction, FieldRow, FieldType};
use crate::domain::matching::{KeyField, MatchedBy, OnAmbiguous};
use crate::domain::plan::OnDelete;
use crate::domain::record::Schema;
use crate::queue::destination::{Kinds, objects_read, written_opportunity};
use crate::source;

/// What the preflight of one destination found.
#[derive(Clone, Debug)]
pub struct DestinationCheck {
    pub destination: DestinationName,
    /// The worst first.
    pub findings: Vec<Finding>,
    /// What a new record must have; nothing where the CRM cannot be reached.
    pub required: Vec<FieldName>,
    /// Who takes what for a duplicate; nothing where the CRM cannot be reached.
    pub divergence: Option<Divergence>,
}

/// Checks every destination. A CRM that cannot be reached is a finding, not an error.
pub async fn run(config: &Config) -> Result<Vec<DestinationCheck>> {
    let presets = presets(config);
    let mut checks = Vec::new();
    for (name, destination) in &config.destinations {
        let crm = connect(destination, &Clock::system(), Arc::new(Unmetered))?;
        let (findings, required, divergence) = match look(destination, &*crm).await {
            Ok(look) => {
                let mut findings = compared(destination, &look.kinds, &look.schema, look.failures);
                if destination
                    .fields
                    .iter()
                    .any(|row| row.kind == FieldType::Owner && row.direction == Direction::ToCrm)
                {
                    findings.push(of_users(&*crm).await);
                    findings.sort_by_key(|finding| finding.severity);
                }
                findings.push(Finding {
                    severity: Severity::Ok,
                    subject: "login".to_owned(),
                    finding: "the CRM accepts our login".to_owned(),
                    remedy: String::new(),
                });
                (
                    findings,
                    required(&look.schema, &destination.records.object),
                    Some(divergence(name, destination, &presets, crm.duplicate_rules().await)),
                )
            }
            Err(unreachable) => (vec![unreachable], Vec::new(), None),
        };
        checks.push(DestinationCheck { destination: name.clone(), findings, required, divergence });
    }
    Ok(checks)
}

fn required(schema: &Schema, object: &ObjectName) -> Vec<FieldName> {
    let fields = schema.objects.get(object).into_iter().flat_map(|described| described.fields.values());
    fields.filter(|field| field.required_on_create()).map(|field| field.name.clone()).collect()
}

/// What the CRM says of these objects now.
pub async fn describe(config: &DestinationConfig, objects: &[ObjectName]) -> Result<Schema> {
    Ok(connect(config, &Clock::system(), Arc::new(Unmetered))?.describe(objects).await?)
}

/// What the CRM says of every object that is read.
pub(super) struct Look {
    pub kinds: Kinds,
    pub schema: Schema,
    /// The objects that it does not show us.
    pub failures: Vec<Finding>,
}

/// Looks at every object that is read, not only the one written. An error tells that the CRM cannot be asked.
pub(super) async fn look(config: &DestinationConfig, crm: &dyn Crm) -> Result<Look, Finding> {
    let kinds = kinds(config, crm);
    let (mut schema, mut failures) = (Schema::default(), Vec::new());
    for object in objects_read(&config.records.object, &kinds) {
        match crm.describe(std::slice::from_ref(&object)).await {
            Ok(described) => schema.objects.extend(described.objects),
            Err(error) if error.needs_person() => {
                let meanwhile = if kinds.is_opportunity(&object) { "nothing is written there" } else { NOTHING_SYNCED };
                failures.push(undescribed(&object, &error, meanwhile));
            }
            // The others would meet the same trouble.
            Err(error) => return Err(unreachable(&error)),
        }
    }
    Ok(Look { kinds, schema, failures })
}

/// Whether owners can be found among the CRM's users.
async fn of_users(crm: &dyn Crm) -> Finding {
    let users = crm.users();
    let subject = users.object.to_string();
    let described = match crm.describe(std::slice::from_ref(&users.object)).await {
        Ok(described) => described,
        Err(error) => return undescribed(&users.object, &error, NOTHING_SYNCED),
    };
    let hidden = users.fields.iter().find(|field| described.field(&users.object, field).is_none());
    match hidden {
        Some(field) => Finding {
            severity: Severity::Error,
            subject: format!("{subject}.{field}"),
            finding: "owners are found by it, and our user may not see it: nothing is synced".to_owned(),
            remedy: format!("make {subject}.{field} visible to the integration user"),
        },
        None => Finding {
            severity: Severity::Ok,
            subject,
            finding: "owners are found by their address".to_owned(),
            remedy: String::new(),
        },
    }
}

/// The kinds of records that the destination reads.
pub(super) fn kinds(config: &DestinationConfig, crm: &dyn Crm) -> Kinds {
    let company = (config.records.company != Company::Inline).then(|| crm.companies());
    Kinds { people: crm.people(), company, opportunity: written_opportunity(crm, &config.fields) }
}

/// One kind of record that is written.
pub(super) struct Part<'c> {
    pub rows: Cow<'c, [FieldRow]>,
    pub object: ObjectName,
    pub written: Written<'c>,
    /// The field that says that the lead was deleted.
    pub delete_flag: Option<&'c FieldName>,
}

/// The kinds of people's records that are written: the one that leads become, and those with rows.
fn written_people<'c>(config: &'c DestinationConfig, kinds: &'c Kinds) -> Vec<&'c ObjectName> {
    let own = &config.records.object;
    let has_rows = |object: &&ObjectName| config.fields.iter().any(|row| row.on.contains(object));
    let others = kinds.people.iter().map(|person| &person.object).filter(|object| *object != own);
    [own].into_iter().chain(others.filter(has_rows)).collect()
}

/// Every kind of record that the destination writes.
pub(super) fn parts<'c>(config: &'c DestinationConfig, kinds: &'c Kinds) -> Vec<Part<'c>> {
    let records = &config.records;
    let external_id = Some(&records.external_id);
    let delete_flag = match &records.on_delete {
        OnDelete::Flag(field) => Some(field),
        OnDelete::Ignore | OnDelete::Delete => None,
    };
    let person = |object: &ObjectName, made: bool| Part {
        rows: Cow::Borrowed(&config.fields),
        object: object.clone(),
        written: Written { external_id, made, not_without: None },
        delete_flag,
    };
    let people = written_people(config, kinds).into_iter();
    let mut parts: Vec<Part<'c>> = people.map(|object| person(object, *object == records.object)).collect();
    if let Some(company) = &kinds.company {
        let made = records.company == Company::Account;
        parts.push(Part {
            rows: Cow::Owned(company.with_own_rows(&config.fields)),
            object: company.object.clone(),
            written: Written { external_id: external_id.filter(|_| made), made, not_without: Some(&company.name) },
            delete_flag: None,
        });
    }
    parts.extend(kinds.opportunity.iter().map(|opportunity| Part {
        rows: Cow::Borrowed(&config.fields),
        object: opportunity.object.clone(),
        written: Written { external_id: None, made: false, not_without: None },
        delete_flag: None,
    }));
    parts
}

/// Which field carries our key, and how that is formed.
pub(super) fn key_of(records: &RecordsConfig) -> (KeyField, String) {
    let key = KeyField { object: records.object.clone(), field: records.external_id.clone() };
    (key, records.external_id_value.to_string())
}

/// What the schema says of the mapping, besides what kept parts of it from being described; the worst first.
pub(super) fn compared(
    config: &DestinationConfig,
    kinds: &Kinds,
    schema: &Schema,
    failures: Vec<Finding>,
) -> Vec<Finding> {
    let records = &config.records;
    let mut findings = failures;
    let all_described = findings.is_empty();
    for part in parts(config, kinds) {
        if all_described || schema.objects.contains_key(&part.object) {
            findings.extend(compare(&part.rows, &part.object, part.written, schema));
            findings.extend(part.delete_flag.and_then(|flag| of_delete_flag(&part.object, flag, schema)));
        }
    }
    let people = written_people(config, kinds);
    if let Some(company) = &kinds.company {
        findings.extend(of_company(&company.object, &people, &config.fields, schema));
    }
    if let Some(opportunity) = &kinds.opportunity {
        findings.extend(of_opportunity(opportunity, &people, &config.fields, schema));
    }
    findings.extend(of_people(&kinds.people, &records.match_by, schema));
    findings.sort_by_key(|finding| finding.severity);
    findings
}

/// The preset of each source.
pub(super) fn presets(config: &Config) -> BTreeMap<SourceName, String> {
    config.sources.iter().map(|(name, source)| (name.clone(), source.preset.clone())).collect()
}

/// The duplicate rules of the lead systems, ours and the CRM's side by side.
pub(super) fn divergence(
    name: &DestinationName,
    config: &DestinationConfig,
    presets: &BTreeMap<SourceName, String>,
    crm: Result<Vec<DuplicateRule>, CrmError>,
) -> Divergence {
    let of_source = |source: &SourceName| {
        let rules = presets.get(source).and_then(|preset| source::duplicate_rules(preset));
        let unknown = "what this lead system takes for duplicates is not known to leadrelay".to_owned();
        RuleHolder { name: source.to_string(), rules: rules.ok_or(unknown) }
    };
    let mut holders: Vec<RuleHolder> = config.sources.iter().map(of_source).collect();
    holders.push(RuleHolder { name: "leadrelay".to_owned(), rules: Ok(our_rules(&config.records)) });
    let crm = crm.map_err(|error| format!("the CRM does not show its duplicate rules: {error}"));
    holders.push(RuleHolder { name: name.to_string(), rules: crm });
    Divergence::of(&holders)
}

/// What a lead's record is recognised by before one is made.
fn our_rules(records: &RecordsConfig) -> Vec<DuplicateRule> {
    let several = match records.on_ambiguous {
        OnAmbiguous::Review => "a person is asked",
        OnAmbiguous::Oldest => "the oldest is taken",
        OnAmbiguous::Newest => "the newest is taken",
        OnAmbiguous::Create => "the lead gets one of its own",
    };
    let steps = records.match_by.iter().zip(1..).filter_map(|(by, step): (_, u32)| {
        let then = format!("the record is taken (step {step}); of several, {several}");
        let same: &[&str] = match by {
            MatchedBy::ExternalId => &[words::EXTERNAL_ID],
            MatchedBy::Email => &[words::EMAIL],
            MatchedBy::NameAndCompanyDomain => &[words::NAME, words::COMPANY_DOMAIN],
            MatchedBy::Link
            | MatchedBy::CompanyDomain
            | MatchedBy::CompanyName
            | MatchedBy::CompanyContacts
            | MatchedBy::DuplicateRule => return None,
        };
        Some(rule(About::Person, same, &then))
    });
    let mut rules: Vec<DuplicateRule> = steps.collect();
    if records.company != Company::Inline {
        let by_people = records.company_by_contacts.then_some(words::COMPANY_PEOPLE);
        let company = [words::COMPANY_DOMAIN, words::COMPANY_NAME].into_iter().chain(by_people);
        let then = "the company's record is taken; of several, a person is asked";
        rules.extend(company.map(|same| rule(About::Company, &[same], then)));
    }
    rules
}

/// What follows from a describe that failed.
pub(super) const NOTHING_SYNCED: &str = "nothing is synced";

/// What to do about a describe that failed.
pub(super) fn undescribed(object: &ObjectName, error: &CrmError, meanwhile: &str) -> Finding {
    if !error.needs_person() {
        return unreachable(error);
    }
    let remedy = format!(
        "give the integration user read access to {object} and what else the message names (README, step 3); \
         {meanwhile} until then"
    );
    let finding = format!("the CRM does not show us its fields: {error}");
    Finding { severity: Severity::Error, subject: object.to_string(), finding, remedy }
}

fn unreachable(error: &CrmError) -> Finding {
    let remedy = match error {
        CrmError::Unauthorised { code, .. } => remedy(code).todo,
        CrmError::Unavailable { .. } | CrmError::Unknown { .. } => {
            "compare the login url with the org's My Domain address, and see whether this machine reaches it"
        }
        _ => "see what the CRM says, mend it there, and check again",
    };
    Finding {
        severity: Severity::Error,
        subject: "login".to_owned(),
        finding: format!("{error} ({})", error.code()),
        remedy: remedy.to_owned(),
    }
}

/// Nobody counts the calls of a command that ends.
pub(super) struct Unmetered;

impl CallMeter for Unmetered {
    fn called(&self, _: &Call) {}
}
