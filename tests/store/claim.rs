//! Handing due jobs to workers, and taking them back.

use leadrelay::domain::job::{Class, Lane};
use leadrelay::store::postgres::{Options, PostgresStore};
use leadrelay::store::*;

use crate::fixture::*;
use crate::plans::steps_that_grow;
use crate::postgres::{connect, shared_or_skipped};

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

/// On a table of which most rows are not claimable, in all the ways in which they may not be.
#[tokio::test]
async fn claiming_on_postgresql_reads_partial_indexes_in_order_and_sorts_only_what_it_has_locked() {
    let Some(cluster) = shared_or_skipped() else { return };
    let database = cluster.database().await;
    let fill = "INSERT INTO jobs (destination, source, lead_id, state, lane, class, due_at, attempt, wanted, owed_since,
                                  suspicion, forced, look_again_at)
                SELECT 'crm', 'klozeo', 'cl_' || i, (ARRAY['owed', 'owed', 'held', 'dead'])[1 + i % 4], i / 4 % 2, i / 8 % 2,
                       CASE WHEN i % 100 = 0 THEN now() ELSE now() + interval '1 year' END, 0, 1, now(), 0, false,
                       CASE WHEN i % 4 > 1 THEN now() + interval '1 day' END
                  FROM generate_series(1, 20000) i; ANALYZE jobs";
    let mut db = connect(&database.url).await;
    sqlx::raw_sql(fill).execute(&mut db).await.unwrap();
    let options = Options { accept_unsafe_server: true, ..Options::default() };
    let store = PostgresStore::open(&database.url, options).await.unwrap();
    let plan = store.claim_plan().await.unwrap();
    assert_eq!(steps_that_grow(&plan), [""; 0], "{plan:#?}");
    let locks = plan.iter().zip(&plan[1..]).filter(|(step, _)| step.contains("LockRows")).map(|(_, read)| read);
    let by =
        |index: &str| locks.clone().filter(|read| read.contains(&format!("Index Scan using {index} on jobs"))).count();
    assert_eq!((by("jobs_claim"), by("jobs_look_again"), locks.count()), (4, 1, 5), "{plan:#?}");

    sqlx::raw_sql("DROP INDEX jobs_claim").execute(&mut db).await.unwrap();
    let plan = store.claim_plan().await.unwrap();
    assert!(steps_that_grow(&plan).len() >= 4, "a claim without its index is not known by its plan: {plan:#?}");
}
