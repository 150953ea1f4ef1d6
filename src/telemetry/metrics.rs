//! Every metric that leadrelay has: its name, its labels and the one function that moves it.
//!
//! Labels come from closed sets: configured sources and destinations, and the words below. [`register`] makes each series
//! known before the first scrape, so that a rate over a counter that first moves an hour later is right.

use std::sync::OnceLock;
use std::time::Duration;

use metrics::{Counter, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::domain::ids::{DestinationName, SourceName};
use crate::domain::matching::MatchedBy;
use crate::domain::plan::ConflictKind;
use crate::domain::time::Timestamp;
use crate::store::{Operation, Outcome, QueueFigures, StandingFigures};

const WEBHOOKS: &str = "leadrelay_webhooks_total";
const WEBHOOK_SECONDS: &str = "leadrelay_webhook_duration_seconds";
const EVENTS_STORED: &str = "leadrelay_events_stored_total";
const INTAKE_BATCH: &str = "leadrelay_intake_batch_events";
const STORE_SYNCS: &str = "leadrelay_store_syncs_total";
const STORE_UP: &str = "leadrelay_store_up";
const OPERATIONS: &str = "leadrelay_sync_operations_total";
const SYNC_DELAY: &str = "leadrelay_sync_delay_seconds";
const CRM_REQUESTS: &str = "leadrelay_crm_requests_total";
const CRM_SECONDS: &str = "leadrelay_crm_request_duration_seconds";
const CALLS_USED: &str = "leadrelay_crm_calls_used";
const CALLS_LIMIT: &str = "leadrelay_crm_calls_limit";
const QUEUE_JOBS: &str = "leadrelay_queue_jobs";
const QUEUE_OLDEST: &str = "leadrelay_queue_oldest_seconds";
const RETRY_OLDEST: &str = "leadrelay_retry_oldest_seconds";
const CONFLICTS_OPEN: &str = "leadrelay_conflicts_open";
const MATCHES: &str = "leadrelay_matches_total";
const SHARED_RECORDS: &str = "leadrelay_shared_records";
const DUPLICATES_SUSPECTED: &str = "leadrelay_duplicates_suspected";
const PAUSED: &str = "leadrelay_destination_paused";
const QUARANTINED: &str = "leadrelay_quarantined_events";
const REFUSED_REQUESTS: &str = "leadrelay_refused_requests_total";
const REFUSED_HELD: &str = "leadrelay_refused_requests_held";
const LEASES_EXPIRED: &str = "leadrelay_leases_expired_total";
const ALERT_FIRING: &str = "leadrelay_alert_firing";
const BUILD_INFO: &str = "leadrelay_build_info";

/// What a CRM may answer, as the label `status` tells it; anything else is `other`, no answer `none`.
const STATUSES: [(u16, &str); 11] = [
    (200, "200"),
    (201, "201"),
    (204, "204"),
    (300, "300"),
    (400, "400"),
    (401, "401"),
    (403, "403"),
    (404, "404"),
    (429, "429"),
    (500, "500"),
    (503, "503"),
];

/// Renders what was counted, in Prometheus' text format.
#[derive(Clone)]
pub struct Exposition(PrometheusHandle);

impl Exposition {
    /// All series as they stand.
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Folds what histograms have gathered, so that a process that nobody scrapes does not grow; call it every few seconds.
    pub fn upkeep(&self) {
        self.0.run_upkeep();
    }
}

/// Starts counting. The first call installs the process's recorder; later ones answer the same.
pub fn install() -> Exposition {
    static INSTALLED: OnceLock<PrometheusHandle> = OnceLock::new();
    let handle = INSTALLED.get_or_init(|| {
        let recorder = builder().build_recorder();
        let handle = recorder.handle();
        // Another recorder can only be there in a test that put its own; ours then renders nothing.
        let _ = metrics::set_global_recorder(recorder);
        describe();
        handle
    });
    Exposition(handle.clone())
}

fn builder() -> PrometheusBuilder {
    let quick = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0];
    let calls = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
    let delays = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0, 86400.0];
    let batches = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];
    let buckets: [(&str, &[f64]); 4] =
        [(WEBHOOK_SECONDS, &quick), (CRM_SECONDS, &calls), (SYNC_DELAY, &delays), (INTAKE_BATCH, &batches)];
    buckets.into_iter().fold(PrometheusBuilder::new(), |builder, (name, bounds)| {
        builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), bounds).expect("each list of bounds has entries")
    })
}

