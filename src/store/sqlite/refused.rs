//! Refused requests that are held.

use async_trait::async_trait;
use rusqlite::{Connection, params};
use sqlx::QueryBuilder;

use super::SqliteStore;
use super::walk::{Numbered, Span};
use crate::domain::ids::SourceName;
use crate::domain::time::Timestamp;
use crate::store::erased::Telling;
use crate::store::listed::{read_refused, read_refused_detail};
use crate::store::refused::{FIRST_TO_GO, RefusedRequests, proof_to_json, surplus};
use crate::store::stored::headers_to_json;
use crate::store::{
    Listed, NewRefused, Page, RefusedBounds, RefusedDetail, RefusedFilter, RefusedFor, RefusedRow, StoreResult,
};

const REFUSED: Numbered = Numbered {
    table: "refused_requests",
    select: "SELECT id, source, reason, received_at, request_id, size FROM refused_requests WHERE ",
    bounds: "SELECT (SELECT min(id) FROM refused_requests), (SELECT max(id) FROM refused_requests)",
    probe: "SELECT id, received_at FROM refused_requests WHERE id >= ? ORDER BY id LIMIT 1",
};

const WHOLE: &str =
    "SELECT id, source, reason, received_at, request_id, size, proof, headers, body FROM refused_requests WHERE ";

#[async_trait]
impl RefusedRequests for SqliteStore {
    async fn hold_refused(&self, requests: Vec<NewRefused>, bounds: RefusedBounds) -> StoreResult<()> {
        self.writer.run(move |db| hold(db, &requests, bounds)).await
    }

    async fn list_refused(&self, filter: &RefusedFilter, page: &Page) -> StoreResult<Listed<RefusedRow>> {
        let conditions = |query: &mut QueryBuilder<sqlx::Sqlite>| {
            if let Some(source) = &filter.source {
                query.push(" AND source = ").push_bind(source.clone());
            }
            if let Some(reason) = filter.reason {
                query.push(" AND reason = ").push_bind(reason.as_str());
            }
        };
        // There are few.
        let span = Span { from: None, to: None, narrow: true };
        REFUSED.page(&self.readers, page, &span, conditions, read_refused).await
    }

    async fn load_refused(&self, id: i64) -> StoreResult<Option<RefusedDetail>> {
        let mut query = QueryBuilder::<sqlx::Sqlite>::new(WHOLE);
        query.push("id = ").push_bind(id);
        let row = query.build().fetch_optional(&self.readers).await?;
        row.as_ref().map(read_refused_detail).transpose()
    }

    async fn next_refused(&self, source: &SourceName, after: i64) -> StoreResult<Option<RefusedDetail>> {
        let mut query = QueryBuilder::<sqlx::Sqlite>::new(WHOLE);
        query.push("source = ").push_bind(source.as_str().to_owned()).push(" AND id > ").push_bind(after);
        query.push(" ORDER BY id LIMIT 1");
        let row = query.build().fetch_optional(&self.readers).await?;
        row.as_ref().map(read_refused_detail).transpose()
    }

    async fn release_refused(&self, ids: Vec<i64>) -> StoreResult<()> {
        self.writer.run(move |db| release(db, &ids)).await
    }

    async fn note_refused(&self, id: i64, reason: RefusedFor) -> StoreResult<()> {
        let work = move |db: &mut Connection| {
            db.prepare_cached("UPDATE refused_requests SET reason = ?2 WHERE id = ?1")?
                .execute(params![id, reason.as_str()])?;
            Ok(())
        };
        self.writer.run(work).await
    }

    async fn forget_refused(&self, before: Timestamp) -> StoreResult<u64> {
        let work = move |db: &mut Connection| {
            let gone = db
                .prepare_cached("DELETE FROM refused_requests WHERE received_at < ?")?
                .execute([before.as_micros()])?;
            Ok(gone as u64)
        };
        self.writer.run(work).await
    }
}

fn hold(db: &Connection, requests: &[NewRefused], bounds: RefusedBounds) -> StoreResult<()> {
    for request in requests {
        db.prepare_cached(
            "INSERT INTO refused_requests (source, reason, received_at, request_id, size, proof, headers, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            request.source.as_str(),
            request.reason.as_str(),
            request.received_at.as_micros(),
            request.request_id.as_str(),
            request.size() as i64,
            proof_to_json(&request.proof),
            headers_to_json(&request.headers),
            &request.body[..]
        ])?;
    }
    let mut held = db.prepare_cached("SELECT source, count(*) FROM refused_requests GROUP BY source")?;
    let held: Vec<(String, i64)> =
        held.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
    for (source, n) in held {
        let too_many = n - i64::from(bounds.per_source);
        if too_many > 0 {
            db.prepare_cached(&format!(
                "DELETE FROM refused_requests WHERE id IN (
                     SELECT id FROM refused_requests WHERE source = ?1 ORDER BY {FIRST_TO_GO} LIMIT ?2)"
            ))?
            .execute(params![source, too_many])?;
        }
    }
    loop {
        let mut held = db.prepare_cached("SELECT source, sum(size) FROM refused_requests GROUP BY source")?;
        let held: Vec<(String, u64)> = held
            .query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs())))?
            .collect::<Result<_, _>>()?;
        let Some((source, mut bytes)) = surplus(&held, bounds.bytes) else { return Ok(()) };
        let mut sizes = db.prepare_cached(&format!(
            "SELECT id, size FROM refused_requests WHERE source = ? ORDER BY {FIRST_TO_GO}"
        ))?;
        let mut sizes = sizes.query([source])?;
        let mut gone = Vec::new();
        while let Some(row) = sizes.next()? {
            if bytes == 0 {
                break;
            }
            gone.push(row.get(0)?);
            bytes = bytes.saturating_sub(row.get::<_, i64>(1)?.unsigned_abs());
        }
        drop(sizes);
        release(db, &gone)?;
    }
}

pub(super) fn release(db: &Connection, ids: &[i64]) -> StoreResult<()> {
    let mut delete = db.prepare_cached("DELETE FROM refused_requests WHERE id = ?")?;
    for id in ids {
        delete.execute([id])?;
    }
    Ok(())
}

/// Held requests that tell of a lead, and the last that was looked at.
pub(super) async fn find_telling(store: &SqliteStore, of: &Telling) -> StoreResult<(Vec<i64>, i64)> {
    let (mut telling, mut after) = (Vec::new(), 0i64);
    loop {
        let row: Option<(i64, String, Vec<u8>)> =
            sqlx::query_as("SELECT id, source, body FROM refused_requests WHERE id > ? ORDER BY id LIMIT 1")
                .bind(after)
                .fetch_optional(&store.readers)
                .await?;
        let Some((id, source, body)) = row else { return Ok((telling, after)) };
        after = id;
        if of.is_by(&source, &body) {
            telling.push(id);
        }
    }
}

/// Those that came since this one; few, as the writer waits.
pub(super) fn find_telling_since(db: &Connection, of: &Telling, seen: i64) -> StoreResult<Vec<i64>> {
    let mut since = db.prepare_cached("SELECT id, source, body FROM refused_requests WHERE id > ? ORDER BY id")?;
    let (mut since, mut telling) = (since.query([seen])?, Vec::new());
    while let Some(row) = since.next()? {
        if of.is_by(&row.get::<_, String>(1)?, &row.get::<_, Vec<u8>>(2)?) {
            telling.push(row.get(0)?);
        }
    }
    Ok(telling)
}
