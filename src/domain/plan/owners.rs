//! Which users of the CRM a lead names as owners.

use std::collections::BTreeSet;

use crate::domain::lead::Lead;
use crate::domain::mapping::{Direction, FieldRow, FieldType, owner};

use super::ask::Blanks;
use super::computed;
use super::{Choice, Resolution, SyncRules};

/// The addresses to be looked up before the lead can be planned: what its rows of type `owner` say, their defaults, and what
/// people answered for them.
pub(super) fn addresses(lead: &Lead, answers: &[Resolution], rules: &SyncRules) -> BTreeSet<String> {
    let company = rules.company.iter().map(|company| &company.rows);
    let opportunity = rules.opportunity.iter().map(|opportunity| &opportunity.rows);
    let beside = company.chain(opportunity);
    let all = [rules].into_iter().chain(rules.others.values()).chain(beside).flat_map(|rules| &rules.rows);
    all.filter(|row| row.kind == FieldType::Owner && row.direction == Direction::ToCrm)
        .flat_map(|row| of_row(row, lead, answers))
        .filter_map(|text| owner::address(&text))
        .collect()
}

fn of_row(row: &FieldRow, lead: &Lead, answers: &[Resolution]) -> Vec<String> {
    let said = [Blanks::Count, Blanks::Yield].map(|blanks| {
        let value = computed::said(row, lead, blanks)?;
        value.scalar_text().map(str::to_owned)
    });
    let answered = answers.iter().filter(|answer| answer.field.as_ref() == Some(&row.crm));
    let answered = answered.filter_map(|answer| match &answer.choice {
        Choice::Value(text) => Some(text.clone()),
        _ => None,
    });
    said.into_iter().flatten().chain(row.default.clone()).chain(answered).collect()
}
