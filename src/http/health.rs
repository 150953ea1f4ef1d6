//! `/healthz`: does the process run? `/readyz`: does the store commit? Neither ever asks a CRM.

use axum::Json;
use axum::extract::State;
use axum::http::Method;
use serde::Serialize;
use utoipa::ToSchema;

use super::admin::state::AdminState;
use super::error::{ApiError, Problem};

/// That it runs.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    #[schema(example = "ok")]
    status: &'static str,
}

/// Whether the process runs.
#[utoipa::path(
    get, path = "/healthz", tag = "webhooks", security(()),
    responses((status = 200, description = "It runs", body = Health))
)]
pub(super) async fn healthz(method: Method) -> Result<Json<Health>, ApiError> {
    match method {
        Method::GET | Method::HEAD => Ok(Json(Health { status: "ok" })),
        _ => Err(ApiError::MethodNotAllowed(Some("GET, HEAD"))),
    }
}

/// Whether the store commits.
///
/// Does not depend on any CRM: webhooks are taken while a CRM is down.
#[utoipa::path(
    get, path = "/readyz", tag = "operation", security(()),
    responses(
        (status = 200, description = "The store commits", body = Health),
        (status = 503, description = "The store cannot commit now; `Retry-After` says when to ask again", body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn readyz(State(app): State<AdminState>) -> Result<Json<Health>, ApiError> {
    app.store.ready().await?;
    Ok(Json(Health { status: "ok" }))
}
