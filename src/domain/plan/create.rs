//! A record of its own for a lead that none is found for.

use std::collections::BTreeMap;

use crate::domain::envelope::TimeFormat;
use crate::domain::ids::FieldName;
use crate::domain::mapping::FieldRow;
use crate::domain::merge::{self, LeadSide};
use crate::domain::record::CrmValue;
use crate::domain::value::Value;

use super::ask::{self, Blanks};
use super::rows::{chosen_value, has_something, is_note, not_writable};
use super::sides::{Sides, side};
use super::{Action, BasePair, Decision, PlanInput, Rule, SyncPlan, SyncRules, dependent, external_id, note};

/// The plan for a lead that no record is yet: it is written as it is now. What it took back before is not, and is kept in
/// mind, so that the next look does not add it.
pub(super) fn create(input: &PlanInput<'_>, sides: &Sides<'_>, lasting: &Sides<'_>, rules: &SyncRules) -> SyncPlan {
    let object = &rules.matching.object;
    let mut plan = SyncPlan::without_record(Action::Unchanged);
    plan.owner = true;
    let mut fields = BTreeMap::new();
    for ((row, side), (_, before)) in sides.iter().zip(lasting) {
        let schema = rules.schema.field(object, &row.crm);
        if !schema.is_some_and(|field| field.createable) {
            if has_something(row, side) {
                plan.leave_out(not_writable(row, schema.is_some()));
            }
            continue;
        }
        let invalid = match side {
            LeadSide::Invalid { code, message } => Some((*code, message)),
            _ => None,
        };
        let said = match side {
            LeadSide::Says(value, _) if is_note(row) => {
                let (text, note) = note::for_new_record(value, schema);
                Some((text, Rule::Created, note))
            }
            LeadSide::Says(value, note) => Some((value.clone(), Rule::Created, note.clone())),
            LeadSide::Invalid { message, .. } => chosen_instead(input, row, message, rules, &mut plan)
                .map(|value| (value, Rule::Resolved, Some(message.clone()))),
            LeadSide::Silent => None,
        };
        let said = said.filter(|(value, ..)| !value.is_null());
        let required = schema.is_some_and(|field| field.required_on_create());
        let said = said.or_else(|| default_value(input, row, rules).filter(|_| required));
        if let Some((code, message)) = invalid.filter(|_| !matches!(said, Some((_, Rule::Resolved, _)))) {
            plan.leave_out_invalid(row, code, message);
            if said.is_none() {
                plan.decisions.push(merge::invalid(row, message, &CrmValue::Null, None));
            }
        }
        let taken_back = ask::taken_back(side, before);
        if let Some(value) = taken_back {
            plan.kept.insert(row.crm.clone(), ask::mark_of(value));
        }
        let Some((value, rule, note)) = said else {
            if taken_back.is_some() {
                plan.announced.insert(row.crm.clone(), BasePair { lead: CrmValue::Null, crm: CrmValue::Null });
            }
            continue;
        };
        let lead = match side {
            LeadSide::Says(said, _) if rule == Rule::Created => said.clone(),
            _ => CrmValue::Null,
        };
        plan.decisions.push(Decision {
            field: row.crm.clone(),
            base: None,
            lead: Some(lead.clone()),
            crm: None,
            written: Some(value.clone()),
            rule,
            note: note.or(invalid.map(|(_, message)| message.clone())),
        });
        plan.announced.insert(row.crm.clone(), BasePair { lead, crm: value.clone() });
        fields.insert(row.crm.clone(), value);
    }
    dependent::leave_out(None, &mut fields, &mut plan, rules);
    let missing: Vec<FieldName> = rules
        .schema
        .objects
        .get(object)
        .into_iter()
        .flat_map(|schema| schema.fields.values())
        .filter(|field| {
            field.required_on_create() && !fields.contains_key(&field.name) && field.name != rules.external_id
        })
        .map(|field| field.name.clone())
        .collect();
    if !missing.is_empty() {
        let names = missing.iter().map(FieldName::as_str).collect::<Vec<_>>().join(", ");
        plan.action = Action::Refuse {
            code: "REQUIRED_FIELD_MISSING".to_owned(),
            message: format!("the lead has no value for {names}, which the CRM requires; give the row a `default`"),
            fields: missing,
        };
        return plan;
    }
    let key = external_id::agreed(input, rules);
    fields.insert(rules.external_id.clone(), key.crm.clone());
    plan.announced.insert(rules.external_id.clone(), key);
    plan.action = Action::Create { object: object.clone(), fields };
    plan
}

/// What a person said to write instead of a value that cannot be stored; a person is asked where the row says so.
fn chosen_instead(
    input: &PlanInput<'_>,
    row: &FieldRow,
    message: &str,
    rules: &SyncRules,
    plan: &mut SyncPlan,
) -> Option<CrmValue> {
    let shown = ask::unstorable(row, input.lead, Blanks::Count);
    match ask::answer_on_invalid(row, shown.as_ref(), input.answers) {
        Some(answer) => chosen_value(input, row, answer, rules),
        None => {
            plan.questions.extend(ask::invalid_question(row, message, shown, None));
            None
        }
    }
}

fn default_value(input: &PlanInput<'_>, row: &FieldRow, rules: &SyncRules) -> Option<(CrmValue, Rule, Option<String>)> {
    let text = Value::Text(row.default.clone()?);
    let plain = FieldRow { take: None, computed: None, ..row.clone() };
    match side(&plain, &|path| (path == plain.lead).then_some(&text), input.given_in(TimeFormat::Rfc3339), rules) {
        LeadSide::Says(value, note) if !value.is_null() => Some((value, Rule::Default, note)),
        _ => None,
    }
}
