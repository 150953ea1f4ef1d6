//! Expressions, the filter, and custom attributes without a row.

use super::*;
use crate::domain::cel::Expression;
use crate::domain::mapping::{Computed, Covered};

fn expression(source: &str) -> Expression {
    Expression::parse(source).unwrap()
}

fn greeted(source: &str) -> Case {
    let mut case = Case::linked(ConflictRule::LeadWins, Some(pair("Berlin", "Berlin")), Some("Bonn"), Some("Berlin"));
    case.rules.rows[3].lead = source.to_owned();
    case.rules.rows[3].computed = Some(Computed::Expression(expression(source)));
    case
}

#[test]
fn a_computed_value_is_planned_like_any_other() {
    assert_eq!(city(&greeted("city + \", DE\"").plan()), (Some(text("Bonn, DE")), Some(Rule::LeadChanged), false));
    assert_eq!(city(&greeted("city == null ? \"x\" : null").plan()), (None, None, false), "a null is a blank");
    let mut clearing = greeted("city == \"Bonn\" ? null : city");
    clearing.rules.rows[3].clear = true;
    assert_eq!(city(&clearing.plan()), (Some(CrmValue::Null), Some(Rule::LeadChanged), false));
    // Nothing is known of what it reads: that is no null.
    clearing.lead = ada(None);
    assert_eq!(city(&clearing.plan()).0, None);
    // A field that was emptied keeps its last value for a record that is there, as without an expression.
    let mut emptied = greeted("city + \", DE\"");
    let was = emptied.lead.fields.get_mut("city").unwrap();
    emptied.lead.lasting.insert("city".to_owned(), was.clone());
    was.value = Value::Null;
    assert_eq!(city(&emptied.plan()).0, Some(text("Bonn, DE")));
}

#[test]
fn a_value_that_cannot_be_computed_holds_the_lead_under_its_own_code() {
    let plan = greeted("absent + city").plan();
    let Action::Hold { code, detail } = plan.action else { panic!("{:?}", plan.action) };
    assert_eq!((code, detail.as_str()), ("value_error", "City: absent + city: + is given null and a text"));
    assert_eq!(plan.decisions[0].rule, Rule::Invalid);
    let unlinked = Case { link: None, found: Vec::new(), ..greeted("absent + city") };
    assert!(matches!(unlinked.plan().action, Action::Hold { code: "value_error", .. }));
    let keys = match_keys(&unlinked.lead, &own(), None, &[], TimeFormat::UnixSeconds, false, &unlinked.rules);
    assert!(keys.email.is_some(), "the lead is looked up by what is known");
}

#[test]
fn a_lead_that_falls_out_of_the_filter_is_left_alone_and_its_delete_still_counts() {
    let filtered = |source: &str| {
        let mut case = Case::linked(ConflictRule::LeadWins, None, Some("Bonn"), Some("Berlin"));
        case.rules.filter = Some(expression(source));
        case
    };
    assert!(matches!(filtered("city == \"Bonn\"").plan().action, Action::Update { .. }));
    let out = filtered("city == \"Berlin\"").plan();
    assert!(matches!(out.action, Action::Skip { code: FILTERED, .. }) && out.matched.is_none());
    let error = filtered("score >= 20.0").plan();
    assert!(
        matches!(&error.action, Action::Hold { code: "filter_error", detail } if detail.contains("score >= 20.0: null")),
        "{:?}",
        error.action
    );
    assert!(matches!(filtered("city").plan().action, Action::Hold { code: "filter_error", .. }));
    let mut deleted = filtered("city == \"Berlin\"");
    deleted.lead.deleted = deleted.lead.latest.clone();
    assert!(matches!(deleted.plan().action, Action::Skip { code: "lead_deleted", .. }));
}

fn with_attributes(case: &Case, attributes: &[(&str, &str)]) -> Case {
    let stamp = case.lead.latest.clone().unwrap();
    let mut case = case.clone();
    case.lead.fields.retain(|path, _| !path.starts_with("attributes."));
    for (name, value) in attributes {
        let value = Value::Text((*value).to_owned());
        case.lead.fields.insert(format!("attributes.{name}"), LeadField { value, stamp: stamp.clone() });
    }
    case
}

#[test]
fn a_lead_with_attributes_without_a_row_is_held_where_the_mapping_says_so() {
    let mut case = Case::linked(ConflictRule::LeadWins, None, Some("Bonn"), Some("Berlin"));
    case.rules.refuses_beside = Some(Covered::by(&[row("attributes.size", "City", ConflictRule::LeadWins)]));
    assert!(matches!(with_attributes(&case, &[("size", "5"), ("empty", " ")]).plan().action, Action::Update { .. }));
    let held = with_attributes(&case, &[("size", "5"), ("budget", "9"), ("sizes", "1")]).plan().action;
    assert_eq!(
        held,
        Action::Hold {
            code: "unmapped_attribute",
            detail: "no row of the mapping takes attributes.budget, attributes.sizes".to_owned()
        }
    );
}

