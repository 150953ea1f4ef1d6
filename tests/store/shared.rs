//! Several processes on one database: people in hand, chores, gates, wake-ups. On SQLite there is only one process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use leadrelay::domain::ids::DestinationName;
use leadrelay::store::*;
use uuid::Uuid;

use crate::fixture::*;

fn hold(token: LeaseToken, wants: &[&[&str]], at_second: i64) -> KeyHold {
    let wants = wants.iter().map(|keys| keys.iter().map(ToString::to_string).collect()).collect();
    KeyHold { destination: crm(), token, wants, now: secs(at_second), until: secs(at_second + 90) }
}

fn replica(name: &str) -> Replica {
    Replica { name: name.to_owned(), version: "0.1.0".to_owned(), started_at: secs(1) }
}

async fn two_stores() -> Option<(Fixture, Vec<Arc<dyn Store>>)> {
    let fixture = Fixture::postgres().await?;
    let stores = fixture.stores(2).await;
    Some((fixture, stores))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_that_want_the_same_people_each_is_had_by_one_and_no_lead_has_half_of_its_keys() {
    let Some((fixture, stores)) = two_stores().await else { return };
    let batches = (0..16).map(|n: usize| {
        let store = Arc::clone(&stores[n % 2]);
        tokio::spawn(async move {
            let mut wants: Vec<Vec<String>> =
                (0..200).map(|lead| vec![format!("id:{lead}"), format!("email:{}", (lead + n) % 200)]).collect();
            wants.rotate_left(n * 13);
            let token = Uuid::new_v4();
            let hold = KeyHold { destination: crm(), token, wants: wants.clone(), now: secs(1), until: secs(90) };
            let held = store.hold_keys(&hold).await.unwrap();
            (
                token,
                wants.into_iter().zip(held).filter(|(_, held)| *held).flat_map(|(keys, _)| keys).collect::<Vec<_>>(),
            )
        })
    });
    let mut holders: BTreeMap<String, Uuid> = BTreeMap::new();
    for batch in batches.collect::<Vec<_>>() {
        let (token, keys) = batch.await.unwrap();
        for key in keys {
            assert_eq!(holders.insert(key, token), None, "two have it");
        }
    }
    assert!(!holders.is_empty());
    assert_eq!(fixture.count("SELECT count(*) FROM leases").await, holders.len() as i64);
    for token in holders.values() {
        stores[1].release_keys(*token).await.unwrap();
    }
    assert_eq!(fixture.count("SELECT count(*) FROM leases").await, 0);
}

#[tokio::test]
async fn what_is_in_hand_elsewhere_is_had_once_it_is_released_or_ran_out_and_announcing_renews_it() {
    let Some((fixture, stores)) = two_stores().await else { return };
    let (token, job) = fixture.claimed("ada", 10).await;
    let other = Uuid::new_v4();
    let long = "x".repeat(10_000);
    assert_eq!(stores[0].hold_keys(&hold(token, &[&["a", "b\0", &long]], 10)).await.unwrap(), [true]);
    let wants: [&[&str]; 4] = [&["a", "c"], &["d"], &[], &["b\0"]];
    assert_eq!(stores[1].hold_keys(&hold(other, &wants, 11)).await.unwrap(), [false, true, true, false]);
    let elsewhere = KeyHold { destination: DestinationName::new("another"), ..hold(other, &[&["a"]], 11) };
    assert_eq!(stores[1].hold_keys(&elsewhere).await.unwrap(), [true], "of another destination");
    fixture.store.announce(&announcement(token, job.lead.id.as_str(), 60)).await.unwrap();
    assert_eq!(stores[1].hold_keys(&hold(other, &[&["c", "a"]], 120)).await.unwrap(), [false], "it was renewed");
    assert_eq!(stores[1].hold_keys(&hold(other, &[&["c", "a"]], 160)).await.unwrap(), [true], "it ran out");
    stores[0].release_keys(token).await.unwrap();
    assert_eq!(
        stores[0].hold_keys(&hold(token, &[&["a"]], 161)).await.unwrap(),
        [false],
        "no longer its own to release"
    );
    stores[1].release_keys(other).await.unwrap();
    assert_eq!(stores[0].hold_keys(&hold(token, &[&["a", &long]], 162)).await.unwrap(), [true]);
}

#[tokio::test]
async fn nothing_is_announced_for_a_lead_of_which_a_key_is_in_other_hands() {
    let Some((fixture, stores)) = two_stores().await else { return };
    for lead in ["ada", "bob"] {
        fixture.accept(event(lead, "{}")).await;
    }
    let first = claim(10);
    assert_eq!(stores[0].claim_jobs(&first).await.unwrap().len(), 2);
    let keys: [&[&str]; 2] = [&["ada", "both"], &["bob"]];
    assert_eq!(stores[0].hold_keys(&hold(first.token, &keys, 10)).await.unwrap(), [true, true]);
    let mut both = announcement(first.token, "ada", 60);
    both.writes.push(announcement(first.token, "bob", 60).writes.remove(0));
    for (write, keys) in both.writes.iter_mut().zip(keys) {
        write.keys = keys.iter().map(ToString::to_string).collect();
    }
    let of_ada = "SELECT CAST(extract(epoch FROM due_at) AS bigint) FROM jobs WHERE lead_id = 'ada'";
    let due_at = fixture.count(of_ada).await;
    // Its own clock stood for a while: to it, the lease has not ended.
    let other = Uuid::new_v4();
    assert_eq!(stores[1].hold_keys(&hold(other, &[&["both"]], 200)).await.unwrap(), [true]);
    let announced = stores[0].announce(&both).await.unwrap();
    assert_eq!(announced.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true]);
    assert_eq!(fixture.count("SELECT count(*) FROM intents").await, 1);
    assert_eq!(fixture.count(of_ada).await, due_at, "its lease was renewed");
    stores[1].release_keys(other).await.unwrap();
    assert_eq!(stores[0].announce(&both).await.unwrap()[0], None, "nobody has it, who may have been there meanwhile");
    stores[0].hold_keys(&hold(first.token, &[&["both"]], 60)).await.unwrap();
    assert!(stores[0].announce(&both).await.unwrap()[0].is_some());
}

