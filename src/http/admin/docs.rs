//! The API's document, and a page that shows it to people: no script, nothing loaded from elsewhere.

use std::fmt::Write;
use std::sync::LazyLock;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use utoipa::openapi::path::{HttpMethod, Operation};
use utoipa::openapi::request_body::RequestBody;
use utoipa::openapi::{OpenApi, RefOr, Required, Schema};

static DOCUMENT: LazyLock<String> = LazyLock::new(super::openapi);
static PAGE: LazyLock<String> = LazyLock::new(|| page(&super::document()));

const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}\
code,pre{font-family:ui-monospace,monospace;background:#f4f4f4;padding:.1em .3em}section{border-top:1px solid #ccc}\
h2{overflow-wrap:anywhere}h2 small{font-weight:normal}h3{font-size:1rem;margin-bottom:.3rem}section{padding-bottom:1rem}table{width:100%}td{overflow-wrap:anywhere}td:first-child{width:11rem}@media(max-width:40rem){td:first-child{width:8rem}}table{border-collapse:collapse}td,th{text-align:left;padding:.2rem .8rem .2rem 0;vertical-align:top}";

/// Beside the name of what must be given.
const NEEDED: &str = " <small>needed</small>";

/// The OpenAPI document of everything on both listeners.
#[utoipa::path(
    get, path = "/openapi.json", tag = "operation", security(()),
    responses((status = 200, description = "This document", content_type = "application/json"))
)]
pub(super) async fn json() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], DOCUMENT.as_str())
}

/// A page for people that shows this document.
#[utoipa::path(
    get, path = "/docs", tag = "operation", security(()),
    responses((status = 200, description = "The page", content_type = "text/html"))
)]
pub(super) async fn html() -> impl IntoResponse {
    let headers: [(HeaderName, HeaderValue); 3] = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (headers, PAGE.as_str())
}

fn page(document: &OpenApi) -> String {
    let mut html = String::new();
    let title = escape(&document.info.title);
    let about = marked_up(document.info.description.as_deref().unwrap_or_default());
    // Writing to a String cannot fail.
    let _ = write!(
        html,
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\"><title>{title}</title><style>{STYLE}</style>\
         <h1>{title} {}</h1><p>{about}</p><p>For programs: <a href=\"openapi.json\">openapi.json</a></p>",
        escape(&document.info.version)
    );
    for (path, item) in &document.paths.paths {
        let operations = [
            (HttpMethod::Get, &item.get),
            (HttpMethod::Post, &item.post),
            (HttpMethod::Put, &item.put),
            (HttpMethod::Delete, &item.delete),
        ];
        for (method, operation) in operations {
            if let Some(operation) = operation {
                section(&mut html, method_name(&method), path, operation, document);
            }
        }
    }
    html
}

fn method_name(method: &HttpMethod) -> &'static str {
    match method {
        HttpMethod::Get => "GET",
        HttpMethod::Post => "POST",
        HttpMethod::Put => "PUT",
        _ => "DELETE",
    }
}

fn section(html: &mut String, method: &str, path: &str, operation: &Operation, document: &OpenApi) {
    let summary = marked_up(operation.summary.as_deref().unwrap_or_default());
    let more = marked_up(operation.description.as_deref().unwrap_or_default());
    let _ = write!(html, "<section><h2><small>{method}</small> <code>{}</code></h2><p>{summary}</p>", escape(path));
    if !more.is_empty() {
        let _ = write!(html, "<p>{more}</p>");
    }
    let parameters = operation.parameters.iter().flatten().filter_map(|parameter| match parameter {
        RefOr::T(parameter) => Some(parameter),
        RefOr::Ref(_) => None,
    });
    let rows: String = parameters.fold(String::new(), |mut rows, parameter| {
        let needed = if matches!(parameter.required, Required::True) { NEEDED } else { "" };
        let about = marked_up(parameter.description.as_deref().unwrap_or_default());
        let _ = write!(rows, "<tr><td><code>{}</code>{needed}<td>{about}</tr>", escape(&parameter.name));
        rows
    });
    if !rows.is_empty() {
        let _ = write!(html, "<h3>Parameters</h3><table>{rows}</table>");
    }
    let body = match &operation.request_body {
        Some(RefOr::T(body)) => body_rows(body, document),
        _ => String::new(),
    };
    if !body.is_empty() {
        let _ = write!(html, "<h3>Body</h3><table>{body}</table>");
    }
    let answers = operation.responses.responses.iter().fold(String::new(), |mut rows, (status, answer)| {
        let about = match answer {
            RefOr::T(answer) if !answer.description.is_empty() => marked_up(&answer.description),
            _ => StatusCode::from_bytes(status.as_bytes())
                .ok()
                .and_then(|s| s.canonical_reason())
                .unwrap_or_default()
                .to_owned(),
        };
        let _ = write!(rows, "<tr><td><code>{}</code><td>{about}</tr>", escape(status));
        rows
    });
    let _ = write!(html, "<h3>Answers</h3><table>{answers}</table></section>");
}

/// The fields of a JSON body, one a row; none where it may be anything.
fn body_rows(body: &RequestBody, document: &OpenApi) -> String {
    let schema = body.content.values().find_map(|content| match content {
        RefOr::T(content) => content.schema.as_ref(),
        RefOr::Ref(_) => None,
    });
    let Some(Schema::Object(object)) = schema.and_then(|schema| resolved(schema, document)) else {
        return String::new();
    };
    object.properties.iter().fold(String::new(), |mut rows, (name, property)| {
        let needed = if object.required.contains(name) { NEEDED } else { "" };
        let about = match (property, resolved(property, document)) {
            (RefOr::Ref(reference), _) if !reference.description.is_empty() => marked_up(&reference.description),
            (_, Some(Schema::Object(object))) => marked_up(object.description.as_deref().unwrap_or_default()),
            (_, Some(Schema::Array(array))) => marked_up(array.description.as_deref().unwrap_or_default()),
            _ => String::new(),
        };
        let _ = write!(rows, "<tr><td><code>{}</code>{needed}<td>{about}</tr>", escape(name));
        rows
    })
}

fn resolved<'d>(schema: &'d RefOr<Schema>, document: &'d OpenApi) -> Option<&'d Schema> {
    match schema {
        RefOr::T(schema) => Some(schema),
        RefOr::Ref(reference) => {
            let name = reference.ref_location.rsplit('/').next()?;
            match document.components.as_ref()?.schemas.get(name)? {
                RefOr::T(schema) => Some(schema),
                RefOr::Ref(_) => None,
            }
        }
    }
}

/// Text with `code` in it, as documentation is written.
fn marked_up(text: &str) -> String {
    let parts = escape(text);
    let parts = parts.split('`').enumerate();
    parts.map(|(n, part)| if n % 2 == 1 { format!("<code>{part}</code>") } else { part.to_owned() }).collect()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
