//! How quickly leads reach the CRM, what that costs in calls, and whether webhooks suffer meanwhile.
//!
//! `cargo bench --bench sync`, about three minutes; `RUNS=1` is shorter and noisier, `PART=flow`, `PART=load` or
//! `PART=claims` is one part alone. `STORE=postgres` does the same on a PostgreSQL server of its own, and shows what three
//! replicas manage together (`PART=replicas`). Service and sandbox CRM are two processes of this program; 10,000 signed webhooks are
//! taken in while the destination is paused and then let flow. Medians are printed with their targets. Absolute figures hold
//! for one machine only; CPU time a lead is the steadier one. A missed
//! target ends it with 1.

mod load;
#[path = "../tests/support/plans.rs"]
mod plans;
#[allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test program uses a part of it, and ends at what it does not expect"
)]
#[path = "../tests/support/postgres.rs"]
mod postgres;
mod sync_claims;
mod sync_processes;

use std::io;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use load::client::send;
use load::figures::{judge, median, percentile, verdict};
use load::requests::prepare;
use sync_processes::{Crm, Service, be_role};

const LEADS: usize = 10_000;
const CONNECTIONS: usize = 64;
const LONE_LEADS: usize = 20;
/// How long webhooks come at half load.
const HALF_LOAD_FOR: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(120);
/// Until every replica knows of a pause.
const UNTIL_ALL_HEARD: Duration = Duration::from_secs(3);
/// Between two looks at the queue, at one lead and at 10,000.
const SOON: Duration = Duration::from_millis(1);
const LATER: Duration = Duration::from_millis(10);

fn main() -> io::Result<ExitCode> {
    if let Some(role) = std::env::var_os(sync_processes::ROLE) {
        return be_role(&role.to_string_lossy()).map(|()| ExitCode::SUCCESS);
    }
    let runs = std::env::var("RUNS").ok().and_then(|text| text.parse().ok()).unwrap_or(5);
    let part = std::env::var("PART").unwrap_or_default();
    let wanted = |name: &str| part.is_empty() || part == name;
    let databases = Databases::new()?;
    if wanted("flow") {
        measure_flow(runs, &databases)?;
    }
    if wanted("load") {
        measure_under_load(runs.min(3), &databases)?;
    }
    if wanted("replicas") && databases.server.is_some() {
        measure_replicas(runs, &databases)?;
    }
    if wanted("claims") {
        sync_claims::measure(databases.server.as_ref())?;
    }
    Ok(verdict())
}

/// Where services keep what they remember.
struct Databases {
    /// `None`: SQLite, each in a file of its own.
    server: Option<postgres::Cluster>,
}

impl Databases {
    fn new() -> io::Result<Self> {
        match std::env::var("STORE").as_deref() {
            Err(_) | Ok("sqlite") => Ok(Self { server: None }),
            Ok("postgres") => {
                let settings = "shared_buffers = 1GB\nmax_wal_size = 8GB\n";
                let server = postgres::Cluster::new(settings).ok_or_else(|| io::Error::other("no PostgreSQL here"))?;
                Ok(Self { server: Some(server) })
            }
            Ok(other) => Err(io::Error::other(format!("STORE={other} is neither sqlite nor postgres"))),
        }
    }

    /// The address of a fresh database on the server, if there is one.
    fn fresh(&self) -> io::Result<Option<String>> {
        let Some(server) = &self.server else { return Ok(None) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Some(server.url(&runtime.block_on(server.create_database()))))
    }
}

