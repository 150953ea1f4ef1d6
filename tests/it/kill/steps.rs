//! The same trouble step by step: a first and a second write, each stopped at a known step, and the process killed there
//! or not. Random kills seldom meet two of these in a row. A run draws a sixth of the scenarios, with `LONG=1` it plays all.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use futures_util::stream::{self, StreamExt};
use leadrelay::sandbox::Sandbox;
use serde_json::{Value as Json, json};

use super::crm::Crm;
use super::leads::Lead;
use super::senders::{Sent, deliver};
use super::service::Service;
use super::{checks, report};

/// Scenarios at a time; they mostly wait.
const AT_ONCE: usize = 24;
/// The lead's own, and that of another with its address.
const LEADS: [&str; 2] = ["cl-own", "cl-other"];

/// Where an attempt is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// After it was claimed: its lookup gets no answer.
    Claimed,
    /// After the announcement: the write is not executed.
    Announced,
    /// After the write was executed: its answer is lost.
    Written,
    /// The write is executed two seconds later.
    Late,
}

impl Step {
    fn fault(self) -> Json {
        match self {
            Step::Claimed => json!({ "fault": "hang", "writes": false, "path": "/composite" }),
            Step::Announced => json!({ "fault": "hang", "writes": true }),
            Step::Written => json!({ "fault": "timeout_after", "writes": true }),
            Step::Late => json!({ "fault": "late_write", "writes": true }),
        }
    }
}

#[derive(Clone, Copy)]
struct Scenario {
    /// Whether the lead has a record before.
    linked: bool,
    steps: [Step; 2],
    /// Told of before the first step, after it, and after the second.
    versions: [u32; 3],
    /// Whether a person edits the record as soon as it is there, after each step.
    edited: bool,
    /// Whether the process is killed at each step.
    killed: bool,
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let writes = if self.linked { "update" } else { "create" };
        let Self { steps, versions, edited, killed, .. } = self;
        write!(f, "{writes}, stopped when {steps:?}, versions {versions:?}, edited: {edited}, killed: {killed}")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whichever_step_two_attempts_are_stopped_at_the_lead_stands_once_and_as_it_is() {
    use Step::{Announced, Claimed, Late, Written};
    let mut scenarios = Vec::new();
    for linked in [false, true] {
        for first in [Claimed, Announced, Written, Late] {
            for second in [Announced, Written, Late] {
                // Every third version moves all rows, the others some.
                for (versions, edited) in [([3, 4, 6], false), ([3, 6, 7], false), ([3, 4, 7], true)] {
                    let steps = [first, second];
                    let scenario = |killed| Scenario { linked, steps, versions, edited, killed };
                    scenarios.extend([scenario(false), scenario(true)]);
                }
            }
        }
    }
    if !crate::fuzz::is_long() {
        fastrand::shuffle(&mut scenarios);
        scenarios.truncate(scenarios.len() / 6);
    }
    let failed: Vec<String> = stream::iter(scenarios)
        .map(|scenario| tokio::spawn(play(scenario)))
        .buffer_unordered(AT_ONCE)
        .filter_map(async |outcome| outcome.unwrap())
        .collect()
        .await;
    assert!(failed.is_empty(), "{} scenarios failed:\n{}", failed.len(), failed.join("\n\n"));
}

/// Plays one; what was wrong, if anything was.
async fn play(scenario: Scenario) -> Option<String> {
    let mut rng = Rng::new();
    let sandbox = Sandbox::start("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let crm = Arc::new(Crm::new(sandbox.url()));
    let mut service = Service::new(&sandbox.url(), rng.fork()).await;
    service.start();
    service.until_ready().await;
    let sender = (reqwest::Client::new(), service.webhooks(), Sent::default());
    let send = async |body: String, rng: &mut Rng| deliver(&sender.0, &sender.1, &body, &sender.2, rng).await;
    let [mut lead, mut other] = LEADS.map(|id| Lead::new(id, 1));

    if scenario.linked {
        send(lead.tell(1, &mut rng), &mut rng).await;
        service.until_drained().await;
        let record = crm.records("Lead").await.remove(0).id;
        // A person's word in a row that the CRM wins, to be found again whatever happens.
        crm.edit(&record, "Company", "edit 1").await;
    }
    // A row that the CRM wins can be told from an edit only while nobody else touched the record since.
    let rewritten: &[&str] = if scenario.edited { &["City"] } else { &["City", "LeadSource"] };
    crm.order_one_by_one(&scenario.steps.map(Step::fault), rewritten).await;
    send(lead.tell(scenario.versions[0], &mut rng), &mut rng).await;
    for (struck, version) in (1..).zip(&scenario.versions[1..]) {
        until_struck(&crm, struck).await;
        if let (true, Some(record)) = (scenario.edited, crm.records("Lead").await.first()) {
            for field in ["Description", "City", "Status"] {
                crm.edit(&record.id, field, &format!("edit {struck} {field}")).await;
            }
        }
        if scenario.killed {
            service.kill_one(&mut rng);
        }
        // While nobody knows what became of it, the lead moves on, and another lead comes with its address.
        send(lead.tell(*version, &mut rng), &mut rng).await;
        if struck == 1 {
            send(other.tell(1, &mut rng), &mut rng).await;
        }
    }
    if scenario.steps.contains(&Step::Late) {
        tokio::time::sleep(super::run::ALL_LANDED).await;
    }
    service.until_drained().await;
    let leads = [lead, other];
    // Stands for the look that each write without an answer gets after 15 minutes.
    service.sync_all(&leads).await;
    service.until_drained().await;

    let found = checks::check(&crm, &service, &leads).await;
    if found.violations.is_empty() {
        return None;
    }
    let report = report::about(&found.violations, &crm, &service).await;
    Some(format!("#### {scenario}\n{report}"))
}

async fn until_struck(crm: &Crm, times: u64) {
    let began = Instant::now();
    while crm.faults_struck().await.values().sum::<u64>() < times {
        assert!(began.elapsed() < Duration::from_secs(30), "the attempt never came");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
