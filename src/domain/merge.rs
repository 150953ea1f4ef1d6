//! Keep, fill, overwrite or ask, field by field.
//!
//! Three values meet in each mapping row: the base pair, the lead's value and the CRM's. Each side is compared with its
//! own half of the base. What follows is the table of the design: written, left alone, logged as drift, or asked.

use std::collections::BTreeMap;

use super::ids::{FieldName, RecordRef};
use super::mapping::{ConflictRule, FieldRow};
use super::plan::{BasePair, Choice, ConflictKind, Decision, Intent, Question, Resolution, Rule};
use super::record::{CrmFieldKind, CrmRecord, CrmValue, same_value};

/// What a mapping row makes of the lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeadSide {
    /// The lead says nothing of this field, or it is blank and a blank does not count.
    Silent,
    /// The value, and what a person should know of its conversion.
    Says(CrmValue, Option<String>),
    /// The value cannot be stored in this field.
    Invalid { code: &'static str, message: String },
}

/// All that one row's decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct RowView<'a> {
    pub row: &'a FieldRow,
    pub lead: &'a CrmValue,
    pub note: Option<&'a String>,
    pub crm: &'a CrmValue,
    pub base: Option<&'a BasePair>,
    /// The pair that was left as it is before, and logged then.
    pub kept: Option<&'a BasePair>,
    /// Whether the CRM holds what one of our unsettled writes announced: ours, not an edit.
    pub ours: bool,
    /// The newest answer of a person for this row.
    pub answer: Option<&'a Resolution>,
    /// The value that the answer chose instead of either, where it can be stored.
    pub chosen: Option<&'a CrmValue>,
    pub record: &'a RecordRef,
}

/// What follows for one row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowOutcome {
    pub write: Option<CrmValue>,
    /// The base from now on, if nothing is written.
    pub base: Option<BasePair>,
    pub kept: Option<BasePair>,
    pub decision: Option<Decision>,
    pub question: Option<Question>,
}

/// Decides one row of a record that the lead owns.
pub fn decide(view: &RowView<'_>) -> RowOutcome {
    let same = |a: &CrmValue, b: &CrmValue| same_value(view.row.kind.crm_kind(), a, b);
    let agree = same(view.lead, view.crm);
    let (lead_changed, crm_changed) = match view.base {
        Some(base) => (!same(view.lead, &base.lead), !same(view.crm, &base.crm) && !view.ours),
        // First contact, or a record that took another's place: nothing is known of either side.
        None => (true, !view.crm.is_null()),
    };
    if !lead_changed && !crm_changed {
        return RowOutcome { base: view.base.cloned(), ..RowOutcome::default() };
    }
    if agree {
        let pair = BasePair { lead: view.lead.clone(), crm: view.crm.clone() };
        return RowOutcome { base: Some(pair), ..RowOutcome::default() };
    }
    if let Some(outcome) = answered(view) {
        return outcome;
    }
    match (lead_changed, crm_changed, view.row.conflict) {
        (true, false, _) if view.base.is_none() => write(view, Rule::FilledBlank),
        (true, false, _) => write(view, Rule::LeadChanged),
        (true, true, ConflictRule::LeadWins) => write(view, Rule::LeadWins),
        (_, true, ConflictRule::CrmWins) => keep(view, Rule::CrmWins),
        (false, true, ConflictRule::LeadWins) => keep(view, Rule::Drift),
        (_, true, ConflictRule::Review) => ask(view),
        (false, false, _) => RowOutcome::default(),
    }
}

/// Decides one row of a record that another lead owns: blanks are filled, values stay.
pub fn decide_shared(view: &RowView<'_>) -> RowOutcome {
    let pair = BasePair { lead: view.lead.clone(), crm: view.crm.clone() };
    if same_value(view.row.kind.crm_kind(), view.lead, view.crm) {
        return RowOutcome { base: Some(pair), ..RowOutcome::default() };
    }
    if view.crm.is_null() && !view.lead.is_null() {
        return write(view, Rule::FilledBlank);
    }
    keep(view, Rule::Shared)
}

/// The decision for a value that the field cannot hold, and the question where the row asks for one.
pub fn invalid(row: &FieldRow, message: &str, crm: &CrmValue, base: Option<&BasePair>) -> Decision {
    Decision {
        field: row.crm.clone(),
        base: base.cloned(),
        lead: None,
        crm: Some(crm.clone()),
        written: None,
        rule: Rule::Invalid,
        note: Some(message.to_owned()),
    }
}

