//! The sync log: what was done for which lead, with which outcome and why.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use serde::{Deserialize, Serialize};
use tracing::error;
use utoipa::{IntoParams, ToSchema};

use super::query::{self, ListOf, MOST, Named, Params};
use super::shown::{Base, Record, Shown, Time};
use super::state::AdminState;
use crate::domain::matching::MatchedBy;
use crate::domain::plan::Decision;
use crate::http::error::{ApiError, Problem};
use crate::store::{LogFilter, LogRow, LogRowDetail, Operation, Outcome, Page, StoreError};

/// Filters; all can be combined.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LogQuery {
    /// The lead system's ID of the lead.
    lead_id: Option<String>,
    /// The CRM's ID of the record.
    record_id: Option<String>,
    source: Option<String>,
    destination: Option<String>,
    /// create, update, unchanged, delete, hold, skip, account_match, account_create, account_update, opportunity_match or
    /// opportunity_update
    operation: Option<String>,
    /// ok, retry, refused, conflict, dead, unknown or planned
    outcome: Option<String>,
    /// RFC 3339; from then on
    from: Option<String>,
    /// RFC 3339; before then
    to: Option<String>,
    /// An error code.
    error: Option<String>,
    /// link, external_id, email, name_and_company_domain, duplicate_rule; of companies company_domain, company_name or
    /// company_contacts
    matched_by: Option<String>,
    /// The `x-request-id` of the write, as the CRM saw it.
    request_id: Option<String>,
    /// The lead's e-mail address.
    email: Option<String>,
    /// A CRM field that was written, or decided otherwise than agreed.
    field: Option<String>,
    /// A lead, record or request ID, or the beginning of a word in the error.
    q: Option<String>,
    /// 1 to 500; 50 if left out
    limit: Option<u32>,
    /// `next` of the page before
    cursor: Option<String>,
}

impl LogQuery {
    fn filter(self) -> Result<LogFilter, ApiError> {
        let operations = Operation::ALL.map(Operation::as_str);
        let outcomes = Outcome::ALL.map(Outcome::as_str);
        let ways = MatchedBy::ALL.map(MatchedBy::as_str);
        Ok(LogFilter {
            operation: query::word("operation", self.operation.as_deref(), Operation::parse, &operations)?,
            outcome: query::word("outcome", self.outcome.as_deref(), Outcome::parse, &outcomes)?,
            from: query::time("from", self.from.as_deref())?,
            to: query::time("to", self.to.as_deref())?,
            matched_by: query::word("matched_by", self.matched_by.as_deref(), MatchedBy::parse, &ways)?,
            lead_id: self.lead_id,
            record_id: self.record_id,
            source: self.source,
            destination: self.destination,
            error: self.error,
            request_id: self.request_id,
            email: self.email,
            field: self.field,
            q: self.q,
        })
    }
}

/// One operation, or one attempt at it.
#[derive(Debug, Serialize, ToSchema)]
pub struct LogEntry {
    id: i64,
    at: Time,
    source: String,
    lead_id: String,
    destination: String,
    #[schema(example = "update")]
    operation: &'static str,
    #[schema(example = "ok")]
    outcome: &'static str,
    record: Option<Record>,
    /// How the record was recognised.
    matched_by: Option<&'static str>,
    /// A stable word; the CRM's own code where it gave one.
    error_code: Option<String>,
    error: Option<String>,
    /// Counts from 1.
    attempt: u32,
    /// Of the whole batch that this lead went with.
    api_calls: u32,
    /// How many leads shared those calls.
    batch: u32,
    duration_ms: u64,
    /// Sent to the CRM as `x-request-id`.
    request_id: Option<String>,
    /// The newest event that it covers.
    event: Option<String>,
}

impl From<LogRow> for LogEntry {
    fn from(row: LogRow) -> Self {
        Self {
            id: row.id,
            at: row.at.into(),
            source: row.lead.source.to_string(),
            lead_id: row.lead.id.to_string(),
            destination: row.destination.to_string(),
            operation: row.operation.as_str(),
            outcome: row.outcome.as_str(),
            record: row.record.map(Into::into),
            matched_by: row.matched_by.map(MatchedBy::as_str),
            error_code: row.error_code,
            error: row.error,
            attempt: row.attempt,
            api_calls: row.api_calls,
            batch: row.batch,
            duration_ms: row.duration_ms,
            request_id: row.request_id.map(|id| id.to_string()),
            event: row.event.map(|id| id.to_string()),
        }
    }
}

