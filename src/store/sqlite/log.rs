//! The sync log, searched and read.

use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Sqlite, SqlitePool};

use super::SqliteStore;
use super::walk::{Cells, Numbered, Span};
use crate::domain::ids::{DestinationName, EventId, LeadKey, RecordRef, RequestId};
use crate::domain::matching::MatchedBy;
use crate::store::stored::decisions_from_json;
use crate::store::{Listed, LogFilter, LogRow, LogRowDetail, Operation, Outcome, Page, StoreResult};

pub(super) const LOG: Numbered = Numbered {
    select: "SELECT id, at, source, lead_id, destination, operation, outcome, object, record_id, matched_by, error_code, \
             error, attempt, api_calls, batch, duration_ms, request_id, event_id FROM sync_log WHERE ",
    bounds: "SELECT (SELECT min(id) FROM sync_log), (SELECT max(id) FROM sync_log)",
    probe: "SELECT id, at FROM sync_log WHERE id >= ? ORDER BY id LIMIT 1",
};

/// The longest text that is searched for; more can be in no error's word.
const LONGEST_WORD: usize = 100;

/// One page of the rows that pass every filter, newest first.
///
/// `q` names the rows of the lead, record or request of that ID; where there is none, it is the beginning of a word in
/// the error.
pub(super) async fn search(store: &SqliteStore, filter: &LogFilter, page: &Page) -> StoreResult<Listed<LogRow>> {
    let text = match &filter.q {
        Some(q) => Some(read_query(&store.readers, q).await?),
        None => None,
    };
    let narrow = filter.lead_id.is_some()
        || filter.record_id.is_some()
        || filter.request_id.is_some()
        || filter.email.is_some()
        || matches!(text, Some(Query::Id(_)));
    let span = Span { from: filter.from, to: filter.to, narrow };
    LOG.page(&store.readers, page, &span, |query| conditions(query, filter, text.as_ref()), read_row).await
}

/// One row with all that was kept of it.
pub(super) async fn load(store: &SqliteStore, id: i64) -> StoreResult<Option<LogRowDetail>> {
    let mut query = QueryBuilder::new(LOG.select);
    query.push("id = ").push_bind(id);
    let Some(row) = query.build().fetch_optional(&store.readers).await? else { return Ok(None) };
    let (_, row) = read_row(&row)?;
    let bodies = sqlx::query("SELECT decisions, request, response FROM sync_log_bodies WHERE log_id = ?")
        .bind(id)
        .fetch_optional(&store.readers)
        .await?;
    let Some(bodies) = bodies else {
        return Ok(Some(LogRowDetail { row, decisions: Vec::new(), request: None, response: None }));
    };
    let cells = Cells::new(&bodies, "sync_log_bodies", id);
    let decisions = decisions_from_json(cells.get("decisions")?).map_err(|_| cells.corrupt("decisions"))?;
    Ok(Some(LogRowDetail { row, decisions, request: cells.get("request")?, response: cells.get("response")? }))
}

/// What a person may have meant by `q`.
enum Query {
    Id(String),
    /// A pattern for the error, in lower case.
    Word(String),
}

async fn read_query(db: &SqlitePool, q: &str) -> StoreResult<Query> {
    let q = q.trim();
    let known: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM sync_log WHERE lead_id = ?1)
             OR EXISTS (SELECT 1 FROM sync_log WHERE record_id = ?1)
             OR EXISTS (SELECT 1 FROM sync_log WHERE request_id = ?1)",
    )
    .bind(q)
    .fetch_one(db)
    .await?;
    if known {
        return Ok(Query::Id(q.to_owned()));
    }
    let mut pattern = "*[^a-z0-9]".to_owned();
    for letter in q.chars().take(LONGEST_WORD) {
        match letter {
            '[' | '*' | '?' => pattern.extend(['[', letter, ']']),
            _ => pattern.push(letter.to_ascii_lowercase()),
        }
    }
    pattern.push('*');
    Ok(Query::Word(pattern))
}

fn conditions(query: &mut QueryBuilder<Sqlite>, filter: &LogFilter, text: Option<&Query>) {
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
    if filter.outcome.is_some_and(|outcome| outcome != Outcome::Ok) {
        // Said once more in the words of the partial index.
        query.push(" AND outcome <> 'ok'");
    }
    if let Some(from) = filter.from {
        query.push(" AND +at >= ").push_bind(from.as_micros());
    }
    if let Some(to) = filter.to {
        query.push(" AND +at <= ").push_bind(to.as_micros());
    }
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
        Some(Query::Id(id)) => {
            query.push(" AND id IN (SELECT id FROM sync_log WHERE lead_id = ").push_bind(id.clone());
            query.push(" UNION SELECT id FROM sync_log WHERE record_id = ").push_bind(id.clone());
            query.push(" UNION SELECT id FROM sync_log WHERE request_id = ").push_bind(id.clone()).push(")");
        }
        Some(Query::Word(pattern)) => {
            query.push(" AND error IS NOT NULL AND ' ' || lower(error) GLOB ").push_bind(pattern.clone());
        }
        None => {}
    }
}

/// The address as it was given, and in the letter case in which leads are kept.
pub(super) fn push_email(query: &mut QueryBuilder<Sqlite>, email: &str) {
    query.push_bind(email.trim().to_owned()).push(", ").push_bind(email.trim().to_lowercase());
}

pub(super) fn read_row(row: &SqliteRow) -> StoreResult<(i64, LogRow)> {
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

/// How the database would carry out a search.
#[cfg(test)]
pub(super) async fn plan(db: &SqlitePool, filter: &LogFilter) -> String {
    LOG.plan(db, |query| conditions(query, filter, None)).await
}
