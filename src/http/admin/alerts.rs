//! The alerts that fire now.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::query::{ListOf, PageQuery, Params};
use super::shown::Time;
use super::state::AdminState;
use crate::domain::time::Timestamp;
use crate::http::error::ApiError;
use crate::telemetry::alerts::Alert;

/// Something that somebody should look at.
#[derive(Debug, Serialize, ToSchema)]
pub struct AlertView {
    /// `error_rate`, `queue_depth`, `retry_age` or `destination_stopped`
    alert: &'static str,
    destination: String,
    /// One sentence with the figures and what to do.
    detail: String,
    /// A share, leads or seconds, as `threshold` is.
    value: f64,
    threshold: f64,
    /// Since the process first saw it.
    firing_since: Time,
}

/// Lists the alerts that fire now.
#[utoipa::path(
    get, path = "/alerts", tag = "operation", params(PageQuery),
    responses((status = 200, body = ListOf<AlertView>))
)]
pub(super) async fn list(
    State(app): State<AdminState>,
    Params(params): Params<PageQuery>,
) -> Result<Json<ListOf<AlertView>>, ApiError> {
    let snapshot = app.figures.look().await?;
    let view = |(alert, since): &(Alert, Timestamp)| AlertView {
        alert: alert.name.as_str(),
        destination: alert.destination.to_string(),
        detail: alert.detail.clone(),
        value: alert.value,
        threshold: alert.threshold,
        firing_since: (*since).into(),
    };
    Ok(Json(ListOf::page_of(snapshot.alerts.iter().map(view).collect(), params.limit, params.cursor)?))
}
