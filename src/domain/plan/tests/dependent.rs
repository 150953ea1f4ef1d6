//! Picklists that depend on another field.

use super::*;
use crate::domain::record::{Choice, Choices, Places};

/// `City` depends on `Website`, which the lead does not say: Berlin and Bonn are in `de`, Paris is in `fr`.
fn dependent(mut case: Case, website: Option<&str>, places: Option<Places>) -> Case {
    let choice = |(value, under): (&str, &str)| Choice {
        value: value.to_owned(),
        label: value.to_owned(),
        under: Some(BTreeSet::from([under.to_owned()])),
    };
    let all = [("Berlin", "de"), ("Bonn", "de"), ("Paris", "fr")].map(choice).to_vec();
    let object = case.rules.schema.objects.get_mut(&"Lead".into()).unwrap();
    let city = object.fields.get_mut(&"City".into()).unwrap();
    (city.kind, city.restricted) = (CrmFieldKind::Picklist, true);
    city.values = all.iter().map(|choice| choice.value.clone()).collect();
    city.choices = Choices { all, controller: Some("Website".into()), places };
    if let Some((record, _)) = case.found.first_mut() {
        let website = website.map_or(CrmValue::Null, |website| CrmValue::Text(website.to_owned()));
        record.fields.insert("Website".into(), website);
    }
    case
}

fn linked(lead: &str) -> Case {
    Case::linked(ConflictRule::LeadWins, Some(pair("Berlin", "Berlin")), Some(lead), Some("Berlin"))
}

#[test]
fn a_value_that_does_not_go_with_what_the_record_holds_is_left_out() {
    let fits = dependent(linked("Bonn"), Some("de"), None).plan();
    assert_eq!(city(&fits), (Some(text("Bonn")), Some(Rule::LeadChanged), false));
    for website in [Some("fr"), None] {
        let plan = dependent(linked("Bonn"), website, None).plan();
        assert_eq!(city(&plan), (None, Some(Rule::Invalid), false), "{website:?}");
        assert_eq!(plan.action, Action::Unchanged);
        assert!(plan.left_out.contains_key(&"City".into()) && !plan.announced.contains_key(&"City".into()));
    }
}

#[test]
fn a_new_record_without_the_controlling_value_gets_none_that_depends_on_it() {
    let plan = dependent(Case::unlinked(Vec::new()), None, None).plan();
    let Action::Create { fields, .. } = &plan.action else { panic!("{:?}", plan.action) };
    assert!(!fields.contains_key(&"City".into()) && fields.contains_key(&"LastName".into()), "{fields:?}");
}

#[test]
fn a_country_is_not_written_while_the_record_keeps_a_state_of_another() {
    let with_country = |places| {
        let mut case = dependent(linked("Berlin"), Some("de"), places);
        case.lead.fields.extend(lead(&[("country", Value::Text("fr".to_owned()))]).fields);
        case.rules.rows.push(row("country", "Website", ConflictRule::LeadWins));
        // The lead's own two values would contradict.
        case.lead.fields.remove("city");
        case.plan()
    };
    assert_eq!(with_country(Some(Places::States)).action, Action::Unchanged);
    assert!(matches!(with_country(None).action, Action::Update { .. }), "only places are kept together by the CRM");
}
