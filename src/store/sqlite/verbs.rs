//! The verbs, each handed on to the file that holds its SQL.

use std::path::Path;

use async_trait::async_trait;

use super::{
    SqliteStore, announce, append, backup, by_hand, claim, conflicts, dead_letters, dirty, duplicates, erase, events,
    figures, fold, gates, leads, links, log, people, prune, recover, replay, runs, settle, strangers, unfolded, work,
};
use crate::domain::ids::{DestinationName, EventId, FieldName, LeadKey, RecordRef, SourceName};
use crate::domain::time::Timestamp;
use crate::store::*;

#[async_trait]
impl EventLog for SqliteStore {
    async fn accept_events(&self, events: Vec<NewEvent>) -> StoreResult<Vec<EventReceipt>> {
        self.writer.accept(events).await
    }
}

/// One process at a time may have the file open.
impl Shared for SqliteStore {}

#[async_trait]
impl Store for SqliteStore {
    fn subscribe(&self) -> tokio::sync::watch::Receiver<u64> {
        self.due.subscribe()
    }

    async fn claim_jobs(&self, claim: &Claim) -> StoreResult<Vec<ClaimedJob>> {
        claim::claim(self, claim).await
    }

    async fn next_due(&self, destination: &DestinationName) -> StoreResult<Option<Timestamp>> {
        claim::next_due(self, destination).await
    }

    async fn load_work(&self, destination: &DestinationName, leads: &[LeadKey]) -> StoreResult<Vec<Work>> {
        work::load(self, destination, leads).await
    }

    async fn save_leads(&self, folded: &[FoldedLead]) -> StoreResult<Vec<bool>> {
        fold::save(self, folded).await
    }

