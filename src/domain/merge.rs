//! Keep, fill, overwrite or ask, field by field.
//!
//! Three values meet in each mapping row: the base pair, the lead's value and the CRM's. Each side is compared with its
//! own half of the base. What follows is the table of the design: written, left alone, logged as drift, or asked.

use std::collections::{BTreeMap, BTreeSet};

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

impl LeadSide {
    /// What is said of this field, as a text that changes with it; empty where nothing is.
    pub fn said_of(&self, field: &FieldName) -> String {
        match self {
            LeadSide::Silent => String::new(),
            LeadSide::Says(value, _) => format!("{field}={};", value.to_json()),
            LeadSide::Invalid { message, .. } => format!("{field}!{message};"),
        }
    }
}

/// All that one row's decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct RowView<'a> {
    pub row: &'a FieldRow,
    pub lead: &'a CrmValue,
    pub note: Option<&'a String>,
    pub crm: &'a CrmValue,
    /// With what our unsettled writes brought about.
    pub base: Option<&'a BasePair>,
    /// The pair that was left as it is before, and logged then.
    pub kept: Option<&'a BasePair>,
    /// The newest answer of a person for this row.
    pub answer: Option<&'a Resolution>,
    /// The value that the answer chose instead of either, where it can be stored.
    pub chosen: Option<&'a CrmValue>,
    pub record: &'a RecordRef,
    /// Whether the lead changed later than the record did, beyond doubt.
    pub lead_is_newer: bool,
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
///
/// A row that sets edits back keeps in mind that it did, until the lead says something else.
pub fn decide(view: &RowView<'_>) -> RowOutcome {
    let outcome = compare(view);
    match was_set_back(view) {
        true => RowOutcome { kept: outcome.kept.or_else(|| Some(set_back_mark(view))), ..outcome },
        false => outcome,
    }
}

/// Two values that agree are never kept otherwise.
fn set_back_mark(view: &RowView<'_>) -> BasePair {
    BasePair { lead: view.lead.clone(), crm: view.lead.clone() }
}

fn was_set_back(view: &RowView<'_>) -> bool {
    view.row.enforce && view.kept == Some(&set_back_mark(view))
}

fn compare(view: &RowView<'_>) -> RowOutcome {
    let same = |a: &CrmValue, b: &CrmValue| same_value(view.row.kind.crm_kind(), a, b);
    let agree = same(view.lead, view.crm);
    let (lead_changed, crm_changed) = match view.base {
        Some(base) => (!same(view.lead, &base.lead), !same(view.crm, &base.crm)),
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
        (_, _, ConflictRule::Merge) if view.base.is_some() || crm_changed => merged(view),
        (true, false, _) if view.base.is_none() => write(view, Rule::FilledBlank),
        (true, false, _) => write(view, Rule::LeadChanged),
        (true, true, ConflictRule::LeadWins) => write(view, Rule::LeadWins),
        (_, true, ConflictRule::CrmWins) => keep(view, Rule::CrmWins),
        (true, true, ConflictRule::LatestWins) if view.lead_is_newer => write(view, Rule::LatestWins),
        (false, true, ConflictRule::LatestWins) => keep(view, Rule::LatestWins),
        (false, true, ConflictRule::LeadWins) if !view.row.enforce => keep(view, Rule::Drift),
        (false, true, ConflictRule::LeadWins) if was_set_back(view) => {
            ask(view, "was set back to the lead's value once, and changed in the CRM again")
        }
        (false, true, ConflictRule::LeadWins) => {
            RowOutcome { kept: Some(set_back_mark(view)), ..write(view, Rule::Enforced) }
        }
        (true, true, ConflictRule::LatestWins) => {
            ask(view, "changed on both sides, and no time tells beyond doubt that the lead changed last")
        }
        (_, true, ConflictRule::Review) => ask(view, "changed on both sides"),
        (_, _, ConflictRule::Merge) | (false, false, _) => RowOutcome::default(),
    }
}

