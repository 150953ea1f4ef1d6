//! Runs: bulk work in the background, and the resync that starts one.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::audit::{Change, record};
use super::query::{self, Body, ListOf, Named, PageQuery, Params};
use super::shown::Time;
use super::state::{AdminState, DestinationState};
use crate::domain::ids::{DestinationName, SourceName};
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
    responses((status = 200, body = ListOf<RunView>))
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
    Ok(Json(app.store.load_run(id).await?.ok_or_else(|| no_run(id))?.into()))
}

fn no_run(id: i64) -> ApiError {
    query::none(format_args!("run {id}"), "runs")
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
    let run = app.store.load_run(id).await?.ok_or_else(|| no_run(id))?;
    if !app.operations.cancel_run(id).await? {
        return Err(ApiError::Conflict(format!("The run does not run; its state is {}.", run.state)));
    }
    record(&app, &caller, Change::new("run.cancel", format!("run {id}"))).await?;
    let run = app.store.load_run(id).await?.ok_or_else(|| no_run(id))?;
    Ok((StatusCode::ACCEPTED, Json(run.into())))
}

/// Which leads to sync again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResyncRequest {
    /// The CRM to sync them with. Left out: every one that gets these leads; then `source`, `email` or `q` must say which.
    destination: Option<String>,
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
    /// A lead counts once for each destination.
    leads: u64,
    /// Of these, with `dry_run`: how many `changed` takes; null while a CRM was not described yet.
    planned_otherwise: Option<u64>,
    /// Null with `dry_run`, and where there are several: `destinations` has them.
    run: Option<i64>,
    destinations: Vec<ResyncOf>,
}

/// The share of one destination.
#[derive(Debug, Serialize, ToSchema)]
pub struct ResyncOf {
    destination: String,
    leads: u64,
    planned_otherwise: Option<u64>,
    run: Option<i64>,
}

impl ResyncView {
    fn of(dry_run: bool, destinations: Vec<ResyncOf>) -> Self {
        Self {
            dry_run,
            leads: destinations.iter().map(|of| of.leads).sum(),
            planned_otherwise: destinations.iter().map(|of| of.planned_otherwise).sum(),
            run: if let [only] = &destinations[..] { only.run } else { None },
            destinations,
        }
    }
}

/// Syncs leads again, behind live ones, as a run for each destination; with `dry_run` only counts them. All that is given
/// must hold; with nothing but `destination` every lead.
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
    let texts = [&request.email, &request.q];
    if texts.into_iter().flatten().any(|text| text.trim().is_empty()) {
        return Err(ApiError::Invalid("email, q: write something, or leave it out for all leads".to_owned()));
    }
    if texts.into_iter().flatten().any(|text| text.contains('\0')) {
        return Err(ApiError::Invalid("email, q: no lead's text has the character U+0000; leave it out".to_owned()));
    }
    let mut scopes = Vec::new();
    for (destination, sources) in meant(&app.operations.destinations(), &request)? {
        let planned_otherwise_than = app.operations.planned_by(&destination);
        if request.changed && planned_otherwise_than.is_none() {
            let text = format!("The fields of {destination} were not looked at yet; try again in a moment.");
            return Err(ApiError::Conflict(text));
        }
        let (email, q) = (request.email.clone(), request.q.clone());
        scopes.push(ResyncScope { destination, sources, email, q, planned_otherwise_than });
    }
    let mut destinations = Vec::new();
    for scope in scopes {
        destinations.push(match request.dry_run {
            true => count(&app, scope, request.changed).await?,
            false => start(&app, &caller, scope, request.changed).await?,
        });
    }
    let status = if request.dry_run { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((status, Json(ResyncView::of(request.dry_run, destinations))))
}

