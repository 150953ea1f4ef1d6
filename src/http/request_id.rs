//! `x-request-id`: taken from the caller where it is sane, made otherwise, and returned on every answer.

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;

use crate::domain::ids::RequestId;

const HEADER: HeaderName = HeaderName::from_static("x-request-id");
const LONGEST: usize = 128;

/// Gives every request an ID, handlers as an extension, callers as a header.
pub async fn identify(mut request: Request, next: Next) -> Response {
    let taken = request.headers().get(HEADER).filter(|value| is_sane(value)).cloned();
    let header = taken.unwrap_or_else(|| {
        let made = uuid::Builder::from_random_bytes(fastrand::u128(..).to_be_bytes()).into_uuid();
        HeaderValue::from_str(made.hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()))
            .expect("a UUID is visible ASCII")
    });
    if let Ok(text) = header.to_str() {
        request.extensions_mut().insert(RequestId::new(text));
    }
    let mut answer = next.run(request).await;
    answer.headers_mut().insert(HEADER, header);
    answer
}

/// Visible ASCII, and not too much of it: it goes into logs and the database.
fn is_sane(value: &HeaderValue) -> bool {
    let bytes = value.as_bytes();
    !bytes.is_empty() && bytes.len() <= LONGEST && bytes.iter().all(u8::is_ascii_graphic)
}
