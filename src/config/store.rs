//! `[store]`: where everything is kept, and for how long.

use std::path::PathBuf;
use std::time::Duration;

/// `[store]`: the database.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// `sqlite://leadrelay.db` if left out.
    pub url: StoreUrl,
    /// Whether `serve` creates and upgrades the database; true if left out.
    pub migrate: bool,
    /// How long events and log entries are kept; 90 days if left out, never less.
    pub retention: Duration,
    /// Whether the sync log keeps requests and responses with their field values; true if left out.
    pub log_bodies: bool,
}

/// Which database holds the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// One file, relative to the working directory unless it begins with `/`.
    Sqlite(PathBuf),
}
