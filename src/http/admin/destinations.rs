//! Destinations: their state, and stopping them by hand.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::audit::tell;
use super::query::{self, Body, ListOf, Named, PageQuery, Params};
use super::shown::Time;
use super::state::{AdminState, DestinationState, Explanation};
use crate::domain::ids::DestinationName;
use crate::http::auth::Caller;
use crate::http::error::{ApiError, Problem};
use crate::store::Pause;

/// A CRM as it stands.
#[derive(Debug, Serialize, ToSchema)]
pub struct DestinationView {
    name: String,
    #[schema(example = "salesforce")]
    kind: &'static str,
    /// `live`, or `observe`: planned and logged, nothing written
    mode: &'static str,
    /// `running`, `paused` (by a person) or `stopped` (the gate is not open)
    state: &'static str,
    sources: Vec<String>,
    gate: GateView,
    pause: Option<PauseView>,
    /// Counted API calls of the last 24 hours, out of our share.
    calls_used: u64,
    calls_limit: u64,
    calls_left: u64,
    last_error: Option<LastError>,
    /// Set while a person must act: what is wrong and what to do.
    needs_person: Option<String>,
}

/// Whether calls are made, and why not.
#[derive(Debug, Serialize, ToSchema)]
pub struct GateView {
    /// `open`, `closed`, or `probing` with a single attempt
    state: &'static str,
    /// Why it is not open, and what to do.
    reason: Option<String>,
    since: Option<Time>,
    /// When it is tried again by itself.
    until: Option<Time>,
}

/// Who stopped it.
#[derive(Debug, Serialize, ToSchema)]
pub struct PauseView {
    by: String,
    note: Option<String>,
    since: Time,
    /// When it ends by itself; null: when a person resumes it.
    until: Option<Time>,
}

/// The CRM's newest error.
#[derive(Debug, Serialize, ToSchema)]
pub struct LastError {
    at: Time,
    code: String,
    message: String,
    meaning: &'static str,
    /// What to do.
    remedy: &'static str,
}

impl DestinationView {
    pub(super) fn observes(&self) -> bool {
        self.mode == "observe"
    }

    fn of(app: &AdminState, state: DestinationState, pause: Option<Pause>) -> Self {
        let last_error = state.last_error.map(|(at, code, message)| {
            let Explanation { meaning, remedy } = app.operations.explain(&state.name, &code);
            LastError { at: at.into(), code, message, meaning, remedy }
        });
        let running = if state.gate == "open" { "running" } else { "stopped" };
        Self {
            name: state.name.to_string(),
            kind: state.kind,
            mode: state.mode,
            state: if pause.is_some() { "paused" } else { running },
            sources: state.sources.iter().map(ToString::to_string).collect(),
            gate: GateView {
                state: state.gate,
                reason: state.gate_reason,
                since: state.gate_since.map(Into::into),
                until: state.gate_until.map(Into::into),
            },
            pause: pause.map(|pause| PauseView {
                by: pause.by,
                note: pause.note,
                since: pause.since.into(),
                until: pause.until.map(Into::into),
            }),
            calls_used: state.calls_used,
            calls_limit: state.calls_limit,
            calls_left: state.calls_limit.saturating_sub(state.calls_used),
            last_error,
            needs_person: state.needs_person,
        }
    }
}

/// Lists every CRM with its gate, its allowance of calls and its last error.
#[utoipa::path(
    get, path = "/destinations", tag = "destinations", params(PageQuery),
    responses((status = 200, body = ListOf<DestinationView>))
)]
pub(super) async fn list(
    State(app): State<AdminState>,
    Params(params): Params<PageQuery>,
) -> Result<Json<ListOf<DestinationView>>, ApiError> {
    let pauses = app.store.load_pauses().await?;
    let now = app.clock.now();
    let holds = |pause: &&Pause| pause.until.is_none_or(|until| until > now);
    let view = |state: DestinationState| {
        let pause = pauses.iter().filter(holds).find(|pause| pause.destination == state.name).cloned();
        DestinationView::of(&app, state, pause)
    };
    let views = app.operations.destinations().into_iter().map(view).collect();
    Ok(Json(ListOf::page_of(views, params.limit, params.cursor)?))
}

/// One CRM as it stands.
pub(super) async fn one(app: &AdminState, name: &DestinationName) -> Result<DestinationView, ApiError> {
    let now = app.clock.now();
    let holds = |pause: &Pause| pause.destination == *name && pause.until.is_none_or(|until| until > now);
    let pause = app.store.load_pauses().await?.into_iter().find(holds);
    Ok(DestinationView::of(app, find(app, name.as_str())?, pause))
}

pub(super) fn find(app: &AdminState, name: &str) -> Result<DestinationState, ApiError> {
    let found = app.operations.destinations().into_iter().find(|state| state.name.as_str() == name);
    found.ok_or_else(|| query::none(format_args!("destination {name}"), "destinations"))
}

/// Why, and until when.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PauseRequest {
    note: Option<String>,
    /// RFC 3339, in the future; left out: until a person resumes it.
    #[schema(format = DateTime)]
    until: Option<String>,
}

/// Stops syncing with a CRM. Webhooks are still taken; what is owed waits. Survives restarts.
#[utoipa::path(
    post, path = "/destinations/{name}/pause", tag = "destinations", params(("name" = String, Path)),
    request_body = PauseRequest,
    responses((status = 200, body = DestinationView), (status = 404, body = Problem, content_type = "application/problem+json"), (status = 422, body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn pause(
    State(app): State<AdminState>,
    caller: Caller,
    Named(name): Named<String>,
    Body(request): Body<PauseRequest>,
) -> Result<Json<DestinationView>, ApiError> {
    let state = find(&app, &name)?;
    let now = app.clock.now();
    let until = query::time("until", request.until.as_deref())?;
    if until.is_some_and(|until| until <= now) {
        return Err(ApiError::Invalid("until: write a time that is still to come".to_owned()));
    }
    let pause =
        Pause { destination: state.name.clone(), by: caller.name.clone(), note: request.note, since: now, until };
    app.store.pause(&pause).await?;
    tell(&caller, "destination.pause", &format!("destination {name}"));
    app.operations.paused(&pause);
    // Looked at again: the gate has just been closed.
    Ok(Json(DestinationView::of(&app, find(&app, &name)?, Some(pause))))
}

/// Ends a pause; resuming what is not paused changes nothing.
#[utoipa::path(
    post, path = "/destinations/{name}/resume", tag = "destinations", params(("name" = String, Path)),
    responses((status = 200, body = DestinationView), (status = 404, body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn resume(
    State(app): State<AdminState>,
    caller: Caller,
    Named(name): Named<String>,
) -> Result<Json<DestinationView>, ApiError> {
    let state = find(&app, &name)?;
    if app.store.resume(&state.name, &caller.name, app.clock.now()).await? {
        tell(&caller, "destination.resume", &format!("destination {name}"));
    }
    app.operations.resumed(&state.name);
    Ok(Json(DestinationView::of(&app, find(&app, &name)?, None)))
}
