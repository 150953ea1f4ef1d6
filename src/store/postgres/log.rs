//! The sync log, searched and read.

use sqlx::postgres::PgRow;
use sqlx::{PgPool, Postgres, QueryBuilder};

use super::PostgresStore;
use super::cells::Cells;
use super::rows::cannot_be;
use super::time::Time;
use super::walk::{Numbered, Span, Window};
use crate::domain::ids::{DestinationName, EventId, LeadKey, RecordRef, RequestId};
use crate::domain::matching::MatchedBy;
use crate::store::stored::decisions_from_json;
use crate::store::{Listed, LogFilter, LogRow, LogRowDetail, Operation, Outcome, Page, StoreResult};

pub(super) const LOG: Numbered = Numbered {
    select: "SELECT id, at, source, lead_id, destination, operation, outcome, object, record_id, matched_by, error_code, \
             error, attempt, api_calls, batch, duration_ms, request_id, event_id FROM sync_log WHERE ",
    bounds: "SELECT (SELECT min(id) FROM sync_log), (SELECT max(id) FROM sync_log)",
    probe: "SELECT id, at FROM sync_log WHERE id >= $1 ORDER BY id LIMIT 1",
};

/// The longest text that is searched for; more can be in no error's word.
const LONGEST_WORD: usize = 100;
/// Up to how many leads of one address are looked up one by one; with more, the log is walked through.
const FEW_LEADS: usize = 200;

/// One page of the rows that pass every filter, newest first.
///
/// `q` names the rows of the lead, record or request of that ID; where there is none, it is the beginning of a word in
/// the error.
pub(super) async fn search(store: &PostgresStore, filter: &LogFilter, page: &Page) -> StoreResult<Listed<LogRow>> {
    let db = &store.pool;
    if texts(filter).into_iter().flatten().any(cannot_be) {
        return Ok(nothing());
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
        return Ok(nothing());
    }
    let few = leads.as_ref().is_some_and(|leads| leads.0.len() <= FEW_LEADS);
    let narrow = filter.lead_id.is_some()
        || filter.record_id.is_some()
        || filter.request_id.is_some()
        || few
        || matches!(text, Some(Query::Id(_)));
    let span = Span { from: filter.from, to: filter.to, narrow };
    let conditions = |query: &mut QueryBuilder<Postgres>, text| {
        push_conditions(query, filter, text);
        if let Some(sets) = &field_sets {
            query.push(" AND field_set = ANY(").push_bind(sets.clone()).push(")");
        }
    };
    let piece = |query: &mut QueryBuilder<Postgres>, window: Window| match (&text, &leads) {
        (Some(Query::Id(id)), leads) => {
            push_named(query, id, window, |query| {
                conditions(query, None);
                if let Some((sources, ids)) = leads {
                    query.push(" AND (source, lead_id) IN (SELECT * FROM unnest(").push_bind(sources.clone());
                    query.push("::text[], ").push_bind(ids.clone()).push("::text[]))");
                }
            });
        }
        (text, Some((sources, ids))) if few => {
            // Each lead's newest rows by the index, so that a lead of many rows costs no more than others.
            query.push("SELECT l.* FROM unnest(").push_bind(sources.clone()).push("::text[], ");
            query.push_bind(ids.clone()).push("::text[]) AS k (s, i) CROSS JOIN LATERAL (").push(LOG.select);
            window.push_bounds(query);
            query.push(" AND source = k.s AND lead_id = k.i");
            conditions(query, text.as_ref());
            window.push_order(query);
            query.push(") AS l");
            window.push_order(query);
        }
        (text, leads) => {
            query.push(LOG.select);
            window.push_bounds(query);
            conditions(query, text.as_ref());
            if let (Some(email), Some(_)) = (&filter.email, leads) {
                query.push(" AND (source, lead_id) IN (SELECT source, lead_id FROM leads WHERE ");
                push_email(query, email);
                query.push(")");
            }
            window.push_order(query);
        }
    };
    LOG.walk(db, page, &span, piece, read_row).await
}

/// One row with all that was kept of it.
pub(super) async fn load(store: &PostgresStore, id: i64) -> StoreResult<Option<LogRowDetail>> {
    let mut query = QueryBuilder::new(LOG.select);
    query.push("id = ").push_bind(id);
    let Some(row) = query.build().fetch_optional(&store.pool).await? else { return Ok(None) };
    let (_, row) = read_row(&row)?;
    let bodies = sqlx::query(
        "SELECT decisions::text AS decisions, request, response FROM sync_log_bodies WHERE log_id = $1 AND at = $2",
    )
    .bind(id)
    .bind(Time(row.at))
    .fetch_optional(&store.pool)
    .await?;
    let Some(bodies) = bodies else {
        return Ok(Some(LogRowDetail { row, decisions: Vec::new(), request: None, response: None }));
    };
    let cells = Cells::new(&bodies, "sync_log_bodies", id);
    let decisions = decisions_from_json(cells.get("decisions")?).map_err(|_| cells.corrupt("decisions"))?;
    Ok(Some(LogRowDetail { row, decisions, request: cells.get("request")?, response: cells.get("response")? }))
}

