//! Creates, changes and deletes records, by the rules that the schema sets and the trouble that was ordered.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value as Json};

use super::checks::required;
use super::duplicates::OnDuplicates;
use super::error::{Refusal, Refusals};
use super::ids;
use super::permissions;
use super::schema::{FieldId, Kind};
use super::table::{By, Edit, Row, RowId};
use super::value::Value;
use super::world::{TableId, World};

/// On whose behalf something is written.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    pub by: By,
    pub at: Timestamp,
    /// The `x-request-id` of the API call.
    pub request: Option<Arc<str>>,
    pub method: String,
    pub target: String,
    /// Whether assignment rules run.
    pub assign: bool,
    pub duplicates: OnDuplicates,
}

/// Checked values of one write; `None` clears.
pub(super) type Changes = Vec<(FieldId, Option<Value>)>;

impl Writer {
    /// A person at the screen.
    pub fn person(at: Timestamp) -> Self {
        Self {
            by: By::User,
            at,
            request: None,
            method: String::new(),
            target: String::new(),
            assign: false,
            duplicates: OnDuplicates::default(),
        }
    }

    pub fn user_id(&self) -> Value {
        Value::text(ids::user(if self.by == By::User { ids::CRM_USER } else { ids::API_USER }))
    }
}

impl World {
    /// Makes a record and gives its id, or says everything that is wrong with it.
    pub fn create(&mut self, table: TableId, body: &Map<String, Json>, writer: &Writer) -> Result<Arc<str>, Refusals> {
        self.check_writable(table, "inserted", writer)?;
        let mut changes = self.read_changes(table, None, body, writer)?;
        self.settle_places(table, None, &mut changes)?;
        let object = &self.tables[table].object;
        let missing: Vec<&str> = object
            .live()
            .filter(|(id, field)| {
                field.is_required() && !changes.iter().any(|(given, value)| given == id && value.is_some())
            })
            .map(|(_, field)| field.name.as_str())
            .collect();
        if !missing.is_empty() {
            return Err(required(&missing).into());
        }
        for (id, field) in object.live() {
            let default = match (field.kind, field.default) {
                _ if changes.iter().any(|(given, value)| *given == id && value.is_some()) => None,
                (Kind::Boolean, _) => Some(Value::Bool(false)),
                (_, Some(text)) => Some(Value::text(text)),
                _ if field.name == "OwnerId" => Some(writer.user_id()),
                _ => None,
            };
            if let Some(default) = default {
                changes.retain(|(given, _)| *given != id);
                changes.push((id, Some(default)));
            }
        }
        self.check_dependent(table, None, &changes)?;
        self.check_permission(table, None, &changes)?;
        self.check_unique(table, None, &changes)?;
        self.check_rules(table, None, Some(&changes), writer)?;
        self.check_duplicates(table, None, &changes, writer)?;

        let row = self.insert_empty(table, writer);
        let id = Arc::clone(&self.tables[table].row(row).id);
        self.apply(table, row, changes, writer);
        self.writes += 1;
        self.follow_up(table, row, true, writer);
        Ok(id)
    }

    /// Makes a record of the org's own, which nothing has to check.
    pub fn insert(&mut self, table: TableId, values: &[(&str, Value)], writer: &Writer) -> RowId {
        let row = self.insert_empty(table, writer);
        let object = &self.tables[table].object;
        let mut changes: Changes =
            values.iter().filter_map(|(name, value)| Some((object.find(name)?.0, Some(value.clone())))).collect();
        for (id, _) in object.live().filter(|(_, field)| field.kind == Kind::Boolean) {
            if !changes.iter().any(|(given, _)| *given == id) {
                changes.push((id, Some(Value::Bool(false))));
            }
        }
        self.apply(table, row, changes, writer);
        row
    }

    fn insert_empty(&mut self, table: TableId, writer: &Writer) -> RowId {
        let number = self.tables[table].next_number();
        let id: Arc<str> = ids::make(self.tables[table].object.prefix, number).into();
        let values: BTreeMap<FieldId, Value> = BTreeMap::new();
        let row = self.tables[table].insert(Row { id: Arc::clone(&id), values, deleted: false, history: Vec::new() });
        self.note_undo(table, row, None);
        let stamps = [
            ("CreatedDate", Value::Moment(writer.at.as_second())),
            ("CreatedById", writer.user_id()),
            ("Id", Value::text(id)),
        ];
        self.set_system(table, row, &stamps);
        row
    }

    /// Changes a record as part of something larger, which nothing has to check.
    pub fn amend(&mut self, table: TableId, row: RowId, values: &[(&str, Option<Value>)], by: By, writer: &Writer) {
        let object = &self.tables[table].object;
        let changes: Changes =
            values.iter().filter_map(|(name, value)| Some((object.find(name)?.0, value.clone()))).collect();
        if self.undo.wanted {
            let before = self.tables[table].row(row).clone();
            self.note_undo(table, row, Some(before));
        }
        self.change(table, row, changes, by, writer);
        self.stamp(table, row, writer);
    }

    pub fn stamp(&mut self, table: TableId, row: RowId, writer: &Writer) {
        let at = Value::Moment(writer.at.as_second());
        let stamps = [("LastModifiedDate", at.clone()), ("SystemModstamp", at), ("LastModifiedById", writer.user_id())];
        self.set_system(table, row, &stamps);
    }

