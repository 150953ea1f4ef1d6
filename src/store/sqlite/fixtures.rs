//! What the tests of this store start from.

use std::path::PathBuf;

use bytes::Bytes;
use tempfile::TempDir;

use super::{Options, SqliteStore};
use crate::domain::ids::DestinationName;
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

    pub(super) async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.store.readers).await.unwrap()
    }
}

pub(super) fn secs(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

pub(super) fn crm() -> DestinationName {
    DestinationName::from("crm")
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
