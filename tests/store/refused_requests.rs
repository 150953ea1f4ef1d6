//! Holding requests whose signature did not verify.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use leadrelay::domain::signature::Proof;
use leadrelay::store::*;

use crate::fixture::*;

on_both_stores! {
    a_held_request_is_listed_read_noted_and_released,
    the_oldest_go_first_and_of_them_those_without_a_signature,
    too_many_bytes_go_from_whoever_holds_the_most,
    what_is_too_old_is_forgotten,
    held_requests_survive_a_restart,
    what_tells_of_an_erased_lead_goes_with_it,
    what_is_written_while_its_lead_is_erased_goes_with_it,
    a_lead_known_from_a_held_request_alone_can_be_erased,
    a_copy_of_what_was_accepted_late_counts_from_when_it_came,
}

const BOUNDS: RefusedBounds = RefusedBounds { per_source: 100, bytes: 1 << 20 };

async fn hold(fixture: &Fixture, requests: Vec<NewRefused>) {
    fixture.store.hold_refused(requests, BOUNDS).await.unwrap();
}

async fn bodies(fixture: &Fixture, source: &str) -> Vec<String> {
    let (mut bodies, mut after) = (Vec::new(), 0);
    while let Some(next) = fixture.store.next_refused(&source.into(), after).await.unwrap() {
        after = next.row.id;
        bodies.push(String::from_utf8(next.body.to_vec()).unwrap());
    }
    bodies
}

fn unsigned(request: NewRefused) -> NewRefused {
    NewRefused { reason: RefusedFor::MissingSignature, proof: Proof::Missing, ..request }
}

async fn a_held_request_is_listed_read_noted_and_released(fixture: Fixture) {
    let odd = NewRefused { body: Bytes::from_static(b"\0\xff"), ..refused("klozeo", 2, "") };
    let sent = vec![refused("klozeo", 1, "a"), odd.clone(), unsigned(refused("forms", 3, "c"))];
    hold(&fixture, sent).await;
    let list = |filter: RefusedFilter, limit, cursor| {
        let store = fixture.store.clone();
        async move { store.list_refused(&filter, &page(limit, cursor)).await.unwrap() }
    };
    let all = list(RefusedFilter::default(), 2, None).await;
    let rest = list(RefusedFilter::default(), 2, all.next.clone()).await;
    let sources: Vec<&str> = all.items.iter().chain(&rest.items).map(|row| row.source.as_str()).collect();
    assert_eq!((sources, rest.next), (vec!["forms", "klozeo", "klozeo"], None), "newest first");
    let by_source = RefusedFilter { source: Some("klozeo".to_owned()), ..RefusedFilter::default() };
    assert_eq!(list(by_source, 9, None).await.items.len(), 2);
    let by_reason = RefusedFilter { reason: Some(RefusedFor::MissingSignature), ..RefusedFilter::default() };
    assert_eq!(list(by_reason, 9, None).await.items.len(), 1);

    let read = fixture.store.load_refused(all.items[1].id).await.unwrap().unwrap();
    assert_eq!((&read.body, &read.headers, read.proof == odd.proof), (&odd.body, &odd.headers, true));
    assert_eq!((read.row.received_at, read.row.size), (odd.received_at, odd.size() as u64));
    for reason in RefusedFor::ALL {
        fixture.store.note_refused(read.row.id, reason).await.unwrap();
        let noted = fixture.store.load_refused(read.row.id).await.unwrap().unwrap();
        assert_eq!(noted.row.reason, reason);
    }
    let held = fixture.store.standing_figures().await.unwrap().refused_held;
    assert!(held.contains(&("klozeo".into(), 2)) && held.contains(&("forms".into(), 1)), "{held:?}");
    fixture.store.release_refused(vec![read.row.id]).await.unwrap();
    assert!(fixture.store.load_refused(read.row.id).await.unwrap().is_none());
    assert_eq!(bodies(&fixture, "klozeo").await, ["a"]);
}

async fn the_oldest_go_first_and_of_them_those_without_a_signature(fixture: Fixture) {
    let bounds = RefusedBounds { per_source: 3, ..BOUNDS };
    let sent = ["a", "b", "c", "d"].map(|body| refused("klozeo", 1, body)).to_vec();
    fixture.store.hold_refused(sent, bounds).await.unwrap();
    assert_eq!(bodies(&fixture, "klozeo").await, ["b", "c", "d"]);
    let without_token = NewRefused { reason: RefusedFor::MissingToken, ..unsigned(refused("klozeo", 2, "y")) };
    let scanned = vec![unsigned(refused("klozeo", 2, "x")), without_token, refused("forms", 2, "other")];
    fixture.store.hold_refused(scanned, bounds).await.unwrap();
    assert_eq!(bodies(&fixture, "klozeo").await, ["b", "c", "d"], "scanners do not push out what may be genuine");
    fixture.store.hold_refused(vec![refused("klozeo", 3, "e")], bounds).await.unwrap();
    assert_eq!(bodies(&fixture, "klozeo").await, ["c", "d", "e"]);
    assert_eq!(bodies(&fixture, "forms").await, ["other"]);
}