fn describe() {
    describe_counter!(WEBHOOKS, "Webhook requests by what became of them");
    describe_histogram!(WEBHOOK_SECONDS, "From a webhook's head being read to its answer");
    describe_counter!(EVENTS_STORED, "Events stored");
    describe_histogram!(INTAKE_BATCH, "Events that one commit of the intake stored");
    describe_counter!(STORE_SYNCS, "Times that the store's log was synced to disk");
    describe_gauge!(
        STORE_UP,
        "1 while the store can be read; at 0 the figures of queue, conflicts and alerts are older ones"
    );
    describe_counter!(OPERATIONS, "Operations in the sync log");
    describe_histogram!(SYNC_DELAY, "From the receipt of a lead's oldest owed event to its agreement with the CRM");
    describe_counter!(CRM_REQUESTS, "Requests to a CRM by status; none: no answer came");
    describe_histogram!(CRM_SECONDS, "Length of requests to a CRM");
    describe_gauge!(CALLS_USED, "Counted API calls of the last 24 hours");
    describe_gauge!(CALLS_LIMIT, "Our share of API calls in 24 hours");
    describe_gauge!(QUEUE_JOBS, "Leads that something is owed for, by state");
    describe_gauge!(QUEUE_OLDEST, "Age of the longest owed job that is ready, leased or retrying");
    describe_gauge!(RETRY_OLDEST, "Time since the longest retrying job first failed");
    describe_gauge!(CONFLICTS_OPEN, "Conflicts that wait for a person");
    describe_counter!(MATCHES, "Leads by how their record was recognised");
    describe_gauge!(
        SHARED_RECORDS,
        "Records that one lead owns and at least one other is linked to as well, each counted once, answered questions \
         included; a record in doubt that no lead owns is none"
    );
    describe_gauge!(
        DUPLICATES_SUSPECTED,
        "Records that may be another record's person, as the last daily search found"
    );
    describe_gauge!(PAUSED, "1 while a person has paused the destination");
    describe_gauge!(QUARANTINED, "Signed events that no lead could be read from");
    describe_counter!(
        REFUSED_REQUESTS,
        "Requests with a wrong signature: held for a day, dropped (too many at once), or lost (the store could not hold them)"
    );
    describe_gauge!(REFUSED_HELD, "Requests with a wrong signature that are held");
    describe_counter!(LEASES_EXPIRED, "Leases that ran out before their attempt was settled");
    describe_gauge!(ALERT_FIRING, "1 while the alert fires");
    describe_gauge!(BUILD_INFO, "1, with the program's version");
}

/// What is known of a destination's label values.
#[derive(Clone, Debug)]
pub struct DestinationLabels {
    pub name: DestinationName,
    /// Every word that its adapter has for an endpoint.
    pub endpoints: &'static [&'static str],
}

