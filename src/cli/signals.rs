//! What the operating system asks of a running command.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::warn;

/// The signals that ask a command to stop or to reload, listened to from the moment that this is made.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next signal to stop, and names it. A SIGHUP meanwhile is left alone: there is nothing to reload yet, or
    /// any more.
    pub(super) async fn stop(&mut self) -> &'static str {
        loop {
            match self.next().await {
                Order::Stop(signal) => return signal,
                Order::Reload => warn!("SIGHUP is left alone: the service is not running"),
            }
        }
    }

    /// Waits for the next signal.
    pub(super) async fn next(&mut self) -> Order {
        tokio::select! {
            _ = self.interrupt.recv() => Order::Stop("SIGINT"),
            _ = self.terminate.recv() => Order::Stop("SIGTERM"),
            _ = self.hang_up.recv() => Order::Reload,
        }
    }
}

/// What a signal asks for.
pub(super) enum Order {
    /// With the signal's name.
    Stop(&'static str),
    /// SIGHUP: read the configuration again.
    Reload,
}
