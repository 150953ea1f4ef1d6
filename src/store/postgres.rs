//! The shared store: a PostgreSQL database that any number of processes use together.
//!
//! Each verb has its SQL in a file of its own. Wherever a transaction locks several rows of a table, it does so in key
//! order. What one connection has committed late another one finds: nothing goes by "greater than the last number".

mod cells;
mod connect;
pub mod copy;
mod keys;
mod migrations;
mod partitions;
mod time;
mod walk;

mod accept;
mod announce;
mod append;
mod claim;
mod dirty;
mod duplicates;
mod erase;
mod fold;
mod gates;
mod leases;
mod notify;
mod recover;
mod replay;
mod replicas;
mod settle;
mod work;

mod by_hand;
mod conflicts;
mod dead_letters;
mod events;
mod figures;
mod leads;
mod links;
mod log;
mod people;
mod prune;
mod refused;
mod runs;
mod strangers;
mod unfolded;

mod rows;
mod shared;
mod verbs;

use std::collections::BTreeMap;
use std::sync::Arc;

use sqlx::{Connection, PgPool};
use tokio::sync::watch;
use uuid::Uuid;

use self::accept::Intake;
use self::notify::Notifier;
use super::{StoreError, StoreResult};
use crate::domain::ids::{DestinationName, FieldName, SourceName};

/// The store of one process in a shared database.
pub struct PostgresStore {
    pool: PgPool,
    intake: Intake,
    /// Moves when this process made jobs due.
    here: Arc<watch::Sender<u64>>,
    /// Moves when any process did.
    due: Arc<watch::Sender<u64>>,
    notifier: Notifier,
    /// Who this process is among those that share the database.
    replica: Uuid,
}

/// How a store is opened.
pub struct Options {
    /// Whether missing migrations are applied; else a database that lacks one is refused.
    pub migrate: bool,
    /// The most events in one commit, and how many commits of events may be under way at once, where one takes long: more
    /// only make the batches smaller. Anything but the default is for measuring what group commit is worth.
    pub max_batch: usize,
    pub writers: usize,
    /// Whether a server is accepted that may forget what it has committed.
    pub accept_unsafe_server: bool,
    /// Hears of every commit that was synced, with the number of events that it stored.
    pub on_commit: Box<dyn Fn(usize) + Send + Sync>,
}

impl Default for Options {
    fn default() -> Self {
        Self { migrate: true, max_batch: 512, writers: 2, accept_unsafe_server: false, on_commit: Box::new(|_| {}) }
    }
}

impl PostgresStore {
    /// The version of the schema that this program knows, which every open store is at.
    pub const SCHEMA_VERSION: i64 = migrations::NEWEST;

    /// Connects to the database at `url` and brings its schema up to date.
    ///
    /// [`super::StoreError::TooNew`]: a newer program has been here; [`super::StoreError::TooOld`]: migrations are missing and
    /// `options` do not allow to apply them; [`super::StoreError::Unfit`] says what about the server or the account must be
    /// changed.
    pub async fn open(url: &str, options: Options) -> StoreResult<Self> {
        let (connect, mut db) = connect::first(url, options.accept_unsafe_server).await?;
        migrations::apply(&mut db, options.migrate).await?;
        let now: time::Time = sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(&mut db).await?;
        partitions::make_ahead(&mut db, now.0).await?;
        db.close().await?;
        let check = connect::Check::new(options.accept_unsafe_server);
        let pool = connect::pool(connect, check.clone());
        let (here, moved_here) = watch::channel(0);
        let (here, due, replica) = (Arc::new(here), Arc::new(watch::channel(0).0), Uuid::new_v4());
        let intake =
            Intake::start(&pool, check, options.writers, options.max_batch, options.on_commit, Arc::clone(&here))
                .map_err(|error| StoreError::Unavailable(format!("intake has no thread: {error}")))?;
        let notifier = Notifier::start(&pool, replica, moved_here, &due).await;
        Ok(Self { pool, intake, here, due, notifier, replica })
    }

    /// Tells waiting workers that jobs may have become due, those of other processes as well.
    fn wake_workers(&self) {
        self.here.send_modify(|times| *times = times.wrapping_add(1));
    }
}

/// The lead fields that each source's events had. Only reads, whoever else uses the database; it must have the schema that
/// this program knows.
pub async fn seen_fields(
    url: &str,
    accept_unsafe_server: bool,
    sources: impl Iterator<Item = &SourceName>,
) -> StoreResult<BTreeMap<SourceName, Vec<String>>> {
    let (_, mut db) = connect::first(url, accept_unsafe_server).await?;
    migrations::must_be_newest(&mut db).await?;
    let mut seen = BTreeMap::new();
    for source in sources {
        seen.insert(source.clone(), leads::seen_fields(&mut db, source).await?);
    }
    db.close().await?;
    Ok(seen)
}

/// How many records of each destination carry, in this field, a key that was formed otherwise; read like the above.
pub async fn count_keys_formed_otherwise(
    url: &str,
    accept_unsafe_server: bool,
    asked: &[(DestinationName, FieldName, String)],
) -> StoreResult<Vec<u64>> {
    let (_, mut db) = connect::first(url, accept_unsafe_server).await?;
    let mut counts = Vec::with_capacity(asked.len());
    for (destination, field, form) in asked {
        counts.push(links::count_keys_formed_otherwise(&mut db, destination, field, form).await?);
    }
    db.close().await?;
    Ok(counts)
}
