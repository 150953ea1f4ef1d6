//! People of whom it is known who they are, the records that the CRM has of them, and the leads that tell of them.
//!
//! Left out is what nobody could tell apart: one word for a name, or a company without an address, of people who share
//! that word and their address, or their name and company, and namesakes at one company, who are taken for one person.

use std::collections::HashSet;

use fastrand::Rng;
use serde_json::{Value as Json, json};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

const FIRST: &[&str] = &[
    "Ada",
    "Alan",
    "Aleksandr",
    "Ana Belén",
    "Ana Lucía",
    "Barbara",
    "Chloé",
    "Dennis",
    "Donald",
    "Edsger",
    "Grace",
    "Ines",
    "Jana",
    "Jean-Paul",
    "Jean-Pierre",
    "José",
    "Jürgen",
    "Katherine",
    "Kwame",
    "Linus",
    "Małgorzata",
    "Margaret",
    "Maria",
    "Mario",
    "Nuño",
    "Olaf",
    "Paul",
    "Paula",
    "Priya",
    "Radia",
    "Robert",
    "Søren",
    "Tim",
    "William",
    "Xin",
    "Yuki",
    "Zoë",
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
    "O'Connor",
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
const NICKNAMES: &[(&str, &str)] =
    &[("Katherine", "Kate"), ("Margaret", "Peggy"), ("Robert", "Bob"), ("William", "Bill"), ("Donald", "Don")];

/// Somebody, and what is really theirs.
pub struct Person {
    pub first: String,
    pub last: String,
    /// Their own, or a mailbox that they share with others; none for some.
    pub address: Option<String>,
    /// Whether others of the set read the address.
    pub is_mixed_up: bool,
    pub company: usize,
    pub website: Option<String>,
}

/// What one lead says of somebody.
pub struct Known {
    pub source: &'static str,
    pub id: String,
    pub person: usize,
    pub body: Json,
}

/// A record that the CRM has before any lead comes.
pub struct Made {
    pub person: usize,
    pub object: &'static str,
    pub fields: Json,
    pub converted: bool,
}

fn domain(company: usize) -> String {
    if company.is_multiple_of(7) { format!("bücher{company}.example") } else { format!("firm{company}.example") }
}

pub fn people(count: usize, rng: &mut Rng) -> Vec<Person> {
    let (mut people, mut names): (Vec<Person>, HashSet<(usize, String, String)>) = Default::default();
    while people.len() < count {
        let n = people.len();
        let company = rng.usize(..count.div_ceil(8));
        let (first, last) = (FIRST[rng.usize(..FIRST.len())], LAST[rng.usize(..LAST.len())]);
        if !names.insert((company, first.to_owned(), last.to_owned())) {
            continue;
        }
        let website = (rng.u8(..3) > 0).then(|| format!("https://www.{}", domain(company)));
        let person = |first: &str, last: &str, address: Option<String>, is_mixed_up: bool| Person {
            first: first.to_owned(),
            last: last.to_owned(),
            address,
            is_mixed_up,
            company,
            website: website.clone(),
        };
        let plain = ascii(first).to_lowercase().replace(' ', "");
        let own = format!("{plain}.{n}@{}", if rng.u8(..4) == 0 { "gmail.com".to_owned() } else { domain(company) });
        match rng.u8(..20) {
            0 => people.push(person(first, last, None, false)),
            // Everybody of a firm reads it.
            1 | 2 => people.push(person(first, last, Some(format!("info@{}", domain(company))), true)),
            3 => people.push(person(first, last, Some(format!("Sales@{}", domain(company))), true)),
            4 => {
                // A couple with one address.
                let home = Some(format!("home{n}@gmail.com"));
                let other = FIRST[(FIRST.iter().position(|known| *known == first).unwrap() + 1) % FIRST.len()];
                let is_couple = names.insert((company, other.to_owned(), last.to_owned()));
                people.push(person(first, last, home.clone(), is_couple));
                if is_couple {
                    people.push(person(other, last, home, true));
                }
            }
            5 => {
                // Father and son.
                let family = Some(format!("family{n}@gmail.com"));
                people.push(person(first, last, family.clone(), true));
                people.push(person(first, &format!("{last} Jr."), family, true));
            }
            6 => {
                // Addresses that one provider takes for one, and that are two.
                let other = FIRST[rng.usize(..FIRST.len())];
                people.push(person(first, last, Some(format!("{plain}.{n}@gmail.com")), false));
                if names.insert((company, other.to_owned(), "Twin".to_owned())) {
                    let address =
                        if rng.bool() { format!("{plain}{n}@gmail.com") } else { format!("{plain}.{n}+x@gmail.com") };
                    people.push(person(other, "Twin", Some(address), false));
                }
            }
            _ => people.push(person(first, last, Some(own), false)),
        }
    }
    people.truncate(count);
    people
}

fn ascii(text: &str) -> String {
    let folded = text.replace('ø', "o").replace('ł', "l").replace('Ü', "U");
    folded.nfd().filter(|c| !is_combining_mark(*c)).collect()
}

/// A letter left out, doubled, or taken for its neighbour; never the last one, which may make another name of it.
fn misspelt(name: &str, rng: &mut Rng) -> String {
    let mut letters: Vec<char> = name.chars().collect();
    let place = rng.usize(..letters.len() - 1);
    match rng.u8(..3) {
        0 if letters.len() > 3 => {
            letters.remove(place);
        }
        1 if place + 2 < letters.len() => letters.swap(place, place + 1),
        _ => letters.insert(place, letters[place]),
    }
    letters.into_iter().collect()
}

/// The person's name as somebody writes it.
fn name(person: &Person, rng: &mut Rng) -> String {
    let Person { first, last, .. } = person;
    let whole = format!("{first} {last}");
    match rng.u8(..12) {
        0 => format!("{} {last}", misspelt(first, rng)),
        1 => {
            let (front, rest) = last.split_once(' ').unwrap_or((last, ""));
            format!("{first} {} {rest}", misspelt(front, rng))
        }
        2 => format!("{last} {first}"),
        3 => format!("{last}, {first}"),
        4 => whole.to_uppercase(),
        5 if !person.is_mixed_up => last.clone(),
        6 if !person.is_mixed_up => format!("{}. {last}", first.chars().next().unwrap()),
        7 => ascii(&whole),
        8 => whole.nfd().collect(),
        9 => {
            let short = NICKNAMES.iter().find(|(long, _)| long == first).map_or(first.as_str(), |(_, short)| short);
            format!("{short} {last}")
        }
        _ => whole,
    }
}

/// The address as somebody writes it: the same one.
fn written(address: &str, rng: &mut Rng) -> String {
    let (local, host) = address.split_once('@').unwrap();
    match rng.u8(..8) {
        0 => address.to_uppercase(),
        1 => format!("  {address}\t"),
        2 => format!("mailto:{address}"),
        3 => format!("Somebody <{address}>"),
        4 => format!("{local}@{}", idna::domain_to_ascii(host).unwrap()),
        _ => address.to_owned(),
    }
}

fn body(id: &str, name: String, email: Option<String>, person: &Person) -> Json {
    json!({
        "id": id, "name": name, "email": email, "website": person.website, "phone": "+49 30 901820",
        "attributes": [{ "name": "company", "value": format!("Firm {}", person.company) }],
    })
}

/// Two leads of each person, and a third of some, from two systems in an order that tells nothing.
pub fn leads(people: &[Person], rng: &mut Rng) -> Vec<Known> {
    let mut leads = Vec::new();
    for (n, person) in people.iter().enumerate() {
        for copy in 0..2 + usize::from(rng.u8(..4) == 0) {
            let address = person.address.as_ref().filter(|_| rng.u8(..6) > 0).map(|address| written(address, rng));
            let source = if rng.u8(..4) == 0 { "second" } else { "klozeo" };
            let id = format!("p{n}-{copy}");
            leads.push(Known { source, person: n, body: body(&id, name(person, rng), address, person), id });
        }
    }
    rng.shuffle(&mut leads);
    leads
}

/// Records of some people: as one kind of record, as the other, as both, twice, or as a Lead that was converted.
pub fn records(people: &[Person], rng: &mut Rng) -> Vec<Made> {
    let mut records = Vec::new();
    for (n, person) in people.iter().enumerate() {
        if rng.u8(..4) > 0 {
            continue;
        }
        let objects: &[&'static str] = match rng.u8(..10) {
            0 => &["Lead", "Contact"],
            1 => &["Lead", "Lead"],
            2..=5 => &["Contact"],
            _ => &["Lead"],
        };
        let email = person.address.as_ref().map(|address| {
            let (local, host) = address.split_once('@').unwrap();
            format!("{local}@{}", idna::domain_to_ascii(host).unwrap())
        });
        for object in objects {
            let mut fields = json!({ "FirstName": person.first, "LastName": person.last, "Email": email });
            if *object == "Lead" {
                fields["Company"] = json!(format!("Firm {}", person.company));
                fields["Website"] = json!(person.website);
            }
            let converted = objects.len() == 1 && *object == "Lead" && rng.u8(..6) == 0;
            records.push(Made { person: n, object, fields, converted });
        }
    }
    records
}

/// What some leads say later: another company, another address of their own, or the address of somebody who gave it up.
pub struct Later {
    /// Updates of leads, by their place in the list.
    pub updates: Vec<(usize, Json)>,
    /// First leads of new people, who have an address that one of the updates gave up.
    pub heirs: Vec<Json>,
}

pub fn later(people: &[Person], leads: &[Known], rng: &mut Rng) -> Later {
    let (mut updates, mut heirs) = (Vec::new(), Vec::new());
    for (place, lead) in leads.iter().enumerate() {
        let person = &people[lead.person];
        let mut body = lead.body.clone();
        match rng.u8(..12) {
            0 => {
                body["website"] = json!("https://moved.example");
                body["attributes"] = json!([{ "name": "company", "value": "Moved" }]);
                updates.push((place, body));
            }
            1 => {
                body["email"] = json!(format!("new{place}@elsewhere{place}.example"));
                updates.push((place, body));
                if let Some(address) = person.address.as_ref().filter(|_| !person.is_mixed_up) {
                    let id = format!("h{place}");
                    let name = format!("Heir{place} Nobody{place}");
                    heirs.push(json!({ "id": id, "name": name, "email": address }));
                }
            }
            _ => {}
        }
    }
    Later { updates, heirs }
}
