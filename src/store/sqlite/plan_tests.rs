//! Tests of how the database looks for what is read: by indexes, without scanning or sorting a large table.

use super::fixtures::*;
use super::log;
use crate::domain::matching::MatchedBy;
use crate::domain::time::Timestamp;
use crate::store::*;

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// Each filter alone, and by which index its rows are found.
fn single_filters() -> Vec<(LogFilter, &'static str)> {
    let none = LogFilter::default;
    let kind = "INDEX sync_log_kind (source=? AND destination=? AND operation=? AND outcome=? AND <expr>=?";
    let key = "SEARCH sync_log USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)";
    vec![
        (none(), key),
        (LogFilter { from: Some(Timestamp::from_micros(200)), ..none() }, key),
        (LogFilter { to: Some(Timestamp::from_micros(300)), ..none() }, key),
        (LogFilter { lead_id: text("cl_1"), ..none() }, "sync_log_lead (lead_id=? AND id>? AND id<?)"),
        (LogFilter { record_id: text("00Q1"), ..none() }, "sync_log_record (record_id=? AND id>? AND id<?)"),
        (LogFilter { request_id: text("req-4"), ..none() }, "sync_log_request (request_id=? AND rowid>? AND rowid<?)"),
        (LogFilter { email: text("Ada@Example.com"), ..none() }, "sync_log_lead (lead_id=? AND id>? AND id<?)"),
        (LogFilter { source: text("klozeo"), ..none() }, kind),
        (LogFilter { destination: text("crm"), ..none() }, kind),
        (LogFilter { operation: Some(Operation::Update), ..none() }, kind),
        (LogFilter { outcome: Some(Outcome::Ok), ..none() }, kind),
        (LogFilter { outcome: Some(Outcome::Refused), ..none() }, kind),
        (LogFilter { matched_by: Some(MatchedBy::Link), ..none() }, kind),
        (LogFilter { error: text("TOO_LONG"), ..none() }, "sync_log_error (error_code=? AND id>? AND id<?)"),
        (LogFilter { field: text("Industry"), ..none() }, "sync_log_field (field_set=? AND id>? AND id<?)"),
        (LogFilter { q: text("lock"), ..none() }, "COVERING INDEX sync_log_told (id>? AND id<?)"),
    ]
}

#[tokio::test]
async fn no_filter_of_the_sync_log_scans_the_table() {
    let fixture = Fixture::new().await;
    for (filter, index) in single_filters() {
        let plan = log::plan(&fixture.store.readers, &filter).await;
        assert!(plan.contains(index), "{filter:?}: {plan}");
        // The first of all combinations is where the index begins.
        let mut scans = plan.split("; ").filter(|step| step.starts_with("SCAN sync_log"));
        assert!(scans.all(|step| step.contains("INDEX sync_log_kind")), "{filter:?}: {plan}");
        // Sorted are only a few rows of each lead, of each set of fields and of each combination.
        let sorted = filter.email.is_some() || filter.field.is_some() || index.contains("sync_log_kind");
        assert_eq!(plan.contains("B-TREE"), sorted, "{filter:?}: {plan}");
    }
}

#[tokio::test]
async fn figures_and_dead_letters_are_read_from_partial_indexes_without_sorting() {
    let fixture = Fixture::new().await;
    for (sql, index) in [
        (
            "EXPLAIN QUERY PLAN SELECT min(owed_since) FROM jobs
              WHERE destination = 'crm' AND state = 'owed' AND owed_since <> due_at",
            "jobs_oldest",
        ),
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
