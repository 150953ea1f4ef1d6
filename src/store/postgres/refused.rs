//! Refused requests that are held.

use async_trait::async_trait;
use sqlx::{AssertSqlSafe, PgConnection, Postgres, QueryBuilder};

use super::PostgresStore;
use super::rows::{cannot_be, readable};
use super::time::Time;
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

/// The advisory lock of whoever adds to the holding, so that what is over its bounds is told by one at a time.
const HOLDING: i64 = 0x6c72_0007;

const REFUSED: Numbered = Numbered {
    table: "refused_requests",
    select: "SELECT id, source, reason, received_at, request_id, size FROM refused_requests WHERE ",
    bounds: "SELECT (SELECT min(id) FROM refused_requests), (SELECT max(id) FROM refused_requests)",
    probe: "SELECT id, received_at FROM refused_requests WHERE id >= $1 ORDER BY id LIMIT 1",
};

const WHOLE: &str = "SELECT id, source, reason, received_at, request_id, size, proof, headers::text AS headers, body
                       FROM refused_requests WHERE ";

#[async_trait]
impl RefusedRequests for PostgresStore {
    async fn hold_refused(&self, requests: Vec<NewRefused>, bounds: RefusedBounds) -> StoreResult<()> {
        let mut tx = self.pool.begin().await?;
        add_no_more(&mut tx).await?;
        hold(&mut tx, &requests, bounds).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn list_refused(&self, filter: &RefusedFilter, page: &Page) -> StoreResult<Listed<RefusedRow>> {
        if filter.source.as_deref().is_some_and(cannot_be) {
            return Ok(Listed::nothing());
        }
        let conditions = |query: &mut QueryBuilder<Postgres>| {
            if let Some(source) = &filter.source {
                query.push(" AND source = ").push_bind(source.clone());
            }
            if let Some(reason) = filter.reason {
                query.push(" AND reason = ").push_bind(reason.as_str());
            }
        };
        // There are few.
        let span = Span { from: None, to: None, narrow: true };
        REFUSED.page(&self.pool, page, &span, conditions, read_refused).await
    }

    async fn load_refused(&self, id: i64) -> StoreResult<Option<RefusedDetail>> {
        let mut query = QueryBuilder::<Postgres>::new(WHOLE);
        query.push("id = ").push_bind(id);
        let row = query.build().fetch_optional(&self.pool).await?;
        row.as_ref().map(read_refused_detail).transpose()
    }

    async fn next_refused(&self, source: &SourceName, after: i64) -> StoreResult<Option<RefusedDetail>> {
        let mut query = QueryBuilder::<Postgres>::new(WHOLE);
        query.push("source = ").push_bind(source.as_str().to_owned()).push(" AND id > ").push_bind(after);
        query.push(" ORDER BY id LIMIT 1");
        let row = query.build().fetch_optional(&self.pool).await?;
        row.as_ref().map(read_refused_detail).transpose()
    }

    async fn release_refused(&self, ids: Vec<i64>) -> StoreResult<()> {
        let mut db = self.pool.acquire().await?;
        release(&mut db, &ids).await
    }

    async fn note_refused(&self, id: i64, reason: RefusedFor) -> StoreResult<()> {
        sqlx::query("UPDATE refused_requests SET reason = $2 WHERE id = $1")
            .bind(id)
            .bind(reason.as_str())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    async fn forget_refused(&self, before: Timestamp) -> StoreResult<u64> {
        let gone = sqlx::query("DELETE FROM refused_requests WHERE received_at < $1").bind(Time(before));
        Ok(gone.execute(&self.pool).await?.rows_affected())
    }
}

async fn hold(db: &mut PgConnection, requests: &[NewRefused], bounds: RefusedBounds) -> StoreResult<()> {
    for request in requests {
        sqlx::query(
            "INSERT INTO refused_requests (source, reason, received_at, request_id, size, proof, headers, body)
             VALUES ($1, $2, $3, $4, $5, $6, $7::json, $8)",
        )
        .bind(request.source.as_str())
        .bind(request.reason.as_str())
        .bind(Time(request.received_at))
        .bind(readable(request.request_id.as_str()))
        .bind(request.size() as i64)
        .bind(proof_to_json(&request.proof))
        .bind(headers_to_json(&request.headers))
        .bind(&request.body[..])
        .execute(&mut *db)
        .await?;
    }
    let held: Vec<(String, i64)> =
        sqlx::query_as("SELECT source, count(*) FROM refused_requests GROUP BY source").fetch_all(&mut *db).await?;
    for (source, n) in held {
        let too_many = n - i64::from(bounds.per_source);
        if too_many > 0 {
            let ids = format!(
                "SELECT id FROM (SELECT id, reason FROM refused_requests WHERE source = $1) AS held
                  ORDER BY {FIRST_TO_GO} LIMIT $2"
            );
            let ids: Vec<i64> =
                sqlx::query_scalar(AssertSqlSafe(ids)).bind(source).bind(too_many).fetch_all(&mut *db).await?;
            release(db, &ids).await?;
        }
    }
    loop {
        let held: Vec<(String, i64)> =
            sqlx::query_as("SELECT source, sum(size)::bigint FROM refused_requests GROUP BY source")
                .fetch_all(&mut *db)
                .await?;
        let held: Vec<(String, u64)> = held.into_iter().map(|(source, bytes)| (source, bytes.unsigned_abs())).collect();
        let Some((source, mut bytes)) = surplus(&held, bounds.bytes) else { return Ok(()) };
        let sizes = format!("SELECT id, size FROM refused_requests WHERE source = $1 ORDER BY {FIRST_TO_GO}");
        let sizes: Vec<(i64, i64)> = sqlx::query_as(AssertSqlSafe(sizes)).bind(source).fetch_all(&mut *db).await?;
        let mut gone = Vec::new();
        for (id, size) in sizes {
            if bytes == 0 {
                break;
            }
            gone.push(id);
            bytes = bytes.saturating_sub(size.unsigned_abs());
        }
        release(db, &gone).await?;
    }
}

pub(super) async fn release(db: &mut PgConnection, ids: &[i64]) -> StoreResult<()> {
    sqlx::query("DELETE FROM refused_requests WHERE id = ANY($1)").bind(ids).execute(db).await?;
    Ok(())
}

/// Has whoever adds to the holding wait until the transaction ends.
pub(super) async fn add_no_more(db: &mut PgConnection) -> StoreResult<()> {
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(HOLDING).execute(db).await?;
    Ok(())
}

/// Held requests after this one that tell of a lead, and the last that was looked at.
pub(super) async fn find_telling(db: &mut PgConnection, of: &Telling, mut after: i64) -> StoreResult<(Vec<i64>, i64)> {
    let mut telling = Vec::new();
    loop {
        let row: Option<(i64, String, Vec<u8>)> =
            sqlx::query_as("SELECT id, source, body FROM refused_requests WHERE id > $1 ORDER BY id LIMIT 1")
                .bind(after)
                .fetch_optional(&mut *db)
                .await?;
        let Some((id, source, body)) = row else { return Ok((telling, after)) };
        after = id;
        if of.is_by(&source, &body) {
            telling.push(id);
        }
    }
}
