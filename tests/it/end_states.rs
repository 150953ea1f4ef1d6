//! The right end states after the sample leads, read from the sandbox's own records.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use crate::harness::{Harness, SAMPLES};

fn samples() -> Vec<Json> {
    SAMPLES.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The lead ID of a line, counted from 1 as in the samples' documentation.
fn id_of(line: usize) -> String {
    samples()[line - 1]["data"]["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn after_all_samples_every_lead_is_as_it_must_be() {
    let harness = Harness::start(|config| {
        for destination in config.destinations.values_mut() {
            destination.limits.linger = std::time::Duration::from_millis(200);
        }
    })
    .await;
    let mut answers: BTreeMap<String, usize> = BTreeMap::new();
    for line in SAMPLES.lines() {
        *answers.entry(harness.send(line.as_bytes()).await).or_default() += 1;
    }
    harness.settled().await;
    assert_eq!(answers.values().sum::<usize>(), 200);
    assert_eq!(answers["ignored"], 5, "the notes");

    let status = async |line| harness.record_of(&id_of(line)).await["fields"]["Status"].clone();
    assert_eq!(status(168).await, "won", "Olga: versions 1 3 2 5 4");
    assert_eq!(status(176).await, "open", "Sven: the last arrival wins a tie");
    assert_eq!(status(184).await, "won", "Nina: no updated_at");
    let rita = harness.record_of(&id_of(173)).await;
    let writes = rita["history"].as_array().unwrap().iter().filter(|change| change["by"] == "api");
    assert_eq!(writes.count(), 1, "Rita: three deliveries, one effect");
    let mia = harness.record_of(&id_of(179)).await;
    assert_eq!(mia["fields"]["Lead_Score__c"].to_string().trim_end_matches(".0"), "88");
    let uwe = harness.record_of(&id_of(182)).await;
    assert_eq!(uwe["fields"]["Phone"], "+493023125077", "Uwe: the later create has no phone");
    let null_case = harness.record_of(&id_of(152)).await;
    assert_eq!(null_case["fields"]["City"], "Springfield", "missing never clears");

    // Della: the first ID is deleted and nothing was written for it after its delete; the second lives.
    let first = harness.admin(&format!("leads/klozeo/{}", id_of(187))).await;
    assert_eq!(first["deleted"], true, "{first}");
    let della = harness.record_of(&id_of(191)).await;
    let with_her_address = |record: &&Json| record["fields"]["Email"] == "della@deletes.example";
    assert_eq!(harness.records().await.iter().filter(with_her_address).count(), 1);
    // Only the late update said `contacted`.
    let late = |change: &&Json| change["by"] == "api" && change["changes"]["Status"].to_string().contains("contacted");
    assert_eq!(della["history"].as_array().unwrap().iter().find(late), None);

    // The shared mailbox: Maria Rossi did not become Info Desk's record without a trace.
    let desk = harness.record_of(&id_of(78)).await;
    assert_eq!(desk["fields"]["LastName"], "Desk");
    let asked = harness.admin(&format!("conflicts?state=open&lead_id={}", id_of(79))).await;
    assert_eq!(asked["items"][0]["kind"], "match");
    // "Name and city only" did not overwrite the person of line 69.
    let dana = harness.record_of(&id_of(69)).await;
    assert_eq!(dana["fields"]["Email"], "dana.whitfield@acme.example");

    every_lead_is_accounted_for(&harness).await;
    let stats = harness.control("stats").await;
    assert_eq!(stats["duplicates"]["external_id"], 0);
    let calls = stats["calls"].as_u64().unwrap();
    assert!(calls * 4 <= 171, "{calls} calls for 171 leads");
    harness.stop().await;
}

/// A record that carries its ID, a link to another lead's record, or a reason in the sync log.
async fn every_lead_is_accounted_for(harness: &Harness) {
    let records = harness.records().await;
    let carried: BTreeSet<&str> =
        records.iter().filter_map(|record| record["fields"]["Lead_System_Id__c"].as_str()).collect();
    let leads: BTreeSet<String> = samples()
        .iter()
        .filter(|body| !body["event"].as_str().unwrap().starts_with("note"))
        .map(|body| body["data"]["id"].as_str().unwrap().to_owned())
        .collect();
    for lead in leads.iter().filter(|lead| !carried.contains(lead.as_str())) {
        let log = harness.admin(&format!("sync-log?lead_id={lead}")).await;
        let told = log["items"]
            .as_array()
            .unwrap()
            .iter()
            .any(|row| !row["record"].is_null() || !row["error_code"].is_null() || !row["error"].is_null());
        assert!(told, "{lead} has no record and no reason: {log}");
    }
}

#[tokio::test]
async fn the_order_of_one_leads_deliveries_and_their_repetition_change_nothing() {
    // Leads whose events all have versions of their own.
    const HISTORIES: [&[usize]; 4] = [&[168, 169, 170, 171, 172], &[179, 180, 181], &[182, 183], &[184, 185, 186]];
    let orders: [fn(&mut Vec<usize>); 4] = [
        |_| {},
        |lines| lines.reverse(),
        |lines| lines.rotate_left(1),
        |lines| lines.extend(lines.clone().into_iter().rev()),
    ];
    let bodies: Vec<&str> = SAMPLES.lines().collect();
    let mut seen: Vec<Json> = Vec::new();
    for order in orders {
        let harness = Harness::start(|_| {}).await;
        for history in HISTORIES {
            let mut lines = history.to_vec();
            order(&mut lines);
            for line in lines {
                harness.send(bodies[line - 1].as_bytes()).await;
            }
        }
        harness.settled().await;
        let mut ends = Vec::new();
        for history in HISTORIES {
            let fields = &harness.record_of(&id_of(history[0])).await["fields"];
            let of = |name: &str| fields[name].clone();
            ends.push(Json::from(vec![
                of("Status"),
                of("Phone"),
                of("Lead_Score__c"),
                of("LastName"),
                of("Last_Seen__c"),
            ]));
        }
        seen.push(Json::from(ends));
        harness.stop().await;
    }
    assert!(seen.iter().all(|ends| *ends == seen[0]), "{seen:#?}");
}
