//! Many at once: on PostgreSQL several stores share a database, on SQLite many tasks a store.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use leadrelay::domain::plan::Choice;
use leadrelay::store::*;

use crate::fixture::*;
use crate::rows::*;

on_both_stores! {
    of_64_parallel_copies_of_one_event_one_is_stored,
    two_claimers_never_share_a_job,
    leads_in_any_order_never_stand_in_each_others_way,
    an_event_whose_commit_is_under_way_is_not_lost_when_its_lead_settles,
    an_event_that_is_committed_late_is_folded_all_the_same,
    of_two_that_want_to_own_one_record_one_does,
    of_two_folds_of_one_lead_one_is_saved,
    of_two_answers_to_one_question_one_counts,
    a_claim_and_an_event_meet_without_losing_either,
}

/// Long enough for a task to run into what is held.
const A_MOMENT: Duration = Duration::from_millis(150);

async fn of_64_parallel_copies_of_one_event_one_is_stored(fixture: Fixture) {
    let stores = fixture.stores(3).await;
    let copies = (0..64).map(|n| {
        let store = Arc::clone(&stores[n % 3]);
        tokio::spawn(
            async move { store.accept_events(vec![with_id("e1", event("ada", "a"))]).await.unwrap().remove(0) },
        )
    });
    let mut receipts = Vec::new();
    for copy in copies.collect::<Vec<_>>() {
        receipts.push(copy.await.unwrap());
    }
    assert_eq!(receipts.iter().filter(|receipt| !receipt.duplicate).count(), 1);
    assert!(receipts.iter().all(|receipt| receipt.id == receipts[0].id));
    assert_eq!(fixture.count("SELECT count(*) FROM events").await, 1);
    assert_eq!(fixture.count("SELECT wanted FROM jobs").await, 1, "a duplicate moved the job");
    assert_eq!(fixture.count("SELECT sum(n) FROM source_counts WHERE state = 'duplicate'").await, 63);
}

