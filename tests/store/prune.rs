//! Forgetting what is old and not needed.

use std::time::Duration;

use leadrelay::domain::time::Timestamp;
use leadrelay::store::*;

use crate::fixture::*;
use crate::rows::*;

on_both_stores! {
    pruning_keeps_what_a_job_has_to_fold_the_newest_folded_event_and_a_links_last_success,
}

async fn pruning_keeps_what_a_job_has_to_fold_the_newest_folded_event_and_a_links_last_success(fixture: Fixture) {
    fixture.execute(LOG_ROWS).await;
    let events = [
        (1, Some("cl_1"), "folded", 1),
        (2, Some("cl_1"), "folded", 2),
        (3, Some("cl_9"), "stored", 3),
        (4, None, "quarantined", 4),
        (5, Some("cl_1"), "ignored", 9999),
        (6, Some("cl_8"), "stored", 4),
    ];
    for (id, lead, state, at) in events {
        insert_event(&fixture, id, "klozeo", lead, state, at).await;
    }
    insert_job(&fixture, "cl_9", "owed", None, None).await;
    insert_link(&fixture, "cl_1", "00Q1", true).await;
    let mut steps = 0;
    for (keep_unfolded, left) in [(true, vec![2, 3, 5, 6]), (false, vec![2, 3, 5])] {
        while fixture.store.prune(micros(5000), keep_unfolded).await.unwrap() {
            steps += 1;
            assert!(steps < 50, "pruning does not end");
        }
        assert_eq!(fixture.numbers("SELECT id FROM events ORDER BY id").await, left);
    }
    assert_eq!(fixture.numbers("SELECT event_id FROM bodies ORDER BY event_id").await, [2, 3, 5]);
    assert_eq!(fixture.numbers("SELECT id FROM sync_log ORDER BY id").await, [1]);
}

/// Prunes as if the present month were over and old; `meanwhile` is run after some of the steps.
async fn prune_this_month(store: &dyn Store, meanwhile: impl AsyncFn(usize)) {
    let later = now(store).await.after(Duration::from_secs(400 * 86_400));
    let mut steps = 0;
    while store.prune(later, false).await.unwrap() {
        steps += 1;
        assert!(steps < 100, "pruning does not end");
        meanwhile(steps).await;
    }
}

async fn now(store: &dyn Store) -> Timestamp {
    store.time().await.unwrap().unwrap()
}

const MONTHLY: &str = "events|bodies|sync_log|sync_log_bodies";
const EVENTS_LEFT: &str =
    "SELECT count(*) FROM events e JOIN bodies b ON b.event_id = e.id AND b.received_at = e.received_at";

/// `jobs`: how many leads still have an event to fold.
async fn a_month_goes_but_for_what_must_stay(jobs: usize) {
    let Some(fixture) = Fixture::postgres().await else { return };
    let store = &*fixture.store;
    let now = now(store).await;
    let at_second = now.as_micros() / 1_000_000;
    let new = |lead: &str, body: &str| NewEvent { received_at: now, ..event(lead, body) };
    let months_of = async |tables: &str| {
        let count = format!("SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname ~ '^({tables})_y[0-9]'");
        fixture.count(&count).await
    };
    for body in ["1", "2"] {
        fixture.accept(new("ada", body)).await;
        assert_eq!(store.save_leads(&[folded(&fixture.work("ada").await)]).await.unwrap(), [true]);
        let claim = claim(at_second + 1);
        let job = store.claim_jobs(&claim).await.unwrap().remove(0);
        let planned_with = (body == "2").then_some(1);
        let link = LinkChange::Put { link: link("00Q1", true), planned_with };
        let log = vec![NewLogRow { at: now, decisions: Vec::new(), request: text(body), ..log_row(&job.lead, 0) }];
        let settled = fixture.settle(Settlement { link, log, ..settlement(claim.token, &job, at_second + 1) }).await;
        assert_eq!(settled, Settled::Recorded { again: false });
    }
    store.accept_events((0..jobs).map(|n| new(&format!("lead{n}"), "{}")).collect()).await.unwrap();
    fixture.accept(new("gone", "{}")).await;
    fixture.execute("DELETE FROM jobs WHERE lead_id = 'gone'").await;
    assert!(months_of(MONTHLY).await > 0);

    let meanwhile = async |step| {
        if months_of("events_kept").await > 0 && step < 8 {
            fixture.accept(new("lead0", &format!("{step}"))).await;
        }
    };
    prune_this_month(store, meanwhile).await;
    assert_eq!(months_of(MONTHLY).await, 0, "a month was left");
    assert_eq!(months_of("events_kept").await, i64::from(jobs > 500), "little goes into the rest");
    let late = fixture.work("lead0").await.unfolded.len();
    assert!(late > 1, "no event came while the month was copied");
    assert_eq!(fixture.count(EVENTS_LEFT).await, (jobs + late) as i64);
    assert_eq!(fixture.count("SELECT count(*) FROM events").await, (jobs + late) as i64);
    assert_eq!(fixture.count("SELECT count(*) FROM events WHERE lead_id = 'ada'").await, 1);
    let logged = store.search_sync_log(&LogFilter::default(), &page(9, None)).await.unwrap().items;
    assert_eq!(logged.len(), 1);
    assert_eq!(store.load_log_row(logged[0].id).await.unwrap().unwrap().request, text("2"));

    fixture.execute("DELETE FROM jobs").await;
    prune_this_month(store, async |_| {}).await;
    prune_this_month(store, async |_| {}).await;
    assert_eq!(months_of("events_kept").await, 0);
    assert_eq!((fixture.count(EVENTS_LEFT).await, fixture.count("SELECT count(*) FROM bodies").await), (1, 1));
}

#[tokio::test]
async fn little_that_must_stay_of_an_old_month_goes_into_the_rest() {
    a_month_goes_but_for_what_must_stay(3).await;
}

#[tokio::test]
async fn much_that_must_stay_of_an_old_month_takes_its_place() {
    a_month_goes_but_for_what_must_stay(700).await;
}
