//! One run: its CRM, its load, and the judgement at its end.

use std::collections::BTreeMap;
use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;
use leadrelay::sandbox::{RunningSandbox, Sandbox};
use tokio::task::JoinSet;

use super::checks::{self, Found};
use super::crm::Crm;
use super::leads::Leads;
use super::senders::{self, Sent};
use super::service::Service;
use super::{edits, report};
use crate::fuzz::is_long;

/// Webhooks under way at a time.
const SENDERS: u64 = 6;
/// Later than any late write of the sandbox.
pub const ALL_LANDED: Duration = Duration::from_millis(2_500);

/// A test run before its service is there.
pub struct Run {
    name: &'static str,
    pub seed: u64,
    pub rng: Rng,
    pub sandbox: RunningSandbox,
    pub crm: Arc<Crm>,
    began: Instant,
}

/// Senders and people at work.
pub struct Load {
    pub leads: Arc<Leads>,
    pub sent: Arc<Sent>,
    over: Arc<AtomicBool>,
    people: JoinSet<()>,
}

/// How often something happens: as the environment variable `name` says, else, where `LONG=1` is set, as in a long run.
pub fn times(name: &str, usual: u64, in_a_long_run: u64) -> u64 {
    number(name).unwrap_or(if is_long() { in_a_long_run } else { usual })
}

/// The number that an environment variable holds.
fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().expect("a number"))
}

impl Run {
    /// A CRM without limits. Its choices are those of `SEED`.
    pub async fn prepare(name: &'static str) -> Self {
        let seed = number("SEED").unwrap_or_else(|| fastrand::u64(..));
        println!("{name}: SEED={seed}");
        let sandbox = Sandbox::start("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let crm = Arc::new(Crm::new(sandbox.url()));
        crm.lift_limits().await;
        Self { name, seed, rng: Rng::with_seed(seed), sandbox, crm, began: Instant::now() }
    }

    /// Lets senders send to the service and people edit in the CRM.
    pub fn begin(&mut self, service: &Service) -> Load {
        let mut load =
            Load { leads: Arc::default(), sent: Arc::default(), over: Arc::default(), people: JoinSet::new() };
        for _ in 0..SENDERS {
            let (leads, sent, over) = (Arc::clone(&load.leads), Arc::clone(&load.sent), Arc::clone(&load.over));
            load.people.spawn(senders::keep_sending(service.webhooks(), leads, sent, over, self.rng.fork()));
        }
        load.people.spawn(edits::keep_editing(Arc::clone(&self.crm), Arc::clone(&load.over), self.rng.fork()));
        load
    }

    /// Ends the load, waits until all is synced, and judges: nothing may be lost, doubled, overwritten or not logged. Answers
    /// what was found, and the faults that struck.
    pub async fn judge(&self, load: &mut Load, service: &mut Service) -> (Found, BTreeMap<String, u64>) {
        load.over.store(true, Ordering::Relaxed);
        while let Some(done) = load.people.join_next().await {
            done.unwrap();
        }
        let (crm, leads, sent) = (&*self.crm, load.leads.all(), &load.sent);
        let faults = crm.end_faults().await;
        tokio::time::sleep(ALL_LANDED).await;
        service.until_drained().await;
        // Stands for the look that each write without an answer gets after 15 minutes.
        service.sync_all(&leads).await;
        service.until_drained().await;
        let agreed = crm.requests().await.len();
        service.sync_all(&leads).await;
        service.until_drained().await;

        assert_eq!(crm.requests().await.len() as u64, crm.calls().await, "the sandbox has forgotten requests");
        let mut found = checks::check(crm, service, &leads).await;
        checks::nothing_is_written_again(crm, agreed, &mut found).await;
        println!(
            "{}: SEED={} leads={} accepted={} cut_off={} {found} faults={faults:?} seconds={}",
            self.name,
            self.seed,
            leads.len(),
            sent.accepted.load(Ordering::Relaxed),
            sent.cut_off.load(Ordering::Relaxed),
            self.began.elapsed().as_secs()
        );
        if !found.violations.is_empty() {
            let report = report::about(&found.violations, crm, service).await;
            let kept = service.keep();
            std::fs::write(kept.join("report"), &report).unwrap();
            panic!(
                "SEED={}: {} violations\n{report}\nthe database, the log and this report are kept in {}",
                self.seed,
                found.violations.len(),
                kept.display()
            );
        }
        (found, faults)
    }
}
