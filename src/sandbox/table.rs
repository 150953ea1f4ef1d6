//! The rows of one object with their history, and the hash indexes that keep queries from scanning them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;

use super::ids;
use super::schema::{FieldId, Object};
use super::value::Value;

/// Where a row stands in its table.
pub(super) type RowId = usize;

/// Who changed a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Api,
    /// A person, through the control API.
    User,
    /// The org itself: an assignment rule, a trigger.
    Trigger,
}

impl By {
    pub fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::User => "user",
            Self::Trigger => "trigger",
        }
    }
}

/// One entry of a record's history: what a create or an update changed; `None` is a value that became null.
#[derive(Debug, Clone)]
pub(super) struct Edit {
    pub at: Timestamp,
    pub by: By,
    /// The `x-request-id` of the API call.
    pub request: Option<Arc<str>>,
    pub changes: Vec<(FieldId, Option<Value>)>,
}

/// One record, alive or in the recycle bin.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub id: Arc<str>,
    pub values: BTreeMap<FieldId, Value>,
    pub deleted: bool,
    pub history: Vec<Edit>,
}

/// Which live rows hold a value, per indexed field.
#[derive(Debug, Default)]
struct Index {
    rows: HashMap<Box<str>, BTreeSet<RowId>>,
    /// Rows beyond the first of each value.
    surplus: usize,
}

/// One object's schema, rows and indexes.
#[derive(Debug)]
pub(super) struct Table {
    pub object: Object,
    rows: Vec<Row>,
    /// Ids begin at another number in each run and go on counting after a reset, so that an id from before names nothing.
    first: u64,
    /// The recycle bin.
    binned: BTreeSet<RowId>,
    indexes: HashMap<FieldId, Index>,
}

impl Table {
    pub fn new(object: Object, first: u64) -> Self {
        let mut table = Self { object, rows: Vec::new(), first, binned: BTreeSet::new(), indexes: HashMap::new() };
        table.reindex();
        table
    }

    /// The number that the next row's id will have.
    pub fn next_number(&self) -> u64 {
        self.first + self.rows.len() as u64
    }

    pub fn live_rows(&self) -> usize {
        self.rows.len() - self.binned.len()
    }

    /// Deleted rows, which the indexes do not hold.
    pub fn binned(&self) -> &BTreeSet<RowId> {
        &self.binned
    }

    /// Live rows that share a value of this field with an earlier one.
    pub fn surplus(&self, field: FieldId) -> usize {
        self.indexes.get(&field).map_or(0, |index| index.surplus)
    }

    pub fn row(&self, row: RowId) -> &Row {
        &self.rows[row]
    }

    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Finds a row by its id of 15 or 18 characters, deleted or not.
    pub fn find(&self, id: &str) -> Option<RowId> {
        let number = ids::number(&ids::canonical(id)?, self.object.prefix)?;
        let row = usize::try_from(number.checked_sub(self.first)?).ok()?;
        (row < self.rows.len()).then_some(row)
    }

    pub fn is_indexed(&self, field: FieldId) -> bool {
        self.indexes.contains_key(&field)
    }

    /// Live rows that hold this value in an indexed field, in the order they were made.
    pub fn holders(&self, field: FieldId, value: &Value) -> impl Iterator<Item = RowId> + '_ {
        let key = value.key(self.object.field(field).case_sensitive);
        self.indexes.get(&field).and_then(|index| index.rows.get(key.as_ref())).into_iter().flatten().copied()
    }

    /// Adds a row; its id is the next one.
    pub fn insert(&mut self, row: Row) -> RowId {
        let place = self.rows.len();
        for (field, value) in &row.values {
            note(&mut self.indexes, &self.object, *field, value, place);
        }
        self.rows.push(row);
        place
    }

    /// Sets values (`None` clears) and keeps the indexes right.
    pub fn set(&mut self, row: RowId, changes: &[(FieldId, Option<Value>)]) {
        for (field, value) in changes {
            let target = &mut self.rows[row];
            let before = match value {
                Some(value) => target.values.insert(*field, value.clone()),
                None => target.values.remove(field),
            };
            if target.deleted {
                continue;
            }
            if let Some(before) = before {
                forget(&mut self.indexes, &self.object, *field, &before, row);
            }
            if let Some(value) = value {
                note(&mut self.indexes, &self.object, *field, value, row);
            }
        }
    }

    pub fn remember(&mut self, row: RowId, edit: Edit) {
        self.rows[row].history.push(edit);
    }

    /// Moves a row to the recycle bin, where only `queryAll` sees it.
    pub fn bin(&mut self, row: RowId) {
        self.unindex(row);
        self.rows[row].deleted = true;
        self.binned.insert(row);
    }

    /// Puts a row back as it was; the undoing of an update or a delete.
    pub fn restore(&mut self, row: RowId, before: Row) {
        self.unindex(row);
        self.rows[row] = before;
        if self.rows[row].deleted {
            self.binned.insert(row);
        } else {
            self.binned.remove(&row);
            for (field, value) in &self.rows[row].values {
                note(&mut self.indexes, &self.object, *field, value, row);
            }
        }
    }

    /// Takes the newest row away; the undoing of a create.
    pub fn remove_last(&mut self) {
        if let Some(last) = self.rows.len().checked_sub(1) {
            self.unindex(last);
            self.binned.remove(&last);
            self.rows.pop();
        }
    }

    /// Builds all indexes anew, after the schema changed.
    pub fn reindex(&mut self) {
        self.indexes = self
            .object
            .live()
            .filter(|(_, field)| field.indexed || field.unique || field.external_id || field.id_lookup)
            .map(|(id, _)| (id, Index::default()))
            .collect();
        for (place, row) in self.rows.iter().enumerate().filter(|(_, row)| !row.deleted) {
            for (field, value) in &row.values {
                note(&mut self.indexes, &self.object, *field, value, place);
            }
        }
    }

    fn unindex(&mut self, row: RowId) {
        if self.rows[row].deleted {
            return;
        }
        for (field, value) in &self.rows[row].values {
            forget(&mut self.indexes, &self.object, *field, value, row);
        }
    }
}

