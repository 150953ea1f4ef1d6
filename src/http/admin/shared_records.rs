//! Two leads on one record, and records that may be one person's.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::audit::{Change, record};
use super::query::{self, Body, ListOf, Params};
use super::shown::{Record, Time};
use super::state::AdminState;
use crate::domain::ids::LeadKey;
use crate::domain::plan::ConflictKind;
use crate::http::auth::Caller;
use crate::http::error::{ApiError, Problem};
use crate::store::{
    Compared, ConflictFilter, ConflictRow, ConflictState, Page, PairedLead, PairedOther, SharedFilter, SharedKind,
    SharedPair, StoreResult, ToldApart,
};

/// A lead that owns more shared records, or was asked about more often, is told of in general words.
const MOST_LOOKED_AT: u32 = 500;

/// Filters; all can be combined. `source`, `lead_id` and `record_id` may be those of either lead.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SharedQuery {
    /// `shared` or `suspected`
    kind: Option<String>,
    /// Only what a person decided, or only what none did
    by_hand: Option<bool>,
    destination: Option<String>,
    source: Option<String>,
    lead_id: Option<String>,
    record_id: Option<String>,
    /// 1 to 500; 50 if left out
    limit: Option<u32>,
    /// `next` of the page before
    cursor: Option<String>,
}

/// Two leads of one destination, or a lead and a record of the CRM that no lead is.
#[derive(Debug, Serialize, ToSchema)]
pub struct SharedPairView {
    /// `shared`: both are one record. `suspected`: they are two records that have something in common and that no rule
    /// brought together.
    kind: &'static str,
    destination: String,
    /// Shared: how the record was recognised, `link` where a person linked it. Suspected: `email`, or `name_and_domain` of a
    /// company's address.
    #[schema(example = "email")]
    by: String,
    /// Whether a person decided it: linked one of the leads, answered the question that a rule put about the two, or dismissed
    /// the suspicion.
    by_hand: bool,
    /// When the lead came to share the record, or was first suspected.
    since: Time,
    lead: PairedLeadView,
    /// The owner of the record, or the lead that it is compared with: of many with one address, the first. Without `source` and
    /// `lead_id`: a record of the CRM that no lead is, such as a sales rep's own.
    other: PairedOtherView,
}

/// One of them, and the record that it is.
#[derive(Debug, Serialize, ToSchema)]
pub struct PairedLeadView {
    source: String,
    lead_id: String,
    name: Option<String>,
    email: Option<String>,
    record: Record,
}

/// With which it is compared, and the record that it is.
#[derive(Debug, Serialize, ToSchema)]
pub struct PairedOtherView {
    source: Option<String>,
    lead_id: Option<String>,
    name: Option<String>,
    email: Option<String>,
    record: Record,
}

impl From<PairedOther> for PairedOtherView {
    fn from(other: PairedOther) -> Self {
        let (source, lead_id) = other.lead.map(|lead| (lead.source.to_string(), lead.id.to_string())).unzip();
        Self { source, lead_id, name: other.name, email: other.email, record: other.record.into() }
    }
}

impl From<PairedLead> for PairedLeadView {
    fn from(paired: PairedLead) -> Self {
        Self {
            source: paired.lead.source.to_string(),
            lead_id: paired.lead.id.to_string(),
            name: paired.name,
            email: paired.email,
            record: paired.record.into(),
        }
    }
}

impl From<SharedPair> for SharedPairView {
    fn from(pair: SharedPair) -> Self {
        Self {
            kind: pair.kind.as_str(),
            destination: pair.destination.to_string(),
            by: pair.by,
            by_hand: pair.by_hand,
            since: pair.since.into(),
            lead: pair.lead.into(),
            other: pair.other.into(),
        }
    }
}

