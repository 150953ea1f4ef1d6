//! What would be done for a lead now, rule by rule, without doing it.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::destinations::{DestinationView, one};
use super::leads::JobView;
use super::query::{self, Named, Params};
use super::shown::{Record, Shown};
use super::state::AdminState;
use super::sync_log::FieldDecision;
use crate::domain::explained::{Explained, KeptBack};
use crate::domain::ids::{DestinationName, FieldName, LeadKey};
use crate::domain::matching::MatchedBy;
use crate::domain::plan::{Action, CompanyAction, CompanyPlan, OpportunityPlan, Question, SyncPlan};
use crate::domain::record::CrmValue;
use crate::http::error::{ApiError, Problem};
use crate::store::{ConflictRow, JobRow};

/// Which CRM.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ExplainQuery {
    /// May be left out where there is only one.
    destination: Option<String>,
}

/// What would be done for a lead now.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExplanationView {
    source: String,
    lead_id: String,
    /// The CRM as it stands, with its gate and its pause: while it is closed nothing is looked up there, and nothing written.
    destination: DestinationView,
    /// What is owed for the lead; null: nothing, so nothing is done until an event or a person owes it. A dead one is not sent
    /// again unchanged, whatever is planned.
    job: Option<JobView>,
    /// By what its record is looked up.
    looked_up_by: Vec<String>,
    /// The records that answered.
    found: Vec<FoundView>,
    /// Why the CRM was not asked.
    not_asked: Option<String>,
    /// What the lead waits for, and what helps.
    waits: Option<String>,
    /// Null where the CRM could not be asked.
    plan: Option<PlanView>,
    /// What this look cost of the day's calls.
    api_calls: u32,
}

/// A record that answered to one of the keys.
#[derive(Debug, Serialize, ToSchema)]
pub struct FoundView {
    record: Record,
    matched_by: &'static str,
}

/// What planning decides.
#[derive(Debug, Serialize, ToSchema)]
pub struct PlanView {
    /// `create`, `update`, `delete`; nothing is written: `unchanged`, `hold` (until a person, an event or the daily look),
    /// `skip` (nothing is owed), `forget` (its record is gone, and it is looked for anew), `refuse` (the CRM would refuse it)
    action: &'static str,
    /// Why it is held, skipped or refused: a stable word.
    code: Option<String>,
    detail: Option<String>,
    /// The record that the lead is.
    record: Option<Record>,
    matched_by: Option<&'static str>,
    /// Whether the record carries, or will carry, this lead's external ID.
    owner: bool,
    /// What would be sent now.
    fields: Vec<FieldView>,
    /// What is not sent now, since the lead waits for something else first.
    kept_back: Option<KeptBackView>,
    /// One per mapping row that was looked at: what each side holds, the base, the rule, and what would be written.
    decisions: Vec<FieldDecision>,
    /// Fields of the mapping that are not written; `decisions` says why.
    left_out: Vec<String>,
    /// What a person would be asked.
    questions: Vec<QuestionView>,
    company: Option<CompanyView>,
    opportunity: Option<OpportunityView>,
}

/// A write that is planned, and not done before something else came.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeptBackView {
    /// What has to come first.
    until: String,
    /// `create`, `update` or `delete`
    action: &'static str,
    /// What would be sent then.
    fields: Vec<FieldView>,
    /// One per mapping row that was looked at, with what would be written then.
    decisions: Vec<FieldDecision>,
}

/// A field and its value.
#[derive(Debug, Serialize, ToSchema)]
pub struct FieldView {
    field: String,
    value: Shown,
}

/// What a person would be asked.
#[derive(Debug, Serialize, ToSchema)]
pub struct QuestionView {
    /// field, match, shared_record, invalid or company
    kind: &'static str,
    field: Option<String>,
    detail: String,
    /// The open conflict in which it is asked already.
    conflict: Option<i64>,
    /// For kinds match and company.
    candidates: Vec<FoundView>,
}

/// What would be done about the lead's company.
#[derive(Debug, Serialize, ToSchema)]
pub struct CompanyView {
    /// `is` (it is there), `create`, or `nothing`
    action: &'static str,
    reason: String,
    record: Option<Record>,
    matched_by: Option<&'static str>,
    /// What would be written into its record.
    fields: Vec<FieldView>,
    decisions: Vec<FieldDecision>,
}

/// What would be done about the opportunity that a sales rep made of the lead's record.
#[derive(Debug, Serialize, ToSchema)]
pub struct OpportunityView {
    record: Record,
    /// Whether it is no longer there: then nothing is written.
    gone: bool,
    /// What would be written into it: what is blank there and known to the lead.
    fields: Vec<FieldView>,
    decisions: Vec<FieldDecision>,
}

fn shown<'a>(fields: impl IntoIterator<Item = (&'a FieldName, &'a CrmValue)>) -> Vec<FieldView> {
    let shown =
        |(field, value): (&FieldName, &CrmValue)| FieldView { field: field.to_string(), value: value.clone().into() };
    fields.into_iter().map(shown).collect()
}

