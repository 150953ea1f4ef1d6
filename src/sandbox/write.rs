//! Creates, changes and deletes records, by the rules that the schema sets and the trouble that was ordered.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value as Json};

use super::error::{Refusal, Refusals};
use super::ids;
use super::schema::{Field, FieldId, Kind};
use super::table::{By, Edit, Row, RowId};
use super::validate;
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
}

/// Checked values of one write; `None` clears.
type Changes = Vec<(FieldId, Option<Value>)>;

impl Writer {
    /// A person at the screen.
    pub fn person(at: Timestamp) -> Self {
        Self { by: By::User, at, request: None, method: String::new(), target: String::new(), assign: false }
    }

    fn user_id(&self) -> Value {
        Value::text(ids::user(if self.by == By::User { ids::CRM_USER } else { ids::API_USER }))
    }
}

impl World {
    /// Makes a record and gives its id, or says everything that is wrong with it.
    pub fn create(&mut self, table: TableId, body: &Map<String, Json>, writer: &Writer) -> Result<Arc<str>, Refusals> {
        let mut changes = self.read_changes(table, None, body, writer)?;
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
        self.check_unique(table, None, &changes)?;
        self.check_rules(table, None, &changes, writer)?;

        let number = self.tables[table].next_number();
        let id: Arc<str> = ids::make(self.tables[table].object.prefix, number).into();
        let values: BTreeMap<FieldId, Value> = BTreeMap::new();
        let row = self.tables[table].insert(Row { id: Arc::clone(&id), values, deleted: false, history: Vec::new() });
        self.note_undo(table, row, None);
        let stamps = [
            ("CreatedDate", Value::Moment(writer.at.as_second())),
            ("CreatedById", writer.user_id()),
            ("Id", Value::text(Arc::clone(&id))),
        ];
        self.set_system(table, row, &stamps);
        self.apply(table, row, changes, writer);
        self.writes += 1;
        Ok(id)
    }

    /// Changes a record, or says everything that is wrong with the change.
    pub fn update(
        &mut self,
        table: TableId,
        row: RowId,
        body: &Map<String, Json>,
        writer: &Writer,
    ) -> Result<(), Refusals> {
        if self.tables[table].row(row).deleted {
            return Err(Refusal::deleted().into());
        }
        let changes = self.read_changes(table, Some(row), body, writer)?;
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
        self.check_unique(table, Some(row), &changes)?;
        self.check_rules(table, Some(row), &changes, writer)?;
        if self.undo.wanted {
            let before = self.tables[table].row(row).clone();
            self.note_undo(table, row, Some(before));
        }
        self.apply(table, row, changes, writer);
        self.writes += 1;
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
        if self.tables[table].row(row).deleted {
            return Err(Refusal::deleted().into());
        }
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
        Ok(())
    }

    /// Reads a body into values, each checked by itself.
    fn read_changes(
        &self,
        table: TableId,
        row: Option<RowId>,
        body: &Map<String, Json>,
        writer: &Writer,
    ) -> Result<Changes, Refusals> {
        let object = &self.tables[table].object;
        let (mut changes, mut refusals) = (Changes::new(), Refusals::new());
        for (name, json) in body.iter().filter(|(name, _)| *name != "attributes") {
            let found = if writer.by == By::User { object.find(name) } else { object.find_visible(name) };
            let Some((id, field)) = found else {
                let reached = object
                    .live()
                    .any(|(_, field)| field.relationship().is_some_and(|relationship| relationship == *name));
                let message = match reached {
                    true => {
                        format!("Foreign key external ID: {json} not found for field {name} in entity {}", object.name)
                    }
                    false => format!("No such column '{name}' on sobject of type {}", object.name),
                };
                return Err(Refusal::new(400, "INVALID_FIELD", message).into());
            };
            if field.kind == Kind::Id {
                return Err(Refusal::new(
                    400,
                    "INVALID_FIELD",
                    "The Id field should not be specified in the sobject data.",
                )
                .into());
            }
            if changes.iter().any(|(given, _)| *given == id) {
                return Err(
                    Refusal::new(400, "INVALID_FIELD", format!("duplicate field specified: {}", field.name)).into()
                );
            }
            if !may_write(field, row.is_some(), writer.by) {
                let message = format!(
                    "Unable to create/update fields: {}. Please check the security settings of this field and verify that it is \
                     read/write for your profile or permission set.",
                    field.name
                );
                refusals.push(Refusal::of_fields("INVALID_FIELD_FOR_INSERT_UPDATE", message, &[&field.name]));
                continue;
            }
            match validate::read(field, json).and_then(|value| self.check_reference(field, value)) {
                Ok(value) => changes.push((id, value)),
                Err(refusal) => refusals.push(refusal),
            }
        }
        if refusals.is_empty() { Ok(changes) } else { Err(refusals) }
    }