/// Makes every series of these sources and destinations known, at nothing. Repeating it changes no figure.
pub fn register(sources: &[SourceName], destinations: &[DestinationLabels], alerts: &[&'static str]) {
    gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    let _ = histogram!(INTAKE_BATCH);
    counter!(STORE_SYNCS).increment(0);
    gauge!(STORE_UP).increment(0.0);
    for alert in alerts {
        gauge!(ALERT_FIRING, "alert" => *alert).increment(0.0);
    }
    for source in sources {
        let _ = WebhookMeter::new(source);
        events_stored(source, 0);
        for metric in [QUARANTINED, REFUSED_HELD] {
            gauge!(metric, "source" => source.to_string()).increment(0.0);
        }
        for outcome in HoldingOutcome::ALL {
            refused_requests(source, outcome).increment(0);
        }
    }
    for labels in destinations {
        register_destination(&labels.name, labels.endpoints);
    }
}

fn register_destination(destination: &DestinationName, endpoints: &[&'static str]) {
    let name = destination.to_string();
    for operation in Operation::ALL {
        for outcome in Outcome::ALL {
            operations(destination, operation, outcome).increment(0);
        }
    }
    for endpoint in endpoints {
        let _ = histogram!(CRM_SECONDS, "destination" => name.clone(), "endpoint" => *endpoint);
        for status in STATUSES.iter().map(|(_, label)| *label).chain(["other", "none"]) {
            crm_requests(destination, endpoint, status).increment(0);
        }
    }
    for by in MatchedBy::ALL {
        matches(destination, by).increment(0);
    }
    for kind in ConflictKind::ALL {
        gauge!(CONFLICTS_OPEN, "destination" => name.clone(), "kind" => kind.as_str()).increment(0.0);
    }
    for state in ["ready", "leased", "retrying", "held", "dead"] {
        gauge!(QUEUE_JOBS, "destination" => name.clone(), "state" => state).increment(0.0);
    }
    let others = [CALLS_USED, CALLS_LIMIT, SHARED_RECORDS, DUPLICATES_SUSPECTED, PAUSED];
    for metric in [QUEUE_OLDEST, RETRY_OLDEST].into_iter().chain(others) {
        gauge!(metric, "destination" => name.clone()).increment(0.0);
    }
    let _ = histogram!(SYNC_DELAY, "destination" => name.clone());
    leases_expired(destination, 0);
}

/// What became of a webhook request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookOutcome {
    Accepted,
    Duplicate,
    Quarantined,
    Ignored,
    Unauthorized,
    TooLarge,
    Unavailable,
}

/// Counts the webhooks of one source, with its series looked up once: this is the busiest path of the program.
pub struct WebhookMeter {
    counters: [Counter; 7],
    seconds: Histogram,
}

impl WebhookMeter {
    /// The series of this source. After [`install`], or nothing is counted.
    pub fn new(source: &SourceName) -> Self {
        let outcomes = ["accepted", "duplicate", "quarantined", "ignored", "unauthorized", "too_large", "unavailable"];
        let counters = outcomes.map(|outcome| {
            let counter = counter!(WEBHOOKS, "source" => source.to_string(), "outcome" => outcome);
            counter.increment(0);
            counter
        });
        Self { counters, seconds: histogram!(WEBHOOK_SECONDS, "source" => source.to_string()) }
    }

    /// Counts one request.
    pub fn count(&self, outcome: WebhookOutcome, elapsed: Duration) {
        self.counters[outcome as usize].increment(1);
        self.seconds.record(elapsed);
    }
}

/// What became of a request whose signature did not verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldingOutcome {
    Held,
    /// Too much waits to be held.
    Dropped,
    /// The store could not hold it.
    Lost,
}

impl HoldingOutcome {
    const ALL: [Self; 3] = [Self::Held, Self::Dropped, Self::Lost];

    const fn as_str(self) -> &'static str {
        match self {
            HoldingOutcome::Held => "held",
            HoldingOutcome::Dropped => "dropped",
            HoldingOutcome::Lost => "lost",
        }
    }
}

/// A request was refused for its signature.
pub fn refused_request(source: &SourceName, outcome: HoldingOutcome) {
    refused_requests(source, outcome).increment(1);
}

fn refused_requests(source: &SourceName, outcome: HoldingOutcome) -> Counter {
    counter!(REFUSED_REQUESTS, "source" => source.to_string(), "outcome" => outcome.as_str())
}

/// Events of a source were stored.
pub fn events_stored(source: &SourceName, events: u64) {
    counter!(EVENTS_STORED, "source" => source.to_string()).increment(events);
}

/// One commit of the intake stored so many events.
pub fn intake_batch(events: usize) {
    histogram!(INTAKE_BATCH).record(events as f64);
}

/// The store's log was synced to disk.
pub fn store_synced() {
    counter!(STORE_SYNCS).increment(1);
}

/// A row was appended to the sync log.
pub fn sync_operation(destination: &DestinationName, operation: Operation, outcome: Outcome) {
    operations(destination, operation, outcome).increment(1);
}

/// A lead agrees with the CRM, so long after its oldest owed event was received.
pub fn sync_delay(destination: &DestinationName, elapsed: Duration) {
    histogram!(SYNC_DELAY, "destination" => destination.to_string()).record(elapsed);
}

