//! Puts the parts together, starts them in order, and stops them in the reverse one. The only file that names concrete
//! stores and CRMs.

pub mod check;
pub mod database;
mod explain;
mod operations;
mod replica;
mod resync;
mod threads;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{info, warn};

use self::operations::AppOperations;
use self::threads::QueueThreads;
use crate::clock::Clock;
use crate::config::{
    AdminToken, Config, DestinationConfig, DestinationKind, Mode, Role, StoreConfig, StoreUrl, Unmapped,
};
use crate::crm::gate::{BudgetSnapshot, Gate, GateSettings, Pause};
use crate::crm::salesforce::{Credentials, ENDPOINTS, Salesforce, SalesforceSettings};
use crate::crm::{CallMeter, Crm};
use crate::domain::envelope::Reader;
use crate::domain::ids::{DestinationName, SourceName};
use crate::http;
use crate::http::admin::state::{AdminParts, AdminState};
use crate::http::figures::Figures;
use crate::http::serve::ServeLimits;
use crate::intake::{Intake, SourceRuntime};
use crate::queue;
use crate::queue::destination::{Destination, DestinationSettings, SourceReading};
use crate::queue::maintenance::Maintenance;
use crate::queue::neighbours::{self, Neighbours};
use crate::queue::verdict::RetryPolicy;
use crate::store::postgres::{self, PostgresStore};
use crate::store::sqlite::{self, SqliteStore};
use crate::store::{LeasesOf, Store};
use crate::telemetry::alerts::AlertName;
use crate::telemetry::metrics::{self, DestinationLabels};

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
    workers: JoinSet<()>,
    _queue_threads: QueueThreads,
    grace: Duration,
}

impl App {
    /// Opens the store, recovers what a dead process left, and starts workers and listeners. Fails before anything is
    /// accepted; a CRM that is down is no reason to fail.
    pub async fn start(config: &Config, clock: Clock) -> Result<Self> {
        let store = open_store(config).await?;
        let clock = neighbours::shared_clock(&*store, &clock).await?;
        let now = clock.now();
        let replica = replica::this_one(now);
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
        register_metrics(config);
        let (stop, stopped) = watch::channel(false);
        let sources = source_readings(config)?;
        let destinations = destinations(config, &store, &sources, &clock).await?;
        let intake = Arc::new(intake(config, &store, &clock)?);

        let mut workers = JoinSet::new();
        let queue_threads = QueueThreads::start().context("cannot start the queue's threads")?;
        for destination in destinations.values() {
            workers.spawn_on(queue::run(Arc::clone(destination), stopped.clone()), queue_threads.handle());
        }
        let chores = Maintenance {
            store: Arc::clone(&store),
            destinations: destinations.values().cloned().collect(),
            retention: config.store.retention,
            longest_wait: longest_wait(config),
            clock: clock.clone(),
        };
        workers.spawn(chores.run(stopped.clone()));
        let neighbours = Neighbours {
            store: Arc::clone(&store),
            destinations: destinations.values().cloned().collect(),
            this: replica.clone(),
            clock: clock.clone(),
        };
        workers.spawn(neighbours.run(stopped.clone()));

        let operations =
            Arc::new(AppOperations::new(config, destinations, Arc::clone(&store), clock.clone(), stopped.clone()));
        workers.spawn(Arc::clone(&operations).resume_runs());
        workers.spawn(Arc::clone(&operations).watch_schemas());
        let (tokens, made_token) = tokens(config);
        let figures = Arc::new(Figures::new(
            Arc::clone(&store),
            Arc::clone(&operations) as _,
            Arc::clone(&intake),
            config.alerts.clone(),
            clock.clone(),
        ));
        let mut figures_stopped = stopped.clone();
        let (kept, shown) = (Arc::clone(&figures), exposition.clone());
        workers.spawn(async move {
            tokio::select! {
                _ = figures_stopped.changed() => {}
                () = kept.keep(shown) => {}
            }
        });
        let state = AdminState::new(AdminParts {
            store: Arc::clone(&store),
            intake: Arc::clone(&intake),
            operations,
            figures,
            exposition,
            tokens,
            replica,
            clock: clock.clone(),
        });
        let mut servers = JoinSet::new();
        let public = http::public_router(intake, http::BodyLimits::of(config.server.max_body));
        let limits = ServeLimits { grace: config.server.shutdown_grace, ..ServeLimits::default() };
        let webhooks = serve(config.server.listen, public, limits, &stopped, &mut servers).await?;
        let admin = serve(config.admin.listen, http::admin_router(state), limits, &stopped, &mut servers).await?;
        info!("webhooks come in on http://{webhooks}, operators on http://{admin}");
        let (grace, _queue_threads) = (config.server.shutdown_grace, queue_threads);
        Ok(Self { webhooks, admin, made_token, store, stop, servers, workers, _queue_threads, grace })
    }

