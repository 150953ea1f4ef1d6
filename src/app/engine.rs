//! Everything that the settings make, as one piece: so that another can take its place while the service runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::operations::AppOperations;
use super::orphans::Orphans;
use super::reload::Reloads;
use super::{connect, longest_wait};
use crate::clock::Clock;
use crate::config::{AdminToken, Company, Config, DestinationConfig, DuplicateRule, Mode, Unmapped};
use crate::crm::gate::{BudgetSnapshot, Gate, GateSettings, Pause};
use crate::crm::salesforce::ENDPOINTS;
use crate::crm::{CallMeter, OnDuplicate};
use crate::domain::envelope::Reader;
use crate::domain::ids::{DestinationName, SourceName};
use crate::domain::listed::Listed;
use crate::http;
use crate::http::admin::state::{AdminParts, AdminState};
use crate::http::figures::Figures;
use crate::intake::{Holding, Intake, SourceRuntime};
use crate::queue;
use crate::queue::destination::{CompanySettings, Destination, DestinationSettings, SourceReading};
use crate::queue::maintenance::Maintenance;
use crate::queue::neighbours::{self, Neighbours};
use crate::queue::verdict::RetryPolicy;
use crate::store::{Replica, Store};
use crate::telemetry::alerts::AlertName;
use crate::telemetry::metrics::{self, DestinationLabels, Exposition};

/// What stays as it is while settings are exchanged.
pub(super) struct Ground {
    pub store: Arc<dyn Store>,
    pub clock: Clock,
    pub replica: Replica,
    pub exposition: Exposition,
    /// The queue's own threads.
    pub queue: tokio::runtime::Handle,
    /// The token that was made since none was configured at the start.
    pub made: Option<AdminToken>,
    pub reloads: Reloads,
    /// Refused requests on their way into the store.
    pub holding: Arc<Holding>,
}

/// Intake, workers and routers of one configuration.
pub(super) struct Engine {
    pub webhooks: Router,
    pub admin: Router,
    destinations: BTreeMap<DestinationName, Arc<Destination>>,
    orphans: Orphans,
    stop: watch::Sender<bool>,
    workers: JoinSet<()>,
}

impl Engine {
    /// Starts everything but the listeners. One that is to follow another (`before`) knows what that has in hand, and makes
    /// its first claim while the other still finishes.
    pub async fn start(config: &Config, ground: &Ground, before: Option<&Self>) -> Result<Self> {
        let Ground { store, clock, replica, .. } = ground;
        register_metrics(config);
        let (stop, stopped) = watch::channel(false);
        let sources = source_readings(config)?;
        let destinations = destinations(config, store, &sources, clock, before).await?;
        let intake = Arc::new(intake(config, ground)?);
        // From here on nothing fails, so the one before it has to stay no more.
        for (name, destination) in &destinations {
            if before.is_some_and(|before| before.destinations.contains_key(name))
                && let Some(settings) = config.destinations.get(name)
            {
                destination.gate.exchange(gate_settings(settings));
            }
        }

        let mut workers = start_workers(config, ground, &destinations, &stopped);
        let operations = Arc::new(AppOperations::new(
            config,
            destinations.clone(),
            Arc::clone(store),
            clock.clone(),
            stopped.clone(),
            ground.reloads.clone(),
            Arc::clone(&ground.holding),
        ));
        workers.spawn(Arc::clone(&operations).resume_runs());
        workers.spawn(Arc::clone(&operations).watch_schemas());
        workers.spawn(operations.duplicates().watch());
        let figures = Arc::new(Figures::new(
            Arc::clone(store),
            Arc::clone(&operations) as _,
            Arc::clone(&intake),
            config.alerts.clone(),
            clock.clone(),
        ));
        workers.spawn(keep_figures(Arc::clone(&figures), ground.exposition.clone(), stopped));
        let made = ground.made.iter().cloned().collect();
        let state = AdminState::new(AdminParts {
            store: Arc::clone(store),
            intake: Arc::clone(&intake),
            operations,
            figures,
            exposition: ground.exposition.clone(),
            tokens: if config.admin.tokens.is_empty() { made } else { config.admin.tokens.clone() },
            replica: replica.clone(),
            clock: clock.clone(),
        });
        let webhooks = http::public_router(intake, http::BodyLimits::of(config.server.max_body));
        let known = destinations.keys().cloned().collect();
        let orphans = Orphans {
            store: Arc::clone(store),
            clock: clock.clone(),
            known,
            sources: config.sources.keys().cloned().collect(),
        };
        Ok(Self { webhooks, admin: http::admin_router(state), destinations, orphans, stop, workers })
    }

    /// Takes the place of the one before it: lets that one finish what is under way, and then deals with what is left of
    /// destinations that are not configured any more; until it is done or this one ends, too.
    pub fn succeed(&mut self, before: Option<Self>) {
        let (orphans, mut stopped) = (self.orphans.clone(), self.stop.subscribe());
        self.workers.spawn(async move {
            if let Some(before) = before {
                before.end().await;
            }
            tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => {}
                () = orphans.tend() => {}
            }
        });
    }

    /// Claims no more, and lets what is under way finish.
    pub async fn end(mut self) {
        let _ = self.stop.send(true);
        while self.workers.join_next().await.is_some() {}
    }
}

