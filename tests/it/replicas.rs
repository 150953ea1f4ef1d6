//! Two replicas on one PostgreSQL: what one is told, spends or meets, the other knows of.

use std::time::{Duration, Instant};

use leadrelay::app::App;
use leadrelay::config::Config;
use serde_json::{Value as Json, json};

use crate::database::TestDatabase;
use crate::harness::{Harness, Stage, event};
use crate::postgres::{connect, shared_or_skipped};

/// How soon one knows of what the other was told.
const HEARD_WITHIN: Duration = Duration::from_secs(2);
/// How soon work is found that nobody was told of: workers look every five seconds.
const FOUND_WITHIN: Duration = Duration::from_secs(20);

/// The first replica, and where its database is; `None` where there is no PostgreSQL.
async fn one(adapt: impl FnOnce(&mut Config)) -> Option<(Harness, String)> {
    let server = shared_or_skipped()?;
    let url = server.url(&server.create_database().await);
    Some((Stage::on(TestDatabase::At(url.clone())).await.start(adapt).await, url))
}

/// Both.
async fn two(adapt: impl FnOnce(&mut Config)) -> Option<(Harness, App)> {
    let (harness, _) = one(adapt).await?;
    let other = harness.replica().await.unwrap();
    Some((harness, other))
}

async fn send(harness: &Harness, n: usize) {
    let lead =
        json!({ "id": format!("cl_{n}"), "name": format!("Ada {n}"), "email": format!("ada{n}@lovelace{n}.example") });
    harness.send(&event("lead.created", 1_767_225_600, &lead)).await;
}

/// What a replica knows of its gate, once that is as expected.
async fn heard(harness: &Harness, app: &App, expected: impl Fn(&Json) -> bool) -> Json {
    let began = Instant::now();
    loop {
        let shown = harness.admin_of(app, "destinations").await["items"][0].take();
        if expected(&shown) {
            return shown;
        }
        assert!(began.elapsed() < HEARD_WITHIN, "not heard of after {HEARD_WITHIN:?}: {shown}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn is_closed(shown: &Json) -> bool {
    shown["gate"]["state"] == "closed"
}

fn is_open(shown: &Json) -> bool {
    shown["gate"]["state"] == "open"
}

async fn calls(harness: &Harness) -> u64 {
    harness.control("stats").await["calls"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_and_its_end_at_one_are_heard_by_the_other() {
    let Some((harness, other)) = two(|_| {}).await else { return };
    harness.admin_post("destinations/salesforce/pause", json!({})).await;
    heard(&harness, &other, is_closed).await;
    send(&harness, 1).await;
    harness.until("queue", |queue| queue["items"][0]["ready"] == 1).await;
    assert!(harness.records().await.is_empty());
    harness.resume().await;
    heard(&harness, &other, is_open).await;
    harness.settled().await;
    assert_eq!(harness.records().await.len(), 1);
    other.stop().await;
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_that_one_closed_holds_the_other() {
    let Some((harness, _)) = one(|_| {}).await else { return };
    send(&harness, 1).await;
    harness.settled().await;
    // Asked once, and so by one: the other has met nothing.
    harness.faults(json!([{ "fault": "throttle", "retry_after": 3600, "count": 1 }])).await;
    send(&harness, 2).await;
    harness.destination(is_closed).await;
    let other = harness.replica().await.unwrap();
    let shown = heard(&harness, &other, is_closed).await;
    assert!(shown["gate"]["reason"].as_str().unwrap().contains("the CRM asked us to slow down"), "{shown}");
    let before = calls(&harness).await;
    send(&harness, 3).await;
    harness.until("queue", |queue| queue["items"][0]["ready"] == 1).await;
    assert_eq!((calls(&harness).await, harness.records().await.len()), (before, 1), "it was asked all the same");
    other.stop().await;
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_both_come_out_of_one_share() {
    const SHARE: u64 = 60;
    let share = |config: &mut Config| {
        for destination in config.destinations.values_mut() {
            destination.limits.calls_per_day = SHARE;
        }
    };
    let Some((harness, other)) = two(share).await else { return };
    let before = calls(&harness).await;
    let is_spent = async |app: &App| is_closed(&harness.admin_of(app, "destinations").await["items"][0]);
    let mut leads = 0;
    while !(is_spent(&harness.app).await && is_spent(&other).await) {
        leads += 1;
        assert!(leads < 3 * SHARE as usize, "nothing stopped them");
        send(&harness, leads).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let made = calls(&harness).await - before;
    // One hears of the other's calls a moment later.
    assert!(made < SHARE + SHARE / 2, "{made} calls were made of {SHARE}");
    for app in [&harness.app, &other] {
        heard(&harness, app, |shown| shown["calls_used"].as_u64().is_some_and(|used| used >= made)).await;
    }
    other.stop().await;
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_queue_shows_each_replica_and_when_it_was_last_seen() {
    let Some((harness, other)) = two(|_| {}).await else { return };
    let replicas = |queue: &Json| queue["replicas"].as_array().unwrap().clone();
    let seen = |queue: &Json| {
        let seen =
            replicas(queue).into_iter().map(|row| (row["seen_at"].as_str().unwrap().to_owned(), row["alive"] == true));
        seen.collect::<Vec<_>>()
    };
    let before = seen(&harness.admin("queue").await);
    assert_eq!((before.len(), before.iter().all(|(_, alive)| *alive)), (2, true), "{before:?}");
    let moved = |queue: &Json| seen(queue).iter().zip(&before).all(|(now, before)| now.1 && now.0 > before.0);
    harness.until("queue", moved).await;
    other.stop().await;
    assert_eq!(replicas(&harness.admin("queue").await).len(), 1);
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_that_nobody_was_told_of_is_found_all_the_same() {
    let Some((harness, url)) = one(|_| {}).await else { return };
    send(&harness, 1).await;
    harness.settled().await;
    let mut db = connect(&url).await;
    let owe = "INSERT INTO jobs (destination, source, lead_id, state, lane, class, due_at, attempt, wanted, owed_since,
                                 suspicion, forced)
               VALUES ('salesforce', 'klozeo', 'cl_1', 'owed', 1, 0, now(), 0, 1, now(), 0, false)";
    sqlx::raw_sql(owe).execute(&mut db).await.unwrap();
    let began = Instant::now();
    while sqlx::query_scalar::<_, i64>("SELECT count(*) FROM jobs").fetch_one(&mut db).await.unwrap() > 0 {
        assert!(began.elapsed() < FOUND_WITHIN, "not found after {FOUND_WITHIN:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    harness.stop().await;
}
