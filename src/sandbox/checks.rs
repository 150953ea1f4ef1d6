//! What the schema and the rules of an org say of a write before it is carried out.

use serde_json::{Map, Value as Json};

use super::error::{Refusal, Refusals};
use super::faults::About;
use super::ids;
use super::records::rows_by_key;
use super::schema::{Field, FieldId, Kind, Object};
use super::table::{By, RowId};
use super::validate;
use super::value::Value;
use super::world::{TableId, World};
use super::write::{Changes, Writer};

impl World {
    /// The API writes data; how an org is set up it only reads.
    pub fn check_writable(&self, table: TableId, verb: &str, writer: &Writer) -> Result<(), Refusals> {
        let object = &self.tables[table].object;
        if object.writable || writer.by != By::Api {
            return Ok(());
        }
        let message = format!("entity type cannot be {verb}: {}", object.label);
        Err(Refusal::of_fields("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", message, &[]).into())
    }

    /// Reads a body into values, each checked by itself.
    pub fn read_changes(
        &self,
        table: TableId,
        row: Option<RowId>,
        body: &Map<String, Json>,
        writer: &Writer,
    ) -> Result<Changes, Refusals> {
        let object = &self.tables[table].object;
        let (mut changes, mut refusals) = (Changes::new(), Refusals::new());
        for (name, json) in body.iter().filter(|(name, _)| *name != "attributes") {
            let found = if writer.by == By::Api { object.find_visible(name) } else { object.find(name) };
            let by_key = if found.is_none() { self.parent_by_key(object, name, json) } else { None };
            let parent;
            let (id, field, json) = match (found, by_key) {
                (Some((id, field)), _) => (id, field, json),
                (None, Some(reached)) => {
                    let (id, found) = reached?;
                    parent = Json::String(found);
                    (id, object.field(id), &parent)
                }
                (None, None) => {
                    let message = format!("No such column '{name}' on sobject of type {}", object.name);
                    return Err(Refusal::new(400, "INVALID_FIELD", message).into());
                }
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
            match validate::read(field, json).and_then(|value| self.check_reference(table, field, value)) {
                Ok(value) => changes.push((id, value)),
                Err(refusal) => refusals.push(refusal),
            }
        }
        if refusals.is_empty() { Ok(changes) } else { Err(refusals) }
    }

    /// A reference leads to a record of the right kind that exists.
    fn check_reference(&self, table: TableId, field: &Field, value: Option<Value>) -> Result<Option<Value>, Refusal> {
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
        if !field.refers_to.iter().any(|object| self.prefix(object).is_some_and(|prefix| id.starts_with(prefix))) {
            let message = format!("{}: id value of incorrect type: {id}", field.label);
            return Err(Refusal::of_fields("MALFORMED_ID", message, &[&field.name]));
        }
        let found = self.find_record(id).filter(|(table, row)| !self.tables[*table].row(*row).deleted);
        let Some((target, row)) = found else {
            return Err(Refusal::of_fields(
                "INVALID_CROSS_REFERENCE_KEY",
                "invalid cross reference id",
                &[&field.name],
            ));
        };
        if field.name == "OwnerId" && self.tables[target].object.name == "User" && !self.flag(target, row, "IsActive") {
            let (user, object) = (ids::short(id), self.tables[table].object.label.to_lowercase());
            let message = format!("operation performed with inactive user [{user}] as owner of {object}");
            return Err(Refusal::of_fields("INACTIVE_OWNER_OR_USER", message, &[&field.name]));
        }
        Ok(Some(value))
    }

    /// The first three characters of an object's ids, for those too that this org is without.
    fn prefix(&self, object: &str) -> Option<&'static str> {
        match object {
            "Individual" => Some("0PK"),
            "DandBCompany" => Some("06E"),
            "Campaign" => Some("701"),
            "Pricebook2" => Some("01s"),
            _ => self.table(object).map(|table| self.tables[table].object.prefix),
        }
    }

