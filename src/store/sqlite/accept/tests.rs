use crate::store::sqlite::fixtures::*;
use crate::store::*;

#[tokio::test]
async fn a_full_disk_loses_nothing_acknowledged_and_heals() {
    let fixture = Fixture::new().await;
    fixture.accept(event("ada", "a")).await;
    let pages = fixture.count("PRAGMA page_count").await;
    // The bound belongs to the connection, so it ends with the reopening that follows the failure.
    fixture
        .store
        .writer
        .run(move |db| Ok(db.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))?))
        .await
        .unwrap();
    let large = NewEvent { body: vec![b'x'; 100_000].into(), ..event("bob", "b") };
    let refused = fixture.store.accept_events(vec![large.clone()]).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    assert_eq!(fixture.count("SELECT count(*) FROM events").await, 1);
    fixture.accept(large).await;
    let fixture = fixture.reopen().await;
    assert_eq!(fixture.count("SELECT count(*) FROM events").await, 2);
}
