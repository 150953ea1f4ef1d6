//! Everything the org holds: its tables, sessions, cursors, counters and the trouble ordered for it.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value as Json, json};

use super::duplicates::DuplicateRule;
use super::faults::Faults;
use super::login_key::LoginKey;
use super::schema::{Field, FieldId, standard};
use super::table::{Row, RowId, Table};
use super::value::now;

/// Which table in [`World::tables`].
pub(super) type TableId = usize;

/// How many requests are remembered.
const REMEMBERED: usize = 250_000;
/// How many query cursors stay open; the oldest goes first.
const CURSORS: usize = 1_000;
/// How many tokens are told apart.
const TOKENS: usize = 10_000;

/// Calls in 24 hours, as in a Developer Edition.
const CALLS: u64 = 15_000;

#[derive(Debug)]
pub(super) struct World {
    pub tables: Vec<Table>,
    pub faults: Faults,
    pub duplicate_rules: Vec<DuplicateRule>,
    /// Whether addresses go by the list of states and countries.
    pub places: bool,
    /// Fields made while the org ran, which their ids number.
    pub fields_made: u64,
    pub sessions: Sessions,
    pub cursors: Cursors,
    pub usage: Usage,
    pub requests: Requests,
    /// Where clients find this org.
    pub url: String,
    /// Of the one app that may log in by assertion.
    pub login_key: Option<LoginKey>,
    pub undo: Journal,
    /// Records created, changed or deleted so far.
    pub writes: u64,
}

impl World {
    pub fn new(url: String) -> Self {
        // What an org gave out that ran before must not name another record in this one.
        let first = u64::try_from(now().as_millisecond()).unwrap_or(1);
        let mut world = Self {
            tables: tables(|_| first),
            faults: Faults::none(),
            duplicate_rules: Vec::new(),
            places: false,
            fields_made: 0,
            sessions: Sessions::default(),
            cursors: Cursors::default(),
            usage: Usage::default(),
            requests: Requests::default(),
            url,
            login_key: None,
            undo: Journal::default(),
            writes: 0,
        };
        world.seed();
        world
    }

    /// Begins anew, but for the sessions; ids are not given out twice.
    pub fn reset(&mut self) {
        let numbers: Vec<u64> = self.tables.iter().map(Table::next_number).collect();
        self.tables = tables(|place| numbers[place]);
        self.faults = Faults::none();
        self.duplicate_rules = Vec::new();
        self.places = false;
        self.cursors = Cursors::default();
        self.usage = Usage::default();
        self.requests = Requests::default();
        self.undo = Journal::default();
        self.seed();
    }

    /// The org's address as a caller reached it, which may be through a port that was forwarded.
    pub fn address(&self, host: Option<&str>) -> String {
        let scheme = self.url.split_once("://").map_or("http", |(scheme, _)| scheme);
        host.map_or_else(|| self.url.clone(), |host| format!("{scheme}://{host}"))
    }

    /// Finds an object by its name in any case.
    pub fn table(&self, name: &str) -> Option<TableId> {
        self.tables.iter().position(|table| table.object.name.eq_ignore_ascii_case(name))
    }

    /// Finds the object to which an id's first three characters belong.
    pub fn table_of(&self, id: &str) -> Option<TableId> {
        self.tables.iter().position(|table| id.starts_with(table.object.prefix))
    }

    /// The tables that hold data, not setup.
    pub fn data(&self) -> impl Iterator<Item = &Table> {
        self.tables.iter().filter(|table| !table.object.setup)
    }

    /// Remembers what the journal needs, while a transaction asks for it.
    pub fn note_undo(&mut self, table: TableId, row: RowId, before: Option<Row>) {
        if self.undo.wanted {
            self.undo.steps.push(Step::Row { table, row, before });
        }
    }

    /// The same of a field that is made or changed.
    pub fn note_field(&mut self, table: TableId, field: FieldId, before: Option<Field>) {
        if self.undo.wanted {
            self.undo.steps.push(Step::Field { table, field, before });
        }
    }

    /// Runs steps that happen together or not at all.
    pub fn atomically<T, E>(&mut self, steps: impl FnOnce(&mut Self) -> Result<T, E>) -> Result<T, E> {
        let (mark, outer) = (self.undo.mark(), self.undo.wanted);
        self.undo.wanted = true;
        let result = steps(self);
        if result.is_err() {
            self.roll_back(mark);
        }
        self.undo.wanted = outer;
        result
    }

    /// Undoes everything since the journal had `mark` steps.
    pub fn roll_back(&mut self, mark: usize) {
        while self.undo.steps.len() > mark {
            let Some(step) = self.undo.steps.pop() else { return };
            match step {
                Step::Row { table, row, before: Some(before) } => self.tables[table].restore(row, before),
                Step::Row { table, before: None, .. } => self.tables[table].remove_last(),
                Step::Field { table, field, before } => {
                    let fields = &mut self.tables[table].object.fields;
                    match before {
                        Some(before) => fields[usize::from(field)] = before,
                        None => fields[usize::from(field)].removed = true,
                    }
                    self.tables[table].reindex();
                }
            }
        }
        self.apply_permissions();
    }

    /// Counters only: nothing here looks at rows.
    pub fn stats(&self) -> Json {
        let records: BTreeMap<&str, usize> = self.data().map(|table| (table.object.name, table.live_rows())).collect();
        let surplus = |wanted: &dyn Fn(&super::schema::Field) -> bool| -> usize {
            self.data()
                .flat_map(|table| table.object.live().map(move |(id, field)| (table, id, field)))
                .filter(|(_, _, field)| wanted(field))
                .map(|(table, id, _)| table.surplus(id))
                .sum()
        };
        json!({
            "calls": self.usage.calls,
            "calls_by_endpoint": self.usage.by_endpoint,
            "tokens": self.usage.tokens,
            "faults": self.faults.struck(),
            "records": records,
            "duplicates": {
                "external_id": surplus(&|field| field.external_id),
                "email": surplus(&|field| field.name == "Email"),
            },
        })
    }
}

