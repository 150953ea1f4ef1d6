//! The sync log, searched and read.

use sqlx::{PgPool, Postgres, QueryBuilder};

use super::PostgresStore;
use super::rows::cannot_be;
use super::time::Time;
use super::walk::{Numbered, Span, Window, push_bounds, push_order};
use crate::store::listed::{read_log_detail, read_log_row};
use crate::store::searching::{Text, Way, equal};
use crate::store::{Listed, LogFilter, LogRow, LogRowDetail, Page, StoreResult};

pub(super) const LOG: Numbered = Numbered {
    table: "sync_log",
    select: "SELECT id, at, source, lead_id, destination, operation, outcome, object, record_id, matched_by, error_code, \
             error, attempt, api_calls, batch, duration_ms, request_id, event_id FROM sync_log WHERE ",
    bounds: "SELECT (SELECT min(id) FROM sync_log), (SELECT max(id) FROM sync_log)",
    probe: "SELECT id, at FROM sync_log WHERE id >= $1 ORDER BY id LIMIT 1",
};

/// Up to how many leads of one address, or sets of fields, are looked up one by one; with more, the log is walked through.
const FEW: usize = 200;

/// What combinations of source, destination, operation, outcome and way of matching there are, one after the other by
/// their index: each costs one look into it, however many rows it has.
const KINDS: &str = "WITH RECURSIVE kinds AS (
    (SELECT source, destination, operation, outcome, coalesce(matched_by, '') AS matched_by FROM sync_log
      ORDER BY source, destination, operation, outcome, coalesce(matched_by, '') LIMIT 1)
    UNION ALL
    SELECT n.* FROM kinds k CROSS JOIN LATERAL (
        SELECT l.source, l.destination, l.operation, l.outcome, coalesce(l.matched_by, '') FROM sync_log l
         WHERE (l.source, l.destination, l.operation, l.outcome, coalesce(l.matched_by, ''))
             > (k.source, k.destination, k.operation, k.outcome, k.matched_by)
         ORDER BY l.source, l.destination, l.operation, l.outcome, coalesce(l.matched_by, '') LIMIT 1) AS n) ";