fn answered(view: &RowView<'_>) -> Option<RowOutcome> {
    let answer = view.answer?;
    let holds = answer.seen_lead.as_ref().is_some_and(|seen| same_value(view.row.kind.crm_kind(), seen, view.lead))
        && answer.seen_crm.as_ref().is_some_and(|seen| same_value(view.row.kind.crm_kind(), seen, view.crm));
    if !holds {
        return None;
    }
    match &answer.choice {
        Choice::Lead => Some(write(view, Rule::Resolved)),
        Choice::Crm => {
            let pair = BasePair { lead: view.lead.clone(), crm: view.crm.clone() };
            Some(RowOutcome {
                base: Some(pair),
                decision: Some(decision(view, None, Rule::Resolved)),
                ..RowOutcome::default()
            })
        }
        Choice::Value(_) => {
            let value = view.chosen?;
            let outcome = write(view, Rule::Resolved);
            let decision = outcome.decision.map(|decision| Decision { written: Some(value.clone()), ..decision });
            Some(RowOutcome { write: Some(value.clone()), decision, ..outcome })
        }
        Choice::Record(_) | Choice::Create => None,
    }
}

fn write(view: &RowView<'_>, rule: Rule) -> RowOutcome {
    RowOutcome {
        write: Some(view.lead.clone()),
        base: view.base.cloned(),
        kept: None,
        decision: Some(decision(view, Some(view.lead.clone()), rule)),
        question: None,
    }
}

/// Leaves the CRM's value; logged the first time only.
fn keep(view: &RowView<'_>, rule: Rule) -> RowOutcome {
    let pair = BasePair { lead: view.lead.clone(), crm: view.crm.clone() };
    let known = view.kept == Some(&pair);
    RowOutcome {
        base: view.base.cloned(),
        decision: (!known).then(|| decision(view, None, rule)),
        kept: Some(pair),
        ..RowOutcome::default()
    }
}

fn ask(view: &RowView<'_>) -> RowOutcome {
    let question = Question {
        kind: ConflictKind::Field,
        field: Some(view.row.crm.clone()),
        record: Some(view.record.clone()),
        base: view.base.cloned(),
        lead: Some(view.lead.clone()),
        crm: Some(view.crm.clone()),
        candidates: Vec::new(),
        other: None,
        detail: format!("{} changed on both sides", view.row.crm),
    };
    RowOutcome {
        base: view.base.cloned(),
        decision: Some(decision(view, None, Rule::Review)),
        question: Some(question),
        ..RowOutcome::default()
    }
}

fn decision(view: &RowView<'_>, written: Option<CrmValue>, rule: Rule) -> Decision {
    Decision {
        field: view.row.crm.clone(),
        base: view.base.cloned(),
        lead: Some(view.lead.clone()),
        crm: Some(view.crm.clone()),
        written,
        rule,
        note: view.note.cloned(),
    }
}

/// The bases with what our unsettled writes brought about: the newest that landed becomes the base.
///
/// A create landed if the record carries our external ID, and counts until anything else is known of the record; an update if a row that it changed now holds the announced
/// value. Where the record's last editor is our user, what is read now is what our write (and the CRM's own rules) made.
pub fn bases_after_intents(
    bases: &BTreeMap<FieldName, BasePair>,
    intents: &[Intent],
    record: &CrmRecord,
    carries_our_id: bool,
    kind_of: &dyn Fn(&FieldName) -> CrmFieldKind,
) -> BTreeMap<FieldName, BasePair> {
    let holds = |field: &FieldName, value: &CrmValue| same_value(kind_of(field), record.value(field), value);
    let landed = |intent: &Intent| match &intent.record {
        // With its bases known the record has been looked at since: a create is behind all that came later.
        None => carries_our_id && bases.is_empty(),
        Some(reference) => {
            reference.id == record.id
                && intent.rows.iter().any(|(field, pair)| {
                    let changed = bases.get(field).is_none_or(|base| !same_value(kind_of(field), &base.crm, &pair.crm));
                    changed && holds(field, &pair.crm)
                })
        }
    };
    // Writes without an answer may land in any order, so each row is judged by what stands in it: by another write's
    // value, by the old one, or by what the CRM made of ours.
    let settled = |field: &FieldName, pair: &BasePair| {
        if holds(field, &pair.crm) {
            return Some(pair.clone());
        }
        let other =
            intents.iter().rev().filter_map(|intent| intent.rows.get(field)).find(|other| holds(field, &other.crm));
        if let Some(other) = other {
            return Some(other.clone());
        }
        if bases.get(field).is_some_and(|base| holds(field, &base.crm)) {
            return None;
        }
        let crm = if record.modified_by_us == Some(true) { record.value(field) } else { &pair.crm };
        Some(BasePair { lead: pair.lead.clone(), crm: crm.clone() })
    };
    let mut known = bases.clone();
    if let Some(intent) = intents.iter().rev().find(|intent| landed(intent)) {
        known.extend(intent.rows.iter().filter_map(|(field, pair)| Some((field.clone(), settled(field, pair)?))));
        if intent.record.is_none() && record.modified_by_us == Some(true) {
            add_defaults(&mut known, record);
        }
    }
    known
}