/// Whether the lead is suspect, and what the log says of its write, once this store finds that its lease ran out, which it
/// did at second 101.
async fn found_by(fixture: &Fixture, store: &dyn Store) -> (u32, bool) {
    let recovered = store.recover_ran_out(&crm(), secs(200)).await.unwrap();
    assert_eq!(recovered, Recovered { leases: 1, unknown_writes: 1 });
    let logged = |code| format!("SELECT count(*) FROM sync_log WHERE outcome = 'unknown' AND error_code = '{code}'");
    let died = fixture.count(&logged("process_died")).await;
    assert_eq!(died + fixture.count(&logged("not_recorded")).await, 1);
    let job = fixture.claim(200).await.remove(0);
    assert_eq!(job.attempt, 2);
    (job.suspicion, died == 1)
}

/// Two processes, of which the first has announced a write. `seen`: when each of them was seen last, in SQL.
async fn announced_and_seen(seen: [&str; 2]) -> Option<(Fixture, Vec<Arc<dyn Store>>)> {
    let (fixture, stores) = two_stores().await?;
    for (store, name) in stores.iter().zip(["one/1", "two/2"]) {
        store.appear(&replica(name)).await.unwrap();
    }
    let (token, _) = fixture.claimed("ada", 10).await;
    fixture.store.announce(&announcement(token, "ada", 11)).await.unwrap();
    for (at, name) in seen.iter().zip(["one/1", "two/2"]) {
        fixture.execute(&format!("UPDATE replicas SET seen_at = {at} WHERE name = '{name}'")).await;
    }
    Some((fixture, stores))
}

const BEFORE_THE_LEASE_ENDED: &str = "timestamptz 'epoch' + interval '50 seconds'";
const NOW: &str = "clock_timestamp()";

