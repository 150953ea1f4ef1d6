//! The rules for the records beside a person's: the company's, and the opportunity's.

use std::collections::{BTreeMap, BTreeSet};

use super::rules::rules_for;
use super::{CompanySettings, DestinationSettings};
use crate::crm::{Crm, OpportunityReading};
use crate::domain::company::CompanyObject;
use crate::domain::ids::{FieldName, ObjectName};
use crate::domain::mapping::{Direction, FieldRow};
use crate::domain::opportunity::OpportunityObject;
use crate::domain::plan::{CompanyRules, OpportunityRules};
use crate::domain::record::Schema;

/// What is done about companies.
pub(super) fn company_rules(
    object: &CompanyObject,
    settings: &DestinationSettings,
    schema: &Schema,
) -> Option<CompanyRules> {
    let CompanySettings { create, lookup, .. } = settings.company.as_ref()?;
    let mut lookups: BTreeMap<ObjectName, FieldName> = object.lookups.iter().cloned().collect();
    lookups.extend(lookup.iter().map(|field| (settings.object.clone(), field.clone())));
    let rows = object.with_own_rows(&settings.rows);
    let rows = rules_for(&object.object, &rows, settings, &BTreeSet::new(), schema);
    Some(CompanyRules { object: object.clone(), create: *create, lookups, rows })
}

/// The kind of record that an opportunity is, if the mapping has rows for it.
pub fn written_opportunity(crm: &dyn Crm, rows: &[FieldRow]) -> Option<OpportunityObject> {
    let opportunity = crm.opportunities();
    let is_written = |row: &FieldRow| row.direction == Direction::ToCrm && row.on.contains(&opportunity.object);
    rows.iter().any(is_written).then_some(opportunity)
}

/// What is written to opportunities.
pub(super) fn opportunity_rules(
    object: &OpportunityObject,
    settings: &DestinationSettings,
    schema: &Schema,
) -> OpportunityRules {
    let rows = rules_for(&object.object, &settings.rows, settings, &BTreeSet::new(), schema);
    OpportunityRules { object: object.clone(), rows }
}

/// Every mapped field that the CRM has.
pub(super) fn opportunity_reading(of: &OpportunityRules) -> OpportunityReading {
    let OpportunityRules { object, rows } = of;
    let is_there = |field: &&FieldName| rows.schema.field(&object.object, field).is_some();
    let fields = rows.rows.iter().map(|row| &row.crm).filter(is_there).cloned().collect();
    OpportunityReading { object: object.clone(), fields }
}
