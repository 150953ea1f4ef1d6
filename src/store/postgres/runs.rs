//! Bulk work and its progress.

use sqlx::{Postgres, QueryBuilder};

use super::PostgresStore;
use super::rows::{readable, readable_option};
use super::time::Time;
use super::walk::{Numbered, Span};
use crate::domain::ids::LeadKey;
use crate::store::erased::{SCOPE_GONE, marked_scope};
use crate::store::listed::{position_text, read_run};
use crate::store::{Listed, NewRun, Page, RunProgress, RunRow, StoreResult};

const RUNS: Numbered = Numbered {
    table: "runs",
    select: "SELECT id, kind, by, started_at, updated_at, scope::text AS scope, total, done, position::text AS position, \
             state, detail FROM runs WHERE ",
    bounds: "SELECT (SELECT min(id) FROM runs), (SELECT max(id) FROM runs)",
    probe: "SELECT id, started_at FROM runs WHERE id >= $1 ORDER BY id LIMIT 1",
};

/// Begins a run and answers its number.
pub(super) async fn create(store: &PostgresStore, run: &NewRun) -> StoreResult<i64> {
    let id = sqlx::query_scalar(
        "INSERT INTO runs (kind, by, started_at, updated_at, scope, total, done, state)
         VALUES ($1, $2, $3, $3, $4::json, $5, 0, 'running') RETURNING id",
    )
    .bind(run.kind)
    .bind(readable(&run.by))
    .bind(Time(run.started_at))
    .bind(&run.scope)
    .bind(clamp(run.total))
    .fetch_one(&store.pool)
    .await?;
    Ok(id)
}

/// Notes how far a run came, unless it is over: cancelled meanwhile, perhaps.
pub(super) async fn update(store: &PostgresStore, id: i64, progress: &RunProgress) -> StoreResult<()> {
    sqlx::query(
        "UPDATE runs SET done = $2, position = $3::jsonb, state = $4, detail = $5, updated_at = $6,
                scope = CASE WHEN $4 <> 'running' AND strpos(scope::text, '\"erased\":true') > 0
                             THEN $7::json ELSE scope END
          WHERE id = $1 AND state = 'running'",
    )
    .bind(id)
    .bind(clamp(progress.done))
    .bind(progress.position.as_ref().map(position_text))
    .bind(progress.state)
    .bind(readable_option(progress.detail.as_deref()))
    .bind(Time(progress.now))
    .bind(SCOPE_GONE)
    .execute(&store.pool)
    .await?;
    Ok(())
}

/// One page of the runs, newest first.
pub(super) async fn list(store: &PostgresStore, page: &Page) -> StoreResult<Listed<RunRow>> {
    let all = |_: &mut QueryBuilder<Postgres>| {};
    RUNS.page(&store.pool, page, &Span { from: None, to: None, narrow: true }, all, read_run).await
}

/// One run.
pub(super) async fn load(store: &PostgresStore, id: i64) -> StoreResult<Option<RunRow>> {
    let mut query = QueryBuilder::<Postgres>::new(RUNS.select);
    query.push("id = ").push_bind(id);
    let row = query.build().fetch_optional(&store.pool).await?;
    row.as_ref().map(read_run).transpose()
}

/// Takes out of runs by what they looked for an erased lead, which is still known; out of those at work when they end.
pub(super) async fn forget_lead(db: &mut sqlx::PgConnection, lead: &LeadKey) -> StoreResult<()> {
    let known: Option<(Option<String>, Option<String>)> =
        sqlx::query_as("SELECT email, name FROM leads WHERE source = $1 AND lead_id = $2")
            .bind(lead.source.as_str())
            .bind(lead.id.as_str())
            .fetch_optional(&mut *db)
            .await?;
    let (email, name) = known.unwrap_or_default();
    // The database cannot look into a text with U+0000.
    let runs: Vec<(i64, String)> = sqlx::query_as("SELECT id, scope::text FROM runs").fetch_all(&mut *db).await?;
    for (id, scope) in runs {
        let Some(marked) = marked_scope(&scope, lead, email.as_deref(), name.as_deref()) else { continue };
        sqlx::query(
            "UPDATE runs SET scope = CASE WHEN state = 'running' THEN $2::json ELSE $3::json END WHERE id = $1",
        )
        .bind(id)
        .bind(marked)
        .bind(SCOPE_GONE)
        .execute(&mut *db)
        .await?;
    }
    Ok(())
}

fn clamp(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
