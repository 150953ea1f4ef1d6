//! `[store]`: where everything is kept, and for how long.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::reader::{Item, Table, Wrong};
use super::secret::Secret;
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
    /// Whether a PostgreSQL server is accepted that may forget what it has committed; false if left out.
    pub allow_unsafe_server: bool,
}

/// Which database holds the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// One file, relative to the working directory unless it begins with `/`.
    Sqlite(PathBuf),
    /// A database that several processes may share.
    Postgres(ServerUrl),
}

impl fmt::Display for StoreUrl {
    /// As it may be shown: never a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreUrl::Sqlite(path) => path.display().fmt(f),
            StoreUrl::Postgres(server) => server.fmt(f),
        }
    }
}

/// The address of a PostgreSQL database. Shows itself as host and database only, since it may hold a password.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl {
    address: Secret,
    shown: String,
}

/// What may stand behind `?`: the library only warns of others, and would go on without what they were to bring about.
const PARAMETERS: [&str; 18] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];
const SSL_MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

impl ServerUrl {
    /// Reads an address such as `postgres://user:password@host/database`; says what is wrong with it without showing it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let url = Url::parse(text).map_err(|_| "is no address of a database")?;
        if !["postgres", "postgresql"].contains(&url.scheme()) {
            return Err("is no address of a PostgreSQL database");
        }
        let database = url.path().trim_matches('/');
        if database.is_empty() || database.contains('/') {
            return Err("names no database");
        }
        let host = url.query_pairs().find(|(key, _)| key == "host").map(|(_, host)| host.into_owned());
        let host = host.or(url.host_str().filter(|host| !host.is_empty()).map(str::to_owned)).ok_or("names no host")?;
        for (key, value) in url.query_pairs() {
            let known = PARAMETERS.contains(&&*key) || (key.starts_with("options[") && key.ends_with(']'));
            if !known {
                return Err(concat!(
                    "has a parameter behind `?` that is not known; known are sslmode, sslrootcert, sslcert, sslkey, host, ",
                    "hostaddr, port, dbname, user, password, application_name and options"
                ));
            }
            if ["sslmode", "ssl-mode"].contains(&&*key) && !SSL_MODES.contains(&&*value) {
                return Err(
                    "has an unknown sslmode; it is one of disable, allow, prefer, require, verify-ca and verify-full",
                );
            }
        }
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        Ok(Self { address: Secret::new(text), shown: format!("{host}{port}/{database}") })
    }

    /// The whole address, for the one place that connects.
    pub fn expose(&self) -> &str {
        self.address.expose()
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

const SHORTEST_RETENTION: Duration = Duration::from_secs(90 * 86_400);

pub(super) fn read(table: Table<'_>) -> StoreConfig {
    let config = StoreConfig {
        url: table.or("url", StoreUrl::Sqlite("leadrelay.db".into()), store_url),
        migrate: table.or("migrate", true, Item::flag),
        retention: table.or("retention", SHORTEST_RETENTION, retention),
        log_bodies: table.or("log_bodies", true, Item::flag),
        allow_unsafe_server: table.or("allow_unsafe_server", false, Item::flag),
    };
    table.finish();
    config
}

/// Never shows the address: it may hold a password.
fn store_url(item: &Item<'_>) -> Result<StoreUrl, Wrong> {
    let text = item.text()?;
    let remedy = "write \"sqlite://\" and the path of a file, such as \"sqlite://leadrelay.db\", or an address such as \
                  \"postgres://user:password@host/database\"";
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        let remedy = "write \"postgres://user:password@host/database\", with %40 for @, %3A for :, %2F for /, %3F for ?, %23 for # and %25 for % in \
                      the password";
        return ServerUrl::parse(&text).map(StoreUrl::Postgres).map_err(|wrong| Wrong::new(wrong, remedy));
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
