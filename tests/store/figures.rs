//! What is counted.

use leadrelay::domain::plan::ConflictKind;

use crate::fixture::*;
use crate::rows::*;

on_both_stores! {
    failures_are_grouped_and_open_conflicts_and_sharers_counted,
    quarantined_events_are_counted_for_each_source_as_far_as_is_quick,
}

async fn failures_are_grouped_and_open_conflicts_and_sharers_counted(fixture: Fixture) {
    fixture.execute(LOG_ROWS).await;
    fixture.execute(CONFLICT).await;
    insert_link(&fixture, "cl_1", "00Q1", true).await;
    insert_link(&fixture, "cl_2", "00Q1", false).await;
    // A record that may be another person's has no owner, and is none that leads share.
    insert_link(&fixture, "cl_3", "00Q3", false).await;
    for (minute, n) in [(0, 2), (60_000_000, 3)] {
        let (slot, value) = fixture.either(("", ""), (", slot", ", 3"));
        let columns = format!("minute, destination, operation, outcome, n{slot}");
        let values = format!("us({minute}), 'crm', 'create', 'ok', {n}{value}");
        fixture.execute(&format!("INSERT INTO outcome_counts ({columns}) VALUES ({values})")).await;
    }
    let groups = fixture.store.group_errors(micros(201)).await.unwrap();
    assert_eq!(groups.len(), 1);
    assert_eq!((groups[0].code.as_str(), groups[0].count, groups[0].leads), ("UNABLE_TO_LOCK_ROW", 1, 1));
    assert_eq!(fixture.store.group_errors(micros(0)).await.unwrap().len(), 2);
    let standing = fixture.store.standing_figures().await.unwrap();
    assert_eq!(standing.shared_records, [("crm".into(), 1)]);
    assert_eq!(standing.open_conflicts, [("crm".into(), ConflictKind::Field, 1)]);
    let counts = fixture.store.count_outcomes(micros(61_000_000)).await.unwrap();
    assert_eq!((counts.len(), counts[0].count), (1, 3));
}

async fn quarantined_events_are_counted_for_each_source_as_far_as_is_quick(fixture: Fixture) {
    let quarantine = async |source: &str, first: u32, last: u32, state: &str| {
        let insert = format!(
            "WITH RECURSIVE n (i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {last})
             INSERT INTO events (id, source, kind, state, content_hash, received_at, request_id, size)
             SELECT i, '{source}', 'other', '{state}', x'00', us(1), 'req', 2 FROM n"
        );
        fixture.execute(&insert).await;
    };
    assert!(fixture.store.standing_figures().await.unwrap().quarantined.is_empty());
    quarantine("b_many", 1, 10_003, "quarantined").await;
    quarantine("a_few", 20_001, 20_002, "quarantined").await;
    quarantine("a_few", 20_003, 20_003, "folded").await;
    quarantine("c_one", 20_004, 20_004, "quarantined").await;
    let mut counted = fixture.store.standing_figures().await.unwrap().quarantined;
    counted.sort();
    assert_eq!(counted, [("a_few".into(), 2), ("b_many".into(), 10_000), ("c_one".into(), 1)]);
}
