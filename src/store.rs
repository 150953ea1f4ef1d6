//! Durable state: events, leads, links, jobs, conflicts and the sync log, behind one trait whose methods are the
//! program's verbs.
//!
//! Two promises hold for every method: it happens whole or not at all, and what it answered is on disk. No transaction
//! leaves the store, and none is open while a CRM is called.

mod by_hand;
mod cells;
mod decided;
mod erased;
mod figures;
mod listed;
mod paging;
mod pairs;
pub mod postgres;
pub mod refused;
mod requests;
mod rows;
mod searched;
mod searching;
pub mod shared;
pub mod sqlite;
pub mod stored;
pub mod types;
mod walking;
mod work;

use async_trait::async_trait;

use crate::domain::ids::{DestinationName, EventId, FieldName, LeadKey, RecordRef, SourceName};
use crate::domain::time::Timestamp;
pub use refused::RefusedRequests;
pub use shared::{Closure, GateElsewhere, KeyHold, Other, Replica, ReplicaRow, Shared};
pub use types::*;

/// Where accepted events go. Apart from [`Store`] so that intake can be measured without storing.
#[async_trait]
pub trait EventLog: Send + Sync {
    /// Stores the events of one request and marks their leads dirty for every destination named, in one transaction;
    /// answers once it is synced to disk.
    ///
    /// Requests that arrive together share a commit. An event whose sender ID, lead and content were stored before, with
    /// no other event of that lead since, is a duplicate: nothing is stored and the first one's ID is answered.
    /// [`StoreError::Busy`] at once when too much waits already; [`StoreError::Unavailable`] when it could not commit.
    async fn accept_events(&self, events: Vec<NewEvent>) -> StoreResult<Vec<EventReceipt>>;
}

/// All that the program remembers.
#[async_trait]
pub trait Store: EventLog + Shared + RefusedRequests {
    // Jobs -------------------------------------------------------------------------------------------------------------

    /// Hands due jobs of one destination to one worker until the lease ends: `due_at` becomes the lease's end, the attempt
    /// is counted and committed. Live before backfill, then the longest due. A job whose lease ran out is due again.
    async fn claim_jobs(&self, claim: &Claim) -> StoreResult<Vec<ClaimedJob>>;

    /// Tells whoever waits for due jobs that some may have become due: moves with every commit after which a job is due
    /// that was not (an event, a person's answer, a retry, a settling that found the lead moved).
    fn subscribe(&self) -> tokio::sync::watch::Receiver<u64>;

    /// When the destination's next job is due; `None` if nothing is owed that could become due by itself.
    async fn next_due(&self, destination: &DestinationName) -> StoreResult<Option<Timestamp>>;

    /// Everything that planning needs of these leads, read together; in the order given.
    async fn load_work(&self, destination: &DestinationName, leads: &[LeadKey]) -> StoreResult<Vec<Work>>;

    /// Saves folded leads, each only if its revision is still the one it was loaded at, and marks their events folded or
    /// stale. `false`: the lead moved meanwhile; load and fold it again.
    async fn save_leads(&self, folded: &[FoldedLead]) -> StoreResult<Vec<bool>>;

    /// Renews the leases and commits the intended values, before anything is written outside. Answers per lead whether
    /// the lease still held, and where several processes share the database, all its keys were still in hand; where not,
    /// nothing was announced for it. A link that moved meanwhile stays as it is.
    async fn announce(&self, announcement: &Announcement) -> StoreResult<Vec<Option<Announced>>>;

    /// Records what came of the attempts: links, bases, conflicts, log and jobs, each lead for itself, in the order given.
    /// With a lost lease only the log rows are appended, and if something was written the lead is marked dirty again; nothing
    /// at all if an earlier try may have recorded it. A
    /// job whose `wanted` moved on stays owed: after a failure at its back-off, else at once. An error is for that lead
    /// alone: settle it again.
    async fn settle(&self, settlements: Vec<Settlement>) -> Vec<StoreResult<Settled>>;

    /// Gives claimed jobs back without counting the attempt (graceful stop, a neighbour in flight, a closed gate).
    async fn give_back(&self, jobs: &[GiveBack]) -> StoreResult<()>;

    /// Releases the leases of a process or a batch that died: every job it had leased is due now, and for each of its
    /// unsettled intents a log row `unknown` with its request ID is appended (the intent stays open). Jobs that had
    /// announced are marked suspect. Answers how many leases there were. Where several processes share the database,
    /// only what ran out tells of a death.
    async fn recover_leases(&self, whose: LeasesOf, now: Timestamp) -> StoreResult<Recovered>;

