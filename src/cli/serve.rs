//! `leadrelay serve`: the service.

use std::process;

use anyhow::{Context, Result};
use tracing::{info, warn};

use super::exit::Exit;
use super::output;
use super::signals::{Order, Signals};
use crate::app::{App, Loader};
use crate::clock::Clock;
use crate::config::Config;

/// Runs the service until SIGTERM or SIGINT, then stops it gracefully; a second signal ends the process at once, which
/// loses nothing either: what was accepted is on disk.
///
/// SIGHUP has `load` read the configuration again; a wrong one is reported and the old one stays.
pub(super) async fn run(config: &Config, load: Loader) -> Result<Exit> {
    let mut signals = Signals::listen().context("cannot listen to signals")?;
    for warning in config.warnings() {
        warn!("{warning}");
    }
    let app = tokio::select! {
        app = Box::pin(App::start_reloadable(config, Clock::system(), Some(load))) => app?,
        signal = signals.stop() => {
            info!("{signal}: stopped before it was ready");
            return Ok(Exit::Good);
        }
    };
    if let Some(token) = &app.made_token
        && let Err(error) = announce(token)
    {
        warn!("the token that was made cannot be printed: {error:#}");
    }
    let signal = loop {
        match signals.next().await {
            Order::Stop(signal) => break signal,
            // What came of it is in the log.
            Order::Reload => drop(app.reload().await),
        }
    };
    let grace = config.server.shutdown_grace.as_secs();
    info!("{signal}: taking no more webhooks, finishing what is under way (up to {grace} s; again to end at once)");
    tokio::select! {
        () = app.stop() => Ok(Exit::Good),
        signal = signals.stop() => {
            warn!("{signal}: ended at once; what was in hand is due again at the next start");
            process::exit(1);
        }
    }
}

/// Not a log line: logs are kept and sent around, and a token does not belong there.
fn announce(token: &str) -> Result<()> {
    output::print(&format!(
        "\n  No admin token is configured. For this run only, an operator's token is:\n\n  {token}\n"
    ))
}