/// One page of the rows that pass every filter, newest first.
///
/// `q` names the rows of the lead, record or request of that ID; where there is none, it is the beginning of a word in
/// the error.
pub(super) async fn search(store: &PostgresStore, filter: &LogFilter, page: &Page) -> StoreResult<Listed<LogRow>> {
    let db = &store.pool;
    if texts(filter).into_iter().flatten().any(cannot_be) {
        return Ok(Listed::nothing());
    }
    let leads = match &filter.email {
        Some(email) => Some(leads_of(db, email).await?),
        None => None,
    };
    let text = match &filter.q {
        Some(q) => Some(read_query(db, q).await?),
        None => None,
    };
    let field_sets = match &filter.field {
        Some(field) => Some(sets_with(db, field).await?),
        None => None,
    };
    if field_sets.as_ref().is_some_and(Vec::is_empty) {
        return Ok(Listed::nothing());
    }
    let way = Way::of(filter, text.as_ref());
    let few = match way {
        Way::Address => leads.as_ref().is_some_and(|leads| leads.0.len() <= FEW),
        Way::Field => field_sets.as_ref().is_some_and(|sets| sets.len() <= FEW),
        _ => false,
    };
    let alone = equal(filter).count() == 0 && text.is_none();
    let narrow = match way {
        Way::Lead | Way::Record | Way::Request | Way::Id | Way::Kind => true,
        Way::Address => few,
        Way::Field => few && alone,
        Way::Error | Way::Word | Way::Time => false,
    };
    let span = Span { from: filter.from, to: filter.to, narrow };
    let conditions = |query: &mut QueryBuilder<Postgres>, text| {
        push_conditions(query, filter, text);
        if let Some(sets) = &field_sets {
            query.push(" AND field_set = ANY(").push_bind(sets.clone()).push(")");
        }
    };
    let piece = |query: &mut QueryBuilder<Postgres>, window: Window| match (way, &text, &leads, &field_sets) {
        (Way::Kind, ..) => push_by_kind(query, filter, window),
        (_, Some(Text::Id(id)), leads, _) => {
            push_named(query, id, window, |query| {
                conditions(query, None);
                if let Some((sources, ids)) = leads {
                    query.push(" AND (source, lead_id) IN (SELECT * FROM unnest(").push_bind(sources.clone());
                    query.push("::text[], ").push_bind(ids.clone()).push("::text[]))");
                }
            });
        }
        (Way::Address, text, Some((sources, ids)), _) if few => {
            // Each lead's newest rows by the index, so that a lead of many rows costs no more than others.
            query.push("SELECT l.* FROM unnest(").push_bind(sources.clone()).push("::text[], ");
            query.push_bind(ids.clone()).push("::text[]) AS k (s, i) CROSS JOIN LATERAL (").push(LOG.select);
            push_bounds(query, window);
            query.push(" AND source = k.s AND lead_id = k.i");
            conditions(query, text.as_ref());
            push_order(query, window);
            query.push(") AS l");
            push_order(query, window);
        }
        (Way::Field, text, _, Some(sets)) if few => {
            query
                .push("SELECT l.* FROM unnest(")
                .push_bind(sets.clone())
                .push("::bigint[]) AS k (f) CROSS JOIN LATERAL (");
            query.push(LOG.select);
            push_bounds(query, window);
            query.push(" AND field_set = k.f");
            push_conditions(query, filter, text.as_ref());
            push_order(query, window);
            query.push(") AS l");
            push_order(query, window);
        }
        (_, text, leads, _) => {
            query.push(LOG.select);
            push_bounds(query, window);
            conditions(query, text.as_ref());
            if let (Some(email), Some(_)) = (&filter.email, leads) {
                query.push(" AND (source, lead_id) IN (SELECT source, lead_id FROM leads WHERE ");
                push_email(query, email);
                query.push(")");
            }
            push_order(query, window);
        }
    };
    LOG.walk(db, page, &span, piece, read_log_row).await
}

/// The newest rows of each combination of columns that fits, and of these the newest.
fn push_by_kind(query: &mut QueryBuilder<Postgres>, filter: &LogFilter, window: Window) {
    query.push(KINDS).push("SELECT l.* FROM kinds k CROSS JOIN LATERAL (").push(LOG.select);
    push_bounds(query, window);
    query.push(
        " AND source = k.source AND destination = k.destination AND operation = k.operation
          AND outcome = k.outcome AND coalesce(matched_by, '') = k.matched_by",
    );
    push_times(query, filter);
    push_order(query, window);
    query.push(") AS l WHERE true");
    for (column, value) in equal(filter) {
        query.push(" AND k.").push(column).push(" = ").push_bind(value.to_owned());
    }
    push_order(query, window);
}

/// One row with all that was kept of it.
pub(super) async fn load(store: &PostgresStore, id: i64) -> StoreResult<Option<LogRowDetail>> {
    let mut query = QueryBuilder::new(LOG.select);
    query.push("id = ").push_bind(id);
    let Some(row) = query.build().fetch_optional(&store.pool).await? else { return Ok(None) };
    let row = read_log_row(&row)?;
    let bodies = sqlx::query(
        "SELECT decisions::text AS decisions, request, response FROM sync_log_bodies WHERE log_id = $1 AND at = $2",
    )
    .bind(id)
    .bind(Time(row.at))
    .fetch_optional(&store.pool)
    .await?;
    read_log_detail(row, bodies.as_ref()).map(Some)
}

fn texts(filter: &LogFilter) -> [Option<&str>; 9] {
    [
        filter.lead_id.as_deref(),
        filter.record_id.as_deref(),
        filter.source.as_deref(),
        filter.destination.as_deref(),
        filter.error.as_deref(),
        filter.request_id.as_deref(),
        filter.email.as_deref(),
        filter.field.as_deref(),
        filter.q.as_deref(),
    ]
}

