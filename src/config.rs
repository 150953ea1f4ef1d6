//! The settings, read once from one TOML file, typed at once, and passed down by value.
//!
//! Every mistake is reported in one go, with its line and what to write instead. A key of a feature that is not built yet
//! is a mistake unless it has its default value.

mod admin;
mod alerts;
mod destinations;
mod error;
mod fields;
mod limits;
mod private_key;
mod read_rules;
mod reader;
mod records;
mod secret;
mod server;
mod sources;
mod store;
mod values;
mod verify_rules;

pub use admin::{AdminConfig, AdminToken, Role};
pub use alerts::AlertsConfig;
pub use destinations::{DestinationConfig, DestinationKind, Mode, SalesforceConfig, SalesforceLogin};
pub use error::{ConfigError, ConfigErrors};
pub use limits::{LimitsConfig, RetryConfig};
pub use private_key::PrivateKey;
pub use records::{Company, DuplicateRule, ExternalIdTemplate, RecordsConfig, Unmapped};
pub use secret::Secret;
pub use server::ServerConfig;
pub use sources::SourceConfig;
pub use store::{ServerUrl, StoreConfig, StoreUrl};
pub use values::{Percent, parse_duration};

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

use toml::de::DeTable;

use crate::domain::ids::{DestinationName, SourceName};
use reader::{Document, Table, why_unread};
use sources::SHORTEST_KEY;

/// Everything that `leadrelay.toml` says, checked as a whole: what is here can be started with.
#[derive(Clone, Debug)]
pub struct Config {
    pub server: ServerConfig,
    pub admin: AdminConfig,
    pub store: StoreConfig,
    /// At least one.
    pub sources: BTreeMap<SourceName, SourceConfig>,
    /// At least one.
    pub destinations: BTreeMap<DestinationName, DestinationConfig>,
    pub alerts: AlertsConfig,
}

impl Config {
    /// Reads the file at `path`; `env` looks up what `${NAME}` stands for.
    ///
    /// Nothing is changed anywhere, so that it can be read again at any time.
    pub fn load(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigErrors> {
        let text = fs::read(path).map_err(|error| {
            let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            unreadable(path, None, format!("{} {}", whole.display(), why_unread(&error)))
        })?;
        let text = String::from_utf8(text).map_err(|error| {
            let before = error.as_bytes().iter().take(error.utf8_error().valid_up_to());
            let line = before.filter(|byte| **byte == b'\n').count() + 1;
            unreadable(path, Some(line), "it is not UTF-8".to_owned())
        })?;
        Self::parse(&text, path, env, &|path| fs::read_to_string(path))
    }

    /// Reads settings from text. `path` is for messages, and `${file:PATH}` starts from its folder; `read_file` reads
    /// what that names.
    pub fn parse(
        text: &str,
        path: &Path,
        env: &dyn Fn(&str) -> Option<String>,
        read_file: &dyn Fn(&Path) -> io::Result<String>,
    ) -> Result<Self, ConfigErrors> {
        let document = Document::new(text, path, env, read_file);
        let (entries, broken) = DeTable::parse_recoverable(text);
        document.report_broken(text, &broken);
        // What could be read of a broken file would only bring mistakes that are none.
        let config = if broken.is_empty() { read(document.root(entries.get_ref())) } else { None };
        match (document.into_errors(), config) {
            (None, Some(config)) => Ok(config),
            (Some(errors), _) => Err(errors),
            (None, None) => Err(unreadable(path, None, "a setting is missing".to_owned())),
        }
    }

    /// What an operator should know although it is no mistake; one sentence each, starting with the key.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if !self.admin.listen.ip().is_loopback() {
            warnings
                .push("admin.listen: tokens cross the network in the clear; put a proxy with TLS before it".to_owned());
        }
        for (name, source) in &self.sources {
            if !source.enabled {
                warnings.push(format!("sources.{name}: is disabled; its webhooks are answered 503"));
            }
            for number in source.short_tokens() {
                warnings.push(format!(
                    "sources.{name}.secrets: token {number} is shorter than {SHORTEST_KEY} bytes and could be guessed; choose a \
                     longer one, or set allow_short_secret = true"
                ));
            }
            if !self.destinations.values().any(|destination| destination.sources.contains(name)) {
                warnings.push(format!("sources.{name}: no destination takes its leads; they are only stored"));
            }
        }
        for (name, destination) in &self.destinations {
            let DestinationKind::Salesforce(salesforce) = &destination.kind;
            if salesforce.url.scheme() == "http" {
                warnings.push(format!("destinations.{name}.login: talks plain http to {}", salesforce.url));
            }
            if destination.records.match_begins_otherwise {
                warnings.push(format!(
                    "destinations.{name}.records.match: a record is looked for by its external ID first, wherever that stands; \
                     write \"external_id\" as the first key"
                ));
            }
            if destination.mode == Mode::Observe {
                warnings.push(format!("destinations.{name}: only observes; nothing is written to the CRM"));
            }
        }
        warnings
    }
}

fn read(root: Table<'_>) -> Option<Config> {
    let server = server::read(root.section("server"));
    let admin = admin::read(root.section("admin"));
    let store = store::read(root.section("store"));
    let alerts = alerts::read(root.section("alerts"));

    let section = root.section("sources");
    let source_tables = section.named_sections();
    if section.is_empty() || !root.has("sources") {
        root.wrong("sources", "no source is configured", "write a section such as [sources.klozeo]");
    }
    let names: Vec<SourceName> = source_tables.iter().map(|(name, _)| SourceName::from(name.as_str())).collect();
    let public_url = server.public_url.is_some();
    let sources = source_tables
        .into_iter()
        .map(|(name, table)| Some((SourceName::from(name.as_str()), sources::read(table, public_url)?)));
    let sources: Vec<_> = sources.collect();

    let section = root.section("destinations");
    let destination_tables = section.named_sections();
    if section.is_empty() || !root.has("destinations") {
        root.wrong("destinations", "no destination is configured", "write a section such as [destinations.salesforce]");
    }
    let destinations = destination_tables
        .into_iter()
        .map(|(name, table)| Some((DestinationName::from(name.as_str()), destinations::read(table, &names)?)));
    let destinations: Vec<_> = destinations.collect();
    root.finish();

    Some(Config {
        server,
        admin,
        store,
        sources: sources.into_iter().collect::<Option<_>>()?,
        destinations: destinations.into_iter().collect::<Option<_>>()?,
        alerts,
    })
}

fn unreadable(path: &Path, line: Option<usize>, why: String) -> ConfigErrors {
    ConfigErrors::new(vec![ConfigError {
        file: path.to_owned(),
        line,
        key: String::new(),
        problem: format!("the configuration cannot be read: {why}"),
        remedy: "write this file, or name another with --config".to_owned(),
    }])
}

#[cfg(test)]
mod tests;
