//! Moving from SQLite to PostgreSQL: everything comes along, and the new store goes on where the old one was.

use std::path::{Path, PathBuf};
use std::time::Duration;

use leadrelay::domain::ids::EventId;
use leadrelay::domain::job::Class;
use leadrelay::domain::lead::Lead;
use leadrelay::domain::plan::{Decision, Link, Rule};
use leadrelay::domain::record::CrmValue;
use leadrelay::store::postgres::copy::{CopiedTable, copy_from};
use leadrelay::store::postgres::{self, PostgresStore};
use leadrelay::store::sqlite::{self, SqliteStore};
use leadrelay::store::*;

use crate::fixture::*;
use crate::postgres::{Cluster, Database, connect, shared_or_skipped};
use crate::rows::*;

/// A database with something in every table, still open.
struct Old {
    store: SqliteStore,
    file: PathBuf,
    _folder: tempfile::TempDir,
}

const LEADS: usize = 1_500;

impl Old {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("leadrelay.db");
        let store = SqliteStore::open(&file, sqlite::Options::default()).await.unwrap();
        let old = Self { store, file, _folder: folder };
        old.live().await;
        old
    }

    /// Leads that were synced, that wait, that failed and that nobody could read.
    async fn live(&self) {
        let store = &self.store;
        let events = (0..LEADS).map(|n| with_id(&format!("e{n}"), event(&format!("lead {n}"), &format!("body {n}"))));
        store.accept_events(events.collect()).await.unwrap();
        let unreadable =
            NewEvent { lead: None, state: EventState::Quarantined, reason: text("no\0 lead"), ..event("x", "?") };
        store.accept_events(vec![unreadable]).await.unwrap();
        let folded: Vec<FoldedLead> = (0..LEADS).step_by(3).map(|n| self.folded(n)).collect();
        assert!(store.save_leads(&folded).await.unwrap().into_iter().all(|saved| saved));
        let claim = claim(20);
        let jobs = store.claim_jobs(&claim).await.unwrap();
        let announcement = Announcement {
            writes: jobs.iter().flat_map(|job| announcement(claim.token, job.lead.id.as_str(), 21).writes).collect(),
            ..announcement(claim.token, "any", 21)
        };
        store.announce(&announcement).await.unwrap();
        let settlements = jobs.iter().enumerate().skip(50).map(|(n, job)| end(n, settlement(claim.token, job, 22)));
        for settled in store.settle(settlements.collect()).await {
            settled.unwrap();
        }
        // Two that are records by now.
        let (lead, other) = (jobs[52].lead.clone(), jobs[56].lead.clone());
        let suspect = Suspect {
            destination: crm(),
            lead: lead.clone(),
            other: other.clone(),
            same: Same::Email,
            found_at: secs(22),
        };
        assert_eq!(store.suspect(&[suspect]).await.unwrap(), 1);
        let (destination, record) = (crm(), record("a stranger's"));
        let stranger = Stranger { destination, lead: lead.clone(), record, same: Same::Email, found_at: secs(22) };
        assert_eq!(store.suspect_strangers(&[stranger]).await.unwrap(), 1);
        let place = SearchPlace { after: Some(lead.clone()), since: secs(22), calls: 3 };
        store.save_search(&crm(), &place).await.unwrap();
        let other = Compared::Lead(other);
        assert!(store.tell_apart(&ToldApart { destination: crm(), lead, other, apart: true }).await.unwrap());
        let mark = DirtyMark {
            destination: crm(),
            leads: vec![key("new")],
            class: Class::Backfill,
            now: secs(23),
            forced: true,
        };
        store.mark_dirty(&mark).await.unwrap();
        store.save_calls(&crm(), secs(3_600), 12).await.unwrap();
        store.save_closed_spans(&crm(), &[(secs(10), secs(20))]).await.unwrap();
        store
            .pause(&Pause { destination: crm(), by: "ops".into(), note: None, since: secs(5), until: Some(secs(9)) })
            .await
            .unwrap();
        let entry = AuditEntry {
            at: secs(5),
            by: "ops".into(),
            action: "pause".into(),
            target: "destination crm".into(),
            lead: Some(key("lead 1")),
            detail: None,
        };
        store.record_audit(&entry).await.unwrap();
        let scope = r#"{ "destination": "crm",  "sources": ["klozeo"] }"#.to_owned();
        let run = NewRun { kind: "resync", by: "ops".into(), started_at: secs(6), scope, total: 3 };
        let run = store.create_run(&run).await.unwrap();
        let position = Some(key("lead 7"));
        store
            .update_run(run, &RunProgress { done: 1, position, state: "running", detail: None, now: secs(7) })
            .await
            .unwrap();
        let bounds = RefusedBounds { per_source: 10, bytes: 1_000 };
        store.hold_refused(vec![refused("klozeo", 25, "held")], bounds).await.unwrap();
        store.accept_events(vec![event("erased", "{}")]).await.unwrap();
        store.erase_lead(&Erasure { lead: key("erased"), now: secs(24) }).await.unwrap().unwrap();
    }

    fn folded(&self, n: usize) -> FoldedLead {
        FoldedLead {
            lead: Lead::new(key(&format!("lead {n}"))),
            expected: None,
            events: vec![(EventId(n as i64 + 1), EventState::Folded)],
            email: text(&format!("{n}@example.com")),
            // Longer than an index can hold, and with what a text cannot.
            name: (n.is_multiple_of(30)).then(|| "Ada\0 ".repeat(1_000)),
        }
    }
}

