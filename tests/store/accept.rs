//! Taking events in.

use std::time::Duration;

use leadrelay::store::*;

use crate::fixture::*;

on_both_stores! {
    an_accepted_event_and_its_job_survive_a_crash,
    a_repeat_counts_as_one_only_while_nothing_else_of_the_lead_came,
    what_was_quarantined_is_news_once_it_can_be_read,
    what_changes_no_lead_is_kept_once_whatever_happened_since,
    one_bad_event_is_quarantined_and_its_neighbours_are_stored,
    workers_are_woken_by_events_that_owe_something,
    an_event_revives_a_dead_letter_and_leaves_a_back_off_alone,
    a_day_after_a_refusal_an_event_is_tried_all_the_same,
}

async fn an_accepted_event_and_its_job_survive_a_crash(fixture: Fixture) {
    let receipt = fixture.accept(event("ada", "{}")).await;
    let fixture = fixture.reopen().await;
    let claimed = fixture.claim(10).await;
    assert_eq!((claimed.len(), claimed[0].wanted, claimed[0].owed_since), (1, 1, secs(10)));
    let work = fixture.store.load_work(&crm(), &[key("ada")]).await.unwrap();
    assert_eq!((work[0].unfolded[0].id, &work[0].unfolded[0].body[..]), (receipt.id, &b"{}"[..]));
}

async fn a_repeat_counts_as_one_only_while_nothing_else_of_the_lead_came(fixture: Fixture) {
    let first = fixture.accept(with_id("e1", event("ada", "a"))).await;
    assert_eq!(fixture.accept(with_id("e1", event("ada", "a"))).await.id, first.id);
    let other = fixture.accept(with_id("e1", event("ada", "b"))).await;
    assert!(!other.duplicate, "an ID with other content is an event of its own");
    let back = fixture.accept(with_id("e1", event("ada", "a"))).await;
    assert!(!back.duplicate, "A, B, A are three events");
    let again = fixture.accept(with_id("e1", event("ada", "a"))).await;
    assert_eq!(again, EventReceipt { id: back.id, duplicate: true, erased: false });
    let work = fixture.store.load_work(&crm(), &[key("ada")]).await.unwrap();
    let copies: Vec<_> = work[0].unfolded.iter().map(|event| event.first_copy).collect();
    assert_eq!(copies, [None, None, Some((first.id, secs(10)))]);
}

async fn what_was_quarantined_is_news_once_it_can_be_read(fixture: Fixture) {
    let unreadable = NewEvent { state: EventState::Quarantined, ..with_id("e1", event("ada", "a")) };
    let first = fixture.accept(unreadable.clone()).await;
    assert_eq!(fixture.count("SELECT count(*) FROM jobs").await, 0);
    assert!(fixture.accept(unreadable).await.duplicate);
    let readable = fixture.accept(with_id("e1", event("ada", "a"))).await;
    assert!(!readable.duplicate && readable.id != first.id);
}

async fn what_changes_no_lead_is_kept_once_whatever_happened_since(fixture: Fixture) {
    let thin = NewEvent { state: EventState::Quarantined, ..with_id("e1", event("ada", "a")) };
    let first = fixture.accept(thin.clone()).await;
    fixture.accept(event("ada", "b")).await;
    assert_eq!(fixture.accept(thin).await, EventReceipt { duplicate: true, ..first });
}

async fn one_bad_event_is_quarantined_and_its_neighbours_are_stored(fixture: Fixture) {
    fixture.refuse("events", "new.lead_id = 'bad'").await;
    let events = vec![event("ada", "a"), event("bad", "the bytes"), event("bob", "b")];
    let receipts = fixture.store.accept_events(events).await.unwrap();
    assert_eq!(receipts.len(), 3);
    let mut stored = Vec::new();
    for receipt in receipts {
        stored.push(fixture.store.load_event(receipt.id).await.unwrap().unwrap());
    }
    let states: Vec<_> = stored.iter().map(|event| (event.row.state, event.row.lead_id.clone())).collect();
    let (ada, bob) = (Some("ada".into()), Some("bob".into()));
    assert_eq!(states, [(EventState::Stored, ada), (EventState::Quarantined, None), (EventState::Stored, bob)]);
    assert_eq!(&stored[1].body[..], b"the bytes");
}

async fn workers_are_woken_by_events_that_owe_something(fixture: Fixture) {
    let mut due = fixture.store.subscribe();
    fixture.accept(NewEvent { state: EventState::Ignored, ..event("ada", "note") }).await;
    assert!(!due.has_changed().unwrap());
    fixture.accept(event("ada", "a")).await;
    tokio::time::timeout(Duration::from_secs(5), due.changed()).await.expect("news").unwrap();
}

async fn an_event_revives_a_dead_letter_and_leaves_a_back_off_alone(fixture: Fixture) {
    fixture.accept(event("ada", "a")).await;
    let first = claim(10);
    let jobs = fixture.store.claim_jobs(&first).await.unwrap();
    let retry = retry(secs(500), true);
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

async fn a_day_after_a_refusal_an_event_is_tried_all_the_same(fixture: Fixture) {
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
