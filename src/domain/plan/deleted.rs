//! A lead that was deleted in its lead system: what becomes of its record, and what of the flag when the lead comes back.

use std::collections::BTreeMap;

use jiff::civil::Date;

use super::decide::{PlanInput, SyncRules, bases_known};
use super::sides::sides_of;
use super::{Action, BasePair, Decision, OnDelete, Rule, SyncPlan, ask, ask::Blanks, doubt};
use crate::domain::ids::FieldName;
use crate::domain::matching::{Candidate, MatchedBy};
use crate::domain::record::{CrmFieldKind, CrmRecord, CrmValue, same_value};
use crate::domain::time::Timestamp;

/// What a text field says of a deleted lead.
const DELETED: &str = "deleted";

/// A deleted lead is not written any more. A record that carries its ID and that it does not know, since the create had no
/// answer, becomes its own all the same: so the next lead of that person finds whose it was.
///
/// Only the owner's delete reaches the record, and only where no living lead shares it.
pub(super) fn deleted(input: &PlanInput<'_>, rules: &SyncRules) -> SyncPlan {
    let skipped = |detail: &str| {
        SyncPlan::without_record(Action::Skip {
            code: "lead_deleted",
            detail: format!("the lead was deleted in the lead system; {detail}"),
        })
    };
    let Some(link) = input.link else {
        let possible = ask::possible(input.found, input.answers);
        let own = || possible.found.iter().filter(|candidate| is_its_own(input, candidate, rules));
        // It goes on as a record that may be nobody's to delete.
        if let Some(fate) = own().find_map(|candidate| candidate.record.fate()) {
            return skipped(&format!("its record was {fate}, which is left as it is"));
        }
        let Some(candidate) = own().find(|candidate| (input.owner_of)(&candidate.record.reference()).is_none()) else {
            return skipped("its record is left as it is");
        };
        let mut plan = of_record(input, candidate, rules).unwrap_or_else(|| skipped("its record is left as it is"));
        plan.matched = Some((candidate.record.reference(), candidate.by));
        plan.owner = true;
        plan.bases = bases_known(input, &candidate.record, true, rules);
        return plan;
    };
    if rules.on_delete == OnDelete::Ignore {
        return skipped("its record is left as it is");
    }
    if !link.owner {
        return skipped("its record is another lead's and is left as it is");
    }
    if input.shared {
        return skipped("a living lead shares its record, or may: it is left as it is");
    }
    let Some(candidate) = input.found.found.iter().find(|found| found.record.id == link.record.id) else {
        return match rules.on_delete {
            OnDelete::Delete => SyncPlan {
                matched: Some((link.record.clone(), MatchedBy::Link)),
                owner: true,
                ..SyncPlan::without_record(Action::Delete { record: link.record.clone(), gone: true })
            },
            _ => skipped("its record is gone from the CRM"),
        };
    };
    // Inherited and not planned since: by what both are called now it may be another person.
    let now = sides_of(input.lead, Blanks::Count, input.given(), rules);
    if doubt::of(input, candidate, input.link, &now, rules).is_some() {
        return skipped("its record may be another person's and is left as it is");
    }
    of_record(input, candidate, rules).unwrap_or_else(|| skipped("its record is left as it is"))
}

/// Whether the record itself carries our ID: what a converted one became is found by the same key without it.
fn is_its_own(input: &PlanInput<'_>, candidate: &Candidate, rules: &SyncRules) -> bool {
    let record = &candidate.record;
    candidate.by == MatchedBy::ExternalId
        && rules.matching.writes(&record.object)
        && matches!(record.value(&rules.external_id), CrmValue::Text(text)
            if text == input.external_id || input.former_ids.contains(text))
}

