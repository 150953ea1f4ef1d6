//! `leadrelay check --create-missing`: shows which custom fields would be created, asks at a terminal, and creates them.

use std::io::{self, IsTerminal, Write};

use anyhow::{Context, Result};
use serde::Serialize;

use super::output;
use crate::app::missing::{self, Found, Lack, Lacking};
use crate::config::Config;
use crate::crm::{CrmError, FieldMaking};

/// What became of one field.
#[derive(Debug, Serialize)]
pub(super) struct FieldReport {
    destination: String,
    object: String,
    field: String,
    #[serde(rename = "type")]
    kind: String,
    unique_external_id: bool,
    /// `created`; `shown`: it was there and our user sees it now; `failed`.
    outcome: &'static str,
    error: Option<String>,
}

impl FieldReport {
    pub(super) fn is_there(&self) -> bool {
        self.outcome != "failed"
    }
}

/// Creates what is missing after showing it, on stderr. Whoever sits at a terminal is asked first, unless `yes` is said.
pub(super) async fn run(config: &Config, yes: bool, permission_set: Option<&str>) -> Result<Vec<FieldReport>> {
    let asks = !yes && io::stdin().is_terminal();
    let Found { lacking: all, unasked } = missing::find(config, permission_set).await?;
    for (destination, why) in &unasked {
        let (subject, finding) = (&why.subject, output::visible(&why.finding));
        output::note(&format!(
            "{destination}: which custom fields are missing could not be asked: {subject}: {finding}"
        ));
    }
    let mut reports = Vec::new();
    for lacking in &all {
        tell_unmakeable(lacking);
        if lacking.fields.is_empty() {
            continue;
        }
        output::note(&format!("{}: fields to be created\n{}", lacking.destination, table(lacking)));
        let holder = match &lacking.holder {
            Ok(holder) => holder,
            Err(why) => {
                output::note(&format!("{}: nothing is created: {why}", lacking.destination));
                reports.extend(lacking.fields.iter().map(|lack| report(lacking, lack, Err(why.clone()))));
                continue;
            }
        };
        let question = format!(
            "Create {} in {}, and let the permission set {} read and edit them?",
            counted(&lacking.fields),
            lacking.destination,
            output::visible(&holder.name)
        );
        if asks && !confirmed(&question)? {
            output::note("nothing was created");
            continue;
        }
        let made = lacking.make(holder).await;
        reports.extend(lacking.fields.iter().zip(made).map(|(lack, made)| report(lacking, lack, made.map_err(told))));
    }
    if all.is_empty() && unasked.is_empty() {
        output::note("no custom field is missing that could be created");
    }
    Ok(reports)
}

fn tell_unmakeable(lacking: &Lacking) {
    for field in &lacking.unmakeable {
        output::note(&format!(
            "{}: {} is missing and cannot be created: {}",
            lacking.destination, field.subject, field.why
        ));
    }
}

fn table(lacking: &Lacking) -> String {
    let rows = lacking.fields.iter().map(|Lack { field, exists }| {
        let own = if field.is_key { ", unique external ID, case-sensitive" } else { "" };
        let what = match exists {
            true => "is there already and hidden: is shown to our user, and not changed".to_owned(),
            false => format!("{}{own}", field.kind.told()),
        };
        [format!("{}.{}", field.object, field.name), field.label.clone(), what]
    });
    output::table(["field", "label", "type"], rows)
}

fn counted(fields: &[Lack]) -> String {
    match fields {
        [_] => "1 field".to_owned(),
        fields => format!("{} fields", fields.len()),
    }
}

/// Asks at the terminal.
fn confirmed(question: &str) -> Result<bool> {
    let mut answer = String::new();
    let mut asked = io::stderr().lock();
    write!(asked, "{question} [y/N] ").and_then(|()| asked.flush()).context("cannot ask")?;
    io::stdin().read_line(&mut answer).context("cannot read the answer")?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

fn told(error: CrmError) -> String {
    match error {
        CrmError::Unknown { detail } => {
            format!("the CRM did not answer ({detail}); the field may have been created: run it again")
        }
        error => error.to_string(),
    }
}

fn report(lacking: &Lacking, lack: &Lack, made: Result<FieldMaking, String>) -> FieldReport {
    let (outcome, error) = match made {
        Ok(FieldMaking::Made) => ("created", None),
        Ok(FieldMaking::Shown) => ("shown", None),
        Err(error) => ("failed", Some(error)),
    };
    FieldReport {
        destination: lacking.destination.to_string(),
        object: lack.field.object.to_string(),
        field: lack.field.name.to_string(),
        kind: lack.field.kind.told(),
        unique_external_id: lack.field.is_key,
        outcome,
        error,
    }
}

/// One line for each field.
pub(super) fn for_people(reports: &[FieldReport]) -> String {
    let line = |report: &FieldReport| {
        let why = report.error.as_ref().map(|error| format!(": {}", output::visible(error))).unwrap_or_default();
        format!("{}: {}.{} {}{why}\n", report.destination, report.object, report.field, report.outcome)
    };
    reports.iter().map(line).collect()
}