fn decision(field: &str) -> Decision {
    Decision {
        field: field.into(),
        base: None,
        lead: Some(CrmValue::Text("Köln\0".into())),
        crm: Some(CrmValue::Null),
        written: None,
        rule: Rule::LeadWins,
        note: None,
    }
}

/// One of each kind of ending.
fn end(n: usize, mut settlement: Settlement) -> Settlement {
    for row in &mut settlement.log {
        row.decisions = vec![decision("City")];
        (row.error, row.request, row.response) = (text("an\0 error"), text("sent"), text("got\0"));
    }
    let again = Some(secs(90_000));
    let refusal = Some(Refusal { fingerprint: "f\0".into(), code: "REFUSED".into(), at: secs(22), tries: 2 });
    let linked = Link { in_doubt: Some("r0".into()), ..link(&format!("record {n}"), true) };
    let linked = LinkChange::Put { link: linked, planned_with: None };
    match n % 4 {
        0 => {
            let left_alone = Some(PlannedBy { fingerprint: "f1".into(), observed: n.is_multiple_of(8) });
            Settlement { link: linked, left_alone, questions: vec![question("a\0 question")], ..settlement }
        }
        1 => Settlement {
            end: JobEnd::Held { code: "h".into(), detail: "d\0".into(), look_again_at: again },
            ..settlement
        },
        2 => Settlement {
            end: JobEnd::Dead { code: "c".into(), detail: "d".into(), refusal, look_again_at: again },
            ..settlement
        },
        _ => Settlement { end: retry(secs(80), true), ..settlement },
    }
}

async fn copy(file: &Path, database: &Database) -> StoreResult<Vec<CopiedTable>> {
    copy_from(file, &database.url, true, true, |_| {}).await
}

async fn open(database: &Database) -> PostgresStore {
    let options = postgres::Options { accept_unsafe_server: true, ..Default::default() };
    PostgresStore::open(&database.url, options).await.unwrap()
}

fn written(copied: &[CopiedTable]) -> u64 {
    copied.iter().map(|table| table.written + table.removed).sum()
}

#[tokio::test]
async fn a_copy_has_everything_and_is_worked_on_where_the_old_store_stopped() {
    let Some(server) = shared_or_skipped() else { return };
    let (old, database) = (Old::new().await, server.database().await);
    let copied = copy(&old.file, &database).await.unwrap();
    for table in &copied {
        assert!(table.rows > 0, "the test shows nothing of {}", table.table);
        assert_eq!(table.written, table.rows, "{}", table.table);
    }
    let new = open(&database).await;
    for n in 0..LEADS {
        let lead = key(&format!("lead {n}"));
        let there = old.store.load_work(&crm(), std::slice::from_ref(&lead)).await.unwrap();
        let here = new.load_work(&crm(), std::slice::from_ref(&lead)).await.unwrap();
        assert_eq!(format!("{there:?}"), format!("{here:?}"));
    }
    let counts = |figures: Vec<QueueFigures>| {
        let counts = |queue: QueueFigures| (queue.ready, queue.leased, queue.retrying, queue.held, queue.dead);
        figures.into_iter().map(counts).collect::<Vec<_>>()
    };
    let here = counts(new.queue_figures(secs(30)).await.unwrap());
    assert_eq!(here, counts(old.store.queue_figures(secs(30)).await.unwrap()));
    // The same event again is a repeat, and a new one has a number of its own.
    let repeated = with_id("e1", event("lead 1", "body 1"));
    assert!(new.accept_events(vec![repeated]).await.unwrap()[0].duplicate);
    assert!(new.accept_events(vec![event("erased", "again")]).await.unwrap()[0].erased, "its tombstone came along");
    let receipt = new.accept_events(vec![event("later", "l")]).await.unwrap().remove(0);
    assert!(receipt.id.0 > LEADS as i64 + 1 && !receipt.duplicate);
    let claim = claim(30);
    let jobs = new.claim_jobs(&claim).await.unwrap();
    assert!(!jobs.is_empty());
    let settlements = jobs.iter().map(|job| settlement(claim.token, job, 31)).collect();
    assert!(new.settle(settlements).await.into_iter().all(|settled| settled.is_ok()));
}