impl PlanView {
    /// The plan, without what is kept back: that is shown apart, so that nothing is promised.
    fn of(plan: SyncPlan, kept_back: Option<KeptBack>, waits: Option<&str>) -> Self {
        let planned = Self::from(plan);
        let Some(KeptBack { code, until }) = kept_back else { return planned };
        let Self { action, fields, decisions, .. } = planned;
        Self {
            action: "hold",
            code,
            detail: waits.map(str::to_owned),
            fields: Vec::new(),
            decisions: Vec::new(),
            kept_back: Some(KeptBackView { until, action, fields, decisions }),
            ..planned
        }
    }

    /// With the conflicts in which its questions are asked already; `open`: those of the lead at this destination.
    fn asked_in(mut self, open: &[ConflictRow]) -> Self {
        for asked in &mut self.questions {
            let is_it = |question: &Question| {
                question.kind.as_str() == asked.kind
                    && question.field.as_ref().map(FieldName::as_str) == asked.field.as_deref()
            };
            asked.conflict = open.iter().find(|row| is_it(&row.question)).map(|row| row.id);
        }
        self
    }
}

impl From<SyncPlan> for PlanView {
    fn from(plan: SyncPlan) -> Self {
        let said = |code: &str, detail: String| (Some(code.to_owned()), Some(detail));
        let mut fields = Vec::new();
        let (action, (code, detail)) = match plan.action {
            Action::Create { fields: sent, .. } => {
                fields = shown(&sent);
                ("create", (None, None))
            }
            Action::Update { fields: sent, .. } => {
                fields = shown(&sent);
                ("update", (None, None))
            }
            Action::Delete { gone: false, .. } => ("delete", (None, None)),
            Action::Delete { gone: true, .. } => ("unchanged", (None, Some("the record is gone already".to_owned()))),
            Action::Unchanged => ("unchanged", (None, None)),
            Action::Hold { code, detail } => ("hold", said(code, detail)),
            Action::Skip { code, detail } => ("skip", said(code, detail)),
            Action::Forget { detail } => ("forget", (None, Some(detail))),
            Action::Refuse { code, message, .. } => ("refuse", said(&code, message)),
        };
        let (record, matched_by) = plan.matched.unzip();
        Self {
            action,
            code,
            detail,
            record: record.map(Into::into),
            matched_by: matched_by.map(MatchedBy::as_str),
            owner: plan.owner,
            fields,
            kept_back: None,
            decisions: plan.decisions.into_iter().map(Into::into).collect(),
            left_out: plan.left_out.keys().map(ToString::to_string).collect(),
            questions: plan.questions.into_iter().map(Into::into).collect(),
            company: plan.company.map(Into::into),
            opportunity: plan.opportunity.map(Into::into),
        }
    }
}