async fn two_claimers_never_share_a_job(fixture: Fixture) {
    let stores = fixture.stores(3).await;
    let events = (0..300).map(|n| event(&format!("lead{n}"), "{}")).collect();
    fixture.store.accept_events(events).await.unwrap();
    let claimers = (0..8).map(|n| {
        let store = Arc::clone(&stores[n % 3]);
        tokio::spawn(async move {
            let mut mine = Vec::new();
            loop {
                let jobs = store.claim_jobs(&Claim { limit: 7, ..claim(20) }).await.unwrap();
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

/// Settles until the database takes it, as a worker does.
async fn settle_at_last(store: &dyn Store, settlement: Settlement) -> Settled {
    for _ in 0..20 {
        match store.settle(vec![settlement.clone()]).await.remove(0) {
            Ok(settled) => return settled,
            Err(StoreError::Unavailable(_)) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    panic!("it cannot be settled");
}

/// Events, claims, announcements and settlings of the same leads, from three processes, each in an order of its own.
async fn leads_in_any_order_never_stand_in_each_others_way(fixture: Fixture) {
    const LEADS: usize = 40;
    let stores = fixture.stores(3).await;
    let tasks = (0..6).map(|n| {
        let store = Arc::clone(&stores[n % 3]);
        tokio::spawn(async move {
            let mut random = fastrand::Rng::with_seed(n as u64);
            for round in 0..8 {
                let mut leads: Vec<String> = (0..LEADS).map(|n| format!("lead{n}")).collect();
                random.shuffle(&mut leads);
                let events = leads.iter().map(|lead| event(lead, &format!("{n}.{round}"))).collect();
                store.accept_events(events).await.unwrap();
                let claim = Claim { limit: 15, ..claim(20) };
                let mut jobs = store.claim_jobs(&claim).await.unwrap();
                random.shuffle(&mut jobs);
                let writes = jobs.iter().flat_map(|job| announcement(claim.token, job.lead.id.as_str(), 21).writes);
                let announced = Announcement { writes: writes.collect(), ..announcement(claim.token, "", 21) };
                let announced = store.announce(&announced).await.unwrap();
                let settle = |(job, announced): (&ClaimedJob, &Option<Announced>)| Settlement {
                    intents: vec![(announced.unwrap().intent, IntentEnd::Closed)],
                    ..settlement(claim.token, job, 22)
                };
                let settlements: Vec<_> = jobs.iter().zip(&announced).map(settle).collect();
                let settled = store.settle(settlements.clone()).await;
                for (settlement, settled) in settlements.into_iter().zip(settled) {
                    let settled = match settled {
                        Err(StoreError::Unavailable(_)) => settle_at_last(&*store, settlement).await,
                        settled => settled.unwrap(),
                    };
                    assert!(matches!(settled, Settled::Recorded { .. }), "{settled:?}");
                }
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert_eq!(fixture.count("SELECT count(*) FROM events").await, 6 * 8 * LEADS as i64);
    assert_eq!(fixture.count("SELECT count(*) FROM intents").await, 0);
    let owed = fixture.count("SELECT count(*) FROM jobs").await;
    let queue = fixture.store.queue_figures(secs(23)).await.unwrap().remove(0);
    assert_eq!((queue.ready as i64, queue.leased), (owed, 0), "the queue's figures are wrong");
}

async fn an_event_whose_commit_is_under_way_is_not_lost_when_its_lead_settles(fixture: Fixture) {
    let (token, job) = fixture.claimed("ada", 10).await;
    let event = event_row(&fixture, 1000, "klozeo", Some("ada"), "stored", 11);
    let held = fixture.hold(&format!("{event} UPDATE jobs SET wanted = wanted + 1")).await;
    let store = Arc::clone(&fixture.store);
    let settling = tokio::spawn(async move { settle_at_last(&*store, settlement(token, &job, 12)).await });
    tokio::time::sleep(A_MOMENT).await;
    assert!(!settling.is_finished(), "it settled past an event that it could not see");
    held.commit().await;
    assert_eq!(settling.await.unwrap(), Settled::Recorded { again: true });
    assert_eq!(fixture.claim(12).await[0].wanted, 2);
}

async fn an_event_that_is_committed_late_is_folded_all_the_same(fixture: Fixture) {
    let early = event_row(&fixture, 0, "klozeo", Some("ada"), "stored", 11);
    // SQLite has one writer, so that what has the lower number was committed before.
    let held = if fixture.is_postgres() { Some(fixture.hold(&early).await) } else { None };
    let seen = fixture.accept(event("ada", "{}")).await;
    let work = fixture.work("ada").await;
    assert_eq!(work.unfolded.iter().map(|event| event.id).collect::<Vec<_>>(), [seen.id]);
    assert_eq!(fixture.store.save_leads(&[folded(&work)]).await.unwrap(), [true]);
    match held {
        Some(held) => held.commit().await,
        None => fixture.execute(&early).await,
    }
    let work = fixture.work("ada").await;
    assert_eq!(work.unfolded.iter().map(|event| event.id.0).collect::<Vec<_>>(), [0]);
}

async fn of_two_that_want_to_own_one_record_one_does(fixture: Fixture) {
    const RECORDS: usize = 12;
    let stores = fixture.stores(2).await;
    let mut halves = Vec::new();
    for (store, half) in stores.iter().zip(["a", "b"]) {
        let events = (0..RECORDS).map(|n| event(&format!("{half}{n}"), "{}")).collect();
        store.accept_events(events).await.unwrap();
        let claim = claim(10);
        let mut jobs = store.claim_jobs(&claim).await.unwrap();
        assert_eq!(jobs.len(), RECORDS);
        if half == "b" {
            jobs.reverse();
        }
        halves.push((Arc::clone(store), claim.token, jobs));
    }
    let settling = halves.into_iter().map(|(store, token, jobs)| {
        tokio::spawn(async move {
            let mut owned = Vec::new();
            let of = |job: &ClaimedJob| Settlement {
                link: put(&job.lead.id.as_str()[1..], true),
                ..settlement(token, job, 11)
            };
            let settled = store.settle(jobs.iter().map(of).collect()).await;
            for (job, settled) in jobs.iter().zip(settled) {
                let settled = match settled {
                    Err(StoreError::Unavailable(_)) => settle_at_last(&*store, of(job)).await,
                    settled => settled.unwrap(),
                };
                if settled == (Settled::Recorded { again: false }) {
                    owned.push(job.lead.id.as_str()[1..].to_owned());
                }
            }
            owned
        })
    });
    let mut owned = Vec::new();
    for settling in settling.collect::<Vec<_>>() {
        owned.extend(settling.await.unwrap());
    }
    assert_eq!(owned.len(), RECORDS);
    assert_eq!(owned.iter().collect::<BTreeSet<_>>().len(), RECORDS);
    assert_eq!(fixture.count("SELECT count(*) FROM links WHERE owner").await, RECORDS as i64);
    assert_eq!(fixture.claim(11).await.len(), RECORDS, "the others are planned again");
}

async fn of_two_folds_of_one_lead_one_is_saved(fixture: Fixture) {
    let stores = fixture.stores(2).await;
    for n in 0..10 {
        fixture.accept(event("ada", &format!("{n}"))).await;
        let fold = folded(&fixture.work("ada").await);
        let saving = stores.iter().map(|store| {
            let (store, fold) = (Arc::clone(store), fold.clone());
            tokio::spawn(async move { store.save_leads(&[fold]).await.unwrap().remove(0) })
        });
        let mut saved = Vec::new();
        for saving in saving.collect::<Vec<_>>() {
            saved.push(saving.await.unwrap());
        }
        saved.sort();
        assert_eq!(saved, [false, true], "round {n}");
    }
}

async fn of_two_answers_to_one_question_one_counts(fixture: Fixture) {
    fixture.execute(CONFLICT).await;
    let stores = fixture.stores(2).await;
    let answering = stores.iter().zip(["ada", "bob"]).map(|(store, by)| {
        let store = Arc::clone(store);
        let now = secs(20);
        let answer =
            Answer { conflict: 1, revision: Some(3), choice: Choice::Lead, note: None, by: by.to_owned(), now };
        tokio::spawn(async move { matches!(store.resolve_conflict(&answer).await.unwrap(), Answered::Done(_)) })
    });
    let mut counted = 0;
    for answering in answering.collect::<Vec<_>>() {
        counted += usize::from(answering.await.unwrap());
    }
    assert_eq!(counted, 1);
    assert_eq!(fixture.claim(20).await[0].wanted, 1);
}

/// Claims and events of one lead, over and over: at the end nothing is owed, and every event was seen by an attempt.
async fn a_claim_and_an_event_meet_without_losing_either(fixture: Fixture) {
    const EVENTS: usize = 60;
    let stores = fixture.stores(2).await;
    let sender = Arc::clone(&stores[0]);
    let sending = tokio::spawn(async move {
        for n in 0..EVENTS {
            sender.accept_events(vec![event("ada", &format!("{n}"))]).await.unwrap();
        }
    });
    let worker = &stores[1];
    let mut seen = 0;
    loop {
        let over = sending.is_finished();
        let claim = claim(20);
        let jobs = worker.claim_jobs(&claim).await.unwrap();
        let Some(job) = jobs.first() else {
            if over {
                break;
            }
            continue;
        };
        let work = worker.load_work(&crm(), &[key("ada")]).await.unwrap().remove(0);
        seen += work.unfolded.len();
        if !work.unfolded.is_empty() {
            assert_eq!(worker.save_leads(&[folded(&work)]).await.unwrap(), [true]);
        }
        settle_at_last(&**worker, settlement(claim.token, job, 20)).await;
    }
    sending.await.unwrap();
    assert_eq!(seen, EVENTS);
    assert_eq!(fixture.count("SELECT count(*) FROM jobs").await, 0);
}
