//! Refused requests: held for a day, and verified again once a secret was mended.

use std::collections::{BTreeSet, VecDeque};

use axum::Json;
use axum::extract::State;
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use tracing::Instrument;
use utoipa::{IntoParams, ToSchema};

use super::audit::{Change, record};
use super::events::HeaderView;
use super::query::{self, Body, ListOf, Named, Params};
use super::shown::Time;
use super::state::AdminState;
use crate::domain::time::Timestamp;
use crate::http::auth::Caller;
use crate::http::error::{ApiError, Problem};
use crate::intake::{EventStatus, SourceRuntime};
use crate::store::{RefusedDetail, RefusedFilter, RefusedFor, RefusedRow};

/// How many are taken in at a time: they share a commit, and webhooks that come meanwhile do not wait long.
const TOGETHER: usize = 20;
/// As many as a source may hold.
const MOST_IDS: usize = 1000;

/// Filters; all can be combined.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RefusedQuery {
    source: Option<String>,
    /// missing_signature, wrong_signature, missing_token, wrong_token or stale
    reason: Option<String>,
    /// 1 to 500; 50 if left out
    limit: Option<u32>,
    /// `next` of the page before
    cursor: Option<String>,
}

/// A request that was answered 401.
#[derive(Debug, Serialize, ToSchema)]
pub struct RefusedRequestView {
    id: i64,
    source: String,
    /// `missing_signature`, `missing_token`: none where the source's settings look for one, so that no secret can make it
    /// genuine; `wrong_signature`, `wrong_token`: no secret of the source goes with it; `stale`: genuine, but its time was
    /// too far from our clock. As it was judged last.
    reason: &'static str,
    remedy: &'static str,
    received_at: Time,
    /// The `x-request-id` of the answer.
    request_id: String,
    /// Bytes, those of the kept headers included.
    size: u64,
}

impl From<RefusedRow> for RefusedRequestView {
    fn from(row: RefusedRow) -> Self {
        Self {
            id: row.id,
            source: row.source.to_string(),
            reason: row.reason.as_str(),
            remedy: remedy(row.reason),
            received_at: row.received_at.into(),
            request_id: row.request_id.to_string(),
            size: row.size,
        }
    }
}

const fn remedy(reason: RefusedFor) -> &'static str {
    match reason {
        RefusedFor::MissingSignature => {
            "If it is a genuine sender's, let it sign its requests, or correct where [sources.NAME.verify] looks; what it \
             sent unsigned has to be sent again."
        }
        RefusedFor::MissingToken => {
            "If it is a genuine sender's, let it send its token, or correct where [sources.NAME.verify] looks for it; what \
             it sent without has to be sent again."
        }
        RefusedFor::WrongSignature | RefusedFor::WrongToken => {
            "If a secret was changed on one side only, write the sender's present one into `secrets`, reload, and verify again."
        }
        RefusedFor::Stale => {
            "Compare the two clocks. It was late already when it came; if that is in order, raise `tolerance`, reload, and \
             verify again."
        }
    }
}

/// A refused request with what is kept of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct RefusedDetailView {
    #[serde(flatten)]
    request: RefusedRequestView,
    /// Those that reading needs; never a signature or token.
    headers: Vec<HeaderView>,
    /// Nobody has proven who sent it. Where it is UTF-8.
    body: Option<String>,
    /// In hex where it is not.
    body_hex: Option<String>,
}

/// Lists requests that were answered 401 in the last 24 hours, newest first; at most the newest 1,000 of each source.
#[utoipa::path(
    get, path = "/refused-requests", tag = "events", params(RefusedQuery),
    responses((status = 200, body = ListOf<RefusedRequestView>))
)]
pub(super) async fn list(
    State(app): State<AdminState>,
    Params(params): Params<RefusedQuery>,
) -> Result<Json<ListOf<RefusedRequestView>>, ApiError> {
    let page = query::page(params.limit, params.cursor)?;
    let reasons = RefusedFor::ALL.map(RefusedFor::as_str);
    let reason = query::word("reason", params.reason.as_deref(), RefusedFor::parse, &reasons)?;
    let filter = RefusedFilter { source: params.source, reason };
    Ok(Json(ListOf::showing(app.store.list_refused(&filter, &page).await?, RefusedRequestView::from)))
}