/// One operation with all that was decided, sent and answered.
#[derive(Debug, Serialize, ToSchema)]
pub struct LogEntryDetail {
    #[serde(flatten)]
    entry: LogEntry,
    /// One per mapping row that was looked at.
    decisions: Vec<FieldDecision>,
    /// This record's part of the request; without values where `store.log_bodies = false`.
    request: Option<String>,
    /// This record's part of the answer.
    response: Option<String>,
}

/// Why a field of the record is, or is not, what the lead says.
#[derive(Debug, Serialize, ToSchema)]
pub struct FieldDecision {
    /// The CRM field.
    #[schema(example = "Email")]
    field: String,
    base: Option<Base>,
    lead: Option<Shown>,
    crm: Option<Shown>,
    /// What was sent; null: the CRM's value stays.
    written: Option<Shown>,
    #[schema(example = "lead_wins")]
    rule: &'static str,
    note: Option<String>,
}

impl From<Decision> for FieldDecision {
    fn from(decision: Decision) -> Self {
        Self {
            field: decision.field.to_string(),
            base: decision.base.map(Into::into),
            lead: decision.lead.map(Into::into),
            crm: decision.crm.map(Into::into),
            written: decision.written.map(Into::into),
            rule: decision.rule.as_str(),
            note: decision.note,
        }
    }
}

/// Searches the sync log, newest first.
///
/// With `Accept: text/csv` or `application/x-ndjson` everything that matches is streamed; `limit` and `cursor` then do
/// not count. In CSV a text cell that a spreadsheet would take for a formula is preceded by `'`.
#[utoipa::path(
    get, path = "/sync-log", tag = "sync log", params(LogQuery),
    responses(
        (status = 200, content(
            (ListOf<LogEntry> = "application/json"),
            (LogEntry = "application/x-ndjson"),
            (String = "text/csv")
        ))
    )
)]
pub(super) async fn search(
    State(app): State<AdminState>,
    headers: HeaderMap,
    Params(mut params): Params<LogQuery>,
) -> Result<Response, ApiError> {
    let page = query::page(params.limit.take(), params.cursor.take())?;
    let filter = params.filter()?;
    if let Some(format) = Format::accepted(&headers) {
        return Ok(export(app, filter, format));
    }
    let listed = app.store.search_sync_log(&filter, &page).await?;
    Ok(Json(ListOf::showing(listed, LogEntry::from)).into_response())
}

/// Shows one operation with request, response and the decision per field.
#[utoipa::path(
    get, path = "/sync-log/{id}", tag = "sync log", params(("id" = i64, Path)),
    responses((status = 200, body = LogEntryDetail), (status = 404, body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn show(
    State(app): State<AdminState>,
    Named(id): Named<i64>,
) -> Result<Json<LogEntryDetail>, ApiError> {
    let LogRowDetail { row, decisions, request, response } = app
        .store
        .load_log_row(id)
        .await?
        .ok_or_else(|| query::none(format_args!("entry {id} in the sync log"), "sync-log"))?;
    let decisions = decisions.into_iter().map(Into::into).collect();
    Ok(Json(LogEntryDetail { entry: row.into(), decisions, request, response }))
}

// Export -----------------------------------------------------------------------------------------------------------------

#[derive(Clone, Copy)]
enum Format {
    Csv,
    Ndjson,
}

impl Format {
    fn accepted(headers: &HeaderMap) -> Option<Self> {
        let accept = headers.get(header::ACCEPT)?.to_str().ok()?;
        accept.split(',').find_map(|range| match range.split(';').next().unwrap_or_default().trim() {
            "text/csv" => Some(Format::Csv),
            "application/x-ndjson" => Some(Format::Ndjson),
            _ => None,
        })
    }

    const fn media_type(self) -> &'static str {
        match self {
            Format::Csv => "text/csv; charset=utf-8",
            Format::Ndjson => "application/x-ndjson",
        }
    }

    fn head(self) -> Result<Vec<u8>, ExportError> {
        match self {
            Format::Csv => csv_rows([CSV_COLUMNS.map(str::to_owned)]),
            Format::Ndjson => Ok(Vec::new()),
        }
    }

    fn rows(self, entries: Vec<LogEntry>) -> Result<Vec<u8>, ExportError> {
        match self {
            Format::Csv => csv_rows(entries.into_iter().map(csv_cells)),
            Format::Ndjson => entries.iter().try_fold(Vec::new(), |mut lines, entry| {
                serde_json::to_writer(&mut lines, entry)?;
                lines.push(b'\n');
                Ok(lines)
            }),
        }
    }
}

const CSV_COLUMNS: [&str; 18] = [
    "id",
    "at",
    "source",
    "lead_id",
    "destination",
    "operation",
    "outcome",
    "object",
    "record_id",
    "matched_by",
    "error_code",
    "error",
    "attempt",
    "api_calls",
    "batch",
    "duration_ms",
    "request_id",
    "event",
];

#[derive(Debug, thiserror::Error)]
enum ExportError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Csv(#[from] csv::Error),
    #[error("the rows could not be put together")]
    Rows,
}

/// Streams page after page, so that an export of any size takes the memory of one page. A failure midway breaks the
/// connection off: the client must not take a part for the whole.
fn export(app: AdminState, filter: LogFilter, format: Format) -> Response {
    let first = (Some(Page { limit: MOST, cursor: None }), true);
    let pages = stream::try_unfold(first, move |(page, is_first)| {
        let (app, filter) = (app.clone(), filter.clone());
        async move {
            let Some(page) = page else { return Ok(None) };
            let listed = app.store.search_sync_log(&filter, &page).await.map_err(ExportError::from);
            let piece = listed.and_then(|listed| {
                let mut bytes = if is_first { format.head()? } else { Vec::new() };
                bytes.extend(format.rows(listed.items.into_iter().map(LogEntry::from).collect())?);
                let next = listed.next.map(|cursor| Page { limit: MOST, cursor: Some(cursor) });
                Ok(Some((Bytes::from(bytes), (next, false))))
            });
            piece.inspect_err(|error| error!(%error, "an export of the sync log broke off: {error}"))
        }
    });
    let mut answer = Body::from_stream(pages).into_response();
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    answer
}

fn csv_rows(rows: impl IntoIterator<Item = [String; 18]>) -> Result<Vec<u8>, ExportError> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.write_record(row)?;
    }
    writer.into_inner().map_err(|_| ExportError::Rows)
}

