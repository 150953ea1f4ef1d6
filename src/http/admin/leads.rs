//! Leads: what is known of each, what it is in the CRMs, and what happened to it.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::audit::{AuditView, Change, record};
use super::conflicts::ConflictView;
use super::events::EventView;
use super::query::{self, ListOf, Named, Params};
use super::shown::{Record, Time};
use super::state::AdminState;
use super::sync_log::LogEntry;
use crate::domain::ids::{DestinationName, LeadKey};
use crate::domain::job::Class;
use crate::domain::plan::Link;
use crate::http::auth::Caller;
use crate::http::error::{ApiError, Problem};
use crate::store::{DirtyMark, JobRow, LeadFilter, LeadRow, LeadView, TimelineEntry};

/// Filters; all can be combined.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LeadQuery {
    source: Option<String>,
    email: Option<String>,
    /// The beginning of a lead ID, an address or a name.
    q: Option<String>,
    /// 1 to 500; 50 if left out
    limit: Option<u32>,
    /// `next` of the page before
    cursor: Option<String>,
}

/// A lead in a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct LeadSummary {
    source: String,
    lead_id: String,
    name: Option<String>,
    email: Option<String>,
    deleted: bool,
    /// By a person's order it is not synced.
    excluded: bool,
    updated_at: Time,
}

impl From<LeadRow> for LeadSummary {
    fn from(row: LeadRow) -> Self {
        Self {
            source: row.key.source.to_string(),
            lead_id: row.key.id.to_string(),
            name: row.name,
            email: row.email,
            deleted: row.deleted,
            excluded: row.excluded,
            updated_at: row.updated_at.into(),
        }
    }
}

/// All that is known of a lead.
#[derive(Debug, Serialize, ToSchema)]
pub struct LeadDetail {
    #[serde(flatten)]
    summary: LeadSummary,
    /// Folded from its events; custom attributes as `attributes.NAME`.
    #[schema(value_type = BTreeMap<String, serde_json::Value>)]
    fields: BTreeMap<String, serde_json::Value>,
    links: Vec<LinkView>,
    /// What is owed; at most one per destination.
    jobs: Vec<JobView>,
    /// The open ones.
    conflicts: Vec<ConflictView>,
    /// Events, operations and changes by people, newest first; the newest only.
    timeline: Vec<TimelineView>,
}

/// Which CRM record the lead is.
#[derive(Debug, Serialize, ToSchema)]
pub struct LinkView {
    destination: String,
    record: Record,
    matched_by: &'static str,
    /// Whether the record carries this lead's external ID.
    owner: bool,
    /// Changes with every change of the link; in quotes it is what `If-Match` takes.
    revision: i64,
    /// CRM fields of the mapping that are not written: the value does not fit, the field cannot be written, or the CRM
    /// refused it. The sync log says why.
    left_out: Vec<String>,
}

impl From<(DestinationName, Link)> for LinkView {
    fn from((destination, link): (DestinationName, Link)) -> Self {
        Self {
            destination: destination.to_string(),
            record: link.record.into(),
            matched_by: link.matched_by.as_str(),
            owner: link.owner,
            revision: link.revision,
            left_out: link.left_out.keys().map(ToString::to_string).collect(),
        }
    }
}

/// What the lead owes one destination.
#[derive(Debug, Serialize, ToSchema)]
pub struct JobView {
    destination: String,
    /// ready, leased, retrying, held or dead
    state: &'static str,
    /// live or backfill
    class: &'static str,
    attempt: u32,
    /// When it is tried next by itself.
    due_at: Option<Time>,
    owed_since: Time,
    /// Of the last attempt: why it is tried again, held or dead.
    code: Option<String>,
    detail: Option<String>,
}

impl From<JobRow> for JobView {
    fn from(job: JobRow) -> Self {
        Self {
            destination: job.destination.to_string(),
            state: job.state,
            class: job.class.as_str(),
            attempt: job.attempt,
            due_at: job.due_at.map(Into::into),
            owed_since: job.owed_since.into(),
            code: job.code,
            detail: job.detail,
        }
    }
}

/// One thing that happened.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum TimelineView {
    Event(EventView),
    Operation(Box<LogEntry>),
    Person(AuditView),
}

