//! `[server]`: where webhooks come in.

use std::net::SocketAddr;
use std::time::Duration;

use url::Url;

use super::reader::Table;
use super::values::{duration, network, size, socket_addr, web_address};

/// `[server]`: the listener that senders reach.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Webhooks and `/healthz`, nothing else; `127.0.0.1:8080` if left out.
    pub listen: SocketAddr,
    /// What senders call, for schemes that sign the URL; without a slash at its end.
    pub public_url: Option<Url>,
    /// The longest body that is taken, in bytes; 1 MiB if left out.
    pub max_body: usize,
    /// How long a stop waits for what is under way; 30 s if left out.
    pub shutdown_grace: Duration,
}

pub(super) fn read(table: Table<'_>) -> ServerConfig {
    let config = ServerConfig {
        listen: table.or("listen", SocketAddr::from(([127, 0, 0, 1], 8080)), socket_addr),
        public_url: table.optional("public_url", web_address),
        max_body: table.or("max_body", 1024 * 1024, size),
        shutdown_grace: table.or("shutdown_grace", Duration::from_secs(30), duration),
    };
    // Nothing asks yet who called: taking the key in silence would promise what is not kept.
    if table.list("trusted_proxies", network).is_some_and(|proxies| !proxies.is_empty()) {
        table.wrong("trusted_proxies", "anything but the default is not built yet", "leave it out");
    }
    table.finish();
    config
}
