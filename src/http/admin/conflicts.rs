//! Conflicts: questions that only a person can answer.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::audit::tell;
use super::query::{self, Body, ListOf, Named, Params};
use super::shown::{Base, Record, Shown, Time};
use super::state::AdminState;
use crate::config::parse_duration;
use crate::domain::ids::{LeadKey, ObjectName, RecordRef};
use crate::domain::plan::{Choice, ConflictKind, Question, RuleAction};
use crate::domain::time::Timestamp;
use crate::http::auth::Caller;
use crate::http::error::{ApiError, Problem};
use crate::store::{Answer, Answered, ConflictFilter, ConflictRow, ConflictState};

/// Filters; all can be combined.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ConflictQuery {
    /// open, resolved or moot (planning no longer finds it)
    state: Option<String>,
    /// field, match, shared_record, invalid or company
    kind: Option<String>,
    /// The CRM field.
    field: Option<String>,
    source: Option<String>,
    lead_id: Option<String>,
    destination: Option<String>,
    /// Opened so long ago, such as `7d`, or before this time (RFC 3339)
    older_than: Option<String>,
    /// 1 to 500; 50 if left out
    limit: Option<u32>,
    /// `next` of the page before
    cursor: Option<String>,
}

/// One question, with what both sides say.
#[derive(Debug, Serialize, ToSchema)]
pub struct ConflictView {
    id: i64,
    destination: String,
    source: String,
    lead_id: String,
    /// field, match, shared_record, invalid or company
    kind: &'static str,
    /// open, resolved or moot
    state: &'static str,
    /// The CRM field, for kinds field and invalid.
    field: Option<String>,
    record: Option<Record>,
    /// What both sides last agreed on.
    base: Option<Base>,
    /// What the lead says; of kind shared_record its name, where it is in doubt whether the record is its.
    lead: Option<Shown>,
    /// What the CRM holds; of kind shared_record the external ID on the record, or its name where that is in doubt.
    crm: Option<Shown>,
    /// For kinds match and company: the records in question.
    candidates: Vec<CandidateView>,
    /// For kind shared_record: the lead that owns the record, `source/lead_id`.
    other_lead: Option<String>,
    /// Set where the CRM's own duplicate rule asks: `alert`, or `block` where it lets nobody overrule it, so that there is no
    /// `create` among the choices. What the rule found are the candidates.
    duplicate_rule: Option<&'static str>,
    /// One sentence for the person who decides.
    detail: String,
    /// What `choose` may be.
    choices: Vec<&'static str>,
    resolution: Option<ResolutionView>,
    opened_at: Time,
    updated_at: Time,
}

/// A record that may be the lead.
#[derive(Debug, Serialize, ToSchema)]
pub struct CandidateView {
    record: Record,
    /// link, external_id, email, name_and_company_domain, company_domain, company_name, company_contacts, or duplicate_rule:
    /// the CRM's own duplicate rule named it
    matched_by: &'static str,
    /// What speaks for and against it.
    speaks: String,
}

/// Who decided what.
#[derive(Debug, Serialize, ToSchema)]
pub struct ResolutionView {
    choose: Option<&'static str>,
    value: Option<String>,
    record: Option<Record>,
    by: Option<String>,
    at: Time,
    /// What the person wrote; of a moot one, why it closed if that was not planning.
    note: Option<String>,
}

fn choices(question: &Question) -> &'static [&'static str] {
    match question.kind {
        ConflictKind::Field => &["lead", "crm", "value"],
        ConflictKind::Invalid => &["crm", "value"],
        ConflictKind::Match | ConflictKind::Company if question.blocks_create() => &["record"],
        ConflictKind::Match | ConflictKind::Company => &["record", "create"],
        ConflictKind::SharedRecord => &["lead", "crm", "create"],
    }
}

