//! What is done to the database without running the service.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};

use super::open_store;
use crate::config::{Config, StoreUrl};
use crate::domain::ids::SourceName;
use crate::store::sqlite::{SqliteStore, back_up as copy};

/// Creates the database or brings it to the version that is answered; refused while another process has it open.
pub async fn migrate(config: &Config) -> Result<i64> {
    let mut config = config.clone();
    config.store.migrate = true;
    let store = open_store(&config).await?;
    store.close().await;
    Ok(SqliteStore::SCHEMA_VERSION)
}

/// Writes a consistent copy of the database to a new file, beside whichever process has it open.
pub async fn back_up(config: &Config, to: &Path) -> Result<()> {
    let StoreUrl::Sqlite(from) = &config.store.url;
    copy(from, to).await.with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
}

/// The lead fields that these sources' events had; `None` where there is no database yet.
pub async fn seen_fields<'a>(
    config: &Config,
    sources: impl IntoIterator<Item = &'a SourceName>,
) -> Result<Option<BTreeSet<String>>> {
    let StoreUrl::Sqlite(path) = &config.store.url;
    if !path.exists() {
        return Ok(None);
    }
    let mut config = config.clone();
    config.store.migrate = false;
    let store = open_store(&config).await?;
    let mut seen = BTreeSet::new();
    for source in sources {
        seen.extend(store.seen_fields(source).await?);
    }
    store.close().await;
    Ok(Some(seen))
}
