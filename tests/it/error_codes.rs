//! Every error code that a client of leads has to know: answered where an org answers it, what follows for the lead, what an
//! operator is told, and how the lead goes on once the trouble is over.

use std::time::Duration;

use leadrelay::clock::Clock;
use leadrelay::domain::time::Timestamp;
use serde_json::{Value as Json, json};

use crate::harness::{Harness, Stage, event};

const AT: i64 = 1_767_225_600;

/// One line of the list.
#[derive(Clone, Copy)]
pub struct Case {
    pub code: &'static str,
    class: &'static str,
    call: &'static str,
    pub follows: &'static str,
    remedy: &'static str,
}

impl Case {
    /// The code under which it is logged.
    fn logged(&self) -> &'static str {
        if self.follows == "converted" { "converted" } else { self.code }
    }

    /// What may follow from a code of its class.
    fn follows_from_class(&self) -> &'static [&'static str] {
        match self.class {
            "auth" => &["waits login_refused", "held"],
            "operator" => &["stopped lookup_refused", "held", "failed"],
            "throttle" => &["waits allowance_spent", "throttled"],
            "retry" => &["stopped failing", "owed"],
            "restart" => &["stopped failing"],
            "permanent" => &["dead"],
            "mapping" => &["owed", "stopped lookup_refused"],
            "conflict" => &["gone", "sought", "asked", "converted", "owed", "held"],
            "collateral" => &["owed"],
            "bug" => &["waits login_refused", "stopped lookup_refused", "stopped failing", "owed", "dead"],
            "done" => &["shown"],
            other => panic!("{other}"),
        }
    }

    fn lead(&self) -> String {
        format!("cl_{}", self.code)
    }

    /// What the lead's job is once the code was answered as often as it takes.
    fn job(&self) -> (&'static str, Option<&'static str>) {
        match self.follows.split(' ').next().unwrap() {
            "dead" | "sought" => ("dead", Some(self.code)),
            "held" => ("held", Some(self.code)),
            "asked" => ("held", Some("match_conflict")),
            "gone" => ("held", Some("record_gone")),
            "converted" => ("held", Some("record_converted")),
            "owed" | "stopped" => ("retrying", Some(self.code)),
            "waits" => ("ready", None),
            "throttled" => ("retrying", None),
            other => panic!("{other}"),
        }
    }

    /// How the first attempt ends in the sync log; `None`: it was none.
    fn outcome(&self) -> Option<&'static str> {
        match self.follows.split(' ').next().unwrap() {
            "dead" | "held" => Some("refused"),
            "asked" => Some("conflict"),
            "waits" => None,
            _ => Some("retry"),
        }
    }
}

/// The lines whose code is answered to one of these calls.
pub fn cases(calls: &[&str]) -> Vec<Case> {
    let lines = include_str!("error_codes/codes.txt").lines().filter(|line| !line.starts_with('#'));
    let cases = lines.map(|line| {
        let [code, class, call, follows, remedy] =
            line.split(" | ").collect::<Vec<_>>().try_into().unwrap_or_else(|parts| panic!("{parts:?}"));
        let case = Case { code, class, call, follows, remedy };
        assert!(case.follows_from_class().contains(&follows), "{line}");
        case
    });
    let cases: Vec<Case> = cases.filter(|case| calls.contains(&case.call)).collect();
    assert!(!cases.is_empty());
    cases
}

async fn start() -> Harness {
    let mut stage = Stage::new().await;
    stage.clock = Clock::manual(Timestamp::from_seconds(AT + 60));
    stage.start(|_| {}).await
}

async fn send(harness: &Harness, case: &Case, kind: &str, at: i64, city: &str) {
    let lead = json!({
        "id": case.lead(), "name": format!("Ada {}", case.code), "email": format!("{}@codes.example", case.code.to_lowercase()),
        "city": city, "updated_at": at,
    });
    harness.send(&event(kind, at, &lead)).await;
}