/// Starts the queue of each destination, the chores, and the watch over other processes.
fn start_workers(
    config: &Config,
    ground: &Ground,
    destinations: &BTreeMap<DestinationName, Arc<Destination>>,
    stopped: &watch::Receiver<bool>,
) -> JoinSet<()> {
    let Ground { store, clock, .. } = ground;
    let mut workers = JoinSet::new();
    for destination in destinations.values() {
        workers.spawn_on(queue::run(Arc::clone(destination), stopped.clone()), &ground.queue);
    }
    let chores = Maintenance {
        store: Arc::clone(store),
        destinations: destinations.values().cloned().collect(),
        retention: config.store.retention,
        longest_wait: longest_wait(config),
        clock: clock.clone(),
    };
    workers.spawn(chores.run(stopped.clone()));
    workers.spawn(Arc::clone(&ground.holding).run(Arc::clone(store), clock.clone(), stopped.clone()));
    let neighbours = Neighbours {
        store: Arc::clone(store),
        destinations: destinations.values().cloned().collect(),
        this: ground.replica.clone(),
        clock: clock.clone(),
    };
    workers.spawn(neighbours.run(stopped.clone()));
    workers
}

async fn keep_figures(figures: Arc<Figures>, exposition: Exposition, mut stopped: watch::Receiver<bool>) {
    tokio::select! {
        _ = stopped.changed() => {}
        () = figures.keep(exposition) => {}
    }
}

fn source_readings(config: &Config) -> Result<Arc<BTreeMap<SourceName, SourceReading>>> {
    let reading = |(name, source): (&SourceName, &crate::config::SourceConfig)| {
        let reader = Reader::new(source.read.clone()).with_context(|| format!("source {name}"))?;
        let fed = config.destinations.values().filter(|destination| destination.sources.contains(name));
        let listed = Listed::by(fed.flat_map(|destination| &destination.fields));
        Ok((name.clone(), SourceReading { reader, listed }))
    };
    config.sources.iter().map(reading).collect::<Result<_>>().map(Arc::new)
}

fn intake(config: &Config, ground: &Ground) -> Result<Intake> {
    let Ground { store, clock, holding, .. } = ground;
    let mut sources = Vec::new();
    for (name, source) in &config.sources {
        let takes = |destination: &&DestinationName| config.destinations[*destination].sources.contains(name);
        let destinations = config.destinations.keys().filter(takes).cloned().collect();
        let secrets: Vec<String> = source.secrets.iter().map(|secret| secret.expose().to_owned()).collect();
        let read = source.read.clone();
        let runtime = SourceRuntime::new(name.clone(), source.enabled, &source.verify, &secrets, read, destinations)
            .with_context(|| format!("source {name}"))?;
        let preset = crate::source::preset(&source.preset);
        let (if_refused, wants_soap) = preset.map_or(("", false), |preset| (preset.if_refused, preset.wants_soap));
        sources.push(runtime.peculiar(source.handshake(), if_refused, wants_soap));
    }
    let log: Arc<dyn crate::store::EventLog> = Arc::clone(store) as _;
    let public_url = config.server.public_url.as_ref().map(ToString::to_string);
    Ok(Intake::new(log, sources, public_url, clock.clone(), Arc::clone(holding)))
}

async fn destinations(
    config: &Config,
    store: &Arc<dyn Store>,
    sources: &Arc<BTreeMap<SourceName, SourceReading>>,
    clock: &Clock,
    before: Option<&Engine>,
) -> Result<BTreeMap<DestinationName, Arc<Destination>>> {
    let mut destinations = BTreeMap::new();
    for (name, settings) in &config.destinations {
        let predecessor = before.and_then(|before| before.destinations.get(name));
        let gate = match predecessor {
            // What people order through the one before it, and what that one finds, counts at once.
            Some(predecessor) => Arc::clone(&predecessor.gate),
            None => new_gate(name, settings, &**store, clock).await?,
        };
        let meter = Arc::new(Meter { destination: name.clone(), gate: Arc::clone(&gate) });
        let crm = connect(settings, clock, meter).with_context(|| format!("destination {name}"))?;
        let destination = Destination::new(
            name.clone(),
            destination_settings(settings, config.store.log_bodies),
            Arc::clone(store),
            crm,
            gate,
            clock.clone(),
            Arc::clone(sources),
        );
        let destination = match predecessor {
            Some(predecessor) => destination.succeeding(predecessor),
            None => destination,
        };
        destinations.insert(name.clone(), Arc::new(destination));
    }
    Ok(destinations)
}

/// The gate of a destination that none was before, as it was closed before a restart.
async fn new_gate(
    name: &DestinationName,
    settings: &DestinationConfig,
    store: &dyn Store,
    clock: &Clock,
) -> Result<Arc<Gate>> {
    // Where there are others, all calls made until now are theirs.
    let elsewhere = store.exchange_gate(name, None).await?;
    let hours = match &elsewhere {
        None => store.calls_since(name, clock.now().before(Duration::from_secs(86_400))).await?,
        Some(_) => Vec::new(),
    };
    let gate = Gate::new(gate_settings(settings), &BudgetSnapshot { hours }, clock.clone());
    if let Some(elsewhere) = elsewhere {
        neighbours::hear_of(&gate, elsewhere);
    }
    gate.restore_closed_spans(store.closed_spans(name).await?);
    if let Some(pause) = store.load_pauses().await?.into_iter().find(|pause| pause.destination == *name) {
        gate.pause(Pause { by: pause.by, note: pause.note, until: pause.until });
    }
    Ok(gate)
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
        on_delete: config.records.on_delete.clone(),
        on_crm_delete: config.records.on_crm_delete,
        company: (config.records.company != Company::Inline).then(|| CompanySettings {
            create: config.records.company == Company::Account,
            lookup: config.records.company_field.clone(),
            by_contacts: config.records.company_by_contacts,
        }),
        auto_assign: config.records.auto_assign,
        duplicates: match config.records.duplicate_rule {
            DuplicateRule::Review => OnDuplicate::Refuse,
            DuplicateRule::Allow => OnDuplicate::Save,
        },
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
