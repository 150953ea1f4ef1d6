//! `leadrelay demo`: everything on one machine without an account.
//!
//! The service on SQLite in a temporary folder, a sandbox CRM, and the 200 sample leads sent as signed webhooks, with a few
//! records that CRM users made before and a few that they edit midway.

mod crm_users;
mod deliver;
mod summary;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{env, fs};

use anyhow::{Context, Result, bail};
use clap::Args as Arguments;
use tokio::net::TcpListener;

use self::crm_users::CrmUsers;
use self::deliver::{Answers, Sender};
use super::exit::Exit;
use super::output;
use super::signals::Signals;
use crate::app::App;
use crate::clock::Clock;
use crate::config::{Config, DestinationKind, StoreUrl};
use crate::sandbox::{RunningSandbox, Sandbox};

/// The sample leads: one webhook body a line, in the order in which they are delivered.
pub(super) const SAMPLES: &str = include_str!("demo/leads-200.ndjson");

const SETTINGS: &str = include_str!("../../leadrelay.toml");

/// After so many deliveries CRM users edit records.
const MIDWAY: usize = 100;

#[derive(Debug, Arguments)]
pub(super) struct Args {
    /// End when everything is settled, with a summary.
    #[arg(long)]
    once: bool,
    /// Print the summary as JSON.
    #[arg(long, requires = "once")]
    json: bool,
}

pub(super) async fn run(args: Args) -> Result<Exit> {
    let folder = Folder::make()?;
    let mut signals = Signals::listen().context("cannot listen to signals")?;
    let loopback = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let sandbox = Sandbox::start(loopback(0)).await.context("cannot start the sandbox CRM")?;
    let config = settings(&folder, &sandbox, args.once).await?;
    let app = Box::pin(App::start(&config, Clock::system())).await?;
    if !args.once {
        welcome(&app, &sandbox)?;
    }
    let exit = tokio::select! {
        finished = Box::pin(play(&app, &sandbox, &config)) => {
            let summary = finished?;
            let well = summary.is_well();
            match (args.json, args.once) {
                (true, _) => output::print_json(&summary)?,
                (false, _) => output::print(&summary.to_string())?,
            }
            if !args.once {
                output::print("Everything is settled; the service goes on. Ctrl-C ends it.")?;
                signals.stop().await;
            }
            if well { Exit::Good } else { Exit::FoundWrong }
        }
        _ = signals.stop() => Exit::Good,
    };
    app.stop().await;
    sandbox.stop().await;
    Ok(exit)
}

/// Delivers all samples, with the CRM users' edits midway, and waits until nothing is owed.
async fn play(app: &App, sandbox: &RunningSandbox, config: &Config) -> Result<summary::Summary> {
    let started = Instant::now();
    let users = CrmUsers::new(sandbox.url());
    let made = users.make_records().await?;
    let sender = Sender::new(app.webhooks, config)?;
    let lines: Vec<&str> = SAMPLES.lines().collect();
    let (before, after) = lines.split_at(MIDWAY.min(lines.len()));
    let mut answers = Answers::default();
    sender.deliver(before, &mut answers).await?;
    settled(app).await?;
    let edits = users.edit_records(app).await?;
    sender.deliver(after, &mut answers).await?;
    settled(app).await?;
    summary::Summary::gather(app, &users, &answers, &made, &edits, started.elapsed()).await
}

/// Waits until nothing is owed that would be tried by itself.
async fn settled(app: &App) -> Result<()> {
    const PATIENCE: Duration = Duration::from_secs(120);
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        let figures = app.store.queue_figures(Clock::system().now()).await?;
        if figures.iter().all(|queue| queue.ready + queue.leased + queue.retrying == 0) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    bail!("the leads were not settled within {} s", PATIENCE.as_secs())
}

/// The example configuration, on this folder, this sandbox and free ports.
async fn settings(folder: &Folder, sandbox: &RunningSandbox, once: bool) -> Result<Config> {
    let mut config = Config::parse(SETTINGS, Path::new("leadrelay.toml"), &|_| None, &|path| fs::read_to_string(path))?;
    if once || !is_free(config.server.listen).await {
        config.server.listen.set_port(0);
    }
    if once || !is_free(config.admin.listen).await {
        config.admin.listen.set_port(0);
    }
    config.store.url = StoreUrl::Sqlite(folder.0.join("leadrelay.db"));
    let url = sandbox.url().parse().context("the sandbox has no proper address")?;
    for destination in config.destinations.values_mut() {
        let DestinationKind::Salesforce(salesforce) = &mut destination.kind;
        salesforce.url = Clone::clone(&url);
    }
    Ok(config)
}

async fn is_free(address: SocketAddr) -> bool {
    TcpListener::bind(address).await.is_ok()
}

fn welcome(app: &App, sandbox: &RunningSandbox) -> Result<()> {
    let token = app.made_token.as_deref().unwrap_or("(configured)");
    output::print(&format!(
        "leadrelay runs with sample leads and a sandbox CRM; both are gone when it ends.\n\n\
           for operators   http://{admin}/docs\n\
           admin token     {token}\n\
           webhooks        http://{webhooks}/webhooks/klozeo\n\
           the CRM         {crm}/_sandbox/records?object=Lead\n\n\
         Try: curl -H 'Authorization: Bearer {token}' http://{admin}/admin/v1/queue\n",
        admin = app.admin,
        webhooks = app.webhooks,
        crm = sandbox.url(),
    ))
}

/// A folder that goes with the demo.
struct Folder(PathBuf);

impl Folder {
    fn make() -> Result<Self> {
        let path = env::temp_dir().join(format!("leadrelay-demo-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&path).with_context(|| format!("cannot make the folder {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is left to the system's own cleaning of its temporary folder.
        let _ = fs::remove_dir_all(&self.0);
    }
}
