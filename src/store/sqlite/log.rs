//! The sync log, searched and read.

use sqlx::{QueryBuilder, Sqlite, SqlitePool};

use super::SqliteStore;
use super::walk::{Numbered, Span, Window, push_bounds, push_order};
use crate::store::listed::{read_log_detail, read_log_row};
use crate::store::searching::{Text, Way, equal};
use crate::store::{Listed, LogFilter, LogRow, LogRowDetail, Page, StoreResult};

pub(super) const LOG: Numbered = Numbered {
    table: "sync_log",
    select: "SELECT id, at, source, lead_id, destination, operation, outcome, object, record_id, matched_by, error_code, \
             error, attempt, api_calls, batch, duration_ms, request_id, event_id FROM sync_log WHERE ",
    bounds: "SELECT (SELECT min(id) FROM sync_log), (SELECT max(id) FROM sync_log)",
    probe: "SELECT id, at FROM sync_log WHERE id >= ? ORDER BY id LIMIT 1",
};

/// What combinations of source, destination, operation, outcome and way of matching there are, one after the other by
/// their index: each costs a few looks into it, however many rows it has.
const KINDS: &str = "WITH RECURSIVE kinds (source, destination, operation, outcome, matched_by) AS (
    SELECT * FROM (SELECT source, destination, operation, outcome, ifnull(matched_by, '') FROM sync_log
                    ORDER BY source, destination, operation, outcome, ifnull(matched_by, ''), id LIMIT 1)
    UNION ALL
    SELECT n.source, n.destination, n.operation, n.outcome, ifnull(n.matched_by, '')
      FROM kinds k CROSS JOIN sync_log n ON n.id = coalesce(
        (SELECT id FROM sync_log l WHERE l.source = k.source AND l.destination = k.destination
            AND l.operation = k.operation AND l.outcome = k.outcome AND ifnull(l.matched_by, '') > k.matched_by
          ORDER BY ifnull(l.matched_by, ''), id LIMIT 1),
        (SELECT id FROM sync_log l WHERE l.source = k.source AND l.destination = k.destination
            AND l.operation = k.operation AND l.outcome > k.outcome
          ORDER BY l.outcome, ifnull(l.matched_by, ''), id LIMIT 1),
        (SELECT id FROM sync_log l WHERE l.source = k.source AND l.destination = k.destination
            AND l.operation > k.operation
          ORDER BY l.operation, l.outcome, ifnull(l.matched_by, ''), id LIMIT 1),
        (SELECT id FROM sync_log l WHERE l.source = k.source AND l.destination > k.destination
          ORDER BY l.destination, l.operation, l.outcome, ifnull(l.matched_by, ''), id LIMIT 1),
        (SELECT id FROM sync_log l WHERE l.source > k.source
          ORDER BY l.source, l.destination, l.operation, l.outcome, ifnull(l.matched_by, ''), id LIMIT 1))) ";

/// One page of the rows that pass every filter, newest first.
///
/// `q` names the rows of the lead, record or request of that ID; where there is none, it is the beginning of a word in
/// the error.
pub(super) async fn search(store: &SqliteStore, filter: &LogFilter, page: &Page) -> StoreResult<Listed<LogRow>> {
    let text = match &filter.q {
        Some(q) => Some(read_query(&store.readers, q).await?),
        None => None,
    };
    let way = Way::of(filter, text.as_ref());
    let alone = match way {
        Way::Error => equal(filter).count() == 1 && filter.field.is_none() && text.is_none(),
        Way::Field => equal(filter).count() == 0 && text.is_none(),
        Way::Kind | Way::Time => true,
        _ => false,
    };
    let span = Span { from: filter.from, to: filter.to, narrow: alone || way.leaves_few() };
    let piece = |query: &mut QueryBuilder<Sqlite>, window: Window| push_piece(query, window, filter, text.as_ref());
    LOG.walk(&store.readers, page, &span, piece, read_log_row).await
}

/// The newest rows of a piece, their IDs found by one index.
fn push_piece(query: &mut QueryBuilder<Sqlite>, window: Window, filter: &LogFilter, text: Option<&Text>) {
    let by = match Way::of(filter, text) {
        Way::Kind => return push_by_kind(query, window, filter),
        Way::Lead | Way::Address => "INDEXED BY sync_log_lead",
        Way::Record => "INDEXED BY sync_log_record",
        Way::Request => "INDEXED BY sync_log_request",
        Way::Error => "INDEXED BY sync_log_error",
        Way::Field => "INDEXED BY sync_log_field",
        Way::Word => "INDEXED BY sync_log_told",
        Way::Id | Way::Time => "NOT INDEXED",
    };
    query.push(LOG.select).push("id IN (SELECT id FROM sync_log ").push(by).push(" WHERE ");
    push_bounds(query, window);
    for (column, value) in equal(filter) {
        query.push(" AND ").push(column).push(" = ").push_bind(value.to_owned());
    }
    push_times(query, filter);
    push_conditions(query, filter, text);
    push_order(query, window);
    query.push(") ORDER BY id DESC");
}

