//! Sends the samples as their lead system would: signed, one after the other.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::clock::Clock;
use crate::config::Config;
use crate::domain::ids::SourceName;
use crate::domain::signature::{Message, Verifier};

/// How often a webhook that is answered 503 is sent again.
const TRIES: u32 = 10;

/// How many deliveries got which answer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Answers {
    pub accepted: u64,
    pub duplicate: u64,
    pub quarantined: u64,
    pub ignored: u64,
}

pub(super) struct Sender {
    client: reqwest::Client,
    url: String,
    verifier: Verifier,
}

#[derive(Deserialize)]
struct Answer {
    status: String,
}

impl Sender {
    pub fn new(webhooks: SocketAddr, config: &Config) -> Result<Self> {
        let name = SourceName::from("klozeo");
        let source = config.sources.get(&name).context("the example configuration has no source klozeo")?;
        let secrets: Vec<String> = source.secrets.iter().map(|secret| secret.expose().to_owned()).collect();
        Ok(Self {
            client: reqwest::Client::new(),
            url: format!("http://{webhooks}/webhooks/{name}"),
            verifier: Verifier::new(&source.verify, &secrets)?,
        })
    }

    /// Delivers the bodies in order, each once the one before was answered.
    pub async fn deliver(&self, bodies: &[&str], answers: &mut Answers) -> Result<()> {
        for body in bodies {
            match self.send(body).await?.as_str() {
                "accepted" => answers.accepted += 1,
                "duplicate" => answers.duplicate += 1,
                "quarantined" => answers.quarantined += 1,
                "ignored" => answers.ignored += 1,
                other => bail!("a webhook was answered {other:?}"),
            }
        }
        Ok(())
    }

    async fn send(&self, body: &str) -> Result<String> {
        let timestamp = Clock::system().now();
        let message = Message { method: "POST", url: &self.url, timestamp, id: "", body: body.as_bytes() };
        for _ in 0..TRIES {
            let mut request = self.client.post(&self.url).header("content-type", "application/json");
            for (name, value) in self.verifier.sign(&message) {
                request = request.header(name, value);
            }
            let answer = request.body(body.to_owned()).send().await.context("cannot reach the service")?;
            match answer.status().as_u16() {
                202 => return Ok(answer.json::<Answer>().await?.status),
                503 => tokio::time::sleep(Duration::from_millis(200)).await,
                status => bail!("a webhook was answered {status}"),
            }
        }
        bail!("a webhook was answered 503 again and again")
    }
}
