//! Picklists that depend on another field: what does not go with the value that the record will hold is not sent, since the CRM
//! would refuse the whole record for it.

use std::collections::BTreeMap;

use crate::domain::ids::FieldName;
use crate::domain::record::{CrmRecord, CrmValue, FieldSchema, Places};

use super::{Rule, SyncPlan, SyncRules};

/// Leaves out of what is to be written whatever does not go together. `record`: as it stands, `None` for a new one.
pub(super) fn leave_out(
    record: Option<&CrmRecord>,
    fields: &mut BTreeMap<FieldName, CrmValue>,
    plan: &mut SyncPlan,
    rules: &SyncRules,
) {
    let Some(object) = rules.schema.objects.get(&rules.matching.object) else { return };
    // What is left out may control others.
    while let Some((field, why)) = find(record, fields, &object.fields) {
        fields.remove(&field);
        plan.announced.remove(&field);
        plan.left_out.insert(field.clone(), None);
        for decision in plan.decisions.iter_mut().filter(|decision| decision.field == field) {
            decision.written = None;
            decision.rule = Rule::Invalid;
            decision.note = Some(why.clone());
        }
    }
}

/// A field that is to be written and does not go with the others, and why.
fn find(
    record: Option<&CrmRecord>,
    fields: &BTreeMap<FieldName, CrmValue>,
    described: &BTreeMap<FieldName, FieldSchema>,
) -> Option<(FieldName, String)> {
    for (name, schema) in described.iter().filter(|(_, schema)| schema.restricted) {
        let Some(controller) = &schema.choices.controller else { continue };
        let standing = |field: &FieldName| record.and_then(|record| record.fields.get(field));
        // Not read, or filled in by the CRM: it will say.
        let filled_in = described.get(controller).is_none_or(|field| record.is_none() && field.defaulted);
        let nothing = CrmValue::Null;
        let unset = || (record.is_none() && !filled_in).then_some(&nothing);
        let Some(controlling) = fields.get(controller).or_else(|| standing(controller)).or_else(unset) else {
            continue;
        };
        match (fields.get(name), standing(name)) {
            (Some(value), _) if !value.is_null() && !schema.takes_under(value, controlling) => {
                let why = format!(
                    "the CRM's picklist does not allow the value under what {controller} holds; map it, or correct either side"
                );
                return Some((name.clone(), why));
            }
            // A place that the record keeps must be in its new country.
            (None, Some(value))
                if schema.choices.places == Some(Places::States)
                    && fields.contains_key(controller)
                    && !value.is_null()
                    && !schema.takes_under(value, controlling) =>
            {
                let why =
                    format!("the record keeps its {name}, which does not go with the value; clear or correct it there");
                return Some((controller.clone(), why));
            }
            _ => {}
        }
    }
    None
}
