//! What a lead no longer says: a blank beats no value, and a name takes back the part that it no longer has.

use super::*;
use crate::domain::merge;

/// The lead said `city` once, and says that it has none now.
fn emptied(city: &str) -> Lead {
    let mut lead = ada(None);
    let mut field = lead.fields["name"].clone();
    field.value = Value::Text(city.to_owned());
    lead.lasting.insert("city".to_owned(), field.clone());
    field.value = Value::Null;
    lead.fields.insert("city".to_owned(), field);
    lead
}

fn renamed(name: &str) -> Lead {
    let mut lead = ada(None);
    lead.fields.get_mut("name").unwrap().value = Value::Text(name.to_owned());
    lead
}

fn written(plan: &SyncPlan, field: &str) -> Option<CrmValue> {
    match &plan.action {
        Action::Create { fields, .. } | Action::Update { fields, .. } => fields.get(&FieldName::from(field)).cloned(),
        _ => None,
    }
}

#[test]
fn a_blank_counts_for_a_new_record_and_beats_no_value_of_one_that_is_there() {
    let mut unlinked = Case::unlinked(vec![]);
    unlinked.lead = emptied("Berlin");
    let plan = unlinked.plan();
    assert!(matches!(plan.action, Action::Create { .. }));
    assert_eq!(written(&plan, "City"), None, "the lead took it back before anybody had a record of it");
    // The record that is found may have got the value before the blank came, so the order does not matter there.
    unlinked.found = vec![(record("00Q1", None), MatchedBy::ExternalId)];
    assert_eq!(written(&unlinked.plan(), "City"), Some(text("Berlin")));
    let base = Some(pair("Berlin", "Berlin"));
    let mut linked = Case::linked(ConflictRule::LeadWins, base.clone(), None, Some("Berlin"));
    linked.lead = emptied("Berlin");
    assert_eq!(linked.plan().action, Action::Unchanged);
    linked.link = Some(link(Some(pair("Bonn", "Bonn"))));
    linked.found = vec![(record("00Q1", Some("Bonn")), MatchedBy::Link)];
    assert_eq!(written(&linked.plan(), "City"), Some(text("Berlin")), "it came after Bonn, and the blank after it");
    // Where the row asks for it, the blank counts.
    for case in [&mut unlinked, &mut linked] {
        case.rules.rows[3].clear = true;
    }
    assert_eq!(written(&unlinked.plan(), "City"), None);
    assert_eq!(written(&linked.plan(), "City"), Some(CrmValue::Null));
}

#[test]
fn what_a_new_record_was_made_without_is_not_added_by_the_next_look() {
    for rule in [ConflictRule::LeadWins, ConflictRule::CrmWins, ConflictRule::Review] {
        for (filled_in, by_us) in [(None, true), (None, false), (Some("Default City"), true)] {
            let mut case = Case { rules: rules(rule), ..Case::unlinked(vec![]) };
            case.lead = emptied("Berlin");
            let plan = case.plan();
            let made = CrmRecord { modified_by_us: Some(by_us), ..record("00Q1", filled_in) };
            let announced = plan.announced.clone();
            // Whether its answer came or was lost.
            let mut bases = merge::bases_after_write(&plan.bases, &announced, Some(&made));
            merge::add_defaults(&mut bases, &made);
            let answered = Case {
                link: Some(Link { bases, kept: plan.kept.clone(), ..link(None) }),
                found: vec![(made.clone(), MatchedBy::Link)],
                ..case.clone()
            };
            let create = Intent { rows: announced, ..intent(None, "") };
            let lost = Case { intents: vec![create], found: vec![(made, MatchedBy::ExternalId)], ..case };
            for mut next in [answered, lost] {
                let looked = next.plan();
                assert_eq!((&looked.action, looked.questions.len()), (&Action::Unchanged, 0), "{rule:?} {filled_in:?}");
                // The look after that one knows it by the link alone.
                next.link = Some(Link { bases: looked.bases, kept: looked.kept, ..link(None) });
                next.intents.clear();
                assert_eq!(next.plan().action, Action::Unchanged, "{rule:?} {filled_in:?}");
                // Said again, it is the newest, though it is what it was before.
                next.lead = ada(Some("Berlin"));
                let again = next.plan();
                assert_eq!(
                    city(&again),
                    (Some(text("Berlin")), Some(Rule::LeadChanged), false),
                    "{rule:?} {filled_in:?}"
                );
                assert!(again.kept.is_empty());
                // Another value that it had and lost is not the one that the record was made without.
                next.lead = emptied("Bonn");
                assert_eq!(written(&next.plan(), "City"), Some(text("Bonn")));
            }
        }
    }
}

