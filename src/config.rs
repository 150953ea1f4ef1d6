//! The settings, read once from one TOML file, typed at once, and passed down by value.

mod admin;
mod alerts;
mod destinations;
mod limits;
mod records;
mod secret;
mod server;
mod sources;
mod store;
mod values;

pub use admin::{AdminConfig, AdminToken, Role};
pub use alerts::AlertsConfig;
pub use destinations::{DestinationConfig, DestinationKind, Mode, SalesforceConfig};
pub use limits::{LimitsConfig, RetryConfig};
pub use records::{ExternalIdTemplate, MatchKey, OnAmbiguous, OnShared, RecordsConfig};
pub use secret::Secret;
pub use server::ServerConfig;
pub use sources::SourceConfig;
pub use store::{StoreConfig, StoreUrl};
pub use values::Percent;

use std::collections::BTreeMap;

use crate::domain::ids::{DestinationName, SourceName};

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
