//! Bulk work and its progress.

use rusqlite::{OptionalExtension, params};
use sqlx::QueryBuilder;

use super::SqliteStore;
use super::walk::{Numbered, Span};
use crate::domain::ids::LeadKey;
use crate::store::erased::{SCOPE_GONE, marked_scope};
use crate::store::listed::{position_text, read_run};
use crate::store::{Listed, NewRun, Page, RunProgress, RunRow, StoreResult};

const RUNS: Numbered = Numbered {
    table: "runs",
    select: "SELECT id, kind, by, started_at, updated_at, scope, total, done, position, state, detail FROM runs WHERE ",
    bounds: "SELECT (SELECT min(id) FROM runs), (SELECT max(id) FROM runs)",
    probe: "SELECT id, started_at FROM runs WHERE id >= ? ORDER BY id LIMIT 1",
};

/// Begins a run and answers its number.
pub(super) async fn create(store: &SqliteStore, run: &NewRun) -> StoreResult<i64> {
    let run = run.clone();
    let work = move |db: &mut rusqlite::Connection| {
        db.prepare_cached(
            "INSERT INTO runs (kind, by, started_at, updated_at, scope, total, done, state)
             VALUES (?1, ?2, ?3, ?3, ?4, ?5, 0, 'running')",
        )?
        .execute(params![run.kind, run.by, run.started_at.as_micros(), run.scope, clamp(run.total)])?;
        Ok(db.last_insert_rowid())
    };
    store.writer.run(work).await
}

/// Notes how far a run came, unless it is over: cancelled meanwhile, perhaps.
pub(super) async fn update(store: &SqliteStore, id: i64, progress: &RunProgress) -> StoreResult<()> {
    let progress = progress.clone();
    let work = move |db: &mut rusqlite::Connection| {
        let position = progress.position.as_ref().map(position_text);
        db.prepare_cached(
            "UPDATE runs SET done = ?1, position = ?2, state = ?3, detail = ?4, updated_at = ?5,
                    scope = CASE WHEN ?3 <> 'running' AND instr(scope, '\"erased\":true') > 0 THEN ?7 ELSE scope END
              WHERE id = ?6 AND state = 'running'",
        )?
        .execute(params![
            clamp(progress.done),
            position,
            progress.state,
            progress.detail,
            progress.now.as_micros(),
            id,
            SCOPE_GONE
        ])?;
        Ok(())
    };
    store.writer.run(work).await
}

/// One page of the runs, newest first.
pub(super) async fn list(store: &SqliteStore, page: &Page) -> StoreResult<Listed<RunRow>> {
    let all = |_: &mut QueryBuilder<sqlx::Sqlite>| {};
    RUNS.page(&store.readers, page, &Span { from: None, to: None, narrow: true }, all, read_run).await
}

/// One run.
pub(super) async fn load(store: &SqliteStore, id: i64) -> StoreResult<Option<RunRow>> {
    let mut query = QueryBuilder::<sqlx::Sqlite>::new(RUNS.select);
    query.push("id = ").push_bind(id);
    let row = query.build().fetch_optional(&store.readers).await?;
    row.as_ref().map(read_run).transpose()
}

/// Takes out of runs by what they looked for an erased lead, which is still known; out of those at work when they end.
pub(super) fn forget_lead(db: &rusqlite::Connection, lead: &LeadKey) -> StoreResult<()> {
    let known: Option<(Option<String>, Option<String>)> = db
        .prepare_cached("SELECT email, name FROM leads WHERE source = ?1 AND lead_id = ?2")?
        .query_row([lead.source.as_str(), lead.id.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (email, name) = known.unwrap_or_default();
    let mut runs = db.prepare_cached("SELECT id, scope FROM runs")?;
    let runs: Vec<(i64, String)> =
        runs.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
    for (id, scope) in runs {
        let Some(marked) = marked_scope(&scope, lead, email.as_deref(), name.as_deref()) else { continue };
        db.prepare_cached("UPDATE runs SET scope = CASE WHEN state = 'running' THEN ?2 ELSE ?3 END WHERE id = ?1")?
            .execute(params![id, marked, SCOPE_GONE])?;
    }
    Ok(())
}

fn clamp(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
