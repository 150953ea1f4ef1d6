//! The preflight: logs in to each CRM and compares the mapping with the live schema.

use std::sync::Arc;

use anyhow::Result;

use super::connect;
use crate::config::{Config, DestinationConfig};
use crate::crm::{Call, CallMeter, Crm, CrmError};
use crate::domain::check::{Finding, Severity, compare};
use crate::domain::ids::{DestinationName, ObjectName};
use crate::domain::record::Schema;

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
        let crm = connect(destination, Arc::new(Unmetered))?;
        checks.push(DestinationCheck { destination: name.clone(), findings: of(destination, &*crm).await });
    }
    Ok(checks)
}

/// What the CRM says of these objects now.
pub async fn describe(config: &DestinationConfig, objects: &[ObjectName]) -> Result<Schema> {
    Ok(connect(config, Arc::new(Unmetered))?.describe(objects).await?)
}

/// Checks one destination through an adapter that is at hand.
pub async fn of(config: &DestinationConfig, crm: &dyn Crm) -> Vec<Finding> {
    let object = &config.records.object;
    match crm.describe(std::slice::from_ref(object)).await {
        Ok(schema) => {
            let mut findings = compare(&config.fields, object, &config.records.external_id, &schema);
            findings.push(Finding {
                severity: Severity::Ok,
                subject: "login".to_owned(),
                finding: "the CRM accepts our login".to_owned(),
                remedy: String::new(),
            });
            findings
        }
        Err(error) => vec![unreachable(&error)],
    }
}

fn unreachable(error: &CrmError) -> Finding {
    let remedy = match error {
        CrmError::Unauthorised { .. } => {
            "compare client_id and client_secret with the connected app, and see that it has a run-as user"
        }
        CrmError::Unavailable { .. } | CrmError::Unknown { .. } => {
            "compare the login url with the org's My Domain address, and see whether this machine reaches it"
        }
        CrmError::SchemaDrift { .. } => "give the integration user rights on the object",
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
