//! The audit log: which person or program changed what.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::query::{self, ListOf, PageQuery, Params};
use super::shown::Time;
use super::state::AdminState;
use crate::domain::ids::LeadKey;
use crate::http::auth::Caller;
use crate::http::error::ApiError;
use crate::store::{AuditEntry, AuditRow};

/// A change that was made, to be written down.
pub(super) struct Change {
    action: &'static str,
    target: String,
    lead: Option<LeadKey>,
    detail: Option<String>,
}

impl Change {
    pub(super) fn new(action: &'static str, target: impl Into<String>) -> Self {
        Self { action, target: target.into(), lead: None, detail: None }
    }

    /// Its lead's timeline shows it.
    pub(super) fn of_lead(self, lead: &LeadKey) -> Self {
        Self { lead: Some(lead.clone()), ..self }
    }

    pub(super) fn saying(self, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..self }
    }
}

/// Writes a change down under the caller's name.
pub(super) async fn record(app: &AdminState, caller: &Caller, change: Change) -> Result<(), ApiError> {
    let entry = AuditEntry {
        at: app.clock.now(),
        by: caller.name.clone(),
        action: change.action.to_owned(),
        target: change.target,
        lead: change.lead,
        detail: change.detail,
    };
    tell(caller, &entry.action, &entry.target);
    app.store.record_audit(&entry).await?;
    Ok(())
}

/// Logs a change that the store writes down itself.
pub(super) fn tell(caller: &Caller, action: &str, target: &str) {
    tracing::info!(by = %caller.name, action, "{} did {action} to {target}", caller.name);
}

/// One change.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditView {
    id: i64,
    at: Time,
    /// The token's name.
    by: String,
    #[schema(example = "destination.pause")]
    action: String,
    #[schema(example = "destination salesforce")]
    target: String,
    detail: Option<String>,
}

impl From<AuditRow> for AuditView {
    fn from(AuditRow { id, entry }: AuditRow) -> Self {
        Self { id, at: entry.at.into(), by: entry.by, action: entry.action, target: entry.target, detail: entry.detail }
    }
}

/// Lists who changed what, newest first.
#[utoipa::path(
    get, path = "/audit", tag = "operation", params(PageQuery),
    responses((status = 200, body = ListOf<AuditView>))
)]
pub(super) async fn list(
    State(app): State<AdminState>,
    Params(params): Params<PageQuery>,
) -> Result<Json<ListOf<AuditView>>, ApiError> {
    let page = query::page(params.limit, params.cursor)?;
    Ok(Json(ListOf::showing(app.store.list_audit(&page).await?, AuditView::from)))
}
