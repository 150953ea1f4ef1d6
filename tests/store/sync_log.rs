//! Searching the sync log.

use leadrelay::domain::ids::EventId;
use leadrelay::domain::matching::MatchedBy;
use leadrelay::store::*;

use crate::fixture::*;
use crate::rows::*;

on_both_stores! {
    every_filter_of_the_sync_log_finds_its_rows_alone_and_with_every_other,
    paging_shows_every_row_once_while_rows_are_appended,
    a_row_that_does_not_fit_is_named,
    a_row_far_away_in_the_log_is_found_by_walking_in_pieces,
}

async fn found(fixture: &Fixture, filter: &LogFilter) -> Vec<i64> {
    let listed = fixture.store.search_sync_log(filter, &page(100, None)).await.unwrap();
    listed.items.iter().map(|row| row.id).collect()
}

fn single_filters() -> Vec<(LogFilter, Vec<i64>)> {
    let none = LogFilter::default;
    vec![
        (LogFilter { lead_id: text("cl_1"), ..none() }, vec![4, 3, 1]),
        (LogFilter { record_id: text("00Q1"), ..none() }, vec![4, 1]),
        (LogFilter { source: text("klozeo"), ..none() }, vec![4, 2, 1]),
        (LogFilter { destination: text("crm"), ..none() }, vec![3, 2, 1]),
        (LogFilter { operation: Some(Operation::Update), ..none() }, vec![4, 2]),
        (LogFilter { outcome: Some(Outcome::Ok), ..none() }, vec![3, 1]),
        (LogFilter { outcome: Some(Outcome::Refused), ..none() }, vec![2]),
        (LogFilter { from: Some(micros(200)), ..none() }, vec![4, 3, 2]),
        (LogFilter { to: Some(micros(300)), ..none() }, vec![3, 2, 1]),
        (LogFilter { error: text("TOO_LONG"), ..none() }, vec![2]),
        (LogFilter { matched_by: Some(MatchedBy::Link), ..none() }, vec![4, 2]),
        (LogFilter { request_id: text("req-4"), ..none() }, vec![4]),
        (LogFilter { email: text("Ada@Example.com"), ..none() }, vec![4, 1]),
        (LogFilter { field: text("Industry"), ..none() }, vec![2]),
        (LogFilter { q: text("req-2"), ..none() }, vec![2]),
        (LogFilter { q: text("00Q1"), ..none() }, vec![4, 1]),
        (LogFilter { q: text("INDU"), ..none() }, vec![2]),
        (LogFilter { q: text("ustry"), ..none() }, vec![]),
        (LogFilter { q: text("[lock]*"), ..none() }, vec![4]),
        (LogFilter { q: text("a*"), ..none() }, vec![]),
    ]
}

async fn every_filter_of_the_sync_log_finds_its_rows_alone_and_with_every_other(fixture: Fixture) {
    fixture.execute(LOG_ROWS).await;
    let shared = LogFilter { field: text("Email"), ..LogFilter::default() };
    assert_eq!(found(&fixture, &shared).await, [2, 1], "rows of every set that has the field");
    for (filter, expected) in single_filters() {
        assert_eq!(found(&fixture, &filter).await, expected, "{filter:?}");
    }
    for (first, of_first) in single_filters() {
        for (second, of_second) in single_filters() {
            let both = LogFilter {
                lead_id: first.lead_id.clone().or(second.lead_id),
                record_id: first.record_id.clone().or(second.record_id),
                source: first.source.clone().or(second.source),
                destination: first.destination.clone().or(second.destination),
                operation: first.operation.or(second.operation),
                outcome: first.outcome,
                from: first.from.or(second.from),
                to: first.to.or(second.to),
                error: first.error.clone().or(second.error),
                matched_by: first.matched_by.or(second.matched_by),
                request_id: first.request_id.clone().or(second.request_id),
                email: first.email.clone().or(second.email),
                field: first.field.clone().or(second.field),
                q: first.q.clone(),
            };
            if second.q.is_some() || second.outcome.is_some() {
                continue;
            }
            let expected: Vec<i64> = of_first.iter().copied().filter(|id| of_second.contains(id)).collect();
            assert_eq!(found(&fixture, &both).await, expected, "{both:?}");
        }
    }
}

async fn paging_shows_every_row_once_while_rows_are_appended(fixture: Fixture) {
    for n in 1..=25 {
        let (token, job) = fixture.claimed("ada", n).await;
        fixture.settle(settlement(token, &job, n)).await;
    }
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let listed = fixture.store.search_sync_log(&LogFilter::default(), &page(10, cursor)).await.unwrap();
        seen.extend(listed.items.iter().map(|row| row.at));
        cursor = listed.next;
        if cursor.is_none() {
            break;
        }
        let (token, job) = fixture.claimed("bob", 30).await;
        fixture.settle(settlement(token, &job, 30)).await;
    }
    assert_eq!(seen, (1..=25).rev().map(secs).collect::<Vec<_>>());
    let wrong = fixture.store.search_sync_log(&LogFilter::default(), &page(10, text("nonsense!"))).await;
    assert!(matches!(wrong, Err(StoreError::BadCursor)));
}

async fn a_row_that_does_not_fit_is_named(fixture: Fixture) {
    fixture.execute(LOG_ROWS).await;
    fixture.execute("UPDATE sync_log SET operation = 'nonsense' WHERE id = 2").await;
    let failed = fixture.store.load_log_row(2).await;
    assert!(matches!(failed, Err(StoreError::Corrupt { table: "sync_log", column: "operation", .. })), "{failed:?}");
    assert!(fixture.store.load_event(EventId(1)).await.unwrap().is_none());
}

async fn a_row_far_away_in_the_log_is_found_by_walking_in_pieces(fixture: Fixture) {
    fixture.execute(LOG_ROWS).await;
    fixture.execute("UPDATE sync_log SET id = 500000, at = us(250) WHERE id = 4").await;
    let operation = LogFilter { operation: Some(Operation::Create), ..Default::default() };
    assert_eq!(found(&fixture, &operation).await, [1]);
    let early = LogFilter { to: Some(micros(100)), ..Default::default() };
    assert_eq!(found(&fixture, &early).await, [1]);
}
