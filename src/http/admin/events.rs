//! Events: what was received, as it was received.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::audit::{Change, record};
use super::query::{self, ListOf, Named, Params};
use super::shown::Time;
use super::state::AdminState;
use crate::domain::envelope;
use crate::domain::ids::{EventId, LeadKey};
use crate::http::auth::Caller;
use crate::http::error::{ApiError, Problem};
use crate::store::{EventDetail, EventFilter, EventRow, EventState};

/// Filters; all can be combined.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EventQuery {
    source: Option<String>,
    lead_id: Option<String>,
    /// stored, folded, stale, quarantined, ignored or erased
    state: Option<String>,
    /// RFC 3339; received from then on
    from: Option<String>,
    /// RFC 3339; received before then
    to: Option<String>,
    /// 1 to 500; 50 if left out
    limit: Option<u32>,
    /// `next` of the page before
    cursor: Option<String>,
}

/// One change of one lead as received.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventView {
    #[schema(example = "evt_4711")]
    id: String,
    source: String,
    /// Null where no lead could be read.
    lead_id: Option<String>,
    #[schema(example = "lead.updated")]
    event_type: Option<String>,
    /// The sender's own ID of the event.
    sender_id: Option<String>,
    /// `stored` (to be folded), `folded`, `stale` (older in every field than what was known), `quarantined`, `ignored`,
    /// `erased`
    state: &'static str,
    /// Why it is quarantined or ignored.
    reason: Option<String>,
    /// What to do about a quarantined one.
    remedy: Option<&'static str>,
    received_at: Time,
    request_id: String,
    /// Bytes.
    size: u64,
}

impl From<EventRow> for EventView {
    fn from(row: EventRow) -> Self {
        let remedy = remedy_of(&row);
        Self {
            id: row.id.to_string(),
            source: row.source.to_string(),
            lead_id: row.lead_id.map(|id| id.to_string()),
            event_type: row.event_type,
            sender_id: row.sender_id,
            state: row.state.as_str(),
            remedy,
            reason: row.reason,
            received_at: row.received_at.into(),
            request_id: row.request_id.to_string(),
            size: row.size,
        }
    }
}

fn remedy_of(row: &EventRow) -> Option<&'static str> {
    let reason = row.reason.as_deref().filter(|_| row.state == EventState::Quarantined)?;
    Some(envelope::remedy(reason.split(':').next()?))
}

/// An event with what was stored of its request.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventDetailView {
    #[serde(flatten)]
    event: EventView,
    /// Those that reading needs; never a signature or token.
    headers: Vec<HeaderView>,
    /// The stored bytes where they are UTF-8.
    body: Option<String>,
    /// The stored bytes in hex where they are not.
    body_hex: Option<String>,
}

/// A kept header.
#[derive(Debug, Serialize, ToSchema)]
pub struct HeaderView {
    pub(super) name: String,
    pub(super) value: String,
}

/// Lists events, newest first.
#[utoipa::path(
    get, path = "/events", tag = "events", params(EventQuery),
    responses((status = 200, body = ListOf<EventView>))
)]
pub(super) async fn list(
    State(app): State<AdminState>,
    Params(params): Params<EventQuery>,
) -> Result<Json<ListOf<EventView>>, ApiError> {
    let page = query::page(params.limit, params.cursor)?;
    let states = ["stored", "folded", "stale", "quarantined", "ignored", "erased"];
    let filter = EventFilter {
        source: params.source,
        lead_id: params.lead_id,
        state: query::word("state", params.state.as_deref(), EventState::parse, &states)?,
        from: query::time("from", params.from.as_deref())?,
        to: query::time("to", params.to.as_deref())?,
    };
    Ok(Json(ListOf::showing(app.store.list_events(&filter, &page).await?, EventView::from)))
}

async fn load(app: &AdminState, id: &str) -> Result<EventDetail, ApiError> {
    let none = || query::none(format_args!("event {id}"), "events");
    let id: EventId = id.parse().map_err(|()| none())?;
    app.store.load_event(id).await?.ok_or_else(none)
}

/// Shows one event with its body.
#[utoipa::path(
    get, path = "/events/{id}", tag = "events", params(("id" = String, Path, example = "evt_4711")),
    responses((status = 200, body = EventDetailView), (status = 404, body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn show(
    State(app): State<AdminState>,
    Named(id): Named<String>,
) -> Result<Json<EventDetailView>, ApiError> {
    let EventDetail { row, headers, body } = load(&app, &id).await?;
    let text = std::str::from_utf8(&body).ok().map(str::to_owned);
    let body_hex = text.is_none().then(|| hex::encode(&body));
    let headers = headers.into_iter().map(|(name, value)| HeaderView { name, value }).collect();
    Ok(Json(EventDetailView { event: row.into(), headers, body: text, body_hex }))
}

/// What reading the event again with today's settings gave.
#[derive(Debug, Serialize, ToSchema)]
pub struct Replayed {
    id: String,
    /// `stored`: its lead is folded anew and synced; `quarantined`, `ignored`: it still changes no lead
    state: &'static str,
    lead_id: Option<String>,
    reason: Option<String>,
}

/// Reads a stored event again with today's settings, folds its lead anew from all kept events, and marks it dirty.
#[utoipa::path(
    post, path = "/events/{id}/replay", tag = "events", params(("id" = String, Path, example = "evt_4711")),
    responses(
        (status = 202, body = Replayed), (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Its source is no longer configured, or it was erased", body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn replay(
    State(app): State<AdminState>,
    caller: Caller,
    Named(id): Named<String>,
) -> Result<(StatusCode, Json<Replayed>), ApiError> {
    let event = load(&app, &id).await?;
    if event.row.state == EventState::Erased {
        return Err(erased());
    }
    let (Some(reread), Some(source)) = (app.intake.reread(&event), app.intake.source(event.row.source.as_str())) else {
        let source = &event.row.source;
        return Err(ApiError::Conflict(format!(
            "The source {source} is not configured; add [sources.{source}] first."
        )));
    };
    let answer = Replayed {
        id: event.row.id.to_string(),
        state: reread.state.as_str(),
        lead_id: reread.lead.as_ref().map(ToString::to_string),
        reason: reread.reason.clone(),
    };
    let lead = reread.lead.clone().map(|lead| LeadKey { source: source.name.clone(), id: lead });
    let owed: &[_] = if reread.state == EventState::Stored { &source.destinations } else { &[] };
    app.store.replay_event(event.row.id, reread, owed, app.clock.now()).await?.ok_or_else(erased)?;
    let change = Change::new("event.replay", format!("event {}", event.row.id)).saying(answer.state);
    let change = match &lead {
        Some(lead) => change.of_lead(lead),
        None => change,
    };
    record(&app, &caller, change).await?;
    owed.iter().for_each(|destination| app.operations.wake(destination));
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

fn erased() -> ApiError {
    ApiError::Conflict("The event was erased; nothing of it is left.".to_owned())
}
