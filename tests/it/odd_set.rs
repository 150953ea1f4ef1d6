//! A large set of odd webhooks, in order, shuffled and repeated: no two records share an external ID, every lead without a
//! record has its reason, the answers add up, and a lead's end does not depend on the order of what differs in version.
//!
//! Of a lead that has no record yet, what it took back is not written: so whether a value stands that was emptied later
//! depends on when the record was made. Here the first event of each lead that comes makes it, whichever that is.

mod bodies;
mod histories;

use std::collections::{BTreeMap, BTreeSet};

use bodies::Odd;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value as Json;

use crate::harness::Harness;

/// The fields that are compared.
const MAPPED: [&str; 20] = [
    "FirstName",
    "LastName",
    "Company",
    "Email",
    "Phone",
    "Website",
    "Street",
    "City",
    "State",
    "PostalCode",
    "Country",
    "Description",
    "Status",
    "LeadSource",
    "Industry",
    "Industry_Detail__c",
    "NumberOfEmployees",
    "Lead_Tags__c",
    "Lead_Score__c",
    "Last_Seen__c",
];

type Answers = BTreeMap<String, usize>;

/// The first event of each lead is synced before the others come.
async fn deliver(harness: &Harness, set: &[&Odd]) -> Answers {
    let mut answers = Answers::new();
    let mut known = BTreeSet::new();
    let (first, rest): (Vec<&Odd>, Vec<&Odd>) = set.iter().partition(|odd| known.insert(&odd.lead));
    for part in [first, rest] {
        for odd in part {
            *answers.entry(harness.send(&odd.body).await).or_default() += 1;
        }
        harness.settled().await;
    }
    answers
}

fn items(list: &Json) -> &[Json] {
    list["items"].as_array().map_or(&[], Vec::as_slice)
}

fn encoded(id: &str) -> String {
    utf8_percent_encode(id, NON_ALPHANUMERIC).to_string()
}

/// Everything that a list of the admin API holds.
async fn whole(harness: &Harness, path: &str) -> Vec<Json> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = harness.admin(&format!("{path}limit=500{cursor}")).await;
        all.extend(items(&page).to_vec());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={}", encoded(next)),
            None => return all,
        }
    }
}

/// The records' mapped fields by external ID; no two records share one.
async fn records(harness: &Harness) -> BTreeMap<String, Json> {
    let mut by_id = BTreeMap::new();
    for record in harness.records().await {
        let id = record["fields"]["Lead_System_Id__c"].as_str().unwrap_or_else(|| panic!("{record}")).to_owned();
        let fields = MAPPED.iter().map(|name| ((*name).to_owned(), record["fields"][*name].clone())).collect();
        assert!(by_id.insert(id.clone(), Json::Object(fields)).is_none(), "two records carry {id:?}");
    }
    assert_eq!(harness.control("stats").await["duplicates"]["external_id"], 0);
    by_id
}

/// Every lead is a record, or tells why it is none.
async fn every_lead_is_told(harness: &Harness, set: &[Odd], records: &BTreeMap<String, Json>) {
    let leads: BTreeSet<&str> = set.iter().filter_map(|odd| odd.lead.as_deref()).collect();
    assert!(leads.len() > 150, "{}", leads.len());
    for lead in leads {
        let log = harness.admin(&format!("sync-log?lead_id={}", encoded(lead))).await;
        let shown = harness.admin_text(&format!("leads/klozeo/{}", encoded(lead))).await;
        let named = format!("\"lead_id\":{}", Json::from(lead));
        assert!(shown.contains(&named), "{lead:?}: {shown}");
        if records.contains_key(lead.trim()) {
            continue;
        }
        let newest = &items(&log)[0];
        let told = newest["error_code"].is_string() && newest["error"].is_string();
        assert!(told, "{lead:?} has no record and no reason: {log}");
    }
}

/// What failed is explained, and nothing failed inside.
async fn every_failure_has_a_remedy(harness: &Harness) {
    for group in items(&harness.admin("errors").await) {
        let remedy = group["remedy"].as_str().unwrap();
        assert!(!remedy.is_empty() && !remedy.contains("Look the code up"), "{group}");
        assert_ne!(group["code"], "internal_error");
    }
    for letter in items(&harness.admin("dead-letters?limit=500").await) {
        assert!(!letter["detail"].as_str().unwrap().is_empty(), "{letter}");
    }
}

fn assert_ends(records: &BTreeMap<String, Json>, order: &str) {
    let mut wrong = Vec::new();
    for (lead, fields) in histories::ends() {
        let record = records.get(lead).unwrap_or_else(|| panic!("{order}: {lead} has no record"));
        for (field, expected) in fields {
            let same = match (record[field].as_f64(), expected.as_f64()) {
                (Some(seen), Some(expected)) => seen == expected,
                _ => record[field] == expected,
            };
            if !same {
                wrong.push(format!("{lead}.{field} is {}, not {expected}", record[field]));
            }
        }
    }
    assert!(wrong.is_empty(), "{order}: {wrong:#?}");
}