/// The delete or the flag; `None`: the record is left as it is.
fn of_record(input: &PlanInput<'_>, candidate: &Candidate, rules: &SyncRules) -> Option<SyncPlan> {
    let record = &candidate.record;
    if rules.on_delete == OnDelete::Ignore {
        return None;
    }
    if let Some(fate) = record.fate() {
        let (object, id) = (&record.object, &record.id);
        return Some(SyncPlan::without_record(Action::Hold {
            code: "record_converted",
            detail: format!(
                "the lead was deleted in the lead system, but {object} {id} was {fate}: delete that one by hand or keep \
                 it, then unlink the lead"
            ),
        }));
    }
    let plan = |action| SyncPlan {
        matched: Some((record.reference(), candidate.by)),
        owner: true,
        bases: bases_known(input, record, true, rules),
        ..SyncPlan::without_record(action)
    };
    match &rules.on_delete {
        OnDelete::Ignore => None,
        OnDelete::Delete => Some(plan(Action::Delete { record: record.reference(), gone: false })),
        OnDelete::Flag(field) => {
            let Some(value) = flag(input, record, field, rules) else {
                return Some(SyncPlan::without_record(Action::Hold {
                    code: "delete_flag",
                    detail: format!(
                        "{}.{field} cannot say that the lead was deleted: it must be a checkbox, date, date and time or \
                         text field that we may write",
                        record.object
                    ),
                }));
            };
            let kind = kind_of(record, field, rules);
            if same_value(kind, record.value(field), &value) {
                return None;
            }
            let mut plan = plan(Action::Update {
                record: record.reference(),
                fields: BTreeMap::from([(field.clone(), value.clone())]),
            });
            announce(&mut plan, record, field, value.clone(), value, "the lead was deleted in the lead system");
            Some(plan)
        }
    }
}

/// Takes the flag back from the record of a lead that lives again, or that took over a deleted lead's, unless a person
/// changed it meanwhile.
pub(super) fn take_flag_back(
    record: &CrmRecord,
    was_a_deleted_leads: bool,
    rules: &SyncRules,
    fields: &mut BTreeMap<FieldName, CrmValue>,
    plan: &mut SyncPlan,
) {
    let OnDelete::Flag(field) = &rules.on_delete else { return };
    let now = record.value(field);
    let is_ours = match plan.bases.get(field) {
        Some(base) if base.lead.is_null() => return,
        Some(base) => same_value(kind_of(record, field, rules), now, &base.crm),
        None => was_a_deleted_leads,
    };
    let back = match now {
        CrmValue::Boolean(_) => CrmValue::Boolean(false),
        _ => CrmValue::Null,
    };
    plan.bases.remove(field);
    if is_ours && *now != back {
        fields.insert(field.clone(), back.clone());
        announce(plan, record, field, CrmValue::Null, back, "the lead lives again");
    }
}

fn announce(plan: &mut SyncPlan, record: &CrmRecord, field: &FieldName, lead: CrmValue, written: CrmValue, note: &str) {
    plan.announced.insert(field.clone(), BasePair { lead: lead.clone(), crm: written.clone() });
    plan.decisions.push(Decision {
        field: field.clone(),
        base: plan.bases.get(field).cloned(),
        lead: Some(lead),
        crm: Some(record.value(field).clone()),
        written: Some(written),
        rule: Rule::LeadChanged,
        note: Some(note.to_owned()),
    });
}

fn kind_of(record: &CrmRecord, field: &FieldName, rules: &SyncRules) -> CrmFieldKind {
    rules.schema.field(&record.object, field).map_or(CrmFieldKind::Text, |schema| schema.kind)
}

/// What says that the lead was deleted, by the field's type; `None`: nothing in this one.
fn flag(input: &PlanInput<'_>, record: &CrmRecord, field: &FieldName, rules: &SyncRules) -> Option<CrmValue> {
    let schema = rules.schema.field(&record.object, field).filter(|schema| schema.updateable)?;
    let at = input.lead.deleted.as_ref().map(|stamp| stamp.arrived_at);
    match schema.kind {
        CrmFieldKind::Boolean => Some(CrmValue::Boolean(true)),
        CrmFieldKind::DateTime => at.map(to_the_second).map(CrmValue::DateTime),
        CrmFieldKind::Date => at.and_then(day).map(CrmValue::Date),
        CrmFieldKind::Text | CrmFieldKind::LongText => Some(CrmValue::Text(DELETED.to_owned())),
        _ => None,
    }
}

/// CRMs keep no more of a moment.
fn to_the_second(at: Timestamp) -> Timestamp {
    Timestamp::from_seconds(at.as_seconds())
}

/// The day in UTC.
fn day(at: Timestamp) -> Option<Date> {
    let moment = jiff::Timestamp::from_microsecond(at.as_micros()).ok()?;
    Some(jiff::tz::Offset::UTC.to_datetime(moment).date())
}

/// Whether a field of this type can say that a lead was deleted.
pub fn can_flag(kind: CrmFieldKind) -> bool {
    matches!(
        kind,
        CrmFieldKind::Boolean
            | CrmFieldKind::Date
            | CrmFieldKind::DateTime
            | CrmFieldKind::Text
            | CrmFieldKind::LongText
    )
}
