//! Many at once: on PostgreSQL several stores share a database, on SQLite many tasks a store.

use std::collections::BTreeSet;
use std::sync::Arc;

use leadrelay::store::*;

use crate::fixture::*;

on_both_stores! {
    of_64_parallel_copies_of_one_event_one_is_stored,
    two_claimers_never_share_a_job,
}

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
