//! The admin listener: what an operator sees and does. One file per resource in `admin/`.

pub mod alerts;
pub mod audit;
pub mod conflicts;
pub mod dead_letters;
pub mod destinations;
mod docs;
pub mod events;
pub mod explain;
pub mod leads;
pub mod mapping;
pub mod orders;
pub mod query;
pub mod queue;
pub mod refused;
pub mod reload;
pub mod runs;
pub mod shared_records;
pub mod shown;
pub mod sources;
pub mod state;
pub mod sync_log;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use axum::{Router, middleware};
use utoipa::openapi::path::{Operation, Parameter, ParameterIn};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::{ApiError, Problem};
use super::{auth, health, request_id, webhook};
use state::AdminState;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "leadrelay",
        description = "Takes in signed lead webhooks (public listener: /webhooks and /healthz) and shows operators what \
                       became of them (admin listener: everything else, with a bearer token). Every answer carries \
                       x-request-id; every error is application/problem+json; times are RFC 3339 in UTC."
    ),
    paths(webhook::receive, webhook::receive_with_token, webhook::handshake, health::healthz),
    components(schemas(Problem)),
    security(("token" = [])),
    modifiers(&BearerToken)
)]
struct Document;

struct BearerToken;

impl Modify for BearerToken {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

/// What the admin listener serves.
pub fn admin_router(state: AdminState) -> Router {
    let (router, _) = routers(Some(&state)).split_for_parts();
    router
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .with_state(state)
        .layer(middleware::from_fn(request_id::identify))
}

/// The OpenAPI document: routes and document come from the same place.
fn document() -> utoipa::openapi::OpenApi {
    let mut document = routers(None).split_for_parts().1;
    for (path, item) in &mut document.paths.paths {
        let methods =
            [("get", &mut item.get), ("post", &mut item.post), ("put", &mut item.put), ("delete", &mut item.delete)];
        for (method, operation) in methods {
            if let Some(operation) = operation {
                complete(operation, method, path);
            }
        }
    }
    document
}

/// Adds what holds for every operation alike: a name that is its own, what each answer means, and the answers of the
/// token check before it and to a wrong query.
fn complete(operation: &mut Operation, method: &str, path: &str) {
    let words: Vec<&str> =
        path.split(|sign: char| !sign.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    operation.operation_id = Some(format!("{method}_{}", words.join("_")));
    for (status, answer) in &mut operation.responses.responses {
        if let RefOr::T(answer) = answer
            && answer.description.is_empty()
        {
            let reason = StatusCode::from_bytes(status.as_bytes()).ok().and_then(|status| status.canonical_reason());
            reason.unwrap_or("Answered").clone_into(&mut answer.description);
        }
    }
    if operation.security.is_some() {
        return;
    }
    let mut refusals = vec![("401", "No right token"), ("503", "The store does not answer now")];
    if method != "get" {
        refusals.push(("403", "The token may read, not change"));
    }
    let is_query =
        |parameter: &RefOr<Parameter>| matches!(parameter, RefOr::T(known) if known.parameter_in == ParameterIn::Query);
    if operation.parameters.iter().flatten().any(is_query) {
        refusals.push(("400", "A query parameter is unknown or cannot be read"));
        refusals.push(("422", "A query parameter is not one of the values it may have"));
    }
    for (status, description) in refusals {
        let schema = Ref::from_schema_name("Problem");
        let content = ContentBuilder::new().schema(Some(schema)).build();
        let answer =
            ResponseBuilder::new().description(description).content("application/problem+json", content).build();
        operation.responses.responses.entry(status.to_owned()).or_insert(answer.into());
    }
}

/// The OpenAPI document as it is committed under `openapi/`: the same text for the same program.
pub fn openapi() -> String {
    let mut text = document().to_pretty_json().expect("a document of plain structs is JSON");
    text.push('\n');
    text
}

fn routers(state: Option<&AdminState>) -> OpenApiRouter<AdminState> {
    let api = OpenApiRouter::new()
        .routes(routes!(sync_log::search))
        .routes(routes!(sync_log::show))
        .routes(routes!(conflicts::list))
        .routes(routes!(conflicts::show))
        .routes(routes!(conflicts::resolve))
        .routes(routes!(leads::list))
        .routes(routes!(leads::show, orders::erase))
        .routes(routes!(leads::sync))
        .routes(routes!(explain::explain))
        .routes(routes!(orders::exclude))
        .routes(routes!(orders::include))
        .routes(routes!(orders::link, orders::unlink))
        .routes(routes!(shared_records::list))
        .routes(routes!(shared_records::search))
        .routes(routes!(shared_records::dismiss))
        .routes(routes!(shared_records::reopen))
        .routes(routes!(events::list))
        .routes(routes!(events::show))
        .routes(routes!(events::replay))
        .routes(routes!(queue::show))
        .routes(routes!(queue::errors))
        .routes(routes!(dead_letters::list))
        .routes(routes!(dead_letters::retry))
        .routes(routes!(dead_letters::retry_error))
        .routes(routes!(dead_letters::discard))
        .routes(routes!(destinations::list))
        .routes(routes!(destinations::pause))
        .routes(routes!(destinations::resume))
        .routes(routes!(sources::list))
        .routes(routes!(refused::list))
        .routes(routes!(refused::show))
        .routes(routes!(refused::verify))
        .routes(routes!(mapping::show))
        .routes(routes!(mapping::check))
        .routes(routes!(alerts::list))
        .routes(routes!(audit::list))
        .routes(routes!(runs::list))
        .routes(routes!(runs::show))
        .routes(routes!(runs::cancel))
        .routes(routes!(runs::resync))
        .routes(routes!(reload::reload));
    let api = match state {
        Some(state) => api.route_layer(middleware::from_fn_with_state(state.clone(), auth::require_token)),
        None => api,
    };
    // The document holds no secret, and a browser that opens the page sends no token.
    let open = || OpenApiRouter::new().routes(routes!(docs::json)).routes(routes!(docs::html));
    OpenApiRouter::with_openapi(Document::openapi())
        .nest("/admin/v1", api.merge(open()))
        .merge(open())
        .routes(routes!(health::readyz))
        .routes(routes!(metrics))
}

/// Everything that is counted, in Prometheus' text format, within a second. Figures of the queue are at most half a minute
/// old while `leadrelay_store_up` is 1; at 0 the store cannot be read, and they are as old as that.
#[utoipa::path(
    get, path = "/metrics", tag = "operation", security(()),
    responses((status = 200, description = "All series", content_type = "text/plain"))
)]
async fn metrics(State(app): State<AdminState>) -> impl IntoResponse {
    // A store that cannot be read must not hide the counters that tell of it.
    let _ = app.figures.look().await;
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], app.exposition.render())
}

async fn not_found() -> ApiError {
    ApiError::NotFound
}

/// The router adds which methods are allowed.
async fn method_not_allowed() -> ApiError {
    ApiError::MethodNotAllowed(None)
}
