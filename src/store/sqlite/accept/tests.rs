use std::sync::Arc;

use crate::store::sqlite::fixtures::*;
use crate::store::*;

fn with_id(sender_id: &str, event: NewEvent) -> NewEvent {
    NewEvent { sender_id: Some(sender_id.to_owned()), ..event }
}

#[tokio::test]
async fn an_accepted_event_and_its_job_survive_a_crash() {
    let fixture = Fixture::new().await;
    let receipt = fixture.accept(event("ada", "{}")).await;
    let fixture = fixture.reopen().await;
    let claimed = fixture.claim(10).await;
    assert_eq!((claimed.len(), claimed[0].wanted, claimed[0].owed_since), (1, 1, secs(10)));
    let work = fixture.store.load_work(&crm(), &[key("ada")]).await.unwrap();
    assert_eq!((work[0].unfolded[0].id, &work[0].unfolded[0].body[..]), (receipt.id, &b"{}"[..]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_64_parallel_copies_of_one_event_one_is_stored() {
    let fixture = Arc::new(Fixture::new().await);
    let copies = (0..64).map(|_| {
        let fixture = Arc::clone(&fixture);
        tokio::spawn(async move { fixture.accept(with_id("e1", event("ada", "a"))).await })
    });
    let mut receipts = Vec::new();
    for copy in copies.collect::<Vec<_>>() {
        receipts.push(copy.await.unwrap());
    }
    assert_eq!(receipts.iter().filter(|receipt| !receipt.duplicate).count(), 1);
    assert!(receipts.iter().all(|receipt| receipt.id == receipts[0].id));
    assert_eq!(fixture.count("SELECT count(*) FROM events").await, 1);
    assert_eq!(fixture.count("SELECT wanted FROM jobs").await, 1, "a duplicate moved the job");
    assert_eq!(fixture.count("SELECT n FROM source_counts WHERE state = 'duplicate'").await, 63);
}

#[tokio::test]
async fn a_repeat_counts_as_one_only_while_nothing_else_of_the_lead_came() {
    let fixture = Fixture::new().await;
    let first = fixture.accept(with_id("e1", event("ada", "a"))).await;
    assert_eq!(fixture.accept(with_id("e1", event("ada", "a"))).await.id, first.id);
    let other = fixture.accept(with_id("e1", event("ada", "b"))).await;
    assert!(!other.duplicate, "an ID with other content is an event of its own");
    let back = fixture.accept(with_id("e1", event("ada", "a"))).await;
    assert!(!back.duplicate, "A, B, A are three events");
    let again = fixture.accept(with_id("e1", event("ada", "a"))).await;
    assert_eq!(again, EventReceipt { id: back.id, duplicate: true });
    let work = fixture.store.load_work(&crm(), &[key("ada")]).await.unwrap();
    let copies: Vec<_> = work[0].unfolded.iter().map(|event| event.first_copy).collect();
    assert_eq!(copies, [None, None, Some((first.id, secs(10)))]);
}

#[tokio::test]
async fn what_was_quarantined_is_news_once_it_can_be_read() {
    let fixture = Fixture::new().await;
    let unreadable = NewEvent { state: EventState::Quarantined, ..with_id("e1", event("ada", "a")) };
    let first = fixture.accept(unreadable.clone()).await;
    assert_eq!(fixture.count("SELECT count(*) FROM jobs").await, 0);
    assert!(fixture.accept(unreadable).await.duplicate);
    let readable = fixture.accept(with_id("e1", event("ada", "a"))).await;
    assert!(!readable.duplicate && readable.id != first.id);
}

#[tokio::test]
async fn one_bad_event_is_quarantined_and_its_neighbours_are_stored() {
    let fixture = Fixture::new().await;
    fixture
        .execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON events WHEN new.lead_id = 'bad'
             BEGIN SELECT RAISE(ABORT, 'no such lead'); END",
        )
        .await;
    let events = vec![event("ada", "a"), event("bad", "the bytes"), event("bob", "b")];
    let receipts = fixture.store.accept_events(events).await.unwrap();
    assert_eq!(receipts.len(), 3);
    let states: Vec<(String, Option<String>)> = sqlx::query_as("SELECT state, lead_id FROM events ORDER BY id")
        .fetch_all(&fixture.store.readers)
        .await
        .unwrap();
    let states: Vec<_> = states.iter().map(|(state, lead)| (state.as_str(), lead.as_deref())).collect();
    assert_eq!(states, [("stored", Some("ada")), ("quarantined", None), ("stored", Some("bob"))]);
    assert_eq!(fixture.count("SELECT count(*) FROM bodies WHERE body = CAST('the bytes' AS BLOB)").await, 1);
}

#[tokio::test]
async fn a_full_disk_loses_nothing_acknowledged_and_heals() {
    let fixture = Fixture::new().await;
    fixture.accept(event("ada", "a")).await;
    let pages = fixture.count("PRAGMA page_count").await;
    // The bound belongs to the connection, so it ends with the reopening that follows the failure.
    fixture
        .store
        .writer
        .run(move |db| Ok(db.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))?))
        .await
        .unwrap();
    let large = NewEvent { body: vec![b'x'; 100_000].into(), ..event("bob", "b") };
    let refused = fixture.store.accept_events(vec![large.clone()]).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    assert_eq!(fixture.count("SELECT count(*) FROM events").await, 1);
    fixture.accept(large).await;
    let fixture = fixture.reopen().await;
    assert_eq!(fixture.count("SELECT count(*) FROM events").await, 2);
}

