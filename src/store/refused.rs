//! The holding of refused requests: what both stores promise, and how a proof is written.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::types::{NewRefused, RefusedBounds, RefusedDetail, RefusedFilter, RefusedFor, RefusedRow};
use super::{Listed, Page, StoreResult};
use crate::domain::ids::SourceName;
use crate::domain::signature::{Proof, SALT, Signed};
use crate::domain::time::Timestamp;

/// Requests whose signature or token did not verify. They are no events: nothing is read of them and nothing owed for them until a
/// person has them verified again.
#[async_trait]
pub trait RefusedRequests: Send + Sync {
    /// Holds these, and lets go of what is over the bounds: of a source with too many its oldest, those without any
    /// proof first; of too many bytes, those of the source that holds the most.
    async fn hold_refused(&self, requests: Vec<NewRefused>, bounds: RefusedBounds) -> StoreResult<()>;

    async fn list_refused(&self, filter: &RefusedFilter, page: &Page) -> StoreResult<Listed<RefusedRow>>;
    async fn load_refused(&self, id: i64) -> StoreResult<Option<RefusedDetail>>;

    /// The source's next held request after this number, the oldest first.
    async fn next_refused(&self, source: &SourceName, after: i64) -> StoreResult<Option<RefusedDetail>>;

    /// Lets go of requests that were taken in.
    async fn release_refused(&self, ids: Vec<i64>) -> StoreResult<()>;

    /// Notes why a request is refused by today's settings.
    async fn note_refused(&self, id: i64, reason: RefusedFor) -> StoreResult<()>;

    /// Lets go of what was received before then; answers how many.
    async fn forget_refused(&self, before: Timestamp) -> StoreResult<u64>;
}

/// Which requests of a source have to go so that it holds no more than it may: what is over the bound, in this order.
pub(super) const FIRST_TO_GO: &str = "CASE WHEN reason IN ('missing_signature', 'missing_token') THEN 0 ELSE 1 END, id";

/// Of which source and how many bytes have to go, given what each holds; `None`: nothing.
pub(super) fn surplus(held: &[(String, u64)], most: u64) -> Option<(String, u64)> {
    let total: u64 = held.iter().map(|(_, bytes)| *bytes).sum();
    let (source, bytes) = held.iter().max_by_key(|(_, bytes)| *bytes)?;
    (total > most).then(|| (source.clone(), (total - most).min(*bytes)))
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum StoredProof {
    Missing,
    Signed { method: String, path_and_query: Option<String>, headers: Vec<(String, String)> },
    Token { salt: String, digest: String },
}

/// Writes what verifying again needs.
pub(super) fn proof_to_json(proof: &Proof) -> String {
    let stored = match proof.clone() {
        Proof::Missing => StoredProof::Missing,
        Proof::Signed(Signed { method, path_and_query, headers }) => {
            StoredProof::Signed { method, path_and_query, headers }
        }
        Proof::Token { salt, digest } => StoredProof::Token { salt: hex::encode(salt), digest: hex::encode(digest) },
    };
    serde_json::to_string(&stored).expect("texts can be written")
}

/// Reads what [`proof_to_json`] wrote.
pub(super) fn proof_from_json(text: &str) -> Option<Proof> {
    Some(match serde_json::from_str(text).ok()? {
        StoredProof::Missing => Proof::Missing,
        StoredProof::Signed { method, path_and_query, headers } => {
            Proof::Signed(Signed { method, path_and_query, headers })
        }
        StoredProof::Token { salt, digest } => {
            let salt: [u8; SALT] = hex::decode(salt).ok()?.try_into().ok()?;
            Proof::Token { salt, digest: hex::decode(digest).ok()?.try_into().ok()? }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_read_as_it_was_written() {
        let headers = vec![("x-signature".to_owned(), "ab".to_owned())];
        let signed = Signed { method: "POST".to_owned(), path_and_query: Some("/w?a=b".to_owned()), headers };
        for proof in [Proof::Missing, Proof::Signed(signed), Proof::Token { salt: [7; SALT], digest: [9; 32] }] {
            let read = proof_from_json(&proof_to_json(&proof));
            assert!(read == Some(proof), "another proof");
        }
        assert!(proof_from_json(r#"{"kind":"token","salt":"ab","digest":"cd"}"#).is_none());
    }

    #[test]
    fn bytes_are_taken_from_whoever_holds_the_most() {
        let held = |a, b| vec![("a".to_owned(), a), ("b".to_owned(), b)];
        assert_eq!(surplus(&held(40, 60), 100), None);
        assert_eq!(surplus(&held(40, 70), 100), Some(("b".to_owned(), 10)));
        assert_eq!(surplus(&held(90, 80), 10), Some(("a".to_owned(), 90)), "the rest goes in the next turn");
        assert_eq!(surplus(&[], 0), None);
    }
}
