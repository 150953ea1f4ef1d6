//! What the tests of this store start from.

use std::path::PathBuf;

use bytes::Bytes;
use tempfile::TempDir;

use super::{Options, SqliteStore};
use crate::domain::ids::{DestinationName, LeadKey, RecordRef};
use crate::domain::job::Lane;
use crate::domain::matching::MatchedBy;
use crate::domain::plan::Link;
use crate::domain::time::Timestamp;
use crate::store::*;

/// A store in a folder that goes with it.
pub(super) struct Fixture {
    pub(super) store: SqliteStore,
    pub(super) path: PathBuf,
    pub(super) folder: TempDir,
}

impl Fixture {
    pub(super) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("leadrelay.db");
        let store = SqliteStore::open(&path, Options::default()).await.unwrap();
        Self { store, path, folder }
    }

    /// Drops the store without closing it, as a crash would, and opens the file again.
    pub(super) async fn reopen(self) -> Self {
        let Self { store, path, folder } = self;
        drop(store);
        let store = SqliteStore::open(&path, Options::default()).await.unwrap();
        Self { store, path, folder }
    }

    pub(super) async fn accept(&self, event: NewEvent) -> EventReceipt {
        self.store.accept_events(vec![event]).await.unwrap().remove(0)
    }

    pub(super) async fn claim(&self, at_second: i64) -> Vec<ClaimedJob> {
        self.store.claim_jobs(&claim(at_second)).await.unwrap()
    }

    pub(super) async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.store.readers).await.unwrap()
    }

    /// Runs SQL behind the store's back.
    pub(super) async fn execute(&self, sql: &'static str) {
        self.store.writer.run(move |db| Ok(db.execute_batch(sql)?)).await.unwrap();
    }
}

pub(super) fn secs(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

pub(super) fn crm() -> DestinationName {
    DestinationName::from("crm")
}

pub(super) fn key(lead: &str) -> LeadKey {
    LeadKey::new("klozeo", lead)
}

/// An upsert of this lead, received at second 10, for the destination `crm`.
pub(super) fn event(lead: &str, body: &str) -> NewEvent {
    let mut content_hash = [0; 32];
    for (place, byte) in content_hash.iter_mut().zip(body.bytes()) {
        *place = byte;
    }
    NewEvent {
        source: "klozeo".into(),
        lead: Some(lead.into()),
        kind: EventKind::Upsert,
        event_type: Some("lead.updated".to_owned()),
        sender_id: None,
        content_hash,
        state: EventState::Stored,
        reason: None,
        received_at: secs(10),
        request_id: "req-1".into(),
        headers: vec![("x-type".to_owned(), "a".to_owned())],
        body: Bytes::copy_from_slice(body.as_bytes()),
        destinations: vec![crm()],
    }
}

/// A claim of everything, with a token of its own and a lease of 90 seconds.
pub(super) fn claim(at_second: i64) -> Claim {
    Claim {
        destination: crm(),
        lane: None,
        backfill: true,
        limit: 200,
        now: secs(at_second),
        lease_ends_at: secs(at_second + 90),
        token: uuid::Uuid::new_v4(),
    }
}

/// The settlement of a claimed job that agreed, with one log row.
pub(super) fn settlement(token: LeaseToken, job: &ClaimedJob, at_second: i64) -> Settlement {
    Settlement {
        destination: crm(),
        token,
        lead: job.lead.clone(),
        now: secs(at_second),
        wanted: job.wanted,
        end: JobEnd::Done,
        link: LinkChange::Keep,
        questions: Vec::new(),
        moot: Vec::new(),
        intents: Vec::new(),
        log: vec![NewLogRow {
            attempt: job.attempt,
            api_calls: 2,
            duration_ms: 3,
            ..NewLogRow::note(secs(at_second), job.lead.clone(), crm(), Operation::Update, Outcome::Ok)
        }],
        wrote: false,
        looked: true,
    }
}

pub(super) fn record(id: &str) -> RecordRef {
    RecordRef { object: "Lead".into(), id: id.into() }
}

pub(super) fn link(record_id: &str, owner: bool) -> Link {
    Link {
        record: record(record_id),
        matched_by: MatchedBy::Email,
        owner,
        bases: Default::default(),
        kept: Default::default(),
        left_out: Default::default(),
        fingerprint: "f1".to_owned(),
        revision: 0,
    }
}

pub(super) fn lanes(jobs: &[ClaimedJob]) -> Vec<(&str, Lane)> {
    jobs.iter().map(|job| (job.lead.id.as_str(), job.lane)).collect()
}