    /// Brings every wait that would end after `latest` to there, leases included: after a jump of the clock a job must not
    /// wait for the old time to come round. Answers how many.
    async fn shorten_waits(&self, latest: Timestamp) -> StoreResult<u64>;

    /// Marks leads dirty: their jobs are owed and due now, dead and held ones included.
    async fn mark_dirty(&self, mark: &DirtyMark) -> StoreResult<u64>;

    /// Leads of these sources whose jobs in a destination are held with this code.
    async fn held_leads(
        &self,
        destination: &DestinationName,
        code: &str,
        sources: &[SourceName],
    ) -> StoreResult<Vec<LeadKey>>;

    /// Marks the lead of every unanswered intent dirty once more when it can no longer land, since it may have landed late.
    /// The intent is still loaded until an attempt that looked is settled, and goes then. Answers how many.
    async fn close_late_intents(&self, now: Timestamp) -> StoreResult<u64>;

    /// Which lead owns each of these records, or did until it was deleted; `None`: none of ours.
    async fn find_owners(
        &self,
        destination: &DestinationName,
        records: &[RecordRef],
    ) -> StoreResult<Vec<Option<RecordOwner>>>;

    /// Whether living leads share each of these records with its owner.
    async fn find_shared(&self, destination: &DestinationName, records: &[RecordRef]) -> StoreResult<Vec<Sharing>>;

    /// Leads that have rows left out of their record, planned by other rules than those of this fingerprint: a changed
    /// mapping or schema is a reason to try again.
    async fn leads_with_rows_left_out(
        &self,
        destination: &DestinationName,
        fingerprint: &str,
    ) -> StoreResult<Vec<LeadKey>>;

    /// Living leads that own a record on which `field` carries a key that was formed otherwise than by `form`.
    async fn count_keys_formed_otherwise(
        &self,
        destination: &DestinationName,
        field: &FieldName,
        form: &str,
    ) -> StoreResult<u64>;

    /// Creates that may still land, of leads that have no record yet: their attempt ended without an answer, or was
    /// announced and never settled. Not those of batches `at_work` and of living batches in other processes: these have
    /// their people in hand.
    async fn find_open_creates(
        &self,
        destination: &DestinationName,
        at_work: &[LeaseToken],
        now: Timestamp,
    ) -> StoreResult<Vec<OpenCreate>>;

    /// Remembers how many calls a destination made in an hour; a smaller number than is known changes nothing.
    async fn save_calls(&self, destination: &DestinationName, hour: Timestamp, calls: u64) -> StoreResult<()>;

    /// Calls made since then, per hour.
    async fn calls_since(&self, destination: &DestinationName, since: Timestamp) -> StoreResult<Vec<(Timestamp, u64)>>;

    /// Replaces the spans of time in which the destination's gate was closed.
    async fn save_closed_spans(
        &self,
        destination: &DestinationName,
        spans: &[(Timestamp, Timestamp)],
    ) -> StoreResult<()>;

    /// The spans as they were saved last, in order.
    async fn closed_spans(&self, destination: &DestinationName) -> StoreResult<Vec<(Timestamp, Timestamp)>>;

    // What operators see and do ----------------------------------------------------------------------------------------

    /// The sync log, newest first.
    async fn search_sync_log(&self, filter: &LogFilter, page: &Page) -> StoreResult<Listed<LogRow>>;
    /// One row of it, with decisions, request and response.
    async fn load_log_row(&self, id: i64) -> StoreResult<Option<LogRowDetail>>;

    async fn list_events(&self, filter: &EventFilter, page: &Page) -> StoreResult<Listed<EventRow>>;
    async fn load_event(&self, id: EventId) -> StoreResult<Option<EventDetail>>;
    /// Puts an event's lead back to be folded anew from all its kept events, and marks it dirty. `reread` replaces what
    /// intake read of the event (a quarantined one may be readable with today's settings). `None`: no such event, or it turned
    /// out to be of an erased lead: then it is emptied.
    async fn replay_event(
        &self,
        id: EventId,
        reread: Reread,
        destinations: &[DestinationName],
        now: Timestamp,
    ) -> StoreResult<Option<()>>;