#[tokio::test]
async fn a_lease_that_ran_out_with_its_process_makes_the_lead_suspect() {
    let Some((fixture, stores)) = announced_and_seen([BEFORE_THE_LEASE_ENDED, NOW]).await else { return };
    assert_eq!(found_by(&fixture, &*stores[1]).await, (1, true));
}

#[tokio::test]
async fn a_lease_that_its_own_process_finds_to_have_run_out_tells_of_no_death() {
    let Some((fixture, stores)) = announced_and_seen([BEFORE_THE_LEASE_ENDED, NOW]).await else { return };
    assert_eq!(found_by(&fixture, &*stores[0]).await, (0, false));
}

#[tokio::test]
async fn a_lease_that_its_process_outlived_tells_of_no_death() {
    let Some((fixture, stores)) = announced_and_seen([NOW, NOW]).await else { return };
    assert_eq!(found_by(&fixture, &*stores[1]).await, (0, false));
}

#[tokio::test]
async fn leases_that_ran_out_while_the_database_was_away_tell_of_no_death() {
    for appears in [false, true] {
        let seen = [BEFORE_THE_LEASE_ENDED, "clock_timestamp() - interval '5 minutes'"];
        let Some((fixture, stores)) = announced_and_seen(seen).await else { return };
        if appears {
            stores[1].appear(&replica("two/2")).await.unwrap();
            stores[1].appear(&replica("two/2")).await.unwrap();
        }
        assert_eq!(found_by(&fixture, &*stores[1]).await, (0, false), "the other one may be on its way back");
    }
}

#[tokio::test]
async fn a_create_whose_process_died_is_known_to_whoever_takes_its_people_over() {
    let Some((fixture, stores)) = two_stores().await else { return };
    let (token, _) = fixture.claimed("ada", 10).await;
    stores[0].hold_keys(&hold(token, &[&["ada"]], 10)).await.unwrap();
    fixture.store.announce(&announcement(token, "ada", 11)).await.unwrap();
    let open = async |at_second| {
        let open = stores[1].find_open_creates(&crm(), &[], secs(at_second)).await.unwrap();
        open.into_iter().map(|create| create.lead.id.to_string()).collect::<Vec<_>>()
    };
    assert!(open(50).await.is_empty(), "its batch has its people in hand");
    assert_eq!(open(200).await, ["ada"]);
    assert_eq!(stores[1].recover_ran_out(&crm(), secs(50)).await.unwrap(), Recovered::default());
    assert_eq!(stores[1].recover_ran_out(&"another".into(), secs(200)).await.unwrap(), Recovered::default());
    let recovered = stores[1].recover_ran_out(&crm(), secs(200)).await.unwrap();
    assert_eq!(recovered, Recovered { leases: 1, unknown_writes: 1 });
    assert_eq!(open(200).await, ["ada"], "it may still land");
    let again = fixture.claim(200).await;
    assert_eq!((again[0].suspicion, again[0].attempt, again[0].lease_expired), (1, 2, false));
}

