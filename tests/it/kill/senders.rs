//! Senders: each webhook is sent until it is accepted, as a lead system does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;
use hmac::{Hmac, KeyInit, Mac};

use super::leads::Leads;
use super::service::SECRET;

/// How long one webhook is tried.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Default)]
pub struct Sent {
    pub accepted: AtomicU64,
    /// The connection broke after the webhook was sent and before the answer came.
    pub cut_off: AtomicU64,
}

/// Sends webhooks, one at a time, until it is over; the last one to its end.
pub async fn keep_sending(url: String, leads: Arc<Leads>, sent: Arc<Sent>, over: Arc<AtomicBool>, mut rng: Rng) {
    // A connection for each webhook: a broken one is then always one that broke under way.
    let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).pool_max_idle_per_host(0).build().unwrap();
    while !over.load(Ordering::Relaxed) {
        let body = leads.next(&mut rng);
        // Now and then a webhook is overtaken by the lead's next one.
        if rng.f64() < 0.05 {
            tokio::time::sleep(Duration::from_millis(rng.u64(0..300))).await;
        }
        deliver(&client, &url, &body, &sent, &mut rng).await;
        tokio::time::sleep(Duration::from_millis(rng.u64(10..60))).await;
    }
}

/// Sends one webhook until it is accepted.
pub async fn deliver(client: &reqwest::Client, url: &str, body: &str, sent: &Sent, rng: &mut Rng) {
    let signature = sign(body);
    let began = Instant::now();
    loop {
        let request = client.post(url).header("content-type", "application/json");
        let answer = request.header("x-klozeo-signature", &signature).body(body.to_owned()).send().await;
        match answer.map(|answer| answer.status().as_u16()) {
            Ok(202) => break,
            Ok(503) => {}
            Ok(other) => panic!("a good webhook was answered {other}"),
            Err(error) if error.is_connect() => {}
            Err(_) => {
                sent.cut_off.fetch_add(1, Ordering::Relaxed);
            }
        }
        assert!(began.elapsed() < PATIENCE, "a webhook was not accepted in {} s", PATIENCE.as_secs());
        tokio::time::sleep(Duration::from_millis(rng.u64(10..80))).await;
    }
    sent.accepted.fetch_add(1, Ordering::Relaxed);
}

fn sign(body: &str) -> String {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    hex::encode(mac.finalize().into_bytes())
}