    /// A reference leads to a record of the right kind that exists.
    fn check_reference(&self, field: &Field, value: Option<Value>) -> Result<Option<Value>, Refusal> {
        if field.kind != Kind::Reference {
            return Ok(value);
        }
        let Some(value) = value else {
            if field.name == "OwnerId" {
                let message = "Owner ID: owner cannot be blank";
                return Err(Refusal::of_fields("INVALID_CROSS_REFERENCE_KEY", message, &["OwnerId"]));
            }
            return Ok(None);
        };
        let id = value.as_text().unwrap_or_default();
        let prefix = |object: &str| match object {
            "User" => "005",
            "Group" => "00G",
            "Lead" => "00Q",
            "Contact" => "003",
            "Account" => "001",
            "Opportunity" => "006",
            _ => "0ti",
        };
        if !field.refers_to.iter().any(|object| id.starts_with(prefix(object))) {
            let message = format!("{}: id value of incorrect type: {id}", field.label);
            return Err(Refusal::of_fields("MALFORMED_ID", message, &[&field.name]));
        }
        let exists = match id.get(..3) {
            Some("005") => [ids::API_USER, ids::CRM_USER].map(ids::user).iter().any(|user| user == id),
            Some("00G") => ids::queue(ids::RULES_QUEUE) == id,
            _ => self.table_of(id).is_some_and(|table| {
                self.tables[table].find(id).is_some_and(|row| !self.tables[table].row(row).deleted)
            }),
        };
        if exists {
            Ok(Some(value))
        } else {
            Err(Refusal::of_fields("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", &[&field.name]))
        }
    }

    fn check_unique(&self, table: TableId, row: Option<RowId>, changes: &Changes) -> Result<(), Refusals> {
        let table = &self.tables[table];
        for (id, value) in changes {
            let field = table.object.field(*id);
            let Some(value) = value.as_ref().filter(|_| field.unique) else { continue };
            if let Some(other) = table.holders(*id, value).find(|other| Some(*other) != row) {
                let other = ids::short(&table.row(other).id);
                let message =
                    format!("duplicate value found: {} duplicates value on record with id: {other}", field.name);
                return Err(Refusal::of_fields("DUPLICATE_VALUE", message, &[]).into());
            }
        }
        Ok(())
    }

    /// Validation rules that were ordered as faults; they see the record as it would be.
    fn check_rules(
        &mut self,
        table: TableId,
        row: Option<RowId>,
        changes: &Changes,
        writer: &Writer,
    ) -> Result<(), Refusals> {
        if writer.by != By::Api {
            return Ok(());
        }
        let Self { tables, faults, .. } = self;
        let table = &tables[table];
        let value_of = |name: &str| {
            let Some((id, field)) = table.object.find(name) else { return Json::Null };
            let standing = || row.and_then(|row| table.row(row).values.get(&id));
            let value = match changes.iter().find(|(changed, _)| *changed == id) {
                Some((_, value)) => value.as_ref(),
                None => standing(),
            };
            value.map_or(Json::Null, |value| value.to_json(field.kind))
        };
        faults.refusal(&writer.method, &writer.target, value_of).map_or(Ok(()), |refusal| Err(refusal.into()))
    }

    /// Carries out a checked write: the values, what triggers and rules make of them, the stamps and the history.
    fn apply(&mut self, table: TableId, row: RowId, changes: Changes, writer: &Writer) {
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
        let at = Value::Moment(writer.at.as_second());
        let stamps = [("LastModifiedDate", at.clone()), ("SystemModstamp", at), ("LastModifiedById", writer.user_id())];
        self.set_system(table, row, &stamps);
        self.compose_name(table, row);
    }

    fn change(&mut self, table: TableId, row: RowId, mut changes: Changes, by: By, writer: &Writer) {
        let table = &mut self.tables[table];
        changes.retain(|(id, value)| table.row(row).values.get(id) != value.as_ref());
        table.set(row, &changes);
        table.remember(row, Edit { at: writer.at, by, request: writer.request.clone(), changes });
    }

    fn compose_name(&mut self, table: TableId, row: RowId) {
        let part = |name: &str| {
            let (id, _) = self.tables[table].object.find(name)?;
            self.tables[table].row(row).values.get(&id).and_then(Value::as_text).map(str::to_owned)
        };
        let name = [part("FirstName"), part("LastName")].into_iter().flatten().collect::<Vec<_>>().join(" ");
        self.set_system(table, row, &[("Name", Value::text(name))]);
    }

    /// Sets fields that the org keeps itself, as far as they exist.
    fn set_system(&mut self, table: TableId, row: RowId, values: &[(&str, Value)]) -> Changes {
        let table = &mut self.tables[table];
        let changes: Changes = values
            .iter()
            .filter_map(|(name, value)| Some((table.object.find(name)?.0, Some(value.clone()))))
            .filter(|(id, value)| table.row(row).values.get(id) != value.as_ref())
            .collect();
        table.set(row, &changes);
        changes
    }

    fn flag(&self, table: TableId, row: RowId, name: &str) -> bool {
        let table = &self.tables[table];
        table.object.find(name).is_some_and(|(id, _)| table.row(row).values.get(&id) == Some(&Value::Bool(true)))
    }
}

/// A person's screen also sets what conversion leaves behind, since tests convert by hand.
fn may_write(field: &Field, exists: bool, by: By) -> bool {
    let converted = field.name == "IsConverted" || (field.name.starts_with("Converted") && !field.is_custom());
    let flag = if exists { field.updateable } else { field.createable };
    flag || (by == By::User && converted)
}

fn required(fields: &[&str]) -> Refusal {
    Refusal::of_fields(
        "REQUIRED_FIELD_MISSING",
        format!("Required fields are missing: [{}]", fields.join(", ")),
        fields,
    )
}