impl From<OpportunityPlan> for OpportunityView {
    fn from(opportunity: OpportunityPlan) -> Self {
        Self {
            record: opportunity.record.into(),
            gone: opportunity.is_gone,
            fields: shown(&opportunity.fields),
            decisions: opportunity.decisions.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<Question> for QuestionView {
    fn from(question: Question) -> Self {
        let candidate = |candidate: crate::domain::plan::CandidateSummary| FoundView {
            record: candidate.record.into(),
            matched_by: candidate.by.as_str(),
        };
        let detail = question.for_deciding();
        Self {
            kind: question.kind.as_str(),
            field: question.field.map(|field| field.to_string()),
            detail,
            conflict: None,
            candidates: question.candidates.into_iter().map(candidate).collect(),
        }
    }
}

impl From<CompanyPlan> for CompanyView {
    fn from(company: CompanyPlan) -> Self {
        let (action, reason, record, matched_by, fields) = match company.action {
            CompanyAction::Is { record, by, reason, fields } => ("is", reason, Some(record), Some(by), fields),
            CompanyAction::Create { fields, reason } => ("create", reason, None, None, fields),
            CompanyAction::Nothing { reason } => ("nothing", reason, None, None, Default::default()),
        };
        Self {
            action,
            reason,
            record: record.map(Into::into),
            matched_by: matched_by.map(MatchedBy::as_str),
            fields: shown(&fields),
            decisions: company.decisions.into_iter().map(Into::into).collect(),
        }
    }
}

/// Says what would be done for a lead now, rule by rule, without doing it.
///
/// Its record is looked up in the CRM by reading calls, which count towards the day's allowance, though not towards what is
/// kept of it for live leads; nothing is written or changed, neither there nor here. Of each destination 30 leads may be
/// explained at once, and then one every two minutes.
#[utoipa::path(
    get, path = "/leads/{source}/{lead_id}/explain", tag = "leads",
    params(("source" = String, Path), ("lead_id" = String, Path), ExplainQuery),
    responses(
        (status = 200, body = ExplanationView),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "As much as may be is being synced now", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "There is no such destination, or it does not get this source's leads", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Asked too often; `Retry-After` says when to ask again", body = Problem, content_type = "application/problem+json"),
        (status = 502, description = "The CRM did not answer the lookup", body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn explain(
    State(app): State<AdminState>,
    Named((source, lead_id)): Named<(String, String)>,
    Params(params): Params<ExplainQuery>,
) -> Result<Json<ExplanationView>, ApiError> {
    let key = LeadKey::new(source.as_str(), lead_id.as_str());
    let mut known = app.store.load_lead(&key).await?.ok_or_else(|| query::no_lead(&key))?;
    let destination = which(&app, &key, params.destination.as_deref())?;
    let explained = app.operations.explain_lead(&destination, &key).await?.ok_or_else(|| query::no_lead(&key))?;
    known.conflicts.retain(|conflict| conflict.destination == destination);
    let job = known.jobs.into_iter().find(|job| job.destination == destination);
    let explained = with_remedy(explained, job.as_ref(), &|code| app.operations.explain(&destination, code).remedy);
    let Explained { plan, not_asked, keys, found, waits, kept_back, api_calls } = explained;
    let shown = one(&app, &destination).await?;
    let is_planned = plan.as_ref().is_some_and(SyncPlan::writes);
    let waits = waits.or_else(|| is_planned.then(|| before_it_is_written(job.as_ref(), shown.observes())).flatten());
    let found = found.into_iter().map(|(record, by)| FoundView { record: record.into(), matched_by: by.as_str() });
    Ok(Json(ExplanationView {
        source,
        lead_id,
        destination: shown,
        job: job.map(Into::into),
        looked_up_by: keys,
        found: found.collect(),
        not_asked,
        plan: plan.map(|plan| PlanView::of(plan, kept_back, waits.as_deref()).asked_in(&known.conflicts)),
        waits,
        api_calls,
    }))
}

/// When what is planned for a lead comes to be written, where that is not a matter of moments.
fn before_it_is_written(job: Option<&JobRow>, observes: bool) -> Option<String> {
    if observes {
        return Some(
            "the destination only observes, and nothing is written: see `mode` in its configuration".to_owned(),
        );
    }
    let Some(job) = job else {
        return Some(
            "nothing is owed for the lead now: its next event, `sync` or a resync has this written".to_owned(),
        );
    };
    let due = job.due_at.filter(|_| job.state == "retrying")?;
    let last: Vec<&str> = [&job.code, &job.detail].into_iter().flatten().map(String::as_str).collect();
    let last = if last.is_empty() { "it failed".to_owned() } else { last.join(": ") };
    Some(format!("it is tried again at {due}; last time: {last}"))
}

/// With what helps a lead that planning holds; and with why one that is held or dead is not written now, whatever is planned.
fn with_remedy(explained: Explained, job: Option<&JobRow>, remedy_for: &dyn Fn(&str) -> &'static str) -> Explained {
    let Some(plan) = &explained.plan else { return explained };
    if let Action::Hold { code, .. } = plan.action {
        let waits = explained.waits.map(|waits| format!("{}. {}", waits.trim_end_matches('.'), remedy_for(code)));
        return Explained { waits, ..explained };
    }
    let is_open = plan.writes() && explained.kept_back.is_none();
    let Some((waits, kept_back)) = job.filter(|_| is_open).and_then(|job| not_due(job, remedy_for)) else {
        return explained;
    };
    Explained { waits: Some(waits), kept_back: Some(kept_back), ..explained }
}

fn not_due(job: &JobRow, remedy_for: &dyn Fn(&str) -> &'static str) -> Option<(String, KeptBack)> {
    let (what, until) = match job.state {
        "held" => ("held", "the lead is synced: by a person's sync, by an event of it, or by the daily look"),
        "dead" => {
            ("a dead letter", "the lead is tried again: by a person's retry, by an event of it, or by itself in days")
        }
        _ => return None,
    };
    let (code, detail) = (job.code.as_deref().unwrap_or_default(), job.detail.as_deref().unwrap_or_default());
    let kept_back = KeptBack { code: job.code.clone(), until: until.to_owned() };
    let why = detail.trim_end_matches('.');
    Some((format!("the lead is {what} ({code}): {why}. {}", remedy_for(code)), kept_back))
}

/// The destination that is meant, if it gets this source's leads.
fn which(app: &AdminState, lead: &LeadKey, named: Option<&str>) -> Result<DestinationName, ApiError> {
    let all = app.operations.destinations();
    let mut names: Vec<DestinationName> =
        all.into_iter().filter(|known| known.sources.contains(&lead.source)).map(|known| known.name).collect();
    if let Some(place) = names.iter().position(|known| Some(known.as_str()) == named) {
        return Ok(names.swap_remove(place));
    }
    match (named, names.as_slice()) {
        (None, [only]) => Ok(only.clone()),
        (_, []) => Err(ApiError::Invalid(format!("destination: none gets leads of {}", lead.source))),
        (_, names) => {
            let names: Vec<&str> = names.iter().map(DestinationName::as_str).collect();
            Err(ApiError::Invalid(format!("destination: write one of {}", names.join(", "))))
        }
    }
}