/// Shows one with its body, as whoever sent it sent it.
#[utoipa::path(
    get, path = "/refused-requests/{id}", tag = "events", params(("id" = i64, Path)),
    responses((status = 200, body = RefusedDetailView), (status = 404, body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn show(
    State(app): State<AdminState>,
    Named(id): Named<i64>,
) -> Result<Json<RefusedDetailView>, ApiError> {
    let RefusedDetail { row, headers, body, .. } = app
        .store
        .load_refused(id)
        .await?
        .ok_or_else(|| query::none(format_args!("held request {id}"), "refused-requests"))?;
    let text = std::str::from_utf8(&body).ok().map(str::to_owned);
    let body_hex = text.is_none().then(|| hex::encode(&body));
    let headers = headers.into_iter().map(|(name, value)| HeaderView { name, value }).collect();
    Ok(Json(RefusedDetailView { request: row.into(), headers, body: text, body_hex }))
}

/// Which requests to verify again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VerifyRequest {
    source: String,
    /// All of the source if left out; at most 1,000.
    ids: Option<Vec<i64>>,
    /// Only count them.
    #[serde(default)]
    dry_run: bool,
}

/// What verifying with today's settings gave.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct VerifiedView {
    dry_run: bool,
    /// Requests that are genuine by today's settings; without `dry_run` they were taken in and are held no more.
    verified: u64,
    /// Requests that are still refused, and stay held.
    still_refused: StillRefusedView,
    /// Genuine requests that could not be stored now; they stay held, so verify again.
    not_stored: u64,
    /// Of the requests that were taken in: events, by what became of them.
    events: TakenInView,
}

/// Requests by the reason for which they are still refused.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct StillRefusedView {
    missing_signature: u64,
    wrong_signature: u64,
    missing_token: u64,
    wrong_token: u64,
    stale: u64,
}

/// Events by what became of them.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct TakenInView {
    accepted: u64,
    /// Sent again meanwhile, and stored then.
    duplicate: u64,
    quarantined: u64,
    ignored: u64,
}

