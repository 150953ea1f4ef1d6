//! Runs: bulk work in the background, and the resync that starts one.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::audit::{Change, PageQuery, record};
use super::query::{self, Body, ListOf, Named, Params};
use super::shown::Time;
use super::state::AdminState;
use crate::domain::ids::DestinationName;
use crate::http::auth::Caller;
use crate::http::error::{ApiError, Problem};
use crate::store::{ResyncScope, RunRow};

/// Bulk work: how far it is, and what came of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct RunView {
    id: i64,
    /// `resync`, …
    kind: String,
    /// The token's name.
    by: String,
    /// `running`, `done`, `cancelled` or `failed`
    state: String,
    started_at: Time,
    updated_at: Time,
    /// What it works on, as JSON.
    scope: String,
    /// Leads.
    total: u64,
    done: u64,
    detail: Option<String>,
}

impl From<RunRow> for RunView {
    fn from(run: RunRow) -> Self {
        Self {
            id: run.id,
            kind: run.kind,
            by: run.by,
            state: run.state,
            started_at: run.started_at.into(),
            updated_at: run.updated_at.into(),
            scope: run.scope,
            total: run.total,
            done: run.done,
            detail: run.detail,
        }
    }
}

/// Lists bulk work, newest first.
#[utoipa::path(
    get, path = "/runs", tag = "runs", params(PageQuery),
    responses((status = 200, body = ListOf<RunView>), (status = 422, body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn list(
    State(app): State<AdminState>,
    Params(params): Params<PageQuery>,
) -> Result<Json<ListOf<RunView>>, ApiError> {
    let page = query::page(params.limit, params.cursor)?;
    Ok(Json(ListOf::showing(app.store.list_runs(&page).await?, RunView::from)))
}

/// Shows one run.
#[utoipa::path(
    get, path = "/runs/{id}", tag = "runs", params(("id" = i64, Path)),
    responses((status = 200, body = RunView), (status = 404, body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn show(State(app): State<AdminState>, Named(id): Named<i64>) -> Result<Json<RunView>, ApiError> {
    Ok(Json(app.store.load_run(id).await?.ok_or(ApiError::NotFound)?.into()))
}

/// Stops a run where it is; what it did stays done.
#[utoipa::path(
    post, path = "/runs/{id}/cancel", tag = "runs", params(("id" = i64, Path)),
    responses(
        (status = 202, body = RunView), (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It is over", body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn cancel(
    State(app): State<AdminState>,
    caller: Caller,
    Named(id): Named<i64>,
) -> Result<(StatusCode, Json<RunView>), ApiError> {
    let run = app.store.load_run(id).await?.ok_or(ApiError::NotFound)?;
    if !app.operations.cancel_run(id).await? {
        return Err(ApiError::Conflict(format!("The run does not run; its state is {}.", run.state)));
    }
    record(&app, &caller, Change::new("run.cancel", format!("run {id}"))).await?;
    let run = app.store.load_run(id).await?.ok_or(ApiError::NotFound)?;
    Ok((StatusCode::ACCEPTED, Json(run.into())))
}

/// Which leads to sync again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResyncRequest {
    /// The CRM to sync them with.
    destination: String,
    /// Only this lead system's leads.
    source: Option<String>,
    /// Only leads with this address.
    email: Option<String>,
    /// Only leads whose ID, address or name begins so; all of them, however many.
    q: Option<String>,
    /// Only leads that were last planned by other rules: another mapping, another filter, other settings, other fields in the
    /// CRM; also those that were only observed, once the destination is live. Leads that it never planned are not among them.
    #[serde(default)]
    changed: bool,
    /// Only count them.
    #[serde(default)]
    dry_run: bool,
}

/// What is, or would be, synced again.
#[derive(Debug, Serialize, ToSchema)]
pub struct ResyncView {
    dry_run: bool,
    leads: u64,
    /// Of these, with `dry_run`: how many `changed` takes; null while the CRM was not described yet.
    planned_otherwise: Option<u64>,
    /// Null with `dry_run`.
    run: Option<i64>,
}

/// Syncs leads of a destination again, behind live ones, as a run; with `dry_run` only counts them. All that is given must
/// hold; with nothing but `destination` every lead.
#[utoipa::path(
    post, path = "/resync", tag = "runs", request_body = ResyncRequest,
    responses(
        (status = 200, description = "Counted, with `dry_run`", body = ResyncView),
        (status = 202, description = "Started", body = ResyncView),
        (status = 409, description = "With `changed`: the CRM was not described yet", body = Problem, content_type = "application/problem+json"), (status = 422, body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn resync(
    State(app): State<AdminState>,
    caller: Caller,
    Body(request): Body<ResyncRequest>,
) -> Result<(StatusCode, Json<ResyncView>), ApiError> {
    let known = app.operations.destinations();
    let Some(destination) = known.iter().find(|state| state.name.as_str() == request.destination) else {
        let names: Vec<&str> = known.iter().map(|state| state.name.as_str()).collect();
        return Err(ApiError::Invalid(format!("destination: write one of {}", names.join(", "))));
    };
    let sources = match request.source {
        None => destination.sources.clone(),
        Some(name) => match destination.sources.iter().find(|source| source.as_str() == name) {
            Some(source) => vec![source.clone()],
            None => {
                let names: Vec<&str> = destination.sources.iter().map(|source| source.as_str()).collect();
                return Err(ApiError::Invalid(format!("source: write one of {}", names.join(", "))));
            }
        },
    };
    let destination: DestinationName = destination.name.clone();
    let planned_otherwise_than = app.operations.planned_by(&destination);
    let is_described = planned_otherwise_than.is_some();
    if request.changed && !is_described {
        return Err(ApiError::Conflict("The CRM's fields were not looked at yet; try again in a moment.".to_owned()));
    }
    if [&request.email, &request.q].into_iter().flatten().any(|text| text.trim().is_empty()) {
        return Err(ApiError::Invalid("email, q: write something, or leave it out for all leads".to_owned()));
    }
    if [&request.email, &request.q].into_iter().flatten().any(|text| text.contains('\0')) {
        return Err(ApiError::Invalid("email, q: no lead's text has the character U+0000; leave it out".to_owned()));
    }
    let (email, q) = (request.email, request.q);
    let mut scope = ResyncScope { destination: destination.clone(), sources, email, q, planned_otherwise_than };
    if request.dry_run {
        let planned_otherwise = match is_described {
            true => Some(app.store.count_leads(&scope).await?),
            false => None,
        };
        let leads = match planned_otherwise.filter(|_| request.changed) {
            Some(leads) => leads,
            None => app.store.count_leads(&ResyncScope { planned_otherwise_than: None, ..scope }).await?,
        };
        return Ok((StatusCode::OK, Json(ResyncView { dry_run: true, leads, planned_otherwise, run: None })));
    }
    scope.planned_otherwise_than = scope.planned_otherwise_than.filter(|_| request.changed);
    let leads = app.store.count_leads(&scope).await?;
    let run = app.operations.start_resync(scope, &caller.name).await?;
    let change =
        Change::new("resync", format!("destination {destination}")).saying(format!("{leads} leads, run {run}"));
    record(&app, &caller, change).await?;
    Ok((StatusCode::ACCEPTED, Json(ResyncView { dry_run: false, leads, planned_otherwise: None, run: Some(run) })))
}
