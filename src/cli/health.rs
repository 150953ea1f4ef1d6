//! `leadrelay health`: is the service on this machine well? For health checks where no HTTP client is at hand.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args as Arguments;
use serde_json::json;

use super::exit::Exit;
use super::output;
use crate::config::Config;

/// Shorter than the usual time that a container's health check has.
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Debug, Arguments)]
pub(super) struct Args {
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Asks `/healthz` and `/readyz` where the configuration says that the service listens.
pub(super) async fn run(args: Args, config: &Config) -> Result<Exit> {
    let client = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build().context("cannot make a client")?;
    let running = asked(&client, config.server.listen, "/healthz").await;
    let ready = asked(&client, config.admin.listen, "/readyz").await;
    let well = running.is_ok() && ready.is_ok();
    if args.json {
        output::print_json(&json!({ "running": running.is_ok(), "ready": ready.is_ok() }))?;
    } else {
        let said = |answer: Result<(), String>| answer.err().unwrap_or_else(|| "yes".to_owned());
        output::print(&format!("runs: {}\nstore commits: {}", said(running), said(ready)))?;
    }
    Ok(if well { Exit::Good } else { Exit::FoundWrong })
}

async fn asked(client: &reqwest::Client, listen: SocketAddr, path: &str) -> Result<(), String> {
    let url = format!("http://{}{path}", reachable(listen));
    let answer = client.get(&url).send().await.map_err(|error| crate::telemetry::chain(&error))?;
    if answer.status().is_success() { Ok(()) } else { Err(format!("{url} answers {}", answer.status())) }
}

/// Where a listener can be reached from this machine: one on every address is on the loopback one too.
pub(super) fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_every_address_is_asked_on_this_machine() {
        for (listen, expected) in
            [("0.0.0.0:8080", "127.0.0.1:8080"), ("[::]:8080", "[::1]:8080"), ("10.1.2.3:80", "10.1.2.3:80")]
        {
            assert_eq!(reachable(listen.parse().unwrap()).to_string(), expected);
        }
    }
}
