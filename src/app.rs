//! Puts the parts together, starts them in order, and stops them in the reverse one. The only file that names concrete
//! stores and CRMs.

pub mod check;
mod counts;
mod crm_rules;
pub mod database;
mod duplicates;
mod engine;
mod explain;
pub mod missing;
mod operations;
mod orders;
mod orphans;
mod reload;
mod replica;
mod resync;
mod swap;
mod threads;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tracing::{info, warn};

use self::engine::{Engine, Ground};
pub use self::reload::Loader;
use self::reload::{Reloader, Reloads};
use self::swap::Swap;
use self::threads::QueueThreads;
use crate::clock::Clock;
use crate::config::{
    AdminToken, Config, DestinationConfig, DestinationKind, Role, SalesforceLogin, StoreConfig, StoreUrl,
};
use crate::crm::salesforce::{Credentials, Salesforce, SalesforceSettings};
use crate::crm::{CallMeter, Crm};
use crate::http;
use crate::http::admin::state::{ReloadError, Reloaded};
use crate::http::serve::ServeLimits;
use crate::queue::neighbours;
use crate::store::postgres::{self, PostgresStore};
use crate::store::sqlite::{self, SqliteStore};
use crate::store::{LeasesOf, Store};
use crate::telemetry::metrics;

/// A running leadrelay.
pub struct App {
    /// Where webhooks come in.
    pub webhooks: SocketAddr,
    /// Where operators look in.
    pub admin: SocketAddr,
    /// The token that was made since none is configured.
    pub made_token: Option<String>,
    pub store: Arc<dyn Store>,
    stop: watch::Sender<bool>,
    servers: JoinSet<()>,
    reloads: Reloads,
    reloader: JoinHandle<()>,
    _queue_threads: QueueThreads,
    grace: Duration,
}

impl App {
    /// Opens the store, recovers what a dead process left, and starts workers and listeners. Fails before anything is
    /// accepted; a CRM that is down is no reason to fail.
    pub async fn start(config: &Config, clock: Clock) -> Result<Self> {
        Self::start_reloadable(config, clock, None).await
    }

    /// As [`Self::start`]; `load` reads the configuration again when a person asks for that.
    pub async fn start_reloadable(config: &Config, clock: Clock, load: Option<Loader>) -> Result<Self> {
        let store = open_store(config).await?;
        let clock = neighbours::shared_clock(&*store, &clock).await?;
        let now = clock.now();
        let replica = replica::this_one(now);
        store.begin_serving().await?;
        store.appear(&replica).await?;
        let recovered = store.recover_leases(LeasesOf::DeadProcess, now).await?;
        if recovered.leases > 0 {
            warn!(
                "the process before this one died: {} leads it had in hand are due again, {} writes have an unknown outcome",
                recovered.leases, recovered.unknown_writes
            );
        }
        store.shorten_waits(now.after(longest_wait(config))).await?;
        let exposition = metrics::install();
        let (stop, stopped) = watch::channel(false);
        let queue_threads = QueueThreads::start().context("cannot start the queue's threads")?;
        let (made, made_token) = made_token(config);
        let (reloads, asked) = Reloads::new();
        let ground = Arc::new(Ground {
            store: Arc::clone(&store),
            clock,
            replica,
            exposition,
            queue: queue_threads.handle().clone(),
            made,
            reloads: reloads.clone(),
            holding: Arc::default(),
        });
        let mut engine = Engine::start(config, &ground, None).await?;
        engine.succeed(None);
        let (public, operators) = (Swap::new(engine.webhooks.clone()), Swap::new(engine.admin.clone()));
        let mut servers = JoinSet::new();
        let limits = ServeLimits { grace: config.server.shutdown_grace, ..ServeLimits::default() };
        let webhooks = serve(config.server.listen, public.router(), limits, &stopped, &mut servers).await?;
        let admin = serve(config.admin.listen, operators.router(), limits, &stopped, &mut servers).await?;
        info!("webhooks come in on http://{webhooks}, operators on http://{admin}");
        let (config, grace) = (config.clone(), config.server.shutdown_grace);
        let reloader = Reloader { ground, config, engine, load, webhooks: public, admin: operators, asked };
        let reloader = tokio::spawn(reloader.run(stopped));
        let _queue_threads = queue_threads;
        Ok(Self { webhooks, admin, made_token, store, stop, servers, reloads, reloader, _queue_threads, grace })
    }

