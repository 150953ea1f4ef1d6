//! Requests whose signature or token did not verify, held in case it was our secret that was wrong.

use bytes::Bytes;

use crate::domain::ids::{RequestId, SourceName};
use crate::domain::signature::{Proof, ProvenBy};
use crate::domain::time::Timestamp;

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RefusedFor {
    /// It carried no signature where the source's settings look for one.
    MissingSignature,
    /// No secret of the source goes with it.
    WrongSignature,
    /// It carried no token where the source's settings look for one.
    MissingToken,
    /// Its token is none of the source's secrets.
    WrongToken,
    /// Genuine, but its time was too far from our clock when it came.
    Stale,
}

impl RefusedFor {
    pub const ALL: [Self; 5] =
        [Self::MissingSignature, Self::WrongSignature, Self::MissingToken, Self::WrongToken, Self::Stale];

    /// The word in the database and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            RefusedFor::MissingSignature => "missing_signature",
            RefusedFor::WrongSignature => "wrong_signature",
            RefusedFor::MissingToken => "missing_token",
            RefusedFor::WrongToken => "wrong_token",
            RefusedFor::Stale => "stale",
        }
    }

    /// Of a request that is not proven to be the sender's, with or without anything to prove it.
    pub fn unproven(by: ProvenBy, has_proof: bool) -> Self {
        match (by, has_proof) {
            (ProvenBy::Signature, false) => RefusedFor::MissingSignature,
            (ProvenBy::Signature, true) => RefusedFor::WrongSignature,
            (ProvenBy::Token, false) => RefusedFor::MissingToken,
            (ProvenBy::Token, true) => RefusedFor::WrongToken,
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }
}

/// A request to be held, without any secret that it carried.
#[derive(Clone, Debug)]
pub struct NewRefused {
    pub source: SourceName,
    pub reason: RefusedFor,
    pub received_at: Timestamp,
    pub request_id: RequestId,
    pub proof: Proof,
    /// Those that reading needs.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

impl NewRefused {
    /// How many bytes are held of it.
    pub fn size(&self) -> usize {
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.body.len() + self.proof.size() + headers
    }
}

/// How much is held at most.
#[derive(Clone, Copy, Debug)]
pub struct RefusedBounds {
    /// Requests of each source.
    pub per_source: u32,
    /// Bytes of all.
    pub bytes: u64,
}

#[derive(Clone, Debug, Default)]
pub struct RefusedFilter {
    pub source: Option<String>,
    pub reason: Option<RefusedFor>,
}

/// A request that is held.
#[derive(Clone, Debug)]
pub struct RefusedRow {
    pub id: i64,
    pub source: SourceName,
    pub reason: RefusedFor,
    pub received_at: Timestamp,
    pub request_id: RequestId,
    /// Bytes, those of the headers included.
    pub size: u64,
}

#[derive(Clone, Debug)]
pub struct RefusedDetail {
    pub row: RefusedRow,
    pub proof: Proof,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}