impl From<ConflictRow> for ConflictView {
    fn from(row: ConflictRow) -> Self {
        let question = row.question;
        let (choices, detail) = (choices(&question).to_vec(), question.for_deciding());
        let candidate = |found: crate::domain::plan::CandidateSummary| CandidateView {
            record: found.record.into(),
            matched_by: found.by.as_str(),
            speaks: found.speaks,
        };
        let (state, resolution) = match row.state {
            ConflictState::Open => ("open", None),
            ConflictState::Moot { at, why } => {
                let nothing = (None, None, None, None, why);
                ("moot", Some((nothing, at)))
            }
            ConflictState::Resolved { choice, by, at, note } => {
                let word = choice.as_str();
                let (value, record) = match choice {
                    Choice::Value(value) => (Some(value), None),
                    Choice::Record(record) => (None, Some(record)),
                    Choice::Lead | Choice::Crm | Choice::Create => (None, None),
                };
                ("resolved", Some(((Some(word), value, record, Some(by), note), at)))
            }
        };
        let resolution = resolution.map(|((choose, value, record, by, note), at)| ResolutionView {
            choose,
            value,
            record: record.map(Into::into),
            by,
            at: at.into(),
            note,
        });
        Self {
            id: row.id,
            destination: row.destination.to_string(),
            source: row.lead.source.to_string(),
            lead_id: row.lead.id.to_string(),
            kind: question.kind.as_str(),
            state,
            field: question.field.map(|field| field.to_string()),
            record: question.record.map(Into::into),
            base: question.base.map(Into::into),
            lead: question.lead.map(Into::into),
            crm: question.crm.map(Into::into),
            candidates: question.candidates.into_iter().map(candidate).collect(),
            other_lead: question.other.map(|lead| lead.to_string()),
            duplicate_rule: question.duplicate_rule.map(RuleAction::as_str),
            detail,
            choices,
            resolution,
            opened_at: row.opened_at.into(),
            updated_at: row.updated_at.into(),
        }
    }
}

/// Lists conflicts, newest first.
#[utoipa::path(
    get, path = "/conflicts", tag = "conflicts", params(ConflictQuery),
    responses((status = 200, body = ListOf<ConflictView>))
)]
pub(super) async fn list(
    State(app): State<AdminState>,
    Params(params): Params<ConflictQuery>,
) -> Result<Json<ListOf<ConflictView>>, ApiError> {
    let page = query::page(params.limit, params.cursor)?;
    let states = ["open", "resolved", "moot"];
    let known = |word: &str| states.contains(&word).then(|| word.to_owned());
    let kinds = ConflictKind::ALL.map(ConflictKind::as_str);
    let filter = ConflictFilter {
        id: None,
        state: query::word("state", params.state.as_deref(), known, &states)?,
        kind: query::word("kind", params.kind.as_deref(), ConflictKind::parse, &kinds)?,
        field: params.field,
        source: params.source,
        lead_id: params.lead_id,
        destination: params.destination,
        opened_before: opened_before(params.older_than.as_deref(), app.clock.now())?,
    };
    let listed = app.store.list_conflicts(&filter, &page).await?;
    Ok(Json(ListOf::showing(listed, ConflictView::from)))
}

fn opened_before(older_than: Option<&str>, now: Timestamp) -> Result<Option<Timestamp>, ApiError> {
    if let Some(age) = older_than.and_then(parse_duration) {
        return Ok(Some(now.before(age)));
    }
    query::time("older_than", older_than).map_err(|_| {
        ApiError::Invalid("older_than: write a length of time such as 7d, or a time as RFC 3339".to_owned())
    })
}

