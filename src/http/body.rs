//! Reading a request's body: bounded in size and time, without copying where it came in one piece.

use std::time::Duration;

use axum::body::Body;
use bytes::{Buf, Bytes, BytesMut};
use http_body_util::BodyExt;

use super::error::ApiError;

/// How much of a body is taken, and how much more is read only so that the client sees the answer.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// Bytes.
    pub most: usize,
    /// A whole body has to arrive within this time.
    pub within: Duration,
}

impl BodyLimits {
    /// Bodies of at most so many bytes, within 20 s.
    pub fn of(most: usize) -> Self {
        Self { most, within: Duration::from_secs(20) }
    }

    fn discarded(self) -> usize {
        self.most.saturating_mul(4)
    }
}

/// Reads a body of at most `limits.most` bytes.
///
/// Of a larger one up to four times as much is read and thrown away first: a client that is still sending would else see
/// a reset connection instead of the answer.
pub async fn read(body: Body, limits: BodyLimits) -> Result<Bytes, ApiError> {
    tokio::time::timeout(limits.within, read_within_size(body, limits)).await.unwrap_or(Err(ApiError::TooSlow))
}

/// Throws away what a client sends with a request that is refused whatever its body is.
pub async fn discard(mut body: Body, limits: BodyLimits) {
    // Whether all of it came does not matter: the answer is the same.
    let _ = tokio::time::timeout(limits.within, discard_rest(&mut body, limits.discarded())).await;
}

async fn read_within_size(mut body: Body, limits: BodyLimits) -> Result<Bytes, ApiError> {
    let Some(first) = next(&mut body).await? else { return Ok(Bytes::new()) };
    let Some(second) = next_within(&mut body, &first, limits).await? else { return Ok(first) };
    let mut whole = BytesMut::with_capacity((first.len() + second.len()).min(limits.most));
    whole.extend_from_slice(&first);
    whole.extend_from_slice(&second);
    while let Some(piece) = next_within(&mut body, &whole, limits).await? {
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}

/// The next piece, if it still fits behind what is there.
async fn next_within(body: &mut Body, so_far: &[u8], limits: BodyLimits) -> Result<Option<Bytes>, ApiError> {
    let piece = if so_far.len() > limits.most { Some(Bytes::new()) } else { next(body).await? };
    match piece {
        Some(piece) if so_far.len().saturating_add(piece.remaining()) > limits.most => {
            discard_rest(body, limits.discarded()).await;
            Err(ApiError::TooLarge)
        }
        piece => Ok(piece),
    }
}

async fn next(body: &mut Body) -> Result<Option<Bytes>, ApiError> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ApiError::BadRequest("The body broke off; send it again.".to_owned()))?;
        if let Ok(data) = frame.into_data()
            && !data.is_empty()
        {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

async fn discard_rest(body: &mut Body, most: usize) {
    let mut discarded = 0usize;
    while discarded < most {
        match next(body).await {
            Ok(Some(piece)) => discarded = discarded.saturating_add(piece.len()),
            Ok(None) | Err(_) => return,
        }
    }
}
