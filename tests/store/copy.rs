//! Moving from SQLite to PostgreSQL.

use leadrelay::store::postgres::copy::{CopiedTable, Progress, copy_from};
use leadrelay::store::postgres::{Options, PostgresStore};
use leadrelay::store::*;

use crate::fixture::*;
use crate::postgres::Cluster;
use crate::rows::*;

/// A file to copy from, a server that keeps what it commits, and a new database there.
async fn file_and_server() -> Option<(Fixture, Cluster, String)> {
    let server = Cluster::new("")?;
    let url = server.url(&server.create_database().await);
    Some((Fixture::sqlite().await, server, url))
}

/// Serves the database for a moment: takes one event in.
async fn serve(url: &str) {
    let store = PostgresStore::open(url, Options::default()).await.unwrap();
    let replica = Replica { name: "one/1".to_owned(), version: "0.1.0".to_owned(), started_at: secs(1) };
    store.appear(&replica).await.unwrap();
    store.accept_events(vec![event("carol", "c")]).await.unwrap();
    store.close().await;
}

/// The same on a thread and a runtime of its own, as another process would.
fn serve_apart(url: &str) {
    let serve = || tokio::runtime::Runtime::new().unwrap().block_on(async { serve(url).await });
    std::thread::scope(|scope| scope.spawn(serve).join().unwrap());
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
    let copied = copy_from(&fixture.file(), &url, |_| {}).await.unwrap();
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
    let copied = copy_from(&fixture.file(), &url, |_| {}).await.unwrap();
    assert_eq!(written_and_removed(&copied, "events"), (3, 1, 0));
    assert_eq!(written_and_removed(&copied, "bodies"), (3, 1, 0));
    assert_eq!(written_and_removed(&copied, "links"), (2, 2, 0));
    assert_eq!(written_and_removed(&copied, "jobs"), (4, 1, 1));
    assert_eq!(written_and_removed(&copied, "conflicts"), (1, 0, 0));

    let store = PostgresStore::open(&url, Options::default()).await.unwrap();
    let owners = store.find_owners(&crm(), &[record("00Q2")]).await.unwrap();
    assert_eq!(owners[0].as_ref().map(|owner| owner.lead.id.as_str()), Some("cl_1"));
    let receipt = store.accept_events(vec![with_id("e1", event("bob", "a"))]).await.unwrap().remove(0);
    assert!(receipt.id.0 > 3, "its number was given before");
    let queue = store.queue_figures(secs(20)).await.unwrap().remove(0);
    assert_eq!((queue.leased + queue.ready, queue.dead, queue.held), (2, 1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_in_while_a_copy_was_being_made_stays_and_ends_the_copy() {
    let Some((fixture, _server, url)) = file_and_server().await else { return };
    fixture.accept(event("ada", "a")).await;
    copy_from(&fixture.file(), &url, |_| {}).await.unwrap();
    fixture.accept(event("bob", "b")).await;
    let meanwhile = |progress: Progress| {
        if progress.table == "events" && progress.done == 0 {
            serve_apart(&url);
        }
    };
    let refused = copy_from(&fixture.file(), &url, meanwhile).await.unwrap_err();
    assert!(
        matches!(&refused, StoreError::Unfit(why) if why.contains("was started on the new database")),
        "{refused:?}"
    );
    let store = PostgresStore::open(&url, Options::default()).await.unwrap();
    let work = store.load_work(&crm(), &[key("carol"), key("ada")]).await.unwrap();
    assert_eq!(work.iter().map(|work| work.unfolded.len()).collect::<Vec<_>>(), [1, 1]);
    assert!(copy_from(&fixture.file(), &url, |_| {}).await.is_err(), "it is in use");
}