impl From<TimelineEntry> for TimelineView {
    fn from(entry: TimelineEntry) -> Self {
        match entry {
            TimelineEntry::Event(event) => TimelineView::Event(event.into()),
            TimelineEntry::Operation(row) => TimelineView::Operation(Box::new((*row).into())),
            TimelineEntry::Person(row) => TimelineView::Person(row.into()),
        }
    }
}

impl From<LeadView> for LeadDetail {
    fn from(view: LeadView) -> Self {
        let fields = view.lead.map(|lead| lead.fields).unwrap_or_default();
        Self {
            summary: view.row.into(),
            fields: fields.iter().map(|(name, field)| (name.clone(), (&field.value).into())).collect(),
            links: view.links.into_iter().map(Into::into).collect(),
            jobs: view.jobs.into_iter().map(Into::into).collect(),
            conflicts: view.conflicts.into_iter().map(Into::into).collect(),
            timeline: view.timeline.into_iter().map(Into::into).collect(),
        }
    }
}

/// Lists leads, the last changed first.
#[utoipa::path(
    get, path = "/leads", tag = "leads", params(LeadQuery),
    responses((status = 200, body = ListOf<LeadSummary>))
)]
pub(super) async fn list(
    State(app): State<AdminState>,
    Params(params): Params<LeadQuery>,
) -> Result<Json<ListOf<LeadSummary>>, ApiError> {
    let page = query::page(params.limit, params.cursor)?;
    let filter = LeadFilter { source: params.source, email: params.email, q: params.q };
    Ok(Json(ListOf::showing(app.store.list_leads(&filter, &page).await?, LeadSummary::from)))
}

/// Shows a lead with its links, what is owed for it, its open conflicts and its timeline.
#[utoipa::path(
    get, path = "/leads/{source}/{lead_id}", tag = "leads",
    params(("source" = String, Path), ("lead_id" = String, Path)),
    responses((status = 200, body = LeadDetail), (status = 404, body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn show(
    State(app): State<AdminState>,
    Named((source, lead_id)): Named<(String, String)>,
) -> Result<Json<LeadDetail>, ApiError> {
    let key = LeadKey::new(source.as_str(), lead_id.as_str());
    let view = app.store.load_lead(&key).await?.ok_or_else(|| query::no_lead(&key))?;
    Ok(Json(view.into()))
}

/// Where the lead is synced to.
#[derive(Debug, Serialize, ToSchema)]
pub struct SyncStarted {
    destinations: Vec<String>,
}

/// Syncs a lead now, with every destination of its source, whatever refused it before.
#[utoipa::path(
    post, path = "/leads/{source}/{lead_id}/sync", tag = "leads",
    params(("source" = String, Path), ("lead_id" = String, Path)),
    responses(
        (status = 202, body = SyncStarted), (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Its source is no longer configured, or the lead is excluded", body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn sync(
    State(app): State<AdminState>,
    caller: Caller,
    Named((source, lead_id)): Named<(String, String)>,
) -> Result<(StatusCode, Json<SyncStarted>), ApiError> {
    let key = LeadKey::new(source.as_str(), lead_id.as_str());
    let view = app.store.load_lead(&key).await?.ok_or_else(|| query::no_lead(&key))?;
    if view.row.excluded {
        return Err(ApiError::Conflict("The lead is excluded from syncing; include it first.".to_owned()));
    }
    let Some(source) = app.intake.source(&source) else {
        return Err(ApiError::Conflict(format!(
            "The source {source} is not configured; add [sources.{source}] first."
        )));
    };
    for destination in &source.destinations {
        let mark = DirtyMark {
            destination: destination.clone(),
            leads: vec![key.clone()],
            class: Class::Live,
            now: app.clock.now(),
            forced: true,
        };
        app.store.mark_dirty(&mark).await?;
    }
    record(&app, &caller, Change::new("lead.sync", format!("lead {key}")).of_lead(&key)).await?;
    source.destinations.iter().for_each(|destination| app.operations.wake(destination));
    let destinations = source.destinations.iter().map(ToString::to_string).collect();
    Ok((StatusCode::ACCEPTED, Json(SyncStarted { destinations })))
}
