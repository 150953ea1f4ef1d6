//! After the death of a process, a panic, a jump of the clock.

use leadrelay::domain::plan::{Decision, Rule};
use leadrelay::domain::record::CrmValue;
use leadrelay::store::*;

use crate::fixture::*;

on_both_stores! {
    after_a_crash_leases_are_due_and_announced_writes_are_logged_as_unknown,
    after_a_jump_of_the_clock_no_job_waits_for_the_old_time,
    after_a_panic_only_the_leads_of_its_batch_are_due_and_suspect,
}

fn overwriting() -> Decision {
    Decision {
        field: "City".into(),
        base: None,
        lead: Some(CrmValue::Text("Berlin".into())),
        crm: Some(CrmValue::Text("a person's".into())),
        written: Some(CrmValue::Text("Berlin".into())),
        rule: Rule::LeadWins,
        note: None,
    }
}

async fn after_a_crash_leases_are_due_and_announced_writes_are_logged_as_unknown(fixture: Fixture) {
    fixture.accept(event("ada", "a")).await;
    fixture.accept(event("bob", "b")).await;
    let first = claim(10);
    fixture.store.claim_jobs(&first).await.unwrap();
    let mut announcement = announcement(first.token, "ada", 11);
    announcement.writes[0].decisions = vec![overwriting()];
    let intents = fixture.store.announce(&announcement).await.unwrap();
    assert!(intents[0].is_some());
    let fixture = fixture.reopen().await;
    let recovered = fixture.store.recover_leases(LeasesOf::DeadProcess, secs(20)).await.unwrap();
    assert_eq!(recovered, Recovered { leases: 2, unknown_writes: 1 });
    let jobs = fixture.claim(20).await;
    let seen: Vec<_> = jobs.iter().map(|job| (job.lead.id.as_str(), job.attempt, job.suspicion)).collect();
    assert_eq!(seen, [("ada", 2, 1), ("bob", 1, 0)]);
    let unknown = "SELECT count(*) FROM sync_log
                    WHERE outcome = 'unknown' AND operation = 'create' AND request_id = 'req-9'";
    assert_eq!(fixture.count(unknown).await, 1);
    let found = fixture.store.search_sync_log(&LogFilter::default(), &Page { limit: 10, cursor: None }).await.unwrap();
    let logged = fixture.store.load_log_row(found.items[0].id).await.unwrap().unwrap();
    assert_eq!(logged.decisions, [overwriting()], "what was overwritten is known although nobody settled it");
    let work = fixture.store.load_work(&crm(), &[key("ada")]).await.unwrap();
    assert_eq!(work[0].intents.len(), 1, "a write that may land late is still known");
    assert_eq!(fixture.store.recover_leases(LeasesOf::DeadProcess, secs(20)).await.unwrap().unknown_writes, 0);
}

async fn after_a_jump_of_the_clock_no_job_waits_for_the_old_time(fixture: Fixture) {
    fixture.accept(NewEvent { received_at: secs(1_000_000), ..event("ada", "a") }).await;
    assert_eq!(fixture.store.shorten_waits(secs(500)).await.unwrap(), 1);
    assert_eq!(fixture.claim(500).await.len(), 1);
}

async fn after_a_panic_only_the_leads_of_its_batch_are_due_and_suspect(fixture: Fixture) {
    fixture.accept(event("ada", "a")).await;
    let panicked = claim(10);
    fixture.store.claim_jobs(&panicked).await.unwrap();
    fixture.store.announce(&announcement(panicked.token, "ada", 11)).await.unwrap();
    fixture.accept(event("bob", "b")).await;
    let neighbour = claim(11);
    fixture.store.claim_jobs(&neighbour).await.unwrap();
    fixture.store.announce(&announcement(neighbour.token, "bob", 12)).await.unwrap();
    let recovered = fixture.store.recover_leases(LeasesOf::Batch(panicked.token), secs(13)).await.unwrap();
    assert_eq!(recovered, Recovered { leases: 1, unknown_writes: 1 });
    let jobs = fixture.claim(13).await;
    let seen: Vec<_> = jobs.iter().map(|job| (job.lead.id.as_str(), job.suspicion)).collect();
    assert_eq!(seen, [("ada", 1)], "bob's batch goes on");
    let unknown = "SELECT count(*) FROM sync_log WHERE outcome = 'unknown' AND error_code = 'internal_error'";
    assert_eq!(fixture.count(unknown).await, 1);
}