/// The destinations that are meant, each with the sources whose leads are.
fn meant(
    known: &[DestinationState],
    request: &ResyncRequest,
) -> Result<Vec<(DestinationName, Vec<SourceName>)>, ApiError> {
    let one_of =
        |key: &str, names: &[&str]| Err(ApiError::Invalid(format!("{key}: write one of {}", names.join(", "))));
    let ResyncRequest { destination, source, email, q, .. } = request;
    if [destination, source, email, q].into_iter().all(Option::is_none) {
        let text = "write `destination`, or which leads of all destinations: `source`, `email` or `q`";
        return Err(ApiError::Invalid(text.to_owned()));
    }
    let is_named = |state: &&DestinationState| destination.as_deref().is_none_or(|name| name == state.name.as_str());
    let named: Vec<&DestinationState> = known.iter().filter(is_named).collect();
    if named.is_empty() {
        return one_of("destination", &known.iter().map(|state| state.name.as_str()).collect::<Vec<_>>());
    }
    let Some(source) = source else {
        return Ok(named.into_iter().map(|state| (state.name.clone(), state.sources.clone())).collect());
    };
    let of_source = |state: &&DestinationState| Some((state.name.clone(), vec![find(&state.sources, source)?]));
    let meant: Vec<_> = named.iter().filter_map(of_source).collect();
    if meant.is_empty() {
        let sources: BTreeSet<&str> = named.iter().flat_map(|state| &state.sources).map(SourceName::as_str).collect();
        return one_of("source", &Vec::from_iter(sources));
    }
    Ok(meant)
}

fn find(sources: &[SourceName], name: &str) -> Option<SourceName> {
    sources.iter().find(|source| source.as_str() == name).cloned()
}

async fn count(app: &AdminState, scope: ResyncScope, changed: bool) -> Result<ResyncOf, ApiError> {
    let planned_otherwise = match scope.planned_otherwise_than {
        Some(_) => Some(app.store.count_leads(&scope).await?),
        None => None,
    };
    let destination = scope.destination.to_string();
    let leads = match planned_otherwise.filter(|_| changed) {
        Some(leads) => leads,
        None => app.store.count_resync(&ResyncScope { planned_otherwise_than: None, ..scope }).await?,
    };
    Ok(ResyncOf { destination, leads, planned_otherwise, run: None })
}

async fn start(app: &AdminState, caller: &Caller, mut scope: ResyncScope, changed: bool) -> Result<ResyncOf, ApiError> {
    scope.planned_otherwise_than = scope.planned_otherwise_than.filter(|_| changed);
    let destination = scope.destination.to_string();
    let leads = app.store.count_resync(&scope).await?;
    let run = app.operations.start_resync(scope, &caller.name).await?;
    let change =
        Change::new("resync", format!("destination {destination}")).saying(format!("{leads} leads, run {run}"));
    record(app, caller, change).await?;
    Ok(ResyncOf { destination, leads, planned_otherwise: None, run: Some(run) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(name: &str, sources: &[&str]) -> DestinationState {
        DestinationState {
            name: name.into(),
            kind: "salesforce",
            mode: "live",
            sources: sources.iter().map(|source| (*source).into()).collect(),
            gate: "open",
            gate_reason: None,
            gate_since: None,
            gate_until: None,
            calls_used: 0,
            calls_limit: 0,
            last_error: None,
            needs_person: None,
        }
    }

    #[test]
    fn a_filter_of_leads_means_every_destination_that_gets_them() {
        let known = [state("a", &["web", "klozeo"]), state("b", &["klozeo"])];
        let told = |body: &str| {
            let request: ResyncRequest = serde_json::from_str(body).unwrap();
            meant(&known, &request).map_or_else(
                |error| format!("{error:?}"),
                |meant| meant.iter().map(|(name, sources)| format!("{name} {sources:?} ")).collect(),
            )
        };
        assert_eq!(told(r#"{"source":"klozeo"}"#), r#"a ["klozeo"] b ["klozeo"] "#);
        assert_eq!(told(r#"{"source":"web"}"#), r#"a ["web"] "#);
        assert_eq!(told(r#"{"email":"ada@example.com"}"#), r#"a ["web", "klozeo"] b ["klozeo"] "#);
        assert_eq!(told(r#"{"destination":"b"}"#), r#"b ["klozeo"] "#);
        assert!(told(r#"{"destination":"b","source":"web"}"#).contains("source: write one of klozeo"));
        assert!(told(r#"{"source":"none"}"#).contains("source: write one of klozeo, web"));
        assert!(told(r#"{"destination":"c"}"#).contains("destination: write one of a, b"));
        assert!(told(r#"{"changed":true}"#).contains("write `destination`"));
    }
}
