//! That the server tidies up in time after what is changed for each lead.

use sqlx::AssertSqlSafe;

use crate::postgres::{connect, shared_or_skipped};

/// The tables of which rows are changed or deleted for each lead; of events the state, in every month.
const CHANGED: &str =
    "c.relname IN ('jobs', 'job_count_changes', 'intents', 'leases', 'leads', 'links', 'source_counts',
                                     'outcome_counts')
                       OR c.oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'events'::regclass)";

#[tokio::test]
async fn tables_that_are_changed_for_each_lead_are_vacuumed_before_a_fifth_of_them_is_dead() {
    let Some(cluster) = shared_or_skipped() else { return };
    let database = cluster.database().await;
    let options = format!(
        "SELECT c.relname, coalesce(array_to_string(c.reloptions, ' '), '') FROM pg_class c WHERE {CHANGED} ORDER BY 1"
    );
    let tables: Vec<(String, String)> =
        sqlx::query_as(AssertSqlSafe(options)).fetch_all(&mut connect(&database.url).await).await.unwrap();
    assert!(tables.iter().filter(|(name, _)| name.starts_with("events_y")).count() >= 3, "{tables:?}");
    for (name, options) in &tables {
        let factor = options.split(' ').find_map(|option| option.strip_prefix("autovacuum_vacuum_scale_factor="));
        let factor: Option<f64> = factor.and_then(|factor| factor.parse().ok());
        assert!(factor.is_some_and(|factor| factor <= 0.05), "{name}: {options:?}");
    }
    assert!(tables.len() >= 12, "{tables:?}");
}
