//! Handing due jobs to workers, and taking them back.

use leadrelay::domain::job::{Class, Lane};
use leadrelay::store::*;

use crate::fixture::*;

on_both_stores! {
    live_work_goes_before_backfill_and_the_longest_due_first,
    a_lease_that_ran_out_is_due_again_and_says_so,
    what_is_given_back_counts_no_attempt,
    a_held_job_is_looked_at_again_when_its_time_comes,
}

async fn live_work_goes_before_backfill_and_the_longest_due_first(fixture: Fixture) {
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

async fn a_lease_that_ran_out_is_due_again_and_says_so(fixture: Fixture) {
    fixture.accept(event("ada", "{}")).await;
    assert!(!fixture.claim(10).await[0].lease_expired);
    assert_eq!(fixture.store.next_due(&crm()).await.unwrap(), Some(secs(100)));
    assert!(fixture.claim(99).await.is_empty());
    let again = fixture.claim(100).await;
    assert!(again[0].lease_expired);
    assert_eq!(again[0].attempt, 2);
}

async fn what_is_given_back_counts_no_attempt(fixture: Fixture) {
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

async fn a_held_job_is_looked_at_again_when_its_time_comes(fixture: Fixture) {
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