/// A request to a CRM ended; `None`: without an answer.
pub fn crm_request(destination: &DestinationName, endpoint: &'static str, status: Option<u16>, elapsed: Duration) {
    let label = match status {
        None => "none",
        Some(status) => STATUSES.iter().find(|(known, _)| *known == status).map_or("other", |(_, label)| label),
    };
    crm_requests(destination, endpoint, label).increment(1);
    histogram!(CRM_SECONDS, "destination" => destination.to_string(), "endpoint" => endpoint).record(elapsed);
}

/// A lead's record was recognised.
pub fn matched(destination: &DestinationName, by: MatchedBy) {
    matches(destination, by).increment(1);
}

/// Leases ran out.
pub fn leases_expired(destination: &DestinationName, leases: u64) {
    counter!(LEASES_EXPIRED, "destination" => destination.to_string()).increment(leases);
}

fn operations(destination: &DestinationName, operation: Operation, outcome: Outcome) -> Counter {
    counter!(
        OPERATIONS,
        "destination" => destination.to_string(),
        "operation" => operation.as_str(),
        "outcome" => outcome.as_str()
    )
}

fn crm_requests(destination: &DestinationName, endpoint: &'static str, status: &'static str) -> Counter {
    counter!(CRM_REQUESTS, "destination" => destination.to_string(), "endpoint" => endpoint, "status" => status)
}

fn matches(destination: &DestinationName, by: MatchedBy) -> Counter {
    counter!(MATCHES, "destination" => destination.to_string(), "matched_by" => by.as_str())
}

// Gauges, set as they are scraped -----------------------------------------------------------------------------------------

/// Shows the queue of one destination as it stands.
pub fn show_queue(figures: &QueueFigures, now: Timestamp) {
    let name = figures.destination.to_string();
    let states = [
        ("ready", figures.ready),
        ("leased", figures.leased),
        ("retrying", figures.retrying),
        ("held", figures.held),
        ("dead", figures.dead),
    ];
    for (state, jobs) in states {
        gauge!(QUEUE_JOBS, "destination" => name.clone(), "state" => state).set(jobs as f64);
    }
    let age = |since: Option<Timestamp>| since.map_or(0.0, |since| now.since(since).as_secs_f64());
    gauge!(QUEUE_OLDEST, "destination" => name.clone()).set(age(figures.oldest));
    gauge!(RETRY_OLDEST, "destination" => name).set(age(figures.oldest_retry));
}

/// Shows whether the store can be read.
pub fn show_store(is_up: bool) {
    gauge!(STORE_UP).set(f64::from(u8::from(is_up)));
}

/// Shows what waits for people. What is not named stands at nothing.
pub fn show_standing(figures: &StandingFigures, sources: &[SourceName], destinations: &[DestinationName]) {
    for destination in destinations {
        for kind in ConflictKind::ALL {
            let of_kind = figures.open_conflicts.iter().filter(|(of, is, _)| of == destination && *is == kind);
            gauge!(CONFLICTS_OPEN, "destination" => destination.to_string(), "kind" => kind.as_str())
                .set(of_kind.map(|(_, _, open)| *open).sum::<u64>() as f64);
        }
        let shared = figures.shared_records.iter().filter(|(of, _)| of == destination);
        gauge!(SHARED_RECORDS, "destination" => destination.to_string())
            .set(shared.map(|(_, records)| *records).sum::<u64>() as f64);
        let suspected = figures.duplicates_suspected.iter().filter(|(of, _)| of == destination);
        gauge!(DUPLICATES_SUSPECTED, "destination" => destination.to_string())
            .set(suspected.map(|(_, records)| *records).sum::<u64>() as f64);
    }
    for source in sources {
        let of_source = figures.quarantined.iter().filter(|(of, _)| of == source);
        gauge!(QUARANTINED, "source" => source.to_string())
            .set(of_source.map(|(_, events)| *events).sum::<u64>() as f64);
        let held = figures.refused_held.iter().filter(|(of, _)| of == source);
        gauge!(REFUSED_HELD, "source" => source.to_string()).set(held.map(|(_, held)| *held).sum::<u64>() as f64);
    }
}

/// Shows a destination's allowance of calls.
pub fn show_calls(destination: &DestinationName, used: u64, limit: u64) {
    gauge!(CALLS_USED, "destination" => destination.to_string()).set(used as f64);
    gauge!(CALLS_LIMIT, "destination" => destination.to_string()).set(limit as f64);
}

