//! `leadrelay mapping`: which lead field is which CRM field.

mod document;

use std::collections::BTreeSet;

use anyhow::Result;
use clap::{Args as Arguments, ValueEnum};
use tracing::warn;

use self::document::Document;
use super::exit::Exit;
use super::output;
use crate::app::{check, database};
use crate::config::{Config, DestinationConfig};
use crate::domain::ids::{DestinationName, ObjectName};
use crate::domain::mapping::documented::documented_rows;
use crate::domain::record::Schema;
use crate::source;
use crate::store::StoreError;
use crate::telemetry::chain;

#[derive(Debug, Arguments)]
pub(super) struct Args {
    /// How it is printed.
    #[arg(long, value_enum, default_value_t = Format::Table, conflicts_with = "json")]
    format: Format,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// Ask no CRM for its labels and formats.
    #[arg(long)]
    offline: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Table,
    Csv,
    Markdown,
    /// A whole page without scripts.
    Html,
}

/// Prints the document: each row of the mapping, then each lead field that is known or was seen and has no row.
///
/// A CRM that cannot be asked leaves its labels and formats out; what was seen is left out while the service has the
/// database open. Stderr says so.
pub(super) async fn run(args: Args, config: &Config) -> Result<Exit> {
    let mut document = Document::default();
    for (name, destination) in &config.destinations {
        let schema = if args.offline { Schema::default() } else { ask(name, destination).await };
        let lead_fields = lead_fields(config, destination).await?;
        document.add(name, documented_rows(destination.filter.as_ref(), &destination.fields, &schema, &lead_fields));
    }
    if args.json {
        output::print_json(&document)?;
    } else {
        output::print(&match args.format {
            Format::Table => document.table(),
            Format::Csv => document.csv()?,
            Format::Markdown => document.markdown(),
            Format::Html => document.html(),
        })?;
    }
    Ok(Exit::Good)
}

async fn ask(name: &DestinationName, destination: &DestinationConfig) -> Schema {
    let objects: BTreeSet<&ObjectName> = destination.fields.iter().flat_map(|row| &row.on).collect();
    let objects: Vec<ObjectName> = objects.into_iter().cloned().collect();
    check::describe(destination, &objects).await.unwrap_or_else(|error| {
        warn!(destination = %name, "{name} is left without the CRM's labels and formats: {}", chain(error.as_ref()));
        Schema::default()
    })
}

/// The fields that the sources' presets name, and those that their events had.
pub(super) async fn lead_fields(config: &Config, destination: &DestinationConfig) -> Result<BTreeSet<String>> {
    let presets = destination.sources.iter().filter_map(|name| source::preset(&config.sources.get(name)?.preset));
    let mut fields: BTreeSet<String> =
        presets.flat_map(|preset| preset.lead_fields).map(|field| (*field).to_owned()).collect();
    match database::seen_fields(config, &destination.sources).await {
        Ok(seen) => fields.extend(seen.unwrap_or_default()),
        Err(error) => match error.downcast_ref() {
            Some(StoreError::InUse { holder, .. }) => {
                warn!(
                    "{holder} has the database open, so fields that only events had are left out; ask it: GET /admin/v1/mapping"
                );
            }
            _ => return Err(error),
        },
    }
    Ok(fields)
}