    async fn announce(&self, announcement: &Announcement) -> StoreResult<Vec<Option<Announced>>> {
        announce::announce(self, announcement).await
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Vec<StoreResult<Settled>> {
        settle::settle(self, settlements).await
    }

    async fn give_back(&self, jobs: &[GiveBack]) -> StoreResult<()> {
        claim::give_back(self, jobs).await
    }

    async fn recover_leases(&self, whose: LeasesOf, now: Timestamp) -> StoreResult<Recovered> {
        recover::recover(self, whose, now).await
    }

    async fn shorten_waits(&self, latest: Timestamp) -> StoreResult<u64> {
        recover::shorten_waits(self, latest).await
    }

    async fn mark_dirty(&self, mark: &DirtyMark) -> StoreResult<u64> {
        dirty::mark(self, mark).await
    }

    async fn held_leads(
        &self,
        destination: &DestinationName,
        code: &str,
        sources: &[SourceName],
    ) -> StoreResult<Vec<LeadKey>> {
        unfolded::held(self, destination, code, sources).await
    }

    async fn close_late_intents(&self, now: Timestamp) -> StoreResult<u64> {
        recover::close_late(self, now).await
    }

    async fn find_owners(
        &self,
        destination: &DestinationName,
        records: &[RecordRef],
    ) -> StoreResult<Vec<Option<RecordOwner>>> {
        links::find_owners(self, destination, records).await
    }

    async fn find_shared(&self, destination: &DestinationName, records: &[RecordRef]) -> StoreResult<Vec<Sharing>> {
        links::find_shared(self, destination, records).await
    }

    async fn leads_with_rows_left_out(
        &self,
        destination: &DestinationName,
        fingerprint: &str,
    ) -> StoreResult<Vec<LeadKey>> {
        links::with_rows_left_out(self, destination, fingerprint).await
    }

    async fn count_keys_formed_otherwise(
        &self,
        destination: &DestinationName,
        field: &FieldName,
        form: &str,
    ) -> StoreResult<u64> {
        links::count_keys_formed_otherwise(&self.readers, destination, field, form).await
    }

    async fn find_open_creates(
        &self,
        destination: &DestinationName,
        at_work: &[LeaseToken],
        _now: Timestamp,
    ) -> StoreResult<Vec<OpenCreate>> {
        links::find_open_creates(self, destination, at_work).await
    }

    async fn save_calls(&self, destination: &DestinationName, hour: Timestamp, calls: u64) -> StoreResult<()> {
        gates::save_calls(self, destination, hour, calls).await
    }

    async fn calls_since(&self, destination: &DestinationName, since: Timestamp) -> StoreResult<Vec<(Timestamp, u64)>> {
        gates::calls_since(self, destination, since).await
    }

    async fn save_closed_spans(
        &self,
        destination: &DestinationName,
        spans: &[(Timestamp, Timestamp)],
    ) -> StoreResult<()> {
        gates::save_closed_spans(self, destination, spans).await
    }

    async fn closed_spans(&self, destination: &DestinationName) -> StoreResult<Vec<(Timestamp, Timestamp)>> {
        gates::closed_spans(self, destination).await
    }

    async fn search_sync_log(&self, filter: &LogFilter, page: &Page) -> StoreResult<Listed<LogRow>> {
        log::search(self, filter, page).await
    }

    async fn load_log_row(&self, id: i64) -> StoreResult<Option<LogRowDetail>> {
        log::load(self, id).await
    }

    async fn list_events(&self, filter: &EventFilter, page: &Page) -> StoreResult<Listed<EventRow>> {
        events::list(self, filter, page).await
    }

    async fn load_event(&self, id: EventId) -> StoreResult<Option<EventDetail>> {
        events::load(self, id).await
    }

    async fn replay_event(
        &self,
        id: EventId,
        reread: Reread,
        destinations: &[DestinationName],
        now: Timestamp,
    ) -> StoreResult<Option<()>> {
        replay::replay(self, id, reread, destinations, now).await
    }

    async fn list_leads(&self, filter: &LeadFilter, page: &Page) -> StoreResult<Listed<LeadRow>> {
        leads::list(self, filter, page).await
    }

    async fn load_lead(&self, key: &LeadKey) -> StoreResult<Option<LeadView>> {
        leads::load(self, key).await
    }

    async fn list_conflicts(&self, filter: &ConflictFilter, page: &Page) -> StoreResult<Listed<ConflictRow>> {
        conflicts::list(self, filter, page).await
    }

    async fn load_conflict(&self, id: i64) -> StoreResult<Option<ConflictRow>> {
        conflicts::load(self, id).await
    }

    async fn resolve_conflict(&self, answer: &Answer) -> StoreResult<Answered> {
        conflicts::resolve(self, answer).await
    }

    async fn close_vanished(
        &self,
        destination: &DestinationName,
        fields: &[FieldName],
        companies: bool,
        now: Timestamp,
    ) -> StoreResult<u64> {
        conflicts::close_vanished(self, destination, fields, companies, now).await
    }

    async fn close_orphaned(&self, destinations: &[DestinationName], now: Timestamp) -> StoreResult<u64> {
        conflicts::close_orphaned(self, destinations, now).await
    }

    async fn order_link(&self, order: &LinkOrder) -> StoreResult<Ordered> {
        by_hand::order_link(self, order).await
    }

    async fn set_excluded(&self, exclusion: &Exclusion) -> StoreResult<bool> {
        by_hand::set_excluded(self, exclusion).await
    }

    async fn append_log(&self, row: &NewLogRow) -> StoreResult<()> {
        append::append_one(self, row).await
    }

    async fn erase_lead(&self, erasure: &Erasure) -> StoreResult<Option<Erased>> {
        erase::erase(self, erasure).await
    }

    async fn list_dead_letters(&self, filter: &DeadLetterFilter, page: &Page) -> StoreResult<Listed<DeadLetter>> {
        dead_letters::list(self, filter, page).await
    }

    async fn owe_refused_again(&self, pardoned: &Pardoned) -> StoreResult<u64> {
        dead_letters::owe_refused_again(self, pardoned).await
    }

    async fn retry_dead_letters(&self, filter: &DeadLetterFilter, now: Timestamp) -> StoreResult<u64> {
        dead_letters::retry(self, filter, now).await
    }

    async fn discard_dead_letters(&self, filter: &DeadLetterFilter, by: &str, now: Timestamp) -> StoreResult<u64> {
        dead_letters::discard(self, filter, by, now).await
    }

    async fn queue_figures(&self, now: Timestamp) -> StoreResult<Vec<QueueFigures>> {
        figures::queue(self, now).await
    }

    async fn group_errors(&self, since: Timestamp) -> StoreResult<Vec<ErrorGroup>> {
        figures::errors(self, since).await
    }

    async fn count_outcomes(&self, since: Timestamp) -> StoreResult<Vec<OutcomeCount>> {
        figures::outcomes(self, since).await
    }

    async fn standing_figures(&self) -> StoreResult<StandingFigures> {
        figures::standing(self).await
    }

    async fn source_figures(&self, source: &SourceName, since: Timestamp) -> StoreResult<SourceFigures> {
        figures::source(self, source, since).await
    }

    async fn pause(&self, pause: &Pause) -> StoreResult<()> {
        people::pause(self, pause).await
    }

    async fn resume(&self, destination: &DestinationName, by: &str, now: Timestamp) -> StoreResult<bool> {
        people::resume(self, destination, by, now).await
    }

    async fn load_pauses(&self) -> StoreResult<Vec<Pause>> {
        people::load_pauses(self).await
    }

    async fn record_audit(&self, entry: &AuditEntry) -> StoreResult<()> {
        people::record_audit(self, entry).await
    }

    async fn list_audit(&self, page: &Page) -> StoreResult<Listed<AuditRow>> {
        people::list_audit(self, page).await
    }

    async fn create_run(&self, run: &NewRun) -> StoreResult<i64> {
        runs::create(self, run).await
    }

    async fn update_run(&self, id: i64, progress: &RunProgress) -> StoreResult<()> {
        runs::update(self, id, progress).await
    }

    async fn list_runs(&self, page: &Page) -> StoreResult<Listed<RunRow>> {
        runs::list(self, page).await
    }

    async fn load_run(&self, id: i64) -> StoreResult<Option<RunRow>> {
        runs::load(self, id).await
    }

    async fn leads_after(&self, scope: &ResyncScope, after: Option<&LeadKey>, limit: u32) -> StoreResult<Vec<LeadKey>> {
        leads::after(self, scope, after, limit).await
    }

    async fn count_leads(&self, scope: &ResyncScope) -> StoreResult<u64> {
        leads::count(self, scope).await
    }

    async fn unfolded_leads(
        &self,
        destination: &DestinationName,
        sources: &[SourceName],
        after: Option<&LeadKey>,
        limit: u32,
    ) -> StoreResult<Vec<LeadKey>> {
        unfolded::list(self, destination, sources, after, limit).await
    }

    async fn count_unfolded_leads(&self, destination: &DestinationName, sources: &[SourceName]) -> StoreResult<u64> {
        unfolded::count(self, destination, sources).await
    }

    async fn old_unfolded_leads(
        &self,
        sources: &[SourceName],
        before: Timestamp,
        after: Option<&LeadKey>,
        limit: u32,
    ) -> StoreResult<Vec<LeadKey>> {
        unfolded::list_old(self, sources, before, after, limit).await
    }

    async fn people_after(&self, same: Same, after: &PersonPlace, limit: u32) -> StoreResult<People> {
        duplicates::people_after(self, same, after, limit).await
    }

    async fn linked_people(&self, leads: &[LeadKey]) -> StoreResult<Vec<LinkedPerson>> {
        duplicates::linked(self, leads).await
    }

    async fn suspect(&self, suspects: &[Suspect]) -> StoreResult<u64> {
        duplicates::suspect(self, suspects).await
    }

    async fn suspect_strangers(&self, strangers: &[Stranger]) -> StoreResult<u64> {
        strangers::suspect(self, strangers).await
    }

    async fn drop_strangers(&self, span: &SearchedSpan) -> StoreResult<()> {
        strangers::drop_of(self, span).await
    }

    async fn linked_leads(&self, destination: &DestinationName, leads: &[LeadKey]) -> StoreResult<Vec<LinkedLead>> {
        strangers::linked_leads(self, destination, leads).await
    }

    async fn load_search(&self, destination: &DestinationName) -> StoreResult<Option<SearchPlace>> {
        strangers::load_search(self, destination).await
    }

    async fn save_search(&self, destination: &DestinationName, place: &SearchPlace) -> StoreResult<()> {
        strangers::save_search(self, destination, place).await
    }

    async fn drop_suspects(&self, found_before: Timestamp) -> StoreResult<bool> {
        duplicates::drop_before(self, found_before).await
    }

    async fn tell_apart(&self, told: &ToldApart) -> StoreResult<bool> {
        duplicates::tell_apart(self, told).await
    }

    async fn list_shared(&self, filter: &SharedFilter, page: &Page) -> StoreResult<Listed<SharedPair>> {
        duplicates::list(self, filter, page).await
    }

    async fn seen_fields(&self, source: &SourceName) -> StoreResult<Vec<String>> {
        leads::seen_fields(&self.readers, source).await
    }

    async fn prune(&self, before: Timestamp, keep_unfolded: bool) -> StoreResult<bool> {
        prune::prune(self, before, keep_unfolded).await
    }

    async fn backup(&self, to: &Path) -> StoreResult<()> {
        backup::backup(self, to).await
    }

    async fn ready(&self) -> StoreResult<()> {
        self.writer.probe().await
    }

    async fn close(&self) {
        self.writer.close().await;
        self.readers.close().await;
    }
}
