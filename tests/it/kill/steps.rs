//! The same trouble step by step: a first and a second write, each stopped at a known step, and the process killed there
//! or not. Random kills seldom meet two of these in a row.

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
const AT_ONCE: usize = 12;
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
    /// Whether the process is killed at the first step, and at the second.
    killed: [bool; 2],
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let writes = if self.linked { "update" } else { "create" };
        write!(f, "{writes}, stopped when {:?}, killed {:?}", self.steps, self.killed)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whichever_step_two_attempts_are_stopped_at_the_lead_stands_once_and_as_it_is() {
    use Step::{Announced, Claimed, Late, Written};
    let mut scenarios = Vec::new();
    for linked in [false, true] {
        for first in [Claimed, Announced, Written, Late] {
            for second in [Announced, Written, Late] {
                for killed in [[false, false], [true, false], [true, true]] {
                    scenarios.push(Scenario { linked, steps: [first, second], killed });
                }
            }
        }
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
    let mut service = Service::new(&sandbox.url(), rng.fork());
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
        crm.edit(&record, "LeadSource", "edit 1").await;
    }
    crm.order_one_by_one(&scenario.steps.map(Step::fault)).await;
    // Every third version moves all rows.
    send(lead.tell(3, &mut rng), &mut rng).await;
    for (place, killed) in scenario.killed.into_iter().enumerate() {
        until_struck(&crm, place as u64 + 1).await;
        if killed {
            service.kill();
            service.start();
        }
        // While nobody knows what became of it, the lead moves on, and another lead comes with its address.
        send(lead.tell(6 + 3 * place as u32, &mut rng), &mut rng).await;
        if place == 0 {
            send(other.tell(1, &mut rng), &mut rng).await;
        }
    }
    tokio::time::sleep(super::ALL_LANDED).await;
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