/// Verifies held requests of a source again, by today's secrets and as of the moment when each came; those that are genuine
/// are taken in as if they had just been sent, and are held no more. Repeating it is harmless.
#[utoipa::path(
    post, path = "/refused-requests/verify", tag = "events", request_body = VerifyRequest,
    responses(
        (status = 200, body = VerifiedView),
        (status = 409, description = "The source is disabled", body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn verify(
    State(app): State<AdminState>,
    caller: Caller,
    Body(request): Body<VerifyRequest>,
) -> Result<Json<VerifiedView>, ApiError> {
    // Whoever asked may hang up: then it is finished and written down all the same.
    let work = tokio::spawn(async move { verify_and_record(&app, &caller, request).await }.in_current_span());
    match work.await {
        Ok(outcome) => outcome.map(Json),
        Err(error) => {
            tracing::error!("verifying refused requests again ended midway: {error}");
            Err(ApiError::Internal)
        }
    }
}

async fn verify_and_record(
    app: &AdminState,
    caller: &Caller,
    request: VerifyRequest,
) -> Result<VerifiedView, ApiError> {
    let Some(source) = app.intake.source(&request.source) else {
        let names: Vec<String> = app.intake.sources().iter().map(|source| source.name.to_string()).collect();
        return Err(ApiError::Invalid(format!("source: write one of {}", names.join(", "))));
    };
    if !source.enabled && !request.dry_run {
        return Err(ApiError::Conflict("The source is disabled; enable it and reload first.".to_owned()));
    }
    let ids = request.ids.map(|ids| Vec::from_iter(BTreeSet::from_iter(ids)));
    if ids.as_ref().is_some_and(|ids| ids.len() > MOST_IDS) {
        return Err(ApiError::Invalid(format!("ids: write at most {MOST_IDS}, or leave it out for all of the source")));
    }
    let until = app.clock.now();
    let mut held = Held { app, source, ids: ids.map(VecDeque::from), after: 0, until };
    let mut view = VerifiedView { dry_run: request.dry_run, ..VerifiedView::default() };
    let outcome = verify_all(app, source, &mut held, &mut view).await;
    if !request.dry_run {
        for destination in &source.destinations {
            app.operations.wake(destination);
        }
        let TakenInView { accepted, duplicate, quarantined, ignored } = &view.events;
        let still = view.still_refused.all();
        let told = format!(
            "{} requests taken in ({accepted} events accepted, {duplicate} duplicate, {quarantined} quarantined, {ignored} \
             ignored), {still} still refused, {} not stored",
            view.verified, view.not_stored
        );
        let change = Change::new("refused_requests.verify", format!("source {}", source.name)).saying(told);
        record(app, caller, change).await?;
    }
    outcome.map(|()| view)
}

async fn verify_all(
    app: &AdminState,
    source: &SourceRuntime,
    held: &mut Held<'_>,
    view: &mut VerifiedView,
) -> Result<(), ApiError> {
    let mut genuine = Vec::new();
    while let Some(next) = held.next().await? {
        match app.intake.judge_held(source, &next) {
            None if view.dry_run => view.verified += 1,
            None => genuine.push(next),
            Some(reason) => {
                view.still_refused.count(reason);
                if !view.dry_run && reason != next.row.reason {
                    app.store.note_refused(next.row.id, reason).await?;
                }
            }
        }
        if genuine.len() == TOGETHER {
            take_in(app, source, std::mem::take(&mut genuine), view).await?;
        }
    }
    take_in(app, source, genuine, view).await
}

/// Stores what is genuine, and then lets go of it: what is stored twice is a redelivery, what is let go of too early is lost.
async fn take_in(
    app: &AdminState,
    source: &SourceRuntime,
    genuine: Vec<RefusedDetail>,
    view: &mut VerifiedView,
) -> Result<(), ApiError> {
    let receipts = join_all(genuine.iter().map(|held| app.intake.accept_held(source, held))).await;
    let mut stored = Vec::new();
    for (held, receipt) in genuine.iter().zip(receipts) {
        let Ok(receipt) = receipt else {
            view.not_stored += 1;
            continue;
        };
        stored.push(held.row.id);
        for (_, status) in receipt.events {
            *match status {
                EventStatus::Accepted => &mut view.events.accepted,
                EventStatus::Quarantined => &mut view.events.quarantined,
                EventStatus::Duplicate => &mut view.events.duplicate,
                EventStatus::Ignored => &mut view.events.ignored,
            } += 1;
        }
    }
    view.verified += u64::try_from(stored.len()).unwrap_or(0);
    if !stored.is_empty() {
        app.store.release_refused(stored).await?;
    }
    Ok(())
}

impl StillRefusedView {
    fn count(&mut self, reason: RefusedFor) {
        *match reason {
            RefusedFor::MissingSignature => &mut self.missing_signature,
            RefusedFor::WrongSignature => &mut self.wrong_signature,
            RefusedFor::MissingToken => &mut self.missing_token,
            RefusedFor::WrongToken => &mut self.wrong_token,
            RefusedFor::Stale => &mut self.stale,
        } += 1;
    }

    fn all(&self) -> u64 {
        self.missing_signature + self.wrong_signature + self.missing_token + self.wrong_token + self.stale
    }
}

/// Walks through what is to be verified, one at a time: bodies may be large.
struct Held<'a> {
    app: &'a AdminState,
    source: &'a SourceRuntime,
    ids: Option<VecDeque<i64>>,
    after: i64,
    /// What came later is left out, since more might come as fast as it is walked through.
    until: Timestamp,
}

impl Held<'_> {
    async fn next(&mut self) -> Result<Option<RefusedDetail>, ApiError> {
        let Some(ids) = &mut self.ids else {
            let next = self.app.store.next_refused(&self.source.name, self.after).await?;
            self.after = next.as_ref().map_or(self.after, |next| next.row.id);
            return Ok(next.filter(|next| next.row.received_at <= self.until));
        };
        while let Some(id) = ids.pop_front() {
            let found = self.app.store.load_refused(id).await?;
            if let Some(found) = found.filter(|found| found.row.source == self.source.name) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}
