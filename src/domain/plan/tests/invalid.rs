//! Values that cannot be stored: told, asked about, and what a person gives instead.

use super::*;

#[test]
fn a_new_record_has_one_decision_for_a_value_that_cannot_be_stored() {
    let long = "a city with a name that is too long";
    let mut case = Case { lead: ada(Some(long)), ..Case::unlinked(vec![]) };
    case.rules.rows[3].on_invalid = OnInvalid::Review;
    let decided = |case: &Case| {
        let plan = case.plan();
        let rules: Vec<Rule> =
            plan.decisions.iter().filter(|at| at.field.as_str() == "City").map(|at| at.rule).collect();
        (rules, city(&plan).0, plan.left_out.contains_key(&"City".into()))
    };
    assert_eq!(decided(&case), (vec![Rule::Invalid], None, true));
    let question = case.plan().questions.remove(0);
    case.answers = vec![Resolution {
        kind: question.kind,
        field: question.field,
        choice: Choice::Value("Bonn".into()),
        seen_lead: question.lead,
        seen_crm: None,
        seen_records: Vec::new(),
    }];
    assert_eq!(decided(&case), (vec![Rule::Resolved], Some(text("Bonn")), false));
    case.answers.clear();
    case.rules.rows[3].default = Some("Unknown".to_owned());
    case.rules.schema.objects.get_mut(&"Lead".into()).unwrap().fields.get_mut(&"City".into()).unwrap().nillable = false;
    // Tried again under another mapping: what is written is not the lead's.
    assert_eq!(decided(&case), (vec![Rule::Default], Some(text("Unknown")), true));
}

#[test]
fn a_value_that_cannot_be_stored_is_asked_about_once_and_the_answer_written() {
    let mut case =
        Case::linked(ConflictRule::LeadWins, None, Some("a city with a name that is too long"), Some("Köln"));
    case.rules.rows[3].on_invalid = OnInvalid::Review;
    let plan = case.plan();
    assert_eq!(city(&plan), (None, Some(Rule::Invalid), true));
    let question = &plan.questions[0];
    let answer = |choice| Resolution {
        kind: question.kind,
        field: question.field.clone(),
        choice,
        seen_lead: question.lead.clone(),
        seen_crm: question.crm.clone(),
        seen_records: Vec::new(),
    };
    case.answers = vec![answer(Choice::Crm)];
    assert_eq!(city(&case.plan()), (None, Some(Rule::Invalid), false));
    case.answers = vec![answer(Choice::Value("Bonn".into()))];
    assert_eq!(city(&case.plan()), (Some(text("Bonn")), Some(Rule::Resolved), false));
    assert_eq!(case.plan().left_out, LeftOut::new(), "what a person gave is written");
    case.found = vec![(record("00Q1", Some("Bonn")), MatchedBy::Link)];
    let stands = case.plan();
    assert_eq!((stands.action, stands.left_out), (Action::Unchanged, LeftOut::new()));
    case.lead = ada(Some("another city that is much too long"));
    assert_eq!(city(&case.plan()), (None, Some(Rule::Invalid), true), "another value is another question");
}