fn csv_cells(entry: LogEntry) -> [String; 18] {
    let (object, record_id) = entry.record.map(|record| (record.object, record.id)).unwrap_or_default();
    let at = serde_json::to_value(&entry.at).ok().and_then(|at| at.as_str().map(str::to_owned)).unwrap_or_default();
    [
        entry.id.to_string(),
        at,
        harmless(entry.source),
        harmless(entry.lead_id),
        harmless(entry.destination),
        entry.operation.to_owned(),
        entry.outcome.to_owned(),
        harmless(object),
        harmless(record_id),
        entry.matched_by.unwrap_or_default().to_owned(),
        harmless(entry.error_code.unwrap_or_default()),
        harmless(entry.error.unwrap_or_default()),
        entry.attempt.to_string(),
        entry.api_calls.to_string(),
        entry.batch.to_string(),
        entry.duration_ms.to_string(),
        harmless(entry.request_id.unwrap_or_default()),
        entry.event.unwrap_or_default(),
    ]
}

/// Keeps a spreadsheet from running what a sender wrote.
fn harmless(cell: String) -> String {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{cell}") } else { cell }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::LeadKey;
    use crate::domain::time::Timestamp;

    fn entry(lead_id: &str, error: &str) -> LogEntry {
        LogEntry::from(LogRow {
            id: 7,
            at: Timestamp::from_seconds(1_800_000_000),
            lead: LeadKey::new("klozeo", lead_id),
            destination: "crm".into(),
            operation: Operation::Create,
            outcome: Outcome::Refused,
            record: None,
            matched_by: None,
            error_code: Some("STRING_TOO_LONG".to_owned()),
            error: Some(error.to_owned()),
            attempt: 1,
            api_calls: 2,
            batch: 200,
            duration_ms: 35,
            request_id: None,
            event: None,
        })
    }

    #[test]
    fn a_csv_row_keeps_its_columns_and_runs_nothing_in_a_spreadsheet() {
        let bytes = Format::Csv.rows(vec![entry("=HYPERLINK(\"x\")", "too long,\n\"by\" 3")]).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let expected = "7,2027-01-15T08:00:00Z,klozeo,\"'=HYPERLINK(\"\"x\"\")\",crm,create,refused,,,,STRING_TOO_LONG,\
                        \"too long,\n\"\"by\"\" 3\",1,2,200,35,,\n";
        assert_eq!(text, expected);
        assert_eq!(CSV_COLUMNS.len(), csv_cells(entry("cl_1", "")).len());
    }

    #[test]
    fn an_export_is_chosen_by_what_is_accepted() {
        let chosen = |accept: &str| {
            let headers = HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())]);
            Format::accepted(&headers).map(Format::media_type)
        };
        assert_eq!(chosen("text/csv;q=0.9, */*"), Some("text/csv; charset=utf-8"));
        assert_eq!(chosen("application/x-ndjson"), Some("application/x-ndjson"));
        assert_eq!(chosen("application/json, */*"), None);
    }
}