/// Sources and IDs of the leads of an address, at most one more than are few.
async fn leads_of(db: &PgPool, email: &str) -> StoreResult<(Vec<String>, Vec<String>)> {
    let mut query = QueryBuilder::new("SELECT source, lead_id FROM leads WHERE ");
    push_email(&mut query, email);
    query.push(" LIMIT ").push_bind(FEW as i64 + 1);
    let leads: Vec<(String, String)> = query.build_query_as().fetch_all(db).await?;
    Ok(leads.into_iter().unzip())
}

/// The field sets that hold a field.
async fn sets_with(db: &PgPool, field: &str) -> StoreResult<Vec<i64>> {
    Ok(sqlx::query_scalar("SELECT set_id FROM field_set_members WHERE field = $1").bind(field).fetch_all(db).await?)
}

async fn read_query(db: &PgPool, q: &str) -> StoreResult<Text> {
    let q = q.trim();
    let known: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM sync_log WHERE lead_id = $1)
             OR EXISTS (SELECT 1 FROM sync_log WHERE record_id = $1)
             OR EXISTS (SELECT 1 FROM sync_log WHERE request_id = $1)",
    )
    .bind(q)
    .persistent(false)
    .fetch_one(db)
    .await?;
    Ok(if known { Text::Id(q.to_owned()) } else { Text::word(q) })
}

/// A regular expression for errors in which a word begins so, in lower case.
fn word_pattern(word: &str) -> String {
    let mut pattern = "[^a-z0-9]".to_owned();
    for letter in word.chars() {
        if letter.is_ascii_punctuation() {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern
}

/// The rows of the lead, record or request of this ID, each found by its own index.
fn push_named(
    query: &mut QueryBuilder<Postgres>,
    id: &str,
    window: Window,
    conditions: impl Fn(&mut QueryBuilder<Postgres>),
) {
    query.push("SELECT * FROM (");
    for (number, column) in ["lead_id", "record_id", "request_id"].into_iter().enumerate() {
        query.push(if number == 0 { "(" } else { " UNION (" }).push(LOG.select);
        push_bounds(query, window);
        query.push(" AND ").push(column).push(" = ").push_bind(id.to_owned());
        conditions(query);
        push_order(query, window);
        query.push(")");
    }
    query.push(") AS named");
    push_order(query, window);
}

/// All filters but the address and the field.
fn push_conditions(query: &mut QueryBuilder<Postgres>, filter: &LogFilter, text: Option<&Text>) {
    for (column, value) in equal(filter) {
        query.push(" AND ").push(column).push(" = ").push_bind(value.to_owned());
    }
    push_times(query, filter);
    if let Some(Text::Word(word)) = text {
        // Where it does not stand at all is told much sooner than where no word begins with it.
        query.push(" AND error IS NOT NULL AND strpos(lower(error COLLATE \"C\"), ").push_bind(word.clone());
        query.push(") > 0 AND ' ' || lower(error COLLATE \"C\") ~ ").push_bind(word_pattern(word));
    }
}

fn push_times(query: &mut QueryBuilder<Postgres>, filter: &LogFilter) {
    if let Some(from) = filter.from {
        query.push(" AND at >= ").push_bind(Time(from));
    }
    if let Some(to) = filter.to {
        query.push(" AND at <= ").push_bind(Time(to));
    }
}

/// A condition for `leads`: the address as it was given, or in the letter case in which leads are kept.
pub(super) fn push_email(query: &mut QueryBuilder<Postgres>, email: &str) {
    query.push("email COLLATE \"C\" IN (").push_bind(email.trim().to_owned());
    query.push(", ").push_bind(email.trim().to_lowercase()).push(")");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_searched_for_is_taken_as_it_is_written() {
        for (q, pattern) in [("lock", "[^a-z0-9]lock"), ("[a]*", r"[^a-z0-9]\[a\]\*"), ("ü.", r"[^a-z0-9]ü\.")] {
            assert_eq!(word_pattern(q), pattern);
        }
    }
}