    async fn list_leads(&self, filter: &LeadFilter, page: &Page) -> StoreResult<Listed<LeadRow>>;
    /// A lead with links, jobs, open conflicts and timeline.
    async fn load_lead(&self, key: &LeadKey) -> StoreResult<Option<LeadView>>;

    async fn list_conflicts(&self, filter: &ConflictFilter, page: &Page) -> StoreResult<Listed<ConflictRow>>;
    async fn load_conflict(&self, id: i64) -> StoreResult<Option<ConflictRow>>;
    /// Stores a person's answer with both halves seen, closes the conflict, marks the lead dirty and writes down who did it,
    /// together, if the conflict is open and still at this revision.
    async fn resolve_conflict(&self, answer: &Answer) -> StoreResult<Answered>;

    /// Closes open questions about fields that are none of these: their rows are no longer in the mapping. So, too, those about
    /// companies, unless `companies` are looked up. Answers how many. Leads of which that was done to a question that can be
    /// answered again are owed, behind live work: what still stands is asked again.
    async fn close_vanished(
        &self,
        destination: &DestinationName,
        fields: &[FieldName],
        companies: bool,
        now: Timestamp,
    ) -> StoreResult<u64>;

    /// Closes the open questions of every destination but these, and answers how many. Leads of which that was done while their
    /// destination was away are owed there, behind live work: what still stands is asked again. Records that were suspected there
    /// are dropped.
    async fn close_orphaned(&self, destinations: &[DestinationName], now: Timestamp) -> StoreResult<u64>;

    /// Links a lead to a record by a person's order, or unlinks it. What it owned before goes to its heir; the lead's open
    /// conflicts there close; it is owed now, whatever refused it before. A lead that is unlinked is not taken for that
    /// record again by itself. Who ordered it is written down with it.
    async fn order_link(&self, order: &LinkOrder) -> StoreResult<Ordered>;

    /// Excludes a lead from syncing, or includes it again. What an excluded lead owned goes to its heirs, its open conflicts
    /// close, and what is owed for it is dropped. Who did it is written down with it. `false`: nothing is known of the lead, or
    /// it was so already.
    async fn set_excluded(&self, exclusion: &Exclusion) -> StoreResult<bool>;

    /// Appends what was done in a CRM to the sync log, by itself: it is told even if what it was done for fails.
    async fn append_log(&self, row: &NewLogRow) -> StoreResult<()>;

    /// Erases what is personal of a lead, everywhere here: its events, its document, bases, conflicts, jobs, and the values in
    /// the log and in copies that nobody could read. What was done stays as a fact under another name, what it owned goes
    /// to its heirs. Its tombstone is a keyed hash: events of it that come later are kept without data. `None`: nothing is
    /// known of the lead.
    async fn erase_lead(&self, erasure: &Erasure) -> StoreResult<Option<Erased>>;

    /// Makes dead letters owed again that were refused with a code since some moment: it was not their fault. They are due
    /// at `due_at`, and are sent although the same was refused before.
    async fn owe_refused_again(&self, pardoned: &Pardoned) -> StoreResult<u64>;

    async fn list_dead_letters(&self, filter: &DeadLetterFilter, page: &Page) -> StoreResult<Listed<DeadLetter>>;
    /// Makes dead letters due now. Answers how many.
    async fn retry_dead_letters(&self, filter: &DeadLetterFilter, now: Timestamp) -> StoreResult<u64>;
    /// Drops dead letters; each leaves a log row `skip` that names who did it.
    async fn discard_dead_letters(&self, filter: &DeadLetterFilter, by: &str, now: Timestamp) -> StoreResult<u64>;

    /// Figures of the queue, at most a second old, without scanning a table.
    async fn queue_figures(&self, now: Timestamp) -> StoreResult<Vec<QueueFigures>>;
    /// Failures of the last `within`, grouped by destination and code.
    async fn group_errors(&self, since: Timestamp) -> StoreResult<Vec<ErrorGroup>>;
    /// Operations by outcome since then, per destination; what the error-rate alert is computed from.
    async fn count_outcomes(&self, since: Timestamp) -> StoreResult<Vec<OutcomeCount>>;
    /// Open conflicts by destination and kind, shared records and suspected duplicates by destination, quarantined events and
    /// held requests by source.
    async fn standing_figures(&self) -> StoreResult<StandingFigures>;
    /// What each source sent, kept by the process since its start and by the store before.
    async fn source_figures(&self, source: &SourceName, since: Timestamp) -> StoreResult<SourceFigures>;