#[test]
fn a_cleared_address_is_neither_looked_up_nor_known_as_that_of_a_create() {
    let mut case = Case::unlinked(vec![]);
    let mut field = case.lead.fields["email"].clone();
    case.lead.lasting.insert("email".to_owned(), field.clone());
    field.value = Value::Null;
    case.lead.fields.insert("email".to_owned(), field);
    let sought = match_keys(&case.lead, &own(), None, &[], TimeFormat::UnixSeconds, false, &case.rules);
    assert_eq!((sought.email, sought.name_and_domain), (None, None));
    let plan = case.plan();
    assert_eq!(written(&plan, "Email"), None);
    assert_eq!(create_keys(&plan.announced, &case.rules).email, None);
}

#[test]
fn a_name_of_one_word_takes_the_first_name_back_that_the_lead_had_and_no_other() {
    let mut ours = Case::linked(ConflictRule::LeadWins, None, None, None);
    ours.lead = renamed("Cher");
    let plan = ours.plan();
    assert_eq!((written(&plan, "FirstName"), written(&plan, "LastName")), (Some(CrmValue::Null), Some(text("Cher"))));
    let mut theirs = Case::unlinked(vec![(record("00Q1", None), MatchedBy::ExternalId)]);
    theirs.lead = renamed("Lovelace");
    assert_eq!(written(&theirs.plan(), "FirstName"), None, "a person gave the record its first name");
    theirs.found.clear();
    assert!(
        matches!(theirs.plan().action, Action::Create { fields, .. } if !fields.contains_key(&FieldName::from("FirstName")))
    );
}

#[test]
fn what_the_crm_filled_in_itself_when_we_made_the_record_is_no_edit() {
    for rule in [ConflictRule::LeadWins, ConflictRule::CrmWins, ConflictRule::Review] {
        let mut bases = link(None).bases;
        let made = CrmRecord { modified_by_us: Some(true), ..record("00Q1", Some("Default City")) };
        merge::add_defaults(&mut bases, &made);
        let mut case = Case::linked(rule, None, Some("Berlin"), Some("Default City"));
        case.link = Some(Link { bases, ..link(None) });
        assert_eq!(city(&case.plan()), (Some(text("Berlin")), Some(Rule::LeadChanged), false), "{rule:?}");
        // So it is where the answer to the create was lost, while nobody else has touched the record.
        let rows = link(None).bases;
        let intent = Intent {
            id: 1,
            request_id: "r".into(),
            object: "Lead".into(),
            record: None,
            rows,
            announced_at: crate::domain::time::Timestamp::from_seconds(1),
        };
        case.link = None;
        case.intents = vec![intent];
        for (ours, expected) in [(Some(true), Some(text("Berlin"))), (Some(false), None)] {
            let found = CrmRecord { modified_by_us: ours, ..record("00Q1", Some("Default City")) };
            case.found = vec![(found, MatchedBy::ExternalId)];
            let expected = expected.or((rule == ConflictRule::LeadWins).then(|| text("Berlin")));
            assert_eq!(city(&case.plan()).0, expected, "{rule:?} {ours:?}");
        }
    }
}

#[test]
fn only_what_the_lead_has_can_be_left_out_of_a_field_that_is_not_there() {
    for is_hidden in [true, false] {
        let left_out = |case: &mut Case| {
            let fields = &mut case.rules.schema.objects.get_mut(&ObjectName::from("Lead")).unwrap().fields;
            match is_hidden {
                true => drop(fields.remove(&FieldName::from("City"))),
                false => {
                    let city = fields.get_mut(&FieldName::from("City")).unwrap();
                    (city.createable, city.updateable) = (false, false);
                }
            }
            let plan = case.plan();
            let told = plan.decisions.iter().any(|decision| decision.rule == Rule::NotWritable);
            assert_eq!(told, plan.left_out.contains_key(&"City".into()));
            told
        };
        let base = Some(pair("Berlin", "Berlin"));
        let cases = [
            ("new", Case::unlinked(vec![])),
            ("found", Case::unlinked(vec![(record("00Q1", None), MatchedBy::Email)])),
            ("linked", Case::linked(ConflictRule::LeadWins, base, Some("Berlin"), Some("Berlin"))),
        ];
        for (name, case) in cases {
            let mut without = case.clone();
            without.lead = ada(None);
            let mut blank = case.clone();
            blank.lead = lead(&[("name", Value::Text("Ada Lovelace".to_owned())), ("city", Value::Null)]);
            assert_eq!([case, without, blank].map(|mut case| left_out(&mut case)), [true, false, false], "{name}");
        }
    }
}
