//! Sources: what each lead system sends, and what was refused.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::query::{ListOf, PageQuery, Params};
use super::shown::Time;
use super::state::AdminState;
use crate::domain::signature::ProvenBy;
use crate::http::error::ApiError;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A lead system as it stands.
#[derive(Debug, Serialize, ToSchema)]
pub struct SourceView {
    name: String,
    enabled: bool,
    destinations: Vec<String>,
    last_received: Option<Time>,
    /// Events of the last 24 hours.
    last_24_hours: ReceivedView,
    /// Leads accepted per hour, over the last 24.
    accepted_per_hour: f64,
    /// All that are quarantined now, whenever they came; 10,000 stands for that many or more.
    quarantined: u64,
    /// Requests refused since the process started, by reason.
    refused: RefusedView,
    /// Of `unsigned`, `wrong_token` and `stale`, how many requests are held, to be verified again once the cause is mended.
    refused_held: u64,
    /// How far our clock was ahead of the sender's at its last genuine request, the way here included; negative where the
    /// sender's was. Null before the first one since the start, and where the sender signs no time.
    clock_difference_seconds: Option<f64>,
    /// What is peculiar to this sender: what to look at first when its requests are refused, and whether it only names leads
    /// (such events are quarantined as `needs_fetch`).
    advice: Vec<&'static str>,
}

/// Events by what became of them.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReceivedView {
    accepted: u64,
    ignored: u64,
    quarantined: u64,
}

/// Requests that were not stored as events.
#[derive(Debug, Serialize, ToSchema)]
pub struct RefusedView {
    /// The signature is missing or wrong; 0 where a token proves whose a request is.
    unsigned: u64,
    /// The token is missing or wrong; 0 where requests are signed.
    wrong_token: u64,
    /// Genuine, but the timestamp is outside the tolerance: compare the two clocks.
    stale: u64,
    too_large: u64,
    /// Compressed, or a form that the source does not take.
    unsupported: u64,
    /// Not committed in time, too much waiting, or the source is disabled.
    unavailable: u64,
}

/// Lists every lead system with what it sent and what was refused.
#[utoipa::path(
    get, path = "/sources", tag = "operation", params(PageQuery),
    responses((status = 200, body = ListOf<SourceView>))
)]
pub(super) async fn list(
    State(app): State<AdminState>,
    Params(params): Params<PageQuery>,
) -> Result<Json<ListOf<SourceView>>, ApiError> {
    let since = app.clock.now().before(DAY);
    let snapshot = app.figures.look().await?;
    let mut items = Vec::new();
    for source in app.intake.sources() {
        let figures = app.store.source_figures(&source.name, since).await?;
        let quarantined = snapshot.standing.quarantined.iter().find(|(name, _)| *name == source.name);
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let unproven_by = |by| if source.proven_by() == by { read(&source.refusals.unproven) } else { 0 };
        items.push(SourceView {
            name: source.name.to_string(),
            enabled: source.enabled,
            destinations: source.destinations.iter().map(ToString::to_string).collect(),
            last_received: figures.last_received.map(Into::into),
            accepted_per_hour: figures.accepted as f64 / 24.0,
            last_24_hours: ReceivedView {
                accepted: figures.accepted,
                ignored: figures.ignored,
                quarantined: figures.quarantined,
            },
            quarantined: quarantined.map_or(0, |(_, events)| *events),
            refused: RefusedView {
                unsigned: unproven_by(ProvenBy::Signature),
                wrong_token: unproven_by(ProvenBy::Token),
                stale: read(&source.refusals.stale),
                too_large: read(&source.refusals.too_large),
                unsupported: read(&source.refusals.unsupported),
                unavailable: read(&source.refusals.unavailable),
            },
            refused_held: snapshot
                .standing
                .refused_held
                .iter()
                .find(|(name, _)| *name == source.name)
                .map_or(0, |(_, held)| *held),
            clock_difference_seconds: source.clock_ahead.millis().map(|millis| millis as f64 / 1_000.0),
            advice: source.advice(),
        });
    }
    Ok(Json(ListOf::page_of(items, params.limit, params.cursor)?))
}
