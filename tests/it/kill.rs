//! The kill test: senders send, people edit in the CRM, the CRM and the network misbehave, and the process is killed at
//! random moments and started again. What became of it is judged by the CRM's own history.
//!
//! `SEED=` repeats a run's choices (the moments at which things meet are the machine's), `KILLS=500` makes it a long one.

#![expect(clippy::unwrap_used, reason = "the test ends at whatever it did not expect")]

mod checks;
mod configuration;
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
use leadrelay::sandbox::{RunningSandbox, Sandbox};
use tokio::task::JoinSet;

use crate::postgres::Cluster;
use crm::Crm;
use leads::Leads;
use senders::Sent;
use service::Service;

/// What a test run without `KILLS` does.
const KILLS: u32 = 10;
/// Processes on one database.
const REPLICAS: usize = 3;
/// How often that is restarted in the course of a run.
const DATABASE_RESTARTS: u64 = 5;
/// Webhooks under way at a time.
const SENDERS: u64 = 6;
/// What befalls requests as a whole.
const FAULTS: [&str; 6] = ["late_write", "reset_after", "reset_before", "status", "throttle", "timeout_after"];
/// Later than any late write of the sandbox.
const ALL_LANDED: Duration = Duration::from_millis(2_500);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_lead_is_lost_or_doubled_and_no_edit_overwritten_however_often_the_process_is_killed() {
    let mut run = Run::prepare("kill test").await;
    let service = Service::new(&run.sandbox.url(), run.rng.fork());
    run.carry_out(service, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_where_three_replicas_are_killed_and_their_database_too() {
    // As an operator would set it up: what it commits is on disk.
    let Some(cluster) = Cluster::new("") else { return };
    let mut run = Run::prepare("kill test with replicas").await;
    let url = cluster.create_database().await;
    let service = Service::replicated(&run.sandbox.url(), run.rng.fork(), &url, REPLICAS).await;
    run.carry_out(service, Some(&cluster)).await;
}

/// One kill test, before its service is there.
struct Run {
    name: &'static str,
    seed: u64,
    kills: u64,
    rng: Rng,
    sandbox: RunningSandbox,
    crm: Arc<Crm>,
}

impl Run {
    async fn prepare(name: &'static str) -> Self {
        let number = |name: &str| env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
        let seed = number("SEED").unwrap_or_else(|| fastrand::u64(..));
        let kills = number("KILLS").unwrap_or(u64::from(KILLS));
        println!("{name}: SEED={seed} KILLS={kills}");
        let mut rng = Rng::with_seed(seed);
        let sandbox = Sandbox::start("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let crm = Arc::new(Crm::new(sandbox.url()));
        crm.lift_limits().await;
        crm.order_faults(rng.u64(..)).await;
        Self { name, seed, kills, rng, sandbox, crm }
    }

    /// Lets all happen at once, puts things right, and judges.
    async fn carry_out(mut self, mut service: Service, database: Option<&Cluster>) {
        let began = Instant::now();
        let leads = Arc::new(Leads::default());
        let sent = Arc::new(Sent::default());
        let over = Arc::new(AtomicBool::new(false));
        service.start();
        let mut people = JoinSet::new();
        for _ in 0..SENDERS {
            let (leads, sent, over) = (Arc::clone(&leads), Arc::clone(&sent), Arc::clone(&over));
            people.spawn(senders::keep_sending(service.webhooks(), leads, sent, over, self.rng.fork()));
        }
        people.spawn(edits::keep_editing(Arc::clone(&self.crm), Arc::clone(&over), self.rng.fork()));
        let (killed, restarts_before_ready) = self.kill(&mut service, &sent, database).await;
        over.store(true, Ordering::Relaxed);
        while let Some(done) = people.join_next().await {
            done.unwrap();
        }

        let crm = &*self.crm;
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
        let mut found = checks::check(crm, &service, &leads.all()).await;
        checks::nothing_is_written_again(crm, agreed, &mut found).await;
        println!(
            "{}: SEED={} kills={killed} (before ready: {restarts_before_ready}) leads={} accepted={} cut_off={} {found} \
             faults={faults:?} seconds={}",
            self.name,
            self.seed,
            leads.all().len(),
            sent.accepted.load(Ordering::Relaxed),
            sent.cut_off.load(Ordering::Relaxed),
            began.elapsed().as_secs()
        );
        if !found.violations.is_empty() {
            let report = report::about(&found.violations, crm, &service).await;
            let kept = service.keep();
            std::fs::write(kept.join("report"), &report).unwrap();
            panic!(
                "SEED={}: {} violations\n{report}\nthe database, the log and this report are kept in {}",
                self.seed,
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

    /// Kills processes, and now and then the database, until the kills have met what they should. Answers how many
    /// processes it killed, and how many of them while not everything was up.
    async fn kill(&mut self, service: &mut Service, sent: &Sent, database: Option<&Cluster>) -> (u64, u32) {
        let Self { kills, rng, crm, .. } = self;
        let (mut killed, mut before_ready, mut databases) = (0, 0, 0);
        while killed < *kills || (killed < 3 * *kills && !met_work(service, sent, crm).await) {
            // Some die while they start and recover, the others in the midst of intake and sync.
            let wait = if rng.u8(0..10) < 2 { rng.u64(0..300) } else { rng.u64(300..2_500) };
            tokio::time::sleep(Duration::from_millis(wait)).await;
            before_ready += u32::from(!service.is_ready().await);
            if let Some(cluster) = database.filter(|_| databases * *kills < killed * DATABASE_RESTARTS) {
                cluster.stop_immediate();
                tokio::time::sleep(Duration::from_millis(rng.u64(0..1_000))).await;
                cluster.start();
                databases += 1;
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
}

/// Whether a kill met a webhook under way, and one a write, and every fault struck: else the run shows too little.
async fn met_work(service: &mut Service, sent: &Sent, crm: &Crm) -> bool {
    service.until_ready().await;
    sent.cut_off.load(Ordering::Relaxed) > 0
        && service.has_died_writing().await
        && crm.faults_struck().await.len() == FAULTS.len()
}