/// The city's field takes the block, and is `length` characters long.
fn noted(crm: Option<&str>, length: u32) -> Case {
    let mut case = Case::linked(ConflictRule::LeadWins, None, None, crm);
    let row = &mut case.rules.rows[3];
    row.computed = Some(Computed::Unmapped(Covered::by(&[super::row("attributes.size", "X", ConflictRule::LeadWins)])));
    let object = case.rules.schema.objects.get_mut(&"Lead".into()).unwrap();
    let field = object.fields.get_mut(&"City".into()).unwrap();
    (field.length, field.kind) = (Some(length), CrmFieldKind::LongText);
    case
}

/// The field's text after the plan was carried out, and the case as the next look finds it.
fn after(case: &Case) -> (String, Case) {
    let plan = case.plan();
    let mut record = case.found.first().map_or_else(|| record("00Q9", None), |(record, _)| record.clone());
    if let Action::Update { fields, .. } | Action::Create { fields, .. } = &plan.action {
        record.fields.extend(fields.clone());
    }
    let bases = crate::domain::merge::bases_after_write(&plan.bases, &plan.announced, Some(&record));
    let standing = record.value(&"City".into()).to_string();
    let link = Link { record: record.reference(), bases, kept: plan.kept.clone(), ..link(None) };
    let next = Case { link: Some(link), found: vec![(record, MatchedBy::Link)], ..case.clone() };
    let again = next.plan();
    assert_eq!((&again.action, again.decisions.len()), (&Action::Unchanged, 0), "planning again after {standing}");
    (standing, next)
}

fn edited(case: &Case, standing: &str) -> Case {
    let mut case = case.clone();
    case.found[0].0.fields.insert("City".into(), text(standing));
    case
}

const BLOCK: &str = "--- lead attributes (kept by leadrelay) ---\nbudget: 5\nteam: a b\n--- end of lead attributes ---";

#[test]
fn attributes_stand_in_a_block_that_people_write_around() {
    let attributes = [("team", " a\n b"), ("budget", "5"), ("size", "mapped"), ("empty", " ")];
    let (fresh, _) = after(&Case { link: None, found: Vec::new(), ..with_attributes(&noted(None, 500), &attributes) });
    assert_eq!(fresh, BLOCK);
    let (standing, next) = after(&with_attributes(&noted(Some("Called twice."), 500), &attributes));
    assert_eq!(standing, format!("Called twice.\n{BLOCK}"));
    // What people write before and after is theirs, line ends included.
    let around = edited(&next, &format!("Called thrice.\r\n{}\r\n\r\nLater.", BLOCK.replace('\n', "\r\n")));
    assert_eq!(around.plan().action, Action::Unchanged);
    let (standing, next) = after(&with_attributes(&around, &[("budget", "6")]));
    let smaller = BLOCK.replace("budget: 5\nteam: a b", "budget: 6");
    assert_eq!(standing, format!("Called thrice.\r\n{smaller}\r\n\r\nLater."));
    // A person's deletion holds until the attributes change; so does an edit inside.
    for theirs in ["Only mine.".to_owned(), format!("Mine.\n{}", smaller.replace('6', "six"))] {
        let theirs_now = edited(&next, &theirs);
        let plan = theirs_now.plan();
        assert_eq!((&plan.action, city(&plan).1), (&Action::Unchanged, Some(Rule::Drift)));
        let (standing, _) = after(&with_attributes(&theirs_now, &[("budget", "7")]));
        let first = theirs.lines().next().unwrap();
        assert_eq!(standing, format!("{first}\n{}", smaller.replace('6', "7")));
    }
    // Emptied attributes stay, like any value of the lead.
    assert_eq!(with_attributes(&next, &[]).plan().action, Action::Unchanged);
}

#[test]
fn what_does_not_fit_is_left_out_in_whole_lines_and_told() {
    let long = "x".repeat(30);
    let attributes = [("a", "1"), ("b", long.as_str()), ("c", "3")];
    let mut case = with_attributes(&noted(Some("Hers."), 111), &attributes);
    let plan = case.plan();
    let note = plan.decisions.iter().find_map(|decision| decision.note.clone());
    assert_eq!(note.as_deref(), Some("1 attributes do not fit and were left out"));
    let (standing, next) = after(&case);
    assert_eq!(
        standing,
        "Hers.\n--- lead attributes (kept by leadrelay) ---\na: 1\nc: 3\n(1 more do not fit)\n--- end of lead attributes ---"
    );
    assert!(standing.chars().count() <= 111);
    // A change of what is not shown changes nothing that stands there.
    let (same, _) = after(&with_attributes(&next, &[("a", "1"), ("b", &"y".repeat(40)), ("c", "3")]));
    assert_eq!(same, standing);
    case = edited(&case, &"h".repeat(60));
    let plan = case.plan();
    assert_eq!((&plan.action, city(&plan).1), (&Action::Unchanged, Some(Rule::Invalid)), "no room");
    let tiny = with_attributes(&noted(None, 60), &attributes).plan();
    assert_eq!(city(&tiny).1, Some(Rule::Invalid));
}
