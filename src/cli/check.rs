//! `leadrelay check`: is what is configured right, and does it fit the CRM?

mod unsaid;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Result;
use clap::Args as Arguments;
use serde::Serialize;

use super::create_missing::{self, FieldReport};
use super::exit::Exit;
use super::{mapping, output};
use crate::app::check::{self, DestinationCheck};
use crate::app::database;
use crate::config::{Config, ConfigError, ConfigErrors, DestinationConfig, Unmapped};
use crate::domain::check::{Finding, Severity};
use crate::domain::divergence::{Criterion, Divergence};
use crate::domain::ids::DestinationName;
use crate::domain::mapping::FieldRow;

#[derive(Debug, Arguments)]
pub(super) struct Args {
    /// Look at the configuration only, and ask neither the CRMs nor the database. Which fields leads had, as the database knows,
    /// tells of slips in the mapping.
    #[arg(long)]
    offline: bool,
    /// Show which custom fields of the mapping the CRM does not have, ask (at a terminal only), create them with the rights to read
    /// and edit them, and check again. Fields that are there are not changed.
    #[arg(long, conflicts_with = "offline")]
    create_missing: bool,
    /// Create them without asking, at a terminal too.
    #[arg(long, requires = "create_missing")]
    yes: bool,
    /// The permission set of the integration user that is given the new fields, where it has several.
    #[arg(long, value_name = "NAME", requires = "create_missing")]
    permission_set: Option<String>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Prints every finding with what to do about it; something wrong in the CRM ends with 1, in the configuration with 2.
/// Changes nothing anywhere, but for `--create-missing`.
pub(super) async fn run(args: Args, path: &Path, config: Result<Config, ConfigErrors>) -> Result<Exit> {
    let config = match config {
        Ok(config) => config,
        Err(errors) if args.json => {
            output::print_json(&Report::of_mistakes(path, &errors))?;
            return Ok(Exit::WrongUsage);
        }
        Err(errors) => return Err(errors.into()),
    };
    let created = match args.create_missing {
        true => Some(create_missing::run(&config, args.yes, args.permission_set.as_deref()).await?),
        false => None,
    };
    let checks = if args.offline { Vec::new() } else { check::run(&config).await? };
    let mut report = Report::of(path, &config, &checks);
    report.ok &= created.iter().flatten().all(FieldReport::is_there);
    report.created = created;
    let looked = if args.offline { None } else { Some(database::look(&config).await) };
    if let Some(looked) = &looked {
        report.add_database(looked);
    }
    let sources = mapping::source_fields(&config, looked.map(|looked| looked.seen).unwrap_or_default());
    for (name, destination) in &config.destinations {
        let known = mapping::lead_fields(&sources, destination);
        if destination.sources.iter().all(|source| sources.get(source).is_some_and(|source| source.is_told)) {
            report.configuration.warnings.extend(unheard_of(name, destination, &known));
        }
        let required = checks.iter().find(|check| check.destination == *name).map_or(&[][..], |check| &check.required);
        report.configuration.warnings.extend(unsaid::of_sources(name, &config, &sources, required));
        for told in report.destinations.iter_mut().filter(|told| told.destination == name.as_str()) {
            let has_row = |field: &&String| is_synced(destination, field);
            told.without_a_row = known.iter().filter(|field| !has_row(field)).cloned().collect();
        }
    }
    if args.json {
        output::print_json(&report)?;
    } else {
        output::print(&report.for_people(args.offline))?;
    }
    Ok(if report.ok { Exit::Good } else { Exit::FoundWrong })
}

/// Whether a row takes the field, be it as a line of the note for attributes without a row of their own.
fn is_synced(destination: &DestinationConfig, field: &str) -> bool {
    let noted = matches!(destination.records.unmapped, Unmapped::Note(_)) && field.starts_with("attributes.");
    noted || destination.fields.iter().flat_map(FieldRow::reads).any(|path| path == field)
}

/// Rows whose lead field no source is known to send: most likely a slip of the pen. Custom attributes are anybody's.
fn unheard_of(name: &DestinationName, destination: &DestinationConfig, known: &BTreeSet<String>) -> Vec<String> {
    let of_rows = destination
        .fields
        .iter()
        .flat_map(|row| row.reads().map(move |path| (path, format!("the row for {}", row.crm))));
    let of_filter = destination
        .filter
        .iter()
        .flat_map(|filter| filter.reads().iter().map(|path| (path.as_str(), "the filter".to_owned())));
    let is_known = |path: &str| {
        // Of a path into a field the field is enough; `attributes` and `lead` are all of them.
        let front = path.split('.').next().unwrap_or(path);
        matches!(front, "attributes" | "lead") || known.contains(path) || known.contains(front)
    };
    let warning = |(path, place): (&str, String)| {
        let alike = known.iter().max_by(|a, b| strsim::jaro(a, path).total_cmp(&strsim::jaro(b, path)));
        let meant = alike.map(|field| format!("; did you mean {field:?}?")).unwrap_or_default();
        format!("destinations.{name}: no source is known to send the lead field {path:?} of {place}{meant}")
    };
    of_rows.chain(of_filter).filter(|(path, _)| !is_known(path)).map(warning).collect()
}

#[derive(Debug, Serialize)]
struct Report {
    ok: bool,
    configuration: OfConfiguration,
    /// What became of the fields that were missing, with `--create-missing`.
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<Vec<FieldReport>>,
    /// Of the database; nothing where it was not asked.
    database: Vec<Found>,
    destinations: Vec<OfDestination>,
}

#[derive(Debug, Serialize)]
struct OfConfiguration {
    file: String,
    errors: Vec<Mistake>,
    /// One sentence each, starting with the key.
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Mistake {
    line: Option<usize>,
    key: String,
    problem: String,
    remedy: String,
}

#[derive(Debug, Serialize)]
struct OfDestination {
    destination: String,
    ok: bool,
    findings: Vec<Found>,
    /// Lead fields that are not synced, since no row of the mapping takes them.
    without_a_row: Vec<String>,
    /// What the lead systems, leadrelay and the CRM take for duplicates.
    duplicate_rules: Vec<OfCriterion>,
    /// Whose rules are not known, and why.
    duplicate_rules_unknown: Vec<String>,
}

/// What two records may have in common.
#[derive(Debug, Serialize)]
struct OfCriterion {
    about: &'static str,
    same: String,
    /// By holder, what follows.
    caught_by: BTreeMap<String, String>,
    missed_by: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Found {
    severity: &'static str,
    subject: String,
    finding: String,
    remedy: Option<String>,
}

impl Report {
    fn of(path: &Path, config: &Config, checks: &[DestinationCheck]) -> Self {
        let destinations: Vec<OfDestination> = checks.iter().map(OfDestination::from).collect();
        Self {
            ok: destinations.iter().all(|destination| destination.ok),
            configuration: OfConfiguration {
                file: path.display().to_string(),
                errors: Vec::new(),
                warnings: config.warnings(),
            },
            created: None,
            database: Vec::new(),
            destinations,
        }
    }