#[tokio::test]
async fn a_copy_that_was_broken_off_goes_on_and_one_more_copies_only_what_changed() {
    let Some(server) = shared_or_skipped() else { return };
    let (old, database) = (Old::new().await, server.database().await);
    let mut told = 0;
    let broken_off = async {
        copy_from(&old.file, &database.url, true, true, |_| {
            told += 1;
            assert!(told < 4, "broken off");
        })
        .await
    };
    let broken_off = futures_util::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(broken_off)).await;
    assert!(broken_off.is_err());
    let copied = copy(&old.file, &database).await.unwrap();
    let total: u64 = copied.iter().map(|table| table.rows).sum();
    assert!(written(&copied) < total, "what was copied before is copied again");
    assert_eq!(written(&copy(&old.file, &database).await.unwrap()), 0);

    let claim = claim(200);
    let jobs = old.store.claim_jobs(&claim).await.unwrap();
    old.store.settle(jobs.iter().take(5).map(|job| settlement(claim.token, job, 201)).collect()).await;
    old.store.accept_events(vec![event("lead 0", "newer")]).await.unwrap();
    let copied = copy(&old.file, &database).await.unwrap();
    let of = |name: &str| copied.iter().find(|table| table.table == name).unwrap();
    assert_eq!((of("events").written, of("jobs").removed), (1, 5));
    assert!((5..50).contains(&of("sync_log").written), "{copied:?}");
}

#[tokio::test]
async fn a_database_that_is_in_use_is_not_copied_over() {
    let Some(server) = shared_or_skipped() else { return };
    let (old, database) = (Old::new().await, server.database().await);
    let new = open(&database).await;
    new.accept_events(vec![event("ada", "a")]).await.unwrap();
    let refused = copy(&old.file, &database).await;
    assert!(matches!(&refused, Err(StoreError::Unfit(why)) if why.contains("in use already")), "{refused:?}");

    // Nor one that was copied to and has been served since.
    let database = server.database().await;
    copy(&old.file, &database).await.unwrap();
    let new = open(&database).await;
    new.begin_serving().await.unwrap();
    let refused = copy(&old.file, &database).await;
    assert!(matches!(&refused, Err(StoreError::Unfit(why)) if why.contains("in use already")), "{refused:?}");
    let mut db = connect(&database.url).await;
    let events: i64 = sqlx::query_scalar("SELECT count(*) FROM events").fetch_one(&mut db).await.unwrap();
    assert_eq!(events, LEADS as i64 + 2);
}

#[tokio::test]
async fn a_copy_that_is_not_complete_is_not_served() {
    let Some(server) = shared_or_skipped() else { return };
    let (old, database) = (Old::new().await, server.database().await);
    copy_from(&old.file, &database.url, true, false, |_| {}).await.unwrap();
    let refused = open(&database).await.begin_serving().await;
    assert!(matches!(&refused, Err(StoreError::Unfit(why)) if why.contains("not complete")), "{refused:?}");
    copy(&old.file, &database).await.unwrap();
    open(&database).await.begin_serving().await.unwrap();
}

