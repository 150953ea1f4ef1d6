//! What a mapping row says of a lead where more than one field makes its value.

use std::borrow::Cow;

use super::ask::{self, Blanks};
use super::sides::side;
use super::{SyncRules, note};
use crate::domain::cel::{EvaluationError, Expression, Reading};
use crate::domain::lead::Lead;
use crate::domain::mapping::{Computed, FieldRow, Given};
use crate::domain::merge::LeadSide;
use crate::domain::time::Timestamp;
use crate::domain::value::Value;

/// The code of a lead whose value cannot be computed.
pub(super) const VALUE_ERROR: &str = "value_error";

/// What the row makes of the lead.
pub(super) fn side_of(row: &FieldRow, lead: &Lead, blanks: Blanks, given: Given<'_>, rules: &SyncRules) -> LeadSide {
    let field = |path: &str| ask::value_for(row, lead, path, blanks);
    let expression = match &row.computed {
        None => return side(row, &field, given, rules),
        Some(Computed::Unmapped(covered)) => {
            let schema = rules.schema.field(&rules.matching.object, &row.crm);
            return note::side(&note::lines(lead, covered, blanks), schema);
        }
        Some(Computed::Expression(expression)) => expression,
    };
    match value(expression, row, lead, blanks) {
        Ok(Some(value)) => side(row, &|path| if path == row.lead { Some(&value) } else { field(path) }, given, rules),
        Ok(None) => LeadSide::Silent,
        Err(error) => LeadSide::Invalid { code: VALUE_ERROR, message: format!("{}: {error}", row.lead) },
    }
}

/// The lead's value for a row as it is before its conversion, where there is one.
pub(super) fn said<'l>(row: &FieldRow, lead: &'l Lead, blanks: Blanks) -> Option<Cow<'l, Value>> {
    match &row.computed {
        None => ask::value_for(row, lead, &row.lead, blanks).map(Cow::Borrowed),
        Some(Computed::Expression(expression)) => value(expression, row, lead, blanks).ok()?.map(Cow::Owned),
        Some(Computed::Unmapped(_)) => None,
    }
}

/// When the lead last said something else for this row, as far as is known: no lead changes after it arrived.
pub(super) fn changed_at(row: &FieldRow, lead: &Lead) -> Option<Timestamp> {
    row.reads().filter_map(|path| lead.stamp(path)).filter_map(|stamp| stamp.happened_at()).max()
}

/// A lead of which none of the named fields is known says nothing, where a null says that there is no value.
fn value(
    expression: &Expression,
    row: &FieldRow,
    lead: &Lead,
    blanks: Blanks,
) -> Result<Option<Value>, EvaluationError> {
    let reading = if row.clear || blanks == Blanks::Count { Reading::Now } else { Reading::Lasting };
    let value = expression.evaluate(lead, reading)?;
    let reads_nothing =
        || !expression.reads().is_empty() && expression.reads().iter().all(|path| lead.get(path).is_none());
    Ok(Some(value).filter(|value| !value.is_blank() || !reads_nothing()))
}
