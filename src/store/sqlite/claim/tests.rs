use std::collections::BTreeSet;
use std::sync::Arc;

use crate::domain::job::{Class, Lane};
use crate::store::sqlite::fixtures::*;
use crate::store::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_claimers_never_share_a_job() {
    let fixture = Arc::new(Fixture::new().await);
    let events = (0..300).map(|n| event(&format!("lead{n}"), "{}")).collect();
    fixture.store.accept_events(events).await.unwrap();
    let claimers = (0..8).map(|_| {
        let fixture = Arc::clone(&fixture);
        tokio::spawn(async move {
            let mut mine = Vec::new();
            loop {
                let jobs = fixture.store.claim_jobs(&Claim { limit: 7, ..claim(20) }).await.unwrap();
                if jobs.is_empty() {
                    return mine;
                }
                mine.extend(jobs.into_iter().map(|job| job.lead));
            }
        })
    });
    let mut all = Vec::new();
    for claimer in claimers.collect::<Vec<_>>() {
        all.extend(claimer.await.unwrap());
    }
    assert_eq!(all.len(), 300);
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 300);
}

#[tokio::test]
async fn live_work_goes_before_backfill_and_the_longest_due_first() {
    let fixture = Fixture::new().await;
    let backfill =
        DirtyMark { destination: crm(), leads: vec![key("old")], class: Class::Backfill, now: secs(1), forced: false };
    fixture.store.mark_dirty(&backfill).await.unwrap();
    fixture.accept(NewEvent { received_at: secs(12), ..event("late", "{}") }).await;
    fixture.accept(event("early", "{}")).await;
    let live = fixture.store.claim_jobs(&Claim { backfill: false, limit: 1, ..claim(20) }).await.unwrap();
    assert_eq!(live[0].lead, key("early"));
    let rest = fixture.claim(20).await;
    assert_eq!(lanes(&rest), [("late", Lane::First), ("old", Lane::First)]);
}

#[tokio::test]
async fn a_lease_that_ran_out_is_due_again_and_says_so() {
    let fixture = Fixture::new().await;
    fixture.accept(event("ada", "{}")).await;
    assert!(!fixture.claim(10).await[0].lease_expired);
    assert_eq!(fixture.store.next_due(&crm()).await.unwrap(), Some(secs(100)));
    assert!(fixture.claim(99).await.is_empty());
    let again = fixture.claim(100).await;
    assert!(again[0].lease_expired);
    assert_eq!(again[0].attempt, 2);
}

#[tokio::test]
async fn what_is_given_back_counts_no_attempt() {
    let fixture = Fixture::new().await;
    fixture.accept(event("ada", "{}")).await;
    let first = claim(10);
    fixture.store.claim_jobs(&first).await.unwrap();
    let mut back =
        GiveBack { destination: crm(), lead: key("ada"), token: first.token, due_at: secs(30), waiting_since: None };
    fixture.store.give_back(std::slice::from_ref(&back)).await.unwrap();
    assert!(fixture.claim(29).await.is_empty());
    assert_eq!(fixture.claim(30).await[0].attempt, 1);
    back.due_at = secs(31);
    fixture.store.give_back(&[back]).await.unwrap();
    assert!(fixture.claim(32).await.is_empty(), "an old token gave a lease back that is not its own");
}

#[tokio::test]
async fn a_held_job_is_looked_at_again_when_its_time_comes() {
    let fixture = Fixture::new().await;
    fixture.accept(event("ada", "{}")).await;
    let first = claim(10);
    let jobs = fixture.store.claim_jobs(&first).await.unwrap();
    let (code, detail) = ("match".to_owned(), "two records".to_owned());
    let end = JobEnd::Held { code, detail, look_again_at: Some(secs(1000)) };
    let link = LinkChange::Put { link: link("r1", true), planned_with: None };
    fixture.store.settle(vec![Settlement { end, link, ..settlement(first.token, &jobs[0], 11) }]).await;
    assert!(fixture.claim(999).await.is_empty());
    assert_eq!(fixture.store.next_due(&crm()).await.unwrap(), Some(secs(1000)));
    let again = fixture.claim(1000).await;
    assert_eq!((lanes(&again), again[0].attempt), (vec![("ada", Lane::Linked)], 1));
}

#[tokio::test]
async fn claiming_reads_partial_indexes_in_order_and_never_sorts() {
    let plan = Fixture::new().await.store.claim_plan().await.unwrap();
    // One step a statement: another one would be a sort.
    let indexes = ["COVERING INDEX jobs_claim", "INDEX jobs_look_again"];
    assert_eq!(plan.len(), indexes.len(), "{plan:?}");
    for (step, index) in plan.iter().zip(indexes) {
        assert!(step.contains(&format!("USING {index} ")), "{plan:?}");
    }
}