/// Shows one conflict. Its `ETag`, given as `If-Match`, keeps a resolution from answering a question that changed.
#[utoipa::path(
    get, path = "/conflicts/{id}", tag = "conflicts", params(("id" = i64, Path)),
    responses(
        (status = 200, body = ConflictView, headers(("etag" = String, description = "The revision that was read"))),
        (status = 404, body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn show(State(app): State<AdminState>, Named(id): Named<i64>) -> Result<Response, ApiError> {
    let row = app.store.load_conflict(id).await?.ok_or_else(|| no_conflict(id))?;
    Ok(tagged(row))
}

fn no_conflict(id: i64) -> ApiError {
    query::none(format_args!("conflict {id}"), "conflicts")
}

fn tagged(row: ConflictRow) -> Response {
    let etag = HeaderValue::from_str(&format!("\"{}\"", row.revision)).expect("a number in quotes is visible ASCII");
    ([(header::ETAG, etag)], Json(ConflictView::from(row))).into_response()
}

/// A person's answer.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Resolve {
    /// lead, crm, value, record or create; each conflict's `choices` says which it takes
    #[schema(example = "lead")]
    choose: String,
    /// With `value`: text, a number or a boolean, converted like a value of the lead.
    #[schema(value_type = Option<String>)]
    value: Option<serde_json::Value>,
    /// With `record`: the CRM's ID of the record that is this lead; one of the conflict's, where it names any.
    record_id: Option<String>,
    /// With `record`: its kind. Needed only where the conflict names no record and the ID does not tell the kind; one that
    /// contradicts the ID is refused.
    #[schema(example = "Lead")]
    object: Option<String>,
    /// Shown with the resolution.
    note: Option<String>,
}

/// Why `create` is refused where the CRM would refuse the record.
const BLOCKED: &str = "choose: the CRM's duplicate rule blocks another record, whoever insists. Choose `record` with the ID of \
                       the record that it is, one of the candidates where there are any; or have the rule changed to an alert \
                       in the CRM and sync the lead, and `create` is offered";

impl Resolve {
    /// The answer in the core's words, if this question can be answered so.
    ///
    /// `named`: the record that an ID is of, where the ID tells its kind. `kinds`: of which one may be that the question does
    /// not name; empty: of any.
    fn choice(
        &self,
        question: &Question,
        named: &dyn Fn(&str) -> Option<RecordRef>,
        kinds: &[ObjectName],
    ) -> Result<Choice, ApiError> {
        if self.choose == "create" && question.blocks_create() {
            return Err(ApiError::Invalid(BLOCKED.to_owned()));
        }
        let allowed = choices(question);
        if !allowed.contains(&self.choose.as_str()) {
            let (kind, allowed) = (question.kind.as_str(), allowed.join(", "));
            return Err(ApiError::Invalid(format!("choose: a conflict of kind {kind} takes one of {allowed}")));
        }
        match self.choose.as_str() {
            "lead" => Ok(Choice::Lead),
            "crm" => Ok(Choice::Crm),
            "create" => Ok(Choice::Create),
            "value" => self.chosen_value().map(Choice::Value),
            _ => self.chosen_record(question, named, kinds).map(Choice::Record),
        }
    }

    fn chosen_value(&self) -> Result<String, ApiError> {
        use serde_json::Value;
        match &self.value {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(Value::Number(number)) => Ok(number.to_string()),
            Some(Value::Bool(flag)) => Ok(flag.to_string()),
            None | Some(Value::Null | Value::Array(_) | Value::Object(_)) => {
                Err(ApiError::Invalid("value: write the text, number or boolean to store".to_owned()))
            }
        }
    }

    fn chosen_record(
        &self,
        question: &Question,
        named: &dyn Fn(&str) -> Option<RecordRef>,
        kinds: &[ObjectName],
    ) -> Result<RecordRef, ApiError> {
        let Some(id) = self.record_id.as_deref().filter(|id| !id.is_empty()) else {
            return Err(ApiError::Invalid("record_id: write the ID of the record that is this lead".to_owned()));
        };
        let told = named(id);
        let full = told.as_ref().map_or(id, |record| record.id.as_str());
        let candidate = question.records().find(|record| record.id.as_str() == id || record.id.as_str() == full);
        let object = self.object.as_deref().filter(|object| !object.is_empty());
        if let (Some(object), Some(is)) = (object, candidate.or(told.as_ref()))
            && is.object.as_str() != object
        {
            let told = contradicts(object, id, &is.object);
            return Err(ApiError::Invalid(format!("{told}; write that, or leave `object` out")));
        }
        if let Some(candidate) = candidate {
            return Ok(candidate.clone());
        }
        let known: Vec<&str> = question.records().map(|record| record.id.as_str()).collect();
        if !known.is_empty() {
            return Err(ApiError::Invalid(format!("record_id: write one of {}", known.join(", "))));
        }
        let record = match (told, object) {
            (Some(told), _) => told,
            (None, Some(object)) => RecordRef { object: object.into(), id: id.into() },
            (None, None) => {
                return Err(ApiError::Invalid(
                    "object: neither the conflict nor the ID tells of what kind the record is, so write it".to_owned(),
                ));
            }
        };
        if !kinds.is_empty() && !kinds.contains(&record.object) {
            let (given, kinds) =
                (&record.object, kinds.iter().map(ObjectName::as_str).collect::<Vec<_>>().join(" or "));
            return Err(ApiError::Invalid(format!(
                "record_id: {id} is a record of kind {given}, and the conflict is about one of kind {kinds}; write the ID of \
                 such a record"
            )));
        }
        Ok(record)
    }
}

/// What is wrong with a kind of record that is not the one of the ID beside it.
pub(super) fn contradicts(object: &str, id: &str, is: &ObjectName) -> String {
    format!("object: {object} is written, and {id} is the ID of a record of kind {is}")
}

/// A second lead on a record is that record, none, or one of its own: of another one the answer could say nothing.
fn is_linked_instead(seen: &ConflictRow) -> ApiError {
    let (LeadKey { source, id }, destination) = (&seen.lead, &seen.destination);
    let takes = choices(&seen.question).join(", ");
    ApiError::Invalid(format!(
        "choose: a conflict of kind shared_record takes one of {takes}. If the lead is another record than the conflict's, link \
         it to that one by hand, which closes the conflict: PUT /admin/v1/leads/{source}/{id}/links/{destination}"
    ))
}

/// Resolves a conflict: the answer holds for the values that were seen, and the lead is synced at once.
#[utoipa::path(
    post, path = "/conflicts/{id}/resolve", tag = "conflicts",
    params(
        ("id" = i64, Path),
        ("if-match" = Option<String>, Header, description = "The ETag under which the conflict was read")
    ),
    request_body = Resolve,
    responses(
        (status = 200, description = "Resolved", body = ConflictView),
        (status = 404, body = Problem, content_type = "application/problem+json"), (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "It changed since it was read, or is not open any more", body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn resolve(
    State(app): State<AdminState>,
    caller: Caller,
    Named(id): Named<i64>,
    headers: HeaderMap,
    Body(answer): Body<Resolve>,
) -> Result<Response, ApiError> {
    let seen = app.store.load_conflict(id).await?.ok_or_else(|| no_conflict(id))?;
    let revision = match headers.get(header::IF_MATCH) {
        None => None,
        Some(tag) if tag.as_bytes() == b"*" => None,
        Some(tag) => Some(revision(tag).ok_or_else(changed)?),
    };
    if answer.choose == "record" && seen.question.kind == ConflictKind::SharedRecord {
        return Err(is_linked_instead(&seen));
    }
    let named = |id: &str| app.operations.record_named(&seen.destination, id);
    let kinds = app.operations.kinds_in_question(&seen.destination, seen.question.kind);
    let choice = answer.choice(&seen.question, &named, &kinds)?;
    // What the person answered is the question as it stood; without If-Match, as it stands.
    let revision = revision.or(Some(seen.revision));
    let answer =
        Answer { conflict: id, revision, choice, note: answer.note, by: caller.name.clone(), now: app.clock.now() };
    match app.store.resolve_conflict(&answer).await? {
        Answered::NotFound => Err(no_conflict(id)),
        Answered::Changed(_) => Err(changed()),
        Answered::WrongChoice(_) => {
            Err(ApiError::Invalid("choose: this question cannot be answered so; see its `choices`".to_owned()))
        }
        Answered::Done(row) => {
            tell(&caller, "conflict.resolve", &format!("conflict {id}"));
            app.operations.wake(&row.destination);
            Ok(tagged(*row))
        }
    }
}

pub(super) fn revision(tag: &HeaderValue) -> Option<i64> {
    tag.to_str().ok()?.trim().strip_prefix('"')?.strip_suffix('"')?.parse().ok()
}

fn changed() -> ApiError {
    ApiError::Changed("Read the conflict again; it was answered or looks different now.".to_owned())
}

#[cfg(test)]
mod tests;
