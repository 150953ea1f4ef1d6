//! Taking a changed configuration while the service runs.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::audit::{Change, record};
use super::state::{AdminState, ReloadError};
use crate::http::auth::Caller;
use crate::http::error::{ApiError, Problem};

/// What came of a reload.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReloadView {
    /// Keys that changed in the file and that only a restart can change; the rest is in force.
    #[schema(example = json!(["server.listen"]))]
    restart_needed: Vec<String>,
}

/// Reads the configuration file again and takes it, as SIGHUP does: sources, secrets, mapping, destinations, tokens, alerts.
/// No webhook is lost meanwhile, and what is being synced ends with the settings it began with. A wrong file changes nothing;
/// the problem's `detail` has every mistake, one a line.
#[utoipa::path(
    post, path = "/reload", tag = "operation",
    responses(
        (status = 200, body = ReloadView),
        (status = 409, description = "The service was not started from a file, or cannot take it now", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The configuration is wrong; the old one stays", body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn reload(State(app): State<AdminState>, caller: Caller) -> Result<Json<ReloadView>, ApiError> {
    match app.operations.reload().await {
        Ok(done) => {
            record(&app, &caller, Change::new("configuration.reload", "configuration")).await?;
            Ok(Json(ReloadView { restart_needed: done.restart_needed }))
        }
        Err(ReloadError::Wrong(mistakes)) => Err(ApiError::Configuration(mistakes)),
        Err(ReloadError::NoFile) => {
            Err(ApiError::Conflict("The service was not started from a configuration file.".to_owned()))
        }
        Err(ReloadError::Failed(why)) => Err(ApiError::Conflict(format!("The old configuration stays: {why}."))),
    }
}