/// Adds what the CRM filled in by itself when we made the record: the lead said nothing of it, and no person edited it.
pub fn add_defaults(bases: &mut BTreeMap<FieldName, BasePair>, made: &CrmRecord) {
    for (field, value) in made.fields.iter().filter(|(_, value)| !value.is_null()) {
        bases.entry(field.clone()).or_insert_with(|| BasePair { lead: CrmValue::Null, crm: value.clone() });
    }
}

/// The bases once a write is settled: what was read back, or what was sent where it could not be read.
pub fn bases_after_write(
    bases: &BTreeMap<FieldName, BasePair>,
    announced: &BTreeMap<FieldName, BasePair>,
    read_back: Option<&CrmRecord>,
) -> BTreeMap<FieldName, BasePair> {
    let mut bases = bases.clone();
    for (field, pair) in announced {
        let crm = read_back.map_or(&pair.crm, |record| record.value(field));
        bases.insert(field.clone(), BasePair { lead: pair.lead.clone(), crm: crm.clone() });
    }
    bases
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> CrmValue {
        CrmValue::Text(value.to_owned())
    }

    fn pair(value: &str) -> BasePair {
        BasePair { lead: text(value), crm: text(value) }
    }

    #[test]
    fn a_create_without_an_answer_does_not_take_the_base_back_after_later_writes() {
        let company = FieldName::from("Company");
        let create = Intent {
            id: 1,
            request_id: "r".into(),
            object: "Lead".into(),
            record: None,
            rows: BTreeMap::from([(company.clone(), pair("first"))]),
            announced_at: crate::domain::time::Timestamp::from_seconds(1),
        };
        let record = CrmRecord {
            object: "Lead".into(),
            id: "00Q1".into(),
            fields: BTreeMap::from([(company.clone(), text("a person's"))]),
            created_at: None,
            modified_at: None,
            modified_by_us: Some(true),
            became: None,
        };
        let settled = BTreeMap::from([(company.clone(), pair("second"))]);
        let after =
            |bases| bases_after_intents(bases, std::slice::from_ref(&create), &record, true, &|_| CrmFieldKind::Text);
        assert_eq!(after(&settled), settled, "else the person's value would seem ours, and be overwritten");
        assert!(after(&BTreeMap::new()).contains_key(&company), "nothing else is known: the create was it");
    }

    #[test]
    fn writes_that_land_out_of_order_leave_the_newest_version_owed() {
        let (version, source) = (FieldName::from("Version"), FieldName::from("LeadSource"));
        let update = |id: i64, value: &str| Intent {
            id,
            request_id: "r".into(),
            object: "Lead".into(),
            record: Some(RecordRef { object: "Lead".into(), id: "00Q1".into() }),
            rows: BTreeMap::from([(version.clone(), pair(value)), (source.clone(), pair("Web"))]),
            announced_at: crate::domain::time::Timestamp::from_seconds(id),
        };
        let record = |stands: &str| CrmRecord {
            object: "Lead".into(),
            id: "00Q1".into(),
            fields: BTreeMap::from([(version.clone(), text(stands)), (source.clone(), text("Web"))]),
            created_at: None,
            modified_at: None,
            modified_by_us: Some(true),
            became: None,
        };
        let bases = BTreeMap::from([(version.clone(), pair("11")), (source.clone(), pair("Other"))]);
        let intents = [update(1, "12"), update(2, "14")];
        let base_of_version = |stands: &str| {
            bases_after_intents(&bases, &intents, &record(stands), true, &|_| CrmFieldKind::Text)[&version].clone()
        };
        assert_eq!(base_of_version("14"), pair("14"));
        assert_eq!(base_of_version("12"), pair("12"), "the older one landed last: 14 is still to be written");
        assert_eq!(base_of_version("11"), pair("11"), "neither landed in this row");
        let rewritten = base_of_version("14 (checked)");
        assert_eq!(rewritten, BasePair { lead: text("14"), crm: text("14 (checked)") }, "a rule of the CRM rewrote it");
    }
}
