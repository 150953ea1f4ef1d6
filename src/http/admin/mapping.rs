//! The mapping document, and what the newest preflight found.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::query::{ListOf, PageQuery, Params};
use super::shown::Time;
use super::state::{AdminState, CheckFinding, CheckReport, MappingEntry};
use crate::domain::divergence::{Criterion, Divergence};
use crate::http::error::ApiError;

/// One row of the mapping document.
#[derive(Debug, Serialize, ToSchema)]
pub struct MappingView {
    destination: String,
    /// The lead's field, or the expression that the value is computed by.
    #[schema(example = "attributes.industry")]
    lead_field: Option<String>,
    lead_format: Option<String>,
    /// API name; null: not synced.
    crm_field: Option<String>,
    crm_label: Option<String>,
    crm_format: Option<String>,
    /// The CRM objects that the row applies to.
    objects: Vec<String>,
    /// `to_crm`, `none`, `not synced`, or `filter` for the expression that says which leads are synced
    direction: String,
    /// Who wins when both sides changed: `lead_wins`, `crm_wins`, `latest_wins`, `review` or `merge`
    rule: Option<String>,
    note: Option<String>,
}

impl From<MappingEntry> for MappingView {
    fn from(row: MappingEntry) -> Self {
        Self {
            destination: row.destination.to_string(),
            lead_field: row.lead_field,
            lead_format: row.lead_format,
            crm_field: row.crm_field,
            crm_label: row.crm_label,
            crm_format: row.crm_format,
            objects: row.objects,
            direction: row.direction,
            rule: row.rule,
            note: row.note,
        }
    }
}

/// Shows which lead field is which CRM field, and every lead field seen that has no row.
#[utoipa::path(
    get, path = "/mapping", tag = "destinations", params(PageQuery),
    responses((status = 200, body = ListOf<MappingView>))
)]
pub(super) async fn show(
    State(app): State<AdminState>,
    Params(params): Params<PageQuery>,
) -> Result<Json<ListOf<MappingView>>, ApiError> {
    let rows = app.operations.mapping().await?;
    Ok(Json(ListOf::page_of(rows.into_iter().map(MappingView::from).collect(), params.limit, params.cursor)?))
}

/// What the newest preflight of one destination found.
#[derive(Debug, Serialize, ToSchema)]
pub struct CheckView {
    destination: String,
    checked_at: Time,
    /// Whether nothing is in the way.
    ok: bool,
    findings: Vec<FindingView>,
    /// What the lead systems, leadrelay and the CRM take for duplicates, what not all of them catch first.
    duplicate_rules: Vec<CriterionView>,
    /// Whose rules are not known, and why.
    duplicate_rules_unknown: Vec<String>,
}

/// What two records may have in common, and who takes them for one by it.
#[derive(Debug, Serialize, ToSchema)]
pub struct CriterionView {
    /// `person` or `company`
    about: &'static str,
    #[schema(example = "company domain and name")]
    same: String,
    /// By the name of a source, `leadrelay` or the destination: what follows.
    caught_by: BTreeMap<String, String>,
    /// Those whose rules are known and that do not catch it.
    missed_by: Vec<String>,
}

impl CheckView {
    fn with(self, divergence: Divergence) -> Self {
        let Divergence { holders, criteria, unknown } = divergence;
        let view = |row: Criterion| CriterionView {
            about: row.about.as_str(),
            same: row.same,
            caught_by: holders.iter().cloned().zip(row.caught).filter_map(|(who, then)| Some((who, then?))).collect(),
            missed_by: row.missed_by,
        };
        Self { duplicate_rules: criteria.into_iter().map(view).collect(), duplicate_rules_unknown: unknown, ..self }
    }
}

/// One finding.
#[derive(Debug, Serialize, ToSchema)]
pub struct FindingView {
    /// `error`, `warning` or `ok`
    severity: &'static str,
    #[schema(example = "Lead.Email")]
    subject: String,
    finding: String,
    /// What to do about it.
    remedy: Option<String>,
}

impl From<CheckFinding> for FindingView {
    fn from(found: CheckFinding) -> Self {
        Self { severity: found.severity, subject: found.subject, finding: found.finding, remedy: found.remedy }
    }
}

impl From<CheckReport> for CheckView {
    fn from(report: CheckReport) -> Self {
        Self {
            destination: report.destination.to_string(),
            checked_at: report.checked_at.into(),
            ok: report.findings.iter().all(|found| found.severity != "error"),
            findings: report.findings.into_iter().map(Into::into).collect(),
            duplicate_rules: Vec::new(),
            duplicate_rules_unknown: Vec::new(),
        }
    }
}

/// Shows what the newest preflight found, for each destination that was checked.
#[utoipa::path(
    get, path = "/check", tag = "destinations", params(PageQuery),
    responses((status = 200, body = ListOf<CheckView>))
)]
pub(super) async fn check(
    State(app): State<AdminState>,
    Params(params): Params<PageQuery>,
) -> Result<Json<ListOf<CheckView>>, ApiError> {
    let mut views = Vec::new();
    for report in app.operations.checks().await? {
        let destination = report.destination.clone();
        let mut view = CheckView::from(report);
        if let Some(divergence) = app.operations.divergence(&destination).await {
            view = view.with(divergence);
        }
        views.push(view);
    }
    Ok(Json(ListOf::page_of(views, params.limit, params.cursor)?))
}
