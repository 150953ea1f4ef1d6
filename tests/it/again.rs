//! The other half: the services of these tests on PostgreSQL. It stands first, so that it has the longest time beside the others.

use std::process::{Command, Stdio};

use crate::database::VARIABLE;
use crate::postgres;

/// What shows nothing more on PostgreSQL: files of SQLite's, tests without a database or in which it keeps no more than in
/// others, and those that use a server anyway.
const NOT_AGAIN: [&str; 21] = [
    "again::",
    "bad_crm::answers::",
    "bad_crm::describe::",
    "cli::",
    "cut_off::",
    "disk_full::",
    "duplicate_rules::",
    "error_codes::",
    "fuzz::",
    "jwt_login::",
    "kill::no_lead_is_lost",
    "kill::replicas::",
    "known_people::",
    "owners::",
    "pages::",
    "places::",
    "replicas::",
    "sandbox_clients::",
    "senders::",
    "strace::",
    "tidy::",
];

/// Runs these tests once more, each service on PostgreSQL.
#[test]
fn everything_on_postgres() {
    if !postgres::is_there() {
        return;
    }
    let program = std::env::current_exe().unwrap();
    let skipped = NOT_AGAIN.iter().flat_map(|name| ["--skip", name]);
    let run = |more: &[&str]| {
        let mut again = Command::new(&program);
        again.args(skipped.clone()).args(more).env(VARIABLE, "postgres").stdin(Stdio::null());
        let output = again.output().unwrap();
        let told = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&told).into_owned())
    };
    let (_, listed) = run(&["--list"]);
    let there = listed.lines().filter(|line| line.ends_with(": test")).count();
    let (succeeded, told) = run(&[]);
    let passed = told.lines().filter(|line| line.starts_with("test ") && line.ends_with(" ... ok")).count();
    println!("on PostgreSQL {passed} of {there} tests passed");
    assert!(succeeded && passed == there && there > 40, "{passed} of {there} tests passed on PostgreSQL\n{told}");
}