async fn too_many_bytes_go_from_whoever_holds_the_most(fixture: Fixture) {
    let large = "x".repeat(1_000);
    let bounds = RefusedBounds { bytes: 4_000, ..BOUNDS };
    fixture.store.hold_refused(vec![refused("quiet", 1, "small")], bounds).await.unwrap();
    for second in 2..8 {
        fixture.store.hold_refused(vec![refused("flooded", second, &large)], bounds).await.unwrap();
    }
    assert_eq!(bodies(&fixture, "quiet").await, ["small"]);
    assert_eq!(bodies(&fixture, "flooded").await.len(), 3);
    assert!(fixture.count("SELECT sum(size) FROM refused_requests").await <= 4_000);
}

async fn what_is_too_old_is_forgotten(fixture: Fixture) {
    hold(&fixture, vec![refused("klozeo", 1, "old"), refused("klozeo", 5, "new")]).await;
    assert_eq!(fixture.store.forget_refused(secs(5)).await.unwrap(), 1);
    assert_eq!(bodies(&fixture, "klozeo").await, ["new"]);
}

async fn held_requests_survive_a_restart(fixture: Fixture) {
    hold(&fixture, vec![refused("klozeo", 1, "a")]).await;
    let fixture = fixture.reopen().await;
    assert_eq!(bodies(&fixture, "klozeo").await, ["a"]);
}

async fn what_tells_of_an_erased_lead_goes_with_it(fixture: Fixture) {
    fixture.accept(event("ada_1", "{}")).await;
    fixture.claim(11).await;
    let saved = FoldedLead { email: text("ada@lovelace.example"), ..folded(&fixture.work("ada_1").await) };
    fixture.store.save_leads(&[saved]).await.unwrap();
    let by_id = refused("klozeo", 1, r#"{"id":"ada_1"}"#);
    let by_address = refused("forms", 2, "email=ada%40lovelace.example");
    let others_id = refused("forms", 3, r#"{"id":"ada_1"}"#);
    let another = refused("klozeo", 4, r#"{"id":"bob_2"}"#);
    hold(&fixture, vec![by_id, by_address, others_id, another]).await;
    fixture.store.erase_lead(&Erasure { lead: key("ada_1"), now: secs(50) }).await.unwrap().unwrap();
    assert_eq!(bodies(&fixture, "klozeo").await, [r#"{"id":"bob_2"}"#]);
    assert_eq!(bodies(&fixture, "forms").await, [r#"{"id":"ada_1"}"#], "IDs are a source's own");
}

async fn what_is_written_while_its_lead_is_erased_goes_with_it(fixture: Fixture) {
    fixture.accept(event("ada_1", "{}")).await;
    let writes_wait = fixture.hold(fixture.either("SELECT 1", "LOCK TABLE refused_requests IN SHARE MODE")).await;
    let (store, request) = (Arc::clone(&fixture.store), refused("klozeo", 1, r#"{"id":"ada_1"}"#));
    let holding = tokio::spawn(async move { store.hold_refused(vec![request], BOUNDS).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (store, erasure) = (Arc::clone(&fixture.store), Erasure { lead: key("ada_1"), now: secs(50) });
    let erasing = tokio::spawn(async move { store.erase_lead(&erasure).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(
        !holding.is_finished() && !erasing.is_finished(),
        "one is about to write what the other looked for already"
    );
    writes_wait.commit().await;
    holding.await.unwrap().unwrap();
    assert!(erasing.await.unwrap().unwrap().is_some());
    assert_eq!(bodies(&fixture, "klozeo").await, Vec::<String>::new());
}

async fn a_lead_known_from_a_held_request_alone_can_be_erased(fixture: Fixture) {
    hold(&fixture, vec![refused("klozeo", 1, r#"{"id":"ada_1"}"#)]).await;
    fixture.store.erase_lead(&Erasure { lead: key("ada_1"), now: secs(50) }).await.unwrap().unwrap();
    assert_eq!(fixture.count("SELECT count(*) FROM refused_requests").await, 0);
    let receipt = fixture.accept(event("ada_1", "{}")).await;
    assert!(receipt.erased, "it does not come back");
}

async fn a_copy_of_what_was_accepted_late_counts_from_when_it_came(fixture: Fixture) {
    let came = ("leadrelay-received-at".to_owned(), secs(5).as_micros().to_string());
    let first = NewEvent { headers: vec![came], received_at: secs(100), ..event("ada_1", "{}") };
    let first = fixture.accept(first).await.id;
    fixture.accept(NewEvent { received_at: secs(200), ..event("ada_1", "{}") }).await;
    let work = fixture.work("ada_1").await;
    assert_eq!(work.unfolded[1].first_copy, Some((first, secs(5))));
}