pub(super) fn nothing<T>() -> Listed<T> {
    Listed { items: Vec::new(), next: None }
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
    query.push(" LIMIT ").push_bind(FEW_LEADS as i64 + 1);
    let leads: Vec<(String, String)> = query.build_query_as().fetch_all(db).await?;
    Ok(leads.into_iter().unzip())
}

/// The field sets that hold a field.
async fn sets_with(db: &PgPool, field: &str) -> StoreResult<Vec<i64>> {
    Ok(sqlx::query_scalar("SELECT set_id FROM field_set_members WHERE field = $1").bind(field).fetch_all(db).await?)
}

/// What a person may have meant by `q`.
enum Query {
    Id(String),
    /// A pattern for the error, in lower case.
    Word(String),
}

async fn read_query(db: &PgPool, q: &str) -> StoreResult<Query> {
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
    Ok(if known { Query::Id(q.to_owned()) } else { Query::Word(word_pattern(q)) })
}

/// A regular expression for a word that begins so, in any letter case.
fn word_pattern(q: &str) -> String {
    let mut pattern = "[^a-z0-9]".to_owned();
    for letter in q.chars().take(LONGEST_WORD) {
        if letter.is_ascii_punctuation() {
            pattern.push('\\');
        }
        pattern.push(letter.to_ascii_lowercase());
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
        window.push_bounds(query);
        query.push(" AND ").push(column).push(" = ").push_bind(id.to_owned());
        conditions(query);
        window.push_order(query);
        query.push(")");
    }
    query.push(") AS named");
    window.push_order(query);
}

/// All filters but the address and the field.
fn push_conditions(query: &mut QueryBuilder<Postgres>, filter: &LogFilter, text: Option<&Query>) {
    let equal = [
        (" AND lead_id = ", filter.lead_id.as_deref()),
        (" AND record_id = ", filter.record_id.as_deref()),
        (" AND source = ", filter.source.as_deref()),
        (" AND destination = ", filter.destination.as_deref()),
        (" AND operation = ", filter.operation.map(Operation::as_str)),
        (" AND outcome = ", filter.outcome.map(Outcome::as_str)),
        (" AND error_code = ", filter.error.as_deref()),
        (" AND matched_by = ", filter.matched_by.map(MatchedBy::as_str)),
        (" AND request_id = ", filter.request_id.as_deref()),
    ];
    for (condition, value) in equal {
        if let Some(value) = value {
            query.push(condition).push_bind(value.to_owned());
        }
    }
    if let Some(from) = filter.from {
        query.push(" AND at >= ").push_bind(Time(from));
    }
    if let Some(to) = filter.to {
        query.push(" AND at <= ").push_bind(Time(to));
    }
    if let Some(Query::Word(pattern)) = text {
        query.push(" AND error IS NOT NULL AND ' ' || lower(error COLLATE \"C\") ~ ").push_bind(pattern.clone());
    }
}

/// A condition for `leads`: the address as it was given, or in the letter case in which leads are kept.
pub(super) fn push_email(query: &mut QueryBuilder<Postgres>, email: &str) {
    query.push("email COLLATE \"C\" IN (").push_bind(email.trim().to_owned());
    query.push(", ").push_bind(email.trim().to_lowercase()).push(")");
}

pub(super) fn read_row(row: &PgRow) -> StoreResult<(i64, LogRow)> {
    let (cells, id) = Cells::numbered(row, "sync_log")?;
    let object: Option<&str> = cells.get("object")?;
    let record_id: Option<&str> = cells.get("record_id")?;
    let record = object.zip(record_id).map(|(object, id)| RecordRef { object: object.into(), id: id.into() });
    let matched_by = match cells.get::<Option<&str>>("matched_by")? {
        Some(word) => Some(MatchedBy::parse(word).ok_or_else(|| cells.corrupt("matched_by"))?),
        None => None,
    };
    let log_row = LogRow {
        id,
        at: cells.time("at")?,
        lead: LeadKey::new(cells.get::<&str>("source")?, cells.get::<&str>("lead_id")?),
        destination: DestinationName::from(cells.get::<&str>("destination")?),
        operation: cells.word("operation", Operation::parse)?,
        outcome: cells.word("outcome", Outcome::parse)?,
        record,
        matched_by,
        error_code: cells.get("error_code")?,
        error: cells.get("error")?,
        attempt: cells.count("attempt")?,
        api_calls: cells.count("api_calls")?,
        batch: cells.count("batch")?,
        duration_ms: cells.count("duration_ms")?,
        request_id: cells.get::<Option<&str>>("request_id")?.map(RequestId::from),
        event: cells.get::<Option<i64>>("event_id")?.map(EventId),
    };
    Ok((id, log_row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_searched_for_is_taken_as_it_is_written() {
        for (q, pattern) in [("Lock", "[^a-z0-9]lock"), ("[a]*", r"[^a-z0-9]\[a\]\*"), ("ü.", r"[^a-z0-9]ü\.")] {
            assert_eq!(word_pattern(q), pattern);
        }
    }
}