#[tokio::test]
async fn every_odd_webhook_is_answered_and_every_lead_is_one_record_or_has_its_reason() {
    let set = bodies::all();
    assert!(set.len() >= 244, "{}", set.len());
    let harness = Harness::start(|_| {}).await;
    let answers = deliver(&harness, &set.iter().collect::<Vec<_>>()).await;
    assert_eq!(answers.values().sum::<usize>(), set.len());
    let words: BTreeSet<&str> = answers.keys().map(String::as_str).collect();
    assert_eq!(words, BTreeSet::from(["accepted", "ignored", "quarantined"]));
    // What was answered is what is kept.
    let mut kept = Answers::new();
    for event in whole(&harness, "events?").await {
        let state = event["state"].as_str().unwrap();
        let word = if ["ignored", "quarantined"].contains(&state) { state } else { "accepted" };
        assert!(word == "accepted" || word == "ignored" || event["reason"].is_string(), "{event}");
        *kept.entry(word.to_owned()).or_default() += 1;
    }
    assert_eq!(kept, answers);
    let with_lead = set.iter().filter(|odd| odd.lead.is_some()).count();
    assert_eq!(answers["accepted"], with_lead, "every lead that can be read is taken, and no other");

    let before = records(&harness).await;
    every_lead_is_told(&harness, &set, &before).await;
    every_failure_has_a_remedy(&harness).await;
    assert_ends(&before, "in order");
    for lead in histories::DELETED {
        let shown = harness.admin(&format!("leads/klozeo/{lead}")).await;
        assert_eq!(shown["deleted"], true, "{shown}");
    }

    // All of it once more, as a sender does that lost our answers.
    let again = deliver(&harness, &set.iter().collect::<Vec<_>>()).await;
    assert_eq!(again.values().sum::<usize>(), set.len());
    let after = records(&harness).await;
    let free = |records: &BTreeMap<String, Json>| without_ties(records, &set);
    assert_eq!(free(&after), free(&before), "what is sent again changes nothing");
    assert_eq!(after.len(), before.len());
    harness.stop().await;
}

/// The records of leads whose end no order may change.
fn without_ties(records: &BTreeMap<String, Json>, set: &[Odd]) -> BTreeMap<String, Json> {
    let tied: BTreeSet<&str> = set.iter().filter(|odd| odd.tied).filter_map(|odd| odd.lead.as_deref()).collect();
    // Deleted leads keep what was written before the delete came.
    let free = |id: &&String| {
        !tied.iter().any(|tied| tied.trim() == id.as_str()) && !histories::DELETED.contains(&id.as_str())
    };
    records.iter().filter(|(id, _)| free(id)).map(|(id, fields)| (id.clone(), fields.clone())).collect()
}

#[tokio::test]
async fn shuffled_and_repeated_deliveries_end_alike_where_versions_differ() {
    let set = bodies::all();
    let mut first: Option<BTreeMap<String, Json>> = None;
    for seed in 0..3u64 {
        let harness = Harness::start(|_| {}).await;
        let mut random = fastrand::Rng::with_seed(seed);
        let mut order: Vec<&Odd> = set.iter().collect();
        if seed == 0 {
            // Slowly: each event is synced before the next one of its lead comes.
            for round in 0..=order.iter().map(|odd| odd.round).max().unwrap() {
                let events: Vec<&Odd> = set.iter().filter(|odd| odd.round == round).collect();
                deliver(&harness, &events).await;
            }
        } else {
            // A third comes twice, somewhere.
            let repeated: Vec<&Odd> = set.iter().filter(|_| random.u8(0..3) == 0).collect();
            order.extend(repeated);
            random.shuffle(&mut order);
            let answers = deliver(&harness, &order).await;
            assert_eq!(answers.values().sum::<usize>(), order.len(), "seed {seed}");
        }
        let records = records(&harness).await;
        every_lead_is_told(&harness, &set, &records).await;
        assert_ends(&records, &format!("seed {seed}"));
        let ends = without_ties(&records, &set);
        let expected = first.get_or_insert_with(|| ends.clone());
        let otherwise = ends.iter().filter(|(id, fields)| expected.get(*id) != Some(*fields));
        let otherwise: Vec<_> = otherwise.map(|(id, fields)| (id, fields, expected.get(id))).collect();
        assert!(otherwise.is_empty(), "seed {seed}: {otherwise:#?}");
        assert_eq!(ends.len(), expected.len(), "seed {seed}");
        harness.stop().await;
    }
}