fn note(indexes: &mut HashMap<FieldId, Index>, object: &Object, field: FieldId, value: &Value, row: RowId) {
    if let Some(index) = indexes.get_mut(&field) {
        let rows = index.rows.entry(value.key(object.field(field).case_sensitive).into()).or_default();
        if rows.insert(row) && rows.len() > 1 {
            index.surplus += 1;
        }
    }
}

fn forget(indexes: &mut HashMap<FieldId, Index>, object: &Object, field: FieldId, value: &Value, row: RowId) {
    let Some(index) = indexes.get_mut(&field) else { return };
    let key = value.key(object.field(field).case_sensitive);
    let Some(rows) = index.rows.get_mut(key.as_ref()) else { return };
    if rows.remove(&row) && !rows.is_empty() {
        index.surplus -= 1;
    }
    if rows.is_empty() {
        index.rows.remove(key.as_ref());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::schema::standard;
    use super::*;

    /// What the indexes say of a field is what a look at every row says.
    fn check(table: &Table, field: FieldId) {
        let mut held: HashMap<String, Vec<RowId>> = HashMap::new();
        for (place, row) in table.rows().iter().enumerate().filter(|(_, row)| !row.deleted) {
            if let Some(value) = row.values.get(&field) {
                held.entry(value.key(table.object.field(field).case_sensitive).into_owned()).or_default().push(place);
            }
        }
        assert_eq!(table.surplus(field), held.values().map(|rows| rows.len() - 1).sum::<usize>());
        for (key, rows) in held {
            assert_eq!(table.holders(field, &Value::text(key)).collect::<Vec<_>>(), rows);
        }
        assert_eq!(table.live_rows(), table.rows().iter().filter(|row| !row.deleted).count());
        assert_eq!(table.binned().len(), table.rows().len() - table.live_rows());
    }

    proptest! {
        #[test]
        fn indexes_stay_right_whatever_happens(steps in prop::collection::vec((0..5u8, 0..8usize, "[abAB]{0,2}"), 0..60)) {
            let mut table = Table::new(standard::objects(0).remove(0), 1);
            let (email, _) = table.object.find("Email").unwrap();
            let mut kept: Vec<(RowId, Row)> = Vec::new();
            for (step, place, text) in steps {
                let value = (!text.is_empty()).then(|| Value::text(text));
                let row = place % table.rows().len().max(1);
                match step {
                    0 => {
                        let values = value.into_iter().map(|value| (email, value)).collect();
                        table.insert(Row { id: "x".into(), values, deleted: false, history: Vec::new() });
                    }
                    _ if table.rows().is_empty() => {}
                    1 => {
                        kept.push((row, table.row(row).clone()));
                        table.set(row, &[(email, value)]);
                    }
                    2 => {
                        kept.push((row, table.row(row).clone()));
                        table.bin(row);
                    }
                    3 => {
                        if let Some((row, before)) = kept.pop() {
                            table.restore(row, before);
                        }
                    }
                    _ => {
                        table.remove_last();
                        kept.retain(|(row, _)| *row < table.rows().len());
                    }
                }
                check(&table, email);
            }
            table.reindex();
            check(&table, email);
        }
    }
}
