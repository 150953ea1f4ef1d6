//! Klozeo's preset over the sample leads: the end states that their description demands, in any order of delivery.

mod senders;

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, RngSeed, TestRunner};

use super::preset;
use crate::domain::envelope::{Content, Reader, Unreadable};
use crate::domain::ids::{EventId, LeadId, LeadKey};
use crate::domain::lead::{Arrival, Lead};
use crate::domain::signature::{SignedRequest, Verdict, Verifier};
use crate::domain::time::Timestamp;
use crate::domain::value::Value;

const SAMPLES: &str = include_str!("../cli/demo/leads-200.ndjson");
const INDEX: &str = include_str!("../cli/demo/leads-200.index.tsv");
const SECRET: &str = "leadrelay-test-secret";
const START: Timestamp = Timestamp::from_seconds(1_767_400_000);

/// One webhook body and when it came in, in seconds from the start.
type Delivery = (&'static str, i64);

fn klozeo() -> Reader {
    Reader::new(preset("klozeo").unwrap().read.unwrap()).unwrap()
}

fn content(body: &str) -> Content {
    klozeo().read_intake(body.as_bytes(), &Vec::new()).unwrap().remove(0).content
}

/// All deliveries of each lead, in the samples' order, a second apart.
fn by_lead() -> BTreeMap<LeadId, Vec<Delivery>> {
    let mut leads: BTreeMap<LeadId, Vec<Delivery>> = BTreeMap::new();
    for (line, body) in SAMPLES.lines().zip(1..).map(|(body, line)| (line, body)) {
        if let Content::Upsert(id) | Content::Delete(id) = content(body) {
            leads.entry(id).or_default().push((body, line));
        }
    }
    leads
}

fn folded(deliveries: &[Delivery]) -> Lead {
    let reader = klozeo();
    let mut first_copies: BTreeMap<&str, Arrival> = BTreeMap::new();
    let mut lead = Lead::new(LeadKey::new("klozeo", "one"));
    for (number, (body, second)) in (1..).zip(deliveries) {
        let at = Timestamp::from_micros(START.as_micros() + second * 1_000_000);
        let own = Arrival { at, event: EventId(number) };
        let arrival = own.effective(first_copies.get(body).copied());
        first_copies.entry(body).or_insert(own);
        lead.fold(&reader.read_change(body.as_bytes(), &Vec::new(), at, arrival).unwrap().unwrap());
    }
    lead
}

/// What a CRM would get to see of a lead.
fn end_state(lead: &Lead) -> (bool, BTreeMap<String, Value>) {
    (lead.is_alive(), lead.fields.iter().map(|(name, field)| (name.clone(), field.value.clone())).collect())
}

fn named(name: &str) -> Vec<Lead> {
    let says = format!("\"name\":\"{name}\"");
    by_lead().values().filter(|deliveries| deliveries[0].0.contains(&says)).map(|all| folded(all)).collect()
}

#[test]
fn the_samples_are_read_as_their_index_says() {
    let verify = preset("klozeo").unwrap().verify.unwrap();
    let verifier = Verifier::new(&verify, &[SECRET.to_owned()]).unwrap();
    let mut counts = BTreeMap::new();
    for (body, row) in SAMPLES.lines().zip(INDEX.lines().skip(1)) {
        let row: Vec<&str> = row.split('\t').collect();
        let (event, lead_id, signature) = (row[2], row[3], row[5]);
        let headers = vec![("x-klozeo-signature".to_owned(), signature.to_owned())];
        let request = SignedRequest {
            method: "POST",
            url: None,
            headers: &headers,
            query: None,
            path_token: None,
            body: body.as_bytes(),
        };
        assert_eq!(verifier.verify(&request, START).verdict, Verdict::Valid, "line {}", row[0]);
        let word = match content(body) {
            Content::Ignored(_) => "ignored",
            Content::Upsert(id) if event != "lead.deleted" && id.as_str() == lead_id => "upsert",
            Content::Delete(id) if event == "lead.deleted" && id.as_str() == lead_id => "delete",
            other => panic!("line {}: {other:?}", row[0]),
        };
        *counts.entry(word).or_insert(0) += 1;
    }
    assert_eq!(counts, BTreeMap::from([("delete", 3), ("ignored", 5), ("upsert", 192)]));
}

#[test]
fn the_histories_end_as_they_must() {
    let check = |name: &str, field: &str, expected: &str| {
        let leads = named(name);
        assert_eq!(leads.len(), 1, "{name}");
        assert!(leads[0].is_alive(), "{name}");
        assert_eq!(leads[0].get(field).and_then(Value::scalar_text), Some(expected), "{name}");
    };
    check("Olga Versions", "status", "won");
    check("Sven Samesecond", "status", "open");
    check("Mia Merge", "score", "88");
    check("Mia Merge", "last_interaction_at", "1767314465");
    check("Mia Merge", "updated_at", "1767310865");
    check("Uwe Updatefirst", "phone", "+49 30 23125 077");
    check("Nina Noupdated", "status", "won");
    check("Null Case", "city", "Springfield");
    let rita = named("Rita Redelivered");
    assert!(rita.len() == 1 && rita[0].is_alive());
    let mut della = named("Della Deleted");
    della.sort_by_key(|lead| lead.get("id").map(Value::to_json));
    assert_eq!(della.iter().map(Lead::is_alive).collect::<Vec<_>>(), [true, false]);
    let id_only = by_lead().remove(&LeadId::new("cl_0e57d97e-9e3e-c4ee-af5f-5c644fc746ae")).unwrap();
    assert!(folded(&id_only).is_deleted());
}

#[test]
fn a_missing_field_clears_nothing_and_an_empty_one_is_null() {
    let all = named("Null Case").remove(0);
    assert_eq!(all.get("name"), Some(&Value::Null));
    let deliveries = by_lead().into_values().find(|all| all.len() == 8 && all[0].0.contains("Null Case")).unwrap();
    let after = |count: usize| folded(&deliveries[..count]).get("phone").cloned();
    assert_eq!(after(1), after(2), "missing");
    assert_eq!((after(3), after(4)), (Some(Value::Null), Some(Value::Null)), "null and empty");
    assert_eq!(after(5), after(1));
}

#[test]
fn a_redelivery_much_later_takes_nothing_back() {
    let deliveries = by_lead().into_values().find(|all| all[0].0.contains("Sven Samesecond")).unwrap();
    let [(open, _), (closed, _), (again, _)] = deliveries[..] else { panic!("three deliveries") };
    assert_eq!(open, again);
    let status = |deliveries: &[Delivery]| folded(deliveries).get("status").map(Value::to_json);
    assert_eq!(status(&[(open, 0), (closed, 1), (open, 2), (closed, 3600)]).as_deref(), Some("\"open\""));
    assert_eq!(status(&[(open, 0), (closed, 1), (open, 60)]).as_deref(), Some("\"closed\""));
}

#[test]
fn every_order_and_repetition_of_a_leads_deliveries_ends_the_same() {
    let different = |deliveries: &Vec<Delivery>| {
        let mut bodies: Vec<&str> = deliveries.iter().map(|(body, _)| *body).collect();
        bodies.sort_unstable();
        bodies.dedup();
        let versions =
            bodies.iter().map(|body| folded(&[(*body, 0)])).map(|lead| lead.latest.or(lead.deleted).unwrap());
        let mut versions: Vec<_> = versions.map(|stamp| stamp.version).collect();
        versions.sort();
        versions.dedup();
        versions.len() == bodies.len()
    };
    let leads: Vec<Vec<Delivery>> = by_lead().into_values().filter(|all| all.len() > 1).filter(different).collect();
    assert!(leads.len() >= 6, "only {} leads have several versions", leads.len());
    let config = Config { cases: 60, failure_persistence: None, rng_seed: RngSeed::Fixed(1), ..Config::default() };
    for deliveries in leads {
        let expected = end_state(&folded(&deliveries));
        let repeated: Vec<&str> =
            deliveries.iter().chain(deliveries.iter().rev().take(2)).map(|(body, _)| *body).collect();
        let orders = (Just(repeated).prop_shuffle(), 1..600i64);
        let mut runner = TestRunner::new(Config { rng_algorithm: RngAlgorithm::ChaCha, ..config.clone() });
        let outcome = runner.run(&orders, |(bodies, apart)| {
            let deliveries: Vec<Delivery> = bodies.into_iter().zip((0..).map(|place| place * apart)).collect();
            prop_assert_eq!(end_state(&folded(&deliveries)), expected.clone());
            Ok(())
        });
        outcome.unwrap();
    }
}

#[test]
fn a_klozeo_webhook_without_a_lead_id_is_quarantined() {
    let body = r#"{"event":"lead.updated","timestamp":1767225600,"data":{"name":"Ada"}}"#;
    assert_eq!(content(body), Content::Unreadable(Unreadable::NoLeadId));
}
