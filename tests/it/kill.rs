//! The kill test: senders send, people edit in the CRM, the CRM and the network misbehave, and the process is killed at
//! random moments and started again. What became of it is judged by the CRM's own history.
//!
//! `SEED=` repeats a run's choices (the moments at which things meet are the machine's), `KILLS=500` makes it a long one.

#![expect(clippy::unwrap_used, reason = "the test ends at whatever it did not expect")]

mod checks;
mod crm;
mod edits;
mod leads;
mod report;
mod senders;
mod service;
mod steps;

use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;
use leadrelay::sandbox::Sandbox;

use crm::Crm;
use leads::Leads;
use senders::Sent;
use service::Service;

/// What a test run without `KILLS` does.
const KILLS: u32 = 10;
/// Webhooks under way at a time.
const SENDERS: u64 = 6;
/// What befalls requests as a whole.
const FAULTS: [&str; 6] = ["late_write", "reset_after", "reset_before", "status", "throttle", "timeout_after"];
/// Later than any late write of the sandbox.
const ALL_LANDED: Duration = Duration::from_millis(2_500);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_lead_is_lost_or_doubled_and_no_edit_overwritten_however_often_the_process_is_killed() {
    let number = |name: &str| env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seed = number("SEED").unwrap_or_else(|| fastrand::u64(..));
    let kills = number("KILLS").unwrap_or(u64::from(KILLS));
    println!("kill test: SEED={seed} KILLS={kills}");
    let mut rng = Rng::with_seed(seed);
    let began = Instant::now();

    let sandbox = Sandbox::start("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let crm = Arc::new(Crm::new(sandbox.url()));
    crm.lift_limits().await;
    crm.order_faults(rng.u64(..)).await;
    let mut service = Service::new(&sandbox.url(), rng.fork()).await;
    let leads = Arc::new(Leads::default());
    let sent = Arc::new(Sent::default());
    let over = Arc::new(AtomicBool::new(false));

    service.start();
    let mut people = tokio::task::JoinSet::new();
    for _ in 0..SENDERS {
        let (leads, sent, over) = (Arc::clone(&leads), Arc::clone(&sent), Arc::clone(&over));
        people.spawn(senders::keep_sending(service.webhooks(), leads, sent, over, rng.fork()));
    }
    people.spawn(edits::keep_editing(Arc::clone(&crm), Arc::clone(&over), rng.fork()));

    let (mut killed, mut restarts_before_ready) = (0, 0);
    while killed < kills || (killed < 3 * kills && !met_work(&service, &sent, &crm).await) {
        // Some die while they start and recover, the others in the midst of intake and sync.
        // Where processes share a database, what a dead one had leased is left alone until it runs out.
        let longest = if service.database.is_shared() { 9_000 } else { 2_500 };
        let wait = if rng.u8(0..10) < 2 { rng.u64(0..300) } else { rng.u64(300..longest) };
        tokio::time::sleep(Duration::from_millis(wait)).await;
        restarts_before_ready += u32::from(!service.is_ready().await);
        service.kill();
        service.start();
        killed += 1;
    }
    service.until_ready().await;
    over.store(true, Ordering::Relaxed);
    while let Some(done) = people.join_next().await {
        done.unwrap();
    }

    let faults = crm.end_faults().await;
    tokio::time::sleep(ALL_LANDED).await;
    service.until_drained().await;
    // Stands for the look that each write without an answer gets after 15 minutes.
    service.sync_all(&leads.all()).await;
    service.until_drained().await;
    let agreed = crm.requests().await.len();
    service.sync_all(&leads.all()).await;
    service.until_drained().await;

    assert_eq!(crm.requests().await.len() as u64, crm.calls().await, "the sandbox has forgotten requests");
    let mut found = checks::check(&crm, &service, &leads.all()).await;
    checks::nothing_is_written_again(&crm, agreed, &mut found).await;
    println!(
        "kill test: SEED={seed} kills={killed} (before ready: {restarts_before_ready}) leads={} accepted={} cut_off={} \
         {found} faults={faults:?} seconds={}",
        leads.all().len(),
        sent.accepted.load(Ordering::Relaxed),
        sent.cut_off.load(Ordering::Relaxed),
        began.elapsed().as_secs()
    );
    if !found.violations.is_empty() {
        let report = report::about(&found.violations, &crm, &service).await;
        let kept = service.keep();
        std::fs::write(kept.join("report"), &report).unwrap();
        panic!(
            "SEED={seed}: {} violations\n{report}\nthe database, the log and this report are kept in {}",
            found.violations.len(),
            kept.display()
        );
    }
    assert_eq!(
        faults.keys().map(String::as_str).collect::<Vec<_>>(),
        FAULTS,
        "not every fault struck: the test shows too little"
    );
    assert!(sent.cut_off.load(Ordering::Relaxed) > 0, "no kill met a webhook under way: the test shows nothing");
    assert!(found.died_writing > 0, "no kill met a write under way: the test shows nothing");
    assert!(found.edits > 0 && found.overwritten > 0, "no edit met a write: the test shows nothing");
}

/// Whether a kill met a webhook under way, and one a write, and every fault struck: else the run shows too little.
async fn met_work(service: &Service, sent: &Sent, crm: &Crm) -> bool {
    service.until_ready().await;
    sent.cut_off.load(Ordering::Relaxed) > 0
        && service.has_died_writing().await
        && crm.faults_struck().await.len() == FAULTS.len()
}