    /// Changes a record, or says everything that is wrong with the change.
    pub fn update(
        &mut self,
        table: TableId,
        row: RowId,
        body: &Map<String, Json>,
        writer: &Writer,
    ) -> Result<(), Refusals> {
        self.check_writable(table, "updated", writer)?;
        if self.tables[table].row(row).deleted {
            return Err(Refusal::deleted().into());
        }
        let mut changes = self.read_changes(table, Some(row), body, writer)?;
        self.settle_places(table, Some(row), &mut changes)?;
        if writer.by == By::Api && self.flag(table, row, "IsConverted") {
            return Err(
                Refusal::of_fields("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead", &[]).into()
            );
        }
        let object = &self.tables[table].object;
        let emptied: Vec<&str> = changes
            .iter()
            .filter(|(id, value)| value.is_none() && !object.field(*id).nillable)
            .map(|(id, _)| object.field(*id).name.as_str())
            .collect();
        if !emptied.is_empty() {
            return Err(required(&emptied).into());
        }
        self.check_dependent(table, Some(row), &changes)?;
        self.check_permission(table, Some(row), &changes)?;
        self.check_unique(table, Some(row), &changes)?;
        self.check_rules(table, Some(row), Some(&changes), writer)?;
        self.check_duplicates(table, Some(row), &changes, writer)?;
        if self.undo.wanted {
            let before = self.tables[table].row(row).clone();
            self.note_undo(table, row, Some(before));
        }
        self.apply(table, row, changes, writer);
        self.writes += 1;
        self.follow_up(table, row, false, writer);
        Ok(())
    }

    /// Moves a record to the recycle bin; the loser of a merge names the winner.
    pub fn delete(
        &mut self,
        table: TableId,
        row: RowId,
        merged_into: Option<&str>,
        writer: &Writer,
    ) -> Result<(), Refusals> {
        self.check_writable(table, "deleted", writer)?;
        if self.tables[table].row(row).deleted {
            return Err(Refusal::deleted().into());
        }
        self.check_rules(table, Some(row), None, writer)?;
        self.delete_children(table, row, writer)?;
        if self.undo.wanted {
            let before = self.tables[table].row(row).clone();
            self.note_undo(table, row, Some(before));
        }
        self.tables[table].bin(row);
        self.writes += 1;
        let mut stamps = vec![
            ("IsDeleted", Value::Bool(true)),
            ("SystemModstamp", Value::Moment(writer.at.as_second())),
            ("LastModifiedDate", Value::Moment(writer.at.as_second())),
            ("LastModifiedById", writer.user_id()),
        ];
        stamps.extend(merged_into.map(|winner| ("MasterRecordId", Value::text(winner))));
        let changes = self.set_system(table, row, &stamps);
        let changes = changes.into_iter().filter(|(id, _)| {
            matches!(self.tables[table].object.field(*id).name.as_str(), "IsDeleted" | "MasterRecordId")
        });
        let edit = Edit { at: writer.at, by: writer.by, request: writer.request.clone(), changes: changes.collect() };
        self.tables[table].remember(row, edit);
        if self.tables[table].object.name == permissions::OBJECT {
            self.apply_permissions();
        }
        Ok(())
    }

    /// Carries out a checked write: the values, what triggers and rules make of them, the stamps and the history.
    fn apply(&mut self, table: TableId, row: RowId, changes: Changes, writer: &Writer) {
        let given: Vec<FieldId> = changes.iter().map(|(id, _)| *id).collect();
        let mut rewritten = Changes::new();
        if writer.by == By::Api {
            let object = &self.tables[table].object;
            for (id, value) in &changes {
                let field = object.field(*id);
                let Some(text) = value.as_ref().and_then(Value::as_text).filter(|_| field.kind.is_text()) else {
                    continue;
                };
                if let Some(text) = self.faults.rewritten(&writer.method, &writer.target, &field.name, text)
                    && text.chars().count() <= field.length
                {
                    rewritten.push((*id, Some(Value::text(text))));
                }
            }
            if writer.assign
                && object.assigned_by_rules
                && let Some((owner, _)) = object.find("OwnerId")
            {
                rewritten.push((owner, Some(Value::text(ids::queue(ids::RULES_QUEUE)))));
            }
        }
        self.change(table, row, changes, writer.by, writer);
        if rewritten.iter().any(|(id, value)| self.tables[table].row(row).values.get(id) != value.as_ref()) {
            self.change(table, row, rewritten, By::Trigger, writer);
        }
        self.stamp(table, row, writer);
        self.derive(table, row, &given, writer);
    }

    fn change(&mut self, table: TableId, row: RowId, mut changes: Changes, by: By, writer: &Writer) {
        let table = &mut self.tables[table];
        changes.retain(|(id, value)| table.row(row).values.get(id) != value.as_ref());
        table.set(row, &changes);
        table.remember(row, Edit { at: writer.at, by, request: writer.request.clone(), changes });
    }

    /// Sets fields that the org keeps itself, as far as they exist.
    pub fn set_system(&mut self, table: TableId, row: RowId, values: &[(&str, Value)]) -> Changes {
        let table = &mut self.tables[table];
        let changes: Changes = values
            .iter()
            .filter_map(|(name, value)| Some((table.object.find(name)?.0, Some(value.clone()))))
            .filter(|(id, value)| table.row(row).values.get(id) != value.as_ref())
            .collect();
        table.set(row, &changes);
        changes
    }
}
