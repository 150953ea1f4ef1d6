//! Dead letters: what is not tried again by itself.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::audit::{Change, record};
use super::query::{self, Body, ListOf, Named, Params};
use super::shown::{Count, Time};
use super::state::AdminState;
use crate::domain::ids::{DestinationName, LeadKey};
use crate::http::auth::Caller;
use crate::http::error::{ApiError, Problem};
use crate::store::{DeadLetter, DeadLetterFilter};

const MOST_NAMED: usize = 1000;

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
    /// Destination, source and lead ID, by which `retry` and `discard` know it; the same as long as it is dead.
    #[schema(example = "salesforce/klozeo/cl_4711")]
    id: String,
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
            id: format!("{}/{}", letter.destination, letter.lead),
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
    responses((status = 200, body = ListOf<DeadLetterView>))
)]
pub(super) async fn list(
    State(app): State<AdminState>,
    Params(params): Params<DeadLetterQuery>,
) -> Result<Json<ListOf<DeadLetterView>>, ApiError> {
    let page = query::page(params.limit, params.cursor)?;
    let leads = one_lead(params.source.as_deref(), params.lead_id.as_deref())?;
    let filter = DeadLetterFilter { leads, destination: params.destination, source: params.source, code: params.code };
    Ok(Json(ListOf::showing(app.store.list_dead_letters(&filter, &page).await?, DeadLetterView::from)))
}

fn one_lead(source: Option<&str>, lead_id: Option<&str>) -> Result<Vec<LeadKey>, ApiError> {
    match (source, lead_id) {
        (_, None) => Ok(Vec::new()),
        (Some(source), Some(lead_id)) => Ok(vec![LeadKey::new(source, lead_id)]),
        (None, Some(_)) => Err(ApiError::Invalid("lead_id: give `source` with it".to_owned())),
    }
}

/// Which dead letters: all that is given must hold. At least one of these, or `all`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WhichDeadLetters {
    /// This one.
    id: Option<String>,
    /// These, by `id` as they are listed; 1 to 1000.
    ids: Option<Vec<String>>,
    /// Those of these leads; 1 to 1000.
    leads: Option<Vec<LeadName>>,
    destination: Option<String>,
    source: Option<String>,
    /// With `source`: one lead.
    lead_id: Option<String>,
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
    /// One filter, or one for each destination of the IDs.
    fn filters(self) -> Result<Vec<DeadLetterFilter>, ApiError> {
        let wrong = |text: String| Err(ApiError::Invalid(text));
        // To the store, no leads named means all of them.
        for (name, is_empty) in [
            ("ids", self.ids.as_ref().is_some_and(Vec::is_empty)),
            ("leads", self.leads.as_ref().is_some_and(Vec::is_empty)),
        ] {
            if is_empty {
                return wrong(format!(
                    "{name}: the list is empty, which names no dead letter; name at least one, or leave it out"
                ));
            }
        }
        let ids: Vec<String> = self.id.into_iter().chain(self.ids.unwrap_or_default()).collect();
        let leads = self.leads.unwrap_or_default();
        let ways = [!ids.is_empty(), !leads.is_empty(), self.lead_id.is_some()];
        let is_filtered = [&self.destination, &self.source, &self.code].into_iter().any(Option::is_some);
        match ways.into_iter().filter(|given| *given).count() {
            0 if !is_filtered && !self.all => {
                let all = "or `\"all\": true` for every dead letter";
                return wrong(format!("write `ids`, `leads`, `destination`, `source` or `code`, {all}"));
            }
            0 | 1 => {}
            _ => return wrong("ids, leads, lead_id: write one of these only".to_owned()),
        }
        if ids.len().max(leads.len()) > MOST_NAMED {
            return wrong(format!("ids, leads: at most {MOST_NAMED} at once"));
        }
        let key = |lead: LeadName| LeadKey::new(lead.source.as_str(), lead.lead_id.as_str());
        let one = one_lead(self.source.as_deref(), self.lead_id.as_deref())?;
        let of = DeadLetterFilter {
            leads: leads.into_iter().map(key).chain(one).collect(),
            destination: self.destination,
            source: self.source,
            code: self.code,
        };
        if ids.is_empty() {
            return Ok(vec![of]);
        }
        let mut named: BTreeMap<DestinationName, Vec<LeadKey>> = BTreeMap::new();
        for id in &ids {
            let (destination, lead) = parse(id)?;
            named.entry(destination).or_default().push(lead);
        }
        named.retain(|name, _| of.destination.as_deref().is_none_or(|only| only == name.as_str()));
        let filter = |(name, leads): (DestinationName, _)| {
            let destination = Some(name.to_string());
            DeadLetterFilter { leads, destination, ..of.clone() }
        };
        Ok(named.into_iter().map(filter).collect())
    }
}