/// A queue of 10,000 leads for one process, and for three that share a database.
fn measure_replicas(runs: usize, databases: &Databases) -> io::Result<()> {
    let requests = prepare("/webhooks/klozeo", 0, 1 + LEADS);
    let (first, queued) = requests.split_at(1);
    let (mut alone, mut together) = (Vec::new(), Vec::new());
    for run in 1..=runs {
        for (replicas, rates) in [(1, &mut alone), (3, &mut together)] {
            let crm = Crm::start()?;
            let url = databases.fresh()?;
            let services: io::Result<Vec<Service>> =
                (0..replicas).map(|_| Service::start(&crm, url.as_deref())).collect();
            let services = services?;
            let service = &services[0];
            accept(service, first)?;
            wait_until("the first lead is synced", LATER, || Ok(service.owed()? == 0))?;
            service.pause()?;
            std::thread::sleep(UNTIL_ALL_HEARD);
            accept(service, queued)?;
            let begun = Instant::now();
            for service in &services {
                service.resume()?;
            }
            wait_until("all leads are synced", LATER, || Ok(service.owed()? == 0))?;
            let rate = LEADS as f64 / begun.elapsed().as_secs_f64();
            println!("run {run}: {rate:.0} leads/s with {replicas} replicas");
            rates.push(rate);
            assert_eq!(crm.stats()?.leads, 1 + LEADS, "one record each");
            services.into_iter().try_for_each(Service::finish)?;
            crm.finish()?;
        }
    }
    let part = median(together) / median(alone);
    judge("three replicas on the same cores against one", part, part >= 0.85, ">= 0.85");
    Ok(())
}

/// A queue of 10,000 leads, and then one lead at a time.
fn measure_flow(runs: usize, databases: &Databases) -> io::Result<()> {
    let (mut rates, mut calls_a_lead, mut cpu_a_lead) = (Vec::new(), Vec::new(), Vec::new());
    let (mut calls_alone, mut times_alone) = (Vec::new(), Vec::new());
    let requests = prepare("/webhooks/klozeo", 0, 1 + LEADS + LONE_LEADS);
    let (first, rest) = requests.split_at(1);
    let (queued, alone) = rest.split_at(LEADS);
    for run in 1..=runs {
        let crm = Crm::start()?;
        let service = Service::start(&crm, databases.fresh()?.as_deref())?;
        // Logs in and describes the CRM, once and for all.
        accept(&service, first)?;
        wait_until("the first lead is synced", LATER, || Ok(service.owed()? == 0))?;
        service.pause()?;
        accept(&service, queued)?;
        assert_eq!(service.owed()?, LEADS, "accepted and not yet synced");

        let (before, cpu) = (crm.stats()?, (service.process.cpu(), crm.process.cpu()));
        let begun = Instant::now();
        service.resume()?;
        wait_until("all leads are synced", LATER, || Ok(service.owed()? == 0))?;
        let elapsed = begun.elapsed();
        let after = crm.stats()?;
        assert_eq!(after.leads - before.leads, LEADS, "one record each");
        let micros = |now: Duration, before: Duration| (now - before).as_secs_f64() * 1e6 / LEADS as f64;
        let (ours, theirs) = (micros(service.process.cpu(), cpu.0), micros(crm.process.cpu(), cpu.1));
        let rate = LEADS as f64 / elapsed.as_secs_f64();
        let calls = (after.calls - before.calls) as f64 / LEADS as f64;
        println!(
            "run {run}: {rate:.0} leads/s, {calls:.4} calls a lead; CPU a lead {ours:.0} us here and {theirs:.0} us in the CRM"
        );
        rates.push(rate);
        calls_a_lead.push(calls);
        cpu_a_lead.push(ours);
        for request in alone {
            let (calls, time) = sync_one(&service, &crm, request)?;
            calls_alone.push(calls);
            times_alone.push(time);
        }
        service.finish()?;
        crm.finish()?;
    }
    println!("CPU time of the service a lead: {:.0} us", median(cpu_a_lead));
    let rate = median(rates);
    judge("10,000 queued leads, leads/s", rate, rate >= 2_000.0, ">= 2000");
    let calls = median(calls_a_lead);
    judge("API calls a lead, counted by the CRM", calls, calls <= 0.02, "<= 0.02");
    let most = calls_alone.into_iter().fold(0.0, f64::max);
    judge("API calls of one lead alone, the most", most, most <= 2.0, "<= 2");
    times_alone.sort_unstable();
    let (half, nearly_all) = (percentile(&times_alone, 0.5), percentile(&times_alone, 0.99));
    judge("one lead alone, from its 202 to its record, p50 in ms", half, half <= 50.0, "<= 50");
    judge("one lead alone, from its 202 to its record, p99 in ms", nearly_all, nearly_all <= 50.0, "<= 50");
    Ok(())
}