    fn add_database(&mut self, looked: &database::Looked) {
        self.ok &= looked.finding.severity != Severity::Error;
        self.database = vec![Found::from(&looked.finding)];
        for (name, finding) in &looked.of_destinations {
            for told in self.destinations.iter_mut().filter(|told| told.destination == name.as_str()) {
                told.findings.push(Found::from(finding));
            }
        }
    }

    fn of_mistakes(path: &Path, errors: &ConfigErrors) -> Self {
        Self {
            ok: false,
            configuration: OfConfiguration {
                file: path.display().to_string(),
                errors: errors.iter().map(Mistake::from).collect(),
                warnings: Vec::new(),
            },
            created: None,
            database: Vec::new(),
            destinations: Vec::new(),
        }
    }

    fn for_people(&self, offline: bool) -> String {
        let mut text = format!("{}: the configuration is right\n", self.configuration.file);
        text.push_str(&create_missing::for_people(self.created.as_deref().unwrap_or_default()));
        for warning in &self.configuration.warnings {
            text.push_str(&format!("  note: {warning}\n"));
        }
        if !self.database.is_empty() {
            text.push_str(&format!("\nthe database\n{}\n", table_of(&self.database)));
        }
        for destination in &self.destinations {
            text.push_str(&format!("\n{}\n{}\n", destination.destination, table_of(&destination.findings)));
            if !destination.without_a_row.is_empty() {
                let fields = destination.without_a_row.join(", ");
                text.push_str(&format!("  note: these lead fields have no row and are not synced: {fields}\n"));
            }
            text.push_str(&destination.duplicates_for_people());
        }
        let count = |severity: Severity| {
            let findings = self.destinations.iter().flat_map(|destination| &destination.findings);
            findings.chain(&self.database).filter(|found| found.severity == severity.as_str()).count()
        };
        if offline {
            text.push_str("Neither a CRM nor the database was asked.\n");
        } else {
            let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
            text.push_str(&format!("\n{}, {}\n", counted(errors, "error"), counted(warnings, "warning")));
        }
        text
    }
}

impl OfDestination {
    /// Who takes what for a duplicate.
    fn duplicates_for_people(&self) -> String {
        let mut text = String::new();
        if !self.duplicate_rules.is_empty() {
            // One line for each who catches it.
            let rows = self.duplicate_rules.iter().flat_map(|row| {
                let heads = std::iter::once((format!("{}: {}", row.about, row.same), row.missed_by.join(", ")));
                let heads = heads.chain(std::iter::repeat_with(Default::default));
                let caught = row.caught_by.iter().map(|(who, then)| format!("{who}: {then}"));
                caught.zip(heads).map(|(caught, (same, missed))| [same, caught, missed])
            });
            text.push_str(&format!(
                "\nwhat counts as a duplicate\n{}\n",
                output::table(["the same", "caught by", "not caught by"], rows)
            ));
        }
        for why in &self.duplicate_rules_unknown {
            text.push_str(&format!("  note: {why}\n"));
        }
        text
    }
}

impl OfCriterion {
    fn of(criterion: &Criterion, holders: &[String]) -> Self {
        let caught = holders.iter().zip(&criterion.caught);
        Self {
            about: criterion.about.as_str(),
            same: criterion.same.clone(),
            caught_by: caught.filter_map(|(who, then)| Some((who.clone(), then.clone()?))).collect(),
            missed_by: criterion.missed_by.clone(),
        }
    }
}

fn table_of(findings: &[Found]) -> String {
    let rows = findings.iter().map(|found| {
        let remedy = found.remedy.clone().unwrap_or_default();
        [found.severity.to_owned(), found.subject.clone(), found.finding.clone(), remedy]
    });
    output::table(["", "subject", "finding", "what to do"], rows)
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

impl From<&ConfigError> for Mistake {
    fn from(error: &ConfigError) -> Self {
        Self { line: error.line, key: error.key.clone(), problem: error.problem.clone(), remedy: error.remedy.clone() }
    }
}

impl From<&DestinationCheck> for OfDestination {
    fn from(check: &DestinationCheck) -> Self {
        let told = check.divergence.as_ref();
        let criteria = |divergence: &Divergence| {
            divergence.criteria.iter().map(|row| OfCriterion::of(row, &divergence.holders)).collect()
        };
        Self {
            destination: check.destination.to_string(),
            ok: check.findings.iter().all(|finding| finding.severity != Severity::Error),
            findings: check.findings.iter().map(Found::from).collect(),
            without_a_row: Vec::new(),
            duplicate_rules: told.map_or_else(Vec::new, criteria),
            duplicate_rules_unknown: told.map_or_else(Vec::new, |divergence| divergence.unknown.clone()),
        }
    }
}

impl From<&Finding> for Found {
    fn from(finding: &Finding) -> Self {
        Self {
            severity: finding.severity.as_str(),
            subject: finding.subject.clone(),
            finding: finding.finding.clone(),
            remedy: Some(finding.remedy.clone()).filter(|remedy| !remedy.is_empty()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(severity: Severity, remedy: &str) -> Finding {
        Finding { severity, subject: "Lead.Email".into(), finding: "it is so".into(), remedy: remedy.into() }
    }

    fn report(findings: Vec<Finding>) -> Report {
        let destinations = vec![OfDestination::from(&DestinationCheck {
            destination: "salesforce".into(),
            findings,
            required: Vec::new(),
            divergence: None,
        })];
        let configuration = OfConfiguration { file: "x.toml".into(), errors: Vec::new(), warnings: Vec::new() };
        Report { ok: destinations[0].ok, configuration, created: None, database: Vec::new(), destinations }
    }

    #[test]
    fn a_warning_is_told_and_only_an_error_is_wrong() {
        let warned = report(vec![finding(Severity::Warning, "look at it"), finding(Severity::Ok, "")]);
        assert!(warned.ok);
        let text = warned.for_people(false);
        assert!(text.contains("look at it") && text.contains("0 errors, 1 warning\n"), "{text}");
        assert!(!report(vec![finding(Severity::Error, "mend it"), finding(Severity::Ok, "")]).ok);
    }
}
