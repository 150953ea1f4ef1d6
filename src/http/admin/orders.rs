//! What people order for single leads: exclude, include, link, unlink, erase.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::audit::{Change, record, tell};
use super::conflicts::{contradicts, revision};
use super::destinations;
use super::leads::LeadDetail;
use super::query::{self, Body, Named, Params};
use super::shown::Record;
use super::state::{AdminState, Erasing, LinkWish, OrderError};
use crate::domain::ids::{LeadKey, RecordRef};
use crate::http::auth::Caller;
use crate::http::error::{ApiError, Problem};
use crate::store::{Exclusion, Ordered};

impl From<OrderError> for ApiError {
    fn from(error: OrderError) -> Self {
        match error {
            OrderError::NotFound => ApiError::NoSuch(
                "There is no such destination; GET /admin/v1/destinations lists what there is.".to_owned(),
            ),
            OrderError::Wrong(detail) => ApiError::Invalid(detail),
            OrderError::NotNow(detail) => ApiError::Conflict(detail),
            OrderError::TooOften { retry_after } => ApiError::TooOften { retry_after },
            OrderError::Crm(detail) => ApiError::Crm(detail),
            OrderError::Store(error) => error.into(),
        }
    }
}

/// Excludes a lead from syncing: what is owed for it is dropped, its open conflicts close, and a record that it shares goes to
/// the oldest living lead on it. Its record in the CRM is left as it is. Excluding it again changes nothing.
#[utoipa::path(
    post, path = "/leads/{source}/{lead_id}/exclude", tag = "leads",
    params(("source" = String, Path), ("lead_id" = String, Path)),
    responses((status = 200, body = LeadDetail), (status = 404, body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn exclude(
    State(app): State<AdminState>,
    caller: Caller,
    Named((source, lead_id)): Named<(String, String)>,
) -> Result<Json<LeadDetail>, ApiError> {
    set_excluded(&app, &caller, LeadKey::new(source.as_str(), lead_id.as_str()), true).await
}

/// Includes an excluded lead again, which is synced at once.
#[utoipa::path(
    post, path = "/leads/{source}/{lead_id}/include", tag = "leads",
    params(("source" = String, Path), ("lead_id" = String, Path)),
    responses((status = 200, body = LeadDetail), (status = 404, body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn include(
    State(app): State<AdminState>,
    caller: Caller,
    Named((source, lead_id)): Named<(String, String)>,
) -> Result<Json<LeadDetail>, ApiError> {
    set_excluded(&app, &caller, LeadKey::new(source.as_str(), lead_id.as_str()), false).await
}

async fn set_excluded(
    app: &AdminState,
    caller: &Caller,
    lead: LeadKey,
    excluded: bool,
) -> Result<Json<LeadDetail>, ApiError> {
    app.store.load_lead(&lead).await?.ok_or_else(|| query::no_lead(&lead))?;
    let destinations = app.intake.source(lead.source.as_str()).map(|source| source.destinations.clone());
    let destinations = destinations.unwrap_or_default();
    let exclusion = Exclusion {
        lead: lead.clone(),
        excluded,
        destinations: destinations.clone(),
        by: caller.name.clone(),
        now: app.clock.now(),
    };
    if app.store.set_excluded(&exclusion).await? {
        tell(caller, if excluded { "lead.exclude" } else { "lead.include" }, &format!("lead {lead}"));
        destinations.iter().for_each(|destination| app.operations.wake(destination));
    }
    show(app, &lead).await
}

async fn show(app: &AdminState, lead: &LeadKey) -> Result<Json<LeadDetail>, ApiError> {
    Ok(Json(app.store.load_lead(lead).await?.ok_or_else(|| query::no_lead(lead))?.into()))
}

/// The record that a lead is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkRequest {
    /// The kind of record, by its API name.
    #[schema(example = "Lead")]
    object: String,
    /// The CRM's own ID of it.
    #[schema(example = "00Q5g00000AbCdEEAV")]
    record_id: String,
}

/// Links a lead to a record of the CRM, which must be there and belong to no other living lead. Its open conflicts there
/// close, the record gets the lead's external ID, and the lead is synced at once; values that differ go to each row's rule.
/// The record that it was before loses the ID, or goes to the oldest living lead that shares it.
#[utoipa::path(
    put, path = "/leads/{source}/{lead_id}/links/{destination}", tag = "leads",
    params(
        ("source" = String, Path), ("lead_id" = String, Path), ("destination" = String, Path),
        ("if-match" = Option<String>, Header, description = "The `revision` of the link as it was read, in quotes")
    ),
    request_body = LinkRequest,
    responses(
        (status = 200, body = LeadDetail), (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Another lead owns the record, or the CRM cannot be asked now", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "The link changed since it was read", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "No such record, or not one that a lead can be", body = Problem, content_type = "application/problem+json"),
        (status = 502, description = "The CRM refused or did not answer", body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn link(
    State(app): State<AdminState>,
    caller: Caller,
    Named((source, lead_id, destination)): Named<(String, String, String)>,
    headers: HeaderMap,
    Body(request): Body<LinkRequest>,
) -> Result<Json<LeadDetail>, ApiError> {
    for (name, text) in [("object", &request.object), ("record_id", &request.record_id)] {
        let plain = text.chars().all(|sign| sign.is_ascii_alphanumeric() || sign == '_');
        if text.is_empty() || !plain {
            return Err(ApiError::Invalid(format!(
                "{name}: write it as the CRM does, such as Lead and 00Q5g00000AbCdEEAV"
            )));
        }
    }
    if let Some(is) = app.operations.record_named(&destination.as_str().into(), &request.record_id)
        && is.object.as_str() != request.object
    {
        let told = contradicts(&request.object, &request.record_id, &is.object);
        return Err(ApiError::Invalid(format!("{told}; write that, or the ID of another record")));
    }
    let record = RecordRef { object: request.object.as_str().into(), id: request.record_id.as_str().into() };
    let lead = LeadKey::new(source.as_str(), lead_id.as_str());
    order(&app, &caller, lead, &destination, &headers, Some(record)).await
}

/// Unlinks a lead from its record, which loses the lead's external ID or goes to the oldest living lead that shares it. The
/// lead is then looked for again, among all other records; exclude it if it is to be none.
#[utoipa::path(
    delete, path = "/leads/{source}/{lead_id}/links/{destination}", tag = "leads",
    params(
        ("source" = String, Path), ("lead_id" = String, Path), ("destination" = String, Path),
        ("if-match" = Option<String>, Header, description = "The `revision` of the link as it was read, in quotes")
    ),
    responses(
        (status = 200, body = LeadDetail),
        (status = 404, description = "No such lead, destination or link", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The CRM cannot be asked now", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "The link changed since it was read", body = Problem, content_type = "application/problem+json"),
        (status = 502, description = "The CRM refused or did not answer", body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn unlink(
    State(app): State<AdminState>,
    caller: Caller,
    Named((source, lead_id, destination)): Named<(String, String, String)>,
    headers: HeaderMap,
) -> Result<Json<LeadDetail>, ApiError> {
    let lead = LeadKey::new(source.as_str(), lead_id.as_str());
    order(&app, &caller, lead, &destination, &headers, None).await
}

async fn order(
    app: &AdminState,
    caller: &Caller,
    lead: LeadKey,
    destination: &str,
    headers: &HeaderMap,
    wanted: Option<RecordRef>,
) -> Result<Json<LeadDetail>, ApiError> {
    let view = app.store.load_lead(&lead).await?.ok_or_else(|| query::no_lead(&lead))?;
    destinations::find(app, destination)?;
    if wanted.is_some() && view.row.excluded {
        return Err(ApiError::Conflict("The lead is excluded from syncing; include it first.".to_owned()));
    }
    let changed = || ApiError::Changed("Read the lead again; its link looks different now.".to_owned());
    let revision = match headers.get(header::IF_MATCH) {
        None => None,
        Some(tag) if tag.as_bytes() == b"*" => None,
        Some(tag) => Some(revision(tag).ok_or_else(changed)?),
    };
    let wish = LinkWish {
        destination: destination.into(),
        lead: lead.clone(),
        record: wanted.clone(),
        revision,
        by: caller.name.clone(),
    };
    match app.operations.order_link(&wish).await? {
        Ordered::NotLinked => Err(ApiError::NoSuch(format!("The lead {lead} is linked to nothing in {destination}."))),
        Ordered::Changed => Err(changed()),
        Ordered::OwnedBy(owner) => {
            Err(ApiError::Conflict(format!("The record belongs to lead {owner}; unlink or exclude that one first.")))
        }
        Ordered::Done => {
            let action = if wanted.is_some() { "lead.link" } else { "lead.unlink" };
            tell(caller, action, &format!("lead {lead} in {destination}"));
            show(app, &lead).await
        }
    }
}

/// How far erasing goes.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EraseQuery {
    /// Whether the records that the lead owns in CRMs are deleted too; false if left out.
    #[serde(default)]
    crm: bool,
}

/// What was erased.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErasedView {
    source: String,
    /// The name under which log and audit know the lead from now on.
    known_as: String,
    /// Events that were emptied, unreadable copies included.
    events: u64,
    /// Rows of the sync log that lost their values.
    log_rows: u64,
    /// The lead's records in CRMs.
    records: Vec<ErasedRecord>,
}

/// A record of an erased lead.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErasedRecord {
    destination: String,
    record: Record,
    deleted: bool,
    /// Why it was left.
    left_since: Option<String>,
}

impl From<Erasing> for ErasedView {
    fn from(Erasing { erased, records }: Erasing) -> Self {
        let record =
            |(destination, record, left_since): (crate::domain::ids::DestinationName, RecordRef, Option<String>)| {
                let deleted = left_since.is_none();
                ErasedRecord { destination: destination.to_string(), record: record.into(), deleted, left_since }
            };
        Self {
            source: erased.known_as.source.to_string(),
            known_as: erased.known_as.id.to_string(),
            events: erased.events,
            log_rows: erased.log_rows,
            records: records.into_iter().map(record).collect(),
        }
    }
}

/// Erases a lead: its events, bodies, document, bases, conflicts and jobs, and every value of it in the sync log. What was
/// done stays in the log as a fact, under a name that is made from a keyed hash; by that hash a webhook for the lead is known
/// later: it is answered 202 `ignored` and kept without data. It cannot be taken back.
#[utoipa::path(
    delete, path = "/leads/{source}/{lead_id}", tag = "leads",
    params(("source" = String, Path), ("lead_id" = String, Path), EraseQuery),
    responses(
        (status = 200, body = ErasedView),
        (status = 404, description = "Nothing is known of it, or it was erased", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It is being synced, or a CRM cannot be asked now; nothing was erased or deleted", body = Problem, content_type = "application/problem+json"),
        (status = 502, description = "A CRM refused or did not answer; nothing was erased here, and what was deleted in another CRM before is in the sync log; try again", body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn erase(
    State(app): State<AdminState>,
    caller: Caller,
    Named((source, lead_id)): Named<(String, String)>,
    Params(asked): Params<EraseQuery>,
) -> Result<Json<ErasedView>, ApiError> {
    let lead = LeadKey::new(source.as_str(), lead_id.as_str());
    let erasing = app.operations.erase(&lead, asked.crm).await?.ok_or_else(|| query::no_lead(&lead))?;
    let known_as = erasing.erased.known_as.clone();
    let deleted = erasing.records.iter().filter(|(.., left)| left.is_none());
    let deleted: Vec<String> =
        deleted.map(|(name, record, _)| format!("deleted {} {} in {name}", record.object, record.id)).collect();
    let change = Change::new("lead.erase", format!("lead {known_as}")).of_lead(&known_as);
    record(&app, &caller, if deleted.is_empty() { change } else { change.saying(deleted.join(", ")) }).await?;
    Ok(Json(erasing.into()))
}