fn accept(service: &Service, requests: &[Vec<u8>]) -> io::Result<()> {
    let run = send(service.webhooks, requests, CONNECTIONS.min(requests.len()), PATIENCE, None)?;
    assert_eq!((run.accepted, run.refused), (requests.len(), 0), "every request must be answered 202");
    Ok(())
}

/// The calls that one lead cost, and the time from its 202 until its record was there.
fn sync_one(service: &Service, crm: &Crm, request: &[u8]) -> io::Result<(f64, Duration)> {
    let before = crm.stats()?;
    accept(service, &[request.to_vec()])?;
    let answered = Instant::now();
    wait_until("the lead is synced", SOON, || Ok(crm.stats()?.leads > before.leads))?;
    let elapsed = answered.elapsed();
    wait_until("the lead is settled", LATER, || Ok(service.owed()? == 0))?;
    Ok(((crm.stats()?.calls - before.calls) as f64, elapsed))
}

/// Webhooks at half of what the service can take, while a long queue is being synced.
fn measure_under_load(runs: usize, databases: &Databases) -> io::Result<()> {
    const PREPARED: usize = 240_000;
    let requests = prepare("/webhooks/klozeo", 0, PREPARED);
    let (mut p99s, mut parts) = (Vec::new(), Vec::new());
    for run in 1..=runs {
        let crm = Crm::start()?;
        let service = Service::start(&crm, databases.fresh()?.as_deref())?;
        accept(&service, &requests[..1])?;
        wait_until("the first lead is synced", LATER, || Ok(service.owed()? == 0))?;
        service.pause()?;
        let full = send(service.webhooks, &requests[1..80_000], CONNECTIONS, HALF_LOAD_FOR, None)?;
        assert_eq!(full.refused, 0, "every request must be answered 202");
        let half = full.per_second() / 2.0;
        let alone = send(service.webhooks, &requests[160_000..], CONNECTIONS, HALF_LOAD_FOR, Some(half))?;
        let p99_alone = percentile(&alone.latencies, 0.99);
        service.resume()?;
        wait_until("leads are being synced", LATER, || Ok(crm.stats()?.leads > 1))?;

        let (before, begun) = (crm.stats()?.leads, Instant::now());
        let loaded = send(service.webhooks, &requests[80_000..160_000], CONNECTIONS, HALF_LOAD_FOR, Some(half))?;
        let synced = (crm.stats()?.leads - before) as f64 / begun.elapsed().as_secs_f64();
        assert_eq!(loaded.refused, 0, "every request must be answered 202");
        assert!(service.owed()? > 0, "the queue must outlast the measurement");
        let p99 = percentile(&loaded.latencies, 0.99);
        println!(
            "run {run}: {:.0} webhooks/s of {:.0}/s at most, {synced:.0} leads/s synced meanwhile; 202 after {:.2} ms (p50), {p99:.2} ms (p99; {p99_alone:.2} ms while nothing is synced)",
            loaded.per_second(),
            full.per_second(),
            percentile(&loaded.latencies, 0.5),
        );
        p99s.push(p99);
        parts.push(loaded.per_second() / full.per_second());
    }
    let part = median(parts);
    judge("part of the greatest load that was kept up", part, part >= 0.45, "half");
    let p99 = median(p99s);
    judge("202 at half load while settles run, p99 in ms", p99, p99 <= 50.0, "<= 50");
    Ok(())
}

fn wait_until(what: &str, pause: Duration, mut is_so: impl FnMut() -> io::Result<bool>) -> io::Result<()> {
    let until = Instant::now() + PATIENCE;
    while !is_so()? {
        if Instant::now() > until {
            return Err(io::Error::other(format!("waited in vain until {what}")));
        }
        std::thread::sleep(pause);
    }
    Ok(())
}