    /// Takes no more webhooks, lets what is under way finish within the grace period, gives back the rest.
    pub async fn stop(mut self) {
        let _ = self.stop.send(true);
        let done = async {
            while self.servers.join_next().await.is_some() {}
            while self.workers.join_next().await.is_some() {}
        };
        if tokio::time::timeout(self.grace, done).await.is_err() {
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
pub(crate) fn connect(config: &DestinationConfig, meter: Arc<dyn CallMeter>) -> Result<Arc<dyn Crm>> {
    let DestinationKind::Salesforce(salesforce) = &config.kind;
    let settings = SalesforceSettings {
        login_url: salesforce.url.clone(),
        credentials: Credentials {
            client_id: salesforce.client_id.clone(),
            client_secret: salesforce.client_secret.expose().to_owned(),
        },
        api_version: salesforce.api_version.clone(),
        timeout: config.limits.timeout,
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

fn source_readings(config: &Config) -> Result<Arc<BTreeMap<SourceName, SourceReading>>> {
    let reading = |(name, source): (&SourceName, &crate::config::SourceConfig)| {
        let reader = Reader::new(source.read.clone()).with_context(|| format!("source {name}"))?;
        Ok((name.clone(), SourceReading { reader }))
    };
    config.sources.iter().map(reading).collect::<Result<_>>().map(Arc::new)
}

fn intake(config: &Config, store: &Arc<dyn Store>, clock: &Clock) -> Result<Intake> {
    let mut sources = Vec::new();
    for (name, source) in &config.sources {
        let takes = |destination: &&DestinationName| config.destinations[*destination].sources.contains(name);
        let destinations = config.destinations.keys().filter(takes).cloned().collect();
        let secrets: Vec<String> = source.secrets.iter().map(|secret| secret.expose().to_owned()).collect();
        let read = source.read.clone();
        let runtime = SourceRuntime::new(name.clone(), source.enabled, &source.verify, &secrets, read, destinations)
            .with_context(|| format!("source {name}"))?;
        sources.push(runtime);
    }
    let log: Arc<dyn crate::store::EventLog> = Arc::clone(store) as _;
    Ok(Intake::new(log, sources, config.server.public_url.as_ref().map(ToString::to_string), clock.clone()))
}

async fn destinations(
    config: &Config,
    store: &Arc<dyn Store>,
    sources: &Arc<BTreeMap<SourceName, SourceReading>>,
    clock: &Clock,
) -> Result<BTreeMap<DestinationName, Arc<Destination>>> {
    let now = clock.now();
    let pauses = store.load_pauses().await?;
    let mut destinations = BTreeMap::new();
    for (name, settings) in &config.destinations {
        // Where there are others, all calls made until now are theirs.
        let elsewhere = store.exchange_gate(name, None).await?;
        let hours = match &elsewhere {
            None => store.calls_since(name, now.before(Duration::from_secs(86_400))).await?,
            Some(_) => Vec::new(),
        };
        let gate = Gate::new(gate_settings(settings), &BudgetSnapshot { hours }, clock.clone());
        if let Some(elsewhere) = elsewhere {
            neighbours::hear_of(&gate, elsewhere);
        }
        gate.restore_closed_spans(store.closed_spans(name).await?);
        if let Some(pause) = pauses.iter().find(|pause| pause.destination == *name) {
            gate.pause(Pause { by: pause.by.clone(), note: pause.note.clone(), until: pause.until });
        }
        let meter = Arc::new(Meter { destination: name.clone(), gate: Arc::clone(&gate) });
        let crm = connect(settings, meter).with_context(|| format!("destination {name}"))?;
        let destination = Destination::new(
            name.clone(),
            destination_settings(settings, config.store.log_bodies),
            Arc::clone(store),
            crm,
            gate,
            clock.clone(),
            Arc::clone(sources),
        );
        destinations.insert(name.clone(), Arc::new(destination));
    }
    Ok(destinations)
}

/// Counts each call where the budget and the metrics see it.
struct Meter {
    destination: DestinationName,
    gate: Arc<Gate>,
}

impl CallMeter for Meter {
    fn called(&self, call: &crate::crm::Call) {
        self.gate.called(call);
        if call.counted {
            queue::calls::count();
        }
        metrics::crm_request(&self.destination, call.endpoint, call.status, call.elapsed);
    }
}

fn gate_settings(config: &DestinationConfig) -> GateSettings {
    GateSettings {
        concurrency: usize::try_from(config.limits.concurrency.get()).unwrap_or(1),
        calls_per_day: config.limits.calls_per_day,
        org_stop_percent: config.limits.org_stop.whole(),
        reserve_for_live_percent: config.limits.reserve_for_live.whole(),
    }
}

fn destination_settings(config: &DestinationConfig, log_bodies: bool) -> DestinationSettings {
    DestinationSettings {
        observe: config.mode == Mode::Observe,
        object: config.records.object.clone(),
        external_id: config.records.external_id.clone(),
        external_id_value: config.records.external_id_value.clone(),
        match_by: config.records.match_by.clone(),
        on_ambiguous: config.records.on_ambiguous,
        on_shared: config.records.on_shared,
        auto_assign: config.records.auto_assign,
        rows: config.fields.clone(),
        filter: config.filter.clone(),
        refuse_unmapped: config.records.unmapped == Unmapped::Error,
        linger: config.limits.linger,
        timeout: config.limits.timeout,
        lease: config.retry.lease,
        retry: RetryPolicy {
            first: config.retry.first,
            longest: config.retry.longest,
            give_up_after: config.retry.give_up_after,
        },
        log_bodies,
    }
}

fn register_metrics(config: &Config) {
    let sources: Vec<SourceName> = config.sources.keys().cloned().collect();
    let labels = |name: &DestinationName| DestinationLabels { name: name.clone(), endpoints: &ENDPOINTS };
    let destinations: Vec<DestinationLabels> = config.destinations.keys().map(labels).collect();
    metrics::register(&sources, &destinations, &AlertName::ALL.map(AlertName::as_str));
}

/// The longest that a job may wait by itself; after a jump of the clock none waits longer.
fn longest_wait(config: &Config) -> Duration {
    config.destinations.values().map(|known| known.retry.longest.max(known.retry.lease)).max().unwrap_or_default()
}

/// The configured tokens, or one made for this run.
fn tokens(config: &Config) -> (Vec<AdminToken>, Option<String>) {
    if !config.admin.tokens.is_empty() {
        return (config.admin.tokens.clone(), None);
    }
    let token = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
    let sha256 =
        sha2::Digest::finalize(sha2::Digest::chain_update(<sha2::Sha256 as sha2::Digest>::new(), &token)).into();
    (vec![AdminToken { name: "made at start".to_owned(), role: Role::Operator, sha256 }], Some(token))
}
