//! `leadrelay mapping`: which lead field is which CRM field.

mod document;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use clap::{Args as Arguments, ValueEnum};
use tracing::warn;

use self::document::Document;
use super::exit::Exit;
use super::output;
use crate::app::check;
use crate::app::database::{self, SeenFields};
use crate::config::{Config, DestinationConfig, SourceConfig};
use crate::domain::ids::{DestinationName, ObjectName, SourceName};
use crate::domain::mapping::documented::documented_rows;
use crate::domain::record::Schema;
use crate::source;
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
/// A CRM that cannot be asked leaves its labels and formats out, and stderr says so.
pub(super) async fn run(args: Args, config: &Config) -> Result<Exit> {
    let mut document = Document::default();
    let cannot_read = || format!("cannot read {}", config.store.url);
    let seen = database::seen_fields(config).await.with_context(cannot_read)?;
    let sources = source_fields(config, seen.unwrap_or_default());
    for (name, destination) in &config.destinations {
        let schema = if args.offline { Schema::default() } else { ask(name, destination).await };
        let lead_fields = lead_fields(&sources, destination);
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

/// What is known of the fields that a source's leads have.
pub(super) struct SourceFields {
    /// Those that its preset and its settings name, and those that its events had.
    pub known: BTreeSet<String>,
    /// Whether there may be no others: not before its first event, where it sends what its users tell it to.
    pub is_told: bool,
}

/// What is known of each source's leads; `seen`: the fields that its events had.
pub(super) fn source_fields(config: &Config, mut seen: SeenFields) -> BTreeMap<SourceName, SourceFields> {
    let of_source = |(name, source): (&SourceName, &SourceConfig)| {
        let of_preset = source::preset(&source.preset).map_or(&[][..], |preset| preset.lead_fields);
        let seen = seen.remove(name).unwrap_or_default();
        let is_told = !of_preset.is_empty() || !seen.is_empty();
        let set = source.read.fields.iter().map(|(field, _)| field.clone());
        let known = of_preset.iter().map(|field| (*field).to_owned()).chain(set).chain(seen).collect();
        (name.clone(), SourceFields { known, is_told })
    };
    config.sources.iter().map(of_source).collect()
}

/// The lead fields that are known of a destination's sources.
pub(super) fn lead_fields(
    sources: &BTreeMap<SourceName, SourceFields>,
    destination: &DestinationConfig,
) -> BTreeSet<String> {
    destination.sources.iter().filter_map(|name| sources.get(name)).flat_map(|source| source.known.clone()).collect()
}
