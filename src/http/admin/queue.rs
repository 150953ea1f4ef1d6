//! The queue and what fails in it: figures per destination, errors by cause.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::query::{ListOf, Params};
use super::shown::Time;
use super::state::AdminState;
use crate::domain::time::Timestamp;
use crate::http::error::{ApiError, Problem};
use crate::http::figures::QueueTrend;
use crate::store::ErrorGroup;

/// What one destination is owed; at most one second old.
#[derive(Debug, Serialize, ToSchema)]
pub struct QueueView {
    destination: String,
    /// Due now.
    ready: u64,
    /// Being synced.
    leased: u64,
    /// Failed, and tried again by themselves.
    retrying: u64,
    /// Waiting for a person, a daily look or the CRM's schema; in no alert.
    held: u64,
    /// Dead letters.
    dead: u64,
    /// Age of the longest owed lead that is ready, leased or retrying.
    oldest_seconds: Option<u64>,
    /// Since the longest retrying one first failed.
    oldest_retry_seconds: Option<u64>,
    /// Leads settled per minute, over the last five.
    rate_per_minute: f64,
    /// Null: nothing is being settled, so nobody can tell.
    seconds_to_clear: Option<u64>,
    /// Whether more waits than ten minutes ago; null in the first ten minutes.
    growing: Option<bool>,
    /// Failed operations of the alerts' window, out of all that did something.
    failed: u64,
    operations: u64,
    /// Held leads by reason.
    held_codes: BTreeMap<String, u64>,
}

impl QueueView {
    fn of(trend: &QueueTrend, now: Timestamp) -> Self {
        let figures = &trend.figures;
        let age = |since: Option<Timestamp>| since.map(|since| now.since(since).as_secs());
        Self {
            destination: figures.destination.to_string(),
            ready: figures.ready,
            leased: figures.leased,
            retrying: figures.retrying,
            held: figures.held,
            dead: figures.dead,
            oldest_seconds: age(figures.oldest),
            oldest_retry_seconds: age(figures.oldest_retry),
            rate_per_minute: trend.per_minute,
            seconds_to_clear: trend.seconds_to_clear,
            growing: trend.growing,
            failed: trend.failed,
            operations: trend.operations,
            held_codes: figures.held_codes.iter().cloned().collect(),
        }
    }
}

/// Shows what each destination is owed, and whether it becomes more.
#[utoipa::path(get, path = "/queue", tag = "operation", responses((status = 200, body = ListOf<QueueView>)))]
pub(super) async fn show(State(app): State<AdminState>) -> Result<Json<ListOf<QueueView>>, ApiError> {
    let snapshot = app.figures.look().await?;
    let now = app.clock.now();
    Ok(Json(ListOf::whole(snapshot.queues.iter().map(|trend| QueueView::of(trend, now)).collect())))
}

/// How far back.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ErrorQuery {
    /// RFC 3339; failures from then on. The last 24 hours if left out.
    from: Option<String>,
}

/// Failures with one cause.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorView {
    destination: String,
    /// A stable word; the CRM's own code where it gave one.
    code: String,
    count: u64,
    /// Distinct leads.
    leads: u64,
    first_seen: Time,
    last_seen: Time,
    meaning: &'static str,
    /// What to do.
    remedy: &'static str,
}

impl From<ErrorGroup> for ErrorView {
    fn from(group: ErrorGroup) -> Self {
        let (meaning, remedy) = explain(&group.code);
        Self {
            destination: group.destination.to_string(),
            code: group.code,
            count: group.count,
            leads: group.leads,
            first_seen: group.first_seen.into(),
            last_seen: group.last_seen.into(),
            meaning,
            remedy,
        }
    }
}

