//! `latest_wins`, `enforce` and `merge`.

use super::*;
use crate::domain::merge::bases_after_write;

/// Both sides changed; the lead at `lead_at`, the record at `crm_at`, by us or not.
fn changed_at(lead_at: i64, crm_at: Option<i64>, by_us: Option<bool>) -> SyncPlan {
    let base = Some(pair("Berlin", "Berlin"));
    let mut case = Case::linked(ConflictRule::LatestWins, base, Some("Bonn"), Some("Köln"));
    let stamp = &mut case.lead.fields.get_mut("city").unwrap().stamp;
    stamp.version.elements = vec![VersionElement::At(Timestamp::from_seconds(lead_at))];
    stamp.arrived_at = Timestamp::from_seconds(10_000);
    case.found[0].0.modified_at = crm_at.map(Timestamp::from_seconds);
    case.found[0].0.modified_by_us = by_us;
    case.plan()
}

#[test]
fn the_latest_wins_only_where_times_tell_beyond_doubt() {
    let wins = (Some(text("Bonn")), Some(Rule::LatestWins), false);
    let asked = (None, Some(Rule::Review), true);
    assert_eq!(city(&changed_at(5_000, Some(4_000), Some(false))), wins);
    assert_eq!(city(&changed_at(5_000, Some(4_000), None)), wins);
    assert_eq!(city(&changed_at(4_121, Some(4_000), Some(false))), wins);
    assert_eq!(city(&changed_at(4_120, Some(4_000), Some(false))), asked, "clocks may differ by two minutes");
    assert_eq!(city(&changed_at(4_000, Some(5_000), Some(false))), asked, "the record's time may be another field's");
    assert_eq!(city(&changed_at(5_000, Some(4_000), Some(true))), asked, "the time is that of our own write");
    assert_eq!(city(&changed_at(5_000, None, None)), asked);
    // A lead from the future changed no later than it arrived.
    assert_eq!(city(&changed_at(99_000, Some(9_990), Some(false))), asked);
    let detail = changed_at(4_000, Some(5_000), None).questions[0].detail.clone();
    assert_eq!(detail, "City changed on both sides, and no time tells beyond doubt that the lead changed last");
    let crm_only =
        Case::linked(ConflictRule::LatestWins, Some(pair("Berlin", "Berlin")), Some("Berlin"), Some("Bonn")).plan();
    assert_eq!(city(&crm_only), (None, Some(Rule::LatestWins), false));
    assert!(crm_only.kept.contains_key(&"City".into()), "logged once");
}

#[test]
fn only_what_a_person_may_have_the_last_word_on_is_written_on_a_condition() {
    let since = Some(Timestamp::from_seconds(7));
    for (rule, expected) in [
        (ConflictRule::LeadWins, None),
        (ConflictRule::CrmWins, since),
        (ConflictRule::LatestWins, since),
        (ConflictRule::Review, since),
    ] {
        let mut case = Case::linked(rule, Some(pair("Berlin", "Berlin")), Some("Bonn"), Some("Berlin"));
        case.found[0].0.modified_at = since;
        let plan = case.plan();
        assert!(matches!(plan.action, Action::Update { .. }), "{rule:?}: {:?}", plan.action);
        assert_eq!(plan.unmodified_since, expected, "{rule:?}");
        case.lead = ada(Some("Berlin"));
        assert_eq!(case.plan().unmodified_since, None, "nothing is written");
    }
}

/// The next look after a plan was carried out and a person, perhaps, edited the city.
fn next(case: &Case, plan: &SyncPlan, edited: Option<&str>) -> Case {
    let mut record = case.found[0].0.clone();
    if let Action::Update { fields, .. } = &plan.action {
        record.fields.extend(fields.clone());
    }
    let bases = bases_after_write(&plan.bases, &plan.announced, Some(&record));
    if let Some(edited) = edited {
        record.fields.insert("City".into(), text(edited));
    }
    let link = Link { bases, kept: plan.kept.clone(), ..case.link.clone().unwrap() };
    Case { link: Some(link), found: vec![(record, MatchedBy::Link)], ..case.clone() }
}

