//! Puts the parts together, starts them in order, and stops them in the reverse one. The only file that names concrete
//! stores and CRMs.

pub mod check;
mod operations;
mod resync;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{info, warn};

use self::operations::AppOperations;
use crate::clock::Clock;
use crate::config::{AdminToken, Config, DestinationConfig, DestinationKind, MatchKey, Mode, Role, StoreUrl};
use crate::crm::gate::{BudgetSnapshot, Gate, GateSettings, Pause};
use crate::crm::salesforce::{Credentials, Salesforce, SalesforceSettings};
use crate::crm::{CallMeter, Crm};
use crate::domain::envelope::Reader;
use crate::domain::ids::{DestinationName, SourceName};
use crate::domain::matching::MatchedBy;
use crate::http;
use crate::http::admin::{AdminParts, AdminState};
use crate::intake::{Intake, SourceRuntime};
use crate::queue;
use crate::queue::destination::{Destination, DestinationSettings, SourceReading};
use crate::queue::maintenance;
use crate::queue::verdict::RetryPolicy;
use crate::store::Store;
use crate::store::sqlite::{SqliteOptions, SqliteStore};
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
    workers: JoinSet<()>,
    grace: Duration,
}

impl App {
    /// Opens the store, recovers what a dead process left, and starts workers and listeners. Fails before anything is
    /// accepted; a CRM that is down is no reason to fail.
    pub async fn start(config: &Config, clock: Clock) -> Result<Self> {
        let store = open_store(config).await?;
        let now = clock.now();
        let recovered = store.recover_leases(now).await?;
        if recovered.leases > 0 {
            warn!(
                "the process before this one died: {} leads it had in hand are due again, {} writes have an unknown outcome",
                recovered.leases, recovered.unknown_writes
            );
        }
        let exposition = metrics::install(config.sources.keys(), config.destinations.keys())?;
        let (stop, stopped) = watch::channel(false);
        let sources = source_readings(config)?;
        let destinations = destinations(config, &store, &sources, &clock).await?;
        let intake = Arc::new(intake(config, &store, &clock)?);

        let mut workers = JoinSet::new();
        for destination in destinations.values() {
            workers.spawn(queue::run(Arc::clone(destination), stopped.clone()));
        }
        let gates = destinations.values().map(|known| (known.name.clone(), Arc::clone(&known.gate))).collect();
        workers.spawn(maintenance::run(Arc::clone(&store), gates, config.store.retention, clock.clone(), stopped.clone()));

        let operations =
            Arc::new(AppOperations::new(config, destinations, Arc::clone(&store), clock.clone(), stopped.clone()));
        workers.spawn(Arc::clone(&operations).watch_schemas());
        let (tokens, made_token) = tokens(config);
        let figures = http::figures::Figures::new(Arc::clone(&store), config.alerts.clone(), clock.clone());
        let state = AdminState::new(AdminParts {
            store: Arc::clone(&store),
            intake: Arc::clone(&intake),
            operations,
            figures: Arc::new(figures),
            exposition,
            tokens,
            clock: clock.clone(),
        });
        let mut servers = JoinSet::new();
        let public = http::public_router(intake, config.server.max_body);
        let webhooks = serve(config.server.listen, public, &stopped, &mut servers).await?;
        let admin = serve(config.admin.listen, http::admin_router(state), &stopped, &mut servers).await?;
        info!("webhooks come in on http://{webhooks}, operators on http://{admin}");
        Ok(Self { webhooks, admin, made_token, store, stop, servers, workers, grace: config.server.shutdown_grace })
    }

    /// Takes no more webhooks, lets what is under way finish within the grace period, gives back the rest.
    pub async fn stop(mut self) {
        let _ = self.stop.send(true);
        let done = async {
            while self.servers.join_next().await.is_some() {}
            while self.workers.join_next().await.is_some() {}
        };
        if tokio::time::timeout(self.grace, done).await.is_err() {
            warn!("not everything finished within {} s; what is open is due again at the next start", self.grace.as_secs());
        }
        self.store.close().await;
        info!("stopped");
    }
}
