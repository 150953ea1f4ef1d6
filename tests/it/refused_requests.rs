//! A secret was rotated wrongly: what was refused meanwhile is held, and taken in once the secret is mended.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use leadrelay::config::{Config, Secret};
use serde_json::{Value as Json, json};

use crate::harness::{Harness, event, signature};

const CREATED: i64 = 1_767_225_600;

fn person(id: &str, city: &str) -> Json {
    json!({ "id": id, "name": format!("Ada {id}"), "email": format!("{id}@lovelace.example"), "city": city })
}

fn with_secret(secret: &str) -> impl Fn(&mut Config) {
    move |config| {
        for source in config.sources.values_mut() {
            source.secrets = vec![Secret::new(secret)];
        }
    }
}

async fn refuse(harness: &Harness, body: Vec<u8>) {
    let (status, problem) = harness.post(&[("X-Klozeo-Signature", &signature(&body))], body).await;
    assert_eq!(status, 401, "{problem}");
}

async fn held(harness: &Harness, expected: usize) -> Vec<Json> {
    let all = |seen: &Json| seen["items"].as_array().is_some_and(|items| items.len() == expected);
    harness.until("refused-requests", all).await["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_wrong_rotation_loses_nothing_even_if_the_sender_never_repeats() {
    let harness = Harness::start(with_secret("the-secret-that-nobody-signs-with")).await;
    for lead in ["cl_1", "cl_2", "cl_3"] {
        refuse(&harness, event("lead.created", CREATED, &person(lead, "Berlin"))).await;
    }
    let body = event("lead.created", CREATED, &person("cl_9", "Bonn"));
    assert_eq!(harness.post(&[("X-Klozeo-Signature", &"0".repeat(64))], body.clone()).await.0, 401);
    assert_eq!(harness.post(&[], body).await.0, 401);
    let items = held(&harness, 5).await;
    let of_reason = |reason: &str| items.iter().filter(|item| item["reason"] == reason).count();
    assert_eq!((of_reason("wrong_signature"), of_reason("missing_signature")), (4, 1));
    let unsigned = harness.admin("refused-requests?reason=missing_signature&source=klozeo").await;
    let shown = harness.admin_text(&format!("refused-requests/{}", unsigned["items"][0]["id"])).await;
    assert!(shown.contains("cl_9@lovelace.example"), "{shown}");
    let whole = harness.admin_text("refused-requests").await + &shown;
    assert!(!whole.contains(&"0".repeat(64)), "no signature is shown");
    harness.until("sources", |seen| seen["items"][0]["refused_held"] == 5).await;

    let verify = json!({ "source": "klozeo" });
    let still = harness.admin_post("refused-requests/verify", verify.clone()).await;
    assert_eq!((&still["verified"], &still["still_refused"]["wrong_signature"]), (&json!(0), &json!(4)), "{still}");

    harness.write_configuration(with_secret("leadrelay-test-secret"));
    harness.admin_post("reload", json!({})).await;
    // One is sent again by hand before.
    assert_eq!(harness.send(&event("lead.created", CREATED, &person("cl_3", "Berlin"))).await, "accepted");
    let preview = harness.admin_post("refused-requests/verify", json!({ "source": "klozeo", "dry_run": true })).await;
    assert_eq!((&preview["verified"], &preview["events"]["accepted"]), (&json!(3), &json!(0)), "{preview}");
    assert_eq!(held(&harness, 5).await.len(), 5, "a dry run changes nothing");
    let done = harness.admin_post("refused-requests/verify", verify.clone()).await;
    assert_eq!(done["verified"], 3, "{done}");
    let still =
        json!({ "missing_signature": 1, "wrong_signature": 1, "missing_token": 0, "wrong_token": 0, "stale": 0 });
    assert_eq!(done["still_refused"], still);
    let again = harness.admin_post("refused-requests/verify", verify).await;
    assert_eq!(again["verified"], 0, "{again}");
    harness.settled().await;
    for lead in ["cl_1", "cl_2", "cl_3"] {
        harness.record_of(lead).await;
    }
    assert_eq!(harness.records().await.len(), 3, "what nobody signed is no lead");
    assert_eq!(held(&harness, 2).await.len(), 2);
    let audit = harness.admin("audit").await;
    let told = audit["items"].as_array().unwrap().iter().find(|entry| {
        entry["action"] == "refused_requests.verify"
            && entry["detail"].as_str().is_some_and(|said| said.starts_with('3'))
    });
    assert_eq!(told.unwrap()["by"], "made at start", "{audit}");
    harness.stop().await;
}

/// Sends wrongly signed requests of these numbers at once.
async fn burst(harness: &Harness, numbers: Range<usize>) {
    let sent = numbers.map(|number| async move {
        let id = named(number);
        let body = event("lead.created", CREATED, &person(&id, "Berlin"));
        let wrong = "0".repeat(64);
        let (status, _) = harness.post(&[("X-Klozeo-Signature", &*wrong), ("X-Request-Id", &*id)], body).await;
        assert_eq!(status, 401);
    });
    stream::iter(sent).buffer_unordered(200).collect::<()>().await;
}

fn named(number: usize) -> String {
    format!("burst-{number:04}")
}

/// Which requests are held, by the IDs that they came with.
async fn held_ids(harness: &Harness) -> BTreeSet<String> {
    let (mut ids, mut cursor) = (BTreeSet::new(), String::new());
    loop {
        let page = harness.admin(&format!("refused-requests?limit=500{cursor}")).await;
        let of_page = page["items"].as_array().unwrap().iter();
        ids.extend(of_page.map(|item| item["request_id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { return ids };
        cursor = format!("&cursor={next}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_burst_the_newest_thousand_are_held_within_seconds() {
    let harness = Harness::start(|_| {}).await;
    burst(&harness, 0..200).await;
    burst(&harness, 200..1200).await;
    let newest: BTreeSet<String> = (200..1200).map(named).collect();
    let until = Instant::now() + Duration::from_secs(15);
    loop {
        let held = held_ids(&harness).await;
        if held == newest {
            break;
        }
        let missing = newest.difference(&held).count();
        assert!(Instant::now() < until, "{} are held, {missing} of the newest are not", held.len());
        // Webhooks are taken meanwhile.
        harness.send(&event("lead.updated", CREATED, &person("cl_1", "Berlin"))).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    harness.stop().await;
}

#[tokio::test]
async fn what_was_refused_does_not_undo_what_was_said_since() {
    let harness = Harness::start(with_secret("the-secret-that-nobody-signs-with")).await;
    // Of one version: then the later one counts.
    refuse(&harness, event("lead.updated", CREATED, &person("cl_1", "Berlin"))).await;
    held(&harness, 1).await;
    harness.write_configuration(with_secret("leadrelay-test-secret"));
    harness.admin_post("reload", json!({})).await;
    harness.send(&event("lead.updated", CREATED, &person("cl_1", "Bonn"))).await;
    harness.settled().await;
    assert_eq!(harness.admin_post("refused-requests/verify", json!({ "source": "klozeo" })).await["verified"], 1);
    harness.settled().await;
    assert_eq!(harness.record_of("cl_1").await["fields"]["City"], "Bonn");
    harness.stop().await;
}

#[tokio::test]
async fn held_requests_outlive_the_process_and_only_an_operator_takes_them_in() {
    let harness = Harness::start(with_secret("the-secret-that-nobody-signs-with")).await;
    refuse(&harness, event("lead.created", CREATED, &person("cl_1", "Berlin"))).await;
    refuse(&harness, event("lead.created", CREATED, &person("cl_2", "Berlin"))).await;
    // Stopped at once: what waits to be held is written first.
    let harness = harness.restarted(with_secret("leadrelay-test-secret")).await;
    let items = held(&harness, 2).await;
    let one = json!({ "source": "klozeo", "ids": [items[1]["id"], 4711, items[1]["id"]] });
    let done = harness.admin_post("refused-requests/verify", one).await;
    assert_eq!((&done["verified"], &done["events"]["duplicate"]), (&json!(1), &json!(0)), "once each: {done}");
    harness.settled().await;
    harness.record_of("cl_1").await;
    assert_eq!(harness.records().await.len(), 1);
    let (status, problem) = harness.admin_ask("POST", "refused-requests/verify", json!({ "source": "klozoe" })).await;
    assert_eq!((status, &problem["detail"]), (422, &json!("source: write one of klozeo")), "{problem}");
    harness.stop().await;
}

#[tokio::test]
async fn who_is_known_from_refused_requests_alone_can_be_erased_at_once() {
    let harness = Harness::start(with_secret("the-secret-that-nobody-signs-with")).await;
    // The later ones wait in memory while the first is written.
    for city in ["Berlin", "Bonn", "Bochum"] {
        refuse(&harness, event("lead.created", CREATED, &person("cl_1", city))).await;
    }
    let (status, erased) = harness.admin_ask("DELETE", "leads/klozeo/cl_1?crm=true", json!({})).await;
    assert_eq!((status, &erased["records"]), (200, &json!([])), "{erased}");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(harness.admin("refused-requests").await["items"], json!([]));
    harness.write_configuration(with_secret("leadrelay-test-secret"));
    harness.admin_post("reload", json!({})).await;
    assert_eq!(harness.send(&event("lead.created", CREATED, &person("cl_1", "Berlin"))).await, "ignored");
    assert_eq!(harness.admin_ask("DELETE", "leads/klozeo/cl_2", json!({})).await.0, 404, "nobody knows it");
    harness.stop().await;
}

#[tokio::test]
async fn verifying_is_finished_and_written_down_even_if_nobody_waits_for_it() {
    const SENT: usize = 120;
    let harness = Harness::start(with_secret("the-secret-that-nobody-signs-with")).await;
    for n in 0..SENT {
        refuse(&harness, event("lead.created", CREATED, &person(&format!("cl_{n}"), "Berlin"))).await;
    }
    let all = "refused-requests?limit=500";
    let held = |seen: &Json| seen["items"].as_array().unwrap().len();
    harness.until(all, |seen| held(seen) == SENT).await;
    harness.write_configuration(with_secret("leadrelay-test-secret"));
    harness.admin_post("reload", json!({})).await;
    let some_are_taken_in = async { while held(&harness.admin(all).await) == SENT {} };
    tokio::select! {
        _ = harness.admin_ask("POST", "refused-requests/verify", json!({ "source": "klozeo" })) => {}
        // Then whoever asked hangs up.
        () = some_are_taken_in => {}
    }
    let told = format!("{SENT} requests taken in");
    harness
        .until("audit", |seen| seen["items"][0]["detail"].as_str().is_some_and(|said| said.starts_with(&told)))
        .await;
    assert_eq!(held(&harness.admin(all).await), 0);
    harness.stop().await;
}