/// What the admin API shows, once it is as expected; time goes on meanwhile.
async fn until(harness: &Harness, path: &str, expected: impl Fn(&Json) -> bool) -> Json {
    for _ in 0..1_500 {
        let seen = harness.admin(path).await;
        if expected(&seen) {
            return seen;
        }
        harness.advance(Duration::from_millis(100));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{path} never became as expected: {}", harness.admin(path).await);
}

/// Waits for what follows for the lead, and reads what an operator is told of it.
async fn seen(harness: &Harness, case: &Case) {
    let (state, code) = case.job();
    let is_so = |lead: &Json| {
        let job = &lead["jobs"][0];
        job["state"] == state && code.is_none_or(|code| job["code"] == code)
    };
    let log = format!("sync-log?lead_id={}&error={}", case.lead(), case.logged());
    if let Some(outcome) = case.outcome() {
        let log = until(harness, &log, |log| log["items"].as_array().is_some_and(|rows| !rows.is_empty())).await;
        let first = log["items"].as_array().unwrap().last().unwrap();
        assert_eq!(first["outcome"], outcome, "{}: {log}", case.code);
        let errors = until(harness, "errors", |errors| group(errors, case.logged()).is_some()).await;
        let told = group(&errors, case.logged()).unwrap();
        assert!(told["remedy"].as_str().unwrap().starts_with(case.remedy), "{}: {told}", case.code);
        assert!(!told["meaning"].as_str().unwrap().contains("this program does not know"), "{}: {told}", case.code);
    }
    if let Some(reason) = case.follows.split(' ').nth(1).or((case.follows == "throttled").then_some("throttled")) {
        let stopped =
            |seen: &Json| seen["items"][0]["state"] == "stopped" && has(&seen["items"][0]["gate"]["reason"], case);
        let seen = until(harness, "destinations", stopped).await["items"][0].clone();
        let needs_person = ["login_refused", "lookup_refused"].contains(&reason);
        assert_eq!(!seen["needs_person"].is_null(), needs_person, "{}: {seen}", case.code);
        assert_eq!(seen["last_error"]["code"], case.logged(), "{seen}");
        assert!(seen["last_error"]["remedy"].as_str().unwrap().starts_with(case.remedy), "{seen}");
    }
    until(harness, &format!("leads/klozeo/{}", case.lead()), is_so).await;
    if case.outcome().is_none() {
        assert_eq!(harness.admin(&log).await["items"], json!([]), "{}: waiting is no attempt", case.code);
    }
}

/// Whether the reason of a closed gate names the code, if it is that of an error at all.
fn has(reason: &Json, case: &Case) -> bool {
    let reason = reason.as_str().unwrap_or_default();
    case.follows == "throttled" && reason.contains("slow down") || reason.contains(case.code)
}

fn group<'a>(errors: &'a Json, code: &str) -> Option<&'a Json> {
    errors["items"].as_array().unwrap().iter().find(|group| group["code"] == code)
}

/// The trouble is over: what does not go on by itself is set going as the remedy says.
async fn set_going(harness: &Harness, case: &Case) {
    match case.job().0 {
        "dead" => {
            harness.admin_post(&format!("errors/{}/retry", case.code), json!({})).await;
        }
        "held" => {
            harness.admin_post(&format!("leads/klozeo/{}/sync", case.lead()), json!({})).await;
        }
        _ => {}
    }
}

/// Each lead is one record with what was sent last, and nothing is owed any more.
async fn arrived(harness: &Harness, cases: &[Case], city: &str) {
    harness.settled().await;
    for case in cases {
        assert_eq!(harness.record_of(&case.lead()).await["fields"]["City"], city, "{}", case.code);
        let lead = harness.admin(&format!("leads/klozeo/{}", case.lead())).await;
        assert_eq!(lead["jobs"], json!([]), "{}", case.code);
    }
}

