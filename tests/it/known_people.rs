//! A thousand people of whom it is known who they are, and leads in which their names are misspelt and swapped, and their
//! addresses missing and shared: nobody is merged with another without a question, nobody whose address is known doubled.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fastrand::Rng;
use leadrelay::domain::ids::{LeadKey, RecordId};
use serde_json::{Value as Json, json};

use crate::harness::{Harness, event};

const CREATED: i64 = 1_767_225_600;
const PEOPLE: usize = 1_000;

const FIRST: &[&str] = &[
    "Ada",
    "Grace",
    "Alan",
    "Edsger",
    "Barbara",
    "Donald",
    "Katherine",
    "Linus",
    "Margaret",
    "Dennis",
    "Radia",
    "Tim",
    "José",
    "Zoë",
    "Jürgen",
    "Søren",
    "Małgorzata",
    "Aleksandr",
    "Chloé",
    "Nuño",
    "Xin",
    "Priya",
    "Kwame",
    "Yuki",
    "Olaf",
    "Ines",
];
const LAST: &[&str] = &[
    "Lovelace",
    "Hopper",
    "Turing",
    "Dijkstra",
    "Liskov",
    "Knuth",
    "Johnson",
    "Torvalds",
    "Hamilton",
    "Ritchie",
    "Perlman",
    "Berners-Lee",
    "García",
    "Müller",
    "Sørensen",
    "Kowalska",
    "Petrov",
    "O'Neill",
    "Nguyen",
    "Patel",
    "Mensah",
    "Tanaka",
    "van der Berg",
    "Dupont",
    "Ünal",
    "Schröder",
    "Fernández",
    "Novák",
    "Lindqvist",
    "Haddad",
];

/// Somebody, and what is really theirs.
struct Person {
    first: String,
    last: String,
    /// Their own, or a mailbox that they share with others; none for some.
    address: Option<String>,
    company: String,
    website: Option<String>,
}

/// One lead, and whose it is.
struct Known {
    id: String,
    person: usize,
    body: Json,
}

fn people(rng: &mut Rng) -> Vec<Person> {
    (0..PEOPLE)
        .map(|n| {
            let (first, last) = (FIRST[rng.usize(..FIRST.len())], LAST[rng.usize(..LAST.len())]);
            let company = rng.usize(..PEOPLE / 8);
            let host = if rng.u8(..4) == 0 { "gmail.com".to_owned() } else { format!("firm{company}.example") };
            let address = match rng.u8(..10) {
                0 => None,
                // Everybody of a firm, or of a household, reads it.
                1 => Some(format!("info@firm{company}.example")),
                2 => Some(format!("home{}@gmail.com", n / 3)),
                _ => Some(format!("{}.{n}@{host}", first.to_lowercase().replace(|c: char| !c.is_ascii(), "x"))),
            };
            let website = (rng.u8(..3) > 0).then(|| format!("https://www.firm{company}.example"));
            Person {
                first: first.to_owned(),
                last: last.to_owned(),
                address,
                company: format!("Firm {company}"),
                website,
            }
        })
        .collect()
}

/// A letter left out, doubled, or taken for its neighbour.
fn misspelt(name: &str, rng: &mut Rng) -> String {
    let mut letters: Vec<char> = name.chars().collect();
    let place = rng.usize(..letters.len());
    match rng.u8(..3) {
        0 if letters.len() > 3 => {
            letters.remove(place);
        }
        1 => letters.insert(place, letters[place]),
        _ if place + 1 < letters.len() => letters.swap(place, place + 1),
        _ => letters.push('e'),
    }
    letters.into_iter().collect()
}

fn name(person: &Person, rng: &mut Rng) -> String {
    match rng.u8(..8) {
        0 => format!("{} {}", misspelt(&person.first, rng), person.last),
        1 => format!("{} {}", person.first, misspelt(&person.last, rng)),
        2 => format!("{} {}", person.last, person.first),
        3 => format!("{} {}", person.first, person.last).to_uppercase(),
        4 => person.last.clone(),
        _ => format!("{} {}", person.first, person.last),
    }
}

