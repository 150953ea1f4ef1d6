//! What holds for any lead, any record and any rule.

use proptest::prelude::*;

use super::*;
use crate::domain::merge::bases_after_write;

/// Carries a plan out on the record as a CRM would, its city and our key rewritten by a trigger, and links the lead.
fn carried_out(case: &Case, plan: &SyncPlan, rewrites: bool) -> Case {
    let mut record = case.found.first().map_or_else(|| record("00Q9", None), |(record, _)| record.clone());
    match &plan.action {
        Action::Create { fields, .. } => record.fields = fields.clone(),
        Action::Update { fields, .. } => record.fields.extend(fields.clone()),
        _ => {}
    }
    for field in ["City", ID_FIELD].map(FieldName::from) {
        if let Some(CrmValue::Text(value)) = record.fields.get_mut(&field)
            && rewrites
            && plan.announced.contains_key(&field)
        {
            *value = value.to_uppercase();
        }
    }
    let known = case.link.clone().unwrap_or_else(|| link(None));
    let bases = bases_after_write(&plan.bases, &plan.announced, Some(&record));
    let link = Link {
        record: record.reference(),
        owner: plan.owner,
        bases,
        kept: plan.kept.clone(),
        left_out: plan.left_out.clone(),
        in_doubt: plan.in_doubt.clone(),
        ..known
    };
    Case {
        rules: case.rules.clone(),
        lead: case.lead.clone(),
        link: Some(link),
        intents: Vec::new(),
        answers: Vec::new(),
        found: vec![(record, MatchedBy::Link)],
        owner: None,
        asked_for: false,
        shared: false,
    }
}

/// A rule, and whether it sets edits back.
fn any_rule() -> impl Strategy<Value = (ConflictRule, bool)> {
    use ConflictRule::{CrmWins, LatestWins, LeadWins, Review};
    let rules = [CrmWins, LatestWins, Review].map(|rule| (rule, false));
    proptest::sample::select([rules.as_slice(), &[(LeadWins, false), (LeadWins, true)]].concat())
}

fn any_city() -> impl Strategy<Value = Option<&'static str>> {
    prop_oneof![Just(None), Just(Some("Berlin")), Just(Some("Bonn")), Just(Some("a city with a name that is too long"))]
}

proptest! {
    #[test]
    fn planning_again_after_carrying_out_writes_nothing(
        (rule, enforce) in any_rule(),
        based in any::<bool>(),
        edited_at in proptest::option::of(0i64..400),
        lead_city in any_city(),
        crm_city in prop_oneof![Just(None), Just(Some("Berlin")), Just(Some("Köln"))],
        linked in any::<bool>(),
        rewrites in any::<bool>(),
        emptied in any::<bool>(),
    ) {
        let base = based.then(|| pair("Berlin", "Berlin"));
        let mut case = if linked { Case::linked(rule, base, lead_city, crm_city) } else { Case { rules: rules(rule), lead: ada(lead_city), ..Case::unlinked(Vec::new()) } };
        case.rules.rows[3].enforce = enforce;
        for (record, _) in &mut case.found {
            record.modified_at = edited_at.map(Timestamp::from_seconds);
        }
        if let (true, Some(city)) = (emptied, case.lead.fields.get("city").cloned()) {
            case.lead.fields.get_mut("city").unwrap().value = Value::Null;
            case.lead.lasting.insert("city".to_owned(), city);
        }
        let plan = case.plan();
        prop_assert_eq!(&plan, &case.plan(), "same inputs, same plan");
        let again = carried_out(&case, &plan, rewrites).plan();
        prop_assert_eq!(again.action, Action::Unchanged);
    }

    #[test]
    fn a_merge_never_blanks_a_field_and_never_overwrites_what_a_person_is_to_review(
        (rule, enforce) in any_rule(),
        based in any::<bool>(),
        lead_city in prop_oneof![Just(Value::Null), Just(Value::Text(String::new())), Just(Value::Text("Bonn".into())), Just(Value::List(vec![]))],
    ) {
        let mut case = Case::linked(rule, based.then(|| pair("Berlin", "Berlin")), None, Some("Köln"));
        case.rules.rows[3].enforce = enforce;
        case.lead = lead(&[("name", Value::Text("Ada Lovelace".into())), ("city", lead_city)]);
        if let Action::Update { fields, .. } = case.plan().action {
            prop_assert!(fields.values().all(|value| !value.is_null()));
            prop_assert!(rule == ConflictRule::LeadWins || !fields.contains_key(&FieldName::from("City")));
        }
    }
}