/// A list in which both sides may have changed: what the lead added since both agreed is added, what it took away is
/// taken away, and what people did to the CRM's list stays.
fn merged(view: &RowView<'_>) -> RowOutcome {
    let items = |value: &CrmValue| match value {
        CrmValue::Choices(choices) => choices.clone(),
        _ => BTreeSet::new(),
    };
    let (lead, before) = (items(view.lead), view.base.map(|base| items(&base.lead)).unwrap_or_default());
    let mut together: BTreeSet<String> =
        items(view.crm).into_iter().filter(|item| lead.contains(item) || !before.contains(item)).collect();
    together.extend(lead.difference(&before).cloned());
    let value = if together.is_empty() { CrmValue::Null } else { CrmValue::Choices(together) };
    if same_value(view.row.kind.crm_kind(), &value, view.crm) {
        return keep(view, Rule::Merged);
    }
    let outcome = write(view, Rule::Merged);
    let decision = outcome.decision.map(|decision| Decision { written: Some(value.clone()), ..decision });
    RowOutcome { write: Some(value), decision, ..outcome }
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

fn ask(view: &RowView<'_>, why: &str) -> RowOutcome {
    let question = Question {
        field: Some(view.row.crm.clone()),
        record: Some(view.record.clone()),
        base: view.base.cloned(),
        lead: Some(view.lead.clone()),
        crm: Some(view.crm.clone()),
        ..Question::new(ConflictKind::Field, format!("{} {why}", view.row.crm))
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

/// The bases with what our unsettled writes brought about.
///
/// A create landed if the record carries our external ID, and counts until anything else is known of the record; an
/// update if a row that it changed now holds the announced value. Writes without an answer may land in any order or not
/// at all, so each row is judged by what stands in it: the newest write whose value that is becomes the row's base. A
/// value that none announced is what the CRM made of ours where our user was the last to change the record and that
/// write can have been the last; else it is an edit, and the base is what was sent.
pub fn bases_after_intents(
    bases: &BTreeMap<FieldName, BasePair>,
    intents: &[Intent],
    record: &CrmRecord,
    carries_our_id: bool,
    kind_of: &dyn Fn(&FieldName) -> CrmFieldKind,
) -> BTreeMap<FieldName, BasePair> {
    let same = |field: &FieldName, a: &CrmValue, b: &CrmValue| same_value(kind_of(field), a, b);
    let holds = |field: &FieldName, pair: &BasePair| same(field, record.value(field), &pair.crm);
    let has_landed = |intent: &&Intent| match &intent.record {
        // With its bases known the record has been looked at since: a create is behind all that came later.
        None => carries_our_id && bases.is_empty(),
        Some(reference) => {
            reference.id == record.id
                && intent.rows.iter().any(|(field, pair)| {
                    holds(field, pair) && bases.get(field).is_none_or(|base| !same(field, &base.crm, &pair.crm))
                })
        }
    };
    let landed: Vec<&Intent> = intents.iter().filter(has_landed).collect();
    // What stands in a row that both wrote says which of the two came last, or that the other never came.
    let outdone = |intent: &Intent, other: &Intent| {
        other.rows.iter().any(|(field, pair)| {
            holds(field, pair) && intent.rows.get(field).is_some_and(|own| !same(field, &own.crm, &pair.crm))
        })
    };
    let settled = |field: &FieldName| {
        let writers: Vec<(&Intent, &BasePair)> =
            landed.iter().filter_map(|intent| Some((*intent, intent.rows.get(field)?))).collect();
        if let Some((_, pair)) = writers.iter().rev().find(|(_, pair)| holds(field, pair)) {
            return Some((*pair).clone());
        }
        if bases.get(field).is_some_and(|base| holds(field, base)) {
            return None;
        }
        // Where it cannot be told, the oldest: a newer value is then written once more rather than never.
        let last = writers.iter().find(|(intent, _)| !writers.iter().any(|(other, _)| outdone(intent, other)));
        let (last, pair) = last.or(writers.last())?;
        // Another of our writes, which left this row alone, may have come after somebody's edit of it.
        let may_be_edit = landed.iter().any(|other| other.id != last.id && !other.rows.contains_key(field));
        let rewritten = record.modified_by_us == Some(true) && !may_be_edit;
        let crm = if rewritten { record.value(field) } else { &pair.crm };
        Some(BasePair { lead: pair.lead.clone(), crm: crm.clone() })
    };
    let fields = landed.iter().flat_map(|intent| intent.rows.keys());
    let mut known = bases.clone();
    known.extend(fields.filter_map(|field| Some((field.clone(), settled(field)?))));
    if landed.last().is_some_and(|newest| newest.record.is_none()) {
        add_defaults(&mut known, record);
    }
    known
}

/// Adds what the CRM filled in by itself when we made the record: the lead said nothing of it, and no person edited it, as
/// long as our user was the last to change the record.
pub fn add_defaults(bases: &mut BTreeMap<FieldName, BasePair>, made: &CrmRecord) {
    if made.modified_by_us != Some(true) {
        return;
    }
    for (field, value) in made.fields.iter().filter(|(_, value)| !value.is_null()) {
        bases.entry(field.clone()).or_insert_with(|| BasePair { lead: CrmValue::Null, crm: value.clone() });
    }
}

/// The bases once a write is settled: what was read back. Where that failed they stay, and the intent, which stays open,
/// tells the next look what was sent.
pub fn bases_after_write(
    bases: &BTreeMap<FieldName, BasePair>,
    announced: &BTreeMap<FieldName, BasePair>,
    read_back: Option<&CrmRecord>,
) -> BTreeMap<FieldName, BasePair> {
    let mut bases = bases.clone();
    let Some(record) = read_back else { return bases };
    // If somebody was quicker than the reading, what is read may be an edit: that of ours is only known as it was sent.
    let is_ours = record.modified_by_us != Some(false);
    for (field, pair) in announced {
        let crm = if is_ours { record.value(field) } else { &pair.crm };
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

    fn intent(id: i64, record: Option<&str>, rows: &[(&str, &str)]) -> Intent {
        Intent {
            id,
            request_id: "r".into(),
            object: "Lead".into(),
            record: record.map(|id| RecordRef { object: "Lead".into(), id: id.into() }),
            rows: rows.iter().map(|(field, value)| (FieldName::from(*field), pair(value))).collect(),
            announced_at: crate::domain::time::Timestamp::from_seconds(id),
        }
    }

    fn record(fields: &[(&str, &str)], modified_by_us: bool) -> CrmRecord {
        CrmRecord {
            object: "Lead".into(),
            id: "00Q1".into(),
            fields: fields.iter().map(|(field, value)| (FieldName::from(*field), text(value))).collect(),
            created_at: None,
            modified_at: None,
            modified_by_us: Some(modified_by_us),
            became: None,
        }
    }

    fn pairs(rows: &[(&str, &str)]) -> BTreeMap<FieldName, BasePair> {
        rows.iter().map(|(field, value)| (FieldName::from(*field), pair(value))).collect()
    }

    fn bases_of(
        bases: &BTreeMap<FieldName, BasePair>,
        intents: &[Intent],
        record: &CrmRecord,
    ) -> BTreeMap<FieldName, BasePair> {
        bases_after_intents(bases, intents, record, true, &|_| CrmFieldKind::Text)
    }

    #[test]
    fn a_create_without_an_answer_does_not_take_the_base_back_after_later_writes() {
        let company = FieldName::from("Company");
        let create = [intent(1, None, &[("Company", "first")])];
        let record = record(&[("Company", "a person's")], true);
        let settled = pairs(&[("Company", "second")]);
        assert_eq!(
            bases_of(&settled, &create, &record),
            settled,
            "else the person's value would seem ours, and be overwritten"
        );
        let known = bases_of(&BTreeMap::new(), &create, &record);
        assert!(known.contains_key(&company), "nothing else is known: the create was it");
    }

    #[test]
    fn writes_that_land_out_of_order_leave_the_newest_version_owed() {
        let bases = pairs(&[("Version", "11"), ("LeadSource", "Other")]);
        let intents = ["12", "14"].map(|version| {
            let id = version.parse().unwrap();
            intent(id, Some("00Q1"), &[("Version", version), ("LeadSource", "Web")])
        });
        let base_of_version = |stands: &str| {
            bases_of(&bases, &intents, &record(&[("Version", stands), ("LeadSource", "Web")], true))[&"Version".into()]
                .clone()
        };
        assert_eq!(base_of_version("14"), pair("14"));
        assert_eq!(base_of_version("12"), pair("12"), "the older one landed last: 14 is still to be written");
        assert_eq!(base_of_version("11"), pair("11"), "neither landed in this row");
        let rewritten = base_of_version("14 (checked)");
        let unclear = BasePair { lead: text("12"), crm: text("14 (checked)") };
        assert_eq!(
            rewritten, unclear,
            "whichever it was that a rule of the CRM rewrote: 14 is written, at worst again"
        );
    }

    #[test]
    fn a_rewritten_value_is_that_of_the_write_that_landed_not_of_one_that_never_did() {
        let landed = [("Version", "1"), ("Source", "Web"), ("City", "berlin")];
        let never = [("Version", "2"), ("Source", "Web"), ("City", "bonn")];
        let stands = record(&[("Version", "1"), ("Source", "Web"), ("City", "Berlin")], true);
        let berlin = BasePair { lead: text("berlin"), crm: text("Berlin") };
        let check = |bases: &BTreeMap<FieldName, BasePair>, of: Option<&str>| {
            let known = bases_of(bases, &[intent(1, of, &landed), intent(2, of, &never)], &stands);
            assert_eq!(known[&"City".into()], berlin, "else bonn would seem to stand, and never be written");
        };
        check(&pairs(&[("Version", "0"), ("Source", "Phone"), ("City", "Old")]), Some("00Q1"));
        check(&BTreeMap::new(), Some("00Q1"));
        check(&BTreeMap::new(), None);
    }

    #[test]
    fn an_edit_before_our_last_write_is_not_taken_for_a_rule_of_the_crm() {
        let bases = pairs(&[("Version", "0"), ("City", "Old")]);
        let first = intent(1, Some("00Q1"), &[("Version", "1"), ("City", "berlin")]);
        let second = intent(2, Some("00Q1"), &[("Version", "2"), ("Score", "2")]);
        let stands = record(&[("Version", "2"), ("Score", "2"), ("City", "a person's")], true);
        // Of the first nothing else stands; with a row that does it is known to have landed.
        let mut first_known = first.clone();
        first_known.rows.insert("Source".into(), pair("Web"));
        let mut stands_known = stands.clone();
        stands_known.fields.insert("Source".into(), text("Web"));
        let known = bases_of(&bases, &[first_known, second.clone()], &stands_known);
        assert_eq!(known[&"City".into()], pair("berlin"), "the person's value differs from it: an edit");
        let known = bases_of(&bases, &[first, second], &stands);
        assert_eq!(known[&"City".into()], pair("Old"));
    }

    #[test]
    fn what_a_person_filled_in_before_a_new_record_was_read_is_no_default_of_the_crm() {
        let after_create = |by_us: bool| {
            let mut bases = pairs(&[("LastName", "Lovelace")]);
            add_defaults(&mut bases, &record(&[("LastName", "Lovelace"), ("City", "Köln")], by_us));
            bases.get(&FieldName::from("City")).cloned()
        };
        assert_eq!(after_create(true), Some(BasePair { lead: CrmValue::Null, crm: text("Köln") }));
        assert_eq!(after_create(false), None, "else the lead's first city would overwrite the person's");
    }

    #[test]
    fn what_is_read_back_counts_unless_somebody_was_quicker() {
        let sent = pairs(&[("City", "berlin")]);
        let after = |read: Option<&CrmRecord>| {
            bases_after_write(&pairs(&[("City", "Old")]), &sent, read)[&"City".into()].clone()
        };
        assert_eq!(after(Some(&record(&[("City", "Berlin")], true))).crm, text("Berlin"));
        assert_eq!(after(Some(&record(&[("City", "a person's")], false))), pair("berlin"), "else it would seem ours");
        assert_eq!(after(None), pair("Old"), "the open intent knows what was sent");
        let intents = [intent(1, Some("00Q1"), &[("City", "berlin"), ("Source", "Web")])];
        let next_look = record(&[("City", "Berlin"), ("Source", "Web")], true);
        let known = bases_of(&pairs(&[("City", "Old")]), &intents, &next_look);
        assert_eq!(known[&"City".into()], BasePair { lead: text("berlin"), crm: text("Berlin") });
    }
}