/// Two leads of each person, and a third of some, in an order that tells nothing.
fn leads(people: &[Person], rng: &mut Rng) -> Vec<Known> {
    let mut leads = Vec::new();
    for (n, person) in people.iter().enumerate() {
        for copy in 0..2 + usize::from(rng.u8(..4) == 0) {
            let address = person.address.clone().filter(|_| rng.u8(..6) > 0);
            let written =
                address.as_ref().map(|address| if rng.bool() { address.to_uppercase() } else { address.clone() });
            let id = format!("p{n}-{copy}");
            let body = json!({
                "id": id, "name": name(person, rng), "email": written, "website": person.website,
                "attributes": [{ "name": "company", "value": person.company }],
            });
            leads.push(Known { id, person: n, body });
        }
    }
    rng.shuffle(&mut leads);
    leads
}

/// Every item of a list, page by page.
async fn every(harness: &Harness, path: &str) -> Vec<Json> {
    let (mut items, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = harness.admin(&format!("{path}limit=500{cursor}")).await;
        items.extend(page["items"].as_array().unwrap().iter().cloned());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return items,
        }
    }
}

async fn hold_for(seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let people = people(&mut rng);
    let leads = leads(&people, &mut rng);
    let harness = Harness::start(|config| {
        let rows = config.destinations.values_mut().flat_map(|destination| destination.fields.iter_mut());
        let of_both = rows.filter(|row| ["FirstName", "LastName", "Email", "Phone"].contains(&row.crm.as_str()));
        of_both.for_each(|row| row.on.push("Contact".into()));
    })
    .await;
    // Some are in the CRM already, as one kind of record or the other.
    for person in people.iter().filter(|person| person.address.is_some()).step_by(5) {
        let object = if rng.bool() { "Lead" } else { "Contact" };
        let mut fields = json!({ "FirstName": person.first, "LastName": person.last, "Email": person.address });
        if object == "Lead" {
            fields["Company"] = json!(person.company);
        }
        harness.order("records", json!({ "object": object, "fields": fields })).await;
    }
    for chunk in leads.chunks(100) {
        let bodies: Vec<Vec<u8>> = chunk.iter().map(|lead| event("lead.created", CREATED, &lead.body)).collect();
        futures_util::future::join_all(bodies.iter().map(|body| harness.send(body))).await;
    }
    harness.settled_within(Duration::from_secs(300)).await;

    let asked: BTreeSet<String> = every(&harness, "conflicts?state=open&")
        .await
        .iter()
        .filter(|conflict| conflict["kind"] == "shared_record" || conflict["kind"] == "match")
        .map(|conflict| conflict["lead_id"].as_str().unwrap().to_owned())
        .collect();
    // Of each record the leads that are it without a question.
    let keys: Vec<LeadKey> = leads.iter().map(|lead| LeadKey::new("klozeo", lead.id.as_str())).collect();
    let works = harness.app.store.load_work(&"salesforce".into(), &keys).await.unwrap();
    let mut of_record: BTreeMap<RecordId, BTreeSet<usize>> = BTreeMap::new();
    for (lead, work) in leads.iter().zip(works) {
        match work.link {
            Some(link) if !asked.contains(&lead.id) => {
                of_record.entry(link.record.id).or_default().insert(lead.person);
            }
            Some(_) => {}
            None => assert!(asked.contains(&lead.id), "{} has neither a record nor a question", lead.id),
        }
    }
    for (record, people) in &of_record {
        assert_eq!(people.len(), 1, "seed {seed}: {record} is the record of {people:?}, and nobody is asked");
    }
    let mut whose: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    for (n, person) in people.iter().enumerate() {
        whose.entry(person.address.clone().unwrap_or_default().to_lowercase()).or_default().insert(n);
    }
    let mut with_address: BTreeMap<String, usize> = BTreeMap::new();
    for object in ["Lead", "Contact"] {
        for record in harness.control(&format!("records?object={object}")).await["items"].as_array().unwrap() {
            let address = record["fields"]["Email"].as_str().unwrap_or_default().to_lowercase();
            *with_address.entry(address).or_default() += 1;
        }
    }
    for (address, records) in with_address.iter().filter(|(address, _)| !address.is_empty()) {
        let is_one_persons = whose.get(address).is_some_and(|people| people.len() == 1);
        assert!(*records == 1 || !is_one_persons, "seed {seed}: {records} records have the address {address}");
    }
    assert!(of_record.len() > PEOPLE / 2 && !asked.is_empty(), "{} records, {} asked", of_record.len(), asked.len());
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_merged_without_a_question_and_nobody_with_an_address_is_doubled() {
    hold_for(1).await;
}
