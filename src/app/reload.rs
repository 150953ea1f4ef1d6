//! Taking a changed configuration while the service runs.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use tracing::{error, info, warn};

use super::engine::{Engine, Ground};
use super::swap::Swap;
use crate::config::{Config, ConfigErrors};
use crate::http::admin::state::{ReloadError, Reloaded};

/// Reads the configuration as it is now.
pub type Loader = Box<dyn Fn() -> Result<Config, ConfigErrors> + Send + Sync>;

type Ask = oneshot::Sender<Result<Reloaded, ReloadError>>;

/// The way to the task that reloads, one after the other.
#[derive(Clone)]
pub(super) struct Reloads(mpsc::Sender<Ask>);

impl Reloads {
    pub fn new() -> (Self, mpsc::Receiver<Ask>) {
        let (asks, asked) = mpsc::channel(8);
        (Self(asks), asked)
    }

    /// Has the configuration read again, and answers what came of it.
    pub async fn ask(&self) -> Result<Reloaded, ReloadError> {
        let gone = || ReloadError::Failed("the service is stopping".to_owned());
        let (reply, answer) = oneshot::channel();
        self.0.send(reply).await.map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}

/// The running engine, and what is needed to put another in its place.
pub(super) struct Reloader {
    pub ground: Arc<Ground>,
    pub config: Config,
    pub engine: Engine,
    pub load: Option<Loader>,
    pub webhooks: Swap,
    pub admin: Swap,
    pub asked: mpsc::Receiver<Ask>,
}

impl Reloader {
    /// Reloads when asked to, until the stop; then lets the engine, and those before it, finish what is under way.
    pub async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        while !*stopped.borrow() {
            tokio::select! {
                _ = stopped.changed() => {}
                ask = self.asked.recv() => {
                    let Some(reply) = ask else { break };
                    let done = self.reload().await;
                    // Whoever asked may have gone away.
                    let _ = reply.send(done);
                }
            }
        }
        self.engine.end().await;
    }

    /// A wrong configuration is reported and changes nothing. Webhooks are taken all the while: those that are being taken by
    /// the old settings, and from the exchange on by the new ones. What is being synced ends with the settings it began with.
    async fn reload(&mut self) -> Result<Reloaded, ReloadError> {
        let Some(load) = &self.load else { return Err(ReloadError::NoFile) };
        let mut config = load().map_err(|errors| {
            error!("the changed configuration is wrong, and the old one stays:\n{errors}");
            ReloadError::Wrong(errors.iter().map(ToString::to_string).collect())
        })?;
        let has_made_token = self.ground.made.is_some();
        let restart_needed = keep_what_cannot_change(&self.config, &mut config, has_made_token);
        let engine = Engine::start(&config, &self.ground, Some(&self.engine)).await.map_err(|why| {
            error!("the changed configuration cannot be used, and the old one stays: {why:#}");
            ReloadError::Failed(format!("{why:#}"))
        })?;
        for warning in config.warnings() {
            warn!("{warning}");
        }
        self.webhooks.set(engine.webhooks.clone());
        self.admin.set(engine.admin.clone());
        let old = std::mem::replace(&mut self.engine, engine);
        self.engine.succeed(Some(old));
        self.config = config;
        if restart_needed.is_empty() {
            info!("took the changed configuration");
        } else {
            let named = restart_needed.join(", ");
            warn!("took the changed configuration but for {named}: restart to change that");
        }
        Ok(Reloaded { restart_needed })
    }
}

/// Puts back what only a restart can change; answers its keys. The last tokens go only where one was made at the start
/// (`has_made_token`): else nobody could come in any more.
fn keep_what_cannot_change(old: &Config, new: &mut Config, has_made_token: bool) -> Vec<String> {
    let mut kept = Vec::new();
    let mut keep = |key: &str, changed: bool| {
        if changed {
            kept.push(key.to_owned());
        }
    };
    keep("server.listen", old.server.listen != new.server.listen);
    keep("server.shutdown_grace", old.server.shutdown_grace != new.server.shutdown_grace);
    keep("admin.listen", old.admin.listen != new.admin.listen);
    let locks_out = new.admin.tokens.is_empty() && !old.admin.tokens.is_empty() && !has_made_token;
    keep("admin.tokens", locks_out);
    keep("store.url", old.store.url != new.store.url);
    new.server.listen = old.server.listen;
    new.server.shutdown_grace = old.server.shutdown_grace;
    new.admin.listen = old.admin.listen;
    new.store.url = old.store.url.clone();
    if locks_out {
        new.admin.tokens.clone_from(&old.admin.tokens);
    }
    kept
}
