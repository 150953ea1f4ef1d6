//! Dead letters: what is not tried again by itself.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::audit::{Change, record};
use super::query::{self, Body, ListOf, Named, Params};
use super::shown::{Count, Time};
use super::state::AdminState;
use crate::domain::ids::LeadKey;
use crate::http::auth::Caller;
use crate::http::error::{ApiError, Problem};
use crate::store::{DeadLetter, DeadLetterFilter};

const MOST_LEADS: usize = 1000;

/// Filters; all can be combined.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeadLetterQuery {
    destination: Option<String>,
    source: Option<String>,
    /// An error code.
    code: Option<String>,
    /// With `source`: one lead.
    lead_id: Option<String>,
    /// 1 to 500; 50 if left out
    limit: Option<u32>,
    /// `next` of the page before
    cursor: Option<String>,
}

/// A lead that was given up for one destination until something changes.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeadLetterView {
    source: String,
    lead_id: String,
    destination: String,
    code: String,
    detail: String,
    attempt: u32,
    owed_since: Time,
    died_at: Time,
    /// When it is tried once more by itself.
    look_again_at: Option<Time>,
}

impl From<DeadLetter> for DeadLetterView {
    fn from(letter: DeadLetter) -> Self {
        Self {
            source: letter.lead.source.to_string(),
            lead_id: letter.lead.id.to_string(),
            destination: letter.destination.to_string(),
            code: letter.code,
            detail: letter.detail,
            attempt: letter.attempt,
            owed_since: letter.owed_since.into(),
            died_at: letter.died_at.into(),
            look_again_at: letter.look_again_at.map(Into::into),
        }
    }
}

/// Lists dead letters, newest first.
#[utoipa::path(
    get, path = "/dead-letters", tag = "dead letters", params(DeadLetterQuery),
    responses((status = 200, body = ListOf<DeadLetterView>), (status = 400, body = Problem, content_type = "application/problem+json"), (status = 422, body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn list(
    State(app): State<AdminState>,
    Params(params): Params<DeadLetterQuery>,
) -> Result<Json<ListOf<DeadLetterView>>, ApiError> {
    let page = query::page(params.limit, params.cursor)?;
    let leads = match (&params.source, params.lead_id) {
        (_, None) => Vec::new(),
        (Some(source), Some(lead_id)) => vec![LeadKey::new(source.as_str(), lead_id.as_str())],
        (None, Some(_)) => return Err(ApiError::Invalid("lead_id: give `source` with it".to_owned())),
    };
    let filter = DeadLetterFilter { leads, destination: params.destination, source: params.source, code: params.code };
    Ok(Json(ListOf::showing(app.store.list_dead_letters(&filter, &page).await?, DeadLetterView::from)))
}

/// Which dead letters. At least one filter, or `all`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WhichDeadLetters {
    /// These leads; at most 1000.
    #[serde(default)]
    leads: Vec<LeadName>,
    destination: Option<String>,
    source: Option<String>,
    /// An error code.
    code: Option<String>,
    /// Every dead letter there is.
    #[serde(default)]
    all: bool,
}

/// A lead.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LeadName {
    source: String,
    lead_id: String,
}

impl WhichDeadLetters {
    fn filter(self) -> Result<DeadLetterFilter, ApiError> {
        let is_open =
            self.leads.is_empty() && [&self.destination, &self.source, &self.code].into_iter().all(Option::is_none);
        if is_open && !self.all {
            let text = "write `leads`, `destination`, `source` or `code`, or `\"all\": true` for every dead letter";
            return Err(ApiError::Invalid(text.to_owned()));
        }
        if self.leads.len() > MOST_LEADS {
            return Err(ApiError::Invalid(format!("leads: at most {MOST_LEADS} at once")));
        }
        let key = |lead: LeadName| LeadKey::new(lead.source.as_str(), lead.lead_id.as_str());
        Ok(DeadLetterFilter {
            leads: self.leads.into_iter().map(key).collect(),
            destination: self.destination,
            source: self.source,
            code: self.code,
        })
    }
}

fn in_words(filter: &DeadLetterFilter, count: u64) -> String {
    let named = [("destination", &filter.destination), ("source", &filter.source), ("code", &filter.code)];
    let named = named.iter().filter_map(|(name, value)| Some(format!(", {name} {}", value.as_ref()?)));
    let leads = if filter.leads.is_empty() { String::new() } else { format!(", {} leads named", filter.leads.len()) };
    format!("{count} dead letters{leads}{}", named.collect::<String>())
}

/// Makes dead letters due now, whatever refused them before.
#[utoipa::path(
    post, path = "/dead-letters/retry", tag = "dead letters", request_body = WhichDeadLetters,
    responses((status = 202, body = Count), (status = 422, body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn retry(
    State(app): State<AdminState>,
    caller: Caller,
    Body(which): Body<WhichDeadLetters>,
) -> Result<(axum::http::StatusCode, Json<Count>), ApiError> {
    retry_all_of(&app, &caller, &which.filter()?).await
}

/// Makes every dead letter with this error code due now, whatever its lead or destination.
#[utoipa::path(
    post, path = "/errors/{code}/retry", tag = "operation", params(("code" = String, Path, description = "As `GET /errors` names it")),
    responses((status = 202, body = Count))
)]
pub(super) async fn retry_error(
    State(app): State<AdminState>,
    caller: Caller,
    Named(code): Named<String>,
) -> Result<(axum::http::StatusCode, Json<Count>), ApiError> {
    let filter = DeadLetterFilter { leads: Vec::new(), destination: None, source: None, code: Some(code) };
    retry_all_of(&app, &caller, &filter).await
}

async fn retry_all_of(
    app: &AdminState,
    caller: &Caller,
    filter: &DeadLetterFilter,
) -> Result<(axum::http::StatusCode, Json<Count>), ApiError> {
    let count = app.store.retry_dead_letters(filter, app.clock.now()).await?;
    let change = Change::new("dead_letters.retry", "dead letters").saying(in_words(filter, count));
    record(app, caller, change).await?;
    for destination in app.operations.destinations() {
        app.operations.wake(&destination.name);
    }
    Ok((axum::http::StatusCode::ACCEPTED, Json(Count { count })))
}

/// Drops dead letters; each leaves a row `skip` in the sync log. The next event of its lead owes it again.
#[utoipa::path(
    post, path = "/dead-letters/discard", tag = "dead letters", request_body = WhichDeadLetters,
    responses((status = 200, body = Count), (status = 422, body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn discard(
    State(app): State<AdminState>,
    caller: Caller,
    Body(which): Body<WhichDeadLetters>,
) -> Result<Json<Count>, ApiError> {
    let filter = which.filter()?;
    let count = app.store.discard_dead_letters(&filter, &caller.name, app.clock.now()).await?;
    let change = Change::new("dead_letters.discard", "dead letters").saying(in_words(&filter, count));
    record(&app, &caller, change).await?;
    Ok(Json(Count { count }))
}
