use crate::domain::plan::{BasePair, Decision, Rule};
use crate::domain::record::CrmValue;
use crate::domain::time::Timestamp;
use crate::store::sqlite::fixtures::*;
use crate::store::*;

fn announcement(token: LeaseToken, lead: &str, at_second: i64) -> Announcement {
    Announcement {
        destination: crm(),
        token,
        now: secs(at_second),
        lease_ends_at: secs(at_second + 90),
        request_id: "req-9".into(),
        writes: vec![AnnouncedWrite {
            lead: key(lead),
            object: "Lead".into(),
            record: None,
            rows: [("City".into(), in_row()), ("Email".into(), in_row())].into(),
            decisions: vec![overwriting(), changed_by_a_person(), left_out()],
        }],
    }
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

fn in_row() -> BasePair {
    BasePair { lead: CrmValue::Text("Berlin".into()), crm: CrmValue::Text("Berlin".into()) }
}

/// What is sent is not what the row says.
fn changed_by_a_person() -> Decision {
    let written = Some(CrmValue::Text("Bern".into()));
    Decision { field: "Email".into(), written, rule: Rule::Resolved, ..overwriting() }
}

/// Neither said nor sent, and in no row.
fn left_out() -> Decision {
    Decision { field: "Phone".into(), lead: None, written: None, rule: Rule::Invalid, ..overwriting() }
}

#[tokio::test]
async fn after_a_crash_leases_are_due_and_announced_writes_are_logged_as_unknown() {
    let fixture = Fixture::new().await;
    fixture.accept(event("ada", "a")).await;
    fixture.accept(event("bob", "b")).await;
    let first = claim(10);
    fixture.store.claim_jobs(&first).await.unwrap();
    let intents = fixture.store.announce(&announcement(first.token, "ada", 11)).await.unwrap();
    assert!(intents[0].is_some());
    let fixture = fixture.reopen().await;
    let recovered = fixture.store.recover_leases(secs(20)).await.unwrap();
    assert_eq!(recovered, Recovered { leases: 2, unknown_writes: 1 });
    let jobs = fixture.claim(20).await;
    let seen: Vec<_> = jobs.iter().map(|job| (job.lead.id.as_str(), job.attempt, job.suspicion)).collect();
    assert_eq!(seen, [("ada", 2, 1), ("bob", 1, 0)]);
    let unknown = "SELECT count(*) FROM sync_log
                    WHERE outcome = 'unknown' AND operation = 'create' AND request_id = 'req-9'";
    assert_eq!(fixture.count(unknown).await, 1);
    let found = fixture.store.search_sync_log(&LogFilter::default(), &Page { limit: 10, cursor: None }).await.unwrap();
    let logged = fixture.store.load_log_row(found.items[0].id).await.unwrap().unwrap();
    let decided = [overwriting(), changed_by_a_person(), left_out()];
    assert_eq!(logged.decisions, decided, "what was overwritten is known although nobody settled it");
    let work = fixture.store.load_work(&crm(), &[key("ada")]).await.unwrap();
    assert_eq!(work[0].intents.len(), 1, "a write that may land late is still known");
    assert_eq!(fixture.store.recover_leases(secs(20)).await.unwrap().unknown_writes, 0);
}

#[tokio::test]
async fn a_write_that_may_have_landed_late_is_looked_at_once_more_and_then_forgotten() {
    let fixture = Fixture::new().await;
    fixture.accept(event("ada", "a")).await;
    let first = claim(10);
    let jobs = fixture.store.claim_jobs(&first).await.unwrap();
    let intent = fixture.store.announce(&announcement(first.token, "ada", 11)).await.unwrap()[0].unwrap();
    let intents = vec![(intent, IntentEnd::OpenUntil(secs(911)))];
    fixture.store.settle(vec![Settlement { intents, ..settlement(first.token, &jobs[0], 12) }]).await;
    assert_eq!(fixture.store.close_late_intents(secs(910)).await.unwrap(), 0);
    assert_eq!(fixture.store.close_late_intents(secs(911)).await.unwrap(), 1);
    let second = claim(911);
    let jobs = fixture.store.claim_jobs(&second).await.unwrap();
    let work = fixture.store.load_work(&crm(), &[key("ada")]).await.unwrap();
    assert_eq!((jobs.len(), work[0].intents.len()), (1, 1));
    fixture.store.settle(vec![settlement(second.token, &jobs[0], 912)]).await;
    let work = fixture.store.load_work(&crm(), &[key("ada")]).await.unwrap();
    assert!(work[0].intents.is_empty());
    assert_eq!(fixture.store.close_late_intents(Timestamp::from_micros(i64::MAX)).await.unwrap(), 0);
}

#[tokio::test]
async fn nothing_is_announced_with_a_lost_lease() {
    let fixture = Fixture::new().await;
    fixture.accept(event("ada", "a")).await;
    let first = claim(10);
    fixture.store.claim_jobs(&first).await.unwrap();
    assert_eq!(fixture.store.announce(&announcement(first.token, "ada", 100)).await.unwrap(), [None], "it ran out");
    assert_eq!(fixture.store.announce(&announcement(uuid::Uuid::nil(), "ada", 11)).await.unwrap(), [None]);
    assert_eq!(fixture.count("SELECT count(*) FROM intents").await, 0);
}

#[tokio::test]
async fn after_a_jump_of_the_clock_no_job_waits_for_the_old_time() {
    let fixture = Fixture::new().await;
    fixture.accept(NewEvent { received_at: secs(1_000_000), ..event("ada", "a") }).await;
    assert_eq!(fixture.store.shorten_waits(secs(500)).await.unwrap(), 1);
    assert_eq!(fixture.claim(500).await.len(), 1);
}
