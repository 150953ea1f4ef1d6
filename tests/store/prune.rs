//! Forgetting what is old and not needed.

use crate::fixture::*;
use crate::rows::*;

on_both_stores! {
    pruning_keeps_what_a_job_has_to_fold_the_newest_folded_event_and_a_links_last_success,
}

async fn pruning_keeps_what_a_job_has_to_fold_the_newest_folded_event_and_a_links_last_success(fixture: Fixture) {
    fixture.execute(LOG_ROWS).await;
    let events = [
        (1, Some("cl_1"), "folded", 1),
        (2, Some("cl_1"), "folded", 2),
        (3, Some("cl_9"), "stored", 3),
        (4, None, "quarantined", 4),
        (5, Some("cl_1"), "ignored", 9999),
        (6, Some("cl_8"), "stored", 4),
    ];
    for (id, lead, state, at) in events {
        insert_event(&fixture, id, "klozeo", lead, state, at).await;
    }
    insert_job(&fixture, "cl_9", "owed", None, None).await;
    insert_link(&fixture, "cl_1", "00Q1", true).await;
    let mut steps = 0;
    while fixture.store.prune(micros(5000)).await.unwrap() {
        steps += 1;
        assert!(steps < 50, "pruning does not end");
    }
    assert_eq!(fixture.numbers("SELECT id FROM events ORDER BY id").await, [2, 3, 5]);
    assert_eq!(fixture.numbers("SELECT event_id FROM bodies ORDER BY event_id").await, [2, 3, 5]);
    assert_eq!(fixture.numbers("SELECT id FROM sync_log ORDER BY id").await, [1]);
}
