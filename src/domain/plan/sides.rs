//! What a lead says of each mapped field.

use std::collections::BTreeMap;

use crate::domain::envelope::TimeFormat;
use crate::domain::ids::FieldName;
use crate::domain::lead::Lead;
use crate::domain::mapping::{self, Converted, Direction, FieldRow, Given, Owners, Take};
use crate::domain::merge::LeadSide;
use crate::domain::record::{CrmValue, FieldSchema, controlling_text};
use crate::domain::value::Value;

use super::ask::Blanks;
use super::computed;
use super::decide::{PlanInput, SyncRules};

impl PlanInput<'_> {
    /// What the lead's values are converted by.
    pub(super) fn given(&self) -> Given<'_> {
        self.given_in(self.times)
    }

    /// The same for values that do not come from the lead's source.
    pub(super) fn given_in(&self, times: TimeFormat) -> Given<'_> {
        Given { times, owners: &self.found.owners, controlling: None }
    }
}

pub(super) type Sides<'a> = Vec<(&'a FieldRow, LeadSide)>;

pub(super) fn sides_of<'a>(lead: &Lead, blanks: Blanks, given: Given<'_>, rules: &'a SyncRules) -> Sides<'a> {
    rules
        .rows
        .iter()
        .filter(|row| row.direction == Direction::ToCrm)
        .map(|row| (row, computed::side_of(row, lead, blanks, given, rules)))
        .collect()
}

/// What a lead says of each field of a record that is there; `None`: a value that cannot be stored there.
pub fn said(
    lead: &Lead,
    times: TimeFormat,
    owners: &Owners,
    rules: &SyncRules,
) -> BTreeMap<FieldName, Option<CrmValue>> {
    let sides = sides_of(lead, Blanks::Yield, Given { times, owners, controlling: None }, rules);
    let said = |(row, side): (&FieldRow, LeadSide)| match side {
        LeadSide::Silent => None,
        LeadSide::Says(value, _) => (!value.is_null()).then(|| (row.crm.clone(), Some(value))),
        LeadSide::Invalid { .. } => Some((row.crm.clone(), None)),
    };
    sides.into_iter().filter_map(said).collect()
}

pub(super) fn side<'v>(
    row: &FieldRow,
    value_at: &dyn Fn(&str) -> Option<&'v Value>,
    given: Given<'_>,
    rules: &SyncRules,
) -> LeadSide {
    let schema = rules.schema.field(&rules.matching.object, &row.crm);
    let controlling = schema.and_then(|field| controlling(field, value_at, given, rules));
    match mapping::convert(row, value_at, schema, Given { controlling: controlling.as_deref(), ..given }) {
        // A name of one word says that there is no first name, where an absent name says nothing.
        Converted::Absent if names_a_person(row, value_at) => LeadSide::Says(CrmValue::Null, None),
        Converted::Absent => LeadSide::Silent,
        Converted::Blank if row.clear => LeadSide::Says(CrmValue::Null, None),
        Converted::Blank => LeadSide::Silent,
        Converted::Value(value, note) => LeadSide::Says(value, note.map(|note| note.to_string())),
        Converted::Invalid(invalid) => LeadSide::Invalid { code: invalid.code, message: invalid.message },
    }
}

/// What the lead says of the field on which this one depends.
fn controlling<'v>(
    field: &FieldSchema,
    value_at: &dyn Fn(&str) -> Option<&'v Value>,
    given: Given<'_>,
    rules: &SyncRules,
) -> Option<String> {
    let controller = field.choices.controller.as_ref()?;
    let is_it = |row: &&FieldRow| row.crm == *controller && row.direction == Direction::ToCrm && row.computed.is_none();
    let row = rules.rows.iter().find(is_it)?;
    let schema = rules.schema.field(&rules.matching.object, controller);
    match mapping::convert(row, value_at, schema, given) {
        Converted::Value(value, _) => controlling_text(&value),
        Converted::Absent | Converted::Blank | Converted::Invalid(_) => None,
    }
}

fn names_a_person<'v>(row: &FieldRow, value_at: &dyn Fn(&str) -> Option<&'v Value>) -> bool {
    matches!(row.take, Some(Take::FirstName | Take::LastName))
        && value_at(&row.lead).is_some_and(|name| !name.is_blank())
}

pub(super) fn text_of(sides: &Sides<'_>, wanted: impl Fn(&FieldRow) -> bool) -> Option<String> {
    sides.iter().filter(|(row, _)| wanted(row)).find_map(|(_, side)| match side {
        LeadSide::Says(CrmValue::Text(text), _) => Some(text.clone()),
        _ => None,
    })
}