    /// The record that a write names by its parent's external id, as in `{"Account": {"Ext__c": "A-17"}}`; `None` where
    /// the name is no relationship.
    fn parent_by_key(&self, object: &Object, name: &str, json: &Json) -> Option<Result<(FieldId, String), Refusal>> {
        let reaches = |field: &Field| field.relationship().is_some_and(|reached| reached.eq_ignore_ascii_case(name));
        let (id, field) = object.visible().find(|(_, field)| reaches(field))?;
        let mut keys = json.as_object().into_iter().flatten().filter(|(key, _)| *key != "attributes");
        let invalid = |message: String| Err(Refusal::new(400, "INVALID_FIELD", message));
        let (Some((key, value)), None, [parent]) = (keys.next(), keys.next(), field.refers_to.as_slice()) else {
            let message = format!("Cannot reference a foreign key field {name}: give one external id of one parent");
            return Some(invalid(message));
        };
        let Some(table) = self.table(parent).map(|table| &self.tables[table]) else {
            return Some(invalid(format!("sObject type '{parent}' is not supported.")));
        };
        let text = match value {
            Json::String(text) => text.clone(),
            other => other.to_string(),
        };
        let rows = match table.object.find_visible(key) {
            Some((key, field)) if field.external_id || field.id_lookup => rows_by_key(table, key, &text),
            _ => {
                return Some(invalid(format!(
                    "Field name provided, {key} is not an External ID or indexed field for {parent}"
                )));
            }
        };
        Some(match rows.as_slice() {
            [row] => Ok((id, table.row(*row).id.to_string())),
            [] => invalid(format!(
                "Foreign key external ID: {} not found for field {key} in entity {parent}",
                text.to_lowercase()
            )),
            _ => {
                let message = format!("{key}: more than one record found for external id field: {text}");
                Err(Refusal::of_fields("DUPLICATE_EXTERNAL_ID", message, &[key]))
            }
        })
    }

    /// A value of a restricted picklist stands under the value of the field that controls it.
    pub fn check_dependent(&self, table: TableId, row: Option<RowId>, changes: &Changes) -> Result<(), Refusals> {
        let object = &self.tables[table].object;
        let dependent = changes.iter().filter_map(|(id, value)| {
            let field = object.field(*id);
            let controller = field.controller.as_deref().filter(|_| field.restricted && !field.is_place_code())?;
            Some((field, object.find(controller)?, value.as_ref()?.as_text()?))
        });
        for (field, (controller, controlling), chosen) in dependent {
            let held = match changes.iter().find(|(changed, _)| *changed == controller) {
                Some((_, value)) => value.as_ref(),
                None => row.and_then(|row| self.tables[table].row(row).values.get(&controller)),
            };
            let under = held.map(|held| held.key(true).into_owned()).unwrap_or_else(|| match controlling.kind {
                Kind::Boolean => "false".to_owned(),
                _ => String::new(),
            });
            for value in chosen.split(';') {
                let choice = field.choices.iter().find(|choice| choice.value == value);
                if choice.is_none_or(|choice| !choice.valid_for.contains(&under)) {
                    return Err(validate::bad_choice(field, value).into());
                }
            }
        }
        Ok(())
    }

    pub fn check_unique(&self, table: TableId, row: Option<RowId>, changes: &Changes) -> Result<(), Refusals> {
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

    /// Validation rules and errors that were ordered as faults; they see the record as it would be.
    pub fn check_rules(
        &mut self,
        table: TableId,
        row: Option<RowId>,
        changes: Option<&Changes>,
        writer: &Writer,
    ) -> Result<(), Refusals> {
        if writer.by != By::Api {
            return Ok(());
        }
        let user = ids::user(ids::INACTIVE_USER);
        let Self { tables, faults, .. } = self;
        let table = &tables[table];
        let value_of = |name: &str| {
            let Some((id, field)) = table.object.find(name) else { return Json::Null };
            let standing = || row.and_then(|row| table.row(row).values.get(&id));
            let value = match changes.into_iter().flatten().find(|(changed, _)| *changed == id) {
                Some((_, value)) => value.as_ref(),
                None => standing(),
            };
            value.map_or(Json::Null, |value| value.to_json(field.kind))
        };
        let others = table.rows().iter().enumerate().rev();
        let other =
            others.filter(|(place, other)| Some(*place) != row && !other.deleted).map(|(_, other)| &*other.id).next();
        let nobody = ids::make(table.object.prefix, u64::from(u32::MAX));
        let about = About {
            object: table.object.name,
            id: row.map(|row| &*table.row(row).id),
            other: other.unwrap_or(&nobody),
            user: &user,
            deletes: changes.is_none(),
        };
        faults.refusal(&writer.method, &writer.target, &about, value_of).map_or(Ok(()), |refusal| Err(refusal.into()))
    }
}

/// A person's screen also sets what conversion leaves behind, since tests convert by hand.
fn may_write(field: &Field, exists: bool, by: By) -> bool {
    let converted = field.name == "IsConverted" || (field.name.starts_with("Converted") && !field.is_custom());
    let flag = if exists { field.updateable } else { field.createable };
    flag || (by == By::User && converted)
}

pub(super) fn required(fields: &[&str]) -> Refusal {
    Refusal::of_fields(
        "REQUIRED_FIELD_MISSING",
        format!("Required fields are missing: [{}]", fields.join(", ")),
        fields,
    )
}