    /// Pauses a destination, and writes down who did it. A pause that is there already is replaced.
    async fn pause(&self, pause: &Pause) -> StoreResult<()>;
    /// Ends a pause, and writes down who did it; `false`: there was none.
    async fn resume(&self, destination: &DestinationName, by: &str, now: Timestamp) -> StoreResult<bool>;
    async fn load_pauses(&self) -> StoreResult<Vec<Pause>>;

    /// Writes down what somebody did by other means than those above.
    async fn record_audit(&self, entry: &AuditEntry) -> StoreResult<()>;
    async fn list_audit(&self, page: &Page) -> StoreResult<Listed<AuditRow>>;

    async fn create_run(&self, run: &NewRun) -> StoreResult<i64>;
    /// Notes how far a run came; one that is over stays as it is.
    async fn update_run(&self, id: i64, progress: &RunProgress) -> StoreResult<()>;
    async fn list_runs(&self, page: &Page) -> StoreResult<Listed<RunRow>>;
    async fn load_run(&self, id: i64) -> StoreResult<Option<RunRow>>;
    /// Up to `limit` leads after `after` that a resync of this scope would touch, in key order.
    async fn leads_after(&self, scope: &ResyncScope, after: Option<&LeadKey>, limit: u32) -> StoreResult<Vec<LeadKey>>;
    async fn count_leads(&self, scope: &ResyncScope) -> StoreResult<u64>;
    /// How many leads a resync of this scope marks.
    async fn count_resync(&self, scope: &ResyncScope) -> StoreResult<u64> {
        let unfolded = match scope.is_whole() {
            true => self.count_unfolded_leads(&scope.destination, &scope.sources).await?,
            false => 0,
        };
        Ok(self.count_leads(scope).await? + unfolded)
    }

    /// Leads of these sources of which events came, nothing was folded yet and nothing is owed to this destination (what is held
    /// or dead is not): since none took them, or only one that could not be reached. Up to `limit`, after `after` in an order of the
    /// store's own.
    async fn unfolded_leads(
        &self,
        destination: &DestinationName,
        sources: &[SourceName],
        after: Option<&LeadKey>,
        limit: u32,
    ) -> StoreResult<Vec<LeadKey>>;
    async fn count_unfolded_leads(&self, destination: &DestinationName, sources: &[SourceName]) -> StoreResult<u64>;
    /// Up to `limit` leads of these sources, after `after` in an order of the store's own, that have events from before that
    /// time to fold, and owe nothing to anybody: they are to be folded before those are pruned.
    async fn old_unfolded_leads(
        &self,
        sources: &[SourceName],
        before: Timestamp,
        after: Option<&LeadKey>,
        limit: u32,
    ) -> StoreResult<Vec<LeadKey>>;

    /// One piece, of at most `limit` leads after a place, of all people in the order of address or name.
    async fn people_after(&self, same: Same, after: &PersonPlace, limit: u32) -> StoreResult<People>;
    /// Which records these leads are, in every destination; deleted and excluded leads are left out. In the order given.
    async fn linked_people(&self, leads: &[LeadKey]) -> StoreResult<Vec<LinkedPerson>>;
    /// Notes leads whose records may be one person's: none whose question is still open, nor one that is not two records by
    /// now. Of what one search found twice the first counts. Answers how many were noted.
    async fn suspect(&self, suspects: &[Suspect]) -> StoreResult<u64>;
    /// Notes records of a CRM that may be the person of a lead's record: none that a lead is, nor one that an open question names.
    /// Answers how many were noted.
    async fn suspect_strangers(&self, strangers: &[Stranger]) -> StoreResult<u64>;
    /// Drops what was suspected of these leads before, and not found again.
    async fn drop_strangers(&self, span: &SearchedSpan) -> StoreResult<()>;
    /// Those of these leads that are a record of this destination; deleted and excluded leads are left out.
    async fn linked_leads(&self, destination: &DestinationName, leads: &[LeadKey]) -> StoreResult<Vec<LinkedLead>>;
    /// How far the search for such records came in a CRM; `None`: there was none.
    async fn load_search(&self, destination: &DestinationName) -> StoreResult<Option<SearchPlace>>;
    async fn save_search(&self, destination: &DestinationName, place: &SearchPlace) -> StoreResult<()>;
    /// Drops a piece of what no search from this one on found again. `false`: nothing is left to drop.
    async fn drop_suspects(&self, found_before: Timestamp) -> StoreResult<bool>;
    /// Notes that a person told two suspected leads apart, or takes that back. It holds for later searches, until one of
    /// the leads is erased. `false`: the two are not suspected.
    async fn tell_apart(&self, told: &ToldApart) -> StoreResult<bool>;
    /// Two leads on one record, and records that may be one person's; newest first.
    async fn list_shared(&self, filter: &SharedFilter, page: &Page) -> StoreResult<Listed<SharedPair>>;

