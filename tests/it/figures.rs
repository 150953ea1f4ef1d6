//! The figures that operators watch while leads are synced.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Harness, event};

/// Figures are a second old at most; the rest is for asking.
const SHOWN_WITHIN: Duration = Duration::from_secs(3);

#[tokio::test]
async fn what_was_settled_a_moment_ago_counts_in_the_rate() {
    let harness = Harness::start(|_| {}).await;
    assert_eq!(harness.admin("queue").await["items"][0]["rate_per_minute"], json!(0.0));
    let lead = json!({ "id": "cl_1", "name": "Ada Lovelace", "email": "ada@lovelace.example" });
    harness.send(&event("lead.created", 1_767_225_600, &lead)).await;
    harness.settled().await;
    let began = Instant::now();
    harness.until("queue", |queue| queue["items"][0]["rate_per_minute"].as_f64().is_some_and(|rate| rate > 0.0)).await;
    assert!(began.elapsed() < SHOWN_WITHIN, "only after {:?}", began.elapsed());
    harness.stop().await;
}

#[tokio::test]
async fn operations_are_counted_as_freshly_as_what_is_owed() {
    let harness = Harness::start(|_| {}).await;
    assert_eq!(harness.admin("queue").await["items"][0]["operations"], 0);
    let lead = json!({ "id": "cl_1", "name": "Ada Lovelace" });
    harness.send(&event("lead.created", 1_767_225_600, &lead)).await;
    harness.settled().await;
    let settled = Instant::now();
    harness.until("queue", |queue| queue["items"][0]["operations"] == 1).await;
    assert!(settled.elapsed() < SHOWN_WITHIN, "told after {:?}", settled.elapsed());
    harness.stop().await;
}