/// A code of one record spares its neighbours, so all of them are answered at once.
#[tokio::test]
async fn codes_of_records_end_their_leads_alone() {
    let harness = start().await;
    let (created, updated) = (cases(&["create"]), cases(&["update"]));
    for case in &updated {
        send(&harness, case, "lead.created", AT, "Berlin").await;
    }
    arrived(&harness, &updated, "Berlin").await;
    let all: Vec<Case> = created.iter().chain(&updated).copied().collect();
    let rule = |case: &Case| json!({ "fault": "error", "code": case.code, "level": "record", "when": { "LastName": case.code } });
    harness.faults(all.iter().map(rule).collect()).await;
    for case in &created {
        send(&harness, case, "lead.created", AT + 1, "Bonn").await;
    }
    for case in &updated {
        send(&harness, case, "lead.updated", AT + 1, "Bonn").await;
    }
    for case in &all {
        seen(&harness, case).await;
    }
    let destination = harness.destination(|_| true).await;
    assert_eq!(destination["state"], "running", "no code of a record closes the gate: {destination}");
    harness.faults(json!([])).await;
    for case in &all {
        set_going(&harness, case).await;
    }
    arrived(&harness, &all, "Bonn").await;
    harness.stop().await;
}

/// One after the other, since each befalls whatever is sent.
async fn each_in_turn(calls: &[&str], rule: impl Fn(&Case) -> Json) {
    let harness = start().await;
    for case in cases(calls) {
        harness.faults(json!([rule(&case)])).await;
        if case.call == "login" {
            harness.order("expire_tokens", json!({})).await;
        }
        send(&harness, &case, "lead.created", AT, "Bonn").await;
        seen(&harness, &case).await;
        harness.faults(json!([])).await;
        set_going(&harness, &case).await;
        // Longer than any closing lasts.
        harness.advance(Duration::from_secs(40 * 60));
        arrived(&harness, &[case], "Bonn").await;
        harness.destination(|seen| seen["state"] == "running" && seen["needs_person"].is_null()).await;
    }
    harness.stop().await;
}

#[tokio::test]
async fn codes_of_the_login_keep_all_leads_waiting() {
    each_in_turn(&["login"], |case| json!({ "fault": "error", "code": case.code })).await;
}

#[tokio::test]
async fn codes_of_calls_keep_all_leads_owed() {
    each_in_turn(&["call"], |case| json!({ "fault": "error", "code": case.code, "path": "composite" })).await;
}

#[tokio::test]
async fn codes_of_lookups_and_batches_end_as_their_class_says() {
    each_in_turn(&["lookup", "write"], |case| {
        let path = if case.call == "lookup" { "/query" } else { "composite/sobjects" };
        json!({ "fault": "error", "code": case.code, "level": "part", "path": path })
    })
    .await;
}

#[tokio::test]
async fn an_error_inside_of_the_crm_is_tried_a_few_times_and_then_an_operators_matter_with_its_number() {
    let harness = start().await;
    for code in ["UNKNOWN_EXCEPTION", "INTERNAL_ERROR"] {
        let case = Case { code, class: "retry", call: "create", follows: "owed", remedy: "If it does not stop" };
        let rule = json!({ "fault": "error", "code": code, "level": "record", "when": { "LastName": code } });
        harness.faults(json!([rule])).await;
        send(&harness, &case, "lead.created", AT, "Bonn").await;
        let is_held = |lead: &Json| lead["jobs"][0]["state"] == "held";
        let job = until(&harness, &format!("leads/klozeo/{}", case.lead()), is_held).await["jobs"][0].clone();
        assert_eq!(job["code"], code, "{job}");
        assert!(job["attempt"].as_u64().unwrap() > 3 && job["detail"].as_str().unwrap().contains("ErrorId"), "{job}");
        harness.faults(json!([])).await;
        harness.admin_post(&format!("leads/klozeo/{}/sync", case.lead()), json!({})).await;
        arrived(&harness, &[case], "Bonn").await;
    }
    harness.stop().await;
}
