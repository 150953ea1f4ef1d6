//! Several replicas on one PostgreSQL: the server is replaced by its standby, replicas are restarted and frozen, all under
//! load.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use sqlx::PgConnection;
use uuid::Uuid;

use super::kill_and_judge;
use super::run::{Load, Run, times};
use super::service::{Replica, Service};
use crate::postgres::{Cluster, connect};
use crate::proxy::Proxy;

/// Processes on one database.
const REPLICAS: usize = 3;
/// What a test run without `RESTARTS` and `FREEZES` does, and a long one.
const RESTARTS: u64 = 5;
const MANY_RESTARTS: u64 = 50;
const FREEZES: u64 = 1;
const MANY_FREEZES: u64 = 10;
const LONGEST_WAIT: Duration = Duration::from_secs(20);
const BACK_WITHIN: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_where_three_replicas_are_killed_and_their_database_too() {
    let Some(cluster) = Cluster::new("") else { return };
    let mut run = Run::prepare("kill test with replicas").await;
    let url = cluster.url(&cluster.create_database().await);
    let service = Service::replicated(&run.sandbox.url(), run.rng.fork(), &url, REPLICAS).await;
    kill_and_judge(run, service, Some(&cluster)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_takes_over_and_nothing_acknowledged_is_lost() {
    let Some(primary) = Cluster::new("") else { return };
    let mut run = Run::prepare("failover").await;
    let standby = primary.standby().await;
    let address = Proxy::start(vec![primary.port()]).await;
    let name = primary.create_database().await;
    let url = format!("postgres://postgres@127.0.0.1:{}/{name}", address.port);
    let mut service = Service::replicated(&run.sandbox.url(), run.rng.fork(), &url, REPLICAS).await;
    service.start();
    service.until_ready().await;
    let mut load = run.begin(&service);
    tokio::time::sleep(Duration::from_secs(3)).await;

    primary.stop_immediate();
    let accepted = load.sent.accepted.load(Ordering::Relaxed);
    standby.promote().await;
    address.send_to(vec![standby.port()]);
    address.cut();
    let began = Instant::now();
    while load.sent.accepted.load(Ordering::Relaxed) <= accepted || !service.is_ready().await {
        assert!(began.elapsed() < BACK_WITHIN, "the replicas are not back after {BACK_WITHIN:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("failover: back {} ms after the standby was promoted", began.elapsed().as_millis());
    tokio::time::sleep(Duration::from_secs(3)).await;
    run.judge(&mut load, &mut service).await;
    only_202_and_503(&load);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_are_restarted_one_by_one_and_senders_do_not_notice() {
    let Some(cluster) = Cluster::new("") else { return };
    let mut run = Run::prepare("restarts").await;
    let url = cluster.url(&cluster.create_database().await);
    let mut service = Service::replicated(&run.sandbox.url(), run.rng.fork(), &url, REPLICAS).await;
    service.start();
    service.until_ready().await;
    let mut load = run.begin(&service);
    for _ in 0..times("RESTARTS", RESTARTS, MANY_RESTARTS) {
        let n = run.rng.usize(0..REPLICAS);
        // As whoever restarts a server behind a load balancer does: nothing new goes there, and then it stops.
        service.route_around(Some(n));
        tokio::time::sleep(Duration::from_millis(200)).await;
        service.replicas[n].signal("TERM");
        service.replicas[n].wait();
        service.replicas[n].start();
        service.until_ready().await;
        service.route_around(None);
    }
    run.judge(&mut load, &mut service).await;
    only_202_and_503(&load);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_was_frozen_beyond_its_lease_changes_nothing_that_its_successor_wrote() {
    let Some(cluster) = Cluster::new("") else { return };
    let mut run = Run::prepare("freezes").await;
    // Else it is seldom met while it waits for the CRM.
    run.crm.order_silence(run.rng.u64(..)).await;
    let url = cluster.url(&cluster.create_database().await);
    let mut service = Service::replicated(&run.sandbox.url(), run.rng.fork(), &url, REPLICAS).await;
    service.start();
    service.until_ready().await;
    let mut load = run.begin(&service);
    let mut db = connect(&url).await;
    for _ in 0..times("FREEZES", FREEZES, MANY_FREEZES) {
        tokio::time::sleep(Duration::from_millis(run.rng.u64(500..1_500))).await;
        let n = run.rng.usize(0..REPLICAS);
        service.route_around(Some(n));
        let leases = freeze_while_it_writes(&service.replicas[n], &mut db).await;
        until_taken_over(&leases, &mut db).await;
        tokio::time::sleep(Duration::from_millis(run.rng.u64(0..1_500))).await;
        service.replicas[n].signal("CONT");
        service.until_ready().await;
        service.route_around(None);
    }
    run.judge(&mut load, &mut service).await;
}

/// Waits until the leases have ended and others have their jobs.
async fn until_taken_over(leases: &[Uuid], db: &mut PgConnection) {
    let began = Instant::now();
    let kept = "SELECT count(*) FROM jobs WHERE lease_token = ANY($1)";
    while sqlx::query_scalar::<_, i64>(kept).bind(leases).fetch_one(&mut *db).await.unwrap() > 0 {
        assert!(began.elapsed() < LONGEST_WAIT, "nobody takes over what the frozen replica has in hand");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Stops a replica at a moment at which it has announced writes and not begun to record them, so that it would record them
/// when it goes on; the leases that it has then. In the midst of a transaction it would hold rows until the server ended that.
async fn freeze_while_it_writes(replica: &Replica, db: &mut PgConnection) -> Vec<Uuid> {
    let began = Instant::now();
    loop {
        replica.signal("STOP");
        // What it had sent by then is done soon.
        tokio::time::sleep(Duration::from_millis(20)).await;
        let leases: Vec<Uuid> = sqlx::query_scalar(
            "SELECT DISTINCT i.lease_token FROM intents i
               JOIN jobs j USING (destination, source, lead_id, lease_token) JOIN replicas r ON r.id = j.held_by
              WHERE i.settled = 0 AND r.name LIKE '%/' || $1
                AND NOT EXISTS (SELECT 1 FROM pg_stat_activity
                                 WHERE datname = current_database() AND state = 'idle in transaction'
                                   AND state_change < clock_timestamp() - interval '15 milliseconds')",
        )
        .bind(replica.process().to_string())
        .fetch_all(&mut *db)
        .await
        .unwrap();
        if !leases.is_empty() {
            return leases;
        }
        replica.signal("CONT");
        assert!(began.elapsed() < LONGEST_WAIT, "it is never met while it writes");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// No sender saw a broken connection; any other status ends the test at once.
fn only_202_and_503(load: &Load) {
    assert_eq!(load.sent.cut_off.load(Ordering::Relaxed), 0, "webhooks whose connection broke");
}
