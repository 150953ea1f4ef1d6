//! Webhooks as no documentation has them: none is lost, none is doubled, and none harms its neighbours.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};

use crate::harness::Harness;

/// Leads whose parts are odd; each is taken, and the odd part alone is left out where it fits nowhere.
///
/// What stands here is the inside of `data`, behind an `id` that is the place in this list.
fn odd_leads() -> Vec<String> {
    let mut leads: Vec<String> = [
        // Names.
        r#""name":"@{r.id}""#,
        r#""name":"Ann @{creates[0].id}""#,
        r#""name":"@{read0.records[0].Email} Lee","city":"@{updates[1].id}""#,
        r#""name":"👩‍👩‍👧‍👦 Zoë 🏳️‍🌈""#,
        r#""name":"\u202Eesrever \u0645\u062d\u0645\u062f""#,
        r#""name":"\u200d\u200b""#,
        r#""name":"     ""#,
        r#""name":null"#,
        r#""name":42"#,
        r#""name":["Ann","Lee"]"#,
        r#""name":{"first":"Ann","last":"Lee"}"#,
        r#""name":"O'); DROP TABLE Lead; --""#,
        r#""name":"' OR LastName LIKE '%","email":"a'%22 OR Email != '@x.example""#,
        r#""name":"Ann\r\nLee\u0000\u0007""#,
        r#""name":"=HYPERLINK(\"http://x.example\")""#,
        r#""name":"<script>alert(1)</script>""#,
        // E-mail addresses and phones.
        r#""name":"Dot","email":"dot@dot.example.""#,
        r#""name":"List","email":["a@list.example","b@list.example"]"#,
        r#""name":"Object","email":{"address":"a@object.example"}"#,
        r#""name":"Quote","email":"o'neil\\@quote.example""#,
        r#""name":"Percent","email":"%_@percent.example""#,
        r#""name":"Letters","phone":"1-800-FLOWERS""#,
        r#""name":"Many Digits","phone":"12345678901234567890123456789012345678901234567890""#,
        r#""name":"Number Phone","phone":49302312577"#,
        // Numbers.
        r#""name":"Text Score","score":"87.5""#,
        r#""name":"Huge Score","score":1e400"#,
        r#""name":"Long Score","score":123456789012345678901234567890.123456789012345678901234567890"#,
        r#""name":"Tiny Score","score":-0.0000000000000000000000000000000000001"#,
        r#""name":"Word Score","score":"high""#,
        r#""name":"Bool Score","score":true"#,
        r#""name":"Half Employee","attributes":[{"name":"employees","value":2.5}]"#,
        r#""name":"Big Employer","attributes":[{"name":"employees","value":99999999999}]"#,
        // Times and versions.
        r#""name":"Text Time","updated_at":"1760000000","last_interaction_at":"1760000000""#,
        r#""name":"Float Time","updated_at":1760000000.75,"last_interaction_at":1760000000.75"#,
        r#""name":"Milli Time","updated_at":1760000000000,"last_interaction_at":1760000000000"#,
        r#""name":"Negative Time","updated_at":-1,"last_interaction_at":-1760000000"#,
        r#""name":"Far Time","updated_at":99999999999999999999,"last_interaction_at":99999999999999999999"#,
        r#""name":"Word Time","updated_at":"yesterday","last_interaction_at":"never""#,
        // Tags and attributes.
        r#""name":"Tag Text","tags":"one, two""#,
        r#""name":"Tag Semicolon","tags":["a;b","c","@{x.y}"]"#,
        r#""name":"Tag Numbers","tags":[1,null,true,{"a":1},["b"]]"#,
        r#""name":"Tag Object","tags":{"a":"b"}"#,
        r#""name":"Attribute Object","attributes":{"industry":"Steel","deep":{"er":[1,2]}}"#,
        r#""name":"Attribute Null","attributes":null"#,
        r#""name":"Attribute Text","attributes":"industry=Steel""#,
        r#""name":"Attribute Twice","attributes":[{"name":"industry","value":"Steel"},{"name":"industry","value":"Glass"}]"#,
        r#""name":"Attribute Odd","attributes":[null,1,{"name":null,"value":1},{"value":2},{"name":"","value":3}]"#,
        r#""name":"Twice","name":"Twice Again""#,
        // Links and places.
        r#""name":"Script Url","website":"javascript:alert(1)""#,
        r#""name":"Spaced Url","website":"http://a b.example/ü?x=@{a.b}""#,
        r#""name":"Nowhere","country":"Atlantis","state":"§","city":null"#,
    ]
    .map(str::to_owned)
    .to_vec();
    leads.push(format!(r#""name":"{}""#, "Wörter ".repeat(3_000)));
    leads.push(format!(r#""name":"Long Mail","email":"{}@long.example""#, "a".repeat(300)));
    leads.push(format!(r#""name":"Long Site","website":"http://long.example/{}""#, "a".repeat(5_000)));
    leads.push(format!(r#""name":"Long City","city":"{}""#, "Llanfair".repeat(50)));
    leads.push(format!(r#""name":"Deep Enough","x":{}1{}"#, "[".repeat(60), "]".repeat(60)));
    leads
}

fn id(place: usize) -> String {
    format!("odd-{place}")
}

fn webhook(place: usize, inside: &str) -> Vec<u8> {
    format!(r#"{{"event":"lead.created","timestamp":1760000000,"data":{{"id":"{}",{inside}}}}}"#, id(place))
        .into_bytes()
}

#[tokio::test]
async fn every_odd_lead_is_one_record_or_has_a_named_reason_and_comes_again_without_effect() {
    let harness = Harness::start(|config| {
        for destination in config.destinations.values_mut() {
            destination.limits.linger = std::time::Duration::from_millis(100);
        }
    })
    .await;
    let leads = odd_leads();
    for (place, inside) in leads.iter().enumerate() {
        let answer = harness.send(&webhook(place, inside)).await;
        assert!(["accepted", "quarantined"].contains(&answer.as_str()), "{inside}: {answer}");
    }
    harness.settled().await;
    every_lead_is_told(&harness, &leads).await;

    let before = harness.records().await;
    for (place, inside) in leads.iter().enumerate() {
        harness.send(&webhook(place, inside)).await;
    }
    harness.settled().await;
    let after = harness.records().await;
    assert_eq!(after, before, "what is sent again changes nothing");
    assert_eq!(harness.control("stats").await["duplicates"]["external_id"], 0);
    harness.stop().await;
}

/// Each is exactly one record, or a job or event with a reason that operators see.
async fn every_lead_is_told(harness: &Harness, leads: &[String]) {
    let mut carried: BTreeMap<String, usize> = BTreeMap::new();
    for record in harness.records().await {
        *carried.entry(record["fields"]["Lead_System_Id__c"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    assert!(carried.values().all(|records| *records == 1), "{carried:?}");
    let quarantined = harness.admin("events?state=quarantined&limit=500").await;
    let quarantined = items(&quarantined);
    let mut without: Vec<&str> = Vec::new();
    for (place, inside) in leads.iter().enumerate() {
        if carried.contains_key(&id(place)) {
            continue;
        }
        without.push(inside);
        if quarantined.iter().any(|event| event["lead_id"] == id(place) && event["reason"].is_string()) {
            continue;
        }
        let log = harness.admin(&format!("sync-log?lead_id={}", id(place))).await;
        assert!(
            items(&log).iter().any(|row| row["error_code"].is_string()),
            "{inside}: no record and no reason: {log}"
        );
    }
    assert!(without.is_empty(), "odd parts are left out, the lead arrives: {without:#?}");
}

fn items(list: &Json) -> &[Json] {
    list["items"].as_array().map_or(&[], Vec::as_slice)
}

#[tokio::test]
async fn a_name_that_reads_like_a_reference_arrives_as_it_is_beside_its_neighbours() {
    let harness = Harness::start(|config| {
        for destination in config.destinations.values_mut() {
            destination.limits.linger = std::time::Duration::from_millis(300);
        }
    })
    .await;
    let names = ["Plain Person", "Ann @{creates[0].id}", "@{r.id}", "@{read0.records[0].Id}", "Other Person"];
    let send = async |version: i64| {
        for (place, name) in names.iter().enumerate() {
            let lead = json!({ "id": id(place), "name": name, "updated_at": version, "score": version });
            let body = json!({ "event": "lead.updated", "timestamp": version, "data": lead });
            harness.send(body.to_string().as_bytes()).await;
        }
        harness.settled().await;
    };
    // As creates, then as updates of them.
    for version in [1_760_000_000, 1_760_000_100] {
        send(version).await;
        for (place, name) in names.iter().enumerate() {
            let record = harness.record_of(&id(place)).await;
            let part = |field: &str| record["fields"][field].as_str().unwrap_or_default().to_owned();
            assert_eq!(format!("{} {}", part("FirstName"), part("LastName")).trim(), *name);
            assert_eq!(record["fields"]["Lead_Score__c"].to_string().trim_end_matches(".0"), version.to_string());
        }
    }
    let log = harness.admin("sync-log?limit=500").await;
    let failed: Vec<&Json> = items(&log).iter().filter(|row| row["outcome"] != "ok").collect();
    assert!(failed.is_empty(), "nobody failed because of a neighbour: {failed:#?}");
    harness.stop().await;
}

#[tokio::test]
async fn an_odd_envelope_is_quarantined_or_ignored_with_its_reason_and_kept_byte_for_byte() {
    let harness = Harness::start(|_| {}).await;
    let deep = |levels: usize| {
        let (open, close) = ("[".repeat(levels), "]".repeat(levels));
        format!(r#"{{"event":"lead.created","data":{{"id":"deep-{levels}","name":"Deep","x":{open}{close}}}}}"#)
    };
    let long = |length: usize| {
        format!(r#"{{"event":"lead.created","data":{{"id":"{}","name":"Long Id"}}}}"#, "i".repeat(length))
    };
    let cases: Vec<(Vec<u8>, &str, Option<&str>)> = vec![
        (br#"{"event":"lead.created"}"#.to_vec(), "quarantined", Some("no_lead_id")),
        (br#"{"event":"lead.created","data":null}"#.to_vec(), "quarantined", Some("no_lead_id")),
        (br#"{"event":"lead.created","data":[]}"#.to_vec(), "quarantined", Some("no_lead_id")),
        (br#"{"event":"lead.created","data":"cl_1"}"#.to_vec(), "quarantined", Some("no_lead_id")),
        (br#"{"event":"lead.created","data":{"id":null,"name":"A"}}"#.to_vec(), "quarantined", Some("no_lead_id")),
        (br#"{"event":"lead.created","data":{"id":"","name":"A"}}"#.to_vec(), "quarantined", Some("no_lead_id")),
        (br#"{"event":"lead.created","data":{"id":"  ","name":"A"}}"#.to_vec(), "quarantined", Some("no_lead_id")),
        (br#"{"event":"lead.created","data":{"id":{"a":1},"name":"A"}}"#.to_vec(), "quarantined", Some("no_lead_id")),
        (
            br#"{"event":"lead.created","data":{"id":"a\u0000b","name":"A"}}"#.to_vec(),
            "quarantined",
            Some("bad_lead_id"),
        ),
        (long(1_000).into_bytes(), "quarantined", Some("bad_lead_id")),
        (br#"{"data":{"id":"x1","name":"A"}}"#.to_vec(), "quarantined", Some("no_event_type")),
        (br#"{"event":null,"data":{"id":"x2","name":"A"}}"#.to_vec(), "quarantined", Some("no_event_type")),
        (br#"{"event":{"a":1},"data":{"id":"x3","name":"A"}}"#.to_vec(), "quarantined", Some("no_event_type")),
        (br#"{"event":"lead.exploded","data":{"id":"x4","name":"A"}}"#.to_vec(), "ignored", None),
        (br#"{"event":"Lead.Created","data":{"id":"x5","name":"A"}}"#.to_vec(), "ignored", None),
        (br#"[{"event":"lead.created","data":{"id":"x6","name":"A"}}]"#.to_vec(), "quarantined", Some("no_event_type")),
        (b"null".to_vec(), "quarantined", Some("no_event_type")),
        (br#"{"event":"lead.created","data":{"id":"x8","name":"A"}} {}"#.to_vec(), "quarantined", Some("broken_json")),
        (br#"{"event":"lead.created","data":{"id":"x9","name":NaN}}"#.to_vec(), "quarantined", Some("broken_json")),
        (
            br#"{"event":"lead.created","data":{"id":"x13","name":"\ud800 half"}}"#.to_vec(),
            "quarantined",
            Some("broken_json"),
        ),
        (
            b"{\"event\":\"lead.created\",\"data\":{\"id\":\"x10\",\"name\":\"\xff\"}}".to_vec(),
            "quarantined",
            Some("not_utf8"),
        ),
        (deep(63).into_bytes(), "quarantined", Some("too_deep")),
        // These are leads.
        (deep(62).into_bytes(), "accepted", None),
        (br#"{"event":"lead.created","data":{"id":4711,"name":"Number Id"}}"#.to_vec(), "accepted", None),
        (long(300).into_bytes(), "accepted", None),
        ("\u{feff}{\"event\":\"lead.created\",\"data\":{\"id\":\"x7\",\"name\":\"Marked\"}}".into(), "accepted", None),
        (br#"{"event":"lead.deleted","data":{"id":"x11"}}"#.to_vec(), "accepted", None),
        (br#"{"event":"lead.deleted","timestamp":"soon","data":{"id":"x12"}}"#.to_vec(), "accepted", None),
    ];
    for (body, expected, reason) in &cases {
        let shown = String::from_utf8_lossy(body).chars().take(120).collect::<String>();
        assert_eq!(harness.send(body).await, *expected, "{shown}");
        let events = harness.admin("events?limit=1").await;
        let event = &events["items"][0];
        if *expected != "accepted" {
            assert_eq!(event["state"], *expected, "{shown}");
        }
        if let Some(reason) = reason {
            assert!(event["reason"].as_str().is_some_and(|text| text.contains(reason)), "{shown}: {event}");
        }
        let kept = harness.admin(&format!("events/{}", event["id"].as_str().unwrap())).await;
        let kept = match kept["body"].as_str() {
            Some(text) => text.as_bytes().to_vec(),
            None => hex::decode(kept["body_hex"].as_str().unwrap()).unwrap(),
        };
        assert_eq!(kept, *body, "{shown}");
    }
    harness.settled().await;
    let records = harness.records().await;
    let carried: BTreeSet<&str> =
        records.iter().filter_map(|record| record["fields"]["Lead_System_Id__c"].as_str()).collect();
    assert_eq!(carried, BTreeSet::from(["4711", "deep-62", "x7"]));
    // Its key is longer than the CRM's field: never cut, and a person is told.
    let log = harness.admin(&format!("sync-log?lead_id={}", "i".repeat(300))).await;
    assert!(log["items"][0]["error_code"].is_string(), "{log}");
    harness.stop().await;
}
