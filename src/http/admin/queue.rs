//! The queue and what fails in it: figures per destination, errors by cause.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::query::{ListOf, PageQuery, Params};
use super::shown::Time;
use super::state::{AdminState, Explanation};
use crate::domain::time::Timestamp;
use crate::http::error::{ApiError, Problem};
use crate::http::figures::QueueTrend;
use crate::store::{ErrorGroup, Replica, ReplicaRow, StoreError};

/// Whoever watches an outage needs to know of it soon.
const LIST_WITHIN: Duration = Duration::from_secs(1);

/// What one destination is owed; a second old, or half a minute where counting takes that long.
#[derive(Debug, Serialize, ToSchema)]
pub struct QueueView {
    destination: String,
    /// Due now.
    ready: u64,
    /// Being synced.
    leased: u64,
    /// Failed, and tried again by themselves.
    retrying: u64,
    /// Waiting for a person, a daily look or the CRM's schema; in no alert.
    held: u64,
    /// Dead letters.
    dead: u64,
    /// Age of the longest owed lead that is ready, leased or retrying.
    oldest_seconds: Option<u64>,
    /// Since the longest retrying one first failed.
    oldest_retry_seconds: Option<u64>,
    /// Leads settled per minute, over the last five.
    rate_per_minute: f64,
    /// Null: nothing is being settled, so nobody can tell.
    seconds_to_clear: Option<u64>,
    /// Whether more waits than ten minutes ago; null in the first ten minutes.
    growing: Option<bool>,
    /// Failed operations of the alerts' window, out of all that did something.
    failed: u64,
    operations: u64,
    /// Held leads by reason.
    held_codes: BTreeMap<String, u64>,
}

impl QueueView {
    fn of(trend: &QueueTrend, now: Timestamp) -> Self {
        let figures = &trend.figures;
        let age = |since: Option<Timestamp>| since.map(|since| now.since(since).as_secs());
        Self {
            destination: figures.destination.to_string(),
            ready: figures.ready,
            leased: figures.leased,
            retrying: figures.retrying,
            held: figures.held,
            dead: figures.dead,
            oldest_seconds: age(figures.oldest),
            oldest_retry_seconds: age(figures.oldest_retry),
            rate_per_minute: trend.per_minute,
            seconds_to_clear: trend.seconds_to_clear,
            growing: trend.growing,
            failed: trend.failed,
            operations: trend.operations,
            held_codes: figures.held_codes.iter().cloned().collect(),
        }
    }
}

/// A process that works on the queue.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReplicaView {
    /// Host and process number.
    #[schema(example = "crm-relay-1/4711")]
    name: String,
    version: String,
    started_at: Time,
    /// When the database last heard of it.
    seen_at: Time,
    /// Whether that is less than 15 seconds ago. A process that ended without saying so is shown for an hour.
    alive: bool,
}

impl From<ReplicaRow> for ReplicaView {
    fn from(row: ReplicaRow) -> Self {
        let Replica { name, version, started_at } = row.replica;
        Self { name, version, started_at: started_at.into(), seen_at: row.seen_at.into(), alive: row.alive }
    }
}

/// Every queue, and who works on them.
#[derive(Debug, Serialize, ToSchema)]
pub struct QueuesView {
    /// One for each destination.
    items: Vec<QueueView>,
    /// Give it as `cursor` to read on; null: this was the last page.
    next: Option<String>,
    /// The processes on this database, the oldest first; on SQLite the one that answers.
    replicas: Vec<ReplicaView>,
}

/// Shows what each destination is owed, whether it becomes more, and which processes work on it.
#[utoipa::path(
    get, path = "/queue", tag = "operation", params(PageQuery),
    responses(
        (status = 200, body = QueuesView),
        (status = 503, description = "The store cannot be read now; told within two seconds", body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn show(
    State(app): State<AdminState>,
    Params(params): Params<PageQuery>,
) -> Result<Json<QueuesView>, ApiError> {
    let snapshot = app.figures.look().await?;
    let replicas = tokio::time::timeout(LIST_WITHIN, app.store.list_replicas()).await;
    let mut replicas = replicas.map_err(|_| StoreError::Unavailable("the database does not answer".to_owned()))??;
    let now = app.clock.now();
    if replicas.is_empty() {
        replicas.push(ReplicaRow { replica: app.replica.clone(), seen_at: now, alive: true });
    }
    let queues = snapshot.queues.iter().map(|trend| QueueView::of(trend, now)).collect();
    let ListOf { items, next } = ListOf::page_of(queues, params.limit, params.cursor)?;
    Ok(Json(QueuesView { items, next, replicas: replicas.into_iter().map(Into::into).collect() }))
}

/// How far back, and which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ErrorQuery {
    /// RFC 3339; failures from then on. The last 24 hours if left out.
    from: Option<String>,
    /// 1 to 500; 50 if left out
    limit: Option<u32>,
    /// `next` of the page before
    cursor: Option<String>,
}

/// Failures with one cause.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorView {
    destination: String,
    /// A stable word; the CRM's own code where it gave one.
    code: String,
    count: u64,
    /// Distinct leads.
    leads: u64,
    /// How many of these it still keeps from being synced, or waits to be decided for; 0: the group is history, and nothing is
    /// left to do.
    open: u64,
    first_seen: Time,
    last_seen: Time,
    meaning: &'static str,
    /// What to do.
    remedy: &'static str,
}

impl ErrorView {
    fn of(group: ErrorGroup, explanation: Explanation) -> Self {
        let Explanation { meaning, remedy } = explanation;
        Self {
            destination: group.destination.to_string(),
            code: group.code,
            count: group.count,
            leads: group.leads,
            open: group.open,
            first_seen: group.first_seen.into(),
            last_seen: group.last_seen.into(),
            meaning,
            remedy,
        }
    }
}

const ERRORS_SINCE: Duration = Duration::from_secs(24 * 3600);

/// Groups failures by destination and cause, with what each means and what to do. First come those that are still open.
#[utoipa::path(
    get, path = "/errors", tag = "operation", params(ErrorQuery),
    responses((status = 200, body = ListOf<ErrorView>))
)]
pub(super) async fn errors(
    State(app): State<AdminState>,
    Params(params): Params<ErrorQuery>,
) -> Result<Json<ListOf<ErrorView>>, ApiError> {
    let from = super::query::time("from", params.from.as_deref())?;
    let since = from.unwrap_or_else(|| app.clock.now().before(ERRORS_SINCE));
    let groups = app.store.group_errors(since).await?;
    let view = |group: ErrorGroup| {
        let explanation = app.operations.explain(&group.destination, &group.code);
        ErrorView::of(group, explanation)
    };
    Ok(Json(ListOf::page_of(groups.into_iter().map(view).collect(), params.limit, params.cursor)?))
}
