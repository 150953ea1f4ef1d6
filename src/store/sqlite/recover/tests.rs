use crate::domain::plan::{BasePair, Decision, Link, Rule};
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
            rows: Default::default(),
            known: None,
            decisions: vec![overwriting()],
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

#[tokio::test]
async fn a_write_that_may_have_landed_late_is_looked_at_once_more_and_then_forgotten() {
    let fixture = Fixture::new().await;
    fixture.accept(event("ada", "a")).await;
    let first = claim(10);
    let jobs = fixture.store.claim_jobs(&first).await.unwrap();
    let intent = fixture.store.announce(&announcement(first.token, "ada", 11)).await.unwrap()[0].unwrap().intent;
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

#[tokio::test]
async fn after_a_panic_only_the_leads_of_its_batch_are_due_and_suspect() {
    let fixture = Fixture::new().await;
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

#[tokio::test]
async fn what_a_look_found_is_committed_with_the_write_that_follows_it() {
    let fixture = Fixture::new().await;
    fixture.accept(event("ada", "a")).await;
    let claim = claim(10);
    fixture.store.claim_jobs(&claim).await.unwrap();
    let city = |value: &str| {
        let pair = BasePair { lead: CrmValue::Text(value.to_owned()), crm: CrmValue::Text(value.to_owned()) };
        Link { bases: [("City".into(), pair)].into(), ..link("r1", true) }
    };
    let announce = async |known: (Link, Option<i64>)| {
        let mut announcement = announcement(claim.token, "ada", 11);
        announcement.writes[0].known = Some(known);
        fixture.store.announce(&announcement).await.unwrap()[0].unwrap().linked
    };
    let stored = async || fixture.store.load_work(&crm(), &[key("ada")]).await.unwrap().remove(0).link.unwrap();
    assert_eq!(announce((city("Berlin"), None)).await, Some(1));
    assert_eq!((stored().await.bases, stored().await.revision), (city("Berlin").bases, 1));
    assert_eq!(announce((city("Bonn"), Some(1))).await, Some(2));
    assert_eq!((stored().await.bases, stored().await.revision), (city("Bonn").bases, 2));
    assert_eq!(announce((city("Köln"), Some(1))).await, None, "it moved meanwhile");
    assert_eq!(announce((city("Köln"), None)).await, None);
    assert_eq!(stored().await.bases, city("Bonn").bases);
    assert_eq!(fixture.count("SELECT count(*) FROM intents").await, 4, "announced all the same");
}

#[tokio::test]
async fn a_create_is_open_until_its_lead_has_a_record_or_it_can_land_no_more() {
    let fixture = Fixture::new().await;
    for lead in ["ada", "bob"] {
        fixture.accept(event(lead, lead)).await;
    }
    let first = claim(10);
    let jobs = fixture.store.claim_jobs(&first).await.unwrap();
    let open = async |at_work: &[LeaseToken]| {
        let open = fixture.store.find_open_creates(&crm(), at_work, secs(12)).await.unwrap();
        open.into_iter().map(|create| create.lead.id.to_string()).collect::<Vec<_>>()
    };
    let mut settlements = Vec::new();
    for job in &jobs {
        let intent =
            fixture.store.announce(&announcement(first.token, job.lead.id.as_str(), 11)).await.unwrap()[0].unwrap();
        let end = JobEnd::Retry { due_at: secs(13), error: "no answer".to_owned(), failed: true };
        let intents = vec![(intent.intent, IntentEnd::OpenUntil(secs(911)))];
        settlements.push(Settlement { intents, end, ..settlement(first.token, job, 12) });
    }
    assert!(open(&[first.token]).await.is_empty(), "under way");
    assert_eq!(open(&[]).await, ["ada", "bob"], "their batch ended without settling");
    fixture.store.settle(settlements).await;
    assert_eq!(open(&[]).await, ["ada", "bob"], "without an answer");
    let second = claim(13);
    let jobs = fixture.store.claim_jobs(&second).await.unwrap();
    let found = LinkChange::Put { link: link("r1", true), planned_with: None };
    fixture.store.settle(vec![Settlement { link: found, ..settlement(second.token, &jobs[0], 14) }]).await;
    assert_eq!(open(&[]).await, ["bob"]);
    fixture.store.close_late_intents(secs(911)).await.unwrap();
    assert!(open(&[]).await.is_empty());
}
