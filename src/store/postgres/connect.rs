//! Reaching the server, and saying what is wrong with it where a person must act.

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, PgConnection, PgPool};

use crate::store::{StoreError, StoreResult};

/// Connections for workers and readers; intake has its own beside them.
const CONNECTIONS: u32 = 16;
/// The oldest server that is known to work: 14.0.
const OLDEST_SERVER: i32 = 140_000;
const WAIT_FOR_CONNECTION: Duration = Duration::from_secs(5);

/// Settings of every connection: none may hang on a lock or a statement for ever, nor keep a transaction open. Compiling a
/// plan, or starting workers for it, takes longer than our statements do.
const SESSION: [(&str, &str); 7] = [
    ("statement_timeout", "30s"),
    ("lock_timeout", "10s"),
    ("idle_in_transaction_session_timeout", "30s"),
    ("default_transaction_isolation", "read committed"),
    ("timezone", "UTC"),
    ("jit", "off"),
    ("max_parallel_workers_per_gather", "0"),
];

/// The first connection, after a look at whether the server keeps what it commits.
pub(super) async fn first(url: &str, accept_unsafe: bool) -> StoreResult<(PgConnectOptions, PgConnection)> {
    let options = PgConnectOptions::from_str(url)
        .map_err(|_| unfit("the address of the database is not of the form postgres://user:password@host/database"))?
        .application_name("leadrelay")
        .options(SESSION)
        .statement_cache_capacity(200);
    let mut db = options.connect().await.map_err(|error| told(error.into()))?;
    let (version, fsync, commit): (String, String, String) = sqlx::query_as(
        "SELECT current_setting('server_version_num'), current_setting('fsync'), current_setting('synchronous_commit')",
    )
    .fetch_one(&mut db)
    .await?;
    if version.parse::<i32>().unwrap_or(0) < OLDEST_SERVER {
        return Err(unfit("the server is older than PostgreSQL 14; upgrade it"));
    }
    if !accept_unsafe && fsync != "on" {
        return Err(unfit("the server has fsync = off: a crash would lose leads that were answered 202; set it to on"));
    }
    if !accept_unsafe && commit == "off" {
        return Err(unfit(
            "the server has synchronous_commit = off: a crash would lose leads that were answered 202; set it to on",
        ));
    }
    Ok((options, db))
}

/// The pool of connections, which are made when they are needed.
pub(super) fn pool(options: PgConnectOptions) -> PgPool {
    PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(WAIT_FOR_CONNECTION)
        .test_before_acquire(false)
        .connect_lazy_with(options)
}

/// What the server said, with what to do about it where a person must.
pub(super) fn told(error: StoreError) -> StoreError {
    let StoreError::Database(source) = &error else { return error };
    let code = source
        .downcast_ref::<sqlx::Error>()
        .and_then(|error| error.as_database_error())
        .and_then(|error| error.code().map(|code| code.into_owned()));
    match code.as_deref() {
        Some("28P01" | "28000") => unfit("the server refuses the user or the password; see `store.url`"),
        Some("3D000") => unfit("there is no such database on the server; make it with createdb, or see `store.url`"),
        Some("42501") => unfit("the user may not create tables in the database; GRANT CREATE ON SCHEMA public to it"),
        _ => error,
    }
}

fn unfit(why: &str) -> StoreError {
    StoreError::Unfit(why.to_owned())
}