#[tokio::test]
async fn workers_are_woken_by_events_that_owe_something() {
    let fixture = Fixture::new().await;
    let mut due = fixture.store.subscribe();
    fixture.accept(NewEvent { state: EventState::Ignored, ..event("ada", "note") }).await;
    assert!(!due.has_changed().unwrap());
    fixture.accept(event("ada", "a")).await;
    assert!(due.has_changed().unwrap());
    due.mark_unchanged();
}

#[tokio::test]
async fn an_event_revives_a_dead_letter_and_leaves_a_back_off_alone() {
    let fixture = Fixture::new().await;
    fixture.accept(event("ada", "a")).await;
    let first = claim(10);
    let jobs = fixture.store.claim_jobs(&first).await.unwrap();
    let retry = JobEnd::Retry { due_at: secs(500), error: "busy".to_owned(), failed: true };
    let settled = fixture.store.settle(vec![Settlement { end: retry, ..settlement(first.token, &jobs[0], 11) }]).await;
    assert!(matches!(settled[..], [Ok(Settled::Recorded { again: false })]));
    fixture.accept(NewEvent { received_at: secs(20), ..event("ada", "b") }).await;
    assert!(fixture.claim(499).await.is_empty(), "an event shortened the back-off");

    let second = claim(500);
    let jobs = fixture.store.claim_jobs(&second).await.unwrap();
    assert_eq!((jobs[0].attempt, jobs[0].wanted, jobs[0].last_error.as_deref()), (2, 2, Some("busy")));
    let refusal = Refusal { fingerprint: "f".to_owned(), code: "R".to_owned(), at: secs(500), tries: 0 };
    let dead = JobEnd::Dead {
        code: "R".to_owned(),
        detail: "no".to_owned(),
        refusal: Some(refusal.clone()),
        look_again_at: None,
    };
    fixture.store.settle(vec![Settlement { end: dead, ..settlement(second.token, &jobs[0], 501) }]).await;
    assert!(fixture.claim(10_000).await.is_empty());
    fixture.accept(NewEvent { received_at: secs(600), ..event("ada", "c") }).await;
    let jobs = fixture.claim(600).await;
    assert_eq!((jobs[0].attempt, jobs[0].owed_since, jobs[0].forced), (1, secs(600), false));
    assert_eq!(jobs[0].refusal, Some(refusal), "the refusal is remembered");
}

#[tokio::test]
async fn a_day_after_a_refusal_an_event_is_tried_all_the_same() {
    let fixture = Fixture::new().await;
    fixture.accept(event("ada", "a")).await;
    let first = claim(10);
    let jobs = fixture.store.claim_jobs(&first).await.unwrap();
    let refusal = Refusal { fingerprint: "f".to_owned(), code: "R".to_owned(), at: secs(11), tries: 0 };
    let (code, detail) = ("R".to_owned(), "no".to_owned());
    let dead = JobEnd::Dead { code, detail, refusal: Some(refusal), look_again_at: None };
    fixture.store.settle(vec![Settlement { end: dead, ..settlement(first.token, &jobs[0], 11) }]).await;
    fixture.accept(NewEvent { received_at: secs(86_412), ..event("ada", "b") }).await;
    assert!(fixture.claim(86_412).await[0].forced);
}
