//! A store whose disk is gone: it answers nothing, so that what is answered all the same needs no store.

use async_trait::async_trait;

use crate::domain::ids::{DestinationName, EventId, LeadKey, RecordRef, SourceName};
use crate::domain::time::Timestamp;
use crate::store::*;

pub struct DownStore;

fn gone<T>() -> StoreResult<T> {
    Err(StoreError::Unavailable("the disk is gone".to_owned()))
}

#[async_trait]
impl EventLog for DownStore {
    async fn accept_events(&self, _: Vec<NewEvent>) -> StoreResult<Vec<EventReceipt>> {
        gone()
    }
}

#[async_trait]
impl Store for DownStore {
    async fn claim_jobs(&self, _: &Claim) -> StoreResult<Vec<ClaimedJob>> {
        gone()
    }
    async fn next_due(&self, _: &DestinationName) -> StoreResult<Option<Timestamp>> {
        gone()
    }
    async fn load_work(&self, _: &DestinationName, _: &[LeadKey]) -> StoreResult<Vec<Work>> {
        gone()
    }
    async fn save_leads(&self, _: &[FoldedLead]) -> StoreResult<Vec<bool>> {
        gone()
    }
    async fn announce(&self, _: &Announcement) -> StoreResult<Vec<Option<IntentId>>> {
        gone()
    }
    async fn settle(&self, settlements: Vec<Settlement>) -> Vec<StoreResult<Settled>> {
        settlements.iter().map(|_| gone()).collect()
    }
    fn subscribe(&self) -> tokio::sync::watch::Receiver<u64> {
        tokio::sync::watch::channel(0).1
    }
    async fn shorten_waits(&self, _: Timestamp) -> StoreResult<u64> {
        gone()
    }
    async fn find_owners(&self, _: &DestinationName, _: &[RecordRef]) -> StoreResult<Vec<Option<LeadKey>>> {
        gone()
    }
    async fn give_back(&self, _: &[GiveBack]) -> StoreResult<()> {
        gone()
    }
    async fn recover_leases(&self, _: Timestamp) -> StoreResult<Recovered> {
        gone()
    }
    async fn mark_dirty(&self, _: &DirtyMark) -> StoreResult<u64> {
        gone()
    }
    async fn close_late_intents(&self, _: Timestamp) -> StoreResult<u64> {
        gone()
    }
    async fn save_calls(&self, _: &DestinationName, _: Timestamp, _: u64) -> StoreResult<()> {
        gone()
    }
    async fn calls_since(&self, _: &DestinationName, _: Timestamp) -> StoreResult<Vec<(Timestamp, u64)>> {
        gone()
    }
    async fn search_sync_log(&self, _: &LogFilter, _: &Page) -> StoreResult<Listed<LogRow>> {
        gone()
    }
    async fn load_log_row(&self, _: i64) -> StoreResult<Option<LogRowDetail>> {
        gone()
    }
    async fn list_events(&self, _: &EventFilter, _: &Page) -> StoreResult<Listed<EventRow>> {
        gone()
    }
    async fn load_event(&self, _: EventId) -> StoreResult<Option<EventDetail>> {
        gone()
    }
    async fn replay_event(
        &self,
        _: EventId,
        _: Reread,
        _: &[DestinationName],
        _: Timestamp,
    ) -> StoreResult<Option<()>> {
        gone()
    }
    async fn list_leads(&self, _: &LeadFilter, _: &Page) -> StoreResult<Listed<LeadRow>> {
        gone()
    }
    async fn load_lead(&self, _: &LeadKey) -> StoreResult<Option<LeadView>> {
        gone()
    }
    async fn list_conflicts(&self, _: &ConflictFilter, _: &Page) -> StoreResult<Listed<ConflictRow>> {
        gone()
    }
    async fn load_conflict(&self, _: i64) -> StoreResult<Option<ConflictRow>> {
        gone()
    }
    async fn resolve_conflict(&self, _: &Answer) -> StoreResult<Answered> {
        gone()
    }
    async fn list_dead_letters(&self, _: &DeadLetterFilter, _: &Page) -> StoreResult<Listed<DeadLetter>> {
        gone()
    }
    async fn retry_dead_letters(&self, _: &DeadLetterFilter, _: Timestamp) -> StoreResult<u64> {
        gone()
    }
    async fn discard_dead_letters(&self, _: &DeadLetterFilter, _: &str, _: Timestamp) -> StoreResult<u64> {
        gone()
    }
    async fn queue_figures(&self, _: Timestamp) -> StoreResult<Vec<QueueFigures>> {
        gone()
    }
    async fn group_errors(&self, _: Timestamp) -> StoreResult<Vec<ErrorGroup>> {
        gone()
    }
    async fn count_outcomes(&self, _: Timestamp) -> StoreResult<Vec<OutcomeCount>> {
        gone()
    }
    async fn standing_figures(&self) -> StoreResult<StandingFigures> {
        gone()
    }
    async fn source_figures(&self, _: &SourceName, _: Timestamp) -> StoreResult<SourceFigures> {
        gone()
    }
    async fn pause(&self, _: &Pause) -> StoreResult<()> {
        gone()
    }
    async fn resume(&self, _: &DestinationName) -> StoreResult<bool> {
        gone()
    }
    async fn load_pauses(&self) -> StoreResult<Vec<Pause>> {
        gone()
    }
    async fn record_audit(&self, _: &AuditEntry) -> StoreResult<()> {
        gone()
    }
    async fn list_audit(&self, _: &Page) -> StoreResult<Listed<AuditRow>> {
        gone()
    }
    async fn create_run(&self, _: &NewRun) -> StoreResult<i64> {
        gone()
    }
    async fn update_run(&self, _: i64, _: &RunProgress) -> StoreResult<()> {
        gone()
    }
    async fn list_runs(&self, _: &Page) -> StoreResult<Listed<RunRow>> {
        gone()
    }
    async fn load_run(&self, _: i64) -> StoreResult<Option<RunRow>> {
        gone()
    }
    async fn leads_after(&self, _: &ResyncScope, _: Option<&LeadKey>, _: u32) -> StoreResult<Vec<LeadKey>> {
        gone()
    }
    async fn count_leads(&self, _: &ResyncScope) -> StoreResult<u64> {
        gone()
    }
    async fn seen_fields(&self, _: &SourceName) -> StoreResult<Vec<String>> {
        gone()
    }
    async fn prune(&self, _: Timestamp) -> StoreResult<bool> {
        gone()
    }
    async fn backup(&self, _: &std::path::Path) -> StoreResult<()> {
        gone()
    }
    async fn ready(&self) -> StoreResult<()> {
        gone()
    }
    async fn close(&self) {}
}
