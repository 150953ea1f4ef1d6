//! Pages of lists: how long they are, and the cursors between them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Listed, Page, SharedPair, StoreError, StoreResult};

/// The most rows of a page, whatever was asked for.
const MOST_ROWS: u32 = 1000;

/// How many rows a page has.
pub(super) fn limit(page: &Page) -> usize {
    page.limit.clamp(1, MOST_ROWS) as usize
}

/// Where the page before ended, if this is not the first.
pub(super) fn place<T: DeserializeOwned>(page: &Page) -> StoreResult<Option<T>> {
    let Some(cursor) = &page.cursor else { return Ok(None) };
    let json = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| StoreError::BadCursor)?;
    serde_json::from_slice(&json).map(Some).map_err(|_| StoreError::BadCursor)
}

/// Makes the cursor that [`place`] reads.
pub(super) fn cursor<T: Serialize>(place: &T) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(place).unwrap_or_default())
}

/// Where a page of pairs ended: when, which kind, destination, lead, and the other's record.
pub(super) type PairPlace = (i64, String, String, String, String, String);

pub(super) fn place_of_pair(pair: &SharedPair) -> PairPlace {
    let lead = &pair.lead.lead;
    (
        pair.since.as_micros(),
        pair.kind.as_str().to_owned(),
        pair.destination.as_str().to_owned(),
        lead.source.as_str().to_owned(),
        lead.id.as_str().to_owned(),
        if pair.other.lead.is_some() { String::new() } else { pair.other.record.id.as_str().to_owned() },
    )
}

/// Cuts a page out of one row more than it may hold.
pub(super) fn cut<T, P: Serialize>(mut items: Vec<T>, limit: usize, place: impl Fn(&T) -> P) -> Listed<T> {
    let more = items.len() > limit;
    items.truncate(limit);
    let next = if more { items.last().map(|last| cursor(&place(last))) } else { None };
    Listed { items, next }
}
