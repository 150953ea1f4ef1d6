//! `[store]`: where everything is kept, and for how long.

use std::path::PathBuf;
use std::time::Duration;

use super::reader::{Item, Table, Wrong};
use super::values::duration;

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

const SHORTEST_RETENTION: Duration = Duration::from_secs(90 * 86_400);

pub(super) fn read(table: Table<'_>) -> StoreConfig {
    let config = StoreConfig {
        url: table.or("url", StoreUrl::Sqlite("leadrelay.db".into()), store_url),
        migrate: table.or("migrate", true, Item::flag),
        retention: table.or("retention", SHORTEST_RETENTION, retention),
        log_bodies: table.or("log_bodies", true, Item::flag),
    };
    table.finish();
    config
}

/// Never shows the address: it may hold a password.
fn store_url(item: &Item<'_>) -> Result<StoreUrl, Wrong> {
    let text = item.text()?;
    let remedy = "write \"sqlite://\" and the path of a file, such as \"sqlite://leadrelay.db\"";
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        return Err(Wrong::new("PostgreSQL is not built yet", remedy));
    }
    if text.contains(":memory:") || text.contains("mode=memory") {
        return Err(Wrong::new("a database in memory would lose every lead at a stop", remedy));
    }
    let Some(path) = text.strip_prefix("sqlite://") else {
        return Err(Wrong::new("is no address of a database", remedy));
    };
    if path.is_empty() || path.ends_with('/') {
        return Err(Wrong::new("names no file", remedy));
    }
    if path.contains('?') {
        return Err(Wrong::new("takes no options behind `?`", remedy));
    }
    Ok(StoreUrl::Sqlite(path.into()))
}

fn retention(item: &Item<'_>) -> Result<Duration, Wrong> {
    let length = duration(item)?;
    if length < SHORTEST_RETENTION {
        return Err(Wrong::new(format!("{} is too short", item.shown()), "write \"90d\" or longer"));
    }
    Ok(length)
}
