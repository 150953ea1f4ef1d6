//! Synced before answered: the system calls of the real binary show it for every single webhook.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::service::{Connection, Service};

const SENDERS: usize = 8;
const EACH: usize = 125;

#[test]
fn no_webhook_is_answered_before_its_event_is_synced() {
    let traced = Command::new("strace").args(["-o", "/dev/null", "true"]).stderr(Stdio::null()).status();
    let why_not = match traced {
        Err(_) => Some("no strace"),
        Ok(status) if !status.success() => Some("ptrace not permitted"),
        Ok(_) => None,
    };
    if let Some(why_not) = why_not {
        assert!(std::env::var_os("CI").is_none(), "CI needs strace: {why_not}");
        println!("skipped: {why_not}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace");
    let trace_path = trace.to_string_lossy();
    let calls = "trace=openat,fsync,fdatasync,write,pwrite64,writev,pwritev,sendto,sendmsg";
    // Big enough to see in each write which leads it holds, and in each answer its whole text.
    let strace = ["strace", "-D", "-f", "-y", "-q", "-s", "65536", "-e", calls, "-o", &*trace_path];
    let service = Service::start(folder.path(), &strace).unwrap();
    let answered: Vec<String> = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                scope.spawn(move || {
                    let mut connection = Connection::open(service.address).unwrap();
                    let send = |n: usize| {
                        let lead = format!("lead-{sender:03}-{n:05}");
                        let answer = connection.send(&lead, 200).unwrap();
                        assert_eq!(answer.status, 202, "{}", answer.body);
                        let id = answer.body.split("evt_").nth(1).unwrap();
                        format!("{lead} evt_{}", id.split('"').next().unwrap())
                    };
                    (0..EACH).map(send).collect::<Vec<_>>()
                })
            })
            .collect();
        senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect()
    });
    let ended = service.child.id().to_string();
    drop(service);
    wait_for(&trace, &ended);
    assert_eq!(answered.len(), SENDERS * EACH);
    let violations = check(&trace, &answered);
    assert!(violations.is_empty(), "{} of {} violations, first: {}", violations.len(), answered.len(), violations[0]);
}

/// Waits until strace has written down that this process ended; it pads short process IDs.
fn wait_for(trace: &Path, process: &str) {
    let patience = Instant::now() + Duration::from_secs(20);
    while !String::from_utf8_lossy(&std::fs::read(trace).expect("strace writes its trace"))
        .lines()
        .any(|line| line.split_whitespace().take(2).eq([process, "+++"]))
    {
        assert!(Instant::now() < patience, "strace must write down the end");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Walks through the trace: when the answer with an event's ID begins to be sent, the log must have been synced, by a call
/// begun after the event was written to it.
fn check(trace: &Path, answered: &[String]) -> Vec<String> {
    let trace = std::fs::read(trace).expect("strace wrote its trace");
    let trace = String::from_utf8_lossy(&trace);
    let lead_of: HashMap<&str, &str> = answered
        .iter()
        .map(|pair| {
            let (lead, event) = pair.split_once(' ').expect("a lead and its event");
            (event, lead)
        })
        .collect();
    let mut unsynced: HashSet<String> = HashSet::new();
    let mut written: HashSet<String> = HashSet::new();
    let mut syncing: HashMap<&str, HashSet<String>> = HashMap::new();
    let mut seen = HashSet::new();
    let mut violations = Vec::new();
    for line in trace.lines() {
        let Some((thread, call)) = line.trim_start().split_once(' ') else { continue };
        let call = call.trim_start();
        let is_log =
            call.split_once('<').is_some_and(|(_, path)| path.split('>').next().unwrap_or("").ends_with("-wal"));
        if is_log && (call.starts_with("pwrite64(") || call.starts_with("write(") || call.starts_with("pwritev(")) {
            // Later commits write the same page again, with what is on disk already.
            for lead in leads_in(call) {
                if written.insert(lead.clone()) {
                    unsynced.insert(lead);
                }
            }
        } else if is_log && (call.starts_with("fdatasync(") || call.starts_with("fsync(")) {
            let begun = unsynced.clone();
            if call.contains("= 0") {
                unsynced.retain(|lead| !begun.contains(lead));
            } else {
                syncing.insert(thread, begun);
            }
        } else if call.starts_with("<... fdatasync resumed>") || call.starts_with("<... fsync resumed>") {
            if let (Some(begun), true) = (syncing.remove(thread), call.contains("= 0")) {
                unsynced.retain(|lead| !begun.contains(lead));
            }
        } else if call.contains("202 Accepted") {
            let event = call.split("evt_").nth(1).and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
            let event = format!("evt_{}", event.expect("an answer names its event"));
            let lead = *lead_of.get(event.as_str()).expect("an answer that its client read");
            seen.insert(event.clone());
            if !written.contains(lead) || unsynced.contains(lead) {
                violations.push(format!("{event} of {lead} in: {}", call.chars().take(200).collect::<String>()));
            }
        }
    }
    assert_eq!(seen.len(), answered.len(), "the trace must show every answer");
    violations
}

/// The leads whose whole event stands in these bytes: a page holds the body of each event that it stores.
fn leads_in(call: &str) -> Vec<String> {
    let lead = |rest: &str| rest.get(..9).map(|digits| format!("lead-{digits}"));
    call.split("\\\"id\\\":\\\"lead-").skip(1).filter_map(lead).collect()
}
