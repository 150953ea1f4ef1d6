//! Reaching the server, and saying what is wrong with it where a person must act.

use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, PgConnection, PgPool};

use crate::store::{StoreError, StoreResult};

/// Connections for workers and readers; intake has its own beside them.
const CONNECTIONS: u32 = 8;
/// The oldest server that is known to work: 14.0.
const OLDEST_SERVER: i32 = 140_000;
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
const WAIT_FOR_CONNECTION: Duration = Duration::from_secs(5);
/// Between two lines that say why a server is not used.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Settings of every connection: none may hang on a lock or a statement for ever, nor keep a transaction open. Compiling a
/// plan, or starting workers for it, takes longer than our statements do.
const SESSION: [(&str, &str); 8] = [
    ("statement_timeout", "30s"),
    ("lock_timeout", "10s"),
    ("idle_in_transaction_session_timeout", "30s"),
    ("default_transaction_isolation", "read committed"),
    ("timezone", "UTC"),
    ("client_min_messages", "warning"),
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
    let connecting = tokio::time::timeout(CONNECT_WITHIN, options.connect());
    let mut db = connecting
        .await
        .map_err(|_| StoreError::Unreachable(format!("no answer within {} s", CONNECT_WITHIN.as_secs())))?
        .map_err(told)?;
    let version: String = sqlx::query_scalar("SELECT current_setting('server_version_num')").fetch_one(&mut db).await?;
    if let Some(why) = too_old(&version) {
        return Err(unfit(&why));
    }
    if !accept_unsafe && let Some(why) = may_forget(&mut db).await? {
        return Err(unfit(&why));
    }
    Ok((options, db))
}

/// What is said of a server of this `server_version_num` that is too old.
fn too_old(version: &str) -> Option<String> {
    let version = version.parse::<i32>().unwrap_or(0);
    let (major, oldest) = (version / 10_000, OLDEST_SERVER / 10_000);
    (version < OLDEST_SERVER)
        .then(|| format!("the server is PostgreSQL {major}, and {oldest} is the oldest that will do; upgrade it"))
}

/// Why the server may forget what it has committed, if so.
async fn may_forget(db: &mut PgConnection) -> Result<Option<String>, sqlx::Error> {
    let (fsync, commit): (String, String) =
        sqlx::query_as("SELECT current_setting('fsync'), current_setting('synchronous_commit')").fetch_one(db).await?;
    let off = match (fsync.as_str(), commit.as_str()) {
        ("on", "off") => "synchronous_commit",
        ("on", _) => return Ok(None),
        _ => "fsync",
    };
    Ok(Some(format!("the server has {off} = off: a crash would lose leads that were answered 202; set it to on")))
}

/// Looks at every new connection: the server may have been restarted with other settings, or another one have taken over.
#[derive(Clone)]
pub(super) struct Check {
    accept_unsafe: bool,
    /// When it was last said that the server may forget.
    told: Arc<Mutex<Option<Instant>>>,
}

impl Check {
    pub(super) fn new(accept_unsafe: bool) -> Self {
        Self { accept_unsafe, told: Arc::default() }
    }

    /// Fails on a connection to a server that may forget what it commits, and says why once a minute.
    pub(super) async fn look(&self, db: &mut PgConnection) -> Result<(), sqlx::Error> {
        if self.accept_unsafe {
            return Ok(());
        }
        let Some(why) = may_forget(db).await? else { return Ok(()) };
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            *told = Some(Instant::now());
            tracing::error!("the database is not used, and nothing is taken in: {why}");
        }
        Err(sqlx::Error::Configuration(why.into()))
    }
}

/// The pool of connections, which are made when they are needed.
pub(super) fn pool(options: PgConnectOptions, check: Check) -> PgPool {
    PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(WAIT_FOR_CONNECTION)
        // Who waited says so where it matters.
        .acquire_slow_threshold(WAIT_FOR_CONNECTION * 2)
        .test_before_acquire(false)
        .after_connect(move |db, _| {
            let check = check.clone();
            Box::pin(async move { check.look(db).await })
        })
        .connect_lazy_with(options)
}

/// Why the database cannot be opened, with what to do about it where a person must.
pub(super) fn told(error: sqlx::Error) -> StoreError {
    let said = match &error {
        sqlx::Error::Io(cause) if reasons(cause).contains("certificate") => return no_tls(cause),
        sqlx::Error::Io(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
            return unfit("a file or a socket that `store.url` names is not there");
        }
        sqlx::Error::Io(cause) => return StoreError::Unreachable(reasons(cause)),
        sqlx::Error::Tls(cause) => return no_tls(cause.as_ref()),
        sqlx::Error::Configuration(cause) => {
            return unfit(&format!("`store.url` is wrong: {}", reasons(cause.as_ref())));
        }
        sqlx::Error::Database(said) => said,
        _ => return error.into(),
    };
    let message = said.message();
    match said.code().as_deref() {
        Some("28P01") => unfit(&format!("the server refuses the user or the password ({message}); see `store.url`")),
        Some("28000") => unfit(&format!(
            "the server does not let this user in from here ({message}); see `store.url` and pg_hba.conf"
        )),
        Some("3D000") => {
            unfit(&format!("there is no such database ({message}); make it with createdb, or see `store.url`"))
        }
        Some("42501") => unfit(&format!(
            "the user may not do what is needed in this database ({message}); its owner may: \
             ALTER DATABASE … OWNER TO it, or GRANT CREATE ON SCHEMA public to it"
        )),
        Some("25006") => unfit(&format!("the server takes no writes, as a standby does ({message}); name the primary")),
        Some(code) if code.starts_with("57P") || code.starts_with("53") => StoreError::Unreachable(message.to_owned()),
        _ => error.into(),
    }
}

fn no_tls(cause: &(dyn std::error::Error + 'static)) -> StoreError {
    unfit(&format!(
        "the connection cannot be made private: {}; see `sslmode` and `sslrootcert` in `store.url`, and the server's certificate",
        reasons(cause)
    ))
}

/// An error and what stands behind it.
fn reasons(error: &(dyn std::error::Error + 'static)) -> String {
    crate::telemetry::chain(error)
}

fn unfit(why: &str) -> StoreError {
    StoreError::Unfit(why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_before_14_is_too_old() {
        let said = too_old("130022").unwrap();
        assert_eq!(said, "the server is PostgreSQL 13, and 14 is the oldest that will do; upgrade it");
        assert!(too_old("90624").unwrap().contains("PostgreSQL 9,"));
        for fits in ["140000", "150013", "180001"] {
            assert_eq!(too_old(fits), None, "{fits}");
        }
        assert!(too_old("").is_some(), "what does not say its version is none that is known to work");
    }
}