/// Shows whether a person has paused a destination.
pub fn show_pause(destination: &DestinationName, paused: bool) {
    gauge!(PAUSED, "destination" => destination.to_string()).set(f64::from(u8::from(paused)));
}

/// Shows whether an alert fires.
pub fn show_alert(alert: &'static str, firing: bool) {
    gauge!(ALERT_FIRING, "alert" => alert).set(f64::from(u8::from(firing)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_exists_before_anything_happened() {
        let exposition = install();
        let labels = DestinationLabels { name: "fresh_crm".into(), endpoints: &["composite"] };
        register(&["fresh_source".into()], &[labels], &["fresh_alert"]);
        let text = exposition.render();
        for series in [
            r#"leadrelay_webhooks_total{source="fresh_source",outcome="too_large"} 0"#,
            r#"leadrelay_webhook_duration_seconds_count{source="fresh_source"} 0"#,
            r#"leadrelay_events_stored_total{source="fresh_source"} 0"#,
            "leadrelay_intake_batch_events_count",
            "leadrelay_store_syncs_total",
            "leadrelay_store_up",
            r#"leadrelay_sync_operations_total{destination="fresh_crm",operation="create",outcome="unknown"} 0"#,
            r#"leadrelay_sync_delay_seconds_count{destination="fresh_crm"} 0"#,
            r#"leadrelay_crm_requests_total{destination="fresh_crm",endpoint="composite",status="429"} 0"#,
            r#"leadrelay_crm_request_duration_seconds_count{destination="fresh_crm",endpoint="composite"} 0"#,
            r#"leadrelay_crm_calls_used{destination="fresh_crm"} 0"#,
            r#"leadrelay_crm_calls_limit{destination="fresh_crm"} 0"#,
            r#"leadrelay_queue_jobs{destination="fresh_crm",state="held"} 0"#,
            r#"leadrelay_queue_oldest_seconds{destination="fresh_crm"} 0"#,
            r#"leadrelay_retry_oldest_seconds{destination="fresh_crm"} 0"#,
            r#"leadrelay_conflicts_open{destination="fresh_crm",kind="shared_record"} 0"#,
            r#"leadrelay_matches_total{destination="fresh_crm",matched_by="email"} 0"#,
            r#"leadrelay_matches_total{destination="fresh_crm",matched_by="company_domain"} 0"#,
            r#"leadrelay_matches_total{destination="fresh_crm",matched_by="company_name"} 0"#,
            r#"leadrelay_matches_total{destination="fresh_crm",matched_by="company_contacts"} 0"#,
            r#"leadrelay_shared_records{destination="fresh_crm"} 0"#,
            r#"leadrelay_duplicates_suspected{destination="fresh_crm"} 0"#,
            r#"leadrelay_destination_paused{destination="fresh_crm"} 0"#,
            r#"leadrelay_quarantined_events{source="fresh_source"} 0"#,
            r#"leadrelay_refused_requests_total{source="fresh_source",outcome="dropped"} 0"#,
            r#"leadrelay_refused_requests_held{source="fresh_source"} 0"#,
            r#"leadrelay_leases_expired_total{destination="fresh_crm"} 0"#,
            r#"leadrelay_alert_firing{alert="fresh_alert"} 0"#,
            concat!(r#"leadrelay_build_info{version=""#, env!("CARGO_PKG_VERSION"), r#""} 1"#),
        ] {
            assert!(text.contains(series), "{series} is missing from\n{text}");
        }
        let counted = "# HELP leadrelay_shared_records Records that one lead owns and at least one other is linked to";
        assert!(text.contains(counted), "what is counted is not said in\n{text}");
    }

    #[test]
    fn an_unheard_of_status_stays_within_the_closed_set() {
        let exposition = install();
        crm_request(&"odd_crm".into(), "query", Some(418), Duration::from_millis(3));
        crm_request(&"odd_crm".into(), "query", None, Duration::from_secs(30));
        let text = exposition.render();
        for status in ["other", "none"] {
            let series = format!(
                r#"leadrelay_crm_requests_total{{destination="odd_crm",endpoint="query",status="{status}"}} 1"#
            );
            assert!(text.contains(&series), "{series} is missing");
        }
    }
}
