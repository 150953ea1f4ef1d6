#![expect(unused, clippy::todo, reason = "not written yet")]
use std::sync::Arc;

use sqlx::PgPool;
use tokio::sync::watch;

use crate::store::*;

pub(super) struct Intake;

impl Intake {
    pub(super) fn start(
        pool: &PgPool,
        max_batch: usize,
        on_commit: Box<dyn Fn(usize) + Send + Sync>,
        due: Arc<watch::Sender<u64>>,
    ) -> Self {
        Self
    }

    pub(super) async fn accept(&self, events: Vec<NewEvent>) -> StoreResult<Vec<EventReceipt>> {
        todo!()
    }

    pub(super) async fn close(&self) {}
}
