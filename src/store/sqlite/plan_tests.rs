//! Tests of how the database looks for what is read: by indexes, without scanning or sorting a large table.

use super::fixtures::*;
use super::log;
use crate::domain::matching::MatchedBy;
use crate::domain::time::Timestamp;
use crate::store::*;

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// Each filter alone, but for the search in texts, which walks through the table.
fn single_filters() -> Vec<LogFilter> {
    let none = LogFilter::default;
    vec![
        LogFilter { lead_id: text("cl_1"), ..none() },
        LogFilter { record_id: text("00Q1"), ..none() },
        LogFilter { source: text("klozeo"), ..none() },
        LogFilter { destination: text("crm"), ..none() },
        LogFilter { operation: Some(Operation::Update), ..none() },
        LogFilter { outcome: Some(Outcome::Ok), ..none() },
        LogFilter { outcome: Some(Outcome::Refused), ..none() },
        LogFilter { from: Some(Timestamp::from_micros(200)), ..none() },
        LogFilter { to: Some(Timestamp::from_micros(300)), ..none() },
        LogFilter { error: text("TOO_LONG"), ..none() },
        LogFilter { matched_by: Some(MatchedBy::Link), ..none() },
        LogFilter { request_id: text("req-4"), ..none() },
        LogFilter { email: text("Ada@Example.com"), ..none() },
        LogFilter { field: text("Industry"), ..none() },
    ]
}

#[tokio::test]
async fn no_filter_of_the_sync_log_scans_or_sorts_the_table() {
    let fixture = Fixture::new().await;
    for filter in single_filters() {
        let plan = log::plan(&fixture.store.readers, &filter).await;
        assert!(plan.contains("SEARCH sync_log USING"), "{filter:?}: {plan}");
        assert!(!plan.contains("SCAN sync_log"), "{filter:?}: {plan}");
        // The rows of all leads of one address are sorted together; they are few.
        assert!(!plan.contains("B-TREE") || filter.email.is_some(), "{filter:?}: {plan}");
    }
}

#[tokio::test]
async fn figures_and_dead_letters_are_read_from_partial_indexes_without_sorting() {
    let fixture = Fixture::new().await;
    for (sql, index) in [
        ("EXPLAIN QUERY PLAN SELECT min(owed_since) FROM jobs WHERE destination = 'crm' AND state = 'owed'", "jobs_oldest"),
        (
            "EXPLAIN QUERY PLAN SELECT id FROM sync_log
              WHERE outcome = ? AND outcome <> 'ok' AND id >= ? AND +at >= ? AND +error_code IS NOT NULL ORDER BY id DESC",
            "sync_log_outcome (outcome=? AND id>?)",
        ),
        (
            "EXPLAIN QUERY PLAN SELECT destination, code FROM jobs WHERE state = 'dead' AND state <> 'owed' AND +source = ?
              ORDER BY ended_at DESC, destination DESC, source DESC, lead_id DESC",
            "jobs_ended (state=?)",
        ),
    ] {
        let plan: Vec<(i64, i64, i64, String)> = sqlx::query_as(sql).fetch_all(&fixture.store.readers).await.unwrap();
        let plan = plan.into_iter().map(|step| step.3).collect::<Vec<_>>().join("; ");
        assert!(plan.contains(index) && !plan.contains("B-TREE"), "{plan}");
    }
}
