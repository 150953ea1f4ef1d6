//! The kill test: senders send, people edit in the CRM, the CRM and the network misbehave, and the process is killed at
//! random moments and started again. What became of it is judged by the CRM's own history.
//!
//! `SEED=` repeats a run's choices (the moments at which things meet are the machine's), `LONG=1` makes it a long one and
//! `KILLS=500` one of so many kills.

#![expect(clippy::unwrap_used, reason = "the test ends at whatever it did not expect")]

mod checks;
mod configuration;
mod crm;
mod edits;
mod leads;
mod replicas;
mod report;
mod run;
mod senders;
mod service;
mod steps;

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::postgres::Cluster;
use crm::Crm;
use run::{Run, times};
use senders::Sent;
use service::{LEASE, Service};

/// Kills where `KILLS` does not say how many.
const KILLS: u64 = 10;
/// The same of replicas, whose database is restarted besides.
const KILLS_OF_REPLICAS: u64 = 6;
/// The same where `LONG=1` is set.
const MANY_KILLS: u64 = 500;
/// How often a database of its own is restarted in the course of a run.
const DATABASE_RESTARTS: u64 = 5;
/// What befalls requests as a whole.
const FAULTS: [&str; 6] = ["late_write", "reset_after", "reset_before", "status", "throttle", "timeout_after"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_lead_is_lost_or_doubled_and_no_edit_overwritten_however_often_the_process_is_killed() {
    let mut run = Run::prepare("kill test").await;
    let service = Service::new(&run.sandbox.url(), run.rng.fork()).await;
    kill_and_judge(run, service, None).await;
}

async fn kill_and_judge(mut run: Run, mut service: Service, database: Option<&Cluster>) {
    let usual = if database.is_some() { KILLS_OF_REPLICAS } else { KILLS };
    let kills = times("KILLS", usual, MANY_KILLS);
    run.crm.order_faults(run.rng.u64(..)).await;
    service.start();
    let mut load = run.begin(&service);
    let (killed, before_ready) = kill(&mut run, kills, &mut service, &load.sent, database).await;
    println!("killed {killed} times, {before_ready} times of these before all was ready");
    let (found, faults) = run.judge(&mut load, &mut service).await;
    assert_eq!(
        faults.keys().map(String::as_str).collect::<Vec<_>>(),
        FAULTS,
        "not every fault struck: the test shows too little"
    );
    assert!(load.sent.cut_off.load(Ordering::Relaxed) > 0, "no kill met a webhook under way: the test shows nothing");
    assert!(found.died_writing > 0, "no kill met a write under way: the test shows nothing");
    assert!(found.edits > 0 && found.overwritten > 0, "no edit met a write: the test shows nothing");
}

/// Kills processes, and now and then the database, until the kills have met what they should. Answers how many processes it
/// killed, and how many of them while not everything was up.
async fn kill(run: &mut Run, kills: u64, service: &mut Service, sent: &Sent, database: Option<&Cluster>) -> (u64, u64) {
    let Run { rng, crm, .. } = run;
    let (mut killed, mut before_ready, mut restarts) = (0, 0, 0);
    while killed < kills || (killed < 3 * kills && !met_work(service, sent, crm).await) {
        // Some die while they start and recover, the others in the midst of intake and sync; where others take over from the
        // dead, some after that.
        let (ready, wait) = match rng.u8(0..10) {
            0..2 => (false, Duration::from_millis(rng.u64(0..300))),
            2..4 if service.replicas.len() > 1 => (true, LEASE + Duration::from_millis(rng.u64(0..1_500))),
            _ => (true, Duration::from_millis(rng.u64(0..2_000))),
        };
        if ready {
            service.until_ready().await;
        }
        tokio::time::sleep(wait).await;
        before_ready += u64::from(!service.is_ready().await);
        if let Some(cluster) = database.filter(|_| restarts * kills <= killed * DATABASE_RESTARTS) {
            cluster.stop_immediate();
            tokio::time::sleep(Duration::from_millis(rng.u64(0..1_000))).await;
            cluster.start();
            restarts += 1;
        }
        service.kill_one(rng);
        if database.is_some() {
            service.revive();
        }
        killed += 1;
    }
    service.until_ready().await;
    (killed, before_ready)
}

/// Whether a kill met a webhook under way, and one a write, and every fault struck: else the run shows too little.
async fn met_work(service: &mut Service, sent: &Sent, crm: &Crm) -> bool {
    service.until_ready().await;
    if service.replicas.len() > 1 {
        // The others learn of the last death when its leases end.
        tokio::time::sleep(LEASE).await;
    }
    sent.cut_off.load(Ordering::Relaxed) > 0
        && service.has_died_writing().await
        && crm.faults_struck().await.len() == FAULTS.len()
}