/// Lists two leads on one record as they are now, and records that may be one person's as the last search found them: each day,
/// and when it is asked for. Newest first.
#[utoipa::path(
    get, path = "/shared-records", tag = "leads", params(SharedQuery),
    responses((status = 200, body = ListOf<SharedPairView>))
)]
pub(super) async fn list(
    State(app): State<AdminState>,
    Params(params): Params<SharedQuery>,
) -> Result<Json<ListOf<SharedPairView>>, ApiError> {
    let kind = query::word("kind", params.kind.as_deref(), SharedKind::parse, &["shared", "suspected"])?;
    let page = query::page(params.limit, params.cursor)?;
    let filter = SharedFilter {
        kind,
        by_hand: params.by_hand,
        destination: params.destination,
        source: params.source,
        lead_id: params.lead_id,
        record_id: params.record_id,
    };
    Ok(Json(ListOf::showing(app.store.list_shared(&filter, &page).await?, SharedPairView::from)))
}

/// The search that was started.
#[derive(Debug, Serialize, ToSchema)]
pub struct SearchView {
    /// `GET /admin/v1/runs/{id}` tells how far it is.
    run: i64,
}

/// Searches for records that may be one person's now, as a run, and not only with the next daily search.
#[utoipa::path(
    post, path = "/shared-records/search", tag = "leads",
    responses(
        (status = 202, description = "Started", body = SearchView),
        (status = 409, description = "A search is under way", body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn search(
    State(app): State<AdminState>,
    caller: Caller,
) -> Result<(StatusCode, Json<SearchView>), ApiError> {
    let Some(run) = app.operations.search_duplicates(&caller.name).await? else {
        return Err(ApiError::Conflict("A search is under way; GET /admin/v1/runs shows it.".to_owned()));
    };
    record(&app, &caller, Change::new("duplicates.search", format!("run {run}"))).await?;
    Ok((StatusCode::ACCEPTED, Json(SearchView { run })))
}

/// A suspected pair, as it is listed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SuspectedPair {
    #[schema(example = "salesforce")]
    destination: String,
    lead: NamedLead,
    other: NamedOther,
    /// Shown in the audit log.
    note: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NamedLead {
    #[schema(example = "klozeo")]
    source: String,
    lead_id: String,
}

/// A lead, or a record that no lead is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NamedOther {
    source: Option<String>,
    lead_id: Option<String>,
    /// Instead of both
    #[schema(example = "00Q5e000001AbCdEAK")]
    record_id: Option<String>,
}

impl NamedOther {
    fn compared(self) -> Result<Compared, ApiError> {
        match (self.source, self.lead_id, self.record_id) {
            (Some(source), Some(lead), None) => Ok(Compared::Lead(LeadKey::new(source.as_str(), lead.as_str()))),
            (None, None, Some(record)) => Ok(Compared::Record(record.as_str().into())),
            _ => Err(ApiError::Invalid(
                "`other` names a lead by `source` and `lead_id`, or a record by `record_id`.".to_owned(),
            )),
        }
    }
}

impl From<NamedLead> for LeadKey {
    fn from(named: NamedLead) -> Self {
        LeadKey::new(named.source.as_str(), named.lead_id.as_str())
    }
}

/// Says that a suspected pair are two people: it counts as decided `by_hand`, and later searches do not bring it up again.
/// Nothing is changed in the CRM.
#[utoipa::path(
    post, path = "/shared-records/dismiss", tag = "leads", request_body = SuspectedPair,
    responses(
        (status = 204, description = "Dismissed"), (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "The two are not suspected; `detail` says what they are, and what helps instead", body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn dismiss(
    State(app): State<AdminState>,
    caller: Caller,
    Body(pair): Body<SuspectedPair>,
) -> Result<StatusCode, ApiError> {
    tell(&app, &caller, pair, true).await
}

/// Takes a dismissal back: the pair is suspected again.
#[utoipa::path(
    post, path = "/shared-records/reopen", tag = "leads", request_body = SuspectedPair,
    responses(
        (status = 204, description = "Suspected again"), (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "The two are not suspected; `detail` says what they are, and what helps instead", body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn reopen(
    State(app): State<AdminState>,
    caller: Caller,
    Body(pair): Body<SuspectedPair>,
) -> Result<StatusCode, ApiError> {
    tell(&app, &caller, pair, false).await
}

async fn tell(app: &AdminState, caller: &Caller, pair: SuspectedPair, apart: bool) -> Result<StatusCode, ApiError> {
    let (lead, other) = (LeadKey::from(pair.lead), pair.other.compared()?);
    let told = ToldApart { destination: pair.destination.as_str().into(), lead, other, apart };
    if !app.store.tell_apart(&told).await? {
        return Err(ApiError::NoSuch(instead(app, &told).await?));
    }
    let action = if apart { "duplicates.dismiss" } else { "duplicates.reopen" };
    // Each lead's row names it alone, so that it goes with its lead when that is erased.
    let other = if let Compared::Lead(other) = &told.other { Some(other) } else { None };
    for lead in [&told.lead].into_iter().chain(other) {
        let mut change = Change::new(action, format!("lead {lead}")).of_lead(lead);
        if let Some(note) = &pair.note {
            change = change.saying(note);
        }
        record(app, caller, change).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// What two are that are not suspected, and what can be done about that.
async fn instead(app: &AdminState, told: &ToldApart) -> StoreResult<String> {
    let shared = match &told.other {
        Compared::Lead(other) => find_shared(app, told, other).await?.map(|pair| (pair, other)),
        Compared::Record(_) => None,
    };
    let Some((pair, other)) = shared else {
        return Ok(
            "The two are not suspected, or not in this order; GET /admin/v1/shared-records?kind=suspected lists \
                   the pairs that are, as they have to be written."
                .to_owned(),
        );
    };
    let (lead, destination) = (&pair.lead.lead, &pair.destination);
    let of_both = if lead == other { &told.lead } else { other };
    let what = format!("{lead} and {of_both} are one record, a pair of kind `shared`");
    let unlink = format!("DELETE /admin/v1/leads/{}/{}/links/{destination}", lead.source, lead.id);
    let apart = format!("If they are two people, unlink {lead}: {unlink}");
    Ok(match newest_question(app, &pair).await?.map(|row| (row.id, row.state)) {
        Some((id, ConflictState::Open)) => format!(
            "{what}. Answer the question about it: POST /admin/v1/conflicts/{id}/resolve, where `create` says that they are \
             two people."
        ),
        Some((id, ConflictState::Resolved { choice, .. })) => {
            format!("{what}; conflict {id} was answered with `{}`. {apart}.", choice.as_str())
        }
        Some((_, ConflictState::Moot { .. })) | None => format!("{what}. {apart}."),
    })
}

/// The two as leads of one record, in whatever order they are named.
async fn find_shared(app: &AdminState, told: &ToldApart, other: &LeadKey) -> StoreResult<Option<SharedPair>> {
    for (lead, other) in [(&told.lead, other), (other, &told.lead)] {
        let filter = SharedFilter {
            kind: Some(SharedKind::Shared),
            destination: Some(told.destination.to_string()),
            source: Some(lead.source.to_string()),
            lead_id: Some(lead.id.to_string()),
            ..SharedFilter::default()
        };
        let listed = app.store.list_shared(&filter, &Page { limit: MOST_LOOKED_AT, cursor: None }).await?;
        let is_it = |pair: &SharedPair| pair.lead.lead == *lead && pair.other.lead.as_ref() == Some(other);
        if let Some(pair) = listed.items.into_iter().find(is_it) {
            return Ok(Some(pair));
        }
    }
    Ok(None)
}

/// What a person was asked last about the lead's being this record.
async fn newest_question(app: &AdminState, pair: &SharedPair) -> StoreResult<Option<ConflictRow>> {
    let filter = ConflictFilter {
        kind: Some(ConflictKind::SharedRecord),
        source: Some(pair.lead.lead.source.to_string()),
        lead_id: Some(pair.lead.lead.id.to_string()),
        destination: Some(pair.destination.to_string()),
        ..ConflictFilter::default()
    };
    let listed = app.store.list_conflicts(&filter, &Page { limit: MOST_LOOKED_AT, cursor: None }).await?;
    Ok(listed.items.into_iter().find(|row| row.question.record.as_ref() == Some(&pair.lead.record)))
}