/// What an error code means and what to do about it. The words are Salesforce's and our own.
fn explain(code: &str) -> (&'static str, &'static str) {
    match code {
        "throttled" | "REQUEST_LIMIT_EXCEEDED" => (
            "The CRM limits the rate or the daily number of calls.",
            "Nothing if it passes by itself. Else lower `limits.concurrency`, set `limits.linger`, or buy more calls.",
        ),
        "no_answer" => (
            "A request was sent and no answer came; it may have been executed.",
            "Nothing: the next attempt looks first. If it goes on, look at the network and at the CRM's status page.",
        ),
        "invalid_client" | "invalid_client_id" | "invalid_grant" | "INVALID_SESSION_ID" | "INVALID_LOGIN" => (
            "The CRM refuses our login.",
            "Check the connected app and the client's ID and secret, then run `leadrelay check`.",
        ),
        "REQUIRED_FIELD_MISSING" => (
            "The CRM requires a field that the lead has no value for.",
            "Map the field, or give its row a `default`; then retry the dead letters.",
        ),
        "STRING_TOO_LONG" => (
            "A value is longer than the CRM's field.",
            "Widen the field in the CRM, or set `too_long = \"truncate\"` in its row.",
        ),
        "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST" => (
            "A restricted picklist does not have the value.",
            "Add the value in the CRM, or map it in the row's `values`.",
        ),
        "FIELD_CUSTOM_VALIDATION_EXCEPTION" => (
            "A validation rule of the CRM refuses the record; the error's text is the rule's.",
            "Correct the lead, or exempt the integration's user from the rule; then retry the dead letters.",
        ),
        "DUPLICATES_DETECTED" | "DUPLICATE_VALUE" => (
            "The CRM says that the record exists already.",
            "Look at the lead's conflicts: a person decides which record it is.",
        ),
        "INVALID_EMAIL_ADDRESS" => (
            "The CRM does not take the value for an e-mail address.",
            "Correct it in the lead system; the next event syncs the lead.",
        ),
        "INVALID_FIELD" | "INVALID_FIELD_FOR_INSERT_UPDATE" | "NO_SUCH_COLUMN" => (
            "The CRM has no such field any more, or hides it from our user.",
            "Restore the field or its visibility, or take its row out of the mapping; `leadrelay check` shows which.",
        ),
        "INSUFFICIENT_ACCESS_OR_READONLY" | "INSUFFICIENT_ACCESS" | "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY" => {
            (
                "Our user may not change the record or a field of it.",
                "Give the integration's user the right in the CRM, then retry the dead letters.",
            )
        }
        "STORAGE_LIMIT_EXCEEDED" => ("The CRM's storage is full.", "Free or buy storage in the CRM."),
        "UNABLE_TO_LOCK_ROW" | "SERVER_UNAVAILABLE" | "UNKNOWN_EXCEPTION" | "unavailable" => (
            "The CRM could not do it now.",
            "Nothing: it is tried again by itself. If it goes on, look at the CRM's status page.",
        ),
        "ENTITY_IS_DELETED" | "converted" => (
            "The record was deleted, merged or converted in the CRM.",
            "Decide in the CRM what should become of it; then sync the lead.",
        ),
        _ => (
            "An answer of the CRM, or a state of the lead, that has no explanation here.",
            "The sync log (`error` = this code) has the full text. After mending its cause, retry the dead letters.",
        ),
    }
}

const ERRORS_SINCE: Duration = Duration::from_secs(24 * 3600);

/// Groups failures by destination and cause, with what each means and what to do.
#[utoipa::path(
    get, path = "/errors", tag = "operation", params(ErrorQuery),
    responses((status = 200, body = ListOf<ErrorView>), (status = 422, body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn errors(
    State(app): State<AdminState>,
    Params(params): Params<ErrorQuery>,
) -> Result<Json<ListOf<ErrorView>>, ApiError> {
    let from = super::query::time("from", params.from.as_deref())?;
    let since = from.unwrap_or_else(|| app.clock.now().before(ERRORS_SINCE));
    let groups = app.store.group_errors(since).await?;
    Ok(Json(ListOf::whole(groups.into_iter().map(ErrorView::from).collect())))
}