#[test]
fn an_edit_is_set_back_once_and_asked_about_when_it_comes_again() {
    let set_back = (Some(text("Berlin")), Some(Rule::Enforced), false);
    let asked = (None, Some(Rule::Review), true);
    let mut case = Case::linked(ConflictRule::LeadWins, Some(pair("Berlin", "Berlin")), Some("Berlin"), Some("Bonn"));
    case.rules.rows[3].enforce = true;
    let first = case.plan();
    assert_eq!(city(&first), set_back);
    // Other looks in between do not make it forget.
    let quiet = next(&case, &first, None);
    assert_eq!(quiet.plan().action, Action::Unchanged);
    let again = next(&quiet, &quiet.plan(), Some("Köln"));
    assert_eq!(city(&again.plan()), asked);
    assert_eq!(
        again.plan().questions[0].detail,
        "City was set back to the lead's value once, and changed in the CRM again"
    );
    assert_eq!(city(&next(&again, &again.plan(), None).plan()), asked, "it stays asked");
    // The lead says something else: it is written, and the next edit is set back anew.
    let mut moved = again.clone();
    moved.lead = ada(Some("Kiel"));
    let plan = moved.plan();
    assert_eq!(city(&plan), (Some(text("Kiel")), Some(Rule::LeadWins), false));
    let edited = next(&moved, &plan, Some("Köln"));
    assert_eq!(city(&edited.plan()), (Some(text("Kiel")), Some(Rule::Enforced), false));
    // What was kept as drift before the row said so was not set back yet.
    let mut drifted = case.clone();
    drifted.link.as_mut().unwrap().kept = [("City".into(), pair("Berlin", "Bonn"))].into();
    assert_eq!(city(&drifted.plan()), set_back);
}

#[test]
fn lists_of_both_sides_are_put_together() {
    let list = |items: &[&str]| CrmValue::Choices(items.iter().map(|item| (*item).to_owned()).collect());
    let case = |base: Option<(&[&str], &[&str])>, lead_items: &[&str], crm: &[&str]| {
        let base = base.map(|(lead, crm)| BasePair { lead: list(lead), crm: list(crm) });
        let mut case = Case::linked(ConflictRule::Merge, base, None, None);
        let row = &mut case.rules.rows[3];
        row.kind = FieldType::MultiPicklist;
        let schema = case.rules.schema.objects.get_mut(&"Lead".into()).unwrap();
        schema.fields.get_mut(&"City".into()).unwrap().kind = CrmFieldKind::MultiPicklist;
        let items = lead_items.iter().map(|item| Value::Text((*item).to_owned())).collect();
        case.lead = lead(&[
            ("name", Value::Text("Ada Lovelace".into())),
            ("email", Value::Text("ada@lovelace.example".into())),
            ("city", Value::List(items)),
        ]);
        case.found[0].0.fields.insert("City".into(), if crm.is_empty() { CrmValue::Null } else { list(crm) });
        case
    };
    #[track_caller]
    fn check(case: &Case, written: Option<CrmValue>, rule: Option<Rule>) {
        let plan = case.plan();
        assert_eq!(city(&plan), (written, rule, false));
        let later = next(case, &plan, None).plan();
        assert_eq!(later.action, Action::Unchanged, "planning again");
        assert_eq!(city(&later).1, None, "and it is told once");
    }
    let ab: Option<(&[&str], &[&str])> = Some((&["a", "b"], &["a", "b"]));
    check(&case(ab, &["a", "b", "c"], &["a", "b", "x"]), Some(list(&["a", "b", "c", "x"])), Some(Rule::Merged));
    check(&case(ab, &["a"], &["a", "b", "x"]), Some(list(&["a", "x"])), Some(Rule::Merged));
    check(&case(ab, &["a", "b", "c"], &["a", "b"]), Some(list(&["a", "b", "c"])), Some(Rule::Merged));
    check(&case(ab, &["a", "b"], &["a", "x"]), None, Some(Rule::Merged));
    check(&case(None, &["a", "b"], &["x"]), Some(list(&["a", "b", "x"])), Some(Rule::Merged));
    check(&case(None, &["a", "b"], &[]), Some(list(&["a", "b"])), Some(Rule::FilledBlank));
    check(&case(ab, &["a", "b"], &["a", "b"]), None, None);
    // The pair that both last settled on differs for good.
    check(
        &case(Some((&["a"], &["a", "x"])), &["a", "c"], &["a", "x"]),
        Some(list(&["a", "c", "x"])),
        Some(Rule::Merged),
    );
}