    /// Lead fields seen so far by source, for the mapping document. Bounded: the newest leads.
    async fn seen_fields(&self, source: &SourceName) -> StoreResult<Vec<String>>;

    /// Deletes a small piece of what is older than `before` and no longer needed (not what a job, an open conflict or a
    /// link's last success needs; nor what a job has to fold, or with `keep_unfolded` whatever is not folded). `false`:
    /// nothing is left to delete.
    async fn prune(&self, before: Timestamp, keep_unfolded: bool) -> StoreResult<bool>;

    /// Writes a consistent copy of the database while it runs.
    async fn backup(&self, to: &std::path::Path) -> StoreResult<()>;

    /// Whether the store commits now.
    async fn ready(&self) -> StoreResult<()>;

    /// Waits until all that was handed in is on disk, and closes.
    async fn close(&self);
}

pub type StoreResult<T> = Result<T, StoreError>;

/// Why the store did not do it, named after what the caller does about it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Too much waits already; nothing was stored.
    #[error("too much waits to be stored")]
    Busy,
    /// It could not commit, or not in time; it may be stored all the same.
    #[error("the store cannot commit now: {0}")]
    Unavailable(String),
    #[error("row {id} of {table} holds no valid {column}")]
    Corrupt { table: &'static str, column: &'static str, id: String },
    /// Another process holds the database.
    #[error("the database {path} is in use by {holder}")]
    InUse { path: String, holder: String },
    #[error("the database is newer than this program: it has migration {found}, this program knows {known}")]
    TooNew { found: i64, known: i64 },
    #[error("the database lacks migrations: it has {found}, this program needs {known}")]
    TooOld { found: i64, known: i64 },
    /// The database cannot be opened, since nothing answers there.
    #[error("the server cannot be reached: {0}")]
    Unreachable(String),
    /// The server or the account is not fit; says what must be changed.
    #[error("{0}")]
    Unfit(String),
    /// The cursor was not made by this list.
    #[error("the cursor is not one of this list")]
    BadCursor,
    /// Nothing is written over.
    #[error("{0} exists already")]
    FileExists(String),
    #[error("the database call failed")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl StoreError {
    /// What to do about it, where it does not say so itself.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            StoreError::InUse { .. } => {
                Some("only one process may use it: stop that one, or name another in `store.url`")
            }
            StoreError::TooNew { .. } => Some("run the newer program, or restore a backup of the older one's"),
            StoreError::TooOld { .. } => Some("run `leadrelay migrate`"),
            StoreError::FileExists(_) => Some("name a new file"),
            StoreError::Unreachable(_) => Some("see whether it runs, and `store.url`"),
            _ => None,
        }
    }

    /// What is behind it, for another error or sentence that says already that the store cannot be used.
    pub fn reason(&self) -> String {
        match self {
            StoreError::Unavailable(reason) => reason.clone(),
            error => crate::telemetry::chain(error),
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let passes = match &error {
            sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::WorkerCrashed => true,
            sqlx::Error::Database(said) => said.code().is_some_and(|code| passes_by_itself(&code)),
            _ => false,
        };
        match error {
            // With its place in the server's own source it would only confuse.
            sqlx::Error::Database(said) if passes => StoreError::Unavailable(said.message().to_owned()),
            sqlx::Error::PoolTimedOut => StoreError::Unavailable("the database does not answer".to_owned()),
            error if passes => StoreError::Unavailable(error.to_string()),
            error => StoreError::Database(Box::new(error)),
        }
    }
}

/// Whether a server's code is of its state and not of what was asked: lost or refused connections (08, 57P), too few
/// resources (53), a standby (25006), a deadlock or a conflict (40), a lock or a statement that took too long.
/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
fn passes_by_itself(code: &str) -> bool {
    let classes = ["08", "53", "57P", "40"];
    code.len() == 5
        && (classes.iter().any(|class| code.starts_with(class)) || ["25006", "55P03", "57014"].contains(&code))
}