/// Reads the ID of a dead letter. Names of destinations and sources have no slash in them.
fn parse(id: &str) -> Result<(DestinationName, LeadKey), ApiError> {
    let mut parts = id.splitn(3, '/');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(destination), Some(source), Some(lead)) => Ok((destination.into(), LeadKey::new(source, lead))),
        _ => Err(ApiError::Invalid(format!(
            "ids: {id} is none; write `id` as GET /admin/v1/dead-letters lists it, such as salesforce/klozeo/cl_4711"
        ))),
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
    retry_all_of(&app, &caller, which.filters()?).await
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
    retry_all_of(&app, &caller, vec![filter]).await
}

async fn retry_all_of(
    app: &AdminState,
    caller: &Caller,
    filters: Vec<DeadLetterFilter>,
) -> Result<(axum::http::StatusCode, Json<Count>), ApiError> {
    let count = end(app, caller, End::Retry, &filters).await?;
    for destination in app.operations.destinations() {
        app.operations.wake(&destination.name);
    }
    Ok((axum::http::StatusCode::ACCEPTED, Json(count)))
}

/// How a dead letter ends.
#[derive(Clone, Copy)]
enum End {
    Retry,
    Discard,
}

async fn end(app: &AdminState, caller: &Caller, how: End, filters: &[DeadLetterFilter]) -> Result<Count, ApiError> {
    let mut all = 0;
    for filter in filters {
        let now = app.clock.now();
        let (action, count) = match how {
            End::Retry => ("dead_letters.retry", app.store.retry_dead_letters(filter, now).await?),
            End::Discard => ("dead_letters.discard", app.store.discard_dead_letters(filter, &caller.name, now).await?),
        };
        record(app, caller, Change::new(action, "dead letters").saying(in_words(filter, count))).await?;
        all += count;
    }
    Ok(Count { count: all })
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
    end(&app, &caller, End::Discard, &which.filters()?).await.map(Json)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(body: &str) -> Result<Vec<DeadLetterFilter>, String> {
        let which: WhichDeadLetters = serde_json::from_str(body).unwrap();
        which.filters().map_err(|error| format!("{error:?}"))
    }

    #[test]
    fn ids_name_each_lead_at_its_destination() {
        let named = filters(r#"{"id":"b/klozeo/x/y","ids":["a/klozeo/1","b/web/2"],"code":"RULE"}"#).unwrap();
        let told: Vec<_> =
            named.iter().map(|of| (of.destination.as_deref(), of.code.as_deref(), &of.leads[..])).collect();
        let (one, of_b) = ([LeadKey::new("klozeo", "1")], [LeadKey::new("klozeo", "x/y"), LeadKey::new("web", "2")]);
        assert_eq!(told, [(Some("a"), Some("RULE"), &one[..]), (Some("b"), Some("RULE"), &of_b[..])]);
        let only = filters(r#"{"ids":["a/klozeo/1","b/web/2"],"destination":"b"}"#).unwrap();
        assert_eq!((only.len(), only[0].leads.len()), (1, 1));
    }

    #[test]
    fn a_request_that_names_nothing_or_two_things_at_once_is_refused() {
        let wrong = [
            ("{}", "\\\"all\\\": true"),
            (r#"{"ids":["a/1"]}"#, "a/1 is none"),
            (r#"{"lead_id":"1"}"#, "give `source`"),
            (r#"{"ids":["a/b/1"],"source":"b","lead_id":"1"}"#, "one of these only"),
            (r#"{"ids":[],"destination":"a"}"#, "ids: the list is empty"),
            (r#"{"leads":[],"all":true}"#, "leads: the list is empty"),
        ];
        for (body, says) in wrong {
            let error = filters(body).unwrap_err();
            assert!(error.contains(says), "{body}: {error}");
        }
        assert_eq!(filters(r#"{"all":true}"#).unwrap().len(), 1);
        assert_eq!(filters(r#"{"source":"b","lead_id":"1"}"#).unwrap()[0].leads, [LeadKey::new("b", "1")]);
    }
}
