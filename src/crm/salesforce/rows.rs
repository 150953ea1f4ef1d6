//! Rows as records: which columns are asked for, and what they say of a record.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use super::KnownObjects;
use super::soql::Target;
use super::wire::{self, Row};
use crate::crm::{CrmError, Reading};
use crate::domain::ids::{FieldName, ObjectName, RecordId, RecordRef};
use crate::domain::record::{CrmFieldKind, CrmRecord, ObjectSchema};

/// Read of every record where the object has it: its life, and the keys by which it is recognised.
const ALWAYS_READ: [&str; 9] = [
    "SystemModstamp",
    "CreatedDate",
    "LastModifiedById",
    "IsConverted",
    "ConvertedContactId",
    "Email",
    "FirstName",
    "LastName",
    "Website",
];

/// How one object is read for one request.
pub(super) struct Reader<'a> {
    pub object: &'a ObjectName,
    schema: Option<&'a ObjectSchema>,
    fields: Option<&'a BTreeSet<FieldName>>,
    external_id: Option<&'a FieldName>,
    is_person: bool,
    is_opportunity: bool,
    /// The field that points to the opportunity that was made of a record.
    opportunity: Option<(&'a ObjectName, &'a FieldName)>,
    /// The user that our changes are made by.
    user: Option<&'a RecordId>,
}

impl<'a> Reader<'a> {
    /// How `object` is read. Our key is read where the object has it; if no object has it, it is asked for all the same,
    /// so that Salesforce says what is missing.
    pub fn new(
        object: &'a ObjectName,
        reading: &'a Reading,
        known: &'a KnownObjects,
        user: Option<&'a RecordId>,
    ) -> Self {
        let external_id = reading.external_id.as_ref().filter(|field| {
            let has = |schema: &ObjectSchema| schema.fields.contains_key(field);
            known.get(object).is_some_and(|schema| has(schema)) || !known.values().any(|schema| has(schema))
        });
        let schema = known.get(object).map(AsRef::as_ref);
        let opportunities = reading.opportunities.as_ref().map(|opportunities| &opportunities.object);
        let opportunity = opportunities.filter(|of| of.converted.object == *object).and_then(|of| {
            let field = &of.converted.field;
            schema.is_some_and(|schema| schema.fields.contains_key(field)).then_some((&of.object, field))
        });
        Self {
            object,
            schema,
            fields: reading.fields_of(object),
            is_person: reading.fields.contains_key(object),
            is_opportunity: opportunities.is_some_and(|of| of.object == *object),
            opportunity,
            external_id,
            user,
        }
    }

    /// The object's part of a query.
    pub fn target(&self) -> Target<'a> {
        let known = ALWAYS_READ.into_iter().filter(|name| self.has(name));
        let pointing = self.opportunity.map(|(_, field)| field);
        let asked = self.fields.into_iter().flatten().chain(self.external_id).chain(pointing).map(FieldName::as_str);
        // Salesforce refuses a column that is named twice, in whatever letter case.
        let columns: BTreeMap<String, String> = ["Id"]
            .into_iter()
            .chain(known)
            .chain(asked)
            .map(|name| (name.to_ascii_lowercase(), name.to_owned()))
            .collect();
        Target {
            object: self.object,
            columns: columns.into_values().collect(),
            external_id: self.external_id,
            website: self.has("Website"),
        }
    }

    /// The same, with one more column.
    pub fn target_with(&self, column: &str) -> Target<'a> {
        let mut target = self.target();
        if !target.columns.iter().any(|known| known.eq_ignore_ascii_case(column)) {
            target.columns.push(column.to_owned());
        }
        target
    }

    /// Whether the object has the field and we may see it.
    pub fn has(&self, field: &str) -> bool {
        self.schema.is_some_and(|schema| schema.fields.contains_key(&FieldName::new(field)))
    }

    /// Whether people may be found among the object's records; else only what a lead is linked to is read.
    pub fn may_be_people(&self) -> bool {
        self.is_person
    }

    /// Whether the object's records are opportunities, which are found by their ID only.
    pub fn is_opportunity(&self) -> bool {
        self.is_opportunity
    }

    /// Whether the object's records are converted, and say which opportunity was made of them.
    pub fn points_to_opportunities(&self) -> bool {
        self.opportunity.is_some()
    }

    /// The opportunity that was made of the row's record.
    pub fn opportunity(&self, row: &Row) -> Option<RecordRef> {
        let (object, field) = self.opportunity?;
        Some(RecordRef { object: object.clone(), id: wire::full_id(text(row, field.as_str())?) })
    }

    /// An error that names the field if the object does not have it, or hides it.
    pub fn ensure_shown(&self, field: &str) -> Result<(), CrmError> {
        if self.has(field) {
            return Ok(());
        }
        let field = format!("{}.{field}", self.object);
        let message = format!("people are looked for by {field}, which is missing or hidden");
        Err(CrmError::SchemaDrift { code: "key_field_missing".into(), field: Some(FieldName::new(field)), message })
    }

    /// Our key on the row.
    pub fn external_id<'r>(&self, row: &'r Row) -> Option<&'r str> {
        text(row, self.external_id?.as_str())
    }

    /// The row as a record with the fields that were asked for; `None` if it has no ID.
    pub fn record(&self, row: &Row) -> Option<CrmRecord> {
        let kind = |field: &FieldName| {
            let described = self.schema.and_then(|schema| schema.fields.get(field));
            described.map_or(CrmFieldKind::Other, |described| described.kind)
        };
        let asked = self.fields.into_iter().flatten().chain(self.external_id);
        let fields = asked.map(|field| {
            (field.clone(), wire::from_json(column(row, field.as_str()).unwrap_or(&Json::Null), kind(field)))
        });
        let contact = text(row, "ConvertedContactId").filter(|_| row.get("IsConverted") == Some(&Json::Bool(true)));
        let editor = text(row, "LastModifiedById").map(wire::full_id);
        Some(CrmRecord {
            id: wire::full_id(text(row, "Id")?),
            object: self.object.clone(),
            fields: fields.collect(),
            modified_at: text(row, "SystemModstamp").and_then(wire::read_moment),
            created_at: text(row, "CreatedDate").and_then(wire::read_moment),
            modified_by_us: editor.zip(self.user).map(|(editor, user)| editor == *user),
            became: contact.map(|id| RecordRef { object: ObjectName::new("Contact"), id: wire::full_id(id) }),
        })
    }
}

/// The text in a column, in whatever letter case it was asked for; blank text is none.
pub(super) fn text<'r>(row: &'r Row, name: &str) -> Option<&'r str> {
    column(row, name)?.as_str().filter(|text| !text.trim().is_empty())
}

fn column<'r>(row: &'r Row, name: &str) -> Option<&'r Json> {
    row.get(name).or_else(|| row.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value))
}
