//! The lead system's leads, and the webhooks that tell of them.

use std::sync::Mutex;

use fastrand::Rng;
use leadrelay::clock::Clock;
use serde_json::json;

const FIRST: [&str; 8] = ["Ada", "Bruno", "Clara", "Dario", "Elif", "Farid", "Greta", "Hugo"];
const LAST: [&str; 8] = ["Almeida", "Brandt", "Costa", "Dubois", "Eriksen", "Ferrari", "Gruber", "Horvat"];

/// One lead as its lead system knows it.
#[derive(Clone, Debug)]
pub struct Lead {
    pub id: String,
    /// Leads with one number have one address.
    pub address: usize,
    name: String,
    /// The newest that was told, or is being told.
    pub version: u32,
}

impl Lead {
    /// A lead with an address of its own unless another has its number, not told of yet.
    pub fn new(id: &str, address: usize) -> Self {
        Self { id: id.to_owned(), address, name: format!("{} {}", FIRST[address % 8], LAST[0]), version: 0 }
    }

    /// The webhook that tells of this version, the newest so far.
    pub fn tell(&mut self, version: u32, rng: &mut Rng) -> String {
        self.version = version;
        webhook(self, rng)
    }

    /// What only this version of this lead says of itself, in the row that nobody edits in the CRM.
    pub fn mark(&self) -> String {
        format!("{} v{}", self.id, self.version)
    }

    /// What the newest version says of a row that people edit.
    pub fn says(&self, field: &str) -> String {
        let Self { version, address, .. } = self;
        let slow = version / 3;
        match field {
            "Description" => format!("said {version}"),
            "City" => format!("berlin {slow}"),
            "Status" => format!("status {slow}"),
            "LeadSource" => format!("source {slow}"),
            "Company" => format!("Company {address} {slow}"),
            other => panic!("{other} is no row of the mapping that people edit"),
        }
    }
}

/// All leads. Every version that was drawn is sent until it is accepted.
#[derive(Default)]
pub struct Leads(Mutex<Vec<Lead>>);

impl Leads {
    /// Draws the next webhook: a new lead, or a new version of one, rather of a late one.
    pub fn next(&self, rng: &mut Rng) -> String {
        let mut leads = self.0.lock().unwrap();
        let known = leads.len();
        let new = known < 20 || rng.f64() < if known < 1_000 { 0.15 } else { 0.02 };
        let place = if new {
            let lead = make(&leads, rng);
            leads.push(lead);
            known
        } else if rng.f64() < 0.7 {
            known - 1 - rng.usize(0..known.min(60))
        } else {
            rng.usize(0..known)
        };
        let lead = &mut leads[place];
        lead.tell(lead.version + 1, rng)
    }

    pub fn all(&self) -> Vec<Lead> {
        self.0.lock().unwrap().clone()
    }
}

/// One in twenty has the address of another, mostly of the same person, and half of these come just after the other.
fn make(leads: &[Lead], rng: &mut Rng) -> Lead {
    let number = leads.len();
    let name = |number: usize| format!("{} {}", FIRST[number % 8], LAST[number / 8 % 8]);
    let (address, name) = if number > 0 && rng.f64() < 0.05 {
        let recent = if rng.bool() { number.min(6) } else { number };
        let other = &leads[number - 1 - rng.usize(0..recent)];
        let own = name(other.address + 9);
        (other.address, if rng.f64() < 0.75 { other.name.clone() } else { own })
    } else {
        (number, name(number))
    };
    Lead { id: format!("cl-{number:05}"), address, name, version: 0 }
}

/// Versions differ in `updated_at` alone; some fields move with each, some now and then.
fn webhook(lead: &Lead, rng: &mut Rng) -> String {
    let version = lead.version;
    // Long ago, so that no version seems to come from the future.
    let told = Clock::system().now().as_seconds() - 100_000_000;
    let day = told - told % 86_400;
    let updated_at = day + i64::from(version);
    let slow = version / 3;
    json!({
        "event": if version == 1 { "lead.created" } else { "lead.updated" },
        "timestamp": updated_at,
        "data": {
            "id": lead.id, "name": lead.name, "email": format!("p{0}@c{0}.example", lead.address),
            "description": format!("said {version}"), "city": format!("berlin {slow}"),
            "status": format!("status {slow}"), "source": format!("source {slow}"), "score": version,
            "attributes": [
                { "id": "a1", "name": "industry", "type": "text", "value": lead.mark() },
                { "id": "a2", "name": "company", "type": "text", "value": format!("Company {} {slow}", lead.address) },
                { "id": "a3", "name": "noise", "type": "number", "value": rng.u32(..) },
            ],
            "created_at": day, "updated_at": updated_at, "last_interaction_at": day,
        },
    })
    .to_string()
}
