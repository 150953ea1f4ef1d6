//! People of whom it is known who they are, in the CRM and in leads in which their names are misspelt and swapped, and their
//! addresses missing, shared, moved and written in every way: nobody is merged with another without a question, nobody
//! whose address is known doubled.
//!
//! A few hundred people in every run; with `LONG=1` a thousand of each of 20 seeds, `PEOPLE_SEED` names the first.

mod set;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use leadrelay::domain::ids::{LeadKey, RecordId};
use serde_json::{Value as Json, json};

use crate::fuzz::is_long;
use crate::harness::{Harness, event, signature};
use set::{Known, Later, Person};

const CREATED: i64 = 1_767_225_600;

/// One set of people, and the service that hears of them.
struct Scene {
    seed: u64,
    harness: Harness,
    people: Vec<Person>,
    leads: Vec<Known>,
    /// Whose the records are that were there before.
    made: BTreeMap<RecordId, usize>,
}

impl Scene {
    async fn new(seed: u64, count: usize) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let people = set::people(count, &mut rng);
        let leads = set::leads(&people, &mut rng);
        let harness = Harness::start(|config| {
            let rows = config.destinations.values_mut().flat_map(|destination| destination.fields.iter_mut());
            let of_both = rows.filter(|row| ["FirstName", "LastName", "Email", "Phone"].contains(&row.crm.as_str()));
            of_both.for_each(|row| row.on.push("Contact".into()));
            let first = config.sources.values().next().unwrap().clone();
            config.sources.insert("second".into(), first);
            config.destinations.values_mut().for_each(|destination| destination.sources.push("second".into()));
        })
        .await;
        let mut made = BTreeMap::new();
        for record in set::records(&people, &mut rng) {
            let new = json!({ "object": record.object, "fields": record.fields });
            let mut id = harness.order("records", new).await["id"].clone();
            if record.converted {
                id = harness.order("convert", json!({ "id": id, "opportunity": false })).await["contact_id"].clone();
            }
            made.insert(id.as_str().unwrap().into(), record.person);
        }
        Self { seed, harness, people, leads, made }
    }

    async fn send(&self, events: &[(&str, Vec<u8>)]) {
        for chunk in events.chunks(100) {
            let send = async |(source, body): &(&str, Vec<u8>)| {
                let (path, signed) = (format!("/webhooks/{source}"), signature(body));
                let (status, answer) =
                    self.harness.post_to(&path, &[("X-Klozeo-Signature", &signed)], body.clone()).await;
                assert_eq!(status, 202, "{answer}");
            };
            futures_util::future::join_all(chunk.iter().map(send)).await;
        }
        self.harness.settled_within(Duration::from_secs(300)).await;
    }

    /// Every item of a list, page by page.
    async fn every(&self, path: &str) -> Vec<Json> {
        let (mut items, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.harness.admin(&format!("{path}limit=500{cursor}")).await;
            items.extend(page["items"].as_array().unwrap().iter().cloned());
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return items,
            }
        }
    }

    /// Of each record the people whose it is without a question. Every lead has a record or a question.
    async fn check_that_nobody_is_merged(&self, heirs: &[Known]) -> BTreeMap<RecordId, BTreeSet<usize>> {
        let asked: BTreeSet<String> = self
            .every("conflicts?state=open&")
            .await
            .iter()
            .filter(|conflict| conflict["kind"] == "shared_record" || conflict["kind"] == "match")
            .map(|conflict| conflict["lead_id"].as_str().unwrap().to_owned())
            .collect();
        let leads: Vec<&Known> = self.leads.iter().chain(heirs).collect();
        let keys: Vec<LeadKey> = leads.iter().map(|lead| LeadKey::new(lead.source, lead.id.as_str())).collect();
        let works = self.harness.app.store.load_work(&"salesforce".into(), &keys).await.unwrap();
        let mut of_record: BTreeMap<RecordId, BTreeSet<usize>> = BTreeMap::new();
        for (lead, work) in leads.iter().zip(works) {
            match work.link {
                Some(link) if !asked.contains(&lead.id) => {
                    of_record.entry(link.record.id).or_default().insert(lead.person);
                }
                Some(_) => {}
                None if asked.contains(&lead.id) => {}
                None => {
                    let log = self.harness.admin(&format!("sync-log?lead_id={}", lead.id)).await;
                    panic!("seed {}: {} has neither a record nor a question: {log}", self.seed, lead.body);
                }
            }
        }
        for (record, people) in &mut of_record {
            people.extend(self.made.get(record));
            let bodies: Vec<&Json> =
                leads.iter().filter(|lead| people.contains(&lead.person)).map(|lead| &lead.body).collect();
            assert_eq!(people.len(), 1, "seed {}: {record} is the record of {people:?}: {bodies:#?}", self.seed);
        }
        assert!(of_record.len() > self.people.len() / 3 && !asked.is_empty(), "{} asked", asked.len());
        of_record
    }

    /// Of an address that is one person's, a record is made once, and none where there was one.
    async fn check_that_nobody_is_doubled(&self) {
        let plain = |address: &str| {
            let (local, host) = address.split_once('@').unwrap();
            format!("{local}@{}", idna::domain_to_ascii(host).unwrap()).to_lowercase()
        };
        let mut whose: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
        for (n, person) in self.people.iter().enumerate() {
            whose.entry(person.address.as_deref().map(plain).unwrap_or_default()).or_default().insert(n);
        }
        let mut with_address: BTreeMap<String, Vec<RecordId>> = BTreeMap::new();
        for object in ["Lead", "Contact"] {
            for record in self.harness.control(&format!("records?object={object}")).await["items"].as_array().unwrap() {
                if record["fields"]["IsConverted"] != true {
                    let address = record["fields"]["Email"].as_str().unwrap_or_default().to_lowercase();
                    with_address.entry(address).or_default().push(record["id"].as_str().unwrap().into());
                }
            }
        }
        for (address, records) in with_address.iter().filter(|(address, _)| !address.is_empty()) {
            let is_one_persons = whose.get(address).is_some_and(|people| people.len() == 1);
            let new = records.iter().filter(|record| !self.made.contains_key(record)).count();
            let most = usize::from(records.len() == new);
            assert!(new <= most || !is_one_persons, "seed {}: {records:?} have the address {address}", self.seed);
        }
    }
}

