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
    pages_show_every_row_once_whatever_combination_of_columns_it_has,
}

async fn found(fixture: &Fixture, filter: &LogFilter) -> Vec<i64> {
    let (mut ids, mut cursor) = (Vec::new(), None);
    loop {
        // On a busy machine a walk may end early, with a cursor.
        let listed = fixture.store.search_sync_log(filter, &page(100, cursor)).await.unwrap();
        ids.extend(listed.items.iter().map(|row| row.id));
        cursor = listed.next;
        if cursor.is_none() {
            return ids;
        }
    }
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
    let word = LogFilter { q: text("data"), ..Default::default() };
    assert_eq!(found(&fixture, &word).await, [2]);
    let early = LogFilter { to: Some(micros(100)), ..Default::default() };
    assert_eq!(found(&fixture, &early).await, [1]);
}

/// Two values of each column that has few, and rows of every combination, some of which have no way of matching.
async fn pages_show_every_row_once_whatever_combination_of_columns_it_has(fixture: Fixture) {
    fixture
        .execute(
            "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 299)
             INSERT INTO sync_log (id, at, source, lead_id, destination, operation, outcome, matched_by,
                                   attempt, api_calls, batch, duration_ms)
             SELECT i + 1, us(100), CASE i % 2 WHEN 0 THEN 'klozeo' ELSE 'other' END, 'cl_1',
                    CASE i / 2 % 2 WHEN 0 THEN 'crm' ELSE 'second' END,
                    CASE i / 4 % 2 WHEN 0 THEN 'update' ELSE 'create' END,
                    CASE i / 8 % 2 WHEN 0 THEN 'ok' ELSE 'dead' END,
                    CASE i / 16 % 3 WHEN 0 THEN 'link' WHEN 1 THEN 'email' END, 1, 1, 1, 1 FROM n",
        )
        .await;
    let none = LogFilter::default;
    for (filter, expected) in [
        (LogFilter { source: text("other"), ..none() }, 150),
        (LogFilter { destination: text("second"), ..none() }, 150),
        (LogFilter { outcome: Some(Outcome::Dead), operation: Some(Operation::Create), ..none() }, 72),
        (LogFilter { matched_by: Some(MatchedBy::Email), source: text("klozeo"), ..none() }, 48),
        (LogFilter { source: text("none"), ..none() }, 0),
    ] {
        let (mut seen, mut cursor) = (Vec::new(), None);
        loop {
            let listed = fixture.store.search_sync_log(&filter, &page(7, cursor)).await.unwrap();
            let fit = |row: &LogRow| {
                filter.source.as_ref().is_none_or(|source| row.lead.source.as_str() == source)
                    && filter.destination.as_ref().is_none_or(|name| row.destination.as_str() == name)
                    && filter.outcome.is_none_or(|outcome| row.outcome == outcome)
                    && filter.operation.is_none_or(|operation| row.operation == operation)
                    && filter.matched_by.is_none_or(|way| row.matched_by == Some(way))
            };
            assert!(listed.items.iter().all(fit), "{filter:?}");
            seen.extend(listed.items.iter().map(|row| row.id));
            cursor = listed.next;
            if cursor.is_none() {
                break;
            }
        }
        assert!(seen.is_sorted_by(|newer, older| newer > older), "{filter:?}: {seen:?}");
        assert_eq!(seen.len(), expected, "{filter:?}");
    }
}