/// The same where each combination of columns has its rows together.
fn push_by_kind(query: &mut QueryBuilder<Sqlite>, window: Window, filter: &LogFilter) {
    query.push(KINDS).push(LOG.select).push(
        "id IN (SELECT id FROM kinds k CROSS JOIN sync_log l INDEXED BY sync_log_kind
                    ON l.source = k.source AND l.destination = k.destination AND l.operation = k.operation
                   AND l.outcome = k.outcome AND ifnull(l.matched_by, '') = k.matched_by WHERE ",
    );
    push_bounds(query, window);
    for (column, value) in equal(filter) {
        query.push(" AND k.").push(column).push(" = ").push_bind(value.to_owned());
    }
    push_times(query, filter);
    push_order(query, window);
    query.push(") ORDER BY id DESC");
}

/// One row with all that was kept of it.
pub(super) async fn load(store: &SqliteStore, id: i64) -> StoreResult<Option<LogRowDetail>> {
    let mut query = QueryBuilder::new(LOG.select);
    query.push("id = ").push_bind(id);
    let Some(row) = query.build().fetch_optional(&store.readers).await? else { return Ok(None) };
    let row = read_log_row(&row)?;
    let bodies = sqlx::query("SELECT decisions, request, response FROM sync_log_bodies WHERE log_id = ?")
        .bind(id)
        .fetch_optional(&store.readers)
        .await?;
    read_log_detail(row, bodies.as_ref()).map(Some)
}

async fn read_query(db: &SqlitePool, q: &str) -> StoreResult<Text> {
    let q = q.trim();
    let known: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM sync_log WHERE lead_id = ?1)
             OR EXISTS (SELECT 1 FROM sync_log WHERE record_id = ?1)
             OR EXISTS (SELECT 1 FROM sync_log WHERE request_id = ?1)",
    )
    .bind(q)
    .fetch_one(db)
    .await?;
    Ok(if known { Text::Id(q.to_owned()) } else { Text::word(q) })
}

/// A pattern for errors in which a word begins so, in lower case.
fn word_pattern(word: &str) -> String {
    let mut pattern = "*[^a-z0-9]".to_owned();
    for letter in word.chars() {
        match letter {
            '[' | '*' | '?' => pattern.extend(['[', letter, ']']),
            _ => pattern.push(letter),
        }
    }
    pattern.push('*');
    pattern
}

fn push_times(query: &mut QueryBuilder<Sqlite>, filter: &LogFilter) {
    if let Some(from) = filter.from {
        query.push(" AND at >= ").push_bind(from.as_micros());
    }
    if let Some(to) = filter.to {
        query.push(" AND at <= ").push_bind(to.as_micros());
    }
}

/// Address, field and text.
fn push_conditions(query: &mut QueryBuilder<Sqlite>, filter: &LogFilter, text: Option<&Text>) {
    if let Some(email) = &filter.email {
        query.push(" AND lead_id IN (SELECT lead_id FROM leads WHERE email IN (");
        push_email(query, email);
        query.push(
            ")) AND EXISTS (SELECT 1 FROM leads l WHERE l.source = sync_log.source AND l.lead_id = sync_log.lead_id",
        );
        query.push(" AND +l.email IN (");
        push_email(query, email);
        query.push("))");
    }
    if let Some(field) = &filter.field {
        query.push(" AND field_set IN (SELECT set_id FROM field_set_members WHERE field = ");
        query.push_bind(field.clone()).push(")");
    }
    match text {
        Some(Text::Id(id)) => {
            query.push(" AND id IN (SELECT id FROM sync_log WHERE lead_id = ").push_bind(id.clone());
            query.push(" UNION SELECT id FROM sync_log WHERE record_id = ").push_bind(id.clone());
            query.push(" UNION SELECT id FROM sync_log WHERE request_id = ").push_bind(id.clone()).push(")");
        }
        Some(Text::Word(word)) => {
            // Where it does not stand at all is told much sooner than where no word begins with it.
            query.push(" AND error IS NOT NULL AND instr(lower(error), ").push_bind(word.clone());
            query.push(") > 0 AND ' ' || lower(error) GLOB ").push_bind(word_pattern(word));
        }
        None => {}
    }
}

/// The address as it was given, and in the letter case in which leads are kept.
pub(super) fn push_email(query: &mut QueryBuilder<Sqlite>, email: &str) {
    query.push_bind(email.trim().to_owned()).push(", ").push_bind(email.trim().to_lowercase());
}

/// How the database would carry out a piece of a search.
#[cfg(test)]
pub(super) async fn plan(db: &SqlitePool, filter: &LogFilter) -> String {
    let mut query = QueryBuilder::new("");
    let text = filter.q.as_ref().map(|q| Text::Word(q.clone()));
    push_piece(&mut query, Window { floor: 1, below: 1_000_000, limit: 50 }, filter, text.as_ref());
    let sql = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", query.sql().as_str()));
    let rows = sqlx::raw_sql(sql).fetch_all(db).await.unwrap();
    let details = rows.iter().map(|row| sqlx::Row::get::<String, _>(row, "detail"));
    details.collect::<Vec<_>>().join("; ")
}