#[tokio::test]
async fn another_file_is_not_copied_over_what_was_copied() {
    let Some(server) = shared_or_skipped() else { return };
    let (old, database) = (Old::new().await, server.database().await);
    copy(&old.file, &database).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("leadrelay.db");
    SqliteStore::open(&other, sqlite::Options::default()).await.unwrap().close().await;
    let refused = copy(&other, &database).await;
    assert!(matches!(&refused, Err(StoreError::Unfit(why)) if why.contains("another SQLite file")), "{refused:?}");
}

#[tokio::test]
async fn a_copy_of_a_store_that_is_written_to_is_of_one_moment() {
    let Some(server) = shared_or_skipped() else { return };
    let (old, database) = (Old::new().await, server.database().await);
    let writing = async {
        for n in 0..200 {
            old.store.accept_events(vec![event(&format!("more {n}"), "m")]).await.unwrap();
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let (copied, ()) = tokio::join!(copy(&old.file, &database), writing);
    let copied = copied.unwrap();
    let rows = |name: &str| copied.iter().find(|table| table.table == name).unwrap().rows;
    // That of the erased lead has none.
    assert_eq!(rows("events"), rows("bodies") + 1);
}

/// A file to copy from, a server that keeps what it commits, and a new database there.
async fn file_and_server() -> Option<(Fixture, Cluster, String)> {
    let server = Cluster::new("")?;
    let url = server.url(&server.create_database().await);
    Some((Fixture::sqlite().await, server, url))
}

fn written_and_removed(copied: &[CopiedTable], table: &str) -> (u64, u64, u64) {
    let of = copied.iter().find(|copied| copied.table == table).unwrap();
    (of.rows, of.written, of.removed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_holds_what_the_file_does_and_a_second_one_brings_it_up_to_date() {
    let Some((fixture, _server, url)) = file_and_server().await else { return };
    fixture.execute(LOG_ROWS).await;
    fixture.execute(CONFLICT).await;
    insert_dead(&fixture).await;
    insert_link(&fixture, "cl_1", "00Q2", false).await;
    insert_link(&fixture, "cl_2", "00Q2", true).await;
    fixture.accept(with_id("e1", event("ada", "a"))).await;
    fixture.accept(event("bob", "b\0")).await;
    let claim = claim(10);
    assert_eq!(fixture.store.claim_jobs(&claim).await.unwrap().len(), 2);
    assert!(fixture.store.announce(&announcement(claim.token, "ada", 11)).await.unwrap()[0].is_some());
    let copied = copy_from(&fixture.file(), &url, false, true, |_| {}).await.unwrap();
    assert_eq!(written_and_removed(&copied, "events"), (2, 2, 0));
    assert_eq!(written_and_removed(&copied, "jobs"), (5, 5, 0));
    assert_eq!(written_and_removed(&copied, "intents"), (1, 1, 0));
    assert_eq!(written_and_removed(&copied, "sync_log"), (4, 4, 0));

    // The record went to the other lead, a dead letter was dropped and an event came.
    fixture
        .execute("UPDATE links SET owner = 0 WHERE lead_id = 'cl_2'; UPDATE links SET owner = 1 WHERE lead_id = 'cl_1'")
        .await;
    fixture.execute("DELETE FROM jobs WHERE lead_id = 'cl_1'").await;
    fixture.accept(event("ada", "z")).await;
    let copied = copy_from(&fixture.file(), &url, false, true, |_| {}).await.unwrap();
    assert_eq!(written_and_removed(&copied, "events"), (3, 1, 0));
    assert_eq!(written_and_removed(&copied, "bodies"), (3, 1, 0));
    assert_eq!(written_and_removed(&copied, "links"), (2, 2, 0));
    assert_eq!(written_and_removed(&copied, "jobs"), (4, 1, 1));
    assert_eq!(written_and_removed(&copied, "conflicts"), (1, 0, 0));

    let store = PostgresStore::open(&url, postgres::Options::default()).await.unwrap();
    let owners = store.find_owners(&crm(), &[record("00Q2")]).await.unwrap();
    assert_eq!(owners[0].as_ref().map(|owner| owner.lead.id.as_str()), Some("cl_1"));
    let receipt = store.accept_events(vec![with_id("e1", event("bob", "a"))]).await.unwrap().remove(0);
    assert!(receipt.id.0 > 3, "its number was given before");
    let queue = store.queue_figures(secs(20)).await.unwrap().remove(0);
    assert_eq!((queue.leased + queue.ready, queue.dead, queue.held), (2, 1, 1));
}