#[tokio::test]
async fn a_start_leaves_alone_what_another_process_has_in_hand_until_that_one_must_be_dead() {
    let Some((fixture, stores)) = two_stores().await else { return };
    stores[0].appear(&replica("one/1")).await.unwrap();
    let (token, _) = fixture.claimed("ada", 10).await;
    let until = stores[0].time().await.unwrap().unwrap();
    stores[0].hold_keys(&KeyHold { until, ..hold(token, &[&["ada"]], 10) }).await.unwrap();
    fixture.execute("UPDATE replicas SET seen_at = seen_at - interval '10 minutes'").await;
    let start = async |at_second| {
        stores[1].appear(&replica("two/2")).await.unwrap();
        stores[1].recover_leases(LeasesOf::DeadProcess, secs(at_second)).await.unwrap()
    };
    assert_eq!(start(50).await, Recovered::default(), "it may be frozen, or cut off from the database");
    assert_eq!(fixture.count("SELECT count(*) FROM leases").await, 1);
    fixture.execute("UPDATE replicas SET seen_at = seen_at - interval '2 hours' WHERE name = 'one/1'").await;
    assert_eq!(start(50).await, Recovered { leases: 1, unknown_writes: 0 });
    assert_eq!(fixture.count("SELECT count(*) FROM leases").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_releases_nothing_that_another_process_leases_meanwhile() {
    let Some((fixture, stores)) = two_stores().await else { return };
    fixture.claimed("ada", 10).await;
    let held = fixture.hold("UPDATE jobs SET wanted = wanted").await;
    stores[0].appear(&replica("one/1")).await.unwrap();
    let store = Arc::clone(&stores[0]);
    let starting = tokio::spawn(async move { store.recover_leases(LeasesOf::DeadProcess, secs(11)).await.unwrap() });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!starting.is_finished(), "it has released what a transaction holds");
    stores[1].appear(&replica("two/2")).await.unwrap();
    fixture.accept(event("bob", "{}")).await;
    let claim = claim(11);
    assert_eq!(stores[1].claim_jobs(&claim).await.unwrap().len(), 1);
    stores[1].hold_keys(&hold(claim.token, &[&["bob"]], 11)).await.unwrap();
    held.commit().await;
    assert_eq!(starting.await.unwrap(), Recovered { leases: 1, unknown_writes: 0 });
    assert_eq!(fixture.count("SELECT count(*) FROM jobs WHERE lead_id = 'bob' AND lease_token IS NOT NULL").await, 1);
    assert_eq!(fixture.count("SELECT count(*) FROM leases").await, 1);
}

#[tokio::test]
async fn a_chore_is_one_process_at_a_time() {
    let Some((_fixture, stores)) = two_stores().await else { return };
    let asks = async |who: usize, at_second| {
        stores[who].hold_lease("upkeep", secs(at_second), secs(at_second + 30)).await.unwrap()
    };
    assert!(asks(0, 1).await);
    assert!(!asks(1, 2).await);
    assert!(asks(0, 20).await, "it renews its own");
    assert!(!asks(1, 49).await);
    assert!(asks(1, 50).await, "it ran out");
    stores[0].release_lease("upkeep").await.unwrap();
    assert!(!asks(0, 51).await, "another's is not its to release");
    stores[1].release_lease("upkeep").await.unwrap();
    assert!(asks(0, 52).await);
}

#[tokio::test]
async fn processes_hear_of_each_others_calls_closed_gates_and_orders_while_they_live() {
    let Some((fixture, stores)) = two_stores().await else { return };
    for (store, name) in stores.iter().zip(["one/1", "two/2"]) {
        store.appear(&replica(name)).await.unwrap();
    }
    let hour = stores[0].time().await.unwrap().unwrap();
    stores[0].save_calls(&crm(), hour, 7).await.unwrap();
    let closure = Closure {
        reason: "failing".to_owned(),
        code: Some("503".to_owned()),
        text: "the CRM fails\0".to_owned(),
        since: secs(5),
        until: Some(secs(9)),
    };
    stores[0].exchange_gate(&crm(), Some(&closure)).await.unwrap();
    let heard = async || stores[1].exchange_gate(&crm(), None).await.unwrap().unwrap();
    let seen = heard().await;
    assert_eq!(seen.hours.iter().map(|(_, calls)| *calls).collect::<Vec<_>>(), [7]);
    let told = seen.others[0].closure.as_ref().unwrap();
    assert_eq!(
        (told.reason.as_str(), told.text.as_str(), told.until),
        ("failing", "the CRM fails\u{fffd}", Some(secs(9)))
    );
    let back = stores[0].exchange_gate(&crm(), Some(&closure)).await.unwrap().unwrap();
    assert!(back.hours.is_empty() && back.others[0].closure.is_none());
    assert_ne!(back.others[0].goes_first, seen.others[0].goes_first);

    assert_eq!((seen.pause, seen.resumed_at), (None, None));
    let pause = Pause { destination: crm(), by: "ops".to_owned(), note: None, since: secs(3), until: None };
    stores[0].pause(&pause).await.unwrap();
    assert_eq!(heard().await.pause, Some(pause));
    stores[0].resume(&crm(), "ops", secs(4)).await.unwrap();
    let seen = heard().await;
    assert!(seen.pause.is_none() && seen.resumed_at.is_some());

    fixture.execute("UPDATE replicas SET seen_at = seen_at - interval '16 seconds' WHERE name = 'one/1'").await;
    assert!(heard().await.others.is_empty(), "the dead keep nobody away");
    let rows = stores[1].list_replicas().await.unwrap();
    let alive: Vec<_> = rows.iter().map(|row| (row.replica.name.as_str(), row.alive)).collect();
    assert_eq!(BTreeMap::from_iter(alive), BTreeMap::from([("one/1", false), ("two/2", true)]));
    stores[1].leave().await.unwrap();
    assert_eq!(stores[1].list_replicas().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_store_is_ready_while_it_commits_whether_it_appeared_or_not() {
    let Some(fixture) = Fixture::postgres().await else { return };
    let held = fixture.hold("INSERT INTO sweeps (name, position) VALUES ('heartbeat', 9)").await;
    assert!(matches!(fixture.store.ready().await, Err(StoreError::Unavailable(_))), "it has written nothing");
    held.commit().await;
    fixture.store.ready().await.unwrap();
    assert!(fixture.count("SELECT position FROM sweeps WHERE name = 'heartbeat'").await > 9);
}

#[tokio::test]
async fn workers_of_every_process_are_woken() {
    let Some((fixture, stores)) = two_stores().await else { return };
    let (mut here, mut elsewhere) = (stores[0].subscribe(), stores[1].subscribe());
    fixture.accept(event("ada", "{}")).await;
    let woken = async { tokio::try_join!(here.changed(), elsewhere.changed()).unwrap() };
    tokio::time::timeout(Duration::from_secs(10), woken).await.unwrap();
}

#[tokio::test]
async fn whoever_listens_comes_back_after_the_server_ended_the_connection() {
    let Some((fixture, stores)) = two_stores().await else { return };
    let mut elsewhere = stores[1].subscribe();
    let woken = async |elsewhere: &mut tokio::sync::watch::Receiver<u64>| {
        tokio::time::timeout(Duration::from_secs(10), elsewhere.changed()).await.unwrap().unwrap();
    };
    let listeners = "FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'";
    assert_eq!(fixture.count(&format!("SELECT count(*) {listeners}")).await, 2);
    fixture.execute(&format!("SELECT pg_terminate_backend(pid, 5000) {listeners}")).await;
    // When it is back it looks once, for what it has missed.
    woken(&mut elsewhere).await;
    fixture.accept(event("ada", "{}")).await;
    woken(&mut elsewhere).await;
}

#[tokio::test]
async fn spans_that_several_processes_saw_closed_count_once() {
    let Some((_fixture, stores)) = two_stores().await else { return };
    stores[0].save_closed_spans(&crm(), &[(secs(10), secs(20)), (secs(50), secs(60))]).await.unwrap();
    stores[1].save_closed_spans(&crm(), &[(secs(11), secs(22)), (secs(30), secs(31))]).await.unwrap();
    let all = [(secs(10), secs(22)), (secs(30), secs(31)), (secs(50), secs(60))];
    assert_eq!(stores[0].closed_spans(&crm()).await.unwrap(), all);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_hangs_makes_no_other_webhook_wait() {
    let Some(fixture) = Fixture::postgres().await else { return };
    fixture.accept(event("ada", "1")).await;
    let held = fixture.hold("UPDATE jobs SET wanted = wanted").await;
    let store = Arc::clone(&fixture.store);
    let hanging = tokio::spawn(async move { store.accept_events(vec![event("ada", "2")]).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    for n in 0..20 {
        let other = fixture.store.accept_events(vec![event(&format!("other{n}"), "{}")]);
        let receipts =
            tokio::time::timeout(Duration::from_secs(1), other).await.expect("it waits for the one that hangs");
        assert!(!receipts.unwrap()[0].duplicate);
    }
    assert!(!hanging.is_finished(), "nothing was held");
    held.commit().await;
    assert!(hanging.await.unwrap().is_ok());
    assert_eq!(fixture.count("SELECT count(*) FROM events").await, 22);
}
