use std::sync::mpsc;
use std::thread::sleep;

use futures_util::future::join_all;

use super::PIECE;
use crate::store::sqlite::fixtures::*;
use crate::store::*;

/// Keeps the writer busy until the sender is dropped.
fn block(fixture: &Fixture) -> (mpsc::Sender<()>, impl Future<Output = StoreResult<()>>) {
    let (release, released) = mpsc::channel::<()>();
    let blocked = fixture.store.writer.run(move |_| {
        // An error is what is waited for: the sender is gone.
        let _ = released.recv();
        Ok(())
    });
    (release, blocked)
}

#[tokio::test]
async fn work_that_fails_or_panics_leaves_no_trace_and_the_writer_goes_on() {
    let fixture = Fixture::new().await;
    let write = "INSERT INTO budget VALUES ('crm', 0, 1)";
    let corrupt = || StoreError::Corrupt { table: "jobs", column: "refusal", id: "1".to_owned() };
    let failed: StoreResult<()> = fixture
        .store
        .writer
        .run(move |db| {
            db.execute(write, [])?;
            Err(corrupt())
        })
        .await;
    assert!(matches!(failed, Err(StoreError::Corrupt { .. })));
    let panicked: StoreResult<()> = fixture
        .store
        .writer
        .run(move |db| {
            db.execute(write, [])?;
            panic!("on purpose")
        })
        .await;
    assert!(matches!(panicked, Err(StoreError::Unavailable(_))));
    assert_eq!(fixture.count("SELECT count(*) FROM budget").await, 0);
    fixture.store.ready().await.unwrap();
}

#[tokio::test]
async fn many_items_are_done_in_pieces_and_intake_gets_in_between() {
    let fixture = Fixture::new().await;
    let (release, blocked) = block(&fixture);
    let items = fixture.store.writer.run_each(vec![0, 1, 2], |db, item: &i64| {
        sleep(PIECE * 2);
        let events: i64 = db.query_row("SELECT count(*) FROM events", [], |row| row.get(0))?;
        if *item == 1 {
            return Err(StoreError::Corrupt { table: "leads", column: "document", id: "1".to_owned() });
        }
        Ok(events)
    });
    let accepted = async {
        // Everything is queued behind the blocked writer first, so the order is certain.
        tokio::task::yield_now().await;
        let accepted = fixture.accept(event("ada", "{}"));
        drop(release);
        accepted.await
    };
    let (blocked, items, _) = tokio::join!(blocked, items, accepted);
    blocked.unwrap();
    let seen: Vec<_> = items.into_iter().map(Result::ok).collect();
    assert_eq!((seen[1], seen[2]), (None, Some(1)), "the second piece sees the event, and one failure is its own");
}

#[tokio::test]
async fn too_much_that_waits_is_refused_at_once_and_the_rest_is_stored_together() {
    let fixture = Fixture::new().await;
    let (release, blocked) = block(&fixture);
    let large = NewEvent { body: vec![b'x'; 1 << 20].into(), ..event("ada", "{}") };
    let requests = (0..24).map(|_| fixture.store.accept_events(vec![large.clone()]));
    let release = async {
        tokio::task::yield_now().await;
        drop(release);
    };
    let (blocked, answers, ()) = tokio::join!(blocked, join_all(requests), release);
    blocked.unwrap();
    let busy = answers.iter().filter(|answer| matches!(answer, Err(StoreError::Busy))).count();
    let stored = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(busy + stored, 24);
    // The writer may have taken one commit's worth before it was blocked.
    assert!((15..=20).contains(&stored), "{stored} MiB fitted into 16, and 4 in one commit");
    assert_eq!(fixture.count("SELECT count(*) FROM events").await, stored as i64);
}

#[tokio::test]
async fn closing_waits_for_what_was_handed_in() {
    let fixture = Fixture::new().await;
    let (release, blocked) = block(&fixture);
    let accepted = fixture.store.accept_events(vec![event("ada", "{}")]);
    let close = async {
        tokio::task::yield_now().await;
        drop(release);
        fixture.store.close().await;
    };
    let (blocked, accepted, ()) = tokio::join!(blocked, accepted, close);
    blocked.unwrap();
    assert_eq!(accepted.unwrap().len(), 1);
}

#[test]
fn sqlite_is_built_as_the_project_s_cargo_configuration_says() {
    let db = rusqlite::Connection::open_in_memory().unwrap();
    let mut options = db.prepare("PRAGMA compile_options").unwrap();
    let options: Vec<String> = options.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert!(options.iter().any(|option| option == "DEFAULT_MEMSTATUS=0"), "{options:?}");
    assert!(options.iter().all(|option| option != "ENABLE_MEMORY_MANAGEMENT"), "{options:?}");
}