fn tables(first: impl Fn(usize) -> u64) -> Vec<Table> {
    let objects = standard::objects(now().as_second());
    objects
        .into_iter()
        .enumerate()
        .map(|(place, object)| {
            // Users and the like have the same ids in every sandbox.
            let first = if object.setup { 1 } else { first(place) };
            Table::new(object, first)
        })
        .collect()
}

/// What undoes the steps of an all-or-none request.
#[derive(Debug, Default)]
pub(super) struct Journal {
    pub wanted: bool,
    steps: Vec<Step>,
}

#[derive(Debug)]
enum Step {
    /// Without `before` it was made.
    Row {
        table: TableId,
        row: RowId,
        before: Option<Row>,
    },
    Field {
        table: TableId,
        field: FieldId,
        before: Option<Field>,
    },
}

impl Journal {
    pub fn mark(&self) -> usize {
        self.steps.len()
    }

    /// Begins a call.
    pub fn clear(&mut self) {
        self.wanted = false;
        self.steps.clear();
    }
}

/// Which tokens open the org: any, until it was expired.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    seen: HashSet<String>,
    expired: HashSet<String>,
    issued: u64,
}

impl Sessions {
    /// Hands out a token that was never handed out before.
    pub fn issue(&mut self) -> String {
        self.issued += 1;
        let secret = uuid::Uuid::new_v4().simple().to_string();
        let token = format!("00D5e000000000A!AQ{secret}.{:06}", self.issued);
        self.see(&token);
        token
    }

    /// Whether a token is good; one made up by the caller is, too, since nothing here is worth guarding.
    pub fn admits(&mut self, token: &str) -> bool {
        if token.is_empty() || matches!(token, "expired" | "invalid") || self.expired.contains(token) {
            return false;
        }
        self.see(token);
        true
    }

    /// Ends every session so far.
    pub fn expire(&mut self) -> usize {
        let ended = self.seen.len();
        self.expired.extend(self.seen.drain());
        if self.expired.len() > TOKENS {
            self.expired.clear();
        }
        ended
    }

    fn see(&mut self, token: &str) {
        if self.seen.len() < TOKENS && !self.seen.contains(token) {
            self.seen.insert(token.to_owned());
        }
    }
}

/// Calls, as the org counts them against its limit.
#[derive(Debug)]
pub(super) struct Usage {
    pub calls: u64,
    pub max: u64,
    /// Counted by the org besides: what other programs used.
    pub others: u64,
    pub tokens: u64,
    pub by_endpoint: BTreeMap<String, u64>,
}

impl Default for Usage {
    fn default() -> Self {
        Self { calls: 0, max: CALLS, others: 0, tokens: 0, by_endpoint: BTreeMap::new() }
    }
}

impl Usage {
    pub fn used(&self) -> u64 {
        self.calls.saturating_add(self.others)
    }

    pub fn count(&mut self, endpoint: String) {
        self.calls += 1;
        *self.by_endpoint.entry(endpoint).or_default() += 1;
    }
}

/// What the sandbox was asked, the newest [`REMEMBERED`] requests.
#[derive(Debug, Default)]
pub(super) struct Requests {
    entries: VecDeque<Request>,
    /// How many were forgotten.
    forgotten: u64,
}

/// One request in the log.
#[derive(Debug)]
pub(super) struct Request {
    pub id: Arc<str>,
    pub at: Timestamp,
    pub method: String,
    pub path: String,
    /// `None` while unanswered, and for good where the answer was lost.
    pub status: Option<u16>,
    /// Whether it asked for a write, executed or not.
    pub asks_to_write: bool,
    pub executed: bool,
    /// Records that it created, changed or deleted.
    pub written: u64,
}

impl Requests {
    /// Adds a request; the number finds it again.
    pub fn add(&mut self, request: Request) -> u64 {
        if self.entries.len() >= REMEMBERED {
            self.entries.pop_front();
            self.forgotten += 1;
        }
        self.entries.push_back(request);
        self.forgotten + self.entries.len() as u64 - 1
    }

    pub fn get(&mut self, number: u64) -> Option<&mut Request> {
        let place = usize::try_from(number.checked_sub(self.forgotten)?).ok()?;
        self.entries.get_mut(place)
    }

    pub fn to_json(&self) -> Json {
        let items: Vec<Json> = self
            .entries
            .iter()
            .map(|request| {
                json!({
                    "id": &*request.id, "at": request.at.to_string(), "method": request.method, "path": request.path,
                    "status": request.status, "asks_to_write": request.asks_to_write, "executed": request.executed,
                    "written": request.written,
                })
            })
            .collect();
        json!({ "items": items })
    }
}

/// Queries that have more rows to give.
#[derive(Debug, Default)]
pub(super) struct Cursors {
    open: HashMap<u64, Cursor>,
    next: u64,
}

#[derive(Debug)]
pub(super) struct Cursor {
    pub table: TableId,
    pub fields: Vec<FieldId>,
    pub rows: Vec<RowId>,
    pub batch: usize,
}

impl Cursors {
    pub fn add(&mut self, cursor: Cursor) -> u64 {
        self.next += 1;
        self.open.insert(self.next, cursor);
        if let Some(oldest) = self.next.checked_sub(CURSORS as u64) {
            self.open.remove(&oldest);
        }
        self.next
    }

    pub fn get(&self, number: u64) -> Option<&Cursor> {
        self.open.get(&number)
    }
}
