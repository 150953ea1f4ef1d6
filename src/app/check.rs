//! The preflight: logs in to each CRM and compares the mapping with the live schema.

use std::sync::Arc;

use anyhow::Result;

use super::connect;
use crate::clock::Clock;
use crate::config::{Company, Config, DestinationConfig};
use crate::crm::salesforce::remedy;
use crate::crm::{Call, CallMeter, Crm, CrmError};
use crate::domain::check::{Finding, Severity, Written, compare, of_people};
use crate::domain::ids::{DestinationName, ObjectName};
use crate::domain::mapping::{Direction, FieldRow, FieldType};
use crate::domain::record::Schema;
use crate::queue::destination::{Kinds, objects_read};

/// What the preflight of one destination found; the worst first.
#[derive(Clone, Debug)]
pub struct DestinationCheck {
    pub destination: DestinationName,
    pub findings: Vec<Finding>,
}

/// Checks every destination. A CRM that cannot be reached is a finding, not an error.
pub async fn run(config: &Config) -> Result<Vec<DestinationCheck>> {
    let mut checks = Vec::new();
    for (name, destination) in &config.destinations {
        let crm = connect(destination, &Clock::system(), Arc::new(Unmetered))?;
        checks.push(DestinationCheck { destination: name.clone(), findings: of(destination, &*crm).await });
    }
    Ok(checks)
}

/// What the CRM says of these objects now.
pub async fn describe(config: &DestinationConfig, objects: &[ObjectName]) -> Result<Schema> {
    Ok(connect(config, &Clock::system(), Arc::new(Unmetered))?.describe(objects).await?)
}

/// Checks one destination through an adapter that is at hand: every object that is read, not only the one written.
pub async fn of(config: &DestinationConfig, crm: &dyn Crm) -> Vec<Finding> {
    let kinds = kinds(config, crm);
    let (mut schema, mut failures) = (Schema::default(), Vec::new());
    for object in objects_read(&config.records.object, &kinds) {
        match crm.describe(std::slice::from_ref(&object)).await {
            Ok(described) => schema.objects.extend(described.objects),
            Err(error) if error.needs_person() => failures.push((object, error)),
            // The others would meet the same trouble.
            Err(error) => return vec![unreachable(&error)],
        }
    }
    let failures: Vec<Finding> = failures.iter().map(|(object, error)| undescribed(object, error)).collect();
    let mut findings = compared(config, &kinds, &schema, failures);
    if config.fields.iter().any(|row| row.kind == FieldType::Owner && row.direction == Direction::ToCrm) {
        findings.insert(0, of_users(crm).await);
    }
    findings.sort_by_key(|finding| finding.severity);
    findings.push(Finding {
        severity: Severity::Ok,
        subject: "login".to_owned(),
        finding: "the CRM accepts our login".to_owned(),
        remedy: String::new(),
    });
    findings
}

/// Whether owners can be found among the CRM's users.
async fn of_users(crm: &dyn Crm) -> Finding {
    let users = crm.users();
    let subject = users.object.to_string();
    let described = match crm.describe(std::slice::from_ref(&users.object)).await {
        Ok(described) => described,
        Err(error) => return undescribed(&users.object, &error),
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
    Kinds { people: crm.people(), company: (config.records.company != Company::Inline).then(|| crm.companies()) }
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
    let mut add = |rows: &[FieldRow], object: &ObjectName, written: Written<'_>| {
        if all_described || schema.objects.contains_key(object) {
            findings.extend(compare(rows, object, written, schema));
        }
    };
    let has_rows = |object: &ObjectName| config.fields.iter().any(|row| row.on.contains(object));
    let external_id = Some(&records.external_id);
    add(&config.fields, &records.object, Written { external_id, made: true });
    for person in kinds.people.iter().map(|person| &person.object).filter(|object| **object != records.object) {
        if has_rows(person) {
            add(&config.fields, person, Written { external_id, made: false });
        }
    }
    if let Some(company) = &kinds.company {
        let made = records.company == Company::Account;
        let written = Written { external_id: external_id.filter(|_| made), made };
        add(&company.with_own_rows(&config.fields), &company.object, written);
    }
    let opportunity = ObjectName::from("Opportunity");
    if has_rows(&opportunity) {
        findings.push(Finding {
            severity: Severity::Warning,
            subject: opportunity.to_string(),
            finding: "the mapping has rows for it, and no lead is made an opportunity yet".to_owned(),
            remedy: "nothing: the rows stand in the mapping document and are not written".to_owned(),
        });
    }
    findings.extend(of_people(&kinds.people, &records.match_by, schema));
    findings.sort_by_key(|finding| finding.severity);
    findings
}

/// What to do about a describe that failed.
pub(super) fn undescribed(object: &ObjectName, error: &CrmError) -> Finding {
    if !error.needs_person() {
        return unreachable(error);
    }
    let remedy = format!(
        "give the integration user read access to {object} and what else the message names (README, step 3); \
         nothing is synced until then"
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

struct Unmetered;

impl CallMeter for Unmetered {
    fn called(&self, _: &Call) {}
}