    /// Reads the configuration again and takes it if it is right; what came of it is in the log.
    pub async fn reload(&self) -> Result<Reloaded, ReloadError> {
        self.reloads.ask().await
    }

    /// Takes no more webhooks, lets what is under way finish within the grace period, gives back the rest.
    pub async fn stop(mut self) {
        let _ = self.stop.send(true);
        let done = async {
            while self.servers.join_next().await.is_some() {}
            // A panic was reported when it happened.
            let _ = (&mut self.reloader).await;
        };
        if tokio::time::timeout(self.grace, done).await.is_err() {
            self.reloader.abort();
            warn!(
                "not everything finished within {} s; what is open is due again when its lease ends, or at the next start",
                self.grace.as_secs()
            );
        }
        if let Err(error) = self.store.leave().await {
            warn!("the other replicas take this one for dead in a moment: {error}");
        }
        self.store.close().await;
        info!("stopped");
    }
}

/// Opens the configured store. A file may be open once.
pub async fn open_store(config: &Config) -> Result<Arc<dyn Store>> {
    let on_commit = Box::new(|events| {
        metrics::store_synced();
        if events > 0 {
            metrics::intake_batch(events);
        }
    });
    let StoreConfig { url, migrate, allow_unsafe_server, .. } = &config.store;
    let cannot_open = || format!("cannot open {url}");
    match url {
        StoreUrl::Sqlite(path) => {
            database::must_not_be_moved(path)?;
            let options = sqlite::Options { migrate: *migrate, on_commit, ..Default::default() };
            Ok(Arc::new(SqliteStore::open(path, options).await.with_context(cannot_open)?))
        }
        StoreUrl::Postgres(server) => {
            let accept_unsafe_server = *allow_unsafe_server;
            let options =
                postgres::Options { migrate: *migrate, accept_unsafe_server, on_commit, ..Default::default() };
            Ok(Arc::new(PostgresStore::open(server.expose(), options).await.with_context(cannot_open)?))
        }
    }
}

/// The adapter of one destination.
pub(crate) fn connect(config: &DestinationConfig, clock: &Clock, meter: Arc<dyn CallMeter>) -> Result<Arc<dyn Crm>> {
    let DestinationKind::Salesforce(salesforce) = &config.kind;
    let credentials = match &salesforce.login {
        SalesforceLogin::ClientCredentials { client_id, client_secret } => {
            Credentials::Client { client_id: client_id.clone(), client_secret: client_secret.expose().to_owned() }
        }
        SalesforceLogin::JwtBearer { client_id, username, private_key, audience } => Credentials::Jwt {
            client_id: client_id.clone(),
            username: username.clone(),
            audience: audience.clone(),
            key: private_key.expose(),
        },
    };
    let settings = SalesforceSettings {
        login_url: salesforce.url.clone(),
        credentials,
        api_version: salesforce.api_version.clone(),
        timeout: config.limits.timeout,
        clock: clock.clone(),
    };
    Ok(Arc::new(Salesforce::new(settings, meter)?))
}

async fn serve(
    listen: SocketAddr,
    router: axum::Router,
    limits: ServeLimits,
    stopped: &watch::Receiver<bool>,
    servers: &mut JoinSet<()>,
) -> Result<SocketAddr> {
    let listener = tokio::net::TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    let address = listener.local_addr()?;
    let mut stopped = stopped.clone();
    servers.spawn(http::serve::serve(listener, router, limits, async move {
        // An error says that the app is gone, which is a stop as well.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    }));
    Ok(address)
}

/// The longest that a job may wait by itself; after a jump of the clock none waits longer.
fn longest_wait(config: &Config) -> Duration {
    config.destinations.values().map(|known| known.retry.longest.max(known.retry.lease)).max().unwrap_or_default()
}

/// A token made for this run, if none is configured, and how it is known.
fn made_token(config: &Config) -> (Option<AdminToken>, Option<String>) {
    if !config.admin.tokens.is_empty() {
        return (None, None);
    }
    let token = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
    let sha256 =
        sha2::Digest::finalize(sha2::Digest::chain_update(<sha2::Sha256 as sha2::Digest>::new(), &token)).into();
    (Some(AdminToken { name: "made at start".to_owned(), role: Role::Operator, sha256 }), Some(token))
}