async fn hold_for(seed: u64, count: usize) {
    let scene = Scene::new(seed, count).await;
    let events: Vec<_> =
        scene.leads.iter().map(|lead| (lead.source, event("lead.created", CREATED, &lead.body))).collect();
    scene.send(&events).await;
    let records = scene.check_that_nobody_is_merged(&[]).await;
    scene.check_that_nobody_is_doubled().await;
    println!("seed {seed}: {} leads, {} records without a question", scene.leads.len(), records.len());

    let mut rng = fastrand::Rng::with_seed(seed);
    let Later { updates, heirs } = set::later(&scene.people, &scene.leads, &mut rng);
    let mut events: Vec<_> = updates
        .iter()
        .map(|(place, body)| (scene.leads[*place].source, event("lead.updated", CREATED + 100, body)))
        .chain(heirs.iter().map(|body| ("klozeo", event("lead.created", CREATED + 100, body))))
        .collect();
    rng.shuffle(&mut events);
    scene.send(&events).await;
    let new = |(n, body): (usize, Json)| Known {
        source: "klozeo",
        id: body["id"].as_str().unwrap().to_owned(),
        person: scene.people.len() + n,
        body,
    };
    let heirs: Vec<Known> = heirs.into_iter().enumerate().map(new).collect();
    scene.check_that_nobody_is_merged(&heirs).await;
    scene.harness.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_merged_without_a_question_and_nobody_with_an_address_is_doubled() {
    if !is_long() {
        return hold_for(1, 500).await;
    }
    let first: u64 = std::env::var("PEOPLE_SEED").map_or(1, |seed| seed.parse().expect("PEOPLE_SEED is a number"));
    for seed in first..first + 20 {
        hold_for(seed, 1_000).await;
    }
}
